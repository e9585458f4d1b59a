"""A trained wavefunction in Python: `qernel.load(run)`."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array, Float

from qernel.config import Config, UserError
from qernel.hamiltonian.hamiltonian import Hamiltonian, make_hamiltonian
from qernel.measurement import Effort
from qernel.shipped import find_run
from qernel.sweep import sweep
from qernel.training.step import TrainingState
from qernel.wavefunction.base import LogPsi, Wavefunction


class Trained(eqx.Module):
    """psi(r; c) of a run with its Hamiltonian, walkers and contexts.

    Positions are in units of the moiré constant, contexts in laboratory units.
    """

    state: TrainingState
    hamiltonian: Hamiltonian
    config: Config = eqx.field(static=True)

    def __call__(
        self, electrons: Float[Array, "*batch electron 2"], **context: float | Float[Array, ""]
    ) -> LogPsi:
        """log|psi| and phase of any batch of configurations at one context, e.g. moire_depth=1.2.

        Differentiable in the electrons and in the context. Raises UserError if a context is missing or
        not one of the model's.
        """
        names = self.hamiltonian.family.names
        if set(context) != set(names):
            raise UserError(f"this model needs the contexts ({', '.join(names)}), got {sorted(context)}")
        vector = [jnp.asarray(context[name], jnp.float64) for name in names]
        point = jnp.stack(vector) if vector else jnp.zeros((0,), jnp.float64)
        dtype = jnp.dtype(self.config.training.precision)
        couplings = jax.tree.map(lambda x: x.astype(dtype), self.hamiltonian.family.couplings(point))
        return _evaluate(self.state.model, jnp.asarray(electrons).astype(dtype), couplings)

    @property
    def walkers(self) -> Float[Array, "context walker electron 2"]:
        """Sampled configurations of each training context, in a_M."""
        return self.state.walkers.electrons

    @property
    def contexts(self) -> np.ndarray:
        """The training contexts that the walkers belong to, (context, parameter)."""
        return np.asarray(self.state.contexts)

    def sweep(self, effort: Effort = Effort(), **over) -> xarray.Dataset:
        """Energies and densities by inference, e.g. sweep(moire_depth=[0.8, 1.0, 1.2])."""
        values = {name: np.atleast_1d(value).tolist() for name, value in over.items()}
        return sweep(self.config, self.state, values, effort)


@eqx.filter_jit
def _evaluate(model: Wavefunction, electrons: Float[Array, "*batch electron 2"], couplings) -> LogPsi:
    evaluate = jnp.vectorize(lambda r: tuple(model(r, couplings)), signature="(n,d)->(),()")
    return LogPsi(*evaluate(electrons))


def load(path: str | Path) -> Trained:
    """The newest state of a run, ready to evaluate; `path` may also name a shipped model.

    Raises UserError if it is neither.
    """
    run = find_run(path)
    state = run.state()
    return Trained(state, make_hamiltonian(run.config()), run.config())

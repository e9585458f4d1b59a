"""A trained wavefunction in Python: `qernel.load(run)`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array, Complex, Float

from qernel.branches import the_branch
from qernel.config import Config, UserError
from qernel.estimators.overlap import Fidelity, fidelity
from qernel.hamiltonian.hamiltonian import Hamiltonian, make_hamiltonian
from qernel.measurement import Effort
from qernel.shipped import find_run
from qernel.sweep import following, samples, sweep
from qernel.training.step import TrainingState
from qernel.wavefunction.base import LogPsi, Wavefunction


class Trained(eqx.Module):
    """psi(r; c) of a run with its Hamiltonian, walkers and contexts.

    Positions are in units of the moiré constant, contexts in laboratory units.
    """

    state: TrainingState
    hamiltonian: Hamiltonian
    config: Config = eqx.field(static=True)

    def __call__(self, electrons: Float[Array, "*batch electron 2"], **context: float | Array) -> LogPsi:
        """log|psi| and phase of any batch of configurations at one context, e.g. moire_depth=1.2.

        A context is one number for each parameter.
        Differentiable in the electrons and in the context. Raises UserError if a context is missing or
        not one of the model's, or electrons are not as many as the model's.
        """
        electrons = jnp.asarray(electrons)
        if electrons.shape[-2:] != (self.hamiltonian.electrons, 2):
            raise UserError(
                f"positions have to be (..., {self.hamiltonian.electrons}, 2), not {electrons.shape}"
            )
        dtype = jnp.dtype(self.config.training.precision)
        couplings = self.hamiltonian.family.couplings(self._point(context))
        couplings = jax.tree.map(lambda x: x.astype(dtype), couplings)
        return _evaluate(self.state.model, electrons.astype(dtype), couplings)

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

    def at(self, **context: float) -> "AtContext":
        """psi(r) at one context, e.g. at(moire_depth=1.2).

        Raises UserError if a context is missing, not one of the model's, or cannot have its value.
        """
        self._point(context)
        for name, value in context.items():
            try:
                self.config.system.check_value(name, value)
            except ValueError as error:
                raise UserError(str(error)) from None
        return AtContext(self, context)

    def _point(self, context: Mapping[str, float | Array]) -> Float[Array, " parameter"]:
        """The context in the family's order."""
        names = self.hamiltonian.family.names
        if set(context) != set(names):
            raise UserError(f"this model needs the contexts ({', '.join(names)}), got {sorted(context)}")
        vector = [jnp.asarray(context[name], jnp.float64) for name in names]
        if any(each.ndim for each in vector):
            raise UserError("a context is one number for each parameter: use jax.vmap, or sweep, for several")
        return jnp.stack(vector) if vector else jnp.zeros((0,), jnp.float64)


class AtContext(eqx.Module):
    """psi(r) of a trained wavefunction at one context."""

    trained: Trained
    context: dict[str, float]

    def __call__(self, electrons: Float[Array, "*batch electron 2"]) -> LogPsi:
        """log|psi| and phase of any batch of configurations."""
        return self.trained(electrons, **self.context)

    def samples(self, effort: Effort = Effort()) -> Iterator[Float[Array, "walker electron 2"]]:
        """`effort.walkers` walkers of |psi|^2, in a_M, `effort.samples` times; equilibrated as in a sweep.

        Of `effort`, `observables` and `target_error` have no effect. Warns of walkers that still drift.
        Raises UserError for a seed or a start of walkers that cannot be.
        """
        point = np.asarray(self.trained._point(self.context))
        return samples(self.trained.config, self.trained.state, point, effort)

    def fidelity(self, other: "AtContext", effort: Effort = Effort()) -> Fidelity:
        """|<psi|phi>|^2 with another wavefunction of the same electrons, supercell and twist, normalized.

        From `samples` of both, those of the other with the seed after that of `effort`. Where the two differ
        much, few samples carry the mean, and its error is too small. Lengths are in a_M of either.
        Raises UserError if electrons, supercells or twists differ.
        """
        if self._boundary() != other._boundary():
            raise UserError("an overlap needs two wavefunctions of the same electrons, supercell and twist")
        back = effort._replace(seed=following(effort.seed, 1))
        here, there = self.samples(effort), other.samples(back)
        return fidelity(_log_ratios(self, other, here), _log_ratios(other, self, there))

    def _boundary(self) -> tuple:
        hamiltonian = self.trained.hamiltonian
        twist = hamiltonian.family.couplings(self.trained._point(self.context)).twist
        return hamiltonian.spins, hamiltonian.supercell, tuple(np.asarray(twist).tolist())


def _log_ratios(
    psi: AtContext, phi: AtContext, samples: Iterator[Float[Array, "walker electron 2"]]
) -> Complex[np.ndarray, "step walker"]:
    """log(phi / psi) at samples of |psi|^2."""
    ratios = []
    for electrons in samples:
        (log_psi, angle_psi), (log_phi, angle_phi) = (
            np.asarray(each(electrons), float) for each in (psi, phi)
        )
        ratios.append(log_phi - log_psi + 1j * (angle_phi - angle_psi))
    return np.array(ratios)


@eqx.filter_jit
def _evaluate(model: Wavefunction, electrons: Float[Array, "*batch electron 2"], couplings) -> LogPsi:
    evaluate = jnp.vectorize(lambda r: tuple(model(r, couplings)), signature="(n,d)->(),()")
    return LogPsi(*evaluate(electrons))


def load(path: str | Path, momentum: tuple[int, int] | None = None) -> Trained:
    """The newest state of a run, ready to evaluate; `path` may also name a shipped model.

    Of a run of several momenta `momentum` says which wavefunction. Raises UserError if there is no such run,
    or it has no such wavefunction.
    """
    _, config, state = the_branch(find_run(path), momentum)
    return Trained(state, make_hamiltonian(config), config)

"""Measuring a frozen wavefunction: equilibrate walkers, sample, estimate, at several contexts at once."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from qernel.batching import gather, over_walkers, walker_mesh
from qernel.config import UserError, suggestion
from qernel.estimators import DEFAULT_OBSERVABLES, OBSERVABLES
from qernel.estimators.local_energy import local_energy
from qernel.estimators.observable import Configuration, Observable, Result
from qernel.estimators.statistics import Accumulator
from qernel.hamiltonian.couplings import Couplings
from qernel.hamiltonian.hamiltonian import Hamiltonian
from qernel.sampling import Walkers
from qernel.training.step import couplings_of, make_sampling
from qernel.wavefunction.base import Wavefunction


class Effort(NamedTuple):
    """How long each context is sampled, and what is measured. A sample follows `moves` moves."""

    walkers: int = 128  # per context
    equilibration: int = 40  # samples thrown away
    samples: int = 60
    moves: int = 4
    seed: int = 1
    observables: tuple[str, ...] = DEFAULT_OBSERVABLES


class Measured(NamedTuple):
    """Results by name at one context, the acceptance of the moves, and the walkers as they were left."""

    results: dict[str, Result]
    acceptance: float
    electrons: np.ndarray  # (walker, electron, 2)


class Measurement:
    """The compiled functions that measure wavefunctions of one Hamiltonian."""

    def __init__(self, hamiltonian: Hamiltonian, effort: Effort, dtype, microbatch: int = 32):
        self.hamiltonian, self.effort = hamiltonian, effort
        self._dtype, self._microbatch = dtype, microbatch
        self.observables = make_observables(hamiltonian, effort.observables)
        mesh = walker_mesh(effort.walkers)
        self._sample = make_sampling(hamiltonian, mesh, effort.moves, dtype, microbatch)
        self._observe = eqx.filter_jit(self._make_observe(mesh))

    def __call__(
        self, model: Wavefunction, walkers: Walkers, contexts: Float[np.ndarray, "context parameter"], key
    ) -> list[Measured]:
        """Equilibrate the walkers at the contexts, then measure; one entry per context."""
        points, effort = jnp.asarray(contexts), self.effort
        for index in range(effort.equilibration):
            walkers, _ = self._sample(model, walkers, points, jax.random.fold_in(key, index))
        sums: list[dict[str, dict[str, Accumulator]]] = [{} for _ in contexts]
        acceptances = []
        for index in range(effort.equilibration, effort.equilibration + effort.samples):
            now = jax.random.fold_in(key, index)
            moved, acceptance = self._sample(model, walkers, points, now)
            # The step width stays what equilibration made it: tuning while measuring would bias the means.
            walkers = Walkers(moved.electrons, walkers.width)
            acceptances.append(gather(acceptance))
            self._take(sums, gather(self._observe(model, walkers.electrons, points, now)))
        couplings = couplings_of(self.hamiltonian, points, jnp.float64)
        mean_acceptance, electrons = np.mean(acceptances, axis=0), gather(walkers.electrons)
        return [
            Measured(
                self._results(each, jax.tree.map(lambda x, c=c: x[c], couplings)),
                float(mean_acceptance[c]),
                electrons[c],
            )
            for c, each in enumerate(sums)
        ]

    def _make_observe(self, mesh) -> Callable:
        """(model, electrons, contexts, key) -> {observable: {quantity: (context, walker, ...)}}."""
        hamiltonian, dtype = self.hamiltonian, self._dtype

        def one(model, walker: tuple[Array, PRNGKeyArray], at_context: tuple[Array, Couplings]):
            (electrons, key), (context, couplings) = walker, at_context
            local = local_energy(model, hamiltonian, electrons, couplings)
            at = Configuration(electrons, context, couplings, local, key)
            return {name: observable.sample(model, at) for name, observable in self.observables.items()}

        def observe(model, electrons, contexts, key):
            keys = jax.random.split(jax.random.fold_in(key, 1), electrons.shape[:2])
            couplings = couplings_of(hamiltonian, contexts, dtype)
            batched = over_walkers(one, mesh, self._microbatch)
            return batched(model, (electrons, keys), (contexts, couplings))

        return observe

    def _take(self, sums, sampled) -> None:
        for c, each in enumerate(sums):
            for observable, quantities in sampled.items():
                own = each.setdefault(observable, {})
                for name, values in quantities.items():
                    own.setdefault(name, Accumulator(self.effort.samples)).add(values[c])

    def _results(self, sums: dict[str, dict[str, Accumulator]], couplings: Couplings) -> dict[str, Result]:
        found: dict[str, Result] = {}
        for name, observable in self.observables.items():
            found |= observable.results(sums[name], couplings)
        return found


def make_observables(hamiltonian: Hamiltonian, names: Sequence[str]) -> dict[str, Observable]:
    """The named observables, the energy first, those left out that this Hamiltonian does not have.

    Raises UserError for a name that is not in `OBSERVABLES`.
    """
    wanted = dict.fromkeys(["energy", *names])
    for name in wanted:
        if name not in OBSERVABLES:
            raise UserError(f"unknown observable '{name}'{suggestion(name, OBSERVABLES)}")
    made = {name: OBSERVABLES[name](hamiltonian) for name in wanted}
    return {name: observable for name, observable in made.items() if observable.exists()}

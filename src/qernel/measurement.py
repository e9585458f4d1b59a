"""Measuring a frozen wavefunction: equilibrate walkers, sample, estimate, at several contexts at once.

Equilibration comes in blocks. It ends at a context when the walkers' potential energies no longer differ
between the last block and the one before by more than three standard errors, or after ten blocks.
"""

import copy
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from qernel.batching import gather, over_walkers, walker_mesh
from qernel.config import UserError, suggestion
from qernel.estimators import DEFAULT_OBSERVABLES, OBSERVABLES
from qernel.estimators.by_differences import check_local_energies, is_trusted
from qernel.estimators.local_energy import local_energy
from qernel.estimators.observable import Configuration, Observable, Result
from qernel.estimators.statistics import Accumulator
from qernel.hamiltonian.couplings import Couplings
from qernel.hamiltonian.hamiltonian import Hamiltonian, couplings_of
from qernel.sampling import Walkers, make_sampling
from qernel.units import CONTEXT_PARAMETERS
from qernel.wavefunction.base import Wavefunction


class Effort(NamedTuple):
    """How long each context is sampled, and what is measured. A sample follows `moves` moves."""

    walkers: int = 128  # per context
    equilibration: int = 40  # samples thrown away at least, in two blocks; up to eight blocks more if need be
    samples: int = 60
    moves: int = 4
    seed: int = 1
    observables: tuple[str, ...] = DEFAULT_OBSERVABLES
    target_error: float | None = None  # of the energy, meV per electron; for it samples may be more
    start: str = "nearest"  # where walkers come from, see `qernel.sweep.STARTS`


Progress = Callable[[float], None]  # told after every sample which share is done, from 0 to 1


class StopMeasuring(Exception):
    """What `progress` raises to end a measurement early: with the samples so far, if they are enough."""


LARGEST_SEED = 2**31 - 1  # that a sweep's file can hold
DRIFT = 3.0  # standard errors by which potential energies may differ between two blocks
_BLOCKS = 10
_OBSERVABLES = 2**31 - 1  # names a stream of random numbers; small ones are walkers'
_ENOUGH = 10  # samples of a measurement that was ended early


def check_effort(effort: Effort) -> None:
    """Raises UserError where nothing could be measured by it."""
    for name, least in (("walkers", 2), ("samples", 2), ("equilibration", 0), ("moves", 1)):
        if (value := getattr(effort, name)) < least:
            raise UserError(f"a measurement needs {name} >= {least}, not {value}")
    if effort.target_error is not None and not effort.target_error > 0:
        error = effort.target_error
        raise UserError(f"the target error has to be above 0 meV per electron, not {error:g}")
    if not 0 <= effort.seed <= LARGEST_SEED:
        raise UserError(f"the seed of a sweep has to be from 0 to {LARGEST_SEED}")


class Measured(NamedTuple):
    """Results by name at one context, those about the walkers included, and the walkers."""

    results: dict[str, Result]
    electrons: np.ndarray  # (walker, electron, 2), as they were left
    width: float  # of the moves


class Measurement:
    """The compiled functions that measure wavefunctions of one Hamiltonian."""

    def __init__(self, hamiltonian: Hamiltonian, effort: Effort, dtype, microbatch: int = 32):
        self.hamiltonian, self.effort = hamiltonian, effort
        self._dtype, self._microbatch = dtype, microbatch
        self.observables = make_observables(hamiltonian, effort.observables)
        mesh = walker_mesh(effort.walkers)
        self._sample = make_sampling(hamiltonian, mesh, effort.moves, dtype, microbatch)
        self._observe = eqx.filter_jit(self._make_observe(mesh))
        self._checked: set[Hashable] = set()  # each has compiled functions of its own
        self._potential = eqx.filter_jit(self._make_potential(mesh))

    def longer(self, samples: int) -> "Measurement":
        """The same compiled functions, for so many samples without equilibration."""
        other = copy.copy(self)
        other.effort = self.effort._replace(samples=samples, equilibration=0)
        return other

    def __call__(
        self,
        model: Wavefunction,
        walkers: Walkers,
        contexts: Float[np.ndarray, "context parameter"],
        key: PRNGKeyArray,
        progress: Progress = lambda share: None,
    ) -> list[Measured]:
        """Equilibrate the walkers at the contexts, then measure; one entry per context.

        Raises StopMeasuring where `progress` did before there were enough samples, and UserError if a device
        other than a CPU gets the local energies wrong.
        """
        points, effort = jnp.asarray(contexts), self.effort
        planned = effort.equilibration + effort.samples
        walkers, drift, thrown_away = self.equilibrate(
            model, walkers, points, key, lambda done: progress(min(done, effort.equilibration) / planned)
        )
        sums: list[dict[str, dict[str, Accumulator]]] = [{} for _ in contexts]
        acceptances = []
        for latest, acceptance, now in self.samples(model, walkers, points, key):
            walkers = latest
            acceptances.append(gather(acceptance))
            sampled = gather(self._observe(model, walkers.electrons, points, now))
            if not is_trusted() and _shapes(model, points) not in self._checked:
                self._check(model, points, gather(walkers.electrons), sampled["energy"])
            self._take(sums, sampled)
            try:
                progress((effort.equilibration + len(acceptances)) / planned)
            except StopMeasuring:
                if len(acceptances) < _ENOUGH:
                    raise
                break
        couplings = couplings_of(self.hamiltonian, points, jnp.float64)
        mean_acceptance, walkers = np.mean(acceptances, axis=0), gather(walkers)
        return [
            Measured(
                self._results(each, jax.tree.map(lambda x, c=c: x[c], couplings))
                | _about_walkers(
                    float(mean_acceptance[c]), float(drift[c]), int(thrown_away[c]), len(acceptances)
                ),
                np.asarray(walkers.electrons[c]),
                float(walkers.width[c]),
            )
            for c, each in enumerate(sums)
        ]

    def equilibrate(
        self,
        model: Wavefunction,
        walkers: Walkers,
        points: Array,
        key: PRNGKeyArray,
        progress: Callable[[int], None] = lambda done: None,
    ) -> tuple[Walkers, np.ndarray, np.ndarray]:
        """Walkers, largest drift and number of samples thrown away (context), see the top of this file.

        A context that has come to rest stays as it is while others go on: its walkers are moved with all
        others, for one compiled function, and put back. `progress` is told how many samples were made.
        """
        block, before = _block(self.effort), np.zeros(())
        drift, thrown_away = np.full(len(points), np.nan), np.zeros(len(points), int)
        moving = np.full(len(points), block > 0)
        for number in range(_BLOCKS):
            if not moving.any():
                break
            moved, total = walkers, np.zeros(())
            for index in range(number * block, (number + 1) * block):
                moved, _ = self._sample(model, moved, points, jax.random.fold_in(key, index))
                total = total + gather(self._potential(moved.electrons, points))
                progress(index + 1)
            walkers = moved if moving.all() else _where(moving, moved, walkers)
            thrown_away += np.where(moving, block, 0)
            means = total / block
            if number > 0:
                drift = np.where(moving, _largest_drift(means - before), drift)
                moving = moving & ~(drift < DRIFT)
            before = means
        return walkers, drift, thrown_away

    def samples(
        self, model: Wavefunction, walkers: Walkers, points: Array, key: PRNGKeyArray
    ) -> Iterator[tuple[Walkers, Array, PRNGKeyArray]]:
        """Yields walkers, their acceptance (context) and a key, for every sample of the effort.

        The step width stays what equilibration made it: tuning while measuring would bias the means.
        """
        begin = _BLOCKS * _block(self.effort)  # however long equilibration took: contexts go their own ways
        for index in range(begin, begin + self.effort.samples):
            now = jax.random.fold_in(key, index)
            moved, acceptance = self._sample(model, walkers, points, now)
            walkers = Walkers(moved.electrons, walkers.width)
            yield walkers, acceptance, now

    def _make_potential(self, mesh) -> Callable:
        """(electrons, contexts) -> potential energies (context, walker, term)."""
        hamiltonian, dtype = self.hamiltonian, self._dtype

        def one(_, electrons, couplings):
            return hamiltonian.potential(electrons, couplings).astype(jnp.float64)

        def potential(electrons, contexts):
            batched = over_walkers(one, mesh, self._microbatch)
            return batched((), electrons, couplings_of(hamiltonian, contexts, dtype))

        return potential

    def _make_observe(self, mesh) -> Callable:
        """(model, electrons, contexts, key) -> {observable: {quantity: (context, walker, ...)}}."""
        hamiltonian, dtype = self.hamiltonian, self._dtype

        def one(model, walker: tuple[Array, PRNGKeyArray], at_context: tuple[Array, Couplings]):
            (electrons, key), (context, couplings) = walker, at_context
            local = local_energy(model, hamiltonian, electrons, couplings)
            at = Configuration(electrons, context, couplings, local, key)
            return {name: observable.sample(model, at) for name, observable in self.observables.items()}

        def observe(model, electrons, contexts, key):
            keys = jax.random.split(jax.random.fold_in(key, _OBSERVABLES), electrons.shape[:2])
            couplings = couplings_of(hamiltonian, contexts, dtype)
            batched = over_walkers(one, mesh, self._microbatch)
            return batched(model, (electrons, keys), (contexts, couplings))

        return observe

    def _check(
        self, model: Wavefunction, points: Array, electrons: np.ndarray, sampled: dict[str, np.ndarray]
    ) -> None:
        energies = sampled["energy"] + 1j * sampled["imaginary"]
        check_local_energies(model, self.hamiltonian, points, electrons, energies)
        self._checked.add(_shapes(model, points))

    def _take(self, sums, sampled) -> None:
        for c, each in enumerate(sums):
            for observable, quantities in sampled.items():
                own = each.setdefault(observable, {})
                for name, values in quantities.items():
                    own.setdefault(name, Accumulator(self.effort.samples)).add(values[c])

    def _results(self, sums: dict[str, dict[str, Accumulator]], couplings: Couplings) -> dict[str, Result]:
        found: dict[str, Result] = {}
        for name, observable in self.observables.items():
            results = observable.results(sums[name], couplings)
            taken = {*found, *(f"{each}_error" for each in found), *_ABOUT_WALKERS, *CONTEXT_PARAMETERS}
            if twice := results.keys() & taken:
                raise ValueError(f"observable '{name}': a sweep has another {', '.join(sorted(twice))}")
            found |= results
        return found


def _shapes(model: Wavefunction, points: Array) -> Hashable:
    """What a compiled function of a model and contexts is for."""
    leaves, structure = jax.tree.flatten(eqx.filter(model, eqx.is_array))
    return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves), len(points)


_ABOUT_WALKERS = {
    "acceptance": "acceptance of the moves",
    "drift": "drift at the end of equilibration, in standard errors",
    "equilibration": "samples thrown away for equilibration",
    "samples": "samples of each walker",
}


def _about_walkers(acceptance: float, drift: float, thrown_away: int, samples: int) -> dict[str, Result]:
    numbers = zip(_ABOUT_WALKERS.items(), (acceptance, drift, thrown_away, samples), strict=True)
    return {name: Result(np.asarray(value), None, "1", text) for (name, text), value in numbers}


def _block(effort: Effort) -> int:
    """Samples in a block of equilibration."""
    return -(-effort.equilibration // 2)


def _largest_drift(change: Float[np.ndarray, "context walker term"]) -> Float[np.ndarray, " context"]:
    """The largest mean change of a term, in standard errors over walkers."""
    error = change.std(axis=1, ddof=1) / np.sqrt(change.shape[1])
    return np.max(np.abs(change.mean(axis=1)) / np.where(error > 0, error, np.inf), axis=1)


@jax.jit
def _where(condition: Bool[Array, " context"], yes: Walkers, no: Walkers) -> Walkers:
    """`yes` at the contexts where the condition holds, else `no`."""
    return jax.tree.map(lambda a, b: jax.vmap(jnp.where)(condition, a, b), yes, no)


def make_observables(hamiltonian: Hamiltonian, names: Sequence[str]) -> dict[str, Observable]:
    """The named observables, the energy first, those left out that this Hamiltonian does not have.

    Raises UserError for a name that is not in `OBSERVABLES`, ValueError where two have axes of one name.
    """
    wanted = dict.fromkeys(["energy", *names])
    for name in wanted:
        if name not in OBSERVABLES:
            raise UserError(f"unknown observable '{name}'{suggestion(name, OBSERVABLES)}")
    made = {name: OBSERVABLES[name](hamiltonian) for name in wanted}
    made = {name: observable for name, observable in made.items() if observable.exists()}
    axes: set[str] = set()
    for name, observable in made.items():
        own = observable.coordinates().keys()
        if twice := axes & own:
            raise ValueError(f"observable '{name}': another has an axis {', '.join(sorted(twice))}")
        axes |= own
    return made

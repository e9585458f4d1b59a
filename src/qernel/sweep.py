"""Sweeps: measure a trained wavefunction over contexts, by inference alone.

Walkers start from the checkpoint's nearest context, are equilibrated at the new one with the step width
tuned, and are then measured with everything frozen. The result is an xarray dataset with a dimension per
swept parameter; energies are in meV per electron and every mean comes with its error.
"""

import functools
import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array, Float, PRNGKeyArray

from qernel.batching import gather
from qernel.config import Config, UserError, suggestion
from qernel.dataset import sweep_dataset
from qernel.estimators.observable import Result
from qernel.hamiltonian.hamiltonian import Hamiltonian, make_hamiltonian
from qernel.measurement import (
    DRIFT,
    LARGEST_SEED,
    Effort,
    Measured,
    Measurement,
    Progress,
    StopMeasuring,
    check_effort,
)
from qernel.reference.two_electrons import exact_pair, has_exact_pair
from qernel.sampling import Walkers, crystal_walkers, initial_walkers
from qernel.training.step import TrainingState

#: Where the walkers of a context come from.
STARTS = {
    "nearest": "those of the nearest training context",
    "up": "the context before, in ascending order",
    "down": "the context after, in descending order",
    "liquid": "electrons on random moiré sites",
    "crystal": "the honeycomb crystal at filling 2/3",
}

_GROUP = 8  # contexts measured together
_START, _AGAIN = 10**6, 10**7  # name the streams of random numbers of starts and of longer measurements
_MOST, _ATTEMPTS = 400, 4  # times as many samples and measurements, at most, for a precision asked for


def context_grid(config: Config, over: Mapping[str, Sequence[float]]) -> np.ndarray:
    """All combinations of the swept values, (context, parameter) in the order of the family's contexts.

    Context parameters that are not swept stay at the system's value if their range holds it, else at
    the middle of their range. Raises UserError for a parameter the model was not trained over, or a value
    that it cannot have.
    """
    for name in over:
        if name not in config.contexts:
            trained = ", ".join(config.contexts) or "none: it was trained at fixed parameters"
            raise UserError(f"cannot sweep over {name}: the contexts of this model are {trained}")
        if len(over[name]) == 0:
            raise UserError(f"cannot sweep over {name}: no value of it is given")
        try:
            for value in over[name]:
                config.system.check_value(name, value)
        except ValueError as error:
            raise UserError(f"cannot sweep over {error}") from None
    columns = []
    for name, (low, high) in config.trained.items():
        value = getattr(config.system, name)
        # Sorted and without repetitions, as the dataset's coordinates are.
        columns.append(np.unique(over.get(name, [value if low <= value <= high else (low + high) / 2])))
    points = list(itertools.product(*columns))
    return np.array(points, float).reshape(len(points), len(columns))


def sweep(
    config: Config,
    state: TrainingState,
    over: Mapping[str, Sequence[float]],
    effort: Effort = Effort(),
    *,
    exact: bool = True,
    progress: Progress = lambda share: None,
) -> xarray.Dataset:
    """Measure the observables of `effort` at every combination of the values in `over`.

    With a `target_error`, contexts whose energy is less precise are measured again, as long as it takes;
    of these measurements `progress` is told anew, from 0 to 1.

    With `exact`, systems that `exact_pair` treats get their exact energies beside the measured ones.

    Where `progress` raises StopMeasuring, the sweep is of the contexts measured until then, of several
    parameters cut to whole rows: at every value of the first that is kept, all values of the others. Raises
    it where there are none, and UserError for contexts or an effort that cannot be.
    """
    hamiltonian, grid = make_hamiltonian(config), context_grid(config, over)
    measurement = _compiled(config, hamiltonian, effort, over)
    asked, stopped, how = len(grid), [], ""

    def watched(share: float) -> None:
        try:
            progress(share)
        except StopMeasuring:
            stopped.append(share)
            raise

    grid, measured = _measure_once(measurement, state, grid, effort, watched)
    if stopped:
        how = f"after {len(grid)} of {asked} contexts" if len(grid) < asked else "in the last contexts"
    elif effort.target_error is not None:
        measured = _measure_to_precision(measurement, state, grid, measured, effort, watched)
        how = "before all contexts were as precise as asked for"
    rows = [each.results for each in measured]
    if exact and has_exact_pair(hamiltonian):
        for row, context in zip(rows, grid, strict=True):
            row |= _exact(hamiltonian, tuple(context.tolist()))
    coordinates = {}
    for observable in measurement.observables.values():
        coordinates |= observable.coordinates()
    data = sweep_dataset(config, over, grid, rows, coordinates, effort, int(state.step))
    if stopped:
        data.attrs["stopped"] = f"stopped early, {how}"
    return data


def samples(
    config: Config, state: TrainingState, context: Float[np.ndarray, " parameter"], effort: Effort = Effort()
) -> Iterator[Float[Array, "walker electron 2"]]:
    """Walkers of |psi|^2 at one context, sample by sample: those that a `sweep` of it alone sees.

    Warns of walkers that still drift. Raises UserError for an effort that cannot be.
    """
    hamiltonian = make_hamiltonian(config)
    measurement = _compiled(config, hamiltonian, effort, {})
    contexts, key = context[None], jax.random.fold_in(jax.random.key(effort.seed), 0)
    start = _start(hamiltonian, state, contexts, effort, [], jax.random.fold_in(key, _START))

    def walk() -> Iterator[Float[Array, "walker electron 2"]]:
        points = jnp.asarray(contexts)
        walkers, (drift,), _ = measurement.equilibrate(state.model, start, points, key)
        if drift >= DRIFT:
            warnings.warn("walkers still drift when sampled: equilibrate longer", stacklevel=2)
        for latest, *_ in measurement.samples(state.model, walkers, points, key):
            yield jnp.asarray(gather(latest.electrons)[0])

    return walk()


def following(seed: int, number: int) -> int:
    """The seed of the sweep that comes `number` after another, in a series."""
    return (seed + number) % (LARGEST_SEED + 1)


def _measure_once(
    measurement: Measurement, state: TrainingState, grid: np.ndarray, effort: Effort, progress: Progress
) -> tuple[np.ndarray, list[Measured]]:
    """The contexts of the grid and what is measured there, group by group, or those before it was stopped."""
    order = slice(None, None, -1 if effort.start == "down" else 1)
    groups = _equal_groups(grid[order], 1 if effort.start in ("up", "down") else _GROUP)
    measured: list[Measured] = []
    for number, contexts in enumerate(groups):

        def report(share: float, before: int = number) -> None:
            progress((before + share) / len(groups))

        key = jax.random.fold_in(jax.random.key(effort.seed), number)
        start_key = jax.random.fold_in(key, _START)
        walkers = _start(measurement.hamiltonian, state, contexts, effort, measured, start_key)
        try:
            measured += measurement(state.model, walkers, contexts, key, report)
        except StopMeasuring:
            break
    whole = _whole(grid, len(measured))
    if whole == 0:
        raise StopMeasuring
    return grid[order][:whole][order], measured[:whole][order]


def _measure_to_precision(
    measurement: Measurement,
    state: TrainingState,
    grid: np.ndarray,
    measured: list[Measured],
    effort: Effort,
    progress: Progress,
) -> list[Measured]:
    """What was measured, or measured longer where the energy is not precise enough, until it is stopped."""
    precise = list(measured)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(effort.seed), _AGAIN), len(grid))
    lacking = np.array([_lacking(each, effort, effort.samples) for each in measured])
    for number, context in enumerate(grid):

        def report(share: float, number: int = number) -> None:
            progress(float(lacking[:number].sum() + lacking[number] * share) / lacking.sum())

        arguments = measurement, state, context, measured[number], effort, keys[number]
        try:
            precise[number] = _to_precision(*arguments, report)
        except StopMeasuring:
            break
    return precise


def _to_precision(
    measurement: Measurement,
    state: TrainingState,
    context: np.ndarray,
    found: Measured,
    effort: Effort,
    key: PRNGKeyArray,
    progress: Progress,
) -> Measured:
    """`found`, or where its energy's error exceeds the target longer measurements by the same walkers.

    Errors fall as 1/sqrt(samples); a tenth more is taken because an error is an estimate. Each measurement
    stands for itself: adding those that happened to be imprecise would bias the mean of skewed energies.
    """
    samples, complete = effort.samples, found
    for attempt in range(_ATTEMPTS):
        needed = _lacking(complete, effort, samples)
        if needed == 0 or samples == _MOST * effort.samples:
            break
        samples = needed
        width = jnp.full(1, complete.width, complete.electrons.dtype)
        walkers = Walkers(jnp.asarray(complete.electrons)[None], width)
        again = measurement.longer(samples)
        arguments = state.model, walkers, context[None], jax.random.fold_in(key, attempt)
        try:
            (latest,) = again(*arguments, progress if attempt == 0 else lambda share: progress(1.0))
        except StopMeasuring:
            if complete is found:
                raise
            break
        if (taken := int(latest.results["samples"].value)) < samples:  # stopped early
            complete = latest if taken > int(complete.results["samples"].value) else complete
            break
        complete = latest
    kept = {name: found.results[name] for name in ("drift", "equilibration")}
    return complete._replace(results=complete.results | kept)


def _lacking(found: Measured, effort: Effort, samples: int) -> int:
    """How many samples the target error takes after a measurement of `samples`; 0 where it is reached."""
    assert effort.target_error is not None
    excess = (float(np.asarray(found.results["energy"].error)) / effort.target_error) ** 2
    if not excess > 1:  # not a number is not precise, nor will it be
        return 0
    return min(math.ceil(1.1 * excess * samples), _MOST * effort.samples)


def _compiled(
    config: Config, hamiltonian: Hamiltonian, effort: Effort, over: Mapping[str, Sequence[float]]
) -> Measurement:
    """What measures with this effort; raises UserError for one that cannot be, in any part."""
    check_effort(effort)
    _check_start(effort.start, hamiltonian, over)
    training = config.training
    same = effort._replace(seed=0, start="nearest", target_error=None)  # which change no code
    return _measurement(hamiltonian, same, training.precision, training.microbatch)


@functools.lru_cache(maxsize=4)
def _measurement(hamiltonian: Hamiltonian, effort: Effort, precision: str, microbatch: int) -> Measurement:
    """Sweeps of one Hamiltonian with one effort share their compiled functions."""
    return Measurement(hamiltonian, effort, jnp.dtype(precision), microbatch)


def _check_start(start: str, hamiltonian: Hamiltonian, over: Mapping[str, Sequence[float]]) -> None:
    if start not in STARTS:
        raise UserError(f"walkers cannot start from '{start}'{suggestion(start, STARTS)}")
    if start in ("up", "down") and (not over or sum(len(values) > 1 for values in over.values()) > 1):
        raise UserError(f"start '{start}' needs a sweep over one parameter")
    if start == "crystal" and not hamiltonian.supercell.fits_crystal(hamiltonian.electrons):
        raise UserError(
            f"{hamiltonian.electrons} electrons in {hamiltonian.supercell.cells} moiré cells have no"
            " honeycomb crystal: it needs filling 2/3 and a supercell that the sqrt3 x sqrt3 order fits"
        )


def nearest_walkers(
    hamiltonian: Hamiltonian, state: TrainingState, contexts: np.ndarray, count: int
) -> Walkers:
    """For each context `count` walkers of the nearest trained one, repeated where there are fewer."""
    trained = np.asarray(state.contexts)
    distance = (((contexts[:, None] - trained[None]) / hamiltonian.family.widths) ** 2).sum(axis=-1)
    nearest = distance.argmin(axis=1)
    pool = np.asarray(state.walkers.electrons)[nearest]
    repeats = -(-count // pool.shape[1])
    electrons = np.concatenate([pool] * repeats, axis=1)[:, :count]
    return Walkers(jnp.asarray(electrons), jnp.asarray(np.asarray(state.walkers.width)[nearest]))


def _start(
    hamiltonian: Hamiltonian,
    state: TrainingState,
    contexts: np.ndarray,
    effort: Effort,
    before: Sequence[Measured],
    key: PRNGKeyArray,
) -> Walkers:
    """Walkers to begin with at a group of contexts, see `STARTS`; `before` are the measurements so far."""
    nearest = nearest_walkers(hamiltonian, state, contexts, effort.walkers)
    if effort.start in ("up", "down") and before:
        width = jnp.full(1, before[-1].width, nearest.width.dtype)
        return Walkers(jnp.asarray(before[-1].electrons)[None], width)
    if effort.start in ("liquid", "crystal"):
        make = initial_walkers if effort.start == "liquid" else crystal_walkers
        size, dtype = hamiltonian.electrons, nearest.electrons.dtype
        return make(key, hamiltonian.supercell, size, len(contexts), effort.walkers, dtype)
    return nearest


def _equal_groups(grid: np.ndarray, most: int) -> list[np.ndarray]:
    """The contexts in groups of one size, the last repeated to fill up: one shape compiles once."""
    groups = -(-len(grid) // most)
    size = -(-len(grid) // groups)
    filler = np.repeat(grid[-1:], groups * size - len(grid), axis=0)
    return np.split(np.concatenate([grid, filler]), groups)


def _whole(grid: np.ndarray, measured: int) -> int:
    """How many of the first `measured` contexts make up whole rows of the grid, along its first parameter."""
    inner = next((len(grid) // len(np.unique(column)) for column in grid.T if np.ptp(column) > 0), 1)
    return min(measured, len(grid)) // inner * inner


@functools.lru_cache(maxsize=256)
def _exact(hamiltonian: Hamiltonian, context: tuple[float, ...]) -> dict[str, Result]:
    """Kept, because sweeps of one model are often at the same contexts."""
    exact = exact_pair(hamiltonian, jnp.asarray(context))
    return {
        f"exact_{name}": Result(np.asarray(value), None, "meV", f"exact {name} energy per electron")
        if name != "uncertainty"
        else Result(np.asarray(value), None, "meV", "uncertainty of the exact energies per electron")
        for name, value in exact.items()
    }

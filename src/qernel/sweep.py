"""Sweeps: measure a trained wavefunction over contexts, by inference alone.

Walkers start from the checkpoint's nearest context, are equilibrated at the new one with the step width
tuned, and are then measured with everything frozen. The result is an xarray dataset with a dimension per
swept parameter; energies are in meV per electron and every mean comes with its error.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from qernel.config import Config, UserError
from qernel.dataset import sweep_dataset
from qernel.estimators.observable import Result
from qernel.hamiltonian.hamiltonian import Hamiltonian, make_hamiltonian
from qernel.measurement import Effort, Measured, Measurement
from qernel.reference.two_electrons import exact_pair, has_exact_pair
from qernel.sampling import Walkers
from qernel.training.step import TrainingState

_GROUP = 8  # contexts measured together


def context_grid(config: Config, over: Mapping[str, Sequence[float]]) -> np.ndarray:
    """All combinations of the swept values, (context, parameter) in the order of the family's contexts.

    Context parameters that are not swept stay at the system's value if their range holds it, else at
    the middle of their range. Raises UserError for a parameter the model was not trained over.
    """
    for name in over:
        if name not in config.contexts:
            trained = ", ".join(config.contexts) or "none: it was trained at fixed parameters"
            raise UserError(f"cannot sweep over {name}: the contexts of this model are {trained}")
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
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> xarray.Dataset:
    """Measure the observables of `effort` at every combination of the values in `over`.

    With `exact`, systems that `exact_pair` treats get their exact energies beside the measured ones.
    `progress` is called with the number of contexts done and to do.
    """
    hamiltonian, grid = make_hamiltonian(config), context_grid(config, over)
    training = config.training
    measurement = Measurement(hamiltonian, effort, jnp.dtype(training.precision), training.microbatch)
    measured: list[Measured] = []
    for number, contexts in enumerate(_equal_groups(grid)):
        key = jax.random.fold_in(jax.random.key(effort.seed), number)
        walkers = nearest_walkers(hamiltonian, state, contexts, effort.walkers)
        measured += measurement(state.model, walkers, contexts, key)
        progress(min(len(measured), len(grid)), len(grid))
    rows = [_results(each) for each in measured[: len(grid)]]
    if exact and has_exact_pair(hamiltonian):
        for row, context in zip(rows, grid, strict=True):
            row |= _exact(hamiltonian, context)
    coordinates = {}
    for observable in measurement.observables.values():
        coordinates |= observable.coordinates()
    return sweep_dataset(config, over, grid, rows, coordinates, effort, int(state.step))


def nearest_walkers(
    hamiltonian: Hamiltonian, state: TrainingState, contexts: np.ndarray, count: int
) -> Walkers:
    """For each context `count` walkers of the nearest trained one, repeated where there are fewer."""
    scale = np.array([high - low for _, low, high in hamiltonian.family.ranges])
    trained = np.asarray(state.contexts)
    distance = (((contexts[:, None] - trained[None]) / scale) ** 2).sum(axis=-1)
    nearest = distance.argmin(axis=1)
    pool = np.asarray(state.walkers.electrons)[nearest]
    repeats = -(-count // pool.shape[1])
    electrons = np.concatenate([pool] * repeats, axis=1)[:, :count]
    return Walkers(jnp.asarray(electrons), jnp.asarray(np.asarray(state.walkers.width)[nearest]))


def _equal_groups(grid: np.ndarray) -> list[np.ndarray]:
    """The contexts in groups of one size, the last repeated to fill up: one shape compiles once."""
    groups = -(-len(grid) // _GROUP)
    size = -(-len(grid) // groups)
    filler = np.repeat(grid[-1:], groups * size - len(grid), axis=0)
    return np.split(np.concatenate([grid, filler]), groups)


def _results(measured: Measured) -> dict[str, Result]:
    acceptance = Result(np.asarray(measured.acceptance), None, "1", "acceptance of the moves")
    return measured.results | {"acceptance": acceptance}


def _exact(hamiltonian: Hamiltonian, context: np.ndarray) -> dict[str, Result]:
    exact = exact_pair(hamiltonian, jnp.asarray(context))
    return {
        f"exact_{name}": Result(np.asarray(value), None, "meV", f"exact {name} energy per electron")
        if name != "uncertainty"
        else Result(np.asarray(value), None, "meV", "uncertainty of the exact energies per electron")
        for name, value in exact.items()
    }

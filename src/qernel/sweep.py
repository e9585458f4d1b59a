"""Sweeps: measure a trained wavefunction over contexts, by inference alone.

Walkers start from the checkpoint's nearest context, are equilibrated at the new one with the step width
tuned, and are then measured with everything frozen. The result is an xarray dataset with a dimension per
swept parameter; energies are in meV per electron and every mean comes with its error.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import PRNGKeyArray

import qernel
from qernel.batching import walker_mesh
from qernel.config import Config, UserError
from qernel.estimators.density import DensityHistogram
from qernel.estimators.local_energy import local_energies
from qernel.estimators.statistics import estimate
from qernel.hamiltonian.hamiltonian import Hamiltonian, make_hamiltonian
from qernel.reference.two_electrons import exact_pair, has_exact_pair
from qernel.sampling import Walkers
from qernel.training.step import TrainingState, couplings_of, make_sampling
from qernel.units import CONTEXT_PARAMETERS

_GROUP = 8  # contexts measured together


class Effort(NamedTuple):
    """How long each context is sampled. A sample follows `TrainingConfig.moves` Metropolis moves."""

    walkers: int = 128  # per context
    equilibration: int = 40  # samples thrown away
    samples: int = 60
    bins: int = 48  # of the density, along each supercell vector
    seed: int = 1


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
    for name, (low, high) in config.contexts.items():
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
    """Measure energies with components, and densities, at every combination of the values in `over`.

    With `exact`, systems that `exact_pair` treats get their exact energies beside the measured ones.
    `progress` is called with the number of contexts done and to do.
    """
    hamiltonian = make_hamiltonian(config)
    grid = context_grid(config, over)
    sample, energies = _compiled(config, hamiltonian, effort)
    rows: list[dict[str, np.ndarray]] = []
    for number, contexts in enumerate(_equal_groups(grid)):
        key = jax.random.fold_in(jax.random.key(effort.seed), number)
        walkers = _nearest_walkers(hamiltonian, state, contexts, effort)
        rows += _measure(hamiltonian, state, contexts, walkers, effort, key, sample, energies)
        progress(min(len(rows), len(grid)), len(grid))
    rows = rows[: len(grid)]
    if exact and has_exact_pair(hamiltonian):
        for row, context in zip(rows, grid, strict=True):
            row |= {f"exact_{name}": np.array(x) for name, x in exact_pair(hamiltonian, context).items()}
    return _dataset(config, hamiltonian, over, grid, rows, effort, int(state.step))


def _equal_groups(grid: np.ndarray) -> list[np.ndarray]:
    """The contexts in groups of one size, the last repeated to fill up: one shape compiles once."""
    groups = -(-len(grid) // _GROUP)
    size = -(-len(grid) // groups)
    filler = np.repeat(grid[-1:], groups * size - len(grid), axis=0)
    return np.split(np.concatenate([grid, filler]), groups)


def _compiled(config: Config, hamiltonian: Hamiltonian, effort: Effort) -> tuple[Callable, Callable]:
    """Compiled sampling, and (model, electrons, contexts) -> total and component energies.

    Energies are in meV per electron: total (context, walker) complex, components with a last axis.
    """
    dtype, mesh = jnp.dtype(config.training.precision), walker_mesh(effort.walkers)

    @eqx.filter_jit
    def energies(model, electrons, contexts):
        couplings = couplings_of(hamiltonian, contexts, dtype)
        batch = config.training.microbatch
        local = local_energies(model, hamiltonian, electrons, couplings, mesh, batch)
        unit = couplings.energy_unit.astype(jnp.float64) / hamiltonian.electrons
        total = local.total.astype(jnp.complex128) * unit[:, None].astype(jnp.complex128)
        return total, local.components.astype(jnp.float64) * unit[:, None, None]

    return make_sampling(hamiltonian, mesh, config.training.moves, dtype), energies


def _measure(
    hamiltonian: Hamiltonian,
    state: TrainingState,
    contexts: np.ndarray,
    walkers: Walkers,
    effort: Effort,
    key: PRNGKeyArray,
    sample: Callable,
    energies: Callable,
) -> list[dict[str, np.ndarray]]:
    """Equilibrate, then measure; one dictionary of measured quantities per context."""
    points = jnp.asarray(contexts)
    for index in range(effort.equilibration):
        walkers, _ = sample(state.model, walkers, points, jax.random.fold_in(key, index))
    histograms = [DensityHistogram(hamiltonian.supercell, effort.bins) for _ in contexts]
    totals, components, acceptances = [], [], []
    for index in range(effort.equilibration, effort.equilibration + effort.samples):
        moved, accepted = sample(state.model, walkers, points, jax.random.fold_in(key, index))
        # The step width stays what equilibration made it: tuning while measuring would bias the means.
        walkers = Walkers(moved.electrons, walkers.width)
        total, parts = jax.device_get(energies(state.model, walkers.electrons, points))
        totals.append(total)
        components.append(parts)
        acceptances.append(np.asarray(accepted))
        for histogram, electrons in zip(histograms, np.asarray(walkers.electrons), strict=True):
            histogram.add(electrons)
    names, acceptance = hamiltonian.components, np.mean(acceptances, axis=0)
    return [
        _row(names, np.stack(totals)[:, c], np.stack(components)[:, c], acceptance[c], histogram)
        for c, histogram in enumerate(histograms)
    ]


def _row(names, totals, components, acceptance, histogram: DensityHistogram) -> dict[str, np.ndarray]:
    energy = estimate(totals.real)
    row = {
        "energy": energy.mean,
        "energy_error": energy.error,
        "spread": totals.real.std(),
        "imaginary": totals.imag.mean(),
        "autocorrelation": energy.autocorrelation,
        "effective_samples": energy.effective,
        "r_hat": energy.r_hat,
        "acceptance": acceptance,
        "density": histogram.density(),
    }
    for index, name in enumerate(names):
        part = estimate(components[..., index])
        row |= {name: part.mean, f"{name}_error": part.error}
    return {name: np.asarray(value, float) for name, value in row.items()}


def _nearest_walkers(
    hamiltonian: Hamiltonian, state: TrainingState, contexts: np.ndarray, effort: Effort
) -> Walkers:
    """Walkers of the nearest trained contexts, repeated where more are wanted than there are."""
    scale = np.array([high - low for _, low, high in hamiltonian.family.ranges])
    trained = np.asarray(state.contexts)
    distance = (((contexts[:, None] - trained[None]) / scale) ** 2).sum(axis=-1)
    nearest = distance.argmin(axis=1)
    pool = np.asarray(state.walkers.electrons)[nearest]
    repeats = -(-effort.walkers // pool.shape[1])
    electrons = np.concatenate([pool] * repeats, axis=1)[:, : effort.walkers]
    return Walkers(jnp.asarray(electrons), jnp.asarray(np.asarray(state.walkers.width)[nearest]))


def _dataset(
    config: Config,
    hamiltonian: Hamiltonian,
    over: Mapping[str, Sequence[float]],
    grid: np.ndarray,
    rows: list[dict[str, np.ndarray]],
    effort: Effort,
    step: int,
) -> xarray.Dataset:
    names = list(config.contexts)
    swept = [name for name in names if name in over] or names[:1]
    coordinates = {name: np.unique(grid[:, names.index(name)]) for name in swept}
    shape = tuple(len(values) for values in coordinates.values())
    data = xarray.Dataset(coords=coordinates)
    for name, value in rows[0].items():
        values = np.stack([row[name] for row in rows]).reshape((*shape, *value.shape))
        dims = (*swept, *(("cell_1", "cell_2") if value.ndim else ()))
        data[name] = (dims, values, _attributes(name))
    histogram = DensityHistogram(hamiltonian.supercell, effort.bins)
    nanometres = histogram.centres() * config.system.moire_constant
    for axis, name in enumerate(("x", "y")):
        position = (("cell_1", "cell_2"), nanometres[..., axis], {"units": "nm"})
        data = data.assign_coords({name: position})
    for name in swept:
        units, long_name = CONTEXT_PARAMETERS[name]
        data[name].attrs = {"units": units, "long_name": long_name}
    fixed = {name: float(grid[0, i]) for i, name in enumerate(names) if name not in swept}
    system = config.system.model_dump(exclude_none=True, exclude=set(swept))
    data.attrs = {
        "title": "QERNEL sweep",
        "program": f"qernel {qernel.__version__}, jax {jax.__version__}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_step": step,
        "electrons": hamiltonian.electrons,
        "moire_cells": hamiltonian.supercell.cells,
        "trained_range": "; ".join(f"{n}: {lo} to {hi}" for n, (lo, hi) in config.contexts.items()),
        "walkers_per_context": effort.walkers,
        "samples": effort.samples,
        "moves_per_sample": config.training.moves,
        **{f"system_{key}": _plain(value) for key, value in (system | fixed).items()},
    }
    return data


def _plain(value):
    return value if isinstance(value, str | int | float) else str(value)


_ENERGIES = {
    "energy": "total energy",
    "kinetic": "kinetic energy",
    "moire": "moiré potential energy",
    "coulomb": "Coulomb (interaction) energy, Madelung term included",
}
_OTHERS = {
    "spread": ("meV", "standard deviation of the local energy per electron"),
    "imaginary": ("meV", "mean imaginary part of the local energy per electron"),
    "autocorrelation": ("1", "integrated autocorrelation time in samples"),
    "effective_samples": ("1", "effective number of independent samples"),
    "r_hat": ("1", "split R-hat of the local energy over walkers"),
    "acceptance": ("1", "acceptance of the Metropolis moves"),
    "density": ("a_M^-2", "electron density"),
    "exact_uncertainty": ("meV", "uncertainty of the exact energy per electron"),
}


def _attributes(name: str) -> dict[str, str]:
    if name in _OTHERS:
        units, long_name = _OTHERS[name]
        return {"units": units, "long_name": long_name}
    base = name.removeprefix("exact_").removesuffix("_error")
    long_name = f"{_ENERGIES.get(base, base)} per electron"
    if name.startswith("exact_"):
        long_name = f"exact {long_name}"
    if name.endswith("_error"):
        long_name = f"standard error of the {long_name}"
    return {"units": "meV", "long_name": long_name}

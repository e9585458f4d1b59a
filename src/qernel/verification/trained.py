"""Trained wavefunctions against exact energies and their own consistency, at contexts of their family."""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from qernel.branches import Branch
from qernel.comparison import PURE
from qernel.estimators.observable import Result
from qernel.hamiltonian import Hamiltonian, make_hamiltonian
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.measurement import Effort, Measured, Measurement
from qernel.sweep import nearest_walkers
from qernel.verification.check import Check
from qernel.verification.determinants import check_determinants, is_determinant
from qernel.verification.exact import Exact
from qernel.verification.wavefunction import check_wavefunction


def check_trained(
    group: str,
    candidates: Sequence[Branch],
    contexts: np.ndarray,
    effort: Effort,
    exact: list[Exact | None],
    allowed: float,
) -> Iterator[Check]:
    """Rows for each context (context, parameter); the candidates are models of one system.

    They may be in different sectors, or from different seeds. The lowest at a context has to be the ground
    state; the others the lowest state of their sectors. `allowed` is how far above the exact one an energy
    may lie, in meV per electron. What an ansatz misses may change by as much between neighbouring contexts
    of training, which bounds the Hellmann-Feynman residual.
    """

    def named(candidate: Branch) -> str:
        return f" ({candidate.name})" if len(candidates) > 1 else ""

    measured = [_measure(each, contexts, effort) for each in candidates]
    for context, known, results in zip(contexts, exact, zip(*measured, strict=True), strict=True):
        here = [(c, m.results) for c, m in zip(candidates, results, strict=True) if c.covers(context)]
        here.sort(key=lambda pair: float(pair[1]["energy"].value))
        for rank, (candidate, found) in enumerate(here):
            place = _place(candidate, context) + named(candidate)
            hamiltonian, model = make_hamiltonian(candidate.config), candidate.config.model
            if known is not None and not is_determinant(model):
                if rank == 0:
                    yield from _ground_state(group, place, hamiltonian, found, context, known, allowed)
                else:
                    yield from _lowest_of_sector(group, place, hamiltonian, found, known, allowed)
            if rank == 0:
                yield from check_determinants(group, place, hamiltonian, context, model, found["energy"])
            apart = len(candidate.state.contexts)
            yield from _consistency(group, place, hamiltonian, found, allowed * apart)
    for candidate, results in zip(candidates, measured, strict=True):
        for check in _exact_properties(group, candidate, contexts[0], results[0].electrons):
            yield check._replace(quantity=check.quantity + named(candidate))


def _measure(candidate: Branch, contexts: np.ndarray, effort: Effort) -> list[Measured]:
    config, state = candidate.config, candidate.state
    hamiltonian, dtype = make_hamiltonian(config), jnp.dtype(config.training.precision)
    measurement = Measurement(hamiltonian, effort, dtype, config.training.microbatch)
    walkers = nearest_walkers(hamiltonian, state, contexts, effort.walkers)
    return measurement(state.model, walkers, contexts, jax.random.key(effort.seed))


def _place(candidate: Branch, context: np.ndarray) -> str:
    """A context in words."""
    named = zip(candidate.config.contexts, context, strict=True)
    return ", ".join(f"{name.replace('moire_', '')} {value:g}" for name, value in named) or "as trained"


def _ground_state(
    group: str,
    place: str,
    hamiltonian: Hamiltonian,
    results: dict[str, Result],
    context: np.ndarray,
    known: Exact,
    allowed: float,
) -> Iterator[Check]:
    energy = results["energy"]
    yield Check(
        group,
        f"{place}: energy",
        "meV",
        known.ground,
        float(energy.value),
        _error(energy),
        known.uncertainty,
        above=allowed,
        source=known.source,
    )
    weights, labels = results["sector_weight"], hamiltonian.supercell.total_momenta().tolist()
    classes = {hamiltonian.supercell.momentum_class(label) for label in known.ground_sectors}
    ground = [i for i, label in enumerate(labels) if hamiltonian.supercell.momentum_class(label) in classes]
    yield Check(
        group,
        f"{place}: weight in the ground state's momentum sector",
        "1",
        1.0,
        float(weights.value[ground].sum()),
        float(np.linalg.norm(np.asarray(weights.error)[ground])),
        below=0.05,
        above=1e-3,
        source=known.source,
    )
    if "moire_depth" in hamiltonian.family.names:
        depth = float(context[hamiltonian.family.names.index("moire_depth")])
        force = results["force_moire_depth"]
        yield Check(
            group,
            f"{place}: dE/d(depth) = <V>/depth",
            "meV",
            known.moire / depth,
            float(force.value),
            _error(force),
            known.moire_uncertainty / depth,
            above=0.01 * abs(known.moire) / depth,
            below=0.01 * abs(known.moire) / depth,
            source=known.source,
        )


def _lowest_of_sector(
    group: str, place: str, hamiltonian: Hamiltonian, results: dict[str, Result], known: Exact, allowed: float
) -> Iterator[Check]:
    """The energy against the exact one of the momentum that psi is in, if it is in one."""
    supercell, weights = hamiltonian.supercell, np.asarray(results["sector_weight"].value)
    label = tuple(supercell.total_momenta()[weights.argmax()].tolist())
    same = {supercell.momentum_class(each): each for each in known.energies}
    sector = same.get(supercell.momentum_class(label))
    if weights.max() > PURE and sector is not None:
        energy = results["energy"]
        yield Check(
            group,
            f"{place}: energy, lowest of momentum {label}",
            "meV",
            known.energies[sector],
            float(energy.value),
            _error(energy),
            known.uncertainties[sector],
            above=allowed,
            source=known.source,
        )


def _consistency(
    group: str, place: str, hamiltonian: Hamiltonian, results: dict[str, Result], variation: float
) -> Iterator[Check]:
    """What holds for every well-sampled eigenstate.

    `variation` bounds how much the energy's excess may go up and down over a range, in meV per electron.
    """
    for name, low, high in hamiltonian.family.ranges:
        slope = variation / (high - low)
        residual = results[f"residual_{name}"]
        yield Check(
            group,
            f"{place}: Hellmann-Feynman residual, {name}",
            residual.units,
            0.0,
            float(residual.value),
            _error(residual),
            above=slope,
            below=slope,
            source="dE/dc = <dH/dc> at a stationary state",
        )
    imaginary = results["imaginary"]
    yield Check(
        group,
        f"{place}: imaginary part of the energy",
        "meV",
        0.0,
        float(imaginary.value),
        _error(imaginary),
        source="H is Hermitian",
    )
    r_hat = float(results["energy_r_hat"].value)
    yield Check(
        group, f"{place}: split R-hat", "1", 1.0, r_hat, above=0.05, below=0.05, source="stationarity"
    )


def _exact_properties(
    group: str, candidate: Branch, context: np.ndarray, electrons: np.ndarray
) -> Iterator[Check]:
    """Antisymmetry and periodicity of one model, to the precision of its numbers."""
    hamiltonian, dtype = make_hamiltonian(candidate.config), jnp.dtype(candidate.config.training.precision)
    couplings = jax.tree.map(lambda x: x[0], couplings_of(hamiltonian, jnp.asarray(context[None]), dtype))
    tolerance = 1e-2 if dtype == jnp.float32 else 1e-8
    yield from check_wavefunction(
        group, candidate.state.model, hamiltonian, couplings, jnp.asarray(electrons[:16]), tolerance
    )


def _error(result) -> float:
    return float(np.asarray(result.error))

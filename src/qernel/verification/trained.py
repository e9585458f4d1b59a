"""A trained wavefunction against exact energies and its own consistency, at contexts of its family."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qernel.config import Config
from qernel.hamiltonian import Hamiltonian, make_hamiltonian
from qernel.measurement import Effort, Measurement
from qernel.reference.few_electrons import exact_sectors, has_exact_sectors
from qernel.reference.two_electrons import exact_pair_energies, has_exact_pair
from qernel.sweep import nearest_walkers
from qernel.training.step import TrainingState, couplings_of
from qernel.verification.check import Check
from qernel.verification.determinants import check_determinants, is_determinant
from qernel.verification.wavefunction import check_wavefunction


class Exact(NamedTuple):
    """Exact energies of one context in meV per electron, by sector label."""

    energies: Mapping[tuple[int, int], float]
    moire: float  # of the ground state
    uncertainty: float
    moire_uncertainty: float
    source: str

    @property
    def ground(self) -> float:
        return min(self.energies.values())

    @property
    def ground_sectors(self) -> list[tuple[int, int]]:
        """Sectors whose lowest energy cannot be told from the ground state's."""
        close = 1e-3 + 2 * self.uncertainty
        return [label for label, energy in self.energies.items() if energy < self.ground + close]


def check_trained(
    group: str,
    config: Config,
    state: TrainingState,
    contexts: np.ndarray,
    effort: Effort,
    exact: list[Exact | None],
    allowed: float,
) -> Iterator[Check]:
    """Rows for each context (context, parameter).

    `allowed` is how far above the exact one the energy may lie, in meV per electron. What an ansatz misses
    may change by as much over half a range, which bounds the Hellmann-Feynman residual.
    """
    hamiltonian, dtype = make_hamiltonian(config), jnp.dtype(config.training.precision)
    measurement = Measurement(hamiltonian, effort, dtype, config.training.microbatch)
    walkers = nearest_walkers(hamiltonian, state, contexts, effort.walkers)
    measured = measurement(state.model, walkers, contexts, jax.random.key(effort.seed))
    for context, here, known in zip(contexts, measured, exact, strict=True):
        at = ", ".join(f"{n} {c:g}" for n, c in zip(config.contexts, context, strict=True)) or "as trained"
        results, place = here.results, at.replace("moire_", "")
        if known is not None and not is_determinant(config.model):
            yield from _against_exact(group, place, hamiltonian, results, context, known, allowed)
        yield from check_determinants(group, place, hamiltonian, context, config.model, results["energy"])
        for name, low, high in hamiltonian.family.ranges:
            slope = 2 * allowed / (high - low)
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
    couplings = jax.tree.map(lambda x: x[0], couplings_of(hamiltonian, jnp.asarray(contexts[:1]), dtype))
    tolerance = 1e-2 if dtype == jnp.float32 else 1e-8
    electrons = jnp.asarray(measured[0].electrons[:16])
    yield from check_wavefunction(group, state.model, hamiltonian, couplings, electrons, tolerance)


def exact_energies_at(
    hamiltonian: Hamiltonian, contexts: np.ndarray, determinants: int
) -> list[Exact | None]:
    """Exact diagonalization of few polarized electrons at each context; None where it does not apply.

    Two electrons take a second, four or six a minute or two for each context, with so many `determinants`.
    """
    if has_exact_pair(hamiltonian):
        return [_exact_pair(hamiltonian, context) for context in contexts]
    if has_exact_sectors(hamiltonian):
        return [_exact_sectors(hamiltonian, context, determinants) for context in contexts]
    return [None] * len(contexts)


def _exact_sectors(hamiltonian: Hamiltonian, context: np.ndarray, determinants: int) -> Exact:
    couplings = hamiltonian.family.couplings(jnp.asarray(context))
    sectors = exact_sectors(
        hamiltonian.supercell,
        hamiltonian.electrons,
        float(couplings.moire),
        float(couplings.phase),
        float(couplings.coulomb),
        np.asarray(couplings.twist),
        determinants=determinants,
    )
    unit = float(couplings.energy_unit) / hamiltonian.electrons
    lowest = min(sectors, key=lambda sector: sector.energies[0])
    return Exact(
        energies={sector.momentum: unit * float(sector.energies[0]) for sector in sectors},
        moire=unit * lowest.moire,
        uncertainty=unit * lowest.uncertainty,
        moire_uncertainty=unit * lowest.component_uncertainty,
        source=f"exact diagonalization, {lowest.determinants} determinants, extrapolated",
    )


def _exact_pair(hamiltonian: Hamiltonian, context: np.ndarray) -> Exact:
    couplings = hamiltonian.family.couplings(jnp.asarray(context))
    pairs = exact_pair_energies(
        hamiltonian.supercell,
        float(couplings.moire),
        float(couplings.phase),
        float(couplings.coulomb),
        np.asarray(couplings.twist),
    )
    unit = float(couplings.energy_unit) / 2
    lowest = min(pairs, key=lambda pair: pair.energies[0])
    return Exact(
        energies={pair.momentum: unit * float(pair.energies[0]) for pair in pairs},
        moire=unit * lowest.moire,
        uncertainty=unit * lowest.uncertainty,
        moire_uncertainty=unit * lowest.uncertainty,
        source="exact diagonalization",
    )


def _against_exact(group, place, hamiltonian, results, context, known: Exact, allowed) -> Iterator[Check]:
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
    weights, labels = results["sector_weight"], hamiltonian.supercell.moire_points().tolist()
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


def _error(result) -> float:
    return float(np.asarray(result.error))

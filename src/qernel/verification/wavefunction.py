"""What every wavefunction must be: antisymmetric, and periodic up to its twist."""

import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qernel.estimators.ratios import amplitude_ratios
from qernel.hamiltonian import Hamiltonian
from qernel.hamiltonian.couplings import Couplings
from qernel.verification.check import Check
from qernel.wavefunction.base import Wavefunction


def check_wavefunction(
    group: str,
    model: Wavefunction,
    hamiltonian: Hamiltonian,
    couplings: Couplings,
    electrons: Float[Array, "walker electron 2"],
    tolerance: float,
) -> Iterator[Check]:
    """Largest violations over the walkers; `tolerance` is what rounding explains."""
    defects = jax.jit(jax.vmap(lambda r: _defects(model, hamiltonian, r, couplings)))(electrons)
    names = (
        "antisymmetry: |psi(exchanged) / psi + 1|",
        "period: |psi(moved) / psi - twist phase|",
    )
    for name, values in zip(names, defects, strict=True):
        worst = float(np.max(values, initial=0.0))
        yield Check(group, name, "1", 0.0, worst, above=tolerance, source="exact property")


def _defects(
    model: Wavefunction, hamiltonian: Hamiltonian, electrons: Float[Array, "electron 2"], couplings: Couplings
) -> tuple[Array, Array]:
    """|psi(r_i <-> r_j)/psi + 1| for pairs of one spin; |psi(r_i + A)/psi - e^{i t.A}| for all i and A."""
    count, supercell = hamiltonian.electrons, hamiltonian.supercell
    up = np.arange(count) < hamiltonian.spins[0]
    pairs = [(i, j) for i, j in zip(*np.triu_indices(count, 1), strict=True) if up[i] == up[j]]
    order = np.tile(np.arange(count), (len(pairs), 1))
    for row, (i, j) in zip(order, pairs, strict=True):
        row[[i, j]] = row[[j, i]]
    exchanged = amplitude_ratios(model, electrons, electrons[order], couplings)
    shifts = np.zeros((2, count, count, 2))
    shifts[:, np.arange(count), np.arange(count)] = supercell.vectors[:, None]
    moved = electrons + jnp.asarray(shifts.reshape(-1, count, 2), electrons.dtype)
    turned = amplitude_ratios(model, electrons, moved, couplings)
    angle = jnp.repeat(2 * math.pi * couplings.twist.astype(jnp.float64), count)
    expected = jax.lax.complex(jnp.cos(angle), jnp.sin(angle))
    return jnp.abs(exchanged + 1), jnp.abs(turned - expected)

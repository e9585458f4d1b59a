"""The two-dimensional electron gas: references at zero moiré depth.

For finite N, one determinant of plane waves in the supercell, exactly:

    E = sum_k |k|^2 / 2 - 1/2 sum_s sum_{k != k' of spin s} 2 pi u / (A |k - k'|) + N u xi / 2,

with the Madelung constant xi; the direct term is cancelled by the background. In the thermodynamic limit,
two published fits to quantum Monte Carlo energies: Attaccalite, Moroni, Gori-Giorgi & Bachelet, PRL 88,
256601 (2002), with the erratum PRL 91, 109902 (2003); and Tanatar & Ceperley, PRB 39, 5005 (1989). They
differ by 1.3, 0.43 and 0.09 mHa* per electron at r_s = 5, 10 and 20 for polarized electrons: in this limit,
nothing tighter can be claimed.

The natural unit of the gas is the effective Hartree, Ha* = e^2 / (4 pi eps_0 eps a_B*) = u^2 E_M, as the
effective Bohr radius is a_B* = a_M / u. The fits are in Ha* per electron.
"""

import math
from typing import NamedTuple

import numpy as np

from qernel.hamiltonian import Coulomb
from qernel.lattice import Supercell, integer_grid


class PlaneWaveEnergy(NamedTuple):
    """Energies of a determinant of plane waves, in E_M per supercell."""

    kinetic: float
    coulomb: float

    @property
    def energy(self) -> float:
        return self.kinetic + self.coulomb


def plane_wave_energy(
    supercell: Supercell, spins: tuple[int, int], coulomb: float, twist=(0.0, 0.0)
) -> PlaneWaveEnergy:
    """The determinant of the (n_up, n_down) plane waves of lowest kinetic energy, without moiré potential.

    `coulomb` is u in E_M, `twist` in supercell reciprocal vectors.

    Raises ValueError for an open shell, where several determinants have the lowest kinetic energy.
    """
    kinetic = exchange = 0.0
    for count in spins:
        waves = _closed_shell(supercell, count, np.asarray(twist, dtype=float))
        distance = np.linalg.norm(waves[:, None] - waves, axis=-1)
        kinetic += 0.5 * float(np.sum(waves**2))
        exchange += math.pi / supercell.area * float(np.sum(1 / distance[distance > 0]))
    self_image = 0.5 * sum(spins) * Coulomb(supercell).madelung
    return PlaneWaveEnergy(kinetic, coulomb * (self_image - exchange))


def hartree_unit(coulomb: float) -> float:
    """The effective Hartree Ha* in E_M, u^2."""
    return coulomb**2


def attaccalite_energy(density_parameter: float, polarization: float) -> float:
    """Ground-state energy of the infinite gas in Ha* per electron, after Attaccalite et al.

    For any r_s > 0 and polarization (n_up - n_down) / n between -1 and 1; the Monte Carlo data lie between
    r_s = 1 and 40. Raises ValueError outside.
    """
    rs, zeta = density_parameter, polarization
    _check(rs > 0 and abs(zeta) <= 1, rs, zeta, "r_s > 0 and a polarization from -1 to 1")
    # Exchange beyond fourth order in the polarization, which the correlation energy takes over at low density
    series = -4 * math.sqrt(2) / (3 * math.pi * rs) * (1 + 3 / 8 * zeta**2 + 3 / 128 * zeta**4)
    beyond = _exchange(rs, zeta) - series
    correlation = sum(_alpha(rs, *row) * zeta**power for row, power in zip(_AMGB, (0, 2, 4), strict=True))
    correlation += math.expm1(-_AMGB_BETA * rs) * beyond
    return _hartree_fock(rs, zeta) + correlation


def attaccalite_correlation(density_parameter: float, polarization: float) -> float:
    """What correlation takes off the filled Fermi discs' energy, in Ha* per electron, by the same fit."""
    whole = attaccalite_energy(density_parameter, polarization)
    return whole - _hartree_fock(density_parameter, polarization)


def tanatar_ceperley_energy(density_parameter: float, polarization: float) -> float:
    """Ground-state energy of the infinite gas in Ha* per electron, after Tanatar & Ceperley.

    Raises ValueError unless r_s and the polarization are in the range of the fit: r_s from 1 to 50 for
    polarization 0, and from 5 to 75 for 1.
    """
    rs, zeta = density_parameter, polarization
    ranges = {0.0: (1, 50), 1.0: (5, 75)}
    low, high = ranges.get(zeta, (1, 0))
    _check(low <= rs <= high, rs, zeta, "r_s from 1 to 50 at polarization 0, or 5 to 75 at 1")
    a0, a1, a2, a3 = _TANATAR_CEPERLEY[zeta]
    x = math.sqrt(rs)
    rydbergs = a0 * (1 + a1 * x) / (1 + a1 * x + a2 * x**2 + a3 * x**3)
    return _hartree_fock(rs, zeta) + rydbergs / 2


# Rows are the coefficients A, B, C, E, F, G, H of alpha_0, alpha_1 and alpha_2; D = -A H.
_AMGB = (
    (-0.1925, 0.0863136, 0.0572384, 1.0022, -0.02069, 0.33997, 0.01747),
    (0.117331, -0.03394, -0.00766765, 0.4133, 0.0, 0.0668467, 0.0007799),
    (0.0234188, -0.037093, 0.0163618, 1.424301, 0.0, 0.0, 1.163099),
)
_AMGB_BETA = 1.3386
_TANATAR_CEPERLEY = {0.0: (-0.3568, 1.1300, 0.9052, 0.4165), 1.0: (-0.0515, 340.5813, 75.2293, 37.0170)}


def _alpha(rs: float, a: float, b: float, c: float, e: float, f: float, g: float, h: float) -> float:
    d = -a * h
    logarithm = math.log1p(1 / (e * rs + f * rs**1.5 + g * rs**2 + h * rs**3))
    return a + (b * rs + c * rs**2 + d * rs**3) * logarithm


def _hartree_fock(rs: float, zeta: float) -> float:
    """Energy of the filled Fermi discs of both spins."""
    return (1 + zeta**2) / (2 * rs**2) + _exchange(rs, zeta)


def _exchange(rs: float, zeta: float) -> float:
    return -2 * math.sqrt(2) / (3 * math.pi * rs) * ((1 + zeta) ** 1.5 + (1 - zeta) ** 1.5)


def _closed_shell(supercell: Supercell, count: int, twist: np.ndarray) -> np.ndarray:
    """The `count` shortest wavevectors, (count, 2), in 1 / a_M."""
    # A disc of 2 count + 4 states, and the circumference's uncertainty, enclose the shell above as well
    radius = (
        math.sqrt(4 * math.pi * (2 * count + 4) / supercell.area)
        + np.linalg.norm(supercell.reciprocal, axis=1).max()
    )
    reach = math.ceil(radius * np.linalg.norm(supercell.vectors, axis=1).max() / (2 * math.pi))
    waves = (integer_grid(reach) - np.rint(twist) + twist) @ supercell.reciprocal
    lengths = np.linalg.norm(waves, axis=1)
    order = np.argsort(lengths)
    if count and lengths[order[count]] - lengths[order[count - 1]] < 1e-9 * radius:
        shell = np.flatnonzero(np.abs(lengths[order] - lengths[order[count]]) < 1e-9 * radius)
        raise ValueError(
            f"{count} plane waves leave an open shell: "
            f"{shell[0]} or {shell[-1] + 1} electrons of one spin close it"
        )
    return waves[order[:count]]


def _check(valid: bool, rs: float, zeta: float, allowed: str) -> None:
    if not valid:
        raise ValueError(f"no fit at r_s = {rs}, polarization {zeta}: it needs {allowed}")

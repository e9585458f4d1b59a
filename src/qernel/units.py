"""Laboratory units and the dimensionless units used inside.

Users speak nm, meV, degrees and multiples of the electron mass. Inside, lengths are in the moiré
constant a_M and energies in E_M = hbar^2 / (m* a_M^2), so that H / E_M has kinetic term -1/2 nabla^2.
"""

import math

HBAR2_OVER_ELECTRON_MASS = 76.199642  # hbar^2 / m_e in meV nm^2 (CODATA 2018)
COULOMB_CONSTANT = 1439.964548  # e^2 / (4 pi eps_0) in meV nm (CODATA 2018)


#: Unit and long name of every parameter that a context may vary.
CONTEXT_PARAMETERS = {
    "moire_depth": ("1", "moiré depth lambda"),
    "moire_phase": ("degree", "moiré phase phi"),
    "dielectric_constant": ("1", "relative dielectric constant eps"),
    "effective_mass": ("m_e", "effective mass m*"),
    "moire_constant": ("nm", "moiré constant a_M"),
    "twist_1": ("1", "boundary twist along the first reciprocal vector"),
    "twist_2": ("1", "boundary twist along the second reciprocal vector"),
}

#: The two components of a boundary twist.
TWISTS = ("twist_1", "twist_2")


def moire_energy(effective_mass, moire_constant):
    """Energy unit E_M = hbar^2 / (m* a_M^2) in meV; mass in m_e, moiré constant in nm."""
    return HBAR2_OVER_ELECTRON_MASS / (effective_mass * moire_constant**2)


def coulomb_strength(dielectric_constant, effective_mass, moire_constant):
    """Dimensionless u = e^2 / (4 pi eps_0 eps a_M E_M) = (a_M / a_0)(m* / m_e) / eps."""
    pair_energy = COULOMB_CONSTANT / (dielectric_constant * moire_constant)
    return pair_energy / moire_energy(effective_mass, moire_constant)


def density_parameter(electrons_per_cell, dielectric_constant, effective_mass, moire_constant):
    """Wigner-Seitz radius r_s: electron spacing in effective Bohr radii (dimensionless)."""
    area_per_electron = (math.sqrt(3) / 2) / electrons_per_cell  # in a_M^2
    spacing = (area_per_electron / math.pi) ** 0.5  # in a_M
    return spacing * coulomb_strength(dielectric_constant, effective_mass, moire_constant)

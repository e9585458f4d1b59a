"""Energies: total and by component, with variance and V-score."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from qernel.estimators.observable import Configuration, Observable, Result, scalar
from qernel.estimators.statistics import Accumulator, jackknife_samples
from qernel.hamiltonian.coulomb import Coulomb
from qernel.hamiltonian.couplings import Couplings
from qernel.wavefunction.base import Wavefunction

_LONG_NAMES = {
    "kinetic": "kinetic energy",
    "moire": "moiré potential energy",
    "coulomb": "Coulomb (interaction) energy, Madelung term included",
}


class Energy(Observable):
    """Total energy and components per electron, variance of the local energy, and V-score.

    The V-score N Var(E_L) / (E - E_0)^2 (Wu et al., Science 386, 296 (2024)) compares eigenstates of
    different systems. E_0 is the energy of electrons at random places, at rest: the Madelung term.
    """

    def sample(self, model: Wavefunction, at: Configuration) -> dict[str, Array]:
        total = at.local.total.astype(jnp.complex128)
        components = at.local.components.astype(jnp.float64)
        parts = {name: components[i] for i, name in enumerate(self.hamiltonian.components)}
        return {
            "energy": total.real,
            "imaginary": total.imag,
            "square": total.real**2 + total.imag**2,
            **parts,
        }

    def results(self, samples: Mapping[str, Accumulator], couplings: Couplings) -> dict[str, Result]:
        electrons = self.hamiltonian.electrons
        unit = float(couplings.energy_unit) / electrons
        found = scalar("energy", samples["energy"], "meV", "total energy per electron", unit)
        for name in self.hamiltonian.components:
            long_name = f"{_LONG_NAMES.get(name, f'{name} energy')} per electron"
            found |= scalar(name, samples[name], "meV", long_name, unit)
        imaginary = samples["imaginary"].estimate()
        long_name = "mean imaginary part of the local energy per electron"
        found["imaginary"] = Result(unit * imaginary.mean, unit * imaginary.error, "meV", long_name)
        moments = samples["energy"], samples["square"]
        variance, error = jackknife_samples(lambda mean, square: square - mean**2, *moments, skewed=True)
        found["variance"] = Result(
            unit**2 * variance, unit**2 * error, "meV^2", "variance of the local energy per electron"
        )
        spread = unit * np.sqrt(np.maximum(variance, 0))
        long_name = "standard deviation of the local energy per electron"
        found["spread"] = Result(spread, None, "meV", long_name)
        at_random = self._energy_at_random_places(couplings)
        if at_random is not None:
            score = jackknife_samples(
                lambda mean, square: electrons * (square - mean**2) / (mean - at_random) ** 2,
                *moments,
                skewed=True,
            )
            found["v_score"] = Result(*score, "1", "V-score: N Var(E_L) / (E - Madelung energy)^2")
        return found

    def _energy_at_random_places(self, couplings: Couplings) -> float | None:
        """In E_M per supercell: moiré and pair potentials average to zero. None with other terms."""
        if not self.hamiltonian.is_moire_coulomb:
            return None
        madelung = Coulomb(self.hamiltonian.supercell).madelung
        return 0.5 * self.hamiltonian.electrons * float(couplings.coulomb) * madelung

"""Ratios of amplitudes."""

import jax.numpy as jnp
import numpy as np

from qernel.estimators.ratios import amplitude_ratios
from qernel.lattice import supercell_of


def test_ratios_of_a_plane_wave_determinant(system, plane_waves, scattered):
    hamiltonian = system(supercell_of(3), (2, 0), twist_1=0.1)
    couplings = hamiltonian.family.couplings(jnp.zeros(0, jnp.float64))
    here, *others = scattered(hamiltonian, 4)
    waves = np.array([[0.1, 0], [1.1, -1]]) @ hamiltonian.supercell.reciprocal
    psi = [np.linalg.det(np.exp(1j * np.asarray(r) @ waves.T)) for r in (here, *others)]
    model = plane_waves(hamiltonian, ((0, 0), (1, -1)))
    found = amplitude_ratios(model, here, jnp.stack(others), couplings)
    np.testing.assert_allclose(found, np.array(psi[1:]) / psi[0], rtol=1e-10)

"""Momentum distribution n(k) and natural occupations: the one-electron density matrix.

In plane waves |k> = e^{i k.r} / sqrt(A), with one electron at a time moved to a place r' drawn uniformly,

    gamma_{kk'} = < sum_i e^{-i k.r'} e^{i k'.r_i} psi(..., r', ...) / psi(r) >.

The crystal momentum modulo moiré reciprocal vectors is a good quantum number, hence gamma is block-diagonal.
n(k) = gamma_kk lies between 0 and 1 for each spin; the eigenvalues of gamma are the natural occupations.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from qernel.estimators.observable import Configuration, Coordinate, Observable, Result
from qernel.estimators.ratios import amplitude_ratios
from qernel.estimators.statistics import Accumulator, jackknife_samples
from qernel.hamiltonian.couplings import Couplings
from qernel.lattice import MOIRE_RECIPROCAL, integer_grid
from qernel.wavefunction.base import Wavefunction

_SHELLS = 2.01  # plane waves of each crystal momentum, in shortest moiré reciprocal vectors


class MomentumDistribution(Observable):
    """n(k), summed over spin, and the occupations of natural orbitals by crystal momentum.

    Costs one evaluation of psi per electron. Noise pushes eigenvalues apart: the jackknife removes this
    bias to first order, and occupations below their error mean nothing.
    """

    def sample(self, model: Wavefunction, at: Configuration) -> dict[str, Array]:
        supercell, count = self.hamiltonian.supercell, self.hamiltonian.electrons
        dtype = at.electrons.dtype
        fractions = jax.random.uniform(at.key, (count, 2), dtype)
        places = fractions @ jnp.asarray(supercell.vectors, dtype)
        index = np.arange(count)
        moved = jnp.tile(at.electrons, (count, 1, 1)).at[index, index].set(places)
        ratios = amplitude_ratios(model, at.electrons, moved, at.couplings)
        waves = jnp.asarray(self._labels(), jnp.float64) + at.couplings.twist.astype(jnp.float64)
        waves = waves @ jnp.asarray(supercell.reciprocal)
        new, old = _plane_waves(waves, places), _plane_waves(waves, at.electrons)
        gamma = jnp.einsum("ikg,ikh,i->kgh", new.conj(), old, ratios)
        gamma = (gamma + jnp.swapaxes(gamma, 1, 2).conj()) / 2
        return {"real": gamma.real.astype(jnp.float32), "imaginary": gamma.imag.astype(jnp.float32)}

    def results(self, samples: Mapping[str, Accumulator], couplings: Couplings) -> dict[str, Result]:
        diagonal = samples["real"].estimate()
        gamma = samples["real"], samples["imaginary"]
        natural = jackknife_samples(lambda a, b: np.linalg.eigvalsh(a + 1j * b)[:, ::-1], *gamma)
        dims = ("crystal_momentum", "plane_wave")
        n_k, n_k_error = (np.diagonal(field, axis1=-2, axis2=-1) for field in diagonal[:2])
        natural_dims = ("crystal_momentum", "natural_orbital")
        return {
            "momentum_distribution": Result(n_k, n_k_error, "1", "occupation n(k) of plane waves", dims),
            "natural_occupation": Result(*natural, "1", "occupations of natural orbitals", natural_dims),
        }

    def coordinates(self) -> dict[str, Coordinate]:
        waves = self._labels() @ self.hamiltonian.supercell.reciprocal
        dims = ("crystal_momentum", "plane_wave")
        return {
            name: Coordinate(dims, waves[..., axis], "a_M^-1", f"wavevector along {name[-1]}, twist apart")
            for axis, name in enumerate(("k_x", "k_y"))
        }

    def _labels(self) -> np.ndarray:
        """Integer labels of the plane waves in supercell reciprocal vectors, (crystal momentum, wave, 2)."""
        supercell = self.hamiltonian.supercell
        waves = integer_grid(int(2 * _SHELLS) + 1) @ MOIRE_RECIPROCAL
        waves = waves[np.linalg.norm(waves, axis=1) <= _SHELLS * np.linalg.norm(MOIRE_RECIPROCAL[0])]
        return supercell.moire_points()[:, None] + supercell.labels(waves)


def _plane_waves(
    waves: Float[Array, "momentum wave 2"], electrons: Float[Array, "electron 2"]
) -> Complex[Array, "electron momentum wave"]:
    angles = jnp.einsum("kgx,ix->ikg", waves, electrons.astype(waves.dtype))
    return jax.lax.complex(jnp.cos(angles), jnp.sin(angles))

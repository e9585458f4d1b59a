"""Symmetry sectors: the weight of psi in each total crystal momentum and each C3 eigenvalue.

H commutes with moving all electrons by a moiré vector a, (T_a psi)(r) = psi(r + a), and with turning them by
120 degrees about a site. The projectors onto the sectors are

    P_K = (1 / cells) sum_a e^{-i K.a} T_a,        P_m = (1/3) sum_l e^{-2 pi i m l / 3} C3^l,

and <P> is the mean of (P psi)(r) / psi(r). The weights add up to one, sample by sample.
"""

import math
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from qernel.estimators.observable import Configuration, Coordinate, Observable, Result
from qernel.estimators.ratios import amplitude_ratios
from qernel.estimators.statistics import Accumulator
from qernel.hamiltonian.couplings import Couplings
from qernel.lattice import THREEFOLD
from qernel.wavefunction.base import Wavefunction

_MOST_CELLS = 81  # psi is evaluated once for each


class MomentumSectors(Observable):
    """Weight of psi in every total crystal momentum K = (n + N twist) . reciprocal, by its label n."""

    def exists(self) -> bool:
        return self.hamiltonian.supercell.cells <= _MOST_CELLS

    def sample(self, model: Wavefunction, at: Configuration) -> dict[str, Array]:
        supercell, count = self.hamiltonian.supercell, self.hamiltonian.electrons
        shifts = supercell.translations()
        moved = at.electrons + jnp.asarray(shifts[:, None], at.electrons.dtype)
        ratios = amplitude_ratios(model, at.electrons, moved, at.couplings)
        labels = jnp.asarray(supercell.total_momenta(), jnp.float64)
        labels = labels + count * at.couplings.twist.astype(jnp.float64)
        angles = labels @ jnp.asarray(supercell.reciprocal @ shifts.T)
        projected = jnp.cos(angles) @ ratios.real + jnp.sin(angles) @ ratios.imag  # Re e^{-i K.a} T_a
        return {"sector_weight": projected / supercell.cells}

    def results(self, samples: Mapping[str, Accumulator], couplings: Couplings) -> dict[str, Result]:
        found = samples["sector_weight"].estimate()
        long_name = "weight of psi in each total crystal momentum"
        return {"sector_weight": Result(found.mean, found.error, "1", long_name, ("sector",))}

    def coordinates(self) -> dict[str, Coordinate]:
        labels = self.hamiltonian.supercell.total_momenta()
        return {
            f"sector_{axis + 1}": Coordinate(
                ("sector",),
                labels[:, axis],
                "1",
                f"total momentum in reciprocal vectors {axis + 1}",
            )
            for axis in range(2)
        }


class RotationSectors(Observable):
    """Weight of psi in each eigenvalue e^{2 pi i m / 3} of C3, for supercells with this symmetry.

    Definite only in momentum sectors that C3 maps to themselves, and at zero twist.
    """

    def exists(self) -> bool:
        return self.hamiltonian.supercell.is_threefold

    def sample(self, model: Wavefunction, at: Configuration) -> dict[str, Array]:
        rotations = jnp.asarray(THREEFOLD, at.electrons.dtype)
        turned = jnp.einsum("lxy,iy->lix", rotations, at.electrons)
        ratios = amplitude_ratios(model, at.electrons, turned, at.couplings)
        projectors = np.exp(-2j * math.pi * np.outer(np.arange(3), np.arange(3)) / 3) / 3
        return {"c3_weight": jnp.real(jnp.asarray(projectors) @ ratios)}

    def results(self, samples: Mapping[str, Accumulator], couplings: Couplings) -> dict[str, Result]:
        found = samples["c3_weight"].estimate()
        long_name = "weight of psi in each eigenvalue exp(2 pi i m / 3) of the threefold rotation"
        return {"c3_weight": Result(found.mean, found.error, "1", long_name, ("c3",))}

    def coordinates(self) -> dict[str, Coordinate]:
        return {"c3": Coordinate(("c3",), np.arange(3), "1", "angular momentum m of the threefold rotation")}

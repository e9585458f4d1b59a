"""The static structure factor S(q), with the Bragg points of the moiré lattice and of the sqrt3 crystal."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qernel.estimators.observable import Configuration, Coordinate, Observable, Result
from qernel.estimators.statistics import Accumulator
from qernel.hamiltonian.couplings import Couplings
from qernel.lattice import MOIRE_CORNERS, MOIRE_HARMONICS, MOIRE_RECIPROCAL, integer_grid
from qernel.wavefunction.base import Wavefunction

_REACH = 1.7  # largest |q| in units of the shortest moiré reciprocal vector


class StructureFactor(Observable):
    """S(q) = <|rho_q|^2> / N with rho_q = sum_i exp(-i q.r_i), at one q of every pair +-q.

    The moiré Bragg peak averages over the shortest moiré reciprocal vectors g, which the potential imprints
    on every state. The sqrt3 peak averages over the corners K of the Brillouin zone, where only the
    generalized Wigner crystal has one: N for electrons on one of the three sublattices, N/4 on two.
    """

    def sample(self, model: Wavefunction, at: Configuration) -> dict[str, Array]:
        values = _structure(at.electrons, self._waves())
        peaks = {"bragg_moire": jnp.mean(_structure(at.electrons, MOIRE_HARMONICS))}
        if self.hamiltonian.supercell.fits_sqrt3_order:
            peaks["bragg_sqrt3"] = jnp.mean(_structure(at.electrons, MOIRE_CORNERS))
        return {"structure_factor": values, **peaks}

    def results(self, samples: Mapping[str, Accumulator], couplings: Couplings) -> dict[str, Result]:
        long_names = {
            "structure_factor": "static structure factor S(q)",
            "bragg_moire": "structure factor at the moiré reciprocal vectors",
            "bragg_sqrt3": "structure factor at the corners K: order of the sqrt3 x sqrt3 crystal",
        }
        return {
            name: Result(
                *accumulator.estimate()[:2],
                "1",
                long_names[name],
                ("wave",) if name == "structure_factor" else (),
            )
            for name, accumulator in samples.items()
        }

    def coordinates(self) -> dict[str, Coordinate]:
        waves = self._waves()
        return {
            name: Coordinate(("wave",), waves[:, axis], "a_M^-1", f"wavevector along {name[-1]}")
            for axis, name in enumerate(("q_x", "q_y"))
        }

    def _waves(self) -> Float[np.ndarray, "wave 2"]:
        """Supercell reciprocal vectors up to the reach, one of each pair, shortest first."""
        supercell, longest = self.hamiltonian.supercell, _REACH * np.linalg.norm(MOIRE_RECIPROCAL[0])
        reach = np.linalg.norm(supercell.vectors, axis=1).max() * longest / (2 * np.pi)
        labels = integer_grid(int(reach) + 1)
        labels = labels[(labels[:, 0] > 0) | ((labels[:, 0] == 0) & (labels[:, 1] > 0))]
        waves = labels @ supercell.reciprocal
        lengths = np.linalg.norm(waves, axis=1)
        order = np.argsort(lengths.round(9), kind="stable")
        return waves[order][lengths[order] <= longest]


def _structure(
    electrons: Float[Array, "electron 2"], waves: Float[np.ndarray, "wave 2"]
) -> Float[Array, " wave"]:
    angles = electrons @ jnp.asarray(waves.T, electrons.dtype)
    squares = jnp.sum(jnp.cos(angles), axis=0) ** 2 + jnp.sum(jnp.sin(angles), axis=0) ** 2
    return squares / electrons.shape[0]

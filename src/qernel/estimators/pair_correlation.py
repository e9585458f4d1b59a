"""The pair correlation function g(r)."""

import math
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qernel.estimators.observable import Configuration, Coordinate, Observable, Result
from qernel.estimators.statistics import Accumulator
from qernel.hamiltonian.couplings import Couplings
from qernel.wavefunction.base import Wavefunction

_BINS = 40


class PairCorrelation(Observable):
    """g(r) = (A / pairs) <number of pairs at distance r> / (2 pi r dr), by spin.

    1 for electrons at random places, up to half the distance of the supercell's nearest images.
    """

    def sample(self, model: Wavefunction, at: Configuration) -> dict[str, Array]:
        distance = self._distances(at.electrons)
        edges = self._edges()
        bin_index = jnp.floor(distance / jnp.asarray(edges[1], distance.dtype)).astype(jnp.int32)
        shells = math.pi * (edges[1:] ** 2 - edges[:-1] ** 2)
        found = {}
        for name, chosen in self._pairs().items():
            counts = jnp.zeros(_BINS, jnp.float32).at[bin_index[chosen]].add(1.0, mode="drop")
            weight = self.hamiltonian.supercell.area / (len(chosen) * shells)
            found[name] = counts * jnp.asarray(weight, jnp.float32)
        return found

    def results(self, samples: Mapping[str, Accumulator], couplings: Couplings) -> dict[str, Result]:
        spins = {"pair_correlation": "equal", "pair_correlation_opposite": "opposite"}
        return {
            name: Result(
                *samples[name].estimate()[:2],
                "1",
                f"pair correlation g(r) of electrons of {spins[name]} spin",
                ("distance",),
            )
            for name in self._pairs()
        }

    def coordinates(self) -> dict[str, Coordinate]:
        edges = self._edges()
        middles = (edges[1:] + edges[:-1]) / 2
        return {"distance": Coordinate(("distance",), middles, "a_M", "distance of two electrons")}

    def _edges(self) -> Float[np.ndarray, " edge"]:
        shortest = float(np.linalg.norm(self.hamiltonian.supercell.vectors, axis=1).min())
        return np.linspace(0, shortest / 2, _BINS + 1)

    def _pairs(self) -> dict[str, np.ndarray]:
        """Indices into the list of pairs, by spin."""
        up, _ = self.hamiltonian.spins
        first, second = np.triu_indices(self.hamiltonian.electrons, 1)
        opposite = (first < up) & (second >= up)
        found = {
            "pair_correlation": np.flatnonzero(~opposite),
            "pair_correlation_opposite": np.flatnonzero(opposite),
        }
        return {name: pairs for name, pairs in found.items() if len(pairs)}

    def _distances(self, electrons: Float[Array, "electron 2"]) -> Float[Array, " pair"]:
        """To the nearest image, of every pair."""
        supercell, dtype = self.hamiltonian.supercell, electrons.dtype
        first, second = np.triu_indices(electrons.shape[0], 1)
        displacement = electrons[first] - electrons[second]
        fractions = displacement @ jnp.asarray(supercell.reciprocal.T / (2 * math.pi), dtype)
        fractions = fractions - jnp.round(fractions)
        # The supercell's vectors are reduced: the nearest image is this one or a neighbour.
        neighbours = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
        images = (fractions[:, None] + jnp.asarray(neighbours, dtype)) @ jnp.asarray(supercell.vectors, dtype)
        return jnp.sqrt(jnp.min(jnp.sum(images**2, axis=-1), axis=-1))

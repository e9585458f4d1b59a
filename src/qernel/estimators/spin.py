"""Total spin of a wavefunction of n_up and n_down electrons."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from qernel.estimators.observable import Configuration, Observable, Result
from qernel.estimators.ratios import amplitude_ratios
from qernel.estimators.statistics import Accumulator
from qernel.hamiltonian.couplings import Couplings
from qernel.wavefunction.base import Wavefunction


class Spin(Observable):
    """S_z, and <S^2> = S_z (S_z + 1) + n_down - sum_{i up, j down} <psi(r_i <-> r_j) / psi(r)>.

    psi is the amplitude with the first n_up electrons up; exchanging two positions of opposite spin is what
    S^- S^+ does to it.
    """

    def sample(self, model: Wavefunction, at: Configuration) -> dict[str, Array]:
        up, down = self.hamiltonian.spins
        s_z = (up - down) / 2
        if down == 0:
            return {"spin_squared": jnp.asarray(s_z * (s_z + 1))}
        order = np.tile(np.arange(up + down), (up * down, 1))
        pairs = [(i, up + j) for i in range(up) for j in range(down)]
        for row, (i, j) in zip(order, pairs, strict=True):
            row[[i, j]] = row[[j, i]]
        ratios = amplitude_ratios(model, at.electrons, at.electrons[order], at.couplings)
        return {"spin_squared": s_z * (s_z + 1) + down - jnp.sum(jnp.real(ratios))}

    def results(self, samples: Mapping[str, Accumulator], couplings: Couplings) -> dict[str, Result]:
        up, down = self.hamiltonian.spins
        found = samples["spin_squared"].estimate()
        return {
            "spin_z": Result(np.asarray((up - down) / 2), None, "1", "spin projection S_z"),
            "spin_squared": Result(found.mean, found.error, "1", "total spin S^2 = S (S + 1)"),
        }

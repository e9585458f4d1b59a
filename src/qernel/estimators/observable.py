"""What an observable is: a sample from every configuration, and results from the accumulated samples."""

from collections.abc import Mapping
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from qernel.estimators.local_energy import LocalEnergy
from qernel.estimators.statistics import Accumulator
from qernel.hamiltonian.couplings import Couplings
from qernel.hamiltonian.hamiltonian import Hamiltonian
from qernel.wavefunction.base import Wavefunction


class Configuration(NamedTuple):
    """One walker at one context, and what every observable may need of it."""

    electrons: Float[Array, "electron 2"]  # in a_M
    context: Float[Array, " parameter"]  # in laboratory units
    couplings: Couplings
    local: LocalEnergy  # in E_M per supercell
    key: PRNGKeyArray  # of its own, for estimators that draw random numbers


class Result(NamedTuple):
    """A measured quantity at one context. `dims` name the axes of `value`, as in `Observable.coordinates`."""

    value: np.ndarray
    error: np.ndarray | None
    units: str
    long_name: str
    dims: tuple[str, ...] = ()


class Coordinate(NamedTuple):
    """The values along an axis of results."""

    dims: tuple[str, ...]
    values: np.ndarray
    units: str
    long_name: str


class Observable(eqx.Module):
    """A quantity measured from walkers: one file in this folder each, listed in `OBSERVABLES`.

    The Hamiltonian's supercell, spins and family say what there is to measure.
    """

    hamiltonian: Hamiltonian = eqx.field(static=True)

    def exists(self) -> bool:
        """Whether the Hamiltonian has such a quantity."""
        return True

    def sample(self, model: Wavefunction, at: Configuration) -> dict[str, Array]:
        """What one configuration contributes: real arrays, whose means over |psi|^2 are wanted."""
        raise NotImplementedError

    def results(self, samples: Mapping[str, Accumulator], couplings: Couplings) -> dict[str, Result]:
        """Named results at one context, from the samples accumulated there."""
        raise NotImplementedError

    def coordinates(self) -> dict[str, Coordinate]:
        """The axes of the results."""
        return {}


def scalar(name: str, accumulator: Accumulator, units: str, long_name: str, scale: float = 1.0):
    """Results of a scalar: mean and error, and how well the walkers sampled it.

    `scale` converts from the samples' unit.
    """
    found = accumulator.estimate()
    return {
        name: Result(scale * found.mean, abs(scale) * found.error, units, long_name),
        f"{name}_autocorrelation": Result(
            found.autocorrelation, None, "1", f"integrated autocorrelation time of the {long_name} in samples"
        ),
        f"{name}_effective_samples": Result(
            found.effective, None, "1", f"number of independent samples of the {long_name}"
        ),
        f"{name}_r_hat": Result(found.r_hat, None, "1", f"split R-hat of the {long_name} over walkers"),
    }

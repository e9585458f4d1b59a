"""Overlap of two wavefunctions, by Monte Carlo in both directions.

|<psi|phi>|^2 / (<psi|psi> <phi|phi>) = <phi/psi>_psi <psi/phi>_phi, whatever the two norms.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex

from qernel.estimators.statistics import estimate


class Fidelity(NamedTuple):
    """Squared overlap of two normalized states, between 0 and 1 but for its error, and this."""

    value: float
    error: float


def fidelity(
    forward: Complex[np.ndarray, "step walker"], backward: Complex[np.ndarray, "step walker"]
) -> Fidelity:
    """From log(phi / psi) at samples of |psi|^2, and log(psi / phi) at samples of |phi|^2.

    The samples of either side are independent of those of the other; where a side's own walkers are not, as
    copies of one, its error grows with it (`Accumulator`).
    """
    offset = np.median(np.real(forward))  # cancels in the product and keeps the exponentials in range
    there, back = np.exp(forward - offset), np.exp(backward + offset)
    from_there = estimate(np.real(there * back.mean()))
    from_back = estimate(np.real(there.mean() * back))
    return Fidelity(float(from_there.mean), float(np.hypot(from_there.error, from_back.error)))

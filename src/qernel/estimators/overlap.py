"""Overlap of two wavefunctions, by Monte Carlo in both directions.

|<psi|phi>|^2 / (<psi|psi> <phi|phi>) = <phi/psi>_psi <psi/phi>_phi, whatever the two norms.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex

from qernel.estimators.statistics import jackknife


class Fidelity(NamedTuple):
    """Squared overlap of two normalized states, between 0 and 1, and its error."""

    value: float
    error: float


def fidelity(
    forward: Complex[np.ndarray, "step walker"], backward: Complex[np.ndarray, "step walker"]
) -> Fidelity:
    """From log(phi / psi) at samples of |psi|^2, and log(psi / phi) at samples of |phi|^2.

    The samples of either side come from walkers that are independent of each other.
    """
    offset = np.median(np.real(forward))  # cancels in the product and keeps the exponentials in range
    there = np.exp(forward - offset).mean(axis=0)
    back = np.exp(backward + offset).mean(axis=0)
    value, from_there = jackknife(lambda a: np.real(a * back.mean()), there)
    _, from_back = jackknife(lambda b: np.real(there.mean() * b), back)
    return Fidelity(float(value), float(np.hypot(from_there, from_back)))

"""Weighted linear least squares with what its residuals say.

Where points scatter about the fit more than their errors explain, as happens by chance in 5% of cases, the
covariance of the coefficients is enlarged by chi squared per degree of freedom (Birge, Phys. Rev. 40, 207
(1932)): errors are then what the scatter says.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import chdtrc

_CHANCE = 0.05


class Fit(NamedTuple):
    """Coefficients of the terms, their covariance, and how well the terms fit."""

    coefficients: Float[np.ndarray, " term"]
    covariance: Float[np.ndarray, "term term"]
    chance: float  # of residuals as large as these; 1 where there is no degree of freedom


def fit(
    terms: Float[np.ndarray, "point term"],
    values: Float[np.ndarray, " point"],
    errors: Float[np.ndarray, " point"],
) -> Fit:
    """The terms' best sum through values with standard errors."""
    design = terms / errors[:, None]
    covariance = np.linalg.inv(design.T @ design)
    coefficients = covariance @ design.T @ (values / errors)
    chi2, freedom = np.sum((design @ coefficients - values / errors) ** 2), len(values) - terms.shape[1]
    if freedom <= 0:
        return Fit(coefficients, covariance, 1.0)
    chance = float(chdtrc(freedom, chi2))
    return Fit(coefficients, covariance * (chi2 / freedom if chance < _CHANCE else 1.0), chance)

"""Weighted linear least squares with what its residuals say."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import chdtrc


class Fit(NamedTuple):
    """Coefficients of the terms, their covariance by the errors alone, and how well the terms fit."""

    coefficients: Float[np.ndarray, " term"]
    covariance: Float[np.ndarray, "term term"]
    scatter: float  # chi squared per degree of freedom; 1 where there is none
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
        return Fit(coefficients, covariance, 1.0, 1.0)
    return Fit(coefficients, covariance, float(chi2 / freedom), float(chdtrc(freedom, chi2)))

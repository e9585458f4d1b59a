"""Polynomials in all parameters of a family."""

import itertools

import numpy as np
from jaxtyping import Float


def monomials(
    points: Float[np.ndarray, "point parameter"],
    low: Float[np.ndarray, " parameter"],
    high: Float[np.ndarray, " parameter"],
    degree: int,
) -> Float[np.ndarray, "point monomial"]:
    """All monomials up to a degree, of parameters scaled from [low, high] to [-1, 1]."""
    scaled = (2 * points - low - high) / np.where(high > low, high - low, 1.0)
    factors = np.concatenate([np.ones((len(scaled), 1)), scaled], axis=1)
    choices = itertools.combinations_with_replacement(range(factors.shape[1]), degree)
    return np.stack([factors[:, list(choice)].prod(axis=1) for choice in choices], axis=1)

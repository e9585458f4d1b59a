"""Determinants of Bloch orbitals, counted and listed below a limit on their cost.

Every orbital has a cost, a small integer; a determinant costs the sum of its orbitals, and determinants
above a budget are left out. With costs from natural occupations n_i,

    cost_i = log(filling / n_i) / (2 GRAIN),

the likeliest determinants come first, because a pair excited from costless orbitals into i and j has an
amplitude near sqrt(n_i n_j). Integers keep orbitals that are equivalent by symmetry together.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

GRAIN = 0.05  # of the natural logarithm of an amplitude
_BITS = 8  # per orbital number in a key
MOST_ORBITALS, MOST_ELECTRONS = 2**_BITS, 7


class Modes(NamedTuple):
    """The orbitals within reach, cheapest first: orbital `orbital` of momentum `point`."""

    point: Int[np.ndarray, " mode"]
    orbital: Int[np.ndarray, " mode"]
    cost: Int[np.ndarray, " mode"]


class Determinants(NamedTuple):
    """Determinants in ascending order of their keys, with the point of their total momentum and their cost.

    A key holds the modes in ascending order, eight bits each, the first in the highest place.
    """

    keys: Int[np.ndarray, " determinant"]
    points: Int[np.ndarray, " determinant"]
    costs: Int[np.ndarray, " determinant"]


def occupied_modes(
    keys: Int[np.ndarray, " determinant"], electrons: int
) -> Int[np.ndarray, "determinant electron"]:
    """The modes in ascending order."""
    return (keys[:, None] >> (_BITS * np.arange(electrons - 1, -1, -1))) & (MOST_ORBITALS - 1)


def key(modes: Int[np.ndarray, "determinant electron"]) -> Int[np.ndarray, " determinant"]:
    """The keys of determinants given by their modes in ascending order."""
    electrons = modes.shape[1]
    return np.sum(modes.astype(np.int64) << (_BITS * np.arange(electrons - 1, -1, -1)), axis=1)


def make_modes(costs: Int[np.ndarray, "point orbital"], budget: int) -> Modes:
    """All orbitals within the budget, at most 256, in an order that does not depend on the budget."""
    order = np.argsort(costs, axis=None, kind="stable")[:MOST_ORBITALS]
    point, orbital = np.unravel_index(order[costs.ravel()[order] <= budget], costs.shape)
    return Modes(point, orbital, costs[point, orbital])


def list_determinants(
    modes: Modes, sums: Int[np.ndarray, "point point"], electrons: int, budget: int
) -> Determinants:
    """All determinants of `electrons` modes within the budget; `sums` adds points of momentum."""
    vacuum = int(np.flatnonzero(sums[0] == 0)[0])
    keys, points, costs, last = np.array([[0], [vacuum], [0], [-1]])
    for _ in range(electrons):
        # Modes come cheapest first: those after the last one and within the budget are contiguous.
        stop = np.searchsorted(modes.cost, budget - costs, side="right")
        counts = np.maximum(stop - last - 1, 0)
        parent = np.repeat(np.arange(len(keys)), counts)
        last = last[parent] + 1 + np.arange(len(parent)) - np.repeat(np.cumsum(counts) - counts, counts)
        keys = (keys[parent] << _BITS) | last
        points = sums[points[parent], modes.point[last]]
        costs = costs[parent] + modes.cost[last]
    return Determinants(keys, points, costs)


def ranks(determinants: Determinants) -> Int[np.ndarray, " determinant"]:
    """Rank of each determinant by cost among those of its momentum; a smaller budget changes no rank."""
    order = np.lexsort((determinants.costs, determinants.points))
    points = determinants.points[order]
    result = np.empty(len(order), np.int64)
    result[order] = np.arange(len(order)) - np.searchsorted(points, points)
    return result


def pairs_by_momentum(
    modes: Modes, sums: Int[np.ndarray, "point point"], budget: int
) -> list[Int[np.ndarray, "_ 2"]]:
    """The pairs a < b of modes of each total momentum, cheapest first: in the order of `ranks`."""
    pairs = list_determinants(modes, sums, 2, budget)
    occupied = occupied_modes(pairs.keys, 2)[np.lexsort((ranks(pairs), pairs.points))]
    return np.split(occupied, np.cumsum(np.bincount(pairs.points, minlength=len(sums)))[:-1])


def count_determinants(
    costs: Int[np.ndarray, "point orbital"], sums: Int[np.ndarray, "point point"], electrons: int, budget: int
) -> Int[np.ndarray, "point budget"]:
    """How many determinants cost at most 0, 1, ..., `budget`, by total momentum, without listing them."""
    modes = make_modes(costs, budget)
    counts = np.zeros((electrons + 1, len(sums), budget + 1), np.int64)
    counts[0, np.flatnonzero(sums[0] == 0)[0], 0] = 1
    for point, cost in zip(modes.point, modes.cost, strict=True):
        for occupied in range(electrons - 1, -1, -1):
            counts[occupied + 1, sums[point], cost:] += counts[occupied, :, : budget + 1 - cost]
    return np.cumsum(counts[electrons], axis=1)

"""Minimize the energy of a Slater determinant over its orbitals.

The orbitals of each spin are the rows of C with C C^dagger = 1, and the energy depends only on the space
they span. At every point the change of the energy is dE = 2 Re <G, dC>; what counts is the gradient's
part orthogonal to all occupied orbitals of that spin,

    g = G - (G C^dagger) C,

whose norm is the residual: at zero the Hartree-Fock equations hold. Steps are

    C -> (1 + D D^dagger)^{-1/2} (C + D),    D C^dagger = 0,

along L-BFGS directions D, in which past steps and gradients are carried along by projection, with a
positive diagonal preconditioner in place of the unit matrix, and backtracking until the energy falls
(Absil, Mahony & Sepulchre, Optimization Algorithms on Matrix Manifolds, 2008).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float
from scipy.linalg import eigh

_MEMORY = 20  # pairs of step and change of gradient
_LONGEST = 0.5  # largest |D| of one orbital: an angle of 27 degrees
_DECREASE = 1e-4  # of the energy predicted by the slope: Armijo's condition
_SHORTEST = 1e-8  # step below which rounding hides any decrease

Orbitals = Complex[np.ndarray, "electron wave"]


class Minimum(NamedTuple):
    """Where a descent ended: the residual is |g| over all electrons, in the energy's unit."""

    energy: float
    orbitals: Orbitals
    residual: float
    iterations: int


def minimize(
    functional: Callable[[Orbitals], tuple[float, Orbitals]],
    start: Orbitals,
    spins: tuple[int, int],
    preconditioner: Float[np.ndarray, " wave"],
    tolerance: float,
    iterations: int = 2000,
) -> Minimum:
    """Descend from `start` until the residual is below `tolerance`, or the iterations run out.

    `functional` gives the energy and G. The first spins[0] rows are spin-up orbitals; rows of equal
    spin need not be orthonormal at the start, but linearly independent.
    """
    orbitals = orthonormalize(start, spins)
    energy, gradient = functional(orbitals)
    gradient = _project(gradient, orbitals, spins)
    memory: list[tuple[Orbitals, Orbitals]] = []
    for iteration in range(iterations):
        residual = float(np.linalg.norm(gradient))
        if residual < tolerance:
            return Minimum(energy, orbitals, residual, iteration)

        def precondition(tangent, orbitals=orbitals):
            return _project(preconditioner * tangent, orbitals, spins)

        direction = -_quasi_newton(gradient, memory, precondition)
        slope = 2 * _dot(gradient, direction)
        if slope >= 0:
            memory.clear()
            direction = -precondition(gradient)
            slope = 2 * _dot(gradient, direction)
        step = min(1.0, _LONGEST / float(np.linalg.norm(direction, axis=1).max()))
        # Rounding of the energy must not stop the last steps, whose decrease is smaller than it
        rounding = 1e-13 * abs(energy)
        while True:
            new_orbitals = orthonormalize(orbitals + step * direction, spins)
            new_energy, new_gradient = functional(new_orbitals)
            if new_energy <= energy + _DECREASE * step * slope + rounding:
                break
            if step < _SHORTEST:
                return Minimum(energy, orbitals, residual, iteration)
            # Minimum of the parabola through both energies and the slope, kept within reason
            parabola = -slope * step / (2 * (new_energy - energy - slope * step))
            step *= min(0.5, max(0.1, parabola))
        new_gradient = _project(new_gradient, new_orbitals, spins)
        carried = [tuple(_project(each, new_orbitals, spins) for each in pair) for pair in memory]
        moved = _project(step * direction, new_orbitals, spins)
        turned = new_gradient - _project(gradient, new_orbitals, spins)
        memory = [(s, y) for s, y in [*carried, (moved, turned)] if _curved(s, y)][-_MEMORY:]
        orbitals, energy, gradient = new_orbitals, new_energy, new_gradient
    return Minimum(energy, orbitals, float(np.linalg.norm(gradient)), iterations)


def orthonormalize(orbitals: Orbitals, spins: tuple[int, int]) -> Orbitals:
    """The closest orthonormal orbitals of each spin, S^{-1/2} C with overlap S = C C^dagger."""
    result = np.empty_like(orbitals)
    for block in spin_blocks(spins):
        rows = orbitals[block]
        eigenvalues, vectors = eigh(rows @ rows.conj().T)
        result[block] = (vectors / np.sqrt(eigenvalues)) @ (vectors.conj().T @ rows)
    return result


def spin_blocks(spins: tuple[int, int]) -> list[slice]:
    """The rows of each spin that has electrons."""
    up, down = spins
    return [block for block in (slice(0, up), slice(up, up + down)) if block.start < block.stop]


def _project(tangent: np.ndarray, orbitals: np.ndarray, spins: tuple[int, int]) -> np.ndarray:
    """What is orthogonal to every occupied orbital of equal spin."""
    result = np.empty_like(tangent)
    for block in spin_blocks(spins):
        result[block] = tangent[block] - (tangent[block] @ orbitals[block].conj().T) @ orbitals[block]
    return result


def _dot(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.vdot(first, second).real)


def _curved(step: np.ndarray, turned: np.ndarray) -> bool:
    """Whether the energy curves upwards along a step, as a metric needs."""
    return _dot(step, turned) > 1e-8 * float(np.linalg.norm(step) * np.linalg.norm(turned))


def _quasi_newton(gradient: np.ndarray, memory: list, precondition: Callable) -> np.ndarray:
    """Inverse Hessian times gradient, by the two loops of L-BFGS."""
    result, weights = gradient, []
    for step, turned in reversed(memory):
        weight = _dot(step, result) / _dot(step, turned)
        weights.append(weight)
        result = result - weight * turned
    result = precondition(result)
    if memory:
        step, turned = memory[-1]
        result = result * (_dot(step, turned) / _dot(turned, precondition(turned)))
    for (step, turned), weight in zip(memory, reversed(weights), strict=True):
        result = result + (weight - _dot(turned, result) / _dot(step, turned)) * step
    return result

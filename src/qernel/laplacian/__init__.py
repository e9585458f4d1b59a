"""Kinetic energy by the forward Laplacian."""

from qernel.laplacian.interpreter import forward_laplacian
from qernel.laplacian.kinetic import kinetic_energy

__all__ = ["forward_laplacian", "kinetic_energy"]

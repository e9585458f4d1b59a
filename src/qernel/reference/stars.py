"""Stars of momenta: which sectors of total momentum have the same spectrum by symmetry.

The moiré potential has the point group C3v for any phase: rotations by 120 degrees about a lattice site and
mirrors that exchange two of the g_j. Time reversal adds K -> -K. Without a twist, momenta that are related by
one of the resulting twelve operations are equivalent, if the operation maps the supercell onto itself.
"""

import math

import numpy as np

from qernel.lattice import Supercell


def stars(supercell: Supercell) -> list[list[tuple[int, int]]]:
    """The crystal momenta of a supercell, as integer labels, grouped by equivalence; shortest first."""
    operations = _operations(supercell)
    groups: dict[frozenset, list[tuple[int, int]]] = {}
    for label in supercell.moire_points():
        star = frozenset(supercell.momentum_class(operation @ label) for operation in operations)
        groups.setdefault(star, []).append((int(label[0]), int(label[1])))
    return list(groups.values())


def _operations(supercell: Supercell) -> list[np.ndarray]:
    """Rotations by 60 degrees and mirrors that keep the supercell, as integer matrices on labels."""
    kept = []
    for sixth in range(6):
        cosine, sine = math.cos(sixth * math.pi / 3), math.sin(sixth * math.pi / 3)
        for handedness in (1, -1):  # the mirror keeps the x axis, which is one of C6v
            rotation = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([1, handedness])
            matrix = np.linalg.inv(supercell.reciprocal.T) @ rotation @ supercell.reciprocal.T
            if np.allclose(matrix, np.rint(matrix), atol=1e-9):
                kept.append(np.rint(matrix).astype(int))
    return kept

"""Exact energies that `benchmarks/exact_energies.py` has recorded."""

import json
from pathlib import Path

from qernel.lattice import Supercell


def exact_energy(
    system: str,
    depth: float,
    momentum: tuple[int, int] = (-1, 0),
    *,
    dielectric_constant: float = 5.0,
    moire_phase: float = 45.0,
) -> float:
    """Of electrons/cells, e.g. "6/9", in a sector of total momentum, meV per electron.

    A momentum is one modulo moiré reciprocal vectors.
    """
    record = json.loads((Path(__file__).parent / f"exact_{system.replace('/', '_')}.json").read_text())
    momentum_class = Supercell(tuple(map(tuple, record["supercell"]))).momentum_class
    return next(
        sector["energy"]
        for each in record["contexts"]
        if (each["moire_depth"], each["dielectric_constant"], each["moire_phase"])
        == (depth, dielectric_constant, moire_phase)
        for sector in each["sectors"]
        if momentum_class(momentum) in map(momentum_class, sector["momenta"])
    )

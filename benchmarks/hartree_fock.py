"""The lowest single Slater determinant over depths and dielectric constants: what correlation has to beat.

Prints energies in meV per electron, beside those of the filled-band start, which keeps moiré translations.
"""

import argparse
import math
import time
from pathlib import Path

from environment import save

from qernel.lattice import supercell_of
from qernel.reference import lowest_determinant
from qernel.units import coulomb_strength, moire_energy

MASS, CONSTANT, POTENTIAL, PHASE = 0.35, 8.031, 15.0, math.pi / 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--electrons", type=int, nargs=2, default=[6, 0])
    parser.add_argument("--cells", type=int, default=9)
    parser.add_argument("--depths", type=float, nargs="+", default=[0.7, 1.0, 1.5])
    parser.add_argument("--dielectric-constants", type=float, nargs="+", default=[5.0, 10.0])
    parser.add_argument("--twist", type=float, nargs=2, default=[0.0, 0.0])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    spins = (arguments.electrons[0], arguments.electrons[1])
    unit = moire_energy(MASS, CONSTANT)
    per_electron, rows = unit / sum(spins), []
    for dielectric in arguments.dielectric_constants:
        for depth in arguments.depths:
            begin = time.process_time()
            state = lowest_determinant(
                supercell_of(arguments.cells),
                spins,
                depth * POTENTIAL / unit,
                PHASE,
                coulomb_strength(dielectric, MASS, CONSTANT),
                tuple(arguments.twist),
            )
            energies = ("energy", "kinetic", "moire", "coulomb", "uncertainty")
            row = {
                "dielectric_constant": dielectric,
                "depth": depth,
                **{name: getattr(state, name) * per_electron for name in energies},
                "residual": state.residual * unit,
                "start": state.start,
                "starts": {name: energy * per_electron for name, energy in state.starts.items()},
                "cpu_seconds": time.process_time() - begin,
            }
            rows.append(row)
            print(
                f"eps {dielectric:g} depth {depth:g}: {row['energy']:.4f} +- {row['uncertainty']:.4f}"
                f" ({state.start}; bands {row['starts']['bands']:.3f})  kinetic {row['kinetic']:.4f}"
                f" moire {row['moire']:.4f} coulomb {row['coulomb']:.4f}, {row['cpu_seconds']:.0f} s",
                flush=True,
            )
    settings = {"electrons": list(spins), "cells": arguments.cells, "twist": arguments.twist}
    save(arguments.out, {"command": "benchmarks/hartree_fock.py", **settings, "rows": rows})


if __name__ == "__main__":
    main()

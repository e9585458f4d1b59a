"""Exact energies of four electrons in six moiré cells and six in nine, by sector of total momentum.

For every depth, dielectric constant and moiré phase: the two lowest levels of each star of momenta, energy
components of the lowest, and uncertainties, in meV per electron. The result is written after every context,
and contexts that it holds already are not calculated again.
"""

import argparse
import json
from itertools import product
from pathlib import Path

from environment import environment

from qernel.hamiltonian import Family
from qernel.lattice import supercell_of
from qernel.reference.few_electrons import exact_sectors, per_electron
from qernel.reference.stars import stars

MATERIAL = {
    "moire_potential": 15.0,
    "effective_mass": 0.35,
    "moire_constant": 8.031,
}
CONTEXT = ("moire_phase", "dielectric_constant", "moire_depth")
SYSTEMS = {"4/6": (4, supercell_of(6)), "6/9": (6, supercell_of(9))}
HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument(
        "--depths", type=float, nargs="+", default=[round(0.7 + 0.1 * i, 1) for i in range(9)]
    )
    parser.add_argument("--dielectric", type=float, nargs="+", default=[5.0, 10.0])
    parser.add_argument("--phases", type=float, nargs="+", default=[45.0], help="in degrees")
    parser.add_argument("--determinants", type=int, default=40_000)
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    for system in arguments.systems:
        path = arguments.out / f"exact_{system.replace('/', '_')}.json"
        table = json.loads(path.read_text()) if path.exists() else _empty(system, arguments.determinants)
        if table["determinants"] != arguments.determinants:
            parser.error(f"{path} was made with {table['determinants']} determinants: move it away")
        for values in product(arguments.phases, arguments.dielectric, arguments.depths):
            context = dict(zip(CONTEXT, values, strict=True))
            if all(any(row[name] != context[name] for name in CONTEXT) for row in table["contexts"]):
                table["contexts"].append(_context(system, context, arguments.determinants))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(table, indent=1) + "\n")


def _empty(system: str, determinants: int) -> dict:
    electrons, supercell = SYSTEMS[system]
    return {
        "command": f"python benchmarks/exact_energies.py --systems {system} --determinants {determinants}",
        "environment": environment(),
        "units": "meV per electron",
        "electrons": electrons,
        "supercell": supercell.matrix,
        "material": MATERIAL,
        "determinants": determinants,
        "contexts": [],
    }


def _context(system: str, context: dict[str, float], determinants: int) -> dict:
    electrons, supercell = SYSTEMS[system]
    family = Family(**MATERIAL, **context)
    couplings = family.couplings(family.middle())
    unit = float(couplings.energy_unit)
    representatives = [star[0] for star in stars(supercell)]
    sectors = exact_sectors(
        supercell,
        electrons,
        float(couplings.moire),
        float(couplings.phase),
        float(couplings.coulomb),
        levels=2,
        determinants=determinants,
        momenta=representatives,
    )
    rows = []
    for star, sector in zip(stars(supercell), sectors, strict=True):
        row = per_electron(sector, electrons, unit) | {"momenta": star}
        row["levels"] = (sector.energies * unit / electrons).tolist()
        row["bound"] = sector.bound * unit / electrons
        rows.append({name: x for name, x in row.items() if name != "momentum"})
        energy = f"{row['energy']:.4f} +- {row['uncertainty']:.4f}"
        print(system, *context.values(), star[0], energy, flush=True)
    return context | {"sectors": rows}


if __name__ == "__main__":
    main()

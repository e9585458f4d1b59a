"""How far above its lowest state is a model with a given spread of the local energy?

With psi = sum_n c_n psi_n, the energy lies sum |c_n|^2 (E_n - E_0) above the lowest state's, and the variance
of the local energy is sum |c_n|^2 (E_n - E_0)^2, to lowest order. Networks that admix the same kind of states
and less of them as they get better have an excess in proportion to the variance: a N spread^2 per electron,
with 1/a the mean energy of the states admixed. Fits a to all models of other records that were compared with
exact energies. Given two swept runs, then says where their energies would cross at zero variance.
"""

import argparse
import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray
from environment import save
from rich.console import Console
from rich.table import Table

from qernel.comparison import compare
from qernel.crossing import crossings
from qernel.numbers import with_error
from qernel.runs import Run

#: Electrons by record.
RECORDS = {"ablations": 4, "conditioning": 4, "sweep_cost": 4, "ablations_six": 6, "fillings": 6}
LARGEST = 3.0  # spread, meV per electron, up to which the relation is fitted


class Models(NamedTuple):
    """Excess over the exact energy, its statistical error and the spread; meV per electron."""

    excess: np.ndarray
    error: np.ndarray
    spread: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="two swept runs, over the same contexts")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if len(arguments.runs) not in (0, 2):
        parser.error("two runs, or none")
    table = Table("record", "electrons", "models", "spread", "1000 a (1/meV)", "scatter / error", box=None)
    rows = []
    for name, electrons in RECORDS.items():
        models = read(Path(__file__).parent / f"{name}.json")
        slope, error, scatter = proportion(models, electrons)
        row = {"record": name, "electrons": electrons, "models": len(models.excess), "scatter": scatter}
        rows.append(row | {"a": slope, "error": error})
        spreads = f"{models.spread.min():.2f} to {models.spread.max():.2f}"
        cells = spreads, with_error(1e3 * slope, 1e3 * error)
        table.add_row(name, str(electrons), str(len(models.excess)), *cells, f"{scatter:.2f}")
    Console().print(table)
    found = {"command": "benchmarks/excess.py", "units": "meV per electron", "rows": rows}
    if arguments.runs:
        found["crossings"] = crossings_at_zero_variance(arguments.runs, [row["a"] for row in rows])
    save(arguments.out, found)


def read(path: Path) -> Models:
    """All models of a record whose spread is not too large."""
    rows = json.loads(path.read_text())["rows"]
    columns = (np.concatenate([np.ravel(row[key]) for row in rows]) for key in ("excess", "error", "spread"))
    models = Models(*columns)
    return Models(*(column[models.spread < LARGEST] for column in models))


def proportion(models: Models, electrons: int) -> tuple[float, float, float]:
    """a of excess = a N spread^2 by least squares, its error, and the scatter about it in units of errors.

    The error is scaled up by the scatter where that is larger than one.
    """
    terms, weights = electrons * models.spread**2, models.error**-2
    norm = np.sum(weights * terms**2)
    slope = float(np.sum(weights * terms * models.excess) / norm)
    residuals = (models.excess - slope * terms) / models.error
    scatter = math.sqrt(np.sum(residuals**2) / (len(terms) - 1))
    return slope, max(scatter, 1.0) / math.sqrt(norm), scatter


def crossings_at_zero_variance(runs: list[Path], slopes: list[float]) -> list[dict]:
    """Where the energies of the runs' last sweeps cross, as measured and with each less its excess."""
    files, found = {path.name: Run(path).sweep_files()[-1] for path in runs}, []
    sweeps = {name: xarray.load_dataset(file, engine="scipy") for name, file in files.items()}
    for slope in (0.0, min(slopes), max(slopes)):
        excess = {name: slope * each.attrs["electrons"] * each["variance"] for name, each in sweeps.items()}
        data = compare(
            {name: each.assign(energy=each["energy"] - excess[name]) for name, each in sweeps.items()}
        )
        for crossing in crossings(data["energy"], data["energy_error"]):
            mean = {name: float(each.mean()) for name, each in excess.items()}
            found.append({"a": slope, "value": crossing.value, "error": crossing.error, "excess": mean})
            lowered = ", ".join(f"{name} lower by {value:.3f}" for name, value in mean.items())
            print(f"a = {slope:.4f} / meV: cross at {with_error(crossing.value, crossing.error)} ({lowered})")
    return found


if __name__ == "__main__":
    main()

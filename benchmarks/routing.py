"""What do the experts do along a sweep?

Reads the newest sweep over one parameter of each run and prints, layer by layer, how many of the routed
experts an electron uses (the exponential of the entropy of its weights) at the first, middle and last
context, and by how much the weights change: over the whole sweep, and from one context to the next. Of
several runs at the same contexts also by how much their weights differ at most.
"""

import argparse
from pathlib import Path

import numpy as np
import xarray
from environment import save
from rich.console import Console
from rich.table import Table

from qernel.sweep_files import read_sweeps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="runs of QERNEL, swept over one parameter")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    sweeps = [each for path in arguments.runs for each in read_sweeps(path, name=path.name).items()]
    rows = [{"run": name} | along(data) for name, data in sweeps]
    first, *others = (data["expert_weight"].values for _, data in sweeps)
    apart = [float(np.abs(each - first).max()) for each in others]
    print_table(rows)
    for row, each in zip(rows[1:], apart, strict=True):
        print(f"weights of {row['run']} differ from those of {rows[0]['run']} by up to {each:.3f}")
    save(arguments.out, {"command": "benchmarks/routing.py", "rows": rows, "apart": apart})


def along(data: xarray.Dataset) -> dict:
    """Experts used (context, layer) with the largest error, and the largest changes of a weight."""
    (parameter,) = (str(dim) for dim in data["energy"].dims)
    weight, used = data["expert_weight"].values, data["experts_used"]
    return {
        "parameter": parameter,
        "contexts": data[parameter].values.tolist(),
        "experts_used": used.values.round(4).tolist(),
        "error": float(data["experts_used_error"].max()),
        "change": float(np.abs(weight[-1] - weight[0]).max()),
        "largest_step": float(np.abs(np.diff(weight, axis=0)).max()),
    }


def print_table(rows: list[dict]) -> None:
    columns = ("context", "experts used, by layer", "weights change by", "in one step by")
    table = Table("run", *columns, box=None)
    for row in rows:
        last = len(row["contexts"]) - 1
        for index in (0, last // 2, last):
            used = ", ".join(f"{each:.2f}" for each in row["experts_used"][index])
            changes = (f"{row['change']:.3f}", f"{row['largest_step']:.4f}") if index == 0 else ("", "")
            table.add_row(row["run"] if index == 0 else "", f"{row['contexts'][index]:g}", used, *changes)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()

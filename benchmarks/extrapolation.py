"""How well do energies at zero variance say how far a model lies above the exact energy?

Trains the preset `six-over-depth` for four and for six electrons and stops it early, at several numbers of
steps. Each time prints the excess over the exact energy beside the excess over the energy at zero variance,
which is known without the exact one (`src/qernel/extrapolation.py`).
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from environment import save
from exact import exact_energy
from rich.console import Console
from rich.table import Table

from qernel.config import Config, load_config
from qernel.extrapolation import at_zero_variance, excess_slope
from qernel.measurement import Effort
from qernel.sweep import sweep
from qernel.tables import with_error
from qernel.training.loop import initial_state, train
from qernel.training.step import StepMetrics, TrainingState

#: Electrons/cells: overrides, and depths with a known energy of the preset's momentum (-1, 0).
SYSTEMS = {
    "4/6": (["electrons=[4,0]", "cells=6"], [0.7, 0.9, 1.1, 1.3, 1.5]),
    "6/9": ([], [0.7, 1.0, 1.1, 1.3, 1.5]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--steps", type=int, nargs="+", default=[125, 250, 500])
    parser.add_argument("--walkers", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    about = {"command": "benchmarks/extrapolation.py", "walkers": arguments.walkers, "seed": arguments.seed}
    rows = []
    for system in arguments.systems:
        overrides = SYSTEMS[system][0]
        stages = f"stages=[{{steps={max(arguments.steps)},contexts=8}}]"
        schedule = [f"walkers={arguments.walkers}", f"seed={arguments.seed}", "refresh_every=25", stages]
        config, history = load_config("six-over-depth", [*overrides, *schedule]), []
        for state, metrics in train(config, initial_state(config)):
            history.append(recorded(state, metrics))
            if len(history) in arguments.steps:
                rows.append(
                    {"system": system, "steps": len(history)} | measured(config, state, history, system)
                )
                print(rows[-1], flush=True)
                save(arguments.out, about | {"units": "meV per electron", "depths": SYSTEMS, "rows": rows})
    print_table(rows)


def recorded(state: TrainingState, metrics: StepMetrics) -> dict[str, Any]:
    """What a run's `metrics.jsonl` keeps of a step, as far as it is needed."""
    return {"contexts": np.asarray(state.contexts)} | {
        name: np.asarray(getattr(metrics, name)) for name in ("energy", "spread", "refused")
    }


def measured(
    config: Config, state: TrainingState, history: list[Mapping[str, Any]], system: str
) -> dict[str, Any]:
    """Excess over the exact energies and over those at zero variance, averaged over depths, with errors."""
    depths = SYSTEMS[system][1]
    data = sweep(config, state, {"moire_depth": depths}, Effort(walkers=128, samples=40))
    exact = np.array([exact_energy(system, depth) for depth in depths])
    found = {"spread": float(data["spread"].mean())}
    found["excess"] = float((data["energy"] - exact).mean())
    found["error"] = float(np.sqrt((data["energy_error"] ** 2).sum())) / len(depths)
    if (slope := excess_slope(history)) is not None:
        gap = data["energy"] - at_zero_variance(data, slope)["extrapolated_energy"]
        found |= {"slope": slope.value, "slope_error": slope.error, "expected": float(gap.mean())}
        found["expected_error"] = found["expected"] * slope.error / slope.value
    return found


def print_table(rows: list[dict[str, Any]]) -> None:
    table = Table(
        "electrons/cells", "steps", "spread", "excess", "by zero variance", "slope (1/meV)", box=None
    )
    for row in rows:
        cells = [
            row["system"],
            str(row["steps"]),
            f"{row['spread']:.2f}",
            with_error(row["excess"], row["error"]),
        ]
        if "slope" in row:
            cells.append(with_error(row["expected"], row["expected_error"]))
            cells.append(with_error(row["slope"], row["slope_error"]))
        table.add_row(*cells)
    Console().print(table)


if __name__ == "__main__":
    main()

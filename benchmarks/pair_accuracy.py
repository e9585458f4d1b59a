"""How far is one conditional model from the exact energies of two electrons?

Trains the preset `pair` (one model over depths 0.5 to 2.0) for several seeds and measures each at depths
it was never trained at, the ends of the range included. The exact ground state is at momentum K; the
lowest Gamma state, 3 to 9 meV per electron higher, is where a run could get stuck.
"""

import argparse
from pathlib import Path

import numpy as np
from environment import save
from rich.console import Console

from qernel.config import load_config
from qernel.measurement import Effort
from qernel.progress import TrainingView
from qernel.runs import Run
from qernel.tables import sweep_table
from qernel.workflows import sweep_run, train_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/pair-accuracy"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("overrides", nargs="*", help="key=value")
    arguments = parser.parse_args()
    console, rows = Console(), []
    for seed in arguments.seeds:
        config = load_config("pair", [f"training.seed={seed}", *arguments.overrides])
        run = Run(arguments.runs / f"seed-{seed}")
        train_run(config, run, TrainingView(config, console))
        depths = np.linspace(0.5, 2.0, 16).tolist()
        written = sweep_run(run, {"moire_depth": depths}, Effort(samples=80), lambda share: None)
        ((data, _),) = written.values()
        console.print(sweep_table(data))
        excess = data["energy"] - data["exact_energy"]
        sigma = data["energy_error"]
        rows.append(
            {
                "seed": seed,
                "depths": depths,
                "energy": data["energy"].values.tolist(),
                "error": sigma.values.tolist(),
                "exact": data["exact_energy"].values.tolist(),
                "largest_excess_meV": float(excess.max()),
                "lowest_in_sigma": float((excess / sigma).min()),
            }
        )
        console.print(
            f"seed {seed}: at most {float(excess.max()):+.3f} meV per electron above the exact energy, "
            f"never more than {max(0.0, -float((excess / sigma).min())):.1f} sigma below"
        )
    save(arguments.out, {"command": "benchmarks/pair_accuracy.py", "rows": rows})


if __name__ == "__main__":
    main()

"""How low does a small model get for six electrons in nine cells at depth 1, within 700 steps?

Trains the preset `six` and measures the result by inference. For comparison, the public PsiFormer program
with 103k parameters and KFAC stood at -59.05 meV per electron after 584 steps and -59.12 after 734.
"""

import argparse
from pathlib import Path

from environment import save
from rich.console import Console

from qernel.config import load_config
from qernel.measurement import Effort
from qernel.progress import TrainingView
from qernel.runs import Run
from qernel.wavefunction import count_parameters
from qernel.workflows import sweep_run, train_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/six-energy"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("overrides", nargs="*", help="key=value")
    arguments = parser.parse_args()
    console, rows = Console(), []
    for seed in arguments.seeds:
        config = load_config("six", [f"training.seed={seed}", *arguments.overrides])
        run = Run(arguments.runs / f"seed-{seed}")
        train_run(config, run, TrainingView(config, console))
        written = sweep_run(run, {}, Effort(walkers=256, samples=80), lambda share: None)
        ((data, _),) = written.values()
        state = run.state()
        row = {
            "seed": seed,
            "steps": config.training.steps,
            "parameters": sum(count_parameters(state.model).values()),
            **{name: float(data[name]) for name in ("energy", "energy_error", "spread", "energy_r_hat")},
        }
        rows.append(row)
        console.print(row)
    save(arguments.out, {"command": "benchmarks/six_energy.py", "rows": rows})


if __name__ == "__main__":
    main()

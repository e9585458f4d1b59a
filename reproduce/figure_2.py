"""Fig. 2: QERNEL against PsiFormer at one context, energy against steps and against seconds.

Full: 18 electrons in 27 cells at depth 1, eps 5; QERNEL with 229k parameters, PsiFormer with 415k and 1,074k,
all with SPRING, 1024 walkers and 20,000 steps: on an H100 0.14 and 0.23 seconds a step for the first two,
an hour or so each. The same command resumes.

Miniature: 2 electrons in 3 cells, some thousand parameters, 60 steps. A minute or two on two cores.
"""

import csv
from itertools import accumulate
from pathlib import Path

import numpy as np
from commands import options, qernel

from qernel.report import style
from qernel.report.style import figure_style, new_figure, save_figure
from qernel.runs import Run

FULL = {
    "QERNEL 229k": ["eighteen", "contexts={}", "microbatch=1024", "stages=[{steps=20000}]"],
    "PsiFormer 415k": ["six-psiformer", "model.size=128"],
    "PsiFormer 1074k": ["six-psiformer", "model.size=208", "heads=8", "groups=8"],
}
FULL_BASELINE = ["electrons=[18,0]", "cells=27", "walkers=1024", "microbatch=1024", "stages=[{steps=20000}]"]

MINIATURE = {
    "QERNEL 4.1k": ["pair", "contexts={}", "stages=[{steps=60}]", "model.size=16", "layers=1", "heads=4"],
    "PsiFormer 7.7k": ["six-psiformer", "model.size=24", "layers=2"],
}
MINIATURE_BASELINE = ["electrons=[2,0]", "cells=3", "walkers=256", "stages=[{steps=60}]"]

_WINDOW = 50  # steps that a point averages over, at most a tenth of all


def main() -> None:
    arguments = options(__doc__, "figure-2")
    models, baseline = (MINIATURE, MINIATURE_BASELINE) if arguments.miniature else (FULL, FULL_BASELINE)
    curves = {}
    for name, settings in models.items():
        run = arguments.out / name.replace(" ", "-")
        source, *overrides = settings
        extra = baseline if source == "six-psiformer" else []
        qernel("train", source, *overrides, *extra, "--out", str(run))
        curves[name] = curve(Run(run))
    draw(curves, arguments.out)


def curve(run: Run) -> np.ndarray:
    """Columns: step, seconds since the first step, energy in meV per electron, averaged over windows."""
    rows = list(run.metrics())
    seconds = accumulate([0.0, *(row["seconds"] for row in rows[1:])])
    table = np.array([[row["step"], s, np.mean(row["energy"])] for row, s in zip(rows, seconds, strict=True)])
    window = max(1, min(_WINDOW, len(table) // 10))
    blocks = np.array_split(table, len(table) // window)
    return np.array([block.mean(axis=0) for block in blocks])


def draw(curves: dict[str, np.ndarray], out: Path) -> None:
    """figure-2.png, .pdf and .csv."""
    with figure_style():
        figure = new_figure(3.2)
        panels = figure.subplots(1, 2, sharey=True)
        for (name, table), colour in zip(curves.items(), style.SERIES, strict=False):
            for axes, column in zip(panels, (0, 1), strict=True):
                axes.plot(table[:, column], table[:, 2], color=colour, label=name)
        late = np.concatenate([table[len(table) // 4 :, 2] for table in curves.values()])
        panels[0].set_ylim(late.min() - 0.1 * np.ptp(late), late.max() + 0.1 * np.ptp(late))
        panels[0].set(xlabel="step", ylabel="energy per electron (meV)")
        panels[1].set(xlabel="time (s)")
        panels[0].legend()
        save_figure(figure, out / "figure-2")
    with open(out / "figure-2.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "step", "seconds", "energy_meV"])
        writer.writerows([name, *row] for name, table in curves.items() for row in table.tolist())
    print(f"wrote {out / 'figure-2.png'}")


if __name__ == "__main__":
    main()

"""The first command: train a small conditional model, check it, sweep a shipped one, draw the page."""

from pathlib import Path

from rich.console import Console

from qernel.config import load_config
from qernel.measurement import Effort
from qernel.progress import MeasuringView, TrainingView
from qernel.report.page import write_report
from qernel.runs import Run
from qernel.shipped import copy_model
from qernel.tables import sweep_table
from qernel.workflows import sweep_run, train_run

_STEPS = 200  # of the preset's 600: within 0.1 meV per electron of the exact energies
_PAIR_DEPTHS = [0.6, 0.9, 1.2, 1.5, 1.8]
_SIX_DEPTHS = [0.5, 0.7, 0.9, 1.1, 1.3, 1.5]


def run_demo(out: Path, console: Console, *, quick: bool = False) -> Path:
    """Train and sweep two electrons, sweep the shipped six-electron model, and report on both.

    `quick` walks the same path with a handful of steps and samples: it shows that all parts work, not
    what they can do. Returns the page's path.
    """
    pair, six = Run(out / ("pair-quick" if quick else "pair")), Run(out / "six")
    config = load_config("pair", [f"training.stages=[{{steps={4 if quick else _STEPS},contexts=8}}]"])
    effort = Effort(walkers=8, equilibration=2, samples=4) if quick else Effort(samples=80)
    console.rule("1. one wavefunction for two electrons at every depth from 0.5 to 2.0")
    train_run(config, pair, TrainingView(config, console))
    console.rule("2. measured at depths it was not trained at, beside exact diagonalization")
    _sweep(pair, _PAIR_DEPTHS, effort, console)
    console.rule("3. a shipped model: six electrons in nine moiré cells")
    copy_model("six-over-depth", six)
    depths = _SIX_DEPTHS[:2] if quick else _SIX_DEPTHS
    _sweep(six, depths, effort._replace(samples=effort.samples // 2), console)
    page = write_report(pair, six)
    console.rule("done")
    console.print(f"open {page}", highlight=False, soft_wrap=True)
    return page


def _sweep(run: Run, depths: list[float], effort: Effort, console: Console) -> None:
    with MeasuringView(console) as view:
        written = sweep_run(run, {"moire_depth": depths}, effort, view.update)
    for data, path in written.values():
        console.print(sweep_table(data))
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)

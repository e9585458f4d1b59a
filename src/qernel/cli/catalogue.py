"""Commands that say what there is: presets, models, a run, its citations."""

from pathlib import Path

from rich.table import Table

from qernel.citations import citations
from qernel.cli.application import app, console
from qernel.cli.introduction import introduce, parameters_by_module
from qernel.cli.opening import open_run
from qernel.config import load_config, preset_names
from qernel.dataset import load_sweep
from qernel.shipped import find_run, shipped_model, shipped_models
from qernel.tables import sweep_table


@app.command
def presets(name: str | None = None, /) -> None:
    """List the named systems and models with what each costs, or print one as a TOML file.

    Parameters
    ----------
    name
        Preset to print in full; it is a template for files of your own.
    """
    if name is not None:
        console.print(load_config(name).to_toml(), markup=False, highlight=False, soft_wrap=True)
        return
    table = Table("preset", "system", "parameters", "cost", box=None, padding=(0, 2, 0, 0))
    for each in preset_names():
        config = load_config(each)
        counts = parameters_by_module(config)
        table.add_row(
            each,
            config.description,
            f"{sum(counts.values()):,}",
            config.cost,
        )
    console.print(table)
    console.print("trained models, ready to sweep: qernel models", highlight=False)


@app.command
def models(name: str | None = None, /) -> None:
    """List the trained models that come with the package, or print the card of one.

    Each can be named wherever a command takes a run; those that read sweeps need one first.

    Parameters
    ----------
    name
        Model whose card to print: Hamiltonian, training, energies beside exact ones, limits.
    """
    if name is not None:
        card = shipped_model(name).path / "CARD.md"
        console.print(card.read_text(encoding="utf-8"), markup=False, highlight=False, soft_wrap=True)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("model", "e/cells", "eps", "contexts", "sector", "steps"):
        table.add_column(column, no_wrap=column != "contexts")
    for each in shipped_models():
        run = shipped_model(each)
        config, system = run.config(), run.config().system
        ranges = "\n".join(f"{key} {low:g}-{high:g}" for key, (low, high) in config.trained.items())
        eps = "" if "dielectric_constant" in config.contexts else f"{system.dielectric_constant:g}"
        table.add_row(
            each,
            f"{sum(system.electrons)}/{system.lattice().cells}",
            eps,
            ranges,
            "\n".join(map(str, config.model.momenta)) or str(config.model.sector),
            str(run.step()),
        )
    console.print(table)
    console.print("contexts and steps of the last training; `qernel models NAME` says what came before it")


@app.command
def show(run: Path, /) -> None:
    """Say what is in a run: system, ansatz, progress, checkpoints, sweeps.

    Parameters
    ----------
    run
        A run's directory, or the name of a shipped model, which is copied to runs/NAME first.
    """
    this = open_run(run)
    config = this.config()
    introduce(config)
    console.print(f"steps: {this.step()} of {config.training.steps}")
    for path in sorted(this.checkpoint_directory.glob("*.safetensors")):
        console.print(f"checkpoint: {path} ({path.stat().st_size / 2**20:.1f} MiB)", soft_wrap=True)
    for path in this.sweep_files():
        data = load_sweep(path)
        title = f"sweep: {path}" if data is not None else f"{path}: not a sweep, or damaged"
        if data is not None and config.model.momenta:
            title += f", momentum {data.attrs.get('model_sector')}"
        console.print(title, highlight=False, soft_wrap=True)
        if data is not None:
            console.print(sweep_table(data))


@app.command
def cite(run: Path, /) -> None:
    """Print the papers that a run rests on, as BibTeX.

    Parameters
    ----------
    run
        A run's directory, or the name of a shipped model.
    """
    console.print(citations(find_run(run).config()), markup=False, highlight=False, soft_wrap=True)

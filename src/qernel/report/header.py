"""The part of the page that says what a run is."""

import itertools
import platform
from collections.abc import Iterator

import jax
import matplotlib
import numpy as np

import qernel
from qernel.config import Config
from qernel.hamiltonian.hamiltonian import make_hamiltonian
from qernel.report.numbers import MINUS
from qernel.report.style import parameters_in_words, spoken, with_unit
from qernel.units import CONTEXT_PARAMETERS, density_parameter
from qernel.wavefunction import count_parameters, wavefunction_shapes


def facts(config: Config) -> list[tuple[str, str]]:
    """Terms and descriptions: system, supercell, Hamiltonian, contexts, ansatz, training."""
    return [
        ("System", _electrons(config)),
        ("Supercell", _supercell(config)),
        ("Hamiltonian", parameters(config)),
        ("Density", _density(config)),
        ("Contexts", _contexts(config)),
        *_ansatz(config),
        ("Training", _training(config)),
    ]


def _electrons(config: Config) -> str:
    up, down = config.system.electrons
    cells = config.system.lattice().cells
    spins = "all of one spin" if 0 in (up, down) else f"{up} up, {down} down"
    return f"{up + down} electrons ({spins}) in {cells} moiré cells"


def _supercell(config: Config) -> str:
    cell = config.system.lattice()
    lengths = np.linalg.norm(cell.vectors, axis=1).tolist()
    vectors = "; ".join(
        f"A{i} = {_combination(row)}, {length:.3f} a_M long"
        for i, row, length in zip("₁₂", cell.matrix, lengths, strict=True)
    )
    fits = "fits" if cell.fits_sqrt3_order else "does not fit"
    return f"{vectors}. The √3 × √3 order {fits}."


def _combination(row: tuple[int, int]) -> str:
    """Integer multiples of the moiré lattice vectors, e.g. −2a₁ + a₂."""
    text = ""
    for count, vector in zip(row, ("a₁", "a₂"), strict=True):
        if count:
            sign = MINUS if count < 0 else "+" if text else ""
            text += f"{f' {sign} ' if text else sign}{abs(count) if abs(count) > 1 else ''}{vector}"
    return text


def parameters(config: Config) -> str:
    """Every parameter of the Hamiltonian."""
    values = {name: getattr(config.system, name) for name in CONTEXT_PARAMETERS}
    ranges = {name: config.contexts.get(name, (value, value)) for name, value in values.items()}
    return parameters_in_words(config.system.moire_potential, ranges)


def _density(config: Config) -> str:
    system = config.system
    filling = sum(system.electrons) / system.lattice().cells
    names = ("dielectric_constant", "effective_mass", "moire_constant")
    choices = [config.contexts.get(name, (getattr(system, name),)) for name in names]
    values = [density_parameter(filling, *choice) for choice in itertools.product(*choices)]
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return f"{filling:.4g} electrons per moiré cell, rₛ = {low if low == high else f'{low} to {high}'}"


def _contexts(config: Config) -> str:
    ranges = [
        f"{spoken(name)} from {low:g} to {with_unit(name, high)}"
        for name, (low, high) in config.contexts.items()
    ]
    if config.model.momenta:
        ranges.append(f"each of the momenta {', '.join(map(str, config.model.momenta))}")
    return "; ".join(ranges) or "none: trained at fixed parameters"


def _ansatz(config: Config) -> Iterator[tuple[str, str]]:
    hamiltonian = make_hamiltonian(config)
    counts = count_parameters(wavefunction_shapes(config, hamiltonian))
    total = sum(counts.values())
    share = counts.get("conditioning", 0) / total
    conditioning = f"{share:.1%} of them for conditioning" if share else "none for conditioning"
    modules = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items())
    yield "Ansatz", f"{config.model.ansatz}, {total:,} parameters, {conditioning}"
    yield "Parameters", modules


def _training(config: Config) -> str:
    training = config.training
    stages = ", then ".join(
        f"{stage.steps:,} steps" + (f" at {stage.contexts} contexts" if stage.contexts > 1 else "")
        for stage in training.stages
    )
    redraws = f" (redrawn every {training.refresh_every:,})" if config.contexts else ""
    return (
        f"{config.optimizer.name}, {training.walkers:,} walkers, {stages}{redraws}, "
        f"{training.precision}, seed {training.seed}"
    )


def versions() -> str:
    """The programs that write the page."""
    return (
        f"page written by qernel {qernel.__version__}, Python {platform.python_version()}, "
        f"JAX {jax.__version__}, NumPy {np.__version__}, Matplotlib {matplotlib.__version__}"
    )

"""`qernel verify`: what a referee would ask, answered by running it.

The Hamiltonian is compared with closed forms, wavefunctions with exact energies and with their own
symmetries, and negative controls must show nothing. Every comparison is a row; one failure fails the whole.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from rich.console import Console

import qernel
from qernel.config import load_config
from qernel.hamiltonian import make_hamiltonian
from qernel.measurement import Effort
from qernel.progress import TrainingView
from qernel.runs import VERIFICATION, Run
from qernel.verification.check import Check
from qernel.verification.controls import check_no_jump
from qernel.verification.hamiltonian import check_hamiltonian
from qernel.verification.trained import check_trained, exact_energies_at
from qernel.workflows import train_run


def verify(out: Path, console: Console, report: Callable[[Check], None], *, quick: bool) -> Run:
    """Run all comparisons, telling each to `report`; returns the run whose directory holds the results.

    Models that the comparisons need are trained below `out`; those already there are used.
    """
    pair = Run(out / "pair")
    checks = []
    for check in _checks(out, console, quick=quick):
        report(check)
        checks.append(check)
    write_checks(pair, checks)
    return pair


def verify_run(run: Run, report: Callable[[Check], None], *, points: int = 3) -> None:
    """Compare a run with exact energies, where there are some, and with itself, over its contexts."""
    config = run.config()
    state, _ = run.state()
    ranges = list(config.contexts.values())
    shares = (np.arange(points) + 0.5) / points if ranges else np.zeros(1)
    contexts = np.array([[low + share * (high - low) for low, high in ranges] for share in shares])
    exact = exact_energies_at(make_hamiltonian(config), contexts, _DETERMINANTS)
    checks = []
    for check in check_trained(run.path.name, config, state, contexts, _EFFORT, exact, allowed=0.1):
        report(check)
        checks.append(check)
    write_checks(run, checks)


def write_checks(run: Run, checks: list[Check]) -> None:
    """Write verification.json beside the run's configuration."""
    content = {
        "program": f"qernel {qernel.__version__}, jax {jax.__version__}",
        "checks": [check.as_dict() for check in checks],
    }
    (run.path / VERIFICATION).write_text(json.dumps(content, indent=1))


_EFFORT = Effort(walkers=128, samples=60)
_DETERMINANTS = 20_000  # of exact diagonalization: some 0.01 meV per electron


class _Model(NamedTuple):
    """A model to train and compare: a preset with overrides."""

    name: str
    preset: str
    overrides: tuple[str, ...]
    contexts: tuple[float, ...]  # values of its one parameter, none of them trained at; or none
    allowed: float  # above the exact energy, meV per electron


def _stages(*stages: tuple[int, int]) -> str:
    return f"training.stages=[{', '.join(f'{{steps={steps},contexts={n}}}' for steps, n in stages)}]"


_RANGE = "contexts={moire_depth=[0.65,1.55]}"
_LATE = "contexts={moire_depth=[1.0,1.6]}"  # where six electrons are at K
_QUICK = (_Model("pair", "pair", (_stages((200, 8)),), (0.7, 1.1, 1.5), 0.1),)
_FULL = (
    _Model("pair", "pair", (_stages((600, 8)),), (0.7, 0.9, 1.1, 1.3, 1.5), 0.02),
    _Model("pair-seed1", "pair", (_stages((600, 8)), "training.seed=1"), (0.7, 1.1, 1.5), 0.02),
    _Model("pair-eps10", "pair", (_stages((600, 8)), "dielectric_constant=10"), (0.7, 1.1, 1.5), 0.02),
    *(
        _Model(
            f"four-eps{eps}",
            "six-over-depth",
            ("electrons=[4,0]", "cells=6", f"dielectric_constant={eps}", _RANGE, _stages((200, 4), (400, 8))),
            (0.7, 1.1, 1.5),
            0.1,
        )
        for eps in (5, 10)
    ),
    _Model("six-eps5", "six-over-depth", (_stages((200, 4), (500, 8)),), (0.7, 0.9), 0.1),
    _Model("six-eps5-K", "six-over-depth", ("sector=[1,1]", _LATE, _stages((700, 8))), (1.3, 1.5), 0.1),
    _Model(
        "six-slaternet",
        "six-slaternet",
        ("orbitals=bloch", "moire_features=true", "decay_steps=200", _stages((600, 1))),
        (),
        0.0,
    ),
    *(
        _Model(
            f"gas-{electrons}",
            "six-over-depth",
            (
                f"electrons=[{electrons},0]",
                f"cells={electrons}",
                "filling=1",
                "moire_depth=0",
                "contexts={dielectric_constant=[2.6,6.0]}",
                f"walkers={walkers}",
                _stages((steps, 8)),
            ),
            (2.78886, 5.57772),  # r_s = 10 and 5
            0.1,
        )
        for electrons, walkers, steps in ((7, 256, 400), (19, 128, 250))
    ),
)


def _checks(out: Path, console: Console, *, quick: bool) -> Iterator[Check]:
    yield from check_hamiltonian(quick=quick)
    yield from check_no_jump()
    for model in _QUICK if quick else _FULL:
        config = load_config(model.preset, model.overrides)
        run = Run(out / model.name)
        train_run(config, run, TrainingView(config, console))
        state, _ = run.state()
        contexts = np.array([[value] for value in model.contexts]) if config.contexts else np.zeros((1, 0))
        hamiltonian = make_hamiltonian(config)
        exact = exact_energies_at(hamiltonian, contexts, _DETERMINANTS)
        group = f"{model.name}: {hamiltonian.electrons} electrons in {hamiltonian.supercell.cells} cells"
        yield from check_trained(group, config, state, contexts, _EFFORT, exact, model.allowed)

"""`qernel verify`: what a referee would ask, answered by running it.

The Hamiltonian is compared with closed forms, wavefunctions with exact energies and with their own
symmetries, and negative controls must show nothing. Every comparison is a row; one failure fails the whole.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from rich.console import Console

import qernel
from qernel.branches import Branch, branches
from qernel.config import load_config
from qernel.hamiltonian import make_hamiltonian
from qernel.measurement import Effort
from qernel.progress import TrainingView
from qernel.runs import VERIFICATION, Run, write_atomically
from qernel.shipped import shipped_model
from qernel.verification.check import Check
from qernel.verification.controls import check_no_transition
from qernel.verification.exact import exact_energies_at
from qernel.verification.hamiltonian import check_hamiltonian
from qernel.verification.trained import check_trained
from qernel.workflows import train_run


def verify(out: Path, console: Console, report: Callable[[Check], None], *, quick: bool) -> Run:
    """Run all comparisons, telling each to `report`; returns the run whose directory holds the results.

    Models that are not shipped are trained below `out`; those already there are used.
    """
    families = _QUICK if quick else _FULL
    first = next(model for model in families[0].models if isinstance(model, _Trained))
    checks = []
    for check in _checks(families, out, console, quick=quick):
        report(check)
        checks.append(check)
    run = Run(out / first.name)
    write_checks(run, checks)
    return run


def verify_run(run: Run, report: Callable[[Check], None]) -> None:
    """Compare a run with exact energies, where there are some, and with itself, over its contexts."""
    config, candidates = run.config(), branches(run)
    ranges = list(config.trained.values())
    shares = (np.arange(_POINTS) + 0.5) / _POINTS if ranges else np.zeros(1)
    points = np.array([[low + share * (high - low) for low, high in ranges] for share in shares])
    contexts = np.unique(points, axis=0)  # one where `training.within` leaves one
    exact = exact_energies_at(make_hamiltonian(candidates[0].config), contexts, _DETERMINANTS)
    checks = []
    for check in check_trained(run.path.name, candidates, contexts, _EFFORT, exact, allowed=0.1):
        report(check)
        checks.append(check)
    write_checks(run, checks)


def write_checks(run: Run, checks: list[Check]) -> None:
    """Write verification.json beside the run's configuration, in place of an earlier one."""
    content = {
        "program": f"qernel {qernel.__version__}, jax {jax.__version__}",
        "checks": [check.as_dict() for check in checks],
    }
    write_atomically(run.path / VERIFICATION, json.dumps(content, indent=1))


_EFFORT = Effort(walkers=128, samples=60)
_POINTS = 3  # of a run's contexts
_DETERMINANTS = 20_000  # of exact diagonalization: some 0.01 meV per electron


class _Trained(NamedTuple):
    """A model that is trained for the comparison: a preset with overrides."""

    name: str
    preset: str
    overrides: tuple[str, ...]


class _Family(NamedTuple):
    """Models of one system, trained here or shipped (by name); the lowest at a context counts."""

    name: str
    models: tuple[_Trained | str, ...]
    contexts: tuple[float, ...]  # values of its one parameter, none of them trained at; or none
    allowed: float  # above the exact energy, meV per electron
    effort: Effort | None = None  # where it is not the usual one


def _stages(*stages: tuple[int, int]) -> str:
    return f"training.stages=[{', '.join(f'{{steps={steps},contexts={n}}}' for steps, n in stages)}]"


def _pair(name: str, *overrides: str, steps: int = 600) -> _Trained:
    return _Trained(name, "pair", (_stages((steps, 8)), *overrides))


_SLATERNET = _Trained(
    "pair-slaternet",
    "six-slaternet",
    (
        "electrons=[2,0]",
        "cells=3",
        "size=32",
        "layers=3",
        "moire_features=true",
        "walkers=512",
        "damping=0.01",
        "norm_bound=0.003",
        "decay_steps=100",
        _stages((500, 1)),
    ),
)
_QUICK = (_Family("pair", (_pair("pair-quick", steps=200),), (0.7, 1.1, 1.5), 0.1),)
_FULL = (
    _Family("pair", (_pair("pair"), _pair("pair-seed1", "training.seed=1")), (0.7, 0.9, 1.1, 1.3, 1.5), 0.02),
    _Family("pair, eps 10", (_pair("pair-eps10", "dielectric_constant=10"),), (0.7, 1.1, 1.5), 0.02),
    _Family("four", ("four-over-depth",), (0.7, 0.9, 1.1, 1.3, 1.5), 0.05),
    _Family("four, eps 10", ("four-over-depth-eps10",), (0.7, 1.1, 1.5), 0.05),
    _Family("six", ("six-over-depth", "six-K"), (0.7, 0.9, 1.3, 1.5), 0.05),
    _Family("six, eps 10", ("six-over-depth-eps10", "six-K-eps10"), (0.7, 1.1, 1.5), 0.05),
    # Without correlation the local energy scatters by several meV.
    _Family("SlaterNet", (_SLATERNET,), (), 0.0, Effort(walkers=512, samples=240)),
    *(_Family(f"gas of {n}", (f"gas-{n}",), (2.78886, 5.57772), 0.1) for n in (7, 19)),  # r_s 10, 5
)


def _checks(families: Sequence[_Family], out: Path, console: Console, *, quick: bool) -> Iterator[Check]:
    yield from check_hamiltonian(quick=quick)
    yield from check_no_transition()
    for family in families:
        candidates = [each for model in family.models for each in _candidates(model, out, console)]
        config = candidates[0].config
        contexts = np.array([[value] for value in family.contexts]) if config.contexts else np.zeros((1, 0))
        hamiltonian = make_hamiltonian(config)
        group = f"{family.name}: {hamiltonian.electrons} electrons in {hamiltonian.supercell.cells} cells"
        console.print(f"comparing {group} ...", highlight=False)
        exact = exact_energies_at(hamiltonian, contexts, _DETERMINANTS)
        effort = family.effort or _EFFORT
        yield from check_trained(group, candidates, contexts, effort, exact, family.allowed)


def _candidates(model: _Trained | str, out: Path, console: Console) -> list[Branch]:
    """A shipped model, or one that is trained below `out` unless it is there already."""
    if isinstance(model, str):
        run, name = shipped_model(model), model
    else:
        config, run, name = load_config(model.preset, model.overrides), Run(out / model.name), model.name
        train_run(config, run, TrainingView(config, console))
        jax.clear_caches()  # the compiled code of some ten trainings crashes a process
    return branches(run, name)

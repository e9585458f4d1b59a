"""What does a training step spend its time on, in forward passes of the same network over the same walkers?

Times the parts of a step apart, on all devices: the moves, the local energies, the scores, and what the
optimizer does with them. The floor is one pass for each move, 2 N + 2 for the Laplacian, and three for the
scores (forward, and backward at twice its cost).
"""

import argparse
import dataclasses
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
from environment import save
from rich.console import Console
from rich.table import Table

from qernel.batching import over_walkers, walker_mesh
from qernel.config import Config, load_config
from qernel.estimators.gradient import clipped_residual, scores
from qernel.estimators.local_energy import local_energies
from qernel.hamiltonian import make_hamiltonian
from qernel.optimize import make_optimizer
from qernel.shipped import shipped_model
from qernel.training.loop import initial_state
from qernel.training.step import couplings_of, training_sampling

PARTS = ("sampling", "local energy", "scores", "optimizer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset", nargs="?", default="six-over-depth")
    parser.add_argument("overrides", nargs="*", help="key=value")
    parser.add_argument("--model", help="a shipped model of this preset, instead of random weights")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    config = load_config(arguments.preset, arguments.overrides)
    times = measure(config, arguments.model, arguments.seconds)
    forward, electrons, moves = times.pop("forward"), sum(config.system.electrons), config.training.moves
    floors = {"sampling": moves, "local energy": 2 * electrons + 2, "scores": 3, "optimizer": 0}
    rows = [{"part": part, "passes": times[part] / forward, "floor": floors[part]} for part in PARTS]
    rows.append({"part": "step", "passes": sum(r["passes"] for r in rows), "floor": sum(floors.values())})
    table = Table("", "forward passes", "floor", box=None)
    for row in rows:
        table.add_row(row["part"], f"{row['passes']:.1f}", str(row["floor"]))
    Console().print(table)
    about = {
        "preset": arguments.preset,
        "model": arguments.model,
        "overrides": arguments.overrides,
        "electrons": electrons,
    }
    about |= {"walkers": config.training.walkers, "milliseconds_per_forward_pass": 1e3 * forward}
    save(arguments.out, {"command": "benchmarks/step_time.py", **about, "rows": rows})


def measure(config: Config, model: str | None, seconds: float) -> dict[str, float]:
    """Seconds of the fastest call of each part, with all walkers; the parts take turns."""
    hamiltonian, training, state = make_hamiltonian(config), config.training, initial_state(config)
    if model is not None:
        trained = shipped_model(model).state()
        state = dataclasses.replace(state, model=trained.model)
    dtype = jnp.dtype(training.precision)
    mesh = walker_mesh(training.walkers // len(state.contexts))
    couplings = couplings_of(hamiltonian, state.contexts, dtype)
    sample = training_sampling(training, hamiltonian, mesh)
    optimizer = make_optimizer(config.optimizer, hamiltonian)
    walkers, key = state.walkers, jax.random.key(0)
    for _ in range(50):
        walkers, _ = sample(state.model, walkers, state.contexts, key)
    batch = (walkers.electrons, couplings)

    @eqx.filter_jit
    def forward(model):
        return over_walkers(lambda m, r, c: m(r, c), mesh, training.microbatch)(model, *batch)

    @eqx.filter_jit
    def energies(model):
        return local_energies(model, hamiltonian, *batch, mesh=mesh, microbatch=training.microbatch)

    @eqx.filter_jit
    def score_rows(model):
        return scores(model, *batch, mesh, training.microbatch)

    @eqx.filter_jit
    def update(model, rows, residual):
        parameters = eqx.filter(model, eqx.is_inexact_array)
        given = {"scores": rows, "residual": residual}
        return optimizer.update(parameters, state.optimizer, parameters, **given)[0]

    rows, residual = score_rows(state.model), clipped_residual(energies(state.model).total)
    calls = {
        "forward": lambda: forward(state.model),
        "sampling": lambda: sample(state.model, walkers, state.contexts, key),
        "local energy": lambda: energies(state.model),
        "scores": lambda: score_rows(state.model),
        "optimizer": lambda: update(state.model, rows, residual),
    }
    best = dict.fromkeys(calls, float("inf"))
    jax.block_until_ready([call() for call in calls.values()])
    begin = time.monotonic()
    while time.monotonic() < begin + seconds:
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            best[name] = min(best[name], time.perf_counter() - start)
    return best


if __name__ == "__main__":
    main()

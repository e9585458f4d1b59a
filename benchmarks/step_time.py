"""What does a training step spend its time on, in forward passes of the same network over the same walkers?

Times the parts of a step apart, on all devices: the moves, the local energies, the scores, and what the
optimizer does with them. The floor is one pass for each move and for an exchange of walkers between contexts,
2 N + 2 for the Laplacian, and three for scores that are kept (forward, and backward at twice its cost). The
last column is the rate of the floor's operations, counted in the uncompiled forward pass, over the device's
rate for products of large float32 matrices. The last line says how often the optimizer could have read all
scores at the rate of a large copy.
"""

import argparse
import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
from ceilings import ceilings
from environment import save
from rich.console import Console
from rich.table import Table

from qernel.batching import over_walkers, walker_mesh
from qernel.config import Config, load_config
from qernel.estimators.gradient import clipped_residual
from qernel.estimators.local_energy import local_energies
from qernel.hamiltonian import make_hamiltonian
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.optimize import make_optimizer
from qernel.optimize.rows import score_rows
from qernel.shipped import shipped_model
from qernel.training.loop import initial_state
from qernel.training.step import TrainingState, training_sampling

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
    state, limits = start(config, arguments.model), ceilings()
    times = measure(config, state, arguments.seconds)
    forward = times.pop("forward")
    share = operations(config, state) / limits["float32_per_s"]  # seconds of a pass at the ceiling
    rows = parts(config, times, forward, share)
    readings = times["optimizer"] * limits["bytes_per_s"] / bytes_of_scores(config, state)
    print_table(rows)
    print(f"a pass takes {1e3 * forward:.2f} ms, {share / forward:.0%} of the ceiling;")
    print(f"the optimizer has the time to read all scores {readings:.1f} times")
    about = {name: getattr(arguments, name) for name in ("preset", "model", "overrides")}
    about |= {"electrons": sum(config.system.electrons)}
    about |= {"walkers": config.training.walkers, "microbatch": config.training.microbatch}
    about |= {"milliseconds_per_forward_pass": 1e3 * forward, "share_of_ceiling": share / forward}
    about |= {"ceilings": limits, "readings_of_scores": readings}
    save(arguments.out, {"command": "benchmarks/step_time.py", **about, "rows": rows})


def parts(config: Config, times: dict[str, float], forward: float, share: float) -> list[dict]:
    """Seconds and forward passes of the parts of a step and of all of it, their floors, and shares of the
    ceiling, given the seconds that a pass takes here and at the ceiling."""
    exchanged = config.training.stages[0].contexts > 1  # which evaluates psi once more
    scores = 3 if config.optimizer.keep_scores else 0  # else they are computed in the optimizer's part
    floors = {"sampling": config.training.moves + exchanged, "scores": scores, "optimizer": 0}
    floors["local energy"] = 2 * sum(config.system.electrons) + 2
    of_parts = [(part, times[part], floors[part]) for part in PARTS]
    return [
        {"part": part, "seconds": seconds, "passes": seconds / forward, "floor": floor}
        | {"share_of_ceiling": floor * share / seconds}
        for part, seconds, floor in [*of_parts, ("step", sum(times.values()), sum(floors.values()))]
    ]


def print_table(rows: list[dict]) -> None:
    table = Table("", "forward passes", "floor", "milliseconds", "of the ceiling", box=None)
    for row in rows:
        cells = f"{row['passes']:.1f}", str(row["floor"]), f"{1e3 * row['seconds']:.1f}"
        table.add_row(row["part"], *cells, f"{row['share_of_ceiling']:.0%}")
    Console().print(table)


def start(config: Config, model: str | None) -> TrainingState:
    """Random weights, or those of a shipped model, with the configuration's walkers."""
    state = initial_state(config)
    return state if model is None else dataclasses.replace(state, model=shipped_model(model).state().model)


def operations(config: Config, state: TrainingState) -> float:
    """Of a forward pass of all walkers, counted before compilation; what solvers do is not in it."""
    dtype, cpu = jnp.dtype(config.training.precision), jax.devices("cpu")[0]
    arrays, static = eqx.partition((state.model, state.contexts), eqx.is_array)
    with jax.default_device(cpu):
        model, contexts = eqx.combine(jax.device_put(arrays, cpu), static)
        couplings = jax.tree.map(lambda x: x[0], couplings_of(make_hamiltonian(config), contexts, dtype))
        electrons = jax.ShapeDtypeStruct(state.walkers.electrons.shape[2:], dtype)
        lowered = jax.jit(lambda r: model(r, couplings)).lower(electrons)
    return lowered.cost_analysis()["flops"] * config.training.walkers


def bytes_of_scores(config: Config, state: TrainingState) -> int:
    """Two rows for each walker."""
    weights = jax.tree.leaves(eqx.filter(state.model, eqx.is_inexact_array))
    return 2 * config.training.walkers * sum(leaf.nbytes for leaf in weights)


def measure(config: Config, state: TrainingState, seconds: float) -> dict[str, float]:
    """Seconds of the fastest call of each part, with all walkers; the parts take turns."""
    hamiltonian, training = make_hamiltonian(config), config.training
    dtype = jnp.dtype(training.precision)
    mesh = walker_mesh(training.walkers // len(state.contexts))
    couplings = couplings_of(hamiltonian, state.contexts, dtype)
    sample = training_sampling(training, hamiltonian, mesh)
    optimizer = make_optimizer(config.optimizer, hamiltonian)
    walkers, key = state.walkers, jax.random.key(0)
    for _ in range(20):
        walkers, _ = sample(state.model, walkers, state.contexts, key)
    batch = (walkers.electrons, couplings)

    @eqx.filter_jit
    def forward(model):
        return over_walkers(lambda m, r, c: m(r, c), mesh, training.microbatch)(model, *batch)

    @eqx.filter_jit
    def energies(model):
        return local_energies(model, hamiltonian, *batch, mesh=mesh, microbatch=training.microbatch)

    @eqx.filter_jit
    def scores(model):
        return score_rows(model, *batch, mesh, training.microbatch, keep=config.optimizer.keep_scores)

    @eqx.filter_jit
    def update(model, rows, residual):
        parameters = eqx.filter(model, eqx.is_inexact_array)
        given = {"rows": rows, "residual": residual}
        return optimizer.update(parameters, state.optimizer, parameters, **given)[0]

    rows, residual = scores(state.model), clipped_residual(energies(state.model).total)
    calls = {
        "forward": lambda: forward(state.model),
        "sampling": lambda: sample(state.model, walkers, state.contexts, key),
        "local energy": lambda: energies(state.model),
        "scores": lambda: scores(state.model),
        "optimizer": lambda: update(state.model, rows, residual),
    }
    best = dict.fromkeys(calls, float("inf"))
    with ThreadPoolExecutor() as pool:  # compilers work side by side
        jax.block_until_ready(list(pool.map(lambda call: call(), calls.values())))
    begin = time.monotonic()
    while time.monotonic() < begin + seconds:
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            best[name] = min(best[name], time.perf_counter() - start)
    return best


if __name__ == "__main__":
    main()

"""How much memory does an optimization step take, against what `qernel plan` says beforehand?

Runs one step of the preset `eighteen` with more or fewer electrons, each in a process of its own, and
compares by how much the process grows with the prediction. Linux only. Then predicts the step at the
preset's full 1024 walkers, without running it, with the scores kept and computed anew.
"""

import argparse
import multiprocessing
from pathlib import Path

import jax
import jax.numpy as jnp
from environment import save
from rich.console import Console
from rich.table import Table

from qernel.batching import walker_mesh
from qernel.config import Config, load_config
from qernel.hamiltonian import make_hamiltonian
from qernel.optimize import make_optimizer
from qernel.plan import step_memory
from qernel.training.loop import initial_state
from qernel.training.step import make_optimization

FULL = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--electrons", type=int, nargs="+", default=[6, 18, 54, 150])
    parser.add_argument("--walkers", type=int, default=64)
    parser.add_argument("--microbatch", type=int, default=8)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    columns = ("measured (MiB)", "predicted", f"predicted, {FULL} walkers", "scores computed anew")
    table = Table("electrons", *columns, box=None)
    rows = []
    for electrons in arguments.electrons:
        few, *many = (
            configuration(electrons, walkers, arguments.microbatch, keep)
            for walkers, keep in ((arguments.walkers, True), (FULL, True), (FULL, False))
        )
        predicted, full, anew = (step_memory(config) / 2**20 for config in (few, *many))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            grown = pool.apply(growth, (few,)) / 2**20
        row = {"electrons": electrons, "measured": grown, "predicted": predicted, "full": full}
        rows.append(row | {"full_recomputed": anew})
        print(rows[-1], flush=True)
        table.add_row(str(electrons), *(f"{value:.0f}" for value in (grown, predicted, full, anew)))
        about = {"walkers": arguments.walkers, "microbatch": arguments.microbatch, "units": "MiB"}
        save(arguments.out, {"command": "benchmarks/memory.py", **about, "rows": rows})
    Console().print(table)


def configuration(electrons: int, walkers: int, microbatch: int, keep_scores: bool) -> Config:
    system = [f"electrons=[{electrons},0]", f"cells={electrons * 3 // 2}"]
    training = [f"walkers={walkers}", f"microbatch={microbatch}", "stages=[{steps=1,contexts=4}]"]
    keep = f"keep_scores={str(keep_scores).lower()}"
    return load_config("eighteen", [*system, *training, keep])


def growth(config: Config) -> int:
    """Bytes by which this process grows at most while it makes a step that has been compiled."""
    hamiltonian, state = make_hamiltonian(config), initial_state(config)
    mesh = walker_mesh(config.training.walkers // len(state.contexts))
    optimize = make_optimization(config, hamiltonian, make_optimizer(config.optimizer), mesh)
    acceptance = jnp.zeros(len(state.contexts), config.training.precision)
    compiled = optimize.lower(state, acceptance).compile()
    before = process_status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    jax.block_until_ready(compiled(state, acceptance))
    return process_status("VmHWM") - before


def process_status(name: str) -> int:
    """A number of bytes from this process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()

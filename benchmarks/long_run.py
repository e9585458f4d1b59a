"""Does a long training keep its memory, and what does it compile after its first step?

Trains a preset for many steps in this process. Prints its resident memory, and how many functions XLA has
compiled since the start, after some of the steps. Linux only.
"""

import argparse
from pathlib import Path

import jax
from environment import save
from memory import process_status
from rich.console import Console
from rich.table import Table

from qernel.config import load_config
from qernel.training.loop import initial_state, train

_COMPILED = "/jax/core/compile/backend_compile_duration"  # JAX's name of the event


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset", nargs="?", default="pair")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 50, 100, 200, 400, 600, 800, 1000])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    compiled: list[str] = []

    def count(event: str, duration_secs: float, **_: str | int) -> None:
        if event == _COMPILED:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(count)
    config = load_config(arguments.preset, [f"stages=[{{steps={max(arguments.steps)},contexts=8}}]"])
    rows = []
    for state, _ in train(config, initial_state(config)):
        if int(state.step) in arguments.steps:
            resident = process_status("VmRSS") / 2**20
            rows.append({"step": int(state.step), "resident": resident, "compiled": len(compiled)})
            print(rows[-1], flush=True)
    table = Table("step", "resident (MiB)", "functions compiled", box=None)
    for row in rows:
        table.add_row(str(row["step"]), f"{row['resident']:.0f}", str(row["compiled"]))
    Console().print(table)
    about = {"command": "benchmarks/long_run.py", "preset": arguments.preset, "units": "MiB"}
    save(arguments.out, about | {"rows": rows})


if __name__ == "__main__":
    main()

"""How does the time of a training step grow with the number of electrons?

Times the parts of a step of a preset with more or fewer electrons at filling 2/3, and fits the exponent from
18 electrons on. The optimizer's part is recorded and not counted: it depends on the parameters, and on the
walkers, rather than on the electrons.
"""

import argparse
from pathlib import Path

import numpy as np
from environment import save
from rich.console import Console
from rich.table import Table
from step_time import PARTS as STEP_PARTS
from step_time import measure, start

from qernel.config import load_config

PARTS = STEP_PARTS[:-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset", nargs="?", default="eighteen")
    parser.add_argument("--electrons", type=int, nargs="+", default=[6, 18, 54, 150])
    parser.add_argument("--walkers", type=int, default=4)
    parser.add_argument("--microbatch", type=int, default=1)
    parser.add_argument("--contexts", type=int, default=1, help="of two or more, walkers are exchanged")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each number of electrons")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    columns = ("electrons", "forward pass (ms)", *PARTS, "together, in passes", "together (ms)", "exponent")
    table, rows = Table(*columns, box=None), []
    for electrons in arguments.electrons:
        system = [f"electrons=[{electrons},0]", f"cells={electrons * 3 // 2}"]
        batch = [f"walkers={arguments.walkers}", f"microbatch={arguments.microbatch}"]
        stages = f"stages=[{{steps=1,contexts={arguments.contexts}}}]"
        config = load_config(arguments.preset, [*system, *batch, stages])
        times = measure(config, start(config, None), arguments.seconds)
        forward, parts = times["forward"], [times[part] for part in PARTS]
        per_walker = {name: 1e3 * times[name] / arguments.walkers for name in ("forward", *STEP_PARTS)}
        rows.append({"electrons": electrons, "milliseconds_per_walker": per_walker})
        print(rows[-1], flush=True)
        passes = [f"{time / forward:.1f}" for time in (*parts, sum(parts))]
        total = 1e3 * sum(parts) / arguments.walkers
        steepness = f"{exponent(rows[-2:]):.2f}" if len(rows) > 1 else ""
        table.add_row(str(electrons), f"{per_walker['forward']:.3g}", *passes, f"{total:.4g}", steepness)
    Console(width=150).print(table)
    overall = exponent([row for row in rows if row["electrons"] >= 18])
    print(f"time of a step ~ electrons^{overall:.2f} from 18 electrons on")
    about = {"command": "benchmarks/scaling.py", "preset": arguments.preset, "walkers": arguments.walkers}
    about |= {"microbatch": arguments.microbatch, "contexts": arguments.contexts}
    save(arguments.out, about | {"exponent": overall, "rows": rows})


def exponent(rows: list[dict]) -> float:
    """Of the parts' total time, by a straight line through the logarithms; NaN of a single number."""
    if len(rows) < 2:
        return float("nan")
    times = [sum(row["milliseconds_per_walker"][part] for part in PARTS) for row in rows]
    return float(np.polyfit(np.log([row["electrons"] for row in rows]), np.log(times), 1)[0])


if __name__ == "__main__":
    main()

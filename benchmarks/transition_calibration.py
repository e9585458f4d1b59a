"""How often does a smooth curve pass for a transition, how large a break is found, do intervals hold it?

Synthetic sweeps with Gaussian noise of unit standard error. Smooth curves, of amplitudes from the noise to a
thousand times of it, must return no transition. Jumps, in standard errors, and kinks, in standard errors per
grid spacing, have their place drawn anew for every sweep; their intervals should hold it in 68% and 95% of
the sweeps where a transition is found, those of jumps, which hold whole gaps, more often.
"""

import argparse
from pathlib import Path

import numpy as np
from environment import save
from rich.console import Console
from rich.table import Table

from qernel.transition import locate

AMPLITUDES = (1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
JUMPS = (4.0, 6.0, 8.0, 10.0, 15.0)
KINKS = (2.0, 4.0, 8.0, 16.0, 32.0)


def smooth_curves(x):
    """Curves of unit amplitude on the grid 0, 1, 2, ...: of one scale, crossovers, and others."""
    t = 2 * (x - x.mean()) / np.ptp(x)
    middle = x - x.mean() - 0.3
    return {
        "constant": 0 * x,
        "parabola": t**2,
        "quartic": t**4 - t**3 / 2,
        "fifth degree": t**5 - t,
        "exponential over the sweep": np.exp(t - 1),
        "exponential over 4 spacings": np.exp(-x / 4),
        "tanh crossover of 2 spacings": np.tanh(middle / 2),
        "tanh crossover of 3 spacings": np.tanh(middle / 3),
        "tanh crossover of 5 spacings": np.tanh(middle / 5),
        "the same, on a parabola": np.tanh(middle / 5) + t**2,
        "rounded kink of 3 spacings": np.hypot(middle, 3) / x.mean(),
        "arctan crossover of 2 spacings": np.arctan(middle / 2),
        "sine": np.sin(np.pi * t),
        "Lorentzian of 3 spacings": 1 / (1 + (middle / 3) ** 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=21)
    parser.add_argument("--sweeps", type=int, default=200, help="per curve and amplitude")
    parser.add_argument("--samples", type=int, default=199, help="of each bootstrap")
    parser.add_argument("--underestimated", type=float, default=1.0, help="true over stated errors")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    x, random = np.arange(arguments.points, dtype=float), np.random.default_rng(arguments.seed)

    def found(curve):
        """Breaks of many noisy sweeps of one curve, or of one from each call."""
        for number in range(arguments.sweeps):
            y, place = curve() if callable(curve) else (curve, np.nan)
            y = y + arguments.underestimated * random.normal(size=len(x))
            yield locate(x, y, np.ones_like(x), seed=number, samples=arguments.samples), place

    rows = []
    for name, curve in smooth_curves(x).items():
        shares = [np.mean([each.found for each, _ in found(a * curve)]) for a in AMPLITUDES]
        rows.append({"curve": name, "found": [float(share) for share in shares]})
        print(name, shares, flush=True)
    broken = []
    for kind, sizes in (("jump", JUMPS), ("kink", KINKS)):
        for size in sizes:

            def curve(kind=kind, size=size):
                place = random.uniform(4, len(x) - 5)
                distance = x - place
                step = distance > 0 if kind == "jump" else np.maximum(distance, 0)
                return random.normal() * x + size * step, place

            breaks = [(each, place) for each, place in found(curve) if each.found]
            broken.append({"kind": kind, "size": size, "found": len(breaks) / arguments.sweeps})
            for share in (68, 95):
                intervals = [(getattr(each, f"within_{share}"), place) for each, place in breaks]
                inside = [low <= place <= high for (low, high), place in intervals]
                broken[-1][f"within_{share}"] = float(np.mean(inside)) if inside else None
            print(broken[-1], flush=True)
    _print(rows, broken, arguments)
    options = {key: value for key, value in vars(arguments).items() if key != "out"}
    save(
        arguments.out,
        {"command": "benchmarks/transition_calibration.py", **options, "smooth": rows, "broken": broken},
    )


def _print(rows, broken, arguments) -> None:
    table = Table(title=f"smooth curves that pass for a transition, of {arguments.sweeps}", box=None)
    for column in ("curve", *(f"{a:g}" for a in AMPLITUDES)):
        table.add_column(column)
    for row in rows:
        table.add_row(row["curve"], *(f"{share:.1%}" for share in row["found"]))
    Console().print(table)
    table = Table(title="jumps and kinks that are found, and intervals that hold them", box=None)
    for column in ("", "size", "found", "68%", "95%"):
        table.add_column(column)
    for row in broken:
        shares = (row["found"], row["within_68"], row["within_95"])
        cells = ("" if share is None else f"{share:.1%}" for share in shares)
        table.add_row(row["kind"], f"{row['size']:g}", *cells)
    Console().print(table)


if __name__ == "__main__":
    main()

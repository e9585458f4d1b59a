"""Six electrons at depth 1: which total momentum is lowest, and does fixing it help?

Trains the preset `six` with momenta free to mix, and in one sector of each kind, and prints the mean energy
of the last steps and the spread of the local energy.
"""

import argparse
from pathlib import Path

import numpy as np
from environment import save

from qernel.config import load_config
from qernel.estimators.statistics import series_estimate
from qernel.training.loop import initial_state, train

_SECTORS = ["free", "lowest", "[0,0]", "[1,1]"]  # nothing, a point of the small hexagon, Gamma, K


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--last", type=int, default=40)
    parser.add_argument("--out", type=Path)
    parser.add_argument("overrides", nargs="*", help="key=value")
    arguments = parser.parse_args()
    rows = []
    for sector in _SECTORS:
        for seed in arguments.seeds:
            config = load_config(
                "six",
                [
                    f"model.sector={sector}",
                    f"training.seed={seed}",
                    "training.walkers=256",
                    f"training.stages=[{{steps={arguments.steps}}}]",
                    *arguments.overrides,
                ],
            )
            history = [metrics for _, metrics in train(config, initial_state(config))][-arguments.last :]
            energy, error = series_estimate(np.array([float(m.energy[0]) for m in history]))
            spread = float(np.mean([m.spread[0] for m in history]))
            rows.append({"sector": sector, "seed": seed, "energy": energy, "error": error, "spread": spread})
            print(
                f"sector {sector}, seed {seed}: {energy:.3f} +- {error:.3f} meV, spread {spread:.2f} meV",
                flush=True,
            )
    save(arguments.out, {"command": "benchmarks/sectors.py", "steps": arguments.steps, "rows": rows})


if __name__ == "__main__":
    main()

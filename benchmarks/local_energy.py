"""How far is the kinetic energy from its arithmetic floor?

The floor of the forward Laplacian is 2 N + 2 forward passes: a value, 2 N derivatives and a Laplacian, each
as dear as the value. One microbatch of walkers on one core; forward passes, our forward Laplacian and folx
take turns, and the fastest of each counts. How arrays happen to lie in memory makes a process slower or
faster by up to a half, so that the fastest is taken of several processes.

    XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" taskset -c 0 \\
        python benchmarks/local_energy.py
"""

import argparse
import multiprocessing
import time
from pathlib import Path

import jax
import jax.numpy as jnp
from environment import save

from qernel.config import load_config
from qernel.hamiltonian import make_hamiltonian
from qernel.laplacian import forward_laplacian
from qernel.laplacian.second_opinion import folx_laplacian
from qernel.sampling import initial_walkers
from qernel.wavefunction import make_wavefunction

SYSTEMS = {6: "cells=9", 18: "cells=27", 54: "cells=81"}
MODELS = {"qernel": "six-over-depth", "psiformer": "six-psiformer"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--electrons", type=int, nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--walkers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each system and model, in a process")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--without-folx", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.models:
        for electrons in arguments.electrons:
            times = fastest(name, electrons, arguments)
            forward = times.pop("forward")
            row = {"model": name, "electrons": electrons, "floor": 2 * electrons + 2}
            row |= {"forward_ms": 1e3 * forward} | {key: value / forward for key, value in times.items()}
            rows.append(row)
            print("  ".join(f"{k} {v:.4g}" if k != "model" else v for k, v in row.items()), flush=True)
    about = {"walkers": arguments.walkers, "processes": arguments.processes}
    save(arguments.out, {"command": "benchmarks/local_energy.py", **about, "rows": rows})


def fastest(name: str, electrons: int, arguments) -> dict[str, float]:
    """Seconds of the fastest call of each in any of several processes, one after the other."""
    context, found = multiprocessing.get_context("spawn"), []
    for _ in range(arguments.processes):
        with context.Pool(1) as pool:
            found.append(pool.apply(measure, (name, electrons, arguments)))
    return {key: min(times[key] for times in found) for key in found[0]}


def measure(name: str, electrons: int, arguments) -> dict[str, float]:
    """Seconds of the fastest call of each, for one microbatch."""
    config = load_config(MODELS[name], [f"electrons=[{electrons},0]", SYSTEMS[electrons]])
    hamiltonian = make_hamiltonian(config)
    model = make_wavefunction(config, hamiltonian, jax.random.key(0))
    couplings = hamiltonian.family.couplings(hamiltonian.family.middle())
    couplings = jax.tree.map(lambda x: x.astype(jnp.float32), couplings)
    cell = hamiltonian.supercell
    walkers = initial_walkers(jax.random.key(1), cell, electrons, 1, arguments.walkers, jnp.float32)

    def log_psi(r):
        return model(r, couplings)

    def ours(r):
        return [(x.jacobian, x.laplacian) for x in forward_laplacian(log_psi, r)]

    def folx(r):
        return [(x.jacobian, x.laplacian) for x in folx_laplacian(log_psi, r)]

    functions = {"forward": log_psi, "ours": ours} | ({} if arguments.without_folx else {"folx": folx})
    compiled = {
        key: jax.jit(jax.vmap(each)).lower(walkers.electrons[0]).compile() for key, each in functions.items()
    }
    best = dict.fromkeys(compiled, float("inf"))
    begin = time.monotonic()
    while time.monotonic() < begin + arguments.seconds:
        for key, each in compiled.items():
            repetitions = 20 if key == "forward" else 1
            start = time.perf_counter()
            for _ in range(repetitions):
                result = each(walkers.electrons[0])
            jax.block_until_ready(result)
            best[key] = min(best[key], (time.perf_counter() - start) / repetitions)
    return best


if __name__ == "__main__":
    main()

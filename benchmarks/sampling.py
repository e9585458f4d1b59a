"""Which moves decorrelate walkers at the least cost?

Samples a shipped model at several contexts with Gaussian moves of all, of two and of one electron, with
Langevin moves, and with Langevin moves and exchanges of walkers between neighbouring contexts.
Prints the autocorrelation time, in moves and in forward passes, of the moiré and the Coulomb energy, of S(K)
and of the density's longest wave. What a move costs is timed in the same run, the kinds taking turns.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from environment import save
from rich.console import Console
from rich.table import Table

from qernel.batching import walker_mesh
from qernel.hamiltonian import make_hamiltonian
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.lattice import MOIRE_CORNERS
from qernel.sampling import Walkers, exchange, langevin, tune, wrap
from qernel.shipped import shipped_model
from qernel.sweep import nearest_walkers

QUANTITIES = ("moiré", "Coulomb", "S(K)", "longest wave")


class Kind(NamedTuple):
    """A kind of moves: Gaussian ones move `electrons` at once, Langevin ones (None) all of them."""

    electrons: int | None
    acceptance: float = 0.35  # that Gaussian widths are tuned to
    exchange: int | None = None  # after so many moves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", default="six-over-depth")
    parser.add_argument("contexts", nargs="*", type=float, default=[0.7, 0.9, 1.1, 1.3, 1.5])
    parser.add_argument("--walkers", type=int, default=128, help="per context")
    parser.add_argument("--moves", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    system = System(arguments.model, arguments.contexts, arguments.walkers)
    count = system.electrons
    kinds = {"Gaussian, all electrons": Kind(count), "Gaussian, two": Kind(2), "Gaussian, one": Kind(1)}
    kinds |= {"Langevin": Kind(None)}
    kinds |= {f"exchange every {number}": Kind(None, exchange=number) for number in (1, 2, 4)}
    costs = system.costs(kinds)
    table = Table("moves", "passes each", "context", *QUANTITIES, "in passes:", *QUANTITIES, box=None)
    rows = []
    for name, kind in kinds.items():
        times = system.autocorrelation_times(kind, arguments.moves)
        for context, tau in zip(arguments.contexts, times, strict=True):
            cost = [f"{costs[name] * t:.0f}" for t in tau]
            table.add_row(name, f"{costs[name]:.1f}", f"{context:g}", *(f"{t:.1f}" for t in tau), "", *cost)
            known = [float(t) if np.isfinite(t) else None for t in tau]  # None: longer than the run can tell
            rows.append({"moves": name, "passes": costs[name], "context": context, "times": known})
    Console(width=150).print(table)
    about = {"model": arguments.model, "walkers": arguments.walkers, "moves": arguments.moves}
    save(
        arguments.out, {"command": "benchmarks/sampling.py", **about, "quantities": QUANTITIES, "rows": rows}
    )


class System:
    """A trained model at some contexts, and walkers there."""

    def __init__(self, name: str, contexts: list[float], walkers: int):
        run = shipped_model(name)
        state = run.state()
        points = np.array(contexts)[:, None]
        self.hamiltonian = make_hamiltonian(run.config())
        self.electrons, self.cell = self.hamiltonian.electrons, self.hamiltonian.supercell
        self.model, self.mesh, self.microbatch = state.model, walker_mesh(walkers), 32
        self.couplings = couplings_of(self.hamiltonian, jnp.asarray(points), jnp.float32)
        self.start = nearest_walkers(self.hamiltonian, state, points, walkers)
        self.exchanged = eqx.filter_jit(
            lambda walkers, order, key: exchange(
                self.model,
                walkers,
                self.log_abs(walkers.electrons, self.couplings),
                self.couplings,
                order,
                key,
                self.mesh,
                self.microbatch,
            )
        )
        self.log_abs = jax.vmap(jax.vmap(lambda r, c: self.model(r, c).log_abs, (0, None)))

    def chain(self, kind: Kind, moves: int, tuned: bool):
        """Compiled (walkers, key) -> walkers after `moves` moves, with or without tuning of the widths.

        Exchanges are not among them.
        """

        @eqx.filter_jit
        def run(walkers, key):
            if kind.electrons is None:
                arguments = self.couplings, key, moves, self.cell, self.mesh, self.microbatch
                moved, _, acceptance = langevin(self.model, walkers, *arguments)
                if tuned:
                    moved = tune(moved, acceptance, self.cell)
            else:
                moved, acceptance = self._gaussian(walkers, key, kind.electrons, moves)
                if tuned:
                    width = moved.width * jnp.exp(0.5 * (acceptance - kind.acceptance))
                    moved = Walkers(moved.electrons, jnp.minimum(width, 2.0).astype(jnp.float32))
            return moved

        return run

    def autocorrelation_times(self, kind: Kind, moves: int) -> np.ndarray:
        """Integrated autocorrelation times (context, quantity), in moves."""
        walkers, series = self.start, []
        observe = jax.jit(jax.vmap(jax.vmap(self._quantities, (0, None))))
        for index in range(200 + moves):
            if index in (0, 200):
                chain = self.chain(kind, 1, tuned=index == 0)
            walkers = chain(walkers, key := jax.random.fold_in(jax.random.key(5), index))
            if kind.exchange and index % kind.exchange == 0:
                walkers = self.exchanged(walkers, jnp.arange(len(walkers.width)), jax.random.fold_in(key, 1))
            if index >= 200:
                series.append(np.asarray(observe(walkers.electrons, self.couplings), float))
        return integrated_times(np.array(series))

    def costs(self, kinds: dict[str, Kind], moves: int = 10) -> dict[str, float]:
        """Forward passes that a move of each kind takes, ten made in a row, with its share of an exchange."""
        forward = jax.jit(self.log_abs)
        calls = {"forward": lambda: forward(self.start.electrons, self.couplings)}
        for name, kind in kinds.items():
            chain = self.chain(kind, moves, tuned=False)
            calls[name] = lambda chain=chain: chain(self.start, jax.random.key(0))
        best = dict.fromkeys(calls, float("inf"))
        jax.block_until_ready([call() for call in calls.values()])
        for _ in range(10):
            for name, call in calls.items():
                begin = time.perf_counter()
                jax.block_until_ready(call())
                best[name] = min(best[name], time.perf_counter() - begin)
        # An exchange needs log|psi| of each walker at the neighbour's context; at its own it is known.
        shares = {name: 1 / kind.exchange if kind.exchange else 0 for name, kind in kinds.items()}
        return {name: best[name] / best["forward"] / moves + shares[name] for name in kinds}

    def _gaussian(self, walkers: Walkers, key, count: int, moves: int):
        """Moves of `count` electrons of each walker, chosen at random, by a Gaussian step."""
        width = walkers.width[:, None, None, None]

        def move(state, key):
            electrons, current = state
            choose, step, coin = jax.random.split(key, 3)
            rank = jnp.argsort(jax.random.uniform(choose, electrons.shape[:3]), axis=-1)
            noise = jax.random.normal(step, electrons.shape, electrons.dtype)
            proposal = wrap(electrons + jnp.where((rank < count)[..., None], width * noise, 0), self.cell)
            proposed = self.log_abs(proposal, self.couplings)
            accept = jnp.log(jax.random.uniform(coin, current.shape)) < 2 * (proposed - current)
            electrons = jnp.where(accept[..., None, None], proposal, electrons)
            return (electrons, jnp.where(accept, proposed, current)), jnp.mean(accept, axis=1)

        start = (walkers.electrons, self.log_abs(walkers.electrons, self.couplings))
        (electrons, _), accepted = jax.lax.scan(move, start, jax.random.split(key, moves))
        return Walkers(electrons, walkers.width), jnp.mean(accepted, axis=0)

    def _quantities(self, electrons, couplings):
        moire, coulomb = (term(electrons, couplings) for term in self.hamiltonian.terms)
        angles = electrons @ jnp.asarray(MOIRE_CORNERS[0], electrons.dtype)
        peak = jnp.sum(jnp.cos(angles)) ** 2 + jnp.sum(jnp.sin(angles)) ** 2
        longest = jnp.asarray(self.cell.reciprocal[0], electrons.dtype)
        return jnp.stack([moire, coulomb, peak, jnp.sum(jnp.cos(electrons @ longest))])


def integrated_times(series: np.ndarray) -> np.ndarray:
    """1 + 2 sum_t rho(t) of series (time, context, walker, quantity), over walkers, to a window of six times.

    Infinite where the series is shorter than the window; NaN where a quantity is constant.
    """
    count = len(series)
    series = series - series.mean(axis=(0, 2), keepdims=True)
    spectrum = np.abs(np.fft.rfft(series, n=2 * count, axis=0)) ** 2
    correlation = np.fft.irfft(spectrum, axis=0)[:count].mean(axis=2) / np.arange(count, 0, -1)[:, None, None]
    with np.errstate(invalid="ignore"):
        times = 2 * np.cumsum(correlation / correlation[0], axis=0) - 1
    reached = np.arange(count)[:, None, None] > 3 * times
    found = np.take_along_axis(times, reached.argmax(axis=0)[None], axis=0)[0]
    return np.where(np.isnan(times[-1]), np.nan, np.where(reached.any(axis=0), found, np.inf))


if __name__ == "__main__":
    main()

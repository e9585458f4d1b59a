"""Sampling |psi|^2 by Langevin moves of all electrons, and by exchange between contexts.

MALA, the Metropolis-adjusted Langevin algorithm (Roberts and Tweedie, Bernoulli 2, 341, 1996): with width w
and z normal, a walker at r is offered

    r' = r + w^2 v(r) + w z,        v = grad log|psi|, each electron's cut off at length 1 / w,

and accepts with probability min(1, |psi(r')|^2 T(r' -> r) / |psi(r)|^2 T(r -> r')), T being the density of
the step offered. Where psi vanishes v diverges; cut off, no electron drifts by more than w.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from qernel.batching import over_walkers
from qernel.hamiltonian.couplings import Couplings
from qernel.hamiltonian.hamiltonian import Hamiltonian, couplings_of
from qernel.lattice import MOIRE_VECTORS, Supercell
from qernel.wavefunction.base import Wavefunction

_TARGET_ACCEPTANCE = 0.65  # 0.57 is best for many electrons, flat around it for few
_TUNING_RATE = 0.5
_EXCHANGE = 2**31 - 1  # names a stream of random numbers; small ones are walkers'


class Walkers(eqx.Module):
    """Electron configurations of every context, and the step width of their moves in a_M."""

    electrons: Float[Array, "context walker electron 2"]
    width: Float[Array, " context"]


def initial_walkers(
    key: PRNGKeyArray, supercell: Supercell, electrons: int, contexts: int, walkers: int, dtype
) -> Walkers:
    """Electrons spread over the whole cell: on distinct random moiré sites, smeared over a site's cell.

    With more electrons than sites, each site is used again before any a third time.
    """
    choose, smear = jax.random.split(key)
    sites = jnp.asarray(supercell.translations(), dtype)
    repeats = math.ceil(electrons / len(sites))

    def one(key):
        rounds = [jax.random.permutation(k, sites) for k in jax.random.split(key, repeats)]
        return jnp.concatenate(rounds)[:electrons]

    keys = jax.random.split(choose, (contexts, walkers))
    positions = jax.vmap(jax.vmap(one))(keys)
    shift = 0.25 * jax.random.normal(smear, positions.shape, dtype)
    return Walkers(wrap(positions + shift, supercell), jnp.full(contexts, 0.2, dtype))


def crystal_walkers(
    key: PRNGKeyArray, supercell: Supercell, electrons: int, contexts: int, walkers: int, dtype
) -> Walkers:
    """Electrons of the generalized Wigner crystal at filling 2/3: one moiré site of three is empty.

    Which of the three sublattices of the sqrt3 x sqrt3 order is empty, and which electron is where, is drawn
    for every walker. Only where the supercell `fits_crystal`.
    """
    sites = supercell.translations()
    labels = np.rint(sites @ np.linalg.inv(MOIRE_VECTORS)).astype(int)
    order = np.argsort(labels.sum(axis=1) % 3, kind="stable")
    sublattices = jnp.asarray(sites[order].reshape(3, -1, 2), dtype)

    def one(key):
        choose, shuffle, smear = jax.random.split(key, 3)
        filled = jnp.roll(sublattices, jax.random.randint(choose, (), 0, 3), axis=0)[:2].reshape(-1, 2)
        positions = jax.random.permutation(shuffle, filled)
        return positions + 0.1 * jax.random.normal(smear, positions.shape, dtype)

    positions = jax.vmap(jax.vmap(one))(jax.random.split(key, (contexts, walkers)))
    return Walkers(wrap(positions, supercell), jnp.full(contexts, 0.2, dtype))


def wrap(positions: Float[Array, "*batch 2"], supercell: Supercell) -> Float[Array, "*batch 2"]:
    """Move positions into the supercell's primitive parallelogram."""
    dtype = positions.dtype
    fractions = positions @ jnp.asarray(supercell.reciprocal.T / (2 * math.pi), dtype)
    return (fractions - jnp.floor(fractions)) @ jnp.asarray(supercell.vectors, dtype)


def langevin(
    model: Wavefunction,
    walkers: Walkers,
    couplings: Couplings,
    key: PRNGKeyArray,
    moves: int,
    supercell: Supercell,
    mesh: Mesh,
    microbatch: int,
) -> tuple[Walkers, Float[Array, "context walker"], Float[Array, " context"]]:
    """Make `moves` moves of every walker; return walkers, their log|psi|, and acceptance per context.

    Each walker draws from its own key, so that results do not depend on the number of devices.
    """

    def chain(model, walker, at_context):
        (electrons, key), (width, couplings) = walker, at_context
        log_abs = jax.value_and_grad(lambda r: model(r, couplings).log_abs)

        def drift(velocity):
            velocity = jnp.nan_to_num(velocity, nan=0.0, posinf=0.0, neginf=0.0)  # where psi vanishes
            speed = jnp.linalg.norm(velocity, axis=-1, keepdims=True)
            return velocity / jnp.maximum(1 / width, speed)

        def move(state, index):
            electrons, value, velocity = state
            noise, threshold = _draw(key, index, electrons)
            step = width * (drift(velocity) + noise)
            proposal = wrap(electrons + step, supercell)
            proposed, there = log_abs(proposal)
            # The way back is the same step in reverse, also where it crosses the cell's border.
            back = -step / width - drift(there)
            ratio = 2 * (proposed - value) + 0.5 * (jnp.sum(noise**2) - jnp.sum(back**2))
            accept = (-threshold < ratio) | ~jnp.isfinite(value)  # never to stay where psi vanishes
            new = (proposal, proposed, there)
            return jax.tree.map(lambda a, b: jnp.where(accept, a, b), new, state), accept

        start = (electrons, *log_abs(electrons))
        (electrons, value, _), accepted = jax.lax.scan(move, start, jnp.arange(moves))
        return electrons, value, jnp.mean(accepted, dtype=electrons.dtype)

    keys = jax.random.split(key, walkers.electrons.shape[:2])
    electrons, present, accepted = over_walkers(chain, mesh, microbatch)(
        model, (walkers.electrons, keys), (walkers.width, couplings)
    )
    return Walkers(electrons, walkers.width), present, jnp.mean(accepted, axis=1)


def exchange(
    model: Wavefunction,
    walkers: Walkers,
    present: Float[Array, "context walker"],
    couplings: Couplings,
    order: Int[Array, " context"],
    key: PRNGKeyArray,
    mesh: Mesh,
    microbatch: int,
) -> Walkers:
    """Offer walkers of contexts that are neighbours in `order` each other's place (replica exchange).

    Walkers R at a and R' at b change places with probability min(1, |psi_a(R') psi_b(R)|^2 / |psi_a(R)
    psi_b(R')|^2), which leaves the distribution at either as it is (Swendsen and Wang,
    doi:10.1103/PhysRevLett.57.2607). Pairs are the first and second, third and fourth, ... or, as often, the
    second and third, ..., but for neighbours of different momentum sectors: these states are orthogonal.
    `present` is log|psi| of each walker where it is.
    """
    count, places = len(order), jnp.arange(len(order))
    sectors = couplings.sector[order]
    side, draws = jax.random.split(key)
    odd = jax.random.bernoulli(side).astype(places.dtype)
    mates = jnp.where((places - odd) % 2 == 0, places + 1, places - 1)
    mates = jnp.where((mates < 0) | (mates >= count), places, mates)
    mates = jnp.where(sectors[mates] == sectors, mates, places)
    partner = jnp.zeros_like(order).at[order].set(order[mates])
    offered = walkers.electrons[partner]

    def log_abs(model, electrons, couplings):
        return model(electrons, couplings).log_abs

    change = over_walkers(log_abs, mesh, microbatch)(model, offered, couplings) - present
    thresholds = jax.random.exponential(draws, change.shape, change.dtype)
    threshold = thresholds[jnp.minimum(jnp.arange(count), partner)]  # one for both of a pair
    accept = -threshold < 2 * (change + change[partner])
    return Walkers(jnp.where(accept[..., None, None], offered, walkers.electrons), walkers.width)


def tune(walkers: Walkers, acceptance: Float[Array, " context"], supercell: Supercell) -> Walkers:
    """Widen or narrow each context's moves toward 65% acceptance, within a quarter of the cell."""
    factor = jnp.exp(_TUNING_RATE * (acceptance - _TARGET_ACCEPTANCE))
    widest = 0.25 * math.sqrt(supercell.area)
    width = jnp.clip(walkers.width * factor.astype(walkers.width.dtype), 1e-3, widest)
    return Walkers(walkers.electrons, width)


def _draw(key: PRNGKeyArray, index, like: Float[Array, "electron 2"]) -> tuple[Array, Float[Array, ""]]:
    """One walker's random numbers for move `index`: a normal step, and -log of a uniform number.

    The latter is drawn as such, since a uniform number can be 0, whose logarithm would accept any move.
    """
    step, coin = jax.random.split(jax.random.fold_in(key, index))
    return jax.random.normal(step, like.shape, like.dtype), jax.random.exponential(coin, (), like.dtype)


def make_sampling(
    hamiltonian: Hamiltonian, mesh: Mesh, moves: int, dtype, microbatch: int, *, exchanges: bool = False
) -> Callable[..., tuple[Walkers, Float[Array, " context"]]]:
    """Compiled (model, walkers, contexts, key) -> (walkers, acceptance).

    `moves` moves of all walkers, then one adjustment of each context's step width. With `exchanges`, contexts
    that are neighbours, sector by sector and in a parameter drawn at random, exchange walkers: contexts are
    then not independent of each other, as the errors of a sweep take them to be.
    """

    @eqx.filter_jit
    def sample(model, walkers, contexts, key):
        couplings, cell = couplings_of(hamiltonian, contexts, dtype), hamiltonian.supercell
        moved = langevin(model, walkers, couplings, key, moves, cell, mesh, microbatch)
        walkers, log_abs, acceptance = moved
        walkers, parameters = tune(walkers, acceptance, cell), len(hamiltonian.family.names)
        if exchanges and parameters and len(contexts) > 1:
            which, pairs = jax.random.split(jax.random.fold_in(key, _EXCHANGE))
            along = contexts[:, jax.random.randint(which, (), 0, parameters)]
            order = jnp.lexsort((along, couplings.sector))
            walkers = exchange(model, walkers, log_abs, couplings, order, pairs, mesh, microbatch)
        return walkers, acceptance

    return sample

"""Sampling |psi|^2 by all-electron Metropolis moves."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray

from qernel.batching import BY_WALKER, REPLICATED, over_devices
from qernel.hamiltonian.couplings import Couplings
from qernel.lattice import Supercell
from qernel.wavefunction.base import Wavefunction

_TARGET_ACCEPTANCE = 0.5
_TUNING_RATE = 0.5


class Walkers(eqx.Module):
    """Electron configurations of every context, and the step width of their moves in a_M."""

    electrons: Float[Array, "context walker electron 2"]
    width: Float[Array, " context"]

    @property
    def per_context(self) -> int:
        return self.electrons.shape[1]


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


def wrap(positions: Float[Array, "*batch 2"], supercell: Supercell) -> Float[Array, "*batch 2"]:
    """Move positions into the supercell's primitive parallelogram."""
    dtype = positions.dtype
    fractions = positions @ jnp.asarray(supercell.reciprocal.T / (2 * math.pi), dtype)
    return (fractions - jnp.floor(fractions)) @ jnp.asarray(supercell.vectors, dtype)


def metropolis(
    model: Wavefunction,
    walkers: Walkers,
    couplings: Couplings,
    key: PRNGKeyArray,
    moves: int,
    supercell: Supercell,
    mesh: Mesh,
) -> tuple[Walkers, Float[Array, " context"]]:
    """Make `moves` Gaussian moves of all electrons at once; return walkers and acceptance per context.

    Each walker draws from its own key, so that results do not depend on the number of devices.
    """

    def run(model, electrons, width, couplings, keys):
        log_abs = jax.vmap(jax.vmap(lambda r, c: model(r, c).log_abs, (0, None)))

        def move(state, index):
            electrons, current = state
            noise, uniform = jax.vmap(jax.vmap(lambda k: _draw(k, index, electrons)))(keys)
            proposal = wrap(electrons + width[:, None, None, None] * noise, supercell)
            proposed = log_abs(proposal, couplings)
            accept = jnp.log(uniform) < 2 * (proposed - current)
            electrons = jnp.where(accept[..., None, None], proposal, electrons)
            return (electrons, jnp.where(accept, proposed, current)), accept

        start = (electrons, log_abs(electrons, couplings))
        (electrons, _), accepted = jax.lax.scan(move, start, jnp.arange(moves))
        return electrons, jnp.mean(accepted, axis=0, dtype=electrons.dtype)

    specs = (REPLICATED, BY_WALKER, REPLICATED, REPLICATED, BY_WALKER)
    keys = jax.random.split(key, walkers.electrons.shape[:2])
    electrons, accepted = over_devices(run, mesh, specs, (BY_WALKER, BY_WALKER))(
        model, walkers.electrons, walkers.width, couplings, keys
    )
    return Walkers(electrons, walkers.width), jnp.mean(accepted, axis=1)


def tune(walkers: Walkers, acceptance: Float[Array, " context"], supercell: Supercell) -> Walkers:
    """Widen or narrow each context's moves toward 50% acceptance, within a quarter of the cell."""
    factor = jnp.exp(_TUNING_RATE * (acceptance - _TARGET_ACCEPTANCE))
    widest = 0.25 * math.sqrt(supercell.area)
    width = jnp.clip(walkers.width * factor.astype(walkers.width.dtype), 1e-3, widest)
    return Walkers(walkers.electrons, width)


def _draw(key: PRNGKeyArray, index, electrons) -> tuple[Float[Array, "electron 2"], Float[Array, ""]]:
    """One walker's random numbers for move `index`: a Gaussian step and a uniform number."""
    step, coin = jax.random.split(jax.random.fold_in(key, index))
    shape, dtype = electrons.shape[2:], electrons.dtype
    return jax.random.normal(step, shape, dtype), jax.random.uniform(coin, (), dtype)

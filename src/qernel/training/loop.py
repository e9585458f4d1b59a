"""The training loop: stages, redraws of the contexts, burn-in, and refusal of bad steps."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from qernel.batching import BY_WALKER, REPLICATED, gather, place, walker_mesh
from qernel.config import Config, UserError
from qernel.estimators.by_differences import check_local_energies, is_trusted
from qernel.hamiltonian.hamiltonian import Hamiltonian, make_hamiltonian
from qernel.optimize import make_optimizer
from qernel.sampling import Walkers, initial_walkers
from qernel.training.contexts import draw_contexts, is_redraw, reassign, stage_at
from qernel.training.emphasis import Emphasis
from qernel.training.step import (
    StepMetrics,
    TrainingState,
    make_optimization,
    training_sampling,
)
from qernel.wavefunction import make_wavefunction

_PATIENCE = 20  # refused steps in a row before training stops
_MODEL, _WALKERS, _BURN_IN, _STEPS = range(4)  # names of the streams of random numbers


class TrainingStopped(UserError):
    """Training cannot go on; the last good state has been kept."""


def initial_state(config: Config) -> TrainingState:
    """Random weights, and walkers that fill the cell at the first stage's contexts (not burnt in)."""
    hamiltonian, training = make_hamiltonian(config), config.training
    model = make_wavefunction(config, hamiltonian, _key(config, _MODEL))
    count = training.stages[0].contexts
    walkers = initial_walkers(
        _key(config, _WALKERS),
        hamiltonian.supercell,
        hamiltonian.electrons,
        count,
        training.walkers // count,
        jnp.dtype(training.precision),
    )
    ranges = list(config.trained.values())
    sectors = hamiltonian.family.sectors
    contexts, weights = draw_contexts(ranges, count, training.seed, 0, sectors=sectors)
    zero = jnp.zeros((), jnp.int64)
    return TrainingState(
        model=model,
        optimizer=make_optimizer(config.optimizer, hamiltonian).init(eqx.filter(model, eqx.is_inexact_array)),
        walkers=walkers,
        contexts=jnp.asarray(contexts, jnp.float64),
        step=zero,
        refused=zero,
        refused_in_a_row=zero,
        emphasis=Emphasis.even(weights, len(ranges)) if training.adaptive else None,
    )


def train(config: Config, state: TrainingState) -> Iterator[tuple[TrainingState, StepMetrics]]:
    """Yield the state after each step, from `state` to the end of the last stage.

    Random numbers follow (seed, step) alone, so that a resumed run repeats what an unbroken one does.
    Raises TrainingStopped when steps keep being refused, and UserError if a device other than a CPU gets
    local energies wrong, at the first good step of each number of contexts.
    """
    hamiltonian, training = make_hamiltonian(config), config.training
    optimizer = make_optimizer(config.optimizer, hamiltonian)

    @functools.cache
    def compiled(mesh: Mesh):
        sample = training_sampling(training, hamiltonian, mesh)
        return sample, make_optimization(config, hamiltonian, optimizer, mesh)

    checked: set[int] = set()  # numbers of contexts: each has compiled functions of its own
    for index in range(int(state.step), training.steps):
        stage, _ = stage_at(training.stages, index)
        mesh = walker_mesh(training.walkers // stage.contexts)
        sample, optimize = compiled(mesh)
        changed = len(state.contexts) != stage.contexts  # by a resumed run's new stages
        if changed or is_redraw(training.stages, index, training.refresh_every):
            state = _spread(_redraw(config, hamiltonian, state, stage.contexts, index), mesh)
            moves = training.burn_in if index == 0 else training.refresh_burn_in
            state = burn_in(sample, state, math.ceil(moves / training.moves), _key(config, _BURN_IN))
        state = _spread(state, mesh)
        key = jax.random.fold_in(_key(config, _STEPS), index)
        walkers, acceptance = sample(state.model, state.walkers, state.contexts, key)
        before = eqx.tree_at(lambda s: s.walkers, state, walkers)
        state, metrics, energies = optimize(before, acceptance)
        if stage.contexts not in checked and not is_trusted() and not bool(metrics.refused):
            electrons, energies = gather((before.walkers.electrons, energies))
            check_local_energies(before.model, hamiltonian, before.contexts, electrons, energies)
            checked.add(stage.contexts)
        yield state, gather(metrics)
        if int(state.refused_in_a_row) >= _PATIENCE:
            raise TrainingStopped(
                f"{_PATIENCE} steps in a row gave non-finite energies or updates (now step {index + 1});"
                " try a new run with a smaller optimizer.learning_rate, a smaller optimizer.norm_bound"
                " (at first: optimizer.first_norm_bound), or training.precision=float64;"
                " with training.start it goes on from here"
            )


def burn_in(sample: Callable, state: TrainingState, rounds: int, key: PRNGKeyArray) -> TrainingState:
    """Move the walkers `rounds` times at fixed wavefunction, tuning the step widths."""
    base, walkers = jax.random.fold_in(key, state.step), state.walkers
    for index in range(rounds):
        walkers, _ = sample(state.model, walkers, state.contexts, jax.random.fold_in(base, index))
    return eqx.tree_at(lambda s: s.walkers, state, walkers)


def _redraw(
    config: Config, hamiltonian: Hamiltonian, state: TrainingState, count: int, index: int
) -> TrainingState:
    """New contexts, served by the walkers whose old contexts are nearest."""
    ranges, emphasis, family = list(config.trained.values()), state.emphasis, hamiltonian.family
    density = None if emphasis is None else emphasis.density
    new, weights = draw_contexts(ranges, count, config.training.seed, index, density, family.sectors)
    old, contexts = gather((state.walkers, state.contexts))
    electrons, served_by = reassign(old.electrons, contexts, new, family.widths)
    walkers = Walkers(jnp.asarray(electrons), jnp.asarray(old.width[served_by]))
    if emphasis is not None:
        emphasis = dataclasses.replace(emphasis, weights=jnp.asarray(weights, jnp.float64))
    new = jnp.asarray(new, jnp.float64)
    return dataclasses.replace(state, walkers=walkers, contexts=new, emphasis=emphasis)


def _spread(state: TrainingState, mesh: Mesh) -> TrainingState:
    """Walkers shared out over the devices of all processes, everything else on each of them."""
    electrons = place(state.walkers.electrons, mesh, BY_WALKER)
    rest = eqx.tree_at(lambda s: s.walkers.electrons, state, None)
    arrays, static = eqx.partition(rest, eqx.is_array)
    rest = eqx.combine(place(arrays, mesh, REPLICATED), static)
    return eqx.tree_at(lambda s: s.walkers.electrons, rest, electrons, is_leaf=lambda x: x is None)


def _key(config: Config, stream: int) -> PRNGKeyArray:
    return jax.random.fold_in(jax.random.key(config.training.seed), stream)

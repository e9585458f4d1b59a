"""What a training step will take, in memory and in time, on this machine: known before it is run.

Memory is what the compiler reserves for the whole step at its real shapes; nothing is run for it. Time is
measured on a few microbatches, which a step repeats, and on the optimizer's update, which does not grow in
proportion to the walkers: a natural gradient's with random scores of all of them.
"""

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from rich.table import Table

from qernel.batching import BY_WALKER, even_chunks, place, walker_mesh
from qernel.config import Config, Stage, UserError
from qernel.estimators.local_energy import local_energies
from qernel.hamiltonian import make_hamiltonian
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.numbers import duration
from qernel.optimize import NATURAL_GRADIENT, make_optimizer
from qernel.optimize.rows import KeptRows, score_rows
from qernel.optimize.solve import MOST_ITERATIONS, sketch_columns
from qernel.training.loop import initial_state
from qernel.training.step import TrainingState, make_optimization, training_sampling

_FACTOR = 4  # between the microbatches that are tried
_WORTHWHILE = 0.95  # of a smaller microbatch's time: what a larger one has to do better than
_FURTHER_USES = 2  # of scores computed anew, beside the iterations': sketch and three products are 4 passes
_TIMED_WALKERS = 32  # in whole microbatches, that are timed together
_REPEATS = 3  # calls, of which the fastest counts,
_LONG_ENOUGH = 10.0  # and seconds after which there are enough


class Plan(NamedTuple):
    """What an optimization step takes with microbatches of this size."""

    microbatch: int
    memory: int  # bytes on each device
    seconds: float | None  # None where it was not measured, as it does not fit


def plans(config: Config, limit: int | None) -> Iterator[Plan]:
    """Plans for the configuration's microbatch, a smaller and a larger one; only those within `limit` bytes
    are timed.

    The longest stage of the training counts.
    """
    config = _longest_stage(config)
    most, _ = _share(config)
    own = min(config.training.microbatch, most)
    update: float | None = None
    for size in sorted({max(own // _FACTOR, 1), own, min(own * _FACTOR, most)}):
        at_size = _with_training(config, microbatch=size)
        memory = step_memory(at_size)
        if limit is not None and memory > limit:
            yield Plan(size, memory, None)
            continue
        update = _seconds_of_update(config) if update is None else update
        yield Plan(size, memory, _seconds_of_batches(at_size, update) + update)


def preferred(candidates: Iterable[Plan]) -> Plan | None:
    """The smallest microbatch that is about as fast as the fastest; None where none fits."""
    timed = [(plan, plan.seconds) for plan in candidates if plan.seconds is not None]
    fastest = min((seconds for _, seconds in timed), default=0.0)
    good = [plan for plan, seconds in timed if seconds * _WORTHWHILE <= fastest]
    return min(good, default=None, key=lambda plan: plan.microbatch)


def plan_table(plans: Iterable[Plan]) -> Table:
    """Memory and time of a training step by microbatch."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("microbatch", "GiB", "seconds per step"):
        table.add_column(name, justify="right", no_wrap=True)
    for plan in plans:
        seconds = "does not fit" if plan.seconds is None else f"{plan.seconds:.3g}"
        table.add_row(str(plan.microbatch), f"{plan.memory / 2**30:.2f}", seconds)
    return table


def advice(plan: Plan | None, config: Config, limit: int | None) -> str:
    """What to do, in a sentence: the microbatch and how long the training takes, or how to make it fit."""
    if plan is None or plan.seconds is None:
        less = "fewer training.walkers"
        if config.optimizer.name in NATURAL_GRADIENT:
            less += ", a smaller model"
        if config.optimizer.name in NATURAL_GRADIENT and config.optimizer.keep_scores:
            less += ", or optimizer.keep_scores=false, which takes longer"
        return f"a step does not fit into {(limit or 0) / 2**30:.3g} GiB: {less}"
    steps, took = config.training.steps, duration(config.training.steps * plan.seconds)
    change = (
        "" if plan.microbatch == config.training.microbatch else f"training.microbatch={plan.microbatch}: "
    )
    return f"{change}{steps} steps take about {took}"


def _longest_stage(config: Config) -> Config:
    """The configuration with the longest stage of its training alone."""
    return _with_training(config, stages=(max(config.training.stages, key=lambda stage: stage.steps),))


def step_memory(config: Config) -> int:
    """Bytes that a device needs for a step of the first stage, from compiling it."""
    state = eqx.filter_eval_shape(initial_state, config)
    arrays, static = eqx.partition(state, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    _, optimize = _halves(config)

    def step(arrays, acceptance):
        return eqx.filter(optimize(eqx.combine(arrays, static), acceptance), eqx.is_array)

    acceptance = jax.ShapeDtypeStruct((len(state.contexts),), jnp.dtype(config.training.precision))
    memory = jax.jit(step).lower(arrays, acceptance).compile().memory_analysis()
    if memory is None:
        raise UserError(f"the compiler for {jax.default_backend()} does not tell what memory a step takes")
    return sum((memory.argument_size_in_bytes, memory.output_size_in_bytes, memory.temp_size_in_bytes))


def device_memory() -> int | None:
    """Bytes that this process can use on each device; None where the system does not tell."""
    limits = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in limits:
        return int(limits["bytes_limit"])
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // jax.local_device_count()
    except (AttributeError, ValueError, OSError):
        return None


def _seconds_of_batches(config: Config, update: float) -> float:
    """Seconds of all microbatches of a step: of what grows with their number, and is not in `update`."""
    training, (share, devices) = config.training, _share(config)
    stage = training.stages[0]
    chunks, size = even_chunks(share, training.microbatch)
    contexts = min(2 * max(len(config.model.momenta), 1), stage.contexts)  # so that they exchange walkers
    few = min(chunks, max(_TIMED_WALKERS // (size * devices * contexts), 1))
    walkers = few * size * devices
    timed = (Stage(steps=1, contexts=contexts),)
    part = _with_training(config, walkers=contexts * walkers, microbatch=size, stages=timed)
    state = initial_state(part)
    sample, optimize = _halves(part)
    key, acceptance = jax.random.key(0), jnp.zeros(contexts, training.precision)
    seconds = _fastest(lambda: sample(state.model, state.walkers, state.contexts, key))
    if config.optimizer.name in NATURAL_GRADIENT:  # whose update does not grow like that
        seconds += _seconds_of_passes(part, state, walker_mesh(walkers))
    else:
        seconds += max(_fastest(lambda: optimize(state, acceptance)) - update, 0.0)
    return seconds * (stage.contexts * chunks) / (contexts * few)


def _seconds_of_passes(config: Config, state: TrainingState, mesh: Mesh) -> float:
    """Seconds of what a natural gradient needs of all walkers: local energies, and scores for every use."""
    hamiltonian, training = make_hamiltonian(config), config.training
    couplings = couplings_of(hamiltonian, state.contexts, jnp.dtype(training.precision))
    batch, keep = (state.walkers.electrons, couplings), config.optimizer.keep_scores

    @eqx.filter_jit
    def energies(model):
        return local_energies(model, hamiltonian, *batch, mesh=mesh, microbatch=training.microbatch)

    @eqx.filter_jit
    def use_scores(model, weights):
        rows = score_rows(model, *batch, mesh, training.microbatch, keep=keep)
        return rows if keep else rows.along(rows.combine(weights))

    uses = 1 if keep else MOST_ITERATIONS + _FURTHER_USES
    rows = 2 * training.walkers
    weights = jax.random.normal(jax.random.key(0), (rows,), training.precision)
    seconds = _fastest(lambda: use_scores(state.model, weights))
    return _fastest(lambda: energies(state.model)) + uses * seconds


def _seconds_of_update(config: Config) -> float:
    """Seconds of the optimizer's own work in a step of the first stage.

    Of a natural gradient with random scores that fall from walker to walker, so that the eigenvalues of their
    Gram matrix span many decades as real ones do: as many iterations are needed. Where scores are not kept,
    with as many columns as their sketch has: to compute them anew takes time by the microbatch, which is not
    counted here.
    """
    if config.optimizer.name not in NATURAL_GRADIENT:
        return _seconds_without_walkers(config)
    training, contexts = config.training, config.training.stages[0].contexts
    shape, dtype = (contexts, training.walkers // contexts), jnp.dtype(training.precision)
    parameters = eqx.filter(initial_state(config).model, eqx.is_inexact_array)
    optimizer = make_optimizer(config.optimizer)

    @jax.jit
    def update(parameters, scores, residual):
        rows, memory = KeptRows(scores, jnp.ones(contexts, dtype)), optimizer.init(parameters)
        return optimizer.update(parameters, memory, parameters, rows=rows, residual=residual)[0]

    if not config.optimizer.keep_scores:
        count = sum(leaf.size for leaf in jax.tree.leaves(parameters))
        parameters = jnp.zeros(min(count, sketch_columns(2 * training.walkers, count)), dtype)
    leaves, structure = jax.tree.flatten(parameters)
    size = jnp.logspace(0, -4, shape[1], dtype=dtype)
    made = [
        size.reshape(-1, 1, *[1] * leaf.ndim) * jax.random.normal(key, (*shape, 2, *leaf.shape), dtype)
        for key, leaf in zip(jax.random.split(jax.random.key(1), len(leaves)), leaves, strict=True)
    ]
    scores = place(jax.tree.unflatten(structure, made), walker_mesh(shape[1]), BY_WALKER)
    residual = jax.random.normal(jax.random.key(2), (*shape, 2), dtype)
    return _fastest(functools.partial(update, parameters, scores, residual))


def _seconds_without_walkers(config: Config) -> float:
    """Seconds of an update that takes a gradient: with one walker, and the parameters for their gradient."""
    contexts = config.training.stages[0].contexts
    state, hamiltonian = initial_state(_with_training(config, walkers=contexts)), make_hamiltonian(config)
    optimizer = make_optimizer(config.optimizer, hamiltonian)
    parameters = eqx.filter(state.model, eqx.is_inexact_array)
    couplings = couplings_of(hamiltonian, state.contexts[:1], jnp.dtype(config.training.precision))
    walkers = (state.walkers.electrons[:1], couplings)

    @jax.jit
    def update(parameters, memory, walkers):
        return optimizer.update(parameters, memory, parameters, walkers=walkers)

    return _fastest(functools.partial(update, parameters, state.optimizer, walkers))


def _share(config: Config) -> tuple[int, int]:
    """Walkers of a context of the first stage on a device, and the number of devices."""
    walkers = config.training.walkers // config.training.stages[0].contexts
    devices = len(walker_mesh(walkers).devices)
    return walkers // devices, devices


def _halves(config: Config) -> tuple[Callable, Callable]:
    """The two halves of a step of the first stage: sampling, optimization."""
    hamiltonian, training = make_hamiltonian(config), config.training
    mesh = walker_mesh(training.walkers // training.stages[0].contexts)
    sample = training_sampling(training, hamiltonian, mesh)
    return sample, make_optimization(config, hamiltonian, make_optimizer(config.optimizer, hamiltonian), mesh)


def _with_training(config: Config, **changes) -> Config:
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


def _fastest(call: Callable) -> float:
    """Seconds of the fastest of a few calls, after one that compiles."""
    jax.block_until_ready(call())
    times: list[float] = []
    while len(times) < _REPEATS and sum(times) < _LONG_ENOUGH:
        begin = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - begin)
    return min(times)

"""A run's wavefunctions: one, or one for each momentum sector of a network that they share.

A network that was trained in several sectors is taken apart for everything that comes after: with the sector
fixed it is an ordinary wavefunction with walkers of its own, measured like any other, and several of them are
compared like several models.
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from qernel.config import Config, Momentum, UserError
from qernel.runs import Run
from qernel.sampling import Walkers
from qernel.training.step import TrainingState


class Branch(NamedTuple):
    """A wavefunction of a run, as it was when it was read: the run may be training on.

    `config.training` is that of the run, with the walkers and contexts of all momenta together.
    """

    name: str  # the run's, and the momentum where it has several
    config: Config
    state: TrainingState

    def covers(self, context: Float[np.ndarray, " parameter"]) -> bool:
        """Whether it was trained around this context."""
        ranges = self.config.trained.values()
        return all(low <= value <= high for value, (low, high) in zip(context, ranges, strict=True))


def branches(run: Run, name: str | None = None) -> list[Branch]:
    """The wavefunctions of a run's newest state; the run is called `name`, by default as its directory.

    Raises UserError where it has no state.
    """
    return taken_apart(name or run.path.name, run.config(), run.state())


def taken_apart(name: str, config: Config, state: TrainingState) -> list[Branch]:
    """The wavefunctions of a state, to measure and not to train on from."""
    if not config.model.momenta:
        return [Branch(name, config, state)]
    return [
        Branch(each, *_in_sector(config, state, number))
        for number, each in enumerate(branch_names(name, config))
    ]


def the_branch(run: Run, momentum: Momentum | None = None) -> Branch:
    """The wavefunction of a run; of several that of this momentum, modulo moiré reciprocal vectors.

    Raises UserError where it has no state, or the momentum does not say which one is meant.
    """
    config = run.config()
    there, cell = config.model.momenta, config.system.lattice()
    if momentum is None and not there:
        return branches(run)[0]
    for number, each in enumerate(there):
        if momentum is not None and cell.momentum_class(momentum) == cell.momentum_class(each):
            return branches(run)[number]
    if not there:
        raise UserError(f"{run.path} has one wavefunction, not several momenta: leave out {momentum}")
    raise UserError(f"{run.path} has the momenta {', '.join(map(str, there))}: say which one is meant")


def branch_names(name: str, config: Config) -> list[str]:
    """What the wavefunctions of a run are called."""
    return [f"{name} {momentum}" for momentum in config.model.momenta] or [name]


def _in_sector(config: Config, state: TrainingState, number: int) -> tuple[Config, TrainingState]:
    """Configuration and state of one sector alone."""
    contexts = np.asarray(state.contexts)
    here = np.flatnonzero(contexts[:, -1] == number)
    electrons, width = (np.asarray(each)[here] for each in (state.walkers.electrons, state.walkers.width))
    walkers = Walkers(jnp.asarray(electrons), jnp.asarray(width))
    model = config.model.model_copy(update={"sector": config.model.momenta[number]})
    return config.model_copy(update={"model": model}), dataclasses.replace(
        state,
        model=state.model.in_sector(number),
        optimizer=None,
        walkers=walkers,
        contexts=jnp.asarray(contexts[here, :-1]),
        emphasis=None,
    )

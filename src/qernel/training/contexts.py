"""Which contexts are trained on, and which walkers serve them.

Contexts are redrawn every K steps and frozen in between. A draw is stratified: with n contexts, each
parameter's range is cut into n equal strata and every stratum is used once (a Latin hypercube), so that
small draws cover the family evenly and repeated draws fill it without bias.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from qernel.config import Stage

_DRAWS = 1  # names the stream of random numbers that contexts are drawn from


def draw_contexts(ranges: Sequence[tuple[float, float]], count: int, seed: int, step: int) -> np.ndarray:
    """Stratified contexts (count, parameter) in laboratory units; a function of (seed, step) alone."""
    random = np.random.default_rng([seed, step, _DRAWS])
    columns = []
    for low, high in ranges:
        strata = random.permutation(count) if columns else np.arange(count)
        columns.append(low + (high - low) * (strata + random.random(count)) / count)
    return np.stack(columns, axis=1) if columns else np.zeros((count, 0))


def stage_at(stages: tuple[Stage, ...], step: int) -> tuple[Stage, int]:
    """The stage that optimization step `step` belongs to, and the step at which it began."""
    begin = 0
    for stage in stages:
        if step < begin + stage.steps:
            return stage, begin
        begin += stage.steps
    raise IndexError(f"step {step} is past the last stage")


def is_redraw(stages: tuple[Stage, ...], step: int, every: int) -> bool:
    """Whether contexts are redrawn just before step `step`."""
    _, begin = stage_at(stages, step)
    return (step - begin) % every == 0


def reassign(
    electrons: np.ndarray, old: np.ndarray, new: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give each new context walkers from the nearest old ones.

    electrons (old context, walker, electron, 2) are split into equal chunks, and chunks are matched to
    the new contexts' needs at the least total squared distance, in units of `scale` per parameter. All
    walkers are used once. Returns electrons (new context, walker, electron, 2) and, for each new
    context, the index of an old one that served it.
    """
    before, after = len(old), len(new)
    chunks = math.lcm(before, after)
    pieces = electrons.reshape(chunks, -1, *electrons.shape[2:])
    origin = np.repeat(np.arange(before), chunks // before)
    target = np.repeat(np.arange(after), chunks // after)
    distance = (((old[origin][:, None] - new[target][None]) / scale) ** 2).sum(axis=-1)
    rows, columns = linear_sum_assignment(distance)
    chosen = rows[np.argsort(columns)]
    served_by = origin[chosen].reshape(after, -1)[:, 0]
    return pieces[chosen].reshape(after, -1, *electrons.shape[2:]), served_by

"""Which contexts are trained on, and which walkers serve them.

Contexts are redrawn every K steps and frozen in between. A draw is stratified: with n contexts, each
parameter's range is cut into n strata of equal probability and every stratum is used once (a Latin
hypercube), so that small draws cover the family evenly and repeated draws fill it without bias. Where the
density is not even, weights make up for it.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from qernel.config import Stage

_DRAWS = 1  # names the stream of random numbers that contexts are drawn from


def draw_contexts(
    ranges: Sequence[tuple[float, float]],
    count: int,
    seed: int,
    step: int,
    density: Float[np.ndarray, "parameter bin"] | None = None,
    sectors: int = 1,
) -> tuple[Float[np.ndarray, "context entry"], Float[np.ndarray, " context"]]:
    """Stratified contexts in laboratory units, and what each counts in a mean over the ranges.

    A function of (seed, step) and of `density`, that of the draws in bins of each range (None: uniform). Of
    several sectors each has as many contexts, spread as evenly along the first parameter; the number of the
    sector is the last entry.
    """
    random = np.random.default_rng([seed, step, _DRAWS])
    density = np.ones((len(ranges), 1)) if density is None else density
    columns, weights = [], np.ones(count)
    for (low, high), along in zip(ranges, density, strict=True):
        edges = _strata(along, count)
        stratum = random.permutation(count) if columns else np.arange(count)
        widths = np.diff(edges)[stratum]
        columns.append(low + (high - low) * (edges[stratum] + widths * random.random(count)))
        weights = weights * count * widths
    if sectors > 1:  # each once in every `sectors` strata of the first parameter
        turns = [random.permutation(sectors) for _ in range(-(-count // sectors))]
        columns.append(np.concatenate(turns)[:count].astype(float))
    return np.stack(columns, axis=1) if columns else np.zeros((count, 0)), weights


def _strata(density: Float[np.ndarray, " bin"], count: int) -> Float[np.ndarray, " edge"]:
    """The edges, from 0 to 1, of `count` strata of equal probability."""
    probability = np.concatenate([[0], np.cumsum(density)]) / np.sum(density)
    return np.interp(np.linspace(0, 1, count + 1), probability, np.linspace(0, 1, len(density) + 1))


def stage_at(stages: tuple[Stage, ...], step: int) -> tuple[Stage, int]:
    """The stage that optimization step `step` belongs to, and the step at which it began."""
    begin = 0
    for stage in stages:
        if step < begin + stage.steps:
            return stage, begin
        begin += stage.steps
    raise IndexError(f"step {step} is past the last stage")


def stages_until(stages: tuple[Stage, ...], step: int) -> tuple[Stage, ...]:
    """The stages up to a step, the last one shortened to it; or all there are, if they end before."""
    begins = itertools.accumulate((stage.steps for stage in stages), initial=0)
    return tuple(
        stage.model_copy(update={"steps": min(stage.steps, step - begin)})
        for stage, begin in zip(stages, begins, strict=False)
        if begin < step
    )


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

"""More contexts where a transition is: between the two that hold it, round after round."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import xarray

from qernel.comparison import lowest_of
from qernel.config import UserError
from qernel.transition.evidence import LEAST_POINTS, weigh

Sweeps = dict[str, xarray.Dataset]
_ADDED = 3  # contexts in a round, each in the middle of the widest gap


def refined(
    measure: Callable[[Mapping[str, Sequence[float]], int], Sweeps],
    over: Mapping[str, Sequence[float]],
    rounds: int,
) -> Iterator[Sweeps]:
    """Yields sweeps of `measure(contexts, round)`, with more contexts after each round where a transition is.

    Of several models the lowest at each context shows it, and where their energies cross. Without one nothing
    is added. Raises UserError unless `over` has several values of one parameter alone, enough to tell.
    """
    varying = [name for name, values in over.items() if len(values) > 1]
    if len(varying) != 1 or len(over[varying[0]]) < LEAST_POINTS:
        raise UserError(f"refinement needs one parameter and {LEAST_POINTS} contexts of it or more")
    (parameter,) = varying
    sweeps = measure(over, 0)
    yield sweeps
    for number in range(1, rounds + 1):
        added = contexts_to_add(sweeps)
        if not added:
            break
        finer = measure({**over, parameter: added}, number)
        sweeps = {name: merged(sweeps[name], finer[name]) for name in sweeps}
        yield sweeps


def contexts_to_add(sweeps: Mapping[str, xarray.Dataset]) -> list[float]:
    """Three contexts between the two around the transition; none where there is no transition."""
    lowest, crossed = lowest_of(sweeps)
    place = weigh(lowest, crossed).place
    if place is None:
        return []
    x = lowest[str(lowest["energy"].dims[0])].values
    left = x[x <= place.within_68[0]].max(initial=x[0])
    right = x[(x >= place.within_68[1]) & (x > left)].min(initial=x[-1])
    points, added = x[(x >= left) & (x <= right)].tolist(), []
    for _ in range(_ADDED):
        widest = int(np.argmax(np.diff(points)))
        added.append((points[widest] + points[widest + 1]) / 2)
        points.insert(widest + 1, added[-1])
    return sorted(added)


def merged(one: xarray.Dataset, other: xarray.Dataset) -> xarray.Dataset:
    """Two sweeps over one parameter as one, in the order of the parameter; attributes are those of the first.

    Where both have a context, the first one's measurement stays.
    """
    (parameter,) = (str(name) for name in one["energy"].dims)
    new = other.sel({parameter: ~np.isin(other[parameter].values, one[parameter].values)})
    together = xarray.concat(
        [one, new],
        parameter,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        combine_attrs="override",
    )
    return together.sortby(parameter)

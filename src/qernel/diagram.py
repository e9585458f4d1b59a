"""A phase diagram over two parameters: evidence for a transition along one, at every value of the other."""

from collections.abc import Mapping
from typing import NamedTuple

import xarray

from qernel.comparison import envelope, lowest_of
from qernel.config import UserError
from qernel.transition.evidence import LEAST_POINTS, Evidence, weigh


class Cut(NamedTuple):
    """The evidence along one parameter at one value of the other."""

    at: float
    evidence: Evidence


class Diagram(NamedTuple):
    """What was measured of the lowest model over both parameters, and the cuts."""

    sweeps: Mapping[str, xarray.Dataset]
    data: xarray.Dataset
    along: str
    across: str
    cuts: list[Cut]
    seed: int

    def as_dict(self) -> dict:
        """For JSON."""
        cuts = [{self.across: cut.at} | cut.evidence.as_dict() for cut in self.cuts]
        return {"along": self.along, "across": self.across, "cuts": cuts}


def phase_diagram(
    sweeps: Mapping[str, xarray.Dataset], along: str | None = None, *, seed: int = 0
) -> Diagram:
    """The diagram of one sweep over two parameters, or of several models' at the same contexts.

    Cuts run along the parameter of the most contexts, unless `along` names it. Raises UserError where a cut
    has too few contexts, or the sweeps do not match.
    """
    data = envelope(sweeps) if len(sweeps) > 1 else next(iter(sweeps.values()))
    names = [str(name) for name in data["energy"].dims]
    along = along or max(names, key=lambda name: data.sizes[name])
    if len(names) != 2 or along not in names:
        raise UserError(f"a diagram needs a sweep over two parameters, {along} among them, not {names}")
    (across,) = (name for name in names if name != along)
    if data.sizes[along] < LEAST_POINTS or data.sizes[across] < 2:
        raise UserError(f"a diagram needs {LEAST_POINTS} values of {along} or more, and two of {across}")
    cuts = []
    for value in data[across].values.tolist():
        here = {name: sweep.sel({across: value}) for name, sweep in sweeps.items()}
        cuts.append(Cut(value, weigh(*lowest_of(here), seed=seed)))
    return Diagram(sweeps, data, along, across, cuts, seed)

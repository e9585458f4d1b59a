"""Everything that a sweep over one parameter says about a transition, side by side.

The interaction energy decides: two branches that mismatch, as in the paper's Fig. 4a, against smooth curves.
Other signs of the same transition are judged by themselves, and one of them has to agree: the slope dE/dc,
which by Hellmann and Feynman jumps where two states cross; the order parameter S(K); the fidelity
susceptibility, which peaks; and, with models of several sectors, where their energies cross. The total
momentum at either end stands beside them.

Where one of several models gives way to another of the same momentum, they may be two approximations of one
state, and all that was measured jumps by how different these are: what breaks there is no transition.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray

from qernel.comparison import share_momenta, while_undecided
from qernel.crossing import Crossing
from qernel.dataset import TITLE
from qernel.least_squares import fit
from qernel.transition.decision import Break, Interval, locate
from qernel.transition.peak import Peak, locate_peak

LEAST_POINTS = 7

#: Variables of a sweep that may jump or bend, {} the swept parameter.
BREAKING = ("coulomb", "force_{}", "bragg_sqrt3")


class Sector(NamedTuple):
    """A total momentum and its weight."""

    label: tuple[int, int]
    weight: float


class Place(NamedTuple):
    """Where a transition is along a parameter, with its 68% interval."""

    value: float
    within_68: Interval


class Evidence(NamedTuple):
    """What one system's sweep says."""

    parameter: str
    electrons: int
    cells: int
    range: tuple[float, float]
    points: int
    breaks: dict[str, Break]  # by variable, the interaction energy first; none without error bars
    peak: Peak | None  # of the fidelity susceptibility
    sectors: tuple[Sector, Sector] | None  # at the lowest and at the highest value of the parameter
    crossings: list[Crossing]  # of models of different momenta
    switches: list[Interval]  # contexts between which the lowest model changes, its momentum does not
    turns: list[Interval]  # contexts between which both change

    @property
    def interaction(self) -> Break | None:
        """The break of the interaction energy, if one was found."""
        best = self.breaks.get("coulomb")
        return best if best and best.found else None

    @property
    def transition(self) -> Break | None:
        """The break of the interaction energy, if one was found and another sign (of those judged) agrees.

        None where models of one momentum give way to each other.
        """
        if self.switching:
            return None
        alone = len(self.breaks) == 1 and self.peak is None and not self.crossings
        return self.interaction if alone or self.agreeing else None

    @property
    def discounted(self) -> bool:
        """Whether the interaction energy breaks and that does not count: it is alone, or `switching`."""
        return self.interaction is not None and self.transition is None

    @property
    def switching(self) -> bool:
        """Whether the interaction energy breaks where one model gives way to another of the same momentum.

        Not where one of another momentum takes over as well.
        """
        if self.interaction is None:
            return False
        within = self.interaction.within_95
        switches, turns = (
            any(_overlap(within, each) for each in kind) for kind in (self.switches, self.turns)
        )
        return switches and not turns

    @property
    def agreeing(self) -> list[str]:
        """Other signs that are found where the interaction energy breaks, 95% intervals compared."""
        if self.interaction is None:
            return []
        within = self.interaction.within_95
        return list(dict.fromkeys(name for name, each in self.others if _overlap(within, each)))

    @property
    def agreeing_crossings(self) -> list[Crossing]:
        """Those of the crossings that are where the interaction energy breaks."""
        if self.interaction is None:
            return []
        within = self.interaction.within_95
        return [each for each in self.crossings if _overlap(within, _within_95(each))]

    @property
    def others(self) -> list[tuple[str, Interval]]:
        """The signs that are found beside the interaction energy, with their 95% intervals."""
        others = [(name, each) for name, each in self.breaks.items() if each.found and name != "coulomb"]
        found = [(name, each.within_95) for name, each in others]
        if self.peak and self.peak.found:
            found.append(("susceptibility", self.peak.within_95))
        return found + [("energies", _within_95(each)) for each in self.crossings]

    @property
    def place(self) -> Place | None:
        """Where energies cross, if they do once; else where there is a transition, if there is."""
        if len(self.crossings) == 1:
            value, error = self.crossings[0].value, self.crossings[0].error
            return Place(value, (value - error, value + error))
        found = self.transition
        return Place(found.value, found.within_68) if found else None

    def as_dict(self) -> dict:
        """For JSON."""
        verdict = {"transition": self.transition is not None, "agreeing": self.agreeing}
        return verdict | {name: _plain(value) for name, value in self._asdict().items()}


def may_show_transition(data: xarray.Dataset, parameters: int = 1) -> bool:
    """Whether this is a sweep over so many parameters, with enough contexts along one of them."""
    if data.attrs.get("title") != TITLE:
        return False
    shape = data["energy"].shape
    return len(shape) == parameters and max(shape) >= LEAST_POINTS


def weigh(data: xarray.Dataset, crossed: Sequence[Crossing] = (), *, seed: int = 0) -> Evidence:
    """Evidence of a sweep that `may_show_transition`, or of the envelope of several with their crossings."""
    (parameter,) = (str(dim) for dim in data["energy"].dims)
    x, breaks, (switches, turns) = data[parameter].values, {}, _changes(data)
    for variable in (name.format(parameter) for name in BREAKING):
        here, values, errors = _measured(data, variable)
        if len(here) >= LEAST_POINTS:
            breaks[variable] = _widened(locate(here, values, errors, seed=seed), data, turns)
    susceptibility, peak = f"susceptibility_{parameter}", None
    # Between models of different sectors nothing was measured of how one turns into the other.
    if "model" not in data.coords:
        here, values, errors = _measured(data, susceptibility)
        peak = locate_peak(here, values, errors, seed=seed) if len(here) >= LEAST_POINTS else None
    return Evidence(
        parameter=parameter,
        electrons=int(data.attrs["electrons"]),
        cells=int(data.attrs["moire_cells"]),
        range=(float(x[0]), float(x[-1])),
        points=len(x),
        breaks=breaks,
        peak=peak,
        sectors=(_sector(data, 0), _sector(data, -1)) if "sector_weight" in data else None,
        crossings=list(crossed),
        switches=switches,
        turns=turns,
    )


def _widened(found: Break, data: xarray.Dataset, turns: Sequence[Interval]) -> Break:
    """With intervals that do not take for granted which of several states is the lowest."""
    if "model" not in data.coords:
        return found
    within = (
        while_undecided(each, share, data, turns)
        for each, share in ((found.within_68, 0.68), (found.within_95, 0.95))
    )
    return found._replace(**dict(zip(("within_68", "within_95"), within, strict=True)))


class Extrapolation(NamedTuple):
    """value + slope / N of the positions of several system sizes."""

    value: float
    error: float
    slope: float
    chance: float  # of a scatter about the line as large as theirs; 1 for two sizes, which test nothing


def extrapolate(places: Sequence[tuple[int, Place]]) -> Extrapolation:
    """To infinitely many electrons, of numbers of electrons and places: a straight line in 1/N.

    Errors are half the 68% intervals, enlarged where the sizes scatter more about the line (`least_squares`).
    That the line is straight only a third size can tell. Raises ValueError for fewer than two.
    """
    size = np.array([electrons for electrons, _ in places], float)
    if len(set(size)) < 2:
        raise ValueError("a line in 1/N needs two sizes")
    position = np.array([place.value for _, place in places])
    error = np.ptp([place.within_68 for _, place in places], axis=1) / 2
    line = fit(np.stack([np.ones_like(size), 1 / size], axis=1), position, error)
    value, slope = line.coefficients
    return Extrapolation(float(value), float(np.sqrt(line.covariance[0, 0])), float(slope), line.chance)


def _measured(data: xarray.Dataset, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameter, values and errors of a variable, where it is known with an error; empty if not at all."""
    if name not in data:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    (parameter,) = data[name].dims
    columns = (data[parameter], data[name], data[f"{name}_error"])
    x, values, errors = (column.values.astype(float) for column in columns)
    known = np.isfinite(values) & np.isfinite(errors) & (errors > 0)
    return x[known], values[known], errors[known]


def _changes(data: xarray.Dataset) -> tuple[list[Interval], list[Interval]]:
    """Neighbouring contexts of an envelope with different models: of the same momenta, and of others."""
    if "model" not in data.coords:
        return [], []
    (parameter,) = (str(dim) for dim in data["energy"].dims)
    x, models, found = data[parameter].values.tolist(), data["model"].values, ([], [])
    for i in np.flatnonzero(models[1:] != models[:-1]).tolist():
        alike = share_momenta(*(data.isel({parameter: j}) for j in (i, i + 1)))
        found[0 if alike else 1].append((x[i], x[i + 1]))
    return found


def _within_95(crossing: Crossing) -> Interval:
    return crossing.value - 2 * crossing.error, crossing.value + 2 * crossing.error


def _overlap(one: Interval, other: Interval) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _sector(data: xarray.Dataset, index: int) -> Sector:
    (parameter,) = data["energy"].dims
    here = data.isel({parameter: index})
    best = here.isel(sector=int(here["sector_weight"].argmax("sector")))
    return Sector((int(best["sector_1"]), int(best["sector_2"])), float(best["sector_weight"]))


def _plain(value):
    if hasattr(value, "_asdict"):
        return {name: _plain(each) for name, each in value._asdict().items()}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value

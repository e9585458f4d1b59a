"""What the evidence for a transition, and walkers of several starts, say: tables and sentences."""

from collections.abc import Iterable, Sequence

from rich.table import Table

from qernel.comparison import PURE
from qernel.crossing import Crossing
from qernel.diagram import Diagram
from qernel.hysteresis import Memory
from qernel.numbers import with_error
from qernel.transition.curves import SHARP
from qernel.transition.decision import Break, Interval
from qernel.transition.evidence import Evidence, Extrapolation, Place


def transition_table(evidence: Evidence) -> Table:
    """What jumps, bends or peaks, where, and how often a smooth curve looks like it by chance."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("", "finding", "68%", "95%", "chance"):
        table.add_column(name, no_wrap=True)
    for variable, found in evidence.breaks.items():
        places = map(_interval, (found.within_68, found.within_95))
        smooth = "nothing fits" if _nothing_fits(found) else found.smooth
        row = (f"{found.kind} {_size(found)}", *places) if found.found else (f"none: {smooth}", "", "")
        table.add_row(sign(variable), *row, f"{found.p_value:.1%}")
    if evidence.peak:
        peak = evidence.peak
        row = (f"peak {peak.height:.3g}", *map(_interval, (peak.within_68, peak.within_95)))
        row = row if peak.found else ("none", "", "")
        table.add_row("susceptibility", *row, f"{peak.p_value:.1%}")
    elif evidence.crossings:
        table.add_row("susceptibility", "not defined")
    for crossing in evidence.crossings:
        at = with_error(crossing.value, crossing.error)
        table.add_row("energies", f"cross at {at}")
    return table


def diagram_table(diagram: Diagram) -> Table:
    """A row for every cut: the jump or kink, where it is, where energies cross, momenta at the ends."""
    title = f"transition along {diagram.along}, at each {diagram.across}"
    table = Table(title=title, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("at", "interaction energy", "68%", "energies cross", "momenta"):
        table.add_column(name, no_wrap=True)
    for at, evidence in diagram.cuts:
        found, row = evidence.interaction, ("no jump or kink", "")
        if found:
            why = ", of one momentum" if evidence.switching else ", alone" if evidence.discounted else ""
            row = (f"{found.kind} {_size(found)}{why}", _interval(found.within_68))
        crossed = ", ".join(with_error(each.value, each.error) for each in evidence.crossings)
        ends = dict.fromkeys(str(sector.label) for sector in evidence.sectors or ())
        table.add_row(f"{at:.4g}", *row, crossed, " to ".join(ends))
    return table


def gives_way(crossing: Crossing) -> str:
    """A sentence about two models whose energies cross."""
    at = with_error(crossing.value, crossing.error)
    return f"{crossing.before} gives way to {crossing.after} at {at}"


def momenta(evidence: Evidence) -> str:
    """The total momentum at either end of the sweep, as a sentence; empty where it was not measured."""
    if evidence.sectors is None:
        return ""
    ends = (
        f"{sector.label} at {x:.4g}" + (f" ({sector.weight:.0%})" if sector.weight <= PURE else "")
        for sector, x in zip(evidence.sectors, evidence.range, strict=True)
    )
    return f"momentum {', '.join(ends)}"


def conclusion(evidence: Evidence) -> str:
    """One sentence: where the transition is and what agrees, or that none was found and why."""
    interaction, parameter = evidence.breaks.get("coulomb"), evidence.parameter
    if interaction is None:
        return "no transition found: the interaction energy has no error bars"
    if not interaction.found:
        fits = f"{interaction.smooth} fits"
        why = "neither branches nor a smooth curve fit" if _nothing_fits(interaction) else fits
        also = f"; signs of one in {_signs(name for name, _ in evidence.others)}" if evidence.others else ""
        return f"no transition found in the interaction energy: {why}{also}"
    unit = "meV per electron" if interaction.kind == "jump" else f"meV per unit of {parameter}"
    size = f"a {interaction.kind} ({_size(interaction)} {unit})"
    where = f"at {parameter} {_interval(interaction.within_68)}, 95%: {_interval(interaction.within_95)}"
    if evidence.switching:
        return (
            f"no transition found: the interaction energy has {size} {where}, where one model gives way to"
            " another of the same momentum, as two approximations of one state do"
        )
    if evidence.discounted:
        chance = f"chance {interaction.p_value:.1%}"
        also = f"; elsewhere {_signs(name for name, _ in evidence.others)}" if evidence.others else ""
        return f"no transition found: the interaction energy alone has {size} {where} ({chance}){also}"
    agree = f"; with it {_signs(evidence.agreeing)}" if evidence.agreeing else ""
    crossed = ", ".join(with_error(each.value, each.error) for each in evidence.agreeing_crossings)
    at = f" at {crossed}" if crossed else ""
    return f"transition found: the interaction energy has {size} {where}{agree}{at}"


def to_infinity(places: Sequence[tuple[int, Place]], limit: Extrapolation) -> str:
    """Where a straight line through several sizes leads, and how likely their scatter is, as a sentence."""
    sizes = len({electrons for electrons, _ in places})
    at = with_error(limit.value, limit.error)
    words = f"straight line in 1/N through {sizes} sizes, to infinitely many electrons: {at}"
    scatter = f"; chance of a scatter about it as large as theirs: {limit.chance:.1%}"
    return words + (scatter if sizes > 2 else "")


def agreement(memory: Memory) -> str:
    """One sentence: whether a variable depends on where walkers started."""
    said = (
        f"walkers remember their start: {memory.largest:.3g} between two starts at {memory.where:g}"
        if memory.found
        else "walkers agree wherever they start"
    )
    return f"{sign(memory.variable)}: {said} (chance {memory.p_value:.1%})"


def _nothing_fits(found: Break) -> bool:
    """Whether branches describe the points best of all curves, and still miss them systematically."""
    return found.curved and min(found.bic, key=lambda kind: found.bic[kind]) in SHARP


def sign(variable: str) -> str:
    """A measured variable, as it is printed."""
    if variable.startswith("force_"):
        return f"dE/d({variable.removeprefix('force_')})"
    names = {"coulomb": "interaction energy", "bragg_sqrt3": "S(K)", "energies": "crossing energies"}
    return names.get(variable, variable)


def _signs(variables: Iterable[str]) -> str:
    return ", ".join(map(sign, dict.fromkeys(variables)))


def _size(found: Break) -> str:
    """The jump, or the slopes on either side of a kink."""
    if found.kind == "jump":
        return with_error(*found.jump)
    return " then ".join(with_error(*slope) for slope in found.slopes)


def _interval(bounds: Interval) -> str:
    return f"{bounds[0]:.4g} to {bounds[1]:.4g}"

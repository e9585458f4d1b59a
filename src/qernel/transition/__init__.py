"""Where along one swept parameter a transition is, with intervals, or that there is none."""

from qernel.transition.decision import Break, locate
from qernel.transition.evidence import Evidence, Extrapolation, Place, extrapolate, weigh
from qernel.transition.peak import Peak, locate_peak

__all__ = [
    "Break",
    "Evidence",
    "Extrapolation",
    "Peak",
    "Place",
    "extrapolate",
    "locate",
    "locate_peak",
    "weigh",
]

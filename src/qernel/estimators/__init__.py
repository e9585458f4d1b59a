"""Estimators: what is measured from walkers, each with its error.

An observable is one file with a subclass of `Observable` and one line here.
"""

from collections.abc import Callable

from qernel.estimators.density import Density
from qernel.estimators.energy import Energy
from qernel.estimators.momentum_distribution import MomentumDistribution
from qernel.estimators.observable import Observable
from qernel.estimators.pair_correlation import PairCorrelation
from qernel.estimators.response import ContextResponse
from qernel.estimators.routing import Routing
from qernel.estimators.sectors import MomentumSectors, RotationSectors
from qernel.estimators.spin import Spin
from qernel.estimators.structure_factor import StructureFactor

#: Every observable by the name that sweeps ask for it.
OBSERVABLES: dict[str, Callable[..., Observable]] = {
    "energy": Energy,
    "density": Density,
    "pair_correlation": PairCorrelation,
    "structure_factor": StructureFactor,
    "momentum_distribution": MomentumDistribution,
    "momentum_sector": MomentumSectors,
    "rotation_sector": RotationSectors,
    "spin": Spin,
    "response": ContextResponse,
    "routing": Routing,
}

#: What is measured unless one asks otherwise: what costs little beside the local energy.
DEFAULT_OBSERVABLES = (
    "energy",
    "density",
    "pair_correlation",
    "structure_factor",
    "momentum_sector",
    "response",
    "routing",
)

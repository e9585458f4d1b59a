"""What is wrong with a row of a sweep, in words."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray

from qernel.comparison import PURE, momentum
from qernel.measurement import DRIFT
from qernel.report.style import symbol
from qernel.units import CONTEXT_PARAMETERS

LARGEST_R_HAT = 1.05
_LARGEST_RESIDUAL = 0.01  # dE/dc - <dH/dc>, of the largest <dH/dc> in a sweep,
_SURE = 4.0  # and in standard errors, of which there are many
_SIGMAS = 3.0
_WIDEST = 2.5  # spread of the local energy, in medians of the sweep,
_FEWEST = 5  # of so many contexts
_HAVE_MOMENTUM = {  # by model.sector
    "free": "momenta are free, yet psi has",
    "lowest": "psi has the lowest momentum of electrons without interaction,",
}


class Flag(NamedTuple):
    """A complaint about one context; `bug` when the number cannot be right."""

    text: str
    bug: bool = False


def flags_of(
    point: xarray.Dataset,
    ranges: Mapping[str, tuple[float, float]],
    forces: Mapping[str, float],
    spread: float = math.inf,
) -> list[Flag]:
    """Complaints about one context of a sweep.

    `ranges` are those that the model was trained over, `forces` the largest <dH/dc> of the sweep, both by
    parameter; `spread` is the sweep's median.
    """
    if not math.isfinite(float(point["energy"])):
        return [Flag("energy is not finite", bug=True)]
    flags = [
        Flag(f"outside the trained range {symbol(name)} = {low:g} to {high:g}")
        for name, (low, high) in ranges.items()
        if name in point.coords and not low <= float(point[name]) <= high
    ]
    if "energy_r_hat" in point:
        r_hat = float(point["energy_r_hat"])
        if math.isnan(r_hat):
            flags.append(Flag("no R-hat: too few samples, or stopped early"))
        elif r_hat > LARGEST_R_HAT:
            flags.append(Flag(f"R-hat above {LARGEST_R_HAT}: equilibrate and sample longer"))
    if "drift" in point and float(point["drift"]) >= DRIFT:
        flags.append(Flag("walkers still drifted when measured: equilibrate longer"))
    for name, force in forces.items():
        residual, error = (abs(float(point[f"residual_{name}{end}"])) for end in ("", "_error"))
        if residual > max(_SURE * error, _LARGEST_RESIDUAL * force):
            flags.append(Flag(_about_residual(name)))
    if "spread" in point and float(point["spread"]) > _WIDEST * spread:
        flags.append(
            Flag(
                f"local energy spreads over {_WIDEST:g} times as far as at the median context: train on here"
            )
        )
    if _mixes_momenta(point):
        flags.append(Flag("psi mixes momenta: an eigenstate has one (model.sector)"))
    if not float(point["energy_error"]) <= point.attrs.get("target_error_meV", math.inf):
        flags.append(
            Flag(f"less precise than asked for, {point.attrs['target_error_meV']:g} meV per electron")
        )
    if below_exact(point):
        flags.append(Flag("below exact by more than 3 sigma: a bug", bug=True))
    return flags


def _about_residual(parameter: str) -> str:
    name, share = symbol(parameter), f"{_LARGEST_RESIDUAL:.0%} of the sweep's largest"
    return f"no eigenstate: dE/d{name} is off ⟨∂H/∂{name}⟩ by more than {share}; train on here"


def _mixes_momenta(point: xarray.Dataset) -> bool:
    """Whether no momentum has nearly all of the weight; the crystal's orbitals mix those of its order."""
    if "sector_weight_error" not in point or point.attrs.get("model_sector") == "order":
        return False
    largest = point.isel(sector=int(point["sector_weight"].argmax("sector")))
    return float(largest["sector_weight"] + _SIGMAS * largest["sector_weight_error"]) < PURE


def below_exact(point: xarray.Dataset) -> bool:
    """Whether an energy violates the variational principle.

    By three standard errors beyond the bound on the exact energy's own uncertainty.
    """
    if "exact_energy" not in point:
        return False
    uncertainty = float(point["exact_uncertainty"]) if "exact_uncertainty" in point else 0.0
    allowed = _SIGMAS * float(point["energy_error"]) + uncertainty
    return float(point["exact_energy"] - point["energy"]) > allowed


def kept_momentum(data: xarray.Dataset) -> str:
    """A warning, if psi has one momentum at every context of a sweep that nobody chose; else empty.

    Also where momenta are free: training was seen not to leave the momentum that it began in, wherever
    another one is lower.
    """
    has = _HAVE_MOMENTUM.get(str(data.attrs.get("model_sector")))
    label = momentum(data) if has and data["energy"].size > 1 and "model" not in data.coords else None
    if label is None:
        return ""
    return (
        f"{has} {label} at every context: whether another is lower somewhere, a QERNEL network of several"
        " tells (model.sector=[[n1,n2],...])"
    )


def flag_sweep(
    data: xarray.Dataset, ranges: Mapping[str, tuple[float, float]]
) -> dict[tuple[int, ...], list[Flag]]:
    """Complaints by index into the sweep's dimensions; contexts without any are left out."""
    dims, found = data["energy"].dims, {}
    forces = {
        name: float(np.nanmax(np.abs(data[f"force_{name}"].values)))
        for name in CONTEXT_PARAMETERS
        if f"residual_{name}_error" in data and bool(data[f"force_{name}"].notnull().any())
    }
    many = "spread" in data and data["energy"].size >= _FEWEST
    spread = float(data["spread"].median()) if many else math.inf
    for index in np.ndindex(data["energy"].shape):
        flags = flags_of(data.isel(dict(zip(dims, index, strict=True))), ranges, forces, spread)
        if flags:
            found[index] = flags
    return found

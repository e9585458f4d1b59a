"""Averages over boundary twists: how a small supercell approaches the infinite one.

Twists shift the supercell's crystal momenta; a grid of them samples the moiré zone as a larger supercell
does. Averages over a period have smaller one-particle finite-size effects (Lin, Zong and Ceperley,
arXiv:cond-mat/0101339). A sweep over twists that cover a period evenly is all it takes.
"""

import numpy as np
import xarray

from qernel.units import TWISTS


def twist_average(data: xarray.Dataset) -> xarray.Dataset | None:
    """Means over the swept twists of everything that was measured with an error, and of exact energies.

    Other swept parameters stay; `energy_r_hat` is the largest. None unless the twists of every swept
    direction cover a period evenly.
    """
    dims = [name for name in TWISTS if name in data["energy"].dims]
    weights = {name: period_weights(data[name].values) for name in dims}
    if not dims or any(each is None for each in weights.values()):
        return None
    weight = xarray.DataArray(1.0)
    for name, each in weights.items():
        weight = weight * xarray.DataArray(each, dims=name)
    averaged = {}
    for name, values in data.data_vars.items():
        if not set(dims) <= set(values.dims) or name in ("lead", "lead_error"):  # of another state at each
            continue
        if f"{name}_error" in data or str(name).startswith("exact_"):
            averaged[name] = (weight * values).sum(dims)
        elif str(name).endswith("_error"):
            averaged[name] = np.sqrt((weight**2 * values**2).sum(dims))
        elif name == "energy_r_hat":
            averaged[name] = values.max(dims)
        else:
            continue
        averaged[name].attrs = values.attrs
    return xarray.Dataset(averaged, attrs=data.attrs)


def period_weights(twists: np.ndarray) -> np.ndarray | None:
    """Weights of evenly spaced twists in the mean over a period; None where they do not cover one.

    Twist 1 is none: where both ends of a period are there, they share the weight of one.
    """
    if len(twists) < 2:
        return None
    spacing = np.diff(twists)
    if np.ptp(spacing) > 1e-9:
        return None
    missing = 1 - (twists[-1] - twists[0])
    if abs(missing - spacing[0]) < 1e-9:
        return np.full(len(twists), 1 / len(twists))
    if abs(missing) < 1e-9 and len(twists) > 2:  # two would be one twist, no average
        weights = np.full(len(twists), 1 / (len(twists) - 1))
        weights[[0, -1]] /= 2
        return weights
    return None

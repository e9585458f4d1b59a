"""Several models of one family: which lies lowest where, and where they cross.

By the variational principle the lowest energy is the best estimate at every context. Models of different
total momentum are orthogonal, so that each bounds the ground state of its own sector, and a crossing of two
is a transition of the first order.
"""

from collections.abc import Mapping

import numpy as np
import xarray

from qernel.config import UserError
from qernel.crossing import Crossing, crossings

_SHARED = 0.5  # weight of the momenta that two models have in common, from which they may be one state


def compare(sweeps: Mapping[str, xarray.Dataset]) -> xarray.Dataset:
    """Energies of the named sweeps side by side, and the lowest.

    The dataset has `energy` and `energy_error` over (model, *swept), `lowest`, the lowest model's name, and
    `lowest_energy` with its error. Sweeps of the same contexts only.
    """
    shared = ["energy", "energy_error"]
    data = xarray.concat(
        [each[shared] for each in sweeps.values()], "model", join="exact", combine_attrs="override"
    ).assign_coords(model=list(sweeps))
    index = _lowest(data["energy"])
    data["lowest"] = data["model"][index].drop_vars("model")
    data["lowest"].attrs = {"long_name": "name of the model of lowest energy"}
    for name in shared:
        data[f"lowest_{name}"] = data[name].isel(model=index).drop_vars("model")
    data["lowest_energy"].attrs["long_name"] = "lowest energy per electron of all models"
    first = next(iter(sweeps.values()))
    kept = ("program", "electrons", "moire_cells")
    data.attrs = {"title": "comparison of QERNEL sweeps"} | {
        name: value for name, value in first.attrs.items() if name in kept or name.startswith("system_")
    }
    return data


def envelope(sweeps: Mapping[str, xarray.Dataset]) -> xarray.Dataset:
    """All that was measured of the lowest model at every context; the coordinate `model` says which it is.

    Without what models do not have in common, such as the weights of experts where their numbers differ.
    Raises UserError where sweeps are not at the same contexts.
    """
    try:
        index = _lowest(compare(sweeps)["energy"])
        first, *others = sweeps.values()
        common = [n for n in first if all(n in each and each[n].sizes == first[n].sizes for each in others)]
        stacked = xarray.concat(
            [each[common] for each in sweeps.values()], "model", join="exact", combine_attrs="override"
        )
    except xarray.AlignmentError:
        raise UserError(
            f"the sweeps of {', '.join(sweeps)} are not at the same contexts: `qernel compare` makes such,"
            " and of one run `qernel sweep`"
        ) from None
    return stacked.assign_coords(model=list(sweeps)).isel(model=index)


def _lowest(energy: xarray.DataArray) -> xarray.DataArray:
    """Index of the lowest model at every context; the first one where none has an energy."""
    return energy.fillna(np.inf).argmin("model")


def lowest_of(sweeps: Mapping[str, xarray.Dataset]) -> tuple[xarray.Dataset, list[Crossing]]:
    """The envelope of sweeps over one parameter, and where those of different momenta cross.

    A single sweep is its own.
    """
    if len(sweeps) == 1:
        (only,) = sweeps.values()
        return only, []
    lowest, data = envelope(sweeps), compare(sweeps)  # the former complains where contexts differ
    (parameter,) = (str(dim) for dim in lowest["energy"].dims)
    found = []
    for crossing in crossings(data["energy"], data["energy_error"]):
        at = {parameter: crossing.value}
        pair = (sweeps[name].sel(at, method="nearest") for name in (crossing.before, crossing.after))
        if not share_momenta(*pair):
            found.append(crossing)
    return lowest, found


def share_momenta(one: xarray.Dataset, other: xarray.Dataset) -> bool:
    """Whether two measurements at one context have most of their weight in the same momenta, if known.

    Such models may be two approximations of one state.
    """
    if "sector_weight" not in one or "sector_weight" not in other:
        return False
    shared = np.minimum(one["sector_weight"].values, other["sector_weight"].values).sum()
    return bool(shared > _SHARED)


def momentum(sweep: xarray.Dataset) -> tuple[int, int] | None:
    """Label of the total momentum that holds more than 95% of psi at every context; None if none does."""
    if "sector_weight" not in sweep:
        return None
    weight = sweep["sector_weight"]
    least = weight.min([dim for dim in weight.dims if dim != "sector"])
    best = least.isel(sector=int(least.argmax("sector")))
    return (int(best["sector_1"]), int(best["sector_2"])) if float(best) > 0.95 else None

"""Several models of one family: which lies lowest where, and where they cross.

By the variational principle the lowest energy is the best estimate at every context. Models of different
total momentum are orthogonal, so that each bounds the ground state of its own sector, and a crossing of two
is a transition of the first order.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray
from scipy.stats import norm

from qernel.config import UserError
from qernel.crossing import Crossing, crossings
from qernel.dataset import supercell_swept
from qernel.reference.stars import stars
from qernel.units import TWISTS

PURE = 0.95  # weight of the momentum of a wavefunction that has one
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

    `lead` is how far its energy is below the next model's. Without what models do not have in common, such as
    the weights of experts where their numbers differ. Raises UserError where sweeps are not at the same
    contexts.
    """
    try:
        compared = compare(sweeps)
        index = _lowest(compared["energy"])
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
    stacked = stacked.assign_coords(model=list(sweeps))
    return stacked.isel(model=index).assign(_lead(compared, stacked, index))


def _lead(compared: xarray.Dataset, stacked: xarray.Dataset, index: xarray.DataArray) -> xarray.Dataset:
    """How far the lowest model is below the next one that is no approximation of the same state.

    Infinitely far without error where there is none; not a number where energies are not known.
    """
    others = compared["model"] != compared["lowest"]
    if "sector_weight" in stacked:
        others = others & (_shared_weight(stacked, stacked.isel(model=index)) <= _SHARED)
    behind = (compared["energy"] - compared["lowest_energy"]).where(others)
    error = (compared["energy_error"] ** 2 + compared["lowest_energy_error"] ** 2) ** 0.5
    leads = xarray.Dataset({"lead": behind, "lead_error": error.where(others)})
    lead, known = leads.isel(model=_lowest(behind)).drop_vars("model"), others.any("model")
    lead = lead.where(known, xarray.Dataset({"lead": np.inf, "lead_error": 0.0}))
    meaning = "energy per electron by which the next state is above the lowest"
    lead["lead"].attrs = {"units": "meV", "long_name": meaning}
    lead["lead_error"].attrs = {"units": "meV", "long_name": f"standard error of the {meaning}"}
    return lead


def while_undecided(
    interval: tuple[float, float], share: float, data: xarray.Dataset, turns: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """An interval that holds a change of the lowest state, wider where it is not decided which is lowest.

    `turns` are the pairs of contexts of an envelope over one parameter between which its state changes. Where
    the energies of the two lowest states differ by no more than the confidence `share` tells apart, the
    change may be on either side of the context: the interval goes on over its neighbouring gap, to the first
    context that is decided. Of three states or more it may be wider than it needs to be.
    """
    (parameter,) = (str(dim) for dim in data["energy"].dims)
    x = data[parameter].values.astype(float)
    decided = data["lead"].values >= norm.ppf((1 + share) / 2) * data["lead_error"].values
    low, high = interval
    for turn in turns:
        if low <= turn[1] and turn[0] <= high:
            first, last = (int(np.flatnonzero(x == end)[0]) for end in turn)
            while first > 0 and not decided[first]:
                first -= 1
            while last < len(x) - 1 and not decided[last]:
                last += 1
            low, high = min(low, float(x[first])), max(high, float(x[last]))
    return low, high


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

    Such models may be two approximations of one state. So may pure ones of two momenta of one star, which a
    symmetry turns into each other.
    """
    if "sector_weight" not in one or "sector_weight" not in other:
        return False
    return bool(_shared_weight(one, other) > _SHARED)


def _shared_weight(one: xarray.Dataset, other: xarray.Dataset) -> xarray.DataArray:
    """Weight of the momenta that two wavefunctions have in common.

    Two pure ones are compared star by star: momenta that a symmetry turns into each other are one. Where one
    mixes momenta, as a crystal does, momentum by momentum: its own stars would hold nearly all of any other.
    """
    first, second = (each["sector_weight"].drop_vars(["sector_1", "sector_2"]) for each in (one, other))
    by_momentum = _smaller(first, second).sum("sector")
    star = _star_of_momenta(one)
    if star is None:
        return by_momentum
    by_star = _smaller(first.groupby(star).sum(), second.groupby(star).sum()).sum("star")
    pure = (first.max("sector") > PURE) & (second.max("sector") > PURE)
    return by_star.where(pure, by_momentum)


def _smaller(one: xarray.DataArray, other: xarray.DataArray) -> xarray.DataArray:
    return one.where(one < other, other)


def _star_of_momenta(sweep: xarray.Dataset) -> xarray.DataArray | None:
    """Number of the star of every total momentum, which have one spectrum; None where a twist splits it."""
    if any(np.any(_value(sweep, name) != 0) for name in TWISTS):
        return None
    supercell = supercell_swept(sweep)
    star = {supercell.momentum_class(k): n for n, each in enumerate(stars(supercell)) for k in each}
    labels = np.stack([sweep["sector_1"].values, sweep["sector_2"].values], axis=1)
    number = [star[supercell.momentum_class(label)] for label in labels]
    return xarray.DataArray(number, dims="sector", name="star")


def _value(sweep: xarray.Dataset, parameter: str) -> np.ndarray:
    """Of a parameter at every context, or at all of them."""
    return np.asarray(sweep.coords.get(parameter, sweep.attrs.get(f"system_{parameter}", 0.0)), float)


def momentum(sweep: xarray.Dataset) -> tuple[int, int] | None:
    """Label of the total momentum that psi has (`PURE`) at every context; None where it has none."""
    if "sector_weight" not in sweep:
        return None
    weight = sweep["sector_weight"]
    least = weight.min([dim for dim in weight.dims if dim != "sector"])
    best = least.isel(sector=int(least.argmax("sector")))
    return (int(best["sector_1"]), int(best["sector_2"])) if float(best) > PURE else None

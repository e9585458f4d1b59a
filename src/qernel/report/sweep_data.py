"""Access to a sweep's dataset: points, components, and columns for CSV files."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import xarray

from qernel.estimators.density import bin_centres
from qernel.lattice import CELL_AREA, Supercell
from qernel.report.drawing import Index
from qernel.report.publish import Data

#: Pair correlations, by the spins of their electrons.
PAIRS = {"pair_correlation": "equal", "pair_correlation_opposite": "opposite"}


def swept(data: xarray.Dataset) -> list[str]:
    """Names of the parameters that vary."""
    return [str(dim) for dim in data["energy"].dims]


def drop_single(data: xarray.Dataset) -> xarray.Dataset:
    """Without dimensions of a single value: the value becomes a coordinate without an index."""
    return data.squeeze([dim for dim in swept(data) if data.sizes[dim] == 1])


def indices(data: xarray.Dataset) -> list[Index]:
    """Every index into the sweep's dimensions, the last one fastest; one empty index if none vary."""
    return list(np.ndindex(data["energy"].shape))


def index_of_largest(values: xarray.DataArray) -> Index:
    """Index of the largest value; NaN counts as smallest."""
    flat = np.nan_to_num(values.values, nan=-np.inf).argmax()
    return tuple(int(i) for i in np.unravel_index(int(flat), values.shape))


def point_at(data: xarray.Dataset, index: Index) -> xarray.Dataset:
    """One context of a sweep."""
    return data.isel(dict(zip(swept(data), index, strict=True)))


def moire_constant_of(point: xarray.Dataset) -> float:
    """a_M in nm, which may be one of the swept parameters."""
    if "moire_constant" in point.coords:
        return float(point["moire_constant"])
    return float(point.attrs["system_moire_constant"])


def columns(data: xarray.Dataset, names: Sequence[str]) -> Data:
    """The swept parameters, and those of the named variables that are there; a row per context."""
    present = [name for name in names if name in data]
    contexts = itertools.product(*(data[name].values.tolist() for name in swept(data)))
    values = zip(*(data[name].values.ravel().tolist() for name in present), strict=True)
    rows = [[*context, *row] for context, row in zip(contexts, values, strict=True)]
    return Data([_with_unit(data[name]) for name in (*swept(data), *present)], rows)


def slopes_between(data: xarray.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middles of neighbouring contexts of a sweep over one parameter, the energy's slope there, its error."""
    (parameter,) = swept(data)
    x, energies, errors = (data[name].values for name in (parameter, "energy", "energy_error"))
    apart = np.diff(x)
    return (x[1:] + x[:-1]) / 2, np.diff(energies) / apart, np.hypot(errors[1:], errors[:-1]) / apart


def slope_columns(data: xarray.Dataset) -> Data:
    """Those slopes, a row for each pair of contexts."""
    (parameter,) = swept(data)
    names = [_with_unit(data[name]) for name in (parameter, f"force_{parameter}")]
    slope = names[1].replace(f"force_{parameter}", "slope")
    error = names[1].replace(f"force_{parameter}", "slope_error")
    rows = np.stack(slopes_between(data), axis=1).tolist()
    return Data([names[0], slope, error], rows)


def momentum_columns(data: xarray.Dataset) -> Data:
    """Weight of psi in each total momentum, by its integer label; a row per context and momentum."""
    names = [each for each in ("sector_weight", "sector_weight_error") if each in data]
    labels = ["sector_1", "sector_2"]

    def momenta(point: xarray.Dataset) -> list[np.ndarray]:
        return [point[name].values for name in (*labels, *names)]

    return _rows_at(data, indices(data), [*labels, *names], momenta)


def density_columns(data: xarray.Dataset, chosen: Sequence[Index], supercell: Supercell) -> Data:
    """Density of every bin at the chosen contexts, as counted; a row per bin."""
    centres = bin_centres(supercell.vectors, data["density"].shape[-1]).reshape(-1, 2)

    def bins(point: xarray.Dataset) -> list[np.ndarray]:
        per_cell = point["density"].values.ravel() * CELL_AREA
        return [*(centres * moire_constant_of(point)).T, per_cell]

    return _rows_at(data, chosen, ["x_nm", "y_nm", "electrons_per_moire_cell"], bins)


def structure_columns(data: xarray.Dataset, chosen: Sequence[Index]) -> Data:
    """S(q) at the chosen contexts; a row per wavevector, one of each pair +-q."""
    names = ["structure_factor", "structure_factor_error"]

    def waves(point: xarray.Dataset) -> list[np.ndarray]:
        length = moire_constant_of(point)
        return [*(point[name].values / length for name in ("q_x", "q_y")), *(point[n].values for n in names)]

    return _rows_at(data, chosen, ["q_x_nm^-1", "q_y_nm^-1", *names], waves)


def pair_columns(data: xarray.Dataset, chosen: Sequence[Index]) -> Data:
    """g(r) at the chosen contexts; a row per distance."""
    names = [each for name in PAIRS if name in data for each in (name, f"{name}_error")]

    def distances(point: xarray.Dataset) -> list[np.ndarray]:
        return [point["distance"].values * moire_constant_of(point), *(point[name].values for name in names)]

    return _rows_at(data, chosen, ["distance_nm", *names], distances)


def _rows_at(
    data: xarray.Dataset,
    chosen: Sequence[Index],
    header: Sequence[str],
    of: Callable[[xarray.Dataset], Sequence[np.ndarray]],
) -> Data:
    """At every chosen context the columns that `of` makes of it, after the swept parameters."""
    rows = []
    for index in chosen:
        point = point_at(data, index)
        context = [float(point[name]) for name in swept(data)]
        rows += [[*context, *map(float, row)] for row in zip(*of(point), strict=True)]
    return Data([*(_with_unit(data[name]) for name in swept(data)), *header], rows)


def _with_unit(variable: xarray.DataArray) -> str:
    """The name of a column: moire_phase_degree, or moire_depth of a number."""
    units = variable.attrs.get("units", "1").replace(" ", "_")
    return str(variable.name) if units == "1" else f"{variable.name}_{units}"

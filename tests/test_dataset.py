"""Files of sweeps, also of those that listed momenta in another order."""

import numpy as np
import xarray

from qernel.comparison import lowest_of
from qernel.dataset import TITLE, load_dataset
from qernel.lattice import supercell_of

CELL = supercell_of(9)


def sweep(labels, momentum, energies):
    """Of a wavefunction of one momentum, whose weights stand at these labels."""
    classes = [CELL.momentum_class(label) for label in labels]
    weight = np.zeros((len(energies), len(labels)))
    weight[:, classes.index(CELL.momentum_class(momentum))] = 1.0
    return xarray.Dataset(
        {
            "energy": ("moire_depth", energies),
            "energy_error": ("moire_depth", np.full(len(energies), 0.01)),
            "sector_weight": (("moire_depth", "sector"), weight),
        },
        coords={
            "moire_depth": np.linspace(0.8, 1.4, len(energies)),
            "sector_1": ("sector", labels[:, 0], {"units": "1"}),
            "sector_2": ("sector", labels[:, 1], {"units": "1"}),
        },
        attrs={"title": TITLE, "electrons": 6, "moire_cells": 9, "system_supercell": str(CELL.matrix)},
    )


def test_momenta_are_put_in_order_and_called_by_one_name(tmp_path):
    depth = np.linspace(0, 1, 7)
    former = sweep(CELL.moire_points(), (-2, 1), 1 - depth)
    former.to_netcdf(tmp_path / "former.nc", engine="scipy")
    sweep(CELL.total_momenta(), (-1, 0), depth).to_netcdf(tmp_path / "present.nc", engine="scipy")
    sweeps = {name: load_dataset(tmp_path / f"{name}.nc") for name in ("present", "former")}
    for data in sweeps.values():
        labels = np.stack([data["sector_1"], data["sector_2"]], axis=1)
        np.testing.assert_array_equal(labels, CELL.total_momenta())
        assert data["sector_1"].attrs == {"units": "1"}
    here = sweeps["former"].isel(moire_depth=0)
    best = here.isel(sector=int(here["sector_weight"].argmax("sector")))
    assert (int(best["sector_1"]), int(best["sector_2"])) == (1, 1)
    _, (crossing,) = lowest_of(sweeps)  # of different momenta
    assert (crossing.before, crossing.after) == ("present", "former")


def test_what_is_no_sweep_is_left_as_it_is(tmp_path):
    data = sweep(CELL.moire_points(), (0, 0), np.zeros(2)).assign_attrs(title="something else")
    data.to_netcdf(tmp_path / "other.nc", engine="scipy")
    xarray.testing.assert_identical(load_dataset(tmp_path / "other.nc"), data)

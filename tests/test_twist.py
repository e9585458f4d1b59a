"""Averages over twists against closed forms."""

import numpy as np
import pytest
import xarray

from qernel.hamiltonian.bands import filled_band_energy
from qernel.lattice import supercell_of
from qernel.twist import period_weights, twist_average


@pytest.mark.parametrize(
    ("twists", "expected"),
    [
        ([0.0, 0.25, 0.5, 0.75], [0.25] * 4),
        ([-0.5, 0.0, 0.5], [0.25, 0.5, 0.25]),
        ([0.1, 0.6], [0.5, 0.5]),
        ([0.0, 0.5, 0.75], None),
        ([0.0, 0.25, 0.5], None),
        ([0.3], None),
        ([-0.5, 0.5], None),
    ],
)
def test_weights_of_a_period(twists, expected):
    weights = period_weights(np.array(twists))
    if expected is None:
        assert weights is None
    else:
        np.testing.assert_allclose(weights, expected)


def bands(cells, count, twists):
    """A sweep of filled bands over both twists and a depth, as if measured with an error of 0.3."""
    depths, cell = [0.5, 1.0], supercell_of(cells)
    energy = [
        [
            [filled_band_energy(cell, (count, 0), 4.4 * d, np.pi / 4, (a, b)) / count for d in depths]
            for b in twists
        ]
        for a in twists
    ]
    dims = ("twist_1", "twist_2", "moire_depth")
    return xarray.Dataset(
        {
            "energy": (dims, energy, {"units": "meV"}),
            "energy_error": (dims, np.full_like(energy, 0.3)),
            "energy_r_hat": (dims, np.linspace(1, 1.2, np.size(energy)).reshape(np.shape(energy))),
            "exact_energy": (dims, np.array(energy) - 1),
            "drift": (dims, energy),
        },
        coords={"twist_1": twists, "twist_2": twists, "moire_depth": depths},
        attrs={"electrons": count},
    )


def test_average_over_twists_is_the_larger_supercell():
    """Bands filled at every k: nine twists of one cell are the nine momenta of 3 x 3 cells."""
    averaged = twist_average(bands(1, 1, np.array([-1, 0, 1]) / 3))
    assert averaged is not None
    assert averaged["energy"].dims == ("moire_depth",)
    for depth in (0.5, 1.0):
        larger = filled_band_energy(supercell_of(9), (9, 0), 4.4 * depth, np.pi / 4) / 9
        assert float(averaged["energy"].sel(moire_depth=depth)) == pytest.approx(larger, abs=1e-9)
        assert float(averaged["exact_energy"].sel(moire_depth=depth)) == pytest.approx(larger - 1, abs=1e-9)
    np.testing.assert_allclose(averaged["energy_error"], 0.3 / 3)
    assert float(averaged["energy_r_hat"].max()) == pytest.approx(1.2)
    assert averaged["energy"].attrs == {"units": "meV"}
    assert "drift" not in averaged


def test_both_ends_of_a_period_count_once():
    whole, once = bands(1, 1, np.array([-0.5, 0.0, 0.5])), bands(1, 1, np.array([-0.5, 0.0]))
    both = [twist_average(each) for each in (whole, once)]
    np.testing.assert_allclose(both[0]["energy"], both[1]["energy"], atol=1e-9)


def test_what_does_not_cover_a_period_has_no_average():
    assert twist_average(bands(1, 1, np.array([0.0, 0.25]))) is None
    assert twist_average(bands(1, 1, np.array([0.0, 0.5])).isel(twist_1=0, twist_2=0)) is None


def test_leads_are_not_averaged():
    data = xarray.Dataset(
        {name: ("twist_1", np.ones(2)) for name in ("energy", "energy_error", "lead", "lead_error")},
        coords={"twist_1": [0.0, 0.5]},
    )
    assert set(twist_average(data)) == {"energy", "energy_error"}

"""Energies at zero variance, from the history of a run."""

import numpy as np
import pytest
import xarray

from qernel.comparison import compare, crossings_of
from qernel.extrapolation import at_zero_variance, excess_slope

ELECTRONS, GAP = 6, 20.0  # meV


def history(weights, random=None, contexts=4, walkers=64):
    """Rows of a run whose state has these weights of a second state GAP above the lowest one.

    Per electron, with E_0 a curve in a context that is drawn anew every ten steps.
    """
    rows, draw = [], np.random.default_rng(1)
    for step, weight in enumerate(weights):
        if step % 10 == 0:
            x = np.sort((np.arange(contexts) + draw.uniform(size=contexts)) / contexts)
        excess = weight * GAP / ELECTRONS
        variance = np.full(contexts, weight * (1 - weight) * (GAP / ELECTRONS) ** 2)
        energy = -50 - 20 * x - 7 * x**2 + excess
        if random is not None:
            energy += np.sqrt(variance / walkers) * random.normal(size=contexts)
            variance *= random.chisquare(walkers - 1, size=contexts) / (walkers - 1)
        rows.append(
            {"contexts": x[:, None].tolist(), "energy": energy, "spread": np.sqrt(variance), "refused": False}
        )
    return rows


def falling(steps=300):
    return 0.01 + 0.05 * np.exp(-np.arange(steps) / 100)


def test_slope_of_two_levels():
    # E - E_0 = w D / N and variance = w (1 - w) D^2 / N^2: slope N / D for small w
    slope = excess_slope(history(0.1 * falling()))
    assert slope is not None
    assert slope.value == pytest.approx(ELECTRONS / GAP, rel=0.01)
    assert slope.error < 0.01 * slope.value


def test_error_of_the_slope_is_its_scatter():
    random, pulls = np.random.default_rng(0), []
    for _ in range(150):
        slope = excess_slope(history(0.5 * falling(), random))
        assert slope is not None
        pulls.append((slope.value - ELECTRONS / GAP) / slope.error)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.2)
    assert abs(np.mean(pulls)) < 0.5  # noise of the variance makes slopes a little too small


def test_a_run_at_fixed_parameters():
    rows = history(0.1 * falling(), contexts=1)
    for row in rows:
        (x,) = row["contexts"]
        row["energy"] = row["energy"] + 20 * x[0] + 7 * x[0] ** 2
        row["contexts"] = [[]]
    slope = excess_slope(rows)
    assert slope is not None
    assert slope.value == pytest.approx(ELECTRONS / GAP, rel=0.01)


def test_refused_steps_do_not_count():
    rows = history(0.1 * falling())
    rows[100] |= {"energy": np.full(4, np.nan), "refused": True}
    assert excess_slope(rows) is not None


@pytest.mark.parametrize("weights", [falling(50), np.full(300, 0.01)])
def test_short_or_level_histories_have_no_slope(weights):
    assert excess_slope(history(0.1 * weights, np.random.default_rng(0))) is None


def sweep_of(energy, variance):
    x = np.linspace(0.9, 1.1, len(energy))
    values = {"energy": energy, "energy_error": 0.01, "variance": variance, "variance_error": 0.02}
    columns = {name: ("moire_depth", np.broadcast_to(value, x.shape)) for name, value in values.items()}
    return xarray.Dataset(columns, coords={"moire_depth": x}, attrs={"electrons": 6})


def test_extrapolated_energies_and_their_errors():
    slope = excess_slope(history(0.5 * falling(), np.random.default_rng(2)))
    assert slope is not None
    data = at_zero_variance(sweep_of([-50.0, -51.0], [0.4, 0.8]), slope)
    expected = np.array([-50.0, -51.0]) - slope.value * np.array([0.4, 0.8])
    np.testing.assert_allclose(data["extrapolated_energy"], expected, rtol=1e-14)
    error = [np.sqrt(0.01**2 + (v * slope.error) ** 2 + (0.02 * slope.value) ** 2) for v in (0.4, 0.8)]
    np.testing.assert_allclose(data["extrapolated_energy_error"], error, rtol=1e-14)
    assert data.attrs["excess_per_variance"] == slope.value
    assert "extrapolated_energy" not in at_zero_variance(sweep_of([-50.0], [0.4]), None)


def test_crossing_moves_by_what_the_worse_model_lacks():
    depth = np.linspace(0.9, 1.1, 7)
    slope = excess_slope(history(0.1 * falling()))
    assert slope is not None
    lowest = {"liquid": -50 - 20 * depth, "crystal": -50 - 20 - 22 * (depth - 1)}  # cross at 1
    variances = {"liquid": 0.5, "crystal": 0.1}
    sweeps = {
        name: at_zero_variance(sweep_of(energy + slope.value * variances[name], variances[name]), slope)
        for name, energy in lowest.items()
    }
    (raw,), (found,) = crossings_of(compare(sweeps))
    assert raw.value == pytest.approx(1 - 0.4 * slope.value / 2)
    assert found.value == pytest.approx(1)
    assert (found.before, found.after) == ("liquid", "crystal")
    _, none = crossings_of(compare(sweeps | {"crystal": sweep_of(lowest["crystal"], 0.1)}))
    assert none == []

"""Tables for the terminal: whatever its width, no digit is left out."""

import numpy as np
import pytest
import xarray
from rich.console import Console

from qernel.tables import sweep_table


def sweep():
    """Numbers as wide as they get, over two parameters, one of them of a long name."""
    shape = ("moire_depth", "dielectric_constant")
    values = {"energy": -156.565, "kinetic": 122.74, "moire": -123.99, "coulomb": -155.317, "spread": 10.68}
    errors = {"energy_error": 0.013, "kinetic_error": 0.18, "moire_error": 0.15, "coulomb_error": 0.048}
    numbers = values | errors | {"energy_r_hat": 1.019}
    return xarray.Dataset(
        {name: (shape, np.full((2, 2), value)) for name, value in numbers.items()},
        coords={"moire_depth": [0.95, 1.25], "dielectric_constant": [5.0, 10.0]},
        attrs={"energy_components": "kinetic, moire, coulomb"},
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_digit_is_left_out(width, capsys):
    Console(width=width, force_terminal=False).print(sweep_table(sweep()))
    printed = capsys.readouterr().out
    assert "…" not in printed
    found = [sum(line.count(digit) for line in printed.splitlines()) for digit in "0123456789()"]
    row = "{} {} -156.565(13) 122.74(18) -123.99(15) -155.317(48) 10.68 1.019"
    expected = "".join(row.format(depth, eps) for depth in ("0.95", "1.25") for eps in ("5", "10"))
    assert found == [expected.count(digit) for digit in "0123456789()"]


def test_eighty_columns_hold_a_sweep_over_two_parameters_in_one_line_a_context(capsys):
    Console(width=80, force_terminal=False).print(sweep_table(sweep()))
    assert sum("1.019" in line for line in capsys.readouterr().out.splitlines()) == 4

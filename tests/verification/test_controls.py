"""Negative controls: what must show nothing shows nothing, and would show what is there."""

import numpy as np
import pytest

from qernel.findings import conclusion
from qernel.transition import weigh
from qernel.verification import controls


@pytest.fixture(scope="module")
def filled():
    return controls.sweep_of_filled_bands(64, 30)


@pytest.mark.parametrize("jump", [0.0, 2.5])
def test_electrons_without_interaction_have_no_transition_unless_one_is_put_there(filled, monkeypatch, jump):
    after = filled["moire_depth"] > 1.04
    data = filled.assign({name: filled[name] + jump * after for name in ("coulomb", "bragg_sqrt3")})
    monkeypatch.setattr(controls, "sweep_of_filled_bands", lambda walkers, samples: data)
    (check,) = controls.check_no_transition()
    assert check.passed is (jump == 0.0)
    assert conclusion(weigh(data)).startswith("transition found" if jump else "no transition found")


def test_filled_bands_are_a_closed_shell_and_smooth(filled):
    assert float(filled["sector_weight"].max("sector").min()) == pytest.approx(1.0)
    assert np.all(filled["coulomb_error"] < 0.25)
    assert np.all(np.diff(filled["coulomb"]) < 3 * 0.25)  # deeper wells hold electrons apart

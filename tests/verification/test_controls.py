"""Negative controls: what must show nothing shows nothing, and would show what is there."""

import numpy as np
import pytest

from qernel.verification import controls


@pytest.mark.parametrize("jump", [0.0, 2.5])
def test_electrons_without_interaction_have_no_transition_unless_one_is_put_there(monkeypatch, jump):
    def broken(x, y, errors):
        assert np.all(errors < 0.25)
        return locate(x, y + jump * (x > 1.04), errors)

    locate = controls.locate
    monkeypatch.setattr(controls, "locate", broken)
    (check,) = controls.check_no_jump(walkers=64, samples=30)
    assert check.passed is (jump == 0.0)

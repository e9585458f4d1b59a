"""KFAC where it cannot run: one line that says what to install, and nothing else broken."""

import sys

import jax
import pytest

from qernel.config import OptimizerConfig, UserError
from qernel.optimize import make_optimizer


def message():
    with pytest.raises(UserError) as error:
        make_optimizer(OptimizerConfig(name="kfac"))
    assert "\n" not in str(error.value)
    assert "pip install 'qernel[kfac]'" in str(error.value)
    return str(error.value)


def test_kfac_without_kfac_jax(monkeypatch):
    monkeypatch.setattr(jax, "__version_info__", (0, 9, 1))
    monkeypatch.delitem(sys.modules, "qernel.optimize.kfac", raising=False)
    monkeypatch.setitem(sys.modules, "kfac_jax", None)  # as if it were not installed
    assert "kfac_jax" in message()


@pytest.mark.parametrize("version", [(0, 9, 2), (0, 12, 0, 1), (1, 0, 0)])
def test_kfac_on_a_jax_it_does_not_know(monkeypatch, version):
    monkeypatch.setattr(jax, "__version_info__", version)
    monkeypatch.setattr(jax, "__version__", ".".join(map(str, version)))
    assert f"this is JAX {jax.__version__}" in message()


@pytest.mark.parametrize("name", ["spring", "minsr", "adam"])
def test_the_others_do_without_it(monkeypatch, name):
    monkeypatch.delitem(sys.modules, "qernel.optimize.kfac", raising=False)
    monkeypatch.setitem(sys.modules, "kfac_jax", None)
    assert make_optimizer(OptimizerConfig(name=name)).update is not None

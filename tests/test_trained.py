"""A trained wavefunction from Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qernel
from qernel.config import UserError
from qernel.runs import Run


@pytest.fixture(scope="module")
def trained(trained_run):
    return qernel.load(trained_run.path)


def test_batches_agree_with_single_configurations(trained, trained_run):
    state = Run(trained_run.path).state()
    electrons = trained.walkers
    assert electrons.shape == (2, 4, 3, 2)
    batch = trained(electrons, moire_depth=1.2)
    assert batch.log_abs.shape == batch.phase.shape == (2, 4)
    couplings = trained.hamiltonian.family.couplings(jnp.array([1.2]))
    single = state.model(electrons[1, 3], couplings)
    assert float(batch.log_abs[1, 3]) == pytest.approx(float(single.log_abs), rel=1e-12)
    assert float(batch.phase[1, 3]) == pytest.approx(float(single.phase), rel=1e-12)


def test_is_differentiable_in_electrons_and_context(trained):
    electrons = trained.walkers[0, 0]

    def log_abs(electrons, depth):
        return trained(electrons, moire_depth=depth).log_abs

    slopes = jax.jit(jax.grad(log_abs, (0, 1)))(electrons, jnp.array(1.2))
    step, shift = 1e-5, np.zeros((3, 2))
    shift[1, 0] = step
    value = jax.jit(log_abs)
    for slope, up, down in [
        (slopes[0][1, 0], (electrons + shift, 1.2), (electrons - shift, 1.2)),
        (slopes[1], (electrons, 1.2 + step), (electrons, 1.2 - step)),
    ]:
        difference = (value(up[0], jnp.array(up[1])) - value(down[0], jnp.array(down[1]))) / (2 * step)
        assert float(slope) == pytest.approx(float(difference), rel=1e-5, abs=1e-7)
        assert abs(float(slope)) > 1e-6


@pytest.mark.parametrize("context", [{}, {"depth": 1.0}, {"moire_depth": 1.0, "twist_1": 0.0}])
def test_wrong_contexts_are_rejected(trained, context):
    with pytest.raises(UserError, match="needs the contexts \\(moire_depth\\)"):
        trained(trained.walkers, **context)


def test_knows_its_contexts_and_configuration(trained, tiny):
    assert trained.config == tiny()
    assert trained.contexts.shape == (2, 1)
    assert np.all((trained.contexts >= 0.5) & (trained.contexts <= 2.0))


def test_shipped_model_is_found_by_name():
    trained = qernel.load("six-over-depth")
    assert trained.hamiltonian.spins == (6, 0)
    assert np.isfinite(float(trained(trained.walkers[0, 0], moire_depth=1.0).log_abs))


def test_directory_that_is_no_run(tmp_path):
    with pytest.raises(UserError, match="is not a run"):
        qernel.load(tmp_path)

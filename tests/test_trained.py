"""A trained wavefunction from Python."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qernel
from qernel.config import UserError
from qernel.hamiltonian import make_hamiltonian
from qernel.measurement import Effort
from qernel.runs import Run
from qernel.training.loop import initial_state


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


@pytest.mark.parametrize("shape", [(4, 2), (2, 4, 4, 2), (1, 2)])
def test_other_numbers_of_electrons_are_rejected(trained, shape):
    electrons = jnp.zeros(shape)
    with pytest.raises(UserError, match=r"positions have to be \(\.\.\., 3, 2\), not "):
        trained(electrons, moire_depth=1.0)


def test_several_contexts_at_once_are_rejected(trained):
    with pytest.raises(UserError, match="one number for each parameter"):
        trained(trained.walkers, moire_depth=jnp.array([1.0, 2.0]))


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


@pytest.fixture(scope="module")
def lone(tiny, generic):
    """One electron in one cell, whose states integrate over a grid; no weight at a special value."""
    config = tiny("electrons=[1,0]", "cells=1", "training.walkers=16", "microbatch=64")
    model, hamiltonian = generic(config, scale=0.4)
    return qernel.Trained(dataclasses.replace(initial_state(config), model=model), hamiltonian, config)


EFFORT = Effort(walkers=512, samples=40, moves=8)


def _fractions(bins):
    labels = np.stack(np.meshgrid(np.arange(bins), np.arange(bins), indexing="ij"), -1).reshape(-1, 2)
    return (labels + 0.3) / bins


def on_grid(state, bins=48):
    """psi over the cell, not normalized."""
    points = _fractions(bins) @ state.trained.hamiltonian.supercell.vectors
    log_abs, phase = state(jnp.asarray(points)[:, None])
    return np.exp(np.asarray(log_abs) + 1j * np.asarray(phase))


def test_fidelity_is_the_squared_overlap(lone):
    before = dataclasses.replace(lone, state=initial_state(lone.config))
    here, there = lone.at(moire_depth=0.5), before.at(moire_depth=2.0)
    psi, phi = on_grid(here), on_grid(there)
    exact = abs(np.vdot(psi, phi)) ** 2 / np.vdot(psi, psi).real / np.vdot(phi, phi).real
    value, error = here.fidelity(there, EFFORT)
    assert 0.2 < exact < 0.95
    assert error < 0.1 * (1 - exact)
    assert abs(value - exact) < 4 * error


def test_samples_have_the_density_of_the_state(lone):
    here, cell = lone.at(moire_depth=0.5), lone.hamiltonian.supercell
    found = [np.cos(np.asarray(each)[:, 0] @ cell.reciprocal[0]) for each in here.samples(EFFORT)]
    assert np.shape(found) == (EFFORT.samples, EFFORT.walkers)
    exact = np.average(np.cos(2 * np.pi * _fractions(48)[:, 0]), weights=abs(on_grid(here)) ** 2)
    means = np.mean(found, axis=0)
    error = np.std(means, ddof=1) / np.sqrt(len(means))
    assert abs(exact) > 8 * error
    assert abs(np.mean(means) - exact) < 4 * error


@pytest.mark.parametrize("depth", [0.7, 1.9])
def test_samples_are_those_of_a_sweep(trained, depth):
    effort = Effort(walkers=8, samples=4, equilibration=4, seed=3)
    potential = jax.vmap(trained.hamiltonian.potential, (0, None))
    couplings = trained.hamiltonian.family.couplings(jnp.array([depth]))
    found = [potential(each, couplings) for each in trained.at(moire_depth=depth).samples(effort)]
    data = trained.sweep(effort, moire_depth=depth).squeeze()
    unit = float(couplings.energy_unit) / trained.hamiltonian.electrons
    means = unit * np.mean(found, axis=(0, 1))
    np.testing.assert_allclose(means, [data["moire"], data["coulomb"]], rtol=1e-9)


def test_a_fixed_context_is_a_call_at_it(trained):
    electrons = trained.walkers[0]
    here, there = trained.at(moire_depth=1.2)(electrons), trained(electrons, moire_depth=1.2)
    np.testing.assert_array_equal(here.log_abs, there.log_abs)
    with pytest.raises(UserError, match="needs the contexts \\(moire_depth\\)"):
        trained.at(dielectric_constant=5.0)
    with pytest.raises(UserError, match="moire_depth"):
        trained.at(moire_depth=float("nan"))


def test_samples_that_cannot_be_are_refused_at_once(trained):
    here = trained.at(moire_depth=1.0)
    with pytest.raises(UserError, match="seed"):
        here.samples(Effort(seed=-1))
    with pytest.raises(UserError, match="needs a sweep"):
        here.samples(Effort(start="up"))


def test_no_overlap_of_different_systems(trained, lone, tiny):
    with pytest.raises(UserError, match="same electrons, supercell and twist"):
        trained.at(moire_depth=1.0).fidelity(lone.at(moire_depth=1.0))
    config = tiny("twist_1=0.3")
    turned = qernel.Trained(initial_state(config), make_hamiltonian(config), config)
    with pytest.raises(UserError, match="same electrons, supercell and twist"):
        trained.at(moire_depth=1.0).fidelity(turned.at(moire_depth=1.0))

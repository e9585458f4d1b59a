"""KFAC against the natural gradient where its approximation is exact, and at work."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("qernel.optimize.kfac", reason="kfac-jax is not installed")

from qernel.batching import walker_mesh
from qernel.hamiltonian import make_hamiltonian
from qernel.hamiltonian.bands import filled_band_energy
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.lattice import supercell_of
from qernel.optimize import make_optimizer
from qernel.optimize.kfac import _curvature, _flat, _tagged, kfac
from qernel.sampling import make_sampling
from qernel.training.checkpoint import load_checkpoint, save_checkpoint
from qernel.training.loop import initial_state
from qernel.training.step import make_optimization
from qernel.wavefunction.base import LogPsi, Wavefunction
from qernel.wavefunction.linear import Linear
from qernel.wavefunction.orbitals import FreeOrbitals

DAMPING, UNBOUNDED, WALKERS = 1e-3, 1e30, 40
RANDOM = np.random.default_rng(0)
LOG_ABS, PHASE = RANDOM.normal(size=(2, 6))


class Toy(Wavefunction):
    """log psi linear in six outputs of one linear map of one electron: S is a Kronecker product."""

    map: Linear | FreeOrbitals
    phase: float = eqx.field(static=True)

    def __call__(self, electrons, couplings):
        x = jnp.concatenate([jnp.sin(electrons), jnp.cos(electrons), jnp.sin(2 * electrons)], axis=1)
        if isinstance(self.map, Linear):
            y = self.map(x)[0]
        else:
            network = self.map.network(x, couplings).reshape(-1)
            y = jnp.concatenate([network.real, network.imag])
        return LogPsi(y @ jnp.asarray(LOG_ABS), self.phase * (y @ jnp.asarray(PHASE)))


def toy(kind, phase=0.0):
    if kind == "linear":
        head = Linear(6, 6, bias=True, key=jax.random.key(0))
    else:
        head = FreeOrbitals(supercell_of(1), 1, 6, 3, key=jax.random.key(0))
    return jax.tree.map(lambda x: x.astype(jnp.float64), Toy(head, phase))


@pytest.fixture(scope="module")
def one_electron(tiny):
    return make_hamiltonian(tiny("electrons=[1,0]"))


def walkers_of(hamiltonian, count, contexts=((0.7,), (1.4,))):
    contexts = jnp.asarray(contexts, jnp.float64)
    electrons = np.random.default_rng(1).normal(size=(len(contexts), count, hamiltonian.electrons, 2))
    return jnp.asarray(electrons), couplings_of(hamiltonian, contexts, jnp.float64)


def matrix_of_scores(model, walkers):
    """The scores of log|psi| and of the phase, (part x walker, parameter), by plain autodiff."""
    jacobian = jax.vmap(lambda r, c: jax.jacrev(lambda m: jnp.stack(m(r, c)))(model))(*_flat(*walkers))
    leaves = [np.asarray(leaf).reshape(-1, leaf[0, 0].size) for leaf in jax.tree.leaves(jacobian)]
    return np.concatenate(leaves, axis=1)


def flatten(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def unbounded(count):
    return UNBOUNDED


def constant(count):
    return jnp.ones(())


def random_like(tree, seed):
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(random.normal(size=x.shape)), tree)


@pytest.mark.parametrize("kind", ["linear", "orbitals"])
def test_step_is_the_natural_gradient_where_one_kronecker_product_is_exact(one_electron, kind):
    model, walkers = toy(kind), walkers_of(one_electron, WALKERS)
    gradient, scores = random_like(model, 2), matrix_of_scores(model, walkers)
    fisher = scores.T @ scores / (2 * WALKERS)
    expected = np.linalg.solve(fisher + DAMPING * np.eye(len(fisher)), flatten(gradient) / 2)
    rates = lambda t: 0.1 / (1 + t / 2)  # noqa: E731
    for bound in (UNBOUNDED, 1e-4):
        optimizer = kfac(
            rates,
            damping=DAMPING,
            norm_bound=lambda t, bound=bound: bound / (1 + t),
            hamiltonian=one_electron,
        )
        state = optimizer.init(model)
        update = jax.jit(lambda state, new=optimizer.update: new(gradient, state, model, walkers=walkers))
        for t in range(2):  # the same walkers again: the averages stay
            step, state = update(state)
            step = flatten(step)
            length = rates(t) ** 2 * (expected @ fisher @ expected)
            shortening = min(1.0, math.sqrt(bound / (1 + t) / length))
            np.testing.assert_allclose(step, -rates(t) * shortening * expected, rtol=1e-6, atol=1e-9)
        assert int(state.count) == 2
    assert length > 1e-4
    assert step @ fisher @ step == pytest.approx(1e-4 / 2, rel=1e-6)


def test_phase_counts_as_much_as_the_modulus(one_electron):
    model, walkers = toy("linear", phase=1.0), walkers_of(one_electron, 2000)
    scores = matrix_of_scores(model, walkers)
    optimizer = kfac(constant, damping=DAMPING, norm_bound=unbounded, hamiltonian=one_electron)
    state = optimizer.init(model)
    update = jax.jit(lambda state: optimizer.update(model, state, model, walkers=walkers)[1])
    for _ in range(40):  # the random signs average out
        state = update(state)
    curvature = _curvature()
    curvature.finalize((model, *_flat(*walkers)))
    with jax.numpy_dtype_promotion("standard"):
        fisher = np.asarray(curvature.to_dense_matrix(state.curvature))
    # Blocks are ordered as the parameters are: weight, then bias.
    exact = scores.T @ scores / 4000
    assert np.linalg.norm(fisher - exact) < 0.02 * np.linalg.norm(exact)
    half = scores.reshape(4000, 2, -1)[:, 0]
    assert np.linalg.norm(half.T @ half / 4000 - exact) > 0.3 * np.linalg.norm(exact)


def test_averages_decay(one_electron):
    model = toy("linear")
    optimizer = kfac(constant, damping=1.0, norm_bound=unbounded, hamiltonian=one_electron)
    state, expected, weight = optimizer.init(model), 0.0, 0.0
    electrons, couplings = walkers_of(one_electron, WALKERS)
    update = jax.jit(lambda state, r: optimizer.update(model, state, model, walkers=(r, couplings))[1])
    for seed in range(3):
        state = update(state, electrons + seed)
        x = np.asarray(electrons + seed).reshape(-1, 2)
        x = np.concatenate([np.sin(x), np.cos(x), np.sin(2 * x), np.ones((len(x), 1))], axis=1)
        expected, weight = 0.95 * expected + x.T @ x / len(x), 0.95 * weight + 1
    [block] = state.curvature.blocks_states
    np.testing.assert_allclose(block.factors[0].value, expected / weight, rtol=1e-10)


def test_single_precision_stays_single(one_electron):
    model, walkers = toy("orbitals"), walkers_of(one_electron, WALKERS)
    optimizer = kfac(constant, damping=DAMPING, norm_bound=unbounded, hamiltonian=one_electron)
    steps = []
    for dtype in (jnp.float64, jnp.float32):
        parameters, batch = jax.tree.map(lambda x, to=dtype: x.astype(to), (model, walkers))
        state = optimizer.init(parameters)
        step, after = jax.jit(lambda s, m, w: optimizer.update(m, s, m, walkers=w))(state, parameters, batch)
        assert jax.tree.map(lambda x: x.dtype, (step, after)) == jax.tree.map(
            lambda x: x.dtype, (parameters, state)
        )
        steps.append(flatten(step))
        assert steps[-1] @ flatten(model) < 0  # downhill: here the gradient is the model itself
    np.testing.assert_allclose(steps[1], steps[0], rtol=0.01, atol=0.01 * np.abs(steps[0]).max())


@pytest.mark.parametrize("ansatz", ["qernel", "psiformer-polarized-free", "slaternet-real"], indirect=True)
def test_tags_leave_the_wavefunction_as_it_is(ansatz):
    couplings = jax.tree.map(lambda x: x.astype(jnp.float64), ansatz.couplings)
    plain, tagged = (
        jax.jit(jax.vmap(model, (0, None)))(ansatz.electrons, couplings)
        for model in (ansatz.model, _tagged(ansatz.model))
    )
    np.testing.assert_allclose(tagged.log_abs, plain.log_abs, rtol=1e-10)
    np.testing.assert_allclose(
        np.exp(1j * np.asarray(tagged.phase)), np.exp(1j * np.asarray(plain.phase)), atol=1e-9
    )


@pytest.fixture(scope="module")
def one_electron_run(tiny):
    """A PsiFormer of one electron, from random free orbitals, at two contexts at once."""
    return tiny(
        "ansatz=psiformer", "optimizer.name=kfac", "electrons=[1,0]", "cells=1", "orbitals=free",
        "size=16", "walkers=64", "moves=5", "decay_steps=100", "refresh_every=1000",
        "stages=[{steps=100,contexts=2}]",
    )  # fmt: skip


@pytest.fixture(scope="module")
def compiled(one_electron_run):
    """Its two compiled halves of a training step."""
    hamiltonian, mesh = make_hamiltonian(one_electron_run), walker_mesh(1)
    optimizer = make_optimizer(one_electron_run.optimizer, hamiltonian)
    return (
        make_sampling(hamiltonian, mesh, one_electron_run.training.moves, jnp.dtype("float64"), 32),
        make_optimization(one_electron_run, hamiltonian, optimizer, mesh),
    )


@pytest.fixture(scope="module")
def history(one_electron_run, compiled):
    """States after each step, and metrics."""
    state, steps = initial_state(one_electron_run), []
    for index in range(one_electron_run.training.steps):
        state, metrics = one_step(compiled, state, index)
        steps.append((state, metrics))
    return steps


def one_step(compiled, state, index):
    sample, optimize = compiled
    walkers, acceptance = sample(state.model, state.walkers, state.contexts, jax.random.key(index))
    return optimize(eqx.tree_at(lambda s: s.walkers, state, walkers), acceptance)[:2]


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


def assert_equal(first, second):
    for a, b in zip(leaves(first), leaves(second), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_every_linear_map_has_its_kronecker_product(history):
    blocks = history[0][0].optimizer.curvature.blocks_states
    sizes = sorted(tuple(f.shape[0] for f in block.factors) for block in blocks if hasattr(block, "factors"))
    # embedding; query, key, value, output; the layer's two, with bias; context (2, with bias); orbitals
    assert sizes == sorted([(11, 16), *[(16, 16)] * 4, *[(17, 16)] * 2, (2, 4), (5, 2), (16, 4)])


def test_resumed_run_equals_the_unbroken_one_bit_for_bit(history, compiled, one_electron_run, tmp_path):
    path = save_checkpoint(tmp_path, jax.device_get(history[0][0]))
    state = load_checkpoint(path, initial_state(one_electron_run))
    for index in (1, 2):
        state, metrics = one_step(compiled, state, index)
        assert_equal(state, history[index][0])
        assert_equal(metrics, history[index][1])


def test_step_that_is_not_finite_is_refused(history, compiled):
    before, _ = history[2]
    electrons = before.walkers.electrons.at[1, 2, 0].set(jnp.nan)
    poisoned = eqx.tree_at(lambda s: s.walkers.electrons, before, electrons)
    after, metrics, _ = compiled[1](poisoned, jnp.full(2, 0.5))
    assert bool(metrics.refused)
    assert int(after.refused) == 1
    assert_equal(after.model, before.model)
    assert_equal(after.optimizer, before.optimizer)


def test_one_electron_comes_down_to_its_band_energies(history, one_electron_run):
    hamiltonian = make_hamiltonian(one_electron_run)
    couplings = couplings_of(hamiltonian, history[0][0].contexts, jnp.float64)
    # One electron still meets its own images: half the Madelung energy.
    exact = [
        filled_band_energy(hamiltonian.supercell, (1, 0), float(moire), math.pi / 4, (0.2, -0.1))
        + 0.5 * float(coulomb) * hamiltonian.terms[1].madelung
        for moire, coulomb in zip(couplings.moire, couplings.coulomb, strict=True)
    ]
    exact = np.array(exact) * np.asarray(couplings.energy_unit)
    metrics = [m for _, m in history]
    assert not any(m.refused for m in metrics)
    first, last = np.asarray(metrics[0].energy), np.mean([m.energy for m in metrics[-20:]], axis=0)
    assert np.all(first > exact + 30)  # meV
    assert np.all(np.abs(last - exact) < 0.03 * (first - exact))
    # The exact state's local energy has no variance.
    spread = np.mean([m.spread for m in metrics[-20:]], axis=0)
    assert np.all(spread < 0.25 * np.asarray(metrics[0].spread))

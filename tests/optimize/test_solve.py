"""The linear system in walker space against dense linear algebra."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.estimators.gradient import Scores
from qernel.optimize import rows
from qernel.optimize.solve import factorized, iterated, solve_damped

CONTEXTS, WALKERS = 2, 8
COUNT = 2 * CONTEXTS * WALKERS
SHAPES = {"a": (5,), "b": (40, 9), "c": (), "d": (3, 2, 11)}  # 432 parameters
PARAMETERS = 432
DAMPING = 1e-3


def as_scores(matrix):
    """Rows (part, context, walker) of a matrix as scores."""
    halves = matrix.reshape(2, CONTEXTS, WALKERS, PARAMETERS)
    trees, first = ({}, {}), 0
    for name, shape in SHAPES.items():
        size = int(np.prod(shape))
        for tree, half in zip(trees, halves, strict=True):
            tree[name] = jnp.asarray(half[..., first : first + size].reshape(CONTEXTS, WALKERS, *shape))
        first += size
    return Scores(*trees)


def flatten(tree):
    return np.concatenate([np.ravel(tree[name]) for name in SHAPES])


@pytest.fixture
def matrix():
    """Score rows whose squared singular values span ten decades, as those of a trained wavefunction do."""
    random = np.random.default_rng(0)
    left, _ = np.linalg.qr(random.normal(size=(COUNT, COUNT)))
    right, _ = np.linalg.qr(random.normal(size=(PARAMETERS, COUNT)))
    return left * np.sqrt(COUNT / 2 * np.logspace(2, -8, COUNT)) @ right.T


def test_products_with_the_rows(matrix):
    random, scores = np.random.default_rng(1), as_scores(matrix)
    weights, direction = random.normal(size=COUNT), random.normal(size=PARAMETERS)
    assert rows.size(scores) == matrix.shape
    np.testing.assert_allclose(
        flatten(rows.combine(scores, jnp.asarray(weights))), weights @ matrix, atol=1e-12
    )
    halves = as_scores(np.tile(direction, (COUNT, 1))).log_abs
    tree = jax.tree.map(lambda leaf: leaf[0, 0], halves)
    np.testing.assert_allclose(rows.along(scores, tree), matrix @ direction, atol=1e-12)
    np.testing.assert_allclose(rows.gram(scores), matrix @ matrix.T, atol=1e-12)


@pytest.mark.parametrize("width", [7, 64, 431, 500])
def test_a_sketch_adds_every_column_once_with_a_sign(matrix, width):
    scores = as_scores(matrix)
    # The sketch of unit vectors, a row each, is the sketching matrix.
    unit = np.zeros((-(-PARAMETERS // COUNT) * COUNT, PARAMETERS))
    unit[:PARAMETERS] = np.eye(PARAMETERS)
    parts = unit.reshape(-1, COUNT, PARAMETERS)
    signs = np.concatenate([rows.sketch(as_scores(part), width) for part in parts])[:PARAMETERS]
    np.testing.assert_array_equal(abs(signs).sum(axis=1), 1)
    np.testing.assert_array_equal(np.argmax(abs(signs), axis=1), np.arange(PARAMETERS) % width)
    assert abs(signs.sum()) < 5 * np.sqrt(PARAMETERS)
    np.testing.assert_allclose(rows.sketch(scores, width), matrix @ signs, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_conjugate_gradients_solve_to_their_tolerance_soon(matrix, dtype, monkeypatch):
    monkeypatch.setattr("qernel.optimize.solve._MOST", 8)
    target = np.random.default_rng(2).normal(size=COUNT)
    dense = matrix @ matrix.T * (2 / COUNT) + DAMPING * np.eye(COUNT)
    exact = np.linalg.solve(dense, target)
    found = np.asarray(iterated(as_scores(matrix.astype(dtype)), jnp.asarray(target, dtype), DAMPING))
    error = found - exact
    assert error @ dense @ error < 0.006**2 * (exact @ dense @ exact)


def test_large_systems_are_iterated_and_small_ones_factorized(matrix, monkeypatch):
    target, scores = jnp.asarray(np.random.default_rng(3).normal(size=COUNT)), as_scores(matrix)
    few = Scores({"a": scores.log_abs["a"]}, {"a": scores.phase["a"]})
    for many_rows, these, solve in ((31, scores, iterated), (31, few, by_factors), (32, scores, by_factors)):
        monkeypatch.setattr("qernel.optimize.solve._MANY_ROWS", many_rows)
        found = solve_damped(these, target, DAMPING)
        np.testing.assert_allclose(found, solve(these, target, DAMPING), rtol=1e-9)


def test_no_target_and_no_preconditioner(matrix):
    scores, zero = as_scores(matrix), jnp.zeros(COUNT)
    np.testing.assert_array_equal(iterated(scores, zero, DAMPING), zero)
    broken = Scores(scores.log_abs | {"a": scores.log_abs["a"] * jnp.nan}, scores.phase)
    assert np.all(np.isnan(iterated(broken, zero + 1, DAMPING)))


SHARED_OUT = """
import jax, jax.numpy as jnp, numpy as np
from qernel.batching import BY_WALKER, place, walker_mesh
from qernel.estimators.gradient import Scores
from qernel.optimize.solve import iterated

random = np.random.default_rng(0)
leaves = [random.normal(size=(2, 8, *shape)) * np.logspace(0, -4, 8).reshape(8, *[1] * len(shape))
          for shape in ((40, 9), (66,)) * 2]
scores, target = Scores(leaves[:2], leaves[2:]), random.normal(size=32)
mesh = walker_mesh(8)
assert len(mesh.devices) == 4
found = [jax.jit(lambda s, t: iterated(s, t, 1e-3))(each, target)
         for each in (scores, place(scores, mesh, BY_WALKER))]
np.testing.assert_allclose(found[0], found[1], rtol=1e-8)
print("equal")
"""


def test_walkers_shared_out_over_devices_change_nothing():
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"}
    run = subprocess.run(
        [sys.executable, "-c", SHARED_OUT], env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.stdout.strip() == "equal", run.stderr[-3000:]


def by_factors(scores, target, damping):
    return factorized(rows.gram(scores) * (2 / COUNT), target, damping)


def test_factorized_solution():
    random = np.random.default_rng(3)
    factor, target = random.normal(size=(12, 5)), random.normal(size=12)
    matrix = factor @ factor.T  # of rank five
    solution = factorized(jnp.asarray(matrix), jnp.asarray(target), DAMPING)
    np.testing.assert_allclose(solution, np.linalg.solve(matrix + DAMPING * np.eye(12), target), rtol=1e-9)


def test_indefinite_matrix_counts_its_negative_eigenvalues_as_zero():
    random = np.random.default_rng(4)
    vectors, _ = np.linalg.qr(random.normal(size=(6, 6)))
    values, target = np.array([2.0, 1.0, 0.5, 1e-8, -0.01, -0.3]), random.normal(size=6)
    matrix = vectors * values @ vectors.T
    expected = vectors @ ((vectors.T @ target) / (np.maximum(values, 0) + DAMPING))
    solution = factorized(jnp.asarray(matrix), jnp.asarray(target), DAMPING)
    np.testing.assert_allclose(solution, expected, rtol=1e-8)

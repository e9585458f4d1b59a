"""The linear system in walker space against dense linear algebra."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.optimize.rows import KeptRows, _folded
from qernel.optimize.solve import _factor, solve_damped

CONTEXTS, WALKERS = 2, 8
COUNT = 2 * CONTEXTS * WALKERS
SHAPES = {"a": (5,), "b": (40, 9), "c": (), "d": (3, 2, 11)}  # 432 parameters
PARAMETERS = 432
DAMPING = 1e-3


def as_rows(matrix, away=1.0):
    """Rows (context, walker, part) of a matrix as scores, relative to something of the context and part."""
    away = away * np.random.default_rng(9).normal(size=(CONTEXTS, 1, 2, PARAMETERS))
    matrix = matrix.reshape(CONTEXTS, WALKERS, 2, PARAMETERS) + away.astype(matrix.dtype)
    tree, first = {}, 0
    for name, shape in SHAPES.items():
        size = int(np.prod(shape))
        tree[name] = jnp.asarray(matrix[..., first : first + size].reshape(CONTEXTS, WALKERS, 2, *shape))
        first += size
    return KeptRows(tree, jnp.ones(CONTEXTS))


def centred(matrix):
    by_walker = matrix.reshape(CONTEXTS, WALKERS, 2, -1)
    return (by_walker - by_walker.mean(axis=1, keepdims=True)).reshape(matrix.shape)


def flatten(tree):
    return np.concatenate([np.ravel(tree[name]) for name in SHAPES])


@pytest.fixture
def matrix():
    """Score rows whose squared singular values span ten decades, as those of a trained wavefunction do."""
    random = np.random.default_rng(0)
    left, _ = np.linalg.qr(random.normal(size=(COUNT, COUNT)))
    right, _ = np.linalg.qr(random.normal(size=(PARAMETERS, COUNT)))
    return centred(left * np.sqrt(COUNT / 2 * np.logspace(2, -8, COUNT)) @ right.T)


def test_products_with_the_rows(matrix):
    random, rows = np.random.default_rng(1), as_rows(matrix)
    weights, direction = random.normal(size=COUNT), random.normal(size=PARAMETERS)
    assert (rows.count, rows.columns) == matrix.shape
    np.testing.assert_allclose(flatten(rows.combine(jnp.asarray(weights))), weights @ matrix, atol=1e-12)
    tiled = as_rows(np.tile(direction, (COUNT, 1)), away=0.0).scores
    tree = jax.tree.map(lambda leaf: leaf[0, 0, 0], tiled)
    np.testing.assert_allclose(rows.along(tree), matrix @ direction, atol=1e-12)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("columns", [7, 64, 431])
def test_folding_adds_every_column_of_a_tensor_once_with_a_sign(matrix, columns, device, monkeypatch):
    monkeypatch.setattr("jax.default_backend", lambda: device)
    folds, pieces, first = -(-PARAMETERS // columns), [], 0
    for number, shape in enumerate(SHAPES.values()):
        size = int(np.prod(shape))
        # The folded unit vectors, a row each, are the matrix that folds.
        block = np.asarray(_folded(jnp.eye(size), folds, number))
        np.testing.assert_array_equal(abs(block).sum(axis=1), 1)
        np.testing.assert_array_equal(np.argmax(abs(block), axis=1), np.arange(size) % -(-size // folds))
        assert abs(block.sum()) < 5 * np.sqrt(size)
        pieces.append(matrix[:, first : first + size] @ block)
        first += size
    sketch = np.concatenate(pieces, axis=1)
    np.testing.assert_allclose(as_rows(matrix).sketched_gram(columns), sketch @ sketch.T, atol=1e-11)


@pytest.mark.parametrize("columns", [PARAMETERS, 200])
def test_gram_matrix_is_exact_or_estimated_without_bias(matrix, columns, monkeypatch):
    gram, seeds = matrix @ matrix.T, 400
    rows, key = as_rows(matrix), jax.random.key
    found = []
    for seed in range(1 if columns == PARAMETERS else seeds):
        monkeypatch.setattr("jax.random.key", lambda number, seed=seed: key(1000 * seed + number))
        found.append(np.asarray(rows.sketched_gram(columns)))
    assert found[0].dtype == np.float64
    if columns == PARAMETERS:
        np.testing.assert_allclose(found[0], gram, atol=1e-11)
    else:
        scatter = np.std(found, axis=0)
        assert np.abs(found[0] - gram).max() > 0.01 * np.abs(gram).max()  # an estimate
        assert np.mean(np.abs(np.mean(found, axis=0) - gram) < 2 * scatter / np.sqrt(seeds)) > 0.9


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_system_is_solved_to_the_tolerance_soon(matrix, dtype, monkeypatch):
    monkeypatch.setattr("qernel.optimize.solve.MOST_ITERATIONS", 8)
    target = np.random.default_rng(2).normal(size=COUNT)
    dense = matrix @ matrix.T * (2 / COUNT) + DAMPING * np.eye(COUNT)
    exact = np.linalg.solve(dense, target)
    found = np.asarray(solve_damped(as_rows(matrix.astype(dtype)), jnp.asarray(target, dtype), DAMPING))
    error = found - exact
    assert error @ dense @ error < 0.006**2 * (exact @ dense @ exact)


def test_no_target_and_no_preconditioner(matrix):
    rows, zero = as_rows(matrix), jnp.zeros(COUNT)
    np.testing.assert_array_equal(solve_damped(rows, zero, DAMPING), zero)
    broken = KeptRows(rows.scores | {"a": rows.scores["a"] * jnp.nan}, rows.factors)
    assert np.all(np.isnan(solve_damped(broken, zero + 1, DAMPING)))


SHARED_OUT = """
import jax, jax.numpy as jnp, numpy as np
from qernel.batching import BY_WALKER, place, walker_mesh
from qernel.optimize.rows import KeptRows
from qernel.optimize.solve import solve_damped

random = np.random.default_rng(0)
scores = [random.normal(size=(2, 8, 2, *shape)) * np.logspace(0, -4, 8).reshape(8, 1, *[1] * len(shape))
          for shape in ((40, 9), (66,))]
target = random.normal(size=32)
mesh = walker_mesh(8)
assert len(mesh.devices) == 4
found = [jax.jit(lambda s, t: solve_damped(KeptRows(s, jnp.ones(2)), t, 1e-3))(each, target)
         for each in (scores, place(scores, mesh, BY_WALKER))]
np.testing.assert_allclose(found[0], found[1], rtol=1e-8)
long = place([random.normal(size=(2, 8, 2, 20000))], mesh, BY_WALKER)
solve = jax.jit(lambda s, t: solve_damped(KeptRows(s, jnp.ones(2)), t, 1e-3)).lower(long, target).compile()
assert solve.memory_analysis().temp_size_in_bytes < long[0].nbytes / 2  # no device has all scores
print("equal")
"""


def test_walkers_shared_out_over_devices_change_nothing():
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"}
    run = subprocess.run(
        [sys.executable, "-c", SHARED_OUT], env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.stdout.strip() == "equal", run.stderr[-3000:]


def test_matrix_that_rounding_made_indefinite_is_factorized_after_a_shift(matrix):
    gram = matrix @ matrix.T
    bent = gram - 3e-6 * np.trace(gram) * np.eye(COUNT)
    assert np.linalg.eigvalsh(bent)[0] < -DAMPING
    factor = _factor(jnp.asarray(bent), DAMPING, 1e-5)
    np.testing.assert_allclose(
        factor @ factor.T,
        gram + (DAMPING + 7e-6 * np.trace(gram)) * np.eye(COUNT),
        rtol=1e-3,
        atol=1e-3 * DAMPING,
    )
    np.testing.assert_allclose(
        _factor(jnp.asarray(gram), DAMPING, 1e-5),
        np.linalg.cholesky(gram + DAMPING * np.eye(COUNT)),
        atol=1e-9,
    )

"""Jets of single operations against derivatives by brute force, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from qernel.laplacian import forward_laplacian
from qernel.laplacian.interpreter import _follow
from qernel.laplacian.jet import coordinates
from qernel.wavefunction.operations import (
    attend,
    elementwise,
    linear_map,
    orbital_determinants,
    slogdet,
    softmax,
)

ELECTRONS = 4
WEIGHT = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3)))
SQUARE = jnp.asarray(np.random.default_rng(2).normal(size=(ELECTRONS, ELECTRONS)))


@elementwise
def bump(x):
    return x / (1 + x * x)


def features(r):
    """Something generic and nonlinear of each electron: (electron, 3)."""
    return jnp.sin(r @ WEIGHT) + 0.3 * (r @ WEIGHT) ** 2


def mixed(r):
    """The same, every entry a function of all electrons."""
    return jnp.cos(SQUARE @ features(r))


def complex_matrix(r):
    x = mixed(r) @ features(r).T
    return lax.complex(x, jnp.sin(x) + SQUARE)


def wave(r):
    return lax.complex(jnp.cos(r[:, :1]), jnp.sin(r[:, :1]))


def channels(x, heads=1):
    x = jnp.concatenate([x, x[:, :1] ** 2], axis=1).reshape(ELECTRONS, 2, 1, 2)
    return x * jnp.arange(1.0, heads + 1)[:, None]


def wide(x):
    """Enough features for four orbitals, and far enough from dependent for the bounds on rounding below."""
    return jnp.concatenate([x, jnp.cos(3 * x)], axis=1)


def columns(parts, width):
    """Weights of two determinants: (part, width, determinant, orbital)."""
    return jnp.asarray(np.random.default_rng(3).normal(size=(parts, width, 2, ELECTRONS)))


def seeds(x, parts=2):
    """Of such a function of electrons, (determinant, electron, orbital)."""
    each = [jnp.einsum("ic,ckj->kij", x, part) for part in columns(parts, 3) + 0.5]
    return lax.complex(*each) if parts == 2 else each[0]


def factors(r):
    size = jnp.exp(0.1 * r[None, :, 1:] ** 2)
    return lax.complex(size * jnp.cos(r[None, :, :1]), size * jnp.sin(r[None, :, :1]))


FUNCTIONS = {
    "local": lambda r: features(r).reshape(ELECTRONS, 3, 1).transpose(1, 0, 2),
    "local, broadcast and reduced": lambda r: (features(r)[:, None] * jnp.ones((1, 2, 1))).sum(axis=2),
    "sum over electrons": lambda r: features(r).sum(axis=0),
    "local times dense": lambda r: features(r) * mixed(r),
    "local of one axis times local of another": lambda r: features(r)[:, None, 0] * features(r)[None, :, 1],
    "local plus dense": lambda r: features(r) + mixed(r),
    "quotient": lambda r: features(r) / (2 + mixed(r) ** 2),
    "constant by jet": lambda r: 2.0 / (2 + mixed(r) ** 2),
    "matrix product": lambda r: mixed(r).T @ features(r),
    "matrix products by electron": lambda r: jnp.einsum("ia,ib->iab", features(r), jnp.cos(features(r))),
    "gather": lambda r: r[jnp.array([0, 0, 1])] - r[jnp.array([1, 2, 3])],
    "concatenate": lambda r: jnp.concatenate([features(r), jnp.ones((ELECTRONS, 1)), mixed(r)], axis=1),
    "largest": lambda r: jnp.max(mixed(r), axis=0),
    "select": lambda r: jnp.where(mixed(r) > 0, features(r), mixed(r)),
    "norm": lambda r: features(r) / jnp.sqrt(jnp.mean(features(r) ** 2, axis=-1, keepdims=True) + 0.1),
    "power": lambda r: (2 + features(r)) ** 1.7,
    "angle": lambda r: jnp.arctan2(mixed(r), 2 + features(r)),
    "a loop": lambda r: lax.fori_loop(0, 3, lambda _, x: jnp.sin(x) + x * x, mixed(r)),
    "custom derivative": lambda r: jax.nn.silu(mixed(r)),
    "elementwise": lambda r: bump(mixed(r)),
    "softmax": lambda r: softmax(mixed(r)),
    "softmax of each electron": lambda r: softmax(features(r)),
    "softmax over electrons": lambda r: softmax(features(r).T),
    "attention": lambda r: attend(
        channels(mixed(r), heads=2), channels(features(r))[:, :, 0], channels(r @ WEIGHT)[:, :, 0]
    ),
    "first attention": lambda r: attend(
        channels(features(r), heads=3), channels(jnp.cos(features(r)))[:, :, 0], channels(r @ WEIGHT)[:, :, 0]
    ),
    "attention to constants": lambda r: attend(
        channels(mixed(r)), jnp.ones((ELECTRONS, 2, 2)), jnp.ones((ELECTRONS, 2, 2)) * SQUARE[:, :2, None]
    ),
    "determinant": lambda r: slogdet(mixed(r) @ features(r).T + SQUARE)[1],
    "size of a complex determinant": lambda r: slogdet(complex_matrix(r))[1],
    "sign of a complex determinant": lambda r: slogdet(complex_matrix(r))[0],
    "orbitals' determinants": lambda r: orbital_determinants(
        mixed(r), columns(2, 3), seeds(features(r)), factors(r)
    ),
    "of wide features": lambda r: orbital_determinants(
        jnp.tile(wide(mixed(r)), 2) ** 2, columns(2, 12), seeds(features(r)), factors(r)
    ),
    "of features of one electron": lambda r: orbital_determinants(
        wide(features(r)), columns(2, 6), seeds(features(r))[:1, :, :1], factors(r)
    ),
    "of real orbitals": lambda r: orbital_determinants(
        wide(mixed(r)), columns(1, 6), jnp.zeros((1, 1, 1)), jnp.ones((1, 1, 1))
    ),
    "of seeds alone": lambda r: orbital_determinants(
        wide(SQUARE[:, :3]), columns(1, 6), seeds(features(r), parts=1), jnp.ones((1, 1, 1))
    ),
    "of seeds that know all electrons": lambda r: orbital_determinants(
        wide(features(r)), columns(2, 6), seeds(mixed(r)), factors(r)
    ),
    "of weights that know the electrons": lambda r: orbital_determinants(
        wide(features(r)), columns(1, 6) * jnp.sum(r**2), jnp.zeros((1, 1, 1)), jnp.ones((1, 1, 1))
    ),
    "complex products": lambda r: (complex_matrix(r) * wave(r)).imag,
    "determinant without a rule": lambda r: jnp.linalg.slogdet(mixed(r) @ features(r).T + SQUARE)[1],
    "attention over a batch": lambda r: jax.vmap(attend, in_axes=(3, None, 1))(
        jnp.stack([channels(mixed(r)), channels(features(r))], axis=3),
        channels(features(r))[:, :, 0],
        jnp.stack([channels(r @ WEIGHT)[:, :, 0], channels(mixed(r))[:, :, 0]], axis=1),
    ),
    "softmax over a batch": lambda r: jax.vmap(softmax, in_axes=1)(jnp.stack([mixed(r), features(r)], 2)),
    "determinants over a batch": lambda r: jax.vmap(slogdet, in_axes=2)(
        jnp.stack([mixed(r) @ features(r).T + SQUARE, SQUARE + r @ r.T], axis=2)
    )[1],
    "constant": lambda r: jnp.ones(3),
}


def electrons():
    return jnp.asarray(np.random.default_rng(0).normal(size=(ELECTRONS, 2)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_jacobian_and_laplacian(name):
    function, r = FUNCTIONS[name], electrons()

    def flat(x):
        return jax.tree.leaves(function(x.reshape(r.shape)))

    jets = jax.jit(lambda r: forward_laplacian(function, r))(r)
    gradients = jax.jit(jax.jacfwd(flat))(r.ravel())
    hessians = jax.jit(jax.jacfwd(jax.jacfwd(flat)))(r.ravel())
    for jet, value, gradient, hessian in zip(jets, flat(r), gradients, hessians, strict=True):
        np.testing.assert_allclose(jet.value, value, rtol=0, atol=1e-14)
        np.testing.assert_allclose(jet.jacobian, np.moveaxis(gradient, -1, 0), rtol=0, atol=1e-12)
        np.testing.assert_allclose(jet.laplacian, np.trace(hessian, axis1=-2, axis2=-1), rtol=0, atol=1e-11)


@pytest.mark.parametrize("chunk", [1, 130, 200, 10**6])  # 1, 2, 3 rows and all 8 of 64 entries each
def test_attention_does_not_depend_on_how_coordinates_are_taken_together(chunk, monkeypatch):
    monkeypatch.setattr("qernel.laplacian.attention._CHUNK_ENTRIES", chunk)
    test_value_jacobian_and_laplacian("attention")


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_determinants_do_not_depend_on_how_coordinates_are_taken_together(rows, monkeypatch):
    monkeypatch.setattr("qernel.laplacian.determinants._CHUNK_ROWS", rows)
    test_value_jacobian_and_laplacian("orbitals' determinants")


@pytest.mark.parametrize("weight", [lambda r: SQUARE[:3], lambda r: mixed(r)[:3]], ids=["constant", "not"])
def test_linear_map_which_has_a_gradient_of_its_own(weight):
    (jet,) = forward_laplacian(lambda r: linear_map(mixed(r), weight(r)), electrons())
    (plain,) = forward_laplacian(lambda r: mixed(r) @ weight(r), electrons())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), jet, plain)


def test_electrons_stay_apart_until_they_are_mixed():
    r = electrons()
    traced = jax.make_jaxpr(lambda r: (features(r), linear_map(features(r), SQUARE[:3]), mixed(r)))(r)
    one, mapped, all_of_them = _follow(traced.jaxpr, traced.consts, [coordinates(r)])
    assert one.jacobian.shape == (2, ELECTRONS, 3)
    assert mapped.jacobian.shape == (2, ELECTRONS, ELECTRONS)
    assert all_of_them.jacobian.shape == (2 * ELECTRONS, ELECTRONS, 3)


@pytest.mark.parametrize(
    "name", ["attention", "first attention", "orbitals' determinants", "of wide features"]
)
def test_batches(name, monkeypatch):
    monkeypatch.setattr("qernel.laplacian.attention._CHUNK_ENTRIES", 130)
    monkeypatch.setattr("qernel.laplacian.determinants._CHUNK_ROWS", 3)
    r = jnp.stack([electrons(), 0.5 * electrons()])

    def laplacians(r):
        return [jet.laplacian for jet in forward_laplacian(FUNCTIONS[name], r)]

    together, one_by_one = jax.jit(jax.vmap(laplacians))(r), jax.jit(lambda r: lax.map(laplacians, r))(r)
    for value, expected in zip(together, one_by_one, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-12)


def test_features_of_some_electrons_only():
    def determinants(r):
        x = wide(mixed(r))[:2]
        return orbital_determinants(x, columns(1, 6)[..., :2], jnp.zeros((1, 1, 1)), jnp.ones((1, 1, 1)))[1]

    r = electrons()
    (jet,) = forward_laplacian(determinants, r)
    hessian = jax.jacfwd(jax.jacfwd(lambda x: determinants(x.reshape(r.shape))))(r.ravel())
    np.testing.assert_allclose(jet.laplacian, np.trace(hessian, axis1=-2, axis2=-1), rtol=0, atol=1e-11)

"""Conditioning: starts as the identity, modulates as the formula says, and stays a small share."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qernel.hamiltonian import make_hamiltonian
from qernel.wavefunction import count_parameters, make_wavefunction
from qernel.wavefunction.film import ContextEmbedding, FiLM, ModulatedNorm
from qernel.wavefunction.norm import LayerNorm, RMSNorm


def test_film_scales_and_shifts_features():
    weight = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6)), jnp.float32)
    film = eqx.tree_at(lambda film: film.weight, FiLM(2, 3), weight)
    h, e = jnp.ones((4, 3), jnp.float32) * 2, jnp.array([0.5, -1.0], jnp.float32)
    expected = 2 * (1 + np.asarray(e @ weight[:, :3])) + np.asarray(e @ weight[:, 3:])
    np.testing.assert_allclose(film(h, e), np.tile(expected, (4, 1)), rtol=1e-6)


def test_fresh_network_does_not_depend_on_the_context(tiny, scattered):
    config = tiny("jastrow=false")
    hamiltonian = make_hamiltonian(config)
    model = make_wavefunction(config, hamiltonian, jax.random.key(0))
    electrons = scattered(hamiltonian, 1)[0]
    stream = jax.jit(lambda depth: model.stream(electrons, hamiltonian.family.couplings(depth[None])))
    here, there = stream(jnp.array(0.6)), stream(jnp.array(1.7))
    np.testing.assert_array_equal(here, there)


def test_gradient_reaches_film_although_it_starts_at_zero(tiny, scattered):
    config = tiny()
    hamiltonian = make_hamiltonian(config)
    model = make_wavefunction(config, hamiltonian, jax.random.key(0))
    couplings = hamiltonian.family.couplings(jnp.array([1.7]))
    electrons = scattered(hamiltonian, 1)[0]
    gradient = jax.jit(jax.grad(lambda model: model(electrons, couplings).log_abs))(model)
    films = [gradient.norm.film, gradient.blocks[0].attention_norm.film, gradient.blocks[0].experts_norm.film]
    assert all(float(jnp.abs(film.weight).max()) > 1e-4 for film in films)


def test_embedding_tells_contexts_apart():
    embed = ContextEmbedding(1, 4, key=jax.random.key(0))
    low, middle, high = (np.asarray(embed(jnp.array([c]))) for c in (-1.0, 0.0, 1.0))
    assert np.linalg.norm(high - low) > 0.1
    assert np.linalg.norm(high + low - 2 * middle) > 0.01  # not linear in the context


def test_conditioning_is_under_five_percent_at_the_size_of_the_paper(tiny):
    # Some 240,000 parameters for 18 electrons
    config = tiny(
        "electrons=[18,0]", "cells=27", "size=96", "layers=3", "heads=8", "groups=2", "experts=4",
        "determinants=4", "embedding=8",
    )  # fmt: skip
    counts = count_parameters(make_wavefunction(config, make_hamiltonian(config), jax.random.key(0)))
    total = sum(counts.values())
    assert 200_000 < total < 280_000
    assert 0 < counts["conditioning"] < 0.05 * total


def test_rms_norm():
    x = np.random.default_rng(1).normal(2.0, 3.0, size=(5, 64))
    y = np.asarray(ModulatedNorm(RMSNorm(64), 0)(jnp.asarray(x, jnp.float32), None))
    np.testing.assert_allclose(np.mean(y**2, axis=1), 1.0, rtol=1e-4)
    np.testing.assert_allclose(y / y[:, :1], x / x[:, :1], rtol=1e-4)  # a scale per electron


def test_layer_norm():
    x = np.random.default_rng(2).normal(2.0, 3.0, size=(5, 64))
    y = np.asarray(ModulatedNorm(LayerNorm(64), 0)(jnp.asarray(x, jnp.float32), None))
    np.testing.assert_allclose(y.mean(axis=1), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=1), 1.0, rtol=1e-4)

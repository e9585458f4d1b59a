"""Fresh networks: sizes of signals and gradients, precision, and the count of parameters."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.hamiltonian import make_hamiltonian
from qernel.wavefunction import count_parameters, make_wavefunction


@pytest.mark.parametrize("layers", [1, 8])
def test_stream_keeps_its_size_at_any_depth(tiny, scattered, layers):
    config = tiny("size=32", f"layers={layers}", "heads=4", "electrons=[3,0]")
    hamiltonian = make_hamiltonian(config)
    model = make_wavefunction(config, hamiltonian, jax.random.key(0))
    electrons = scattered(hamiltonian, 1)[0]

    @jax.jit
    def before_norm(electrons):
        x = model.embed(model.features(electrons))
        embedding = model.context(jnp.zeros(1))
        for block in model.blocks:
            x = block(x, embedding, None)
        return x

    # Features are sines and cosines, of mean square 1/2, so the embedding's variance is about 1/2.
    assert 0.3 < float(jnp.sqrt(jnp.mean(before_norm(electrons) ** 2))) < 2.0


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_every_weight_has_the_asked_precision(tiny, precision):
    config = tiny(f"precision={precision}")
    model = make_wavefunction(config, make_hamiltonian(config), jax.random.key(0))
    weights = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    assert {str(w.dtype) for w in weights} == {precision}


def test_counts_add_up_and_separate_the_conditioning(tiny):
    def count(*overrides):
        config = tiny(*overrides)
        model = make_wavefunction(config, make_hamiltonian(config), jax.random.key(0))
        counts = count_parameters(model)
        arrays = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
        assert sum(counts.values()) == sum(np.asarray(a).size for a in arrays)
        return counts

    with_context, without = count(), count("conditioned=false")
    # Embedding 1 -> 4 -> 2 with biases, and three modulations of 2 x 16
    assert with_context.pop("conditioning") == (1 * 4 + 4) + (4 * 2 + 2) + 3 * 2 * 16
    assert with_context == without


def test_seed_decides(tiny):
    config = tiny()
    hamiltonian = make_hamiltonian(config)
    one, same, other = (
        make_wavefunction(config, hamiltonian, jax.random.key(seed)).embed.weight for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert np.all(one != other)

"""How electrons share the experts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.estimators.routing import Routing


@pytest.fixture(scope="module")
def model(tiny, generic):
    return generic(tiny("layers=2", "experts=4"))  # of three electrons


def with_routers(model, change):
    return eqx.tree_at(
        lambda m: [block.experts.router.weight for block in m.blocks],
        model,
        [change(block.experts.router.weight) for block in model.blocks],
    )


def test_weights_are_those_that_the_network_mixes_by(model, scattered):
    psi, hamiltonian = model
    electrons, couplings = scattered(hamiltonian, 1)[0], hamiltonian.family.couplings(jnp.array([1.2]))
    weights = np.asarray(psi.routing(electrons, couplings))
    # An expert that is gone takes its share of the stream along: what is left is linear in the others.
    block, (x, embedding, rotations) = psi.blocks[0], psi._inputs(electrons, couplings)
    whole = block(x, embedding, rotations)
    for expert in range(4):
        without = eqx.tree_at(
            lambda b, e=expert: b.experts.experts_out, block, block.experts.experts_out.at[expert].set(0.0)
        )
        lost = np.asarray(whole - without(x, embedding, rotations))
        h = block.experts_norm(x + block.attention(block.attention_norm(x, embedding), rotations), embedding)
        into = np.asarray(h) @ np.asarray(block.experts.experts_in[expert])
        alone = 0.5 * into * (1 + into / np.sqrt(1 + into**2)) @ np.asarray(block.experts.experts_out[expert])
        np.testing.assert_allclose(lost, weights[0, :, expert, None] * alone, atol=1e-12)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-12)


def test_undecided_routers_use_all_experts_and_decided_ones_use_one(model, samples_of, scattered):
    psi, hamiltonian = model
    electrons, observable = scattered(hamiltonian, 8), Routing(hamiltonian)
    samples, _ = samples_of(observable, with_routers(psi, jnp.zeros_like), electrons, [1.2])
    np.testing.assert_allclose(samples["weight"], 1 / 4, rtol=1e-12)
    np.testing.assert_allclose(samples["used"], 4.0, rtol=1e-12)
    samples, _ = samples_of(observable, with_routers(psi, lambda w: 1e4 * w), electrons, [1.2])
    np.testing.assert_allclose(samples["used"], 1.0, atol=0.1)


def test_results_are_by_layer_and_expert(model, exactly, scattered):
    psi, hamiltonian = model
    results = exactly(Routing(hamiltonian), psi, scattered(hamiltonian, 8), [1.2])
    assert results["expert_weight"].value.shape == results["expert_weight"].error.shape == (2, 4)
    assert results["expert_weight"].dims == ("layer", "expert")
    assert np.all((results["experts_used"].value > 1) & (results["experts_used"].value < 4))


def test_other_ansaetze_have_none(tiny, generic, samples_of, scattered):
    psi, hamiltonian = generic(tiny("ansatz=psiformer"))
    observable = Routing(hamiltonian)
    samples, _ = samples_of(observable, psi, scattered(hamiltonian, 4), [1.2])
    assert samples == observable.results({}, hamiltonian.family.couplings(jnp.array([1.2]))) == {}


def test_means_are_over_electrons_and_entropies_are_of_each(model, samples_of, scattered):
    psi, hamiltonian = model
    electrons, couplings = scattered(hamiltonian, 4), hamiltonian.family.couplings(jnp.array([1.2]))
    samples, _ = samples_of(Routing(hamiltonian), psi, electrons, [1.2])
    weights = np.asarray(jax.jit(jax.vmap(lambda r: psi.routing(r, couplings)))(electrons))
    assert weights.shape == (4, 2, 3, 4)  # walker, layer, electron, expert
    np.testing.assert_allclose(samples["weight"], weights.mean(axis=2), rtol=1e-6)
    entropy = -np.sum(weights * np.log(weights), axis=-1)
    np.testing.assert_allclose(samples["used"], np.exp(entropy).mean(axis=-1), rtol=1e-6)

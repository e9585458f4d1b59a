"""What every ansatz must obey, whatever its weights: statistics, boundary conditions, conditioning."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.hamiltonian import make_hamiltonian
from qernel.wavefunction import count_parameters, make_wavefunction


@eqx.filter_jit
def evaluate(model, electrons, couplings):
    return jax.vmap(lambda r: model(r, couplings))(electrons)


def log_psi(ansatz, electrons, model=None, couplings=None):
    return evaluate(model or ansatz.model, jnp.asarray(electrons), couplings or ansatz.couplings)


def ratio(after, before):
    """psi(after) / psi(before)."""
    return np.exp(np.asarray(after.log_abs - before.log_abs) + 1j * np.asarray(after.phase - before.phase))


def exchanged(electrons, i, j):
    order = np.arange(electrons.shape[1])
    order[[i, j]] = j, i
    return electrons[:, order]


def test_exchange_of_equal_spins_changes_the_sign(ansatz):
    before = log_psi(ansatz, ansatz.electrons)
    up, down = ansatz.config.system.electrons
    pairs = [(i, j) for i in range(up + down) for j in range(i) if (i < up) == (j < up)]
    for i, j in pairs:
        after = log_psi(ansatz, exchanged(ansatz.electrons, i, j))
        np.testing.assert_allclose(ratio(after, before), -1.0, rtol=0, atol=1e-9)


def test_exchange_of_opposite_spins_is_no_symmetry(ansatz):
    if not ansatz.config.system.electrons[1]:
        pytest.skip("polarized")
    before, after = log_psi(ansatz, ansatz.electrons), log_psi(ansatz, exchanged(ansatz.electrons, 0, 2))
    assert np.all(abs(abs(ratio(after, before)) - 1) > 1e-3)


@pytest.mark.parametrize("labels", [(1, 0), (0, 1), (2, -3)])
def test_supercell_translation_of_one_electron_gives_the_bloch_phase(ansatz, labels):
    before = log_psi(ansatz, ansatz.electrons)
    system = ansatz.config.system
    expected = np.exp(2j * np.pi * np.dot([system.twist_1, system.twist_2], labels))
    for electron in (0, 2):
        shift = np.zeros(ansatz.electrons.shape[1:])
        shift[electron] = np.array(labels) @ ansatz.hamiltonian.supercell.vectors
        after = log_psi(ansatz, ansatz.electrons + shift)
        np.testing.assert_allclose(ratio(after, before), expected, rtol=0, atol=1e-9)


def test_moire_translation_of_one_electron_is_no_symmetry(ansatz):
    moved = ansatz.electrons.at[:, 0, 0].add(1.0)
    after, before = log_psi(ansatz, moved), log_psi(ansatz, ansatz.electrons)
    assert np.all(abs(abs(ratio(after, before)) - 1) > 1e-3)


def test_real_ansatz_is_real_and_complex_ansatz_is_complex(ansatz):
    imaginary = np.sin(np.asarray(log_psi(ansatz, ansatz.electrons).phase))
    if ansatz.config.model.real:
        np.testing.assert_allclose(imaginary, 0, atol=1e-12)
    else:
        assert np.all(abs(imaginary) > 1e-3)


def films(model):
    """Where the model's FiLM weights are."""
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(model, eqx.is_array))
    return [path for path, _ in leaves if "film" in jax.tree_util.keystr(path)]


def without(model, path):
    return jax.tree_util.tree_map_with_path(
        lambda p, x: jnp.zeros_like(x) if p == path else x, model, is_leaf=eqx.is_array
    )


def test_context_reaches_every_block(ansatz):
    paths = films(ansatz.model)
    assert bool(paths) == ansatz.config.model.conditioned
    expected = {"qernel": 3, "psiformer": 2, "slaternet": 1}.get(ansatz.config.model.ansatz)
    assert len(paths) in (0, expected or len(paths))
    full = log_psi(ansatz, ansatz.electrons).log_abs
    for path in paths:
        cut = log_psi(ansatz, ansatz.electrons, model=without(ansatz.model, path)).log_abs
        assert np.all(abs(full - cut) > 1e-6), jax.tree_util.keystr(path)


def test_network_sees_the_context_only_if_conditioned(ansatz):
    # The couplings themselves stay: the Jastrow factor knows u, conditioned or not.
    moved = eqx.tree_at(lambda c: c.coordinates, ansatz.couplings, ansatz.couplings.coordinates + 0.3)
    here, there = log_psi(ansatz, ansatz.electrons), log_psi(ansatz, ansatz.electrons, couplings=moved)
    if ansatz.config.model.conditioned:
        assert np.all(abs(ratio(there, here) - 1) > 1e-4)
    else:
        np.testing.assert_array_equal(here.log_abs, there.log_abs)


def test_orbitals_of_slaternet_know_one_electron_each(tiny, generic, scattered):
    model, hamiltonian = generic(tiny("ansatz=slaternet", "jastrow=false"))
    couplings = hamiltonian.family.couplings(jnp.array([1.2]))

    def orbitals(electrons):
        x = model.embed(model.features(electrons))
        for layer in model.layers:
            x = layer(x, model.context(couplings.coordinates))
        return jnp.abs(model.orbitals(x, electrons, couplings))

    jacobian = jax.jit(jax.jacrev(orbitals))(scattered(hamiltonian, 1)[0])
    size = np.abs(np.asarray(jacobian)).max(axis=(0, 2, 4))  # (orbital's electron, moved electron)
    np.testing.assert_array_equal(size[~np.eye(3, dtype=bool)], 0.0)
    assert np.all(np.diag(size) > 1e-3)


def test_qernel_stream_is_permutation_equivariant_and_correlated(tiny, generic, scattered):
    model, hamiltonian = generic(tiny("electrons=[3,0]"))
    couplings = hamiltonian.family.couplings(jnp.array([0.8]))
    stream = jax.jit(lambda r: model.stream(r, couplings))
    electrons = scattered(hamiltonian, 1)[0]
    order = np.array([2, 0, 1])
    before = np.asarray(stream(electrons))
    np.testing.assert_allclose(stream(electrons[order]), before[order], rtol=0, atol=1e-12)
    moved = stream(electrons.at[2].add(0.4))
    assert np.all(abs(np.asarray(moved) - before)[:2].max(axis=1) > 1e-3)  # electrons see one another


@pytest.mark.parametrize(("size", "weights"), [(64, 99_840 + 320), (128, 396_288 + 640)])
@pytest.mark.parametrize("electrons", [6, 18])
def test_psiformer_has_the_published_number_of_parameters(tiny, size, weights, electrons):
    config = tiny(
        "ansatz=psiformer", f"size={size}", "layers=4", "heads=4", "determinants=4", "orbitals=free",
        "moire_features=false", "jastrow=false", "conditioned=false",
        f"electrons=[{electrons},0]", f"cells={3 * electrons // 2}",
    )  # fmt: skip
    counts = count_parameters(make_wavefunction(config, make_hamiltonian(config), jax.random.key(0)))
    assert sum(counts.values()) == weights + 8 * size * electrons  # 4 determinants, 2 parts

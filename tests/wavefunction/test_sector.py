"""Wavefunctions of one exact total momentum, whatever their weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.config import UserError
from qernel.hamiltonian.bands import bloch_orbitals, filled_band_energy
from qernel.lattice import MOIRE_VECTORS
from qernel.wavefunction.attention import Rotations, rotate, rotations_of

TWIST = np.array([0.2, -0.1])


def log_psi(model, hamiltonian, electrons):
    couplings = hamiltonian.family.couplings(jnp.array([1.2]))
    found = jax.jit(jax.vmap(lambda r: model(r, couplings)))(jnp.asarray(electrons))
    return np.asarray(found.log_abs) + 1j * np.asarray(found.phase)


CASES = [
    ("cells=3", "sector=lowest"),
    ("cells=4", "sector=[1,0]"),
    ("cells=4", "sector=[-1,3]", "electrons=[3,0]"),
    ("cells=9", "sector=[1,1]", "electrons=[6,0]", "twist_1=0.0", "twist_2=0.0", "determinants=3"),
    ("cells=3", "sector=[0,0]", "electrons=[1,2]", "layers=2", "groups=2", "jastrow=false"),
]


@pytest.mark.parametrize("case", CASES)
def test_common_moire_translation_multiplies_by_the_momentum(case, tiny, generic, scattered):
    config = tiny(*case)
    model, hamiltonian = generic(config)
    cell, electrons = hamiltonian.supercell, scattered(hamiltonian, 4)
    label = np.sum(model.orbitals.momenta[0], axis=0)
    if config.model.sector != "lowest":
        # the one that was asked for, up to moiré reciprocal vectors
        steps = (label - np.array(config.model.sector)) @ cell.reciprocal @ MOIRE_VECTORS.T / (2 * np.pi)
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    twist = np.array([config.system.twist_1, config.system.twist_2])
    momentum = (label + 3 * twist) @ cell.reciprocal
    before = log_psi(model, hamiltonian, electrons)
    for shift in (MOIRE_VECTORS[0], MOIRE_VECTORS[1], -MOIRE_VECTORS[0] + 3 * MOIRE_VECTORS[1]):
        ratio = np.exp(log_psi(model, hamiltonian, electrons + shift) - before)
        np.testing.assert_allclose(ratio, np.exp(1j * momentum @ shift), atol=1e-9)
        alone = np.exp(log_psi(model, hamiltonian, electrons.at[:, 0].add(shift)) - before)
        assert np.all(abs(abs(alone) - 1) > 1e-4)  # a symmetry of all electrons together only


def test_other_common_translations_are_no_symmetry(tiny, generic, scattered):
    model, hamiltonian = generic(tiny("sector=lowest"))
    electrons = scattered(hamiltonian, 4)
    change = log_psi(model, hamiltonian, electrons + np.array([0.3, 0.0]))
    change = change - log_psi(model, hamiltonian, electrons)
    assert np.all(abs(change.real) > 1e-4)


def test_free_sector_mixes_momenta(tiny, generic, scattered):
    model, hamiltonian = generic(tiny("sector=free"))
    electrons = scattered(hamiltonian, 4)
    change = log_psi(model, hamiltonian, electrons + MOIRE_VECTORS[0]) - log_psi(
        model, hamiltonian, electrons
    )
    assert np.all(abs(change.real) > 1e-4)


def test_a_crystal_keeps_the_translations_of_its_order_alone(tiny, generic, scattered):
    config = tiny("electrons=[6,0]", "cells=9", "orbitals=crystal")
    assert config.model.sector == "order"
    model, hamiltonian = generic(config)
    electrons = scattered(hamiltonian, 4)
    before = log_psi(model, hamiltonian, electrons)
    momentum = np.sum(model.orbitals.momenta[0] + TWIST, axis=0) @ hamiltonian.supercell.reciprocal
    for steps in ([1, -1], [2, 1], [1, 2]):
        shift = np.array(steps) @ MOIRE_VECTORS
        ratio = np.exp(log_psi(model, hamiltonian, electrons + shift) - before)
        np.testing.assert_allclose(ratio, np.exp(1j * momentum @ shift), atol=1e-9)
    change = log_psi(model, hamiltonian, electrons + MOIRE_VECTORS[0]) - before
    assert np.all(abs(change.real) > 1e-4)


@pytest.mark.parametrize(
    "overrides", [("electrons=[5,0]", "cells=9"), ("electrons=[6,0]", "cells=9", "sector=lowest")]
)
def test_a_crystal_that_cannot_be_is_refused(tiny, overrides):
    with pytest.raises(UserError, match="crystal"):
        tiny(*overrides, "orbitals=crystal")


def test_lowest_sector_is_that_of_filled_bands(tiny, generic):
    model, hamiltonian = generic(tiny("cells=4", "sector=lowest"))
    couplings = hamiltonian.family.couplings(hamiltonian.family.middle())
    moire, phase = float(couplings.moire), float(couplings.phase)
    bloch = bloch_orbitals(hamiltonian.supercell, moire, phase, TWIST)
    energies = [
        min(
            energy
            for momentum, energy in zip(bloch.momenta, bloch.energies, strict=True)
            if tuple(momentum) == label
        )
        for label in model.orbitals.momenta[0]
    ]
    # Distinct momenta within either spin: the filled states are the lowest of each.
    filled = filled_band_energy(hamiltonian.supercell, (2, 1), moire, phase, TWIST)
    assert sum(energies) == pytest.approx(filled, rel=1e-9)


def test_rotation_turns_complex_channels():
    random = np.random.default_rng(0)
    x, electrons = random.normal(size=(3, 2, 6)), random.normal(size=(3, 2))
    waves = random.normal(size=(4, 2))
    turned = np.asarray(rotate(jnp.asarray(x), rotations_of(jnp.asarray(electrons), waves, 6)))
    phases = np.exp(1j * electrons @ waves[:3].T)[:, None]
    expected = (x[..., :3] + 1j * x[..., 3:]) * phases
    np.testing.assert_allclose(turned[..., :3] + 1j * turned[..., 3:], expected, atol=1e-12)


def test_waves_are_taken_in_turn():
    electrons, waves = np.array([[0.3, 0.4]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    rotations = rotations_of(jnp.asarray(electrons), waves, 6)
    np.testing.assert_allclose(rotations.cos, np.cos([[0.3, 0.4, 0.3]]), rtol=1e-12)


def test_attention_sees_displacements_only(tiny, generic):
    """With rotations it is blind to a common angle, and not to the angles' differences."""
    model, _ = generic(tiny("electrons=[3,0]"))
    attention = model.blocks[0].attention
    random = np.random.default_rng(1)
    x, angles = jnp.asarray(random.normal(size=(3, 8))), random.normal(size=(3, 2))

    def attend(angles):
        return np.asarray(attention(x, Rotations(jnp.asarray(np.cos(angles)), jnp.asarray(np.sin(angles)))))

    np.testing.assert_allclose(attend(angles + np.array([0.7, -0.2])), attend(angles), atol=1e-12)
    np.testing.assert_allclose(attend(0 * angles), attention(x), atol=1e-12)
    assert np.all(abs(attend(angles) - attend(angles * [[1], [1], [2]])).max(axis=1) > 1e-4)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ansatz=psiformer", "sector = 'free' is the only one"),
        ("orbitals=free", "sector = 'free' is the only one"),
        ("moire_features=false", "leaves no features"),
        ("head_size=3", "even head_size"),
        ("sector=highest", "sector"),
    ],
)
def test_impossible_sectors_are_errors(override, message, tiny):
    with pytest.raises(UserError, match=message):
        tiny("sector=lowest", override)


@pytest.mark.parametrize(
    ("overrides", "sector"),
    [
        ((), "lowest"),
        (("ansatz=psiformer",), "free"),
        (("orbitals=free",), "free"),
        (("moire_features=false",), "free"),
        (("sector=[1,0]",), (1, 0)),
    ],
)
def test_default_sector_is_fixed_where_it_can_be(overrides, sector, tiny):
    assert tiny(*overrides).model.sector == sector

"""The sampler against densities whose moments are known, and its walkers' start."""

import dataclasses
import itertools
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qernel.sampling
from qernel.batching import walker_mesh
from qernel.hamiltonian import make_hamiltonian
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.lattice import MOIRE_HARMONICS, MOIRE_VECTORS, Supercell, supercell_of
from qernel.sampling import (
    Walkers,
    crystal_walkers,
    exchange,
    initial_walkers,
    langevin,
    make_sampling,
    tune,
    wrap,
)
from qernel.wavefunction import make_wavefunction
from qernel.wavefunction.base import LogPsi, Wavefunction

CELL = Supercell(((2, 0), (1, 2)))


class Product(Wavefunction):
    """psi = prod_i (1 + a cos B1.r_i) with a = 0.9, so |psi|^2 ~ 1 + 2 a cos + a^2 cos^2."""

    amplitude: ClassVar[float] = 0.9

    def __call__(self, electrons, couplings):
        angles = electrons @ jnp.asarray(CELL.reciprocal[0])
        return LogPsi(jnp.sum(jnp.log(1 + self.amplitude * jnp.cos(angles))), jnp.zeros(()))


def start(contexts=1, walkers=400, width=0.4):
    made = initial_walkers(jax.random.key(0), CELL, 2, contexts, walkers, jnp.float64)
    return Walkers(made.electrons, jnp.full(contexts, width))


@pytest.fixture(scope="module")
def couplings(tiny):
    return couplings_of(make_hamiltonian(tiny("cells=4")), jnp.array([[1.0], [1.5]]), jnp.float64)


@pytest.fixture(scope="module")
def move(couplings):
    """Twenty moves of as many contexts as there are walkers for."""

    @eqx.filter_jit
    def moved(walkers, key):
        here = jax.tree.map(lambda x: x[: walkers.width.shape[0]], couplings)
        mesh = walker_mesh(walkers.electrons.shape[1])
        walkers, _, acceptance = langevin(Product(), walkers, here, key, 20, CELL, mesh, 100)
        return walkers, acceptance

    return moved


def test_samples_the_squared_wavefunction(move):
    walkers, averages = start(), []
    for step in range(120):
        walkers, acceptance = move(walkers, jax.random.key(step))
        fractions = np.asarray(walkers.electrons[0]) @ CELL.reciprocal.T
        assert 0.1 < float(acceptance[0]) < 0.9
        if step >= 20:
            one, two = fractions[..., 0], fractions[..., 1]
            moments = [np.cos(one), np.cos(2 * one), np.cos(3 * one), np.sin(one), np.cos(two)]
            averages.append(np.mean(moments, axis=-1).T)  # (walker, moment)
    means = np.mean(averages, axis=0)
    error = means.std(axis=0, ddof=1) / math.sqrt(len(means))
    a = Product.amplitude
    # 1 + a^2/2 + 2 a cos + (a^2 / 2) cos 2: half of each coefficient over the constant
    expected = np.array([a, a**2 / 4, 0.0, 0.0, 0.0]) / (1 + a**2 / 2)
    assert np.all(error < 0.004)
    assert np.all(abs(means.mean(axis=0) - expected) < 4 * error)


class ByDepth(Wavefunction):
    """The same with the amplitude (0.2 at depth 1) in proportion to the moiré depth."""

    moire: float = eqx.field(static=True)  # the coupling at depth 1

    def __call__(self, electrons, couplings):
        angles = electrons @ jnp.asarray(CELL.reciprocal[0])
        amplitude = 0.2 * couplings.moire / self.moire
        return LogPsi(jnp.sum(jnp.log(1 + amplitude * jnp.cos(angles))), jnp.zeros(()))


def exact_samples(amplitude, walkers, random):
    """Two electrons a walker, drawn from the squared wavefunction by rejection."""
    fractions = random.uniform(size=(40 * walkers, 2))
    height = ((1 + amplitude * np.cos(2 * math.pi * fractions[:, 0])) / (1 + amplitude)) ** 2
    kept = fractions[random.uniform(size=len(height)) < height][: 2 * walkers]
    return kept.reshape(walkers, 2, 2) @ CELL.vectors


@pytest.fixture(scope="module")
def exchanged(tiny):
    """Walkers of four contexts, drawn exactly, before and after one exchange; and their amplitudes."""
    depths, order, walkers = np.array([1.0, 4.5, 2.0, 3.0]), jnp.array([0, 2, 3, 1]), 20000
    couplings = couplings_of(make_hamiltonian(tiny("cells=4")), jnp.asarray(depths)[:, None], jnp.float64)
    random = np.random.default_rng(0)
    drawn = np.stack([exact_samples(0.2 * depth, walkers, random) for depth in depths])
    before = Walkers(jnp.asarray(drawn), jnp.full(4, 0.3))
    model = ByDepth(float(couplings.moire[0]))
    log_abs = jax.vmap(jax.vmap(lambda r, c: model(r, c).log_abs, (0, None)))
    present, mesh = log_abs(before.electrons, couplings), walker_mesh(walkers)
    after = exchange(model, before, present, couplings, order, jax.random.key(0), mesh, 1000)
    return np.asarray(before.electrons), np.asarray(after.electrons), 0.2 * depths


def test_exchange_leaves_every_context_its_distribution(exchanged):
    before, after, amplitudes = exchanged
    moved = np.any(before != after, axis=(2, 3)).mean(axis=1)
    assert np.sum((moved > 0.2) & (moved < 0.95)) >= 2  # pairs that changed places, not all of them
    for electrons, a in zip(after, amplitudes, strict=True):
        values = np.cos(electrons @ CELL.reciprocal[0]).ravel()
        expected = a / (1 + a**2 / 2)
        assert np.mean(values) == pytest.approx(expected, abs=4 * values.std() / math.sqrt(len(values)))


def test_exchange_loses_no_walker_and_pairs_neighbours(exchanged):
    before, after, _ = exchanged
    by_value = [np.sort(each[:, :, 0, 0], axis=0) for each in (before, after)]
    np.testing.assert_array_equal(*by_value)
    neighbours = {(0, 2), (2, 3), (3, 1)}
    for a, b in itertools.combinations(range(4), 2):
        swapped = np.any(np.all(after[a] == before[b], axis=(1, 2)))
        assert not swapped or (a, b) in neighbours or (b, a) in neighbours


@pytest.mark.parametrize(("sectors", "crosses"), [([0, 0, 0, 0], True), ([0, 0, 1, 1], False)])
def test_walkers_of_different_sectors_do_not_change_places(tiny, sectors, crosses):
    depths, walkers = jnp.array([[1.0], [1.1], [1.0], [1.1]]), 64
    couplings = couplings_of(make_hamiltonian(tiny("cells=4")), depths, jnp.float64)
    couplings = dataclasses.replace(couplings, sector=jnp.asarray(sectors, jnp.float64))
    drawn = np.stack([exact_samples(0.2, walkers, np.random.default_rng(seed)) for seed in range(4)])
    model, before = ByDepth(float(couplings.moire[0])), Walkers(jnp.asarray(drawn), jnp.full(4, 0.3))
    log_abs = jax.vmap(jax.vmap(lambda r, c: model(r, c).log_abs, (0, None)))
    present, mesh, met = log_abs(before.electrons, couplings), walker_mesh(walkers), set()
    for seed in range(6):
        key = jax.random.key(seed)
        after = exchange(model, before, present, couplings, jnp.arange(4), key, mesh, 1000)
        for a, b in itertools.combinations(range(4), 2):
            if np.any(np.all(np.asarray(after.electrons[a]) == drawn[b], axis=(1, 2))):
                met.add((a, b))
    assert met == {(0, 1), (2, 3)} | ({(1, 2)} if crosses else set())


def test_moves_tell_log_psi_where_walkers_end(couplings):
    walkers, here = start(walkers=50), jax.tree.map(lambda x: x[:1], couplings)
    arguments = here, jax.random.key(3), 5, CELL, walker_mesh(50), 20
    moved, log_abs, _ = langevin(Product(), walkers, *arguments)
    expected = [Product()(r, None).log_abs for r in moved.electrons[0]]
    np.testing.assert_allclose(log_abs[0], expected, rtol=1e-12)


@pytest.mark.parametrize("value", [-jnp.inf, jnp.nan])
def test_walkers_leave_places_where_psi_vanishes(couplings, value):
    class Hollow(Product):
        def __call__(self, electrons, couplings):
            log_abs, phase = super().__call__(electrons, couplings)
            inside = jnp.linalg.norm(electrons[0] - electrons[1]) < 1e-3
            return LogPsi(jnp.where(inside, value * electrons[0, 0], log_abs), phase)

    walkers = start(walkers=8)
    stuck = eqx.tree_at(
        lambda w: w.electrons, walkers, walkers.electrons.at[0, 3, 1].set(walkers.electrons[0, 3, 0])
    )
    here = jax.tree.map(lambda x: x[:1], couplings)
    moved, log_abs, _ = langevin(Hollow(), stuck, here, jax.random.key(3), 3, CELL, walker_mesh(8), 8)
    assert np.all(np.isfinite(log_abs))
    assert np.all(np.linalg.norm(moved.electrons[0, :, 0] - moved.electrons[0, :, 1], axis=-1) > 1e-3)


def test_contexts_are_independent_chains(move):
    walkers = start(contexts=2, walkers=8)
    together, _ = move(walkers, jax.random.key(1))
    other = eqx.tree_at(lambda w: w.electrons, walkers, walkers.electrons.at[1].add(0.3))
    changed, _ = move(other, jax.random.key(1))
    np.testing.assert_array_equal(together.electrons[0], changed.electrons[0])
    assert np.any(np.asarray(together.electrons[1]) != np.asarray(changed.electrons[1]))


@pytest.mark.parametrize("width", [0.01, 3.0])
def test_step_width_is_tuned_to_two_thirds_acceptance(move, width):
    walkers = start(width=width)
    for step in range(40):
        walkers, acceptance = move(walkers, jax.random.key(step))
        if step == 0:
            assert abs(float(acceptance[0]) - 0.65) > 0.1
        walkers = tune(walkers, acceptance, CELL)
    assert float(acceptance[0]) == pytest.approx(0.65, abs=0.05)


def test_tuning_widens_and_narrows():
    walkers = start(contexts=2, width=0.3)
    widths = np.asarray(tune(walkers, jnp.array([0.8, 0.2]), CELL).width)
    assert widths[0] > 0.3 > widths[1]
    np.testing.assert_array_equal(tune(walkers, jnp.array([0.65, 0.65]), CELL).width, walkers.width)


def test_wrapping_moves_by_supercell_vectors_into_one_cell():
    positions = np.random.default_rng(0).normal(scale=9.0, size=(100, 2))
    wrapped = np.asarray(wrap(jnp.asarray(positions), CELL))
    fractions = wrapped @ CELL.reciprocal.T / (2 * np.pi)
    assert np.all((fractions >= -1e-12) & (fractions < 1 + 1e-12))
    shifts = (wrapped - positions) @ CELL.reciprocal.T / (2 * np.pi)
    np.testing.assert_allclose(shifts, np.rint(shifts), atol=1e-9)


def sites_of(cell, electrons, monkeypatch, walkers=600):
    """Which lattice site each electron starts on, without the smearing, (walker, electron)."""
    monkeypatch.setattr(
        qernel.sampling.jax.random, "normal", lambda key, shape, dtype: jnp.zeros(shape, dtype)
    )
    made = initial_walkers(jax.random.key(3), cell, electrons, 1, walkers, jnp.float64)
    labels = np.asarray(made.electrons[0]) @ np.linalg.inv(MOIRE_VECTORS)
    np.testing.assert_allclose(labels, np.rint(labels), atol=1e-9)
    fractions = np.rint(labels @ np.linalg.inv(np.array(cell.matrix)) * cell.cells).astype(int) % cell.cells
    _, sites = np.unique(fractions.reshape(-1, 2), axis=0, return_inverse=True)
    return sites.reshape(labels.shape[:2])


@pytest.mark.parametrize("cells", [3, 4, 9])
def test_walkers_start_on_distinct_sites_and_use_all_of_them(cells, monkeypatch):
    sites = sites_of(supercell_of(cells), 3, monkeypatch)
    assert all(len(set(row)) == 3 for row in sites.tolist())
    counts = np.bincount(sites.ravel(), minlength=cells)
    assert len(counts) == cells
    expected = sites.size / cells
    assert np.all(abs(counts - expected) <= 5 * math.sqrt(expected))


def test_sites_are_used_evenly_where_electrons_outnumber_them(monkeypatch):
    sites = sites_of(supercell_of(3), 5, monkeypatch)
    counts = np.array([np.bincount(row, minlength=3) for row in sites])
    assert np.all(np.sort(counts, axis=1) == [1, 2, 2])


def test_smearing_stays_within_about_one_moire_cell():
    cell = supercell_of(9)
    made = initial_walkers(jax.random.key(3), cell, 6, 2, 50, jnp.float32)
    assert made.electrons.shape == (2, 50, 6, 2)
    assert made.electrons.dtype == made.width.dtype == jnp.float32
    positions = np.asarray(made.electrons, float)
    labels = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 2, indexing="ij"), -1).reshape(-1, 2)
    lattice = labels @ MOIRE_VECTORS
    distance = np.linalg.norm(positions[..., None, :] - lattice, axis=-1).min(axis=-1)
    assert 0.2 < distance.mean() < 0.4


def test_hartree_fock_energy_of_the_electron_gas(tiny):
    """One determinant of plane waves, 7 polarized electrons, closed shell:
    kinetic 0.888392 / rs^2 and Coulomb -0.898989 / rs Hartree per electron (triangular cell)."""
    config = tiny(
        "electrons=[7,0]", "cells=9", "moire_depth=0.0", "contexts={}", "twist_1=0.0", "twist_2=0.0",
        "jastrow=false", "determinants=1", "stages=[{steps=1}]",
    )  # fmt: skip
    hamiltonian = make_hamiltonian(config)
    model = make_wavefunction(config, hamiltonian, jax.random.key(0))
    model = eqx.tree_at(lambda m: m.orbitals.weight, model, replace_fn=jnp.zeros_like)
    couplings = couplings_of(hamiltonian, jnp.zeros((1, 0)), jnp.float64)
    cell, mesh = hamiltonian.supercell, walker_mesh(256)
    walkers = initial_walkers(jax.random.key(0), cell, 7, 1, 256, jnp.float64)

    @eqx.filter_jit
    def sample(walkers, key):
        walkers, _, _ = langevin(model, walkers, couplings, key, 4, cell, mesh, 64)
        one = jax.tree.map(lambda x: x[0], couplings)
        return walkers, jax.vmap(lambda r: hamiltonian.terms[1](r, one))(walkers.electrons[0])

    energies = []
    for step in range(40):
        walkers, coulomb = sample(walkers, jax.random.key(step))
        if step >= 10:
            energies.append(np.asarray(coulomb))
    means = np.mean(energies, axis=0) / 7
    error = means.std(ddof=1) / math.sqrt(len(means))
    radius = math.sqrt(cell.area / (7 * math.pi))  # r_s a_B in a_M
    expected = -0.898989 * float(couplings.coulomb[0]) / radius
    assert error < 0.01 * abs(expected)
    assert abs(means.mean() - expected) < 4 * error


def test_the_crystal_has_one_of_three_sites_empty():
    cell, electrons = supercell_of(27), 18
    assert cell.fits_crystal(electrons)
    made = crystal_walkers(jax.random.key(1), cell, electrons, 2, 50, jnp.float64)
    assert made.electrons.shape == (2, 50, 18, 2)
    corner = MOIRE_HARMONICS[0] / 3 - MOIRE_HARMONICS[1] / 3  # K: every sublattice has its own phase there
    phases = np.exp(1j * np.asarray(made.electrons) @ corner).sum(axis=-1)
    # Two of the three cube roots of one, nine times each, add up to 9, but for the Debye-Waller factor.
    damped = 9 * math.exp(-(0.1**2) * corner @ corner / 2)
    assert np.abs(phases).mean() == pytest.approx(damped, rel=0.05)
    empty = np.round(np.angle(-phases) / (2 * math.pi / 3)) % 3
    assert np.all(np.bincount(empty.astype(int).ravel(), minlength=3) > 15)
    sites = np.asarray(wrap(jnp.round(made.electrons @ np.linalg.inv(MOIRE_VECTORS)) @ MOIRE_VECTORS, cell))
    distinct = [len(np.unique(each.round(6), axis=0)) for each in sites.reshape(-1, 18, 2)]
    assert np.mean(distinct) > 17.8


@pytest.mark.parametrize(("cells", "electrons"), [(9, 5), (4, 2), (12, 9)])
def test_other_fillings_and_supercells_have_no_crystal(cells, electrons):
    assert not supercell_of(cells).fits_crystal(electrons)


def test_walkers_are_exchanged_between_neighbours_of_one_sector(tiny, generic, monkeypatch):
    model, hamiltonian = generic(tiny("sector=[[0,0],[1,0]]"))
    contexts = jnp.array([[1.3, 0.0], [0.7, 1.0], [0.6, 0.0], [1.9, 1.0]])  # depths and sectors

    def told(model, walkers, present, couplings, order, *rest):
        return Walkers(walkers.electrons, order.astype(float))

    def stay(model, walkers, *_):
        return walkers, jnp.zeros((4, 4)), jnp.ones(4)

    monkeypatch.setattr("qernel.sampling.exchange", told)
    monkeypatch.setattr("qernel.sampling.langevin", stay)
    walkers = initial_walkers(jax.random.key(0), hamiltonian.supercell, 3, 4, 4, jnp.float64)
    sampling = make_sampling(hamiltonian, walker_mesh(4), 1, jnp.float64, 4, exchanges=True)
    after, _ = sampling(model, walkers, contexts, jax.random.key(0))
    assert after.width.tolist() == [2, 0, 1, 3]

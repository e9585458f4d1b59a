"""Responses to every context parameter, by quadrature over one electron, against finite differences."""

import math
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.estimators.local_energy import local_energy
from qernel.estimators.response import ContextResponse
from qernel.lattice import Supercell, supercell_of
from qernel.wavefunction.base import LogPsi, Wavefunction

CONTEXTS = {
    "moire_depth": (0.5, 2.0),
    "moire_phase": (0.0, 90.0),
    "dielectric_constant": (4.0, 12.0),
    "effective_mass": (0.2, 0.6),
    "moire_constant": (5.0, 10.0),
    "twist_1": (-0.5, 0.5),
    "twist_2": (-0.5, 0.5),
}
POINT = np.array([1.2, 40.0, 5.0, 0.35, 8.0, 0.2, -0.1])
STEPS = 1e-4 * np.array([high - low for low, high in CONTEXTS.values()])
NAMES = list(CONTEXTS)


class Conditional(Wavefunction):
    """psi = e^{i t.r} sum_j (a_j + sum_p s_jp x_p) e^{i g_j.r} with scaled context x and twist t."""

    supercell: Supercell = eqx.field(static=True)

    def __call__(self, electrons, couplings):
        random = np.random.default_rng(4)
        labels = np.array([[0, 0], [1, 0], [0, -1], [1, 1], [-2, 1]])
        constant, slopes = random.normal(size=(2, 5)), 0.3 * random.normal(size=(2, 5, len(CONTEXTS)))
        real, imaginary = jnp.asarray(constant) + jnp.asarray(slopes) @ couplings.coordinates
        angles = jnp.asarray(labels @ self.supercell.reciprocal) @ electrons[0]
        x = jnp.sum(real * jnp.cos(angles) - imaginary * jnp.sin(angles))
        y = jnp.sum(real * jnp.sin(angles) + imaginary * jnp.cos(angles))
        turn = electrons[0] @ jnp.asarray(self.supercell.reciprocal.T) @ couplings.twist
        return LogPsi(0.5 * jnp.log(x**2 + y**2), jnp.arctan2(y, x) + turn)


@pytest.fixture(scope="module")
def electron(system, grid, exactly):
    """One electron in one cell, where the grid integrates everything exactly."""
    ranges = tuple((name, low, high) for name, (low, high) in CONTEXTS.items())
    hamiltonian = system(supercell_of(1), (1, 0), ranges)
    model = Conditional(hamiltonian.supercell)
    points = jnp.asarray(grid(hamiltonian.supercell, 12, (0.3, 0.1))[:, None])

    def one(r, couplings):
        local, (log_abs, phase) = local_energy(model, hamiltonian, r, couplings), model(r, couplings)
        turn = r[0] @ jnp.asarray(hamiltonian.supercell.reciprocal.T) @ couplings.twist
        return local, jnp.exp(jax.lax.complex(log_abs, phase - turn))  # the periodic part of psi

    @jax.jit
    def state(context):
        couplings = hamiltonian.family.couplings(context)
        local, psi = jax.vmap(lambda r: one(r, couplings))(points)
        unit = couplings.energy_unit
        return unit.astype(complex) * local.total, unit * local.components, psi

    def at(context):
        return [np.asarray(x) for x in state(jnp.asarray(context))]

    def energy(context):
        total, _, psi = at(context)
        return np.average(total, weights=abs(psi) ** 2)

    observable = ContextResponse(hamiltonian)
    found = exactly(observable, model, points, POINT, local=True)
    return SimpleNamespace(at=at, energy=energy, found=found, hamiltonian=hamiltonian)


def moved(index, steps):
    context = POINT.copy()
    context[index] += steps * STEPS[index]
    return context


def test_quadrature_is_exact(electron):
    assert abs(electron.energy(POINT).imag) < 1e-8


@pytest.mark.parametrize("name", NAMES)
def test_force_and_residual_make_up_the_derivative_of_the_energy(electron, name):
    index = NAMES.index(name)
    up, down = (electron.energy(moved(index, s)).real for s in (1, -1))
    slope = (up - down) / (2 * STEPS[index])
    force, residual = (float(electron.found[f"{part}_{name}"].value) for part in ("force", "residual"))
    assert force + residual == pytest.approx(slope, rel=1e-5, abs=1e-6 * abs(electron.energy(POINT)))
    assert abs(residual) > 1e-3 * abs(slope)  # no eigenstate


def test_forces_by_their_laws(electron):
    """H in meV scales as depth for the moiré term, 1/eps for the Coulomb term, 1/m a^2 for the kinetic."""
    _, components, psi = electron.at(POINT)
    kinetic, moire, coulomb = np.average(components, axis=0, weights=abs(psi) ** 2)
    depth, _, epsilon, mass, constant, *_ = POINT
    expected = {
        "moire_depth": moire / depth,
        "dielectric_constant": -coulomb / epsilon,
        "effective_mass": -kinetic / mass,
        "moire_constant": -(2 * kinetic + coulomb) / constant,
    }
    found = {name: float(electron.found[f"force_{name}"].value) for name in expected}
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_susceptibility_is_the_loss_of_fidelity(electron, name):
    """|<psi(c)|psi(c + d)>|^2 = 1 - chi_F d^2."""
    index = NAMES.index(name)
    one, other = (electron.at(moved(index, s))[2] for s in (-5, 5))
    norms = np.vdot(one, one).real * np.vdot(other, other).real
    loss = 1 - abs(np.vdot(one, other)) ** 2 / norms
    found = electron.found[f"susceptibility_{name}"].value
    assert loss > 1e-10
    assert found == pytest.approx(loss / (10 * STEPS[index]) ** 2, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_units(electron, name):
    unit = {"moire_phase": "degree", "effective_mass": "m_e", "moire_constant": "nm"}.get(name)
    for part in ("force", "residual"):
        assert electron.found[f"{part}_{name}"].units == (f"meV {unit}^-1" if unit else "meV")
    assert electron.found[f"susceptibility_{name}"].units == (f"{unit}^-2" if unit else "1")


def test_force_of_a_twist_is_the_current_of_plane_waves(system, plane_waves, scattered, samples_of):
    """d_t H = sum_i B.k_i: exact for every sample, and psi changes by nothing but its Bloch factor."""
    cell, ranges = Supercell(((2, 0), (0, 1))), (("twist_1", -0.5, 0.5), ("twist_2", -0.5, 0.5))
    hamiltonian = system(cell, (2, 1), ranges)
    labels = np.array([[0, 0], [1, -1], [2, 0]])
    model = plane_waves(hamiltonian, ((0, 0), (1, -1)), ((2, 0),))
    twist = np.array([0.2, -0.1])
    samples, _ = samples_of(ContextResponse(hamiltonian), model, scattered(hamiltonian, 5), twist, local=True)
    unit = float(hamiltonian.family.couplings(jnp.asarray(twist)).energy_unit)
    momentum = np.sum((labels + twist) @ cell.reciprocal, axis=0)
    for axis, name in enumerate(("twist_1", "twist_2")):
        expected = unit * momentum @ cell.reciprocal[axis] / 3
        np.testing.assert_allclose(samples[f"{name}_force"], expected, rtol=1e-9)
        np.testing.assert_allclose(samples[f"{name}_square"], 0, atol=1e-15)


def test_jackknife_of_results(system, accumulated):
    """Gaussian samples of known covariance: residual 2 Re Cov, susceptibility the variance, with errors."""
    hamiltonian = system(supercell_of(1), (1, 0), (("moire_depth", 0.5, 2.0),))
    random, steps, walkers = np.random.default_rng(0), 100, 64
    shape = (steps, walkers)
    score = random.normal(size=shape) + 0.5j * random.normal(size=shape) + (2 - 3j)
    energy = 0.3 * score + random.normal(size=shape) + 1j * random.normal(size=shape) + (50 + 4j)
    samples = {
        "energy_real": energy.real,
        "energy_imaginary": energy.imag,
        "moire_depth_force": 7.0 + random.normal(size=shape),
        "moire_depth_real": score.real,
        "moire_depth_imaginary": score.imag,
        "moire_depth_square": abs(score) ** 2,
        "moire_depth_product": np.real(energy.conj() * score),
    }
    couplings = hamiltonian.family.couplings(jnp.array([1.0]))
    found = ContextResponse(hamiltonian).results(accumulated(samples), couplings)
    unit, root = float(couplings.energy_unit), math.sqrt(steps * walkers)
    for name, exact, error in (
        ("force", 7.0, 1 / root),
        # Var of 2 Re(E* s) about the means: 4 (0.09 Var |s|^2 + |noise|^2 parts: 1 + 0.25)
        ("residual", unit * 0.6 * 1.25, unit * 2 * math.sqrt(0.09 * (2 + 2 / 16) + 1.25) / root),
        ("susceptibility", 1.25, math.sqrt(2 + 2 / 16) / root),
    ):
        result = found[f"{name}_moire_depth"]
        assert result.error == pytest.approx(error, rel=0.3)
        assert abs(result.value - exact) < 4 * error


def test_the_second_twist_alone_has_its_own_current(system, plane_waves, scattered, samples_of):
    cell = supercell_of(3)
    hamiltonian = system(cell, (1, 0), (("twist_2", -0.5, 0.5),))
    model = plane_waves(hamiltonian, ((1, 0),))
    samples, _ = samples_of(ContextResponse(hamiltonian), model, scattered(hamiltonian, 3), [0.2], local=True)
    # E = (k_n + twist.B)^2 / 2, of which the derivative is k.B_2.
    wave = np.array([1, 0.2]) @ cell.reciprocal
    unit = float(hamiltonian.family.couplings(jnp.array([0.2])).energy_unit)
    np.testing.assert_allclose(samples["twist_2_force"], unit * wave @ cell.reciprocal[1], rtol=1e-9)


def test_errors_of_a_susceptibility_allow_for_its_skewness(system, accumulated):
    """Of few independent samples of |score|^2, which are exponential, their scatter says too little."""
    hamiltonian = system(supercell_of(1), (1, 0), (("moire_depth", 0.5, 2.0),))
    couplings = hamiltonian.family.couplings(jnp.array([1.0]))
    random, ratios, zero = np.random.default_rng(0), [], np.zeros((2, 24))
    for _ in range(100):
        real, imaginary = np.repeat(random.normal(size=(2, 1, 24)), 2, axis=1) / math.sqrt(2)
        samples = dict.fromkeys(
            ("energy_real", "energy_imaginary", "moire_depth_force", "moire_depth_product"), zero
        )
        square = real**2 + imaginary**2
        samples |= {"moire_depth_real": real, "moire_depth_imaginary": imaginary}
        samples |= {"moire_depth_square": square}
        found = ContextResponse(hamiltonian).results(accumulated(samples), couplings)
        scatter = square[0].std(ddof=1) / math.sqrt(24)
        ratios.append(found["susceptibility_moire_depth"].error / scatter)
    student = 1 + (1.96**2 + 1) / 4 / 24  # all that symmetric samples need
    assert np.mean(ratios) > student + 0.05

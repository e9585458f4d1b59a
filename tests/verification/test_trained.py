"""Models of several sectors against exact energies: electrons without interaction, where both are known."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.branches import Branch
from qernel.config import load_config
from qernel.estimators.observable import Result
from qernel.hamiltonian import make_hamiltonian
from qernel.hamiltonian.bands import bloch_orbitals, filled_band_energy, lowest_fillings
from qernel.measurement import Effort
from qernel.training.loop import initial_state
from qernel.verification.exact import Exact, exact_energies_at
from qernel.verification.trained import _consistency, _ground_state, check_trained
from qernel.wavefunction.slater import BlochDeterminant

CORNER, GAMMA = (1, 0), (0, 0)
EFFORT = Effort(walkers=16, equilibration=5, samples=10)
FREE = ("dielectric_constant=1e9", "contexts={}", "precision=float64", "training.stages=[{steps=1}]")


def filled_bands(name, momentum):
    """The determinant of lowest energy of a total momentum, as a trained model; and its energy."""
    config = load_config("pair", FREE)
    hamiltonian = make_hamiltonian(config)
    couplings = hamiltonian.family.couplings(jnp.zeros(0))
    model = BlochDeterminant(hamiltonian.supercell, hamiltonian.spins, couplings, momentum)
    state = eqx.tree_at(lambda s: s.model, initial_state(config), model)
    bands = bloch_orbitals(
        hamiltonian.supercell, float(couplings.moire), float(couplings.phase), np.zeros(2), 7.01
    )
    filled = np.concatenate(next(lowest_fillings(bands, hamiltonian.supercell, hamiltonian.spins, momentum)))
    energy = bands.energies[filled].sum() * float(couplings.energy_unit) / hamiltonian.electrons
    return Branch(name, config, state), float(energy)


@pytest.fixture(scope="module")
def corner():
    return filled_bands("corner", CORNER)


@pytest.fixture(scope="module")
def gamma():
    return filled_bands("gamma", GAMMA)


@pytest.fixture(scope="module")
def exact(corner, gamma):
    energies = {CORNER: corner[1], GAMMA: gamma[1]}
    return Exact(energies, dict.fromkeys(energies, 1e-6), 0.0, 0.0, "bands")


def compare(candidates, exact):
    checks = check_trained("g", candidates, np.zeros((1, 0)), EFFORT, [exact], allowed=0.0)
    return {check.quantity: check for check in checks}


def test_lowest_of_several_is_the_ground_state_others_are_of_their_sectors(corner, gamma, exact):
    assert corner[1] < gamma[1] - 1
    checks = compare([gamma[0], corner[0]], exact)
    ground = checks["as trained (corner): energy"]
    other = checks["as trained (gamma): energy, lowest of momentum (0, 0)"]
    assert (ground.reference, other.reference) == (corner[1], gamma[1])
    assert ground.passed
    assert other.passed
    assert checks["as trained (corner): weight in the ground state's momentum sector"].passed
    assert "as trained (gamma): energy" not in checks


def test_wrong_sector_alone_is_caught(gamma, exact):
    checks = compare([gamma[0]], exact)
    energy, weight = (
        checks[f"as trained: {name}"] for name in ("energy", "weight in the ground state's momentum sector")
    )
    assert not energy.passed
    assert not weight.passed
    assert abs(weight.value) < 1e-6


def test_excited_state_of_a_sector_is_caught(corner, gamma, exact):
    lower = exact._replace(energies={CORNER: corner[1], GAMMA: gamma[1] - 0.1})
    checks = compare([corner[0], gamma[0]], lower)
    assert not checks["as trained (gamma): energy, lowest of momentum (0, 0)"].passed


def test_model_is_asked_only_where_it_was_trained(tiny):
    config = tiny("contexts.moire_depth=[0.5,1.0]")
    candidate = Branch("x", config, None)
    assert candidate.covers(np.array([0.5]))
    assert not candidate.covers(np.array([1.1]))


def result(value, error=1e-6, units="meV"):
    return Result(np.array(value), np.array(error), units, "")


@pytest.mark.parametrize(("residual", "passes"), [(0.19, True), (0.21, False)])
def test_residuals_are_bounded_by_what_is_allowed_over_the_range(tiny, residual, passes):
    hamiltonian = make_hamiltonian(tiny())  # depths of 0.5 to 2: 0.3 over 1.5
    found = {"residual_moire_depth": result(residual), "imaginary": result(0.0), "energy_r_hat": result(1.0)}
    check, *_ = _consistency("group", "place", hamiltonian, found, 0.3)
    assert check.passed is passes


def test_the_force_is_the_exact_moire_energy_over_the_depth(tiny):
    hamiltonian = make_hamiltonian(tiny())
    count = hamiltonian.supercell.cells
    known = Exact({(0, 0): -10.0}, {(0, 0): 1e-6}, -24.0, 1e-6, "a source")
    weights = Result(np.eye(count)[0], np.zeros(count), "1", "")
    found = {"energy": result(-10.0), "sector_weight": weights, "force_moire_depth": result(-20.0)}
    *_, force = _ground_state("group", "place", hamiltonian, found, np.array([1.2]), known, 0.1)
    assert force.reference == pytest.approx(-20.0)
    assert force.passed


def test_exact_energies_of_a_pair_are_per_electron():
    config = load_config("pair", FREE)
    hamiltonian = make_hamiltonian(config)
    couplings = hamiltonian.family.couplings(jnp.zeros(0))
    (found,) = exact_energies_at(hamiltonian, np.zeros((1, 0)), 100)
    bands = filled_band_energy(
        hamiltonian.supercell, hamiltonian.spins, float(couplings.moire), float(couplings.phase)
    )
    assert found.ground == pytest.approx(bands / 2 * float(couplings.energy_unit), rel=1e-4)

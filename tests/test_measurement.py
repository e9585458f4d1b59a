"""Measurements of eigenstates that are known exactly, and what a measurement promises."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.config import UserError
from qernel.dataset import sweep_dataset
from qernel.estimators import OBSERVABLES
from qernel.estimators.observable import Coordinate, Observable, Result
from qernel.hamiltonian import make_hamiltonian, moire_hamiltonian
from qernel.lattice import Supercell
from qernel.measurement import Effort, Measurement, make_observables
from qernel.sampling import Walkers, initial_walkers
from qernel.wavefunction import make_wavefunction

EVERYTHING = tuple(OBSERVABLES)
SHORT = Effort(walkers=8, equilibration=2, samples=4, moves=2)
TWISTS = np.array([[0.1], [-0.3], [0.25]])
FREE = (
    "moire_potential=0.0", "dielectric_constant=1e9", "contexts={twist_1=[-0.4,0.4]}", "twist_1=0.0",
    "jastrow=false", "determinants=1",
)  # fmt: skip


def walkers_of(hamiltonian, contexts, count=SHORT.walkers):
    return initial_walkers(
        jax.random.key(5), hamiltonian.supercell, hamiltonian.electrons, contexts, count, jnp.float64
    )


def measured(model, hamiltonian, contexts, effort, start=None):
    measurement = Measurement(hamiltonian, effort, jnp.float64, microbatch=8)
    start = start or walkers_of(hamiltonian, len(contexts), effort.walkers)
    return measurement(model, start, contexts, jax.random.key(effort.seed))


@pytest.fixture(scope="module")
def free(tiny):
    """Plane waves: the seeded orbitals without moiré potential, the network's part switched off."""
    config = tiny(*FREE)
    hamiltonian = make_hamiltonian(config)
    model = make_wavefunction(config, hamiltonian, jax.random.key(0))
    model = eqx.tree_at(lambda m: m.orbitals.weight, model, replace_fn=jnp.zeros_like)
    effort = SHORT._replace(observables=("momentum_sector", "spin", "response"))
    return model, hamiltonian, [each.results for each in measured(model, hamiltonian, TWISTS, effort)]


def test_eigenstates_have_their_exact_energy_at_every_context(free):
    model, hamiltonian, rows = free
    unit = float(hamiltonian.family.couplings(jnp.array([0.1])).energy_unit)
    for twist, row in zip(TWISTS[:, 0], rows, strict=True):
        labels = np.array(model.orbitals.momenta[0]) + np.array([twist, -0.1])
        momenta = labels @ hamiltonian.supercell.reciprocal
        exact = 0.5 * np.sum(momenta**2)
        assert row["energy"].value == pytest.approx(exact * unit / 3, rel=1e-7)
        assert row["kinetic"].value == pytest.approx(exact * unit / 3, rel=1e-7)
        assert row["energy"].error < 1e-6
        assert row["variance"].value == pytest.approx(0, abs=1e-9)
        assert row["v_score"].value == pytest.approx(0, abs=1e-9)
        assert abs(row["imaginary"].value) < 1e-6


def test_eigenstates_have_one_momentum_and_do_not_respond(free):
    *_, rows = free
    weights = np.array([row["sector_weight"].value for row in rows])
    np.testing.assert_allclose(np.sort(weights, axis=1), [[0, 0, 1]] * 3, atol=1e-9)
    assert np.all(weights.argmax(axis=1) == weights.argmax(axis=1)[0])
    for row in rows:
        assert row["residual_twist_1"].value == pytest.approx(0, abs=1e-6)
        assert row["susceptibility_twist_1"].value == pytest.approx(0, abs=1e-9)
        assert row["spin_squared"].value == pytest.approx(3 / 4, abs=1e-9)
    # dE/dt = B1.(3 t + sum n).B / 3 per electron is linear in the twist
    forces = [float(row["force_twist_1"].value) for row in rows]
    slopes = np.diff(forces) / np.diff(TWISTS[:, 0])
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-6)
    assert slopes[0] > 0


@pytest.fixture(scope="module")
def generic_case(tiny, generic):
    config = tiny()
    return config, *generic(config)


@pytest.fixture(scope="module")
def repeatedly(generic_case):
    """Measure generic weights at two contexts, always from the same start."""
    _, model, hamiltonian = generic_case
    effort = SHORT._replace(samples=20, observables=("momentum_distribution",))
    measurement = Measurement(hamiltonian, effort, jnp.float64, microbatch=8)
    start = walkers_of(hamiltonian, 2)

    def measure(contexts, key=1, width=0.2):
        walkers = Walkers(start.electrons, jnp.full(2, width))
        return measurement(model, walkers, np.array(contexts)[:, None], jax.random.key(key))

    return measure


def test_reproducible_from_the_key(repeatedly):
    one, same, other = (repeatedly((0.7, 1.6), key) for key in (1, 1, 2))
    for a, b, c in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(a.electrons, b.electrons)
        for name in ("energy", "momentum_distribution"):
            np.testing.assert_array_equal(a.results[name].value, b.results[name].value)
            assert np.all(a.results[name].value != c.results[name].value)


def test_local_energies_are_checked_once_for_every_compiled_function(tiny, generic, monkeypatch):
    checked = []
    monkeypatch.setattr("qernel.measurement.is_trusted", lambda: False)
    monkeypatch.setattr("qernel.measurement.check_local_energies", lambda model, *_: checked.append(model))
    hamiltonian = make_hamiltonian(tiny())
    measurement = Measurement(hamiltonian, SHORT._replace(observables=()), jnp.float64, microbatch=8)
    models = [generic(tiny(*more))[0] for more in ((), ("experts=1",))]
    for model, contexts in itertools.product(models, (1, 1, 2)):
        points = np.linspace(0.7, 1.6, contexts)[:, None]
        measurement(model, walkers_of(hamiltonian, contexts), points, jax.random.key(1))
    assert checked == [models[0], models[0], models[1], models[1]]


def test_a_context_does_not_know_of_the_others(repeatedly):
    first, second = (repeatedly((0.7, other)) for other in (1.6, 1.9))
    assert first[0].results["energy"].value == second[0].results["energy"].value
    assert first[0].results["acceptance"].value == second[0].results["acceptance"].value
    assert first[1].results["energy"].value != second[1].results["energy"].value


def test_step_width_is_not_tuned_while_measuring(repeatedly):
    # Twenty adjustments would widen steps of 0.001 a hundredfold.
    assert repeatedly((0.7, 1.6), width=1e-3)[0].results["acceptance"].value > 0.97
    assert repeatedly((0.7, 1.6), width=0.1)[0].results["acceptance"].value < 0.97


def test_everything_is_named_with_its_unit_and_axes(generic_case):
    config, model, hamiltonian = generic_case
    effort = SHORT._replace(observables=EVERYTHING)
    contexts = np.array([[0.7], [1.6]])
    rows = [each.results for each in measured(model, hamiltonian, contexts, effort)]
    coordinates = {}
    for name, observable in make_observables(hamiltonian, EVERYTHING).items():
        assert name in EVERYTHING
        coordinates |= observable.coordinates()
    data = sweep_dataset(config, {"moire_depth": [0.7, 1.6]}, contexts, rows, coordinates, effort, 3)
    expected = ["density", "pair_correlation", "structure_factor", "momentum_distribution"]
    expected += ["sector_weight", "c3_weight", "spin_squared", "force_moire_depth", "v_score"]
    assert set(expected) <= set(data)
    for name, variable in data.variables.items():
        assert variable.attrs["units"], name
        assert variable.attrs["long_name"], name
        # Only what a coordinate explains may be an axis, or what is but numbered.
        for dim in variable.dims:
            explained = any(dim in data[c].dims for c in data.coords if c != name or variable.ndim == 1)
            assert explained or dim in ("natural_orbital", "layer", "expert"), (name, dim)
    for name in data:
        assert data[name].dims[0] == "moire_depth", name
        if f"{name}_error" in data:
            assert data[f"{name}_error"].dims == data[name].dims
            assert data[f"{name}_error"].attrs["units"] == data[name].attrs["units"]
            assert "standard error" in data[f"{name}_error"].attrs["long_name"]
    for name, result in rows[1].items():
        np.testing.assert_array_equal(data[name].values[1], result.value)
    np.testing.assert_allclose(data["sector_weight"].sum("sector"), 1, atol=1e-9)
    np.testing.assert_allclose(data["c3_weight"].sum("c3"), 1, atol=1e-9)


def test_two_swept_parameters_fill_the_right_places(tiny, generic_case):
    config = tiny("contexts.moire_depth=[0.5,2.0]", "contexts.twist_1=[-0.5,0.5]")
    grid = np.array([[d, t] for d in (0.6, 0.8, 1.0) for t in (0.0, 0.25)])
    rows = [
        {"place": Result(np.array([d, t]), np.array([0.1, 0.2]) * d, "1", "place", ("which",))}
        for d, t in grid
    ]
    coordinates = {"number": Coordinate(("which",), np.arange(2), "1", "which of the two")}
    over = {"twist_1": [0.0, 0.25], "moire_depth": [1.0, 0.6, 0.8]}
    data = sweep_dataset(config, over, grid, rows, coordinates, SHORT, 0)
    assert data["place"].dims == ("moire_depth", "twist_1", "which")
    for depth in (0.6, 0.8, 1.0):
        for twist in (0.0, 0.25):
            here = data.sel(moire_depth=depth, twist_1=twist)
            np.testing.assert_array_equal(here["place"], [depth, twist])
            np.testing.assert_allclose(here["place_error"], [0.1 * depth, 0.2 * depth])
    assert data["number"].attrs == {"units": "1", "long_name": "which of the two"}


def test_unknown_observable_is_one_line_with_a_suggestion(generic_case):
    *_, hamiltonian = generic_case
    with pytest.raises(UserError, match=r"^unknown observable 'densty'; did you mean 'density'\?$"):
        make_observables(hamiltonian, ["densty"])
    with pytest.raises(UserError, match="unknown observable 'x'; known: energy, density"):
        make_observables(hamiltonian, ["x"])


def test_two_observables_do_not_share_an_axis(generic_case, monkeypatch):
    *_, hamiltonian = generic_case

    class Twin(Observable):
        def coordinates(self):
            return {"distance": Coordinate(("distance",), np.arange(2), "a_M", "another distance")}

    monkeypatch.setitem(OBSERVABLES, "twin", Twin)
    assert "pair_correlation" in make_observables(hamiltonian, ["pair_correlation"])
    with pytest.raises(ValueError, match="observable 'twin': another has an axis distance"):
        make_observables(hamiltonian, ["pair_correlation", "twin"])


def test_two_observables_do_not_share_a_name(generic_case, monkeypatch):
    """Else one of them, or the swept parameter, would be lost from the file without a word."""
    _, model, hamiltonian = generic_case

    class Twin(Observable):
        name: str = eqx.field(static=True, default="kinetic")

        def sample(self, model, at):
            return {}

        def results(self, samples, couplings):
            return {self.name: Result(np.zeros(()), None, "1", "another of this name")}

    for name in ("kinetic", "samples", "moire_depth"):
        monkeypatch.setitem(OBSERVABLES, "twin", lambda h, name=name: Twin(h, name))
        with pytest.raises(ValueError, match=f"observable 'twin': a sweep has another {name}"):
            measured(model, hamiltonian, np.array([[1.0]]), SHORT._replace(observables=("twin",)))


def test_energy_comes_first_and_what_does_not_exist_is_left_out(generic_case):
    *_, hamiltonian = generic_case
    fixed = dataclasses.replace(hamiltonian.family, ranges=())
    rectangle = moire_hamiltonian(Supercell(((2, 0), (0, 1))), (2, 1), fixed)
    names = ["spin", "rotation_sector", "response", "energy"]
    assert list(make_observables(rectangle, names)) == ["energy", "spin"]
    assert list(make_observables(hamiltonian, names)) == ["energy", *names[:3]]


def equilibrated(model, hamiltonian, contexts, start, **effort):
    effort = SHORT._replace(walkers=32, samples=2, **effort)
    rows = measured(model, hamiltonian, np.array(contexts)[:, None], effort, start)
    return [(int(row.results["equilibration"].value), float(row.results["drift"].value)) for row in rows]


def test_equilibration_goes_on_while_walkers_drift(generic_case):
    _, model, hamiltonian = generic_case
    # All electrons at one point, and moves too short to leave it soon: the potential energy keeps falling.
    rest = walkers_of(hamiltonian, 1, 32).electrons
    heap = jnp.full_like(rest, 0.3) + 0.02 * rest
    ((thrown_away, drift),) = equilibrated(
        model, hamiltonian, [1.0], Walkers(heap, jnp.full(1, 0.02)), equilibration=4
    )
    assert thrown_away > 4
    assert thrown_away == 20 or drift < 3
    assert equilibrated(model, hamiltonian, [1.0], None, equilibration=0)[0][0] == 0


def test_walkers_at_rest_are_left_alone(generic_case):
    _, model, hamiltonian = generic_case
    found = equilibrated(model, hamiltonian, [0.6, 1.0, 1.4, 1.8], None, equilibration=120)
    assert sum(thrown_away == 120 for thrown_away, _ in found) >= 3
    assert all(drift < 3 for _, drift in found)


def test_a_context_comes_to_rest_by_itself(generic_case):
    _, model, hamiltonian = generic_case
    rest = walkers_of(hamiltonian, 2, 32).electrons
    heap = rest.at[1].set(0.3 + 0.02 * rest[1])
    both = Walkers(heap, jnp.array([0.2, 0.01]))
    alone = Walkers(heap[:1], jnp.array([0.2]))
    one = measured(model, hamiltonian, np.array([[1.0], [1.5]]), SHORT._replace(walkers=32), both)[0]
    same = measured(model, hamiltonian, np.array([[1.0]]), SHORT._replace(walkers=32), alone)[0]
    assert one.results["equilibration"].value == same.results["equilibration"].value
    assert one.results["acceptance"].value == pytest.approx(float(same.results["acceptance"].value))


def test_no_random_numbers_are_used_twice(tiny, generic):
    model, hamiltonian = generic(tiny())
    effort = SHORT._replace(equilibration=4, observables=())
    measurement, used = Measurement(hamiltonian, effort, jnp.float64, microbatch=8), []

    def stay(model, walkers, points, key):
        used.append(tuple(jax.random.key_data(key).tolist()))
        return walkers, jnp.ones(len(points))

    measurement._sample = stay
    walkers, points, key = walkers_of(hamiltonian, 1), jnp.array([[1.0]]), jax.random.key(1)
    walkers, *_ = measurement.equilibrate(model, walkers, points, key)
    moved = list(measurement.samples(model, walkers, points, key))
    assert len(moved) == effort.samples
    assert len(used) >= effort.equilibration + effort.samples
    assert len(set(used)) == len(used)

"""Weights of one wavefunction as the start of another."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.cli import main
from qernel.config import load_config
from qernel.hamiltonian import make_hamiltonian
from qernel.runs import Run
from qernel.training.transfer import describe, transfer
from qernel.wavefunction import make_wavefunction


@pytest.fixture(scope="module")
def build(tiny):
    """(seed, overrides) -> an ansatz without special values, its family."""

    def made(seed, *overrides):
        config = tiny(*overrides)
        hamiltonian = make_hamiltonian(config)
        model = make_wavefunction(config, hamiltonian, jax.random.key(seed))
        arrays, static = eqx.partition(model, eqx.is_inexact_array)
        leaves, structure = jax.tree.flatten(arrays)
        keys = jax.random.split(jax.random.key(seed), len(leaves))
        noise = [0.1 * jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)]
        moved = [x + n for x, n in zip(leaves, noise, strict=True)]
        return eqx.combine(jax.tree.unflatten(structure, moved), static), hamiltonian.family

    return made


def transferred(ours, theirs):
    """`ours` from `theirs`, each a (model, family)."""
    return transfer(ours[0], theirs[0], ours[1], theirs[1])


def leaves(tree):
    return jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))


def equal(first, second):
    pairs = zip(leaves(first), leaves(second), strict=True)
    return [bool(np.array_equal(a, b)) for a, b in pairs]


def value(model, family, **context):
    """log psi at fixed positions, at a context in laboratory parameters."""
    point = jnp.array([context[name] for name in family.names], jnp.float64)
    couplings = family.couplings(point)
    count = sum(model.orbitals.spins)
    electrons = 3 * jax.random.uniform(jax.random.key(5), (count, 2), jnp.float64)
    return np.array(model(electrons, couplings))


def test_the_same_system_takes_everything(build):
    ours, theirs = build(0), build(1)
    assert not all(equal(ours[0], theirs[0]))
    model, tensors = transferred(ours, theirs)
    assert all(equal(model, theirs[0]))
    assert set(tensors.values()) == {"copied"}


@pytest.mark.parametrize(
    ("ours", "theirs", "context"),
    [
        (["contexts={moire_depth=[0.9,1.1]}"], [], {"moire_depth": 1.05}),
        (["contexts={moire_depth=[0.2,4.0]}"], [], {"moire_depth": 0.7}),
        (
            ["contexts={moire_phase=[20,50],moire_depth=[0.6,1.9]}"],
            [],
            {"moire_depth": 1.3, "moire_phase": 45.0},
        ),
        (
            ["contexts={moire_depth=[0.6,1.9]}", "moire_phase=33"],
            ["contexts={moire_depth=[0.5,2.0],moire_phase=[20,50]}"],
            {"moire_depth": 1.3, "moire_phase": 33.0},
        ),
    ],
    ids=["narrower", "wider", "another parameter varies", "a parameter is fixed"],
)
def test_another_range_leaves_the_wavefunction_as_it_is(build, ours, theirs, context):
    source = build(1, *theirs)
    model, tensors = transferred(build(0, *ours), source)
    assert {name for name in tensors if tensors[name] == "adapted"} >= {".context.hidden.weight"}
    names = build(0, *ours)[1].names
    here = value(model, build(0, *ours)[1], **{name: context[name] for name in names})
    there = value(*source, **{name: context[name] for name in source[1].names})
    np.testing.assert_allclose(here[0], there[0], rtol=1e-9)
    np.testing.assert_allclose(np.exp(1j * (here[1] - there[1])), 1, atol=1e-9)


def test_a_parameter_that_was_fixed_does_not_matter_yet(build):
    wider = build(0, "contexts={moire_depth=[0.5,2.0],moire_phase=[20,50]}")
    model, _ = transferred(wider, build(1))
    # No Jastrow slope, twist or embedding depends on the phase: log psi is the same for every one.
    first, second = (value(model, wider[1], moire_depth=1.0, moire_phase=phase) for phase in (25.0, 45.0))
    np.testing.assert_array_equal(first, second)


def test_features_that_are_new_do_not_matter_yet(build):
    source = build(1, "electrons=[6,0]", "cells=9")
    wider = build(0, "electrons=[6,0]", "cells=9", "model.orbitals=crystal")
    model, tensors = transferred(wider, source)
    assert tensors[".embed.weight"] == "adapted"
    assert tensors[".orbitals.weight"] == "new"
    electrons = jnp.asarray(np.random.default_rng(0).uniform(size=(6, 2)))
    streams = [each.embed(each.features(electrons)) for each in (model, source[0])]
    assert model.features.size > source[0].features.size
    np.testing.assert_allclose(*streams, rtol=1e-12)


def assert_nearest_columns(new, old):
    """Each column is one of the source's, of the determinant of the same number and the nearest momentum."""
    there = old.weight.shape[2]
    for k in range(new.weight.shape[2]):
        wanted = np.array(new.momenta[k % len(new.momenta)]) @ new.supercell.reciprocal
        given = np.array(old.momenta[k % there % len(old.momenta)]) @ old.supercell.reciprocal
        for column, momentum in enumerate(wanted):
            taken, others = new.weight[:, :, k, column], old.weight[:, :, k % there]
            (same,) = (j for j in range(len(given)) if np.array_equal(taken, others[..., j]))
            np.testing.assert_array_equal(
                new.coefficients[:, k, column], old.coefficients[:, k % there, same]
            )
            distance = np.linalg.norm(given - momentum, axis=1)
            band = sum(np.allclose(each, momentum) for each in wanted[:column])
            bands = [sum(np.allclose(each, given[j]) for each in given[:j]) for j in range(len(given))]
            if new.spins[1] == 0:
                assert bands[same] == band
                distance = np.where(np.equal(bands, band), distance, np.inf)
            assert distance[same] <= distance.min() + 1e-9


@pytest.mark.parametrize(
    "overrides",
    [["model.sector=[0,0]"], ["electrons=[4,2]", "cells=9"], ["electrons=[12,0]", "cells=12"]],
    ids=["another sector", "more electrons of both spins", "two bands"],
)
def test_another_filling_takes_each_column_from_the_nearest_momentum(build, overrides):
    ours, theirs = build(0, *overrides), build(1)
    model, tensors = transferred(ours, theirs)
    new, old = model.orbitals, theirs[0].orbitals
    assert new.momenta == ours[0].orbitals.momenta != old.momenta
    assert tensors[".orbitals.weight"] == tensors[".orbitals.coefficients"] == "adapted"
    assert_nearest_columns(new, old)
    assert all(equal(model.blocks, theirs[0].blocks))
    assert model.features.supercell == ours[0].features.supercell


def test_bands_at_one_momentum_take_bands(build):
    small, large = build(1, "electrons=[6,0]", "cells=3"), build(0, "electrons=[12,0]", "cells=12")
    model, _ = transferred(large, small)
    gamma = [j for j, label in enumerate(small[0].orbitals.momenta[0]) if label == (0, 0)]
    assert len(gamma) > 1  # several bands are filled at Gamma
    here = [j for j, label in enumerate(model.orbitals.momenta[0]) if label == (0, 0)]
    assert np.array_equal(model.orbitals.weight[..., here[0]], small[0].orbitals.weight[..., gamma[0]])


OPEN = ("electrons=[6,0]", "cells=9", "twist_1=0.0", "twist_2=0.0")


def test_each_filling_of_an_open_shell_takes_its_own_columns(build):
    ours, theirs = build(0, *OPEN, "sector=[1,1]", "determinants=6"), build(1, *OPEN, "determinants=4")
    model, tensors = transferred(ours, theirs)
    new, old = model.orbitals, theirs[0].orbitals
    assert (len(new.momenta), len(old.momenta)) == (6, 1)
    assert tensors[".orbitals.weight"] == "adapted"
    assert_nearest_columns(new, old)


def test_no_two_determinants_become_equal(build):
    """Equal ones would get equal gradients, and stay equal."""
    for system, here in (((), 3), ((*OPEN, "sector=[1,1]"), 8)):  # of one filling, and of six
        _, tensors = transferred(
            build(0, *system, f"determinants={here}"), build(1, *system, "determinants=2")
        )
        assert tensors[".orbitals.weight"] == tensors[".orbitals.coefficients"] == "new"


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (["electrons=[4,0]", "cells=3"], ["electrons=[12,0]", "cells=9"]),
        (["electrons=[4,2]", "cells=9", "orbitals=crystal"], ["electrons=[12,6]", "cells=27"]),
    ],
    ids=["bands that few momenta have", "crystal of both spins"],
)
def test_no_two_columns_become_equal(build, scattered, small, large):
    """Equal ones would make every determinant, hence psi, zero up to rounding."""
    large = [*large, *(each for each in small if "orbitals" in each)]
    ours = build(0, *large)
    model, tensors = transferred(ours, build(1, *small))
    assert tensors[".orbitals.weight"] == "adapted"
    orbitals = model.orbitals
    for k in range(orbitals.weight.shape[2]):
        momenta = orbitals.momenta[k % len(orbitals.momenta)]
        spins = np.arange(len(momenta)) >= orbitals.spins[0]
        columns = {
            (*momentum, spin, *np.asarray(orbitals.weight[..., k, j]).ravel())
            for j, (momentum, spin) in enumerate(zip(momenta, spins, strict=True))
        }
        assert len(columns) == len(momenta)


def test_bands_that_the_source_has_not_are_new(build):
    _, tensors = transferred(build(0, "electrons=[12,0]", "cells=9"), build(1, "electrons=[2,0]", "cells=3"))
    assert tensors[".orbitals.weight"] == "new"


def test_what_has_no_counterpart_is_new(build):
    conditional, fixed = build(0), build(1, "contexts={}", "training.stages=[{steps=1}]")
    model, tensors = transferred(conditional, fixed)
    new = {name for name in tensors if tensors[name] == "new"}
    assert new == {name for name in tensors if ".film" in name or name.startswith(".context")}
    assert all(equal(model.blocks[0].experts, fixed[0].blocks[0].experts))


def test_another_architecture_is_named(build):
    with pytest.raises(ValueError, match=r"embed\.weight: shape .* here, .* there"):
        transferred(build(0), build(0, "model.size=16"))
    with pytest.raises(ValueError, match=r"film\.weight: none here, shape .* there"):
        transferred(build(0, "contexts={}", "training.stages=[{steps=1}]"), build(0))


def test_what_became_of_the_tensors_is_one_line(build):
    _, tensors = transferred(build(0, "model.sector=[0,0]"), build(1))
    text = describe(tensors, "here")
    assert text.startswith("tensors from here, by module: copied: embed (1), context (4), blocks (")
    assert text.endswith("adapted: orbitals (2)")


def test_a_run_starts_from_another(tiny_file, tmp_path):
    main(["train", tiny_file, "--out", str(tmp_path / "a"), "training.stages=[{steps=2,contexts=2}]"])
    start = f"training.start={tmp_path / 'a'}"
    arguments = ["train", tiny_file, start, "training.seed=1", "--minutes", "0.0001"]
    main([*arguments, "--out", str(tmp_path / "b")])
    first, second = (Run(tmp_path / name).state() for name in "ab")
    assert int(second.step) == 1
    # One small step away from the first run's wavefunction, and nowhere near its own random weights
    for ours, theirs in zip(leaves(second.model.blocks), leaves(first.model.blocks), strict=True):
        assert np.abs(ours - theirs).max() < 0.05


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.size=16", "has another architecture: "),
        ("contexts={}", "none here, shape (2, 16) there; to stay at fixed parameters use training.within"),
    ],
)
def test_what_cannot_be_a_start_is_refused(tiny_file, tmp_path, capsys, override, message):
    main(["train", tiny_file, "--out", str(tmp_path / "a"), "training.stages=[{steps=1}]"])
    start = f"training.start={tmp_path / 'a'}"
    command = ["train", tiny_file, "--out", str(tmp_path / "b"), start, "training.stages=[{steps=1}]"]
    with pytest.raises(SystemExit) as stop:
        main([*command, override])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_start_that_is_not_there_is_refused_and_leaves_nothing_behind(tiny_file, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", tiny_file, "--out", str(tmp_path / "b"), "training.start=nowhere"])
    assert stop.value.code == 2
    assert "nowhere is not a run" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_the_start_is_kept_in_the_configuration(tiny_file):
    config = load_config(tiny_file, ["training.start=six-over-depth"])
    assert 'start = "six-over-depth"' in config.to_toml()


SIX = ("electrons=[6,0]", "cells=9", "twist_1=0.0", "twist_2=0.0")


def psi(source, sector, depth=1.3):
    """psi of a sector at fixed positions, up to a factor that all of them share."""
    model, family = source
    context = [depth, *([float(sector)] if family.sectors > 1 else [])]
    electrons = 3 * jax.random.uniform(jax.random.key(5), (6, 2), jnp.float64)
    log_abs, phase = model(electrons, family.couplings(jnp.array(context)))
    return np.exp(float(log_abs) - 10 + 1j * float(phase))


@pytest.mark.parametrize(
    ("ours", "theirs", "pairs"),
    [
        ("[[-1,0],[1,1]]", "[[-1,0],[1,1]]", [(0, 0), (1, 1)]),
        ("[[1,1],[2,0]]", "[[-1,0],[1,1]]", [(0, 1), (1, 0)]),  # (2, 0) is (-1, 0), by a reciprocal vector
        ("[1,1]", "[[-1,0],[1,1]]", [(0, 1)]),
        ("[[-1,0],[1,1]]", "[1,1]", [(1, 0)]),
    ],
)
@pytest.mark.parametrize("range_here", ["[0.5,2.0]", "[0.9,1.6]"])
def test_sectors_keep_their_wavefunctions_by_momentum(build, ours, theirs, pairs, range_here):
    source = build(1, *SIX, f"sector={theirs}")
    here = build(0, *SIX, f"sector={ours}", f"contexts={{moire_depth={range_here}}}")
    model, _ = transferred(here, source)
    for own, other in pairs:
        assert psi((model, here[1]), own) == pytest.approx(psi(source, other), rel=1e-8)


@pytest.mark.parametrize("count", [1, 3])
def test_determinants_are_taken_from_those_of_their_sector(build, count):
    """Of K; at (-1, 0), a closed shell, a third determinant would be the first once more."""
    source = build(1, *SIX, "sector=[[-1,0],[1,1]]")
    here = build(0, *SIX, "sector=[[-1,0],[1,1]]", f"determinants={count}")
    model, tensors = transferred(here, source)
    assert tensors[".orbitals.weight"] == "adapted"
    weight, theirs = np.asarray(model.orbitals.weight), np.asarray(source[0].orbitals.weight)
    for sector in range(2):
        for k in range(count):
            columns, given = weight[:, :, sector * count + k], theirs[:, :, 2 * sector + k % 2]
            for j in range(6):
                taken = any(np.array_equal(columns[..., j], given[..., i]) for i in range(6))
                assert taken == (sector == 1 or count == 1)
    if count == 3:
        np.testing.assert_array_equal(weight[:, :, :3], here[0].orbitals.weight[:, :, :3])


@pytest.mark.parametrize(
    ("ours", "taken"),
    [("[[1,1],[0,0]]", [1, 0]), ("[[0,0],[-1,0]]", [1, 0]), ("[[0,0],[-1,-1],[1,1]]", [0, 0, 1])],
)
def test_other_momenta_take_the_sectors_that_are_left(build, ours, taken):
    source = build(1, *SIX, "sector=[[-1,0],[1,1]]")
    stages = "stages=[{steps=6,contexts=3}]"
    count = len(taken)
    here = build(0, *SIX, f"sector={ours}", *(["walkers=12", stages] if count == 3 else []))
    model, _ = transferred(here, source)
    rows = np.asarray(model.context.hidden.weight)[-count:]
    np.testing.assert_array_equal(rows, np.asarray(source[0].context.hidden.weight)[-2:][taken])


def test_larger_systems_take_sectors_in_their_order(build):
    source = build(1, *SIX, "sector=[[-1,0],[1,1]]")
    large = build(0, *SIX, "electrons=[18,0]", "cells=27", "sector=[[-2,0],[-3,0]]")
    model, tensors = transferred(large, source)
    assert tensors[".orbitals.weight"] == "adapted"
    assert tensors[".context.hidden.weight"] == "copied"
    theirs = np.asarray(source[0].orbitals.weight)
    for sector in range(2):
        first = np.asarray(model.orbitals.weight)[:, :, 2 * sector, 0]
        assert any(np.array_equal(first, theirs[:, :, 2 * sector, j]) for j in range(6))

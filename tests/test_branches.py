"""One network in several momentum sectors, and the wavefunctions that it is taken apart into."""

import csv
import dataclasses
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import qernel
from qernel.batching import walker_mesh
from qernel.branches import branches, taken_apart, the_branch
from qernel.cli import main
from qernel.config import UserError
from qernel.estimators.local_energy import local_energy
from qernel.hamiltonian import make_hamiltonian
from qernel.lattice import MOIRE_VECTORS
from qernel.measurement import Effort
from qernel.runs import Run
from qernel.sampling import Walkers, initial_walkers, make_sampling
from qernel.shipped import shipped_model
from qernel.successors import finetuned
from qernel.sweep import sweep
from qernel.sweep_files import read_sweeps
from qernel.training.loop import initial_state, train
from qernel.verify import verify_run

MOMENTA = [(0, 0), (1, 0)]
BOTH = "sector=[[0,0],[1,0]]"
NAMES = ["both (0, 0)", "both (1, 0)"]


@pytest.fixture(autouse=True)
def forget_compiled_functions_of_each_test():
    """The code of some ten trainings crashes a process."""
    yield
    jax.clear_caches()


def at(hamiltonian, *context):
    return hamiltonian.family.couplings(jnp.array(context))


@pytest.mark.parametrize("overrides", [(), ("conditioned=false",), ("determinants=3", "contexts={}")])
def test_a_sector_by_itself_is_the_same_wavefunction(overrides, tiny, generic, scattered):
    config = tiny(BOTH, *overrides)
    model, hamiltonian = generic(config)
    state = dataclasses.replace(initial_state(config), model=model)
    depth, electrons = ([1.2] if config.contexts else []), scattered(hamiltonian, 4)
    values = []
    for number, (_, alone, its) in enumerate(taken_apart("x", config, state)):
        assert alone.model.momentum == MOMENTA[number]
        assert its.contexts.shape == (1, len(depth))
        own, together = make_hamiltonian(alone), at(hamiltonian, *depth, float(number))
        for r in electrons:
            log_abs, phase = model(r, together)
            assert float(log_abs) == pytest.approx(float(its.model(r, at(own, *depth)).log_abs), abs=1e-10)
            assert float(phase) == pytest.approx(float(its.model(r, at(own, *depth)).phase), abs=1e-10)
            values.append(float(log_abs))
        of_both = local_energy(model, hamiltonian, electrons[0], together).total
        of_one = local_energy(its.model, own, electrons[0], at(own, *depth)).total
        assert complex(of_both) == pytest.approx(complex(of_one), rel=1e-9)
    assert np.all(abs(np.subtract(*np.reshape(values, (2, -1)))) > 1e-3)


def test_each_sector_has_its_momentum(tiny, generic, scattered):
    model, hamiltonian = generic(tiny(BOTH))
    cell, electrons = hamiltonian.supercell, scattered(hamiltonian, 1)[0]
    for number, label in enumerate(MOMENTA):
        couplings = at(hamiltonian, 1.2, float(number))
        momentum = (np.array(label) + 3 * np.array([0.2, -0.1])) @ cell.reciprocal
        before = model(electrons, couplings)
        for shift in MOIRE_VECTORS:
            after = model(electrons + shift, couplings)
            assert float(after.log_abs) == pytest.approx(float(before.log_abs), abs=1e-9)
            turn = np.exp(1j * (float(after.phase) - float(before.phase)))
            assert turn == pytest.approx(np.exp(1j * momentum @ shift), abs=1e-9)


def test_a_sector_trains_the_network_and_its_own_determinants(tiny, generic, scattered):
    model, hamiltonian = generic(tiny(BOTH))
    electrons, second = scattered(hamiltonian, 1)[0], at(hamiltonian, 1.2, 1.0)
    slopes = eqx.filter_grad(lambda m: m(electrons, second).log_abs)(model)
    assert model.orbitals.weight.shape[2] == 4  # two determinants of each
    assert np.all(np.asarray(slopes.orbitals.weight)[:, :, :2] == 0)
    assert np.all(np.asarray(slopes.orbitals.coefficients)[:, :2] == 0)
    for shared in (slopes.orbitals.weight[:, :, 2:], slopes.embed.weight, slopes.blocks[0].experts):
        assert all(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(shared))


@pytest.fixture(scope="module")
def both(tiny_file, tmp_path_factory):
    """A run in two sectors, by the command line; swept."""
    path = tmp_path_factory.mktemp("sectors") / "both"
    main(["train", tiny_file, BOTH, "--out", str(path)])
    main(["sweep", str(path), "--over", "moire_depth=0.6:1.9:8", *EFFORT])
    return path


EFFORT = ("--walkers", "8", "--samples", "8")


def test_half_of_the_contexts_are_in_either_sector(both):
    for row in Run(both).metrics():
        assert sorted(sector for _, sector in row["contexts"]) == [0, 1]


def test_every_momentum_is_swept_at_the_same_contexts(both):
    sweeps = read_sweeps(both, name="both")
    assert list(sweeps) == NAMES
    cell = Run(both).config().system.lattice()
    for data, momentum in zip(sweeps.values(), MOMENTA, strict=True):
        assert data.sizes["moire_depth"] == 8
        label = data["sector_weight"].isel(moire_depth=3).argmax("sector")
        found = tuple(int(data[name][label]) for name in ("sector_1", "sector_2"))
        assert cell.momentum_class(found) == cell.momentum_class(momentum)
        assert float(data["sector_weight"].max("sector").min()) == pytest.approx(1, abs=1e-6)


def test_the_lower_one_counts_for_a_transition(both, tmp_path, capsys):
    main(["transition", str(both), "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert all(f"{both.parent / name}: 8 contexts" in printed for name in NAMES)
    first, second = read_sweeps(both).values()
    assert 0 < (first["energy"] <= second["energy"]).sum() < 8  # or one of them would do
    lower = first["coulomb"].where(first["energy"] <= second["energy"], second["coulomb"])
    (table,) = tmp_path.glob("*.csv")
    header, *rows = csv.reader(table.read_text().splitlines())
    found = [float(row[header.index("coulomb_meV")]) for row in rows]
    np.testing.assert_allclose(found, lower, rtol=1e-6)


def test_the_page_compares_the_momenta(both, capsys):
    main(["report", str(both)])
    page = (both / "report" / "index.html").read_text()
    assert "The lowest of both (0, 0), both (1, 0)" in page
    table = (both / "report" / "models-1-energies.csv").read_text()
    assert all(table.count(name) == 8 for name in NAMES)
    assert all(f"of momentum {momentum}" in page for momentum in MOMENTA)


def test_one_run_of_two_momenta_can_be_compared(both, tmp_path, capsys):
    over = ["--over", "moire_depth=0.7,1.1", *EFFORT, "--out", str(tmp_path)]
    main(["compare", str(both), *over])
    (file,) = tmp_path.glob("*.nc")
    data = xarray.load_dataset(file, engine="scipy")
    assert data["model"].values.tolist() == NAMES
    np.testing.assert_array_equal(data["lowest_energy"], data["energy"].min("model"))
    with pytest.raises(SystemExit):
        main(["compare", "four-over-depth", *over])
    assert "two runs or more, or one of several momenta" in capsys.readouterr().err


def test_walkers_of_every_momentum_are_followed(both, tmp_path, capsys):
    main(["hysteresis", str(both), "--over", "moire_depth=0.7,1.1", *EFFORT, "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert all(f"{name}:" in printed for name in NAMES)
    assert len(list(tmp_path.glob("*.nc"))) == 2
    main(["report", str(both)])
    page = (both / "report" / "index.html").read_text()
    for momentum in MOMENTA:
        assert f"Do walkers of momentum {momentum} remember where they came from?" in page
    main(["show", str(both)])
    printed = capsys.readouterr().out
    assert all(f".nc, momentum {momentum}" in printed for momentum in MOMENTA)


@pytest.mark.filterwarnings("ignore:.*counts; newer ones")  # of other tests
def test_sweeps_of_two_momenta_are_two_models_and_of_one_are_not(both, tmp_path, capsys, monkeypatch):
    first, second, *_ = (str(file) for file in Run(both).sweep_files())
    main(["transition", first, second, "--out", str(tmp_path)])
    copy = tmp_path / "copy.nc"
    copy.write_bytes(Path(first).read_bytes())
    monkeypatch.chdir(tmp_path)
    for pair in ((str(both), second), (str(copy), "copy.nc")):
        with pytest.raises(SystemExit):
            main(["transition", *pair, "--out", str(tmp_path)])
        assert "are of one run" in capsys.readouterr().err


def test_a_momentum_is_loaded_by_its_label(both):
    trained = qernel.load(both, momentum=(1, 0))
    assert trained.config.model.momentum == (1, 0)
    assert np.isfinite(trained(trained.walkers[0, 0], moire_depth=1.2).log_abs)
    assert qernel.load(both, momentum=(-1, 1)).config.model.momentum == (1, 0)  # by a reciprocal vector
    for momentum in (None, (2, 0)):
        with pytest.raises(UserError, match=r"has the momenta \(0, 0\), \(1, 0\): say which one is meant"):
            qernel.load(both, momentum=momentum)
    with pytest.raises(UserError, match="has one wavefunction, not several momenta"):
        the_branch(shipped_model("four-over-depth"), (1, 0))


def test_training_goes_on_from_one_of_the_momenta(both, tiny_file, tmp_path):
    single = Run(tmp_path / "single")
    small = ("learning_rate=1e-9", "--out")
    main(["train", tiny_file, "sector=[1,0]", f"start={both}", *small, str(single.path)])
    (alone,), source = branches(single), the_branch(Run(both), (1, 0))
    electrons = source.state.walkers.electrons[0, 0]
    couplings = at(make_hamiltonian(alone.config), 1.2)
    before, after = (each.state.model(electrons, couplings) for each in (source, alone))
    assert float(before.log_abs) == pytest.approx(float(after.log_abs), abs=1e-6)


def test_one_context_of_fine_tuning_is_one_for_each_momentum(tiny):
    assert finetuned(tiny(BOTH), "both", {"moire_depth": (1.1, 1.1)}, 2).training.stages[0].contexts == 2


@pytest.mark.parametrize("overrides", [("adaptive=true",), ("contexts={}",)])
def test_sectors_train_with_emphasis_and_at_one_context(overrides, tiny):
    config = tiny(BOTH, "stages=[{steps=3,contexts=2}]", *overrides)
    for state, metrics in train(config, initial_state(config)):
        assert not metrics.refused
        assert np.all(np.isfinite(metrics.energy))
        assert sorted(np.asarray(state.contexts)[:, -1].tolist()) == [0, 1]
    for _, alone, its in taken_apart("x", config, state):
        over = {"moire_depth": [0.9]} if config.contexts else {}
        assert np.isfinite(sweep(alone, its, over, Effort(walkers=4, samples=4))["energy"]).all()


def test_walkers_are_exchanged_between_neighbours_of_one_sector(tiny, monkeypatch):
    """The order that neighbours are taken in: by sector, and by depth within."""
    config = tiny(BOTH)
    hamiltonian = make_hamiltonian(config)

    def as_width(model, walkers, present, couplings, order, *_):
        return Walkers(walkers.electrons, order.astype(walkers.width.dtype))

    monkeypatch.setattr("qernel.sampling.exchange", as_width)
    sample = make_sampling(hamiltonian, walker_mesh(4), 1, jnp.float64, 4, exchanges=True)
    contexts = jnp.array([[0.9, 1.0], [0.6, 1.0], [0.7, 0.0], [1.5, 0.0], [0.8, 0.0]])
    walkers = initial_walkers(jax.random.key(0), hamiltonian.supercell, 3, 5, 4, jnp.float64)
    moved, _ = sample(initial_state(config).model, walkers, contexts, jax.random.key(1))
    assert moved.width.tolist() == [2, 4, 3, 1, 0]


def test_every_momentum_is_verified(both, monkeypatch):
    monkeypatch.setattr("qernel.verify._EFFORT", Effort(walkers=8, samples=8))
    monkeypatch.setattr("qernel.verify._POINTS", 1)
    checks = []
    verify_run(Run(both), checks.append)
    for name in NAMES:
        assert sum(name in check.quantity for check in checks) > 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sector=[[0,0],[3,0]]"], "two of them are one momentum"),
        (["sector=[[0,0],[1,0],[2,0]]"], "contexts = 2 is no multiple of 3, the number of momenta"),
        (["sector=[[0,0]]"], "a momentum [n1, n2], or a list of two or more momenta"),
        ([BOTH, "optimizer.name=kfac"], "'kfac' cannot train several momenta"),
        ([BOTH, "ansatz=psiformer"], "sector = 'free' is the only one"),
        (
            [BOTH, "contexts={}", "walkers=16", "stages=[{steps=3,contexts=4}]"],
            "several contexts need a range",
        ),
    ],
)
def test_what_cannot_be_is_refused(overrides, message, tiny):
    with pytest.raises(UserError) as refusal:
        tiny(*overrides)
    assert message in str(refusal.value)

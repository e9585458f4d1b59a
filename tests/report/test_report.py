"""The report: what it says is what was measured, what is wrong is flagged, and it stands alone."""

import csv
import hashlib
import itertools
import json
import math
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

from qernel.cli import main
from qernel.config import UserError, load_config
from qernel.dataset import sweep_dataset
from qernel.estimators.density import bin_centres
from qernel.estimators.observable import Result
from qernel.estimators.pair_correlation import PairCorrelation
from qernel.estimators.structure_factor import StructureFactor
from qernel.hamiltonian import make_hamiltonian
from qernel.lattice import CELL_AREA, MOIRE_CORNERS, MOIRE_HARMONICS, MOIRE_VECTORS, Supercell, supercell_of
from qernel.measurement import Effort
from qernel.report import figures, html, page, snapshots
from qernel.report.checks import flag_sweep, kept_momentum
from qernel.report.density import BLUR, blurred, density_map
from qernel.report.drawing import cell_edges
from qernel.report.header import facts
from qernel.report.history import LateFit, late_fit, mean_excess, training_curves
from qernel.report.numbers import decimals_for, fixed
from qernel.report.page import write_report
from qernel.report.publish import Folder
from qernel.report.style import figure_style
from qernel.report.sweep_data import momentum_columns, slope_columns
from qernel.report.sweep_section import _drawn_nowhere_else, _routing
from qernel.report.sweep_words import findings
from qernel.runs import Run
from qernel.sweep import context_grid
from qernel.sweep_files import write_sweep

EFFORT = Effort(walkers=16, samples=20)
BINS = 12  # of the density
SMALL = (
    "model.size=8",
    "model.layers=1",
    "model.heads=2",
    "model.groups=1",
    "model.experts=2",
    "model.expert_size=4",
    "model.embedding=2",
    "training.stages=[{steps=60,contexts=4},{steps=60,contexts=8}]",
    "training.refresh_every=30",
)
DEPTHS = [0.4, 0.75, 1.0, 1.5, 2.0]
OUTSIDE, BELOW, STUCK = 0, 2, 3  # indices into DEPTHS: what the fabricated sweep gets wrong there


def energy(depth):
    return -40.0 - 10.0 * depth - 6.0 * depth**2


def fabricate(config, over, wrong=False):
    """A sweep's dataset with plausible numbers and electrons scattered at random."""
    hamiltonian, grid = make_hamiltonian(config), context_grid(config, over)
    random, names = np.random.default_rng(3), list(config.contexts)
    coordinates = StructureFactor(hamiltonian).coordinates() | PairCorrelation(hamiltonian).coordinates()
    waves, rows = coordinates["q_x"].values, []
    for index, context in enumerate(grid):
        exact = energy(context[names.index("moire_depth")])
        count = EFFORT.walkers * EFFORT.samples
        fractions = random.uniform(size=(count * hamiltonian.electrons, 2))
        counts, _, _ = np.histogram2d(*fractions.T, bins=BINS, range=[[0, 1], [0, 1]])
        row = {
            "energy": exact + 0.013 * random.uniform(-1, 1),
            "energy_error": 0.012 + 0.01 * random.uniform(),
            "spread": 0.8 + random.uniform(),
            "imaginary": 1e-3,
            "energy_autocorrelation": 1 + random.uniform(),
            "energy_effective_samples": 200.0,
            "energy_r_hat": 1.0 + 0.04 * random.uniform(),
            "acceptance": 0.5 + 0.02 * random.uniform(),
            "structure_factor": random.uniform(0.1, 2.0, size=len(waves)),
            "structure_factor_error": random.uniform(size=len(waves)),
            "bragg_sqrt3": 0.5 + 0.1 * index,
            "bragg_sqrt3_error": 0.012,
            "bragg_moire": 1.5,
            "bragg_moire_error": 0.02,
            "pair_correlation": random.uniform(size=40),
            "pair_correlation_error": 0.1 * random.uniform(size=40),
            "density": counts * BINS**2 / (count * hamiltonian.supercell.area),
            "kinetic": 20.0 + random.normal(),
            "kinetic_error": 0.31,
            "moire": -30.0 + random.normal(),
            "moire_error": 0.29,
            "coulomb": -56.0 - random.uniform(),
            "coulomb_error": 0.12,
            "exact_energy": exact,
            "exact_kinetic": 20.0,
            "exact_moire": -30.0,
            "exact_coulomb": -56.4,
            "exact_uncertainty": 0.002,
        }
        if wrong and index == BELOW:
            row["energy"] = exact - 3 * row["energy_error"] - 0.003
        if wrong and index == STUCK:
            row["energy_r_hat"] = 1.0501
        rows.append(as_results(row))
    return sweep_dataset(config, over, grid, rows, coordinates, EFFORT, step=120)


UNITS = {"density": "a_M^-2", "acceptance": "1"} | dict.fromkeys(
    ["energy_autocorrelation", "energy_effective_samples", "energy_r_hat", "bragg_sqrt3", "bragg_moire"], "1"
)
DIMS = {
    "density": ("cell_1", "cell_2"),
    "structure_factor": ("wave",),
    "pair_correlation": ("distance",),
}


def as_results(row):
    """NAME and NAME_error together, as measurements give them."""
    return {
        name: Result(
            np.asarray(value, float),
            np.asarray(row[f"{name}_error"]) if f"{name}_error" in row else None,
            UNITS.get(name, "meV"),
            name,
            DIMS.get(name, ()),
        )
        for name, value in row.items()
        if not name.endswith("_error")
    }


def training_rows(noise=0.3, steps=120, redraw=30):
    """Metrics of a run whose contexts are redrawn and whose energies relax to `energy`."""
    random, rows = np.random.default_rng(5), []
    for step in range(1, steps + 1):
        if (step - 1) % redraw == 0:
            depths = random.uniform(0.5, 2.0, size=4 if step <= steps // 2 else 8)
        energies = energy(depths) + 5 * math.exp(-step / 20) + noise * random.normal(size=len(depths))
        row = {name: np.full(len(depths), value).tolist() for name, value in LEVELS.items()}
        row |= {"step": step, "contexts": depths[:, None].tolist(), "energy": energies.tolist()}
        rows.append(row | {"refused": False})
    return rows


LEVELS = {"spread": 0.9, "acceptance": 0.5, "imaginary": 0.0}


def make_run(path, *overrides, rows=()):
    run = Run(path)
    run.begin(load_config("pair", [*SMALL, *overrides]))
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


class Outline(HTMLParser):
    """Tags with their attributes, and the rows of tables with their classes and cells, without units."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self._cell, self._unit = [], [], False, False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append(SimpleNamespace(kind=dict(attributes).get("class", ""), cells=[]))
        if tag in ("td", "th"):
            self.rows[-1].cells.append("")
            self._cell = True
        self._unit = tag == "small"

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = False
        self._unit = False

    def handle_data(self, data):
        if self._cell and not self._unit:
            self.rows[-1].cells[-1] += data


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def digests(directory):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A run with a sweep over one parameter, one over two, a damaged file, and its report."""
    path = tmp_path_factory.mktemp("runs") / "a<b>&c"
    run = make_run(
        path,
        'description="<script>alert(1)</script> & more"',
        "contexts.dielectric_constant=[4.0,10.0]",
        rows=[
            row | {"contexts": [[depth, 5.0 + depth] for (depth,) in row["contexts"]]}
            for row in training_rows()
        ],
    )
    config = run.config()
    line = fabricate(config, {"moire_depth": DEPTHS}, wrong=True)
    plane = fabricate(config, {"moire_depth": [0.5, 1.0, 1.5], "dielectric_constant": [5.0, 8.0]})
    point = fabricate(config, {"moire_depth": [1.0]})
    for data in (line, plane, point):
        write_sweep(data, run.sweep_directory)
    (run.sweep_directory / "damaged.nc").write_bytes(b"not netCDF")
    (run.path / "report").mkdir()
    (run.path / "report" / "notes.txt").write_text("mine")
    before, settings = digests(run.path), dict(matplotlib.rcParams)
    written = write_report(run)
    text = written.read_text()
    return SimpleNamespace(
        run=run,
        directory=written.parent,
        text=text,
        outline=Outline(text),
        line=line,
        plane=plane,
        point=point,
        before=before,
        settings=settings,
    )


ENERGY_COLUMNS = {"kinetic": "kinetic", "moiré": "moire", "Coulomb": "coulomb"}
OTHER_COLUMNS = {
    "spread": "spread",
    "R\N{NON-BREAKING HYPHEN}hat": "energy_r_hat",
    "accept.": "acceptance",
    "τ": "energy_autocorrelation",
}


def table_of(reported, first):
    """Rows of the page's table whose header begins with these columns, the header included."""
    rows = reported.outline.rows
    start = next(i for i, row in enumerate(rows) if row.cells[: len(first)] == first)
    end = next((i for i in range(start + 1, len(rows)) if rows[i].cells[0] in ("λ", "energy")), len(rows))
    return rows[start:end]


def number(text):
    return float(text.replace("\N{MINUS SIGN}", "-"))


def agrees(shown, value):
    """Whether a printed number is the value rounded to the printed digits."""
    decimals = len(shown.partition(".")[2])
    return abs(number(shown) - value) <= 0.5000001 * 10**-decimals


def test_page_loads_nothing_from_elsewhere(reported):
    assert reported.directory == reported.run.path / "report"
    for tag, attributes in reported.outline.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base")
        assert attributes.get("src", "data:").startswith("data:")
        if tag == "img":
            assert attributes["alt"].count(". ") == 1
        if "href" in attributes:
            assert (reported.directory / attributes["href"]).is_file()
    assert not re.search(r"https?:|url\(|@import|@font-face", reported.text)
    assert sum(tag == "img" for tag, _ in reported.outline.tags) == 16


def test_text_from_files_is_escaped(reported):
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in reported.text
    assert "<title>QERNEL: a&lt;b&gt;&amp;c</title>" in reported.text
    assert "<b>&c" not in reported.text


def test_table_shows_the_dataset(reported):
    data = reported.line
    header, *rows = table_of(reported, ["λ", "energy"])
    names = header.cells
    assert names == ["λ", "energy", "exact", "minus exact", *ENERGY_COLUMNS, *OTHER_COLUMNS]
    rows = [row for row in rows if len(row.cells) == len(header.cells)]
    assert len(rows) == len(DEPTHS)
    for index, row in enumerate(rows):
        point = data.isel(moire_depth=index)
        shown = dict(zip(names, row.cells, strict=True))
        for column, variable in ({"energy": "energy"} | ENERGY_COLUMNS).items():
            value, error = shown[column].split(" ± ")
            assert agrees(value, float(point[variable]))
            assert agrees(error, float(point[f"{variable}_error"]))
        for column, value in {
            "λ": point["moire_depth"],
            "exact": point["exact_energy"],
            "minus exact": point["energy"] - point["exact_energy"],
            **{column: point[variable] for column, variable in OTHER_COLUMNS.items()},
        }.items():
            assert agrees(shown[column], float(value))


def test_wrong_rows_and_only_they_are_flagged(reported):
    _, *rows = table_of(reported, ["λ", "energy"])
    remarks = {}
    for row, below in zip(rows, [*rows[1:], None], strict=True):
        if len(row.cells) > 1 and "open" in row.kind:
            remarks[DEPTHS.index(number(row.cells[0]))] = (row.kind.split()[0], below.cells[0])
    assert remarks == {
        OUTSIDE: ("warning", "outside the trained range λ = 0.5 to 2"),
        BELOW: ("bug", "below exact by more than 3 sigma: a bug"),
        STUCK: ("warning", "R-hat above 1.05: equilibrate and sample longer"),
    }


def test_flags_stop_at_their_thresholds(reported):
    ranges = reported.run.config().contexts
    data = reported.line.copy(deep=True).isel(moire_depth=[1])
    error, uncertainty = float(data["energy_error"][0]), float(data["exact_uncertainty"][0])
    data["energy_r_hat"][:] = 1.05
    data["energy"][:] = data["exact_energy"] - 3 * error - 0.99 * uncertainty
    assert flag_sweep(data, ranges) == {}
    data["energy"][:] = data["exact_energy"] - 3 * error - 1.01 * uncertainty
    assert [flag.bug for flag in flag_sweep(data, ranges)[(0,)]] == [True]
    data["energy"][:] = np.nan
    assert [flag.text for flag in flag_sweep(data, ranges)[(0,)]] == ["energy is not finite"]


def test_momentum_that_free_momenta_keep_is_told(reported):
    weight = np.zeros((*reported.line["energy"].shape, 2))
    weight[..., 1] = 1.0
    labels = {"sector_1": ("sector", [0, -1]), "sector_2": ("sector", [0, 2])}
    plain = reported.line.drop_vars(["sector_weight", "sector_1", "sector_2"], errors="ignore")
    data = plain.assign(sector_weight=((*plain["energy"].dims, "sector"), weight)).assign_coords(labels)
    free = data.assign_attrs(model_sector="free")
    assert kept_momentum(free).startswith("momenta are free, yet psi has (-1, 2) at every context")
    assert any("Momenta are free" in sentence for sentence in findings(free.squeeze(), {}))
    mixed = free.assign(sector_weight=0.9 * free["sector_weight"])
    one = free.isel({name: [0] for name in free["energy"].dims})
    assert kept_momentum(data.assign_attrs(model_sector="lowest")).startswith(
        "psi has the lowest momentum of"
    )
    for other in (data.assign_attrs(model_sector="[-1, 2]"), one, mixed):
        assert kept_momentum(other) == ""


def test_a_mixture_of_momenta_and_a_wide_spread_are_flagged(reported):
    data = reported.line.squeeze()
    weight = np.tile([0.97, 0.03], (data["energy"].size, 1))
    weight[1] = [0.6, 0.4]
    plain = data.drop_vars(["sector_weight", "sector_weight_error", "sector_1", "sector_2"], errors="ignore")
    dims = (*plain["energy"].dims, "sector")
    mixed = plain.assign(sector_weight=(dims, weight), sector_weight_error=(dims, np.full_like(weight, 0.01)))
    spread = np.linspace(0.9, 1.1, len(weight))
    spread[2] = 3.0
    mixed = mixed.assign(spread=(plain["energy"].dims, spread))
    texts = {index: [flag.text for flag in flags] for index, flags in flag_sweep(mixed, {}).items()}
    assert [index for index, found in texts.items() if any("mixes momenta" in text for text in found)] == [
        (1,)
    ]
    assert [index for index, found in texts.items() if any("spreads over 2.5" in text for text in found)] == [
        (2,)
    ]
    mixed["sector_weight_error"][:] = 0.2
    ordered = mixed.assign_attrs(model_sector="order")
    for other in (mixed, ordered.assign(sector_weight_error=(dims, np.zeros_like(weight)))):
        assert not any("mixes" in flag.text for flags in flag_sweep(other, {}).values() for flag in flags)


def test_a_precision_that_was_not_reached_is_flagged(reported):
    data = reported.line.squeeze()
    errors = data["energy_error"].values
    asked = data.assign_attrs(target_error_meV=float(np.sort(errors)[-2]))
    flagged = [index for index, flags in flag_sweep(asked, {}).items() if "asked for" in flags[-1].text]
    assert flagged == [(int(errors.argmax()),)]


def test_residuals_are_flagged_where_they_are_sure_and_large(reported):
    data = reported.line.squeeze()
    force, residual = np.array([-10.0, -20.0, -30.0, -20.0, -10.0]), np.array([0.29, 0.31, -0.31, 0.5, 0.1])
    error = np.array([0.01, 0.01, 0.01, 0.2, 0.01])
    columns = {"force": force, "residual": residual, "residual_moire_depth_error": error}
    named = {
        name if "_" in name else f"{name}_moire_depth": ("moire_depth", v) for name, v in columns.items()
    }
    flags = {
        index: [flag.text for flag in found if "eigenstate" in flag.text]
        for index, found in flag_sweep(data.assign(**named), {}).items()
    }
    about = "no eigenstate: dE/dλ is off ⟨∂H/∂λ⟩ by more than 1% of the sweep's largest; train on here"
    assert {index: found for index, found in flags.items() if found} == {(1,): [about], (2,): [about]}


def test_two_parameters_give_maps_and_extremes_alone(reported):
    _, *rows = table_of(reported, ["λ", "ε", "energy", "exact"])
    shown = {
        tuple(map(number, row.cells[:2])): below.cells[0]
        for row, below in itertools.pairwise(rows)
        if len(row.cells) > 1
    }
    stacked = reported.plane.stack(context=("moire_depth", "dielectric_constant"))
    for words, variable, pick in (
        ("lowest energy", "energy", np.argmin),
        ("highest interaction energy", "coulomb", np.argmax),
        ("largest spread", "spread", np.argmax),
        ("largest R-hat", "energy_r_hat", np.argmax),
    ):
        context = stacked["context"].values[pick(stacked[variable].values)]
        assert words in shown[tuple(context)]
    assert len(read_csv(reported.directory / "sweep-002-table.csv")) == 6


def test_csv_files_hold_the_dataset_to_the_last_digit(reported):
    for name, variables in {
        "energy": ["energy", "energy_error", "exact_energy", "spread"],
        "interaction": ["coulomb", "coulomb_error", "exact_coulomb"],
        "components": ["kinetic", "kinetic_error", "moire", "exact_moire"],
    }.items():
        rows = read_csv(reported.directory / f"sweep-001-{name}.csv")
        assert [float(row["moire_depth"]) for row in rows] == DEPTHS
        for variable in variables:
            assert [float(row[f"{variable}_meV"]) for row in rows] == reported.line[variable].values.tolist()
    table = read_csv(reported.directory / "sweep-001-table.csv")
    assert [float(row["energy_r_hat"]) for row in table] == reported.line["energy_r_hat"].values.tolist()
    assert [bool(row["remark"]) for row in table] == [i in (OUTSIDE, BELOW, STUCK) for i in range(5)]


def test_density_csv_integrates_to_the_filling(reported):
    rows = read_csv(reported.directory / "sweep-001-density.csv")
    assert len(rows) == len(DEPTHS) * BINS**2
    density = np.array([float(row["electrons_per_moire_cell"]) for row in rows]).reshape(len(DEPTHS), -1)
    np.testing.assert_allclose(density.mean(axis=1), 2 / 3, rtol=1e-12)  # every electron is in some bin
    positions = np.array([[float(row["x_nm"]), float(row["y_nm"])] for row in rows[: BINS**2]])
    centres = bin_centres(supercell_of(3).vectors, BINS).reshape(-1, 2) * 8.031
    np.testing.assert_allclose(positions, centres, rtol=1e-12, atol=1e-12)
    counted = reported.line["density"].values.reshape(len(DEPTHS), -1) * CELL_AREA
    np.testing.assert_array_equal(density, counted)


def test_figures_lie_beside_the_page(reported):
    pngs = sorted(reported.directory.glob("*.png"))
    assert len(pngs) == 16
    for png in pngs:
        assert png.read_bytes().startswith(b"\x89PNG")
        assert png.stat().st_size < 300_000
        assert png.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert png.with_suffix(".csv").is_file()


def test_nothing_else_is_touched(reported):
    after = digests(reported.run.path)
    assert {path: after[path] for path in reported.before} == reported.before
    assert dict(matplotlib.rcParams) == reported.settings


def test_damaged_sweep_is_named_and_left_out(reported):
    assert "damaged, or not a sweep of this program: left out" in reported.text


def test_captions_say_what_was_measured(reported):
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", reported.text)
    assert len(captions) == 16
    for caption in captions:
        plain = re.sub(r"<[^>]+>", "", caption).replace("\xa0", " ")
        assert "2 electrons in 3 moiré cells" in plain
        assert "walkers" in plain
        assert re.search("ε = (5|5 to 8|4 to 10)[,;]", plain)
    assert "16 walkers × 20 samples per context" in reported.text


def test_header_states_the_system_in_its_own_units():
    stated = dict(facts(load_config("pair", [*SMALL])))
    assert "rₛ = 6.83" in stated["Density"]  # of the paper's parameters at eps 5
    assert "√3 × √3 order fits" in stated["Supercell"]
    counts = [int(each.replace(",", "")) for each in re.findall(r" ([\d,]+)(?:,|$)", stated["Parameters"])]
    total = int(re.search(r"([\d,]+) parameters", stated["Ansatz"]).group(1).replace(",", ""))
    assert sum(counts) == total
    varied = dict(facts(load_config("pair", [*SMALL, "contexts.dielectric_constant=[5.0,10.0]"])))
    assert "rₛ = 3.42 to 6.83" in varied["Density"]  # half of it at eps 10


@pytest.fixture
def no_model(monkeypatch):
    """Leave out the header, which builds the wavefunction."""
    monkeypatch.setattr(page, "facts", lambda config: [])


@pytest.mark.usefixtures("no_model")
def test_run_without_sweeps_says_how_to_make_one(tmp_path):
    run = make_run(tmp_path / "fresh")
    text = write_report(run).read_text()
    assert f"qernel sweep {run.path} --over moire_depth=0.5:2:16" in text
    assert "No optimization step has been recorded" in text
    assert "not begun" in text


@pytest.mark.usefixtures("no_model")
def test_several_runs_share_the_first_ones_page(tmp_path):
    runs = [make_run(tmp_path / "one"), make_run(tmp_path / "two", rows=training_rows())]
    written = write_report(*runs)
    assert written == runs[0].path / "report" / "index.html"
    assert (written.parent / "2-two-training-energy.csv").is_file()
    assert not (runs[1].path / "report").exists()
    text = written.read_text()
    assert re.findall(r"<h2>([^<]+)</h2>", text) == ["The lowest of one, two", "one", "two"]
    assert f"qernel compare {runs[0].path} {runs[1].path}" in text  # there are no sweeps yet


@pytest.mark.usefixtures("no_model")
def test_models_of_one_system_are_compared(tmp_path):
    """Two whose energies cross at depth 1.2, and whose interaction energies differ by 2 meV."""
    runs = [make_run(tmp_path / name) for name in ("liquid", "crystal")]
    depths = np.linspace(0.6, 1.8, 13).tolist()
    for run, sign in zip(runs, (-1, 1), strict=True):
        data = fabricate(run.config(), {"moire_depth": depths})
        data["energy"].values -= 5 * sign * (data["moire_depth"] - 1.2).values
        data["coulomb"].values[:] = -56.0 - sign
        write_sweep(data, run.sweep_directory)
    other = make_run(tmp_path / "other", "system.dielectric_constant=7.0")
    written = write_report(*runs, other, directory=tmp_path / "page")
    assert written.parent == tmp_path / "page"
    assert not (runs[0].path / "report").exists()
    text = written.read_text()
    assert re.findall(r"<h2>([^<]+)</h2>", text) == [
        "The lowest of liquid, crystal",
        "liquid",
        "crystal",
        "other",
    ]
    assert re.search(r"liquid gives way to crystal at 1\.(199|20[01])", text)
    assert "Transition found: the interaction energy has a jump (-2.00" in text
    rows = read_csv(written.parent / "models-1-energies.csv")
    assert [row["model"] for row in rows] == ["liquid"] * 13 + ["crystal"] * 13
    assert [float(row["energy_meV"]) for row in rows[13:]] == data["energy"].values.tolist()


@pytest.mark.usefixtures("no_model")
def test_models_over_two_parameters_give_a_diagram(tmp_path):
    two = "contexts.dielectric_constant=[4.0,10.0]"
    runs = [make_run(tmp_path / name, two) for name in ("liquid", "crystal")]
    depths = np.linspace(0.6, 1.8, 9).tolist()
    for run, sign in zip(runs, (-1, 1), strict=True):
        data = fabricate(run.config(), {"moire_depth": depths, "dielectric_constant": [5.0, 8.0]})
        data["energy"].values -= 5 * sign * (data["moire_depth"] - 1.2).values[:, None]
        data["coulomb"].values[:] = -56.0 - sign
        write_sweep(data, run.sweep_directory)
        line = data.isel(dielectric_constant=0, drop=True).assign_attrs(system_dielectric_constant=5.0)
        write_sweep(line, run.sweep_directory)
    without = make_run(tmp_path / "no sweep", two)
    written = write_report(*runs, without)
    text = written.read_text()
    assert text.index("Energies of the models.") < text.index("Phase diagram.")
    assert "Sweeps: liquid sweep-002, crystal sweep-002." in text
    rows = read_csv(written.parent / "models-2-diagram.csv")
    assert [float(row["interaction_jump_meV"]) for row in rows] == pytest.approx([-2, -2], abs=0.1)
    rows = read_csv(written.parent / "models-2-diagram-map.csv")
    assert [float(row["moire_depth"]) for row in rows] == 2 * depths
    assert [float(row["dielectric_constant"]) for row in rows] == [5.0] * 9 + [8.0] * 9
    lowest = [row["model"] for row in rows]
    assert [lowest[:4], lowest[5:9]] == [lowest[9:13], lowest[14:]] == [["liquid"] * 4, ["crystal"] * 4]
    assert [float(row["coulomb_meV"]) for row in rows[:4] + rows[5:9]] == [-55.0] * 4 + [-57.0] * 4


@pytest.mark.usefixtures("no_model")
def test_runs_at_fixed_parameters_are_not_told_to_sweep_them(tmp_path):
    runs = [make_run(tmp_path / name, "contexts={}", "stages=[{steps=60}]") for name in ("one", "two")]
    assert "qernel compare" not in write_report(*runs).read_text()


@pytest.mark.usefixtures("no_model")
def test_runs_of_one_name_are_told_apart(tmp_path):
    runs = [make_run(tmp_path / path) for path in ("x/a", "y/a", "z/a-2")]
    text = write_report(*runs).read_text()
    assert re.findall(r"<h2>([^<]+)</h2>", text)[1:] == ["1-a", "2-a", "3-a-2"]


@pytest.mark.usefixtures("no_model")
def test_the_command_puts_several_runs_on_a_page_of_their_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        make_run(tmp_path / name)
    main(["report", "one"])
    main(["report", "one", "two"])
    main(["report", "one", "two", "--out", "elsewhere"])
    for where in ("one/report", "runs/reports/one+two", "elsewhere"):
        assert (tmp_path / where / "index.html").is_file()
    for wrong, message in (([], "report needs a run"), (["one", "./one"], "one of them is given twice")):
        with pytest.raises(SystemExit):
            main(["report", *wrong])
        assert message in capsys.readouterr().err


@pytest.mark.usefixtures("no_model")
def test_a_page_that_cannot_be_written_is_one_line(tmp_path):
    run = make_run(tmp_path / "run")
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UserError, match=r"cannot write the report: .*taken"):
        write_report(run, directory=tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.usefixtures("no_model")
def test_the_command_for_a_run_at_one_context_has_one(tmp_path):
    run = make_run(tmp_path / "tuned", "training.within={moire_depth=[1.05,1.05]}")
    assert f"qernel sweep {run.path} --over moire_depth=1.05<" in write_report(run).read_text()


@pytest.mark.usefixtures("no_model")
def test_sweeps_from_several_starts_are_compared(tmp_path):
    run = make_run(tmp_path / "run")
    depths = [0.75, 1.0, 1.5]
    for start in ("up", "crystal"):
        data = fabricate(run.config(), {"moire_depth": depths}).assign_attrs(walkers_from=start)
        if start == "crystal":
            data["coulomb"] = data["coulomb"] + 5 * (data["moire_depth"] == 1.0)
        write_sweep(data, run.sweep_directory)
    text = write_report(run).read_text()
    assert "Do walkers remember where they came from?" in text
    assert "interaction energy: walkers remember their start: 5 between two starts at 1 (chance 0.0%)" in text
    assert "energy: walkers agree wherever they start" in text
    rows = read_csv(run.path / "report" / "starts-001.csv")
    assert [row["start"] for row in rows] == ["up"] * 3 + ["crystal"] * 3


def test_curves_average_blocks_between_redraws():
    rows = training_rows()
    curves = training_curves(rows)
    assert len(curves) == 4 + 4 + 8 + 8
    assert sorted({curve.step.tolist()[0] for curve in curves}) == [15.5, 45.5, 75.5, 105.5]
    for curve in curves:
        (step,) = curve.step
        mine = [row for row in rows if curve.context.tolist() in row["contexts"]]
        values = [row["energy"][row["contexts"].index(curve.context.tolist())] for row in mine]
        assert [row["step"] for row in mine] == list(range(int(step - 14.5), int(step + 15.5)))
        np.testing.assert_allclose(curve.energy, np.mean(values))


def test_bands_cover_the_scatter_of_block_means():
    # Uncorrelated noise of 0.3 meV: block means of 20 steps scatter by 0.3 / sqrt(20), known to
    # 1 / sqrt(2 x 199), and an estimate from 20 values is good to a few percent when averaged over 200
    curves = training_curves(training_rows(noise=0.3, steps=4000, redraw=4000)[-2000:])
    errors = np.concatenate([curve.error for curve in curves])
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(0.3 / math.sqrt(20), rel=0.2)


def test_late_fit_of_several_momenta_is_one_of_each():
    def twice(values, shift=0.0):
        return [value + sector * shift for value in values for sector in (0, 1)]

    rows = training_rows(noise=0.0)
    several = [
        row
        | {"contexts": [[*context, sector] for context in row["contexts"] for sector in (0, 1)]}
        | {name: twice(row[name]) for name in ("spread", "acceptance")}
        | {"energy": twice(row["energy"], 1.0)}
        for row in rows
    ]
    one, both = late_fit(training_curves(rows)), late_fit(training_curves(several, sectors=True))
    assert (both.degree, both.contexts) == (one.degree, 2 * one.contexts)
    for number in (0, 1):
        for ours, its in zip(both.excess[number::2], one.excess, strict=True):
            np.testing.assert_allclose(ours, its, atol=1e-6)


def test_late_fit_takes_out_the_dependence_on_the_context():
    rows = training_rows(noise=0.0, steps=2000, redraw=100)
    curves = training_curves(rows)
    fit = late_fit(curves)
    assert fit.scatter < 1e-9  # the planted energies are quadratic in the depth
    for mean in mean_excess(curves, fit):
        # Blocks of 20 steps: the mean of a geometric series
        planted = [np.mean(5 * np.exp(-np.arange(s - 9.5, s + 10.5) / 20)) for s in mean.step]
        np.testing.assert_allclose(mean.excess, planted, atol=1e-8)


def test_the_mean_excess_counts_contexts_as_the_loss_does():
    rows = [row for row in training_rows(noise=0.0, steps=60, redraw=60) if row["step"] <= 30]
    for row in rows:
        row["energy"] = [float(index) for index in range(4)]
        row["weight"] = [1.5, 1.5, 0.5, 0.5]
    curves = training_curves(rows)
    (mean,) = mean_excess(curves, LateFit(0, 0, 0.0, [curve.energy for curve in curves]))
    np.testing.assert_allclose(mean.excess, (1.5 * 0 + 1.5 * 1 + 0.5 * 2 + 0.5 * 3) / 4)


def test_refused_steps_are_left_out_of_the_curves():
    rows = training_rows()
    clean = training_curves(rows)
    for row in rows:
        if row["step"] % 7 == 0:
            row["energy"] = [math.nan] * len(row["energy"])
    for curve, whole in zip(training_curves(rows), clean, strict=True):
        assert np.isfinite(curve.energy).all()
        assert abs(curve.energy - whole.energy).max() < 0.5
    hopeless = [row | {"energy": [math.nan] * len(row["energy"])} for row in rows]
    curves = training_curves(hopeless)
    assert math.isnan(late_fit(curves).scatter)


@pytest.mark.parametrize("cells", [3, 7, 9])
def test_density_map_of_a_standing_wave(cells):
    cell, bins = supercell_of(cells), 96
    wave = MOIRE_HARMONICS[0]
    density = 0.7 + 0.4 * np.cos(bin_centres(cell.vectors, bins) @ wave)
    drawn = density_map(density, cell)
    left, right, bottom, top = drawn.extent
    size = len(drawn.image)
    x = left + (np.arange(size) + 0.5) * (right - left) / size
    y = bottom + (np.arange(size) + 0.5) * (top - bottom) / size
    points = np.stack(np.meshgrid(x, y), axis=-1)
    damping = math.exp(-(BLUR**2) * (wave @ wave) / 2)
    expected = (0.7 + 0.4 * damping * np.cos(points @ wave)) * CELL_AREA
    # Linear interpolation errs by at most (phase step)^2 / 8 per direction
    phase = np.abs(cell.vectors @ wave).max() / bins
    np.testing.assert_allclose(drawn.image, expected, atol=0.4 * CELL_AREA * phase**2 / 4 + 1e-12)
    assert right - left >= max(4, 2 * np.linalg.norm(cell.vectors, axis=1).max()) - 1e-9


def test_blur_keeps_the_electrons():
    density = np.random.default_rng(0).uniform(size=(12, 12))
    smooth = blurred(density, Supercell(((3, 0), (1, 2))))
    assert smooth.mean() == pytest.approx(density.mean(), rel=1e-12)
    assert smooth.std() < density.std()


def test_marked_sites_are_the_lattice_sites_in_view():
    drawn = density_map(np.ones((6, 6)), supercell_of(7))
    left, right, bottom, top = drawn.extent
    labels = [(i, j) for i in range(-20, 21) for j in range(-20, 21)]
    sites = np.array(labels) @ MOIRE_VECTORS
    inside = (sites[:, 0] > left) & (sites[:, 0] < right) & (sites[:, 1] > bottom) & (sites[:, 1] < top)
    assert {tuple(site) for site in drawn.sites.round(9)} == {tuple(site) for site in sites[inside].round(9)}


def points_of(axes):
    """Coordinates of everything drawn as points or lines that is longer than two points."""
    return [line.get_xydata() for line in axes.get_lines() if len(line.get_xydata()) > 2]


def drawn(axes, x, y):
    wanted = np.stack([x, y], axis=1)
    return any(found.shape == wanted.shape and np.array_equal(found, wanted) for found in points_of(axes))


def test_energy_figure_draws_the_dataset(reported):
    data, ranges = reported.line.squeeze(), reported.run.config().contexts
    with figure_style():
        figure = figures.sweep_energy(data, ranges, [(BELOW,)])
    top, residual, spread = figure.axes
    assert drawn(top, DEPTHS, data["energy"].values)
    assert drawn(top, DEPTHS, data["exact_energy"].values)
    assert drawn(residual, DEPTHS, (data["energy"] - data["exact_energy"]).values)
    assert drawn(spread, DEPTHS, data["spread"].values)
    (bars,) = top.containers
    segments = np.array(bars[2][0].get_segments())
    np.testing.assert_allclose(np.ptp(segments[:, :, 1], axis=1), 2 * data["energy_error"])
    assert all("meV" in axes.get_ylabel() for axes in figure.axes)
    assert spread.get_xlabel() == "moiré depth λ"


def test_state_figure_draws_what_was_measured(reported):
    line, ranges = reported.line.squeeze(), reported.run.config().contexts
    weights = np.zeros((len(DEPTHS), 3))
    weights[:, 1], weights[:, 2] = 0.9, 0.1
    names = ("bragg_sqrt3", "bragg_moire", "susceptibility_moire_depth")
    curves = {name: ("moire_depth", 1.0 + n + np.array(DEPTHS)) for n, name in enumerate(names)}
    errors = {f"{name}_error": ("moire_depth", 0.1 * np.ones(len(DEPTHS))) for name in names}
    sectors = {
        name: (("moire_depth", "sector"), weights) for name in ("sector_weight", "sector_weight_error")
    }
    data = line.assign(**curves, **errors, **sectors).assign_coords(
        sector_1=("sector", [0, 1, -1]), sector_2=("sector", [0, 1, 0])
    )
    with figure_style():
        momenta, bragg, susceptibility = figures.sweep_state(data, ranges).axes
        (alone,) = figures.sweep_state(
            line.assign(bragg_sqrt3=curves["bragg_sqrt3"], bragg_moire=curves["bragg_moire"], **errors),
            ranges,
        ).axes
    assert drawn(momenta, DEPTHS, weights[:, 1])
    assert [text.get_text() for text in momenta.get_legend().get_texts()] == ["(1, 1)", "(-1, 0)"]
    for axes, name in ((bragg, names[0]), (bragg, names[1]), (susceptibility, names[2]), (alone, names[0])):
        assert drawn(axes, DEPTHS, data[name].values)


def test_weights_of_momenta_are_published_with_their_errors(reported):
    plain = reported.line.squeeze().drop_vars(["sector_weight", "sector_1", "sector_2"], errors="ignore")
    weight = np.random.default_rng(1).dirichlet(np.ones(2), size=len(DEPTHS))
    dims = ("moire_depth", "sector")
    labels = {"sector_1": ("sector", [0, -1]), "sector_2": ("sector", [0, 2])}
    data = plain.assign(sector_weight=(dims, weight), sector_weight_error=(dims, 0.1 * weight))
    header, rows = momentum_columns(data.assign_coords(labels))
    assert header == ["moire_depth", "sector_1", "sector_2", "sector_weight", "sector_weight_error"]
    assert [tuple(row[:3]) for row in rows[:2]] == [(DEPTHS[0], 0, 0), (DEPTHS[0], -1, 2)]
    np.testing.assert_array_equal(
        [row[3:] for row in rows], np.stack([weight, 0.1 * weight], -1).reshape(-1, 2)
    )


def routed(line):
    """A sweep with made-up weights of three experts in two layers."""
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=(len(DEPTHS), 2))
    used = 1.0 + weights[..., 0]
    dims = ("moire_depth", "layer", "expert")
    return line.assign(
        expert_weight=(dims, weights),
        expert_weight_error=(dims, 0.01 * weights),
        experts_used=(dims[:2], used),
        experts_used_error=(dims[:2], 0.01 * used),
    )


def test_weights_of_experts_are_published_with_their_errors(reported, tmp_path):
    data = routed(reported.line.squeeze())
    with figure_style():
        _routing(data, "sweep", reported.run.config(), Folder(tmp_path))
    with open(tmp_path / "sweep-routing.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(DEPTHS)
    here = data.isel(moire_depth=1, layer=0)
    assert float(rows[2]["expert_3"]) == float(here["expert_weight"][2])
    assert float(rows[2]["expert_3_error"]) == float(here["expert_weight_error"][2])
    assert float(rows[2]["experts_used_error"]) == float(here["experts_used_error"])


def test_routing_figure_draws_a_panel_a_layer(reported):
    data, ranges = routed(reported.line.squeeze()), reported.run.config().contexts
    weights, used = data["expert_weight"].values, data["experts_used"].values
    with figure_style():
        first, second, count = figures.sweep_routing(data, ranges).axes
    for layer, axes in enumerate((first, second)):
        assert all(drawn(axes, DEPTHS, weights[:, layer, expert]) for expert in range(3))
        assert drawn(count, DEPTHS, used[:, layer])


def test_figures_without_exact_values_have_no_residual(reported):
    data = reported.line.drop_vars([name for name in reported.line if name.startswith("exact_")])
    with figure_style():
        assert len(figures.sweep_energy(data, {}).axes) == 2
        (axes,) = figures.sweep_interaction(data, {}).axes
    assert drawn(axes, DEPTHS, data["coulomb"].values)


def test_heat_maps_put_each_value_over_its_parameters(reported):
    with figure_style():
        figure = figures.sweep_maps(reported.plane, reported.run.config().contexts)
    for axes, name in zip(figure.axes[:2], ("energy", "coulomb"), strict=True):
        (mesh,) = axes.collections
        np.testing.assert_array_equal(mesh.get_array(), reported.plane[name].transpose().values)
    np.testing.assert_allclose(cell_edges(np.array([0.0, 1.0, 3.0])), [-0.5, 0.5, 2.0, 4.0])


def test_densities_are_drawn_to_the_scale_of_their_moire_constant(reported):
    cell = reported.run.config().system.lattice()
    chosen = snapshots.spread_indices((5,))
    with figure_style():
        figure = snapshots.sweep_densities(reported.line, chosen, cell, [7.0, 8.0, 8.5, 9.0, 10.0])
    assert [index for (index,) in chosen] == [0, 1, 2, 3, 4]
    for axes, length in zip(figure.axes, [7.0, 8.0, 8.5, 9.0, 10.0], strict=False):
        left, right = axes.get_xlim()
        assert right - left == pytest.approx(4 * length)  # four moiré periods
        outline = points_of(axes)[-1]
        area = abs(np.linalg.det(outline[1:3] - outline[:1]))
        assert area == pytest.approx(3 * CELL_AREA * length**2)


def test_structure_factors_are_drawn_at_their_wavevectors_and_opposites(reported):
    cell, length = reported.run.config().system.lattice(), 8.0
    with figure_style():
        figure = snapshots.sweep_structure(reported.line, [(1,), (4,)], cell, [length, 2 * length])
    waves = np.stack([reported.line["q_x"].values, reported.line["q_y"].values], axis=1)
    for axes, index, scale in zip(figure.axes, (1, 4), (length, 2 * length), strict=False):
        (discs,) = axes.collections
        values = reported.line["structure_factor"].values[index]
        np.testing.assert_allclose(discs.get_offsets(), np.concatenate([waves, -waves]) / scale)
        np.testing.assert_array_equal(discs.get_array(), np.concatenate([values, values]))
        zone, corners, harmonics = points_of(axes)
        assert np.linalg.norm(corners, axis=1) == pytest.approx(4 * math.pi / 3 / scale)
        assert {tuple(k) for k in (MOIRE_CORNERS / scale).round(9)} <= {tuple(k) for k in corners.round(9)}
        assert np.linalg.norm(np.diff(zone, axis=0), axis=1) == pytest.approx(4 * math.pi / 3 / scale)
        assert np.linalg.norm(harmonics, axis=1) == pytest.approx(4 * math.pi / math.sqrt(3) / scale)


def test_pair_correlations_are_drawn_against_distance(reported):
    data = reported.line.squeeze()
    data = data.assign(
        pair_correlation_opposite=2 * data["pair_correlation"],
        pair_correlation_opposite_error=data["pair_correlation_error"],
    )
    with figure_style():
        equal, opposite = snapshots.sweep_pairs(data, [(0,), (3,)], [8.0, 9.0]).axes
    for axes, name in ((equal, "pair_correlation"), (opposite, "pair_correlation_opposite")):
        for index, length in ((0, 8.0), (3, 9.0)):
            assert drawn(axes, length * data["distance"].values, data[name].values[index])


def test_single_contexts_show_their_correlations(reported):
    for name in ("density", "structure", "pairs"):
        assert (reported.directory / f"sweep-003-{name}.png").stat().st_size > 5000
    point = reported.point.squeeze()
    rows = read_csv(reported.directory / "sweep-003-structure.csv")
    assert [float(row["structure_factor"]) for row in rows] == point["structure_factor"].values.tolist()
    lengths = [math.hypot(float(row["q_x_nm^-1"]), float(row["q_y_nm^-1"])) for row in rows]
    assert min(lengths) == pytest.approx(4 * math.pi / 3 / 8.031)  # three cells: K is the shortest
    rows = read_csv(reported.directory / "sweep-003-pairs.csv")
    assert [float(row["pair_correlation"]) for row in rows] == point["pair_correlation"].values.tolist()
    assert "S(K), a peak in the √3 × √3 crystal: 0.500(12)." in reported.text


def test_forces_stand_beside_the_slope_of_the_energy(reported):
    line = reported.line.squeeze()
    force, residual = np.linspace(-10.0, -30.0, 5), np.linspace(0.1, 0.3, 5)
    data = line.assign(
        force_moire_depth=("moire_depth", force, {"units": "meV degree^-1"}),
        residual_moire_depth=("moire_depth", residual, {"units": "meV degree^-1"}),
        **{f"{kind}_moire_depth_error": ("moire_depth", np.full(5, 0.1)) for kind in ("force", "residual")},
    )
    with figure_style():
        above, below = figures.sweep_forces(data, {}).axes
    x, energies = np.array(DEPTHS), data["energy"].values
    assert drawn(above, DEPTHS, force)
    assert drawn(above, (x[1:] + x[:-1]) / 2, np.diff(energies) / np.diff(x))
    assert drawn(below, DEPTHS, residual)
    assert below.get_ylabel() == "residual per\nelectron (meV degree⁻¹)"
    table = slope_columns(data)
    assert table.header == ["moire_depth", "slope_meV_degree^-1", "slope_error_meV_degree^-1"]
    expected = [(x[1:] + x[:-1]) / 2, np.diff(energies) / np.diff(x)]
    np.testing.assert_allclose(np.array(table.rows)[:, :2].T, expected)


def test_what_no_other_figure_draws_is_drawn(reported):
    line = reported.line.squeeze()
    assert "bragg_moire" not in _drawn_nowhere_else(line)
    assert "bragg_moire" in _drawn_nowhere_else(line.drop_vars(["bragg_sqrt3", "bragg_sqrt3_error"]))


def test_tables_beside_the_page_are_linked():
    name = "1-my a_M's-sweep-001.csv"
    link = '<a href="1-my%20a_M%27s-sweep-001.csv">1-my a_M&#x27;s-sweep-001.csv</a>'
    written = html.typeset(f"In units of a_M: {html.file(name)}, and not run.csv.")
    assert written == f"In units of <i>a</i><sub>M</sub>: {link}, and not run.csv."
    assert html.file(name) not in html.figure("title", f"From {html.file(name)}.", b"", [])


@pytest.mark.usefixtures("no_model")
def test_what_a_new_observable_measured_is_drawn(tmp_path):
    run = make_run(tmp_path / "run")
    data = fabricate(run.config(), {"moire_depth": DEPTHS})
    for name, values in (("nearest", np.arange(5.0)), ("nearest_error", np.full(5, 0.1))):
        data[name] = ("moire_depth", values, {"units": "a_M", "long_name": "distance of nearest neighbours"})
    write_sweep(data, run.sweep_directory)
    assert "(a) distance of nearest neighbours." in write_report(run).read_text()
    rows = read_csv(run.path / "report" / "sweep-001-others.csv")
    assert [float(row["nearest_a_M"]) for row in rows] == [0, 1, 2, 3, 4]
    with figure_style():
        (axes,) = figures.sweep_others(data, ["nearest"], {}).axes
    assert axes.get_ylabel() == "nearest (a_M)"
    assert drawn(axes, DEPTHS, np.arange(5.0))


def test_at_most_six_values_cover_a_sweep():
    assert snapshots.spread_indices(()) == [()]
    assert snapshots.spread_indices((21,)) == [(0,), (4,), (8,), (12,), (16,), (20,)]
    assert snapshots.spread_indices((9, 4)) == [(0, 0), (4, 0), (8, 0), (0, 3), (4, 3), (8, 3)]
    assert len(snapshots.spread_indices((5, 5, 5))) == 6


def test_numbers_show_two_digits_of_the_smallest_error():
    assert decimals_for([0.0191, 0.3]) == 3
    assert fixed(-61.16712, 3) == "\N{MINUS SIGN}61.167"
    assert decimals_for([math.nan]) == 3

"""Configurations: overrides, checks, and the way back to a file."""

import pytest

from qernel.config import Config, UserError, load_config, parse_config, preset_names
from qernel.lattice import supercell_of
from qernel.units import CONTEXT_PARAMETERS


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_whole_and_survive_the_way_to_a_file_and_back(name, tmp_path):
    config = load_config(name)
    assert config.description
    assert config.system.filling is not None
    path = tmp_path / "again.toml"
    path.write_text(config.to_toml())
    assert load_config(str(path)) == config


def test_overrides_with_and_without_their_section(tiny):
    config = tiny("training.walkers=16", "moire_phase=30", "model.ansatz=psiformer", "filling=1")
    assert config.training.walkers == 16
    assert config.system.moire_phase == 30.0
    assert config.model.ansatz == "psiformer"


def test_last_override_wins(tiny):
    assert tiny("size=16", "size=24").model.size == 24


def test_ambiguous_values_are_read_as_toml(tiny):
    config = tiny("stages=[{steps=3,contexts=2},{steps=4,contexts=1}]", "real=false", "electrons=[1,1]")
    assert [(stage.steps, stage.contexts) for stage in config.training.stages] == [(3, 2), (4, 1)]
    assert config.training.steps == 7
    assert config.system.electrons == (1, 1)


@pytest.mark.parametrize("name", CONTEXT_PARAMETERS)
def test_every_context_parameter_is_a_key_of_the_system(name, tiny):
    low = getattr(tiny().system, name)
    config = tiny(f"contexts.{name}=[{low},{low + 1}]")
    assert config.contexts[name] == (low, low + 1)


def test_supercell_by_matrix_or_by_size(tiny):
    assert tiny().system.lattice() == supercell_of(3)
    tree = tiny().model_dump(exclude_none=True)
    del tree["system"]["cells"]
    tree["system"]["supercell"] = ((3, 0), (0, 2))
    assert parse_config(tree).system.lattice().cells == 6


MISTAKES = {
    "unknown key": (["model.heds=4"], ["unknown key model.heds", "'heads'"]),
    "unknown bare key": (["hedas=4"], ["unknown key hedas"]),
    "misspelt context": (["contexts.moire_dept=[0,1]"], ["'moire_dept'", "did you mean 'moire_depth'?"]),
    "misspelt key without its section": (["walkrs=3"], ["walkrs", "did you mean 'walkers'?"]),
    "no list": (["contexts.moire_depth=1"], ["moire_depth = 1", "list in brackets"]),
    "bracket left open": (["stages=[{steps=3"], ["stages=[{steps=3", "not valid TOML"]),
    "impossible end of a range": (
        ["contexts.dielectric_constant=[-1,5]"],
        ["dielectric_constant = -1", "greater than 0"],
    ),
    "no number": (["moire_depth=nan"], ["moire_depth", "finite"]),
    "no width": (["contexts.moire_depth=[1.0,1.0]"], ["moire_depth", "no width", "low < high"]),
    "reversed range": (["contexts.moire_depth=[2.0,1.0]"], ["no width"]),
    "no stage": (["training.stages=10"], ["training.stages = 10", "list of stages"]),
    "key of a stage": (
        ["training.stages=[{steps=10,context=4}]"],
        ["training.stages.0.context", "'contexts'"],
    ),
    "one end": (["contexts.moire_depth=[0.5]"], ["contexts.moire_depth has 1 entry", "upper end"]),
    "no spin": (["electrons=[]"], ["system.electrons has no entry", "[6, 0]"]),
    "a vector": (["supercell=3"], ["supercell = 3", "[[3, 0], [0, 3]]"]),
    "one spin": (["electrons=[6]"], ["system.electrons has 1 entry", "[6, 0]"]),
    "empty fraction": (["filling="], ["filling = ''", "fraction"]),
    "filling": (["filling=2/3"], ["3 electrons in 3", "filling of 1", "2/3"]),
    "no fraction": (["filling=1/0"], ["filling = '1/0'", "fraction"]),
    "too many": (["electrons=[30,0]"], ["30 electrons", "at most 21"]),
    "no electrons": (["electrons=[0,0]"], ["system.electrons", "not both zero"]),
    "singular": (["supercell=[[1,2],[2,4]]"], ["system.supercell", "singular"]),
    "two supercells": (["supercell=[[1,2],[2,1]]"], ["either cells or supercell"]),
    "dielectric constant": (["dielectric_constant=-1"], ["dielectric_constant = -1", "greater than 0"]),
    "walkers": (["walkers=9"], ["walkers = 9", "2 contexts"]),
    "few walkers": (["walkers=6"], ["at least 4 each"]),
    "not a number": (["walkers=many"], ["training.walkers = 'many'", "integer"]),
    "heads": (["heads=3"], ["size = 8", "heads = 3"]),
    "groups": (["heads=4", "groups=3"], ["heads = 4", "groups = 3"]),
    "ansatz": (["ansatz=qornel"], ["'qornel'", "'qernel', 'psiformer' or 'slaternet'"]),
    "real Bloch states": (["real=true"], ["orbitals = 'free'"]),
    "real twist": (["real=true", "orbitals=free"], ["model.real", "twist"]),
    "momentum": (["momentum=1.0"], ["optimizer.momentum = 1.0", "less than 1"]),
    "no range": (["contexts={}"], ["several contexts need a range"]),
    "no stages": (["stages=[]"], ["training.stages"]),
    "not an assignment": (["walkers"], ["'walkers'", "key=value"]),
    "value as section": (["system.cells.x=1"], ["'cells' is a value"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named_in_one_line(mistake, tiny):
    overrides, fragments = MISTAKES[mistake]
    with pytest.raises(UserError) as error:
        tiny(*overrides)
    message = str(error.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message
    assert "after validation" not in message


def test_dielectric_constant_has_no_default(tiny):
    tree = tiny().model_dump(exclude_none=True)
    del tree["system"]["dielectric_constant"]
    with pytest.raises(UserError, match="dielectric_constant is missing"):
        parse_config(tree)


def test_file_that_is_not_toml(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("[system\n")
    with pytest.raises(UserError, match="not valid TOML") as error:
        load_config(str(path))
    assert "\n" not in str(error.value)


def test_name_of_no_preset_suggests_one():
    with pytest.raises(UserError, match="did you mean 'pair'"):
        load_config("piar")


def test_configurations_do_not_change(tiny):
    config = tiny()
    with pytest.raises(ValueError, match="frozen"):
        config.description = "other"
    assert isinstance(config, Config)


@pytest.mark.parametrize(("optimizer", "rate"), [("spring", 0.05), ("muon", 0.01), ("adam", 0.003)])
def test_each_optimizer_has_a_rate_of_its_own(optimizer, rate):
    overrides = [f"optimizer.name={optimizer}"]
    assert load_config("six", overrides).optimizer.learning_rate == rate
    assert load_config("six", [*overrides, "learning_rate=0.02"]).optimizer.learning_rate == 0.02

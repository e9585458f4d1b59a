"""What a run is: system, family of contexts, ansatz, optimizer and training, as plain typed data.

A configuration is a TOML file or a preset, with `key=value` overrides. Everything a run used is written
back, resolved, to its directory. Unknown keys are errors.
"""

import difflib
import tomllib
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from qernel.lattice import Supercell, supercell_of
from qernel.units import CONTEXT_PARAMETERS, TWISTS

PRESETS = Path(__file__).parent / "presets"

_RATES = {"muon": 0.01, "adam": 0.003}  # the best of `benchmarks/optimizers.py`

#: Ansätze that can keep a total momentum exactly, which is then their default; others let momenta mix.
KEEP_MOMENTUM = ("qernel",)


class UserError(Exception):
    """A mistake in what the user asked for; its message is one line that says what to do."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SystemConfig(_Section):
    """The physical system, in laboratory units."""

    electrons: tuple[int, int] = Field(description="number of spin-up and spin-down electrons")
    cells: int | None = Field(default=None, ge=1, description="number of moiré cells (or give supercell)")
    supercell: tuple[tuple[int, int], tuple[int, int]] | None = Field(
        default=None, description="integer 2x2 matrix over the moiré lattice vectors (or give cells)"
    )
    filling: str | None = Field(
        default=None,
        coerce_numbers_to_str=True,
        description="electrons per moiré cell to insist on, e.g. '2/3'",
    )
    dielectric_constant: float = Field(gt=0, description="relative dielectric constant eps; no default")
    moire_depth: float = Field(default=1.0, ge=0, description="moiré depth lambda")
    moire_potential: float = Field(default=15.0, ge=0, description="moiré potential V0 in meV")
    moire_phase: float = Field(default=45.0, ge=-180, le=180, description="moiré phase phi in degrees")
    effective_mass: float = Field(default=0.35, gt=0, description="effective mass m* in electron masses")
    moire_constant: float = Field(default=8.031, gt=0, description="moiré constant a_M in nm")
    twist_1: float = Field(default=0.0, description="boundary twist along the first reciprocal vector")
    twist_2: float = Field(default=0.0, description="boundary twist along the second reciprocal vector")

    @field_validator("electrons")
    @classmethod
    def _some_electrons(cls, electrons):
        if min(electrons) < 0 or sum(electrons) == 0:
            raise ValueError("needs two counts (up, down) that are not negative and not both zero")
        return electrons

    @field_validator("supercell")
    @classmethod
    def _regular(cls, supercell):
        if supercell is not None:
            Supercell(supercell)
        return supercell

    @field_validator("filling")
    @classmethod
    def _fraction(cls, filling):
        try:
            Fraction(0 if filling is None else filling)
        except (ValueError, ZeroDivisionError):
            raise ValueError("needs to be a fraction such as '2/3'") from None
        return filling

    @model_validator(mode="after")
    def _consistent(self):
        if (self.cells is None) == (self.supercell is None):
            raise ValueError("give either cells or supercell")
        cells, count = self.lattice().cells, sum(self.electrons)
        if self.filling is not None and Fraction(self.filling) * cells != count:
            raise ValueError(
                f"{count} electrons in {cells} moiré cells are a filling of {Fraction(count, cells)},"
                f" not {self.filling}: set cells, electrons or filling accordingly"
            )
        if max(self.electrons) > 7 * cells:
            raise ValueError(f"{max(self.electrons)} electrons of one spin do not fit: at most {7 * cells}")
        return self

    def lattice(self) -> Supercell:
        """The supercell."""
        return Supercell(self.supercell) if self.supercell else supercell_of(self.cells or 1)

    def physical(self) -> dict[str, Any]:
        """All that the Hamiltonian depends on, the same however the supercell is written."""
        fields = self.model_dump(exclude={"cells", "filling"})
        return fields | {"supercell": self.lattice().matrix}

    def check_value(self, name: str, value: float) -> None:
        """Raises ValueError where a parameter of this system cannot have the value."""
        try:
            type(self).model_validate(self.model_dump() | {name: value})
        except ValidationError as error:
            raise ValueError(_explain(error.errors()[0])) from None

    def check_crystal(self) -> None:
        """Raises ValueError where the honeycomb crystal of the sqrt3 x sqrt3 order does not fit."""
        cell = self.lattice()
        if not cell.fits_crystal(sum(self.electrons)):
            raise ValueError(
                f"orbitals = 'crystal' needs filling 2/3 and cells that fit the sqrt3 x sqrt3 order, not"
                f" {sum(self.electrons)} electrons in {cell.cells} cells {cell.matrix}"
            )


Momentum = tuple[int, int]
SeveralMomenta = Annotated[tuple[Momentum, ...], Field(min_length=2)]


class ModelConfig(_Section):
    """The ansatz. `size` is the one dial; the other widths follow it unless given."""

    ansatz: Literal["qernel", "psiformer", "slaternet"] = "qernel"
    size: int = Field(default=48, ge=8, description="width of the feature stream")
    layers: int = Field(default=3, ge=1)
    heads: int = Field(default=8, ge=1, description="query heads (PsiFormer: heads)")
    groups: int = Field(default=2, ge=1, description="key/value heads of QERNEL's attention")
    head_size: int | None = Field(default=None, ge=1, description="default: size / heads")
    experts: int = Field(default=4, ge=1, description="routed experts beside the shared one")
    expert_size: int | None = Field(
        default=None, ge=1, description="hidden width of an expert; default: size / 2"
    )
    determinants: int = Field(default=4, ge=1)
    conditioned: bool = Field(default=True, description="whether the network sees the context")
    embedding: int = Field(default=8, ge=1, description="width of the context's embedding")
    moire_features: bool = Field(default=True, description="add sin and cos of the moiré harmonics")
    orbitals: Literal["bloch", "crystal", "free"] = Field(
        default="bloch",
        description="start from Bloch states, from those in the mean field of the honeycomb crystal at"
        " filling 2/3, or free",
    )
    sector: Literal["free", "lowest", "order"] | Momentum | SeveralMomenta = Field(
        default="lowest",
        description="total crystal momentum that psi keeps exactly: 'lowest' is that of non-interacting"
        " electrons, [n1, n2] names one in supercell reciprocal vectors, [[n1, n2], ...] several, one"
        " wavefunction for each of a network that they share, 'order' keeps the translations of"
        " the sqrt3 x sqrt3 order (the only one of crystal orbitals), 'free' lets momenta mix (the default of"
        " the baselines and of free orbitals)",
    )
    jastrow: bool = Field(default=True, description="pair Jastrow factor with the Coulomb cusp")
    real: bool = Field(default=False, description="real psi; needs free orbitals and no twist")

    @property
    def momentum(self) -> Momentum | None:
        """The one total momentum that `sector` names, if it does."""
        named = isinstance(self.sector, tuple) and not self.momenta
        return (self.sector[0], self.sector[1]) if named else None  # pyright: ignore[reportReturnType]

    @property
    def momenta(self) -> tuple[Momentum, ...]:
        """The total momenta of wavefunctions that share a network; none where there is but one."""
        if isinstance(self.sector, str):
            return ()
        return tuple(each for each in self.sector if isinstance(each, tuple))

    @property
    def sectors(self) -> int:
        """How many wavefunctions share the network."""
        return max(1, len(self.momenta))

    @field_validator("sector", mode="wrap")
    @classmethod
    def _one_of_its_forms(cls, sector, check):
        try:
            return check(sector)
        except ValidationError:
            raise ValueError(
                "needs to be 'free', 'lowest', 'order', a momentum [n1, n2], or a list of two or more momenta"
            ) from None

    @model_validator(mode="before")
    @classmethod
    def _default_sector(cls, given):
        """Without a choice, momenta are free where nothing could keep them."""
        if not isinstance(given, dict) or "sector" in given:
            return given
        orbitals, able = given.get("orbitals", "bloch"), given.get("ansatz", "qernel") in KEEP_MOMENTUM
        if able and orbitals == "crystal":
            return {**given, "sector": "order"}
        kept = able and orbitals == "bloch" and given.get("moire_features", True)
        return given if kept else {**given, "sector": "free"}

    @model_validator(mode="after")
    def _consistent(self):
        if self.heads % self.groups:
            raise ValueError(f"heads = {self.heads} must be a multiple of groups = {self.groups}")
        if self.head_size is None and self.size % self.heads:
            raise ValueError(
                f"size = {self.size} must be a multiple of heads = {self.heads}, or give head_size"
            )
        if (self.sector == "order") != (self.orbitals == "crystal"):
            raise ValueError("sector = 'order' and orbitals = 'crystal' need each other, and QERNEL")
        if self.sector != "free" and (self.ansatz not in KEEP_MOMENTUM or self.orbitals == "free"):
            able = ", ".join(KEEP_MOMENTUM)
            raise ValueError(
                f"sector = 'free' is the only one with free orbitals, and with ansätze other than {able}"
            )
        if self.sector != "free" and not self.moire_features:
            raise ValueError("moire_features = false leaves no features unless sector = 'free'")
        if self.sector != "free" and (self.head_size or self.size // self.heads) % 2:
            raise ValueError("heads need an even head_size unless sector = 'free': channels turn in pairs")
        if self.real and self.orbitals != "free":
            raise ValueError("real = true needs orbitals = 'free': Bloch states are complex")
        return self


class OptimizerConfig(_Section):
    """The optimizer; the learning rate decays as learning_rate / (1 + t / decay_steps)."""

    name: Literal["spring", "minsr", "kfac", "muon", "adam"] = "spring"
    learning_rate: float = Field(default=0.05, gt=0, description="left out, 0.01 for Muon and 0.003 for Adam")
    decay_steps: float = Field(default=1000.0, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="SPRING's mu")
    damping: float = Field(default=1e-3, gt=0)
    norm_bound: float = Field(
        default=1e-4,
        gt=0,
        description="largest squared Fisher length of a late step, of all but Muon and Adam",
    )
    first_norm_bound: float = Field(
        default=0.03, gt=0, description="that of the first step; falls to `norm_bound`"
    )
    keep_scores: bool = Field(
        default=True,
        description="SPRING and MinSR: all walkers' scores in memory; false: computed anew for every use",
    )

    @model_validator(mode="before")
    @classmethod
    def _default_rate(cls, given):
        """Steps of Muon and Adam have a length of their own, whatever the gradient's."""
        if not isinstance(given, dict) or given.get("name") not in _RATES:
            return given
        return {"learning_rate": _RATES[given["name"]], **given}


class Stage(_Section):
    """A stretch of training with a fixed number of contexts."""

    steps: int = Field(ge=1)
    contexts: int = Field(default=1, ge=1)


class TrainingConfig(_Section):
    """Sampling and schedule."""

    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    start: str | None = Field(
        default=None,
        description="run or shipped model to start from instead of random weights",
    )
    within: dict[str, tuple[float, float]] = Field(
        default={},
        description="part of the ranges of [contexts] that contexts are drawn from, [low, high] by parameter;"
        " low = high for one value",
    )
    walkers: int = Field(default=256, ge=4, description="walkers in all, shared evenly by the contexts")
    moves: int = Field(default=4, ge=1, description="Langevin moves between optimization steps")
    burn_in: int = Field(default=100, ge=0, description="moves before the first step")
    refresh_burn_in: int = Field(default=20, ge=0, description="moves after contexts are redrawn")
    refresh_every: int = Field(default=500, ge=1, description="steps between redraws of the contexts")
    adaptive: bool = Field(
        default=False,
        description="draw more contexts where the local energy varies more, with weights that keep the loss",
    )
    stages: tuple[Stage, ...] = Field(min_length=1)
    microbatch: int = Field(default=32, ge=1, description="walkers worked on together (no effect on results)")
    precision: Literal["float32", "float64"] = "float32"
    checkpoint_seconds: float = Field(default=60.0, gt=0)

    @property
    def steps(self) -> int:
        """Optimization steps in all."""
        return sum(stage.steps for stage in self.stages)

    @model_validator(mode="after")
    def _consistent(self):
        for stage in self.stages:
            if self.walkers % stage.contexts or self.walkers // stage.contexts < 4:
                raise ValueError(
                    f"walkers = {self.walkers} must split evenly over {stage.contexts} contexts,"
                    " at least 4 each"
                )
        return self


class Config(_Section):
    """A whole run. `contexts` maps each varying parameter to its range [low, high]."""

    description: str = ""
    cost: str = ""
    system: SystemConfig
    contexts: dict[str, tuple[float, float]] = {}
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig

    @field_validator("contexts")
    @classmethod
    def _ranges(cls, contexts):
        for name, (low, high) in contexts.items():
            if name not in CONTEXT_PARAMETERS:
                raise ValueError(f"'{name}' cannot be a context{suggestion(name, CONTEXT_PARAMETERS)}")
            if not low < high:
                raise ValueError(f"{name} = [{low}, {high}] has no width: give [low, high] with low < high")
        return contexts

    @model_validator(mode="after")
    def _consistent(self):
        if self.model.momenta and self.optimizer.name == "kfac":
            raise ValueError("optimizer.name = 'kfac' cannot train several momenta: give one model.sector")
        momenta, cell = self.model.momenta, self.system.lattice()
        if len(set(map(cell.momentum_class, momenta))) < len(momenta):
            raise ValueError(f"model.sector = {list(map(list, momenta))}: two of them are one momentum")
        sectors = self.model.sectors
        for stage in self.training.stages:
            if stage.contexts % sectors:
                raise ValueError(
                    f"training.stages: contexts = {stage.contexts} is no multiple of {sectors}, the number of"
                    " momenta"
                )
        if not self.contexts and any(stage.contexts > sectors for stage in self.training.stages):
            raise ValueError(
                "several contexts need a range: add e.g. contexts.moire_depth = [0.5, 2.0],"
                f" or {f'give contexts = {sectors}' if momenta else 'leave contexts out'} in training.stages"
            )
        for name, ends in self.contexts.items():
            for value in ends:
                self.system.check_value(name, value)
        if self.model.orbitals == "crystal":
            self.system.check_crystal()
        twisted = self.system.twist_1 or self.system.twist_2 or set(TWISTS) & set(self.contexts)
        if self.model.real and twisted:
            raise ValueError("model.real = true cannot carry a twist")
        for name, (low, high) in self.training.within.items():
            if name not in self.contexts:
                varying = ", ".join(self.contexts) or "none"
                raise ValueError(f"training.within: the contexts are {varying}, '{name}' is not among them")
            least, most = self.contexts[name]
            if not least <= low <= high <= most:
                raise ValueError(f"training.within.{name} = [{low}, {high}] is not inside [{least}, {most}]")
        return self

    @property
    def trained(self) -> dict[str, tuple[float, float]]:
        """The ranges that contexts are drawn from: `contexts`, or the part that `training.within` leaves."""
        return {name: self.training.within.get(name, whole) for name, whole in self.contexts.items()}

    @property
    def context_names(self) -> tuple[str, ...]:
        """What the entries of a context of training are; the last may be the number of a sector."""
        return (*self.contexts, *(["sector"] if self.model.momenta else []))

    def to_toml(self) -> str:
        """The resolved configuration, readable by `load_config`."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))


def load_config(source: str, overrides: Iterable[str] = ()) -> Config:
    """Read a preset's name or a TOML file, apply `key=value` overrides, and check everything.

    Keys are dotted (training.walkers=512); the section may be left out where the name is unique.
    Raises UserError naming key, value and what is allowed.
    """
    return overridden(_read(source), overrides)


def overridden(tree: dict[str, Any], overrides: Iterable[str]) -> Config:
    """A nested dictionary with `key=value` overrides, checked; raises UserError.

    Another optimizer than the dictionary's comes with its own learning rate, unless an override gives one.
    """
    before, named = _optimizer_of(tree).get("name", "spring"), set()
    for override in overrides:
        key, value = _parse_override(override)
        _assign(tree, key, value)
        named.add(key[-1])
    optimizer = _optimizer_of(tree)
    if optimizer.get("name", "spring") != before and not named & {"learning_rate", "optimizer"}:
        optimizer.pop("learning_rate", None)
    return parse_config(tree)


def _optimizer_of(tree: dict[str, Any]) -> dict[str, Any]:
    section = tree.get("optimizer")
    return section if isinstance(section, dict) else {}


def parse_config(tree: dict[str, Any]) -> Config:
    """Check a nested dictionary; raises UserError."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UserError("; ".join(map(_explain, _causes(error.errors())))) from None


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def _read(source: str) -> dict[str, Any]:
    path = PRESETS / f"{source}.toml"
    if not path.is_file():
        path = Path(source)
    if not path.is_file():
        names = preset_names()
        raise UserError(f"'{source}' is neither a file nor a preset{suggestion(source, names)}")
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}") from None


def _parse_override(override: str) -> tuple[list[str], Any]:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"'{override}' is not of the form key=value, e.g. training.walkers=512")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if text.lstrip().startswith(("[", "{")):
            raise UserError(f"{override}: the value is not valid TOML: {error}") from None
        value = text
    return _qualify(key.strip().split(".")), value


def _qualify(key: list[str]) -> list[str]:
    """Put the section in front of a bare key that only one section has."""
    if len(key) > 1 or key[0] in Config.model_fields:
        return key
    owners = [name for name, section in _SECTIONS.items() if key[0] in section.model_fields]
    return [owners[0], *key] if len(owners) == 1 else key


def _assign(tree: dict[str, Any], key: list[str], value: Any) -> None:
    for part in key[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise UserError(f"{'.'.join(key)}: '{part}' is a value, not a section")
    tree[key[-1]] = value


_SECTIONS: dict[str, type[BaseModel]] = {
    "system": SystemConfig,
    "model": ModelConfig,
    "optimizer": OptimizerConfig,
    "training": TrainingConfig,
}


def _causes(problems: Sequence[Any]) -> list[Any]:
    """Without complaints that a list is short where its entries are wrong, and of one missing entry each."""

    def is_consequence(problem: Any) -> bool:
        at = problem["loc"]
        inside = [each["loc"] for each in problems if len(each["loc"]) > len(at)]
        return problem["type"] == "too_short" and any(loc[: len(at)] == at for loc in inside)

    def is_repeated(problem: Any) -> bool:
        at = problem["loc"]
        first = [each["loc"] for each in problems if each["type"] == "missing"]
        return problem["type"] == "missing" and at[-1] == 1 and (*at[:-1], 0) in first

    return [each for each in problems if not is_consequence(each) and not is_repeated(each)]


def _explain(problem: Any) -> str:
    """One line for one pydantic error: key, value, and what is allowed."""
    location = [str(part) for part in problem["loc"]]
    key = ".".join(part for part in location if "[" not in part)  # literal[...]: one of several kinds
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        if len(location) == 1:
            everywhere = (name for section in _SECTIONS.values() for name in section.model_fields)
            return f"unknown key {key}{suggestion(key, [*Config.model_fields, *everywhere])}"
        section = Stage if "stages" in location[:-1] else _SECTIONS.get(location[0], Config)
        return f"unknown key {key}{suggestion(location[-1], section.model_fields)}"
    if problem["type"] == "missing" and location[-1].isdigit():
        count = "1 entry" if location[-1] == "1" else "no entry"
        return f"{'.'.join(location[:-1])} has {count}, and needs more: {_example(location)}"
    if problem["type"] == "missing":
        return f"{key} is missing: it has no default"
    if problem["type"] == "tuple_type":
        message = _example(location)
    if problem["type"] == "too_short":
        least = problem["ctx"]["min_length"]
        message = f"needs {least} {'entry' if least == 1 else 'entries'} at least"
    value = problem["input"]
    shown = f" = {value!r}" if key and not isinstance(value, dict | BaseModel) else ""
    return f"{key or 'configuration'}{shown}: {message[0].lower()}{message[1:]}"


def _example(location: list[str]) -> str:
    if "stages" in location:
        return "give a list of stages, e.g. [{steps=600, contexts=4}]"
    if location[0] == "contexts" or "within" in location:
        return "give a list in brackets, the lower and the upper end, e.g. [0.5, 1.6]"
    if "supercell" in location:
        return "give two vectors in brackets, e.g. [[3, 0], [0, 3]]"
    return "give a list in brackets, e.g. [6, 0]"


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name: the known one that is meant, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}"

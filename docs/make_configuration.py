"""Write docs/configuration.md from the configuration's own types.

python docs/make_configuration.py           # writes the page
python docs/make_configuration.py --check   # fails if the page is out of date
"""

import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from qernel.config import (
    Config,
    ModelConfig,
    OptimizerConfig,
    Stage,
    SystemConfig,
    TrainingConfig,
    preset_names,
)
from qernel.runs import _FREE as FREE_TO_CHANGE
from qernel.units import CONTEXT_PARAMETERS

PAGE = Path(__file__).with_name("configuration.md")
SECTIONS: dict[str, type[BaseModel]] = {
    "system": SystemConfig,
    "model": ModelConfig,
    "optimizer": OptimizerConfig,
    "training": TrainingConfig,
}
SIGNS = {Gt: (">", "gt"), Ge: ("≥", "ge"), Lt: ("<", "lt"), Le: ("≤", "le")}

INTRODUCTION = """\
# Configuration

*Written by `docs/make_configuration.py` from the types in `src/qernel/config.py`; do not edit.*

A configuration is a TOML file with the sections below, or one of the presets ({presets}), which
`qernel presets NAME` prints as a template. On the command line and in `qernel.load_config`,
`key=value` overrides replace single entries: `training.walkers=512`, or `walkers=512`, because the
section may be left out where only one has such a key. Values are TOML, and anything that is not is
taken as text; quote brackets for the shell: `'training.stages=[{{steps=400, contexts=4}}]'`.

Unknown keys are errors, with a suggestion. A run keeps its resolved configuration in `config.toml`,
which can be given to `qernel train` in turn. To resume, every entry has to be the same, except
{free} and the texts `description` and `cost`.
"""

CONTEXTS = """\
## [contexts]

One line `name = [low, high]` for each parameter that varies over the family, in the order of the
context's entries; an empty section trains at the fixed parameters of `[system]`. Which may vary:

| name | unit | |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    free = ", ".join(f"`{'.'.join(key)}`" for key in sorted(FREE_TO_CHANGE))
    presets = ", ".join(f"`{name}`" for name in preset_names())
    parts = [INTRODUCTION.format(presets=presets, free=free)]
    for name, section in SECTIONS.items():
        parts.append(f"## [{name}]\n\n{_summary(section)}\n\n{_table(section)}")
        if name == "system":
            rows = (f"| `{key}` | {unit} | {text} |" for key, (unit, text) in CONTEXT_PARAMETERS.items())
            parts.append(CONTEXTS + "\n".join(rows) + "\n")
    parts.append(f"## Each of training.stages\n\n{_summary(Stage)}\n\n{_table(Stage)}")
    top = {name: field for name, field in Config.model_fields.items() if name not in (*SECTIONS, "contexts")}
    parts.append("## Outside the sections\n\n" + _rows(top))
    return "\n".join(parts)


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip()


def _table(model: type[BaseModel]) -> str:
    return _rows(model.model_fields)


def _rows(fields: dict[str, FieldInfo]) -> str:
    lines = ["| key | value | default | |", "|---|---|---|---|"]
    for name, field in fields.items():
        cells = (f"`{name}`", _allowed(field), _default(field), field.description or "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _allowed(field: FieldInfo) -> str:
    """Type and bounds, e.g. integer ≥ 1."""
    bounds = [
        f"{sign} {getattr(bound, attribute):g}"
        for bound in field.metadata
        for kind, (sign, attribute) in SIGNS.items()
        if isinstance(bound, kind)
    ]
    return " ".join([_type(field.annotation), ", ".join(bounds)]).strip()


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f'`"{value}"`' for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(each) for each in arguments if each is not type(None))
    if origin is Annotated:
        return _type(arguments[0])
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"list of {_type(arguments[0])}s"
        return f"[{', '.join(_type(each) for each in arguments)}]"
    if origin is dict:
        return f"{{name = {_type(arguments[1])}}}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.__name__.lower()
    return {int: "integer", float: "number", str: "text", bool: "true or false"}[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value in (None, "", {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value:g}`"


def main() -> None:
    """Write the page, or with --check compare it."""
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE} is out of date: run python docs/make_configuration.py")


if __name__ == "__main__":
    main()

"""How long contexts are sampled, as commands that measure ask for it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

from cyclopts import Parameter, Token

from qernel.config import UserError
from qernel.measurement import Effort, check_effort


def _energy(_, tokens: Sequence[Token]) -> float:
    """A number of meV, with or without the unit."""
    text = tokens[0].value
    try:
        return float(text.removesuffix("meV"))
    except ValueError:
        raise UserError(f"--target-error is an energy in meV per electron, e.g. 0.01, not {text}") from None


@Parameter(name="*")
@dataclass(frozen=True)
class Sampling:
    """Walkers and samples of a measurement."""

    walkers: Annotated[int, Parameter(help="Walkers per context.")] = Effort().walkers
    samples: Annotated[int, Parameter(help="Samples per walker.")] = Effort().samples
    equilibration: Annotated[
        int, Parameter(help="Samples thrown away at least; more while walkers drift.")
    ] = Effort().equilibration
    moves: Annotated[int, Parameter(help="Langevin moves between samples.")] = Effort().moves
    seed: Annotated[int, Parameter(help="Seed of the random numbers.")] = Effort().seed
    target_error: Annotated[
        float | None,
        Parameter(
            converter=_energy,
            help="Sample on until the energy's error is below this, in meV per electron.",
        ),
    ] = None

    def effort(self, **others) -> Effort:
        """All that is asked for; raises UserError where nothing could be measured by it."""
        effort = Effort(**asdict(self), **others)
        check_effort(effort)
        return effort

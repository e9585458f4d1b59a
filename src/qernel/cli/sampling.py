"""How long contexts are sampled, as commands that measure ask for it."""

from dataclasses import asdict, dataclass
from typing import Annotated

from cyclopts import Parameter

from qernel.measurement import Effort, check_effort


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
        float | None, Parameter(help="Sample on until the energy's error is below this, in meV per electron.")
    ] = None

    def effort(self, **others) -> Effort:
        """All that is asked for; raises UserError where nothing could be measured by it."""
        effort = Effort(**asdict(self), **others)
        check_effort(effort)
        return effort

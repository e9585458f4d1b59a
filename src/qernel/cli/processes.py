"""The processes that work on one command together."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from qernel.cli.application import console
from qernel.processes import has_others, is_first, join


@Parameter(name="*")
@dataclass(frozen=True)
class Processes:
    """How this process finds the others that share the walkers with it, if there are others."""

    distributed: Annotated[
        bool, Parameter(negative="", help="One of the processes that srun or mpirun started.")
    ] = False
    coordinator: Annotated[str | None, Parameter(help="HOST:PORT of process 0; without srun.")] = None
    processes: Annotated[int | None, Parameter(help="How many processes; with --coordinator.")] = None
    process: Annotated[int | None, Parameter(help="Which one this is, from 0; with --coordinator.")] = None

    def join(self) -> None:
        """Join the others; all but the first print nothing from here on."""
        asked = self.distributed or (self.coordinator, self.processes, self.process) != (None, None, None)
        if asked and not has_others():
            join(self.coordinator, self.processes, self.process)
            console.quiet = not is_first()

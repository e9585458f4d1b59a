"""The application that commands add themselves to, and how it ends."""

import re
import sys
import traceback
import warnings
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError
from rich.console import Console

import qernel
from qernel.config import UserError
from qernel.processes import has_others, is_loss, leave

app = App(
    name="qernel",
    version=qernel.__version__,
    help="One neural wavefunction for a whole family of interacting-electron problems.",
    default_parameter=Parameter(negative_iterable=()),  # no --empty-over and the like
)
console = Console()


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. A user's mistake, or a file's, is one line on standard error and exit code 2."""
    warnings.showwarning = lambda message, *_: print(f"qernel: {message}", file=sys.stderr)
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except UserError as error:
        _fail(str(error))
    except UnusedCliTokensError as error:
        tokens = " ".join(error.unused_tokens or [])
        _fail(f"not understood: {tokens}; is an option's name missing? --help lists them")
    except CycloptsError as error:
        _fail(re.sub(r"\s+", " ", str(error)))
    except KeyboardInterrupt:
        leave(130)
    except Exception as error:
        if is_loss(error):
            _fail(f"another process was lost; the same command starts again ({str(error).splitlines()[0]})")
        if not has_others():
            if isinstance(error, OSError) and error.filename:
                _fail(f"{error.filename}: {error.strerror}")
            raise
        traceback.print_exc()
        leave(1)


def _fail(message: str) -> None:
    print(f"qernel: {message}", file=sys.stderr)
    leave(2)

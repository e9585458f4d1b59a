"""Several processes as one run: how they join, who writes, what all have to agree on, how they end.

Every process runs the same program on its own devices and comes to the same collective operations in the
same order. What only one of them can know, a clock or a signal, is agreed on before anything follows from
it. The first process alone writes files and prints.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from qernel.config import UserError


def join(coordinator: str | None, count: int | None, index: int | None) -> None:
    """Become process `index` of `count`, of which the first listens at `coordinator`, host:port.

    What is None comes from SLURM, Open MPI or Kubernetes. To be called before anything is computed. Raises
    UserError where they do not say it, or where the address cannot be used.
    """
    # It would catch SIGTERM, which asks for an orderly stop here.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator, count, index, cluster_detection_method="deactivate" if coordinator else None
        )
    except (ValueError, IndexError, RuntimeError) as error:
        raise UserError(
            f"cannot join the other processes ({error}): start them with srun or mpirun and --distributed,"
            " or each with --coordinator HOST:PORT --processes COUNT --process 0, 1, ..."
        ) from None


def has_others() -> bool:
    """Whether this process has joined others."""
    return jax.distributed.is_initialized()


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return jax.process_index() == 0


def anywhere(*flags: bool) -> list[bool]:
    """Which of the flags are up on any process. All of them have to ask."""
    return np.any(multihost_utils.process_allgather(np.array(flags)), axis=0).tolist()


def same_everywhere(number: int) -> bool:
    """Whether every process has this number. All of them have to ask."""
    return bool(np.all(multihost_utils.process_allgather(np.array(number)) == number))


def by_first(action: Callable[[], None]) -> None:
    """Let the first process do what only one may, while the others wait; if it fails, all end."""
    failure = None
    if is_first():
        try:
            action()
        except Exception as error:
            failure = error
    (failed,) = anywhere(failure is not None)
    if failure is not None:
        raise failure
    if failed:
        leave(2)  # the first process says why


def is_loss(error: BaseException) -> bool:
    """Whether an error says that another process is gone: its connections broke."""
    return has_others() and any(name in str(error) for name in ("Gloo", "NCCL"))


def leave(code: int) -> NoReturn:
    """End this process. Others beside it see it gone, where an orderly exit would wait for them."""
    if has_others():
        if is_first():
            time.sleep(1)  # it keeps the connections: those who met the same error can end by themselves
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)

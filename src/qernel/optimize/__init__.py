"""Optimizers, all behind optax's interface: one file each, listed in `make_optimizer`."""

from collections.abc import Callable

import jax
import optax
import optax.contrib

from qernel.config import OptimizerConfig, UserError
from qernel.hamiltonian.hamiltonian import Hamiltonian
from qernel.optimize.spring import spring

#: Optimizers whose update needs the scores of every walker.
NATURAL_GRADIENT = ("spring", "minsr")

_FALLS = 10.0  # steps in which the bound on a step falls by most of the way
_LAST_JAX_FOR_KFAC = (0, 9, 1)  # kfac-jax 0.0.8 fails on later ones


def make_optimizer(
    config: OptimizerConfig, hamiltonian: Hamiltonian | None = None
) -> optax.GradientTransformationExtraArgs:
    """The optimizer of a configuration; learning rates decay as lr / (1 + t / decay_steps).

    The bound on a step's length falls from `first_norm_bound` to `norm_bound`: from random weights the first
    ones have the longest way to go, and the later ones' length is mostly noise of the walkers.
    KFAC alone asks for the Hamiltonian, whose electrons and contexts it traces the wavefunction with.
    Raises UserError where KFAC is asked for without kfac-jax.
    """

    def learning_rate(count):
        return config.learning_rate / (1.0 + count / config.decay_steps)

    def norm_bound(count):
        further = config.first_norm_bound - config.norm_bound
        return config.norm_bound + further / (1.0 + count / _FALLS) ** 2

    if config.name in ("muon", "adam"):
        make = optax.contrib.muon if config.name == "muon" else optax.adam
        return optax.with_extra_args_support(make(learning_rate))
    if config.name == "kfac":
        make, limits = _import_kfac(), {"damping": config.damping, "norm_bound": norm_bound}
        return make(learning_rate, hamiltonian=hamiltonian, **limits)
    momentum = config.momentum if config.name == "spring" else 0.0
    return spring(learning_rate, momentum=momentum, damping=config.damping, norm_bound=norm_bound)


def _import_kfac() -> Callable[..., optax.GradientTransformationExtraArgs]:
    problem = f"this is JAX {jax.__version__}" if jax.__version_info__ > _LAST_JAX_FOR_KFAC else None
    try:
        if problem is None:
            from qernel.optimize.kfac import kfac

            return kfac
    except ImportError as error:
        problem = str(error)
    raise UserError(
        "optimizer.name=kfac needs kfac-jax, on Python 3.11 and JAX 0.9.1:"
        f" pip install 'qernel[kfac]' ({problem})"
    )

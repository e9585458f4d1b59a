"""Optimizers, all behind optax's interface: one file each, listed in `make_optimizer`."""

import optax

from qernel.config import OptimizerConfig
from qernel.optimize.spring import spring

#: Optimizers whose update needs the scores of every walker.
NATURAL_GRADIENT = ("spring", "minsr")


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformationExtraArgs:
    """The optimizer of a configuration; learning rates decay as lr / (1 + t / decay_steps)."""

    def learning_rate(count):
        return config.learning_rate / (1.0 + count / config.decay_steps)

    if config.name == "adam":
        return optax.with_extra_args_support(optax.adam(learning_rate))
    momentum = config.momentum if config.name == "spring" else 0.0
    return spring(learning_rate, momentum=momentum, damping=config.damping, norm_bound=config.norm_bound)

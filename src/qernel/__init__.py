"""QERNEL: one neural wavefunction for a whole family of interacting-electron problems."""

import jax

# Linear solves and accumulated energies need float64; every array states its own dtype.
jax.config.update("jax_enable_x64", True)
# GPUs would round the factors of float32 products to ten bits, unless the user has chosen a precision.
if jax.config.jax_default_matmul_precision is None:  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_default_matmul_precision", "highest")

__version__ = "0.1.0"

from qernel.config import Config, UserError, load_config, preset_names  # noqa: E402
from qernel.trained import Trained, load  # noqa: E402

__all__ = ["Config", "Trained", "UserError", "__version__", "load", "load_config", "preset_names"]

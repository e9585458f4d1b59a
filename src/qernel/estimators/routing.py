"""Which experts an ansatz with experts uses, and how evenly: it may change where the state does."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qernel.estimators.observable import Configuration, Observable, Result
from qernel.estimators.statistics import Accumulator
from qernel.hamiltonian.couplings import Couplings
from qernel.wavefunction.base import Wavefunction


class Routing(Observable):
    """The weight w_e of every expert in every layer, averaged over electrons, and exp(-sum_e w_e ln w_e).

    The latter is the number of experts that an electron uses: one if it goes to a single expert, all if its
    weights are equal. Other ansätze have neither.
    """

    def sample(self, model: Wavefunction, at: Configuration) -> dict[str, Array]:
        weights = model.routing(at.electrons, at.couplings)
        if weights is None:
            return {}
        entropy = jnp.sum(jax.scipy.special.entr(weights), axis=-1)
        return {"weight": jnp.mean(weights, axis=1), "used": jnp.mean(jnp.exp(entropy), axis=1)}

    def results(self, samples: Mapping[str, Accumulator], couplings: Couplings) -> dict[str, Result]:
        if not samples:
            return {}
        weight, used = (samples[name].estimate() for name in ("weight", "used"))
        return {
            "expert_weight": Result(
                weight.mean, weight.error, "1", "weight of the experts", ("layer", "expert")
            ),
            "experts_used": Result(used.mean, used.error, "1", "experts that an electron uses", ("layer",)),
        }

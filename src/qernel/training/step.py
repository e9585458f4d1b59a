"""One optimization step in two halves: move the walkers; measure local energies and update psi."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Complex, Float, Int, PyTree

from qernel.config import Config, TrainingConfig
from qernel.estimators.gradient import clipped_residual, energy_gradient
from qernel.estimators.local_energy import local_energies
from qernel.hamiltonian.couplings import Couplings
from qernel.hamiltonian.hamiltonian import Hamiltonian, couplings_of
from qernel.optimize import NATURAL_GRADIENT
from qernel.optimize.rows import score_rows
from qernel.sampling import Walkers, make_sampling
from qernel.training.emphasis import Emphasis
from qernel.wavefunction.base import Wavefunction


class TrainingState(eqx.Module):
    """Everything that training goes on from."""

    model: Wavefunction
    optimizer: PyTree
    walkers: Walkers
    contexts: Float[Array, "context entry"]  # parameters in laboratory units, and the sector of several
    step: Int[Array, ""]
    refused: Int[Array, ""]  # non-finite steps refused so far
    refused_in_a_row: Int[Array, ""]
    emphasis: Emphasis | None = None  # with `training.adaptive`


class StepMetrics(NamedTuple):
    """What one step saw, per context. Energies in meV per electron, before the update."""

    energy: Float[Array, " context"]
    components: Float[Array, "context component"]
    spread: Float[Array, " context"]  # sqrt(<|E_L|^2> - |<E_L>|^2), zero for an eigenstate
    imaginary: Float[Array, " context"]  # mean imaginary part; zero within error
    acceptance: Float[Array, " context"]
    weight: Float[Array, " context"]  # what it counts in the loss; 1 without `training.adaptive`
    refused: Bool[Array, ""]


#: (state, electrons and couplings, residual) -> gradient and what else the optimizer's update is made from.
_Basis = Callable[[TrainingState, tuple[Array, Couplings], Array], tuple[PyTree, dict[str, Any]]]


def training_sampling(training: TrainingConfig, hamiltonian: Hamiltonian, mesh: Mesh) -> Callable:
    """`make_sampling` as training does it."""
    dtype = jnp.dtype(training.precision)
    return make_sampling(hamiltonian, mesh, training.moves, dtype, training.microbatch, exchanges=True)


def make_optimization(
    config: Config,
    hamiltonian: Hamiltonian,
    optimizer: optax.GradientTransformationExtraArgs,
    mesh: Mesh,
) -> Callable[[TrainingState, Float[Array, " context"]], tuple[TrainingState, StepMetrics, Array]]:
    """Compiled (state, acceptance) -> (state, metrics, energies): measure energies, update the wavefunction.

    Energies are the local ones before the update, complex (context, walker), in E_M per supercell. A step
    whose energies or update are not finite leaves wavefunction and optimizer as they were.
    """
    training = config.training
    dtype = jnp.dtype(training.precision)
    natural = config.optimizer.name in NATURAL_GRADIENT
    basis = (_from_scores if natural else _from_gradient)(config, mesh)

    @eqx.filter_jit
    def optimize(state: TrainingState, acceptance) -> tuple[TrainingState, StepMetrics, Array]:
        couplings = couplings_of(hamiltonian, state.contexts, dtype)
        walkers = (state.walkers.electrons, couplings)
        energies = local_energies(
            state.model, hamiltonian, *walkers, mesh=mesh, microbatch=training.microbatch
        )
        parameters, static = eqx.partition(state.model, eqx.is_inexact_array)
        gradient, others = basis(state, walkers, clipped_residual(energies.total))
        update, memory = optimizer.update(gradient, state.optimizer, parameters, **others)
        good = _all_finite((energies, update, eqx.filter(memory, eqx.is_inexact_array)))
        emphasis = state.emphasis
        if emphasis is not None:
            positions = _positions(config, state.contexts)
            emphasis = _choose(good, emphasis.measured(positions, _spread(energies.total)), emphasis)
        parameters = _choose(good, jax.tree.map(jnp.add, parameters, update), parameters)
        state = TrainingState(
            model=eqx.combine(parameters, static),
            optimizer=_choose(good, memory, state.optimizer),
            walkers=state.walkers,
            contexts=state.contexts,
            step=state.step + 1,
            refused=state.refused + jnp.where(good, 0, 1),
            refused_in_a_row=jnp.where(good, 0, state.refused_in_a_row + 1),
            emphasis=emphasis,
        )
        weight = jnp.ones(len(acceptance)) if emphasis is None else emphasis.weights
        metrics = _metrics(energies, acceptance, couplings, hamiltonian.electrons, weight, good)
        return state, metrics, energies.total

    return optimize


def _from_scores(config: Config, mesh: Mesh) -> _Basis:
    """What a natural gradient takes: the scores of all walkers."""
    microbatch, keep = config.training.microbatch, config.optimizer.keep_scores

    def basis(state, walkers, residual):
        factors = None
        if state.emphasis is not None:
            factors, residual = state.emphasis.factors, state.emphasis.on_rows(residual)
        electrons, couplings = walkers
        batch = (state.model, electrons, couplings, mesh, microbatch)
        rows = score_rows(*batch, factors=factors, keep=keep)
        # The gradient is rows^T residual: of what stands in its place the optimizer sees the structure only.
        placeholder = eqx.filter(state.model, eqx.is_inexact_array)
        return placeholder, {"rows": rows, "residual": residual}

    return basis


def _from_gradient(config: Config, mesh: Mesh) -> _Basis:
    """What other optimizers take: the gradient of the energy."""
    microbatch = config.training.microbatch

    def basis(state, walkers, residual):
        if state.emphasis is not None:
            residual = state.emphasis.on_gradient(residual)
        electrons, couplings = walkers
        gradient = energy_gradient(state.model, electrons, couplings, residual, mesh, microbatch)
        return gradient, {"walkers": walkers}

    return basis


def _positions(config: Config, contexts: Float[Array, "context entry"]) -> Float[Array, "context parameter"]:
    """Where in their ranges the parameters of contexts are, from 0 to 1."""
    low, high = np.array(list(config.trained.values())).reshape(-1, 2).T
    return (contexts[:, : len(low)] - low) / np.where(high > low, high - low, 1.0)


def _metrics(energies, acceptance, couplings: Couplings, electrons: int, weight, good) -> StepMetrics:
    unit = couplings.energy_unit.astype(jnp.float64) / electrons
    total = energies.total.astype(jnp.complex128)
    return StepMetrics(
        energy=unit * jnp.mean(total.real, axis=1),
        components=unit[:, None] * jnp.mean(energies.components.astype(jnp.float64), axis=1),
        spread=unit * _spread(total),
        imaginary=unit * jnp.mean(total.imag, axis=1),
        acceptance=acceptance.astype(jnp.float64),
        weight=weight,
        refused=~good,
    )


def _spread(energies: Complex[Array, "context walker"]) -> Float[Array, " context"]:
    """The standard deviation of the local energy, its imaginary part included."""
    return jnp.std(energies.astype(jnp.complex128), axis=1)


def _all_finite(tree: PyTree) -> Bool[Array, ""]:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def _choose(condition: Bool[Array, ""], yes: PyTree, no: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)

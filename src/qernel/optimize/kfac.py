"""KFAC: the natural gradient with one Kronecker product per linear map, by the kfac-jax library.

The natural-gradient matrix S = < d log|psi| d log|psi| + d arg psi d arg psi > is taken block by block.
The block of a linear map y_i = x_i W (+ b) of n electrons is approximated by (Martens and Grosse,
arXiv:1503.05671)

    S_W = A (x) G / n,    A = < sum_i x_i x_i^T >,    G = < sum_i dy_i dy_i^T >,

with dy_i the derivatives of log|psi| or arg psi by y_i, and 1 appended to x_i where there is a bias. All
other parameters have the diagonal of S. The averages decay over steps; both halves of S enter together,
under random signs. With g = 2 Re < (E_L - E)* d log psi >, the whole energy gradient, the direction

    phi = (S + damping)^{-1} g / 2

is in the units of SPRING's. The step -lr phi is shortened where its squared length lr^2 phi^T S phi would
exceed a bound. Unlike SPRING's, scores are not centred in S: neither factor holds the score of a walker. With
`training.adaptive` g counts contexts with their weights, S as they are drawn.

Importing this module needs kfac-jax.
"""

import functools
import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from qernel.hamiltonian.couplings import Couplings
from qernel.hamiltonian.hamiltonian import Hamiltonian
from qernel.optimize.step_length import bounded_rate
from qernel.wavefunction.base import Wavefunction
from qernel.wavefunction.linear import Linear
from qernel.wavefunction.operations import as_complex, slogdet
from qernel.wavefunction.orbitals import BlochSeededOrbitals, FreeOrbitals, Orbitals

with warnings.catch_warnings():  # of its own and its dependencies' deprecations
    warnings.simplefilter("ignore")
    import kfac_jax  # pyright: ignore[reportMissingImports]

_MEMORY = 0.95  # by which the averages A and G decay per step


class KfacState(NamedTuple):
    """Number of updates made, and the averages that make up S."""

    count: Float[Array, ""]
    curvature: PyTree


def kfac(
    learning_rate: optax.Schedule, *, damping: float, norm_bound: optax.Schedule, hamiltonian: Hamiltonian
) -> optax.GradientTransformationExtraArgs:
    """The update as an optax transformation.

    Its `update` takes, besides optax's arguments, `walkers`: electrons (context, walker, electron, 2) and
    couplings with a leading context axis. The parameters are a wavefunction's.
    """

    def init(parameters):
        dtype = jax.tree.leaves(parameters)[0].dtype
        electrons = jnp.zeros((1, 1, hamiltonian.electrons, 2), dtype)
        couplings = hamiltonian.family.couplings(hamiltonian.family.middle())
        couplings = jax.tree.map(lambda x: x[None].astype(dtype), couplings)
        with jax.numpy_dtype_promotion("standard"):  # which kfac-jax relies on
            averages = _curvature().init(
                jax.random.key(0),
                (parameters, *_flat(electrons, couplings)),
                exact_powers_to_cache=None,
                approx_powers_to_cache=None,
            )
        return KfacState(jnp.zeros((), jnp.float64), averages)

    def update(gradient, state, parameters=None, *, walkers):
        curvature, batch = _curvature(), _flat(*walkers)
        with jax.numpy_dtype_promotion("standard"):
            averages = curvature.update_curvature_matrix_estimate(
                state.curvature,
                ema_old=_MEMORY,
                ema_new=1.0,
                identity_weight=damping,
                batch_size=len(batch[0]),
                rng=jax.random.fold_in(jax.random.key(0), state.count.astype(jnp.uint32)),
                func_args=(parameters, *batch),
            )
            averages = jax.tree.map(lambda new, old: new.astype(old.dtype), averages, state.curvature)
            exact = {"exact_power": True, "use_cached": False, "pmap_axis_name": None}
            force = jax.tree.map(lambda g: g.astype(jnp.float64) / 2, gradient)
            direction = curvature.multiply_inverse(averages, force, damping, **exact)
            along = curvature.multiply(averages, direction, 0.0, **exact)
        squared = optax.tree.vdot(direction, along)
        rate = bounded_rate(learning_rate(state.count), squared, norm_bound(state.count))
        step = jax.tree.map(lambda d, g: (-rate * d).astype(g.dtype), direction, gradient)
        return step, KfacState(state.count + 1, averages)

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def _curvature() -> kfac_jax.BlockDiagonalCurvature:
    """The blocks of S: as tagged below, and diagonal for every parameter without a tag."""

    def log_psi(parameters, electrons, couplings):
        values = jnp.stack(jax.vmap(_tagged(parameters))(electrons, couplings), axis=-1)
        # The Fisher information of a normal distribution of unit variance about (log|psi|, arg psi) is S.
        # In float64, because kfac-jax's constants are.
        kfac_jax.register_normal_predictive_distribution(values.astype(jnp.float64), variance=1.0)
        return jnp.zeros(())

    return kfac_jax.BlockDiagonalCurvature(
        log_psi,
        params_index=0,
        default_estimation_mode="fisher_curvature_prop",
        # No masking: outputs that nothing depends on, as attention's of one electron, are no padding.
        layer_tag_to_block_ctor={
            "repeated_dense": functools.partial(
                kfac_jax.RepeatedDenseKroneckerFactored,
                use_masking=False,  # pyright: ignore[reportCallIssue]
            ),
            "orbitals": functools.partial(
                _OrbitalBlock,
                use_masking=False,  # pyright: ignore[reportCallIssue]
            ),
        },
        auto_register_kwargs={"register_only_generic": True},
    )


def _flat(electrons: Float[Array, "context walker electron 2"], couplings: Couplings) -> tuple:
    """Walkers of all contexts in one row, each with its own couplings."""
    contexts, walkers = electrons.shape[:2]
    couplings = jax.tree.map(lambda x: jnp.repeat(x, walkers, axis=0), couplings)
    return electrons.reshape(contexts * walkers, *electrons.shape[2:]), couplings


def _tagged(model: Wavefunction) -> Wavefunction:
    """The same wavefunction, with its linear maps known to kfac-jax."""
    known = {Linear: _Linear, FreeOrbitals: _FreeOrbitals, BlochSeededOrbitals: _BlochSeededOrbitals}

    def tag(module):
        if type(module) not in known:
            return module
        tagged = object.__new__(known[type(module)])
        for name, value in vars(module).items():
            object.__setattr__(tagged, name, value)
        return tagged

    return jax.tree.map(tag, model, is_leaf=lambda module: type(module) in known)


class _Linear(Linear):
    def __call__(self, x):
        y = x @ self.weight if self.bias is None else x @ self.weight + self.bias
        variant = "repeated_dense" if x.ndim == 2 else "dense"
        return kfac_jax.register_dense(y, x, self.weight, self.bias, variant=variant)


class _TaggedOrbitals(Orbitals):
    """The network's part of the orbitals is one linear map to real and imaginary parts of all of them."""

    def network(self, x, couplings):
        parts, _, determinants, orbitals = self.weight.shape
        y = kfac_jax.register_dense(x @ _as_matrix(self.weight), x, self.weight, variant="orbitals")
        return as_complex(jnp.transpose(y.reshape(-1, parts, determinants, orbitals), (1, 2, 0, 3)))

    def determinants(self, x, electrons, couplings):
        return slogdet(self(x, electrons, couplings))


class _FreeOrbitals(_TaggedOrbitals, FreeOrbitals):
    pass


class _BlochSeededOrbitals(_TaggedOrbitals, BlochSeededOrbitals):
    pass


def _as_matrix(weight: Float[Array, "part width determinant orbital"]) -> Float[Array, "width output"]:
    return jnp.moveaxis(weight, 1, 0).reshape(weight.shape[1], -1)


class _OrbitalBlock(kfac_jax.RepeatedDenseKroneckerFactored):
    """Kronecker factors for weights whose inputs are their second axis."""

    def parameters_shaped_list_to_array(self, parameters_shaped_list):
        return _as_matrix(parameters_shaped_list[0])

    def array_to_parameters_shaped_list(self, array):
        ((parts, width, determinants, orbitals),) = self.parameters_shapes
        return (jnp.moveaxis(array.reshape(width, parts, determinants, orbitals), 0, 1),)

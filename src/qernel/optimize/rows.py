"""The centred scores of all walkers as a matrix, one row per walker and part, never put together.

Rows are ordered (context, walker, part), log|psi| before arg psi; every tensor of parameters has a block of
columns. The scores come relative to one walker's of their context (`qernel.estimators.gradient`). What is
missing to centre them is done to the products, which are smaller by far.
"""

import abc
import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, PyTree

from qernel.estimators.gradient import contracted_scores, of_scores, scores
from qernel.hamiltonian.couplings import Couplings
from qernel.wavefunction.base import Wavefunction

_PRECISION = jax.lax.Precision.HIGHEST  # GPUs would round the factors of float32 products to fewer digits


def score_rows(
    model: Wavefunction,
    electrons: Float[Array, "context walker electron 2"],
    couplings: Couplings,
    mesh: Mesh,
    microbatch: int,
    *,
    factors: Float[Array, " context"] | None = None,
    keep: bool = True,
) -> "Rows":
    """The rows of these walkers, each context's times its factor; with `keep`, all scores in memory."""
    factors = jnp.ones(len(electrons), electrons.dtype) if factors is None else factors
    if keep:
        kept = scores(model, electrons, couplings, mesh, microbatch)
        return KeptRows(scores=kept, factors=factors)
    batch = {"model": model, "electrons": electrons, "couplings": couplings}
    return RecomputedRows(**batch, mesh=mesh, microbatch=microbatch, factors=factors)


class Rows(eqx.Module):
    """The matrix, wherever its entries come from, and what a natural gradient does with it.

    The rows of each context are multiplied by its factor.
    """

    factors: eqx.AbstractVar[Float[Array, " context"]]

    @property
    @abc.abstractmethod
    def walkers(self) -> tuple[int, int]:
        """Numbers of contexts, and of walkers in each."""

    @property
    @abc.abstractmethod
    def columns(self) -> int:
        """The number of parameters."""

    @abc.abstractmethod
    def _along(self, direction: PyTree) -> Float[Array, "context walker part"]:
        """Inner products with a direction, up to a number for each context and part."""

    @abc.abstractmethod
    def _combine(self, weights: Float[Array, "context walker part"]) -> PyTree:
        """The sum of the rows with weights that are centred."""

    @abc.abstractmethod
    def _folded(self, folds: int) -> Float[Array, "context walker part folded"]:
        """Every tensor's columns folded, up to a row for each context and part."""

    @property
    def count(self) -> int:
        """The number of rows."""
        return 2 * math.prod(self.walkers)

    def along(self, direction: PyTree) -> Float[Array, " row"]:
        """The rows' inner products with a direction in parameter space."""
        return self._centred(self._along(direction)).reshape(-1)

    def combine(self, weights: Float[Array, " row"]) -> PyTree:
        """The sum of the rows with the given weights, as a pytree like the parameters."""
        return self._combine(self._centred(weights.reshape(*self.walkers, 2)))

    def sketched_gram(self, columns: int) -> Float[Array, "row row"]:
        """An unbiased estimate of the inner products of all rows, in float64, from about so many columns.

        Each tensor's columns are folded: those that are so far apart are added with random signs, the same
        at every call (Charikar, Chen and Farach-Colton, doi:10.1016/S0304-3975(03)00400-6). Where there are
        no more columns than asked for, none is folded and the estimate is exact.
        """
        sketch = self._centred(self._folded(-(-self.columns // columns)))
        first, second = jnp.split(sketch.reshape(self.count, -1), [self.count // 2])
        cross = product(first, second.T)  # and not its transpose: a quarter less to do
        matrix = jnp.block([[product(first, first.T), cross], [cross.T, product(second, second.T)]])
        return matrix.astype(jnp.float64)

    def _centred(self, x: Float[Array, "context walker ..."]) -> Float[Array, "context walker ..."]:
        """The means over the walkers of each context and part subtracted; times the contexts' factors."""
        factors = self.factors.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1))
        return factors * (x - jnp.mean(x, axis=1, keepdims=True))


class KeptRows(Rows):
    """Scores in memory: a pytree like the parameters with leaves (context, walker, part, ...)."""

    scores: PyTree
    factors: Float[Array, " context"]

    @property
    def walkers(self) -> tuple[int, int]:
        contexts, walkers, *_ = jax.tree.leaves(self.scores)[0].shape
        return contexts, walkers

    @property
    def columns(self) -> int:
        return sum(math.prod(leaf.shape[3:]) for leaf in jax.tree.leaves(self.scores))

    def _along(self, direction):
        return _products(self._by_context, direction).reshape(*self.walkers, 2)

    def _combine(self, weights):
        # Context by context: contracting all axes at once transposes the scores, three times slower. So does
        # the product of a single context's with one vector, ten times slower on a CPU, and not with two.
        vectors = 2 if len(weights) == 1 else 1
        repeated = jnp.stack([weights.reshape(len(weights), -1)] * vectors, axis=1)
        sums = [
            jnp.einsum("cvr,crp->cvp", repeated, columns, precision=_PRECISION)[:, 0].sum(axis=0)
            for columns in self._by_context
        ]
        leaves, structure = jax.tree.flatten(self.scores)
        shaped = [each.reshape(leaf.shape[3:]) for each, leaf in zip(sums, leaves, strict=True)]
        return jax.tree.unflatten(structure, shaped)

    def _folded(self, folds):
        return _fold(self._by_context, folds).reshape(*self.walkers, 2, -1)

    @property
    def _by_context(self) -> list[Float[Array, "context row parameter"]]:
        """Of each tensor. An axis of contexts and walkers in one would call all walkers to every device."""
        return [
            leaf.reshape(len(leaf), -1, math.prod(leaf.shape[3:])) for leaf in jax.tree.leaves(self.scores)
        ]


class RecomputedRows(Rows):
    """Scores computed anew, a microbatch at a time, for every product with them: slower, in little memory."""

    model: Wavefunction
    electrons: Float[Array, "context walker electron 2"]
    couplings: Couplings
    mesh: Mesh = eqx.field(static=True)
    microbatch: int = eqx.field(static=True)
    factors: Float[Array, " context"]

    @property
    def walkers(self) -> tuple[int, int]:
        contexts, walkers, *_ = self.electrons.shape
        return contexts, walkers

    @property
    def columns(self) -> int:
        parameters = eqx.filter(self.model, eqx.is_inexact_array)
        return sum(leaf.size for leaf in jax.tree.leaves(parameters))

    def _along(self, direction):
        return self._of_scores(lambda each, d: _products(_by_part(each), d), direction)

    def _combine(self, weights):
        return contracted_scores(
            self.model, self.electrons, self.couplings, weights, self.mesh, self.microbatch
        )

    def _folded(self, folds):
        return self._of_scores(lambda each, _: _fold(_by_part(each), folds), None)

    def _of_scores(self, function, argument):
        return of_scores(
            function, argument, self.model, self.electrons, self.couplings, self.mesh, self.microbatch
        )


def product(a: Float[Array, "... m"], b: Float[Array, "m ..."]) -> Float[Array, "..."]:
    """a b, at full precision on every device."""
    return jnp.matmul(a, b, precision=_PRECISION)


def _by_part(scores: PyTree) -> list[Float[Array, "part parameter"]]:
    """One walker's scores, of each tensor."""
    return [leaf.reshape(2, -1) for leaf in jax.tree.leaves(scores)]


def _products(tensors: list, direction: PyTree) -> Float[Array, "*rows"]:
    directions = jax.tree.leaves(direction)
    products = [product(columns, d.reshape(-1)) for columns, d in zip(tensors, directions, strict=True)]
    return functools.reduce(jnp.add, products)


def _fold(tensors: list, folds: int) -> Float[Array, "*rows folded"]:
    return jnp.concatenate([_folded(columns, folds, n) for n, columns in enumerate(tensors)], axis=-1)


def _folded(columns: Float[Array, "*rows parameter"], folds: int, seed: int) -> Float[Array, "*rows folded"]:
    """Pieces of `width` columns, all with random signs, added up; the last one may be shorter."""
    if folds == 1:
        return columns
    *rows, count = columns.shape
    width = -(-count // folds)
    signs = jax.random.rademacher(jax.random.key(seed), (count,), columns.dtype)
    if jax.default_backend() != "cpu":
        padding = [*([(0, 0)] * len(rows)), (0, folds * width - count)]
        return jnp.sum(jnp.pad(columns * signs, padding).reshape(*rows, folds, width), axis=-2)
    # The same in a loop: of the sum XLA makes a CPU kernel two to three times slower from 17 folds on.
    whole, rest = divmod(count, width)
    last = columns[..., whole * width :] * signs[whole * width :]
    start = jnp.pad(last, [*([(0, 0)] * len(rows)), (0, width - rest)])

    def add(total, number):
        piece, sign = (
            jax.lax.dynamic_slice_in_dim(each, number * width, width, axis=-1) for each in (columns, signs)
        )
        return total + piece * sign, None

    return jax.lax.scan(add, start, jnp.arange(whole))[0]

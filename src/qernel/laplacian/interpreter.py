"""The forward Laplacian of any function of the electrons' coordinates: jets through its operations."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Literal
from jaxtyping import Array, Float

from qernel.laplacian import rules
from qernel.laplacian.attention import attention
from qernel.laplacian.determinants import orbital_determinants, slogdet
from qernel.laplacian.jet import Jet, Operand, constant, coordinates
from qernel.laplacian.locality import surviving_axis
from qernel.laplacian.rules import Function
from qernel.wavefunction.operations import is_elementwise, name_of

#: Rules of `qernel.wavefunction.operations`; where one returns None, operation by operation will do.
_WHOLE: dict[str, Callable[..., list[Jet] | None]] = {
    "attend": lambda *x: [attention(*_all_jets(x))],
    "softmax": lambda x: [rules.softmax(x)],
    "slogdet": slogdet,
    "orbital_determinants": orbital_determinants,
}
_LINEAR_MAP = name_of("linear_map", (2, 2))
_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}


def forward_laplacian(
    function: Callable[[Float[Array, "electron 2"]], Any], electrons: Float[Array, "electron 2"]
) -> list[Jet]:
    """Jets of the arrays that `function` returns, with dense Jacobians (2 N, *shape)."""
    traced = jax.make_jaxpr(function)(electrons)
    outputs = _follow(traced.jaxpr, traced.consts, [coordinates(electrons)])
    return [_as_jet(x, electrons.size).dense() for x in outputs]


def _as_jet(x: Operand, size: int) -> Jet:
    return x if isinstance(x, Jet) else constant(x, size)


def _all_jets(operands: Sequence[Operand]) -> list[Jet]:
    size = max(x.dense().jacobian.shape[0] for x in operands if isinstance(x, Jet))
    return [_as_jet(x, size) for x in operands]


def _follow(jaxpr, constants, arguments: Sequence[Operand]) -> list[Operand]:
    """Evaluate a jaxpr some of whose arguments are jets."""
    known = dict(zip(jaxpr.constvars, constants, strict=True))
    known |= zip(jaxpr.invars, arguments, strict=True)

    def read(variable) -> Operand:
        return jnp.asarray(variable.val) if isinstance(variable, Literal) else known[variable]

    for equation in jaxpr.eqns:
        results = _step(equation, [read(x) for x in equation.invars])
        known |= zip(equation.outvars, results, strict=True)
    return [read(x) for x in jaxpr.outvars]


def _step(equation, operands: list[Operand]) -> Sequence[Operand]:
    """One operation, or one call of a function."""
    function, name = _bound(equation), equation.primitive.name
    jets = [x for x in operands if isinstance(x, Jet)]
    if not jets or name in rules.CONSTANT:
        return function(*(x.value if isinstance(x, Jet) else x for x in operands))
    label = equation.params.get("name", "") if name in _CALLS else ""
    if is_elementwise(label):
        return [rules.elementwise(lambda x: function(x)[0], *jets)]
    ranks = tuple(x.value.ndim if isinstance(x, Jet) else x.ndim for x in operands)
    for whole, rule in _WHOLE.items():
        if label == name_of(whole, ranks) and (results := rule(*operands)) is not None:
            return results
    if label == _LINEAR_MAP and ranks == (2, 2) and not isinstance(operands[1], Jet):
        return _operation(label, lambda x, weight: [x @ weight], equation, operands)
    if name in _CALLS:
        called = equation.params[_CALLS[name]]
        return _follow(called.jaxpr, called.consts, operands)
    return _operation(name, function, equation, operands)


def _operation(name: str, function: Function, equation, operands: list[Operand]) -> list[Operand]:
    """A single operation, whose operands are jets, or jets and constants."""
    if name == "mul" and all(isinstance(x, Jet) for x in operands):
        return [rules.product(*operands)]
    electron = _common_axis(name, equation, operands)
    if electron is None:
        operands = [x.dense() if isinstance(x, Jet) else x for x in operands]
    first, both = operands[0], len(operands) == 2 and all(isinstance(x, Jet) for x in operands)
    if name in rules.ELEMENTWISE:
        return [rules.elementwise(lambda x: function(x)[0], first)]
    if name == "div" and isinstance(operands[1], Jet):
        inverse = rules.elementwise(jnp.reciprocal, operands[1])
        if both:
            return [rules.product(first, inverse)]
        return rules.linear(lambda x: [first * x], [inverse], electron)
    if name == "dot_general" and both:
        return [rules.contraction(first, operands[1], equation.params, electron)]
    if name in rules.LINEAR or name in ("mul", "div", "dot_general", _LINEAR_MAP):
        return rules.linear(function, operands, electron)
    return rules.general(function, operands)


def _common_axis(name: str, equation, operands: list[Operand]) -> int | None:
    """The results' electron axis, if all jets have one and agree about it."""
    result = equation.outvars[0].aval.shape
    found = {
        None
        if x.electron is None
        else surviving_axis(name, equation.params, place, x.value.shape, result, x.electron)
        for place, x in enumerate(operands)
        if isinstance(x, Jet)
    }
    return found.pop() if len(found) == 1 else None


def _bound(equation) -> Function:
    """An equation as a function of its operands that returns a list."""
    primitive = equation.primitive

    def function(*operands):
        bound = primitive.get_bind_params(equation.params)
        functions, parameters = (
            bound if isinstance(bound, tuple) else ((), bound)
        )  # before and since JAX 0.12
        result = primitive.bind(*functions, *operands, **parameters)
        return list(result) if primitive.multiple_results else [result]

    return function

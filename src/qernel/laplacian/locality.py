"""Which axis of a result still names the one electron that its entries depend on."""

import math
from collections.abc import Callable
from typing import Any

from qernel.laplacian.rules import ELEMENTWISE, names
from qernel.wavefunction.operations import name_of

Shape = tuple[int, ...]


def surviving_axis(
    operation: str, parameters: dict[str, Any], operand: int, shape: Shape, result: Shape, axis: int
) -> int | None:
    """Where the operand's electron axis goes in a result; None if electrons are mixed, or might be.

    `shape` is the operand's, `operand` its place among the operation's.
    """
    if operation in _ENTRY_BY_ENTRY:
        return axis if shape[axis] == result[axis] else None
    rule = _RULES.get(operation)
    return rule(parameters, operand, shape, result, axis) if rule else None


_ENTRY_BY_ENTRY = ELEMENTWISE | names(
    "add sub mul div neg convert_element_type complex real imag conj copy select_n"
)


def _broadcast(parameters, _operand, shape, result, axis):
    to = parameters["broadcast_dimensions"][axis]
    return to if result[to] == shape[axis] else None


def _transpose(parameters, _operand, _shape, _result, axis):
    return parameters["permutation"].index(axis)


def _reshape(_parameters, _operand, shape, result, axis):
    before = math.prod(shape[:axis])
    for to, size in enumerate(result):
        if size == shape[axis] and math.prod(result[:to]) == before:
            return to
    return None


def _without(axes, axis):
    return None if axis in axes else axis - sum(each < axis for each in axes)


def _squeeze(parameters, _operand, _shape, _result, axis):
    return _without(parameters["dimensions"], axis)


def _reduce(parameters, _operand, _shape, _result, axis):
    return _without(parameters["axes"], axis)


def _concatenate(parameters, _operand, _shape, _result, axis):
    return None if parameters["dimension"] == axis else axis


def _split(parameters, _operand, _shape, _result, axis):
    return None if parameters["axis"] == axis else axis


def _slice(_parameters, _operand, shape, result, axis):
    return axis if shape[axis] == result[axis] else None


def _dot(parameters, operand, shape, _result, axis):
    """Free axes of the left operand follow the batch axes; those of the right one come last."""
    contract, batch = (each[operand] for each in parameters["dimension_numbers"])
    if axis in contract:
        return None
    if axis in batch:
        return batch.index(axis)
    used = {*contract, *batch}
    free = [each for each in range(len(shape)) if each not in used]
    if operand == 0:
        return len(batch) + free.index(axis)
    return len(_result) - len(free) + free.index(axis)


_RULES: dict[str, Callable[..., int | None]] = {
    "broadcast_in_dim": _broadcast,
    "transpose": _transpose,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "reduce_sum": _reduce,
    "concatenate": _concatenate,
    "split": _split,
    "slice": _slice,
    "dot_general": _dot,
    name_of("linear_map", (2, 2)): lambda _parameters, _operand, _shape, _result, axis: (
        axis if axis == 0 else None
    ),
}

"""The one place for the kinds of operators that a program may be made of: what a referee can do.

Each kind is a pure function of tensors and integer attributes, exact in the integer modes. In
`Mode.FLOAT32` the same kinds work on the same fixed-point scale, rounded as float32 rounds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from hanse.verification.arithmetic import (
    INT32_MAX,
    Mode,
    Tensor,
    add,
    matmul,
    narrow,
    require_one_shape,
    rescale,
    subtract,
)

Attributes: TypeAlias = Mapping[str, int]
Function: TypeAlias = Callable[[Sequence[Tensor], Attributes, Mode], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What operators of one kind and version do, how many inputs and which attributes they take."""

    n_inputs: int
    attributes: tuple[str, ...]
    function: Function


def multiply(inputs: Sequence[Tensor], attributes: Attributes, mode: Mode) -> Tensor:
    """Return the product of two matrices, either transposed if its attribute is 1."""
    a, b = inputs
    left, right = attributes["transpose_a"], attributes["transpose_b"]
    return matmul(a.T if left else a, b.T if right else b, mode=mode)


def rescale_sums(inputs: Sequence[Tensor], attributes: Attributes, mode: Mode) -> Tensor:
    """Return the input divided by 2^shift, within the bound (`arithmetic.rescale`)."""
    return rescale(inputs[0], shift=attributes["shift"], bound=attributes["bound"], mode=mode)


def rectify(inputs: Sequence[Tensor], _attributes: Attributes, _mode: Mode) -> Tensor:
    """Return the positive part."""
    return np.asarray(np.maximum(inputs[0], 0))


def rectified_gradient(inputs: Sequence[Tensor], _attributes: Attributes, _mode: Mode) -> Tensor:
    """Return the first input where the second is positive, and 0 elsewhere."""
    error, before = inputs
    require_one_shape(error, before)
    return np.where(before > 0, error, error.dtype.type(0))


def clip(inputs: Sequence[Tensor], attributes: Attributes, mode: Mode) -> Tensor:
    """Return the input, cut off at low and high; int8 in `INT8`, so that it can be multiplied."""
    cut = np.clip(inputs[0], attributes["low"], attributes["high"])
    return narrow(cut, bound=127, operator="clip").astype(np.int8) if mode is Mode.INT8 else cut


def difference(inputs: Sequence[Tensor], attributes: Attributes, mode: Mode) -> Tensor:
    """Return the first input minus the second, within the bound."""
    return subtract(inputs[0], inputs[1], bound=attributes["bound"], mode=mode)


def descend(inputs: Sequence[Tensor], attributes: Attributes, mode: Mode) -> Tensor:
    """Return weights moved against their summed gradient, which is divided by 2^shift first."""
    weight, gradient = inputs
    change = rescale(gradient, shift=attributes["shift"], bound=INT32_MAX, mode=mode)
    return subtract(weight, change, bound=attributes["bound"], mode=mode)


def put_rows(inputs: Sequence[Tensor], _attributes: Attributes, _mode: Mode) -> Tensor:
    """Return a table in which rows from `first` on, a scalar, are replaced by the second input."""
    table, rows, first = inputs
    start = int(first)
    if not 0 <= start <= len(table) - len(rows):
        raise ValueError(f"first must be from 0 to {len(table) - len(rows)}, got {start}")
    return np.concatenate([table[:start], rows, table[start + len(rows) :]])


def flux(inputs: Sequence[Tensor], attributes: Attributes, mode: Mode) -> Tensor:
    """Return what flows from each cell to the next along an axis: their difference / 2^shift."""
    (cells,) = inputs
    along = np.moveaxis(cells, attributes["axis"], 0)
    gap = subtract(along[:-1], along[1:], bound=INT32_MAX, mode=mode)
    flowing = rescale(gap, shift=attributes["shift"], bound=INT32_MAX, mode=mode)
    return np.ascontiguousarray(np.moveaxis(flowing, 0, attributes["axis"]))


def settle(inputs: Sequence[Tensor], attributes: Attributes, mode: Mode) -> Tensor:
    """Return cells after what flowed left its cell and arrived in the next; nothing is lost."""
    cells, flowing = inputs
    axis, bound = attributes["axis"], attributes["bound"]
    pads = [(0, 0)] * cells.ndim
    pads[axis] = (1, 0)
    arriving = np.pad(flowing, pads)
    pads[axis] = (0, 1)
    leaving = np.pad(flowing, pads)
    return add(cells, subtract(arriving, leaving, bound=bound, mode=mode), bound=bound, mode=mode)


KINDS: Final[Mapping[tuple[str, int], Kind]] = {
    ("matmul", 1): Kind(n_inputs=2, attributes=("transpose_a", "transpose_b"), function=multiply),
    ("rescale", 1): Kind(n_inputs=1, attributes=("shift", "bound"), function=rescale_sums),
    ("relu", 1): Kind(n_inputs=1, attributes=(), function=rectify),
    ("relu_gradient", 1): Kind(n_inputs=2, attributes=(), function=rectified_gradient),
    ("clip", 1): Kind(n_inputs=1, attributes=("low", "high"), function=clip),
    ("subtract", 1): Kind(n_inputs=2, attributes=("bound",), function=difference),
    ("descend", 1): Kind(n_inputs=2, attributes=("shift", "bound"), function=descend),
    ("put_rows", 1): Kind(n_inputs=3, attributes=(), function=put_rows),
    ("flux", 1): Kind(n_inputs=1, attributes=("axis", "shift"), function=flux),
    ("settle", 1): Kind(n_inputs=2, attributes=("axis", "bound"), function=settle),
}
"""By name and version. What a kind computes never changes: what computes otherwise is a version."""

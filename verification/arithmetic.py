"""The one place for arithmetic that gives everybody the same bytes, and for its counter-example.

Integers are carried in floating point through BLAS. A sum of products whose terms and partial sums
are integers that the format holds exactly (2^24 in float32, 2^53 in float64) rounds nowhere, so
that blocking, order, fused operations, threads and processors cannot matter. The bound is checked
for every product, from shapes and ranges; what could exceed it raises (docs/why/exact-integers.md).
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from hanse.verification.carrying import bring_back, carry
from hanse.verification.strassen import N_HALVED, WIDENS, multiply_halves, pays, split

# At run time the element type is one of four, and `tensors` and this module check which.
Tensor: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[Any]]

INT8_MAX: Final = 127
INT21_MAX: Final = 1 << 20
"""Largest magnitude of a fixed-point operand in the programs: 21 bits with the sign."""

FLOAT32_EXACT_MAX: Final = 1 << 24
FLOAT64_EXACT_MAX: Final = 1 << 53
INT32_MAX: Final = (1 << 31) - 1
INT64_MAX: Final = (1 << 63) - 1
SHIFT_MAX: Final = 62

# Of a product, as many as stay in the cache while numpy takes a copy of them.
_ROWS_AT_ONCE: Final = 16

# From so many elements on, passes through memory cost more than a call of a compiled function.
_MANY: Final = 1 << 14


class Mode(StrEnum):
    """How numbers are carried; `FLOAT32` rounds by order, and is here to show what that does."""

    INT8 = "int8"
    INT21 = "int21"
    FLOAT32 = "float32"


class OutOfRangeError(ArithmeticError):
    """Raised where a result could leave the range in which arithmetic is exact.

    Attributes
    ----------
    operator : what was to be computed.
    bound : the largest magnitude at which it is exact.
    value : the magnitude that it has, or could have.
    """

    def __init__(self, operator: str, bound: int, value: int) -> None:
        super().__init__(operator, bound, value)
        self.operator, self.bound, self.value = operator, bound, value

    def __str__(self) -> str:
        return f"{self.operator} must stay within {self.bound}, could reach {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """A float type, the magnitudes up to which it carries operands and sums, and what sums become.

    Sums of `INT8` are at most 2^24, and leave as int32; those of `INT21` need int64.
    """

    dtype: DTypeLike
    operand_max: int
    sum_max: int
    sum_dtype: DTypeLike


CARRIERS: Final[Mapping[Mode, Carrier]] = {
    Mode.INT8: Carrier(
        dtype=np.float32, operand_max=1 << 7, sum_max=FLOAT32_EXACT_MAX, sum_dtype=np.int32
    ),
    Mode.INT21: Carrier(
        dtype=np.float64, operand_max=1 << 21, sum_max=FLOAT64_EXACT_MAX, sum_dtype=np.int64
    ),
}


def matmul(a: Tensor, b: Tensor, *, mode: Mode) -> Tensor:
    """Multiply two matrices, exactly in the integer modes.

    Parameters
    ----------
    a, b : shapes (m, k) and (k, n). Signed integers of magnitude at most 2^7 (`INT8`) or 2^21
        (`INT21`); float32 in `FLOAT32`.
    mode : how operands are carried.

    Returns
    -------
    Shape (m, n): int32 in `INT8`, int64 in `INT21`; in `FLOAT32` float32, rounded as it happens.

    Raises
    ------
    OutOfRangeError
        If an operand is out of range, or k times the largest products could exceed 2^24 (`INT8`) or
        2^53 (`INT21`). Ranges are those of the values, unless the element type says enough.
    ValueError
        If these are not two matrices that fit.
    TypeError
        If the element types are not those of the mode.

    >>> a = np.array([[100, -100]], np.int8)
    >>> matmul(a, a.T, mode=Mode.INT8)
    array([[20000]], dtype=int32)
    >>> matmul(np.full((1, 2049), 1 << 21), np.full((2049, 1), 1 << 21), mode=Mode.INT21)
    Traceback (most recent call last):
    ...
    hanse.verification.arithmetic.OutOfRangeError: matmul must stay within 9007199254740992, \
could reach 9011597301252096
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"a and b must be matrices that fit, got {a.shape} and {b.shape}")
    if mode is Mode.FLOAT32:
        _require_float32(a, b)
        return np.asarray(a @ b)
    carrier = CARRIERS[mode]
    _require_integers(a)
    _require_integers(b)
    if (
        mode is Mode.INT21
        and pays(a.shape[0], a.shape[1], b.shape[1])
        and _is_plain(a)
        and _is_plain(b)
    ):
        by_halves = _by_halves(a, b)
        if by_halves is not None:
            return by_halves
    (left, left_max), (right, right_max) = _carried(_LEFT, a, carrier), _carried(_RIGHT, b, carrier)
    reach = a.shape[1] * left_max * right_max
    if reach > carrier.sum_max:
        raise OutOfRangeError("matmul", carrier.sum_max, reach)
    return _whole_numbers(left @ right, carrier)


def rescale(value: Tensor, *, shift: int, bound: int, mode: Mode) -> Tensor:
    """Divide by 2^shift, to the nearest integer, halves towards plus infinity.

    Parameters
    ----------
    value : any shape; int32 or int64, or float32 in `FLOAT32`, where nothing is rounded.
    shift : from 0 to 62.
    bound : largest magnitude of a result, at most 2^31 - 1.

    Returns
    -------
    The shape of `value`; int32, or float32.

    Raises
    ------
    OutOfRangeError
        If a result exceeds the bound.
    ValueError
        If the shift is out of range.

    >>> rescale(np.array([-3, -2, -1, 1, 2, 3]), shift=1, bound=9, mode=Mode.INT21)
    array([-1, -1,  0,  1,  1,  2], dtype=int32)
    """
    if not 0 <= shift <= SHIFT_MAX:
        raise ValueError(f"shift must be from 0 to {SHIFT_MAX}, got {shift}")
    if mode is Mode.FLOAT32:
        _require_float32(value)
        return np.asarray(value * np.float32(2.0**-shift))
    _require_integers(value)
    half = (1 << shift) >> 1
    least, greatest = extremes(value)
    if greatest + half > INT64_MAX:
        raise OutOfRangeError("sum in rescale", INT64_MAX, greatest + half)
    # Rounding is monotone: what the extremes become bounds all others.
    reach = max(abs((least + half) >> shift), abs((greatest + half) >> shift))
    if reach > min(bound, INT32_MAX):
        raise OutOfRangeError("rescale", min(bound, INT32_MAX), reach)
    wide = np.add(value, half, dtype=np.int64)
    np.right_shift(wide, shift, out=wide)
    return wide.astype(np.int32)


def add(a: Tensor, b: Tensor, *, bound: int, mode: Mode) -> Tensor:
    """Add two tensors of one shape; int32 within the bound, which is at most 2^31 - 1.

    Raises
    ------
    OutOfRangeError
        If a sum exceeds the bound.
    ValueError
        If the shapes differ: nothing is repeated to fit.
    """
    require_one_shape(a, b)
    if mode is Mode.FLOAT32:
        _require_float32(a, b)
        return np.asarray(a + b)
    return narrow(_wide(a) + _wide(b), bound=bound, operator="add")


def subtract(a: Tensor, b: Tensor, *, bound: int, mode: Mode) -> Tensor:
    """Subtract two tensors of one shape; int32 within the bound, which is at most 2^31 - 1.

    Raises
    ------
    OutOfRangeError
        If a difference exceeds the bound.
    ValueError
        If the shapes differ: nothing is repeated to fit.
    """
    require_one_shape(a, b)
    if mode is Mode.FLOAT32:
        _require_float32(a, b)
        return np.asarray(a - b)
    return narrow(_wide(a) - _wide(b), bound=bound, operator="subtract")


def narrow(value: Tensor, *, bound: int, operator: str) -> Tensor:
    """Hand on integers as int32, none of which exceeds the bound.

    Raises
    ------
    OutOfRangeError
        If one does: nothing wraps around.
    """
    _require_integers(value)
    reach = max(map(abs, extremes(value)))
    if reach > min(bound, INT32_MAX):
        raise OutOfRangeError(operator, min(bound, INT32_MAX), reach)
    return value.astype(np.int32)


def extremes(value: Tensor) -> tuple[int, int]:
    """Return the least and the greatest of integers, without bounds; zeros where there are none."""
    return (int(value.min()), int(value.max())) if value.size else (0, 0)


def require_one_shape(a: Tensor, b: Tensor) -> None:
    """Raise ValueError if two tensors have different shapes, also where numpy would repeat one."""
    if a.shape != b.shape:
        raise ValueError(f"a and b must have one shape, got {a.shape} and {b.shape}")


_LEFT, _RIGHT, _HALVED = range(3)


class _Scratch(threading.local):
    """Room for the operands of one product at a time, and for products of halves; it is kept.

    New memory would be cleared page by page first, which at 1,024 x 1,024 takes as long as writing.
    """

    def __init__(self) -> None:
        self._memory = [np.empty(0) for _ in (_LEFT, _RIGHT, _HALVED)]

    def room(self, which: int, shape: tuple[int, ...], dtype: DTypeLike) -> Tensor:
        """Return memory that the last product left, or more, with whatever stands in it."""
        n_bytes = prod(shape) * np.dtype(dtype).itemsize
        if self._memory[which].nbytes < n_bytes:
            self._memory[which] = np.empty(-(-n_bytes // 8))
        return self._memory[which].view(dtype)[: prod(shape)].reshape(shape)


_scratch: Final = _Scratch()


def _by_halves(a: Tensor, b: Tensor) -> Tensor | None:
    """Return the product of int32 matrices by Strassen's way, or None where it could round."""
    (m, k), n = a.shape, b.shape[1]
    left, right, products = (
        _scratch.room(which, (N_HALVED, rows // 2, columns // 2), np.float64)
        for which, rows, columns in ((_LEFT, m, k), (_RIGHT, k, n), (_HALVED, m, n))
    )
    left_max, right_max = (
        max(abs(int(end)) for end in split(operand, room))
        for operand, room in ((a, left), (b, right))
    )
    carrier = CARRIERS[Mode.INT21]
    reach = WIDENS * k * left_max * right_max
    if max(left_max, right_max) > carrier.operand_max or reach > carrier.sum_max:
        return None
    return multiply_halves(left, right, products)


def _carried(which: int, operand: Tensor, carrier: Carrier) -> tuple[Tensor, int]:
    """Write an operand as floating-point numbers where the last one of its side was.

    Return them and the largest magnitude that they have, or can have by their type.
    """
    room = _scratch.room(which, operand.shape, carrier.dtype)
    reach = -int(np.iinfo(operand.dtype).min)
    if reach > carrier.operand_max:
        reach = max(map(abs, _convert(operand, room)))
        if reach > carrier.operand_max:
            raise OutOfRangeError("operand of matmul", carrier.operand_max, reach)
    else:
        room[:] = operand
    return room, reach


def _convert(operand: Tensor, room: Tensor) -> tuple[int, int]:
    """Write integers into a room of floating point; return their extremes, or 0 beyond them."""
    if _is_plain(operand) and room.dtype == np.float64 and operand.size >= _MANY:
        least, greatest = carry(operand, room)
        return int(least), int(greatest)
    room[:] = operand
    return extremes(operand)


def _is_plain(operand: Tensor) -> bool:
    return bool(operand.dtype == np.int32 and operand.flags.c_contiguous)


def _whole_numbers(product: Tensor, carrier: Carrier) -> Tensor:
    """Turn floating-point numbers into integers of the same size, where they stand."""
    whole = product.view(carrier.sum_dtype)
    if whole.dtype == np.int64 and whole.size >= _MANY:
        bring_back(product, whole)
        return whole
    for first in range(0, len(product), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        whole[rows] = product[rows]
    return whole


def _wide(value: Tensor) -> Tensor:
    if value.dtype.kind != "i" or value.dtype.itemsize > 4:
        raise TypeError(f"elements must be integers of at most 32 bits, got {value.dtype}")
    return value.astype(np.int64)


def _require_integers(value: Tensor) -> None:
    if value.dtype.kind != "i":
        raise TypeError(f"elements must be signed integers, got {value.dtype}")


def _require_float32(*values: Tensor) -> None:
    for value in values:
        if value.dtype != np.float32:
            raise TypeError(f"elements must be float32, got {value.dtype}")

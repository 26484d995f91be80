"""The one place for the bytes of a tensor: one string for each tensor, one tensor for each string.

`name length (u16) | name | type (2 bytes) | ndim (u8) | dims (u64 each) | elements`; lengths and
dims are big-endian, elements little-endian in C order. The bytes follow from name, element type,
shape and values alone, never from memory layout, byte order or class of the array. No value is
converted on the way, so that none can be lost: to send accumulators in fewer bytes,
`arithmetic.narrow` them, which raises.
"""

import re
from collections.abc import Mapping
from hashlib import blake2b
from math import prod
from typing import Final, TypeAlias

import numpy as np

from hanse.verification.arithmetic import Tensor
from hanse.verification.receipts import DIGEST_BYTES, canonical_bytes, digest_of

State: TypeAlias = Mapping[str, Tensor]
"""Tensors by name."""

NDIM_MAX: Final = 8
NAME_BYTES_MAX: Final = 255
NAME: Final = re.compile(rf"[!-~]{{1,{NAME_BYTES_MAX}}}")
"""Visible ASCII: what looks alike is alike."""

ELEMENT_TYPES: Final[dict[bytes, np.dtype[np.generic]]] = {
    b"i1": np.dtype("<i1"),
    b"i4": np.dtype("<i4"),
    b"i8": np.dtype("<i8"),
    b"f4": np.dtype("<f4"),
}


class MalformedTensorError(ValueError):
    """Raised when bytes are not the canonical form of a tensor, or a value has none."""


def encode_tensor(name: str, value: Tensor) -> bytes:
    """Return the only bytes that stand for this tensor under this name.

    Parameters
    ----------
    name : 1 to 255 visible ASCII characters.
    value : int8, int32, int64 or float32; at most 8 dimensions, none of length 0.

    Raises
    ------
    MalformedTensorError
        If name or value are anything else, or a float is NaN or -0.0, which equality cannot tell
        apart or tells apart from itself.

    >>> encode_tensor("w", np.array([1, -2], np.int32)).hex(" ")
    '00 01 77 69 34 01 00 00 00 00 00 00 00 02 01 00 00 00 fe ff ff ff'
    """
    ordered = _little_endian(value)
    return _header(name, ordered) + ordered.tobytes()


def decode_tensor(message: bytes, *, max_bytes: int) -> tuple[str, Tensor]:
    """Read back what `encode_tensor` wrote; the tensor is read-only and shares the bytes.

    Raises
    ------
    MalformedTensorError
        If the message is anything that `encode_tensor` does not write, or longer than `max_bytes`.
    """
    if not isinstance(message, bytes):
        raise MalformedTensorError(f"a tensor must be bytes, got {type(message).__name__}")
    if len(message) > max_bytes:
        raise MalformedTensorError(f"a tensor must have <= {max_bytes} bytes, got {len(message)}")
    type_at = 2 + int.from_bytes(message[:2], "big")
    dims_at = type_at + 3
    if len(message) < dims_at:
        raise MalformedTensorError(f"a header must have {dims_at} bytes, got {len(message)}")
    name = message[2:type_at].decode("ascii", errors="replace")
    tag, ndim = message[type_at : type_at + 2], message[dims_at - 1]
    elements_at = dims_at + 8 * ndim
    if ndim > NDIM_MAX or len(message) < elements_at or tag not in ELEMENT_TYPES:
        raise MalformedTensorError(f"no header of a tensor: {message[type_at:elements_at]!r}")
    dims = [int.from_bytes(message[at : at + 8], "big") for at in range(dims_at, elements_at, 8)]
    dtype = ELEMENT_TYPES[tag]
    # Before any array is made of them: Python's integers do not overflow.
    if prod(dims) * dtype.itemsize != len(message) - elements_at:
        raise MalformedTensorError(f"{dims} {tag!r} must fill {len(message) - elements_at} bytes")
    _require(name, dims, dtype)
    value = np.frombuffer(message, dtype, offset=elements_at).reshape(dims)
    _require_one_form(value)
    return name, value.astype(dtype.newbyteorder("="), copy=False)


def tensor_digest(name: str, value: Tensor) -> bytes:
    """Return the BLAKE2b-256 digest of `encode_tensor`, without making those bytes.

    Raises
    ------
    MalformedTensorError
        As `encode_tensor` does.
    """
    ordered = _little_endian(value)
    digest = blake2b(_header(name, ordered), digest_size=DIGEST_BYTES, person=b"hanse.tensor.v1")
    digest.update(ordered.data)
    return digest.digest()


def tensor_digests(tensors: State) -> dict[str, bytes]:
    """Return the digest of each tensor, by name, in the order of names."""
    return {name: tensor_digest(name, tensors[name]) for name in sorted(tensors)}


def state_digest(tensors: State) -> bytes:
    """Return one digest for a set of tensors, such as the inputs of a step; it may be empty."""
    framed = canonical_bytes(b"tensors", *tensor_digests(tensors).values())
    return digest_of(framed, person=b"hanse.tensors.v1")


def _little_endian(value: Tensor) -> Tensor:
    """Return the values as they are hashed: as they lie, where they lie that way already."""
    if not isinstance(value, np.ndarray):
        raise MalformedTensorError(f"a tensor must be an array, got {type(value).__name__}")
    # `ascontiguousarray` would make a vector of a scalar.
    return np.asarray(value, dtype=value.dtype.newbyteorder("<"), order="C")


def _header(name: str, ordered: Tensor) -> bytes:
    _require(name, ordered.shape, ordered.dtype)
    _require_one_form(ordered)
    tag = f"{ordered.dtype.kind}{ordered.dtype.itemsize}".encode()
    dims = b"".join(dim.to_bytes(8, "big") for dim in ordered.shape)
    return (
        len(name).to_bytes(2, "big") + name.encode() + tag + ordered.ndim.to_bytes(1, "big") + dims
    )


def _require(name: object, dims: tuple[int, ...] | list[int], dtype: np.dtype[np.generic]) -> None:
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise MalformedTensorError(f"a name must be visible ASCII, got {name!r}")
    if dtype not in ELEMENT_TYPES.values():
        raise MalformedTensorError(f"elements must be int8, int32, int64 or float32, got {dtype}")
    if len(dims) > NDIM_MAX or 0 in dims:
        raise MalformedTensorError(f"dims must be at most {NDIM_MAX}, and positive, got {dims}")


def _require_one_form(value: Tensor) -> None:
    if value.dtype.kind != "f":
        return
    # On bits: to compare a signalling NaN is already an operation that may warn.
    bits = value.view("<u4")
    is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    if is_nan.any() or (bits == np.uint32(0x80000000)).any():
        raise MalformedTensorError("floats must be neither NaN nor -0.0")

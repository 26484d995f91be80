"""The bytes of tensors: one string for each, nothing lost, and nothing else accepted."""

import tracemalloc
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hanse.verification.arithmetic import Tensor
from hanse.verification.tensors import (
    MalformedTensorError,
    decode_tensor,
    encode_tensor,
    state_digest,
    tensor_digest,
    tensor_digests,
)

names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255)
shapes = npst.array_shapes(min_dims=0, max_dims=4, max_side=4)
integer_types = st.sampled_from([np.dtype(np.int8), np.dtype(np.int32), np.dtype(np.int64)])
integers = integer_types.flatmap(lambda dtype: npst.arrays(dtype, shapes))
floats = npst.arrays(
    np.float32, shapes, elements=st.floats(width=32, allow_nan=False).map(lambda x: x + 0.0)
)
tensors = integers | floats

# Written by hand: "w", two dimensions of 1 and 2, int32 elements 1 and -2.
BY_HAND = bytes.fromhex(
    "0001 77 6934 02 0000000000000001 0000000000000002 01000000 feffffff".replace(" ", "")
)


def decoded(message: bytes) -> tuple[str, Tensor]:
    return decode_tensor(message, max_bytes=1 << 20)


def test_a_tensor_has_the_bytes_that_the_layout_says() -> None:
    value = np.array([[1, -2]], np.int32)
    assert encode_tensor("w", value) == BY_HAND
    expected = blake2b(BY_HAND, digest_size=32, person=b"hanse.tensor.v1").digest()
    assert tensor_digest("w", value) == expected


@given(names, tensors)
def test_what_is_encoded_is_read_back(name: str, value: Tensor) -> None:
    read_name, read = decoded(encode_tensor(name, value))
    assert read_name == name
    assert read.dtype == value.dtype
    assert read.dtype.isnative
    assert np.array_equal(read, value)


@given(names, tensors)
def test_the_digest_is_of_the_encoded_bytes(name: str, value: Tensor) -> None:
    encoded = encode_tensor(name, value)
    expected = blake2b(encoded, digest_size=32, person=b"hanse.tensor.v1").digest()
    assert tensor_digest(name, value) == expected


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: BY_HAND[:6] + tail))
def test_bytes_are_one_tensor_or_malformed(message: bytes) -> None:
    try:
        name, value = decoded(message)
    except MalformedTensorError:
        return
    assert encode_tensor(name, value) == message


@given(names, tensors, st.data())
def test_an_altered_message_is_another_tensor_or_malformed(
    name: str, value: Tensor, data: st.DataObject
) -> None:
    encoded = bytearray(encode_tensor(name, value))
    at = data.draw(st.integers(0, 8 * len(encoded) - 1))
    encoded[at // 8] ^= 1 << at % 8
    try:
        other_name, other = decoded(bytes(encoded))
    except MalformedTensorError:
        return
    assert encode_tensor(other_name, other) == bytes(encoded)
    assert tensor_digest(other_name, other) != tensor_digest(name, value)


@pytest.mark.parametrize("length", range(len(BY_HAND)))
def test_a_truncated_message_is_malformed(length: int) -> None:
    with pytest.raises(MalformedTensorError):
        decoded(BY_HAND[:length])


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (BY_HAND + b"\0", "must fill 9 bytes"),
        (BY_HAND.replace(b"i4", b"i5"), "no header"),
        (BY_HAND.replace(b"i4", b"O4"), "no header"),
        (BY_HAND.replace(b"i4", b"i8"), "must fill 8 bytes"),
        (b"\0\0" + BY_HAND[3:], "visible ASCII"),
        (BY_HAND.replace(b"w", b"\xc3"), "visible ASCII"),
        (BY_HAND.replace(b"w", b"\n"), "visible ASCII"),
        (b"\xff\xff" + BY_HAND[2:], "a header must have"),
        # Nine dimensions of length 1.
        (b"\0\1wi1\x09" + 9 * (7 * b"\0" + b"\1") + b"\1", "no header"),
        # No elements, however long the other dimension is.
        (b"\0\1wi1\x02" + 8 * b"\xff" + 8 * b"\0", "positive"),
        # 2^32 * 2^32 * 4 bytes: 0, for who counts in 64 bits.
        (b"\0\1wi4\x02" + 2 * (3 * b"\0" + b"\1" + 4 * b"\0"), "must fill 0 bytes"),
    ],
)
def test_what_is_not_canonical_is_malformed(message: bytes, reason: str) -> None:
    with pytest.raises(MalformedTensorError, match=reason):
        decoded(message)


@pytest.mark.parametrize("message", [None, 7, "tensor", bytearray(BY_HAND), [1, 2]])
def test_only_bytes_are_read(message: object) -> None:
    with pytest.raises(MalformedTensorError, match="must be bytes"):
        decode_tensor(message, max_bytes=1 << 20)  # type: ignore[arg-type]


def test_a_message_longer_than_is_allowed_is_not_looked_at() -> None:
    assert decode_tensor(BY_HAND, max_bytes=len(BY_HAND))[0] == "w"
    with pytest.raises(MalformedTensorError, match="must have <= 29 bytes, got 30"):
        decode_tensor(BY_HAND, max_bytes=len(BY_HAND) - 1)


@pytest.mark.parametrize("bits", [0x80000000, 0x7FC00000, 0x7F800001, 0xFFC00000, 0xFFFFFFFF])
def test_no_float_is_negative_zero_or_nan(bits: int) -> None:
    payload = bits.to_bytes(4, "little")
    with pytest.raises(MalformedTensorError, match="neither NaN nor -0.0"):
        decoded(b"\0\1wf4\0" + payload)
    value = np.frombuffer(payload, "<f4").reshape(())
    for write in (encode_tensor, tensor_digest):
        with pytest.raises(MalformedTensorError, match="neither NaN nor -0.0"):
            write("w", value)


@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_infinity_has_one_form(infinity: float) -> None:
    value = np.array(infinity, np.float32)
    assert decoded(encode_tensor("w", value))[1] == infinity


@pytest.mark.parametrize(
    "value",
    [
        np.array([1], np.uint8),
        np.array([1], np.int16),
        np.array([1.0], np.float64),
        np.array([True]),
        np.array([1, None], object),
        np.array(["a"]),
        np.array([(1, 2)], [("a", "i4"), ("b", "i4")]),
        np.zeros((2, 0), np.int8),
        np.zeros((1,) * 9, np.int8),
        [1, 2],
        7,
        np.int32(7),
        None,
    ],
    ids=str,
)
def test_what_has_no_bytes_is_refused_by_the_same_name(value: Tensor) -> None:
    for write in (encode_tensor, tensor_digest):
        with pytest.raises(MalformedTensorError):
            write("w", value)


@pytest.mark.parametrize("name", ["", "two words", "ä", "a" * 256, "line\n", b"w", None])
def test_a_name_is_visible_ascii(name: str) -> None:
    with pytest.raises(MalformedTensorError, match="visible ASCII"):
        encode_tensor(name, np.array([1], np.int8))


def test_the_bytes_do_not_depend_on_how_the_array_lies() -> None:
    value = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    others = [
        np.asfortranarray(value),
        value.astype(">i4"),
        np.repeat(value, 2, axis=1)[:, ::2],
        value[::-1].copy()[::-1],
        np.ma.masked_array(value),
    ]
    assert {tensor_digest("w", other) for other in others} == {tensor_digest("w", value)}
    assert {encode_tensor("w", other) for other in others} == {encode_tensor("w", value)}


def test_a_digest_copies_no_elements() -> None:
    value = np.zeros(1 << 20, np.int64)
    tracemalloc.start()
    try:
        tensor_digest("w", value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < value.nbytes // 100


def test_the_bytes_tell_name_type_and_shape_apart() -> None:
    value = np.arange(6, dtype=np.int32)
    wide = value.astype(np.int64)
    digests = {
        tensor_digest("w", value),
        tensor_digest("v", value),
        tensor_digest("w", wide),
        tensor_digest("w", value.astype(np.float32)),
        tensor_digest("w", value.reshape(2, 3)),
        tensor_digest("w", value.reshape(3, 2)),
        tensor_digest("w", value.reshape(6, 1)),
        # Same bytes of elements, other type and shape.
        tensor_digest("w", np.frombuffer(value.tobytes(), np.int8)),
        tensor_digest("w", np.frombuffer(value.tobytes(), np.int64)),
    }
    assert len(digests) == 9


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(1, (1 << 31) - 1))
def test_accumulators_that_agree_in_32_bits_differ_in_their_bytes(low: int, turns: int) -> None:
    honest, altered = np.array([low]), np.array([low + (turns << 32)])
    assert honest.astype(np.int32) == altered.astype(np.int32)
    assert tensor_digest("sum", honest) != tensor_digest("sum", altered)
    assert decoded(encode_tensor("sum", altered))[1].item() == low + (turns << 32)


def test_a_tensor_that_was_read_is_read_only() -> None:
    _, value = decoded(BY_HAND)
    with pytest.raises(ValueError, match="read-only"):
        value[0] = 7


def test_digests_of_a_state_do_not_depend_on_its_order() -> None:
    a, b = np.array([1], np.int32), np.array([2], np.int32)
    assert list(tensor_digests({"b": b, "a": a})) == ["a", "b"]
    assert state_digest({"a": a, "b": b}) == state_digest({"b": b, "a": a})
    digests = {state_digest(s) for s in ({}, {"a": a}, {"b": a}, {"a": b}, {"a": a, "b": b})}
    assert len(digests) == 5

"""Decoders take bytes from strangers: each refuses by its one error, or has read the one form."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hanse.verification as package
from hanse.verification import framing
from hanse.verification.framing import Blob, FixedBytes, MalformedMessageError, Several
from hanse.verification.messages import (
    Evidence,
    Message,
    encode_message,
    fields_of,
    read_message,
)
from hanse.verification.tensors import MalformedTensorError, decode_tensor, encode_tensor
from tests.fuzz.decoders import DECODERS, TENSOR_BYTES_MAX, Decoder, examine
from tests.fuzz.seeds import seeds
from tests.project_files import PROJECT

SEEDS = seeds()
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)

repeatable = settings(derandomize=True, deadline=None, max_examples=150, database=None)
every_decoder = pytest.mark.parametrize("name", DECODERS)


@st.composite
def mutants(draw: st.DrawFn, valid: bytes) -> bytes:
    """Do to valid bytes, a few times, what goes wrong on wires and in other implementations."""
    message = valid
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(message)))
        size = draw(st.sampled_from([1, 2, 4, 8, 32, 36]))
        piece = message[at : at + size]
        new = draw(
            st.one_of(
                st.binary(max_size=9),
                st.sampled_from([n.to_bytes(8, "big")[-size:] for n in INTERESTING]),
                st.just(piece[::-1]),  # the other byte order
                st.just(piece + piece),
                st.just(bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in piece)),
                st.sampled_from([other[at : at + 64] for other in SEEDS.values()]),
            )
        )
        message = message[:at] + new + message[at + draw(st.sampled_from([0, size, len(new)])) :]
        if draw(st.booleans()):
            message = message[: draw(st.integers(0, len(message)))]
    return message


def test_no_message_is_left_out() -> None:
    modules = [
        import_module(f"hanse.verification.{found.name}")
        for found in iter_modules(package.__path__)
    ]
    kinds = {
        name
        for module in modules
        for name, kind in vars(module).items()
        if isinstance(kind, type) and hasattr(kind, "KIND") and kind is not Message
    }
    assert len(kinds) > 20
    assert kinds <= set(DECODERS)


@every_decoder
def test_the_seed_of_each_decoder_is_valid(name: str) -> None:
    assert examine(DECODERS[name], SEEDS[name])


@every_decoder
@repeatable
@given(message=st.binary(max_size=400))
def test_noise_is_refused_by_name(name: str, message: bytes) -> None:
    assert not examine(DECODERS[name], message)


@every_decoder
@repeatable
@given(data=st.data())
def test_what_is_damaged_is_refused_or_is_another_message_in_its_one_form(
    name: str, data: st.DataObject
) -> None:
    examine(DECODERS[name], data.draw(mutants(SEEDS[name])))


@every_decoder
@repeatable
@given(parts=st.lists(st.binary(max_size=40), max_size=12), tail=st.binary(max_size=70))
def test_well_framed_nonsense_is_refused_or_is_in_its_one_form(
    name: str, parts: list[bytes], tail: bytes
) -> None:
    header = SEEDS[name].split(b"\0")[0] + b"\0"
    examine(DECODERS[name], header + b"".join(map(framing.framed, parts)) + tail)


@every_decoder
def test_all_truncations_and_paddings_of_a_seed_are_refused(name: str) -> None:
    decoder, valid = DECODERS[name], SEEDS[name]
    assert [cut for cut in range(len(valid)) if examine(decoder, valid[:cut])] == []
    paddings = [valid + b"\0", b"\0" + valid, valid + valid, valid[:-64] + b"\0" + valid[-64:]]
    assert not any(examine(decoder, padded) for padded in paddings)


@every_decoder
@pytest.mark.parametrize(
    "message",
    [None, "text", 7, 1.5, float("nan"), [b"x"], {}, bytearray(9), np.zeros(9, np.uint8)],
    ids=lambda message: type(message).__name__,
)
def test_what_is_not_bytes_is_refused_by_name(name: str, message: object) -> None:
    assert not examine(DECODERS[name], message)


@every_decoder
@pytest.mark.parametrize("kind", [bytearray, memoryview, list, bytes.decode])
def test_valid_bytes_in_another_type_are_refused_by_name(
    name: str, kind: Callable[[bytes], object]
) -> None:
    ascii_alone = bytes(byte & 0x7F for byte in SEEDS[name])
    assert not examine(DECODERS[name], kind(ascii_alone if kind is bytes.decode else SEEDS[name]))


@every_decoder
def test_what_is_too_long_is_refused_before_it_is_read(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in {"Tensor", "SignedReceipt", "Signature", "Proof"}:
        assert not examine(DECODERS[name], SEEDS[name] + bytes(TENSOR_BYTES_MAX))
        return
    monkeypatch.setattr(framing, "MESSAGE_BYTES_MAX", len(SEEDS[name]) - 1)
    assert not examine(DECODERS[name], SEEDS[name])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inputs", (bytes(2**10),)),
        ("inputs", (b"",) * 65),
        ("claimed_output_digests", (bytes(32),) * 65),
    ],
)
def test_a_list_or_an_item_that_is_too_long_is_refused(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = read_message(Evidence, SEEDS["Evidence"]).message
    wire = encode_of_any_length(replace(seed, **{name: value}), monkeypatch)
    small = {"inputs": Several(field=Blob(2**9), most=64)}
    monkeypatch.setattr(
        "hanse.verification.signing.fields_of", lambda kind: fields_of(kind) | small
    )
    with pytest.raises(MalformedMessageError, match=f"{name} must be"):
        read_message(Evidence, wire + bytes(64))


def encode_of_any_length(message: Evidence, monkeypatch: pytest.MonkeyPatch) -> bytes:
    long = {
        "inputs": Several(field=Blob(2**20), most=2**20),
        "claimed_output_digests": Several(field=FixedBytes(32), most=2**20),
    }
    with monkeypatch.context() as patch:
        patch.setattr("hanse.verification.signing.fields_of", lambda kind: fields_of(kind) | long)
        return encode_message(message)


# Tensors.

ONE_FLOAT = encode_tensor("w", np.array([1.0], np.float32))[:-4]


@pytest.mark.parametrize(
    "element",
    ["0000c07f", "0000c0ff", "0100807f", "ffffffff", "00000080"],
    ids=["quiet NaN", "negative NaN", "signalling NaN", "all ones", "negative zero"],
)
def test_a_float_that_equality_cannot_hold_is_refused(element: str) -> None:
    assert examine(DECODERS["Tensor"], ONE_FLOAT + bytes.fromhex("0000803f"))
    assert not examine(DECODERS["Tensor"], ONE_FLOAT + bytes.fromhex(element))


@repeatable
@given(elements=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=6))
def test_floats_of_any_bits_are_refused_or_come_back_with_the_same_bits(
    elements: list[int],
) -> None:
    header = encode_tensor("w", np.ones(len(elements), np.float32))[: -4 * len(elements)]
    message = header + b"".join(bits.to_bytes(4, "little") for bits in elements)
    is_refused = any(
        bits == 2**31 or (bits & 0x7F800000 == 0x7F800000 and bits & 0x007FFFFF)
        for bits in elements
    )
    assert examine(DECODERS["Tensor"], message) is not is_refused


@pytest.mark.parametrize("dims", [(2**64 - 1,), (2**63, 2), (2**32, 2**32), (0,), (0, 2**64 - 1)])
def test_shapes_that_overflow_are_refused_without_memory(dims: tuple[int, ...]) -> None:
    header = b"\0\1wi1" + bytes([len(dims)]) + b"".join(d.to_bytes(8, "big") for d in dims)
    for payload in (b"", bytes(8)):
        with pytest.raises(MalformedTensorError):
            decode_tensor(header + payload, max_bytes=TENSOR_BYTES_MAX)


@pytest.mark.parametrize("tag", [b"f8", b"c8", b"O8", b"|O", b"U1", b"u1", b">i", b"i2", b"\0\0"])
def test_elements_of_another_type_are_refused(tag: bytes) -> None:
    valid = encode_tensor("w", np.zeros(8, np.int8))
    assert examine(DECODERS["Tensor"], valid)
    assert not examine(DECODERS["Tensor"], valid.replace(b"i1", tag))


def test_the_other_byte_order_is_another_tensor_and_another_digest() -> None:
    valid = encode_tensor("w", np.array([1, 2], np.int32))
    swapped = valid[:-8] + valid[-8:-4][::-1] + valid[-4:][::-1]
    _, value = decode_tensor(swapped, max_bytes=TENSOR_BYTES_MAX)
    assert value.tolist() == [1 << 24, 2 << 24]


def test_nothing_is_unpickled() -> None:
    # Loading this would end the interpreter with status 3.
    bomb = b"cos\n_exit\n(I3\ntR."
    for decoder in DECODERS.values():
        assert not examine(decoder, bomb)
        assert not examine(decoder, b"\x80\x04" + bomb)


# The law itself.


def test_a_decoder_that_reads_two_forms_is_found_out() -> None:
    lax = Decoder(lambda message: message.lower(), ValueError, bytes)
    assert examine(lax, b"low")
    with pytest.raises(AssertionError, match="two byte strings stand for one value"):
        examine(lax, b"HIGH")


def test_a_decoder_that_raises_something_else_is_found_out() -> None:
    with pytest.raises(IndexError):
        examine(Decoder(lambda message: message[0], ValueError, bytes), b"")


# The guided fuzzer.


def guided(corpus: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    if find_spec("atheris") is None:
        pytest.skip("DECODERS NOT FUZZED BY COVERAGE: no package atheris; see `make fuzz`")
    corpus.mkdir()
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", str(corpus), "-seed=1", *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_guided_fuzzer_finds_what_is_planted(tmp_path: Path) -> None:
    run = guided(tmp_path / "corpus", "--planted", f"-artifact_prefix={tmp_path}/", "-runs=400000")
    assert run.returncode != 0
    assert "planted" in run.stdout + run.stderr


@pytest.mark.slow
def test_the_guided_fuzzer_finds_nothing_that_breaks_a_decoder(tmp_path: Path) -> None:
    run = guided(
        tmp_path / "corpus", f"-artifact_prefix={tmp_path}/", "-runs=400000", "-max_len=2048"
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "Done 400000 runs" in run.stderr
    # It reached more code than the seeds did, or it was not guided.
    assert len(list((tmp_path / "corpus").iterdir())) > 2 * len(DECODERS)

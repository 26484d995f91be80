"""The one place for how values become bytes and back: framing, fields, digests, one error."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from itertools import pairwise
from typing import Annotated, Final, Protocol, TypeGuard, TypeVar

DOMAIN: Final = b"hanse/1/"
DIGEST_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
LENGTH_BYTES: Final = 4
INTEGER_BYTES: Final = 8
INTEGER_MAX: Final = (1 << (8 * INTEGER_BYTES)) - 1
AMOUNT_MAX: Final = (1 << (8 * INTEGER_BYTES - 1)) - 1
MESSAGE_BYTES_MAX: Final = 1 << 28
"""No message is longer, tensors and all: what a reader refuses before it looks inside."""

T = TypeVar("T")


class MalformedMessageError(ValueError):
    """Raised when bytes are not the canonical form of the message that they should be."""


def canonical_bytes(kind: bytes, *parts: bytes) -> bytes:
    """Frame parts so that no two sequences of parts share their bytes.

    Domain, version and kind come first, so that no signature of one kind of message passes for
    another; each part follows its own length, so that no byte can move to its neighbour.

    >>> canonical_bytes(b"pair", b"ab", b"c").hex(" ", -4)
    '68616e73 652f312f 70616972 00000000 02616200 00000163'
    """
    return DOMAIN + kind + b"\0" + b"".join([framed(part) for part in parts])


def framed(part: bytes) -> bytes:
    """Put the length of a part before it, in four bytes."""
    return len(part).to_bytes(LENGTH_BYTES, "big") + part


def parts_of(framed_parts: bytes) -> Iterator[bytes]:
    """Undo the framing of parts, one by one.

    Raises
    ------
    MalformedMessageError
        If a length promises more bytes than there are.
    """
    at, size = 0, len(framed_parts)
    while at < size:
        start = at + LENGTH_BYTES
        end = start + int.from_bytes(framed_parts[at:start], "big")
        if start > size or end > size:
            raise MalformedMessageError(
                f"a part must end within {size} bytes, got {max(start, end)}"
            )
        yield framed_parts[start:end]
        at = end


def big_endian(name: str, value: int) -> bytes:
    """Encode an integer in eight bytes; raise ValueError where it does not fit."""
    require_integer(name, value)
    return value.to_bytes(INTEGER_BYTES, "big")


def digest_of(message: bytes, *, person: bytes) -> bytes:
    """Hash with BLAKE2b-256 under a personalisation of at most 16 bytes."""
    return blake2b(message, digest_size=DIGEST_BYTES, person=person).digest()


def is_bytes(value: object, size: int) -> TypeGuard[bytes]:
    """Say whether a value is bytes of one size, and nothing that behaves like them."""
    return isinstance(value, bytes) and len(value) == size


def require_bytes(name: str, value: object, size: int) -> bytes:
    """Return the value if it is bytes of one size; raise ValueError otherwise."""
    if not is_bytes(value, size):
        raise ValueError(f"{name} must be {size} bytes, got {value!r}")
    return value


def require_message(value: object) -> bytes:
    """Return what may be a message; raise MalformedMessageError for no bytes, or too many."""
    if not isinstance(value, bytes) or len(value) > MESSAGE_BYTES_MAX:
        got = f"{len(value)} bytes" if isinstance(value, bytes) else f"a {type(value).__name__}"
        raise MalformedMessageError(f"it must be at most {MESSAGE_BYTES_MAX} bytes, got {got}")
    return value


def require_integer(name: str, value: object, *, least: int = 0, most: int = INTEGER_MAX) -> int:
    """Return the value if it is an integer in a range; raise ValueError otherwise."""
    # True is an int to Python, and would come back from the wire as another value than it went.
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be an integer from {least} to {most}, got {value!r}")
    return value


class Field(Protocol):
    """How one field of a message is checked and written, and read back.

    `encode` and `decode` raise ValueError for what the field cannot hold. Each value has one
    encoding, and whatever `decode` returns is encoded as the bytes that it came from.
    """

    def encode(self, name: str, value: object) -> bytes: ...

    def decode(self, name: str, part: bytes) -> object: ...


@dataclass(frozen=True, slots=True)
class FixedBytes:
    """Bytes of one length: a digest, a key, a nonce, a proof."""

    size: int

    def encode(self, name: str, value: object) -> bytes:
        return require_bytes(name, value, self.size)

    def decode(self, name: str, part: bytes) -> bytes:
        return require_bytes(name, part, self.size)


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes of any length up to a bound: an encoded tensor."""

    max_bytes: int

    def encode(self, name: str, value: object) -> bytes:
        if not isinstance(value, bytes) or len(value) > self.max_bytes:
            got = f"{len(value)} bytes" if isinstance(value, bytes) else repr(value)
            raise ValueError(f"{name} must be at most {self.max_bytes} bytes, got {got}")
        return value

    def decode(self, name: str, part: bytes) -> bytes:
        return self.encode(name, part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    """An integer in eight bytes, big-endian; in two's complement where it may be negative."""

    least: int = 0
    most: int = INTEGER_MAX

    def encode(self, name: str, value: object) -> bytes:
        checked = require_integer(name, value, least=self.least, most=self.most)
        return checked.to_bytes(INTEGER_BYTES, "big", signed=self.least < 0)

    def decode(self, name: str, part: bytes) -> int:
        require_bytes(name, part, INTEGER_BYTES)
        value = int.from_bytes(part, "big", signed=self.least < 0)
        return require_integer(name, value, least=self.least, most=self.most)


@dataclass(frozen=True, slots=True)
class Word:
    """A word from a closed list, in ASCII."""

    words: type[StrEnum]

    def encode(self, name: str, value: object) -> bytes:
        if not isinstance(value, self.words):
            raise ValueError(f"{name} must be one of {[*self.words]}, got {value!r}")
        return value.value.encode("ascii")

    def decode(self, name: str, part: bytes) -> StrEnum:
        for word in self.words:
            if word.value.encode("ascii") == part:
                return word
        raise ValueError(f"{name} must be one of {[*self.words]}, got {part!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Several:
    """A tuple of values of one field; where it stands for a set, they strictly ascend."""

    field: Field
    most: int
    ascends: bool = False

    def encode(self, name: str, value: object) -> bytes:
        if not isinstance(value, tuple) or len(value) > self.most:
            raise ValueError(f"{name} must be a tuple of at most {self.most}, got {value!r}")
        self._require_order(name, value)
        return b"".join([framed(self.field.encode(name, item)) for item in value])

    def decode(self, name: str, part: bytes) -> tuple[object, ...]:
        items: list[object] = []
        for item in parts_of(part):
            if len(items) == self.most:
                raise ValueError(f"{name} must be a tuple of at most {self.most}, got more")
            items.append(self.field.decode(name, item))
        self._require_order(name, items)
        return tuple(items)

    def _require_order(self, name: str, items: Sequence[object]) -> None:
        encoded = [self.field.encode(name, item) for item in items] if self.ascends else []
        if any(before >= after for before, after in pairwise(encoded)):
            raise ValueError(f"{name} must ascend without repetition, got {tuple(items)!r}")


SIGNED_INTEGER: Final = Integer(least=-AMOUNT_MAX, most=AMOUNT_MAX)

Digest = Annotated[bytes, FixedBytes(DIGEST_BYTES)]
PublicKey = Annotated[bytes, FixedBytes(PUBLIC_KEY_BYTES)]
Nonce = Annotated[bytes, FixedBytes(32)]
Whole = Annotated[int, Integer()]

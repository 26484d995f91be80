"""The one place for how a message of any type is written, signed, read and held against somebody.

A message type is a frozen dataclass whose annotations say how each field is written. `KIND` names
it in the bytes that are signed, `SENDER` is the field that holds the signer's public key, and
`ONCE_FOR` are the fields which, together, a sender may sign only one message for: signing another
is equivocation. It is empty where a second message does no harm.
"""

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, Generic, Protocol, TypeVar, get_type_hints

from hanse.verification.framing import (
    SIGNATURE_BYTES,
    Field,
    MalformedMessageError,
    canonical_bytes,
    digest_of,
    parts_of,
    require_message,
)
from hanse.verification.keys import Signer, is_valid_signature


class Message(Protocol):
    """What each message type declares beside its fields."""

    KIND: ClassVar[bytes]
    SENDER: ClassVar[str]
    ONCE_FOR: ClassVar[tuple[str, ...]]
    __dataclass_fields__: ClassVar[dict[str, Any]]


M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed(Generic[M]):
    """A message and what claims to be its sender's signature; `is_genuine` says whether it is."""

    message: M
    signature: bytes

    def to_bytes(self) -> bytes:
        """Return what travels: the message, then the signature."""
        return encode_message(self.message) + self.signature


@cache
def fields_of(kind: type[Message]) -> dict[str, Field]:
    """Return how each field of a message type is written, in the order in which it is signed."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name].__metadata__[0] for field in fields(kind)}


def encode_message(message: Message) -> bytes:
    """Return what is signed: the only byte string that stands for this message.

    Raises
    ------
    ValueError
        If a field holds what it cannot hold, so that no such message is signed.
    """
    parts = [
        field.encode(name, getattr(message, name))
        for name, field in fields_of(type(message)).items()
    ]
    return canonical_bytes(message.KIND, *parts)


def decode_message(kind: type[M], message: bytes) -> M:
    """Read back what `encode_message` wrote of a message of this kind.

    Raises
    ------
    MalformedMessageError
        If the bytes are anything else.
    """
    header = canonical_bytes(kind.KIND)
    if not require_message(message).startswith(header):
        raise MalformedMessageError(
            f"it must begin with {header!r}, got {message[: len(header)]!r}"
        )
    wanted = fields_of(kind)
    parts = list(parts_of(message[len(header) :]))
    if len(parts) != len(wanted):
        raise MalformedMessageError(f"it must have {len(wanted)} fields, got {len(parts)}")
    try:
        return kind(
            **{
                name: field.decode(name, part)
                for (name, field), part in zip(wanted.items(), parts, strict=True)
            }
        )
    except ValueError as error:
        raise MalformedMessageError(str(error)) from error


def message_digest(message: Message) -> bytes:
    """Return the BLAKE2b-256 digest by which other messages refer to this one."""
    return digest_of(encode_message(message), person=b"hanse.message.v1")


def sender_of(message: Message) -> bytes:
    """Return the public key that the message says it is from."""
    sender: bytes = getattr(message, message.SENDER)
    return sender


def sign_message(message: M, key: Signer) -> Signed[M]:
    """Sign a message with the key that the message itself names.

    Raises
    ------
    ValueError
        If the message names another sender, or a field holds what it cannot hold.
    """
    if sender_of(message) != key.public_key:
        raise ValueError(
            f"{message.SENDER} must be the signer's {key.public_key.hex()}, "
            f"got {sender_of(message).hex()}"
        )
    return Signed(message=message, signature=key.signature_of(encode_message(message)))


def read_message(kind: type[M], message: bytes) -> Signed[M]:
    """Read back what `Signed.to_bytes` wrote; the signature is not checked here.

    Raises
    ------
    MalformedMessageError
        If the bytes are not a canonical message of this kind and a signature.
    """
    if len(require_message(message)) < SIGNATURE_BYTES:
        raise MalformedMessageError(f"it must end with a signature of {SIGNATURE_BYTES} bytes")
    return Signed(
        message=decode_message(kind, message[:-SIGNATURE_BYTES]),
        signature=message[-SIGNATURE_BYTES:],
    )


def is_genuine(signed: Signed[M]) -> bool:
    """Say whether the message carries the signature of the sender that it names."""
    return is_valid_signature(
        sender_of(signed.message), encode_message(signed.message), signed.signature
    )


def is_equivocation(one: Signed[M], other: Signed[M]) -> bool:
    """Say whether these two convict their common sender of signing two messages for one occasion.

    Both signatures must be genuine, so that nobody is convicted by what others made up.
    """
    kind = type(one.message)
    if type(other.message) is not kind or not kind.ONCE_FOR or one.message == other.message:
        return False
    occasion = (kind.SENDER, *kind.ONCE_FOR)
    is_one_occasion = all(
        getattr(one.message, name) == getattr(other.message, name) for name in occasion
    )
    return is_one_occasion and is_genuine(one) and is_genuine(other)

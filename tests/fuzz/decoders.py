"""Every decoder of bytes from strangers, and the one law for all: one error, or one form."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from hanse.verification.capabilities import BORDER_TYPES
from hanse.verification.framing import MalformedMessageError
from hanse.verification.keys import Signer, is_valid_signature
from hanse.verification.lottery import LOTTERY_IS_VRF, prove, public_key_of, verify
from hanse.verification.messages import Message, Signed, read_message
from hanse.verification.questions import DISPUTE_TYPES
from hanse.verification.receipts import MalformedReceiptError, SignedReceipt, read_signed_receipt
from hanse.verification.tensors import MalformedTensorError, decode_tensor, encode_tensor

TENSOR_BYTES_MAX: Final = 1 << 16
MESSAGE_KINDS: Final = (*DISPUTE_TYPES, *BORDER_TYPES)

SECRET: Final = bytes(range(32))
ALPHA: Final = b"what is drawn for"
PROOF: Final = public_key_of(SECRET) + prove(SECRET, ALPHA) if LOTTERY_IS_VRF else b""
SIGNER: Final = Signer(7, 3)
SIGNATURE: Final = SIGNER.public_key + SIGNER.signature_of(ALPHA)


@dataclass(frozen=True)
class Decoder:
    """How something is read, the one error that reading may raise, and how it is written back."""

    read: Callable[[bytes], object]
    error: type[ValueError]
    write: Callable[[object], bytes]


def wire_of(signed: Signed[Message] | SignedReceipt) -> bytes:
    return signed.to_bytes()


def tensor_bytes(named: tuple[str, np.ndarray]) -> bytes:
    return encode_tensor(*named)


class NotProved(ValueError):
    """What checks of 32 bytes of key and the rest, which answer no or None, are made to raise."""


def key_of(message: bytes) -> bytes:
    """Return the first bytes, or what is no bytes as it is: to refuse that is not our task."""
    return message[:32] if isinstance(message, bytes) else message


def rest_of(message: bytes) -> bytes:
    """Return the other bytes, or what is no bytes as it is."""
    return message[32:] if isinstance(message, bytes) else message


def read_proof(message: bytes) -> bytes:
    """Take the key and the proof of the one draw that was made, and no other bytes."""
    if verify(key_of(message), ALPHA, rest_of(message)) is None:
        raise NotProved
    return PROOF


def read_signature(message: bytes) -> bytes:
    """Take the key and the signature of the one that signed, and no other bytes."""
    if not is_valid_signature(key_of(message), ALPHA, rest_of(message)):
        raise NotProved
    return SIGNATURE


DECODERS: Final[dict[str, Decoder]] = {
    **{
        kind.__name__: Decoder(partial(read_message, kind), MalformedMessageError, wire_of)
        for kind in MESSAGE_KINDS
    },
    "SignedReceipt": Decoder(read_signed_receipt, MalformedReceiptError, wire_of),
    "Tensor": Decoder(
        partial(decode_tensor, max_bytes=TENSOR_BYTES_MAX), MalformedTensorError, tensor_bytes
    ),
    "Signature": Decoder(read_signature, NotProved, bytes),
    **({"Proof": Decoder(read_proof, NotProved, bytes)} if LOTTERY_IS_VRF else {}),
}


def examine(decoder: Decoder, message: bytes) -> bool:
    """Read bytes, and say whether they were taken.

    Raises
    ------
    AssertionError
        If what was taken is not written back as the same bytes.
    Exception
        Whatever the decoder raises beside its own error.
    """
    try:
        value = decoder.read(message)
    except decoder.error:
        return False
    assert decoder.write(value) == message, "two byte strings stand for one value"
    return True

"""Every decoder of bytes from strangers, and the one law for all: one error, or one form."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from hanse.verification.framing import MalformedMessageError
from hanse.verification.messages import Message, Signed, read_message
from hanse.verification.questions import DISPUTE_TYPES
from hanse.verification.receipts import MalformedReceiptError, SignedReceipt, read_signed_receipt
from hanse.verification.tensors import MalformedTensorError, decode_tensor, encode_tensor

TENSOR_BYTES_MAX: Final = 1 << 16


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


DECODERS: Final[dict[str, Decoder]] = {
    **{
        kind.__name__: Decoder(partial(read_message, kind), MalformedMessageError, wire_of)
        for kind in DISPUTE_TYPES
    },
    "SignedReceipt": Decoder(read_signed_receipt, MalformedReceiptError, wire_of),
    "Tensor": Decoder(
        partial(decode_tensor, max_bytes=TENSOR_BYTES_MAX), MalformedTensorError, tensor_bytes
    ),
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

"""One valid message for every decoder, with something in each field."""

import numpy as np

from hanse.verification.framing import Blob, Field, FixedBytes, Integer, Several, Word
from hanse.verification.keys import Signer
from hanse.verification.messages import (
    Message,
    Settlement,
    Signed,
    encode_message,
    fields_of,
)
from hanse.verification.tensors import encode_tensor
from tests.fuzz.decoders import MESSAGE_KINDS, PROOF, SIGNATURE

SENDER = Signer(7, 3)


def seeds() -> dict[str, bytes]:
    """Return valid bytes by name of the decoder."""
    found = {kind.__name__: wire_of_some(kind) for kind in MESSAGE_KINDS}
    found["SignedReceipt"] = found["WorkReceipt"]
    found["Tensor"] = encode_tensor("weights", np.array([[1.5, -2.0, 0.0]], np.float32))
    found["Signature"] = SIGNATURE
    return found | ({"Proof": PROOF} if PROOF else {})


def wire_of_some(kind: type[Message]) -> bytes:
    """Sign and write a message that has something in each field."""
    content = {
        name: some(field, number) for number, (name, field) in enumerate(fields_of(kind).items())
    }
    if kind is Settlement:
        content["amounts_micro_usd"] = (-5, 5)
    message = kind(**content | {kind.SENDER: SENDER.public_key})
    signature = SENDER.signature_of(encode_message(message))
    return Signed(message=message, signature=signature).to_bytes()


def some(field: Field, number: int) -> object:
    """Return a value that the field can hold; later fields hold greater integers."""
    match field:
        case FixedBytes():
            return bytes([number]) * field.size
        case Integer():
            return 1000 + number
        case Blob():
            return encode_tensor("x", np.array([number], np.int8))
        case Word():
            return next(iter(field.words))
        case Several():
            return (some(field.field, number), some(field.field, number + 1))
    raise NotImplementedError(field)

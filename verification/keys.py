"""The one place for Ed25519: whose key, whose signature, and which signatures hold."""

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from hanse.verification.framing import (
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    big_endian,
    canonical_bytes,
    digest_of,
    is_bytes,
)


class Signer:
    """The Ed25519 key of a simulated party: no secret, for it follows from the seed."""

    __slots__ = ("_key", "public_key")

    def __init__(self, seed: int, owner: int) -> None:
        identity = canonical_bytes(b"key", big_endian("seed", seed), big_endian("owner", owner))
        self._key = SigningKey(digest_of(identity, person=b"hanse.key.v1"))
        self.public_key = bytes(self._key.verify_key)

    def signature_of(self, message: bytes) -> bytes:
        """Return the 64-byte deterministic signature of any message (RFC 8032)."""
        return self._key.sign(message).signature


def is_valid_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether libsodium accepts a signature; wrong lengths and types are invalid, not errors.

    Strict: S must be below the group order; small-order and non-canonical keys are refused.
    """
    if not is_bytes(public_key, PUBLIC_KEY_BYTES) or not is_bytes(signature, SIGNATURE_BYTES):
        return False
    try:
        VerifyKey(public_key).verify(message, signature)
    except BadSignatureError:
        return False
    return True

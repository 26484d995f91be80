"""The one place for who audits: a lottery by a verifiable random function, and its rule.

ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381, 5 and 5.5) on libsodium's group operations. A signature
will not do for a lottery, even a deterministic one: nothing makes its owner sign deterministically,
and each other nonce is another draw. The output of a VRF is fixed by key and input.
"""

from fractions import Fraction
from hashlib import sha512
from typing import Final

from nacl import bindings, exceptions

from hanse.verification.framing import (
    DIGEST_BYTES,
    PUBLIC_KEY_BYTES,
    big_endian,
    canonical_bytes,
    digest_of,
    is_bytes,
    require_bytes,
    require_integer,
)
from hanse.verification.messages import AuditTicket, LotteryKey, Signed, is_genuine

LOTTERY_IS_VRF: Final = bool(bindings.has_crypto_core_ed25519)
"""False where libsodium was built without the group; see `beacon_output`."""

SECRET_KEY_BYTES: Final = 32
PROOF_BYTES: Final = 80
OUTPUT_BYTES: Final = 64
DRAW_BYTES: Final = 8
DRAWS: Final = 1 << (8 * DRAW_BYTES)

# RFC 9381, 5.5 and RFC 8032, 5.1.
SUITE: Final = b"\x03"
CHALLENGE_BYTES: Final = 16
FIELD_PRIME: Final = (1 << 255) - 19
GROUP_ORDER: Final = (1 << 252) + 27742317777372353535851937790883648493
IDENTITY: Final = (1).to_bytes(32, "little")


def secret_key_for(seed: int, owner: int) -> bytes:
    """Return the lottery secret, 32 bytes, of a simulated verifier: it follows from these two.

    It is not the verifier's signing key: both schemes derive nonces from secret and message alone,
    and one nonce under two schemes gives the secret away.
    """
    identity = canonical_bytes(
        b"lottery-secret", big_endian("seed", seed), big_endian("owner", owner)
    )
    return digest_of(identity, person=b"hanse.key.v1")


def public_key_of(secret_key: bytes) -> bytes:
    """Return the public key, 32 bytes, of a secret of 32 bytes (RFC 8032, 5.1.5)."""
    public_key, _ = bindings.crypto_sign_seed_keypair(
        require_bytes("secret_key", secret_key, SECRET_KEY_BYTES)
    )
    return public_key


def prove(secret_key: bytes, alpha: bytes) -> bytes:
    """Return the proof of the output that a key gives to an input (RFC 9381, 5.1).

    Parameters
    ----------
    secret_key : 32 bytes.
    alpha : the input, any bytes.

    Returns
    -------
    bytes
        80: a point, a challenge, a response. `verify` turns it into the output.
    """
    public_key = public_key_of(secret_key)
    expanded = sha512(secret_key).digest()
    scalar = int.from_bytes(_clamped(expanded[:32]), "little")
    point = _encode_to_curve(public_key, alpha)
    gamma = _times(scalar, point)
    nonce = int.from_bytes(sha512(expanded[32:] + point).digest(), "little") % GROUP_ORDER
    challenge = _challenge(public_key, point, gamma, _times_generator(nonce), _times(nonce, point))
    response = (nonce + int.from_bytes(challenge, "little") * scalar) % GROUP_ORDER
    return gamma + challenge + response.to_bytes(32, "little")


def verify(public_key: bytes, alpha: bytes, proof: bytes) -> bytes | None:
    """Return the output that a proof proves, or None if it proves nothing (RFC 9381, 5.3).

    Stricter than the standard in one point: the key and the point of the proof must lie in the
    subgroup of prime order, so that small-order keys prove nothing and no proof has a twin.

    Returns
    -------
    bytes or None
        64 bytes, indistinguishable from random to who has not the secret key.
    """
    if not is_bytes(public_key, PUBLIC_KEY_BYTES) or not is_bytes(proof, PROOF_BYTES):
        return None
    gamma, challenge = proof[:32], proof[32:48]
    response = int.from_bytes(proof[48:], "little")
    if response >= GROUP_ORDER or not (_is_in_group(public_key) and _is_in_group(gamma)):
        return None
    point = _encode_to_curve(public_key, alpha)
    scalar = int.from_bytes(challenge, "little")
    u = _minus(_times_generator(response), _times(scalar, public_key))
    v = _minus(_times(response, point), _times(scalar, gamma))
    if _challenge(public_key, point, gamma, u, v) != challenge:
        return None
    return sha512(SUITE + b"\x03" + _times_cofactor(gamma) + b"\0").digest()


def lottery_input(
    receipt_digest: bytes, verifier_public_key: bytes, *, epoch: int, beacon: bytes
) -> bytes:
    """Return the input of a verifier's draw for one receipt in one epoch."""
    return canonical_bytes(
        b"lottery",
        require_bytes("receipt_digest", receipt_digest, DIGEST_BYTES),
        require_bytes("verifier_public_key", verifier_public_key, PUBLIC_KEY_BYTES),
        big_endian("epoch", epoch),
        require_bytes("beacon", beacon, DIGEST_BYTES),
    )


def drawn_by(
    ticket: Signed[AuditTicket], registration: Signed[LotteryKey], *, beacon: bytes
) -> bytes | None:
    """Return the output that a ticket draws, or None if the ticket does not count.

    It counts if ticket and registration are genuine and of one verifier, if the ticket shows the
    beacon of its epoch, and if its key was registered for an earlier epoch. The order of events
    does the rest: keys are registered before the epoch begins, receipts are handed in during the
    epoch, and the beacon is drawn last, so that nobody chooses a key or a receipt for its draw.

    Parameters
    ----------
    beacon : the beacon of the ticket's epoch as the caller knows it, 32 bytes.
    """
    claim, registered = ticket.message, registration.message
    counts = (
        is_genuine(ticket)
        and is_genuine(registration)
        and claim.verifier_public_key == registered.verifier_public_key
        and claim.beacon == beacon
        and registered.epoch < claim.epoch
    )
    if not counts:
        return None
    alpha = lottery_input(
        claim.receipt_digest, claim.verifier_public_key, epoch=claim.epoch, beacon=beacon
    )
    return verify(registered.lottery_public_key, alpha, claim.vrf_proof)


def is_audited(beta: bytes, probability: float | Fraction) -> bool:
    """Say whether an output draws an audit: iff its first 8 bytes are below p · 2^64.

    Exact for any float or fraction from 0 to 1: a probability of 0 never audits, 1 always.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must be from 0 to 1, got {probability}")
    return int.from_bytes(beta[:DRAW_BYTES], "big") < probability * DRAWS


def segment_of(beta: bytes, n_segments: int) -> int:
    """Return which segment is audited, from the next 8 bytes: u64 mod n, off by under n/2^64."""
    require_integer("n_segments", n_segments, least=1)
    return int.from_bytes(beta[DRAW_BYTES : 2 * DRAW_BYTES], "big") % n_segments


def beacon_output(beacon: bytes, alpha: bytes) -> bytes:
    """Return what stands for a VRF's output where there is none: a hash of a beacon of many.

    The fallback where `LOTTERY_IS_VRF` is false. Anybody can compute it, so that it is known who
    will audit; and the last to reveal a contribution to the beacon can choose between two of them
    (`commit_reveal.audit_probability_when_withheld`).
    """
    require_bytes("beacon", beacon, DIGEST_BYTES)
    return sha512(canonical_bytes(b"beacon-lottery", beacon, alpha)).digest()


def _clamped(half: bytes) -> bytes:
    return bytes([half[0] & 248, *half[1:31], half[31] & 127 | 64])


def _encode_to_curve(public_key: bytes, alpha: bytes) -> bytes:
    """Try and increment (RFC 9381, 5.4.1.1)."""
    for counter in range(256):
        attempt = SUITE + b"\x01" + public_key + alpha + bytes([counter]) + b"\0"
        candidate = sha512(attempt).digest()[:32]
        if _is_canonical(candidate):
            try:
                point = _times_cofactor(candidate)
            except exceptions.RuntimeError:
                continue
            if point != IDENTITY:
                return point
    raise ArithmeticError("no point within 256 attempts")


def _challenge(*points: bytes) -> bytes:
    return sha512(SUITE + b"\x02" + b"".join(points) + b"\0").digest()[:CHALLENGE_BYTES]


def _is_canonical(encoded: bytes) -> bool:
    """Say whether y is reduced and the sign of x = 0 positive (RFC 8032, 5.1.3)."""
    y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
    return y < FIELD_PRIME and not (y in {1, FIELD_PRIME - 1} and encoded[31] & 128)


def _is_in_group(encoded: bytes) -> bool:
    """Say whether these are the bytes of a point of prime order."""
    return bool(bindings.crypto_core_ed25519_is_valid_point(encoded))


def _times(scalar: int, point: bytes) -> bytes:
    """Multiply a point of prime order."""
    reduced = scalar % GROUP_ORDER
    if reduced == 0:
        return IDENTITY
    return bindings.crypto_scalarmult_ed25519_noclamp(reduced.to_bytes(32, "little"), point)


def _times_generator(scalar: int) -> bytes:
    reduced = scalar % GROUP_ORDER
    if reduced == 0:
        return IDENTITY
    return bindings.crypto_scalarmult_ed25519_base_noclamp(reduced.to_bytes(32, "little"))


def _times_cofactor(point: bytes) -> bytes:
    """Double three times: libsodium multiplies no point outside the subgroup, but adds any."""
    for _ in range(3):
        point = bindings.crypto_core_ed25519_add(point, point)
    return point


def _minus(left: bytes, right: bytes) -> bytes:
    return bindings.crypto_core_ed25519_sub(left, right)

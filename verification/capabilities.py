"""The one place for authority that travels: a signed capability, its use, and its revocation.

An issuer says once, in a message that anybody can check, what a holder may have done where and
until when. The holder signs each use. Whoever is shown both needs no word from the issuer, and
therefore learns of a revocation only when a list of revoked capabilities reaches it: until then an
invalid use is let through. A capability cannot be handed on: it names its holder, and a use by
anybody else is refused.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from hanse.verification.framing import Digest, MalformedMessageError, Nonce, PublicKey, Whole
from hanse.verification.keys import Signer
from hanse.verification.messages import Regions
from hanse.verification.signing import (
    Signed,
    is_genuine,
    message_digest,
    read_message,
    sign_message,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What an issuer lets a holder have done: in which regions, and from when until when."""

    KIND: ClassVar[bytes] = b"capability"
    SENDER: ClassVar[str] = "issuer_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ()

    issuer_public_key: PublicKey
    holder_public_key: PublicKey
    regions: Regions
    valid_from_us: Whole
    valid_until_us: Whole
    nonce: Nonce


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityUse:
    """A holder's claim to use a capability for one task, in one region, at one instant."""

    KIND: ClassVar[bytes] = b"capability-use"
    SENDER: ClassVar[str] = "holder_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("capability_digest", "task_id")

    capability_digest: Digest
    holder_public_key: PublicKey
    task_id: Digest
    region: Whole
    used_us: Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """An issuer's word that a capability is void from an instant on."""

    KIND: ClassVar[bytes] = b"capability-revocation"
    SENDER: ClassVar[str] = "issuer_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ()

    capability_digest: Digest
    issuer_public_key: PublicKey
    revoked_us: Whole


BORDER_TYPES: Final = (Capability, CapabilityUse, Revocation)
"""Every type of message that is read off the wire at a border."""


class Admission(StrEnum):
    """What a check of a capability and its use finds."""

    ADMITTED = "admitted"
    MALFORMED = "malformed"
    NOT_GENUINE = "not genuine"
    WRONG_ISSUER = "wrong issuer"
    WRONG_HOLDER = "wrong holder"
    WRONG_TASK = "wrong task"
    OUT_OF_SCOPE = "out of scope"
    OUT_OF_TIME = "out of time"
    REVOKED = "revoked"


def issue(
    issuer: Signer,
    holder_public_key: bytes,
    *,
    regions: tuple[int, ...],
    valid_from_us: int,
    valid_until_us: int,
    nonce: bytes,
) -> Signed[Capability]:
    """Sign a capability.

    Raises
    ------
    ValueError
        If a field holds what it cannot hold: regions must ascend without repetition.
    """
    capability = Capability(
        issuer_public_key=issuer.public_key,
        holder_public_key=holder_public_key,
        regions=regions,
        valid_from_us=valid_from_us,
        valid_until_us=valid_until_us,
        nonce=nonce,
    )
    return sign_message(capability, issuer)


def use(
    capability: Signed[Capability], holder: Signer, *, task_id: bytes, region: int, used_us: int
) -> Signed[CapabilityUse]:
    """Sign a use of a capability, whoever holds it; whether it is admitted, `admit` says."""
    claim = CapabilityUse(
        capability_digest=message_digest(capability.message),
        holder_public_key=holder.public_key,
        task_id=task_id,
        region=region,
        used_us=used_us,
    )
    return sign_message(claim, holder)


def revoke(
    capability: Signed[Capability], issuer: Signer, *, revoked_us: int
) -> Signed[Revocation]:
    """Sign a revocation.

    Raises
    ------
    ValueError
        If it is not the issuer of the capability who signs.
    """
    return sign_message(
        Revocation(
            capability_digest=message_digest(capability.message),
            issuer_public_key=capability.message.issuer_public_key,
            revoked_us=revoked_us,
        ),
        issuer,
    )


def admit(
    capability_bytes: bytes,
    use_bytes: bytes,
    *,
    issuers: Collection[bytes],
    task_id: bytes,
    region: int,
    now_us: int,
    revocations: Collection[Signed[Revocation]] = (),
) -> Admission:
    """Check what was shown at a border, from the bytes that travelled.

    Parameters
    ----------
    issuers : public keys whose capabilities count here.
    task_id, region, now_us : what is to be done, here, now.
    revocations : those that have reached this place; others it cannot know of.
    """
    try:
        capability = read_message(Capability, capability_bytes)
        claim = read_message(CapabilityUse, use_bytes)
    except MalformedMessageError:
        return Admission.MALFORMED
    granted, used = capability.message, claim.message
    if not is_genuine(capability) or not is_genuine(claim):
        return Admission.NOT_GENUINE
    if granted.issuer_public_key not in issuers:
        return Admission.WRONG_ISSUER
    is_holder = used.holder_public_key == granted.holder_public_key
    if not is_holder or used.capability_digest != message_digest(granted):
        return Admission.WRONG_HOLDER
    if used.task_id != task_id:
        return Admission.WRONG_TASK
    if region not in granted.regions or used.region != region:
        return Admission.OUT_OF_SCOPE
    if used.used_us > now_us or not granted.valid_from_us <= now_us < granted.valid_until_us:
        return Admission.OUT_OF_TIME
    if any(_voids(one, granted, now_us) for one in revocations):
        return Admission.REVOKED
    return Admission.ADMITTED


def _voids(revocation: Signed[Revocation], granted: Capability, now_us: int) -> bool:
    """Say whether a revocation is the issuer's own, of this capability, and in force."""
    word = revocation.message
    is_own = word.issuer_public_key == granted.issuer_public_key
    names_it = is_own and word.capability_digest == message_digest(granted)
    return names_it and word.revoked_us <= now_us and is_genuine(revocation)

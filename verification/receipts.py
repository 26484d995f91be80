"""The one place for signed claims of work: what is signed, who signed it, in which order."""

import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import ClassVar, Final

from hanse.verification.framing import (
    DIGEST_BYTES,
    DOMAIN,
    INTEGER_BYTES,
    INTEGER_MAX,
    LENGTH_BYTES,
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    Digest,
    MalformedMessageError,
    PublicKey,
    Whole,
    big_endian,
    canonical_bytes,
    digest_of,
    require_bytes,
    require_integer,
)
from hanse.verification.keys import Signer, is_valid_signature

__all__ = [
    "DIGEST_BYTES",
    "DOMAIN",
    "INTEGER_BYTES",
    "INTEGER_MAX",
    "LENGTH_BYTES",
    "NO_RECEIPT",
    "PUBLIC_KEY_BYTES",
    "RECEIPT_HEADER",
    "SIGNATURE_BYTES",
    "MalformedReceiptError",
    "SignedReceipt",
    "Signer",
    "Verdict",
    "WorkReceipt",
    "big_endian",
    "canonical_bytes",
    "chain_is_unbroken",
    "check",
    "digest_of",
    "equivocators",
    "is_signed_by",
    "is_valid_signature",
    "read_signed_receipt",
    "sign",
]

NO_RECEIPT: Final = bytes(DIGEST_BYTES)


class MalformedReceiptError(MalformedMessageError):
    """Raised when bytes are not the canonical form of a signed receipt."""


class Verdict(StrEnum):
    """What checking a signed receipt found; only `GENUINE` accepts it."""

    GENUINE = "genuine"
    OTHER_TASK = "other_task"
    OTHER_PROGRAM = "other_program"
    FORGED = "forged"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkReceipt:
    """A solver's claim to have run one program on one task, before it is signed.

    The fields are signed in the order in which they stand here.

    Attributes
    ----------
    task_id, program_digest, output_digest, previous_receipt_digest : 32 bytes each; the last is
        `NO_RECEIPT` for a solver's first receipt.
    solver_public_key : Ed25519 key, 32 bytes.
    region : index of the region the solver says it ran in; a claim, not a proof of place.
    started_us, ended_us, work_us : instants and accelerator time, from 0 to `INTEGER_MAX`.
    sequence : 0, 1, 2, ... in the order in which this solver signed.
    """

    KIND: ClassVar[bytes] = b"receipt"
    SENDER: ClassVar[str] = "solver_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("sequence",)

    task_id: Digest
    program_digest: Digest
    output_digest: Digest
    solver_public_key: PublicKey
    region: Whole
    started_us: Whole
    ended_us: Whole
    work_us: Whole
    sequence: Whole
    previous_receipt_digest: Digest

    def __post_init__(self) -> None:
        for name in _BYTES_FIELDS:
            require_bytes(name, getattr(self, name), DIGEST_BYTES)
        for name in _INTEGER_FIELDS:
            require_integer(name, getattr(self, name))
        if self.ended_us < self.started_us:
            raise ValueError(
                f"ended_us must be at least started_us = {self.started_us}, got {self.ended_us}"
            )

    def canonical_bytes(self) -> bytes:
        """Return what is signed: the only byte string that stands for this receipt."""
        return _LAYOUT.pack(
            RECEIPT_HEADER,
            DIGEST_BYTES,
            self.task_id,
            DIGEST_BYTES,
            self.program_digest,
            DIGEST_BYTES,
            self.output_digest,
            PUBLIC_KEY_BYTES,
            self.solver_public_key,
            INTEGER_BYTES,
            self.region,
            INTEGER_BYTES,
            self.started_us,
            INTEGER_BYTES,
            self.ended_us,
            INTEGER_BYTES,
            self.work_us,
            INTEGER_BYTES,
            self.sequence,
            DIGEST_BYTES,
            self.previous_receipt_digest,
        )

    def digest(self) -> bytes:
        """Return the BLAKE2b-256 digest that the solver's next receipt points back to."""
        return digest_of(self.canonical_bytes(), person=b"hanse.receipt.v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedReceipt:
    """A receipt and what claims to be its solver's signature; `check` says whether it is."""

    receipt: WorkReceipt
    signature: bytes

    def to_bytes(self) -> bytes:
        """Return what travels: the canonical bytes of the receipt, then the signature."""
        return self.receipt.canonical_bytes() + self.signature


def sign(receipt: WorkReceipt, key: Signer) -> SignedReceipt:
    """Sign a receipt with the key that the receipt itself names.

    Raises
    ------
    ValueError
        If the receipt names another solver: nobody signs for somebody else by mistake.
    """
    if receipt.solver_public_key != key.public_key:
        raise ValueError(
            f"solver_public_key must be the signer's {key.public_key.hex()}, "
            f"got {receipt.solver_public_key.hex()}"
        )
    return SignedReceipt(receipt=receipt, signature=key.signature_of(receipt.canonical_bytes()))


def is_signed_by(signed: SignedReceipt, public_key: bytes) -> bool:
    """Say whether the receipt names `public_key` and carries its signature."""
    return signed.receipt.solver_public_key == public_key and is_valid_signature(
        public_key, signed.receipt.canonical_bytes(), signed.signature
    )


def check(signed: SignedReceipt, *, task_id: bytes, program_digest: bytes) -> Verdict:
    """Judge a receipt that was handed in for one task and one program.

    A genuine receipt shows who claims what. It does not show that the claim is right: for that,
    compare `output_digest` with the digest of a re-execution.
    """
    if signed.receipt.task_id != task_id:
        return Verdict.OTHER_TASK
    if signed.receipt.program_digest != program_digest:
        return Verdict.OTHER_PROGRAM
    if not is_signed_by(signed, signed.receipt.solver_public_key):
        return Verdict.FORGED
    return Verdict.GENUINE


def read_signed_receipt(message: bytes) -> SignedReceipt:
    """Read back what `SignedReceipt.to_bytes` wrote; the signature is not checked here.

    Raises
    ------
    MalformedReceiptError
        If the bytes are not canonical: another domain, version, kind, length or range.
    """
    size = _LAYOUT.size + SIGNATURE_BYTES
    if not isinstance(message, bytes):
        raise MalformedReceiptError(f"a signed receipt must be bytes, got {type(message).__name__}")
    if len(message) != size:
        raise MalformedReceiptError(f"a signed receipt must have {size} bytes, got {len(message)}")
    values = _LAYOUT.unpack_from(message)
    if values[0] != RECEIPT_HEADER:
        raise MalformedReceiptError(
            f"a receipt must begin with {RECEIPT_HEADER!r}, got {values[0]!r}"
        )
    if values[1::2] != _LENGTHS:
        raise MalformedReceiptError(f"field lengths must be {_LENGTHS}, got {values[1::2]}")
    try:
        receipt = WorkReceipt(**dict(zip(_FIELDS, values[2::2], strict=True)))
    except ValueError as error:
        raise MalformedReceiptError(str(error)) from error
    return SignedReceipt(receipt=receipt, signature=message[_LAYOUT.size :])


def chain_is_unbroken(receipts: Sequence[WorkReceipt]) -> bool:
    """Say whether these are the first receipts of one solver, all of them, in order, unaltered.

    The last receipt vouches for those before it; nothing vouches that it is the latest.
    """
    previous = NO_RECEIPT
    for sequence, receipt in enumerate(receipts):
        follows = receipt.sequence == sequence and receipt.previous_receipt_digest == previous
        if not follows or receipt.solver_public_key != receipts[0].solver_public_key:
            return False
        previous = receipt.digest()
    return True


def equivocators(receipts: Iterable[SignedReceipt]) -> tuple[bytes, ...]:
    """Return the solvers that signed two different receipts under one sequence number, sorted.

    Only genuine signatures count, so that nobody is convicted by a receipt that others made up.
    """
    claims: defaultdict[tuple[bytes, int], set[WorkReceipt]] = defaultdict(set)
    for signed in receipts:
        if is_signed_by(signed, signed.receipt.solver_public_key):
            claims[signed.receipt.solver_public_key, signed.receipt.sequence].add(signed.receipt)
    return tuple(sorted({solver for (solver, _), rival in claims.items() if len(rival) > 1}))


RECEIPT_HEADER: Final = canonical_bytes(WorkReceipt.KIND)
_FIELDS: Final = tuple(field.name for field in fields(WorkReceipt))
_BYTES_FIELDS: Final = tuple(field.name for field in fields(WorkReceipt) if field.type is not Whole)
_INTEGER_FIELDS: Final = tuple(field.name for field in fields(WorkReceipt) if field.type is Whole)
_LENGTHS: Final = tuple(
    DIGEST_BYTES if name in _BYTES_FIELDS else INTEGER_BYTES for name in _FIELDS
)
# What `canonical_bytes` writes for parts of these lengths, compiled once: six times as fast.
_LAYOUT: Final = struct.Struct(
    f">{len(RECEIPT_HEADER)}s"
    + "".join("I32s" if name in _BYTES_FIELDS else "IQ" for name in _FIELDS)
)

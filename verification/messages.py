"""The one place for the messages of the protocols: what each says, and who signs it how often.

How a type declares this, and what is done with messages of any type, is in `signing`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from hanse.verification.framing import (
    SIGNED_INTEGER,
    Blob,
    Digest,
    FixedBytes,
    Integer,
    MalformedMessageError,
    Nonce,
    PublicKey,
    Several,
    Whole,
    Word,
)
from hanse.verification.receipts import WorkReceipt
from hanse.verification.signing import (
    Message,
    Signed,
    decode_message,
    encode_message,
    fields_of,
    is_equivocation,
    is_genuine,
    message_digest,
    read_message,
    sender_of,
    sign_message,
)

__all__ = [
    "MESSAGE_TYPES",
    "PARTS_PER_MILLION",
    "PROOF_HASHES_MAX",
    "REGIONS_MAX",
    "TENSORS_MAX",
    "TENSOR_BYTES_MAX",
    "TRANSFERS_MAX",
    "Accounts",
    "Amounts",
    "AuditCommit",
    "AuditReveal",
    "AuditTicket",
    "BeaconCommit",
    "BeaconReveal",
    "BidCommit",
    "BidReveal",
    "BisectMove",
    "Challenge",
    "Digests",
    "Evidence",
    "LotteryKey",
    "MalformedMessageError",
    "Message",
    "OperatorMove",
    "Reason",
    "Regions",
    "Settlement",
    "Signed",
    "TaskOffer",
    "Tensors",
    "VerdictMessage",
    "WorkReceipt",
    "decode_message",
    "encode_message",
    "fields_of",
    "is_equivocation",
    "is_genuine",
    "message_digest",
    "read_message",
    "sender_of",
    "sign_message",
]

PROOF_HASHES_MAX: Final = 64
REGIONS_MAX: Final = 1 << 12
TENSORS_MAX: Final = 64
TRANSFERS_MAX: Final = 1 << 12
TENSOR_BYTES_MAX: Final = 1 << 26
PARTS_PER_MILLION: Final = 1_000_000

Digests = Annotated[tuple[bytes, ...], Several(field=FixedBytes(32), most=PROOF_HASHES_MAX)]
Regions = Annotated[tuple[int, ...], Several(field=Integer(), most=REGIONS_MAX, ascends=True)]
Tensors = Annotated[tuple[bytes, ...], Several(field=Blob(TENSOR_BYTES_MAX), most=TENSORS_MAX)]
Accounts = Annotated[
    tuple[bytes, ...], Several(field=FixedBytes(32), most=TRANSFERS_MAX, ascends=True)
]
Amounts = Annotated[
    tuple[int, ...],
    Several(field=SIGNED_INTEGER, most=TRANSFERS_MAX),
]


class Reason(StrEnum):
    """What a referee found somebody guilty of."""

    WRONG_OUTPUT = "wrong_output"
    TIMEOUT = "timeout"
    BAD_PROOF = "bad_proof"
    EQUIVOCATION = "equivocation"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOffer:
    """A buyer's offer of work, and the terms on which it will be checked."""

    KIND: ClassVar[bytes] = b"task-offer"
    SENDER: ClassVar[str] = "buyer_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("task_id",)

    task_id: Digest
    program_digest: Digest
    data_root: Digest
    buyer_public_key: PublicKey
    reward_micro_usd: Whole
    stake_min_micro_usd: Whole
    audit_per_million: Annotated[int, Integer(most=PARTS_PER_MILLION)]
    window_us: Whole
    deadline_us: Whole
    regions: Regions


@dataclass(frozen=True, slots=True, kw_only=True)
class BidCommit:
    """A sealed bid; see `commit_reveal`."""

    KIND: ClassVar[bytes] = b"bid-commit"
    SENDER: ClassVar[str] = "bidder_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("task_id",)

    task_id: Digest
    bidder_public_key: PublicKey
    commitment: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class BidReveal:
    """What opens a sealed bid."""

    KIND: ClassVar[bytes] = b"bid-reveal"
    SENDER: ClassVar[str] = "bidder_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ()

    task_id: Digest
    bidder_public_key: PublicKey
    price_micro_usd: Whole
    nonce: Nonce


@dataclass(frozen=True, slots=True, kw_only=True)
class LotteryKey:
    """A verifier's registration of the key that draws its audits, before the beacon is known."""

    KIND: ClassVar[bytes] = b"lottery-key"
    SENDER: ClassVar[str] = "verifier_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("epoch",)

    verifier_public_key: PublicKey
    lottery_public_key: PublicKey
    epoch: Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTicket:
    """A verifier's draw in the audit lottery, with its proof; see `lottery`."""

    KIND: ClassVar[bytes] = b"audit-ticket"
    SENDER: ClassVar[str] = "verifier_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ()

    receipt_digest: Digest
    verifier_public_key: PublicKey
    epoch: Whole
    beacon: Digest
    vrf_proof: Annotated[bytes, FixedBytes(80)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCommit:
    """A sealed result of an audit, handed in before others' results are known."""

    KIND: ClassVar[bytes] = b"audit-commit"
    SENDER: ClassVar[str] = "verifier_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("receipt_digest",)

    receipt_digest: Digest
    verifier_public_key: PublicKey
    commitment: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReveal:
    """What opens a sealed result: the chain at the end of what was run again."""

    KIND: ClassVar[bytes] = b"audit-reveal"
    SENDER: ClassVar[str] = "verifier_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ()

    receipt_digest: Digest
    verifier_public_key: PublicKey
    chain_end: Digest
    nonce: Nonce


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconCommit:
    """A sealed contribution to the beacon of an epoch, where there is no VRF."""

    KIND: ClassVar[bytes] = b"beacon-commit"
    SENDER: ClassVar[str] = "contributor_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("epoch",)

    epoch: Whole
    contributor_public_key: PublicKey
    commitment: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconReveal:
    """What opens a sealed contribution: the nonce is the contribution."""

    KIND: ClassVar[bytes] = b"beacon-reveal"
    SENDER: ClassVar[str] = "contributor_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ()

    epoch: Whole
    contributor_public_key: PublicKey
    nonce: Nonce


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A claim that a receipt is wrong, with what the challenger found instead."""

    KIND: ClassVar[bytes] = b"challenge"
    SENDER: ClassVar[str] = "challenger_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("receipt_digest",)

    receipt_digest: Digest
    challenger_public_key: PublicKey
    bond_micro_usd: Whole
    trace_root: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectMove:
    """One party's chain at one step of a dispute; with a proof where that is a checkpoint."""

    KIND: ClassVar[bytes] = b"bisect-move"
    SENDER: ClassVar[str] = "sender_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("dispute_id", "round")

    dispute_id: Digest
    sender_public_key: PublicKey
    round: Whole
    index: Whole
    chain: Digest
    inclusion_proof: Digests


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorMove:
    """One party's root over the operators of the disputed step before an index."""

    KIND: ClassVar[bytes] = b"operator-move"
    SENDER: ClassVar[str] = "sender_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("dispute_id", "round")

    dispute_id: Digest
    sender_public_key: PublicKey
    round: Whole
    index: Whole
    prefix_root: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the referee needs to run one operator again, and both outputs that were claimed."""

    KIND: ClassVar[bytes] = b"evidence"
    SENDER: ClassVar[str] = "sender_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ()

    dispute_id: Digest
    sender_public_key: PublicKey
    index: Whole
    inputs: Tensors
    claimed_output_digests: Digests


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictMessage:
    """What the referee decided."""

    KIND: ClassVar[bytes] = b"verdict"
    SENDER: ClassVar[str] = "referee_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("dispute_id", "guilty_public_key")

    dispute_id: Digest
    referee_public_key: PublicKey
    guilty_public_key: PublicKey
    reason: Annotated[Reason, Word(Reason)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Who gets what of a receipt: money is moved, never made.

    Raises
    ------
    ValueError
        If there is not one amount for each account, or the amounts do not sum to zero.
    """

    KIND: ClassVar[bytes] = b"settlement"
    SENDER: ClassVar[str] = "referee_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("receipt_digest",)

    receipt_digest: Digest
    referee_public_key: PublicKey
    accounts: Accounts
    amounts_micro_usd: Amounts

    def __post_init__(self) -> None:
        if len(self.accounts) != len(self.amounts_micro_usd):
            raise ValueError(
                f"amounts_micro_usd must have one amount for each of {len(self.accounts)} "
                f"accounts, got {len(self.amounts_micro_usd)}"
            )
        if sum(self.amounts_micro_usd) != 0:
            raise ValueError(f"amounts_micro_usd must sum to 0, got {sum(self.amounts_micro_usd)}")


MESSAGE_TYPES: Final[tuple[type[Message], ...]] = (
    TaskOffer,
    BidCommit,
    BidReveal,
    WorkReceipt,
    LotteryKey,
    AuditTicket,
    AuditCommit,
    AuditReveal,
    BeaconCommit,
    BeaconReveal,
    Challenge,
    BisectMove,
    OperatorMove,
    Evidence,
    VerdictMessage,
    Settlement,
)

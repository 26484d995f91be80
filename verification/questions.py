"""The one place for what a referee asks in a dispute, and for who answers.

| asked | answered by |
|---|---|
| `CHECKPOINT` | `BisectMove`: a link with its proof |
| `STATE` | `BisectMove`: a link within a segment, without one |
| `STEP` | `StepOpening` |
| `PREFIX` | `OperatorMove`: the root over the first operators |
| `MAKER`, `OPERATOR`, `SOURCE` | `OperatorOpening` |
| `MADE`, `EVIDENCE` | `Evidence`: tensors |

A `StepOpening` gives `previous`, the link before that of the state in which the step starts (zeros
where there is none), the tensor digests of the states `before` and `after` in the order of names of
carried tensors, and the root over the operators between them. An `OperatorOpening` gives digests of
inputs and output, and proves its leaf under the root over `size` operators; for `OPERATOR`, also
that this tree continues the one over the operators before `index`, if there are any.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, Protocol

from hanse.verification.framing import Digest, PublicKey, Whole
from hanse.verification.messages import MESSAGE_TYPES, Digests
from hanse.verification.receipts import SignedReceipt


class Kind(StrEnum):
    """What is asked; `MOVES` bisect, the others open what was committed."""

    CHECKPOINT = "checkpoint"
    STATE = "state"
    STEP = "step"
    PREFIX = "prefix"
    MAKER = "maker"
    MADE = "made"
    OPERATOR = "operator"
    SOURCE = "source"
    EVIDENCE = "evidence"


MOVES = frozenset({Kind.CHECKPOINT, Kind.STATE, Kind.PREFIX})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of one dispute.

    Attributes
    ----------
    round : 0, 1, 2, ... in the order of questions; no two of a dispute have the same.
    kind : `CHECKPOINT` and `STATE` ask for a link of the chain, `STEP` opens a step, `PREFIX` asks
        for the root over its first operators, `MAKER`, `OPERATOR` and `SOURCE` open one of them
        under such a root, `EVIDENCE` asks for the inputs of one, `MADE` for its output.
    step : number of the state in question; the step that is opened ends in it.
    operator : index of the operator; of `PREFIX`, how many.
    size : of how many operators the tree is under whose root an operator is opened.
    """

    dispute_id: bytes
    round: int
    kind: Kind
    step: int
    operator: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A signed message as it travels, and what it took to write: microseconds, steps replayed."""

    message: bytes
    took_us: int
    n_replayed: int = 0


class Party(Protocol):
    """Whoever defends or challenges a result; all that is known of it is what it signs."""

    @property
    def public_key(self) -> bytes: ...

    @property
    def receipts(self) -> tuple[SignedReceipt, ...]:
        """Receipts of this party that are at hand; the first is the one in dispute."""
        ...

    def answer(self, question: Question) -> Reply | None:
        """Answer, or stay silent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOpening:
    """What stands behind the links of a chain before and after one step; see above."""

    KIND: ClassVar[bytes] = b"step-opening"
    SENDER: ClassVar[str] = "sender_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("dispute_id", "round")

    dispute_id: Digest
    sender_public_key: PublicKey
    round: Whole
    step: Whole
    previous: Digest
    before: Digests
    after: Digests
    operator_root: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorOpening:
    """One leaf of a tree over the first `size` operators of a step; see above."""

    KIND: ClassVar[bytes] = b"operator-opening"
    SENDER: ClassVar[str] = "sender_public_key"
    ONCE_FOR: ClassVar[tuple[str, ...]] = ("dispute_id", "round")

    dispute_id: Digest
    sender_public_key: PublicKey
    round: Whole
    index: Whole
    size: Whole
    inputs: Digests
    output: Digest
    inclusion_proof: Digests
    consistency_proof: Digests


DISPUTE_TYPES: Final = (*MESSAGE_TYPES, StepOpening, OperatorOpening)
"""Every type of message that a protocol reads off the wire; see also `BORDER_TYPES`."""

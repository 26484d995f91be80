"""The one place for what disputes found, what they took, and what the referee signs of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from hanse.verification.keys import Signer
from hanse.verification.messages import Reason, VerdictMessage
from hanse.verification.signing import Signed, sign_message


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeOutcome:
    """What a dispute found, and what it took.

    Attributes
    ----------
    dispute_id : 32 bytes, which every message of the dispute names.
    faults : who is guilty, by public key, and of what; never empty, and both where neither is
        right.
    step, operator : state in which the disputed step ends, and index of the operator; None where
        it did not come to that.
    n_rounds : questions of bisection, at most ceil(log2 n) in each of its three phases.
    n_messages, n_bytes : what the parties sent, signatures and all.
    replayed_steps : steps that each party executed again.
    clock_us : what is left of each party's time.
    elapsed_us : how long it lasted, in simulated time.
    referee_s : processor time of reading the evidence and executing one operator, measured.
    checking_s : that of all else the referee did: signatures, proofs, digests of public inputs.
    """

    dispute_id: bytes
    faults: Mapping[bytes, Reason]
    step: int | None
    operator: int | None
    n_rounds: int
    n_messages: int
    n_bytes: int
    replayed_steps: Mapping[bytes, int]
    clock_us: Mapping[bytes, int]
    elapsed_us: int
    referee_s: float
    checking_s: float

    @property
    def guilty(self) -> frozenset[bytes]:
        return frozenset(self.faults)

    def verdicts(self, referee: Signer) -> tuple[Signed[VerdictMessage], ...]:
        """Return what the referee signs: one message for each who is guilty."""
        return tuple(
            sign_message(
                VerdictMessage(
                    dispute_id=self.dispute_id,
                    referee_public_key=referee.public_key,
                    guilty_public_key=guilty,
                    reason=reason,
                ),
                referee,
            )
            for guilty, reason in sorted(self.faults.items())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What came of a claim and all challenges to it.

    Attributes
    ----------
    disputes : in the order in which they were fought; fewer than there are parties.
    faults : who is guilty, by public key, and of what first.
    survivors : public keys of those who lost nothing, in the order given; all of one result.
    """

    disputes: tuple[DisputeOutcome, ...]
    faults: Mapping[bytes, Reason]
    survivors: tuple[bytes, ...]

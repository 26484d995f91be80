"""The one place for what is sealed first and opened later: bids, audit results, beacon shares.

A seal binds who made it and for what. A copy of a neighbour's seal cannot be opened under another
name, and a seal of one task opens for no other.

Whoever seals and does not open in time has withheld. A withheld bid is no bid, a withheld result of
an audit is no result, a withheld share is left out of the beacon. Each costs the whole deposit,
whoever was last and for whatever reason, for nobody can tell a reason from a pretext.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from hanse.verification.framing import big_endian, canonical_bytes, digest_of
from hanse.verification.messages import (
    AuditCommit,
    AuditReveal,
    BeaconCommit,
    BeaconReveal,
    BidCommit,
    BidReveal,
    Signed,
    encode_message,
    is_genuine,
    sender_of,
)

Commit = BidCommit | AuditCommit | BeaconCommit
Reveal = BidReveal | AuditReveal | BeaconReveal
C = TypeVar("C", BidCommit, AuditCommit, BeaconCommit)
R = TypeVar("R", BidReveal, AuditReveal, BeaconReveal)
Sealed = tuple[int | bytes, bytes]
"""For what somebody sealed, and the public key of who did."""

COMMIT_OF: Final[dict[type[Reveal], type[Commit]]] = {
    BidReveal: BidCommit,
    AuditReveal: AuditCommit,
    BeaconReveal: BeaconCommit,
}
PERSON_OF: Final[dict[type[Reveal], bytes]] = {
    BidReveal: b"hanse.bid.v1",
    AuditReveal: b"hanse.audit.v1",
    BeaconReveal: b"hanse.share.v1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening(Generic[R]):
    """What came of a round of seals once the time to open them is over.

    Attributes
    ----------
    opened : the reveals that opened a seal, in the order of what was sealed for and of senders.
    withheld : public keys, sorted, whose seal was not opened, or who sealed twice.
    n_refused : reveals that opened nothing: forged, copied, altered, or of nothing sealed.
    """

    opened: tuple[R, ...]
    withheld: tuple[bytes, ...]
    n_refused: int

    def forfeits_micro_usd(self, deposit_micro_usd: int) -> dict[bytes, int]:
        """Return what each withholder loses: all of it, for each seal."""
        return {key: deposit_micro_usd * self.withheld.count(key) for key in self.withheld}


def commitment_to(reveal: Reveal) -> bytes:
    """Return the seal, 32 bytes, over all that a reveal says: for what, who, content and nonce."""
    return digest_of(encode_message(reveal), person=PERSON_OF[type(reveal)])


def seal(reveal: Reveal) -> Commit:
    """Return the commitment that this reveal, and no other, will open."""
    kind = COMMIT_OF[type(reveal)]
    (occasion,) = kind.ONCE_FOR
    return kind(
        **{
            occasion: getattr(reveal, occasion),
            kind.SENDER: sender_of(reveal),
            "commitment": commitment_to(reveal),
        }
    )


def opens(reveal: Reveal, commit: Commit) -> bool:
    """Say whether a reveal is what was sealed: for the same, by the same, with the same content."""
    return seal(reveal) == commit


def close(commits: Iterable[Signed[C]], reveals: Iterable[Signed[R]]) -> Opening[R]:
    """Match reveals with seals, once no more will be taken.

    What is not genuinely signed is as if it had not come: nobody loses a deposit by what others
    made up. Who signed two seals for one occasion has opened neither, whatever is revealed.
    """
    seals: defaultdict[Sealed, set[Commit]] = defaultdict(set)
    for commit in commits:
        if is_genuine(commit):
            seals[_sealed(commit.message)].add(commit.message)
    opened: dict[Sealed, R] = {}
    n_refused = 0
    for reveal in reveals:
        commit_wanted = seal(reveal.message)
        if is_genuine(reveal) and seals.get(_sealed(commit_wanted)) == {commit_wanted}:
            opened[_sealed(commit_wanted)] = reveal.message
        else:
            n_refused += 1
    return Opening(
        opened=tuple(opened[at] for at in sorted(opened)),
        withheld=tuple(sorted(sender for at in seals.keys() - opened.keys() for sender in at[1:])),
        n_refused=n_refused,
    )


def beacon_of(epoch: int, shares: Sequence[BeaconReveal]) -> bytes:
    """Return the beacon of an epoch, 32 bytes, from the shares that were opened, in any order.

    Nobody knows it while one honest share is sealed, and nobody can choose it; but who opens last
    knows two beacons, with and without their own share. See `audit_probability_when_withheld`.

    Raises
    ------
    ValueError
        If there is no share, or one of another epoch: the epoch then has no beacon.
    """
    if not shares or any(share.epoch != epoch for share in shares):
        raise ValueError(f"shares must be of epoch {epoch}, at least one, got {shares!r}")
    parts = sorted({encode_message(share) for share in shares})
    framed_shares = canonical_bytes(b"beacon", big_endian("epoch", epoch), *parts)
    return digest_of(framed_shares, person=b"hanse.beacon.v1")


def audit_probability_when_withheld(probability: float, n_withholders: int) -> float:
    """Return how often an audit hits who controls the last shares of a beacon: p^(2^n).

    The n last can leave out any of their 2^n subsets, and are audited only if every one of the
    beacons draws the audit. They know all of them before they choose, so that withholding pays
    whenever an audit would cost them more than the deposits: the deposit must be at least that.
    """
    return float(probability ** (2**n_withholders))


def _sealed(commit: Commit) -> Sealed:
    (occasion,) = commit.ONCE_FOR
    return getattr(commit, occasion), sender_of(commit)

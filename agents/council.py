"""Councils: the one place where those with a stake vote on a parameter that binds all.

Voters are columns: a stake, a delegate, and what each would have at each candidate value. Nobody is
good or bad here; each prefers whatever leaves it with more, and says so by yes or no. A board of
one voter is a council too, and decides what is best for itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.accounts.voting_power import banzhaf_power
from hanse.market.units import Flags, Floats, Integers

_GRAIN = 1_000
"""Whole votes that a council's weights are rounded to before power is counted exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Safeguards:
    """What a council's constitution asks for; the defaults ask for a plain majority of votes cast.

    Attributes
    ----------
    cap_share : most of the whole stake that counts of one voter, in (0, 1]; what is above is lost.
    is_quadratic : whether votes are the square root of the stake.
    threshold : share of the votes cast that a change must exceed, in [1/2, 1); more than 1/2 is a
        supermajority, and protects what there is, good or bad.
    quorum : least share of all votes that must be cast, in [0, 1].
    is_time_locked : whether a change is voted on a second time, by whoever turns out then.
    """

    cap_share: float = 1.0
    is_quadratic: bool = False
    threshold: float = 0.5
    quorum: float = 0.0
    is_time_locked: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.cap_share <= 1.0:
            raise ValueError(f"cap_share must be in (0, 1], got {self.cap_share}")
        if not 0.5 <= self.threshold < 1.0:
            raise ValueError(f"threshold must be in [0.5, 1), got {self.threshold}")
        if not 0.0 <= self.quorum <= 1.0:
            raise ValueError(f"quorum must be in [0, 1], got {self.quorum}")


PLAIN_MAJORITY: Final = Safeguards()


@dataclass(frozen=True, slots=True, kw_only=True)
class Council:
    """Who votes on one parameter, and what it is worth to each.

    Attributes
    ----------
    stake : shape (n_voters,), at least 0, in any unit.
    payoff_usd : shape (n_candidates, n_voters), what each voter has at each candidate value.
    status_quo : index of the candidate that stands until it is voted out.
    delegate : shape (n_voters,), who casts each voter's votes; itself if nobody else. Chains are
        followed; voters in a ring cast nothing.
    safeguards : of the constitution.
    """

    stake: Floats
    payoff_usd: Floats
    status_quo: int
    delegate: Integers
    safeguards: Safeguards = PLAIN_MAJORITY

    def __post_init__(self) -> None:
        n_candidates, n_voters = self.payoff_usd.shape
        if self.stake.shape != (n_voters,) or self.delegate.shape != (n_voters,):
            raise ValueError(
                f"stake and delegate must have {n_voters} entries, got {self.stake.shape} and "
                f"{self.delegate.shape}"
            )
        if not 0 <= self.status_quo < n_candidates:
            raise ValueError(f"status_quo must be below {n_candidates}, got {self.status_quo}")
        if self.stake.min(initial=0.0) < 0 or self.stake.sum() <= 0:
            raise ValueError(f"stake must be at least 0 with some above, got {self.stake.min()}")

    def votes(self) -> Floats:
        """Return the votes that each casts: delegated stake first, then cap, then the root."""
        stake = np.bincount(_last_delegate(self.delegate), self.stake, len(self.stake) + 1)[:-1]
        capped: Floats = np.minimum(stake, self.safeguards.cap_share * self.stake.sum())
        return np.sqrt(capped) if self.safeguards.is_quadratic else capped

    def elect(self, turns_out: Flags) -> int:
        """Return the candidate that stands after a vote.

        Of the changes that pass against the status quo, the one that wins the most duels by simple
        majority among them and the status quo takes effect: the Condorcet winner where there is
        one. Ties go to the candidate nearer the status quo by index, then to the lower.

        Parameters
        ----------
        turns_out : shape (n_voters,), or (2, n_voters) where a time lock asks for a second vote.
        """
        ballots = np.atleast_2d(turns_out)
        if self.safeguards.is_time_locked and len(ballots) < 2:
            raise ValueError("turns_out must have a row for each of two votes under a time lock")
        first = self._winner(ballots[0])
        if not self.safeguards.is_time_locked or first == self.status_quo:
            return first
        return (
            first if self._passes(ballots[1], self._duels(ballots[1]))[first] else self.status_quo
        )

    def _winner(self, turns_out: Flags) -> int:
        duels = self._duels(turns_out)
        stands = self._passes(turns_out, duels)
        stands[self.status_quo] = True
        candidates = np.flatnonzero(stands)
        wins = (duels > duels.T)[np.ix_(candidates, candidates)].sum(axis=1)
        distance = np.abs(candidates - self.status_quo)
        return int(candidates[np.lexsort((candidates, distance, -wins))[0]])

    def _duels(self, turns_out: Flags) -> Floats:
        """Return the votes for the first over the second of each two candidates."""
        votes = np.where(turns_out, self.votes(), 0.0)
        prefers = self.payoff_usd[:, None, :] > self.payoff_usd[None, :, :]
        return np.asarray(prefers @ votes)

    def _passes(self, turns_out: Flags, duels: Floats) -> Flags:
        """Say which changes have the quorum, and more of the votes cast than the threshold."""
        votes = self.votes()
        cast = duels[:, self.status_quo] + duels[self.status_quo]
        has_quorum = votes[turns_out].sum() >= self.safeguards.quorum * votes.sum()
        yes = duels[:, self.status_quo]
        passes: Flags = has_quorum & (cast > 0) & (yes > self.safeguards.threshold * cast)
        return passes


def power_of(
    council: Council,
    turns_out: Flags,
    *,
    index: Callable[[Integers, int], Floats] = banzhaf_power,
) -> Floats:
    """Count how often each voter decides among those who turn out; it sums to 1.

    Votes are rounded to thousandths of all that are cast, and all who turn out vote yes or no. The
    quota is what exceeds the threshold. Where nobody turns out, nobody has power.

    Parameters
    ----------
    turns_out : shape (n_voters,).
    index : one of the exact indices of `hanse.market.accounts.voting_power`.
    """
    votes = np.where(turns_out, council.votes(), 0.0)
    if votes.sum() == 0:
        return np.zeros(len(votes))
    weight = np.rint(votes / votes.sum() * _GRAIN).astype(np.int64)
    # Voters too small for a grain still vote; equal voters stay equal.
    weight = np.where((votes > 0) & (weight == 0), 1, weight)
    quota = int(np.floor(council.safeguards.threshold * weight.sum())) + 1
    return index(weight, quota)


def _last_delegate(delegate: Integers) -> Integers:
    """Follow delegates to the one who casts; those in a ring end at the number of voters."""
    ends = delegate
    for _ in range(len(delegate)):
        ends = delegate[ends]
    return np.where(delegate[ends] == ends, ends, len(delegate))

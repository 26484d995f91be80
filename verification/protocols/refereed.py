"""The one place for protocols in which several do the same work: replication, and delegation.

References
----------
.. [Verde] arXiv:2502.19405: k providers execute; where they differ, a referee finds the first
   operator on which they do and executes it. One honest provider is enough.
.. [iExec] PoCo: replicas commit to answers bound to who sends them, then reveal; the stakes of
   those who lose, or do not reveal, go to the others.
"""

from dataclasses import dataclass
from math import comb
from typing import Final

from hanse.verification.incentives import slash
from hanse.verification.messages import Reason
from hanse.verification.protocols.declared import (
    NO_DISPUTE,
    DisputeSize,
    conviction,
    dispute_about_task,
    dispute_us,
    locked_usd_s,
)
from hanse.verification.protocols.interface import (
    MODELLED,
    Behaviour,
    ByRole,
    Chances,
    Luck,
    Outcome,
    PlacePair,
    ProtocolTerms,
    Strategy,
    TaskShape,
)
from hanse.verification.ranges import require_at_least, require_probabilities

_COMMIT_AND_REVEAL: Final = 1.5
"""Round trips: seals arrive, the call to reveal goes out, the answers arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """n providers execute the task, and an answer that a quorum gives is right by decree [iExec]_.

    Attributes
    ----------
    n_replicas : n, the solver among them; at least 2.
    quorum : equal answers that are needed, more than half of n.
    collusion : probability that any other replica is the solver's friend, independently.
    reproducibility : slowdown of work whose bytes repeat.
    """

    n_replicas: int = 3
    quorum: int = 2
    collusion: float = 0.0
    reproducibility: float = 1.0

    def __post_init__(self) -> None:
        require_probabilities(self, "collusion")
        if not self.n_replicas // 2 < self.quorum <= self.n_replicas or self.n_replicas < 2:
            raise ValueError(
                f"quorum must be more than half of n_replicas >= 2 and at most all of it, got "
                f"{self.quorum} of {self.n_replicas}"
            )

    @property
    def name(self) -> str:
        return "replication"

    def terms(
        self, task: TaskShape, place: PlacePair, stake_micro_usd: int, *, cheated_share: float = 1.0
    ) -> ProtocolTerms:
        n_others = self.n_replicas - 1
        friends = _friends(n_others, self.collusion)
        caught = sum(friends[: n_others - self.quorum + 1])
        return _terms(
            task,
            place,
            self.n_replicas * stake_micro_usd,
            n_providers=self.n_replicas,
            reproducibility=self.reproducibility,
            dispute=NO_DISPUTE,
            detection=caught if task.n_cheated(cheated_share) else 0.0,
            trust="a quorum of the replicas neither colludes nor shares a fault",
        )

    def chances(self, task: TaskShape, behaviour: Behaviour) -> Chances:
        return _chances(behaviour, self.n_replicas - 1, self.collusion)

    def modelled(
        self, task: TaskShape, behaviour: Behaviour, luck: Luck, *, stake_micro_usd: int
    ) -> Outcome:
        return _outcome(
            task,
            behaviour,
            _Tally.of(behaviour, self.chances(task, behaviour), luck),
            stake_micro_usd=stake_micro_usd,
            quorum=self.quorum,
            n_rounds=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verde:
    """k providers execute the task, and a referee settles where two of them differ [Verde]_.

    Attributes
    ----------
    n_providers : k, the solver among them; at least 2.
    reproducibility : slowdown of operators whose bytes repeat on any machine: published are 1.3
        (large products), 1.6 and 2.26 (language models); sources disagree, so it is swept.
    collusion : as in `Replication`.
    """

    n_providers: int = 2
    reproducibility: float = 1.3
    collusion: float = 0.0

    def __post_init__(self) -> None:
        require_probabilities(self, "collusion")
        require_at_least(self, n_providers=2, reproducibility=1)

    @property
    def name(self) -> str:
        return "verde"

    def terms(
        self, task: TaskShape, place: PlacePair, stake_micro_usd: int, *, cheated_share: float = 1.0
    ) -> ProtocolTerms:
        caught = 1.0 - self.collusion ** (self.n_providers - 1)
        return _terms(
            task,
            place,
            self.n_providers * stake_micro_usd,
            n_providers=self.n_providers,
            reproducibility=self.reproducibility,
            dispute=dispute_about_task(task),
            detection=caught if task.n_cheated(cheated_share) else 0.0,
            trust="one of the providers is honest, and operators repeat bit for bit",
        )

    def chances(self, task: TaskShape, behaviour: Behaviour) -> Chances:
        return _chances(behaviour, self.n_providers - 1, self.collusion)

    def modelled(
        self, task: TaskShape, behaviour: Behaviour, luck: Luck, *, stake_micro_usd: int
    ) -> Outcome:
        return _outcome(
            task,
            behaviour,
            _Tally.of(behaviour, self.chances(task, behaviour), luck),
            stake_micro_usd=stake_micro_usd,
            quorum=1,
            n_rounds=dispute_about_task(task).n_rounds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """What the other providers did: work, take the solver's word, or have no answer to reveal."""

    n_working: int
    n_friends: int
    n_refused: int

    @classmethod
    def of(cls, behaviour: Behaviour, chances: Chances, luck: Luck) -> "_Tally":
        n_friends = chances.n_friends(luck.friends)
        n_strangers = len(chances.friends) - 1 - n_friends
        works = behaviour.strangers_work
        return cls(
            n_working=n_strangers if works else 0,
            n_friends=n_friends,
            # Whoever assents or copies has no seal of its own to open, and is refused.
            n_refused=0 if works else n_strangers,
        )


def _outcome(
    task: TaskShape,
    behaviour: Behaviour,
    tally: _Tally,
    *,
    stake_micro_usd: int,
    quorum: int,
    n_rounds: int | None,
) -> Outcome:
    """Settle; `n_rounds` None means that answers are counted, and nothing is disputed."""
    cheated_share = behaviour.cheated_share(task)
    wrong = cheated_share > 0.0
    n_with_solver = 1 + tally.n_friends + (0 if wrong else tally.n_working)
    convicts_itself = behaviour.solver is Strategy.EQUIVOCATOR and tally.n_working > 0
    outvoted = wrong and tally.n_working >= quorum
    caught = outvoted or convicts_itself
    accepted = not caught and n_with_solver >= quorum
    accepted_fraud = wrong and accepted
    reason, rounds = _conviction(behaviour.solver, n_rounds) if caught else (None, 0)
    gain = task.sabotage_gain_micro_usd if behaviour.solver is Strategy.SABOTEUR else 0
    refused = tally.n_refused > 0 and not caught
    return Outcome(
        fidelity=MODELLED,
        is_wrong=wrong,
        accepted=accepted,
        caught=caught,
        guilty="solver" if caught else "verifier" if refused else None,
        reason=Reason.BAD_PROOF if refused else reason,
        n_rounds=rounds,
        transfers=_transfers(
            task,
            tally,
            stake_micro_usd=stake_micro_usd,
            wrong=wrong,
            accepted=accepted,
            caught=caught,
            outvoted=outvoted,
            # A vote goes on without who signed two receipts, and its friends may still decide it.
            friends_decide=caught and not outvoted and tally.n_friends >= quorum,
        ),
        costs=ByRole(
            solver=task.solver_cost_micro_usd(cheated_share) - gain * accepted_fraud,
            verifier=tally.n_working * task.honest_cost_micro_usd
            + (tally.n_friends + tally.n_refused) * task.lazy_cost_micro_usd
            + task.verifier_loss_micro_usd * accepted_fraud,
            buyer=task.buyer_loss_micro_usd * accepted_fraud,
        ),
        compute_units=float(tally.n_working),
    )


def _transfers(
    task: TaskShape,
    tally: _Tally,
    *,
    stake_micro_usd: int,
    wrong: bool,
    accepted: bool,
    outvoted: bool,
    friends_decide: bool,
    caught: bool,
) -> ByRole:
    """Pay each winner the reward; half of what losers forfeit is the winners', in equal shares."""
    n_agreeing = tally.n_friends + (0 if wrong else tally.n_working)
    n_winners = n_agreeing if accepted or friends_decide else tally.n_working if outvoted else 0
    n_losers = (
        tally.n_refused
        + (tally.n_friends if outvoted else 0)
        + (tally.n_working if wrong and (accepted or friends_decide) else 0)
    )
    pot = (n_losers + caught) * stake_micro_usd
    n_shares = n_winners + accepted
    share = slash(pot).verifier_micro_usd // n_shares if n_shares else 0
    each = task.reward_micro_usd + share
    return ByRole(
        solver=each * accepted - stake_micro_usd * caught,
        verifier=each * n_winners - stake_micro_usd * n_losers,
        buyer=-task.reward_micro_usd * n_shares,
        treasury=pot - share * n_shares,
    )


def _conviction(solver: Strategy, n_rounds: int | None) -> tuple[Reason, int]:
    if n_rounds is None:
        # Where answers are counted there is no dispute in which to stall or to withhold.
        equivocates = solver is Strategy.EQUIVOCATOR
        return (Reason.EQUIVOCATION if equivocates else Reason.WRONG_OUTPUT), 0
    return conviction(solver, n_rounds)


def _chances(behaviour: Behaviour, n_others: int, collusion: float) -> Chances:
    share = 1.0 if behaviour.is_ring else collusion
    return Chances(audited=1.0, found=(1.0,), friends=_friends(n_others, share))


def _friends(n_others: int, collusion: float) -> tuple[float, ...]:
    """Return the binomial probabilities of 0, 1, ... friends."""
    return tuple(
        comb(n_others, count) * collusion**count * (1.0 - collusion) ** (n_others - count)
        for count in range(n_others + 1)
    )


def _terms(
    task: TaskShape,
    place: PlacePair,
    all_stakes_micro_usd: int,
    *,
    n_providers: int,
    reproducibility: float,
    dispute: DisputeSize,
    detection: float,
    trust: str,
) -> ProtocolTerms:
    finality_us = _COMMIT_AND_REVEAL * place.rtt_us
    work_us = task.work_us * reproducibility
    return ProtocolTerms(
        reproducibility=reproducibility,
        rerun_share=n_providers - 1.0,
        finality_us=finality_us,
        dispute_us=dispute_us(task, place, dispute, reproducibility=reproducibility),
        dispute_rounds=dispute.n_rounds,
        dispute_questions=dispute.n_questions,
        locked_usd_s=locked_usd_s(all_stakes_micro_usd, work_us + finality_us),
        detection_probability=detection,
        moved_bytes=(n_providers - 1.0) * task.input_bytes,
        n_round_trips=_COMMIT_AND_REVEAL,
        # All receipts, a seal and its opening of each but the solver, and the settlement.
        n_messages=3.0 * n_providers - 1.0,
        n_dispute_messages=dispute.n_messages,
        levy_usd=0.0,
        trust=trust,
    )

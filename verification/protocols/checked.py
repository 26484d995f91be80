"""The one place for protocols in which at most one checker looks at a result: none, audit, watch.

References
----------
.. [PoSP] arXiv:2405.00295: a validator, drawn after the result is handed in, executes it again.
.. [opML] arXiv:2401.17555: a result stands unless somebody challenges it within a window.
.. [Felten] Attention challenges, articles of September 2019: a checker that cannot say what the
   result was forfeits a deposit, whether or not the result was right.
"""

from dataclasses import dataclass
from itertools import pairwise

from hanse.verification.incentives import (
    caught_probability,
    detection_without_replacement,
    slash,
)
from hanse.verification.messages import Reason
from hanse.verification.protocols.declared import (
    conviction,
    dispute_about_segment,
    dispute_about_task,
    dispute_us,
    locked_usd_s,
)
from hanse.verification.protocols.interface import (
    MICRO,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Attention challenges: with what probability a checker that slept loses which deposit."""

    probability: float = 0.0
    deposit_micro_usd: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unverified:
    """Nobody checks; a signed receipt says who claims what, and the buyer pays."""

    @property
    def name(self) -> str:
        return "none"

    def terms(
        self, task: TaskShape, place: PlacePair, stake_micro_usd: int, *, cheated_share: float = 1.0
    ) -> ProtocolTerms:
        finality_us = place.rtt_us / 2.0
        return ProtocolTerms(
            reproducibility=1.0,
            rerun_share=0.0,
            finality_us=finality_us,
            dispute_us=0.0,
            dispute_rounds=0,
            dispute_questions=0,
            locked_usd_s=locked_usd_s(stake_micro_usd, task.work_us + finality_us),
            detection_probability=0.0,
            moved_bytes=0.0,
            n_round_trips=0.5,
            n_messages=2.0,
            n_dispute_messages=0,
            levy_usd=0.0,
            trust="the solver, and whatever contract or name stands behind it",
        )

    def chances(self, task: TaskShape, behaviour: Behaviour) -> Chances:
        return Chances()

    def modelled(
        self, task: TaskShape, behaviour: Behaviour, luck: Luck, *, stake_micro_usd: int
    ) -> Outcome:
        check = _Check(n_units=0, n_rounds=0)
        return _outcome(task, behaviour, luck, chances=self.chances(task, behaviour), check=check)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofOfSampling:
    """With probability p, an auditor drawn by lot executes sampled segments again [PoSP]_.

    Attributes
    ----------
    audit_probability : p.
    n_sampled : segments of one audit, drawn without replacement; None: all of them.
    detection : probability that re-executing a wrong segment shows it; 1 with exact arithmetic.
    collusion : r, the probability that the auditor is the solver's friend.
    audit_fee_micro_usd : A, paid by the buyer for every audit. A friend hands it to a cheat.
    levy_micro_usd : what every task pays into the treasury.
    reproducibility : slowdown of work whose bytes repeat.
    attention : whether auditors are tested.
    """

    audit_probability: float = 0.15
    n_sampled: int | None = 1
    detection: float = 1.0
    collusion: float = 0.0
    audit_fee_micro_usd: int = 0
    levy_micro_usd: int = 0
    reproducibility: float = 1.0
    attention: Attention = Attention()

    def __post_init__(self) -> None:
        require_probabilities(self, "audit_probability", "detection", "collusion")
        require_at_least(self, reproducibility=1)
        if self.n_sampled is not None:
            require_at_least(self, n_sampled=1)

    @property
    def name(self) -> str:
        return "posp"

    def n_audited_segments(self, task: TaskShape) -> int:
        """Return how many segments one audit executes again."""
        return task.n_segments if self.n_sampled is None else min(self.n_sampled, task.n_segments)

    def audit_share(self, task: TaskShape) -> float:
        """Return which share of the task one audit executes again."""
        # In expectation, also where the last segment is shorter: each is as likely to be drawn.
        return self.n_audited_segments(task) / task.n_segments

    def terms(
        self, task: TaskShape, place: PlacePair, stake_micro_usd: int, *, cheated_share: float = 1.0
    ) -> ProtocolTerms:
        p, share = self.audit_probability, self.audit_share(task)
        dispute = dispute_about_segment(task)
        n_bytes = self._moved_bytes(task)
        rerun_us = share * task.work_us * self.reproducibility
        finality_us = place.rtt_us / 2.0
        finality_us += p * (place.transfer_us(n_bytes) + rerun_us + place.rtt_us / 2.0)
        work_us = task.work_us * self.reproducibility
        return ProtocolTerms(
            reproducibility=self.reproducibility,
            rerun_share=p * share,
            finality_us=finality_us,
            dispute_us=dispute_us(task, place, dispute, reproducibility=self.reproducibility),
            dispute_rounds=dispute.n_rounds,
            dispute_questions=dispute.n_questions,
            locked_usd_s=locked_usd_s(stake_micro_usd, work_us + finality_us),
            detection_probability=caught_probability(
                p, sum(self._first_found(task, cheated_share)), self.collusion
            ),
            moved_bytes=p * n_bytes,
            n_round_trips=0.5 + 0.5 * p,
            # Receipt, lottery ticket, settlement; and a seal and its opening.
            n_messages=3.0 + 2.0 * p,
            n_dispute_messages=dispute.n_messages,
            levy_usd=self.levy_micro_usd / MICRO,
            trust="auditors drawn by lot are rational, and at most a share r of them collude",
        )

    def chances(self, task: TaskShape, behaviour: Behaviour) -> Chances:
        return Chances(
            audited=self.audit_probability,
            found=_found(behaviour, self._first_found(task, behaviour.cheated_share(task))),
            friends=_one_friend(behaviour, self.collusion),
            attention=self.attention.probability,
        )

    def modelled(
        self, task: TaskShape, behaviour: Behaviour, luck: Luck, *, stake_micro_usd: int
    ) -> Outcome:
        check = _Check(
            n_units=self.n_audited_segments(task),
            n_units_of_task=task.n_segments,
            n_rounds=dispute_about_segment(task).n_rounds,
            stake_micro_usd=stake_micro_usd,
            fee_micro_usd=self.audit_fee_micro_usd,
            levy_micro_usd=self.levy_micro_usd,
            deposit_micro_usd=self.attention.deposit_micro_usd,
        )
        return _outcome(task, behaviour, luck, chances=self.chances(task, behaviour), check=check)

    def _moved_bytes(self, task: TaskShape) -> float:
        """Return what one audit needs: the state before each segment, unless it runs them all."""
        n_segments = self.n_audited_segments(task)
        n_states = 0 if n_segments == task.n_segments else n_segments
        return n_states * task.state_bytes + self.audit_share(task) * task.input_bytes

    def _first_found(self, task: TaskShape, cheated_share: float) -> tuple[float, ...]:
        """Return the probability that the first fault is seen in the first, second, ... sample."""
        within = [
            self.detection
            * detection_without_replacement(
                n_units=task.n_segments,
                n_cheated=task.n_cheated(cheated_share),
                n_sampled=n_sampled,
            )
            for n_sampled in range(self.n_audited_segments(task) + 1)
        ]
        return tuple(later - earlier for earlier, later in pairwise(within))


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimistic:
    """A result stands unless a watcher executes it again and challenges it in time [opML]_.

    Attributes
    ----------
    window_us : how long a challenge may come.
    watch_probability : that anybody executes the task again within the window.
    detection, collusion, levy_micro_usd, reproducibility : as in `ProofOfSampling`.
    attention : attention challenges [Felten]_.
    """

    window_us: int = 3_600 * MICRO
    watch_probability: float = 0.15
    detection: float = 1.0
    collusion: float = 0.0
    levy_micro_usd: int = 0
    reproducibility: float = 1.0
    attention: Attention = Attention()

    def __post_init__(self) -> None:
        require_probabilities(self, "watch_probability", "detection", "collusion")
        require_at_least(self, window_us=0, reproducibility=1)

    @property
    def name(self) -> str:
        return "optimistic"

    def terms(
        self, task: TaskShape, place: PlacePair, stake_micro_usd: int, *, cheated_share: float = 1.0
    ) -> ProtocolTerms:
        dispute = dispute_about_task(task)
        finality_us = place.rtt_us / 2.0 + self.window_us
        found = self.detection if task.n_cheated(cheated_share) else 0.0
        work_us = task.work_us * self.reproducibility
        return ProtocolTerms(
            reproducibility=self.reproducibility,
            rerun_share=self.watch_probability,
            finality_us=finality_us,
            dispute_us=dispute_us(task, place, dispute, reproducibility=self.reproducibility),
            dispute_rounds=dispute.n_rounds,
            dispute_questions=dispute.n_questions,
            locked_usd_s=locked_usd_s(stake_micro_usd, work_us + finality_us),
            detection_probability=caught_probability(self.watch_probability, found, self.collusion),
            moved_bytes=self.watch_probability * task.input_bytes,
            n_round_trips=0.5,
            # Receipt and settlement; and the receipt of whoever executed it again.
            n_messages=2.0 + self.watch_probability,
            n_dispute_messages=dispute.n_messages,
            levy_usd=self.levy_micro_usd / MICRO,
            trust="one honest watcher looks within the window, and its challenge gets through",
        )

    def chances(self, task: TaskShape, behaviour: Behaviour) -> Chances:
        wrong = behaviour.cheated_share(task) > 0.0
        return Chances(
            audited=self.watch_probability,
            found=_found(behaviour, (self.detection if wrong else 0.0,)),
            friends=_one_friend(behaviour, self.collusion),
            attention=self.attention.probability,
        )

    def modelled(
        self, task: TaskShape, behaviour: Behaviour, luck: Luck, *, stake_micro_usd: int
    ) -> Outcome:
        check = _Check(
            n_units=1,
            n_rounds=dispute_about_task(task).n_rounds,
            stake_micro_usd=stake_micro_usd,
            levy_micro_usd=self.levy_micro_usd,
            deposit_micro_usd=self.attention.deposit_micro_usd,
        )
        return _outcome(task, behaviour, luck, chances=self.chances(task, behaviour), check=check)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    """What one check covers, unit by unit, and the money that hangs on it."""

    n_units: int
    n_rounds: int
    n_units_of_task: int = 1
    stake_micro_usd: int = 0
    fee_micro_usd: int = 0
    levy_micro_usd: int = 0
    deposit_micro_usd: int = 0


def _outcome(
    task: TaskShape, behaviour: Behaviour, luck: Luck, *, chances: Chances, check: _Check
) -> Outcome:
    cheated_share = behaviour.cheated_share(task)
    wrong = cheated_share > 0.0
    called = luck.audited < chances.audited
    is_friend = chances.n_friends(luck.friends) > 0
    checks = called and behaviour.strangers_work and not is_friend
    found_at = chances.found_at(luck.found) if wrong and checks else None
    caught = found_at is not None
    # Whoever has seen a fault need not look on.
    n_checked = (found_at or check.n_units) if checks else 0
    slept = called and not checks and not is_friend and luck.attention < chances.attention
    reason, n_rounds = conviction(behaviour.solver, check.n_rounds) if caught else (None, 0)
    accepted_fraud = wrong and not caught
    gain = task.sabotage_gain_micro_usd if behaviour.solver is Strategy.SABOTEUR else 0
    return Outcome(
        fidelity=MODELLED,
        is_wrong=wrong,
        accepted=not caught,
        caught=caught,
        guilty="solver" if caught else "verifier" if slept else None,
        reason=Reason.BAD_PROOF if slept else reason,
        n_rounds=n_rounds,
        transfers=_transfers(
            task,
            check,
            caught=caught,
            slept=slept,
            # A copied seal names another sender, so that its copier is refused and not paid.
            fee_micro_usd=check.fee_micro_usd
            if called and (is_friend or behaviour.verifier is not Strategy.COPIER)
            else 0,
            hands_fee_over=wrong and is_friend,
        ),
        costs=ByRole(
            solver=task.solver_cost_micro_usd(cheated_share) - gain * accepted_fraud,
            verifier=round(task.checking_cost_micro_usd * n_checked / check.n_units_of_task)
            + task.verifier_loss_micro_usd * accepted_fraud,
            buyer=task.buyer_loss_micro_usd * accepted_fraud,
        ),
        compute_units=n_checked / check.n_units_of_task,
    )


def _transfers(
    task: TaskShape,
    check: _Check,
    *,
    caught: bool,
    slept: bool,
    fee_micro_usd: int,
    hands_fee_over: bool,
) -> ByRole:
    reward = 0 if caught else task.reward_micro_usd
    forfeited = slash(check.stake_micro_usd if caught else 0)
    deposit = check.deposit_micro_usd if slept else 0
    solver = reward - check.stake_micro_usd * caught
    verifier = forfeited.verifier_micro_usd - deposit
    return ByRole(
        solver=solver + fee_micro_usd * hands_fee_over,
        verifier=verifier + fee_micro_usd * (not hands_fee_over),
        buyer=-reward - fee_micro_usd - check.levy_micro_usd,
        treasury=forfeited.treasury_micro_usd + deposit + check.levy_micro_usd,
    )


def _found(behaviour: Behaviour, found: tuple[float, ...]) -> tuple[float, ...]:
    # Two receipts under one number convict by themselves, whatever segment is drawn.
    return (1.0,) if behaviour.solver is Strategy.EQUIVOCATOR else found


def _one_friend(behaviour: Behaviour, collusion: float) -> tuple[float, float]:
    share = 1.0 if behaviour.is_ring else collusion
    return (1.0 - share, share)

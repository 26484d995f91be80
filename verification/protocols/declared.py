"""The one place for the arithmetic by which several protocols declare disputes and capital."""

from dataclasses import dataclass
from typing import Final

from hanse.verification.incentives import bisection_rounds, dispute_duration_s
from hanse.verification.messages import Reason
from hanse.verification.protocols.interface import MICRO, PlacePair, Strategy, TaskShape


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeSize:
    """How much is asked and signed in a dispute in which nobody stalls, at most.

    Attributes
    ----------
    n_rounds : questions of bisection; over segments, steps of one, and operators, each rounded up.
    n_questions : all questions, one after the other.
    n_messages : signed answers, the challenge and the verdict.
    """

    n_rounds: int = 0
    n_questions: int = 0
    n_messages: int = 0


NO_DISPUTE: Final = DisputeSize()


def dispute_about_task(task: TaskShape) -> DisputeSize:
    """Size the dispute of two who have each executed a whole task."""
    n_rounds = bisection_rounds(task.n_segments) + _rounds_within_segment(task)
    # Beside bisection both show the last link, the step and the operator; one hands in evidence.
    return DisputeSize(
        n_rounds=n_rounds, n_questions=n_rounds + 4, n_messages=2 * (n_rounds + 3) + 1 + 2
    )


def dispute_about_segment(task: TaskShape) -> DisputeSize:
    """Size the dispute of a solver and an auditor, who knows in which segment they differ."""
    n_rounds = _rounds_within_segment(task)
    # As above, and the solver alone shows where the segment starts.
    return DisputeSize(
        n_rounds=n_rounds, n_questions=n_rounds + 5, n_messages=2 * (n_rounds + 3) + 2 + 2
    )


def dispute_us(
    task: TaskShape, place: PlacePair, size: DisputeSize, *, reproducibility: float
) -> float:
    """Return how long a dispute lasts: its questions, the replay of one segment, one operator."""
    if not size.n_questions:
        return 0.0
    work_us = task.work_us * reproducibility
    replay_us = work_us * task.checkpoint_interval / task.n_steps
    operator_us = work_us / (task.n_steps * task.n_operators)
    seconds = dispute_duration_s(
        n_rounds=size.n_questions,
        round_trip_s=place.rtt_us / MICRO,
        response_s=place.response_us / MICRO,
        replay_s=(replay_us + operator_us) / MICRO,
    )
    return seconds * MICRO


def locked_usd_s(stake_micro_usd: int, duration_us: float) -> float:
    """Return capital times the time it is locked."""
    return stake_micro_usd / MICRO * duration_us / MICRO


def conviction(solver: Strategy, n_rounds: int) -> tuple[Reason, int]:
    """Return why a solver that is disputed is found guilty, and after how many answers.

    A staller answers nothing, a withholder answers all and then shows no evidence, and two receipts
    under one number need no dispute at all.
    """
    if solver is Strategy.STALLER:
        return Reason.TIMEOUT, 0
    if solver is Strategy.EQUIVOCATOR:
        return Reason.EQUIVOCATION, 0
    if solver is Strategy.WITHHOLDER:
        return Reason.UNAVAILABLE, n_rounds
    return Reason.WRONG_OUTPUT, n_rounds


def _rounds_within_segment(task: TaskShape) -> int:
    return bisection_rounds(task.checkpoint_interval) + bisection_rounds(task.n_operators)

"""The one place for the arithmetic by which several protocols declare disputes and capital."""

from typing import Final

from hanse.verification.incentives import dispute_duration_s
from hanse.verification.messages import Reason
from hanse.verification.protocols.interface import MICRO, PlacePair, Strategy, TaskShape

_MOVES_PER_ROUND: Final = 2
_OTHER_DISPUTE_MESSAGES: Final = 3
"""Challenge, evidence, verdict."""


def dispute_us(
    task: TaskShape, place: PlacePair, *, n_rounds: int, reproducibility: float
) -> float:
    """Return how long a dispute lasts: its rounds, the replay of one segment, one operator."""
    work_us = task.work_us * reproducibility
    replay_us = work_us * task.checkpoint_interval / task.n_steps
    operator_us = work_us / (task.n_steps * task.n_operators)
    seconds = dispute_duration_s(
        n_rounds=n_rounds,
        round_trip_s=place.rtt_us / MICRO,
        response_s=place.response_us / MICRO,
        replay_s=(replay_us + operator_us) / MICRO,
    )
    return seconds * MICRO


def dispute_messages(n_rounds: int) -> int:
    """Return how many signed messages a dispute takes."""
    return _MOVES_PER_ROUND * n_rounds + _OTHER_DISPUTE_MESSAGES


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

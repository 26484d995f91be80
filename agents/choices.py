"""Choices: the one place for how many agents learn, at once, which of two ways pays them more.

Each learner acts with some chance, or refrains. How the chance moves is a rule of one's choice:
best response with inertia and replication by imitation know what both ways pay, Erev and Roth's
reinforcement and EXP3 only what one's own way has paid. None jumps to what pays best, or those who
answer the same season at once would overshoot it for ever.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from hanse.agents.learning_rules import exp3_learned, exp3_shares, move_towards, reinforced
from hanse.market.units import Flags, Floats

BEST_RESPONSE: Final = "best-response"
REPLICATOR: Final = "replicator"
EREV_ROTH: Final = "erev-roth"
EXP3: Final = "exp3"
RULES: Final = (BEST_RESPONSE, REPLICATOR, EREV_ROTH, EXP3)
_STEEPEST: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How chances move.

    Attributes
    ----------
    rule : one of `RULES`.
    response_share : of the way to the better response; best response alone.
    rate : by how much log-odds move per unit of gain; replication alone.
    forgetting, experimentation : of reinforcement.
    exploration : of EXP3.
    least : chance of either way, however badly it pays.
    """

    rule: str
    response_share: float
    rate: float
    forgetting: float
    experimentation: float
    exploration: float
    least: float

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, got {self.rule!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learners:
    """What each learner has come to.

    Attributes
    ----------
    share : chance of acting, shape (n,).
    weight : of refraining and of acting, shape (n, 2): propensities of reinforcement, whose sum is
        how much has been seen, or log-weights of EXP3; of no meaning to the other rules.
    """

    share: Floats
    weight: Floats


def first_learners(share: Floats, rule: str) -> Learners:
    """Return learners that act with these chances and have seen next to nothing."""
    both = np.column_stack([1.0 - share, share])
    return Learners(share=share, weight=np.log(np.maximum(both, 1e-12)) if rule == EXP3 else both)


def learned(learners: Learners, payoff: Floats, acted: Flags, *, learning: Learning) -> Learners:
    """Return learners after one more season.

    Parameters
    ----------
    payoff : of refraining and of acting, shape (n, 2), from 0 to 1 for the rules that are told of
        their own way alone; NaN where nobody could tell. From what is not known nothing is learned.
    acted : which way each took, shape (n,).
    """
    if learning.rule in (BEST_RESPONSE, REPLICATOR):
        gain = payoff[:, 1] - payoff[:, 0]
        move = _towards_better if learning.rule == BEST_RESPONSE else _shifted
        return replace(learners, share=move(learners.share, gain, learning))
    own = np.where(acted, payoff[:, 1], payoff[:, 0])
    known = np.flatnonzero(~np.isnan(own))
    weight, share = learners.weight.copy(), learners.share.copy()
    tell = _reinforced if learning.rule == EREV_ROTH else _pulled
    for learner in known.tolist():
        way, paid = int(acted[learner]), float(own[learner])
        weight[learner], share[learner] = tell(weight[learner], way, paid, learning=learning)
    return Learners(share=np.clip(share, learning.least, 1.0 - learning.least), weight=weight)


def _towards_better(share: Floats, gain: Floats, learning: Learning) -> Floats:
    better = np.where(np.isnan(gain) | (gain == 0.0), np.nan, gain > 0.0)
    moved = move_towards(share, better, share=learning.response_share)
    return np.clip(moved, learning.least, 1.0 - learning.least)


def _shifted(share: Floats, gain: Floats, learning: Learning) -> Floats:
    """Move log-odds by what acting has paid more."""
    inner = np.clip(share, learning.least, 1.0 - learning.least)
    step = np.exp(np.minimum(learning.rate * np.nan_to_num(gain), _STEEPEST))
    odds = inner / (1.0 - inner) * step
    return np.clip(odds / (1.0 + odds), learning.least, 1.0 - learning.least)


def _reinforced(
    weight: Floats, way: int, paid: float, *, learning: Learning
) -> tuple[Floats, float]:
    told = reinforced(
        weight,
        way,
        paid,
        forgetting=learning.forgetting,
        experimentation=learning.experimentation,
    )
    total = float(told.sum())
    return told, float(told[1]) / total if total > 0.0 else 0.5


def _pulled(weight: Floats, way: int, paid: float, *, learning: Learning) -> tuple[Floats, float]:
    told = exp3_learned(weight, way, paid, exploration=learning.exploration)
    return told, float(exp3_shares(told, exploration=learning.exploration)[1])

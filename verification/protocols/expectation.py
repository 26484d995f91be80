"""The one place for what a protocol comes to on average, and for the games that this makes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.verification.protocols.interface import (
    MICRO,
    Behaviour,
    Outcome,
    Strategy,
    TaskShape,
    VerificationProtocol,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Means over all that chance decides; probabilities, and USD by role.

    Attributes
    ----------
    solver_usd, verifier_usd, buyer_usd, treasury_usd : transfers less costs.
    caught, accepted_fraud : probability that the solver is found guilty; that a wrong result is
        taken for right.
    n_rounds, compute_units : as in `Outcome`.
    """

    solver_usd: float
    verifier_usd: float
    buyer_usd: float
    treasury_usd: float
    caught: float
    accepted_fraud: float
    n_rounds: float
    compute_units: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Game:
    """What each strategy of a solver and of a verifier earns against each of the other.

    Attributes
    ----------
    solvers, verifiers : strategies, the rows and the columns.
    solver_usd, verifier_usd : shape (n_solvers, n_verifiers), expected pay-offs.
    """

    solvers: tuple[Strategy, ...]
    verifiers: tuple[Strategy, ...]
    solver_usd: Floats
    verifier_usd: Floats

    def __post_init__(self) -> None:
        shape = (len(self.solvers), len(self.verifiers))
        for name in ("solver_usd", "verifier_usd"):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {getattr(self, name).shape}")


def expect(
    protocol: VerificationProtocol, task: TaskShape, behaviour: Behaviour, *, stake_micro_usd: int
) -> Expectation:
    """Average the modelled outcomes over every combination of events, exactly."""
    cases = list(protocol.chances(task, behaviour).cases())
    return average(
        [
            protocol.modelled(task, behaviour, luck, stake_micro_usd=stake_micro_usd)
            for _, luck in cases
        ],
        np.array([probability for probability, _ in cases]),
    )


def average(outcomes: Sequence[Outcome], weight: Floats) -> Expectation:
    """Average outcomes of either fidelity.

    Parameters
    ----------
    weight : shape (n_outcomes,), sums to 1.
    """
    rows = [
        (
            outcome.payoffs_micro_usd.solver / MICRO,
            outcome.payoffs_micro_usd.verifier / MICRO,
            outcome.payoffs_micro_usd.buyer / MICRO,
            outcome.payoffs_micro_usd.treasury / MICRO,
            float(outcome.caught),
            float(outcome.is_wrong and outcome.accepted),
            float(outcome.n_rounds),
            outcome.compute_units,
        )
        for outcome in outcomes
    ]
    means = (weight @ np.array(rows)).tolist()
    return Expectation(**dict(zip(Expectation.__slots__, means, strict=True)))


def game_of(
    protocol: VerificationProtocol,
    task: TaskShape,
    *,
    solvers: Sequence[Strategy],
    verifiers: Sequence[Strategy],
    stake_micro_usd: int,
) -> Game:
    """Let each of the solvers' strategies meet each of the verifiers'."""
    cells = [
        [
            expect(
                protocol,
                task,
                Behaviour(solver=solver, verifier=verifier),
                stake_micro_usd=stake_micro_usd,
            )
            for verifier in verifiers
        ]
        for solver in solvers
    ]
    return Game(
        solvers=tuple(solvers),
        verifiers=tuple(verifiers),
        solver_usd=np.array([[cell.solver_usd for cell in row] for row in cells]),
        verifier_usd=np.array([[cell.verifier_usd for cell in row] for row in cells]),
    )

"""The one place for what every protocol declares, and for what one task under it comes to.

A protocol never asks which market it serves: all it sees is the shape of a task, a pair of places,
a stake, and how the parties behave. Two fidelities give the same `Outcome`: `modelled` computes it
from chances and luck that is handed in, `real` plays the protocol with real messages.
"""

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from enum import StrEnum
from itertools import accumulate, product
from math import ceil
from typing import Final, Protocol

from hanse.verification.messages import Reason
from hanse.verification.ranges import require_above, require_at_least, require_probabilities

MICRO: Final = 1_000_000
"""Micro-USD per USD, and microseconds per second."""

REAL: Final = "real"
MODELLED: Final = "modelled"


class Strategy(StrEnum):
    """How a party behaves; `SOLVERS` and `VERIFIERS` say which of them each role knows."""

    HONEST = "honest"
    LAZY = "lazy"
    PARTIAL = "partial"
    SABOTEUR = "saboteur"
    RUBBER_STAMP = "rubber_stamp"
    COPIER = "copier"
    COLLUDING = "colluding"
    STALLER = "staller"
    WITHHOLDER = "withholder"
    EQUIVOCATOR = "equivocator"


SOLVERS: Final = tuple(
    each for each in Strategy if each not in {Strategy.RUBBER_STAMP, Strategy.COPIER}
)
VERIFIERS: Final = (
    Strategy.HONEST,
    Strategy.RUBBER_STAMP,
    Strategy.COPIER,
    Strategy.COLLUDING,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskShape:
    """What a protocol knows of a task: its size, its money, and nothing of its content.

    Attributes
    ----------
    n_steps, n_operators : steps of the program, operators of one step; at least 1.
    checkpoint_interval : steps from one committed state to the next, from 1 to `n_steps`.
    work_us : time of one execution on the solver's accelerator.
    state_bytes : one checkpoint, from which a segment is executed again.
    input_bytes : what the whole task reads: program, data, and initial state.
    reward_micro_usd : R, paid for a result that is accepted.
    honest_cost_micro_usd, lazy_cost_micro_usd : c_h and c_l; the saving C is their difference.
    checking_cost_micro_usd : C_v, what one whole re-execution costs a verifier.
    verifier_loss_micro_usd : L, what an accepted wrong result costs whoever should have checked.
    buyer_loss_micro_usd : what an accepted wrong result costs the buyer beyond its price.
    sabotage_gain_micro_usd : what an outsider gives a saboteur for an accepted wrong result.
    """

    n_steps: int
    n_operators: int
    checkpoint_interval: int
    work_us: int
    state_bytes: int
    input_bytes: int
    reward_micro_usd: int
    honest_cost_micro_usd: int
    lazy_cost_micro_usd: int
    checking_cost_micro_usd: int
    verifier_loss_micro_usd: int = 0
    buyer_loss_micro_usd: int = 0
    sabotage_gain_micro_usd: int = 0

    def __post_init__(self) -> None:
        counts = {"n_steps", "n_operators", "checkpoint_interval"}
        require_at_least(self, **{field.name: int(field.name in counts) for field in fields(self)})
        if self.checkpoint_interval > self.n_steps:
            raise ValueError(
                f"checkpoint_interval must be at most n_steps = {self.n_steps}, "
                f"got {self.checkpoint_interval}"
            )

    @property
    def n_segments(self) -> int:
        """Number of stretches between checkpoints; the last may be shorter."""
        return ceil(self.n_steps / self.checkpoint_interval)

    @property
    def saving_micro_usd(self) -> int:
        """C, what it saves not to work at all."""
        return self.honest_cost_micro_usd - self.lazy_cost_micro_usd

    def solver_cost_micro_usd(self, cheated_share: float) -> int:
        """Return what it costs to work on all but a share of the task."""
        return self.honest_cost_micro_usd - round(cheated_share * self.saving_micro_usd)

    def n_cheated(self, cheated_share: float) -> int:
        """Return on how many segments a share of cheating falls: whole ones, rounded up."""
        # 0.3 x 10 is 3.0000000000000004 in floats, and three segments.
        return ceil(round(cheated_share * self.n_segments, 9))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacePair:
    """The way between a solver and a verifier.

    Attributes
    ----------
    rtt_us : round trip, at least 0.
    gbps : rate of one bulk transfer, in Gbit/s, > 0.
    response_us : time in which a party answers one question of a dispute, at least 0.
    """

    rtt_us: int
    gbps: float
    response_us: int = MICRO

    def __post_init__(self) -> None:
        require_at_least(self, rtt_us=0, response_us=0)
        require_above(self, gbps=0)

    def transfer_us(self, n_bytes: float) -> float:
        """Return how long a bulk transfer lasts, the trip left out."""
        return n_bytes * 8.0 / (self.gbps * 1_000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the solver and those who check it behave.

    Attributes
    ----------
    solver : one of `SOLVERS`.
    verifier : one of `VERIFIERS`; of every checker that is not a friend of the solver. A ring is a
        colluding solver and a colluding verifier; to a stranger either is lazy or honest.
    partial_share : share of the segments on which a partial cheat does not work, rounded up to
        whole ones.
    """

    solver: Strategy = Strategy.HONEST
    verifier: Strategy = Strategy.HONEST
    partial_share: float = 0.5

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"solver must be one of {[*map(str, SOLVERS)]}, got {self.solver}")
        if self.verifier not in VERIFIERS:
            raise ValueError(
                f"verifier must be one of {[*map(str, VERIFIERS)]}, got {self.verifier}"
            )
        require_probabilities(self, "partial_share")

    @property
    def is_ring(self) -> bool:
        """Whether the solver's checkers are all its friends."""
        return self.solver is Strategy.COLLUDING and self.verifier is Strategy.COLLUDING

    @property
    def strangers_work(self) -> bool:
        """Whether a checker that is no friend does the work that checking is."""
        return self.verifier in {Strategy.HONEST, Strategy.COLLUDING}

    def cheated_share(self, task: TaskShape) -> float:
        """Return on which share of the task the solver does not do the work it claims."""
        shares = {
            Strategy.HONEST: 0.0,
            Strategy.PARTIAL: task.n_cheated(self.partial_share) / task.n_segments,
            Strategy.SABOTEUR: 1.0 / task.n_segments,
        }
        return shares.get(self.solver, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Luck:
    """Uniform numbers in [0, 1), one for each thing that chance decides about a task.

    Attributes
    ----------
    audited : below its chance, somebody is called to check.
    found : through the inverse distribution, at which of the units it checks, if at any, a
        checker sees a fault.
    friends : through the inverse distribution, how many checkers are the solver's friends.
    attention : below its chance, a checker that did not check is found out.
    """

    audited: float
    found: float
    friends: float
    attention: float

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0.0 <= getattr(self, field.name) < 1.0:
                raise ValueError(f"{field.name} must be in [0, 1), got {getattr(self, field.name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """The probabilities that `Luck` is held against.

    Attributes
    ----------
    audited, attention : of events.
    found : of seeing a fault first at unit 1, 2, ... of a check; the rest, of not seeing one.
    friends : of 0, 1, ... friends; sums to 1.
    """

    audited: float = 0.0
    found: tuple[float, ...] = ()
    friends: tuple[float, ...] = (1.0,)
    attention: float = 0.0

    def n_friends(self, luck: float) -> int:
        """Return the number of friends by the inverse of its distribution.

        >>> Chances(friends=(0.5, 0.3, 0.2)).n_friends(0.7)
        1
        """
        return min(_reached(self.friends, luck), len(self.friends) - 1)

    def found_at(self, luck: float) -> int | None:
        """Return after how many units a checker sees a fault, or None."""
        unit = _reached(self.found, luck)
        return unit + 1 if unit < len(self.found) else None

    def cases(self) -> Iterator[tuple[float, Luck]]:
        """Yield each combination of events: its probability, and luck that brings it about."""
        for audited, found, friends, attention in product(
            _stretches((self.audited, 1.0 - self.audited)),
            _stretches((*self.found, 1.0 - sum(self.found))),
            _stretches(self.friends),
            _stretches((self.attention, 1.0 - self.attention)),
        ):
            probability = audited[0] * found[0] * friends[0] * attention[0]
            if probability > 0.0:
                yield (
                    probability,
                    Luck(
                        audited=audited[1],
                        found=found[1],
                        friends=friends[1],
                        attention=attention[1],
                    ),
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class ByRole:
    """Whole micro-USD per role; `verifier` is all who check the solver, together."""

    solver: int = 0
    verifier: int = 0
    buyer: int = 0
    treasury: int = 0

    @property
    def total(self) -> int:
        return sum(astuple(self))

    def minus(self, other: "ByRole") -> "ByRole":
        """Subtract role by role."""
        return ByRole(
            solver=self.solver - other.solver,
            verifier=self.verifier - other.verifier,
            buyer=self.buyer - other.buyer,
            treasury=self.treasury - other.treasury,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one task came to, in whichever fidelity.

    Attributes
    ----------
    fidelity : "real" or "modelled".
    is_wrong : whether the solver's result is wrong.
    accepted : whether the buyer takes the solver's result.
    caught : whether a wrong result was found out.
    guilty, reason : who was found guilty, "solver" or "verifier", and why; None where nobody was.
    n_rounds : questions of bisection in the dispute that convicted, 0 without one; where modelled,
        the most that they can be, as only the program says on which operator a fault falls.
    transfers : money that changes hands; sums to zero.
    costs : what parties spend or lose outside of the settlement: work, checks, damage.
    compute_units : executions of the payload beside the solver's own; a segment is its share.
    """

    fidelity: str
    is_wrong: bool
    accepted: bool
    caught: bool
    guilty: str | None
    reason: Reason | None
    n_rounds: int
    transfers: ByRole
    costs: ByRole
    compute_units: float

    def __post_init__(self) -> None:
        if self.transfers.total != 0:
            raise ValueError(f"transfers must sum to 0, got {self.transfers.total}")

    @property
    def payoffs_micro_usd(self) -> ByRole:
        """What each role is left with: transfers less costs."""
        return self.transfers.minus(self.costs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolTerms:
    """What a protocol declares for one task, one pair of places and one stake.

    Attributes
    ----------
    reproducibility : slowdown of work whose bytes must repeat, at least 1.
    rerun_share : expected executions of the payload beside the solver's own, if nobody cheats and
        whoever is to check does so.
    compute_multiplier : all compute over plain useful compute: reproducibility x (1 + rerun_share).
    finality_us : expected time from the end of the work until an undisputed result is final.
    dispute_us : how long a dispute lasts if one happens.
    dispute_rounds : questions of bisection in that dispute, at most.
    dispute_questions : all its questions: also those that open what bisection has come to.
    locked_usd_s : all stakes x (work + finality), in USD-seconds.
    detection_probability : that a cheat on the given share is caught.
    moved_bytes : expected bytes from the solver to those who check.
    n_round_trips : trips to and fro that an undisputed result waits for.
    n_messages : signed messages that an undisputed task is expected to send, its settlement too.
    n_dispute_messages : signed messages of a dispute, challenge and verdict included, at most.
    levy_usd : what the buyer pays into the treasury for each task.
    trust : what has to be true for the verdict to be right.
    """

    reproducibility: float
    rerun_share: float
    finality_us: float
    dispute_us: float
    dispute_rounds: int
    dispute_questions: int
    locked_usd_s: float
    detection_probability: float
    moved_bytes: float
    n_round_trips: float
    n_messages: float
    n_dispute_messages: int
    levy_usd: float
    trust: str

    @property
    def compute_multiplier(self) -> float:
        return self.reproducibility * (1.0 + self.rerun_share)


class VerificationProtocol(Protocol):
    """The seam: whatever declares its terms and settles a task is a protocol."""

    @property
    def name(self) -> str: ...

    def terms(
        self, task: TaskShape, place: PlacePair, stake_micro_usd: int, *, cheated_share: float = 1.0
    ) -> ProtocolTerms:
        """Declare cost, delays, capital, detection of a cheat at a share, and what is trusted."""
        ...

    def chances(self, task: TaskShape, behaviour: Behaviour) -> Chances:
        """Return the probabilities of all that chance decides."""
        ...

    def modelled(
        self, task: TaskShape, behaviour: Behaviour, luck: Luck, *, stake_micro_usd: int
    ) -> Outcome:
        """Return the outcome of one task; a pure function, nothing is drawn inside."""
        ...


def _reached(probabilities: tuple[float, ...], luck: float) -> int:
    """Return the index into whose stretch of [0, 1) luck falls; their number if beyond them all."""
    totals = enumerate(accumulate(probabilities))
    return next((index for index, total in totals if luck < total), len(probabilities))


def _stretches(probabilities: tuple[float, ...]) -> list[tuple[float, float]]:
    """Return (probability, luck) at the start of the stretch of [0, 1) that each takes up."""
    starts = accumulate(probabilities[:-1], initial=0.0)
    return [
        (chance, start)
        for chance, start in zip(probabilities, starts, strict=True)
        # What rounding leaves of a probability has no stretch.
        if start < start + chance and start < 1.0
    ]

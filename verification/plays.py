"""The one place for a task that is really under way: its run, keys, luck, messages, and its end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from time import process_time
from typing import Final, Protocol

from hanse.verification.court import Pace
from hanse.verification.framing import big_endian, canonical_bytes, digest_of
from hanse.verification.keys import Signer
from hanse.verification.messages import Challenge, Reason, Settlement
from hanse.verification.parties import (
    AsProgrammed,
    Equivocator,
    Executor,
    Idle,
    Staller,
    Withholder,
)
from hanse.verification.program import Program, Step
from hanse.verification.protocols.interface import (
    MICRO,
    REAL,
    Behaviour,
    ByRole,
    Outcome,
    Strategy,
    TaskShape,
)
from hanse.verification.questions import Kind, Party
from hanse.verification.settlement import BURN, TREASURY, Case, Rules, settle, settlement_message
from hanse.verification.signing import Signed, sign_message
from hanse.verification.spot_check import Holder, Keeper, sampled_segments
from hanse.verification.tensors import State, state_digest
from hanse.verification.trace import Conduct, Task
from hanse.verification.verdicts import DisputeOutcome

CLOCK_US: Final = 600 * MICRO
"""What each party may use in a dispute."""
REFEREE: Final = 1 << 32
"""Whose key is which: the buyer has 0, the solver 1, others come after."""


class Travels(Protocol):
    """Whatever is signed, and counted by its bytes."""

    def to_bytes(self) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """A program, and what its execution is worth; it remembers the right results, hence no slots.

    Raises
    ------
    ValueError
        If the shape is not that of the program.
    """

    program: Program
    shape: TaskShape

    def __post_init__(self) -> None:
        for name, wanted in (
            ("n_steps", self.program.n_steps),
            ("checkpoint_interval", self.program.checkpoint_interval),
            ("n_operators", len(self.program.operators)),
        ):
            if getattr(self.shape, name) != wanted:
                raise ValueError(f"{name} must be {wanted}, got {getattr(self.shape, name)}")

    @cached_property
    def right_digests(self) -> tuple[bytes, ...]:
        """Digests of the states of an honest execution at its checkpoints.

        The last alone would not do: where answers are written over, it knows none of the first.
        """
        interval = self.program.checkpoint_interval
        states = [self.program.initial_state()]
        for first in range(0, self.program.n_steps, interval):
            last = first + interval
            states.append(self.program.replay(states[-1], first=first, last=last))
        return tuple(map(state_digest, states))


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One task, really played.

    Attributes
    ----------
    outcome : in the terms of the models, with fidelity "real".
    settlement : who gets what, signed by the referee.
    disputes : in the order in which they were fought.
    n_messages, n_bytes : signed messages and their bytes, disputes and handed-over states too.
    solver_s, checking_s, dispute_s : processor time, measured.
    """

    outcome: Outcome
    settlement: Signed[Settlement]
    disputes: tuple[DisputeOutcome, ...]
    n_messages: int
    n_bytes: int
    solver_s: float
    checking_s: float
    dispute_s: float


@dataclass(slots=True)
class Meter:
    """Counts the steps that a conduct really executes."""

    conduct: Conduct
    n_steps: int = 0

    def advance(self, program: Program, state: State, step: int) -> State:
        after = self.conduct.advance(program, state, step)
        self.n_steps += after is not state
        return after

    def explain(self, program: Program, state: State, step: int) -> Step:
        return self.conduct.explain(program, state, step)


@dataclass(slots=True, kw_only=True)
class Ending:
    """How a task ended, as far as a protocol decides it; the defaults are a check that was not."""

    accepted: bool = True
    solver_fault: Reason | None = None
    verifier_fault: Reason | None = None
    due: dict[bytes, int] = field(default_factory=dict)
    guilty: frozenset[bytes] = frozenset()
    winners: frozenset[bytes] = frozenset()
    n_rounds: int = 0
    verifier_cost_micro_usd: int = 0
    compute_units: float = 0.0


class Play:
    """One task under way: the solver's run, and everybody's keys, luck, messages and time."""

    def __init__(self, job: Job, behaviour: Behaviour, stake_micro_usd: int, *, trial: int) -> None:
        self.job, self.behaviour, self.trial = job, behaviour, trial
        self.stake_micro_usd = stake_micro_usd
        name = canonical_bytes(b"task", big_endian("trial", trial))
        task_id = digest_of(name, person=b"hanse.task.v1")
        self.task = Task(task_id=task_id, program=job.program)
        self.buyer = self.key(0).public_key
        self.disputes: list[DisputeOutcome] = []
        self.n_messages, self.n_bytes = 1, 0
        self.checking_s = self.dispute_s = 0.0
        began_s = process_time()
        self.meter = Meter(self._conduct())
        self.executor = Executor(self.task, self.meter, self.key(1))
        self.solver = self._party()
        self.holder: Holder = Keeper(trace=self.executor.trace)
        self.n_bytes += len(self.solver.receipts[0].to_bytes())
        self.n_steps_worked = self.meter.n_steps
        self.solver_s = process_time() - began_s

    def key(self, owner: int) -> Signer:
        """Return the key of the buyer, 0, the solver, 1, or of whoever checks, from 2 on."""
        return Signer(self.trial, owner)

    def uniform(self, label: bytes) -> float:
        """Return a number in [0, 1) that is this trial's own; 53 bits."""
        name = canonical_bytes(b"luck", big_endian("trial", self.trial), label)
        drawn = digest_of(name, person=b"hanse.luck.v1")
        return (int.from_bytes(drawn[:8], "big") >> 11) / float(1 << 53)

    def is_friend(self, collusion: float, owner: int) -> bool:
        """Say whether somebody who checks is on the solver's side."""
        label = b"friend" + big_endian("owner", owner)
        return self.behaviour.is_ring or self.uniform(label) < collusion

    def send(self, *messages: Travels) -> None:
        """Count messages that travel."""
        self.n_messages += len(messages)
        self.n_bytes += sum(len(message.to_bytes()) for message in messages)

    def pace(self, *parties: Party) -> Pace:
        return Pace(
            round_trip_us=dict.fromkeys([party.public_key for party in parties], 0),
            clock_us=CLOCK_US,
        )

    def challenge(self, key: Signer, trace_root: bytes) -> None:
        """Have somebody challenge the solver's receipt."""
        challenge = Challenge(
            receipt_digest=self.solver.receipts[0].receipt.digest(),
            challenger_public_key=key.public_key,
            bond_micro_usd=self.stake_micro_usd,
            trace_root=trace_root,
        )
        self.send(sign_message(challenge, key))

    def fight(self, dispute: Callable[[], tuple[DisputeOutcome, ...]]) -> None:
        """Hold disputes, have their verdicts signed, and count what they send and last."""
        began_s = process_time()
        fought = dispute()
        self.dispute_s += process_time() - began_s
        self.disputes += fought
        self.n_messages += sum(each.n_messages for each in fought)
        self.n_bytes += sum(each.n_bytes for each in fought)
        for each in fought:
            self.send(*each.verdicts(self.key(REFEREE)))

    def convicting_rounds(self, key: bytes) -> int:
        """Return the rounds of the dispute that found a party guilty."""
        return next(each.n_rounds for each in self.disputes if key in each.guilty)

    def played(self, ending: Ending) -> Played:
        """Settle, and tell it in the terms of the models."""
        amounts = self._amounts(ending)
        referee = self.key(REFEREE)
        receipt_digest = self.solver.receipts[0].receipt.digest()
        settlement = settlement_message(receipt_digest, referee.public_key, amounts)
        signed = sign_message(settlement, referee)
        self.send(signed)
        return Played(
            outcome=self._outcome(ending, amounts),
            settlement=signed,
            disputes=tuple(self.disputes),
            n_messages=self.n_messages,
            n_bytes=self.n_bytes,
            solver_s=self.solver_s,
            checking_s=self.checking_s,
            dispute_s=self.dispute_s,
        )

    def _outcome(self, ending: Ending, amounts: Mapping[bytes, int]) -> Outcome:
        shape = self.job.shape
        is_wrong = tuple(map(state_digest, self.executor.trace.states)) != self.job.right_digests
        is_fraud = is_wrong and ending.accepted
        gain = shape.sabotage_gain_micro_usd * (self.behaviour.solver is Strategy.SABOTEUR)
        idle = (shape.n_steps - self.n_steps_worked) / shape.n_steps
        at_fault = {"solver": ending.solver_fault, "verifier": ending.verifier_fault}
        return Outcome(
            fidelity=REAL,
            is_wrong=is_wrong,
            accepted=ending.accepted,
            caught=is_wrong and ending.solver_fault is not None,
            guilty=next((role for role, fault in at_fault.items() if fault), None),
            reason=ending.solver_fault or ending.verifier_fault,
            n_rounds=ending.n_rounds,
            transfers=self._by_role(amounts),
            costs=ByRole(
                solver=shape.solver_cost_micro_usd(idle) - gain * is_fraud,
                verifier=ending.verifier_cost_micro_usd + shape.verifier_loss_micro_usd * is_fraud,
                buyer=shape.buyer_loss_micro_usd * is_fraud,
            ),
            compute_units=ending.compute_units,
        )

    def _amounts(self, ending: Ending) -> dict[bytes, int]:
        case = Case(
            buyer=self.buyer,
            due=ending.due,
            locked=dict.fromkeys(ending.guilty, self.stake_micro_usd),
            guilty=ending.guilty,
            winners=ending.winners,
        )
        return settle(case, Rules())

    def _by_role(self, amounts: Mapping[bytes, int]) -> ByRole:
        solver, buyer = amounts.get(self.solver.public_key, 0), amounts.get(self.buyer, 0)
        treasury = amounts.get(TREASURY, 0) + amounts.get(BURN, 0)
        verifier = sum(amounts.values()) - solver - buyer - treasury
        return ByRole(solver=solver, verifier=verifier, buyer=buyer, treasury=treasury)

    def _conduct(self) -> Conduct:
        share = self.behaviour.cheated_share(self.job.shape)
        if share == 0.0:
            return AsProgrammed()
        drawn = digest_of(self.task.task_id, person=b"hanse.idle.v1")
        n_idle = self.job.shape.n_cheated(share)
        return Idle(segments=frozenset(sampled_segments(drawn, self.task.n_segments, n_idle)))

    def _party(self) -> Party:
        match self.behaviour.solver:
            case Strategy.STALLER:
                return Staller(party=self.executor, delay_us=CLOCK_US + 1)
            case Strategy.WITHHOLDER:
                return Withholder(party=self.executor, kinds=frozenset({Kind.EVIDENCE}))
            case Strategy.EQUIVOCATOR:
                return Equivocator(party=self.executor, other_root=self.task.task_id)
            case _:
                return self.executor

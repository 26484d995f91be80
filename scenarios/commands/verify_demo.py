"""One cheat, found before one's eyes: the words and pictures of `hanse verify demo`.

Everything it shows has really happened: programs were run, receipts signed, moves of the dispute
written, sent and read, one operator executed again. Only the ways between parties are simulated.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from textwrap import fill
from time import perf_counter
from typing import Final

import numpy as np

from hanse.verification.arithmetic import Tensor
from hanse.verification.court import Pace
from hanse.verification.dispute import contest
from hanse.verification.framing import big_endian, canonical_bytes, digest_of
from hanse.verification.keys import Signer
from hanse.verification.messages import BisectMove, OperatorMove, read_message
from hanse.verification.parties import AsProgrammed, Executor, Front, Saboteur
from hanse.verification.program import Program
from hanse.verification.programs import SMALL, training
from hanse.verification.questions import Kind, Party, Question, Reply
from hanse.verification.receipts import SignedReceipt
from hanse.verification.settlement import TREASURY, Case, Rules, settle
from hanse.verification.trace import Task
from hanse.verification.verdicts import DisputeOutcome

N_STEPS: Final = 1_024
WIDTH: Final = 80
REWARD_MICRO_USD: Final = 1_000_000
STAKE_MICRO_USD: Final = 4 * REWARD_MICRO_USD
ROUND_TRIP_US: Final = {"solver": 12_000, "challenger": 96_000}
CLOCK_US: Final = 600_000_000
_MICRO: Final = 1_000_000
_BAR: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheard(Front[Executor]):
    """A party all of whose answers are kept."""

    heard: dict[int, tuple[Question, bytes]] = field(default_factory=dict)

    def answer(self, question: Question) -> Reply | None:
        reply = self.party.answer(question)
        self.heard[question.round] = (question, reply.message)
        return reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Fraud:
    """Where the cheat is: one is added to one number that an operator of one step puts out."""

    step: int
    operator: int

    @classmethod
    def drawn(cls, program: Program, seed: int) -> "Fraud":
        """Draw a step, and one of the operators whose output the state takes in whole."""
        rng = np.random.default_rng(seed)
        matters = [at for at, one in enumerate(program.operators) if one.output.endswith(".next")]
        return cls(step=int(rng.integers(program.n_steps)), operator=int(rng.choice(matters)))

    def conduct(self, program: Program) -> Saboteur:
        """Return how the cheat computes."""

        def nudge(output: Tensor) -> Tensor:
            changed = np.array(output)
            changed.flat[0] += changed.dtype.type(1)
            return changed

        return Saboteur(alterations={(self.step, program.operators[self.operator].name): nudge})


def verify_demo(seed: int = 0) -> str:
    """Let a solver cheat in one number of one step, and have it found; return the story.

    Same seed, same story, but for the processor times in it.
    """
    program = training(SMALL, n_steps=N_STEPS, seed=seed)
    name = canonical_bytes(b"task", big_endian("trial", seed))
    task = Task(task_id=digest_of(name, person=b"hanse.task.v1"), program=program)
    fraud = Fraud.drawn(program, seed)
    solver = Overheard(party=Executor(task, fraud.conduct(program), Signer(seed, 1)))
    challenger = Overheard(party=Executor(task, AsProgrammed(), Signer(seed, 2)))
    began_s = perf_counter()
    receipts = [party.receipts[0] for party in (solver, challenger)]
    run_s = (perf_counter() - began_s) / 2
    parties: tuple[Party, Party] = (solver, challenger)
    trips = dict(zip([p.public_key for p in parties], ROUND_TRIP_US.values(), strict=True))
    outcome = contest(task, parties, Pace(round_trip_us=trips, clock_us=CLOCK_US))
    parts = [
        _opening(program, fraud),
        _claims(receipts, program, run_s),
        *_rounds(program, solver, challenger),
        _verdict(program, outcome, run_s, guilty=solver.public_key),
        _settled(solver.public_key, challenger.public_key, outcome),
        _told(),
    ]
    return "\n\n".join(parts)


def _paragraph(text: str) -> str:
    return fill(text, WIDTH)


def _opening(program: Program, fraud: Fraud) -> str:
    n_operators, cheated = len(program.operators), program.operators[fraud.operator].name
    return _paragraph(
        f"A solver trains a network of {SMALL.n_parameters:,} weights for {program.n_steps:,} "
        f"steps of {n_operators} operators. It does all the work but for one number: in step "
        f"{fraud.step + 1}, operator {cheated}, it adds 1 to the first entry, which is one "
        "16,384th. Who checks does not know that."
    )


def _claims(receipts: list[SignedReceipt], program: Program, run_s: float) -> str:
    n_links = program.n_steps // program.checkpoint_interval + 1
    n_bytes = len(receipts[0].to_bytes())
    lines = [f"Each of two signs a receipt of {n_bytes} bytes over the root of {n_links} links:"]
    for name, signed in zip(ROUND_TRIP_US, receipts, strict=True):
        lines.append(f"  {name:<11}{signed.receipt.output_digest.hex()[:32]}...")
    lines.append(f"The roots differ, so one of them is wrong. (A run took {run_s:.2f} s.)")
    return "\n".join(lines)


def _rounds(program: Program, solver: Overheard, challenger: Overheard) -> Iterator[str]:
    """Tell the bisection: over links, over steps of one stretch, over operators of one step."""
    interval, n_operators = program.checkpoint_interval, len(program.operators)
    headings = {
        "links": f"Which stretch of {interval} steps? Each shows a link and its proof.",
        "steps": f"Which of its {interval} steps? Each runs them again, from its own state.",
        "operators": f"Which of {n_operators} operators? Each shows the root over those before.",
    }
    low, high, before, number = 0, program.n_steps, "", 0
    first, size = low, high
    lines: list[str] = []
    for round_ in sorted(solver.heard.keys() & challenger.heard.keys()):
        question, said = solver.heard[round_]
        _, also = challenger.heard[round_]
        phase = _phase(question, interval)
        if not phase or (phase == "links" and question.step == program.n_steps):
            continue
        if phase != before:
            if lines:
                yield "\n".join(lines)
            lines, before = [headings[phase]], phase
            if phase == "operators":
                low, high = 0, n_operators
            first, size = low, high - low
        at = question.operator if phase == "operators" else question.step
        agrees = _claim(phase, said) == _claim(phase, also)
        number += 1
        bar = _bar(low - first, high - first, at - first, size=size)
        lines.append(f"  {number:>2}  {bar}  at {at:>4}: {'agree' if agrees else 'differ'}")
        low, high = (at, high) if agrees else (low, at)
    yield "\n".join(lines)


def _phase(question: Question, interval: int) -> str:
    if question.kind is Kind.PREFIX:
        return "operators"
    if question.kind is Kind.STATE:
        return "steps"
    return "links" if question.kind is Kind.CHECKPOINT and question.step % interval == 0 else ""


def _claim(phase: str, message: bytes) -> bytes:
    if phase == "operators":
        return read_message(OperatorMove, message).message.prefix_root
    return read_message(BisectMove, message).message.chain


def _bar(low: int, high: int, at: int, *, size: int) -> str:
    """Draw what is still in question, and where it is asked; at least one cell wide."""
    first, last = low * _BAR // size, max(low * _BAR // size + 1, -(-high * _BAR // size))
    cells = ["#" if first <= cell < last else "." for cell in range(_BAR)]
    cells[min(at * _BAR // size, _BAR - 1)] = "|"
    return "".join(cells)


def _verdict(program: Program, outcome: DisputeOutcome, run_s: float, *, guilty: bytes) -> str:
    assert outcome.step is not None
    assert outcome.operator is not None
    operator = program.operators[outcome.operator]
    judged = "the solver" if outcome.guilty == {guilty} else "not the solver alone"
    reasons = ", ".join(sorted({str(reason) for reason in outcome.faults.values()}))
    share = run_s / max(outcome.referee_s, 1e-9)
    return _paragraph(
        f"What is left is step {outcome.step}, operator {operator.name}, which reads "
        f"{' and '.join(operator.inputs)}. The referee checks these against the digests that both "
        f"agree on, executes that one operator in {outcome.referee_s * 1e3:.2f} ms, 1/{share:,.0f} "
        f"of a run, and finds {judged} guilty: {reasons}."
    ) + (
        f"\n  questions of bisection   {outcome.n_rounds}"
        f"\n  signed messages          {outcome.n_messages}, {outcome.n_bytes:,} bytes"
        f"\n  steps replayed           {max(outcome.replayed_steps.values())} by each party"
        f"\n  time on the way          {outcome.elapsed_us / _MICRO:.2f} s, simulated, at round "
        f"trips of {' and '.join(f'{us // 1_000} ms' for us in ROUND_TRIP_US.values())}"
    )


def _settled(solver: bytes, challenger: bytes, outcome: DisputeOutcome) -> str:
    buyer = Signer(0, 0).public_key
    amounts = settle(
        Case(
            buyer=buyer,
            due={challenger: REWARD_MICRO_USD} if challenger not in outcome.guilty else {},
            locked={solver: STAKE_MICRO_USD, challenger: STAKE_MICRO_USD},
            guilty=outcome.guilty,
            winners=frozenset({solver, challenger}) - outcome.guilty,
        ),
        Rules(),
    )
    names = {"buyer": buyer, "solver": solver, "challenger": challenger, "treasury": TREASURY}
    reward, stake = REWARD_MICRO_USD / _MICRO, STAKE_MICRO_USD / _MICRO
    lines = [f"Settlement: the reward was {reward:.2f} USD, each stake {stake:.2f} USD"]
    for name, account in names.items():
        lines.append(f"  {name:<11}{amounts.get(account, 0) / _MICRO:>+8.2f} USD")
    lines.append(f"  {'sum':<11}{sum(amounts.values()) / _MICRO:>8.2f} USD")
    return "\n".join(lines)


def _told() -> str:
    return _paragraph(
        "This proves that the committed computation was not that of the program. It would not "
        "have been found had nobody executed the task again."
    )

"""Small tasks, and parties of all kinds, for tests of disputes and attacks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

from hanse.verification.arithmetic import Mode, Tensor
from hanse.verification.court import Pace
from hanse.verification.framing import digest_of
from hanse.verification.keys import Signer
from hanse.verification.messages import BisectMove, Evidence, Message, OperatorMove, read_message
from hanse.verification.parties import AsProgrammed, Executor, Front, Saboteur, Speed, nudged
from hanse.verification.program import Program
from hanse.verification.programs import NetworkSize, training
from hanse.verification.protocols.interface import TaskShape
from hanse.verification.questions import Kind, OperatorOpening, Party, Question, Reply, StepOpening
from hanse.verification.trace import Conduct, Task

TINY = NetworkSize(n_inputs=6, n_hidden=8, n_outputs=2)
SECOND_US = 1_000_000
SOLVER, RIVAL, OTHER, BUYER, REFEREE = (Signer(5, owner) for owner in range(5))
HONEST = AsProgrammed()

ANSWERS: Mapping[Kind, type[Message]] = {
    Kind.CHECKPOINT: BisectMove,
    Kind.STATE: BisectMove,
    Kind.STEP: StepOpening,
    Kind.PREFIX: OperatorMove,
    Kind.MAKER: OperatorOpening,
    Kind.MADE: Evidence,
    Kind.OPERATOR: OperatorOpening,
    Kind.SOURCE: OperatorOpening,
    Kind.EVIDENCE: Evidence,
}


def tiny_program(n_steps: int = 16, interval: int = 4, *, mode: Mode = Mode.INT21) -> Program:
    """Train a network of 64 weights, quickly."""
    return training(
        TINY,
        n_steps=n_steps,
        checkpoint_interval=interval,
        batch_size=4,
        learning_shift=2,
        seed=3,
        mode=mode,
    )


def task_of(program: Program, label: bytes = b"task") -> Task:
    return Task(task_id=digest_of(label, person=b"hanse.task.v1"), program=program)


TASK = task_of(tiny_program())
USD = 1_000_000
STAKE = 400 * USD

# R = 100, c_h = 60, c_l = 0, as in the oracles of the single audit; p* = 60 / (100 + 400) = 0.12.
SHAPE = TaskShape(
    n_steps=16,
    n_operators=13,
    checkpoint_interval=4,
    work_us=16 * USD,
    state_bytes=512,
    input_bytes=4_096,
    reward_micro_usd=100 * USD,
    honest_cost_micro_usd=60 * USD,
    lazy_cost_micro_usd=0,
    checking_cost_micro_usd=8 * USD,
    verifier_loss_micro_usd=50 * USD,
    buyer_loss_micro_usd=30 * USD,
    sabotage_gain_micro_usd=5 * USD,
)


def pace_of(*parties: Party, round_trip_us: int = 158_000, clock_us: int = 600 * SECOND_US) -> Pace:
    trips = {party.public_key: round_trip_us for party in parties}
    return Pace(round_trip_us=trips, clock_us=clock_us)


def honest(key: Signer, task: Task = TASK) -> Executor:
    return Executor(task, HONEST, key)


def sabotage(step: int, operator: str, change: Callable[[Tensor], Tensor] = nudged) -> Conduct:
    return Saboteur(alterations={(step, operator): change})


def executor(key: Signer, conduct: Conduct, task: Task = TASK, *, response_us: int = 0) -> Executor:
    return Executor(task, conduct, key, speed=Speed(response_us=response_us))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wild(Front[Executor]):
    """Does at each question what a script says; what comes after the script is the truth.

    Actions: "truth", "silence", "garbage", "flip" (one bit), "late", "forge" (another's signature),
    and "lie": any digest of the message replaced, and signed with its own key.
    """

    script: tuple[str, ...]
    noise: int = 0

    def answer(self, question: Question) -> Reply | None:
        action = self.script[question.round] if question.round < len(self.script) else "truth"
        reply = self.party.answer(question)
        if action == "silence":
            return None
        if action == "late":
            return replace(reply, took_us=10**12)
        return replace(reply, message=self._altered(action, reply.message, question))

    def _altered(self, action: str, message: bytes, question: Question) -> bytes:
        match action:
            case "garbage":
                return b"hanse" * (self.noise % 7)
            case "flip":
                altered = bytearray(message)
                bit = self.noise % (8 * len(message))
                altered[bit // 8] ^= 1 << bit % 8
                return bytes(altered)
            case "forge":
                return message[:-64] + OTHER.signature_of(message[:-64])
            case "lie":
                told = read_message(ANSWERS[question.kind], message).message
                return self.party.sign_answer(lied(told, self.noise))
            case _:
                return message


def lied(message: Message, noise: int) -> Message:
    """Replace one of a message's digests, or one of a tuple of them; ids and keys stay."""
    names = [
        field.name
        for field in fields(message)
        if field.name not in {"dispute_id", "sender_public_key"}
        and isinstance(getattr(message, field.name), bytes | tuple)
        and getattr(message, field.name)
    ]
    name = names[noise % len(names)]
    value = getattr(message, name)
    lie = digest_of(noise.to_bytes(8, "big"), person=b"lie")
    at = noise % len(value)
    changed = (*value[:at], lie, *value[at + 1 :]) if isinstance(value, tuple) else lie
    return replace(message, **{name: changed})

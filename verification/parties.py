"""The one place for those who act in a dispute, honest or not: each really does what it does.

An `Executor` runs a task as its conduct says and answers every question about it. What else a party
may do wrong is a wrapper around another party: it stalls, withholds, or signs twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Generic, TypeVar

import numpy as np

from hanse.verification.arithmetic import Tensor
from hanse.verification.commitments import MerkleTree, operator_leaf, tree_over
from hanse.verification.framing import DIGEST_BYTES
from hanse.verification.keys import Signer
from hanse.verification.messages import BisectMove, Evidence, OperatorMove
from hanse.verification.program import NEXT, Interference, Operator, Program, Step
from hanse.verification.questions import (
    MOVES,
    Kind,
    OperatorOpening,
    Party,
    Question,
    Reply,
    StepOpening,
)
from hanse.verification.receipts import NO_RECEIPT, SignedReceipt, WorkReceipt, sign
from hanse.verification.signing import Message, sign_message
from hanse.verification.tensors import State, encode_tensor, tensor_digests
from hanse.verification.trace import Conduct, Place, Replay, Task, Trace, run

P = TypeVar("P", bound=Party)

OPENINGS: Final = frozenset(Kind) - MOVES


@dataclass(frozen=True, slots=True)
class AsProgrammed:
    """The conduct of the honest: the program, and nothing else."""

    def advance(self, program: Program, state: State, step: int) -> State:
        return program.step(state, step).state

    def explain(self, program: Program, state: State, step: int) -> Step:
        return program.step(state, step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """The conduct of the lazy and the partial: in some segments, no step changes anything.

    Attributes
    ----------
    segments : numbers of the segments in which it does not work. It saves their cost; if asked for
        operators it has to run a step after all, and bends the outcome to what it said.
    """

    segments: frozenset[int]

    def advance(self, program: Program, state: State, step: int) -> State:
        return state if self._is_idle(program, step) else program.step(state, step).state

    def explain(self, program: Program, state: State, step: int) -> Step:
        if not self._is_idle(program, step):
            return program.step(state, step)

        def hand_back(operator: Operator, output: Tensor) -> Tensor:
            return state.get(operator.output.removesuffix(NEXT), output)

        return program.step(state, step, interfere=hand_back)

    def _is_idle(self, program: Program, step: int) -> bool:
        return step // program.checkpoint_interval in self.segments


@dataclass(frozen=True, slots=True, kw_only=True)
class Saboteur:
    """The conduct of one that does all the work, and alters outputs of some operators.

    Attributes
    ----------
    alterations : what to do with outputs, by step and name of the operator.
    """

    alterations: Mapping[tuple[int, str], Callable[[Tensor], Tensor]]

    def advance(self, program: Program, state: State, step: int) -> State:
        return self.explain(program, state, step).state

    def explain(self, program: Program, state: State, step: int) -> Step:
        return program.step(state, step, interfere=self._interference(step))

    def _interference(self, step: int) -> Interference:
        def alter(operator: Operator, output: Tensor) -> Tensor:
            change = self.alterations.get((step, operator.name))
            return output if change is None else change(output)

        return alter


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The conduct of one whose steps were computed elsewhere, on another machine perhaps."""

    steps: tuple[Step, ...]

    def advance(self, program: Program, state: State, step: int) -> State:
        return self.steps[step].state

    def explain(self, program: Program, state: State, step: int) -> Step:
        return self.steps[step]


def nudged(output: Tensor) -> Tensor:
    """Return an output whose first element is one more: the smallest sabotage there is."""
    altered = np.array(output)
    altered.flat[0] += altered.dtype.type(1)
    return altered


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How long a party takes, in simulated microseconds: to answer, and to replay a step."""

    response_us: int = 0
    step_us: int = 0


AT_ONCE: Final = Speed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a party has at hand of a disputed step, once it was asked for."""

    place: Place
    made: Step
    leaves: tuple[bytes, ...]

    def tree(self, size: int) -> MerkleTree:
        return tree_over(self.leaves[:size])


class Executor:
    """A party that has run a task, as its conduct says, and can account for all of it.

    Memory: the states at checkpoints; in a dispute two more, and one step with all its tensors.
    An auditor is given `trace`: its own for one segment, from where the solver says it starts. It
    has signed no receipt, and proves nothing but what it executed.
    """

    def __init__(
        self,
        task: Task,
        conduct: Conduct,
        key: Signer,
        *,
        speed: Speed = AT_ONCE,
        sequence: int = 0,
        trace: Trace | None = None,
    ) -> None:
        self.task, self.conduct, self.speed = task, conduct, speed
        self.key, self._sequence, self._audited = key, sequence, trace
        self._dispute_id = bytes(DIGEST_BYTES)
        self._replay: Replay | None = None
        self._opened: Opened | None = None

    @property
    def public_key(self) -> bytes:
        return self.key.public_key

    @cached_property
    def trace(self) -> Trace:
        """The run itself, made when it is first needed."""
        return self._audited or run(self.task, self.conduct)

    @cached_property
    def receipts(self) -> tuple[SignedReceipt, ...]:
        if self._audited:
            return ()
        return (sign(self.receipt_for(self.trace.tree.root), self.key),)

    def receipt_for(self, root: bytes) -> WorkReceipt:
        """Return an unsigned receipt for a trace root, with the sequence number of this task."""
        return WorkReceipt(
            task_id=self.task.task_id,
            program_digest=self.task.program_digest,
            output_digest=root,
            solver_public_key=self.public_key,
            region=0,
            started_us=0,
            ended_us=0,
            work_us=0,
            sequence=self._sequence,
            previous_receipt_digest=NO_RECEIPT,
        )

    def sign_receipt(self, receipt: WorkReceipt) -> SignedReceipt:
        """Sign a receipt, the right one or another."""
        return sign(receipt, self.key)

    def sign_answer(self, message: Message) -> bytes:
        """Return the bytes of a signed answer, the right one or another."""
        return sign_message(message, self.key).to_bytes()

    def forget(self) -> None:
        """Drop what was replayed for a dispute; it can be replayed again."""
        self._replay, self._opened = None, None

    def answer(self, question: Question) -> Reply:
        """Answer with the truth about its own conduct."""
        if question.dispute_id != self._dispute_id:
            self.forget()
            self._dispute_id = question.dispute_id
        before = self._replay.n_replayed if self._replay else 0
        message = self.sign_answer(self._message(question))
        n_replayed = (self._replay.n_replayed if self._replay else 0) - before
        took_us = self.speed.response_us + n_replayed * self.speed.step_us
        return Reply(message=message, took_us=took_us, n_replayed=n_replayed)

    def _message(self, question: Question) -> Message:
        match question.kind:
            case Kind.CHECKPOINT | Kind.STATE:
                return self._bisect_move(question)
            case Kind.STEP:
                return self._step_opening(question)
            case Kind.PREFIX:
                return OperatorMove(
                    dispute_id=question.dispute_id,
                    sender_public_key=self.public_key,
                    round=question.round,
                    index=question.operator,
                    prefix_root=self._open(question).tree(question.operator).root,
                )
            case Kind.EVIDENCE | Kind.MADE:
                return self._evidence(question)
            case _:
                return self._operator_opening(question)

    def _bisect_move(self, question: Question) -> BisectMove:
        segment, rest = divmod(question.step, self.task.program.checkpoint_interval)
        proof: tuple[bytes, ...] = ()
        if rest:
            chain = self._replay_of(segment).place(question.step).link
        else:
            chain = self.trace.chain[segment]
            proof = () if self._audited else self.trace.tree.inclusion_proof(segment)
        return BisectMove(
            dispute_id=question.dispute_id,
            sender_public_key=self.public_key,
            round=question.round,
            index=question.step,
            chain=chain,
            inclusion_proof=proof,
        )

    def _step_opening(self, question: Question) -> StepOpening:
        opened = self._open(question)
        return StepOpening(
            dispute_id=question.dispute_id,
            sender_public_key=self.public_key,
            round=question.round,
            step=question.step,
            previous=opened.place.previous,
            before=tuple(tensor_digests(opened.place.state).values()),
            after=tuple(tensor_digests(opened.made.state).values()),
            operator_root=opened.tree(len(opened.leaves)).root,
        )

    def _operator_opening(self, question: Question) -> OperatorOpening:
        opened, index, size = self._open(question), question.operator, question.size
        operator = self.task.program.operators[index]
        tree = opened.tree(size)
        continues = question.kind is Kind.OPERATOR and index > 0
        names = (*operator.inputs, operator.output)
        digests = tensor_digests({name: opened.made.values[name] for name in names})
        return OperatorOpening(
            dispute_id=question.dispute_id,
            sender_public_key=self.public_key,
            round=question.round,
            index=index,
            size=size,
            inputs=tuple(digests[name] for name in operator.inputs),
            output=digests[operator.output],
            inclusion_proof=tree.inclusion_proof(index),
            consistency_proof=tree.consistency_proof(index) if continues else (),
        )

    def _evidence(self, question: Question) -> Evidence:
        values = self._open(question).made.values
        operator = self.task.program.operators[question.operator]
        names = (operator.output,) if question.kind is Kind.MADE else operator.inputs
        return Evidence(
            dispute_id=question.dispute_id,
            sender_public_key=self.public_key,
            index=question.operator,
            inputs=tuple(encode_tensor(name, values[name]) for name in names),
            claimed_output_digests=(),
        )

    def _replay_of(self, segment: int) -> Replay:
        if self._replay is None or self._replay.segment != segment:
            self._replay = Replay(self.trace, self.conduct, segment)
        return self._replay

    def _open(self, question: Question) -> Opened:
        if self._opened is None or self._opened.place.index != question.step - 1:
            segment = (question.step - 1) // self.task.program.checkpoint_interval
            place, made = self._replay_of(segment).explain(question.step)
            leaves = operator_leaves(self.task.program, made)
            self._opened = Opened(place=place, made=made, leaves=leaves)
        return self._opened


def operator_leaves(program: Program, made: Step) -> tuple[bytes, ...]:
    """Return the leaves of the tree over all operators of a step, in their order."""
    digests = tensor_digests(made.values)
    return tuple(
        operator_leaf(
            index,
            operator.operator_id(),
            operator.version,
            input_digests=[digests[name] for name in operator.inputs],
            output_digest=digests[operator.output],
        )
        for index, operator in enumerate(program.operators)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Front(Generic[P]):
    """Stands for another party, with its key and its receipts, and answers as it does.

    Whoever does otherwise in some respect is a front that overrides it.
    """

    party: P

    @property
    def public_key(self) -> bytes:
        return self.party.public_key

    @property
    def receipts(self) -> tuple[SignedReceipt, ...]:
        return self.party.receipts

    def answer(self, question: Question) -> Reply | None:
        return self.party.answer(question)


@dataclass(frozen=True, slots=True, kw_only=True)
class Staller(Front[Party]):
    """Answers rightly, and as late as it dares: each answer takes `delay_us` longer."""

    delay_us: int

    def answer(self, question: Question) -> Reply | None:
        reply = self.party.answer(question)
        return reply and replace(reply, took_us=reply.took_us + self.delay_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withholder(Front[Party]):
    """Answers rightly, and is silent where certain questions are asked."""

    kinds: frozenset[Kind] = OPENINGS

    def answer(self, question: Question) -> Reply | None:
        return None if question.kind in self.kinds else self.party.answer(question)


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivocator(Front[Executor]):
    """Has signed two results under one sequence number, and shows each to another."""

    other_root: bytes

    @property
    def receipts(self) -> tuple[SignedReceipt, ...]:
        other = self.party.receipt_for(self.other_root)
        return (*self.party.receipts, self.party.sign_receipt(other))

"""Disputes against forgers: each check of the referee stands between one lie and its profit."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.verification.commitments import operator_leaf, trace_leaf, tree_over
from hanse.verification.dispute import contest
from hanse.verification.framing import MalformedMessageError
from hanse.verification.messages import BisectMove, Message, Reason
from hanse.verification.parties import Executor, Front, Idle, Opened, Recorded
from hanse.verification.program import NEXT, Step
from hanse.verification.programs import inference
from hanse.verification.questions import Kind, OperatorOpening, Question, Reply, StepOpening
from hanse.verification.referee import Referee
from hanse.verification.signing import is_genuine, read_message
from hanse.verification.spot_check import Claim, Keeper, check_segments
from hanse.verification.tensors import (
    decode_tensor,
    encode_tensor,
    tensor_digest,
    tensor_digests,
)
from hanse.verification.verdicts import DisputeOutcome
from tests.disputants import (
    ANSWERS,
    HONEST,
    OTHER,
    REFEREE,
    RIVAL,
    SOLVER,
    TASK,
    executor,
    honest,
    pace_of,
    sabotage,
    task_of,
)
from tests.test_disputes import OPERATORS, Inventor, disputed, shoved

LIE = bytes([7]) * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Forger(Front[Executor]):
    """Answers questions of one kind with an altered message, signed all the same."""

    kind: Kind
    alter: Callable[[Message], Message]

    def answer(self, question: Question) -> Reply | None:
        reply = self.party.answer(question)
        if question.kind is not self.kind:
            return reply
        told = read_message(ANSWERS[question.kind], reply.message).message
        return replace(reply, message=self.party.sign_answer(self.alter(told)))


def with_lie(name: str, at: int | None) -> Callable[[Message], Message]:
    """Replace a digest of a message, or one of a tuple of them."""

    def alter(message: Message) -> Message:
        value = getattr(message, name)
        lie = LIE if at is None else (*value[:at], LIE, *value[at + 1 :])
        return replace(message, **{name: lie})

    return alter


@pytest.mark.parametrize("defends", [True, False])
@pytest.mark.parametrize(
    ("kind", "name", "at"),
    [
        (Kind.CHECKPOINT, "chain", None),
        (Kind.CHECKPOINT, "inclusion_proof", 0),
        (Kind.STEP, "previous", None),
        (Kind.STEP, "before", 0),
        (Kind.STEP, "before", 1),
        (Kind.STEP, "after", 0),
        (Kind.STEP, "after", 1),
        (Kind.OPERATOR, "inputs", 0),
        (Kind.OPERATOR, "inputs", 1),
        (Kind.OPERATOR, "output", None),
        (Kind.OPERATOR, "inclusion_proof", 0),
        (Kind.OPERATOR, "consistency_proof", 0),
    ],
)
def test_no_opening_shows_anything_but_what_was_committed_to(
    kind: Kind, name: str, at: int | None, defends: bool
) -> None:
    right, cheat = honest(SOLVER), executor(RIVAL, sabotage(9, "w2_update", shoved))
    forger = Forger(party=cheat, kind=kind, alter=with_lie(name, at))
    outcome = disputed(forger, right) if defends else disputed(right, forger)
    assert outcome.faults == {forger.public_key: Reason.BAD_PROOF}
    # It is refused on the spot, and not only found out in the end.
    reached = {Kind.CHECKPOINT: (None, None), Kind.STEP: (10, None), Kind.OPERATOR: (10, 12)}
    assert (outcome.step, outcome.operator) == reached[kind]


@pytest.mark.parametrize("defends", [True, False])
@pytest.mark.parametrize(
    ("kind", "name"),
    [(Kind.STATE, "chain"), (Kind.PREFIX, "prefix_root"), (Kind.STEP, "operator_root")],
)
def test_what_is_told_without_a_proof_is_bound_by_what_is_opened_next(
    kind: Kind, name: str, defends: bool
) -> None:
    right, cheat = honest(SOLVER), executor(RIVAL, sabotage(9, "w2_update", shoved))
    forger = Forger(party=cheat, kind=kind, alter=with_lie(name, None))
    outcome = disputed(forger, right) if defends else disputed(right, forger)
    assert outcome.faults == {forger.public_key: Reason.BAD_PROOF}


class Misreader(Executor):
    """Claims that one operator read something else than what was there."""

    lie_at: tuple[int, int] = (0, 0)

    def misread(self, inputs: tuple[bytes, ...]) -> tuple[bytes, ...]:
        position = self.lie_at[1]
        return (*inputs[:position], LIE, *inputs[position + 1 :])

    def _open(self, question: Question) -> Opened:
        opened = super()._open(question)
        index, _ = self.lie_at
        operator = self.task.program.operators[index]
        digests = tensor_digests(opened.made.values)
        inputs = self.misread(tuple(digests[name] for name in operator.inputs))
        leaf = operator_leaf(
            index,
            operator.operator_id(),
            operator.version,
            input_digests=inputs,
            output_digest=digests[operator.output],
        )
        leaves = (*opened.leaves[:index], leaf, *opened.leaves[index + 1 :])
        return replace(opened, leaves=leaves)

    def _operator_opening(self, question: Question) -> OperatorOpening:
        opening = super()._operator_opening(question)
        if question.operator != self.lie_at[0]:
            return opening
        return replace(opening, inputs=self.misread(opening.inputs))


class Omitter(Misreader):
    """Claims that one operator read one tensor fewer than it reads."""

    def misread(self, inputs: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return inputs[:-1]


@pytest.mark.parametrize("defends", [True, False])
@pytest.mark.parametrize(
    ("operator", "position", "source"),
    [
        ("hidden_sum", 0, "the batch"),
        ("hidden_sum", 1, "the state"),
        ("output_sum", 0, "an operator"),
        ("w2_update", 1, "an operator"),
    ],
)
def test_what_an_operator_read_is_traced_to_where_it_comes_from(
    operator: str, position: int, source: str, defends: bool
) -> None:
    right = honest(SOLVER)
    cheat = Misreader(TASK, sabotage(9, operator, shoved), RIVAL)
    cheat.lie_at = (OPERATORS.index(operator), position)
    outcome = disputed(cheat, right) if defends else disputed(right, cheat)
    assert outcome.faults == {cheat.public_key: Reason.BAD_PROOF}
    assert outcome.operator == OPERATORS.index(operator)
    # Only what an operator made has to be asked for.
    plain = disputed(executor(RIVAL, sabotage(9, operator, shoved)), right)
    asked = outcome.n_messages - (plain.n_messages - 1)
    assert asked == (2 if source == "an operator" else 0)


@pytest.mark.parametrize("defends", [True, False])
@pytest.mark.parametrize(
    "alter",
    [
        with_lie("output", None),
        lambda message: replace(message, index=0),
        lambda message: replace(message, index=99),
        lambda message: replace(message, size=message.size + 1),
    ],
    ids=["output", "another", "none", "size"],
)
def test_a_source_is_what_was_agreed_and_not_what_somebody_says_of_it(
    alter: Callable[[Message], Message], defends: bool
) -> None:
    right, cheat = honest(SOLVER), Misreader(TASK, sabotage(9, "w2_update", shoved), RIVAL)
    cheat.lie_at = (OPERATORS.index("w2_update"), 1)
    forger = Forger(party=cheat, kind=Kind.SOURCE, alter=alter)
    outcome = disputed(forger, right) if defends else disputed(right, forger)
    assert outcome.faults == {forger.public_key: Reason.BAD_PROOF}


@pytest.mark.parametrize("defends", [True, False])
def test_an_operator_reads_as_many_tensors_as_it_has_inputs(defends: bool) -> None:
    right, cheat = honest(SOLVER), Omitter(TASK, sabotage(9, "w2_update", shoved), RIVAL)
    cheat.lie_at = (OPERATORS.index("w2_update"), 1)
    outcome = disputed(cheat, right) if defends else disputed(right, cheat)
    assert outcome.faults == {cheat.public_key: Reason.BAD_PROOF}


def other_values(message: Message) -> Message:
    """Hand in another tensor of the same name, type and shape."""
    name, value = decode_tensor(message.inputs[0], max_bytes=1 << 16)
    return replace(message, inputs=(encode_tensor(name, shoved(value)), *message.inputs[1:]))


@pytest.mark.parametrize(
    "alter",
    [
        other_values,
        lambda message: replace(message, inputs=()),
        lambda message: replace(message, inputs=message.inputs[:-1]),
        lambda message: replace(message, inputs=(*message.inputs, message.inputs[0])),
    ],
    ids=["other values", "nothing", "fewer", "more"],
)
def test_evidence_is_of_all_inputs_and_of_their_values(alter: Callable[[Message], Message]) -> None:
    right, cheat = honest(SOLVER), executor(RIVAL, sabotage(9, "w2_update", shoved))
    forger = Forger(party=cheat, kind=Kind.EVIDENCE, alter=alter)
    assert disputed(forger, right).faults == {forger.public_key: Reason.BAD_PROOF}


def test_the_first_operator_continues_nothing_and_proves_no_continuation() -> None:
    right, cheat = honest(SOLVER), executor(RIVAL, sabotage(9, OPERATORS[0], shoved))
    assert disputed(right, cheat).faults == {cheat.public_key: Reason.WRONG_OUTPUT}
    padded = Forger(
        party=cheat,
        kind=Kind.OPERATOR,
        alter=lambda message: replace(message, consistency_proof=(LIE,)),
    )
    assert disputed(right, padded).faults == {padded.public_key: Reason.BAD_PROOF}


@pytest.mark.parametrize("defends", [True, False])
@pytest.mark.parametrize("name", ["before", "after"])
@pytest.mark.parametrize("digests", [(), (LIE,) * 64])
def test_a_step_shows_one_digest_for_each_carried_tensor(
    name: str, digests: tuple[bytes, ...], defends: bool
) -> None:
    right, cheat = honest(SOLVER), executor(RIVAL, sabotage(9, "w2_update", shoved))
    forger = Forger(
        party=cheat, kind=Kind.STEP, alter=lambda message: replace(message, **{name: digests})
    )
    outcome = disputed(forger, right) if defends else disputed(right, forger)
    assert outcome.faults == {forger.public_key: Reason.BAD_PROOF}


def test_a_root_over_links_between_checkpoints_commits_to_none() -> None:
    tree = tree_over([trace_leaf(at, LIE) for at in (0, 5, 8, 12, 16)])
    for index, is_checkpoint in ((4 * 2, True), (5, False)):
        move = BisectMove(
            dispute_id=LIE,
            sender_public_key=RIVAL.public_key,
            round=0,
            index=index,
            chain=LIE,
            inclusion_proof=tree.inclusion_proof(index // 4),
        )
        assert Referee(task=TASK).accepts_checkpoint(move, tree.root) is is_checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegator(Front[Executor]):
    """Has another answer, under that one's name or unsigned."""

    other: Executor
    is_signed: bool

    def answer(self, question: Question) -> Reply | None:
        if self.is_signed:
            return self.other.answer(question)
        reply = self.party.answer(question)
        return replace(reply, message=reply.message[:-64] + bytes(64))


@pytest.mark.parametrize("is_signed", [True, False])
def test_nobody_answers_for_another_nor_without_signing(is_signed: bool) -> None:
    conduct = sabotage(9, "w2_update", shoved)
    other = executor(OTHER, conduct)
    delegator = Delegator(party=executor(RIVAL, conduct), other=other, is_signed=is_signed)
    outcome = disputed(delegator, honest(SOLVER))
    assert outcome.faults == {delegator.public_key: Reason.BAD_PROOF}
    assert (outcome.step, outcome.n_messages) == (None, 2)


def inferred(alter_at: int) -> tuple[DisputeOutcome, Executor]:
    """Infer with weights that one step hands on altered, though no operator makes any."""
    task = task_of(inference(n_steps=8, checkpoint_interval=4))
    program = task.program
    makers = {operator.output for operator in program.operators}
    kept = next(name for name in sorted(program.carried) if name + NEXT not in makers)
    state, steps = program.initial_state(), []
    for step in range(program.n_steps):
        made = program.step(state, step)
        if step == alter_at:
            weights = np.array(made.state[kept])
            weights.flat[0] ^= 1
            made = Step(state={**made.state, kept: weights}, values=made.values)
        steps.append(made)
        state = made.state
    cheat, right = Executor(task, Recorded(steps=tuple(steps)), RIVAL), honest(SOLVER, task)
    return contest(task, (cheat, right), pace_of(cheat, right)), cheat


@pytest.mark.parametrize("alter_at", range(8))
def test_what_no_operator_makes_is_handed_on_as_it_was(alter_at: int) -> None:
    outcome, cheat = inferred(alter_at)
    assert outcome.faults == {cheat.public_key: Reason.BAD_PROOF}
    assert (outcome.step, outcome.operator) == (alter_at + 1, None)


@pytest.mark.parametrize("kind", [Kind.CHECKPOINT, Kind.STATE, Kind.PREFIX])
@pytest.mark.parametrize(("name", "value"), [("dispute_id", LIE), ("round", 99), ("index", 0)])
def test_a_move_of_another_dispute_round_or_place_is_no_answer(
    kind: Kind, name: str, value: bytes | int
) -> None:
    right, cheat = honest(SOLVER), executor(RIVAL, sabotage(9, "w2_update", shoved))
    forger = Forger(party=cheat, kind=kind, alter=lambda message: replace(message, **{name: value}))
    outcome = disputed(right, forger)
    assert outcome.faults == {forger.public_key: Reason.BAD_PROOF}
    # On the spot: nothing was opened since.
    assert (outcome.step, outcome.operator) == (10 if kind is Kind.PREFIX else None, None)


@pytest.mark.parametrize("defends", [True, False])
@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (Kind.STEP, "step", 0),
        (Kind.STEP, "step", 9),
        (Kind.STEP, "step", 1 << 63),
        (Kind.OPERATOR, "index", 0),
        (Kind.OPERATOR, "index", 99),
        (Kind.OPERATOR, "size", 12),
        (Kind.OPERATOR, "size", 1 << 63),
        (Kind.STATE, "inclusion_proof", (LIE,)),
        (Kind.EVIDENCE, "index", 0),
        (Kind.EVIDENCE, "index", 99),
    ],
)
def test_an_opening_of_another_place_is_refused_and_never_looked_up(
    kind: Kind, name: str, value: int | tuple[bytes, ...], defends: bool
) -> None:
    right, cheat = honest(SOLVER), executor(RIVAL, sabotage(9, "w2_update", shoved))
    forger = Forger(party=cheat, kind=kind, alter=lambda message: replace(message, **{name: value}))
    outcome = disputed(forger, right) if defends else disputed(right, forger)
    # Evidence is asked of the defender alone.
    is_asked = defends or kind is not Kind.EVIDENCE
    reason = Reason.BAD_PROOF if is_asked else Reason.WRONG_OUTPUT
    assert outcome.faults == {forger.public_key: reason}


def test_a_link_of_another_checkpoint_is_no_answer_though_its_proof_holds() -> None:
    right, cheat = honest(SOLVER), executor(RIVAL, sabotage(9, "w2_update", shoved))
    trace = cheat.trace

    def earlier(message: Message) -> Message:
        proof = trace.tree.inclusion_proof(1)
        return replace(message, index=4, chain=trace.chain[1], inclusion_proof=proof)

    forger = Forger(party=cheat, kind=Kind.CHECKPOINT, alter=earlier)
    outcome = disputed(right, forger)
    assert outcome.faults == {forger.public_key: Reason.BAD_PROOF}
    # At the first question.
    assert (outcome.n_messages, outcome.n_rounds) == (2, 0)


@pytest.mark.parametrize(
    ("name", "value"), [("inclusion_proof", (LIE,)), ("index", 4), ("index", 99)]
)
def test_an_auditor_says_where_it_arrived_and_nothing_else(
    name: str, value: int | tuple[bytes, ...]
) -> None:
    cheat = executor(SOLVER, Idle(segments=frozenset({1})))
    claim, holder = Claim(task=TASK, root=cheat.trace.tree.root), Keeper(trace=cheat.trace)
    auditor = check_segments(holder, claim, (1,), key=RIVAL, conduct=HONEST).auditor
    assert auditor is not None
    forger = Forger(
        party=auditor,
        kind=Kind.CHECKPOINT,
        alter=lambda message: replace(message, **{name: value}),
    )
    outcome = contest(TASK, (cheat, forger), pace_of(cheat, forger), segment=1)
    assert outcome.faults == {forger.public_key: Reason.BAD_PROOF}
    assert (outcome.step, outcome.n_messages) == (None, 3)


class Fabricator(Inventor):
    """Shows the operators of the right run, but for the one that made its own wrong state."""

    alter: Callable[[Message], Message]

    def answer(self, question: Question) -> Reply | None:
        if question.kind is Kind.MADE:
            return self.cheat.answer(question)
        reply = super().answer(question)
        if question.kind is not Kind.MAKER:
            return reply
        shown = read_message(OperatorOpening, reply.message).message
        return replace(reply, message=self.cheat.sign_answer(self.alter(shown)))


def fabricated(alter: Callable[[Message], Message]) -> Fabricator:
    fabricator = Fabricator(executor(RIVAL, sabotage(9, "w1_update")), executor(RIVAL, HONEST))
    fabricator.alter = alter
    return fabricator


def with_own_output(message: Message) -> Message:
    """Claim that the operator made what the wrong run made."""
    cheat = executor(RIVAL, sabotage(9, "w1_update"))
    state = cheat.trace.states[2]
    state = HONEST.advance(TASK.program, state, 8)
    made = cheat.conduct.explain(TASK.program, state, 9).values["w1.next"]
    return replace(message, output=tensor_digest("w1.next", made))


@pytest.mark.parametrize("defends", [True, False])
@pytest.mark.parametrize(
    "alter",
    [
        lambda message: message,
        with_own_output,
        lambda message: replace(message, index=0),
        lambda message: replace(message, index=99),
        lambda message: replace(message, size=message.size - 1),
    ],
    ids=["right", "own", "another", "none", "size"],
)
def test_nobody_makes_up_the_operator_that_made_a_wrong_state(
    alter: Callable[[Message], Message], defends: bool
) -> None:
    right, fabricator = honest(SOLVER), fabricated(alter)
    parties = (fabricator, right) if defends else (right, fabricator)
    assert disputed(*parties).faults == {fabricator.public_key: Reason.BAD_PROOF}


def test_whoever_names_another_operator_for_what_was_made_is_guilty_too() -> None:
    sloppy = Forger(
        party=honest(SOLVER), kind=Kind.MADE, alter=lambda message: replace(message, index=0)
    )
    outcome = disputed(sloppy, fabricated(lambda message: message))
    assert outcome.faults == dict.fromkeys((SOLVER.public_key, RIVAL.public_key), Reason.BAD_PROOF)


def test_a_run_that_starts_elsewhere_has_no_first_step_to_open() -> None:
    start = TASK.program.initial_state()
    moved = {**start, "w1": shoved(start["w1"])}
    steps, state = [], moved
    for step in range(TASK.program.n_steps):
        made = TASK.program.step(state, step)
        steps.append(made)
        state = made.state

    class Elsewhere(Executor):
        def answer(self, question: Question) -> Reply:
            if question.kind is not Kind.STEP:
                return super().answer(question)
            told = read_message(StepOpening, super().answer(question).message).message
            before = tuple(tensor_digests(moved).values())
            return Reply(message=self.sign_answer(replace(told, before=before)), took_us=0)

    for kind in (Executor, Elsewhere):
        cheat = kind(TASK, Recorded(steps=tuple(steps)), RIVAL)
        outcome = disputed(cheat, honest(SOLVER))
        assert outcome.faults[cheat.public_key] in {Reason.BAD_PROOF, Reason.WRONG_OUTPUT}
        assert outcome.step == 1


def test_every_kind_of_question_has_its_kind_of_answer() -> None:
    assert set(ANSWERS) == set(Kind)
    assert ANSWERS[Kind.CHECKPOINT] is BisectMove


@settings(derandomize=True, deadline=None, max_examples=200, database=None)
@given(data=st.data(), kind=st.sampled_from([Kind.STEP, Kind.OPERATOR]))
def test_a_damaged_opening_is_refused_or_reads_as_the_one_message_of_its_bytes(
    data: st.DataObject, kind: Kind
) -> None:
    question = Question(dispute_id=LIE, round=3, kind=kind, step=10, operator=12, size=13)
    wire = bytearray(honest(SOLVER).answer(question).message)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(wire)))
        wire[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    try:
        read = read_message(ANSWERS[kind], bytes(wire))
    except MalformedMessageError:
        return
    assert read.to_bytes() == wire


def test_every_guilty_party_has_its_own_signed_verdict() -> None:
    one = executor(SOLVER, sabotage(9, "w1_update"))
    other = executor(RIVAL, sabotage(9, "w1_update", shoved))
    outcome = disputed(one, other)
    verdicts = outcome.verdicts(REFEREE)
    assert all(is_genuine(verdict) for verdict in verdicts)
    named = {verdict.message.guilty_public_key: verdict.message.reason for verdict in verdicts}
    assert named == outcome.faults == dict.fromkeys(outcome.guilty, Reason.WRONG_OUTPUT)
    assert len(verdicts) == 2

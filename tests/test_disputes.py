"""Disputes: who deviates is found, who is honest wins, and it takes as long as it should."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import ceil, log2

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hanse.verification.arithmetic import Tensor
from hanse.verification.court import Pace
from hanse.verification.dispute import contest, resolve
from hanse.verification.keys import Signer
from hanse.verification.messages import Reason, read_message
from hanse.verification.parties import (
    Equivocator,
    Executor,
    Front,
    Idle,
    Recorded,
    Saboteur,
    Speed,
    Staller,
    Withholder,
    nudged,
)
from hanse.verification.program import Program, Step
from hanse.verification.programs import diffusion, inference
from hanse.verification.questions import Kind, Party, Question, Reply, StepOpening
from hanse.verification.referee import Referee
from hanse.verification.tensors import state_digest, tensor_digest, tensor_digests
from hanse.verification.trace import Replay, Task, Trace
from hanse.verification.verdicts import DisputeOutcome
from tests.disputants import (
    HONEST,
    OTHER,
    RIVAL,
    SECOND_US,
    SOLVER,
    TASK,
    Wild,
    executor,
    honest,
    pace_of,
    sabotage,
    task_of,
    tiny_program,
)

OPERATORS = [operator.name for operator in TASK.program.operators]
STEPS = range(TASK.program.n_steps)
CROWD = (RIVAL, OTHER, Signer(6, 1), Signer(6, 2))
ACTIONS = ("truth", "silence", "garbage", "flip", "late", "forge", "lie")

repeatable = settings(derandomize=True, deadline=None, max_examples=60, database=None)


def shoved(output: Tensor) -> Tensor:
    """Alter an output by so much that hardly any rounding absorbs it."""
    altered = np.array(output)
    altered.flat[:] += 1 << (26 if altered.dtype.itemsize == 8 else 12)
    return altered


def disputed(*parties: Party, pace: Pace | None = None, task: Task = TASK) -> DisputeOutcome:
    defender, challenger = parties
    return contest(task, (defender, challenger), pace or pace_of(*parties))


@repeatable
@given(
    step=st.sampled_from(STEPS),
    operator=st.sampled_from(OPERATORS),
    change=st.sampled_from([nudged, shoved]),
    defends=st.booleans(),
)
def test_whoever_deviates_anywhere_is_found_at_that_operator(
    step: int, operator: str, change: Callable[[Tensor], Tensor], defends: bool
) -> None:
    right, cheat = honest(SOLVER), executor(RIVAL, sabotage(step, operator, change))
    if cheat.trace.tree.root == right.trace.tree.root:
        # Absorbed by rounding: then nothing that was handed in is wrong.
        assert state_digest(cheat.trace.states[-1]) == state_digest(right.trace.states[-1])
        assume(False)
    parties = (cheat, right) if defends else (right, cheat)
    outcome = disputed(*parties)
    assert outcome.faults == {cheat.public_key: Reason.WRONG_OUTPUT}
    assert (outcome.step, outcome.operator) == (step + 1, OPERATORS.index(operator))


@settings(repeatable, max_examples=150)
@given(
    script=st.lists(st.sampled_from(ACTIONS), max_size=14).map(tuple),
    noise=st.integers(0, 2**40),
    step=st.sampled_from(STEPS),
    operator=st.sampled_from(["w1_update", "w2_update", "output", "error"]),
    defends=st.booleans(),
)
def test_an_honest_party_never_loses_whatever_the_other_does(
    script: tuple[str, ...], noise: int, step: int, operator: str, defends: bool
) -> None:
    right = honest(SOLVER)
    cheat = executor(RIVAL, sabotage(step, operator, shoved))
    assume(cheat.trace.tree.root != right.trace.tree.root)
    wild = Wild(party=cheat, script=script, noise=noise)
    outcome = disputed(wild, right) if defends else disputed(right, wild)
    assert outcome.guilty == {wild.public_key}


@repeatable
@given(
    scripts=st.lists(
        st.tuples(
            st.lists(st.sampled_from(ACTIONS), max_size=8).map(tuple), st.sampled_from(STEPS)
        ),
        min_size=1,
        max_size=4,
    ),
    place=st.integers(0, 4),
)
def test_one_honest_challenger_among_many_is_enough(
    scripts: list[tuple[tuple[str, ...], int]], place: int
) -> None:
    right = honest(SOLVER)
    crowd: list[Party] = [
        Wild(party=executor(key, sabotage(step, "w1_update", shoved)), script=script)
        for key, (script, step) in zip(CROWD, scripts, strict=False)
    ]
    crowd.insert(min(place, len(crowd)), right)
    resolution = resolve(TASK, crowd, pace_of(*crowd))
    assert resolution.survivors == (right.public_key,)
    assert len(resolution.disputes) <= len(crowd) - 1


@pytest.mark.parametrize(
    ("n_steps", "interval", "operator"),
    [(16, 4, "w2_update"), (64, 8, "w2_update"), (32, 32, "hidden_sum"), (12, 1, "error")],
)
def test_bisection_takes_the_logarithm_of_each_phase(
    n_steps: int, interval: int, operator: str
) -> None:
    task = task_of(tiny_program(n_steps, interval))
    right = honest(SOLVER, task)
    bound = sum(ceil(log2(n)) for n in (n_steps // interval, interval, len(OPERATORS)))
    rounds = []
    for step in range(n_steps):
        cheat = executor(RIVAL, sabotage(step, operator, shoved), task)
        if cheat.trace.tree.root != right.trace.tree.root:
            outcome = disputed(right, cheat, task=task)
            assert outcome.step == step + 1
            rounds.append(outcome.n_rounds)
    # Of 13 operators some are found in three halvings and some in four; nothing else is uneven.
    n_halvings = {"w2_update": 4, "hidden_sum": 3, "error": 4}[operator]
    assert max(rounds) <= bound
    if n_steps != 12:
        assert set(rounds) == {ceil(log2(n_steps)) + n_halvings}


def test_a_dispute_lasts_as_long_as_its_questions() -> None:
    # 2 + 2 + 4 rounds, and 4 questions beside them: last links, step, operator, evidence.
    right = executor(SOLVER, HONEST, response_us=SECOND_US)
    cheat = executor(RIVAL, sabotage(9, "w2_update"), response_us=SECOND_US)
    outcome = disputed(cheat, right)
    assert outcome.n_rounds == 8
    assert outcome.elapsed_us == 12 * (158_000 + SECOND_US)
    assert outcome.clock_us[cheat.public_key] == 600 * SECOND_US - outcome.elapsed_us
    # Evidence is asked of the defender alone.
    assert outcome.n_messages == 2 * 12 - 1
    assert outcome.clock_us[right.public_key] == 600 * SECOND_US - 11 * (158_000 + SECOND_US)


def test_both_think_at_once_so_that_a_dispute_lasts_as_long_as_the_slower() -> None:
    right, cheat = honest(SOLVER), executor(RIVAL, sabotage(9, "w2_update"))
    trips = {right.public_key: 50_000, cheat.public_key: 158_000}
    outcome = disputed(cheat, right, pace=Pace(round_trip_us=trips, clock_us=600 * SECOND_US))
    assert outcome.elapsed_us == 12 * 158_000
    # The last question is put to the defender alone.
    outcome = disputed(right, cheat, pace=Pace(round_trip_us=trips, clock_us=600 * SECOND_US))
    assert outcome.elapsed_us == 11 * 158_000 + 50_000


def test_an_answer_in_the_last_microsecond_of_a_clock_is_in_time() -> None:
    right, cheat = honest(SOLVER), executor(RIVAL, sabotage(9, "w2_update"))
    pace = pace_of(cheat, right, clock_us=12 * 158_000)
    outcome = disputed(cheat, right, pace=pace)
    assert outcome.faults == {cheat.public_key: Reason.WRONG_OUTPUT}
    assert outcome.clock_us[cheat.public_key] == 0
    late = disputed(cheat, right, pace=replace(pace, clock_us=pace.clock_us - 1))
    assert late.faults == {cheat.public_key: Reason.TIMEOUT}
    # Whoever is late has used all of its time, and the dispute has lasted so long.
    assert late.clock_us[cheat.public_key] == 0
    assert late.elapsed_us == pace.clock_us - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder(Front[Executor]):
    """Answers as another does, and keeps what it was asked and what it sent."""

    rounds: list[int] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    def answer(self, question: Question) -> Reply | None:
        reply = self.party.answer(question)
        self.rounds.append(question.round)
        self.sent.append(reply.message)
        return reply


def test_no_two_questions_share_a_round_and_every_byte_is_counted() -> None:
    right, cheat = (
        Recorder(party=party) for party in (honest(SOLVER), executor(RIVAL, sabotage(9, "error")))
    )
    outcome = disputed(cheat, right)
    assert cheat.rounds == list(range(len(cheat.rounds)))
    assert right.rounds == cheat.rounds[:-1]
    assert outcome.n_bytes == sum(map(len, [*right.sent, *cheat.sent]))


def test_replaying_takes_its_time_too() -> None:
    slow = Executor(TASK, HONEST, SOLVER, speed=Speed(step_us=SECOND_US))
    cheat = executor(RIVAL, sabotage(9, "w2_update"))
    outcome = disputed(cheat, slow)
    used_us = 600 * SECOND_US - outcome.clock_us[slow.public_key]
    assert used_us == 11 * 158_000 + outcome.replayed_steps[slow.public_key] * SECOND_US
    assert outcome.replayed_steps[slow.public_key] > 0


@pytest.mark.parametrize("step", STEPS)
def test_nobody_replays_more_than_one_segment(step: int) -> None:
    right, cheat = honest(SOLVER), executor(RIVAL, sabotage(step, "w1_update"))
    outcome = disputed(right, cheat)
    interval = TASK.program.checkpoint_interval
    assert max(outcome.replayed_steps.values()) <= interval


@pytest.mark.parametrize("wanted", range(1, 33))
def test_a_replay_keeps_two_states_at_most(wanted: int) -> None:
    task = task_of(tiny_program(64, 32))
    replay = Replay(honest(SOLVER, task).trace, HONEST, 1)
    low, high = 32, 64
    while high - low > 1:
        middle = (low + high) // 2
        replay.place(middle)
        assert len(replay._places) <= 2
        low, high = (middle, high) if middle < 32 + wanted else (low, middle)
    replay.explain(high)
    assert high == 32 + wanted
    assert replay.n_replayed <= 32


def healing(steps: tuple[int, ...]) -> Recorded:
    """Run honestly, but for wrong states after some steps, from which the next step recovers."""
    program = TASK.program
    state, made = program.initial_state(), []
    for step in STEPS:
        right = program.step(state, step)
        state = right.state
        if step not in steps:
            made.append(right)
            continue
        w1 = nudged(right.state["w1"])
        made.append(Step(state={**right.state, "w1": w1}, values={**right.values, "w1.next": w1}))
    return Recorded(steps=tuple(made))


def bisect_states(one: Trace, other: Trace) -> int | None:
    """Do what the chain is there to avoid: bisect over states, as if they could not heal."""
    differ = [
        state_digest(mine) != state_digest(theirs)
        for mine, theirs in zip(one.states, other.states, strict=True)
    ]
    if not differ[-1]:
        return None
    low, high = 0, len(differ) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if differ[middle] else (middle, high)
    return high


def test_a_deviation_that_heals_is_found_on_the_chain_and_lost_without_it() -> None:
    right = honest(SOLVER)
    healed = Executor(TASK, healing((3,)), RIVAL)
    # States agree at the end, so that bisection over states finds nothing to dispute.
    assert bisect_states(healed.trace, right.trace) is None
    outcome = disputed(healed, right)
    assert outcome.faults == {healed.public_key: Reason.WRONG_OUTPUT}
    assert outcome.step == 4


def test_of_two_deviations_the_chain_shows_the_first() -> None:
    right = honest(SOLVER)
    # Wrong after step 4, right again from step 5 on, wrong at the end.
    twice = Executor(TASK, healing((3, 15)), RIVAL)
    assert bisect_states(twice.trace, right.trace) == 4
    outcome = disputed(twice, right)
    assert outcome.faults == {twice.public_key: Reason.WRONG_OUTPUT}
    # Checkpoint number 4 is state 16: states alone blame the last segment.
    assert outcome.step == 4


def test_a_lossy_digest_would_blame_the_next_operator() -> None:
    # 2^32 more in an accumulator of 64 bits is nothing in 32 bits, and 2^(32 - 18) in a weight.
    def overflow(output: Tensor) -> Tensor:
        altered = np.array(output)
        altered.flat[0] += 1 << 32
        return altered

    right = honest(SOLVER)
    cheat = executor(RIVAL, sabotage(6, "w1_gradient", overflow))
    state = right.trace.states[1]
    for step in (4, 5):
        state = TASK.program.step(state, step).state
    lossy = [
        {
            name: np.asarray(value).astype(np.int32).tobytes()
            for name, value in conduct.explain(TASK.program, state, 6).values.items()
        }
        for conduct in (HONEST, cheat.conduct)
    ]
    blamed = next(
        operator.name
        for operator in TASK.program.operators
        if lossy[0][operator.output] != lossy[1][operator.output]
    )
    assert blamed == "w1_update"
    outcome = disputed(cheat, right)
    assert outcome.operator == OPERATORS.index("w1_gradient")
    assert outcome.faults == {cheat.public_key: Reason.WRONG_OUTPUT}


def test_silence_in_a_move_is_a_timeout_and_silence_about_a_commitment_unavailability() -> None:
    right = honest(SOLVER)
    cheat = executor(RIVAL, sabotage(9, "w1_update"))
    for kind, reason in [
        (Kind.CHECKPOINT, Reason.TIMEOUT),
        (Kind.STATE, Reason.TIMEOUT),
        (Kind.PREFIX, Reason.TIMEOUT),
        (Kind.STEP, Reason.UNAVAILABLE),
        (Kind.OPERATOR, Reason.UNAVAILABLE),
        (Kind.EVIDENCE, Reason.UNAVAILABLE),
    ]:
        silent = Withholder(party=cheat, kinds=frozenset({kind}))
        assert disputed(silent, right).faults == {cheat.public_key: reason}


def test_a_clock_is_for_the_whole_dispute_and_not_for_a_move() -> None:
    right = honest(SOLVER)
    cheat = executor(RIVAL, sabotage(9, "w1_update"))
    # Each answer takes 50 s: the clock of 600 s is out in the twelfth, and that is too late for it.
    for delay_s, reason in [(49, Reason.WRONG_OUTPUT), (50, Reason.TIMEOUT)]:
        staller = Staller(party=cheat, delay_us=delay_s * SECOND_US)
        assert disputed(staller, right).faults == {cheat.public_key: reason}


def test_two_receipts_under_one_sequence_convict_before_anything_is_asked() -> None:
    right = honest(SOLVER)
    twofaced = Equivocator(party=honest(RIVAL), other_root=bytes(32))
    outcome = disputed(twofaced, right)
    assert outcome.faults == {twofaced.public_key: Reason.EQUIVOCATION}
    assert outcome.n_messages == 0


def test_a_challenge_of_the_same_result_is_no_challenge() -> None:
    right, echo = honest(SOLVER), honest(RIVAL)
    assert disputed(right, echo).faults == {echo.public_key: Reason.BAD_PROOF}
    assert resolve(TASK, [right, echo], pace_of(right, echo)).disputes == ()


def test_where_both_are_wrong_both_are_guilty() -> None:
    one = executor(SOLVER, sabotage(9, "w1_update", nudged))
    other = executor(RIVAL, sabotage(9, "w1_update", shoved))
    outcome = disputed(one, other)
    assert outcome.faults == dict.fromkeys((one.public_key, other.public_key), Reason.WRONG_OUTPUT)


class Inventor:
    """Commits to a wrong run, and in disputes shows the operators of the right one."""

    def __init__(self, cheat: Executor, right: Executor) -> None:
        self.cheat, self.right = cheat, right
        self.public_key, self.receipts = cheat.public_key, cheat.receipts

    def answer(self, question: Question) -> Reply | None:
        if question.kind in {Kind.CHECKPOINT, Kind.STATE}:
            return self.cheat.answer(question)
        reply = self.right.answer(question)
        if question.kind is not Kind.STEP:
            return reply
        own = read_message(StepOpening, self.cheat.answer(question).message).message
        shown = read_message(StepOpening, reply.message).message
        opening = replace(own, operator_root=shown.operator_root)
        return replace(reply, message=self.cheat.sign_answer(opening))


def test_nobody_can_show_right_operators_for_a_wrong_state() -> None:
    right = honest(SOLVER)
    # The same key throughout, so that every answer is rightly signed.
    inventor = Inventor(executor(RIVAL, sabotage(9, "w1_update")), executor(RIVAL, HONEST))
    outcome = disputed(inventor, right)
    assert outcome.faults == {inventor.public_key: Reason.BAD_PROOF}
    assert (outcome.step, outcome.operator) == (10, None)


@pytest.mark.parametrize("segment", range(4))
def test_an_auditor_disputes_the_one_segment_it_executed(segment: int) -> None:
    cheat = executor(SOLVER, Idle(segments=frozenset({segment})))
    start, program = cheat.trace.states[segment], TASK.program
    first = segment * program.checkpoint_interval
    end = program.replay(start, first=first, last=first + program.checkpoint_interval)
    link = TASK.link(
        first + program.checkpoint_interval, cheat.trace.chain[segment], tensor_digests(end)
    )
    trace = Trace(
        task=TASK,
        chain=(*cheat.trace.chain[: segment + 1], link),
        states=(*cheat.trace.states[: segment + 1], end),
    )
    auditor = Executor(TASK, HONEST, RIVAL, trace=trace)
    outcome = contest(TASK, (cheat, auditor), pace_of(cheat, auditor), segment=segment)
    assert outcome.faults == {cheat.public_key: Reason.WRONG_OUTPUT}
    # The first idle step is the first wrong one; only steps and operators are bisected.
    assert outcome.step == first + 1
    assert outcome.n_rounds == 2 + 4


@pytest.mark.parametrize("segment", range(4))
def test_an_auditor_of_a_right_segment_loses_whatever_it_says_of_its_end(segment: int) -> None:
    right, liar = honest(SOLVER), executor(RIVAL, sabotage(4 * segment + 1, "w2_update", shoved))
    end = segment + 2
    for run, reason in ((right, Reason.BAD_PROOF), (liar, Reason.WRONG_OUTPUT)):
        known = replace(run.trace, chain=run.trace.chain[:end], states=run.trace.states[:end])
        auditor = Executor(TASK, run.conduct, RIVAL, trace=known)
        outcome = contest(TASK, (right, auditor), pace_of(right, auditor), segment=segment)
        assert outcome.faults == {auditor.public_key: reason}


@pytest.mark.parametrize(
    "program",
    [inference(n_steps=8, checkpoint_interval=4), diffusion(n_steps=8, checkpoint_interval=4)],
    ids=["inference", "diffusion"],
)
def test_other_programs_are_disputed_alike(program: Program) -> None:
    task = task_of(program)
    operators = task.program.operators
    right = honest(SOLVER, task)
    for index, operator in enumerate(operators):
        cheat = executor(RIVAL, Saboteur(alterations={(5, operator.name): nudged}), task)
        if cheat.trace.tree.root == right.trace.tree.root:
            continue
        outcome = disputed(cheat, right, task=task)
        assert outcome.faults == {cheat.public_key: Reason.WRONG_OUTPUT}
        assert (outcome.step, outcome.operator) == (6, index)


def test_the_referee_executes_one_operator_and_no_step() -> None:
    referee = Referee(task=TASK)
    step = TASK.program.step(TASK.program.initial_state(), 0)
    for index, operator in enumerate(TASK.program.operators):
        inputs = [step.values[name] for name in operator.inputs]
        assert referee.output_digest(index, inputs) == tensor_digest(
            operator.output, step.values[operator.output]
        )

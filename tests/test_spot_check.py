"""Audits of single segments: which are drawn, and that nothing else than the commitment passes."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from hanse.verification.arithmetic import Tensor
from hanse.verification.dispute import contest
from hanse.verification.framing import digest_of
from hanse.verification.messages import Reason
from hanse.verification.parties import Executor, Idle
from hanse.verification.spot_check import (
    Claim,
    Handover,
    Holder,
    Keeper,
    SpotCheck,
    check_segments,
    hand_over,
    is_committed,
    sampled_segments,
)
from hanse.verification.tensors import State, tensor_digests
from hanse.verification.trace import NO_LINK, Trace
from tests.disputants import HONEST, OTHER, RIVAL, SOLVER, TASK, executor, honest, pace_of
from tests.test_disputes import shoved

ROOT = honest(SOLVER).trace.tree.root
TRACE = honest(SOLVER).trace


@dataclass(slots=True, kw_only=True)
class Script:
    """Hands over, one request after the other, what it is told to; then nothing."""

    answers: list[Handover | None]

    def hand_over(self, segment: int) -> Handover | None:
        return self.answers.pop(0) if self.answers else None


def checked(holder: Holder, root: bytes, *segments: int) -> SpotCheck:
    return check_segments(holder, Claim(task=TASK, root=root), segments, key=RIVAL, conduct=HONEST)


@pytest.mark.parametrize("segment", range(4))
def test_only_what_was_committed_to_passes_for_a_handover(segment: int) -> None:
    trace = honest(SOLVER).trace
    handed = hand_over(trace, segment)
    assert is_committed(TASK, ROOT, segment, handed=handed)
    state = dict(handed.state)
    altered = [
        replace(handed, state={**state, "w1": shoved(state["w1"])}),
        replace(handed, state={"w1": state["w1"]}),
        replace(handed, start=bytes(32)),
        replace(handed, end=bytes(32)),
        replace(handed, start_proof=handed.end_proof),
        replace(handed, end_proof=handed.end_proof[:-1]),
    ]
    if segment:
        altered.append(replace(handed, previous=bytes(32)))
    assert not any(is_committed(TASK, ROOT, segment, handed=each) for each in altered)
    assert not is_committed(TASK, ROOT, (segment + 1) % 4, handed=handed)


@pytest.mark.parametrize("names", [("w1",), ("w1", "w2", "w3")])
def test_a_state_of_other_tensors_than_are_carried_is_no_handover(names: tuple[str, ...]) -> None:
    # It was committed to as it is, so that every link and proof holds.
    state = dict.fromkeys(names, TRACE.states[1]["w1"])
    link = TASK.link(4, TRACE.chain[0], tensor_digests(state))
    states = (TRACE.states[0], state, *TRACE.states[2:])
    trace = Trace(task=TASK, chain=(TRACE.chain[0], link, *TRACE.chain[2:]), states=states)
    handed = hand_over(trace, 1)
    assert not is_committed(TASK, trace.tree.root, 1, handed=handed)
    assert is_committed(TASK, trace.tree.root, 0, handed=hand_over(trace, 0))


def test_a_segment_that_is_not_under_the_root_of_the_receipt_is_withheld() -> None:
    other = executor(RIVAL, Idle(segments=frozenset({0})))
    found = checked(Keeper(trace=other.trace), ROOT, 2, 0)
    assert (found.withheld_segment, found.wrong_segment, found.auditor) == (2, None, None)
    assert (found.n_steps, found.n_bytes) == (0, 0)


def test_a_segment_of_which_nothing_is_handed_over_is_withheld() -> None:
    right = hand_over(TRACE, 1)
    found = checked(Script(answers=[right]), ROOT, 1, 3, 0)
    assert (found.withheld_segment, found.n_steps) == (3, 4)


@pytest.mark.parametrize("first", [None, replace(hand_over(TRACE, 1), end=bytes(32))])
def test_nobody_is_convicted_who_hands_over_before_the_referee(first: Handover | None) -> None:
    right = hand_over(TRACE, 1)
    found = checked(Script(answers=[first, right]), ROOT, 1)
    assert (found.withheld_segment, found.wrong_segment, found.n_steps) == (None, None, 4)
    assert found.n_bytes == right.n_bytes


def test_an_audit_ends_at_the_first_fault_and_goes_through_if_there_is_none() -> None:
    cheat = executor(SOLVER, Idle(segments=frozenset({1, 3})))
    root = cheat.trace.tree.root
    found = checked(Keeper(trace=cheat.trace), root, 0, 3, 1)
    assert (found.wrong_segment, found.n_steps) == (3, 8)
    assert found.auditor is not None
    passed = checked(Keeper(trace=cheat.trace), root, 2, 0)
    assert (passed.wrong_segment, passed.auditor, passed.n_steps) == (None, None, 8)
    # A segment is worked on rightly from a wrong start: only where it went wrong can it be seen.
    assert passed.chain_end == cheat.trace.chain[1]


def test_segments_are_drawn_without_replacement_and_evenly() -> None:
    drawn = [
        sampled_segments(digest_of(bytes([n, m]), person=b"draw"), 5, 3)
        for n in range(256)
        for m in range(8)
    ]
    assert all(len(set(each)) == 3 for each in drawn)
    counts = [sum(segment in each for each in drawn) for segment in range(5)]
    # 2048 draws, 3 of 5: 1228.8 each, standard deviation 22.2.
    assert all(abs(count - 1228.8) < 3.5 * 22.2 for count in counts)
    assert set(sampled_segments(bytes(32), 4, 4)) == {0, 1, 2, 3}


def test_every_order_of_segments_is_drawn_as_often() -> None:
    drawn = Counter(
        sampled_segments(digest_of(bytes([n, m]), person=b"draw"), 4, 4)
        for n in range(256)
        for m in range(8)
    )
    # 2048 draws of 24 orders: 85.3 each, standard deviation sqrt(2048 x 1/24 x 23/24) = 9.0.
    assert len(drawn) == 24
    assert all(abs(count - 85.3) < 4 * 9.0 for count in drawn.values())


def test_an_auditor_receives_tensors_three_links_and_two_proofs() -> None:
    handed = [hand_over(TRACE, segment) for segment in (1, 3)]
    # w1 of 6 x 8 and w2 of 8 x 2 in 4 bytes, each behind a name, a type and two dims of 8 bytes;
    # of five leaves the last has a proof of one hash, the others of three.
    tensors = (48 + 16) * 4 + 2 * (2 + 2 + 2 + 1 + 2 * 8)
    assert [each.n_bytes for each in handed] == [tensors + n * 32 for n in (3 + 3 + 3, 3 + 3 + 1)]
    found = checked(Keeper(trace=TRACE), ROOT, 1, 3)
    assert found.n_bytes == sum(each.n_bytes for each in handed)


def begun_elsewhere() -> Executor:
    """Work rightly, from another start than the task's, and commit to all of it."""
    program, cheat = TASK.program, honest(SOLVER)
    state = dict(program.initial_state())
    state["w1"] = shoved(state["w1"])
    states: list[State] = [state]
    chain = [TASK.link(0, NO_LINK, tensor_digests(state))]
    for first in range(0, program.n_steps, program.checkpoint_interval):
        last = first + program.checkpoint_interval
        states.append(program.replay(states[-1], first=first, last=last))
        chain.append(TASK.link(last, chain[-1], tensor_digests(states[-1])))
    cheat.trace = Trace(task=TASK, chain=tuple(chain), states=tuple(states))
    return cheat


def test_a_run_from_another_start_is_wrong_in_its_first_segment() -> None:
    cheat = begun_elsewhere()
    holder, root = Keeper(trace=cheat.trace), cheat.trace.tree.root
    assert checked(holder, root, 3, 2, 1).wrong_segment is None
    found = checked(holder, root, 3, 0)
    assert (found.wrong_segment, found.withheld_segment, found.n_steps) == (0, None, 8)
    assert found.chain_end == TRACE.chain[1]
    assert found.auditor is not None
    parties = (cheat, found.auditor)
    outcome = contest(TASK, parties, pace_of(*parties), segment=0)
    assert outcome.faults == {cheat.public_key: Reason.BAD_PROOF}
    # Its first link says it: no step has to be opened for that.
    assert (outcome.step, outcome.n_rounds, outcome.n_messages) == (None, 0, 3)


def test_no_two_disputes_share_an_id_even_about_one_receipt() -> None:
    idle, other = (executor(SOLVER, Idle(segments=frozenset(at))) for at in ({1, 2}, {1, 3}))
    ids = set()
    for solver, key, segment in (
        (idle, RIVAL, 1),
        (idle, RIVAL, 2),
        (idle, OTHER, 1),
        (other, RIVAL, 1),
    ):
        claim = Claim(task=TASK, root=solver.trace.tree.root)
        holder = Keeper(trace=solver.trace)
        found = check_segments(holder, claim, (segment,), key=key, conduct=HONEST)
        assert found.auditor is not None
        parties = (solver, found.auditor)
        outcome = contest(TASK, parties, pace_of(*parties), segment=segment)
        assert outcome.faults == {solver.public_key: Reason.WRONG_OUTPUT}
        ids.add(outcome.dispute_id)
    # Signed answers of one dispute are of no use in another, nor two honest ones equivocation.
    assert len(ids) == 4


@pytest.mark.parametrize("segment", range(1, 4))
@pytest.mark.parametrize(
    "altered",
    [
        lambda weights: weights[:-1],
        lambda weights: weights[None],
        lambda weights: weights.astype(np.int64),
        # No product of such weights is exact.
        lambda weights: np.full_like(weights, np.iinfo(np.int32).max),
    ],
)
def test_a_state_from_which_the_program_cannot_go_on_is_as_good_as_none(
    altered: Callable[[Tensor], Tensor], segment: int
) -> None:
    cheat = honest(SOLVER)
    states = list(cheat.trace.states)
    states[segment] = {**states[segment], "w1": altered(states[segment]["w1"])}
    chain = [NO_LINK]
    for at, state in enumerate(states):
        chain.append(
            TASK.link(at * TASK.program.checkpoint_interval, chain[-1], tensor_digests(state))
        )
    trace = Trace(task=TASK, chain=tuple(chain[1:]), states=tuple(states))
    found = checked(Keeper(trace=trace), trace.tree.root, segment)
    assert (found.withheld_segment, found.wrong_segment, found.auditor) == (segment, None, None)
    before = checked(Keeper(trace=trace), trace.tree.root, segment - 1)
    assert before.wrong_segment == segment - 1

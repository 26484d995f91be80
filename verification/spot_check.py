"""The one place for checking single segments of a run: which, from what, and what was found."""

from dataclasses import dataclass, replace
from hashlib import sha512
from typing import Protocol

from hanse.verification.commitments import is_included, trace_leaf
from hanse.verification.keys import Signer
from hanse.verification.lottery import segment_of
from hanse.verification.parties import Executor
from hanse.verification.tensors import State, encode_tensor, tensor_digests
from hanse.verification.trace import NO_LINK, Conduct, Task, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What a solver hands to an auditor of one segment.

    Attributes
    ----------
    state : the carried tensors at its start.
    previous, start, end : links of the chain before the segment, at its start and at its end.
    start_proof, end_proof : of the last two, under the trace root.
    """

    state: State
    previous: bytes
    start: bytes
    end: bytes
    start_proof: tuple[bytes, ...]
    end_proof: tuple[bytes, ...]

    @property
    def n_bytes(self) -> int:
        """What travels: tensors, links and proofs."""
        n_hashes = 3 + len(self.start_proof) + len(self.end_proof)
        tensors = sum(len(encode_tensor(name, value)) for name, value in self.state.items())
        return tensors + n_hashes * len(self.start)


class Holder(Protocol):
    """Whoever has a trace to hand over pieces of."""

    def hand_over(self, segment: int) -> Handover | None:
        """Hand over what an auditor of a segment needs, or nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """The holder that hands over all that it has."""

    trace: Trace

    def hand_over(self, segment: int) -> Handover:
        return hand_over(self.trace, segment)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotCheck:
    """What an auditor found.

    Attributes
    ----------
    wrong_segment : the first, of those checked, whose end is not what it should be, or None.
    withheld_segment : that of which nothing was handed over that was committed to and that can be
        executed, or None; the audit ends there, and the solver is convicted as `UNAVAILABLE`
        without a dispute.
    auditor : the party that can dispute a wrong segment, or None.
    chain_end : where the last executed segment really ends; what the auditor seals.
    n_steps, n_bytes : steps executed, bytes received.
    """

    wrong_segment: int | None
    withheld_segment: int | None
    auditor: Executor | None
    chain_end: bytes
    n_steps: int
    n_bytes: int


def sampled_segments(drawn: bytes, n_segments: int, n_sampled: int) -> tuple[int, ...]:
    """Return distinct segments, chosen by the bytes of a lottery's output, or of any digest.

    The first is that of `segment_of`; each further one comes from a hash of the bytes before.
    """
    left = list(range(n_segments))
    chosen = []
    for _ in range(n_sampled):
        chosen.append(left.pop(segment_of(drawn, len(left))))
        drawn = sha512(drawn).digest()
    return tuple(chosen)


def hand_over(trace: Trace, segment: int) -> Handover:
    """Return what an auditor of a segment needs."""
    return Handover(
        state=trace.states[segment],
        previous=trace.chain[segment - 1] if segment else NO_LINK,
        start=trace.chain[segment],
        end=trace.chain[segment + 1],
        start_proof=trace.tree.inclusion_proof(segment),
        end_proof=trace.tree.inclusion_proof(segment + 1),
    )


def is_committed(task: Task, root: bytes, segment: int, *, handed: Handover) -> bool:
    """Say whether a handover is what the solver committed to, state and all."""
    interval, size = task.program.checkpoint_interval, task.n_segments + 1
    if set(handed.state) != set(task.program.carried):
        return False
    link = task.link(segment * interval, handed.previous, tensor_digests(handed.state))
    ends = (
        (segment, handed.start, handed.start_proof),
        (segment + 1, handed.end, handed.end_proof),
    )
    return link == handed.start and all(
        is_included(trace_leaf(at * interval, link), at, size, proof=proof, root=root)
        for at, link, proof in ends
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A task, and the trace root that a receipt claims for it."""

    task: Task
    root: bytes


def check_segments(
    solver: Holder, claim: Claim, segments: tuple[int, ...], *, key: Signer, conduct: Conduct
) -> SpotCheck:
    """Execute segments again until one is wrong, from the states that the solver hands over.

    The first segment is executed from where the task begins, whatever was committed to.

    A solver that hands over nothing, or anything but what it committed to, is asked once more in
    front of the referee, who hands on what it gets: nobody is convicted on an auditor's word alone.
    A state from which the program cannot go on is as good as nothing, too: no run came from there.
    """
    task = claim.task
    interval = task.program.checkpoint_interval
    n_steps = n_bytes = 0
    end, wrong, withheld, auditor = NO_LINK, None, None, None
    begin = task.program.initial_state()
    for segment in segments:
        handed = _received(solver, claim, segment) or _received(solver, claim, segment)
        if handed is None:
            withheld = segment
            break
        n_bytes += handed.n_bytes
        if segment == 0:
            handed = replace(
                handed, state=begin, start=task.link(0, NO_LINK, tensor_digests(begin))
            )
        n_steps += interval
        is_formed = _forms(handed.state) == _forms(begin)
        state = _end_of(task, segment, handed.state, conduct=conduct) if is_formed else None
        if state is None:
            withheld = segment
            break
        end = task.link((segment + 1) * interval, handed.start, tensor_digests(state))
        if end != handed.end:
            trace = _segment_trace(task, segment, handed, last=(state, end))
            wrong, auditor = segment, Executor(task, conduct, key, trace=trace)
            break
    return SpotCheck(
        wrong_segment=wrong,
        withheld_segment=withheld,
        auditor=auditor,
        chain_end=end,
        n_steps=n_steps,
        n_bytes=n_bytes,
    )


def _received(solver: Holder, claim: Claim, segment: int) -> Handover | None:
    """Ask for a segment; what was not committed to is as good as nothing."""
    handed = solver.hand_over(segment)
    if handed and is_committed(claim.task, claim.root, segment, handed=handed):
        return handed
    return None


def _forms(state: State) -> dict[str, tuple[tuple[int, ...], object]]:
    return {name: (one.shape, one.dtype) for name, one in state.items()}


def _end_of(task: Task, segment: int, state: State, *, conduct: Conduct) -> State | None:
    """Execute a segment; None from a state of which the program cannot make another."""
    interval = task.program.checkpoint_interval
    try:
        for step in range(segment * interval, (segment + 1) * interval):
            state = conduct.advance(task.program, state, step)
    except ArithmeticError:
        return None
    return state


def _segment_trace(
    task: Task, segment: int, handed: Handover, *, last: tuple[State, bytes]
) -> Trace:
    """Return the trace of one segment alone; nothing is known of what went before."""
    state, end = last
    unknown = [NO_LINK] * max(0, segment - 1)
    before = [handed.previous] if segment else []
    return Trace(
        task=task,
        chain=(*unknown, *before, handed.start, end),
        states=(*[{}] * segment, handed.state, state),
    )

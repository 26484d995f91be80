"""The one place for what a solver commits to while it works, and how a piece of it is replayed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

from hanse.verification.commitments import (
    MerkleTree,
    chain_next,
    chain_start,
    state_leaf,
    trace_leaf,
    tree_over,
)
from hanse.verification.framing import DIGEST_BYTES
from hanse.verification.program import Program, Step
from hanse.verification.tensors import State, state_digest, tensor_digests

NO_BATCH: Final = bytes(DIGEST_BYTES)
NO_LINK: Final = bytes(DIGEST_BYTES)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One program to be run once, under the 32 bytes by which everybody knows it."""

    task_id: bytes
    program: Program

    @cached_property
    def program_digest(self) -> bytes:
        return self.program.program_digest()

    @property
    def n_segments(self) -> int:
        """Number of stretches from one committed state to the next."""
        return self.program.n_steps // self.program.checkpoint_interval

    def batch_digest(self, index: int) -> bytes:
        """Return the digest of what the step into state `index` read; zeros for the first."""
        return state_digest(self.program.batch(index - 1)) if index else NO_BATCH

    def link(
        self,
        index: int,
        previous: bytes,
        digests: Mapping[str, bytes],
        *,
        batch_digest: bytes | None = None,
    ) -> bytes:
        """Return the link of a chain that ends in state `index`; state 0 has none before it.

        `batch_digest` is for who has it at hand; otherwise it is made from the program.
        """
        batch = self.batch_digest(index) if batch_digest is None else batch_digest
        leaf = state_leaf(self.task_id, index, tensor_digests=digests, batch_digest=batch)
        if index == 0:
            return chain_start(self.task_id, self.program_digest, leaf)
        return chain_next(previous, leaf)


class Conduct(Protocol):
    """How a party computes: as the program says, or otherwise.

    Step number i leads from state i to state i + 1.
    """

    def advance(self, program: Program, state: State, step: int) -> State:
        """Return the state that the party says follows."""
        ...

    def explain(self, program: Program, state: State, step: int) -> Step:
        """Return all tensors of a step that ends in what `advance` returned."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What a solver keeps of a run: links and states at its checkpoints.

    The chain runs over checkpoints. Each link contains all earlier ones, so that two chains that
    have parted never meet again, even where their states do.

    Attributes
    ----------
    chain : n_segments + 1 links, 32 bytes each.
    states : the carried tensors at the same instants.
    """

    task: Task
    chain: tuple[bytes, ...]
    states: tuple[State, ...]

    @cached_property
    def tree(self) -> MerkleTree:
        """The RFC 6962 tree whose root goes into the receipt."""
        interval = self.task.program.checkpoint_interval
        return tree_over([trace_leaf(at * interval, link) for at, link in enumerate(self.chain)])


def run(task: Task, conduct: Conduct) -> Trace:
    """Execute a task, or pretend to, and commit to its checkpoints alone.

    States between checkpoints are hashed in a dispute about their segment, and never else: to hash
    every state would cost as much as a step of a small network.
    """
    program = task.program
    state = program.initial_state()
    states = [state]
    chain = [task.link(0, NO_LINK, tensor_digests(state))]
    for step in range(program.n_steps):
        state = conduct.advance(program, state, step)
        if (step + 1) % program.checkpoint_interval == 0:
            states.append(state)
            chain.append(task.link(step + 1, chain[-1], tensor_digests(state)))
    return Trace(task=task, chain=tuple(chain), states=tuple(states))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A state within a segment, reached by replay, with the two last links of the segment's chain.

    The chain of a segment starts from the link of its first state, and takes in every state.
    """

    index: int
    state: State
    link: bytes
    previous: bytes


class Replay:
    """One segment, replayed for a dispute: never more steps in all than the segment has.

    Bisection asks for states in an order in which each lies between the last that was agreed and
    the first that is not, so that the two places nearest to that gap are all that is kept.
    """

    __slots__ = ("_conduct", "_places", "_trace", "n_replayed", "segment")

    def __init__(self, trace: Trace, conduct: Conduct, segment: int) -> None:
        self._trace, self._conduct, self.segment = trace, conduct, segment
        self._places = [self._first()]
        self.n_replayed = 0

    def place(self, index: int) -> Place:
        """Return a state of the segment, replayed from the nearest that is kept before it."""
        task = self._trace.task
        before = [place for place in self._places if place.index <= index] or [self._first()]
        place = before[-1]
        while place.index < index:
            after = self._conduct.advance(task.program, place.state, place.index)
            link = task.link(place.index + 1, place.link, tensor_digests(after))
            place = Place(index=place.index + 1, state=after, link=link, previous=place.link)
            self.n_replayed += 1
        self._places = [before[-1], place] if place is not before[-1] else [place]
        return place

    def explain(self, index: int) -> tuple[Place, Step]:
        """Return the state before state `index`, and all tensors of the step that leads to it."""
        place = self.place(index - 1)
        self.n_replayed += 1
        return place, self._conduct.explain(self._trace.task.program, place.state, place.index)

    def _first(self) -> Place:
        trace, segment = self._trace, self.segment
        return Place(
            index=segment * trace.task.program.checkpoint_interval,
            state=trace.states[segment],
            link=trace.chain[segment],
            previous=trace.chain[segment - 1] if segment else NO_LINK,
        )

"""The one place for what a referee checks: openings against what was agreed, and one operator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from hanse.verification.arithmetic import Tensor
from hanse.verification.commitments import (
    is_consistent,
    is_included,
    operator_leaf,
    trace_leaf,
)
from hanse.verification.messages import TENSOR_BYTES_MAX, BisectMove, Evidence
from hanse.verification.program import NEXT, Operator
from hanse.verification.questions import OperatorOpening, StepOpening
from hanse.verification.tensors import (
    MalformedTensorError,
    decode_tensor,
    tensor_digest,
    tensor_digests,
)
from hanse.verification.trace import NO_LINK, Task

FAILED: Final = b""
"""Digest of no output: the operator has none for these inputs."""


@dataclass(frozen=True, kw_only=True)
class Referee:
    """Knows the task as everybody does, and executes nothing but one operator.

    It caches what follows from the task alone, hence no slots.
    """

    task: Task
    batch_digests: dict[int, bytes] = field(default_factory=dict, repr=False)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the carried tensors, in the order in which openings list their digests."""
        return tuple(sorted(self.task.program.carried))

    @cached_property
    def makers(self) -> Mapping[str, int]:
        """Index of the operator that makes a tensor, by name."""
        operators = self.task.program.operators
        return {operator.output: index for index, operator in enumerate(operators)}

    @cached_property
    def initial_digests(self) -> tuple[bytes, ...]:
        digests = tensor_digests(self.task.program.initial_state())
        return tuple(digests[name] for name in self.names)

    @cached_property
    def start(self) -> bytes:
        """First link of every right chain."""
        return self._link(0, NO_LINK, self.initial_digests)

    def accepts_checkpoint(self, move: BisectMove, root: bytes) -> bool:
        """Say whether a link is what the trace root commits to at a checkpoint."""
        at, rest = divmod(move.index, self.task.program.checkpoint_interval)
        leaf, size = trace_leaf(move.index, move.chain), self.task.n_segments + 1
        return rest == 0 and is_included(leaf, at, size, proof=move.inclusion_proof, root=root)

    def accepts_before(self, opening: StepOpening, agreed: bytes) -> bool:
        """Say whether an opened step starts in the state whose link is agreed."""
        if len(opening.before) != len(self.names):
            return False
        index = opening.step - 1
        if index == 0:
            return opening.before == self.initial_digests
        return self._link(index, opening.previous, opening.before) == agreed

    def accepts_after(self, opening: StepOpening, link: bytes, claimed: bytes) -> bool:
        """Say whether an opened step ends in the claimed link, which follows upon another.

        Tensors that no operator makes must be handed on as they were.
        """
        if len(opening.after) != len(self.names):
            return False
        pairs = zip(self.names, opening.before, opening.after, strict=True)
        if any(name + NEXT not in self.makers and was != now for name, was, now in pairs):
            return False
        return self._link(opening.step, link, opening.after) == claimed

    def accepts_operator(self, opening: OperatorOpening, root: bytes) -> bool:
        """Say whether an operator of the program, so opened, is under a root."""
        operator = self.task.program.operators[opening.index]
        if len(opening.inputs) != len(operator.inputs):
            return False
        leaf = operator_leaf(
            opening.index,
            operator.operator_id(),
            operator.version,
            input_digests=opening.inputs,
            output_digest=opening.output,
        )
        proof = opening.inclusion_proof
        return is_included(leaf, opening.index, opening.size, proof=proof, root=root)

    def accepts_continuation(self, opening: OperatorOpening, agreed: bytes, root: bytes) -> bool:
        """Say whether the tree that ends in an operator continues the agreed one before it."""
        if opening.index == 0:
            return not opening.consistency_proof
        proof = opening.consistency_proof
        return is_consistent(opening.index, opening.size, old_root=agreed, root=root, proof=proof)

    def first_made_otherwise(self, one: StepOpening, other: StepOpening) -> str:
        """Name the first carried tensor on which two openings of a step differ."""
        differ = zip(self.names, one.after, other.after, strict=True)
        return next(name for name, mine, theirs in differ if mine != theirs)

    def given_digest(self, name: str, opening: StepOpening) -> bytes:
        """Return the digest of an input that no operator makes: of the state, or of the batch."""
        if name in self.names:
            return opening.before[self.names.index(name)]
        return tensor_digest(name, self.task.program.batch(opening.step - 1)[name])

    def read_inputs(self, evidence: Evidence, agreed: Sequence[bytes]) -> list[Tensor] | None:
        """Return the tensors that were handed in if they are those agreed upon, or else None."""
        return read_tensors(evidence, self.operator(evidence.index).inputs, agreed)

    def is_made(self, name: str, evidence: Evidence, *, made: bytes, after: StepOpening) -> bool:
        """Say whether one tensor is both what an operator made and what the state then holds."""
        tensors = read_tensors(evidence, (name + NEXT,), (made,))
        if tensors is None:
            return False
        return tensor_digest(name, tensors[0]) == after.after[self.names.index(name)]

    def output_digest(self, index: int, inputs: Sequence[Tensor]) -> bytes:
        """Execute one operator and return the digest of its output; `FAILED` where it has none."""
        operator = self.operator(index)
        try:
            output = self.task.program.apply(operator, inputs)
        except (ArithmeticError, TypeError, ValueError):
            return FAILED
        return tensor_digest(operator.output, output)

    def operator(self, index: int) -> Operator:
        """Return operator number `index` of the program."""
        return self.task.program.operators[index]

    def _link(self, index: int, previous: bytes, digests: Sequence[bytes]) -> bytes:
        if index not in self.batch_digests:
            self.batch_digests[index] = self.task.batch_digest(index)
        named = dict(zip(self.names, digests, strict=True))
        return self.task.link(index, previous, named, batch_digest=self.batch_digests[index])


def read_tensors(
    evidence: Evidence, names: Sequence[str], digests: Sequence[bytes]
) -> list[Tensor] | None:
    """Return the tensors of evidence if their names and digests are these, or else None."""
    if len(evidence.inputs) != len(names):
        return None
    tensors = []
    for name, message, digest in zip(names, evidence.inputs, digests, strict=True):
        try:
            named, tensor = decode_tensor(message, max_bytes=TENSOR_BYTES_MAX)
        except MalformedTensorError:
            return None
        if named != name or tensor_digest(named, tensor) != digest:
            return None
        tensors.append(tensor)
    return tensors

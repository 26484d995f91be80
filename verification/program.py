"""The one place for what a program is: a graph of operators, repeated, that anybody can replay."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np

from hanse.verification.arithmetic import Mode, Tensor
from hanse.verification.operators import KINDS, Kind
from hanse.verification.receipts import big_endian, canonical_bytes, digest_of
from hanse.verification.tensors import State

NEXT: Final = ".next"
"""An operator whose output is `w.next` makes the `w` that the step hands on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One named operation of a step.

    Attributes
    ----------
    name : unique in its program.
    kind, version : what it computes, a key of `operators.KINDS`.
    inputs : names of tensors: carried, of the batch, or outputs of operators before.
    output : the name of what it makes.
    attributes : integers by name, in the order of its kind.
    """

    name: str
    kind: str
    version: int
    inputs: tuple[str, ...]
    output: str
    attributes: tuple[tuple[str, int], ...] = ()

    def operator_id(self) -> bytes:
        """Return a digest of all that defines this operator, 32 bytes."""
        framed = canonical_bytes(
            b"operator",
            self.name.encode(),
            self.kind.encode(),
            big_endian("version", self.version),
            canonical_bytes(b"inputs", *(name.encode() for name in self.inputs)),
            self.output.encode(),
            _framed_integers(self.attributes),
        )
        return digest_of(framed, person=b"hanse.graph.v1")


Interference: TypeAlias = Callable[[Operator, Tensor], Tensor]
"""What a party makes of the output of an operator; the honest hand it on."""


class Source(Protocol):
    """Where the tensors of a program come from that no operator makes; integers throughout."""

    def initial_state(self, seed: int) -> State:
        """Return the carried tensors before the first step."""

    def batch(self, seed: int, step: int) -> State:
        """Return what a step takes in beside them; the same names in each step, perhaps none."""

    def parameters(self) -> tuple[tuple[str, int], ...]:
        """Return sizes and hyper-parameters that the operators do not show."""

    def data_root(self) -> bytes:
        """Return a digest of the data that batches are made from, 32 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step, done: `state` after it, and `values`, all of its tensors by name."""

    state: State
    values: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A step of named operators, done `n_steps` times on a state that it hands on.

    Step i, from 0 to n_steps - 1, leads from state i to state i + 1. It follows from state i, i and
    the program alone, so that it can be replayed from any checkpoint.

    Attributes
    ----------
    operators : of one step, in an order in which each finds its inputs.
    n_steps : a multiple of `checkpoint_interval`, so that the last state is a checkpoint.
    carried : names of the tensors that a step hands on. One for which no operator makes `.next` is
        handed on as it is.
    """

    name: str
    mode: Mode
    operators: tuple[Operator, ...]
    n_steps: int
    checkpoint_interval: int
    seed: int
    carried: tuple[str, ...]
    source: Source

    def __post_init__(self) -> None:
        if self.checkpoint_interval < 1:
            raise ValueError(f"checkpoint_interval must be >= 1, got {self.checkpoint_interval}")
        if self.n_steps < 1 or self.n_steps % self.checkpoint_interval:
            raise ValueError(
                f"n_steps must be a multiple of {self.checkpoint_interval}, got {self.n_steps}"
            )
        if not 0 <= self.seed < 1 << 64:
            raise ValueError(f"seed must be from 0 to 2^64 - 1, got {self.seed}")
        self._require_graph()

    def initial_state(self) -> State:
        """Return state 0, carried as the mode carries numbers."""
        return _in_mode(self.source.initial_state(self.seed), self.mode)

    def batch(self, step: int) -> State:
        """Return the inputs of a step; raise ValueError if there is no such step."""
        if not 0 <= step < self.n_steps:
            raise ValueError(f"step must be from 0 to {self.n_steps - 1}, got {step}")
        return _in_mode(self.source.batch(self.seed, step), self.mode)

    def program_digest(self) -> bytes:
        """Return a digest of all that decides what the program computes, 32 bytes."""
        framed = canonical_bytes(
            b"program_graph",
            self.name.encode(),
            self.mode.encode(),
            big_endian("n_steps", self.n_steps),
            big_endian("checkpoint_interval", self.checkpoint_interval),
            big_endian("seed", self.seed),
            canonical_bytes(b"carried", *(name.encode() for name in self.carried)),
            canonical_bytes(b"operators", *(each.operator_id() for each in self.operators)),
            _framed_integers(self.source.parameters()),
            _framed_shapes(self.initial_state()),
            _framed_shapes(self.batch(0)),
            self.source.data_root(),
        )
        return digest_of(framed, person=b"hanse.program.v1")

    def apply(self, operator: Operator, inputs: Sequence[Tensor]) -> Tensor:
        """Compute one operator from its inputs: all that a referee ever does.

        Raises
        ------
        OutOfRangeError
            If the result leaves the range in which it is exact.
        ValueError
            If there is no such kind, or the inputs are not those it takes, or do not fit.
        TypeError
            If their elements are of another type than the kind takes.
        """
        kind = _kind_of(operator)
        if len(inputs) != kind.n_inputs:
            raise ValueError(f"{operator.name} takes {kind.n_inputs} inputs, got {len(inputs)}")
        output = kind.function(inputs, dict(operator.attributes), self.mode)
        # In floats, -0.0 becomes 0.0, which has one form in bytes.
        return output + np.float32(0) if output.dtype.kind == "f" else output

    def step(self, state: State, step: int, *, interfere: Interference | None = None) -> Step:
        """Do one step from the state before it; `interfere` alters outputs as they are made.

        Raises
        ------
        ValueError
            If there is no such step, or the state is not of the carried tensors.
        OutOfRangeError
            If a result leaves the range in which it is exact.
        """
        if set(state) != set(self.carried):
            raise ValueError(f"a state must have {self.carried}, got {tuple(state)}")
        values = {**state, **self.batch(step)}
        for operator in self.operators:
            output = self.apply(operator, [values[name] for name in operator.inputs])
            values[operator.output] = output if interfere is None else interfere(operator, output)
        after = {name: values.get(name + NEXT, values[name]) for name in self.carried}
        return Step(state=after, values=values)

    def replay(
        self, state: State, *, first: int, last: int, interfere: Interference | None = None
    ) -> State:
        """Return state `last` from state `first`."""
        for step in range(first, last):
            state = self.step(state, step, interfere=interfere).state
        return state

    def _require_graph(self) -> None:
        names = [operator.name for operator in self.operators]
        if len(set(names)) < len(names):
            raise ValueError(f"names of operators must be unique, got {names}")
        known = [*self.carried, *self.batch(0)]
        for operator in self.operators:
            kind = _kind_of(operator)
            if tuple(name for name, _ in operator.attributes) != kind.attributes:
                raise ValueError(f"{operator.name} must have attributes {kind.attributes}")
            if len(operator.inputs) != kind.n_inputs or not set(operator.inputs) <= set(known):
                raise ValueError(f"{operator.name} must have {kind.n_inputs} known inputs")
            known.append(operator.output)
        if len(set(known)) < len(known):
            raise ValueError(f"names of tensors must be unique, got {known}")


def _kind_of(operator: Operator) -> Kind:
    kind = KINDS.get((operator.kind, operator.version))
    if kind is None:
        raise ValueError(f"no kind {operator.kind!r} of version {operator.version}")
    return kind


def _in_mode(tensors: State, mode: Mode) -> State:
    """Carry operands as floats in `FLOAT32`; what counts (int64) stays an integer."""
    if mode is not Mode.FLOAT32:
        return tensors
    return {
        name: value if value.dtype == np.int64 else value.astype(np.float32)
        for name, value in tensors.items()
    }


def _framed_integers(named: Sequence[tuple[str, int]]) -> bytes:
    parts = [part for name, value in named for part in (name.encode(), str(value).encode())]
    return canonical_bytes(b"integers", *parts)


def _framed_shapes(tensors: Mapping[str, Tensor]) -> bytes:
    shapes = [f"{name} {tensors[name].dtype.name} {tensors[name].shape}" for name in tensors]
    return canonical_bytes(b"shapes", *(shape.encode() for shape in sorted(shapes)))

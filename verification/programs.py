"""The one place for the programs that are really run: training, inference, and heat in a plate.

Numbers are fixed-point integers with `FRACTION_BITS` bits after the point (int8 in inference),
drawn from the raw 64-bit stream of PCG64: of numpy's randomness, only raw streams are promised to
stay (NEP 19).
"""

from dataclasses import dataclass
from hashlib import blake2b
from math import isqrt, prod
from typing import Final

import numpy as np

from hanse.verification.arithmetic import INT8_MAX, INT21_MAX, Mode, Tensor, matmul, rescale
from hanse.verification.program import Operator, Program
from hanse.verification.receipts import DIGEST_BYTES, big_endian, canonical_bytes
from hanse.verification.tensors import State, state_digest

FRACTION_BITS: Final = 14
ONE: Final = 1 << FRACTION_BITS
CHECKPOINT_INTERVAL: Final = 64
"""Steps between commitments, at which hashing states costs less than 1 % of training."""

NO_DATA: Final = bytes(DIGEST_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSize:
    """Sizes of a network of two layers; `n_hidden` and `n_inputs` at most 8192 for exact sums."""

    n_inputs: int
    n_hidden: int
    n_outputs: int

    @property
    def n_parameters(self) -> int:
        return (self.n_inputs + self.n_outputs) * self.n_hidden


SMALL: Final = NetworkSize(n_inputs=64, n_hidden=128, n_outputs=16)
"""10,240 parameters."""
LARGE: Final = NetworkSize(n_inputs=960, n_hidden=1_024, n_outputs=16)
"""999,424 parameters."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Source of a training: samples that a teacher labelled, and weights to begin with.

    Attributes
    ----------
    x, y : shapes (n_samples, n_inputs) and (n_samples, n_outputs), int32, `ONE` is one.
    """

    size: NetworkSize
    batch_size: int
    x: Tensor
    y: Tensor

    def initial_state(self, seed: int) -> State:
        return draw_weights(seed, "weights", self.size)

    def batch(self, seed: int, step: int) -> State:
        last = len(self.x) - 1
        row = draw_integers(seed, "rows", step, shape=(self.batch_size,), low=0, high=last)
        return {"x": self.x[row], "y": self.y[row]}

    def parameters(self) -> tuple[tuple[str, int], ...]:
        return ("n_hidden", self.size.n_hidden), ("n_samples", len(self.x))

    def data_root(self) -> bytes:
        return state_digest({"x": self.x, "y": self.y})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Requests:
    """Source of an inference: a network of int8 weights, and what it is asked.

    Attributes
    ----------
    n_kept : batches whose answers the state holds, one after another, the latest for the oldest.
    x : shape (n_steps * batch_size, n_inputs), int8; step i answers batch i.
    """

    size: NetworkSize
    batch_size: int
    n_kept: int
    x: Tensor

    def initial_state(self, seed: int) -> State:
        drawn = draw_weights(seed, "weights", self.size)
        # From fixed point to the whole range of int8.
        weights = {
            name: (weight * INT8_MAX // weight.max()).clip(-INT8_MAX).astype(np.int8)
            for name, weight in drawn.items()
        }
        shape = (self.n_kept * self.batch_size, self.size.n_outputs)
        return {**weights, "answers": np.zeros(shape, np.int32)}

    def batch(self, seed: int, step: int) -> State:
        first = step * self.batch_size
        return {
            "x": self.x[first : first + self.batch_size],
            "first": np.asarray(step % self.n_kept * self.batch_size, dtype=np.int64),
        }

    def parameters(self) -> tuple[tuple[str, int], ...]:
        return (("batch_size", self.batch_size),)

    def data_root(self) -> bytes:
        return state_digest({"x": self.x})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """Source of a diffusion: a plate of drawn temperatures, which nothing heats or cools."""

    n_rows: int
    n_columns: int

    def initial_state(self, seed: int) -> State:
        shape = (self.n_rows, self.n_columns)
        heat = draw_integers(seed, "heat", 0, shape=shape, low=0, high=INT21_MAX)
        return {"heat": heat.astype(np.int32)}

    def batch(self, seed: int, step: int) -> State:
        return {}

    def parameters(self) -> tuple[tuple[str, int], ...]:
        return ()

    def data_root(self) -> bytes:
        return NO_DATA


def training(
    size: NetworkSize = SMALL,
    *,
    n_steps: int = 16 * CHECKPOINT_INTERVAL,
    checkpoint_interval: int = CHECKPOINT_INTERVAL,
    batch_size: int = 128,
    learning_shift: int | None = None,
    seed: int = 0,
    mode: Mode = Mode.INT21,
) -> Program:
    """Train a network of two layers by gradient descent on the squared error of a teacher's labels.

    Parameters
    ----------
    batch_size : a power of two.
    learning_shift : the learning rate is 2^-learning_shift; by default it is about 4 / n_hidden, as
        the curvature of the error grows with the width.
    """
    if learning_shift is None:
        learning_shift = size.n_hidden.bit_length() - 3
    samples = _labelled(seed, size, n_samples=16 * batch_size, batch_size=batch_size)
    return Program(
        name="training",
        mode=mode,
        operators=_training_step(mean_shift=batch_size.bit_length() - 1 + learning_shift),
        n_steps=n_steps,
        checkpoint_interval=checkpoint_interval,
        seed=seed,
        carried=("w1", "w2"),
        source=samples,
    )


def inference(
    size: NetworkSize = SMALL,
    *,
    n_steps: int = 4 * CHECKPOINT_INTERVAL,
    checkpoint_interval: int = CHECKPOINT_INTERVAL,
    batch_size: int = 128,
    seed: int = 0,
    mode: Mode = Mode.INT8,
) -> Program:
    """Answer one batch of requests a step, with an int8 network; the state gathers the answers.

    At a checkpoint it holds all of them since the checkpoint before, so that each is committed to,
    although no later step depends on it.
    """
    shape = (n_steps * batch_size, size.n_inputs)
    x = draw_integers(seed, "requests", 0, shape=shape, low=-INT8_MAX, high=INT8_MAX)
    return Program(
        name="inference",
        mode=mode,
        operators=_inference_step(size),
        n_steps=n_steps,
        checkpoint_interval=checkpoint_interval,
        seed=seed,
        carried=("w1", "w2", "answers"),
        source=Requests(
            size=size,
            batch_size=batch_size,
            n_kept=checkpoint_interval,
            x=_shared(x.astype(np.int8)),
        ),
    )


def diffusion(
    n_rows: int = 128,
    n_columns: int = 128,
    *,
    n_steps: int = 16 * CHECKPOINT_INTERVAL,
    checkpoint_interval: int = CHECKPOINT_INTERVAL,
    seed: int = 0,
    mode: Mode = Mode.INT21,
) -> Program:
    """Let heat spread in an insulated plate, by an explicit finite-volume scheme, axis by axis.

    A quarter of the difference between neighbours flows each step. What leaves a cell arrives in
    another, so that rounding loses no heat: the sum over the plate never changes.
    """
    return Program(
        name="diffusion",
        mode=mode,
        operators=_diffusion_step(),
        n_steps=n_steps,
        checkpoint_interval=checkpoint_interval,
        seed=seed,
        carried=("heat",),
        source=Plate(n_rows=n_rows, n_columns=n_columns),
    )


def squared_error(program: Program, state: State) -> int:
    """Return the sum of squared errors of a network over all samples, in units of 1 / ONE^2."""
    samples = program.source
    assert isinstance(samples, Samples)
    error = _outputs_of(state, samples.x).astype(np.int64) - samples.y
    return int((error * error).sum())


def draw_weights(seed: int, label: str, size: NetworkSize) -> State:
    """Draw weights of variance 2 / n_inputs of their layer (He et al., arXiv:1502.01852)."""
    shapes = {
        "w1": (size.n_inputs, size.n_hidden),
        "w2": (size.n_hidden, size.n_outputs),
    }
    weights = {}
    for index, (name, shape) in enumerate(shapes.items()):
        # A uniform number from -b to b has variance b^2 / 3.
        bound = isqrt(6 * ONE * ONE // shape[0])
        drawn = draw_integers(seed, label, index, shape=shape, low=-bound, high=bound)
        weights[name] = drawn.astype(np.int32)
    return weights


def draw_integers(
    seed: int, label: str, index: int, *, shape: tuple[int, ...], low: int, high: int
) -> Tensor:
    """Draw integers from low to high, both included, the same on each machine and version.

    One stream for each (seed, label, index). The remainder of 64 raw bits is biased by less than
    (high - low + 1) / 2^64.
    """
    name = canonical_bytes(
        b"stream", big_endian("seed", seed), label.encode(), big_endian("index", index)
    )
    key = blake2b(name, digest_size=16, person=b"hanse.stream.v1").digest()
    raw = np.random.PCG64(int.from_bytes(key, "big")).random_raw(prod(shape))
    drawn = (raw % np.uint64(high - low + 1)).astype(np.int64) + low
    return drawn.reshape(shape)


def _labelled(seed: int, size: NetworkSize, *, n_samples: int, batch_size: int) -> Samples:
    shape = (n_samples, size.n_inputs)
    x = draw_integers(seed, "samples", 0, shape=shape, low=-ONE, high=ONE).astype(np.int32)
    y = _outputs_of(draw_weights(seed, "teacher", size), x)
    return Samples(size=size, batch_size=batch_size, x=_shared(x), y=_shared(y))


def _shared(value: Tensor) -> Tensor:
    """Make an array read-only that every party of a process holds."""
    value.flags.writeable = False
    return value


def _outputs_of(weights: State, x: Tensor) -> Tensor:
    hidden = np.maximum(_layer(x, weights["w1"]), 0)
    return _layer(hidden, weights["w2"])


def _layer(x: Tensor, weight: Tensor) -> Tensor:
    sums = matmul(x, weight, mode=Mode.INT21)
    return rescale(sums, shift=FRACTION_BITS, bound=INT21_MAX, mode=Mode.INT21)


def _training_step(*, mean_shift: int) -> tuple[Operator, ...]:
    """Forward, backward, update: outputs carry their F bits, sums of products twice as many."""
    scale = (("shift", FRACTION_BITS), ("bound", INT21_MAX))
    return (
        _product("hidden_sum", "x", "w1"),
        _operator("hidden_in", "rescale", ("hidden_sum",), attributes=scale),
        _operator("hidden", "relu", ("hidden_in",)),
        _product("output_sum", "hidden", "w2"),
        _operator("output", "rescale", ("output_sum",), attributes=scale),
        _operator("error", "subtract", ("output", "y"), attributes=(("bound", INT21_MAX),)),
        _product("w2_gradient", "hidden", "error", transpose_a=1),
        _product("hidden_error_sum", "error", "w2", transpose_b=1),
        _operator("hidden_error_out", "rescale", ("hidden_error_sum",), attributes=scale),
        _operator("hidden_error", "relu_gradient", ("hidden_error_out", "hidden_in")),
        _product("w1_gradient", "x", "hidden_error", transpose_a=1),
        _descent("w1", mean_shift),
        _descent("w2", mean_shift),
    )


def _inference_step(size: NetworkSize) -> tuple[Operator, ...]:
    """Two layers; sums of n products of int8 are scaled back to about the range of int8."""
    shifts = [7 + (n.bit_length() - 1) // 2 - 1 for n in (size.n_inputs, size.n_hidden)]
    scales = [(("shift", shift), ("bound", INT21_MAX)) for shift in shifts]
    return (
        _product("hidden_sum", "x", "w1"),
        _operator("hidden_in", "rescale", ("hidden_sum",), attributes=scales[0]),
        _operator("hidden", "clip", ("hidden_in",), attributes=(("low", 0), ("high", INT8_MAX))),
        _product("output_sum", "hidden", "w2"),
        _operator("output", "rescale", ("output_sum",), attributes=scales[1]),
        _operator("answers.next", "put_rows", ("answers", "output", "first")),
    )


def _diffusion_step() -> tuple[Operator, ...]:
    flow = [(("axis", axis), ("shift", 2)) for axis in (0, 1)]
    settled = [(("axis", axis), ("bound", INT21_MAX)) for axis in (0, 1)]
    return (
        _operator("down", "flux", ("heat",), attributes=flow[0]),
        _operator("between", "settle", ("heat", "down"), attributes=settled[0]),
        _operator("right", "flux", ("between",), attributes=flow[1]),
        _operator("heat.next", "settle", ("between", "right"), attributes=settled[1]),
    )


def _descent(weight: str, mean_shift: int) -> Operator:
    shift = FRACTION_BITS + mean_shift
    return Operator(
        name=f"{weight}_update",
        kind="descend",
        version=1,
        inputs=(weight, f"{weight}_gradient"),
        output=f"{weight}.next",
        attributes=(("shift", shift), ("bound", INT21_MAX)),
    )


def _product(
    output: str, a: str, b: str, *, transpose_a: int = 0, transpose_b: int = 0
) -> Operator:
    transposed = (("transpose_a", transpose_a), ("transpose_b", transpose_b))
    return _operator(output, "matmul", (a, b), attributes=transposed)


def _operator(
    output: str,
    kind: str,
    inputs: tuple[str, ...],
    *,
    attributes: tuple[tuple[str, int], ...] = (),
) -> Operator:
    return Operator(
        name=output, kind=kind, version=1, inputs=inputs, output=output, attributes=attributes
    )

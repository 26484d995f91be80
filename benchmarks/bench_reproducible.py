"""What the same bytes everywhere cost: exact products beside float32, and hashing beside training.

Run it with `OPENBLAS_NUM_THREADS=1 python -m benchmarks.bench_reproducible`: with more threads,
processor time counts what they spend waiting. All ways take turns in one process; it prints medians
of processor time, quartiles, and ratios of medians with the quartiles of ratios turn by turn. It
asserts nothing.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import process_time
from typing import Final

import numpy as np

from hanse.verification.arithmetic import INT8_MAX, INT21_MAX, Mode, Tensor, matmul
from hanse.verification.programs import (
    CHECKPOINT_INTERVAL,
    LARGE,
    SMALL,
    NetworkSize,
    draw_integers,
    training,
)
from hanse.verification.tensors import state_digest, tensor_digests

FLOAT32: Final = "float32, as BLAS likes"
BARE: Final = "float64, as BLAS likes"
SHAPES: Final = ((1_024, 1_024, 1_024), (128, 1_024, 1_024), (128, 784, 1_024))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Seconds of processor time of each way, one entry a turn."""

    seconds: Mapping[str, list[float]]

    def show(self, name: str, reference: str) -> str:
        """Return one line: milliseconds, and how many times the reference."""
        ms = np.array(self.seconds[name]) * 1e3
        against = np.array(self.seconds[reference][: len(ms)]) * 1e3
        low, middle, high = np.quantile(ms, [0.25, 0.5, 0.75])
        few, ratio, many = np.quantile(ms / against, [0.25, 0.5, 0.75])
        return (
            f"  {name:32s} {middle:9.3f} ms ({low:.3f} to {high:.3f})"
            f" {ratio:8.2f} times ({few:.2f} to {many:.2f})   n={len(ms)}"
        )


def main() -> None:
    """Print products, then steps and commitments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=21)
    arguments = parser.parse_args()
    for shape in SHAPES:
        compare_products(shape, arguments.repetitions)
    for size in (SMALL, LARGE):
        for batch_size in (32, 128):
            compare_commitment(size, batch_size, arguments.repetitions)


def compare_products(shape: tuple[int, int, int], repetitions: int) -> None:
    """Let all ways of multiplying take turns; those without BLAS have one turn."""
    m, k, n = shape
    int8, int21 = (
        (drawn((m, k), limit, dtype), drawn((k, n), limit, dtype))
        for limit, dtype in ((INT8_MAX, np.int8), (INT21_MAX, np.int32))
    )
    single, double, wide = ([one.astype(t) for one in int21] for t in (np.float32, float, int))
    ways: dict[str, Callable[[], object]] = {
        FLOAT32: lambda: single[0] @ single[1],
        BARE: lambda: double[0] @ double[1],
        "int8 in float32, checked": lambda: matmul(*int8, mode=Mode.INT8),
        "21 bits in float64, checked": lambda: matmul(*int21, mode=Mode.INT21),
    }
    once: dict[str, Callable[[], object]] = {
        "float32 in a fixed order": lambda: in_fixed_order(*single),
        "int64 without BLAS": lambda: wide[0] @ wide[1],
    }
    print(f"\nproduct of ({m}, {k}) and ({k}, {n})")
    measured = take_turns(ways, repetitions)
    seconds = {**measured.seconds, **take_turns(once, 1, warm_up=False).seconds}
    for name in seconds:
        print(Measured(seconds=seconds).show(name, FLOAT32))


def compare_commitment(size: NetworkSize, batch_size: int, repetitions: int) -> None:
    """Compare one step of training with hashing the state and the batch of one step."""
    program = training(size, batch_size=batch_size)
    state, batch = program.initial_state(), program.batch(0)
    n_steps = max(1, round(2e6 / size.n_parameters))
    step, commitment = "step", "commitment to a state"
    measured = take_turns(
        {
            step: lambda: program.replay(state, first=0, last=min(n_steps, 20)),
            commitment: lambda: (tensor_digests(state), state_digest(batch)),
        },
        repetitions,
    )
    per_step = [each / min(n_steps, 20) for each in measured.seconds[step]]
    shown = Measured(seconds={step: per_step, commitment: measured.seconds[commitment]})
    share = np.array(shown.seconds[commitment]) / np.array(per_step) * 100
    low, middle, high = np.quantile(share / CHECKPOINT_INTERVAL, [0.25, 0.5, 0.75])
    print(f"\n{size.n_parameters:,} parameters, batches of {batch_size}")
    for name in (step, commitment):
        print(shown.show(name, step))
    print(
        f"  of training, at one commitment in {CHECKPOINT_INTERVAL} steps: "
        f"{middle:.2f} % ({low:.2f} to {high:.2f}); 1 % at one in {np.median(share):.0f}"
    )


def take_turns(
    ways: Mapping[str, Callable[[], object]], repetitions: int, *, warm_up: bool = True
) -> Measured:
    """Run all ways turn by turn, each once before that if they are to be warm."""
    if warm_up:
        for way in ways.values():
            way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repetitions):
        for name, way in ways.items():
            started = process_time()
            way()
            seconds[name].append(process_time() - started)
    return Measured(seconds=seconds)


def drawn(shape: tuple[int, int], limit: int, dtype: type) -> Tensor:
    """Draw a matrix of integers."""
    return draw_integers(0, "benchmark", 0, shape=shape, low=-limit, high=limit).astype(dtype)


def in_fixed_order(a: Tensor, b: Tensor) -> Tensor:
    """Add up float32 products in the order of the inner index, each operation rounded alone."""
    total = np.zeros((a.shape[0], b.shape[1]), np.float32)
    product = np.empty_like(total)
    for k in range(a.shape[1]):
        np.multiply(a[:, k : k + 1], b[k], out=product)
        np.add(total, product, out=total)
    return total


if __name__ == "__main__":
    main()

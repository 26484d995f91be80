"""The worker: the one function that leaves for another process, with what it needs and no more."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from time import perf_counter, thread_time
from typing import Final

from hanse.market.regime import Rung
from hanse.scenarios.drawing.traces import Trace
from hanse.scenarios.running.batches import Packed
from hanse.scenarios.running.parts import pack
from hanse.scenarios.running.tasks import Ended, Task, run_task

References = Mapping[int, Sequence[float]]

# A worker comes back when another run might take it beyond this, so that what ended is kept.
BACK_WITHIN_S: Final = 10.0


def run_batch(
    batch: Sequence[tuple[int, Task]],
    known: References,
    *,
    regimes: Sequence[Rung],
    trace: Trace | None,
    watch: str,
) -> Packed[bytes]:
    """Run a batch of numbered runs in a worker, or its beginning, and pack what they leave.

    Parameters
    ----------
    batch : number of each run, and its task. Runs are numbered world by world, and in each in the
        order of the regimes.
    known : welfare of the reference by family, of worlds on which others have run, by number.
    """
    begun, spent_s = perf_counter(), thread_time()
    before = begun
    longest_s = 0.0
    ended = []
    for number, end in _ends(batch, known, regimes=regimes, trace=trace):
        ended.append((number, end))
        now = perf_counter()
        longest_s = max(longest_s, now - before)
        before = now
        if now - begun + longest_s > BACK_WITHIN_S:
            break
    rest = _of_unfinished(ended, len(regimes))
    part = pack(ended, watch=watch, references=rest) if ended else b""
    done = tuple(number for number, _ in ended)
    # Processor time: batches are as large on a busy machine as on an idle one.
    return Packed(part=part, done=done, seconds=thread_time() - spent_s)


def _ends(
    batch: Sequence[tuple[int, Task]],
    known: References,
    *,
    regimes: Sequence[Rung],
    trace: Trace | None,
) -> Iterator[tuple[int, Ended]]:
    """Run world by world, each drawn once."""
    for world, runs in groupby(batch, key=lambda run: run[0] // len(regimes)):
        numbers, tasks = zip(*runs, strict=True)
        rungs = [regimes[number % len(regimes)] for number in numbers]
        ends = run_task(tasks[0], rungs, trace=trace, reference_usd=known.get(world, ()))
        yield from zip(numbers, ends, strict=True)


def _of_unfinished(ended: Sequence[tuple[int, Ended]], n_regimes: int) -> References:
    """Return the references of worlds whose last run somebody else will make."""
    last = {number // n_regimes: (number, end) for number, end in ended}
    return {
        world: end.reference_usd
        for world, (number, end) in last.items()
        if (number + 1) % n_regimes and end.reference_usd
    }

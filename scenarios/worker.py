"""The worker: the one function that leaves for another process, with what it needs and no more."""

from collections.abc import Sequence
from time import perf_counter

from hanse.market.regime import Rung
from hanse.scenarios.batches import Packed
from hanse.scenarios.parts import pack
from hanse.scenarios.tasks import Task, run_keys, run_task
from hanse.scenarios.traces import Trace


def run_batch(
    batch: Sequence[tuple[int, Task]], *, regimes: Sequence[Rung], trace: Trace | None, watch: str
) -> Packed:
    """Run a batch of numbered tasks in a worker, and pack what they leave."""
    begun = perf_counter()
    outcomes = [(number, run_task(task, regimes=regimes, trace=trace)) for number, task in batch]
    part = pack(outcomes, keys=run_keys(batch[0][1], regimes[0]), watch=watch) if batch else b""
    return Packed(part=part, seconds=perf_counter() - begun)

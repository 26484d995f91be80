"""What it costs to hand runs to workers and to keep them, beside what the runs cost themselves.

Run it with `python -m benchmarks.bench_sweep`. Efficiency is the time of the same tasks on one
worker over the time on two, start of the pool included, halved; runs take about 20 ms. Where others
use the machine that says little: beside it stands the time of two processes that each run a half of
the worlds, keep nothing and never talk, over the time of our two. Overhead is processor time of all
processes that is neither in draws nor in references nor in runs, over the number of runs: packing,
handing over, writing, the plan, the start of a pool, the digest of each world, and what putting the
tables in order takes at the end, which is told apart, too. `--many 100000` runs that many small
runs with a store and prints the time, the largest memory of this process, and the size of what it
kept. With `--dask` a scheduler and two workers are started on the loopback address, whose own start
is not counted, as it is not ours. Turns alternate between the ways; nothing is asserted.
"""

import argparse
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from unittest.mock import patch

import numpy as np
from distributed import Client

from hanse.agents.world import Digests, World
from hanse.market.regime import Rung, ladder
from hanse.market.units import Floats
from hanse.scenarios.experiment import Outcomes, Task, kept, run_task, run_tasks
from hanse.scenarios.run import warm_up
from hanse.scenarios.running import worker
from hanse.scenarios.running.store import Store
from hanse.scenarios.running.tasks import Ended
from hanse.scenarios.scenario import Scenario, load
from tests.dask_on_loopback import cluster

RUNGS = ladder[3:5]


def main() -> None:
    """Measure every way in turn, and print ratios with their spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--calls", type=int, default=600, help="model calls of a world")
    parser.add_argument("--many", type=int, default=0, help="small runs to make, with a store")
    parser.add_argument("--dask", action="store_true")
    arguments = parser.parse_args()
    warm_up()
    scenario = small(arguments.calls)
    run_all(scenario, 10, 1)
    if arguments.many:
        run_many(arguments.many)
        return
    rounds: list[list[float]] = []
    for _ in range(arguments.repetitions):
        alone = timed(scenario, arguments.worlds, 1)
        two_s = timed(scenario, arguments.worlds, 2)
        rounds.append([alone, two_s, apart(scenario, arguments.worlds)])
    one, two, free = np.array(rounds).T
    print_spread("efficiency on 2 forked workers, start included", one / two / 2)
    print_spread("two processes that never talk, over these", free / two)
    with clocks():
        for workers in (1, 2):
            measure_overhead(scenario, arguments.worlds, arguments.repetitions, workers=workers)
    if arguments.dask:
        measure_dask(scenario, arguments.worlds, arguments.repetitions)


def measure_overhead(scenario: Scenario, n_worlds: int, repetitions: int, *, workers: int) -> None:
    """Say what of processor time goes elsewhere than into runs, turn by turn."""
    rows = []
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as name, Store(Path(name) / "kept") as store:
            begun_s = cpu_s()
            outcomes = run_all(scenario, n_worlds, workers, store=store)
            ran_s = cpu_s()
            kept(numbered(scenario, n_worlds), RUNGS, outcomes)
            in_order_s = cpu_s() - ran_s
        bare_s, digest_s = outcomes.seconds["bare_cpu"], outcomes.seconds["digest_cpu"]
        over_s = ran_s - begun_s - bare_s
        rows.append([bare_s, over_s + in_order_s, over_s, digest_s, in_order_s])
    n_runs = n_worlds * len(RUNGS)
    bare, whole, over, digest, in_order = np.array(rows).T / n_runs * 1e3
    who = f"{workers} worker{'s' * (workers > 1)}"
    print(f"{n_runs} runs on {who} of {np.median(bare):.1f} ms of processor time, draws included")
    print_spread("overhead a run, ms", whole)
    print_spread("of which until the last run is kept, ms", over)
    print_spread("of which digests of worlds, ms", digest)
    print_spread("and putting tables in order, ms", in_order)
    print_spread("overhead over runs, %", whole / bare * 100)


@contextmanager
def clocks() -> Iterator[None]:
    """Let each run say what processor time it, and the digest of its world, took."""
    digest_s = [0.0]
    real_digests = World.digests

    def digests_clocked(world: World) -> Digests:
        begun_s = process_time()
        found = real_digests(world)
        digest_s[0] += process_time() - begun_s
        return found

    def run_clocked(*positional: object, **named: object) -> Iterator[Ended]:
        ends = run_task(*positional, **named)  # type: ignore[arg-type]
        while True:
            begun_s, digest_s[0] = process_time(), 0.0
            end = next(ends, None)
            if end is None:
                return
            spent = {"digest_cpu": digest_s[0], "bare_cpu": process_time() - begun_s - digest_s[0]}
            yield replace(end, seconds={**end.seconds, **spent})

    with (
        patch.object(World, "digests", digests_clocked),
        patch.object(worker, "run_task", run_clocked),
    ):
        yield


def cpu_s() -> float:
    """Return the processor time of this process and of those it has seen end."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process_time() + ended.ru_utime + ended.ru_stime


def measure_dask(scenario: Scenario, n_worlds: int, repetitions: int) -> None:
    """Set two workers of a scheduler against one worker here, turn by turn."""
    with (
        tempfile.TemporaryDirectory() as name,
        cluster(Path(name)) as own,
        Client(own.address, set_as_default=False) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        timed(scenario, 20, client)  # workers load the kernels
        pairs = [
            (timed(scenario, n_worlds, 1), timed(scenario, n_worlds, client))
            for _ in range(repetitions)
        ]
    one, two = np.array(pairs).T
    print_spread("efficiency on 2 workers of Dask, batched", one / two / 2)


def apart(scenario: Scenario, n_worlds: int) -> float:
    """Return the seconds that two processes take for half of the worlds each, told beforehand."""
    listed = numbered(scenario, n_worlds)
    begun = perf_counter()
    forks = [get_context("fork").Process(target=run_alone, args=(listed[k::2],)) for k in (0, 1)]
    for fork in forks:
        fork.start()
    for fork in forks:
        fork.join()
    return perf_counter() - begun


def run_alone(listed: list[Task]) -> None:
    """Run tasks and keep nothing."""
    for task in listed:
        list(run_task(task, RUNGS))


def run_many(n_runs: int) -> None:
    """Make many small runs on two workers, keep them, and put their tables in order."""
    begun = perf_counter()
    with tempfile.TemporaryDirectory() as name, Store(Path(name) / "kept") as store:
        outcomes = run_all(small(20), n_runs // len(RUNGS), 2, store=store)
        ran = perf_counter() - begun
        tables = kept(numbered(small(20), n_runs // len(RUNGS)), RUNGS, outcomes)
        size = sum(file.stat().st_size for file in tables.files.values())
        put_in_order = perf_counter() - begun - ran
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{n_runs:,} small runs: {ran:.0f} s, {put_in_order:.0f} s to put in order, peak "
        f"{peak_mb:.0f} MB here, tables of {size / 1e6:.0f} MB"
    )


def small(n_calls: int) -> Scenario:
    """Shrink the baseline until a run takes milliseconds."""
    return load("baseline").replace(
        {
            "fleet.nodes": 30,
            "load.model_calls": n_calls,
            "load.batch_jobs": 6,
            "measurement.horizon_s": 300,
            "measurement.displacement_instants": 16,
        }
    )


def numbered(scenario: Scenario, n_worlds: int) -> list[Task]:
    """List as many worlds of a scenario."""
    keys = {"scenario": scenario.name}
    return [Task(keys=keys, scenario=scenario, seed=seed) for seed in range(n_worlds)]


def run_all(
    scenario: Scenario, n_worlds: int, workers: object, *, store: Store | None = None
) -> Outcomes:
    """Run the rungs on as many worlds."""
    rungs: tuple[Rung, ...] = tuple(RUNGS)
    return run_tasks(
        numbered(scenario, n_worlds),
        rungs,
        workers=workers,
        progress=False,
        trace=None,
        store=store,
    )


def timed(scenario: Scenario, n_worlds: int, workers: object) -> float:
    """Return the seconds of a whole experiment that keeps its runs."""
    with tempfile.TemporaryDirectory() as name, Store(Path(name) / "kept") as store:
        begun = perf_counter()
        run_all(scenario, n_worlds, workers, store=store)
        return perf_counter() - begun


def print_spread(what: str, values: Floats) -> None:
    """Print the median of what was measured, and its range."""
    low, high = values.min(), values.max()
    print(f"  {what}: {np.median(values):.2f}, from {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()

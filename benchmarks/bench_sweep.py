"""What it costs to hand runs to workers and to keep them, beside what the runs cost themselves.

Run it with `python -m benchmarks.bench_sweep`. Efficiency is the time of the same tasks on one
worker over the time on two, start of the pool included, halved; runs take about 20 ms. Where others
use the machine that says little: beside it stands the time of two processes that each run a half of
the worlds, keep nothing and never talk, over the time of our two. Overhead is time outside of runs,
over the runs, on one worker with a store. `--many 100000` runs that many small runs with a store
and prints the time, the largest memory of this process, and the size of what it kept. With `--dask`
a scheduler and two workers are started on the loopback address, whose own start is not counted, as
it is not ours. Turns alternate between the ways; nothing is asserted.
"""

import argparse
import resource
import tempfile
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np
from distributed import Client

from hanse.market.regime import Rung, ladder
from hanse.market.units import Floats
from hanse.scenarios.experiment import Outcomes, Task, kept, run_task, run_tasks
from hanse.scenarios.run import warm_up
from hanse.scenarios.scenario import Scenario, load
from hanse.scenarios.store import Store
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
        alone, outcomes = timed(scenario, arguments.worlds, 1)
        two_s = timed(scenario, arguments.worlds, 2)[0]
        rounds.append([alone, two_s, in_runs(outcomes), apart(scenario, arguments.worlds)])
    one, two, inside, free = np.array(rounds).T
    n_runs = arguments.worlds * len(RUNGS)
    print(f"{n_runs} runs of {np.median(inside) / n_runs * 1e3:.1f} ms, draws included")
    print_spread("efficiency on 2 forked workers, start included", one / two / 2)
    print_spread("two processes that never talk, over these", free / two)
    print_spread("overhead a run, ms, on 1 worker", (one - inside) / n_runs * 1e3)
    if arguments.dask:
        measure_dask(scenario, arguments.worlds, arguments.repetitions)


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
            (timed(scenario, n_worlds, 1)[0], timed(scenario, n_worlds, client)[0])
            for _ in range(repetitions)
        ]
    one, two = np.array(pairs).T
    print_spread("efficiency on 2 workers of Dask, batched", one / two / 2)


def apart(scenario: Scenario, n_worlds: int) -> float:
    """Return the seconds that two processes take for half of the worlds each, told beforehand."""
    tasks = numbered(scenario, n_worlds)
    begun = perf_counter()
    forks = [get_context("fork").Process(target=run_alone, args=(tasks[k::2],)) for k in (0, 1)]
    for fork in forks:
        fork.start()
    for fork in forks:
        fork.join()
    return perf_counter() - begun


def run_alone(tasks: list[Task]) -> None:
    """Run tasks and keep nothing."""
    for task in tasks:
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


def timed(scenario: Scenario, n_worlds: int, workers: object) -> tuple[float, Outcomes]:
    """Return the seconds of a whole experiment that keeps its runs, and its outcomes."""
    with tempfile.TemporaryDirectory() as name, Store(Path(name) / "kept") as store:
        begun = perf_counter()
        outcomes = run_all(scenario, n_worlds, workers, store=store)
        return perf_counter() - begun, outcomes


def in_runs(outcomes: Outcomes) -> float:
    """Sum the seconds within draws, references and runs."""
    return sum(outcomes.seconds.values())


def print_spread(what: str, values: Floats) -> None:
    """Print the median of what was measured, and its range."""
    low, high = values.min(), values.max()
    print(f"  {what}: {np.median(values):.2f}, from {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()

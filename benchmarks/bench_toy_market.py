"""A batch of toy markets, three ways: plain Python, Mesa with its batch runner, and hanse.

Run it with `python -m benchmarks.bench_toy_market`. The market is that of `bench_plain_mesa`: a job
takes the free node that leaves it most, or waits. Plain Python is a heap of events and lists, as
one writes it without any framework; Mesa is one agent per node and per job under
`mesa.batch_run`; hanse runs its engine without registering agents, as its own batches do. Each way
works through the same worlds in one process, one after another, and must assign as many jobs and
occupy the nodes as long. Drawing the worlds is counted for nobody.
"""

import argparse
import heapq
from collections.abc import Callable
from time import perf_counter

import mesa
import numpy as np

from benchmarks.bench_plain_mesa import REGIME, PlainMarket, drawn
from benchmarks.ratios import print_ratio
from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.units import NANO_USD_PER_USD, US_PER_HOUR, US_PER_MS, US_PER_S

UTILISATION = 0.7
Told = tuple[int, int]
"""Jobs assigned, and the time in microseconds that they occupy nodes."""

_worlds: list[World] = []


def main() -> None:
    """Run all three ways, turn by turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--worlds", type=int, default=10)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    by_hanse(drawn(10, n_jobs=20, utilisation=0.5, seed=0))  # compiles
    n_jobs = arguments.worlds * arguments.jobs
    rounds = []
    for number in range(arguments.repetitions):
        seeds = range(number * arguments.worlds, (number + 1) * arguments.worlds)
        _worlds[:] = [
            drawn(arguments.nodes, n_jobs=arguments.jobs, utilisation=UTILISATION, seed=seed)
            for seed in seeds
        ]
        ways = [lambda: [by_plain_python(world) for world in _worlds], by_mesa_batches]
        ways.append(lambda: [by_hanse(world) for world in _worlds])
        timed = [_timed(way) for way in ways]
        assert timed[0][1] == timed[1][1] == timed[2][1], "the ways differ"
        rounds.append([seconds / n_jobs * 1e6 for seconds, _ in timed])
    python, of_mesa, ours = np.array(rounds).T
    print(
        f"{arguments.worlds} worlds of {arguments.nodes} nodes and {arguments.jobs:,} jobs, "
        f"load {UTILISATION:.0%}, Mesa {mesa.__version__}"
    )
    print_ratio("Mesa with its batch runner against hanse", of_mesa, ours)
    print_ratio("plain Python against hanse", python, ours)
    print_ratio("Mesa with its batch runner against plain Python", of_mesa, python)


def _timed(way: Callable[[], list[Told]]) -> tuple[float, list[Told]]:
    began = perf_counter()
    told = way()
    return perf_counter() - began, told


def by_hanse(world: World) -> Told:
    """Run hanse's engine."""
    model = ComputeMarket(world, REGIME, with_agents=False)
    ledger = model.run_to_horizon()
    release(model)
    work = ledger.record[ledger.work]
    return len(work), int((work["end_us"] - work["accepted_us"]).sum())


class BatchMarket(PlainMarket):
    """The plain Mesa model as the batch runner wants it: one step is the whole run."""

    def __init__(self, number: int) -> None:
        super().__init__(_worlds[number], is_shrewd=False)
        self.datacollector = mesa.DataCollector(
            model_reporters={"assigned": assigned, "occupied_us": occupied_us}
        )

    def step(self) -> None:
        """Run to the horizon, report, and stop."""
        self.simulator.run_until(self.world.horizon_us)
        self.datacollector.collect(self)
        self.running = False


def assigned(model: BatchMarket) -> int:
    """Count the jobs that found a node."""
    return len(model.assignments)


def occupied_us(model: BatchMarket) -> int:
    """Add up how long nodes were occupied."""
    return sum(end_us - start_us for _, _, start_us, end_us in model.assignments)


def by_mesa_batches() -> list[Told]:
    """Run every world by `mesa.batch_run`, in this process."""
    rows = mesa.batch_run(  # noqa: TID251 - the peer that is measured
        BatchMarket,
        parameters={"number": list(range(len(_worlds)))},
        number_processes=1,
        display_progress=False,
    )
    return [(row["assigned"], row["occupied_us"]) for row in rows]


def by_plain_python(world: World) -> Told:
    """Run the market with a heap and lists."""
    work = world.workload
    one_way = np.rint(world.geography.rtt_ms * US_PER_MS / 2).astype(np.int64).tolist()
    price = (world.fleet.node_posted_usd_per_gpu_hour / US_PER_HOUR).tolist()
    region, origin = world.fleet.node_region.tolist(), work.job_origin.tolist()
    value, fall = work.job_value_usd.tolist(), (work.job_delay_usd_per_s / US_PER_S).tolist()
    arrival, deadline = work.job_arrival_us.tolist(), work.job_deadline_us.tolist()
    length, is_free = work.stage_work_us.tolist(), [True] * len(price)
    events = [(at_us, 0, job) for job, at_us in enumerate(arrival)]
    heapq.heapify(events)
    waiting: list[int] = []
    told = [0, 0]

    def choose(job: int, now_us: int) -> bool:
        best, choice = 0, -1
        for node, free in enumerate(is_free):
            if not free:
                continue
            finish_us = now_us + length[job] + one_way[region[node]][origin[job]]
            worth = 0.0
            if finish_us <= deadline[job]:
                worth = max(0.0, value[job] - fall[job] * (finish_us - arrival[job]))
            left = round(worth * NANO_USD_PER_USD)
            left -= round(price[node] * length[job] * NANO_USD_PER_USD)
            if left > best:
                best, choice = left, node
        if choice < 0:
            return False
        is_free[choice] = False
        heapq.heappush(events, (now_us + length[job], 1, choice))
        told[0] += 1
        told[1] += length[job]
        return True

    while events:
        now_us, is_end, index = heapq.heappop(events)
        if not is_end:
            if not choose(index, now_us):
                waiting.append(index)
            continue
        is_free[index] = True
        waiting = [job for job in waiting if now_us < deadline[job] and not choose(job, now_us)]
    return told[0], told[1]


if __name__ == "__main__":
    main()

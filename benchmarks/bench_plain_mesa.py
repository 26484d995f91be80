"""What a market costs as compiled columns, against the same market as plain Mesa objects.

Run it with `python -m benchmarks.bench_plain_mesa`. One hub sees all nodes as they are and decides
at no delay. A job takes the free node that leaves it most: value less the cost of delay up to the
arrival of the result, distance included, less posted price times duration. If none leaves anything
it waits, and chooses again, in order of arrival, when a node becomes free. All sides meet the same
world and must find the same node, start and end of every job; nothing else is asserted.

What is equal: the world, the rule, money in whole nano-USD, ties, instants in microseconds, and the
assignments. What is not: hanse also keeps both ledgers of time, samples displacement, checks
receipts, settles, and checks law and caches at each crossing (all free of charge here), which the
plain model leaves out. Plain Mesa is one `Agent` per node and per job and Mesa's own event list,
and a choice is a plain loop over the nodes; vectorising that loop would no longer be plain. It
comes in two manners: `as told` scans all nodes at each choice; `shrewd` knows that worth only
falls, so that who waits looks at the freed node alone, as hanse's engine in effect does.
"""

import argparse
import gc
from dataclasses import replace
from time import perf_counter
from typing import Final

import mesa
import numpy as np
from mesa.experimental.devs import DEVSimulator

from benchmarks.ratios import print_ratio
from hanse.agents.fleet import Fleet
from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.regime import regimes
from hanse.market.units import NANO_USD_PER_USD, US_PER_HOUR, US_PER_MS, US_PER_S
from hanse.scenarios.selftest.oracle_worlds import plain_workload, plain_world, poisson_us
from hanse.scenarios.streams import stream

REGIME: Final = regimes["without-first-party"]
N_REGIONS: Final = 26
MEAN_WORK_S: Final = 60.0
Assignments = list[tuple[int, int, int, int]]


def main() -> None:
    """Run the same market both ways, turn by turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=5_000)
    parser.add_argument("--repetitions", type=int, default=9)
    arguments = parser.parse_args()
    by_hanse(drawn(10, n_jobs=20, utilisation=0.5, seed=0))  # compiles
    gc.freeze()
    print(f"Mesa {mesa.__version__}, {arguments.nodes} nodes, {arguments.jobs:,} jobs")
    for utilisation in (0.7, 1.1):
        rounds = []
        for seed in range(arguments.repetitions):
            world = drawn(
                arguments.nodes, n_jobs=arguments.jobs, utilisation=utilisation, seed=seed
            )
            runs = [
                by_plain_mesa(world, is_shrewd=False),
                by_plain_mesa(world, is_shrewd=True),
                by_hanse(world),
            ]
            found = [assignments for _, assignments in runs]
            assert found[0] == found[1] == found[2], "assignments differ"
            rounds.append(np.array([seconds for seconds, _ in runs]) / arguments.jobs * 1e6)
        us = np.array(rounds).T
        print(f"\nload {utilisation:.0%}, {share_that_waits(world, found[2]):.0%} of the jobs wait")
        print_ratio("plain Mesa as told against hanse", us[0], us[2])
        print_ratio("shrewd plain Mesa against hanse", us[1], us[2])


def share_that_waits(world: World, assignments: Assignments) -> float:
    """Return the share of assigned jobs that did not start on arrival."""
    arrival_us = world.workload.job_arrival_us.tolist()
    return float(np.mean([start_us > arrival_us[job] for job, _, start_us, _ in assignments]))


def drawn(n_nodes: int, *, n_jobs: int, utilisation: float, seed: int) -> World:
    """Draw nodes of many owners, each with a price of its own, and jobs that dislike delay."""
    rng = stream(seed, f"bench plain {utilisation}")
    arrival_us = poisson_us(rng, n_jobs, utilisation * n_nodes / MEAN_WORK_S)
    work_us = np.rint(rng.exponential(MEAN_WORK_S, n_jobs) * US_PER_S).astype(np.int64) + 1
    workload = plain_workload(
        arrival_us,
        work_us,
        origin=rng.integers(0, N_REGIONS, n_jobs),
        patience_us=600 * US_PER_S,
    )
    value_usd = work_us / US_PER_HOUR * rng.uniform(2.0, 8.0, n_jobs)
    workload = replace(
        workload,
        job_value_usd=value_usd,
        job_delay_usd_per_s=value_usd * rng.uniform(0.0, 0.002, n_jobs),
    )
    horizon_us = int(arrival_us[-1]) + 3_600 * US_PER_S
    world = plain_world(workload, n_nodes=n_nodes, n_regions=N_REGIONS, horizon_us=horizon_us)
    rtt_ms = rng.uniform(1.0, 300.0, (N_REGIONS, N_REGIONS))
    geography = replace(world.geography, rtt_ms=(rtt_ms + rtt_ms.T) / 2.0)
    return replace(world, geography=geography, fleet=with_prices(world.fleet, rng))


def with_prices(fleet: Fleet, rng: np.random.Generator) -> Fleet:
    """Let each node have an owner and a price of its own."""
    n_nodes = fleet.n_nodes
    return replace(
        fleet,
        node_owner=np.arange(n_nodes),
        node_posted_usd_per_gpu_hour=rng.uniform(1.5, 4.0, n_nodes),
        owner=tuple(f"owner-{k}" for k in range(n_nodes)),
        owner_is_hyperscaler=np.zeros(n_nodes, bool),
    )


def by_hanse(world: World) -> tuple[float, Assignments]:
    """Run hanse, its agents registered; return seconds, and (job, node, start, end) in order."""
    started = perf_counter()
    model = ComputeMarket(world, REGIME)
    ledger = model.run_to_horizon()
    seconds = perf_counter() - started
    release(model)
    record = ledger.record
    work = record[ledger.work]
    columns = (work[name].tolist() for name in ("stage", "unit", "accepted_us", "end_us"))
    return seconds, sorted(zip(*columns, strict=True))


def by_plain_mesa(world: World, *, is_shrewd: bool) -> tuple[float, Assignments]:
    """Build and run the plain model; return what `by_hanse` does."""
    started = perf_counter()
    model = PlainMarket(world, is_shrewd=is_shrewd)
    model.simulator.run_until(world.horizon_us)
    seconds = perf_counter() - started
    assignments = sorted(model.assignments)
    release(model)  # type: ignore[arg-type]
    return seconds, assignments


class Node(mesa.Agent):
    """A node with a price, free or not."""

    model: "PlainMarket"

    def __init__(self, model: "PlainMarket", *, index: int, region: int, usd_per_us: float) -> None:
        super().__init__(model)
        self.index, self.region, self.usd_per_us = index, region, usd_per_us
        self.is_free = True

    def finish(self) -> None:
        """Become free, and let those who wait choose again."""
        self.is_free = True
        self.model.n_free += 1
        self.model.let_the_waiting_choose(self)


class Job(mesa.Agent):
    """A buyer's job: it chooses its node itself."""

    model: "PlainMarket"

    def __init__(self, model: "PlainMarket", index: int) -> None:
        super().__init__(model)
        work = model.world.workload
        self.index = index
        self.origin = int(work.job_origin[index])
        self.arrival_us, self.work_us = (
            int(work.job_arrival_us[index]),
            int(work.stage_work_us[index]),
        )
        self.deadline_us = int(work.job_deadline_us[index])
        self.value_usd = float(work.job_value_usd[index])
        self.delay_usd_per_us = float(work.job_delay_usd_per_s[index]) / US_PER_S

    def arrive(self) -> None:
        """Choose a node, or wait."""
        if self.model.n_free == 0 or not self.choose(self.model.nodes):
            self.model.waiting.append(self)

    def surplus_nano_usd(self, node: Node, now_us: int) -> int:
        """Return what a node leaves to the job."""
        finish_us = now_us + self.work_us + self.model.one_way_us[node.region][self.origin]
        worth_usd = 0.0
        if finish_us <= self.deadline_us:
            fall_usd = self.delay_usd_per_us * (finish_us - self.arrival_us)
            worth_usd = max(0.0, self.value_usd - fall_usd)
        price_usd = node.usd_per_us * self.work_us
        return round(worth_usd * NANO_USD_PER_USD) - round(price_usd * NANO_USD_PER_USD)

    def choose(self, among: "list[Node]") -> bool:
        """Take the free node that leaves most; false if none leaves anything."""
        now_us, best, choice = int(self.model.simulator.time), 0, None
        for node in among:
            if node.is_free:
                surplus = self.surplus_nano_usd(node, now_us)
                if surplus > best:
                    best, choice = surplus, node
        if choice is None:
            return False
        choice.is_free = False
        self.model.n_free -= 1
        self.model.simulator.schedule_event_absolute(choice.finish, now_us + self.work_us)
        self.model.assignments.append((self.index, choice.index, now_us, now_us + self.work_us))
        return True


class PlainMarket(mesa.Model):
    """The market as Mesa's users write it."""

    def __init__(self, world: World, *, is_shrewd: bool) -> None:
        super().__init__(rng=world.seed)
        self.world, self.is_shrewd = world, is_shrewd
        self.simulator = DEVSimulator()
        self.simulator.setup(self)
        one_way_us = np.rint(world.geography.rtt_ms * US_PER_MS / 2).astype(np.int64)
        self.one_way_us = one_way_us.tolist()
        price = world.fleet.node_posted_usd_per_gpu_hour / US_PER_HOUR
        self.nodes = [
            Node(self, index=k, region=int(world.fleet.node_region[k]), usd_per_us=float(price[k]))
            for k in range(len(price))
        ]
        self.n_free = len(self.nodes)
        self.waiting: list[Job] = []
        self.assignments: Assignments = []
        for k in range(world.workload.n_jobs):
            job = Job(self, k)
            self.simulator.schedule_event_absolute(job.arrive, job.arrival_us)

    def let_the_waiting_choose(self, freed: Node) -> None:
        """Let those who wait choose, first come first served; forget whose time has passed."""
        now_us, still = int(self.simulator.time), []
        among = [freed] if self.is_shrewd else self.nodes
        for job in self.waiting:
            if now_us >= job.deadline_us:
                continue
            is_over = self.n_free == 0 or (self.is_shrewd and not freed.is_free)
            if is_over or not job.choose(among):
                still.append(job)
        self.waiting = still


if __name__ == "__main__":
    main()

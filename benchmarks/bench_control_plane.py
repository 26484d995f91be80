"""What the queue of a control plane costs, against SimPy playing the same queue.

Run it with `python -m benchmarks.bench_control_plane`; it needs the dependency group `bench`. All
three get the same arrivals and service times in whole microseconds, first come first served by c
servers, and must find the same wait of every job; nothing else is asserted.

`engine` is a whole run: besides queueing, each job is routed over the fleet, commanded, executed,
checked and settled, and its time booked in both ledgers, none of which SimPy is asked to do.
`queue` is the same compiled queue, servers and calendar of the engine, driven by arrivals alone:
what SimPy does, and no more.
"""

import argparse
import gc
from collections.abc import Generator
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np
import simpy

from benchmarks.ratios import print_ratio
from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.engine.clock import HEAP_SIZE, NOW
from hanse.market.engine.columns import (
    ITEMS_PER_STAGE,
    NOT_QUEUED,
    REQUEST_ITEM,
    Facts,
    Rules,
    State,
)
from hanse.market.engine.control_plane import await_server, dequeue, enqueue, idle_server, occupy
from hanse.market.engine.events import pop
from hanse.market.engine.states import QUEUED
from hanse.market.kernels import borrow, kernel
from hanse.market.units import US_PER_S, Integers
from hanse.scenarios.selftest.checks import ON_ARRIVAL
from hanse.scenarios.selftest.oracle_worlds import queue_world
from hanse.scenarios.streams import stream

QUEUES: Final = ((1, 0.8), (4, 0.8), (16, 0.9))
"""Servers and utilisation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Seconds taken, and the wait of every job."""

    seconds: float
    wait_us: Integers


def main() -> None:
    """Play each queue with all three, turn by turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--repetitions", type=int, default=9)
    arguments = parser.parse_args()
    for play in (by_engine, by_queue):
        play(drawn(100, servers=1, utilisation=0.8, seed=0))  # compiles
    gc.freeze()
    for servers, utilisation in QUEUES:
        rounds = []
        for seed in range(arguments.repetitions):
            world = drawn(arguments.jobs, servers=servers, utilisation=utilisation, seed=seed)
            played = [by_simpy(world), by_engine(world), by_queue(world)]
            for other in played[1:]:
                assert (other.wait_us == played[0].wait_us).all(), "waits differ"
            rounds.append([one.seconds / arguments.jobs * 1e6 for one in played])
        us = np.array(rounds).T
        print(f"\nM/M/{servers} at {utilisation}, {arguments.jobs:,} jobs: the same waits in all")
        print_ratio("SimPy against the whole engine", us[0], us[1])
        print_ratio("SimPy against the engine's queue alone", us[0], us[2])


def drawn(n_jobs: int, *, servers: int, utilisation: float, seed: int) -> World:
    """Draw a queue of exponential services of one second in the mean."""
    rng = stream(seed, f"bench {servers} {utilisation}")
    service = rng.exponential(1.0, n_jobs)
    return queue_world(
        rng, n_jobs=n_jobs, servers=servers, utilisation=utilisation, service=service
    )


def by_engine(world: World) -> Played:
    """Build and run the whole engine."""
    started = perf_counter()
    model = ComputeMarket(world, ON_ARRIVAL, with_agents=False)
    ledger = model.run_to_horizon()
    seconds = perf_counter() - started
    release(model)
    return Played(seconds=seconds, wait_us=ledger.time_us[:, QUEUED].copy())


def by_queue(world: World) -> Played:
    """Drive the engine's queue by arrivals alone, on columns it has allocated."""
    model = ComputeMarket(world, ON_ARRIVAL, with_agents=False)
    wait_us = np.zeros(world.workload.n_jobs, np.int64)
    service_us = service_us_of(world)
    started = perf_counter()
    assert (model.state.queue_next == NOT_QUEUED).all()
    play_queue(model.facts, model.rules, model.state, service_us, wait_us)
    seconds = perf_counter() - started
    release(model)
    return Played(seconds=seconds, wait_us=wait_us)


@kernel
def play_queue(  # noqa: PLR0917 - numba compiles no keyword-only arguments
    facts: Facts, rules: Rules, state: State, service_us: Integers, wait_us: Integers
) -> None:
    """Let every job arrive, wait for a server and be served."""
    facts, rules, state = borrow(facts), borrow(rules), borrow(state)
    clock, n_arrived, n_jobs = state.clock, 0, len(facts.arrival_us)
    while n_arrived < n_jobs or clock[HEAP_SIZE] > 0:
        due_us = state.heap[0]["at_us"] if clock[HEAP_SIZE] > 0 else np.int64(1) << 62
        if n_arrived < n_jobs and facts.arrival_us[n_arrived] <= due_us:
            clock[NOW] = facts.arrival_us[n_arrived]
            enqueue(state, 0, ITEMS_PER_STAGE * n_arrived + REQUEST_ITEM)
            n_arrived += 1
        else:
            clock[NOW] = due_us
            clock[HEAP_SIZE] = pop(state.heap, clock[HEAP_SIZE])
            state.plane[0]["serve_us"] = -1
        while state.plane[0]["queue_first"] >= 0:
            server = idle_server(rules, state, 0, clock[NOW])
            if state.server_free_us[server] > clock[NOW]:
                await_server(state, 0, state.server_free_us[server])
                break
            job = dequeue(state, 0) // ITEMS_PER_STAGE
            wait_us[job] = clock[NOW] - facts.arrival_us[job]
            occupy(rules, state, server, clock[NOW], service_us[job], 0)


def by_simpy(world: World) -> Played:
    """Play the queue as SimPy's users write it: a process per job, and a resource of c."""
    arrival_us = world.workload.job_arrival_us.tolist()
    service_us = service_us_of(world).tolist()
    wait_us = [0] * len(arrival_us)
    started = perf_counter()
    environment = simpy.Environment()
    servers = simpy.Resource(environment, capacity=int(world.terms.control_cores))

    def job(index: int) -> Generator[simpy.Event, object, None]:
        with servers.request() as turn:
            yield turn
            wait_us[index] = environment.now - arrival_us[index]
            yield environment.timeout(service_us[index])

    def arrivals() -> Generator[simpy.Event, object, None]:
        for index, at_us in enumerate(arrival_us):
            if at_us > environment.now:
                yield environment.timeout(at_us - environment.now)
            environment.process(job(index))

    environment.process(arrivals())
    environment.run()
    return Played(seconds=perf_counter() - started, wait_us=np.array(wait_us))


def service_us_of(world: World) -> Integers:
    """Return the service time of each job, rounded once as the engine does."""
    service_us: Integers = np.rint(world.workload.attempt_service[0] * US_PER_S).astype(np.int64)
    return service_us


if __name__ == "__main__":
    main()

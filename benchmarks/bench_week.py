"""How large a run may be: a week of many nodes and jobs, cleared each minute, on one core.

Run it with `python -m benchmarks.bench_week`, or with `--share 0.01` for a hundredth of its nodes
and jobs. It prints the time of each phase, the memory each phase adds at most, and what was
cleared; it asserts that both ledgers of time are conserved, and nothing else.
"""

import argparse
import gc
import resource
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Final, TypeVar

import numpy as np

from hanse.agents.model import ComputeMarket, release
from hanse.market.accounts.ledger import Ledger
from hanse.market.regime import regimes
from hanse.scenarios.draw import draw_world
from hanse.scenarios.measuring.measures import Measured, measure
from hanse.scenarios.measuring.run_tables import tables_of
from hanse.scenarios.run import warm_up
from hanse.scenarios.scenario import Scenario, load

KIB_PER_MIB: Final = 1024
RUN: Final = ("advance", "measure")
T = TypeVar("T")


class Phases:
    """Seconds of each phase, and by how much the peak of memory lies above that before all."""

    def __init__(self) -> None:
        self.before_mib = peak_mib()
        self.seconds: dict[str, float] = {}

    def run(self, name: str, phase: Callable[[], T]) -> T:
        """Run a phase and print what it took."""
        started, worked = perf_counter(), process_time()
        result = phase()
        self.seconds[name], core_s = perf_counter() - started, process_time() - worked
        above = peak_mib() - self.before_mib
        print(
            f"  {name:8s} {self.seconds[name]:6.2f} s, of which {core_s:6.2f} s on the processor; "
            f"peak {above:5.0f} MiB above imports"
        )
        return result


def main() -> None:
    """Run a week once, phase by phase."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the nodes and of the jobs")
    parser.add_argument("--regime", default="dynamic-central", choices=list(regimes))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"kernels compiled, or fetched, in {warm_up():.1f} s")
    gc.freeze()  # as the command line does
    scenario, phases = week(arguments.share), Phases()
    world = phases.run("draw", lambda: draw_world(scenario, arguments.seed))
    model = phases.run(
        "build", lambda: ComputeMarket(world, regimes[arguments.regime], with_agents=False)
    )
    ledger = phases.run("advance", model.run_to_horizon)
    release(model)  # the ledger keeps what the measures need
    measured = phases.run("measure", lambda: tabulated(measure(world, ledger)))
    n_jobs, run_s = world.workload.n_jobs, sum(phases.seconds[phase] for phase in RUN)
    print(f"{arguments.regime}: {world.fleet.n_nodes:,} nodes, {n_jobs:,} jobs, seed {world.seed}")
    print(f"  advance and measure: {run_s:.2f} s, {n_jobs / run_s:,.0f} jobs per second")
    describe(ledger)
    check(ledger, measured)


def week(share: float) -> Scenario:
    """Return the week, or a share of its nodes and jobs."""
    whole = load("week")
    keys = ("fleet.nodes", "load.model_calls", "load.batch_jobs")
    return whole.replace({key: round(whole.count(key) * share) for key in keys})


def tabulated(measured: Measured) -> Measured:
    """Lay out the tables as every run does."""
    tables_of(measured)
    return measured


def describe(ledger: Ledger) -> None:
    """Print how much happened."""
    record, plane = ledger.record, ledger.plane
    busy_us = np.minimum(record["end_us"], ledger.horizon_us) - record["accepted_us"]
    busy = float(busy_us.sum(dtype=float)) / len(ledger.unit) / ledger.horizon_us
    print(f"  units are busy for {busy:.0%} of the time; {len(record):,} occupations")
    print(f"  {ledger.n_events:,} events; {int(plane['n_decisions'].sum()):,} decisions")
    print(f"  {int(plane['n_edges'].sum()):,} edges; {ledger.n_certified:,} clearings certified")
    print(f"  {ledger.n_bounces:,} bounces; {int(ledger.lapsed_job.sum()):,} stages of lapsed jobs")


def check(ledger: Ledger, measured: Measured) -> None:
    """Assert that each unit and each stage has been accounted for at every microsecond."""
    occupancy, horizon_us = measured.occupancy, ledger.horizon_us
    at_sink = np.zeros(len(ledger.sink), np.int64)
    np.add.at(at_sink, occupancy.sink, occupancy.unit_us)
    units = np.bincount(ledger.unit["sink"], minlength=len(ledger.sink))
    assert (at_sink == units * horizon_us).all(), "unit time is not conserved"
    assert (occupancy.unit_us > 0).all(), "labelled time must be positive"
    ready_us = ledger.stage["ready_us"]
    alive_us = np.where(ready_us >= 0, horizon_us - ready_us, 0)
    assert (ledger.time_us.sum(axis=1) == alive_us).all(), "stage time is not conserved"
    print("  unit time is conserved at every sink, and stage time at every stage, exactly")


def peak_mib() -> float:
    """Return the most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB


if __name__ == "__main__":
    main()

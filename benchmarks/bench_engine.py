"""What a run costs: runs per second, where the time goes, and how cost grows with the jobs.

Run it with `python -m benchmarks.bench_engine`. It compares only what one process measures, turn by
turn, so that a busy machine slows both sides of a ratio; it asserts nothing.
"""

import argparse
import gc
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np

from hanse.agents.lowering import lower_facts
from hanse.agents.model import ComputeMarket, release
from hanse.market.regime import CENTRAL, Regime, regimes
from hanse.scenarios.draw import draw_world
from hanse.scenarios.measuring.measures import measure
from hanse.scenarios.measuring.run_tables import tables_of
from hanse.scenarios.run import sign_receipts, warm_up
from hanse.scenarios.scenario import Scenario, load

PHASES: Final = ("draw", "build", "advance", "measure", "verify")
PER_RUN: Final = ("build", "advance", "measure")
JOBS_OF_A_RUN: Final = 5_000
FEW_JOBS, MANY_JOBS = 1_000, 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Seconds of each phase of one run, and how much happened in it."""

    seconds: dict[str, float]
    n_jobs: int
    n_stages: int
    n_events: int
    busy_share: float

    @property
    def run_s(self) -> float:
        """Model, horizon and measures: what a run of a world takes that is drawn and lowered."""
        return sum(self.seconds[phase] for phase in PER_RUN)


def main() -> None:
    """Print the three answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regime", action="append", choices=list(regimes))
    parser.add_argument("--repetitions", type=int, default=9)
    arguments = parser.parse_args()
    print(f"kernels compiled, or fetched, in {warm_up():.1f} s")
    gc.freeze()  # as the command line does
    for name in arguments.regime or ["central", "dynamic-central", "market", "audited-market"]:
        runs_per_second(name, arguments.repetitions)
        for how in GROWTH:
            growth(name, max(3, arguments.repetitions // 3), how)


def runs_per_second(name: str, repetitions: int) -> None:
    """Time runs of 200 nodes and some 5,000 jobs, each on a world of its own."""
    runs = [timed(load("baseline"), regimes[name], seed) for seed in range(repetitions + 1)][1:]
    rate = np.array([1.0 / run.run_s for run in runs])
    jobs = np.mean([run.n_jobs for run in runs])
    print(f"\n{name}: 200 nodes, {jobs:.0f} jobs, both ledgers, {repetitions} runs")
    print(f"  runs per second: best {rate.max():.1f}, median {np.median(rate):.1f}")
    for phase in PHASES:
        ms = np.array([run.seconds[phase] for run in runs]) * 1_000
        print(f"  {phase:8s} best {ms.min():8.2f} ms, median {np.median(ms):8.2f} ms")
    events = np.median([run.seconds["advance"] / run.n_events for run in runs])
    print(f"  advance per event: median {events * 1e9:.0f} ns")


def growth(name: str, repetitions: int, how: str) -> None:
    """Compare the cost per job of many jobs with that of few, at the same utilisation.

    Small and large runs take turns; ten small ones to a large one, for they are short.
    """
    cost: dict[int, list[Timed]] = {FEW_JOBS: [], MANY_JOBS: []}
    for seed in range(repetitions):
        for n_jobs, turns in ((FEW_JOBS, 10), (MANY_JOBS, 1)):
            scenario = GROWTH[how](n_jobs)
            cost[n_jobs] += [timed(scenario, regimes[name], 10 * seed + k) for k in range(turns)]
    few, many = cost[FEW_JOBS], cost[MANY_JOBS]
    print(f"  {MANY_JOBS:,} jobs against {FEW_JOBS:,}, {how} growing with them; cost per job:")
    busy = [np.mean([run.busy_share for run in runs]) for runs in (many, few)]
    print(f"    units are busy for {busy[0]:.0%} of the time against {busy[1]:.0%}")
    compare("run", many, few, seconds=lambda run: run.run_s)
    compare("advance", many, few, seconds=lambda run: run.seconds["advance"])


def compare(part: str, *sizes: list[Timed], seconds: Callable[[Timed], float]) -> None:
    """Print what a job costs in large and in small runs, and the ratio of the two."""
    large, small = (np.array([seconds(run) / run.n_jobs * 1e6 for run in runs]) for runs in sizes)
    ratio, best = np.median(large) / np.median(small), large.min() / small.min()
    print(
        f"    {part:8s} {np.median(large):6.1f} against {np.median(small):6.1f} us: "
        f"ratio of medians {ratio:.2f}, of bests {best:.2f} (n = {len(large)} and {len(small)})"
    )


def with_horizon(n_jobs: int) -> Scenario:
    """Lengthen the run: model calls alone, for batch jobs are capped at the horizon."""
    share = n_jobs / FEW_JOBS
    return load("baseline").replace(
        {
            "fleet.nodes": 40,
            "fleet.occupied_share": 0.0,
            "load.model_calls": n_jobs,
            "load.batch_jobs": 0,
            "measurement.horizon_s": 250.0 * share,
            "measurement.displacement_instants": round(100 * share),
        }
    )


def with_nodes(n_jobs: int) -> Scenario:
    """Enlarge the market: nodes and arrivals of both families, within the same hour."""
    baseline = load("baseline")
    share = n_jobs / JOBS_OF_A_RUN
    keys = ("fleet.nodes", "load.model_calls", "load.batch_jobs")
    return baseline.replace({key: round(baseline.count(key) * share) for key in keys})


GROWTH: Final[dict[str, Callable[[int], Scenario]]] = {
    "the horizon": with_horizon,
    "the nodes": with_nodes,
}


def timed(scenario: Scenario, regime: Regime, seed: int) -> Timed:
    """Draw, run, measure and verify once, and time each phase.

    Lowering, once for all regimes on a world, counts to drawing.
    """
    marks = [perf_counter()]
    world = draw_world(scenario, seed)
    lowered = lower_facts(world, CENTRAL)
    marks.append(perf_counter())
    model = ComputeMarket(world, regime, with_agents=False, lowered=lowered)
    marks.append(perf_counter())
    ledger = model.run_to_horizon()
    marks.append(perf_counter())
    tables_of(measure(world, ledger))
    marks.append(perf_counter())
    sign_receipts(world, ledger)
    marks.append(perf_counter())
    release(model)
    seconds = dict(zip(PHASES, np.diff(marks).tolist(), strict=True))
    record = ledger.record
    busy_us = np.minimum(record["end_us"], ledger.horizon_us) - record["accepted_us"]
    return Timed(
        seconds=seconds,
        n_jobs=world.workload.n_jobs,
        n_stages=world.workload.n_stages,
        n_events=ledger.n_events,
        busy_share=float(busy_us.sum()) / len(ledger.unit) / ledger.horizon_us,
    )


if __name__ == "__main__":
    main()

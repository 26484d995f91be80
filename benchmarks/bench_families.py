"""What a job costs to run, family by family: jobs per second in small and in large markets.

Run it with `python -m benchmarks.bench_families`. In each round every family runs once at each
size, turn by turn, so that a busy machine slows all sides of a ratio; it asserts nothing.
"""

import argparse
import gc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.bench_engine import Timed, timed
from hanse.market.regime import regimes
from hanse.market.units import Floats
from hanse.scenarios.run import warm_up
from hanse.scenarios.scenario import Scenario, Value, load

FAMILIES: Final[dict[str, dict[str, Value]]] = {
    "model_call": {"load.model_calls": 4_600},
    "batch": {"load.batch_jobs": 400},
    "inference": {"load.inference_jobs": 4_600},
    "agentic": {"load.agentic_jobs": 2_000},
    "multimodal": {"load.multimodal_jobs": 1_000},
    "training": {"load.training_jobs": 6, "load.training_steps": 50},
    "hybrid": {"load.hybrid_jobs": 60},
    "pipeline": {"load.pipeline_jobs": 8},
}
"""Some thousand stages of each at 200 nodes; more nodes have as many more jobs."""
NODES: Final = (200, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Jobs per second of runs of one family at one size, in the order of the rounds.

    `stages` is how many stages a job of each round's world has on average.
    """

    n_jobs: int
    stages: Floats
    per_s: Floats


def main() -> None:
    """Print jobs per second of each family at each size, and the ratio of cost per job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regime", default="dynamic-central", choices=list(regimes))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--nodes", type=int, nargs="+", default=list(NODES))
    arguments = parser.parse_args()
    print(f"kernels compiled, or fetched, in {warm_up():.1f} s")
    gc.freeze()  # as the command line does
    print(f"{arguments.regime}: model, horizon and measures; median (least to most) over rounds")
    runs = measured(arguments.regime, arguments.nodes, arguments.repetitions)
    for name in FAMILIES:
        told(name, [(nodes, runs[name, nodes]) for nodes in arguments.nodes])


def measured(regime: str, sizes: Sequence[int], repetitions: int) -> dict[tuple[str, int], Rates]:
    """Time every family at every size, round by round, after one round that does not count."""
    found: dict[tuple[str, int], list[Timed]] = {}
    for seed in range(repetitions + 1):
        for name in FAMILIES:
            for nodes in sizes:
                run = timed(of_family(name, nodes), regimes[regime], seed)
                found.setdefault((name, nodes), []).append(run)
    return {
        key: Rates(
            n_jobs=runs[-1].n_jobs,
            stages=np.array([run.n_stages / run.n_jobs for run in runs[1:]]),
            per_s=np.array([run.n_jobs / run.run_s for run in runs[1:]]),
        )
        for key, runs in found.items()
    }


def of_family(name: str, nodes: int) -> Scenario:
    """Return jobs of one family alone, as many more as there are more nodes."""
    share = nodes / NODES[0]
    load_of_it: dict[str, Value] = {
        key: max(1, round(float(value) * share)) if key.endswith(("_jobs", "_calls")) else value
        for key, value in FAMILIES[name].items()
        if not isinstance(value, str | tuple)
    }
    empty: dict[str, Value] = {"load.model_calls": 0, "load.batch_jobs": 0, "fleet.nodes": nodes}
    return load("baseline").replace(empty | load_of_it)


def told(name: str, sizes: Sequence[tuple[int, Rates]]) -> None:
    """Print one family at each size, and how much more a job costs at each than at the first."""
    first = sizes[0][1]
    for nodes, rates in sizes:
        line = f"  {name:10s} {nodes:7,} nodes, {rates.n_jobs:8,} jobs of "
        line += f"{spread(rates.stages, decimals=1)} stages: {spread(rates.per_s)} jobs a s"
        if rates is not first:
            line += f"; a job costs {spread(first.per_s / rates.per_s, decimals=2)} times as much"
        print(line)


def spread(values: Floats, *, decimals: int = 0) -> str:
    """Write the median, and the least and the most."""
    middle, low, high = np.median(values), values.min(), values.max()
    return f"{middle:,.{decimals}f} ({low:,.{decimals}f} to {high:,.{decimals}f})"


if __name__ == "__main__":
    main()

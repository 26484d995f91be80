"""Sweep: the one place for designs, a full factorial of settings over the same seeds."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from time import perf_counter

import pyarrow as pa
import pyarrow.compute as pc

from hanse.market.regime import Rung, ladder
from hanse.scenarios.executors import available_workers
from hanse.scenarios.experiment import (
    Task,
    account,
    checked_seeds,
    kept,
    run_tasks,
    trace_digest,
)
from hanse.scenarios.paired import INTERVAL, paired_cube
from hanse.scenarios.results import Results
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.traces import Trace


def sweep(
    scenario: Scenario,
    settings: Mapping[str, Sequence[object]],
    *,
    regimes: Sequence[Rung] = ladder,
    seeds: Iterable[int],
    workers: int | None = None,
    progress: bool = False,
    trace: Trace | None = None,
) -> Results:
    """Run the regimes at every combination of the settings, on the same seeds at each.

    Every setting is checked before anything runs. A run that fails later is a row of `failures`.
    Rows carry the key `point`; the table `points` says which settings it stands for. Differences
    are only formed between rungs that are neighbours on the ladder.

    Parameters
    ----------
    settings : values by parameter, each as `--set` would take it.
    """
    points, variants = design(scenario, settings)
    listed = checked_seeds(seeds)
    tasks = [
        Task(keys={"scenario": scenario.name, "point": k}, scenario=variant, seed=seed)
        for k, variant in enumerate(variants)
        for seed in listed
    ]
    begun = perf_counter()
    outcomes = run_tasks(tasks, regimes, workers=workers, progress=progress, trace=trace)
    tables = kept(tasks, regimes, outcomes)
    tables |= _by_point(
        tables, n_points=len(points), rungs=[rung.name for rung in regimes], seeds=listed
    )
    manifest = account(scenario, tasks=tasks, regimes=regimes, outcomes=outcomes) | {
        "command": "sweep",
        "trace": trace_digest(trace),
        "interval": INTERVAL,
        "settings": {key: [str(value) for value in values] for key, values in settings.items()},
        "workers": workers or available_workers(),
        "elapsed_s": round(perf_counter() - begun, 3),
    }
    return Results(tables=tables | {"points": _points_table(points)}, manifest=manifest)


def design(
    scenario: Scenario, settings: Mapping[str, Sequence[object]]
) -> tuple[list[dict[str, str]], list[Scenario]]:
    """Combine the settings into points, and the scenario at each; settings that go together may.

    Raises
    ------
    ScenarioError
        If a setting is not allowed, or no world fits a combination.
    """
    for key, values in settings.items():
        if not values:
            raise ValueError(f"{key} needs at least one value to sweep over")
    texts = [[str(value) for value in values] for values in settings.values()]
    points = [dict(zip(settings, values, strict=True)) for values in product(*texts)]
    variants = [
        scenario.with_settings(f"{key}={value}" for key, value in point.items()) for point in points
    ]
    return points, variants


def _points_table(points: Sequence[Mapping[str, str]]) -> pa.Table:
    columns = {key: pa.array([point[key] for point in points]) for key in points[0]}
    return pa.table({"point": pa.array(range(len(points)), pa.int64())} | columns)


def _by_point(
    tables: Mapping[str, pa.Table], *, n_points: int, rungs: Sequence[str], seeds: Sequence[int]
) -> dict[str, pa.Table]:
    """Form levels and differences at each point by itself."""
    pieces: dict[str, list[pa.Table]] = {"levels": [], "differences": []}
    for point in range(n_points):
        here = {
            name: tables[name].filter(pc.equal(tables[name]["point"], point))
            for name in ("runs", "measures", "sync_cost")
            if name in tables
        }
        cube = paired_cube(here, rungs, seeds)
        for name, table in (("levels", cube.levels()), ("differences", cube.differences())):
            column = pa.array([point] * table.num_rows, pa.int64())
            pieces[name].append(table.add_column(0, "point", column))
    return {name: pa.concat_tables(parts).combine_chunks() for name, parts in pieces.items()}

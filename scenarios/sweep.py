"""Sweep: the one place where a design meets the same seeds at each of its points."""

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter

import pyarrow as pa

from hanse.market.regime import Rung, ladder
from hanse.scenarios.analysis.designs import Design, full_factorial, texts_of
from hanse.scenarios.drawing.traces import Trace
from hanse.scenarios.experiment import (
    Outcomes,
    Task,
    account,
    checked_seeds,
    kept,
    run_tasks,
    trace_digest,
)
from hanse.scenarios.paired import INTERVAL, paired_cube
from hanse.scenarios.results import Results
from hanse.scenarios.running.executors import told_workers
from hanse.scenarios.running.store import Store
from hanse.scenarios.running.tasks import Cell
from hanse.scenarios.scenario import Scenario


def sweep(
    scenario: Scenario,
    settings: Mapping[str, Sequence[object]] | Design,
    *,
    regimes: Sequence[Rung] = ladder,
    seeds: Iterable[int],
    workers: object | None = None,
    progress: bool = False,
    trace: Trace | None = None,
    store: Store | None = None,
) -> Results:
    """Run the regimes at every combination of the settings, on the same seeds at each.

    Every setting is checked before anything runs. A run that fails later is a row of `failures`.
    Rows carry the key `point`; the table `points` says which settings it stands for. Differences
    are only formed between rungs that are neighbours on the ladder.

    Parameters
    ----------
    settings : values by parameter, each as `--set` would take it; or a design, of which every
        point is run.
    workers, store : see `run_tasks`.
    """
    points, variants = design(scenario, settings)
    listed = checked_seeds(seeds)
    tasks = [
        Task(keys={"scenario": scenario.name, "point": k}, scenario=variant, seed=seed)
        for k, variant in enumerate(variants)
        for seed in listed
    ]
    begun = perf_counter()
    outcomes = run_tasks(
        tasks,
        regimes,
        workers=workers,
        progress=progress,
        trace=trace,
        store=store,
    )
    rungs = [rung.name for rung in regimes]
    tables = kept(tasks, regimes, outcomes) | _by_point(outcomes, tasks, rungs=rungs, seeds=listed)
    manifest = account(scenario, tasks=tasks, regimes=regimes, outcomes=outcomes) | {
        "command": "sweep",
        "trace": trace_digest(trace),
        "interval": INTERVAL,
        "settings": texts_of(settings),
        "workers": told_workers(workers),
        "elapsed_s": round(perf_counter() - begun, 3),
    }
    return Results(tables=tables | {"points": _points_table(points)}, manifest=manifest)


def design(
    scenario: Scenario, settings: Mapping[str, Sequence[object]] | Design
) -> tuple[Sequence[Mapping[str, Cell]], list[Scenario]]:
    """Combine the settings into points, and the scenario at each; settings that go together may.

    Raises
    ------
    ScenarioError
        If a setting is not allowed, or no world fits a combination.
    """
    if isinstance(settings, Design):
        return settings.cells(), list(settings.scenarios(scenario))
    return full_factorial(scenario, settings)


def _points_table(points: Sequence[Mapping[str, Cell]]) -> pa.Table:
    keys = dict.fromkeys(key for point in points for key in point)
    columns = {key: pa.array([point.get(key) for point in points]) for key in keys}
    return pa.table({"point": pa.array(range(len(points)), pa.int64())} | columns)


def _by_point(
    outcomes: Outcomes, tasks: Sequence[Task], *, rungs: Sequence[str], seeds: Sequence[int]
) -> dict[str, pa.Table]:
    """Form levels and differences at each point by itself, with no more than a point in memory."""
    numbers: dict[int, list[int]] = {}
    for number, task in enumerate(tasks):
        numbers.setdefault(int(task.keys["point"]), []).append(number)
    pieces: dict[str, list[pa.Table]] = {"levels": [], "differences": []}
    for point, here in numbers.items():
        tables = {name: outcomes.table(name, here) for name in ("runs", "measures", "sync_cost")}
        cube = paired_cube({k: t for k, t in tables.items() if t is not None}, rungs, seeds)
        for name, table in (("levels", cube.levels()), ("differences", cube.differences())):
            column = pa.array([point] * table.num_rows, pa.int64())
            pieces[name].append(table.add_column(0, "point", column))
    return {name: pa.concat_tables(parts).combine_chunks() for name, parts in pieces.items()}

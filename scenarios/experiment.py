"""Experiment: the one place where regimes meet the same worlds, one world per seed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from time import perf_counter
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hanse.agents.world import World
from hanse.market.geography import Geography
from hanse.market.regime import Rung, ladder
from hanse.scenarios.batches import Packed, run_batches
from hanse.scenarios.draw import draw_world
from hanse.scenarios.executors import crew_for, told_workers
from hanse.scenarios.integrity import Replications
from hanse.scenarios.paired import INTERVAL, paired_cube, skipped_rungs
from hanse.scenarios.parts import Collection, InMemory, Mark, names_of, pack, stacked
from hanse.scenarios.plans import plan_of, trace_digest
from hanse.scenarios.premiums import premium_table
from hanse.scenarios.progress import Progress
from hanse.scenarios.results import Results, Shelf, provenance
from hanse.scenarios.scenario import Scenario, describe_parameters
from hanse.scenarios.store import Store
from hanse.scenarios.tasks import Cell, Outcome, Task, lost_outcome, run_keys, run_task
from hanse.scenarios.traces import Trace
from hanse.scenarios.worker import run_batch

__all__ = [
    "Comparison",
    "Outcome",
    "Outcomes",
    "Task",
    "account",
    "checked_seeds",
    "compare",
    "kept",
    "run_task",
    "run_tasks",
    "trace_digest",
]

# The measure whose difference between the last rung and the first the bar shows.
OUTCOME_OF_INTEREST: Final = "welfare_usd"


# Tables whose files are smaller together are read once, and not whenever they are asked for.
IN_MEMORY_BYTES: Final = 16_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What became of the tasks of an experiment: parts in whatever order, and their schema."""

    keys: Mapping[str, Cell]
    collection: Collection

    def table(self, name: str, numbers: Iterable[int] | None = None) -> pa.Table | None:
        """Put one table together in the order of the tasks, of all or of those numbered."""
        return stacked(self.collection.parts(), name, numbers)

    def marks(self) -> list[Mark]:
        """Return what is known of each task, in the order of the tasks."""
        marks = [mark for part in self.collection.parts() for mark in part.marks]
        return sorted(marks, key=lambda mark: mark.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The ladder on the same worlds, step by step, per workload family.

    There is no way to ask for the last rung minus the first alone: `differences` holds that row
    only below the steps that make it up.
    """

    results: Results

    @property
    def differences(self) -> pd.DataFrame:
        """Return paired differences of each rung from the one before, with intervals."""
        return self.results.frame("differences")

    @property
    def levels(self) -> pd.DataFrame:
        """Return the mean of each measure on each rung, with intervals over seeds."""
        return self.results.frame("levels")

    @property
    def failures(self) -> pd.DataFrame:
        """Return one row for each run that did not end, with its seed and its error."""
        return self.results.frame("failures")


def compare(
    scenario: Scenario,
    *,
    seeds: Iterable[int],
    regimes: Sequence[Rung] = ladder,
    workers: object | None = None,
    progress: bool = False,
    trace: Trace | None = None,
    store: Store | None = None,
) -> Comparison:
    """Walk the ladder on the same worlds, one world per seed.

    Parameters
    ----------
    seeds : distinct and not negative; fewer than two give no interval.
    regimes : consecutive rungs; a gap would hide which change made the difference.
    workers, store : see `run_tasks`.
    """
    gap = skipped_rungs([rung.name for rung in regimes])
    if gap is not None:
        raise ValueError(f"regimes must be consecutive rungs, but {gap[1]} follows {gap[0]}")
    keys = {"scenario": scenario.name}
    tasks = [Task(keys=keys, scenario=scenario, seed=seed) for seed in checked_seeds(seeds)]
    begun = perf_counter()
    # Drawn once more, here: what is wrong with every world is the scenario's error, not a failure.
    world = draw_world(scenario, tasks[0].seed, trace=trace)
    outcomes = run_tasks(
        tasks,
        regimes,
        workers=workers,
        progress=progress,
        trace=trace,
        store=store,
    )
    tables = kept(tasks, regimes, outcomes) | {
        "regions": regions_table(world.geography),
        "premiums": premiums_table(world),
    }
    cube = paired_cube(tables, [rung.name for rung in regimes], [task.seed for task in tasks])
    tables |= {"levels": cube.levels(), "differences": cube.differences()}
    manifest = account(scenario, tasks=tasks, regimes=regimes, outcomes=outcomes) | {
        "command": "compare",
        "trace": trace_digest(trace),
        "interval": INTERVAL,
        "workers": told_workers(workers),
        "elapsed_s": round(perf_counter() - begun, 3),
    }
    return Comparison(results=Results(tables=tables, manifest=manifest))


def checked_seeds(seeds: Iterable[int]) -> list[int]:
    """Return the seeds as a list; raise `ValueError` for none, or for one that comes twice."""
    listed = list(seeds)
    twice = [seed for seed, times in Counter(listed).items() if times > 1]
    if not listed:
        raise ValueError("seeds must be at least one, got none")
    if twice:
        raise ValueError(f"seeds must be distinct, got {twice[0]} more than once")
    return listed


def run_tasks(
    tasks: Sequence[Task],
    regimes: Sequence[Rung],
    *,
    workers: object | None,
    progress: bool,
    trace: Trace | None,
    store: Store | None = None,
) -> Outcomes:
    """Run every regime on the world of every task, with a bar on stderr if wanted.

    Parameters
    ----------
    workers : how many processes, forked from this one; where None, as many as there are cores. Or
        an executor with the interface of `concurrent.futures`, or a `distributed.Client`.
    store : folder in which every batch is kept as it finishes, and from which to go on.

    Raises
    ------
    ReplicationsRepeat
        If two tasks are the same, or two seeds of a point drew the same world.
    StoreError
        If the store was begun for something else, is damaged, or has no room.
    """
    replications = Replications(tasks)
    collection: Collection = InMemory()
    if store is not None:
        store.begin(plan_of(tasks, regimes, trace))
        collection = store
    outcomes = Outcomes(keys=run_keys(tasks[0], regimes[0]), collection=collection)
    done = outcomes.marks()
    for mark in done:
        replications.check(mark)
    left = sorted(set(range(len(tasks))) - {mark.number for mark in done})
    work = partial(run_batch, regimes=regimes, trace=trace, watch=OUTCOME_OF_INTEREST)

    def give_up(number: int, times: int) -> Packed:
        outcome = lost_outcome(tasks[number], regimes=regimes, times=times)
        part = pack([(number, outcome)], keys=outcomes.keys, watch=OUTCOME_OF_INTEREST)
        return Packed(part=part, seconds=0.0)

    crew = crew_for(work, tasks, workers=workers, n_waiting=len(left))
    with Progress(len(tasks), regimes, is_shown=progress) as bar:
        bar.take(done)
        for answer in run_batches(crew, left, give_up=give_up):
            part = collection.add(answer.part)
            for mark in part.marks:
                replications.check(mark)
            bar.take(part.marks)
    return outcomes


def kept(tasks: Sequence[Task], regimes: Sequence[Rung], outcomes: Outcomes) -> Shelf:
    """Stack the tables of all runs, and add what ran, what failed, and the rungs in order."""
    assert len(outcomes.marks()) == len(tasks)
    rungs = [
        {"rung": rung.name, "title": rung.title, "change": rung.change, **rung.regime.parts()}
        for rung in regimes
    ]
    more = {"rungs": pa.Table.from_pylist(rungs)}
    collection = outcomes.collection
    if isinstance(collection, Store):
        files = collection.compact({})
        if sum(file.stat().st_size for file in files.values()) <= IN_MEMORY_BYTES:
            more |= {name: pq.read_table(file) for name, file in files.items()}
        return Shelf(tables=more, files=files)
    parts = collection.parts()
    tables = {name: stacked(parts, name) for name in names_of(parts)}
    return Shelf(tables=tables | more, files={})


def account(
    scenario: Scenario, *, tasks: Sequence[Task], regimes: Sequence[Rung], outcomes: Outcomes
) -> dict[str, object]:
    """Say in the manifest what was asked, of which worlds, with which code, and what it cost.

    Under `phase_s` stands measured time, the sum over all workers.
    """
    phase_s: dict[str, float] = {}
    for mark in outcomes.marks():
        for phase, seconds in mark.seconds.items():
            phase_s[phase] = phase_s.get(phase, 0.0) + seconds
    runs = outcomes.table("runs")
    assert runs is not None
    worlds = {_world_name(row): row["world_digest"] for row in runs.to_pylist()}
    return provenance() | {
        "scenario": {
            "name": scenario.name,
            "title": scenario.title,
            "question": scenario.question,
            "values": dict(scenario.values),
        },
        "parameters": [asdict(parameter) for parameter in describe_parameters()],
        "seeds": sorted({task.seed for task in tasks}),
        "regimes": {rung.name: dict(rung.regime.parts()) for rung in regimes},
        "runs": runs.num_rows,
        "failures": sum(mark.rows["failures"] for mark in outcomes.marks()),
        "worlds": worlds,
        "phase_s": {phase: round(seconds, 3) for phase, seconds in phase_s.items()},
    }


def regions_table(geography: Geography) -> pa.Table:
    """Tabulate where the regions lie, for maps."""
    law = np.array(geography.jurisdiction, dtype=object)[geography.region_jurisdiction]
    return pa.table(
        {
            "region": pa.array(list(geography.region)),
            "jurisdiction": pa.array(law.tolist(), pa.string()),
            "latitude": geography.latitude,
            "longitude": geography.longitude,
        }
    )


def premiums_table(world: World) -> pa.Table:
    """Tabulate what verification would add to an accelerator-hour, for each pair of regions."""
    columns = premium_table(world)
    return pa.table({name: pa.array(column.tolist()) for name, column in columns.items()})


def _world_name(keys: Mapping[str, Cell]) -> str:
    point = f"point {keys['point']}, " if "point" in keys else ""
    return f"{point}seed {keys['seed']}"

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

from hanse.agents.world import World
from hanse.market.geography import Geography
from hanse.market.regime import Rung, ladder
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.traces import Trace
from hanse.scenarios.integrity import Replications
from hanse.scenarios.paired import INTERVAL, paired_cube, skipped_rungs
from hanse.scenarios.results import Results, Shelf, provenance
from hanse.scenarios.running.batches import Packed, run_batches
from hanse.scenarios.running.executors import crew_for, told_workers
from hanse.scenarios.running.parts import Collection, InMemory, Part, pack
from hanse.scenarios.running.plans import plan_of, trace_digest
from hanse.scenarios.running.progress import Progress
from hanse.scenarios.running.stacking import names_of, stacked
from hanse.scenarios.running.store import Store
from hanse.scenarios.running.tasks import Cell, Task, lost, run_task
from hanse.scenarios.running.worker import run_batch
from hanse.scenarios.scenario import Scenario, describe_parameters
from hanse.scenarios.studies.premiums import premium_table

__all__ = [
    "Comparison",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What became of the tasks of an experiment: parts, in whatever order.

    Runs are numbered task by task, and in each in the order of the regimes.
    """

    n_regimes: int
    collection: Collection

    def table(self, name: str, tasks: Sequence[int] | None = None) -> pa.Table | None:
        """Put one table together in the order of the runs, of all tasks or of those numbered."""
        runs = None
        if tasks is not None:
            first = np.array(tasks)[:, None] * self.n_regimes
            runs = (first + np.arange(self.n_regimes)).ravel().tolist()
        return stacked(self.collection.parts(), name, runs)

    @property
    def n_runs(self) -> int:
        """Count the runs that ended, well or not."""
        return sum(len(part.runs) for part in self.collection.parts())

    @property
    def seconds(self) -> Mapping[str, float]:
        """Add up measured time by phase, over all runs and workers."""
        total: Counter[str] = Counter()
        for part in self.collection.parts():
            total.update(part.seconds)
        return total


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
    n_regimes = len(regimes)
    course = _Course(tasks, regimes)
    collection: Collection = InMemory()
    if store is not None:
        store.begin(plan_of(tasks, regimes, trace))
        collection = store
    with Progress(len(tasks), regimes, is_shown=progress) as bar:
        for part in collection.parts():
            course.take(part)
            bar.take(part)
        work = partial(run_batch, regimes=regimes, trace=trace, watch=OUTCOME_OF_INTEREST)
        crew = crew_for(work, _ByRun(tasks, n_regimes), workers=workers, n_waiting=course.n_left)
        for answer in run_batches(
            crew,
            course.left(),
            give_up=course.give_up,
            n_together=n_regimes,
            known=course.known,
        ):
            part = collection.add(answer.part)
            course.take(part)
            bar.take(part)
    return Outcomes(n_regimes=n_regimes, collection=collection)


def kept(tasks: Sequence[Task], regimes: Sequence[Rung], outcomes: Outcomes) -> Shelf:
    """Stack the tables of all runs, and add what ran, what failed, and the rungs in order."""
    assert outcomes.n_runs == len(tasks) * len(regimes)
    rungs = [
        {"rung": rung.name, "title": rung.title, "change": rung.change, **rung.regime.parts()}
        for rung in regimes
    ]
    more = {"rungs": pa.Table.from_pylist(rungs)}
    collection = outcomes.collection
    if isinstance(collection, Store):
        return Shelf(tables=more, files=collection.compact())
    parts = collection.parts()
    tables = {name: stacked(parts, name) for name in names_of(parts)}
    return Shelf(tables=tables | more, files={})


def account(
    scenario: Scenario, *, tasks: Sequence[Task], regimes: Sequence[Rung], outcomes: Outcomes
) -> dict[str, object]:
    """Say in the manifest what was asked, of which worlds, with which code, and what it cost.

    Under `phase_s` stands measured time, the sum over all workers.
    """
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
        "failures": outcomes.n_runs - runs.num_rows,
        "worlds": worlds,
        "phase_s": {phase: round(seconds, 3) for phase, seconds in outcomes.seconds.items()},
    }


class _ByRun(Sequence[Task]):
    """The task of each run, by the number of the run."""

    def __init__(self, tasks: Sequence[Task], n_regimes: int) -> None:
        self._tasks, self._n_regimes = tasks, n_regimes

    def __len__(self) -> int:
        return len(self._tasks) * self._n_regimes

    def __getitem__(self, number: int) -> Task:  # type: ignore[override]
        return self._tasks[number // self._n_regimes]


class _Course:
    """Which runs are left, that worlds differ, and the references of those that were begun."""

    def __init__(self, tasks: Sequence[Task], regimes: Sequence[Rung]) -> None:
        self._tasks, self._regimes, self._n_regimes = tasks, regimes, len(regimes)
        self._replications = Replications(tasks)
        self._left = dict.fromkeys(range(len(tasks) * len(regimes)))
        self._references: dict[int, Sequence[float]] = {}

    def take(self, part: Part) -> None:
        """Take in what a batch left; raise `ReplicationsRepeat` where two seeds are one."""
        self._references.update(part.references)
        for number, luck in zip(part.runs.tolist(), part.luck, strict=True):
            self._replications.check(number // self._n_regimes, luck)
            del self._left[number]

    def left(self) -> list[int]:
        """List the runs that have not ended."""
        return list(self._left)

    @property
    def n_left(self) -> int:
        """Count the worlds of these."""
        return len({number // self._n_regimes for number in self._left})

    def known(self, runs: Sequence[int]) -> dict[int, Sequence[float]]:
        """Return the references of the worlds of these runs, as far as they were worked out."""
        worlds = dict.fromkeys(number // self._n_regimes for number in runs)
        return {w: self._references[w] for w in worlds if w in self._references}

    def give_up(self, number: int, times: int) -> Packed[bytes]:
        """Answer for a run whose process died so many times."""
        world, rung = divmod(number, self._n_regimes)
        part = pack([(number, lost(self._tasks[world], self._regimes[rung], times=times))])
        return Packed(part=part, done=(number,), seconds=0.0)


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

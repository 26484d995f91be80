"""Experiment: the one place where regimes meet the same worlds, one world per seed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from time import perf_counter

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from hanse.agents.world import World
from hanse.market.geography import Geography
from hanse.market.regime import Rung, ladder
from hanse.scenarios.draw import draw_world
from hanse.scenarios.executors import available_workers, run_in_order
from hanse.scenarios.paired import INTERVAL, paired_cube, skipped_rungs
from hanse.scenarios.premiums import premium_table
from hanse.scenarios.results import Cell, Results, collect, provenance, table_of
from hanse.scenarios.run import RunResult, run_world
from hanse.scenarios.scenario import Scenario, describe_parameters
from hanse.scenarios.traces import Trace
from hanse.scenarios.yardstick import measure_yardstick


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One world to draw; `keys` lead every row of what runs on it."""

    keys: Mapping[str, Cell]
    scenario: Scenario
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one task: the runs that ended, and a row for each that did not."""

    runs: tuple[tuple[Mapping[str, Cell], RunResult], ...]
    failures: tuple[Mapping[str, Cell], ...]
    draw_s: float
    reference_s: float = 0.0


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
    workers: int | None = None,
    progress: bool = False,
    trace: Trace | None = None,
) -> Comparison:
    """Walk the ladder on the same worlds, one world per seed.

    Parameters
    ----------
    seeds : distinct and not negative; fewer than two give no interval.
    regimes : consecutive rungs; a gap would hide which change made the difference.
    workers : where None, as many as there are cores.
    """
    gap = skipped_rungs([rung.name for rung in regimes])
    if gap is not None:
        raise ValueError(f"regimes must be consecutive rungs, but {gap[1]} follows {gap[0]}")
    keys = {"scenario": scenario.name}
    tasks = [Task(keys=keys, scenario=scenario, seed=seed) for seed in checked_seeds(seeds)]
    begun = perf_counter()
    # Drawn once more, here: what is wrong with every world is the scenario's error, not a failure.
    world = draw_world(scenario, tasks[0].seed, trace=trace)
    outcomes = run_tasks(tasks, regimes, workers=workers, progress=progress, trace=trace)
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
        "workers": workers or available_workers(),
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
    workers: int | None,
    progress: bool,
    trace: Trace | None,
) -> list[Outcome]:
    """Run every regime on the world of every task, with a bar on stderr if wanted."""
    work = partial(run_task, regimes=regimes, trace=trace)
    with tqdm(total=len(tasks), unit="world", disable=not progress) as bar:
        return run_in_order(work, tasks, workers=workers or available_workers(), on_done=bar.update)


def run_task(task: Task, *, regimes: Sequence[Rung], trace: Trace | None = None) -> Outcome:
    """Draw one world and run the regimes on it; what goes wrong becomes a row."""
    begun = perf_counter()
    try:
        world = draw_world(task.scenario, task.seed, trace=trace)
        draw_s = perf_counter() - begun
        yardstick = measure_yardstick(world)
    except Exception as error:  # noqa: BLE001 - without a world or a yardstick no regime ran
        rows = [_failure(task, rung, error) for rung in regimes]
        return Outcome(runs=(), failures=tuple(rows), draw_s=perf_counter() - begun)
    runs, failures, digest = [], [], world.digest()
    for rung in regimes:
        try:
            run = run_world(world, rung.regime, name=rung.name, digest=digest, yardstick=yardstick)
            runs.append((_keys(task, rung), run))
        except Exception as error:  # noqa: BLE001 - the other rungs of this world still count
            failures.append(_failure(task, rung, error))
    return Outcome(
        runs=tuple(runs),
        failures=tuple(failures),
        draw_s=draw_s,
        reference_s=yardstick.seconds,
    )


def kept(
    tasks: Sequence[Task], regimes: Sequence[Rung], outcomes: Sequence[Outcome]
) -> dict[str, pa.Table]:
    """Stack the tables of all runs, and add what ran, what failed, and the rungs in order."""
    runs = [run for outcome in outcomes for run in outcome.runs]
    failures = [row for outcome in outcomes for row in outcome.failures]
    keys = _keys(tasks[0], regimes[0])
    schema = {k: pa.int64() if isinstance(v, int) else pa.string() for k, v in keys.items()}
    digests: list[Mapping[str, Cell]] = [{**k, "world_digest": r.world_digest} for k, r in runs]
    rungs = [
        {"rung": rung.name, "title": rung.title, "change": rung.change, **rung.regime.parts()}
        for rung in regimes
    ]
    return collect((k, result.tables) for k, result in runs) | {
        "runs": table_of(digests, schema | {"world_digest": pa.string()}),
        "failures": table_of(failures, schema | {"error": pa.string()}),
        "rungs": pa.Table.from_pylist(rungs),
    }


def account(
    scenario: Scenario,
    *,
    tasks: Sequence[Task],
    regimes: Sequence[Rung],
    outcomes: Sequence[Outcome],
) -> dict[str, object]:
    """Say in the manifest what was asked, of which worlds, with which code, and what it cost."""
    results = [result for outcome in outcomes for _, result in outcome.runs]
    phase_s = {
        "draw": sum(outcome.draw_s for outcome in outcomes),
        "reference": sum(outcome.reference_s for outcome in outcomes),
    }
    for result in results:
        for phase, seconds in result.seconds.items():
            phase_s[phase] = phase_s.get(phase, 0.0) + seconds
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
        "runs": len(results),
        "failures": sum(len(outcome.failures) for outcome in outcomes),
        "worlds": {_world_name(keys): r.world_digest for o in outcomes for keys, r in o.runs},
        "phase_s": {phase: round(seconds, 3) for phase, seconds in phase_s.items()},
    }


def trace_digest(trace: Trace | None) -> str | None:
    """Name the trace that took the place of drawn arrivals by what it holds."""
    if trace is None:
        return None
    state = blake2b(digest_size=16)
    for column in (trace.arrival_us, trace.context_tokens, trace.generated_tokens):
        state.update(column.tobytes())
    return f"{trace.n_calls} calls, BLAKE2b-128 {state.hexdigest()}"


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


def _keys(task: Task, rung: Rung) -> dict[str, Cell]:
    return {**task.keys, "regime": rung.name, "seed": task.seed}


def _failure(task: Task, rung: Rung, error: Exception) -> dict[str, Cell]:
    return {**_keys(task, rung), "error": f"{type(error).__name__}: {error}"}

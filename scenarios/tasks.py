"""Tasks: the one place for what a worker does with one world, and for how a failure is told.

A worker imports this module and what a run needs, and nothing that draws, prints or writes.
"""

import json
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from traceback import FrameSummary, extract_tb, format_list
from typing import Final

from hanse.market.regime import Rung
from hanse.scenarios.draw import draw_world
from hanse.scenarios.parameters import parameters
from hanse.scenarios.run import RunResult, run_world
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.traces import Trace
from hanse.scenarios.yardstick import measure_yardstick

Cell = str | int | float

_HERE: Final = Path(__file__)
_OURS: Final = (_HERE.resolve().parents[1], _HERE.parents[1])
_THEIRS: Final = tuple(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib"))


class WorkerDied(RuntimeError):
    """The process that ran a task ended without an answer, each time it was tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One world to draw; `keys` lead every row of what runs on it."""

    keys: Mapping[str, Cell]
    scenario: Scenario
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one task: the runs that ended, and a row for each that did not.

    Attributes
    ----------
    luck : digest of what was drawn, the seed itself left out; empty without a world.
    """

    runs: tuple[tuple[Mapping[str, Cell], RunResult], ...]
    failures: tuple[Mapping[str, Cell], ...]
    draw_s: float
    reference_s: float = 0.0
    luck: str = ""


def run_task(task: Task, *, regimes: Sequence[Rung], trace: Trace | None = None) -> Outcome:
    """Draw one world and run the regimes on it; what goes wrong becomes a row."""
    begun = perf_counter()
    try:
        world = draw_world(task.scenario, task.seed, trace=trace)
        draw_s = perf_counter() - begun
        yardstick = measure_yardstick(world)
    except Exception as error:  # noqa: BLE001 - without a world or a yardstick no regime ran
        rows = [failure_row(task, rung, error) for rung in regimes]
        return Outcome(runs=(), failures=tuple(rows), draw_s=perf_counter() - begun)
    runs, failures, digests = [], [], world.digests()
    for rung in regimes:
        try:
            run = run_world(
                world, rung.regime, name=rung.name, digest=digests.world, yardstick=yardstick
            )
            runs.append((run_keys(task, rung), run))
        except Exception as error:  # noqa: BLE001 - the other rungs of this world still count
            failures.append(failure_row(task, rung, error))
    return Outcome(
        runs=tuple(runs),
        failures=tuple(failures),
        draw_s=draw_s,
        reference_s=yardstick.seconds,
        luck=digests.luck,
    )


def lost_outcome(task: Task, *, regimes: Sequence[Rung], times: int) -> Outcome:
    """Return the rows of a task whose worker died each time."""
    error = WorkerDied(f"the process that ran this world died {times} times, the last time alone")
    rows = [failure_row(task, rung, error) for rung in regimes]
    return Outcome(runs=(), failures=tuple(rows), draw_s=0.0)


def run_keys(task: Task, rung: Rung) -> dict[str, Cell]:
    """Return the keys that lead every row of one run."""
    return {**task.keys, "regime": rung.name, "seed": task.seed}


def failure_row(task: Task, rung: Rung, error: Exception) -> dict[str, Cell]:
    """Tell a failure by its keys, error and traceback, and by what makes the run again."""
    defaults = parameters()
    changed = {k: v for k, v in task.scenario.values.items() if v != defaults[k].default}
    return {
        **run_keys(task, rung),
        "error": f"{type(error).__name__}: {error}",
        "parameters": json.dumps(changed),
        "traceback": "\n".join(_told(error)),
    }


def _told(error: BaseException) -> Iterator[str]:
    """Tell where an error came from, its causes first, in words that no machine changes."""
    above = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if above is not None:
        yield from _told(above)
        yield "which led to"
    frames = [
        FrameSummary(_short(Path(frame.filename)), frame.lineno, frame.name, line=frame.line or "")
        for frame in extract_tb(error.__traceback__)
    ]
    yield from (line.rstrip("\n") for line in format_list(frames))
    yield f"{type(error).__name__}: {error}"


def _short(file: Path) -> str:
    """Name a source file without the machine it lies on."""
    for root in (*_OURS, *_THEIRS):
        if file.is_relative_to(root):
            path = file.relative_to(root).as_posix()
            return path if root in _THEIRS or path.startswith("hanse/") else f"hanse/{path}"
    return file.name

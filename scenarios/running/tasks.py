"""Tasks: the one place for what a worker does with one world, and for how a failure is told.

A worker imports this module and what a run needs, and nothing that draws, prints or writes.
"""

import json
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from traceback import FrameSummary, extract_tb, format_list
from typing import Final

import numpy as np

from hanse.market.regime import Rung
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.traces import Trace
from hanse.scenarios.parameters import parameters
from hanse.scenarios.run import RunResult, run_world
from hanse.scenarios.running.batches import WorkerDied
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.yardstick import measure_yardstick

Cell = str | int | float
Columns = Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]

_NO_WORDS: Final = np.array([], dtype=object)
_NO_RUNS: Final[Columns] = {"world_digest": _NO_WORDS}
_NO_FAILURES: Final[Columns] = dict.fromkeys(("error", "parameters", "traceback"), _NO_WORDS)

_HERE: Final = Path(__file__)
_OURS: Final = (_HERE.resolve().parents[2], _HERE.parents[2])
_THEIRS: Final = tuple(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One world to draw; `keys` lead every row of what runs on it."""

    keys: Mapping[str, Cell]
    scenario: Scenario
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one run ended, and the rows that it leaves.

    Attributes
    ----------
    keys : lead every row.
    tables : columns by table; `runs` has a row if it ended well, and `failures` if not.
    luck : digest of what was drawn, the seed itself left out; empty without a world.
    seconds : time by phase, that of the world with its first run.
    reference_usd : welfare of the world's reference by family; empty without one.
    """

    keys: Mapping[str, Cell]
    tables: Mapping[str, Columns]
    luck: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    reference_usd: tuple[float, ...] = ()

    def measure(self, name: str) -> float:
        """Return a measure, summed over families; NaN where the run failed, or does not tell it."""
        measures = self.tables.get("measures")
        if measures is None:
            return float("nan")
        value = measures["value"][measures["measure"] == name]
        return float(value.sum()) if len(value) else float("nan")


def run_task(
    task: Task,
    rungs: Sequence[Rung],
    *,
    trace: Trace | None = None,
    reference_usd: Sequence[float] = (),
) -> Iterator[Ended]:
    """Draw one world and run regimes on it, one after the other; what goes wrong becomes a row.

    Parameters
    ----------
    reference_usd : of this world, where it was worked out before; else it is.
    """
    begun = perf_counter()
    try:
        world = draw_world(task.scenario, task.seed, trace=trace)
        draw_s = perf_counter() - begun
        digests = world.digests()  # at once, while the world is near the processor
        yardstick = measure_yardstick(world, reference_usd=reference_usd)
    except Exception as error:  # noqa: BLE001 - without a world or a yardstick no regime ran
        yield from (failed(task, rung, error) for rung in rungs)
        return
    seconds = {"draw": draw_s, "reference": yardstick.seconds}
    usd = tuple(yardstick.reference_usd.tolist())
    for rung in rungs:
        try:
            run = run_world(
                world, rung.regime, name=rung.name, digest=digests.world, yardstick=yardstick
            )
            end = _well(task, rung, run)
        except Exception as error:  # noqa: BLE001 - the other rungs of this world still count
            end = failed(task, rung, error)
        seconds |= end.seconds
        yield replace(end, luck=digests.luck, seconds=seconds, reference_usd=usd)
        seconds = {}


def failed(task: Task, rung: Rung, error: Exception) -> Ended:
    """Return what is left of a run that raised."""
    told = _failure(task, error)
    rows = {name: np.array([text], dtype=object) for name, text in told.items()}
    return Ended(keys=run_keys(task, rung), tables={"runs": _NO_RUNS, "failures": rows})


def lost(task: Task, rung: Rung, *, times: int) -> Ended:
    """Return what is left of a run whose process died each time."""
    error = WorkerDied(f"the process of this run died {times} times, the last time alone")
    return failed(task, rung, error)


def run_keys(task: Task, rung: Rung) -> dict[str, Cell]:
    """Return the keys that lead every row of one run."""
    return {**task.keys, "regime": rung.name, "seed": task.seed}


def _well(task: Task, rung: Rung, run: RunResult) -> Ended:
    runs = {"world_digest": np.array([run.world_digest], dtype=object)}
    tables = {**run.tables, "runs": runs, "failures": _NO_FAILURES}
    return Ended(keys=run_keys(task, rung), tables=tables, seconds=run.seconds)


def _failure(task: Task, error: Exception) -> dict[str, str]:
    """Tell a failure by its error and traceback, and by what makes the run again."""
    defaults = parameters()
    changed = {k: v for k, v in task.scenario.values.items() if v != defaults[k].default}
    return {
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

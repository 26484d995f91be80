"""Plain text: the one place for how results look on a terminal."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, cast

from hanse.market.units import MICRO_USD_PER_USD
from hanse.scenarios.analysis.intervals import Interval
from hanse.scenarios.experiment_file import Experiment
from hanse.scenarios.figures import families, rung_titles
from hanse.scenarios.growth.file import GrowthPath
from hanse.scenarios.numerals import change, counted, level, short
from hanse.scenarios.paired import LADDER_MEASURES, WHOLE_LADDER, estimates, skipped_rungs
from hanse.scenarios.results import Results

_HEADINGS: Final[Mapping[str, str]] = {
    "sync_cost_gpu_s": "sync cost GPU-s",
    "debt_mean_gpu_s": "debt GPU-s",
    "debt_mean_core_s": "debt core-s",
    "coordination_efficiency": "efficiency",
    "waiting_s": "waiting s",
    "price_usd_per_gpu_hour": "price USD/GPU-h",
    "welfare_usd": "welfare USD",
    "value_open_usd": "value open USD",
}


def columns(
    rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = (), widest: int | None = None
) -> str:
    """Align rows of text in columns; those named in `numbers` stand to the right.

    Parameters
    ----------
    widest : how wide a column becomes; a longer cell pushes what follows it in its row alone.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    widths = widths if widest is None else [min(width, widest) for width in widths]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if k in numbers else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def ladder_text(results: Results) -> str:
    """Tabulate the ladder of each family: levels at its foot, then change by change."""
    return "\n\n".join(_family_text(results, family) for family in families(results))


def sweep_text(results: Results) -> str:
    """Tabulate the level of each measure at each point of a sweep, per rung and family."""
    levels, points = results.frame("levels"), results.frame("points")
    measures = [name for name in LADDER_MEASURES if name in set(levels["measure"])]
    settings = [name for name in points.columns if name != "point"]
    rows = [[*settings, "regime", "family", *(_HEADINGS[name] for name in measures)]]
    for point, *values in points.to_numpy().tolist():
        here = levels[levels["point"] == point]
        for family in here["family"].unique().tolist():
            at = estimates(here, family)
            for rung in rung_titles(results):
                texts = [_level_text(at.get((rung, name))) for name in measures]
                rows.append([*values, rung, family, *texts])
    first_number = len(settings) + 2
    return columns(rows, numbers=range(first_number, first_number + len(measures)))


def experiment_text(experiment: Experiment) -> str:
    """Say how much an experiment runs."""
    design = experiment.design
    return (
        f"{counted(experiment.n_runs, 'run')}: {counted(len(design.points), 'point')} "
        f"({design.method}), {counted(len(experiment.seeds), 'seed')}, "
        f"{counted(len(experiment.rungs), 'regime')}"
    )


def growth_path_text(path: GrowthPath) -> str:
    """Say how much a growth path runs."""
    parts = ((path.years, "date"), (path.rungs, "regime"), (path.thresholds, "threshold"))
    dates, regimes, thresholds = (counted(len(some), thing) for some, thing in parts)
    n_runs = len(path.years) * len(path.rungs) * path.n_paths
    return (
        f"{counted(n_runs, 'run')}: {counted(path.n_paths, 'path')}, {dates} from "
        f"{path.years[0]:g} to {path.years[-1]:g}, {regimes}, {thresholds}"
    )


def outcomes_text(results: Results) -> str:
    """Tabulate each outcome: its mean over points and seeds, and how points differ in it."""
    if "outcomes" not in results.tables or not results.tables["outcomes"].num_rows:
        return "no outcomes: name some in [outcomes], or read the table measures"
    frame = results.frame("outcomes")
    rows = [["outcome", "regime", "versus", "mean", "least point", "greatest point", "above 0"]]
    for keys, some in frame.groupby(["outcome", "regime", "versus"], sort=False):
        at = some.groupby("point")["value"].mean()
        numbers = [short(float(x)) for x in (some["value"].mean(), at.min(), at.max())]
        rows.append([*map(str, keys), *numbers, f"{(at > 0).mean():.0%} of points"])
    return columns(rows, numbers=range(3, 7))


def changes_text(results: Results) -> list[str]:
    """Name all parts in which two regimes differ that are set against each other as neighbours.

    There is a line only where more than one part differs: such a difference is not of one change.
    """
    rungs = results.frame("rungs")
    parts = [name for name in rungs.columns if name not in ("rung", "title", "change")]
    lines = []
    for before, after in pairwise(rungs.to_dict("records")):
        if skipped_rungs([before["rung"], after["rung"]]) is not None:
            continue
        differ = [part for part in parts if before[part] != after[part]]
        if len(differ) > 1:
            told = ", ".join(f"{part} ({before[part]}, then {after[part]})" for part in differ)
            lines.append(
                f"{after['rung']} versus {before['rung']} is {len(differ)} changes at once: {told}"
            )
    return lines


def failures_text(results: Results) -> str:
    """Name the runs that did not end, with what went wrong."""
    rows = results.frame("failures")[["regime", "seed", "error"]].to_numpy().tolist()
    return "\n".join(f"failed: {regime}, seed {seed}: {error}" for regime, seed, error in rows)


def _family_text(results: Results, family: str) -> str:
    at = estimates(results.frame("levels"), family)
    by = estimates(results.frame("differences"), family)
    first, *others = rung_titles(results)
    measures = [name for name in LADDER_MEASURES if (first, name) in at]
    if any(rung == WHOLE_LADDER for rung, _ in by):
        others.append(WHOLE_LADDER)
    rows = [
        [family, *(_HEADINGS[name] for name in measures)],
        [first, *(_level_text(at.get((first, name))) for name in measures)],
        *([rung, *(_change_text(by.get((rung, name))) for name in measures)] for rung in others),
    ]
    return columns(rows, numbers=range(1, len(measures) + 1))


def _level_text(one: Interval | None) -> str:
    return "" if one is None else level(one.value, one.low, one.high)


def _change_text(one: Interval | None) -> str:
    return "" if one is None else change(one.value, one.low, one.high)


def real_tasks_text(results: Results) -> str:
    """Sum up the tasks that were really executed: who cheated, and what was found."""
    tasks = results.frame("real_tasks")
    if tasks.empty:
        return "No task of which the result was settled was drawn to be really executed."
    by_strategy = [("strategy", "tasks", "checked", "caught", "in the ledger", "slashed, USD")]
    for strategy, some in tasks.groupby("strategy"):
        flags = some[["is_checked", "is_caught", "is_caught_in_ledger"]]
        checked, caught, modelled = (str(int(n)) for n in flags.sum().tolist())
        slashed = f"{some['slashed_micro_usd'].sum() / MICRO_USD_PER_USD:.4f}"
        by_strategy.append((str(strategy), str(len(some)), checked, caught, modelled, slashed))
    head = f"{len(tasks)} tasks really executed, committed to and signed for"
    table = columns(by_strategy, numbers=(1, 2, 3, 4, 5))
    return f"{head}\n{table}\n{_measured_text(results, executions=tasks['executions'].sum())}"


def _measured_text(results: Results, *, executions: float) -> str:
    """Say what real work has taken, measured here: no number of a run depends on it."""
    seconds = cast(Mapping[str, float], results.manifest["phase_s"])
    solver, checking, dispute = (
        f"{seconds[f'real_{part}']:.2f} s" for part in ("solver", "checking", "dispute")
    )
    return (
        f"measured: solvers {solver}, checks {checking}, disputes {dispute} of processor time; "
        f"{executions:.2f} executions in all"
    )

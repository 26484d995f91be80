"""Growth: the one place that runs a scenario along a path of years and says when a level is passed.

Dates of a path are replications of one another: the same rates, the same luck, the same regimes.
A path on which a level is not passed by the last year is censored; it stays in every count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, inf, nan
from time import perf_counter
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.stats import binom, binomtest

from hanse.market.units import Floats
from hanse.scenarios.analysis.intervals import CONFIDENCE
from hanse.scenarios.experiment import account, kept, run_tasks
from hanse.scenarios.growth.file import GrowthPath, Threshold
from hanse.scenarios.measuring.measures import SHARED
from hanse.scenarios.outcomes import SHARED_MEASURES
from hanse.scenarios.results import Results
from hanse.scenarios.running.executors import told_workers
from hanse.scenarios.running.store import Store
from hanse.scenarios.running.tasks import Task

_WORLD: Final = ["regime", "path", "year"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """When one path first passes a level: between two dates, and where the line between them does.

    Attributes
    ----------
    after_year, by_year : the dates between which; infinite `by_year` where it is not reached.
    year : by linear interpolation; infinite where it is not reached.
    """

    after_year: float
    by_year: float
    year: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Passages:
    """What the passages of all paths say together; the censored count as later than the last year.

    Attributes
    ----------
    share_low, share_high : Clopper and Pearson's interval of the share of paths that pass.
    median_year : infinite where fewer than half of the paths pass; so are its bounds, which are
        order statistics and assume no distribution.
    first_year, quarter_year, three_quarter_year : of the paths' own dates, the earliest and the
        ends of the middle half; infinite where too few paths pass.
    """

    n_paths: int
    n_reached: int
    share_low: float
    share_high: float
    median_year: float
    median_low: float
    median_high: float
    first_year: float
    quarter_year: float
    three_quarter_year: float
    last_year: float

    def told(self) -> str:
        """Say it in words."""
        left = self.n_paths - self.n_reached
        if left == self.n_paths:
            return f"not reached by {self.last_year:g} in {left} of {self.n_paths}"
        words = (
            f"reached in {self.n_reached} of {self.n_paths}, median {year_text(self.median_year)}"
        )
        words += f" ({year_text(self.median_low)} to {year_text(self.median_high)})"
        if left:
            words += f"; not reached by {self.last_year:g} in {left} of {self.n_paths}"
        return words


def grow(
    path: GrowthPath,
    *,
    workers: object | None = None,
    progress: bool = False,
    store: Store | None = None,
) -> Results:
    """Run every regime at every date of every path, and look when levels are passed.

    Returns
    -------
    Results
        The tables of all runs, `points` (path and year of each), `rates` and `passages` (of each
        path), and `first_passage` (of all together, with intervals).
    """
    tasks = [
        Task(
            keys={"scenario": path.scenario.name, "point": point},
            scenario=path.scenario_at(k, year),
            seed=k,
        )
        for point, (year, k) in enumerate(product(path.years, range(path.n_paths)))
    ]
    begun = perf_counter()
    outcomes = run_tasks(
        tasks, path.rungs, workers=workers, progress=progress, trace=None, store=store
    )
    tables = kept(tasks, path.rungs, outcomes) | {"points": _points(path)}
    along = measured_along(with_dates(tables), path.thresholds)
    tables |= {"rates": _rates(path), "passages": passages_table(along, path)}
    first = first_passage_table(tables["passages"].to_pandas(), path.years[-1])
    tables |= {"first_passage": first}
    manifest = account(path.scenario, tasks=tasks, regimes=path.rungs, outcomes=outcomes) | {
        "command": "grow",
        "path": path.name,
        "years": list(path.years),
        "workers": told_workers(workers),
        "elapsed_s": round(perf_counter() - begun, 3),
    }
    return Results(tables=tables, manifest=manifest)


def with_dates(tables: Mapping[str, pa.Table]) -> pd.DataFrame:
    """Return the measures of all runs with the path and the year of each."""
    points: pd.DataFrame = tables["points"].to_pandas()
    return points.merge(tables["measures"].to_pandas(), on="point")


def measured_along(
    measures: pd.DataFrame, thresholds: Sequence[Threshold]
) -> Mapping[str, pd.DataFrame]:
    """Return a row per path and a column per year for each threshold and regime.

    Keys are `threshold|regime`. A measure of one family or a share of whole runs is read as it is,
    an amount is added up over families.
    """
    along = {}
    for one in thresholds:
        chosen = measures[measures["measure"] == one.measure]
        if one.family or SHARED_MEASURES.get(one.measure) == "share":
            chosen = chosen[chosen["family"] == (one.family or SHARED)]
        value = chosen.groupby(_WORLD, sort=True, observed=True)["value"].sum(min_count=1)
        for regime, of_regime in value.groupby(level="regime", observed=True):
            along[f"{one.name}|{regime}"] = of_regime.droplevel("regime").unstack("year")
    return along


def first_passage(years: Floats, values: Floats, *, level: float, is_above: bool) -> Passage:
    """Find when a path first stands at or beyond a level.

    Parameters
    ----------
    years, values : shape (n_dates,); dates without a value are passed over.

    Examples
    --------
    >>> first_passage(np.array([2026.0, 2030.0]), np.array([0.1, 0.5]), level=0.3, is_above=True)
    Passage(after_year=2026.0, by_year=2030.0, year=2028.0)
    """
    there = ~np.isnan(values)
    years, values = years[there], values[there]
    if len(years) == 0:
        return Passage(after_year=nan, by_year=nan, year=nan)
    beyond = values >= level if is_above else values <= level
    if not beyond.any():
        return Passage(after_year=float(years[-1]), by_year=inf, year=inf)
    k = int(beyond.argmax())
    if k == 0:
        return Passage(after_year=-inf, by_year=float(years[0]), year=float(years[0]))
    share = (level - values[k - 1]) / (values[k] - values[k - 1])
    year = float(years[k - 1] + share * (years[k] - years[k - 1]))
    return Passage(after_year=float(years[k - 1]), by_year=float(years[k]), year=year)


def summarise_passages(year: Floats, *, last_year: float) -> Passages:
    """Count who passes, and bound the median date by order statistics.

    Parameters
    ----------
    year : of each path; infinite where the level is not reached, NaN where nothing ran.
    """
    ordered = np.sort(year[~np.isnan(year)])
    n, n_reached = len(ordered), int(np.isfinite(ordered).sum())
    if n == 0:
        return Passages(
            n_paths=0,
            n_reached=0,
            share_low=nan,
            share_high=nan,
            median_year=nan,
            median_low=nan,
            median_high=nan,
            first_year=nan,
            quarter_year=nan,
            three_quarter_year=nan,
            last_year=last_year,
        )
    share = binomtest(n_reached, n).proportion_ci(confidence_level=CONFIDENCE, method="exact")
    rank = int(binom.ppf((1.0 - CONFIDENCE) / 2.0, n, 0.5))
    is_bounded = rank >= 1
    return Passages(
        n_paths=n,
        n_reached=n_reached,
        share_low=float(share.low),
        share_high=float(share.high),
        median_year=_median(ordered),
        median_low=float(ordered[rank - 1]) if is_bounded else -inf,
        median_high=float(ordered[n - rank]) if is_bounded else inf,
        first_year=float(ordered[0]),
        quarter_year=float(ordered[ceil(n / 4) - 1]),
        three_quarter_year=float(ordered[ceil(3 * n / 4) - 1]),
        last_year=last_year,
    )


def passages_table(along: Mapping[str, pd.DataFrame], path: GrowthPath) -> pa.Table:
    """Tabulate when each path passes each level under each regime."""
    level = {one.name: one for one in path.thresholds}
    rows: list[dict[str, object]] = []
    for key, values in along.items():
        name, _, regime = key.partition("|")
        years = values.columns.to_numpy(float)
        for k, of_path in zip(values.index, values.to_numpy(float), strict=True):
            one = level[name]
            found = first_passage(years, of_path, level=one.level, is_above=one.is_above)
            rows.append(
                {
                    "threshold": name,
                    "regime": regime,
                    "path": int(k),
                    "after_year": found.after_year,
                    "by_year": found.by_year,
                    "year": found.year,
                    "is_reached": bool(np.isfinite(found.year)),
                }
            )
    return pa.Table.from_pylist(rows)


def first_passage_table(passages: pd.DataFrame, last_year: float) -> pa.Table:
    """Tabulate what all paths say of each threshold under each regime."""
    rows = []
    for (name, regime), here in passages.groupby(["threshold", "regime"], sort=False):
        found = summarise_passages(here["year"].to_numpy(float), last_year=last_year)
        rows.append(
            {
                "threshold": name,
                "regime": regime,
                "n_paths": found.n_paths,
                "n_reached": found.n_reached,
                "share_low": found.share_low,
                "share_high": found.share_high,
                "median_year": found.median_year,
                "median_low": found.median_low,
                "median_high": found.median_high,
                "first_year": found.first_year,
                "quarter_year": found.quarter_year,
                "three_quarter_year": found.three_quarter_year,
                "told": found.told(),
            }
        )
    return pa.Table.from_pylist(rows)


def _points(path: GrowthPath) -> pa.Table:
    dates = list(product(path.years, range(path.n_paths)))
    years, paths = ([date[axis] for date in dates] for axis in (0, 1))
    return pa.table(
        {
            "point": pa.array(range(len(dates)), pa.int64()),
            "path": pa.array(paths, pa.int64()),
            "year": pa.array(years, pa.float64()),
        }
    )


def _rates(path: GrowthPath) -> pa.Table:
    rows = [
        {
            "growth": growth.name,
            "path": k,
            "rate": growth.rate(k),
            "kind": "factor per year" if growth.multiplies else "added per year",
            "grade": growth.grade,
            "source": growth.source,
        }
        for growth in path.growths
        for k in range(path.n_paths)
    ]
    return pa.Table.from_pylist(rows)


def _median(ordered: Floats) -> float:
    """Return the median; infinite where the middle is not reached."""
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float((low + high) / 2.0) if np.isfinite(high) else inf


def year_text(year: float) -> str:
    """Write a date, or that it is later than the last one, or earlier than any."""
    if np.isnan(year):
        return "none"
    return f"{year:.1f}" if np.isfinite(year) else ("later" if year > 0 else "earlier")

"""Growth on the command line: the one place that takes a path to its dates, and tells them."""

from argparse import Namespace
from math import inf
from pathlib import Path
from typing import Final

import pandas as pd

from hanse.scenarios import charts
from hanse.scenarios.commands.plain_text import columns
from hanse.scenarios.commands.running import (
    Answer,
    answer_of,
    compile_engine,
    kept_in,
    note,
    ran_text,
    saved,
    workers_of,
)
from hanse.scenarios.energy_figures import draw_growth
from hanse.scenarios.growth.file import GrowthPath, adjusted, read_growth_path
from hanse.scenarios.growth.grow import grow, measured_along, with_dates, year_text
from hanse.scenarios.numerals import short
from hanse.scenarios.results import Results, check_target

FIGURE: Final = "growth.svg"
DATES: Final = "first_passage.csv"
_DATES: Final = ("median", "quarter", "three_quarter", "first")


def grow_path(arguments: Namespace) -> Answer:
    """Run a growth path, keep its tables and figure, and say when each level is first passed."""
    path = adjusted(
        read_growth_path(arguments.path, scenario=arguments.scenario),
        settings=arguments.settings,
        n_paths=arguments.paths,
        regimes=arguments.regime,
    )
    output = arguments.output or Path("results") / path.name
    check_target(output, force=arguments.force)
    compile_engine()
    with kept_in(output, arguments) as store, workers_of(arguments) as workers:
        progress = not arguments.no_progress
        results = grow(path, workers=workers, progress=progress, store=store)
        note(ran_text(results))
        pages = pages_of(results, path)
        results = saved(results, output, store=store, force=arguments.force, pages=pages)
    dates = first_passage_text(results.frame("first_passage"))
    text = f"{_heading(path)}\n\n{dates}\n\nfigure: {output / FIGURE}, dates: {output / DATES}"
    return answer_of(text, results)


def pages_of(results: Results, path: GrowthPath) -> dict[str, str]:
    """Draw each measure along the paths, and write the dates as a table."""
    along = measured_along(with_dates(results.tables), path.thresholds)
    titles = {rung.name: rung.title for rung in path.rungs}
    pages = {DATES: results.frame("first_passage").to_csv(index=False)}
    if along:
        with charts.style():
            pages[FIGURE] = charts.svg_of(draw_growth(along, path.thresholds, titles))
    return pages


def first_passage_text(dates: pd.DataFrame) -> str:
    """Tabulate by threshold and regime how many paths pass, when, and how far apart."""
    rows: list[tuple[str, ...]] = [
        ("threshold", "regime", "pass", "share", "median date", "middle half", "earliest")
    ]
    for row in dates.to_dict(orient="records"):
        year = {name: year_text(row[f"{name}_year"]) for name in _DATES}
        low, high = (row[f"median_{end}"] for end in ("low", "high"))
        is_bounded = low > -inf or high < inf
        bounds = f"{year_text(low)} to {year_text(high)}" if is_bounded else "too few paths"
        rows.append(
            (
                str(row["threshold"]),
                str(row["regime"]),
                f"{row['n_reached']} of {row['n_paths']}",
                f"{short(row['share_low'])} to {short(row['share_high'])}",
                f"{year['median']} ({bounds})",
                f"{year['quarter']} to {year['three_quarter']}",
                year["first"],
            )
        )
    return columns(rows)


def _heading(path: GrowthPath) -> str:
    return (
        f"{path.title or path.name}: {path.scenario.name} from {path.years[0]:g} to "
        f"{path.years[-1]:g}, {path.n_paths} paths. A scenario of rates, not a forecast.\n"
        "Intervals are of 95 % over paths; a path that does not pass counts as later."
    )

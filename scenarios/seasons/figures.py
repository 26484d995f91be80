"""The one place for pictures of seasons: what was hoarded, who came to own, what was forgone."""

from collections.abc import Mapping
from textwrap import fill
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hanse.scenarios.charts import DASHES, LINES, WIDTH_INCH
from hanse.scenarios.seasons.play import Seasons

_WRAP: Final = 30


def draw_doses(
    doses: Mapping[str, pd.DataFrame], measures: Mapping[str, str], *, dose: str
) -> Figure:
    """Draw measures against the level of one mechanism, a panel each and a line per case.

    Parameters
    ----------
    doses : tables of `dose_response`, by the name of the case.
    measures : labels of the vertical axes, by measure.
    dose : label of the horizontal axis.
    """
    figure = Figure(figsize=(WIDTH_INCH, 3.4), layout="constrained")
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, (measure, label) in zip(panels, measures.items(), strict=True):
        for number, (case, table) in enumerate(doses.items()):
            rows = table[table["measure"] == measure]
            _line(axes, rows, number=number, label=case)
        axes.set(xlabel=fill(dose, _WRAP), ylabel=fill(label, _WRAP))
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(doses), frameon=False)
    return figure


def draw_paths(played: Seasons, measures: Mapping[str, str]) -> Figure:
    """Draw measures season by season, a panel each and a line per case and regime.

    Parameters
    ----------
    played : as `play_paired` stacks them; lines are means over seeds, bands their range.
    """
    figure = Figure(figsize=(WIDTH_INCH, 3.4), layout="constrained")
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, (measure, label) in zip(panels, measures.items(), strict=True):
        rows = played.market[played.market["measure"] == measure]
        for number, (key, path) in enumerate(rows.groupby(["case", "regime"], sort=False)):
            value = path.pivot(index="season", columns="seed", values="value")
            by_season = pd.DataFrame(
                {
                    "level": value.index,
                    "mean": value.mean(axis=1),
                    "ci_low": value.min(axis=1),
                    "ci_high": value.max(axis=1),
                }
            )
            _line(axes, by_season, number=number, label=", ".join(str(part) for part in key))
        axes.set(xlabel="season", ylabel=fill(label, _WRAP))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _line(axes: Axes, rows: pd.DataFrame, *, number: int, label: str) -> None:
    colour, dash = LINES[number % len(LINES)], DASHES[number % len(DASHES)]
    x = rows["level"]
    axes.plot(x, rows["mean"], color=colour, linestyle=dash, marker="o", markersize=3, label=label)
    low, high = rows["ci_low"].to_numpy(float), rows["ci_high"].to_numpy(float)
    axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)

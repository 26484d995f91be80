"""Charts of institutions: the one place for dots by name, in rows of panels or side by side."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from hanse.scenarios import charts
from hanse.scenarios.numerals import tick

_MARKERS: Final = ("o", "s", "^")
_ROW_INCH: Final = 0.24
_APART: Final = 0.22


def dots_in_rows(
    levels: pd.DataFrame, *, rows: str, measures: Sequence[Mapping[str, str]]
) -> Figure:
    """Draw a level with its interval per row of names, in several rows of panels, one a measure."""
    names = levels[rows].unique().tolist()
    figure = Figure(
        figsize=(charts.WIDTH_INCH, (_ROW_INCH * len(names) + 0.9) * len(measures)),
        layout="constrained",
    )
    grid = figure.subplots(len(measures), len(measures[0]), sharey=True, squeeze=False)
    for panels, labels in zip(grid, measures, strict=True):
        for axis, (measure, label) in zip(panels, labels.items(), strict=True):
            found = levels[levels["measure"] == measure]
            _dots(axis, found, names, by=rows, look=1, label="")
            axis.set_xlabel(label)
            charts.rung_axis(axis, {name: name for name in names})
    return figure


def removals_and_sovereignty(levels: pd.DataFrame) -> Figure:
    """Draw what is lost without each controller, and beside it what is left to whom."""
    figure = Figure(figsize=(charts.WIDTH_INCH, 5.6), layout="constrained")
    axes = figure.subplots(1, 2)
    texts = {"loss_share": "share of value lost", "sovereignty": "routing sovereignty"}
    views = levels["view"].unique().tolist()
    for axis, (measure, label) in zip(axes, texts.items(), strict=True):
        found = levels[levels["measure"] == measure]
        names = _by_size(found, falling=measure == "loss_share")
        for number, view in enumerate(views):
            here, shift = found[found["view"] == view], _APART * (number - (len(views) - 1) / 2)
            _dots(axis, here, names, by="who", look=number, label=view, shift=shift)
        charts.rung_axis(axis, {name: name for name in names})
        left = min(0.0, float(found["ci_low"].min()))
        margin = 0.03 * (1.0 - left)  # of the range, so that a mark at either end is whole
        axis.set(xlabel=label, xlim=(left - margin, 1.0 + margin))
    handles, labels = charts.legend(axes.tolist())
    figure.legend(handles, labels, loc="outside lower center", ncols=len(views))
    return figure


def _by_size(found: pd.DataFrame, *, falling: bool) -> list[str]:
    mean = found.groupby("who", sort=False)["mean"].mean()
    order: list[str] = mean.sort_values(ascending=not falling, kind="stable").index.tolist()
    return order


def _dots(
    axis: Axes,
    found: pd.DataFrame,
    names: Sequence[str],
    *,
    by: str,
    look: int,
    label: str,
    shift: float = 0.0,
) -> None:
    line = found.set_index(by).reindex(list(names))
    mean = line["mean"].to_numpy()
    whisker = np.abs(line[["ci_low", "ci_high"]].to_numpy().T - mean)
    axis.errorbar(
        mean,
        np.arange(len(names)) + shift,
        xerr=np.nan_to_num(whisker),
        fmt=_MARKERS[look % len(_MARKERS)],
        ms=4,
        color=charts.LINES[look % len(charts.LINES)],
        label=label or None,
    )
    axis.axvline(0.0, color=charts.GREY, lw=0.8)
    axis.grid(axis="x")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda number, _: tick(round(number, 9))))

"""Energy figures: joules by region, label and operation, and shares of them along growth paths."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hanse.market.engine.states import OPERATIONS
from hanse.market.units import Floats
from hanse.scenarios import charts
from hanse.scenarios.growth.file import Threshold
from hanse.scenarios.numerals import tick, unit_words

_J_PER_MJ: Final = 1e6
_ROW_INCH: Final = 0.155
_KINDS: Final[Mapping[str, str]] = {
    "U": "payload (U)",
    "C": "coordination (C)",
    "B": "held (B)",
    "F": "lost (F)",
    "X": "kept back by a cap (X)",
    "H": "reserved (H)",
    "I": "idle (I)",
}
_COORDINATION: Final = ("C", "B")


def draw_energy(energy: pd.DataFrame, titles: Mapping[str, str], *, n_worlds: int) -> Figure | None:
    """Draw joules by region on the first and the last rung: by label, and coordination alone.

    Parameters
    ----------
    energy : the table of that name.
    titles : of each rung, in order.
    """
    if energy.empty:
        return None
    ends = list(dict.fromkeys((next(iter(titles)), list(titles)[-1])))
    regions = energy.groupby("region")["joules"].sum().sort_values(ascending=False).index.tolist()
    size = (charts.WIDTH_INCH, (_ROW_INCH * len(regions) + 0.75) * len(ends) + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(ends), 2, sharey=True, sharex="col", squeeze=False)
    for row, rung in zip(grid, ends, strict=True):
        here = energy[energy["regime"] == rung]
        mean = here.assign(kind=here["label"].map(_KINDS), mj=here["joules"] / _J_PER_MJ / n_worlds)
        _draw_stack(row[0], mean, "kind", regions=regions, names=tuple(_KINDS.values()))
        coordination = mean[mean["label"].isin(_COORDINATION)]
        _draw_stack(row[1], coordination, "operation", regions=regions, names=OPERATIONS)
        row[0].set_title(f"{titles[rung]}: all")
        row[1].set_title("coordination alone")
    for axis in grid[-1]:
        axis.set_xlabel("MJ per run")
    small: dict[str, Any] = {"ncols": 2, "fontsize": 7.5}
    figure.legend(*charts.legend(list(grid[:, 0])), loc="outside lower left", **small)
    figure.legend(*charts.legend(list(grid[:, 1])), loc="outside lower right", **small)
    return figure


def _draw_stack(
    axis: Axes, rows: pd.DataFrame, column: str, *, regions: Sequence[str], names: Sequence[str]
) -> None:
    table = rows.pivot_table(index="region", columns=column, values="mj", aggfunc="sum")
    known = [name for name in names if name in table.columns]
    table = table.reindex(index=list(regions), columns=known).fillna(0.0)
    charts.stack(axis, table, colours=dict(zip(names, charts.PALETTE, strict=False)))
    axis.set_yticks(range(len(regions)), list(regions), fontsize=7)
    axis.set_ylim(len(regions) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.locator_params(axis="x", nbins=4)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda number, _: tick(number)))
    axis.set_xlim(0, None, auto=True)  # the axis is shared: what is drawn next may be longer
    axis.grid(axis="x")


def draw_growth(
    along: Mapping[str, pd.DataFrame], thresholds: Sequence[Threshold], titles: Mapping[str, str]
) -> Figure:
    """Draw a measure along all paths for each threshold: median, middle half and 90 per cent.

    Parameters
    ----------
    along : a row per path and a column per year, by `threshold|regime`.
    titles : of each regime.
    """
    figure, axes = charts.panels(len(thresholds), row_inch=2.3)
    for axis, one in zip(axes, thresholds, strict=True):
        for k, (regime, title) in enumerate(titles.items()):
            values = along.get(f"{one.name}|{regime}")
            if values is not None:
                _draw_band(axis, values, number=k, title=title)
        axis.axhline(one.level, color=charts.GREY, lw=1.0, ls=":")
        side = "above" if one.is_above else "below"
        of = f" of {one.family}" if one.family else ""
        axis.set_title(f"{one.measure.replace('_', ' ')}{of} (threshold: {side} {one.level:g})")
        axis.set(ylabel=unit_words(one.unit), ylim=(0, None) if one.level >= 0 else None)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid()
    axes[-1].set_xlabel("year")
    figure.legend(*charts.legend(axes[:1]), loc="outside lower center", ncols=3)
    return figure


def _draw_band(axis: Axes, values: pd.DataFrame, *, number: int, title: str) -> None:
    years: Floats = values.columns.to_numpy(float)
    low, quarter, middle, most, high = np.nanquantile(
        values.to_numpy(float), (0.05, 0.25, 0.5, 0.75, 0.95), axis=0
    )
    colour, dash = charts.LINES[number % 8], charts.DASHES[number % 4]
    axis.fill_between(years, low, high, color=colour, alpha=0.08, lw=0)
    axis.fill_between(years, quarter, most, color=colour, alpha=0.18, lw=0)
    axis.plot(years, middle, color=colour, ls=dash, lw=1.6, marker="o", ms=3, label=title)

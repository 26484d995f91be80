"""Charts of mechanisms: the one place for lines with intervals, panel by panel."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from hanse.scenarios import charts
from hanse.scenarios.mechanisms.studies import LESS
from hanse.scenarios.numerals import tick

_PANEL_INCH: Final = 2.1
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
_DEEPEST: Final = 10.0
_CUT: Final = "bands that reach below a tenth of the mean are cut there"
NO_PANEL: Final = ""
SHARE: Final = "share "
"""With which the label of what lies between 0 and 1 begins."""
Draw = Callable[[pd.DataFrame], Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """How lines are laid out: a row of panels per measure, a column per value of one key.

    Attributes
    ----------
    x, xlabel : column along the foot, and what it is called there.
    by : column that parts the lines.
    measures : what each row of panels shows, and its label.
    panel : column whose values stand side by side; "" for one column of panels.
    log_x, log_y : whether an axis is logarithmic; upright only where every mean
        is above zero.
    by_words : what a value of `by` is called, where that is not its own name.
    even_x : whether numbers along the foot stand at even distances, as names do.
    """

    x: str
    xlabel: str
    by: str
    measures: Mapping[str, str]
    panel: str = NO_PANEL
    log_x: bool = False
    log_y: bool = False
    by_words: Mapping[object, str] = field(default_factory=dict)
    even_x: bool = False

    def __call__(self, levels: pd.DataFrame) -> Figure:
        """Draw levels as `Evidence.levels` gives them."""
        looks = {name: k for k, name in enumerate(levels[self.by].unique().tolist())}
        panels = levels[self.panel].unique().tolist() if self.panel else [NO_PANEL]
        figure = Figure(
            figsize=(charts.WIDTH_INCH, _PANEL_INCH * len(self.measures) + 0.5),
            layout="constrained",
        )
        axes = figure.subplots(
            len(self.measures), len(panels), squeeze=False, sharey="row", sharex=True
        )
        for row, (measure, label) in enumerate(self.measures.items()):
            whole = levels[levels["measure"] == measure]
            for column, panel in enumerate(panels):
                axis = axes[row, column]
                shown = whole[whole[self.panel] == panel] if self.panel else whole
                self._lines(axis, shown, looks, is_log=self.log_y and _is_above(whole))
                axis.set(title=panel if row == 0 else "", ylabel=label if column == 0 else "")
                axis.set_xlabel(self.xlabel if row == len(self.measures) - 1 else "")
            # Only now: panels share the axis, and the first does not know how far the others go.
            for axis in axes[row]:
                _limit(axis, whole, label=label, is_log=self.log_y and _is_above(whole))
        handles, names = charts.legend(axes.ravel().tolist())
        n_columns = 3 if len(names) in (5, 6) else min(4, len(names))
        title = _CUT if self._cuts(levels) else None
        figure.legend(handles, names, loc="outside lower center", ncols=n_columns, title=title)
        return figure

    def _cuts(self, levels: pd.DataFrame) -> bool:
        """Say if a band leaves a logarithmic axis."""
        measured = levels[levels["measure"].isin(list(self.measures))]
        upright = [whole for _, whole in measured.groupby("measure") if _is_above(whole)]
        return self.log_y and any((one["ci_low"] < one["mean"] / _DEEPEST).any() for one in upright)

    def _lines(
        self, axis: Axes, shown: pd.DataFrame, looks: Mapping[object, int], *, is_log: bool
    ) -> None:
        places = _places_of(shown[self.x].unique().tolist(), even=self.even_x)
        if self.log_x:
            axis.set_xscale("log")
        if is_log:
            axis.set_yscale("log")
        for name, line in shown.groupby(self.by, sort=False):
            _line(
                axis,
                np.array([places[x] for x in line[self.x]]),
                line,
                label=self.by_words.get(name, _word(name)),
                look=looks[name],
                floor=line["mean"].to_numpy() / _DEEPEST if is_log else None,
            )
        _name_foot(axis, places, is_listed=self.log_x or self.even_x)
        axis.grid(axis="y")
        axis.margins(y=0.08)


def stacked_shares(
    levels: pd.DataFrame, *, rows: str, parts: str, colours: Mapping[str, str], xlabel: str
) -> Figure:
    """Stack the parts of each row to their sum of one, and set lines of further measures beside.

    Parameters
    ----------
    levels : measure `share` with a column `parts`; all other measures, of which `parts` is "", are
        drawn with their intervals on the right.
    """
    figure = Figure(figsize=(charts.WIDTH_INCH, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2), sharey=True)
    table = levels[levels["measure"] == "share"]
    table = table.pivot_table(index=rows, columns=parts, values="mean", sort=False, observed=True)
    charts.stack(left, table[[name for name in colours if name in table]], colours=colours)
    names = table.index.tolist()
    charts.rung_axis(left, {name: name for name in names})
    left.set(xlabel="share of latency", xlim=(0, 1), ylabel=xlabel)
    beside = levels[levels["measure"] != "share"]
    for k, (name, line) in enumerate(beside.groupby("measure", sort=False)):
        y = np.array([names.index(one) for one in line[rows]]) + 0.16 * (k - 0.5)
        mean = line["mean"].to_numpy()
        whisker = np.abs(line[["ci_low", "ci_high"]].to_numpy().T - mean)
        right.errorbar(
            mean,
            y,
            xerr=whisker,
            fmt=_MARKERS[k],
            ms=4,
            color=charts.LINES[k + 1],
            label=str(name).replace("_", " "),
        )
    right.set(xlim=(0, None), xlabel="share, 95 % interval")
    right.tick_params(axis="y", length=0)
    right.locator_params(axis="x", nbins=4)
    right.xaxis.set_major_formatter(FuncFormatter(lambda number, _: tick(round(number, 9))))
    right.grid(axis="x")
    figure.legend(*charts.legend([left, right]), loc="outside lower center", ncols=4)
    return figure


def dots_by_row(levels: pd.DataFrame, *, rows: str, measures: Mapping[str, str]) -> Figure:
    """Draw a level with its interval per row, a panel per measure side by side."""
    names = levels[rows].unique().tolist()
    figure = Figure(figsize=(charts.WIDTH_INCH, 0.28 * len(names) + 1.1), layout="constrained")
    axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axis, (measure, label) in zip(axes, measures.items(), strict=True):
        line = levels[levels["measure"] == measure].set_index(rows).reindex(names)
        mean = line["mean"].to_numpy()
        whisker = np.abs(line[["ci_low", "ci_high"]].to_numpy().T - mean)
        axis.errorbar(mean, range(len(names)), xerr=whisker, fmt="o", ms=5, color=charts.LINES[1])
        charts.rung_axis(axis, {name: name for name in names})
        axis.set_xlabel(label)
        if label.startswith(SHARE):
            axis.set_xlim(-0.03, 1.03)
        elif LESS in measure:
            axis.axvline(0.0, color=charts.GREY, lw=0.8)
        else:
            axis.set_xlim(0, None)
        axis.grid(axis="x")
    return figure


def heats(levels: pd.DataFrame, *, rows: str, columns: str, panel: str) -> Figure:
    """Draw a table of numbers per panel, each cell with its number."""
    panels = levels[panel].unique().tolist()
    figure = Figure(figsize=(charts.WIDTH_INCH, 1.5 * len(panels) + 0.3), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, name in zip(axes, panels, strict=True):
        here = levels[levels[panel] == name]
        table = here.pivot_table(index=rows, columns=columns, values="mean", sort=False)
        charts.heat(axis, table, [str(one) for one in table.columns], write=_share)
        axis.set(title=name, ylabel="asked from")
    axes[-1].set_xlabel("run in")
    return figure


def _share(number: float) -> str:
    return "<0.001" if 0 < number < 0.001 else f"{number:.3f}"


def _line(
    axis: Axes,
    x: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
    line: pd.DataFrame,
    *,
    label: str,
    look: int,
    floor: "np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None",
) -> None:
    colour = charts.LINES[look % len(charts.LINES)]
    low, high = line["ci_low"].to_numpy(), line["ci_high"].to_numpy()
    if floor is not None:
        low = np.maximum(low, floor)
    axis.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
    axis.plot(
        x,
        line["mean"].to_numpy(),
        marker=_MARKERS[look % len(_MARKERS)],
        ls=charts.DASHES[look % len(charts.DASHES)],
        ms=4,
        lw=1.4,
        color=colour,
        label=label,
    )


def _is_above(shown: pd.DataFrame) -> bool:
    return bool((shown["mean"] > 0).all())


def _limit(axis: Axes, shown: pd.DataFrame, *, label: str, is_log: bool) -> None:
    """Show all of what a share can be, and zero on every other axis that is not logarithmic."""
    if is_log:
        charts.log_ticks(axis)
        return
    if label.startswith(SHARE):
        axis.set_ylim(-0.03, 1.03)
    else:
        is_level = not shown["measure"].str.contains(LESS).any()
        axis.axhline(0.0, color=charts.GREY, lw=0.8)
        # An interval may reach below zero; what is counted cannot.
        if shown["ci_low"].min() >= 0 or (is_level and shown["mean"].min() >= 0):
            axis.set_ylim(bottom=0.0)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda number, _: tick(round(number, 9))))


def _places_of(found: Sequence[object], *, even: bool) -> dict[object, float]:
    """Put numbers where they are, and names in the order in which they come."""
    if all(isinstance(one, int | float) for one in found) and not even:
        return {one: float(one) for one in found}  # type: ignore[arg-type]
    return {one: float(k) for k, one in enumerate(found)}


def _name_foot(axis: Axes, places: Mapping[object, float], *, is_listed: bool) -> None:
    if is_listed or any(isinstance(one, str) for one in places):
        axis.set_xticks(list(places.values()), [_word(one) for one in places])
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.tick_params(axis="x", which="minor", length=0)
    else:
        axis.xaxis.set_major_formatter(FuncFormatter(lambda number, _: tick(number)))


def _word(name: object) -> str:
    return tick(name) if isinstance(name, int | float) else str(name)

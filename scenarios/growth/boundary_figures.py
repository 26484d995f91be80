"""Boundary figures: where a system ceases to be executable, and whether it finds the way back."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from hanse.scenarios import charts
from hanse.scenarios.analysis.intervals import Interval
from hanse.scenarios.growth.boundary import Edge, Start
from hanse.scenarios.growth.hysteresis import hysteresis
from hanse.scenarios.growth.ramps import OUTCOMES, Way, branches, done_by_window, gaps, ramp_area
from hanse.scenarios.numerals import tick

_WAYS: Final = {Way.UP: "on the way up", Way.DOWN: "on the way down"}
_BY_START: Final = {Way.UP: Start.EMPTY, Way.DOWN: Start.OVERLOADED}
"""Which branch of two starts looks like which way."""

_COLOUR = {Start.EMPTY: charts.PALETTE[1], Start.OVERLOADED: charts.PALETTE[5]}
_DASH = {Start.EMPTY: "-", Start.OVERLOADED: "--"}


def draw_branches(swept: pd.DataFrame, *, axis: str) -> Figure:
    """Draw the payload rate over an axis from both starts; what lies between them is hysteresis.

    Parameters
    ----------
    swept : as from `sweep_both_ways`.
    axis : what is along, with its unit.
    """
    with charts.style():
        figure = Figure(figsize=(charts.WIDTH_INCH, 3.4), layout="constrained")
        panel = figure.subplots()
        means = swept.pivot_table(index="x", columns="start", values="payload_share")
        x = means.index.to_numpy(dtype=float)
        panel.fill_between(
            x,
            means[Start.EMPTY.value],
            means[Start.OVERLOADED.value],
            color=charts.PALETTE[4],
            alpha=0.25,
            lw=0,
        )
        for start in Start:
            rows = swept[swept["start"] == start.value]
            panel.plot(rows["x"], rows["payload_share"], ".", ms=3, color=_COLOUR[start], alpha=0.5)
            panel.plot(
                x,
                means[start.value],
                color=_COLOUR[start],
                ls=_DASH[start],
                label=f"from an {start.value} start",
            )
        area = hysteresis(swept)
        panel.set(
            xlabel=axis,
            ylabel="payload rate, share of the fleet",
            title=f"Area between the branches: {_told(area)}",
        )
        panel.legend()
        panel.grid()
        return figure


def draw_ramp(windows: pd.DataFrame, *, axis: str) -> Figure:
    """Draw what is done at each load on the way up and down, and over time below, with the load.

    Parameters
    ----------
    windows : as from `ride_ramp`.
    axis : what the load is, with its unit.
    """
    with charts.style():
        figure = Figure(figsize=(charts.WIDTH_INCH, 6.0), layout="constrained")
        grid = figure.subplot_mosaic(
            [["done_share", "payload_share"], ["time", "time"], ["load", "load"]],
            height_ratios=(3, 2, 1),
        )
        found = branches(windows)
        for outcome, label in OUTCOMES.items():
            _draw_ways(grid[outcome], found, outcome)
            grid[outcome].set(xlabel=axis, ylabel=label, ylim=(0, None))
        _draw_course(grid["time"], grid["load"], windows)
        grid["load"].set(xlabel="time, s", ylabel="load", ylim=(0, None))
        figure.suptitle(
            f"Between the way up and the way down: an area of {_told(ramp_area(found))}",
            x=0.01,
            ha="left",
            fontsize=10,
            fontweight="bold",
        )
        handles, names = charts.legend([grid["done_share"]])
        figure.legend(handles, names, loc="outside lower center", ncols=2)
        return figure


def _draw_ways(panel: Axes, found: pd.DataFrame, outcome: str) -> None:
    """Draw the means of both ways, each seed as a dot, and shade what lies between them."""
    told = gaps(found, outcome=outcome)
    x = told["level"].to_numpy()
    for way, start in _BY_START.items():
        panel.plot(
            x,
            told[way.value],
            color=_COLOUR[start],
            ls=_DASH[start],
            marker="o",
            ms=3,
            label=_WAYS[way],
        )
    for way, start in _BY_START.items():
        rows = found[found["way"] == way.value]
        panel.plot(rows["level"], rows[outcome], ".", ms=3, color=_COLOUR[start], alpha=0.4)
    panel.fill_between(x, told["up"], told["down"], color=charts.PALETTE[4], alpha=0.25, lw=0)
    panel.grid()


def _draw_course(course: Axes, load: Axes, windows: pd.DataFrame) -> None:
    share, from_s = done_by_window(windows)
    until_s = float(windows["until_s"].max())
    edges = np.append(from_s, until_s)
    course.stairs(share, edges, baseline=None, color=charts.LINES[0], lw=1.4)
    course.set(ylabel="share done", ylim=(-0.03, 1.03), xlim=(0, until_s))
    level = windows[windows["seed"] == windows["seed"].iloc[0]]["level"].to_numpy()
    load.stairs(level, edges, baseline=None, color=charts.GREY, lw=1.4)
    load.set(xlim=(0, until_s))
    load.xaxis.set_major_formatter(FuncFormatter(lambda number, _: tick(number)))
    course.tick_params(axis="x", labelbottom=False)
    for panel in (course, load):
        panel.grid()


def draw_boundary_map(
    edges: Mapping[float, Mapping[Start, Edge]], *, along: str, axis: str
) -> Figure:
    """Draw the edge over a second axis, with its interval, and the 90-10 % width as a band.

    Parameters
    ----------
    edges : by the value of the second axis, one edge per start. Where no seed turns in the range
        nothing is drawn.
    along : the second axis, with its unit.
    axis : what was bisected, with its unit.
    """
    with charts.style():
        figure = Figure(figsize=(charts.WIDTH_INCH, 3.8), layout="constrained")
        panel = figure.subplots()
        for start in Start:
            rows = _rows(edges, start)
            if not len(rows):
                continue
            x, location, low, high, width = rows.T
            colour = _COLOUR[start]
            half = np.nan_to_num(width) / 2
            panel.fill_between(x, location - half, location + half, color=colour, alpha=0.15, lw=0)
            spread = np.nan_to_num(np.abs(np.stack([location - low, high - location])))
            panel.errorbar(
                x,
                location,
                yerr=spread,
                fmt="o",
                ms=3,
                color=colour,
                ls=_DASH[start],
                capsize=2,
                label=f"edge from an {start.value} start",
            )
        panel.set(xlabel=along, ylabel=axis, title="Where the system ceases to be executable")
        panel.legend()
        panel.grid()
        return figure


def _rows(edges: Mapping[float, Mapping[Start, Edge]], start: Start) -> np.ndarray:
    found = [
        (x, *_ends(edge.transition.location), edge.transition.width.value)
        for x, by_start in sorted(edges.items())
        if (edge := by_start.get(start)) is not None and edge.transition is not None
    ]
    return np.array(found, dtype=float).reshape(-1, 5)


def _ends(one: Interval) -> tuple[float, float, float]:
    return one.value, one.low, one.high


def _told(one: Interval) -> str:
    if np.isnan(one.low):
        return f"{one.value:.3g}, one seed"
    return f"{one.value:.3g} ({one.low:.3g} to {one.high:.3g})"

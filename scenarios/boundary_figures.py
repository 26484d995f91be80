"""Boundary figures: where a system ceases to be executable, from either start, over two axes."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hanse.scenarios import charts
from hanse.scenarios.boundary import Edge, Start
from hanse.scenarios.hysteresis import hysteresis
from hanse.scenarios.intervals import Interval

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

"""Latency figures: what finished jobs waited for, stacked by component, rung by rung."""

from collections.abc import Mapping
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from hanse.scenarios import charts
from hanse.scenarios.measuring.latency import COMPONENTS
from hanse.scenarios.pictures import Picture
from hanse.scenarios.results import Results

COLOURS: Final = dict(
    zip(
        COMPONENTS,
        (
            "#BBBBBB",
            "#56B4E9",
            "#009E73",
            "#F0E442",
            "#CC79A7",
            "#D55E00",
            "#0072B2",
            "#E69F00",
            "#7F5AA2",
            "#444444",
        ),
        strict=True,
    )
)
"""Payload is grey and capacity dark: what lies between them, a tool apart, is coordination."""


def latency_picture(results: Results, titles: Mapping[str, str]) -> Picture | None:
    """Draw the latency of a comparison, for its page; None without any finished job."""
    figure = draw_latency(results.frame("latency"), results.frame("measures"), titles)
    if figure is None:
        return None
    n_worlds = results.frame("runs")["seed"].nunique()
    return Picture(
        figure=figure,
        name="latency",
        title="What finished jobs waited for, and which share of it is coordination",
        caption=f"Mean seconds per finished job along its critical path over {n_worlds} worlds, no "
        "intervals. At the end of each bar: coordination's share of it, a tool's work counting as "
        "payload, and as coordination. Capacity, which is waiting for a unit, counts as neither. "
        "Jobs that were given up are not in it, so a regime that drops its slowest looks quick.",
    )


def draw_latency(
    latency: pd.DataFrame, measures: pd.DataFrame, titles: Mapping[str, str]
) -> Figure | None:
    """Draw one panel per family, one bar per rung; None without any finished job.

    Both shares of coordination stand at the end of each bar: a tool being payload, and being
    coordination.

    Parameters
    ----------
    latency, measures : the tables of these names, of any number of seeds.
    titles : of the regimes, in order.
    """
    families = latency["family"].unique().tolist()
    if not families:
        return None
    figure, axes = charts.panels(len(families), row_inch=0.3 * len(titles) + 0.75)
    for axis, family in zip(axes, families, strict=True):
        here = latency[latency["family"] == family]
        table = here.pivot_table(index="regime", columns="component", values="seconds")
        table = table.reindex(index=list(titles), columns=list(COMPONENTS)).fillna(0.0)
        ends = charts.stack(axis, table, colours=COLOURS)
        shares = _shares(measures[measures["family"] == family], titles)
        for y, (end, text) in enumerate(zip(ends, shares, strict=True)):
            axis.text(end, y, f" {text}", va="center", fontsize=7.5)
        charts.rung_axis(axis, titles)
        axis.set(title=family, xlim=(0, 1.25 * max(ends.max(), 1e-9)))
        axis.set_xlabel("seconds per finished job; coordination's share without and with tools")
        axis.grid(axis="x")
    figure.legend(*charts.legend(axes), loc="outside lower center", ncols=5)
    return figure


def _shares(measures: pd.DataFrame, titles: Mapping[str, str]) -> list[str]:
    """Write both shares of coordination of each regime."""
    table = measures.pivot_table(index="regime", columns="measure", values="value")
    names = ["coordination_share", "coordination_share_with_tools"]
    table = table.reindex(index=list(titles), columns=names)
    return [
        "" if pd.isna(without) else f"{without:.3f} | {with_tools:.3f}"
        for without, with_tools in table.to_numpy().tolist()
    ]

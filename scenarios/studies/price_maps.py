"""Price maps: prices by region under several mechanisms, one row each, on one scale."""

from collections.abc import Mapping
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from hanse.scenarios import charts

_ROW_INCH: Final = 2.35


def draw_price_maps(region: pd.DataFrame, price: Mapping[str, pd.Series]) -> Figure | None:
    """Draw one row of maps per mechanism, with one colour scale for all; None without any price.

    Parameters
    ----------
    region : longitude and latitude, by name.
    price : USD per GPU-hour by name of the region, for each heading of a row; a region without a
        price there is drawn hollow.
    """
    shown = {heading: one.reindex(region.index) for heading, one in price.items()}
    every = pd.concat(list(shown.values())).dropna()
    if every.empty:
        return None
    limits = (float(every.min()), float(every.max()))
    size = (charts.WIDTH_INCH, _ROW_INCH * len(shown) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    n_boxes = len(charts.BOXES)
    grid = figure.subplots(len(shown), n_boxes, width_ratios=(1, 1, 1.25), squeeze=False)
    for row, (heading, one) in zip(grid, shown.items(), strict=True):
        for axis, box in zip(row, charts.BOXES, strict=True):
            points = charts.places(axis, region, one, box=box, limits=limits)
        row[0].set_ylabel(f"{heading}\n\nlatitude, degrees")
    for axis, box in zip(grid[0], charts.BOXES, strict=True):
        axis.set_title(box.name)
    for axis in grid[-1]:
        axis.set_xlabel("longitude, degrees")
    figure.colorbar(
        points,
        ax=list(grid.ravel()),
        location="bottom",
        label="mean price, USD per GPU-hour; one scale for all rows",
        shrink=0.6,
        aspect=40,
        pad=0.01,
    )
    return figure

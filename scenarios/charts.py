"""Charts: the one place for marks on paper; what they mean is said in `figures`."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.style import context

from hanse.market.states import OPERATIONS
from hanse.market.units import Floats
from hanse.scenarios.numerals import short

# Okabe and Ito's palette, which people with any colour vision can tell apart.
PALETTE: Final = (
    "#56B4E9",
    "#0072B2",
    "#009E73",
    "#F0E442",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
    "#444444",
)
GREY: Final = "#888888"
DASHES: Final = ("-", "--", "-.", ":")
# A phone shows about 7 inches of picture at a readable size and scrolls the other way.
WIDTH_INCH: Final = 7.0
STYLE: Final[dict[str, object]] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
    "svg.hashsalt": "hanse",  # the same picture is the same bytes
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A cut-out of the map, in degrees."""

    name: str
    west: float
    east: float
    south: float
    north: float
    label_width: float

    def holds(self, longitude: float, latitude: float) -> bool:
        """Say whether a place lies in the box."""
        return self.west <= longitude <= self.east and self.south <= latitude <= self.north


# Together they hold every region, each once; `label_width` is that of a label over its height.
BOXES: Final = (
    Box(name="Americas", west=-140.0, east=-30.0, south=-42.0, north=66.0, label_width=6.0),
    Box(name="Europe", west=-16.0, east=40.0, south=45.0, north=66.0, label_width=14.0),
    Box(
        name="Africa, Asia, Pacific",
        west=10.0,
        east=175.0,
        south=-42.0,
        north=44.5,
        label_width=8.0,
    ),
)


def panels(n_rows: int, *, row_inch: float) -> tuple[Figure, list[Axes]]:
    """Stack panels, one under the other."""
    figure = Figure(figsize=(WIDTH_INCH, row_inch * n_rows + 0.7), layout="constrained")
    return figure, list(figure.subplots(n_rows, 1, squeeze=False)[:, 0])


def svg_of(figure: Figure) -> str:
    """Write a figure as SVG, without a date."""
    page = BytesIO()
    figure.savefig(page, format="svg", metadata={"Date": None})
    return page.getvalue().decode("utf-8")


def style() -> AbstractContextManager[None]:
    """Set the style for the length of a `with` block."""
    return context(STYLE)


def stack(axis: Axes, table: pd.DataFrame) -> Floats:
    """Stack one bar per row from its columns, which are operations; return where they end."""
    colour = dict(zip(OPERATIONS, PALETTE, strict=True))
    ends = np.zeros(len(table))
    for operation in table.columns:
        width = table[operation].to_numpy()
        axis.barh(
            range(len(table)),
            width,
            left=ends,
            height=0.7,
            color=colour[operation],
            edgecolor="white",
            linewidth=0.4,
            label=operation,
        )
        ends = ends + width
    return ends


def dots(axis: Axes, steps: pd.DataFrame) -> None:
    """Draw a dot and its interval per row; hollow and grey where the interval holds zero."""
    axis.axvline(0.0, color=GREY, lw=0.8)
    rows = steps[["mean", "ci_low", "ci_high"]].to_numpy()
    for y, (mean, low, high) in enumerate(rows):
        clear = low > 0 or high < 0
        colour = PALETTE[1] if clear else GREY
        axis.plot((low, high), (y, y), color=colour, lw=1.8)
        axis.plot(mean, y, "o", ms=5, mec=colour, mfc=colour if clear else "white")
    axis.grid(axis="x")
    axis.margins(x=0.08)


def rung_axis(axis: Axes, titles: Mapping[str, str]) -> None:
    """Name the rungs down the side, the first on top, and keep the numbers along the foot plain."""
    axis.set_yticks(range(len(titles)), list(titles.values()))
    axis.set_ylim(len(titles) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.locator_params(axis="x", nbins=5)
    axis.ticklabel_format(axis="x", style="plain", useOffset=False)


def legend(axes: Sequence[Axes]) -> tuple[list[Artist], list[str]]:
    """Gather what several panels show, each once."""
    by_label: dict[str, Artist] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        by_label |= dict(zip(labels, handles, strict=True))
    return list(by_label.values()), list(by_label)


def heat(axis: Axes, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Write every number into its cell; colour helps the eye and is never needed to read."""
    value = table.to_numpy()
    top = max(float(value.max()), 1e-12)
    axis.imshow(value, cmap="Blues", norm=PowerNorm(0.5, 0.0, 1.1 * top), aspect="auto")
    for (y, x), number in np.ndenumerate(value):
        colour = "white" if number > 0.3 * top else "black"
        axis.text(x, y, short(number), ha="center", va="center", color=colour, fontsize=7.5)
    axis.set_yticks(range(len(table)), list(table.index))
    axis.set_xticks(range(len(columns)), list(columns))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def places(
    axis: Axes, region: pd.DataFrame, value: pd.Series, *, box: Box, limits: tuple[float, float]
) -> PathCollection:
    """Draw the regions in a box at longitude and latitude, coloured by a value; hollow if none."""
    held = [box.holds(*at) for at in region[["longitude", "latitude"]].to_numpy()]
    at = region.loc[held, ["longitude", "latitude"]].to_numpy()
    shade = value[held].to_numpy()
    known = ~np.isnan(shade)
    axis.scatter(at[:, 0], at[:, 1], s=40, fc="white", ec=GREY, lw=0.8)
    shown = axis.scatter(
        at[known, 0],
        at[known, 1],
        c=shade[known],
        s=40,
        cmap="cividis",
        vmin=limits[0],
        vmax=limits[1],
        edgecolors="black",
        linewidths=0.5,
    )
    height = box.north - box.south
    axis.set(xlim=(box.west, box.east), ylim=(box.south, box.north + 0.12 * height))
    for name, spot, (dx, dy) in zip(region.index[held], at, _label_offsets(at, box), strict=True):
        axis.annotate(
            str(name),
            (float(spot[0]), float(spot[1])),
            (dx, dy),
            textcoords="offset points",
            fontsize=7,
            ha="left" if dx > 0 else "right",
            va="center",
        )
    axis.grid()
    return shown


def _label_offsets(at: Floats, box: Box) -> list[tuple[float, float]]:
    """Choose, for each place in turn, the side on which its label meets the fewest others."""
    height = 0.06 * (box.north - box.south)
    width = height * box.label_width
    taken: list[tuple[float, float]] = [(x, y) for x, y in at]
    chosen = []
    for x, y in at:
        spots = {
            (5.0 * side, 8.0 * up): (x + side * (width / 2 + height / 2), y + up * height)
            for up in (0, 1, -1, 2, -2)
            for side in (1, -1)
        }
        crowd = {
            offset: sum(abs(p - u) < width and abs(q - v) < height for u, v in taken)
            + (p + width / 2 > box.east)
            + (p - width / 2 < box.west)
            for offset, (p, q) in spots.items()
        }
        best = min(crowd, key=crowd.__getitem__)
        taken.append(spots[best])
        chosen.append(best)
    return chosen

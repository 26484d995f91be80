"""Charts: the one place for marks on paper; what they mean is said in `figures`."""

from collections.abc import Callable, Mapping, Sequence
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
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from hanse.market.engine.states import OPERATIONS
from hanse.market.units import Floats
from hanse.scenarios.numerals import short, tick

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
COLOURS: Final = dict(zip(OPERATIONS, PALETTE, strict=True))
GREY: Final = "#888888"
# The same without the yellow, which is lost in a line on white.
LINES: Final = (
    "#000000",
    "#0072B2",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#7F7F7F",
)
DASHES: Final = ("-", "--", "-.", ":")
# A phone shows about 7 inches of picture at a readable size and scrolls the other way.
WIDTH_INCH: Final = 7.0
_MANY_DECADES: Final = 200.0
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
    "svg.fonttype": "none",  # text stays text: half the bytes, and no font is drawn by hand
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A cut-out of the map, in degrees."""

    name: str
    west: float
    east: float
    south: float
    north: float

    def holds(self, longitude: float, latitude: float) -> bool:
        """Say whether a place lies in the box."""
        return self.west <= longitude <= self.east and self.south <= latitude <= self.north


# Together they hold every region, each once.
BOXES: Final = (
    Box(name="Americas", west=-140.0, east=-20.0, south=-42.0, north=58.0),
    Box(name="Europe", west=-10.0, east=30.0, south=46.0, north=63.0),
    Box(name="Africa, Asia, Pacific", west=0.0, east=160.0, south=-42.0, north=45.0),
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


def stack(axis: Axes, table: pd.DataFrame, *, colours: Mapping[str, str] = COLOURS) -> Floats:
    """Stack one bar per row from its columns, operations as a rule; return where they end."""
    ends = np.zeros(len(table))
    for name in table.columns:
        width = table[name].to_numpy()
        axis.barh(
            range(len(table)),
            width,
            left=ends,
            height=0.7,
            color=colours[name],
            edgecolor="white",
            linewidth=0.4,
            label=name,
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
    axis.locator_params(axis="x", nbins=4)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda number, _: tick(number)))


def legend(axes: Sequence[Axes]) -> tuple[list[Artist], list[str]]:
    """Gather what several panels show, each once."""
    by_label: dict[str, Artist] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        by_label |= dict(zip(labels, handles, strict=True))
    return list(by_label.values()), list(by_label)


def log_ticks(axis: Axes) -> None:
    """Write plain numbers up a logarithmic axis: decades, and halves and fifths if they are few."""
    low, high = axis.get_ylim()
    subs = (1.0,) if high / low > _MANY_DECADES else (1.0, 2.0, 5.0)
    axis.yaxis.set_major_locator(LogLocator(subs=subs))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda number, _: tick(number)))
    axis.yaxis.set_minor_formatter(NullFormatter())


def cell(number: float) -> str:
    """Write a number for a cell, with three significant digits."""
    return "<0.001" if 0 < number < 0.001 else short(number)


def heat(
    axis: Axes,
    table: pd.DataFrame,
    columns: Sequence[str],
    *,
    write: Callable[[float], str] = cell,
) -> None:
    """Write every number into its cell; colour helps the eye and is never needed to read."""
    value = table.to_numpy()
    top = max(float(value.max()), 1e-12)
    axis.imshow(value, cmap="Blues", norm=PowerNorm(0.5, 0.0, 1.1 * top), aspect="auto")
    for (y, x), number in np.ndenumerate(value):
        colour = "white" if number > 0.3 * top else "black"
        axis.text(x, y, write(number), ha="center", va="center", color=colour, fontsize=7.5)
    axis.set_yticks(range(len(table)), list(table.index))
    axis.set_xticks(range(len(columns)), list(columns))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def places(
    axis: Axes, region: pd.DataFrame, value: pd.Series, *, box: Box, limits: tuple[float, float]
) -> PathCollection:
    """Draw the regions in a box at longitude and latitude, coloured by a value; hollow if none.

    Each is named with its value, so that colour helps the eye and is not needed to read.
    """
    held = [box.holds(*at) for at in region[["longitude", "latitude"]].to_numpy()]
    at = region.loc[held, ["longitude", "latitude"]].to_numpy()
    shade = value[held].to_numpy()
    known = ~np.isnan(shade)
    axis.scatter(at[~known, 0], at[~known, 1], s=40, fc="white", ec=GREY, lw=0.8)
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
    names = region.index[held].tolist()
    labels = [_label(*one) for one in zip(names, shade.tolist(), strict=True)]
    _name_places(axis, labels=labels, at=at, box=box)
    return shown


def _label(name: str, value: float) -> str:
    return f"{name} {value:.2f}" if not np.isnan(value) else name


def _name_places(axis: Axes, *, labels: Sequence[str], at: Floats, box: Box) -> None:
    """List the labels down the right side, north first, each led to its place by a line."""
    width, height = box.east - box.west, box.north - box.south
    column = box.east + 0.06 * width
    order = np.argsort(-at[:, 1], kind="stable")
    slots = _spread(at[order, 1], gap=0.07 * height, top=box.north, bottom=box.south)
    for k, slot in zip(order, slots, strict=True):
        longitude, latitude = at[k]
        axis.plot((longitude, column), (latitude, slot), color=GREY, lw=0.4, zorder=0.5)
        axis.text(column, slot, f" {labels[k]}", fontsize=7, va="center")
    axis.set(xlim=(box.west, box.east + 0.75 * width), ylim=(box.south, box.north))
    axis.set_xticks(np.linspace(box.west, box.east, 3))
    axis.grid()


def _spread(falling: Floats, *, gap: float, top: float, bottom: float) -> Floats:
    """Move falling values apart to at least `gap`, as little as may be, and above the bottom."""
    slots = np.minimum(falling, top - gap / 2)
    for k in range(1, len(slots)):
        slots[k] = min(slots[k], slots[k - 1] - gap)
    slots[-1:] = np.maximum(slots[-1:], bottom + gap / 2)
    for k in range(len(slots) - 2, -1, -1):
        slots[k] = max(slots[k], slots[k + 1] + gap)
    return slots

"""Growth figures: a response over an axis, the best law of each class, and its local slopes."""

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from hanse.scenarios import charts
from hanse.scenarios.growth.laws import GROWTH_CLASSES, GROWTH_LAWS, fit_law, log_mean
from hanse.scenarios.growth.scaling import UNDETERMINED, Growth, Responses, best_law, local_slopes
from hanse.scenarios.numerals import tick

_N_POINTS: Final = 200


def draw_growth(of: Responses, found: Growth, *, axis: str, response: str) -> Figure:
    """Draw seeds as dots, the best law of each class as a line, and slopes between levels below.

    Parameters
    ----------
    axis, response : what is along and what is up, with their units.
    """
    with charts.style():
        figure = Figure(figsize=(charts.WIDTH_INCH, 6.4), layout="constrained")
        top, left, right = figure.subplot_mosaic([["a", "a"], ["b", "c"]]).values()
        _draw_response(top, of, found)
        top.set(xlabel=axis, ylabel=response, title=_heading(found))
        slopes = local_slopes(of)
        middle = np.sqrt(slopes["x_low"].to_numpy() * slopes["x_high"].to_numpy())
        for panel, name, text in (
            (left, "elasticity", "elasticity: level where it is a power"),
            (right, "semi_elasticity", "per unit: level where it is exponential"),
        ):
            value = slopes[name].to_numpy()
            panel.fill_between(
                middle,
                slopes[f"{name}_ci_low"],
                slopes[f"{name}_ci_high"],
                color=charts.PALETTE[0],
                alpha=0.4,
                lw=0,
            )
            panel.plot(middle, value, "o-", ms=3, lw=1, color=charts.PALETTE[1])
            panel.axhline(0.0, color=charts.GREY, lw=0.8)
            panel.set(xlabel=axis, title=text)
            panel.set_xscale("log" if _is_wide(of) else "linear")
            panel.grid()
        return figure


def _is_wide(of: Responses) -> bool:
    return bool(of.x.max() / of.x.min() > 30)


def _draw_response(panel: Axes, of: Responses, found: Growth) -> None:
    for one in of.log_response.T:
        panel.plot(of.x, np.exp(one), ".", ms=3, color=charts.GREY, alpha=0.6)
    x = np.unique(np.concatenate([of.x, np.geomspace(of.x.min(), of.x.max(), _N_POINTS)]))
    sample = of.samples(np.ones((1, of.log_response.shape[1]), np.int64))
    laws = {law.name: law for law in GROWTH_LAWS}
    for k, name in enumerate(GROWTH_CLASSES):
        own = found.laws[found.laws["growth_class"] == name]
        if own.empty:
            continue
        best = best_law(own)
        law = laws[best["law"]]
        theta = fit_law(law, of.x, sample).theta
        # Columns are scaled by the largest x, which the finer grid shares.
        level = np.exp(log_mean(law, x, theta)[0])
        is_leader = name == found.leader
        panel.plot(
            x,
            level,
            color=charts.LINES[1 + k],
            ls="-" if is_leader else charts.DASHES[1 + k % 3],
            lw=2.2 if is_leader else 1.2,
            label=f"{name}: {best['law']}, {best['delta_aicc']:.0f} behind, wins "
            f"{found.win_share[name]:.0%}",
        )
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(FuncFormatter(lambda number, _: tick(number)))
    if _is_wide(of):
        panel.set_xscale("log")
    floor, roof = np.nanmin(of.log_response), np.nanmax(of.log_response)
    if roof - floor > np.log(10.0):
        panel.yaxis.set_minor_formatter(NullFormatter())
    panel.set_ylim(np.exp(floor - 0.1), np.exp(roof + 0.1))
    panel.legend(fontsize=7.5)
    panel.grid()


def _heading(found: Growth) -> str:
    if found.verdict == UNDETERMINED:
        return f"Undetermined: {found.reason}"
    return f"Declared: {found.verdict}"

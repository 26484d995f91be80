"""Shocks: what each does to a world, as two worlds of one seed that differ in the shock alone.

Before and after are paired by seed on every rung. A shock that strikes at an instant leaves what
came before it as it was; one that the engine takes as given from the start (`FROM_THE_START`)
compares two worlds, in one of which it has always been so.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hanse.market.regime import Rung, ladder
from hanse.scenarios import charts
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.draw import draw_world
from hanse.scenarios.experiment import checked_seeds
from hanse.scenarios.parameters import Value, parameters
from hanse.scenarios.run import run_world
from hanse.scenarios.running.batches import run_in_order
from hanse.scenarios.scenario import Scenario, load

SHOCKS: Final = (
    "supply-cut",
    "hyperscaler-outage",
    "quantum-loss",
    "demand-surge",
    "escrow-loss",
    "cable-cut",
    "export-rule",
    "escrow-failure",
    "collusion-ring",
    "fake-capacity",
)
"""The scenarios of the library that are a shock, those that strike at an instant first."""

FROM_THE_START: Final = SHOCKS[5:]

MEASURES: Final = (
    "welfare_usd",
    "jobs_done",
    "waiting_s",
    "failed_tries",
    "wrong_accepted_share",
)

_SECTION: Final = "shock."
_ALSO: Final = ("law.export_rule", "verification.settlement_us")
_KEYS: Final = ["shock", "rung", "family", "measure", "unit"]
_ROW_INCH: Final = 0.2
_N_COLUMNS: Final = 2
_APART: Final = 0.25


def calm(scenario: Scenario) -> Scenario:
    """Return the same question without its shock: every key that shocks are made of, as it was."""
    default = {key: one.default for key, one in parameters().items()}
    struck = [key for key in default if key.startswith(_SECTION)] + list(_ALSO)
    return scenario.replace({key: default[key] for key in struck})


def shock_effects(
    shocks: Sequence[Scenario | str] = SHOCKS,
    *,
    seeds: Sequence[int],
    regimes: Sequence[Rung] = ladder,
    measures: Sequence[str] = MEASURES,
    changes: Mapping[str, Value] | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """Measure what shocks do on each rung, after minus before on worlds of one seed.

    Parameters
    ----------
    shocks : scenarios, or names of the library; what they set of `shock` is what strikes.
    seeds : distinct and not negative; fewer than two give no interval.
    changes : values that both worlds have in the place of their own, for a smaller fleet, say.

    Returns
    -------
    pd.DataFrame
        Columns shock, rung, family, measure, unit, before, after, mean (after minus before),
        ci_low, ci_high, n: 95 %, Student's t on paired differences, each by itself. A measure that
        is undefined in a world leaves that seed out.
    """
    asked = [load(one) if isinstance(one, str) else one for one in shocks]
    asked = [one.replace(changes or {}) for one in asked]
    tasks = [(one, seed) for one in asked for seed in checked_seeds(seeds)]
    work = partial(_strike, regimes=tuple(regimes), measures=tuple(measures))
    found = run_in_order(work, tasks, workers=workers)
    return _differences(pd.concat(found, ignore_index=True))


def draw_effects(effects: pd.DataFrame, *, measure: str = "welfare_usd") -> Figure:
    """Draw what each shock changes in one measure: a panel per shock, a mark per rung and family.

    What is drawn is the mean change as a share of the mean before, with its interval; where the
    mean before is zero, there is nothing to draw.
    """
    shown = effects[(effects["measure"] == measure) & (effects["before"].abs() > 0)]
    shown = shown[~shown["family"].str.startswith("(")]
    shocks, rungs = list(shown["shock"].unique()), list(shown["rung"].unique())
    n_rows = -(-len(shocks) // _N_COLUMNS)
    height = n_rows * (_ROW_INCH * len(rungs) + 0.5) + 0.8
    figure = Figure(figsize=(charts.WIDTH_INCH, height), layout="constrained")
    grid = figure.subplots(n_rows, _N_COLUMNS, sharey=True, squeeze=False)
    colour = dict(zip(shown["family"].unique(), charts.LINES[1:], strict=False))
    for axis, shock in zip(grid.ravel(), shocks, strict=False):
        _draw_shock(axis, shown[shown["shock"] == shock], rungs=rungs, colour=colour)
        axis.set_title(shock)
    for axis in grid.ravel()[len(shocks) :]:
        axis.set_visible(False)
    grid[0, 0].set_yticks(range(len(rungs)), rungs)
    grid[0, 0].invert_yaxis()
    figure.supxlabel(f"change of {measure}, % of the mean before; 95 % intervals")
    handles = [Line2D([], [], color=hue, marker="o", label=one) for one, hue in colour.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
    return figure


def _draw_shock(
    axis: Axes, here: pd.DataFrame, *, rungs: list[str], colour: dict[str, str]
) -> None:
    for number, (family, hue) in enumerate(colour.items()):
        rows = here[here["family"] == family]
        shift = _APART * (number - (len(colour) - 1) / 2)
        percent = 100.0 / rows["before"].abs().to_numpy()
        mean = rows["mean"].to_numpy() * percent
        half = np.nan_to_num((rows["ci_high"] - rows["mean"]).to_numpy() * percent)
        at = np.array([rungs.index(rung) for rung in rows["rung"]]) + shift
        axis.errorbar(mean, at, xerr=half, fmt="o", markersize=3, color=hue)
    axis.axvline(0.0, color=charts.GREY, linewidth=0.8)
    axis.spines[["top", "right"]].set_visible(False)


def _strike(
    task: tuple[Scenario, int], *, regimes: tuple[Rung, ...], measures: tuple[str, ...]
) -> pd.DataFrame:
    """Run both worlds of one seed on every rung, and keep the measures that are asked for."""
    scenario, seed = task
    frames = []
    for arm, asked in (("before", calm(scenario)), ("after", scenario)):
        world = draw_world(asked, seed)
        for rung in regimes:
            table = pd.DataFrame(run_world(world, rung.regime).tables["measures"])
            kept = table[table["measure"].isin(measures)]
            frames.append(kept.assign(arm=arm, rung=rung.name))
    return pd.concat(frames).assign(shock=scenario.name, seed=seed)


def _differences(found: pd.DataFrame) -> pd.DataFrame:
    """Pair both arms by seed, and take means over seeds with their interval."""
    wide = found.pivot_table(
        index=[*_KEYS, "seed"], columns="arm", values="value", sort=False
    ).reset_index()
    rows = []
    for keys, here in wide.groupby(_KEYS, sort=False):
        before, after = here["before"].to_numpy(float), here["after"].to_numpy(float)
        over = interval(after - before)
        told = np.isfinite(after - before)
        means = [float(arm[told].mean()) if told.any() else np.nan for arm in (before, after)]
        found_over = (float(over.mean), float(over.low), float(over.high), int(over.n))
        rows.append((*keys, *means, *found_over))
    columns = [*_KEYS, "before", "after", "mean", "ci_low", "ci_high", "n"]
    return pd.DataFrame(rows, columns=columns)

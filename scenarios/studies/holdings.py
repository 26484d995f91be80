"""The one place that asks how concentrated several regimes leave things, on the same worlds."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hanse.agents.model import ComputeMarket, release
from hanse.market.accounts.structure import WEAKEST
from hanse.market.regime import Rung, ladder
from hanse.scenarios import charts
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.draw import draw_world
from hanse.scenarios.experiment import checked_seeds
from hanse.scenarios.measuring.measures import measure
from hanse.scenarios.measuring.structure_tables import structure_of
from hanse.scenarios.running.batches import run_in_order
from hanse.scenarios.scenario import Scenario

_COLUMNS: Final = ("regime", "seed", "subsystem", "measure", "unit", "value")


def concentrations(
    scenario: Scenario,
    *,
    seeds: Iterable[int],
    rungs: Sequence[Rung] = (ladder[0], ladder[-1]),
    workers: int | None = None,
) -> pd.DataFrame:
    """Run each regime on each world and read who held what.

    Returns
    -------
    Columns regime, seed, subsystem, measure, unit, value: those of `Structure.rows`.
    """
    work = partial(_of_seed, scenario=scenario, rungs=tuple(rungs))
    frames = run_in_order(work, checked_seeds(seeds), workers=workers)
    return pd.concat(frames, ignore_index=True)


def draw_concentrations(found: pd.DataFrame) -> Figure:
    """Draw the Herfindahl index and the Nakamoto coefficient of each subsystem, by regime.

    Dots are means over worlds with their 95 % interval. A subsystem in which nothing was held has
    none.
    """
    regimes = list(dict.fromkeys(found["regime"]))
    subsystems = [name for name in dict.fromkeys(found["subsystem"]) if name != WEAKEST]
    panels = (("hhi", "Herfindahl index, 0 to 10,000"), ("nakamoto_half", "Nakamoto coefficient"))
    with charts.style():
        figure, axes = charts.panels(len(panels), row_inch=0.8 + 0.35 * len(subsystems))
        for axis, (measure, label) in zip(axes, panels, strict=True):
            for k, regime in enumerate(regimes):
                chosen = found[(found["regime"] == regime) & (found["measure"] == measure)]
                for row, subsystem in enumerate(subsystems):
                    value = chosen["value"][chosen["subsystem"] == subsystem].to_numpy(float)
                    if not value.any():
                        continue
                    spread, y = interval(value), row + 0.16 * (k - (len(regimes) - 1) / 2.0)
                    colour = charts.PALETTE[k % len(charts.PALETTE)]
                    name = regime if row == 0 else "_"
                    axis.plot((spread.low, spread.high), (y, y), color=colour, lw=1.8)
                    axis.plot(spread.mean, y, "o", ms=5, color=colour, label=name)
            axis.set_yticks(range(len(subsystems)), subsystems)
            axis.invert_yaxis()
            axis.set_xlabel(label)
            axis.set_xlim(left=0.0)
            axis.grid(axis="x")
        handles, labels = charts.legend(axes[:1])
        figure.legend(handles, labels, loc="outside lower center", ncols=len(regimes))
    return figure


def _of_seed(seed: int, *, scenario: Scenario, rungs: tuple[Rung, ...]) -> pd.DataFrame:
    world = draw_world(scenario, seed)
    rows = []
    for rung in rungs:
        model = ComputeMarket(world, rung.regime, with_agents=False)
        found = structure_of(measure(world, model.run_to_horizon()))
        release(model)
        rows += [(rung.name, seed, *row) for row in found.rows()]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"value": np.float64})

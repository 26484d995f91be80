"""Boundary: the one place that finds where a system ceases to be executable.

A run is executable if its unfinished work does not grow and its payload rate stays above a floor.
The edge is looked for along any parameter, by bisection on each seed, from an empty start or from
an overloaded one (docs/why/hysteresis-of-two-starts.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import inf, isfinite
from typing import Final

import numpy as np
import pandas as pd

from hanse.agents.world import World
from hanse.market.regime import Regime
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.growth.transitions import Transition, of_thresholds, resolved
from hanse.scenarios.growth.unfinished_work import WorkPath, work_path
from hanse.scenarios.parameters import ScenarioError, parameter
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.selftest.checks import run_ledger

GROWTH_MAX: Final = 0.01
"""Unfinished work that grows by more than this share of the fleet's capacity grows without end."""
PAYLOAD_MIN: Final = 0.05
"""The least payload rate, as a share of the fleet, that still counts as executing."""


class Start(Enum):
    """How a run begins: the fleet free, or every unit occupied until a pulse ends."""

    EMPTY = "empty"
    OVERLOADED = "overloaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one run says at one point of the axis; a path is kept where there is one."""

    payload_share: float
    growth_share: float
    path: WorkPath | None = None

    def is_executable(self, *, growth_max: float, payload_min: float) -> bool:
        """Say whether unfinished work stays bounded and payload is done."""
        return self.growth_share <= growth_max and self.payload_share >= payload_min


Ask = Callable[[float, int, Start], Answer]
"""What is asked: a point of the axis, a seed, and how the run begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Where a system ceases to be executable along an axis.

    Attributes
    ----------
    transition : location and 90-10 % width over seeds; None where no seed turns in the range.
    thresholds : one row per seed: seed, threshold (NaN where it does not turn in the range),
        is_executable_low, is_executable_high.
    runs : one row per run: x, seed, start, payload_share, growth_share, is_executable.
    """

    transition: Transition | None
    thresholds: pd.DataFrame
    runs: pd.DataFrame


def asking(scenario: Scenario, regime: Regime, axis: str, *, pulse_s: float = 0.0) -> Ask:
    """Return what runs a scenario under a regime with one parameter set to the point asked for.

    Parameters
    ----------
    axis : key of a parameter that is a number; whole ones are rounded. What is none is refused.
    pulse_s : until when every unit is occupied where the start is overloaded. What is measured is
        measured over the second half of the time after it, whatever the start.

    Raises
    ------
    ScenarioError
        If the parameter is no number, or the pulse is negative.
    """
    one = parameter(axis)
    if isinstance(one.default, bool | str | tuple):
        raise ScenarioError(
            f"an axis must be a parameter that is one number, got {axis}, which is "
            f"{scenario.values[axis]!r}"
        )
    if not pulse_s >= 0:
        raise ScenarioError(f"the pulse must last at least 0 s, got {pulse_s:g} s")
    is_whole = isinstance(one.default, int)

    def ask(x: float, seed: int, start: Start) -> Answer:
        world = draw_world(scenario.replace({axis: round(x) if is_whole else x}), seed)
        return answer_of(world, regime, start=start, pulse_s=pulse_s)

    return ask


def answer_of(world: World, regime: Regime, *, start: Start, pulse_s: float) -> Answer:
    """Run a world from a start, and measure over the second half of the time after the pulse."""
    horizon_s = world.horizon_us / US_PER_S
    if not pulse_s < horizon_s:
        raise ScenarioError(
            f"the pulse must end before the horizon of {horizon_s:g} s, got {pulse_s:g} s"
        )
    if start is Start.OVERLOADED:
        world = overloaded(world, pulse_s)
    path = work_path(run_ledger(world, regime))
    from_s = (pulse_s + horizon_s) / 2.0
    return Answer(
        payload_share=path.mean_payload_share(from_s),
        growth_share=path.growth_share(from_s),
        path=path,
    )


def overloaded(world: World, pulse_s: float) -> World:
    """Occupy every unit until the pulse ends, while jobs go on arriving."""
    free_from_us = np.maximum(world.fleet.node_free_from_us, round(pulse_s * US_PER_S))
    return replace(world, fleet=replace(world.fleet, node_free_from_us=free_from_us))


def check_range(low: float, high: float, *, tolerance: float) -> None:
    """Raise `ScenarioError` if a range does not rise, or its tolerance is not above zero."""
    if not (isfinite(low) and isfinite(high) and low < high):
        raise ScenarioError(f"the range must rise from low to high, got {low:g} to {high:g}")
    if not 0 < tolerance < inf:
        raise ScenarioError(f"the tolerance must be above 0, got {tolerance:g}")


def find_edge(
    ask: Ask,
    *,
    low: float,
    high: float,
    seeds: Sequence[int],
    tolerance: float,
    start: Start = Start.EMPTY,
    growth_max: float = GROWTH_MAX,
    payload_min: float = PAYLOAD_MIN,
) -> Edge:
    """Bisect each seed for the point at which it turns, on the same seeds from either start.

    Raises
    ------
    ScenarioError
        If the range or the tolerance is empty.
    """
    check_range(low, high, tolerance=tolerance)
    runs: list[dict[str, object]] = []

    def executes(x: float, seed: int) -> bool:
        answer = ask(x, seed, start)
        does = answer.is_executable(growth_max=growth_max, payload_min=payload_min)
        runs.append(row_of(x, seed, start=start, answer=answer) | {"is_executable": does})
        return does

    rows = [
        _bisected(executes, low=low, high=high, seed=seed, tolerance=tolerance) for seed in seeds
    ]
    thresholds = pd.DataFrame(rows)
    turned = thresholds["threshold"].dropna()
    falls = thresholds.loc[turned.index, "is_executable_low"]
    found = of_thresholds(turned.to_numpy(dtype=float), is_falling=bool(falls.all()))
    return Edge(
        transition=resolved(found, tolerance) if len(turned) else None,
        thresholds=thresholds,
        runs=pd.DataFrame(runs),
    )


def _bisected(
    executes: Callable[[float, int], bool], *, low: float, high: float, seed: int, tolerance: float
) -> dict[str, object]:
    at_low, at_high = executes(low, seed), executes(high, seed)
    row: dict[str, object] = {"seed": seed, "threshold": float("nan")}
    if at_low != at_high:
        while high - low > tolerance:
            middle = (low + high) / 2.0
            if executes(middle, seed) == at_low:
                low = middle
            else:
                high = middle
        row["threshold"] = (low + high) / 2.0
    return row | {"is_executable_low": at_low, "is_executable_high": at_high}


def row_of(x: float, seed: int, *, start: Start, answer: Answer) -> dict[str, object]:
    """Return what a table says of one run."""
    return {
        "x": x,
        "seed": seed,
        "start": start.value,
        "payload_share": answer.payload_share,
        "growth_share": answer.growth_share,
    }

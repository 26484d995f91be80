"""Studies on the command line: the one place that answers for boundaries, growths and figures."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from hanse.market.regime import regimes
from hanse.scenarios.boundary import (
    GROWTH_MAX,
    PAYLOAD_MIN,
    Edge,
    Start,
    asking,
    find_edge,
)
from hanse.scenarios.command_runs import CommandError, compile_engine
from hanse.scenarios.intervals import Interval
from hanse.scenarios.load_designs import swept_responses
from hanse.scenarios.mechanism_figures import manifest_path, mechanism_of, write_mechanism
from hanse.scenarios.numerals import level, short
from hanse.scenarios.parameters import near_miss
from hanse.scenarios.plain_text import columns
from hanse.scenarios.results import Results
from hanse.scenarios.scaling import Growth, best_law
from hanse.scenarios.scaling import growth as growth_of
from hanse.scenarios.scenario import load

_TOLERANCE: Final = 0.01


def boundary(arguments: Namespace) -> str:
    """Find the edge of a scenario along an axis, from both starts where there is a pulse."""
    if arguments.regime not in regimes:
        near = near_miss(arguments.regime, regimes)
        raise CommandError(f"unknown regime {arguments.regime!r}{near}")
    scenario = load(arguments.name).with_settings(arguments.settings)
    ask = asking(scenario, regimes[arguments.regime], arguments.axis, pulse_s=arguments.pulse)
    tolerance = _given(arguments.tolerance, _TOLERANCE * (arguments.high - arguments.low))
    starts: Sequence[Start] = list(Start) if arguments.pulse else [Start.EMPTY]
    compile_engine()
    edges = {
        start: find_edge(
            ask,
            low=arguments.low,
            high=arguments.high,
            seeds=arguments.seeds,
            tolerance=tolerance,
            start=start,
            growth_max=_given(arguments.growth_max, GROWTH_MAX),
            payload_min=_given(arguments.payload_min, PAYLOAD_MIN),
        )
        for start in starts
    }
    rows: list[tuple[str, ...]] = [("start", "seeds that turn", "edge", "90-10 % width", "runs")]
    rows += [_edge_row(start, edge) for start, edge in edges.items()]
    return (
        f"{scenario.name}, {arguments.regime}: where it ceases to be executable along "
        f"{arguments.axis}, {short(arguments.low)} to {short(arguments.high)}\n\n"
        f"{columns(rows, numbers=(4,))}"
    )


def _edge_row(start: Start, edge: Edge) -> tuple[str, ...]:
    turned = int(edge.thresholds["threshold"].notna().sum())
    told = (f"{turned} of {len(edge.thresholds)}",)
    runs = (str(len(edge.runs)),)
    if edge.transition is None:
        always = bool(edge.thresholds["is_executable_high"].all())
        where = "executable throughout" if always else "executable nowhere"
        return (start.value, *told, where, "", *runs)
    found = edge.transition
    return (start.value, *told, _interval(found.location), _interval(found.width), *runs)


def growth(arguments: Namespace) -> str:
    """Say of each regime of a saved sweep how a measure grows along a parameter."""
    results = Results.load(arguments.directory)
    points = results.frame("points")
    if arguments.axis not in points:
        near = near_miss(arguments.axis, points.columns)
        raise CommandError(f"{arguments.axis!r} was not swept{near}")
    x = pd.to_numeric(points.set_index("point")[arguments.axis]).sort_index().tolist()
    swept = results.frame("rungs")["rung"].tolist()
    names = [arguments.regime] if arguments.regime else swept
    for name in names:
        if name not in swept:
            raise CommandError(f"{name!r} is not in this sweep{near_miss(name, swept)}")
    rows: list[tuple[str, ...]] = [
        ("regime", "growth", "best law", "fit", "next class behind by", "why not")
    ]
    for name in names:
        measured = swept_responses(
            results, x, measure=arguments.measure, family=arguments.family, regime=name
        )
        rows.append((name, *_growth_row(growth_of(measured))))
    head = f"{arguments.measure} of {arguments.family} along {arguments.axis}, {len(x)} levels"
    return f"{head}\n\n{columns(rows)}"


def figure(arguments: Namespace) -> str:
    """Run the small experiment of a scenario, draw it, and tell every number that is drawn."""
    mechanism = mechanism_of(arguments.name)
    scenario = load(arguments.name).with_settings(arguments.settings)
    seeds = arguments.seeds or range(mechanism.n_seeds)
    picture = arguments.output or Path("results") / f"{scenario.name}.png"
    compile_engine()
    evidence = write_mechanism(scenario, seeds, picture)
    head = (
        f"{mechanism.title}. {mechanism.caption}\n{len(seeds)} worlds. One point, not a headline."
    )
    told = columns(_told_levels(mechanism.levels(evidence)))
    return f"{head}\n\n{told}\n\nfigure: {picture}, from {manifest_path(picture)}"


def _told_levels(levels: pd.DataFrame) -> list[tuple[str, ...]]:
    """Write each level with its interval, under the keys that tell it apart."""
    keys = [name for name in levels.columns if name not in ("mean", "ci_low", "ci_high", "n")]
    names = [tuple(str(one) for one in row) for row in levels[keys].to_numpy(object).tolist()]
    numbers = levels[["mean", "ci_low", "ci_high"]].to_numpy().tolist()
    told = [level(*row) for row in numbers]
    return [(*keys, "mean"), *((*row, text) for row, text in zip(names, told, strict=True))]


def _growth_row(found: Growth) -> tuple[str, ...]:
    best = best_law(found.laws)
    others = found.laws[found.laws["growth_class"] != best["growth_class"]]
    behind = short(float(others["delta_aicc"].min()))
    return (found.verdict, str(best["law"]), str(best["fit"]), behind, found.reason)


def _given(value: float | None, default: float) -> float:
    return default if value is None else value


def _interval(one: Interval) -> str:
    if np.isnan(one.value):
        return ""
    if np.isnan(one.low):
        return short(one.value)
    return f"{short(one.value)} ({short(one.low)} to {short(one.high)})"

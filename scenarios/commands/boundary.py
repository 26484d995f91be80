"""The boundary on the command line: the one place that looks for an edge, or rides a ramp."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from hanse.market.regime import Regime, regimes
from hanse.scenarios.analysis.intervals import Interval
from hanse.scenarios.commands.plain_text import columns
from hanse.scenarios.commands.running import CommandError, compile_engine
from hanse.scenarios.growth.boundary import (
    GROWTH_MAX,
    PAYLOAD_MIN,
    Edge,
    Start,
    asking,
    check_range,
    find_edge,
)
from hanse.scenarios.growth.boundary_figures import draw_ramp
from hanse.scenarios.growth.hysteresis import Escape
from hanse.scenarios.growth.ramps import (
    OUTCOMES,
    branches,
    escape_on_the_way_down,
    gaps,
    ramp_area,
    ride_ramp,
    riding,
)
from hanse.scenarios.mechanisms.figures import check_picture, save_picture
from hanse.scenarios.numerals import counted, short
from hanse.scenarios.parameters import near_miss
from hanse.scenarios.scenario import Scenario, load

_TOLERANCE: Final = 0.01
_OF_EDGES: Final = ("axis", "low", "high")
_OF_EDGES_ALONE: Final = (*_OF_EDGES, "tolerance", "payload_min", "growth_max")


def boundary(arguments: Namespace) -> str:
    """Find the edge of a scenario along an axis, or lead one run up a load and down again."""
    if arguments.regime not in regimes:
        near = near_miss(arguments.regime, regimes)
        raise CommandError(f"unknown regime {arguments.regime!r}{near}")
    _check_question(arguments)
    scenario = load(arguments.name).with_settings(arguments.settings)
    regime = regimes[arguments.regime]
    if arguments.ramp:
        return _ramp(arguments, scenario, regime)
    return _edges(arguments, scenario, regime)


def _check_question(arguments: Namespace) -> None:
    """See that one of two questions is asked, and is asked whole."""
    if arguments.ramp:
        beside = [name for name in _OF_EDGES_ALONE if getattr(arguments, name) is not None]
        beside += ["pulse"] if arguments.pulse else []
        if beside:
            raise CommandError(f"--ramp and --{beside[0].replace('_', '-')} ask different things")
        return
    missing = [name for name in _OF_EDGES if getattr(arguments, name) is None]
    if missing:
        raise CommandError(f"an edge needs --{missing[0]}; a run up and down needs --ramp")
    if arguments.output is not None:
        raise CommandError("a picture is drawn of a --ramp alone")


def _edges(arguments: Namespace, scenario: Scenario, regime: Regime) -> str:
    """Find the edge along an axis, from both starts where there is a pulse."""
    ask = asking(scenario, regime, arguments.axis, pulse_s=arguments.pulse)
    tolerance = _given(arguments.tolerance, _TOLERANCE * (arguments.high - arguments.low))
    check_range(arguments.low, arguments.high, tolerance=tolerance)
    starts: Sequence[Start] = list(Start) if arguments.pulse else [Start.EMPTY]
    compile_engine()
    limits = {
        "growth_max": _given(arguments.growth_max, GROWTH_MAX),
        "payload_min": _given(arguments.payload_min, PAYLOAD_MIN),
    }
    edges = {
        start: find_edge(
            ask,
            low=arguments.low,
            high=arguments.high,
            seeds=arguments.seeds,
            tolerance=tolerance,
            start=start,
            **limits,
        )
        for start in starts
    }
    rows: list[tuple[str, ...]] = [("start", "seeds that turn", "edge", "90-10 % width", "runs")]
    rows += [_edge_row(start, edge) for start, edge in edges.items()]
    head = (
        f"{scenario.name}, {arguments.regime}: where it ceases to be executable along "
        f"{arguments.axis}, {short(arguments.low)} to {short(arguments.high)}"
    )
    why = [_ends_text(edge, limits) for edge in edges.values() if edge.transition is None]
    return "\n\n".join([head, columns(rows, numbers=(4,)), *why[:1]])


def _edge_row(start: Start, edge: Edge) -> tuple[str, ...]:
    turned = int(edge.thresholds["threshold"].notna().sum())
    told = (f"{turned} of {len(edge.thresholds)}",)
    runs = (str(len(edge.runs)),)
    if edge.transition is None:
        return (start.value, *told, _where(edge.thresholds["is_executable_high"]), "", *runs)
    found = edge.transition
    return (start.value, *told, _interval(found.location), _interval(found.width), *runs)


def _where(is_executable: "pd.Series[bool]") -> str:
    """Say where seeds execute of which none turns."""
    n, n_executing = len(is_executable), int(is_executable.sum())
    if n_executing in (0, n):
        return "executable throughout" if n_executing else "executable nowhere"
    return f"throughout on {counted(n_executing, 'seed')}, nowhere on {n - n_executing}"


def _ends_text(edge: Edge, limits: Mapping[str, float]) -> str:
    """Say what was measured at both ends of a range without an edge, beside the limits."""
    measured = ["payload_share", "growth_share", "is_executable"]
    rows: list[tuple[str, ...]] = [("at", "payload rate", "growth of work", "seeds that execute")]
    for x, here in edge.runs.groupby("x")[measured]:
        payload, growth = (float(here[name].mean()) for name in measured[:2])
        does = f"{int(here['is_executable'].sum())} of {len(here)}"
        rows.append((short(float(str(x))), short(payload), short(growth), does))
    return (
        f"no edge, for means over seeds were as follows, and a run executes if its payload rate is "
        f"at least {limits['payload_min']:g} and its work grows by at most "
        f"{limits['growth_max']:g} of the fleet\n{columns(rows, numbers=(0, 1, 2))}"
    )


def _ramp(arguments: Namespace, scenario: Scenario, regime: Regime) -> str:
    """Lead a scenario up its load and down again, and set both ways side by side."""
    levels, picture = arguments.ramp, arguments.output
    ride = riding(scenario, regime, levels)
    if picture is not None:
        check_picture(picture)
    compile_engine()
    windows = ride_ramp(ride, levels=levels, seeds=arguments.seeds)
    found = branches(windows)
    told = [_outcome_text(found, name, label) for name, label in OUTCOMES.items()]
    head = (
        f"{scenario.name}, {arguments.regime}: led up and down within one run, from "
        f"{short(levels[0])} to {short(levels[-1])} times its arrival rates, on "
        f"{counted(len(arguments.seeds), 'world')}; gaps are paired, with 95 % over worlds"
    )
    lines = [head, *told, _escape_text(escape_on_the_way_down(windows))]
    if picture is not None:
        lines.append(f"figure: {picture}, from {_write(arguments, scenario, windows)}")
    return "\n\n".join(lines)


def _outcome_text(found: pd.DataFrame, outcome: str, label: str) -> str:
    rows: list[tuple[str, ...]] = [("load", "way up", "way down", "gap")]
    told = gaps(found, outcome=outcome)[["level", "up", "down", "gap", "gap_low", "gap_high"]]
    for load_level, up, down, *ends in told.to_numpy(dtype=float).tolist():
        gap = Interval(value=ends[0], low=ends[1], high=ends[2])
        rows.append((short(load_level), short(up), short(down), _interval(gap)))
    area = _interval(ramp_area(found, outcome=outcome))
    return f"{label}; area between the ways {area}\n{columns(rows, numbers=(0, 1, 2))}"


def _escape_text(escape: Escape | None) -> str:
    if escape is None:
        return "no world collapsed at a load above one that it carried: nothing to escape from"
    n = len(escape.escaped_s)
    n_escaped = round(escape.escaped_share * n)
    return (
        f"of {counted(n, 'world')} that collapsed {n_escaped} found back within the run; "
        f"mean time at loads that they carried on the way up {_interval(escape.mean_s)} s"
    )


def _write(arguments: Namespace, scenario: Scenario, windows: pd.DataFrame) -> Path:
    told: Mapping[str, object] = {
        "kind": "hanse boundary --ramp",
        "scenario": scenario.name,
        "parameters": dict(scenario.values),
        "regime": arguments.regime,
        "levels": list(arguments.ramp),
        "seeds": list(arguments.seeds),
        "windows": windows.to_dict(orient="records"),
    }
    figure = draw_ramp(windows, axis="arrivals, times those of the scenario")
    return save_picture(figure, arguments.output, told=told)


def _given(value: float | None, default: float) -> float:
    return default if value is None else value


def _interval(one: Interval) -> str:
    if np.isnan(one.value):
        return ""
    if np.isnan(one.low):
        return short(one.value)
    return f"{short(one.value)} ({short(one.low)} to {short(one.high)})"

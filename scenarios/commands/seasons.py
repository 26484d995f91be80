"""The command that plays seasons: the one place where what came out stands beside real markets."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from hanse.market.regime import regimes
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.commands.plain_text import columns
from hanse.scenarios.commands.running import CommandError, compile_engine
from hanse.scenarios.numerals import counted, level, short
from hanse.scenarios.parameters import near_miss
from hanse.scenarios.results import Results, check_target, provenance
from hanse.scenarios.scenario import Scenario, load
from hanse.scenarios.seasons.patterns import PATTERNS, beside_markets
from hanse.scenarios.seasons.play import Seasons, play_seasons

SHOWN: Final = (
    "units",
    "list_usd_per_gpu_hour",
    "paid_usd_per_gpu_hour",
    "seller_price_cv",
    "unserved_share",
    "held_units",
    "idle_held_gpu_h",
    "owner_hhi",
    "command_hhi",
    "buyer_hhi",
    "independent_share",
    "cheating_share",
)
_MARKETS: Final = "beside_markets"


def seasons(arguments: Namespace) -> str:
    """Play seasons of a scenario, keep their tables, and set what came out beside real markets."""
    if arguments.regime not in regimes:
        near = near_miss(arguments.regime, regimes)
        raise CommandError(f"unknown regime {arguments.regime!r}{near}")
    scenario = load(arguments.name).with_settings(arguments.settings)
    output = arguments.output or Path("results") / f"{scenario.name}-seasons"
    check_target(output, force=arguments.force)
    compile_engine()
    played = {
        seed: play_seasons(scenario, arguments.regime, n_seasons=arguments.seasons, seed=seed)
        for seed in arguments.seeds
    }
    results = season_results(scenario, played, regime=arguments.regime)
    results.save(output, force=arguments.force)
    head = (
        f"{scenario.title or scenario.name}, {arguments.regime}: {arguments.seasons} seasons, "
        f"{counted(len(played), 'world')}. One point, not a headline."
    )
    market, beside = results.frame("seasons"), results.frame(_MARKETS)
    paths = columns(path_rows(market), numbers=(1, 2))
    read = (
        "The miss is that of the last season. Role start: the first season's world was drawn from "
        "the number; output: it came out."
    )
    return f"{head}\n\n{paths}\n\n{columns(market_rows(beside))}\n{read}\n\ntables: {output}"


def season_results(scenario: Scenario, played: Mapping[int, Seasons], *, regime: str) -> Results:
    """Put the tables of several seeds together, each under its name, with what is published."""
    named = {"market": "seasons", "worlds": "season_worlds"}
    keys = {"scenario": scenario.name, "regime": regime}
    tables = {}
    for field in fields(Seasons):
        frames = [
            getattr(one, field.name).assign(**keys, seed=seed) for seed, one in played.items()
        ]
        frame = pd.concat(frames, ignore_index=True)
        first = [*keys, "seed", "season"]
        frame = frame[[*first, *(name for name in frame.columns if name not in first)]]
        tables[named.get(field.name, f"season_{field.name}")] = _table(frame)
    sources = [pattern.source for pattern in PATTERNS]
    beside = beside_markets(list(played.values())).assign(source=sources)
    tables[_MARKETS] = _table(beside)
    manifest = provenance() | {
        "command": "seasons",
        "scenario": scenario.name,
        "parameters": dict(scenario.values),
        "regime": regime,
        "seeds": list(played),
    }
    return Results(tables=tables, manifest=manifest)


def path_rows(market: pd.DataFrame) -> list[tuple[str, ...]]:
    """Write measures of the first and the last season with their intervals over seeds."""
    rows: list[tuple[str, ...]] = [("measure", "first season", "last season", "unit")]
    ends = (int(market["season"].min()), int(market["season"].max()))
    for measure in SHOWN:
        here = market[market["measure"] == measure]
        told = [_told(here["value"][here["season"] == season].to_numpy(float)) for season in ends]
        rows.append((measure, told[0], told[1], str(here["unit"].iloc[0])))
    return rows


def market_rows(beside: pd.DataFrame) -> list[tuple[str, ...]]:
    """Write each published number with what came out, and by how much that misses."""
    head = ("beside markets", "published", "first season", "last season", "miss", "role")
    rows: list[tuple[str, ...]] = [head]
    for row in beside.to_dict("records"):
        low, high = short(row["published_low"]), short(row["published_high"])
        rows.append(
            (
                str(row["statistic"]),
                low if low == high else f"{low} to {high}",
                _or_nothing(row["first_season"]),
                level(row["last_season"], row["ci_low"], row["ci_high"]),
                _miss(row["miss"]),
                str(row["role"]),
            )
        )
    return rows


def _miss(miss: float) -> str:
    if np.isnan(miss):
        return "UNKNOWN"
    return "within" if miss == 0.0 else f"MISSES by {short(100.0 * miss)} %"


def _told(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> str:
    found = interval(values)
    return level(float(found.mean), float(found.low), float(found.high))


def _or_nothing(value: float) -> str:
    return "" if np.isnan(value) else short(value)


def _table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)

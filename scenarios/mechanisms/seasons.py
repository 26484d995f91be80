"""Seasons for figures: the one place that plays cases on the same luck and keeps what is drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from hanse.scenarios.mechanisms.studies import Evidence, Key
from hanse.scenarios.scenario import Scenario, Value
from hanse.scenarios.seasons.play import Seasons, play_seasons

N_SEASONS: Final = 8
N_LAST: Final = 4
FEWER_INSTANTS: Final = {"measurement.displacement_instants": 64}
"""Displacement is not drawn of seasons, and is what takes longest to measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonCase:
    """What is played: seasons of a scenario under one regime, told apart by keys."""

    keys: Mapping[str, Key]
    scenario: Scenario
    regime: str


def dosed(
    scenario: Scenario,
    key: str,
    doses: Sequence[float] | Mapping[str, Value],
    *,
    ways: Mapping[str, tuple[str, Mapping[str, Value]]],
    by: str,
    along: str = "",
) -> list[SeasonCase]:
    """Combine values of one parameter with ways to play, and play all on the same luck.

    Parameters
    ----------
    key, doses : the parameter and its values; by what they are to be called, where they have names.
    ways : by name the regime, and what else is changed.
    by, along : columns that tell the ways and the doses apart; `key` for those without names.
    """
    fewer = scenario.replace(FEWER_INSTANTS)
    named: list[tuple[Key, Value]]
    named = list(doses.items()) if isinstance(doses, Mapping) else [(dose, dose) for dose in doses]
    return [
        SeasonCase(
            keys={by: way, along or key: name},
            scenario=fewer.replace({**changes, key: dose}),
            regime=regime,
        )
        for way, (regime, changes) in ways.items()
        for name, dose in named
    ]


def plainly(*regimes: str) -> dict[str, tuple[str, Mapping[str, Value]]]:
    """Return ways to play that are regimes as they are."""
    return {name: (name, {}) for name in regimes}


def seen(
    cases: Callable[[Scenario], list[SeasonCase]],
    play: Callable[[Sequence[SeasonCase], Sequence[int], Sequence[str]], Evidence],
    *measures: str,
) -> Callable[[Scenario, Sequence[int]], Evidence]:
    """Return what plays cases and keeps measures."""
    return lambda scenario, seeds: play(cases(scenario), seeds, measures)


def last_seasons(
    cases: Sequence[SeasonCase], seeds: Sequence[int], measures: Sequence[str]
) -> Evidence:
    """Play every case on every seed, and keep the mean of measures over the last seasons."""
    return _play(cases, seeds, measures, is_path=False)


def every_season(
    cases: Sequence[SeasonCase], seeds: Sequence[int], measures: Sequence[str]
) -> Evidence:
    """Play every case on every seed, and keep measures season by season."""
    return _play(cases, seeds, measures, is_path=True)


def _play(
    cases: Sequence[SeasonCase], seeds: Sequence[int], measures: Sequence[str], *, is_path: bool
) -> Evidence:
    rows, worlds = [], []
    for case in cases:
        for seed in seeds:
            played = play_seasons(case.scenario, case.regime, n_seasons=N_SEASONS, seed=seed)
            keys = dict(case.keys) | {"seed": seed}
            rows.append(_read(played, measures, is_path=is_path).assign(**keys))
            worlds.append(played.worlds.assign(**keys))
    found = pd.concat(rows, ignore_index=True)
    last = ["seed", "measure", "value"]
    names = [*cases[0].keys, *(["season"] if is_path else []), *last]
    return Evidence(rows=found[names], worlds=pd.concat(worlds, ignore_index=True))


def _read(played: Seasons, measures: Sequence[str], *, is_path: bool) -> pd.DataFrame:
    rows = played.market[played.market["measure"].isin(measures)]
    if is_path:
        return rows[["season", "measure", "value"]]
    late = rows[rows["season"] >= N_SEASONS - N_LAST]
    return late.groupby("measure", sort=False)["value"].mean().reset_index()

"""Seasons for figures: the one place that plays cases on the same luck and keeps what is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from hanse.scenarios.mechanism_studies import Evidence, Key
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.seasons import Seasons, play_seasons

N_SEASONS: Final = 8
N_LAST: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonCase:
    """What is played: seasons of a scenario under one regime, told apart by keys."""

    keys: Mapping[str, Key]
    scenario: Scenario
    regime: str


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

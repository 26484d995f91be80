"""Seasons: the one place where agents meet the same market again and again, and decide in between.

A season is one run of the exact engine on one world, under one regime. Between two, whoever wants
something decides from its own accounts and public statistics, and changes what is its own to
change. So slow decisions need nothing of the engine, and hold alike under every regime.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from hanse.agents.model import ComputeMarket, release
from hanse.market.regime import Regime, regimes
from hanse.scenarios.measuring.measures import Measured, measure
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.seasons.accounts import Accounts, read_accounts
from hanse.scenarios.seasons.decisions import decide, row_margins
from hanse.scenarios.seasons.institutions import Institutions, institutions_of
from hanse.scenarios.seasons.measures import (
    buyer_table,
    market_measures,
    owner_table,
    place_table,
    tidy,
)
from hanse.scenarios.seasons.state import Cast, State, first_state
from hanse.scenarios.seasons.world import SeasonWorld, draw_season
from hanse.scenarios.studies.emissions import subsidy_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Seasons:
    """What happened over the seasons of one regime, or of several stacked.

    Attributes
    ----------
    market : columns season, measure, unit, value.
    places : one row per season, owner and region with units: owner, group, region, units,
        price_usd, sold_hours, customers_usd, own_usd, others_usd (for other owners' own work),
        held_usd, energy_usd, margin_usd_per_hour.
    owners : one row per season and owner: owner, group, units, revenue_usd, customers_usd,
        rent_usd, subsidy_usd, profit_usd (without it; hardware at replacement cost), own_hours.
    buyers : one row per season and buyer: jobs, activity, need_units, price_usd, wait_s, missed,
        paid_usd, held_units, given_back_units, resold_units (bought, or sold below zero),
        idle_held_hours, held_usd, need_sd,
        critical_ratio, safety_units.
    worlds : one row per season: world_digest.
    """

    market: pd.DataFrame
    places: pd.DataFrame
    owners: pd.DataFrame
    buyers: pd.DataFrame
    worlds: pd.DataFrame

    def path(self, measure: str) -> pd.Series:
        """Return one market measure by season (and by what else tells the rows apart)."""
        rows = self.market[self.market["measure"] == measure]
        keys = [name for name in rows.columns if name not in {"measure", "unit", "value"}]
        return rows.set_index(keys)["value"]


def play_seasons(
    scenario: Scenario,
    regime: Regime | str,
    *,
    n_seasons: int,
    seed: int,
    institutions: Institutions | None = None,
) -> Seasons:
    """Play seasons under one regime; the same seed gives the same bytes.

    Parameters
    ----------
    regime : or the name of one.
    seed : picks who there is, and the luck of all seasons, the same for every regime.
    institutions : numbers by which agents decide; those of the scenario if they are not given.

    Raises
    ------
    ValueError
        If there is to be no season.
    """
    if n_seasons < 1:
        raise ValueError(f"n_seasons must be at least 1, got {n_seasons}")
    chosen = regimes[regime] if isinstance(regime, str) else regime
    own = institutions_of(scenario) if institutions is None else institutions
    cast, state = first_state(scenario, own, seed)
    parts = []
    for number in range(n_seasons):
        season, measured = _run(cast, state, chosen, number=number)
        accounts = read_accounts(
            season,
            state.capacity,
            measured,
            hub_rent_share=own.hub_rent_share,
            saved_share=scenario.number("verification.saved_share"),
            subsidy_usd=subsidy_usd(scenario, measured),
        )
        parts.append(_tables(season, state, measured=measured, accounts=accounts, number=number))
        state = decide(cast, state, season=season, accounts=accounts, number=number)
    market, places, owners, buyers, worlds = (
        pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True)
    )
    return Seasons(market=market, places=places, owners=owners, buyers=buyers, worlds=worlds)


def play_paired(
    scenarios: Mapping[str, Scenario],
    regimes_played: Sequence[str],
    *,
    n_seasons: int,
    seeds: Sequence[int],
) -> Seasons:
    """Play the same seasons under several regimes and scenarios, and stack what happened.

    Parameters
    ----------
    scenarios : by what the tables are to call them, in the column `case`.

    Returns
    -------
    Tables with the columns case, regime and seed in front.
    """
    played = [
        ((case, regime, seed), play_seasons(scenario, regime, n_seasons=n_seasons, seed=seed))
        for case, scenario in scenarios.items()
        for regime in regimes_played
        for seed in seeds
    ]
    return Seasons(
        **{
            field.name: pd.concat(
                [_keyed(getattr(one, field.name), key) for key, one in played], ignore_index=True
            )
            for field in fields(Seasons)
        }
    )


def list_changes(places: pd.DataFrame) -> pd.DataFrame:
    """Return how often, and how far, hyperscalers' lists moved from one season to the next.

    Returns
    -------
    Columns season, changed_share (of lists that stood in both seasons), mean_log_change.
    """
    listed = places[places["group"] == "hyperscaler"]
    price = listed.pivot_table(index=["owner", "region"], columns="season", values="price_usd")
    steps = price.apply(np.log).diff(axis=1).iloc[:, 1:]
    changed = (steps.abs() > 0.0).where(steps.notna())
    return pd.DataFrame(
        {
            "season": steps.columns,
            "changed_share": changed.astype(float).mean().to_numpy(),
            "mean_log_change": steps.mean().to_numpy(),
        }
    )


def _run(cast: Cast, state: State, regime: Regime, *, number: int) -> tuple[SeasonWorld, Measured]:
    season = draw_season(cast, state, number)
    model = ComputeMarket(season.world, regime, with_agents=False)
    measured = measure(season.world, model.run_to_horizon())
    release(model)
    return season, measured


def _tables(
    season: SeasonWorld, state: State, *, measured: Measured, accounts: Accounts, number: int
) -> list[pd.DataFrame]:
    world, capacity = season.world, state.capacity
    margin = row_margins(capacity, accounts)
    tables = (
        tidy(market_measures(season, state, measured=measured, accounts=accounts)),
        place_table(capacity, accounts, world.geography, margin=margin),
        owner_table(capacity, accounts, world.terms),
        buyer_table(season, state, accounts),
        pd.DataFrame({"world_digest": [world.digest()]}),
    )
    for table in tables:
        table.insert(0, "season", number)
    return list(tables)


def _keyed(table: pd.DataFrame, key: tuple[str, str, int]) -> pd.DataFrame:
    named = dict(zip(("case", "regime", "seed"), key, strict=True))
    return pd.concat([pd.DataFrame(named, index=table.index), table], axis=1)

"""The one place for what a season is measured by; it reads no switch, and knows no regime."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from hanse.agents.capacity import Capacity
from hanse.agents.sums import mean_of, summed
from hanse.market.accounts.concentration import residual_supply_index
from hanse.market.geography import Geography
from hanse.market.terms import Terms
from hanse.market.units import S_PER_HOUR, Floats
from hanse.scenarios.measuring.measures import Measured
from hanse.scenarios.seasons.accounts import Accounts
from hanse.scenarios.seasons.state import State
from hanse.scenarios.seasons.world import SeasonWorld
from hanse.scenarios.studies.price_quality import variation

GROUPS: Final = ("independent", "hyperscaler")
Row = Mapping[tuple[str, str], float]


def hhi(amount: Floats) -> float:
    """Return the sum of squared shares, 0 to 1; NaN if there is nothing to share.

    Examples
    --------
    >>> hhi(np.array([50.0, 50.0, 0.0])), hhi(np.full(5, 2.0)).__round__(9)
    (0.5, 0.2)
    """
    total = float(amount.sum())
    return float(((amount / total) ** 2).sum()) if total > 0.0 else float("nan")


def market_measures(
    season: SeasonWorld, state: State, *, measured: Measured, accounts: Accounts
) -> Row:
    """Measure a season as a whole."""
    return {
        **_outcomes(season, state, measured=measured, accounts=accounts),
        **_prices(state.capacity, accounts),
        **_concentration(season, state, accounts),
        **_holding(season, state, accounts),
    }


def _outcomes(season: SeasonWorld, state: State, *, measured: Measured, accounts: Accounts) -> Row:
    counts, buyers, rows = measured.counts, accounts.buyers, accounts.rows
    capacity, terms = state.capacity, season.world.terms
    n_jobs = max(1, int(counts.jobs.sum()))
    units_h = float(capacity.units.sum()) * accounts.hours
    waited = np.nansum(buyers.wait_s * buyers.jobs)
    return {
        ("welfare_usd", "USD"): float(measured.welfare.welfare_usd.sum()),
        ("capacity_usd", "USD"): terms.hardware_usd_per_gpu_hour * units_h,
        ("sync_cost_gpu_h", "gpu_h"): float(measured.cost.per_family().sum()) / S_PER_HOUR,
        ("jobs", "jobs"): float(counts.jobs.sum()),
        ("done_share", "share"): float(counts.done.sum()) / n_jobs,
        ("unserved_share", "share"): accounts.unserved_share,
        ("waiting_s", "s/job"): float(waited / max(1, buyers.jobs.sum())),
        ("units", "units"): float(capacity.units.sum()),
        ("sold_share", "share"): float(rows.sold_hours.sum()) / units_h,
        ("own_hours", "gpu_h"): float(accounts.own_hours.sum()),
        ("own_worth_usd", "USD"): float(accounts.own_worth_usd.sum()),
        ("hyperscaler_customers_usd", "USD"): float(
            rows.customers_usd[capacity.row_is_hyperscaler].sum()
        ),
        ("cheating_share", "share"): season.world.terms.temptation_share,
        ("verifiers", "verifiers"): float(state.n_verifiers),
        ("rent_moved_usd", "USD"): float(np.maximum(0.0, accounts.rent_usd).sum()),
        ("subsidy_usd", "USD"): float(accounts.subsidy_usd.sum()),
    }


def _prices(capacity: Capacity, accounts: Accounts) -> Row:
    """Set what owners ask beside what was paid.

    List is what hyperscalers ask, weighted by their units; spot is what customers paid per hour.
    Dispersion counts each owner once, at its mean price.
    """
    rows, is_large = accounts.rows, capacity.row_is_hyperscaler & (capacity.units > 0)
    buyers = accounts.buyers
    paid = _ratio(float(buyers.paid_usd.sum()), float(buyers.hours.sum()))
    asked = mean_of(capacity.of_owner(capacity.price_usd * capacity.units), capacity.owner_units)
    known = asked[~np.isnan(asked)]
    large = capacity.units * is_large
    listed = _ratio(float((capacity.price_usd * large).sum()), float(large.sum()))
    return {
        ("paid_usd_per_gpu_hour", "USD/gpu_h"): paid,
        ("list_usd_per_gpu_hour", "USD/gpu_h"): listed,
        ("spot_to_list", "ratio"): _ratio(paid, listed),
        ("seller_price_cv", "share"): variation(known),
        ("seller_price_max_to_min", "ratio"): _ratio(float(known.max()), float(known.min())),
        ("revenue_usd", "USD"): float((rows.customers_usd + rows.own_usd + rows.others_usd).sum()),
    }


def _concentration(season: SeasonWorld, state: State, accounts: Accounts) -> Row:
    """Count owners, by units; buyers, by jobs; and who commands units: whoever holds or owns."""
    capacity = state.capacity
    units = capacity.owner_units
    holder, owner = accounts.holder, season.world.fleet.node_owner
    commands = np.where(holder >= 0, len(units) + holder, owner)
    largest = np.sort(units)[::-1]
    demand = float(accounts.buyers.need_units.sum())
    residual = residual_supply_index(units, demand).min() if demand > 0.0 else float("nan")
    by_region = summed(capacity.region, capacity.units, int(capacity.region.max()) + 1)
    return {
        ("owner_hhi", "share"): hhi(units),
        ("top5_owner_share", "share"): float(largest[:5].sum() / units.sum()),
        ("independent_share", "share"): float(units[~capacity.is_hyperscaler].sum() / units.sum()),
        ("owners", "owners"): float((units > 0).sum()),
        ("buyer_hhi", "share"): hhi(accounts.buyers.jobs.astype(float)),
        ("command_hhi", "share"): hhi(np.bincount(commands).astype(float)),
        ("region_hhi", "share"): hhi(by_region),
        ("residual_supply_index", "ratio"): float(residual),
    }


def _holding(season: SeasonWorld, state: State, accounts: Accounts) -> Row:
    held_h = float((accounts.holder >= 0).sum()) * accounts.hours
    idle_h = float(accounts.idle_held_hours.sum())
    return {
        ("ordered_units", "units"): float((season.world.fleet.node_tenant >= 0).sum()),
        ("held_units", "units"): held_h / accounts.hours,
        ("given_back_units", "units"): float(season.given_back.sum()),
        ("resold_units", "units"): float(season.resale.sold_units),
        ("resale_price_usd", "USD/gpu_h"): season.resale.price_usd,
        ("idle_held_gpu_h", "gpu_h"): idle_h,
        ("idle_held_share", "share"): _ratio(idle_h, held_h),
        ("safety_units", "units"): float(state.safety.sum()),
    }


def place_table(
    capacity: Capacity, accounts: Accounts, geography: Geography, *, margin: Floats
) -> pd.DataFrame:
    """Tabulate what each owner has, asks and earns in each region."""
    rows = accounts.rows
    table = pd.DataFrame(
        {
            "owner": np.array(capacity.owner_name, object)[capacity.owner],
            "group": _groups(capacity)[capacity.owner],
            "region": np.array(geography.region, object)[capacity.region],
            "units": capacity.units,
            "price_usd": capacity.price_usd,
            "sold_hours": rows.sold_hours,
            "customers_usd": rows.customers_usd,
            "own_usd": rows.own_usd,
            "others_usd": rows.others_usd,
            "held_usd": rows.held_usd,
            "energy_usd": rows.energy_usd,
            "margin_usd_per_hour": margin,
        }
    )
    return table[table["units"] > 0].reset_index(drop=True)


def owner_table(capacity: Capacity, accounts: Accounts, terms: Terms) -> pd.DataFrame:
    """Tabulate each owner's season; profit is after energy and hardware at replacement cost."""
    rows, add_up = accounts.rows, capacity.of_owner
    sold = rows.customers_usd + rows.own_usd + rows.others_usd + rows.held_usd
    revenue = add_up(sold) + accounts.rent_usd
    hardware = terms.hardware_usd_per_gpu_hour * capacity.owner_units * accounts.hours
    return pd.DataFrame(
        {
            "owner": np.array(capacity.owner_name, object),
            "group": _groups(capacity),
            "units": capacity.owner_units,
            "revenue_usd": revenue,
            "customers_usd": add_up(rows.customers_usd),
            "rent_usd": accounts.rent_usd,
            "subsidy_usd": accounts.subsidy_usd,
            "profit_usd": revenue - add_up(rows.energy_usd) - hardware,
            "own_hours": accounts.own_hours,
        }
    )


def buyer_table(season: SeasonWorld, state: State, accounts: Accounts) -> pd.DataFrame:
    """Tabulate each buyer's season, and what it went by."""
    seen, n_buyers = accounts.buyers, len(state.activity)
    holder = accounts.holder
    return pd.DataFrame(
        {
            "buyer": np.arange(n_buyers),
            "jobs": seen.jobs,
            "activity": state.activity,
            "need_units": seen.need_units,
            "price_usd": seen.price_usd,
            "wait_s": seen.wait_s,
            "missed": seen.missed,
            "paid_usd": seen.paid_usd,
            "held_units": np.bincount(holder[holder >= 0], minlength=n_buyers),
            "given_back_units": season.given_back,
            "resold_units": season.resale.moved,
            "idle_held_hours": accounts.idle_held_hours,
            "held_usd": accounts.held_usd,
            "need_sd": state.need_sd,
            "critical_ratio": state.critical_ratio,
            "safety_units": state.safety,
        }
    )


def tidy(measures: Row) -> pd.DataFrame:
    """Lay measures out in rows."""
    rows = [(name, unit, value) for (name, unit), value in measures.items()]
    return pd.DataFrame(rows, columns=["measure", "unit", "value"])


def _groups(capacity: Capacity) -> "np.ndarray[tuple[int, ...], np.dtype[np.object_]]":
    return np.array(GROUPS, object)[capacity.is_hyperscaler.astype(np.int64)]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else float("nan")

"""The one place where agents decide between two seasons, each from its own accounts and statistics.

All decide at once, on what the last season showed; nobody sees what another decides. What they go
by is in `seasons/accounts.py`, how they decide in `hanse.agents`; here one is handed to the other.
"""

from dataclasses import fields, replace

import numpy as np

from hanse.agents.asking import (
    W_PER_KW,
    Experience,
    believed_elasticity,
    experienced,
    next_price,
    no_experience,
    reservation_price,
)
from hanse.agents.buying import full_price, wanted_activity, within_budget
from hanse.agents.capacity import Capacity, entered
from hanse.agents.choices import BEST_RESPONSE
from hanse.agents.hoarding import (
    critical_ratio,
    granted_units,
    pooled,
    reserve_units,
    safety_units,
)
from hanse.agents.investing import (
    hurdle_usd_per_hour,
    place_units,
    wanted_growth,
    whole_units,
)
from hanse.agents.learning_rules import move_towards, shift_odds, smoothed
from hanse.agents.sums import mean_of, summed
from hanse.market.geography import Geography
from hanse.market.terms import Terms
from hanse.market.units import Floats, Integers
from hanse.scenarios.seasons.accounts import Accounts
from hanse.scenarios.seasons.learning import (
    decides,
    learn_entry,
    learn_hoarding,
    learn_honesty,
)
from hanse.scenarios.seasons.state import Cast, State, season_seed, shortage_usd
from hanse.scenarios.seasons.world import SeasonWorld
from hanse.scenarios.streams import stream
from hanse.scenarios.tables import INDEPENDENT


def decide(
    cast: Cast, state: State, *, season: SeasonWorld, accounts: Accounts, number: int
) -> State:
    """Return what everybody has and wants at the beginning of the next season."""
    luck = season_seed(cast.seed, number)
    world = season.world
    margin = row_margins(state.capacity, accounts)
    priced = _prices(cast, state, accounts, terms=world.terms, geography=world.geography, luck=luck)
    buyers = _buyers(cast, priced, accounts, luck=luck)
    owners = _owners(cast, buyers, margin=margin, terms=world.terms, luck=luck)
    arrived = owners.capacity.of_owner(_padded(state.arriving[0], owners.capacity.n_rows))
    own = _own_activity(cast, owners, season=season, accounts=accounts, arrived=arrived)
    honest = learn_honesty(cast, replace(owners, own_activity=own), accounts, luck=luck)
    checked = replace(honest, n_verifiers=_verifiers(cast, honest, accounts))
    return _reserve(cast, learn_hoarding(cast, checked, accounts, luck=luck), luck=luck)


def row_margins(capacity: Capacity, accounts: Accounts) -> Floats:
    """Return what each row earned per GPU-hour of capacity, energy paid; NaN without units.

    Own work counts at the owner's own price. Rent for routing, and what tokens are worth, are
    spread over its units.
    """
    rows, hours = accounts.rows, capacity.units * accounts.hours
    earned = rows.customers_usd + rows.own_usd + rows.others_usd + rows.held_usd - rows.energy_usd
    units = capacity.owner_units
    beside = accounts.rent_usd + accounts.subsidy_usd
    of_unit = np.divide(beside, units, out=np.zeros_like(units), where=units > 0)
    earned = earned + of_unit[capacity.owner] * capacity.units
    return mean_of(earned, np.asarray(hours, float))


def hurdles(cast: Cast, capacity: Capacity, terms: Terms) -> Floats:
    """Return what each owner's capacity must earn per GPU-hour to be worth building."""
    own = cast.institutions
    premium = np.where(capacity.is_hyperscaler, 0.0, own.independent_premium_per_year)
    rate = terms.capital_rate_per_year + premium
    return hurdle_usd_per_hour(terms.hardware_usd_per_gpu_hour, rate, years=own.write_off_years)


def _prices(
    cast: Cast,
    state: State,
    accounts: Accounts,
    *,
    terms: Terms,
    geography: Geography,
    luck: int,
) -> State:
    """Let owners change what they ask in each region, where that is worth a new list."""
    own, capacity = cast.institutions, state.capacity
    electricity = geography.electricity_usd_per_kwh[capacity.region]
    cost = reservation_price(
        terms.active_w / W_PER_KW * electricity,
        np.full(capacity.n_rows, terms.hardware_usd_per_gpu_hour),
        np.full(capacity.n_rows, own.elsewhere_usd_per_gpu_hour),
    )
    demand = accounts.rows.sold_hours / (1.0 - min(accounts.unserved_share, 0.9))
    seen = experienced(state.experience, capacity.price_usd, demand, memory=own.forecast_memory)
    asked = next_price(
        price=capacity.price_usd,
        cost=cost,
        demand=demand,
        capacity=np.asarray(capacity.units * accounts.hours, float),
        elasticity=believed_elasticity(
            seen, own.believed_elasticity, rate=own.elasticity_learning_rate
        ),
        menu_cost_share=own.menu_cost_share,
        share=own.response_share,
    )
    moves = decides(cast, luck=luck, what="prices", n=capacity.n_rows)
    price = np.where(moves, asked, capacity.price_usd)
    return replace(state, capacity=replace(capacity, price_usd=price), experience=seen)


def _owners(cast: Cast, state: State, *, margin: Floats, terms: Terms, luck: int) -> State:
    """Let units arrive, hyperscalers order more, and independents enter, leave or move."""
    own, capacity = cast.institutions, state.capacity
    hurdle = hurdles(cast, capacity, terms)
    of_owner = _mean_margin(capacity, margin)
    growth = wanted_growth(of_owner, hurdle, growth_max=own.growth_share, exit_max=0.0)
    wanted = state.carried + np.where(capacity.is_hyperscaler, growth * capacity.owner_units, 0.0)
    ordered = np.floor(wanted).astype(np.int64)
    orders = np.zeros(capacity.n_rows, np.int64)
    for owner in np.flatnonzero(ordered):
        is_its = (capacity.owner == owner).astype(float)
        orders += place_units(int(ordered[owner]), margin, is_open=is_its)
    queue = np.vstack([state.arriving[1:], orders[None, :]])
    served = replace(capacity, units=capacity.units + state.arriving[0])
    stayed = _independents(
        cast, replace(state, capacity=served), margin=margin, hurdle=hurdle, luck=luck
    )
    after = stayed.capacity
    n_new = len(after.owner_name) - len(capacity.owner_name)
    return replace(
        stayed,
        arriving=np.array([_padded(row, after.n_rows) for row in queue], np.int64),
        carried=np.append(wanted - ordered, np.zeros(n_new)),
        experience=_with_rows(state.experience, after.n_rows - capacity.n_rows),
        own_activity=np.append(state.own_activity, np.zeros(n_new)),
    )


def _independents(cast: Cast, state: State, *, margin: Floats, hurdle: Floats, luck: int) -> State:
    """Let independents that do not cover their energy leave, some move, and others enter."""
    own, capacity = cast.institutions, state.capacity
    is_small = ~capacity.row_is_hyperscaler
    least = hurdle[capacity.owner]
    growth = wanted_growth(margin, least, growth_max=0.0, exit_max=own.exit_share)
    coin = stream(luck, "institutions.exit").random(capacity.n_rows)
    leaving = np.floor(np.where(is_small, -growth, 0.0) * capacity.units + coin).astype(np.int64)
    stays = replace(capacity, units=capacity.units - np.where(growth < 0.0, leaving, 0))
    moved = replace(stays, region=_regions(cast, stays, margin, luck=luck))
    units = np.where(is_small, capacity.units, 0)
    left = replace(state, capacity=moved)
    if not units.any():
        return left
    if own.entry_rule != BEST_RESPONSE:
        return _learned_entry(cast, left, units=units, excess=margin / least - 1.0, luck=luck)
    mean = np.array([float(np.nansum(margin * units) / units.sum())])
    entry = wanted_growth(mean, least[is_small][:1], growth_max=own.growth_share, exit_max=0.0)
    wanted = state.carried_entry + float(entry[0] * units.sum())
    new = place_units(int(wanted), margin, is_open=(units > 0).astype(float))
    return replace(left, capacity=_joined(moved, new), carried_entry=wanted - int(wanted))


def _learned_entry(
    cast: Cast, state: State, *, units: Integers, excess: Floats, luck: int
) -> State:
    """Let those who have learned to enter in a region add to what independents have there."""
    capacity, n_regions = state.capacity, len(state.enters)
    weighed, there = (
        summed(capacity.region, column, n_regions)
        for column in (np.nan_to_num(excess) * units, units)
    )
    told = learn_entry(cast, state, mean_of(weighed, there), luck=luck)
    coin = stream(luck, "institutions.entry_units").random(n_regions)
    added = np.floor(np.where(told.enters, cast.institutions.growth_share * there, 0.0) + coin)
    new = np.zeros(capacity.n_rows, np.int64)
    for region in np.flatnonzero(told.enters & (added > 0) & (there > 0)).tolist():
        new[np.flatnonzero((capacity.region == region) & (units > 0))[0]] = int(added[region])
    return replace(told, capacity=_joined(capacity, new))


def _joined(capacity: Capacity, new: Integers) -> Capacity:
    return entered(capacity, new, capacity.price_usd, name=INDEPENDENT)


def _regions(cast: Cast, capacity: Capacity, margin: Floats, *, luck: int) -> Integers:
    """Let independents move where independents earn most, if it pays and their coin says so."""
    own, is_small = cast.institutions, ~capacity.row_is_hyperscaler
    weight = np.where(is_small, capacity.units, 0)
    if own.relocation_share == 0.0 or not weight.any():
        return capacity.region
    earned, units = (
        summed(capacity.region, column, int(capacity.region.max()) + 1)
        for column in (np.nan_to_num(margin) * weight, weight)
    )
    of_region = np.divide(earned, units, out=np.full(len(units), -np.inf), where=units > 0)
    best = int(of_region.argmax())
    gains = of_region[best] - margin > own.moving_usd_per_gpu_hour
    coin = stream(luck, "institutions.move").random(capacity.n_rows)
    return np.where(is_small & gains & (coin < own.relocation_share), best, capacity.region)


def _own_activity(
    cast: Cast, state: State, *, season: SeasonWorld, accounts: Accounts, arrived: Floats
) -> Floats:
    """Let hyperscalers fill a share of what has come online, and learn what own work is worth."""
    own, n_before = cast.institutions, len(season.drawn_own_hours)
    activity = state.own_activity.copy()
    drawn = season.drawn_own_hours
    filled = own.own_growth_share * arrived[:n_before] * accounts.hours
    activity[:n_before] += np.divide(filled, drawn, out=np.zeros(n_before), where=drawn > 0)
    activity = np.minimum(activity, 1.0)
    if own.own_learning_rate > 0.0:
        seen = accounts.buyers
        sold = float(seen.paid_usd.sum()) / max(1e-12, float(seen.hours.sum()))
        for owner in np.flatnonzero(accounts.own_hours > 0.0):
            worth = accounts.own_worth_usd[owner] / accounts.own_hours[owner]
            share = min(max(float(activity[owner]), own.least_share), 1.0 - own.least_share)
            gain = worth / sold - 1.0 if sold > 0.0 else float("nan")
            activity[owner] = shift_odds(
                share, gain, rate=own.own_learning_rate, least=own.least_share
            )
    return activity


def _buyers(cast: Cast, state: State, accounts: Accounts, *, luck: int) -> State:
    """Let buyers forecast what a GPU-hour will cost them, and bring as much work as that allows."""
    own, seen = cast.institutions, accounts.buyers
    noise = stream(luck, "institutions.forecast").standard_normal(cast.n_buyers)
    error = np.exp(own.forecast_error_sigma * noise - own.forecast_error_sigma**2 / 2.0)
    full = full_price(
        seen.price_usd,
        wait_s=seen.wait_s,
        delay_usd_per_s=seen.delay_usd_per_s,
        job_hours=seen.job_hours,
    )
    reference = _known(state.reference_usd, full)
    budget = _known(
        state.budget_usd, own.budget_multiple * np.where(seen.hours > 0, seen.paid_usd, np.nan)
    )
    memory = own.forecast_memory
    full_usd = smoothed(_known(state.full_usd, full), full * error, memory=memory)
    first = 1.0 / own.demand_headroom
    wanted = wanted_activity(
        np.full(cast.n_buyers, first), full_usd, reference, elasticity=own.demand_elasticity
    )
    moves = decides(cast, luck=luck, what="buyers", n=cast.n_buyers)
    answer = move_towards(state.activity, wanted, share=own.response_share)
    activity = np.where(moves, answer, state.activity)
    now = np.maximum(state.activity, 1e-12)
    spend = (seen.paid_usd + accounts.held_usd) * activity / now
    surprise = seen.need_units - _known(state.need, seen.need_units)
    prior = (own.need_cv * seen.need_units) ** 2
    variance = np.where(
        np.isnan(state.need_variance),
        prior,
        smoothed(state.need_variance, surprise**2, memory=memory),
    )
    return replace(
        state,
        activity=within_budget(activity, spend, np.nan_to_num(budget, nan=np.inf)),
        full_usd=full_usd,
        price_usd=smoothed(_known(state.price_usd, seen.price_usd), seen.price_usd, memory=memory),
        need=smoothed(_known(state.need, seen.need_units), seen.need_units, memory=memory),
        need_variance=variance,
        missed=smoothed(_known(state.missed, seen.missed), seen.missed, memory=memory),
        reference_usd=reference,
        budget_usd=budget,
        honoured=float(
            smoothed(np.array([state.honoured]), np.array([accounts.honoured]), memory=memory)[0]
        ),
    )


def _reserve(cast: Cast, state: State, *, luck: int) -> State:
    """Let buyers, or pools of them, hold the newsvendor's stock of what may be reserved at all.

    What was not kept for those who had paid for it, they do not order again.
    """
    own = cast.institutions
    if not own.hoarding:
        return state
    need = np.nan_to_num(state.need)
    sd = own.uncertainty_scale * np.sqrt(np.nan_to_num(state.need_variance))
    pool, heads = cast.pool, np.unique(cast.pool) * own.pool_buyers
    mean, spread = pooled(need, sd, pool)
    weight = np.maximum(mean, 1e-12)
    n_pools = len(heads)
    short = summed(pool, need * shortage_usd(cast, state), n_pools) / weight
    price = summed(pool, need * np.nan_to_num(state.price_usd), n_pools) / weight
    holding = price * (own.resale_haircut if own.resale else 1.0)
    ratio = critical_ratio(short, holding)
    stock = reserve_units(mean, spread, ratio) * state.honoured * state.holds
    before = state.reserved[heads].astype(float)
    moves = decides(cast, luck=luck, what="reserves", n=n_pools)
    wanted = np.where(moves, move_towards(before, stock, share=own.response_share), before)
    supply = int(cast.scenario.number("fleet.reserved_share") * state.capacity.units.sum())
    granted = granted_units(whole_units(wanted), supply_units=supply, cap_multiple=own.ration_cap)
    return replace(
        state,
        reserved=_at(heads, granted.astype(float), cast.n_buyers).astype(np.int64),
        need_sd=_at(heads, spread, cast.n_buyers),
        critical_ratio=_at(heads, ratio, cast.n_buyers),
        safety=_at(heads, np.where(ratio > 0.0, safety_units(spread, ratio), 0.0), cast.n_buyers),
    )


def _verifiers(cast: Cast, state: State, accounts: Accounts) -> int:
    """Let verifiers come and go by what they earn."""
    own, n_verifiers = cast.institutions, state.n_verifiers
    if own.verifier_cost_usd == 0.0:
        return n_verifiers
    covers = accounts.verifier_usd / n_verifiers / own.verifier_cost_usd
    growth = own.response_share * float(np.clip(covers - 1.0, -0.5, 1.0))
    return max(1, round(n_verifiers * (1.0 + growth)))


def _mean_margin(capacity: Capacity, margin: Floats) -> Floats:
    """Return each owner's margin over all its units; NaN without any."""
    units = capacity.owner_units
    total = capacity.of_owner(np.nan_to_num(margin) * capacity.units)
    return mean_of(total, units)


def _known(forecast: Floats, observed: Floats) -> Floats:
    """Begin a forecast with what is first observed."""
    return np.where(np.isnan(forecast), observed, forecast)


def _padded(row: Integers, n_rows: int) -> Integers:
    return np.append(row, np.zeros(n_rows - len(row), np.int64))


def _with_rows(seen: Experience, n_rows: int) -> Experience:
    new = no_experience(n_rows)
    columns = {f.name: np.append(getattr(seen, f.name), getattr(new, f.name)) for f in fields(new)}
    return Experience(**columns)


def _at(place: Integers, value: Floats, size: int) -> Floats:
    column = np.zeros(size)
    column[place] = value
    return column

"""The one place for what agents carry from one season into the next, and what stays over all."""

from dataclasses import dataclass

import numpy as np

from hanse.agents.asking import Experience, no_experience
from hanse.agents.capacity import Capacity, capacity_of
from hanse.agents.choices import Learners, first_learners
from hanse.agents.crossing_draws import CrossingDraws
from hanse.agents.workload import Workload
from hanse.market.jurisdictions import Law
from hanse.market.units import US_PER_HOUR, Flags, Floats, Integers
from hanse.scenarios.draw import draw_world
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.seasons.institutions import Institutions
from hanse.scenarios.streams import stream


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What agents carry from one season into the next.

    Attributes
    ----------
    capacity : what owners have and ask.
    arriving : units under construction, shape (build_seasons, n_rows), the next season's first.
    carried, carried_entry : fractions of units that each owner, and newcomers, have yet to get.
    activity, own_activity : share of the drawn jobs that each buyer and each owner brings.
    full_usd, price_usd : forecasts of each buyer, per GPU-hour; the first has waiting in it.
    need, need_variance : forecasts of each buyer, in units.
    missed : forecast of the share of its jobs' worth that each buyer loses.
    reference_usd, budget_usd : what a GPU-hour cost each buyer when it first bought, waiting in it;
        and what it can spend in a season.
    reserved : units held for each buyer; pools keep theirs at their first member.
    need_sd, critical_ratio, safety : of each buyer or pool when it reserved: spread of its need,
        quantile worth holding, and units wanted on top of the mean need.
    honoured : share of reserved units that were really kept for whom they were reserved.
    honesty : independents and hyperscalers, whose acts are attempts that are cheats.
    pools, holds : who may hold reserves, and who does.
    entrants, enters : who might add units in each region, and who did.
    experience : of rows, how their own sales answer their own prices.
    n_verifiers : how many there are.
    """

    capacity: Capacity
    arriving: Integers
    carried: Floats
    carried_entry: float
    activity: Floats
    own_activity: Floats
    full_usd: Floats
    price_usd: Floats
    need: Floats
    need_variance: Floats
    missed: Floats
    reference_usd: Floats
    budget_usd: Floats
    reserved: Integers
    need_sd: Floats
    critical_ratio: Floats
    safety: Floats
    honoured: float
    honesty: Learners
    pools: Learners
    holds: Flags
    entrants: Learners
    enters: Flags
    experience: Experience
    n_verifiers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """What stays over all seasons: who there is, where, under which law, and what work is worth.

    `worth_usd_per_hour` is the mean over the first world's jobs, which buyers know of their own.
    """

    scenario: Scenario
    institutions: Institutions
    seed: int
    buyer_region: Integers
    pool: Integers
    worth_usd_per_hour: float
    law: Law
    crossing_draws: CrossingDraws

    @property
    def n_buyers(self) -> int:
        return len(self.buyer_region)


def season_seed(seed: int, season: int) -> int:
    """Return the seed of one season's luck.

    Examples
    --------
    >>> season_seed(3, 0) == season_seed(3, 0), season_seed(3, 0) == season_seed(3, 1)
    (True, False)
    """
    return int(stream(seed, f"season.{season}").integers(2**31))


def first_state(scenario: Scenario, institutions: Institutions, seed: int) -> tuple[Cast, State]:
    """Draw who there is, and with what they begin: nobody has seen or reserved anything yet."""
    world = draw_world(scenario, seed)
    n_buyers = len(world.workload.buyer_region)
    capacity = capacity_of(world.fleet)
    unknown = np.full(n_buyers, np.nan)
    activity = 1.0 / institutions.demand_headroom
    tempted = np.full(2, scenario.number("verification.temptation_share"))
    pool = np.arange(n_buyers) // institutions.pool_buyers
    n_pools, n_regions = int(pool.max(initial=-1)) + 1, world.geography.n_regions
    state = State(
        capacity=capacity,
        arriving=np.zeros((institutions.build_seasons, capacity.n_rows), np.int64),
        carried=np.zeros(len(capacity.owner_name)),
        carried_entry=0.0,
        activity=np.full(n_buyers, activity),
        own_activity=np.full(len(capacity.owner_name), activity),
        full_usd=unknown,
        price_usd=unknown,
        need=unknown,
        need_variance=unknown,
        missed=unknown,
        reference_usd=unknown,
        budget_usd=unknown,
        reserved=np.zeros(n_buyers, np.int64),
        need_sd=np.zeros(n_buyers),
        critical_ratio=np.zeros(n_buyers),
        safety=np.zeros(n_buyers),
        honoured=1.0,
        honesty=first_learners(tempted, institutions.honesty_rule),
        pools=first_learners(np.full(n_pools, 0.5), institutions.hoarding_rule),
        holds=np.zeros(n_pools, bool),
        entrants=first_learners(np.full(n_regions, 0.5), institutions.entry_rule),
        enters=np.zeros(n_regions, bool),
        experience=no_experience(capacity.n_rows),
        n_verifiers=scenario.count("verification.verifiers"),
    )
    cast = Cast(
        scenario=scenario,
        institutions=institutions,
        seed=seed,
        buyer_region=world.workload.buyer_region,
        pool=pool,
        worth_usd_per_hour=_worth_usd_per_hour(world.workload),
        law=world.law,
        crossing_draws=world.crossing_draws,
    )
    return cast, state


def _worth_usd_per_hour(workload: Workload) -> float:
    return float(workload.job_value_usd.sum() / workload.stage_work_us.sum() * US_PER_HOUR)


def shortage_usd(cast: Cast, state: State) -> Floats:
    """Return what a buyer expects to lose per GPU-hour that it needs and does not hold.

    Without a unit of its own it asks like everybody; a share of its work's worth is then lost.
    """
    worth = cast.worth_usd_per_hour - np.nan_to_num(state.price_usd)
    return np.asarray(np.maximum(0.0, worth) * np.nan_to_num(state.missed))


def pool_head(cast: Cast) -> Integers:
    """Return the first member of each buyer's pool."""
    return np.asarray(cast.pool * cast.institutions.pool_buyers, np.int64)

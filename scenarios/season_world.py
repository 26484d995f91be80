"""The one place that turns what agents have decided, and the luck of a season, into a world.

Who the buyers and owners are, and where, is drawn once, with the first season; work, residual
occupation and all other luck anew in each. Jobs are drawn with headroom, and each is brought where
its coin lies below its buyer's (or first party's) activity: as activity grows, jobs are added and
none is exchanged. Luck is keyed by season, so that all regimes meet the same.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np

from hanse.agents.capacity import Capacity, capacity_of, fleet_of, node_rows
from hanse.agents.crossing_draws import CrossingDraws
from hanse.agents.hoarding import allot_nodes, kept_units, pooled
from hanse.agents.sums import summed
from hanse.agents.workload import Workload
from hanse.agents.world import Mishaps, World
from hanse.market.jurisdictions import Law
from hanse.market.terms import Terms
from hanse.market.units import US_PER_HOUR, Flags, Floats, Integers
from hanse.scenarios.borders import under_borders
from hanse.scenarios.draw import draw_world
from hanse.scenarios.draw_tapes import FAMILIES
from hanse.scenarios.draw_workload import allowed_verifiers
from hanse.scenarios.entrants import NOBODY
from hanse.scenarios.institutions import Institutions
from hanse.scenarios.learned_cheating import ALWAYS_PAYS
from hanse.scenarios.parameters import parameter
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream

_LASTING: Final = (
    "region_trust_domain",
    "region_policy_domain",
    "region_transport",
    "buyer_has_capability",
)
"""What crossings know of places and buyers; all else that is drawn of them is luck."""
_COUNTS: Final = ("load.model_calls", *(f"load.{name}_jobs" for name in FAMILIES[1:]))


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
    cheating : share of attempts that are cheats, by independents and by hyperscalers.
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
    cheating: Floats
    n_verifiers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonWorld:
    """The world of one season, and how its nodes and buyers map to what persists.

    Attributes
    ----------
    node_row : row of the capacity of each node.
    job_buyer : who brings each job; where buyers pool, the world knows only the pool.
    given_back : units that each buyer has handed back for this season.
    drawn_own_hours : accelerator-hours of work that each owner would bring at activity 1.
    """

    world: World
    node_row: Integers
    job_buyer: Integers
    given_back: Integers
    drawn_own_hours: Floats


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
        cheating=np.full(2, scenario.number("verification.temptation_share")),
        n_verifiers=scenario.count("verification.verifiers"),
    )
    cast = Cast(
        scenario=scenario,
        institutions=institutions,
        seed=seed,
        buyer_region=world.workload.buyer_region,
        pool=np.arange(n_buyers) // institutions.pool_buyers,
        worth_usd_per_hour=_worth_usd_per_hour(world.workload),
        law=world.law,
        crossing_draws=world.crossing_draws,
    )
    return cast, state


def draw_season(cast: Cast, state: State, season: int) -> SeasonWorld:
    """Draw the world of a season: its luck, and what agents have made of it."""
    seed = season_seed(cast.seed, season)
    drawn = draw_world(_scenario_of(cast, state), seed)
    own_hours = _drawn_own_hours(drawn.workload, len(state.capacity.owner_name))
    brought = _is_brought(drawn.workload, state, seed)
    drawn = kept_jobs(_at_home(cast, drawn), brought)
    workload = drawn.workload
    buyer = workload.job_buyer
    workload = replace(workload, job_buyer=_pool_head(cast)[buyer])
    held, given_back = _held_units(
        cast, state, workload=workload, horizon_us=drawn.horizon_us, seed=seed
    )
    row = node_rows(state.capacity)
    tenant = allot_nodes(
        held,
        buyer_region=cast.buyer_region,
        node_region=state.capacity.region[row],
        rtt_ms=drawn.geography.rtt_ms,
    )
    world = replace(
        drawn,
        fleet=fleet_of(state.capacity, drawn.fleet, tenant),
        workload=workload,
        terms=_terms(cast, state, drawn.terms),
    )
    return SeasonWorld(
        world=world,
        node_row=row,
        job_buyer=buyer,
        given_back=given_back,
        drawn_own_hours=own_hours,
    )


def kept_jobs(world: World, keep: Flags) -> World:
    """Drop the other jobs, with their stages, edges and luck."""
    workload = world.workload
    stage = keep[workload.stage_job]
    number, new_job = np.cumsum(stage) - 1, np.cumsum(keep) - 1
    edge = stage[workload.edge_to]
    columns = _cut(workload, job=keep, stage=stage) | {
        "stage_job": new_job[workload.stage_job[stage]],
        "edge_from": number[workload.edge_from[edge]],
        "edge_to": number[workload.edge_to[edge]],
    }
    return replace(
        world,
        workload=replace(workload, **columns),
        crossing_draws=replace(world.crossing_draws, **_cut(world.crossing_draws, stage=stage)),
        mishaps=replace(world.mishaps, **_cut(world.mishaps, stage=stage)),
    )


def _cut(
    part: Workload | CrossingDraws | Mishaps, *, stage: Flags, job: Flags | None = None
) -> dict[str, Any]:
    """Return the columns by job, stage and attempt of what is kept; unset ones stay unset."""
    columns: dict[str, Any] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if field.name.startswith("job_"):
            columns[field.name] = value[job]
        elif field.name.startswith("stage_") and value.size:
            columns[field.name] = value[stage]
        elif field.name.startswith("attempt_") and value.size:
            columns[field.name] = np.ascontiguousarray(value[:, stage])
    return columns


def _scenario_of(cast: Cast, state: State) -> Scenario:
    """Ask for as many nodes and verifiers as there are, and for jobs with headroom.

    Who is let in, and what borders ask of buyers, is settled with the first season.
    """
    scenario, headroom = cast.scenario, cast.institutions.demand_headroom
    changes: dict[str, object] = {
        "fleet.nodes": int(state.capacity.units.sum()),
        "verification.verifiers": state.n_verifiers,
        "verification.minimum_stake_nodes": 0,
        "fleet.sovereign_jurisdiction": NOBODY,
        "law.remote_access": parameter("law.remote_access").default,
        "law.recognition_share": 1.0,
    }
    changes |= {key: round(scenario.count(key) * headroom) for key in _COUNTS}
    return scenario.replace(changes)


def _is_brought(workload: Workload, state: State, seed: int) -> Flags:
    """Say which of the drawn jobs are brought, by the activity of whoever brings each."""
    owner = workload.job_first_party
    activity = np.where(owner >= 0, state.own_activity[owner], state.activity[workload.job_buyer])
    coin = stream(seed, "institutions.brings").random(workload.n_jobs)
    brought: Flags = coin < activity
    return brought


def _worth_usd_per_hour(workload: Workload) -> float:
    return float(workload.job_value_usd.sum() / workload.stage_work_us.sum() * US_PER_HOUR)


def _drawn_own_hours(workload: Workload, n_owners: int) -> Floats:
    """Add up the work that each owner would bring at activity 1; nobody's is left out."""
    hours = summed(workload.stage_job, workload.stage_work_us, workload.n_jobs) / US_PER_HOUR
    return summed(workload.job_first_party + 1, hours, n_owners + 1)[1:]


def _at_home(cast: Cast, drawn: World) -> World:
    """Let buyers and places be who they have always been, under the same law.

    Whoever may see a buyer's data verifies for it, from where it sits.
    """
    workload, of_stage = drawn.workload, drawn.workload.stage_job
    origin = cast.buyer_region[workload.job_buyer]
    verifier = allowed_verifiers(drawn.law, drawn.verifier_region)[
        workload.job_data_class[of_stage], origin[of_stage], np.maximum(0, workload.stage_verifier)
    ]
    at_home = replace(
        workload, buyer_region=cast.buyer_region, job_origin=origin, stage_verifier=verifier
    )
    return replace(
        drawn,
        law=cast.law,
        workload=under_borders(
            at_home, cast.scenario, cast.seed, law=cast.law, verifier_region=drawn.verifier_region
        ),
        crossing_draws=replace(
            drawn.crossing_draws, **{name: getattr(cast.crossing_draws, name) for name in _LASTING}
        ),
    )


def _held_units(
    cast: Cast, state: State, *, workload: Workload, horizon_us: int, seed: int
) -> tuple[Integers, Integers]:
    """Return what each buyer holds in this season, and what it gives back for it.

    With resale it has an idea of what it will need, and weighs what a spare unit would save it.
    """
    own = cast.institutions
    if not own.resale or not state.reserved.any():
        return state.reserved, np.zeros_like(state.reserved)
    n_buyers = cast.n_buyers
    work_us = summed(workload.stage_job, workload.stage_work_us, workload.n_jobs)
    need = summed(workload.job_buyer, work_us, n_buyers) / horizon_us
    _, sd = pooled(
        np.nan_to_num(state.need), np.sqrt(np.nan_to_num(state.need_variance)), cast.pool
    )
    spread = np.zeros(n_buyers)
    spread[np.unique(_pool_head(cast))] = own.need_signal_error * own.uncertainty_scale * sd
    luck = stream(seed, "institutions.need_signal").standard_normal(n_buyers)
    price = np.nan_to_num(state.price_usd)
    kept = kept_units(
        state.reserved,
        np.maximum(0.0, need + spread * luck),
        sd=spread,
        salvage_usd=(1.0 - own.resale_haircut) * price,
        shortage_usd=shortage_usd(cast, state),
    )
    return kept, state.reserved - kept


def shortage_usd(cast: Cast, state: State) -> Floats:
    """Return what a buyer expects to lose per GPU-hour that it needs and does not hold.

    Without a unit of its own it asks like everybody; a share of its work's worth is then lost.
    """
    worth = cast.worth_usd_per_hour - np.nan_to_num(state.price_usd)
    return np.asarray(np.maximum(0.0, worth) * np.nan_to_num(state.missed))


def _pool_head(cast: Cast) -> Integers:
    """Return the first member of each buyer's pool."""
    return np.asarray(cast.pool * cast.institutions.pool_buyers, np.int64)


def _terms(cast: Cast, state: State, terms: Terms) -> Terms:
    """Let as many attempts be cheats as owners have learned; without learning, terms are as drawn.

    Groups are mixed by their units: a coin does not know for whose unit it will be tossed.
    """
    if cast.institutions.honesty_learning_rate == 0.0:
        return terms
    units = summed(state.capacity.row_is_hyperscaler.astype(np.int64), state.capacity.units, 2)
    share = float(units @ state.cheating / units.sum())
    return replace(terms, temptation_share=share, saved_share=ALWAYS_PAYS)

"""The one place that turns what agents have decided, and the luck of a season, into a world.

Who the buyers and owners are, and where, is drawn once, with the first season; work, residual
occupation and all other luck anew in each. Jobs are drawn with headroom, and each is brought where
its coin lies below its buyer's (or first party's) activity: as activity grows, jobs are added and
none is exchanged. Luck is keyed by season, so that all regimes meet the same.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np

from hanse.agents.capacity import fleet_of, node_rows
from hanse.agents.crossing_draws import CrossingDraws
from hanse.agents.hoarding import allot_nodes, kept_units, pooled
from hanse.agents.reselling import Resale, resell
from hanse.agents.sums import summed
from hanse.agents.workload import Workload
from hanse.agents.world import Mishaps, World
from hanse.market.terms import Terms
from hanse.market.units import US_PER_HOUR, Flags, Floats, Integers
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.borders import under_borders
from hanse.scenarios.drawing.egress import draw_egress_prices
from hanse.scenarios.drawing.entrants import NOBODY
from hanse.scenarios.drawing.families import FAMILIES
from hanse.scenarios.drawing.money import draw_asks, draw_habits
from hanse.scenarios.drawing.shocks import ALWAYS_PAYS
from hanse.scenarios.drawing.workload import allowed_verifiers
from hanse.scenarios.parameters import parameter
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.seasons.institutions import learns_honesty
from hanse.scenarios.seasons.state import Cast, State, pool_head, season_seed, shortage_usd
from hanse.scenarios.streams import stream

_LASTING: Final = (
    "region_trust_domain",
    "region_policy_domain",
    "region_transport",
    "buyer_has_capability",
    "buyer_scope",
)
"""What crossings know of places and buyers; all else that is drawn of them is luck."""
_COUNTS: Final = ("load.model_calls", *(f"load.{name}_jobs" for name in FAMILIES[1:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonWorld:
    """The world of one season, and how its nodes and buyers map to what persists.

    Attributes
    ----------
    node_row : row of the capacity of each node.
    job_buyer : who brings each job; where buyers pool, the world knows only the pool.
    given_back : units that each buyer has handed back for this season.
    resale : what holders have sold each other for it.
    drawn_own_hours : accelerator-hours of work that each owner would bring at activity 1.
    """

    world: World
    node_row: Integers
    job_buyer: Integers
    given_back: Integers
    resale: Resale
    drawn_own_hours: Floats


def draw_season(cast: Cast, state: State, season: int) -> SeasonWorld:
    """Draw the world of a season: its luck, and what agents have made of it."""
    seed = season_seed(cast.seed, season)
    drawn = draw_world(_scenario_of(cast, state), seed)
    own_hours = _drawn_own_hours(drawn.workload, len(state.capacity.owner_name))
    brought = _is_brought(drawn.workload, state, seed)
    drawn = kept_jobs(_at_home(cast, drawn), brought)
    workload = drawn.workload
    buyer = workload.job_buyer
    workload = replace(workload, job_buyer=pool_head(cast)[buyer])
    resale, given_back = _held_units(
        cast, state, workload=workload, horizon_us=drawn.horizon_us, seed=seed
    )
    row = node_rows(state.capacity)
    tenant = allot_nodes(
        resale.held - given_back,
        buyer_region=cast.buyer_region,
        node_region=state.capacity.region[row],
        rtt_ms=drawn.geography.rtt_ms,
    )
    fleet = fleet_of(state.capacity, drawn.fleet, tenant)
    world = replace(
        drawn,
        fleet=fleet,
        workload=workload,
        habits=draw_habits(cast.scenario, cast.seed, n_buyers=cast.n_buyers),
        asks=draw_asks(cast.scenario, cast.seed, n_owners=len(fleet.owner)),
        egress=draw_egress_prices(
            cast.scenario, cast.seed, fleet=fleet, buyer_region=cast.buyer_region
        ),
        terms=_terms(cast, state, drawn.terms),
    )
    return SeasonWorld(
        world=world,
        node_row=row,
        job_buyer=buyer,
        given_back=given_back,
        resale=resale,
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
) -> tuple[Resale, Integers]:
    """Return what each buyer holds once reservations are sold on, and what it gives back of that.

    It has an idea of what it will need by then. What it sells goes to whoever is short; what it
    gives back, to nobody in particular.
    """
    own, given_back = cast.institutions, np.zeros_like(state.reserved)
    resale = Resale(held=state.reserved, moved=given_back, price_usd=float("nan"))
    if not (own.resale or own.resale_market) or not state.reserved.any():
        return resale, given_back
    need, spread = _idea_of_need(cast, state, workload, horizon_us=horizon_us, seed=seed)
    price, short = np.nan_to_num(state.price_usd), shortage_usd(cast, state)
    if own.resale_market:
        resale = resell(
            state.reserved,
            need=need,
            sd=spread,
            shortage_usd=short,
            price_usd=price,
            share=own.resale_share,
        )
    if own.resale:
        salvage = (1.0 - own.resale_haircut) * price
        kept = kept_units(resale.held, need, sd=spread, salvage_usd=salvage, shortage_usd=short)
        given_back = resale.held - kept
    return resale, given_back


def _idea_of_need(
    cast: Cast, state: State, workload: Workload, *, horizon_us: int, seed: int
) -> tuple[Floats, Floats]:
    """Return what each buyer, or pool at its head, expects to need in the season, and its error."""
    own, n_buyers = cast.institutions, cast.n_buyers
    work_us = summed(workload.stage_job, workload.stage_work_us, workload.n_jobs)
    need = summed(workload.job_buyer, work_us, n_buyers) / horizon_us
    _, sd = pooled(
        np.nan_to_num(state.need), np.sqrt(np.nan_to_num(state.need_variance)), cast.pool
    )
    spread = np.zeros(n_buyers)
    spread[np.unique(pool_head(cast))] = own.need_signal_error * own.uncertainty_scale * sd
    luck = stream(seed, "institutions.need_signal").standard_normal(n_buyers)
    return np.maximum(0.0, need + spread * luck), spread


def _terms(cast: Cast, state: State, terms: Terms) -> Terms:
    """Let as many attempts be cheats as owners have learned; without learning, terms are as drawn.

    Groups are mixed by their units: a coin does not know for whose unit it will be tossed.
    """
    if not learns_honesty(cast.institutions):
        return terms
    units = summed(state.capacity.row_is_hyperscaler.astype(np.int64), state.capacity.units, 2)
    share = float(units @ state.honesty.share / units.sum())
    return replace(terms, temptation_share=share, saved_share=ALWAYS_PAYS)

"""From a world and a regime to the columns of the engine; the only place that knows both."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from hanse.agents.control_layout import lay_out
from hanse.agents.failure_lowering import checked_mishaps, lower_failures, retried_bound
from hanse.agents.lower_crossings import crossing_facts, held_steps, links
from hanse.agents.lower_fleet import Places, lower_places
from hanse.agents.lowered_graph import lower_edges, lower_paths
from hanse.agents.reports import with_reports
from hanse.agents.signatures import distinct, group_stages
from hanse.agents.workload import Workload
from hanse.agents.world import World
from hanse.market.engine.bits import pack
from hanse.market.engine.columns import STAGE_FACT, Facts, Rows, Rules
from hanse.market.engine.power_caps import LONGEST_US
from hanse.market.rails import zone_shift_us
from hanse.market.regime import (
    Admission,
    Audits,
    Cadence,
    Ranking,
    Regime,
    Release,
    Rule,
    Settlement,
    rail_of,
)
from hanse.market.reporting import AT_COST
from hanse.market.terms import ON_FINALITY, Terms
from hanse.market.units import (
    BYTES_PER_GB,
    US_PER_HOUR,
    US_PER_MS,
    US_PER_S,
    Flags,
    Floats,
    Integers,
)

_LONGEST_US: Final = float(1 << 52)
_ROWS_AT_ONCE: Final = 4096


def lower_facts(world: World, regime: Regime, *, lowered: Facts | None = None) -> Facts:
    """Pack a world's columns for the engine; layout, reports and asks come from the regime.

    `lowered` are facts of the same world, packed for any regime: all else is shared.
    """
    facts = _pack(world) if lowered is None else lowered
    facts = _as_asked(facts, lower_places(world, regime.asking))
    layout = lay_out(world, regime)
    one_way_us = world.geography.rtt_ms * US_PER_MS / 2
    unit = facts.unit.copy()
    unit["plane"] = layout.of_unit
    return facts._replace(
        unit=unit,
        stage=with_reports(facts.stage, world, regime.reporting),
        command_us=_whole(world.terms.control_delay_scale * one_way_us[layout.region]),
        plane_region=layout.region,
        stage_plane=layout.of_stage,
        watches=layout.watches,
        scope=pack(layout.watches[:, facts.sink["region"]]),
        passes_to=layout.passes_to,
    )


def _as_asked(facts: Facts, places: Places) -> Facts:
    """Put offers and sinks into facts; the same facts where those are in them."""
    if places.equals(facts):
        return facts
    return facts._replace(
        **places._asdict(),
        admissible=_admissible(facts.legal, facts.signature_accelerator, places.sink),
    )


def _pack(world: World) -> Facts:
    """Pack what no regime changes; there are no control planes in it yet."""
    geography, workload, mishaps = world.geography, world.workload, checked_mishaps(world)
    legal, family, accelerator, signature = group_stages(world)
    places = lower_places(world, AT_COST)
    stage = _stage_facts(world, signature, places.sink)
    edges = lower_edges(workload)
    root = np.flatnonzero(edges.first_input[1:] == edges.first_input[:-1])
    expiry_stage = np.argsort(workload.job_deadline_us[workload.stage_job], kind="stable")
    nowhere = np.zeros((0, 0), np.int64)
    return Facts(
        stage=stage,
        predecessor=edges.predecessor,
        first_input=edges.first_input,
        successor=edges.successor,
        first_output=edges.first_output,
        arrival_us=workload.job_arrival_us[workload.stage_job[root]],
        arrival_stage=root,
        expiry_us=workload.job_deadline_us[workload.stage_job[expiry_stage]],
        expiry_stage=expiry_stage,
        attempt_temptation=workload.attempt_temptation,
        attempt_audit=workload.attempt_audit,
        attempt_commit=workload.attempt_commit,
        attempt_service=_narrow(workload.attempt_service),
        attempt_way=workload.attempt_way,
        attempt_error=mishaps.attempt_error,
        attempt_backoff=mishaps.attempt_backoff,
        unit=places.unit,
        offer=places.offer,
        price_list=places.price_list,
        first_of_class=places.first_of_class,
        sink=places.sink,
        legal=legal,
        signature_family=family,
        signature_accelerator=accelerator,
        region_jurisdiction=geography.region_jurisdiction,
        command_us=nowhere,
        link=links(world),
        crossing=crossing_facts(world),
        plane_region=nowhere,
        stage_plane=nowhere,
        watches=nowhere.astype(bool),
        scope=nowhere,
        passes_to=nowhere,
        **_down_times(world),
        sample_us=world.sample_instant_us,
        admissible=_admissible(legal, accelerator, places.sink),
        site_cap_w=_site_cap_w(world),
        zone_us=zone_shift_us(geography.longitude),
        egress_price=world.egress.owner_usd_per_gb / BYTES_PER_GB,
        buyer_store=world.egress.buyer_store,
    )


def _site_cap_w(world: World) -> Floats:
    """Return what the machines of each site may draw at once; a share of 1 or more is no cap."""
    share = world.geography.power_cap_share
    if len(share) == 0 or (share >= 1.0).all():
        return np.full(world.geography.n_regions, np.inf)
    if world.horizon_us > LONGEST_US:
        raise ValueError(
            f"power caps allow a horizon of at most {LONGEST_US} us, got {world.horizon_us} us"
        )
    n_units = np.bincount(world.fleet.node_region, minlength=world.geography.n_regions)
    return np.where(share < 1.0, share * n_units * world.terms.active_w, np.inf)


def _down_times(world: World) -> dict[str, Integers]:
    """Return when sites of control and units are down, and when regions go by an old policy."""
    outages, mishaps = world.outages, world.mishaps
    regions = np.arange(world.geography.n_regions + 1)
    return {
        "first_outage": np.searchsorted(outages.region, regions),
        "outage_from_us": outages.from_us,
        "outage_until_us": outages.until_us,
        "breakdown_unit": mishaps.breakdown_node,
        "breakdown_from_us": mishaps.breakdown_from_us,
        "breakdown_until_us": mishaps.breakdown_until_us,
        "first_divergence": np.searchsorted(world.divergences.region, regions),
        "divergence_from_us": world.divergences.from_us,
        "divergence_until_us": world.divergences.until_us,
    }


def _admissible(legal: Flags, accelerator: Integers, sinks: Rows) -> Integers:
    """Say in bits, for each signature, which sinks law and class allow and which have units."""
    has_units = sinks["first_offer"] < sinks["last_offer"]
    is_of_class = accelerator[:, None] == sinks["accelerator"]
    return pack(legal[:, sinks["region"]] & is_of_class & has_units)


def _narrow(factor: Floats) -> Floats:
    """Keep one column of factors that are drawn as one number for all stages."""
    return np.ascontiguousarray(factor[:, :1]) if factor.strides[1] == 0 else factor


def lower_rules(terms: Terms, regime: Regime, *, horizon_us: int, n_planes: int) -> Rules:
    """Turn the parts of a regime into integers beside the terms that all regimes share."""
    capacity = terms.control_cores / n_planes
    n_servers = max(1, int(capacity))
    is_posted = regime.rule is Rule.POSTED
    is_interval = regime.cadence is Cadence.AT_INTERVAL and terms.clearing_interval_us > 0
    return Rules(
        shares_books=int(regime.plane.shares_books),
        has_quotas=int(regime.admission is Admission.QUOTA and terms.quota_share < 1.0),
        at_interval=int(is_interval),
        first_party=int(regime.ranking is Ranking.FIRST_PARTY),
        rule=int(regime.rule),
        pricing=int(regime.pricing),
        escrow=int(regime.settlement is Settlement.ESCROW),
        audits=int(regime.audits is not Audits.NONE),
        on_finality=int(waits_for_finality(terms, regime)),
        horizon_us=horizon_us,
        interval_us=terms.clearing_interval_us,
        refresh_us=terms.refresh_interval_us,
        bounce_limit=terms.bounce_limit,
        redo_limit=terms.redo_limit,
        n_servers=n_servers,
        server_speed=capacity / n_servers,
        quota_share=terms.quota_share,
        service_rule_us=terms.service_posted_us if is_posted else terms.service_welfare_us,
        service_message_us=terms.service_message_us,
        service_edge_us=terms.service_edge_us,
        service_solve_us=terms.service_solve_us,
        receipt_us=terms.receipt_verify_us,
        settlement_us=terms.settlement_us,
        audit_probability=audit_probability(terms, regime),
        window_us=terms.challenge_window_us if regime.audits is Audits.OPTIMISTIC else 0,
        audit_detection=terms.audit_detection,
        audit_share=terms.audit_share,
        audit_bytes=terms.audit_bytes,
        stake_multiple=terms.stake_multiple,
        saved_share=terms.saved_share,
        temptation_share=terms.temptation_share,
        core_usd_per_us=terms.core_usd_per_hour / US_PER_HOUR,
        approval_usd=terms.approval_person_hours * terms.person_usd_per_hour,
        active_w=terms.active_w,
        idle_w=terms.idle_w,
        core_w=terms.core_w,
        credential_ttl_us=terms.credential_ttl_us,
        authority_ttl_us=terms.authority_ttl_us,
        context_ttl_us=terms.context_ttl_us,
        failure=lower_failures(terms.failures, n_planes=n_planes),
        rail=rail_of(terms.settlement, regime.rail),
    )


def record_bound(world: World, regime: Regime) -> int:
    """Bound the number of occupations: residual work, stages, audits and what catches redo.

    A catch redoes its stage and at most all that stand behind it in its job. What has used up its
    luck may be caught again by the last of it, and audited by that however often it is redone.
    """
    workload, terms, n_anew = world.workload, world.terms, 0
    if regime.audits is not Audits.NONE:
        job, index = workload.stage_job, np.arange(workload.n_stages)
        first = np.flatnonzero(np.diff(job, prepend=-1))
        n_of_job = np.diff(first, append=len(job))
        n_before = index - np.repeat(first, n_of_job)
        n_behind = np.repeat(n_of_job, n_of_job) - n_before - 1
        is_drawn = workload.attempt_audit < audit_probability(terms, regime)
        n_redos = 1 + terms.redo_limit
        n_begun = 1 + terms.bounce_limit + n_redos * (1 + n_before)
        runs_out = is_drawn[-1] & (n_begun > len(is_drawn))
        n_caught = is_drawn.sum(axis=0) + runs_out * n_redos
        n_anew = int((n_caught * (2 + n_behind) + runs_out * n_begun).sum())
    return world.fleet.n_nodes + workload.n_stages + 1 + n_anew + retried_bound(world)


def audit_probability(terms: Terms, regime: Regime) -> float:
    """Return the chance that a result is executed again."""
    if regime.audits is Audits.NONE:
        return 0.0
    return 1.0 if regime.audits is Audits.REPLICATION else terms.audit_probability


def waits_for_finality(terms: Terms, regime: Regime) -> bool:
    """Say whether successors wait until a result is final: the regime's part, or the scenario's."""
    if regime.release is Release.SCENARIO:
        return terms.release == ON_FINALITY
    return regime.release is Release.FINALITY


def _whole(us: Floats) -> Integers:
    return np.rint(us).astype(np.int64)


def _stage_facts(world: World, signature: Integers, sink: Rows) -> Rows:
    """Lay the facts of stages out in rows, block by block: what is filled stays in the cache."""
    workload, job = world.workload, world.workload.stage_job
    fact = np.zeros(workload.n_stages, STAGE_FACT)
    stage = lower_paths(workload) | {
        "signature": signature,
        "accelerator": workload.stage_class,
        "verifier_region": _audit_regions(world),
        "holds": held_steps(world),
    }
    latest_us = float(workload.job_deadline_us[job].max(initial=0))
    cheapest = float(sink["busy_usd_per_us"].min())
    for begin in range(0, len(job), _ROWS_AT_ONCE):
        chosen = slice(begin, begin + _ROWS_AT_ONCE)
        rows = fact[chosen]
        _copy_job_facts(world, rows, job=job[chosen])
        _copy_stage_facts(
            world, rows, chosen=chosen, stage={name: of[chosen] for name, of in stage.items()}
        )
        rows["worthless_us"] = _worthless_us(rows, latest_us, cheapest)
    return fact


def _copy_job_facts(world: World, rows: Rows, *, job: Integers) -> None:
    workload = world.workload
    rows["job"] = job
    for name, column in (
        ("family", workload.job_family),
        ("origin", workload.job_origin),
        ("buyer", workload.job_buyer),
        ("first_party", workload.job_first_party),
        ("value_usd", workload.job_value_usd),
        ("job_arrival_us", workload.job_arrival_us),
        ("deadline_us", workload.job_deadline_us),
    ):
        rows[name] = column[job]
    rows["ranks_with"] = _ranks_with(workload, rows["first_party"], rows["buyer"])
    rows["delay_usd_per_us"] = workload.job_delay_usd_per_s[job] / US_PER_S
    rows["said_usd"] = rows["value_usd"]
    rows["said_delay_usd_per_us"] = rows["delay_usd_per_us"]


def _ranks_with(workload: Workload, first_party: Integers, buyer: Integers) -> Integers:
    """Return as whose own a job ranks where owners put their own first: its own, or a partner's."""
    if len(workload.buyer_partner) == 0:
        return first_party
    return np.where(first_party >= 0, first_party, workload.buyer_partner[buyer])


def _copy_stage_facts(
    world: World, rows: Rows, *, chosen: slice, stage: Mapping[str, Integers]
) -> None:
    workload = world.workload
    rows["tool_us"] = workload.stage_tool_us[chosen]
    rows["work_us"] = workload.stage_work_us[chosen]
    for name, column in stage.items():
        rows[name] = column
    rows["input_bytes"] = workload.stage_input_bytes[chosen]
    rows["context_us"] = _context_us(workload.stage_context_tokens[chosen], world.terms)


def _worthless_us(fact: Rows, latest_us: float, cheapest_usd_per_us: float) -> Floats:
    """Return from when on a stage, started where its inputs lie, is not worth its cost."""
    ahead_us = fact["work_us"] + fact["rest_us"]
    cost = cheapest_usd_per_us * (fact["work_us"] + fact["rest_work_us"])
    surplus, slope = fact["value_usd"] - cost, fact["delay_usd_per_us"]
    last_age_us = np.full(len(surplus), latest_us + 1.0)
    np.divide(surplus, slope, out=last_age_us, where=slope > 0)
    last_age_us[surplus <= 0] = 0.0
    too_late_us = np.ceil(np.minimum(fact["job_arrival_us"] + last_age_us, _LONGEST_US))
    too_late_us = np.minimum(too_late_us, fact["deadline_us"] + 1.0)
    start_us: Floats = np.where(fact["soonest_us"] < too_late_us, too_late_us - ahead_us, 0.0)
    return start_us


def _context_us(tokens: Integers, terms: Terms) -> Integers:
    if terms.context_tokens_per_gpu_s <= 0:
        return np.zeros(len(tokens), np.int64)
    return _whole(tokens / terms.context_tokens_per_gpu_s * US_PER_S)


def _audit_regions(world: World) -> Integers:
    """Place each stage's audit in the lawful region with nodes that is nearest to its verifier."""
    workload, fleet = world.workload, world.fleet
    origin = workload.job_origin[workload.stage_job]
    seat = np.where(
        workload.stage_verifier >= 0, world.verifier_region[workload.stage_verifier], origin
    )
    n_regions, n_classes = world.geography.n_regions, len(fleet.accelerator_class)
    stocked = np.zeros((n_classes, n_regions), bool)
    stocked[fleet.node_class, fleet.node_region] = True
    job = workload.stage_job
    # Many stages share a place and a law: each combination is looked up once.
    shape = (len(world.law.may_serve), n_regions, n_classes, n_regions)
    asked = (workload.job_data_class[job], origin, workload.stage_class, seat)
    key, of_stage = distinct(np.ravel_multi_index(asked, shape), math.prod(shape))
    data_class, home, accelerator, place = np.unravel_index(key, shape)
    lawful = world.law.may_serve[data_class, home] & stocked[accelerator]
    distance = np.where(lawful, world.geography.rtt_ms[place], np.inf)
    nearest: Integers = distance.argmin(axis=1)[of_stage]
    return nearest

"""Small worlds for property tests: a few knobs that hypothesis turns, and contents that follow.

Every column of a world is drawn for the largest size and then cut, so that dropping a job or a node
leaves the others as they were, and a failure shrinks. A failing example prints as its knobs.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st

from hanse.agents.crossing_draws import CrossingDraws
from hanse.agents.fleet import Fleet
from hanse.agents.lowering import audit_probability, waits_for_finality
from hanse.agents.model import ComputeMarket
from hanse.agents.workload import Workload, chain_edges
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.crossings import (
    ALL_STEPS,
    EXECUTION_COVERS,
    KINDS,
    LAWS,
    STEPS,
    TRANSFER_COVERS,
    CrossingCosts,
)
from hanse.market.engine.clock import N_PAYMENTS
from hanse.market.engine.columns import Rows
from hanse.market.engine.states import AUDIT
from hanse.market.geography import Geography
from hanse.market.jurisdictions import Law
from hanse.market.regime import (
    CENTRAL,
    Admission,
    Audits,
    Cadence,
    Plane,
    Pricing,
    Ranking,
    Regime,
    Rule,
    Settlement,
)
from hanse.market.terms import ON_FINALITY, ON_RECEIPT, Terms
from hanse.market.units import US_PER_S, Flags, Floats, Integers
from hanse.scenarios.measuring.measures import Measured, measure
from hanse.scenarios.measuring.run_tables import tables_of
from hanse.scenarios.selftest.oracle_worlds import (
    FREE_CROSSINGS,
    FREE_TERMS,
    graph_workload,
    plain_workload,
    plain_world,
)

N_REGIONS_MAX: Final = 4
N_NODES_MAX: Final = 10
N_JOBS_MAX: Final = 24
N_STAGES_MAX: Final = 6
PAYMENTS_MAX: Final = 20_000
HORIZON_US: Final = 120_000_000

HUB: Final = replace(CENTRAL, ranking=Ranking.FIFO)
CLEARED: Final = replace(HUB, cadence=Cadence.AT_INTERVAL)
VENUES: Final = replace(HUB, plane=Plane.VENUES)
AUDITED: Final = replace(HUB, audits=Audits.RANDOM)

Column = Integers | Floats | Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a small world is, and how crowded.

    Jobs arrive within `arrival_us`; work and patience are uniform with about these means. A job has
    up to `n_stages` stages. They stand in a row, or with an `edge_share` each waits for each before
    it with that probability.
    """

    seed: int
    n_regions: int
    n_classes: int
    n_nodes: int
    n_jobs: int
    arrival_us: int
    work_us: int
    patience_us: int = 40_000_000
    hold_share: float = 0.5
    resident_share: float = 0.3
    occupied_share: float = 0.5
    moves_data: bool = True
    n_stages: int = 2
    edge_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallWorld:
    """The knobs of one small world, short enough to read in a failure."""

    size: Size
    terms: Terms
    crossing: CrossingCosts
    power_cap_share: float = 1.0

    def build(self) -> World:
        """Draw the contents."""
        world = build_world(self.size, self.terms, self.crossing)
        return with_power_cap(world, self.power_cap_share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A finished run with all that is measured on it."""

    world: World
    ledger: Ledger
    measured: Measured
    n_payments: int
    audit_probability: float
    waits_for_finality: bool

    @property
    def work(self) -> Rows:
        """Return the occupations that execute stages: neither audits nor residual work."""
        chosen: Rows = self.ledger.record[self.ledger.work]
        return chosen

    @property
    def audits(self) -> Rows:
        """Return the occupations that are audits."""
        chosen: Rows = self.ledger.record[self.ledger.record["outcome"] == AUDIT]
        return chosen

    @property
    def lost_us(self) -> Integers:
        """Return what each occupation has lost under a power cap."""
        lost: Integers = self.ledger.lost_us.sum(axis=1)
        return lost if len(lost) else np.zeros(len(self.ledger.record), np.int64)

    def measured_rows(self) -> dict[tuple[str, str], float]:
        """Return the value of each measure of each family."""
        table = tables_of(self.measured)["measures"]
        keys = zip(table["family"].tolist(), table["measure"].tolist(), strict=True)
        return dict(zip(keys, table["value"].tolist(), strict=True))

    @property
    def payments(self) -> Rows:
        """Return the log of payments on obligations."""
        return self.ledger.payment[: self.n_payments]


def finish(world: World, regime: Regime, *, n_payments: int = PAYMENTS_MAX) -> Finished:
    """Run a world under a regime to its horizon, with every payment logged."""
    model = ComputeMarket(world, regime, with_agents=False, n_payments=n_payments)
    ledger = model.run_to_horizon()
    paid = int(model.state.clock[N_PAYMENTS])
    assert paid <= n_payments, "the payment log is full"
    return Finished(
        world=world,
        ledger=ledger,
        measured=measure(world, ledger),
        n_payments=paid,
        audit_probability=audit_probability(world.terms, regime),
        waits_for_finality=waits_for_finality(world.terms, regime),
    )


@cache
def finished(small: SmallWorld, regime: Regime) -> Finished:
    """Run a small world once, however many tests look at it."""
    return finish(small.build(), regime)


@st.composite
def sizes(draw: st.DrawFn) -> Size:
    """Draw the knobs of a world's contents."""
    return Size(
        seed=draw(st.integers(0, 9_999)),
        n_regions=draw(st.integers(1, N_REGIONS_MAX)),
        n_classes=draw(st.integers(1, 2)),
        n_nodes=draw(st.sampled_from([2, 4, 7, N_NODES_MAX])),
        n_jobs=draw(st.sampled_from([1, 6, 12, N_JOBS_MAX])),
        arrival_us=draw(st.sampled_from([0, 5_000_000, 60_000_000])),
        work_us=draw(st.sampled_from([2_000_000, 20_000, 20_000_000])),
        patience_us=draw(st.sampled_from([40_000_000, 5_000_000, 300_000_000])),
        hold_share=draw(st.sampled_from([0.5, 0.0, 1.0])),
        resident_share=draw(st.sampled_from([0.0, 0.3])),
        occupied_share=draw(st.sampled_from([0.0, 0.5])),
        moves_data=draw(st.booleans()),
    )


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    """Draw terms under which delays are long, cheats are common and views are old."""
    return replace(
        FREE_TERMS,
        control_cores=draw(st.sampled_from([0.5, 1.0, 5.0])),
        clearing_interval_us=draw(st.sampled_from([0, 700_000, 5_000_000])),
        refresh_interval_us=draw(st.sampled_from([0, 1_000_000, 4_000_000])),
        bounce_limit=draw(st.integers(0, 3)),
        redo_limit=draw(st.integers(0, 2)),
        control_delay_scale=draw(st.sampled_from([1.0, 0.0, 3.0])),
        service_posted_us=draw(st.sampled_from([300.0, 0.0, 400_000.0])),
        service_welfare_us=draw(st.sampled_from([500.0, 0.0, 300_000.0])),
        service_message_us=draw(st.sampled_from([20.0, 0.0, 2_000.0])),
        service_edge_us=2.5,
        service_solve_us=7.5,
        receipt_sign_us=50.0,
        receipt_verify_us=150.0,
        settlement_us=draw(st.sampled_from([0.0, 100_000.0])),
        audit_probability=draw(st.sampled_from([1.0, 0.3, 0.0])),
        audit_share=draw(st.sampled_from([1.0, 0.1])),
        audit_detection=draw(st.sampled_from([1.0, 0.5])),
        audit_bytes=draw(st.sampled_from([0.0, 1e8, 4e9])),
        stake_multiple=draw(st.sampled_from([4.0, 0.01, 0.0])),
        saved_share=draw(st.sampled_from([50.0, 0.6])),
        temptation_share=draw(st.sampled_from([0.5, 0.0, 1.0])),
        capital_rate_per_year=0.1,
        invoice_lag_us=30 * 86_400 * 1_000_000,
        release=draw(st.sampled_from([ON_RECEIPT, ON_FINALITY])),
        core_usd_per_hour=0.05,
        active_w=700.0,
        idle_w=100.0,
        core_w=10.0,
        credential_ttl_us=10_000_000,
        authority_ttl_us=20_000_000,
        context_ttl_us=draw(st.sampled_from([0, 5_000_000])),
        context_tokens_per_gpu_s=4_000.0,
    )


@st.composite
def crossings(draw: st.DrawFn) -> CrossingCosts:
    """Draw what a crossing costs: nothing, or each of the five operations something."""
    if draw(st.booleans()):
        return FREE_CROSSINGS
    return CrossingCosts(
        identity_full_us=1_300.0,
        identity_verify_us=90.0,
        policy_base_us=40.0,
        policy_rule_us=1.0,
        rule_dimensions=4,
        rule_levels=3,
        interaction_order=2,
        proxy_cpu_us=200.0,
        proxy_us=900.0,
        commit_us=2_500.0,
        authority_round_trips=2.0,
        approval_us=draw(st.sampled_from([0, 3_000_000])),
        **(draw(_mechanisms()) if draw(st.booleans()) else {}),
    )


def _mechanisms() -> st.SearchStrategy[dict[str, Any]]:
    """Draw the mechanisms that crossings may have, each off or on."""
    return st.fixed_dictionaries(
        {
            "law": st.sampled_from(LAWS),
            "state_rule_us": st.sampled_from([0.0, 300.0]),
            "participation": st.sampled_from([KINDS, KINDS[1:], KINDS[:3]]),
            "identity_resume_us": st.sampled_from([500.0, 10.0]),
            "session_ttl_us": st.sampled_from([0, 30_000_000]),
            "capability_verify_us": st.just(150.0),
            "capability_ttl_us": st.sampled_from([60_000_000, 5_000_000]),
            "revocation_lag_us": st.sampled_from([0, 10_000_000]),
            "revalidation_us": st.sampled_from([0, 700_000]),
            "batch_window_us": st.sampled_from([0, 200_000]),
            "pool_cores": st.sampled_from([0.0, 1e-3]),
            "hold_batch": st.sampled_from([1, 3]),
            "overlap": st.sampled_from([(), ("state",), STEPS[:4]]),
            "overlap_with": st.sampled_from([TRANSFER_COVERS, EXECUTION_COVERS]),
        }
    )


def small_worlds() -> st.SearchStrategy[SmallWorld]:
    """Draw small worlds with all frictions."""
    return st.builds(SmallWorld, size=sizes(), terms=terms(), crossing=crossings())


@st.composite
def graphs(draw: st.DrawFn, worlds: st.SearchStrategy[SmallWorld]) -> SmallWorld:
    """Draw worlds whose jobs are graphs: rows, forks, joins, several roots, and loose stages."""
    small = draw(worlds)
    size = replace(
        small.size,
        n_stages=draw(st.integers(2, N_STAGES_MAX)),
        edge_share=draw(st.sampled_from([0.5, 0.2, 0.9, 0.0])),
    )
    return replace(small, size=size)


@st.composite
def cheating_worlds(draw: st.DrawFn) -> SmallWorld:
    """Draw small worlds in which cheats pay, are many, and are mostly caught, often too late."""
    small = draw(small_worlds())
    size = replace(
        small.size,
        n_jobs=draw(st.sampled_from([N_JOBS_MAX, 12, 6])),
        work_us=draw(st.sampled_from([2_000_000, 6_000_000])),
        patience_us=draw(st.sampled_from([100_000_000, 10_000_000])),
    )
    its_terms = replace(
        small.terms,
        audit_probability=draw(st.sampled_from([1.0, 0.6])),
        saved_share=50.0,
        temptation_share=draw(st.sampled_from([0.5, 0.3])),
        redo_limit=draw(st.integers(0, 2)),
        release=draw(st.sampled_from([ON_RECEIPT, ON_RECEIPT, ON_FINALITY])),
    )
    return replace(small, size=size, terms=its_terms)


@st.composite
def capped_worlds(draw: st.DrawFn) -> SmallWorld:
    """Draw small worlds with power caps that bind, hard or hardly, and cores that draw a lot."""
    small = draw(st.one_of(small_worlds(), cheating_worlds()))
    return replace(
        small,
        terms=replace(small.terms, core_w=draw(st.sampled_from([10.0, 400.0]))),
        power_cap_share=draw(st.sampled_from([0.5, 0.9, 0.2, 0.1])),
    )


@st.composite
def frictionless_worlds(draw: st.DrawFn) -> SmallWorld:
    """Draw small worlds in which nothing that coordinates costs anything, and no data moves.

    Every buyer's own plane has all regions in view.
    """
    free = replace(
        FREE_TERMS,
        peer_regions=N_REGIONS_MAX,
        control_cores=draw(st.sampled_from([0.5, 26.0])),
        release=draw(st.sampled_from([ON_RECEIPT, ON_FINALITY])),
    )
    size = replace(draw(sizes()), moves_data=False)
    return SmallWorld(size=size, terms=free, crossing=FREE_CROSSINGS)


def build_world(size: Size, its_terms: Terms, crossing: CrossingCosts) -> World:
    """Draw the contents of a world of this size."""
    rng = np.random.default_rng(size.seed)
    n_attempts = its_terms.bounce_limit + 2 * its_terms.redo_limit + 3
    world = World(
        scenario="small",
        seed=size.seed,
        horizon_us=HORIZON_US,
        geography=_draw_geography(rng, size),
        law=_draw_law(rng, size),
        fleet=_draw_fleet(rng, size),
        workload=_draw_workload(rng, size, n_attempts),
        crossing=crossing,
        terms=replace(its_terms, hub_region=size.seed % size.n_regions),
        verifier_region=rng.integers(0, size.n_regions, 3),
        sample_instant_us=(np.arange(16) * 2 + 1) * HORIZON_US // 32,
    )
    if crossing.capability_ttl_us == 0:
        return world
    return replace(world, crossing_draws=_draw_crossings(size, world.workload.n_stages))


def _draw_crossings(size: Size, n_stages: int) -> CrossingDraws:
    """Draw what matters at a crossing, from luck of its own: nothing else moves."""
    rng = np.random.default_rng(size.seed + 10_000)
    domain = rng.integers(0, 3, (3, N_REGIONS_MAX))[:, : size.n_regions]
    revocation_us = np.sort(rng.integers(0, HORIZON_US, (4, 3)), axis=1)
    has_capability = rng.random(4) < 0.5
    coin = rng.random((n_stages, 4)) < 0.4
    return CrossingDraws(
        region_trust_domain=domain[0],
        region_policy_domain=domain[1],
        region_transport=domain[2],
        stage_held_steps=rng.integers(0, ALL_STEPS + 1, n_stages),
        stage_is_monotone=coin[:, 0],
        stage_is_modal=coin[:, 1],
        stage_skips_policy=coin[:, 2],
        stage_is_inadmissible=coin[:, 3],
        buyer_has_capability=has_capability,
        buyer_scope=rng.random((4, 2)) < 0.7,
        revocation_buyer=np.repeat(np.arange(4), 3),
        revocation_us=revocation_us.reshape(-1),
        attempt_approval=np.ones((0, 0)),
    )


def _draw_geography(rng: np.random.Generator, size: Size) -> Geography:
    """Draw round trips that need not obey the triangle inequality, as measured ones do not."""
    n = size.n_regions
    rtt_ms = np.round(rng.uniform(1.0, 400.0, (N_REGIONS_MAX, N_REGIONS_MAX)), 1)
    rtt_ms = np.minimum(rtt_ms, rtt_ms.T)
    np.fill_diagonal(rtt_ms, 0.6)
    return Geography(
        region=tuple(f"region-{k}" for k in range(n)),
        jurisdiction=("north", "south"),
        region_jurisdiction=np.arange(n) % 2,
        latitude=np.zeros(n),
        longitude=np.zeros(n),
        rtt_ms=rtt_ms[:n, :n],
        gbps=np.full((n, n), 4.0),
        egress_usd_per_gb=np.full(n, 0.02),
        electricity_usd_per_kwh=rng.uniform(0.05, 0.3, N_REGIONS_MAX)[:n],
        carbon_g_per_kwh=np.zeros(n),
        demand_weight=np.full(n, 1.0 / n),
    )


def _draw_law(rng: np.random.Generator, size: Size) -> Law:
    n = size.n_regions
    may_serve = np.ones((2, n, n), bool)
    is_open = rng.random((N_REGIONS_MAX, N_REGIONS_MAX)) < 0.4
    may_serve[1] = is_open[:n, :n] | np.eye(n, dtype=bool)
    return Law(may_serve=may_serve)


def _draw_fleet(rng: np.random.Generator, size: Size) -> Fleet:
    n = size.n_nodes
    region = rng.integers(0, N_REGIONS_MAX, N_NODES_MAX)[:n] % size.n_regions
    accelerator = rng.integers(0, 2, N_NODES_MAX)[:n] % size.n_classes
    owner = rng.integers(0, 3, N_NODES_MAX)[:n]
    is_occupied = rng.random(N_NODES_MAX)[:n] < size.occupied_share
    free_from_us = rng.integers(1, HORIZON_US // 2, N_NODES_MAX)[:n]
    posted = np.round(rng.uniform(1.2, 3.0, (3, N_REGIONS_MAX)), 2)
    order = np.lexsort((owner, accelerator, region))
    return Fleet(
        node_region=region[order],
        node_class=accelerator[order],
        node_owner=owner[order],
        node_free_from_us=np.where(is_occupied, free_from_us, 0),
        node_posted_usd_per_gpu_hour=posted[owner[order], region[order]],
        node_tenant=np.arange(n) % 3 - 1,
        owner=("first", "second", "third"),
        owner_is_hyperscaler=np.array([True, True, False]),
        accelerator_class=("h100", "a100")[: size.n_classes],
    )


def _draw_workload(rng: np.random.Generator, size: Size, n_attempts: int) -> Workload:
    n, most = size.n_jobs, N_JOBS_MAX
    # No two jobs arrive at one instant: what then happens has a test of its own.
    arrival_us = np.sort(rng.integers(0, size.arrival_us + 1, most))[:n] + np.arange(n)
    work_us = rng.integers(1, 2 * size.work_us, (most, size.n_stages))[:n]
    buyer = rng.integers(0, 4, most)[:n]
    buyer_region = rng.integers(0, N_REGIONS_MAX, 4) % size.n_regions
    value_usd = rng.lognormal(0.0, 1.0, most)[:n] * work_us.sum(axis=1) * 4.0 / 3.6e9
    patience_us = rng.integers(size.work_us, size.work_us + 2 * size.patience_us, most)[:n]
    n_stages = rng.integers(1, size.n_stages + 1, most)[:n]
    is_stage = np.arange(size.n_stages) < n_stages[:, None]
    job, ordinal = np.nonzero(is_stage)
    edge_from, edge_to = chain_edges(ordinal)
    row = Workload(
        family=("calls", "batch"),
        buyer_region=buyer_region,
        job_family=(rng.random(most)[:n] < 0.3).astype(np.int64),
        job_arrival_us=arrival_us,
        job_deadline_us=arrival_us + patience_us,
        job_origin=buyer_region[buyer],
        job_buyer=buyer,
        job_first_party=rng.integers(-1, 2, most)[:n],
        stage_class=(rng.integers(0, 2, most)[:n] % size.n_classes)[job],
        job_data_class=(rng.random(most)[:n] < size.resident_share).astype(np.int64),
        job_value_usd=value_usd,
        job_delay_usd_per_s=0.5 * value_usd / patience_us * 1e6,
        stage_job=job,
        stage_ordinal=ordinal,
        edge_from=edge_from,
        edge_to=edge_to,
        stage_region=np.full(len(job), -1),
        stage_work_us=work_us[is_stage],
        **_draw_stages(rng, size, is_stage),
        **_draw_attempts(rng, is_stage, n_attempts),
    )
    return row if size.edge_share is None else _draw_graph(rng, size, is_stage, row)


def _draw_graph(
    rng: np.random.Generator, size: Size, is_stage: Flags, workload: Workload
) -> Workload:
    """Draw which stages of each job wait for which before them, and some that wait for no tool."""
    most = (N_JOBS_MAX, size.n_stages, size.n_stages)
    is_edge = rng.random(most)[: size.n_jobs] < size.edge_share
    index = np.cumsum(is_stage).reshape(is_stage.shape) - 1
    job, before, after = np.nonzero(np.triu(np.ones(most[1:], bool), 1) & is_edge)
    exists = is_stage[job, after]
    job, before, after = job[exists], before[exists], after[exists]
    edges = zip(index[job, before].tolist(), index[job, after].tolist(), strict=True)
    answers_at_once = rng.random((N_JOBS_MAX, size.n_stages))[: size.n_jobs][is_stage] < 0.3
    tool_us = np.where(answers_at_once, 0, workload.stage_tool_us)
    return graph_workload(replace(workload, stage_tool_us=tool_us), edges)


def _draw_stages(rng: np.random.Generator, size: Size, is_stage: Flags) -> dict[str, Any]:
    shape, follows = (N_JOBS_MAX, size.n_stages), np.minimum(np.arange(size.n_stages), 1)
    columns: dict[str, Integers | Flags] = {
        "stage_input_bytes": rng.integers(0, 10**9, shape) * size.moves_data,
        "stage_context_tokens": rng.integers(0, 4_000, shape) * size.moves_data * follows,
        "stage_tool_us": rng.integers(0, 2_000_000, shape) * follows,
        "stage_holds": rng.random(shape) < size.hold_share,
        "stage_verifier": rng.integers(0, 3, shape),
        "stage_is_sampled": np.zeros(shape, bool),
        "stage_is_real": np.zeros(shape, bool),
    }
    return {name: column[: size.n_jobs][is_stage] for name, column in columns.items()}


def _draw_attempts(rng: np.random.Generator, is_stage: Flags, n_attempts: int) -> dict[str, Any]:
    shape = (n_attempts, N_JOBS_MAX, is_stage.shape[1])
    columns = {
        "attempt_temptation": rng.random(shape),
        "attempt_audit": rng.random(shape),
        "attempt_commit": rng.uniform(0.5, 1.5, shape),
        "attempt_service": rng.uniform(0.5, 1.5, shape),
        "attempt_way": rng.uniform(0.5, 1.5, shape),
    }
    n_jobs = len(is_stage)
    return {
        name: np.ascontiguousarray(column[:, :n_jobs][:, is_stage])
        for name, column in columns.items()
    }


def seconds(*values: float) -> Integers:
    """Turn seconds into whole microseconds."""
    whole_us: Integers = np.rint(np.array(values) * US_PER_S).astype(np.int64)
    return whole_us


def world_of(
    *,
    arrival_s: list[float],
    work_s: list[float],
    stage_job: list[int] | None = None,
    origin: list[int] | None = None,
    units: list[int],
    n_regions: int = 1,
    one_way_s: float = 0.0,
    horizon_s: float = 100.0,
    patience_s: float = 1e6,
    **terms: float | str,
) -> World:
    """Build jobs, and a unit in each of the regions listed, under these terms.

    Within a region a message takes half a millisecond, or nothing if there is only one region.
    """
    workload = plain_workload(
        seconds(*arrival_s),
        seconds(*work_s),
        stage_job=None if stage_job is None else np.array(stage_job),
        origin=None if origin is None else np.array(origin),
        patience_us=round(patience_s * US_PER_S),
    )
    world = plain_world(
        workload,
        n_nodes=len(units),
        horizon_us=round(horizon_s * US_PER_S),
        n_regions=n_regions,
        rtt_ms=2_000.0 * one_way_s or 1e-4,
        terms=replace(FREE_TERMS, **terms),  # type: ignore[arg-type]
    )
    return replace(world, fleet=replace(world.fleet, node_region=np.array(units)))


def with_luck(world: World, **coins: list[list[float]]) -> World:
    """Set the first attempts' coins; the rest are ones: no temptation, no audit."""
    columns: dict[str, Column] = {}
    for name, rows in coins.items():
        column = getattr(world.workload, f"attempt_{name}").copy()
        column[: len(rows)] = rows
        columns[f"attempt_{name}"] = column
    return with_jobs(world, **columns)


def with_fleet(world: World, **columns: Column) -> World:
    """Set columns of the fleet."""
    fleet = replace(world.fleet, **columns)  # type: ignore[arg-type]
    return replace(world, fleet=fleet)


def with_jobs(world: World, **columns: Column) -> World:
    """Set columns of the workload."""
    workload = replace(world.workload, **columns)  # type: ignore[arg-type]
    return replace(world, workload=workload)


def with_power_cap(world: World, share: float) -> World:
    """Let the machines of every site draw at most this share of all its accelerators at work."""
    cap = np.full(world.geography.n_regions, share)
    return replace(world, geography=replace(world.geography, power_cap_share=cap))


def with_audits(world: World, **terms: float) -> World:
    """Let audits find all that is wrong, where their coin is below a half; and let cheating pay."""
    terms = {"audit_probability": 0.5, "saved_share": 1e3, "temptation_share": 0.5} | terms
    return replace(world, terms=replace(world.terms, **terms))  # type: ignore[arg-type]


def all_regimes() -> list[Regime]:
    """Compose every regime of built-in parts that do not exclude each other."""
    hubs = [CENTRAL, replace(CENTRAL, ranking=Ranking.FIFO)]
    welfare = replace(CENTRAL, ranking=Ranking.FIFO, rule=Rule.WELFARE)
    ranked = [*hubs, welfare, replace(welfare, pricing=Pricing.LOCATIONAL)]
    laid_out = [replace(regime, plane=plane) for regime in ranked for plane in Plane]
    laid_out += [replace(regime, admission=Admission.QUOTA) for regime in ranked]
    return [
        replace(regime, cadence=cadence, settlement=settlement, audits=audits)
        for regime in laid_out
        for cadence in Cadence
        for settlement in Settlement
        for audits in Audits
    ]

"""That nothing favours a regime: what all have in common without frictions, and what all pay."""

import ast
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings

from hanse.agents.control_layout import lay_out
from hanse.agents.lowering import lower_facts, lower_rules
from hanse.agents.model import ComputeMarket
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.columns import Rules
from hanse.market.engine.states import (
    CAUSES,
    CONTEXT,
    DISTANCE,
    OPERATIONS,
    STALENESS,
)
from hanse.market.engine.states import RULE as BY_RULE
from hanse.market.reference import reference_ledger
from hanse.market.regime import (
    CENTRAL,
    Audits,
    Plane,
    Regime,
    Rule,
    Rung,
    Settlement,
    ladder,
    regimes,
    variants,
)
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.measuring.measures import measure
from hanse.scenarios.run import run_world
from hanse.scenarios.scenario import load
from hanse.scenarios.selftest.oracle_worlds import FREE_TERMS, plain_workload, plain_world
from tests.project_files import python_files, tree_of
from tests.small_runs import where_tables_differ
from tests.strategies import (
    Finished,
    SmallWorld,
    all_regimes,
    finish,
    finished,
    frictionless_worlds,
)

SIZE: Final[dict[str, float]] = {
    "fleet.nodes": 50,
    "load.model_calls": 400,
    "load.batch_jobs": 40,
    "measurement.horizon_s": 1800,
    "measurement.displacement_instants": 120,
}
LOADS: Final[dict[str, dict[str, float]]] = {
    "middling": {},
    "loaded": {"load.model_calls": 700, "load.batch_jobs": 70},
    "slack": {"load.model_calls": 200, "load.batch_jobs": 10, "fleet.occupied_share": 0.2},
}
# The library's scenario moves no data and holds every unit; these bring both back.
DATA: Final = {"load.bytes_per_token": 4.0, "load.batch_input_gb": 1.0}
WELFARE_RUNGS: Final = tuple(rung for rung in ladder if rung.regime.rule is Rule.WELFARE)
HUB_RUNGS: Final = tuple(rung for rung in WELFARE_RUNGS if rung.regime.plane is Plane.HUB)
VENUE_RUNGS: Final = tuple(rung for rung in WELFARE_RUNGS if rung.regime.plane is Plane.VENUES)
NAMED: Final = (*ladder, *variants)
SHARING: Final = tuple(rung for rung in variants if rung.regime.plane.shares_books)
OWN_BOOKS: Final = tuple(rung for rung in variants if not rung.regime.plane.shares_books)

each_load = pytest.mark.parametrize("load_name", LOADS)
each_seed = pytest.mark.parametrize("seed", [0, 1])


@cache
def frictionless(load_name: str, seed: int) -> World:
    """Draw the library's frictionless world, smaller, under one of the loads."""
    return draw_world(load("frictionless").replace(SIZE | LOADS[load_name]), seed)


@cache
def with_data_in_motion(load_name: str, seed: int, *, hold_share: float) -> World:
    """Draw the same world with data that have to travel, and no two jobs at one instant."""
    changes = SIZE | LOADS[load_name] | DATA | {"load.hold_share": hold_share}
    return without_ties(draw_world(load("frictionless").replace(changes), seed))


def with_all_in_view(world: World) -> World:
    """Let a buyer's own plane watch every region."""
    return replace(world, terms=replace(world.terms, peer_regions=world.geography.n_regions))


def without_ties(world: World) -> World:
    """Let no two jobs arrive at the same microsecond."""
    arrival_us = world.workload.job_arrival_us + np.arange(world.workload.n_jobs)
    return replace(world, workload=replace(world.workload, job_arrival_us=arrival_us))


def reference(world: World, regime: Regime = CENTRAL) -> Ledger:
    """Run the reference of a world on facts that are lowered for this regime."""
    return reference_ledger(
        lower_facts(world, regime),
        ComputeMarket(world, regime, with_agents=False).rules,
        world.fleet.node_free_from_us,
        n_families=len(world.workload.family),
    )


def allocation(ledger: Ledger) -> list[tuple[int, int, int, int]]:
    """Return (stage, unit, acceptance, end) of each execution and (stage, -1, done, status)."""
    record, stage = ledger.record, ledger.stage
    work = record[ledger.work]
    names = ["stage", "unit", "accepted_us", "end_us"]
    rows = list(zip(*(work[name].tolist() for name in names), strict=True))
    ends = zip(stage["done_us"].tolist(), stage["status"].tolist(), strict=True)
    return sorted(rows) + [(k, -1, done_us, status) for k, (done_us, status) in enumerate(ends)]


def unlike_the_reference(world: World, rungs: tuple[Rung, ...]) -> list[str]:
    """Name the rungs whose allocation is not the reference's."""
    expected = allocation(reference(world))
    return [
        rung.name
        for rung in rungs
        if allocation(finish(world, rung.regime, n_payments=20_000).ledger) != expected
    ]


def blamed(run: Finished) -> set[tuple[str, str]]:
    """Name the operations and causes that synchronization cost is booked to."""
    cost = run.measured.cost
    found = np.argwhere((cost.displaced_gpu_s + cost.displacement_gpu_s).sum(axis=(0, 3)) > 0)
    return {(OPERATIONS[operation], CAUSES[cause]) for operation, cause in found}


def metered_debt(run: Finished) -> float:
    """Add up all that is known of debt: amounts, amounts times age, paths, accounts, worth.

    What is owed in money is a transfer, and there whenever somebody works: only its worth counts.
    """
    debt, work = run.ledger.debt, [a for a in run.measured.debt if a.resource != "usd"]
    accounts = sum(a.accrual + a.interest + a.paydown + a.default for a in work)
    stocks = sum(a.mean_stock + a.open_at_horizon_class_mean for a in work)
    stocks += sum(a.mean_stock_usd for a in run.measured.debt)
    metered = sum(float(np.abs(column).sum()) for column in debt)
    return metered + accounts + stocks + float(run.payments["amount_us"].sum())


def control_core_us(run: Finished) -> int:
    """Add up all control work."""
    names = ("decision_core_us", "refresh_core_us", "verification_core_us", "settlement_core_us")
    return sum(int(run.ledger.plane[name].sum()) for name in names)


def test_the_frictionless_scenario_has_no_friction_left_but_that_of_audits() -> None:
    world = frictionless("slack", 0)
    assert world.terms.audit_probability == world.terms.temptation_share == 0.0
    assert world.terms.control_delay_scale == 0.0
    assert world.terms.clearing_interval_us == world.terms.refresh_interval_us == 0


@each_load
@each_seed
def test_without_friction_there_is_no_debt_and_no_control_work(load_name: str, seed: int) -> None:
    world = frictionless(load_name, seed)
    runs = [finish(world, rung.regime, n_payments=20_000) for rung in NAMED]
    assert [metered_debt(run) for run in runs] == [0.0] * len(NAMED)
    assert [control_core_us(run) for run in runs] == [0] * len(NAMED)


RULE_ALONE: Final = {(operation, CAUSES[BY_RULE]) for operation in OPERATIONS}


@each_load
@each_seed
def test_without_friction_only_the_rule_costs(load_name: str, seed: int) -> None:
    world = with_all_in_view(frictionless(load_name, seed))
    runs = {r.name: finish(world, r.regime, n_payments=20_000) for r in NAMED}
    # Planes with books of their own may book one unit twice at one instant: reserved ones, those
    # that are reserved for nobody.
    twice = {"reserved": {("routing", "staleness")}}
    assert {
        name: blamed(run) - RULE_ALONE - twice.get(name, set()) for name, run in runs.items()
    } == {rung.name: set() for rung in NAMED}


@each_seed
def test_fully_reserved_nodes_cost_what_their_rule_costs_alone(seed: int) -> None:
    changes = SIZE | LOADS["middling"] | {"fleet.reserved_share": 1.0}
    world = draw_world(load("frictionless").replace(changes), seed)
    run = finish(world, regimes["reserved"], n_payments=20_000)
    assert run.ledger.n_bounces == 0
    assert blamed(run) - RULE_ALONE == set()


@each_load
@each_seed
def test_without_friction_planes_that_share_books_are_the_reference(
    load_name: str, seed: int
) -> None:
    world = with_all_in_view(frictionless(load_name, seed))
    assert unlike_the_reference(world, SHARING) == []


@each_load
@each_seed
def test_with_held_units_planes_that_share_books_are_the_reference_while_data_move(
    load_name: str, seed: int
) -> None:
    world = with_all_in_view(with_data_in_motion(load_name, seed, hold_share=1.0))
    assert unlike_the_reference(world, SHARING) == []


@pytest.mark.parametrize("rung", OWN_BOOKS, ids=lambda rung: rung.name)
def test_planes_that_keep_their_own_books_are_not_the_reference_under_load(rung: Rung) -> None:
    # Each serves its own units first: no clearing sees who else would want them. It is the rule
    # that this is blamed on, and nothing else.
    assert unlike_the_reference(frictionless("loaded", 0), (rung,)) == [rung.name]


@pytest.mark.parametrize("hold_share", [0.0, 1.0])
def test_data_in_motion_add_their_own_distance_and_no_stale_view(hold_share: float) -> None:
    world = with_data_in_motion("loaded", 0, hold_share=hold_share)
    run = finish(world, HUB_RUNGS[0].regime, n_payments=20_000)
    # A unit that the hub has itself commanded is no secret to it.
    assert blamed(run) - RULE_ALONE == {(OPERATIONS[CONTEXT], CAUSES[DISTANCE])}


@each_load
@each_seed
def test_without_friction_every_welfare_rung_is_the_reference(load_name: str, seed: int) -> None:
    assert unlike_the_reference(frictionless(load_name, seed), WELFARE_RUNGS) == []


@each_load
@each_seed
def test_with_held_units_every_welfare_rung_is_the_reference_while_data_move(
    load_name: str, seed: int
) -> None:
    world = with_data_in_motion(load_name, seed, hold_share=1.0)
    assert unlike_the_reference(world, WELFARE_RUNGS) == []


def test_with_released_units_a_hub_is_the_reference_while_data_move() -> None:
    world = with_data_in_motion("loaded", 0, hold_share=0.0)
    assert unlike_the_reference(world, HUB_RUNGS) == []


def test_a_command_under_way_to_a_released_unit_is_what_other_venues_do_not_know() -> None:
    # Released, a unit is free while data move to it: this friction is one of information. A hub
    # knows its own commands; with the data gone or the unit held, venues are the reference.
    world = with_data_in_motion("loaded", 0, hold_share=0.0)
    assert {rung.name for rung in VENUE_RUNGS} == set(unlike_the_reference(world, VENUE_RUNGS))
    assert all(finish(world, rung.regime).ledger.n_bounces > 0 for rung in VENUE_RUNGS)
    assert all(finish(world, rung.regime).ledger.n_bounces == 0 for rung in HUB_RUNGS)


def test_venues_that_are_asked_in_one_microsecond_agree_after_a_bounce() -> None:
    # Two long jobs first, after which neither venue's view has gained a unit; then two at once.
    workload = plain_workload(
        np.array([1, 2, 3, 3]) * US_PER_S,
        np.full(4, 60 * US_PER_S),
        origin=np.array([0, 1, 0, 1]),
    )
    world = plain_world(workload, n_nodes=8, n_regions=2, horizon_us=10**8)
    assert unlike_the_reference(world, VENUE_RUNGS) == []
    assert [finish(world, rung.regime).ledger.n_bounces for rung in VENUE_RUNGS] == [
        1 for _ in VENUE_RUNGS
    ]


@settings(max_examples=60)
@given(small=frictionless_worlds())
def test_any_small_frictionless_world_is_cleared_like_the_reference(small: SmallWorld) -> None:
    assert unlike_the_reference(small.build(), (*WELFARE_RUNGS, *SHARING)) == []


@settings(max_examples=60)
@given(small=frictionless_worlds())
def test_any_small_frictionless_world_has_no_debt_and_no_cost_but_the_rule(
    small: SmallWorld,
) -> None:
    runs = [finished(small, rung.regime) for rung in NAMED]
    assert [metered_debt(run) for run in runs] == [0.0] * len(NAMED)
    assert set[tuple[str, str]]().union(*map(blamed, runs)) <= RULE_ALONE


MEASURES: Final = (
    "debt_meter",
    "displacement",
    "ledger",
    "money",
    "occupancy",
    "sampling",
    "stage_clock",
    "states",
    "sync_debt",
    "welfare",
)
DECIDERS: Final = frozenset(
    {"auction", "central", "options", "posted_rule", "regime", "router", "welfare_rule"}
)


@pytest.mark.parametrize("module", MEASURES)
def test_what_measures_imports_nothing_that_decides(module: str) -> None:
    (file,) = (f for f in python_files("market") if f.stem == module)
    imported = {
        name
        for node in ast.walk(tree_of(file))
        for name in names_imported(node)
        if name.startswith("hanse.")
    }
    assert not {name.split(".")[2] for name in imported} & DECIDERS
    assert not [name for name in imported if name.startswith(("hanse.agents", "hanse.scenarios"))]


def names_imported(node: ast.AST) -> list[str]:
    """Return the modules that a statement imports, if it is an import."""
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def small_baseline(seed: int = 0) -> World:
    """Draw a small world with all the frictions of the baseline."""
    return draw_world(load("baseline").replace(SIZE | {"load.model_calls": 200}), seed)


def test_no_table_and_no_ledger_has_a_column_for_the_regime() -> None:
    result = run_world(small_baseline(), CENTRAL)
    columns = {name for table in result.tables.values() for name in table}
    columns |= set(Ledger.__dataclass_fields__)
    words = {"regime", "router", "rung", "plane_kind", "rule", "pricing", "settlement_kind"}
    assert not columns & words


@pytest.mark.parametrize("rung", NAMED, ids=lambda rung: rung.name)
def test_another_name_for_a_regime_changes_no_byte_of_any_table(rung: Rung) -> None:
    world = small_baseline()
    first = run_world(world, rung.regime, name="central").tables
    second = run_world(world, rung.regime, name="market").tables
    assert where_tables_differ(first, second) == []


def rules_of(world: World, regime: Regime) -> Rules:
    """Lower a regime in a world."""
    n_planes = len(lay_out(world, regime).region)
    return lower_rules(world.terms, regime, horizon_us=world.horizon_us, n_planes=n_planes)


@pytest.mark.parametrize("cores", [0.5, 1.0, 2.6, 26.0, 260.0])
def test_every_regime_has_the_same_control_cores(cores: float) -> None:
    world = small_baseline()
    world = replace(world, terms=replace(world.terms, control_cores=cores))
    for regime in all_regimes():
        n_planes = len(lay_out(world, regime).region)
        rules = rules_of(world, regime)
        assert rules.n_servers == max(1, int(cores / n_planes))
        # Two roundings of a division and two of multiplications: 4 x 2**-53 at most.
        assert n_planes * rules.n_servers * rules.server_speed == pytest.approx(cores, rel=1e-15)


PARTS: Final = frozenset(
    {
        "shares_books",
        "has_quotas",
        "at_interval",
        "first_party",
        "rule",
        "pricing",
        "rail",
        "escrow",
        "audits",
        "audit_probability",
        "window_us",
        "n_servers",
        "server_speed",
        "service_rule_us",
    }
)


def test_no_number_but_those_of_its_rule_and_policy_depends_on_the_regime() -> None:
    world = small_baseline()
    lowered = [rules_of(world, regime) for regime in all_regimes()]
    for name in set(Rules._fields) - PARTS:
        assert len({getattr(rules, name) for rules in lowered}) == 1, name
    by_rule = {(rules.rule, rules.service_rule_us) for rules in lowered}
    assert by_rule == {
        (int(Rule.POSTED), world.terms.service_posted_us),
        (int(Rule.WELFARE), world.terms.service_welfare_us),
    }
    policies = {
        (regime.audits, rules.audit_probability, rules.window_us)
        for regime, rules in zip(all_regimes(), lowered, strict=True)
    }
    drawn, window_us = world.terms.audit_probability, world.terms.challenge_window_us
    assert policies == {
        (Audits.NONE, 0.0, 0),
        (Audits.RANDOM, drawn, 0),
        (Audits.REPLICATION, 1.0, 0),
        (Audits.OPTIMISTIC, drawn, window_us),
    }


def busy_world(**changes: float) -> World:
    """Build a world of three regions in which everything is exchanged and only messages cost."""
    rng = np.random.default_rng(5)
    n_jobs = 40
    arrival_us = np.sort(rng.integers(0, 60 * US_PER_S, n_jobs))
    workload = plain_workload(
        arrival_us,
        rng.integers(1, 20 * US_PER_S, 2 * n_jobs),
        stage_job=np.repeat(np.arange(n_jobs), 2),
        origin=rng.integers(0, 3, n_jobs),
        patience_us=50 * US_PER_S,
    )
    workload = replace(workload, attempt_audit=rng.random(workload.attempt_audit.shape))
    terms = replace(
        FREE_TERMS,
        control_cores=3.0,
        control_delay_scale=1.0,
        clearing_interval_us=2 * US_PER_S,
        refresh_interval_us=US_PER_S,
        service_message_us=1.0,
        receipt_verify_us=1.0,
        audit_probability=0.3,
    )
    return plain_world(
        workload,
        n_nodes=12,
        n_regions=3,
        rtt_ms=150.0,
        horizon_us=200 * US_PER_S,
        terms=replace(terms, **changes),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("rung", NAMED, ids=lambda rung: rung.name)
def test_every_message_is_charged(rung: Rung) -> None:
    run = finish(busy_world(), rung.regime)
    plane, stage = run.ledger.plane, run.ledger.stage
    # A message, a receipt and a verdict each cost one core-microsecond, and nothing else costs any.
    assert control_core_us(run) == plane["n_messages"].sum()
    carried = stage["decision_core_us"] + stage["verification_core_us"]
    unshared_us = plane["decision_core_us"].sum() - stage["decision_core_us"].sum()
    assert control_core_us(run) == (carried.sum() + plane["refresh_core_us"].sum() + unshared_us)


@pytest.mark.parametrize("rung", NAMED, ids=lambda rung: rung.name)
def test_messages_are_those_of_requests_commands_checks_and_refreshes(rung: Rung) -> None:
    run = finish(busy_world(), rung.regime)
    ledger, plane = run.ledger, run.ledger.plane
    assert (ledger.stage["status"] != 1).all()  # at the horizon nobody is on the way
    n_requests = int((ledger.stage["ready_us"] >= 0).sum()) + ledger.n_bounces + ledger.n_redos
    # Passed on, a request leaves one plane and comes to another; law bars none of them here.
    n_requests += 2 * int(ledger.stage["passed_on"].sum())
    # What bounces once too often does not come back.
    n_requests -= int((ledger.stage["lapse_cause"] == STALENESS).sum())
    passes_on = rung.regime.plane in (Plane.TREE, Plane.FEDERATION)
    assert (ledger.stage["passed_on"].sum() > 0) == passes_on
    n_commands = len(run.work) + ledger.n_bounces
    n_checks = len(run.work) + len(run.audits)
    per_command = 3 if rung.regime.settlement is Settlement.ESCROW else 1
    n_refreshes = int(plane["refresh_core_us"].sum())
    assert plane["n_messages"].sum() == (
        n_requests + per_command * n_commands + n_checks + n_refreshes
    )


@pytest.mark.parametrize("rung", [ladder[0], *VENUE_RUNGS[:1], *variants], ids=lambda r: r.name)
def test_every_plane_pays_for_every_refresh_that_reaches_it(rung: Rung) -> None:
    run = finish(busy_world(), rung.regime)
    delay_us = run.ledger.plane["refresh_delay_us"]
    # Every second one from each region in view: those of which the last arrives by the horizon.
    n_rounds = (run.ledger.horizon_us - 1 - delay_us) // US_PER_S
    n_watched = lay_out(run.world, rung.regime).watches.sum(axis=1)
    assert run.ledger.plane["refresh_core_us"].tolist() == (n_watched * n_rounds).tolist()


def test_bytes_cost_the_same_whoever_decides() -> None:
    world = busy_world()
    n_stages = world.workload.n_stages
    geography = replace(world.geography, egress_usd_per_gb=np.full(3, 0.05))
    workload = replace(world.workload, stage_input_bytes=np.full(n_stages, 10**8))
    moving = replace(world, geography=geography, workload=workload)
    for rung in ladder:
        run = finish(moving, rung.regime)
        n_moves = round(run.ledger.stage["egress_usd"].sum() / (0.05 * 0.1))
        assert n_moves > 0
        assert run.measured.welfare.egress_usd.sum() == pytest.approx(n_moves * 0.005, rel=1e-12)


def test_capital_is_charged_over_the_lag_of_invoices_and_while_it_is_in_escrow() -> None:
    year_s = 31_536_000
    for rung in ladder:
        world = busy_world(capital_rate_per_year=0.1, invoice_lag_us=30 * 86_400 * US_PER_S)
        run = finish(world, rung.regime)
        rows, terms = run.work, run.world.terms
        assert (rows["final_us"] >= 0).all()
        if rung.regime.settlement is Settlement.ESCROW:
            locked_us = rows["final_us"] - rows["escrow_us"]
        else:
            locked_us = np.full(len(rows), terms.invoice_lag_us)
        if rung.regime.audits is Audits.RANDOM:
            locked_us = locked_us + terms.stake_multiple * (rows["final_us"] - rows["accepted_us"])
        usd = rows["payment_micro_usd"] / 1e6
        expected = float((usd * 0.1 * locked_us / 1e6 / year_s).sum())
        bounced = run.ledger.lock
        held_us = bounced["freed_us"] - bounced["locked_us"]
        expected += float((bounced["amount_micro_usd"] / 1e6 * held_us / 1e6 / year_s).sum()) * 0.1
        assert expected > 0
        assert run.measured.welfare.capital_usd.sum() == pytest.approx(expected, rel=1e-9)


def test_the_reference_does_not_depend_on_the_regime_its_facts_were_lowered_for() -> None:
    world = small_baseline()
    ledgers = [reference(world, rung.regime) for rung in (ladder[0], ladder[-1])]
    assert allocation(ledgers[0]) == allocation(ledgers[1])
    first, second = (measure(world, ledger).welfare.welfare_usd.tolist() for ledger in ledgers)
    assert first == second

"""More of a friction of families, control or failure, more of its cost; and whose law it is."""

from collections.abc import Mapping
from functools import cache
from typing import Final

import numpy as np
import pytest

from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.occupancy import C, U, X
from hanse.market.engine.states import (
    AWAITING_CLEARING,
    CONTEXT,
    DISPATCHED,
    IN_FLIGHT,
    IN_SERVICE,
    LANDING,
    ON_POLICY,
    QUEUED,
    TOOL,
    TRANSFERRING,
)
from hanse.market.failure_terms import FailureTerms
from hanse.market.regime import CENTRAL, MARKET, Regime, regimes
from hanse.market.units import US_PER_S, Floats
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.draw import draw_world
from hanse.scenarios.growth.scaling import Growth, Responses, best_law, growth
from hanse.scenarios.scenario import Value, load
from hanse.scenarios.selftest.checks import ON_ARRIVAL, run_ledger
from hanse.scenarios.selftest.failing_worlds import impatient_world
from hanse.scenarios.selftest.failures import goodput_between
from hanse.scenarios.streams import stream
from hanse.scenarios.tables import read_regions
from tests.strategies import with_fleet
from tests.test_crossing_doses import SHARES, Outcome, run, unit_time, waits

SMALL: Final[dict[str, Value]] = {
    "load.model_calls": 0,
    "load.batch_jobs": 0,
    "load.resident_share": 0.0,
    "fleet.nodes": 60,
    "fleet.occupied_share": 0.0,
    "measurement.horizon_s": 1_800.0,
    "measurement.displacement_instants": 8,
}
AGENTS: Final[dict[str, Value]] = {"load.agentic_jobs": 100}
BOTH: Final = (CENTRAL, MARKET)
AT_INTERVALS: Final = (regimes["dynamic-central"], MARKET)


def ran(changes: Mapping[str, Value], regime: Regime) -> tuple[World, Ledger]:
    world = draw_world(load("baseline").replace(SMALL | dict(changes)), 1)
    model = ComputeMarket(world, regime, with_agents=False)
    ledger = model.run_to_horizon()
    release(model)
    return world, ledger


def tries_again(_: World, ledger: Ledger) -> float:
    return float(ledger.stage["retries"].sum())


def cheats(_: World, ledger: Ledger) -> float:
    return float((ledger.record["is_wrong"][ledger.work] != 0).sum())


Dose = tuple[str, tuple[Value, ...], dict[str, Value], Outcome, tuple[Regime, ...]]
DOSES: Final[dict[str, Dose]] = {
    "wait for a tool": (
        "load.tool_median_s",
        (0.1, 0.5, 2.0, 8.0, 30.0),
        {"load.model_calls": 200, "load.tool_p95_s": 100.0},
        waits(TOOL),
        BOTH,
    ),
    "wait for a quantum answer": (
        "load.hybrid_quantum_s",
        (0.0, 0.01, 0.1, 1.0, 3.0),
        {"load.hybrid_jobs": 20},
        waits(TOOL),
        BOTH,
    ),
    "tokens a rebuild takes long over": (
        "crossing.context_tokens_per_gpu_s",
        (100_000.0, 10_000.0, 2_800.0, 1_000.0, 300.0),
        AGENTS | {"crossing.context_ttl_s": 0.0},
        unit_time(C, operation=CONTEXT),
        BOTH,
    ),
    "combinations to align": (
        "load.multimodal_modalities",
        (1, 2, 3, 4, 5),
        {"load.multimodal_jobs": 60, "load.multimodal_alignment": "joint"},
        unit_time(U),
        BOTH,
    ),
    "errors of calls": (
        "failure.call_error_share",
        (0.0, 0.02, 0.1, 0.3, 0.6),
        AGENTS,
        tries_again,
        BOTH,
    ),
    "temptation": ("verification.temptation_share", SHARES, AGENTS, cheats, BOTH),
    "interval of clearing": (
        "control.clearing_interval_s",
        (0.1, 1.0, 4.0, 15.0, 60.0),
        AGENTS,
        waits(AWAITING_CLEARING),
        AT_INTERVALS,
    ),
    "distance": (
        "control.delay_scale",
        (0.0, 0.5, 1.0, 2.0, 4.0),
        AGENTS,
        waits(IN_FLIGHT, DISPATCHED, LANDING),
        BOTH,
    ),
    "power that is not allowed": (
        "resources.power_cap_share",
        (1.0, 0.8, 0.5, 0.3, 0.25),
        AGENTS | {"fleet.nodes": 30},
        unit_time(X),
        BOTH,
    ),
    "work of a message": (
        "control.service_message_us",
        (0.0, 100.0, 300.0, 1_000.0, 10_000.0),
        AGENTS,
        waits(QUEUED, IN_SERVICE),
        BOTH,
    ),
}


@pytest.mark.parametrize("name", DOSES)
def test_the_response_follows_the_dose_in_every_regime(name: str) -> None:
    key, levels, beside, outcome, both = DOSES[name]
    for regime in both:
        found = [outcome(*ran(beside | {key: level}, regime)) for level in levels]
        assert (np.diff(found) > 0).all(), found


APART: Final[dict[str, Value]] = {
    "load.training_jobs": 3,
    "load.training_shards": 4,
    "load.training_steps": 40,
    "load.training_step_s": 2.0,
    "load.training_join_s": 0.1,
    "load.training_value_multiple": 1_000.0,
    "load.training_delay_share": 0.0,
    "load.training_deadline_s": 36_000.0,
    "measurement.horizon_s": 7_200.0,
}
"""Three jobs of four shards, and so much worth that nobody gives up however long it takes."""
STEPS_PER_ROUND: Final = (40, 20, 8, 2, 1)
GIGABYTES: Final = (0.0, 0.5, 2.0, 8.0, 32.0)
OF_A_REQUEST: Final = (
    IN_FLIGHT,
    QUEUED,
    IN_SERVICE,
    AWAITING_CLEARING,
    DISPATCHED,
    LANDING,
    ON_POLICY,
)


def ran_apart(changes: Mapping[str, Value], regime: Regime) -> tuple[World, Ledger]:
    """Run training on one unit in each region, so that no two shards ever lie in one place."""
    n = len(read_regions().region)
    scenario = load("baseline").replace(SMALL | APART | {"fleet.nodes": n} | dict(changes))
    world = with_fleet(
        draw_world(scenario, 1),
        node_region=np.arange(n),
        node_owner=np.zeros(n, np.int64),
        node_posted_usd_per_gpu_hour=np.ones(n),
    )
    return world, run_ledger(world, regime)


@pytest.mark.parametrize("regime", BOTH, ids=["central", "market"])
@pytest.mark.parametrize("steps_per_round", [1, 20], ids=["after every step", "seldom"])
def test_more_bytes_to_exchange_are_waited_for_longer(steps_per_round: int, regime: Regime) -> None:
    rounds: dict[str, Value] = {"load.training_steps_per_round": steps_per_round}
    found = [
        waits(TRANSFERRING)(*ran_apart(rounds | {"load.training_exchange_gb": size}, regime))
        for size in GIGABYTES
    ]
    assert found[0] == 0
    assert (np.diff(found) > 0).all(), found


@pytest.mark.parametrize("regime", BOTH, ids=["central", "market"])
def test_more_rounds_for_the_same_steps_are_decided_and_fetched_more_often(regime: Regime) -> None:
    ran_at = [ran_apart({"load.training_steps_per_round": one}, regime) for one in STEPS_PER_ROUND]
    for outcome in (waits(*OF_A_REQUEST), waits(TRANSFERRING)):
        found = [outcome(*ran_one) for ran_one in ran_at]
        assert (np.diff(found) > 0).all(), found


@pytest.mark.parametrize("regime", BOTH, ids=["central", "market"])
def test_bytes_cost_less_where_they_are_seldom_exchanged(regime: Regime) -> None:
    def waited(steps_per_round: int) -> float:
        large: dict[str, Value] = {"load.training_exchange_gb": GIGABYTES[-1]}
        changes = large | {"load.training_steps_per_round": steps_per_round}
        return waits(TRANSFERRING)(*ran_apart(changes, regime))

    # Of forty rounds there are two left: a shard's first exchange aside, a twentieth of the bytes.
    assert waited(20) < 0.1 * waited(1)


def in_time(*, timeout_s: int, retries: int, pulse: int = 0) -> float:
    """Return the share served in time long after a pulse, at .8 or .3 a second before rate one."""
    world = impatient_world(
        stream(4, "doses.impatience"),
        per_s=0.3 if pulse else 0.8,
        horizon_s=12_000,
        pulse=pulse,
        pulse_s=500,
        failures=FailureTerms(timeout_us=timeout_s * US_PER_S, retry_limit=retries),
    )
    return goodput_between(run_ledger(world, ON_ARRIVAL), 6_000, 11_900)


def test_the_sooner_clients_give_up_the_fewer_are_served() -> None:
    found = [in_time(timeout_s=s, retries=0) for s in (1, 2, 4, 8, 16)]
    assert (np.diff(found) > 0).all(), found


def test_more_retries_serve_no_more_once_a_plane_is_down() -> None:
    # Of rate .3: two retries are below 1 / (R + 1), three above it.
    found = [in_time(timeout_s=10, retries=n, pulse=50) for n in range(5)]
    assert found[2] > 0.95
    assert found[3] < 0.05
    assert (np.diff(found[2:]) <= 0).all(), found


CONDITIONS: Final = (2, 4, 6, 8, 10, 12, 14)
SEEDS: Final = range(6)
# One level of rules alone: nothing is fixed, and no other boundary adds a condition.
BARE: Final[dict[str, Value]] = {
    "crossing.policy_base_us": 0.0,
    "crossing.proxy_us": 0.0,
    "crossing.authority_conditions": 0,
    "crossing.transport_conditions": 0,
}


@cache
def policy_us(law: str, regime: Regime) -> Floats:
    """Return the time in policy of the middle stage that was there, by conditions and seed.

    A stage whose unit was taken meanwhile crosses twice; the one in the middle crosses once.
    """

    def of(conditions: int, seed: int) -> float:
        changes = BARE | {"crossing.law": law, "crossing.rule_dimensions": conditions}
        _, ledger = run(changes, regime, seed)
        spent_us = ledger.time_us[:, ON_POLICY]
        return float(np.median(spent_us[spent_us > 0]))

    return np.array([[of(conditions, seed) for seed in SEEDS] for conditions in CONDITIONS])


def declared(law: str, regime: Regime) -> Growth:
    log_response = np.log(policy_us(law, regime))
    x = np.array(CONDITIONS, dtype=float)
    return growth(Responses(x=x, log_response=log_response), resamples=200)


@pytest.mark.parametrize("regime", BOTH, ids=["central", "market"])
def test_curvature_vanishes_with_the_law_that_makes_it(regime: Regime) -> None:
    for law, order in (("additive", 2), ("order_t", 3)):
        bent = interval(np.diff(policy_us(law, regime), order, axis=0))
        assert (bent.low <= 0).all(), law
        assert (bent.high >= 0).all(), law
    for law in ("order_t", "joint"):
        bent = interval(np.diff(policy_us(law, regime), 2, axis=0))
        assert (bent.low > 0).all(), law


@pytest.mark.parametrize("regime", BOTH, ids=["central", "market"])
def test_o33_the_law_is_recovered_from_what_the_engine_did(regime: Regime) -> None:
    found = {law: declared(law, regime) for law in ("additive", "order_t", "joint")}
    verdicts = {law: one.verdict for law, one in found.items()}
    reasons = {law: one.reason for law, one in found.items()}
    assert verdicts == {
        "additive": "polynomial",
        "order_t": "polynomial",
        "joint": "exponential",
    }, reasons
    assert best_law(found["additive"].laws)["law"] == "x"
    assert best_law(found["order_t"].laws)["law"] == "quadratic"

"""The engine against paper: each oracle by name, and the statistical ones again at length."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import COMPLETE, LAPSED, QUEUED
from hanse.market.queues import erlang_c
from hanse.market.regime import AUDITED_MARKET, Regime
from hanse.market.units import US_PER_S, Integers
from hanse.scenarios.selftest import queues as selftest_queues
from hanse.scenarios.selftest.cases import selftest, small_world
from hanse.scenarios.selftest.checks import (
    AT_INTERVAL,
    ON_ARRIVAL,
    Check,
    close_to,
    lindley_wait_us,
    mean_close_to,
    run_ledger,
)
from hanse.scenarios.selftest.oracle_worlds import queue_world, receipt_world

ORACLES = {
    "O1": "one exponential server",
    "O2": "pooled servers and clearings",
    "O3": "general service",
    "O4": "Little's law",
    "O7": "additive law of crossings",
    "O8": "counts of rules",
    "O13": "latency of a chain",
    "O14": "coordination paradox",
    "O17": "metastable queue",
    "O19": "credential reuse",
    "O20": "fibre floor",
    "O26": "reliability of long chains",
    "O27": "capped retries",
    "O32": "determinism and conservation",
}


@pytest.fixture(scope="module")
def checks() -> dict[str, list[Check]]:
    """Run the self-test once and sort its checks by oracle."""
    found: dict[str, list[Check]] = {}
    for check in selftest():
        found.setdefault(check.name.split()[0], []).append(check)
    return found


@pytest.mark.parametrize("oracle", ORACLES, ids=[f"{o}: {what}" for o, what in ORACLES.items()])
def test_the_engine_meets_the_oracle(oracle: str, checks: dict[str, list[Check]]) -> None:
    assert checks[oracle]
    assert [check for check in checks[oracle] if not check.passed] == []


def test_no_check_belongs_to_an_oracle_that_is_not_listed(checks: dict[str, list[Check]]) -> None:
    assert set(checks) == set(ORACLES)


def test_every_check_has_a_name_of_its_own(checks: dict[str, list[Check]]) -> None:
    names = [check.name for group in checks.values() for check in group]
    assert len(names) == len(set(names))


def test_the_same_checks_come_out_the_same() -> None:
    assert selftest_queues.littles_law(500) == selftest_queues.littles_law(500)


@pytest.mark.parametrize(
    ("servers", "utilisation", "probability", "wait"),
    [
        (2, 0.8, 0.711111, 1.777778),
        (4, 0.8, 0.596432, 0.745541),
        (8, 0.8, 0.457645, 0.286028),
        (8, 0.95, 0.844169, 2.110422),
        (16, 0.9, 0.591343, 0.369590),
        (64, 0.9, 0.310663, 0.048541),
    ],
)
def test_erlang_c_is_what_the_tables_say(
    servers: int, utilisation: float, probability: float, wait: float
) -> None:
    found = erlang_c(servers, utilisation)
    assert found == pytest.approx(probability, abs=5e-7)
    assert found / (servers * (1.0 - utilisation)) == pytest.approx(wait, abs=5e-7)


def test_lindley_s_waits_of_three_jobs_are_those_of_the_hand() -> None:
    # In service 0-5; the second waits 5 - 2 = 3 and is served 5-6; the third finds nobody.
    wait_us = lindley_wait_us(np.array([0, 2, 9]), np.array([5, 1, 4]))
    assert wait_us.tolist() == [0, 3, 0]


def test_a_mean_outside_its_interval_fails() -> None:
    value = np.random.default_rng(0).normal(1.0, 1.0, 10_000)
    # The standard error is 0.01, the interval about four of them.
    assert mean_close_to("true", 1.0, value).passed
    assert not mean_close_to("false", 1.1, value).passed
    assert not close_to("NaN", 1.0, float("nan"), within=1.0).passed


def test_a_wrong_result_of_a_run_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def slower(world: World, regime: Regime) -> Ledger:
        slow = replace(world.terms, service_posted_us=world.terms.service_posted_us * 1.05)
        return run_ledger(replace(world, terms=slow), regime)

    monkeypatch.setattr(selftest_queues, "run_ledger", slower)
    assert not all(check.passed for check in selftest_queues.pooled_server_waits(20_000))


@pytest.mark.parametrize("servers", [2, 5, 16])
def test_every_wait_before_pooled_servers_is_that_of_kiefer_and_wolfowitz(servers: int) -> None:
    rng = np.random.default_rng(servers)
    service = rng.exponential(1.0, 5_000)
    world = queue_world(rng, n_jobs=5_000, servers=servers, utilisation=0.9, service=service)
    wait_us = run_ledger(world, ON_ARRIVAL).time_us[:, QUEUED]
    service_us = np.rint(service * US_PER_S).astype(np.int64)
    expected_us = _waits_before(servers, world.workload.job_arrival_us, service_us)
    assert np.array_equal(wait_us, expected_us)
    assert wait_us.max() > 0


def _waits_before(servers: int, arrival_us: Integers, service_us: Integers) -> Integers:
    free_us = [0] * servers
    waits = []
    for at_us, work_us in zip(arrival_us.tolist(), service_us.tolist(), strict=True):
        start_us = max(at_us, min(free_us))
        free_us[free_us.index(min(free_us))] = start_us + work_us
        waits.append(start_us - at_us)
    return np.array(waits)


def test_receipts_wait_as_lindley_says_at_any_clearing_interval() -> None:
    rng = np.random.default_rng(2)
    world = receipt_world(rng, n_jobs=3_000, utilisation=0.9, interval_s=20.0)
    stage = run_ledger(world, AT_INTERVAL).stage
    order = np.lexsort((np.arange(len(stage)), stage["executed_us"]))
    executed_us, final_us = stage["executed_us"][order], stage["final_us"][order]
    expected_us = lindley_wait_us(executed_us, np.full(len(stage), US_PER_S))
    assert np.array_equal(final_us - executed_us - US_PER_S, expected_us)


def test_the_conserving_world_has_cheats_catches_redos_and_expired_jobs() -> None:
    ledger = run_ledger(small_world(2), AUDITED_MARKET)
    assert ledger.n_catches > 0
    assert ledger.n_redos > 0
    status = ledger.stage["status"]
    assert (status == LAPSED).any()
    assert (status == COMPLETE).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "run",
    [
        selftest_queues.single_server_waits,
        selftest_queues.pooled_server_waits,
        selftest_queues.general_service_waits,
        selftest_queues.clearing_waits,
        selftest_queues.receipt_waits,
        selftest_queues.littles_law,
    ],
)
def test_the_oracle_holds_at_ten_times_the_length(
    run: Callable[[int], list[Check]],
) -> None:
    assert [check for check in run(600_000) if not check.passed] == []

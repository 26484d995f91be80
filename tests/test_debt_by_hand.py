"""The two debts of three stages, added up by hand: the sums of docs/reference/debt-by-hand.md."""

from dataclasses import replace

import numpy as np
import pytest

from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.sync_debt import DebtAccount, debt_accounts, debt_path
from hanse.market.engine.clock import N_PAYMENTS
from hanse.market.engine.columns import N_DEBT_BINS
from hanse.market.engine.debt_meter import AUDIT_WORK, CHECK, DECISION
from hanse.market.regime import CENTRAL, Audits, Ranking, Rule
from hanse.market.units import US_PER_S
from hanse.scenarios.selftest.oracle_worlds import FREE_TERMS, plain_workload, plain_world

HORIZON_S = 20
REGIME = replace(CENTRAL, ranking=Ranking.FIFO, rule=Rule.WELFARE, audits=Audits.RANDOM)

# Kind, stage, whether it is interest, accrued at, paid at, amount: the rows of the page, in ms.
PAYMENTS = [
    (DECISION, 0, 0, 1_000, 1_100, 30),
    (DECISION, 1, 0, 3_000, 3_100, 25),
    (DECISION, 2, 0, 5_000, 5_100, 25),
    (DECISION, 1, 0, 3_000, 11_330, 25),
    (CHECK, 0, 0, 11_230, 11_355, 40),
    (DECISION, 1, 1, 11_455, 11_555, 25),
    (AUDIT_WORK, 0, 0, 11_230, 13_830, 5_000),
    (DECISION, 1, 1, 11_455, 16_430, 25),
    (CHECK, 0, 0, 11_230, 16_455, 50),
]


def three_stages() -> World:
    """Build one unit and three jobs of one stage: one is audited, one bounces, one expires."""
    terms = replace(
        FREE_TERMS,
        control_delay_scale=1.0,
        service_welfare_us=20_000.0,
        service_message_us=5_000.0,
        receipt_verify_us=40_000.0,
        settlement_us=10_000.0,
        audit_probability=0.5,
        audit_share=0.5,
    )
    work = plain_workload(np.array([1, 3, 5]) * US_PER_S, np.array([10, 10, 2]) * US_PER_S)
    work = replace(
        work,
        job_deadline_us=np.array([1_000, 1_000, 8]) * US_PER_S,
        attempt_audit=work.attempt_audit * np.array([0.0, 1.0, 1.0]),
    )
    horizon_us = HORIZON_S * US_PER_S
    return plain_world(work, n_nodes=1, horizon_us=horizon_us, rtt_ms=200.0, terms=terms)


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    """Run the three stages once, with every payment logged."""
    model = ComputeMarket(three_stages(), REGIME, with_agents=False, n_payments=1000)
    closed = model.run_to_horizon()
    assert model.state.clock[N_PAYMENTS] == len(PAYMENTS)
    release(model)
    return closed


def account(ledger: Ledger, resource: str, obligation: str) -> DebtAccount:
    """Find one account of the only family."""
    accounts = debt_accounts(ledger, n_families=1)
    (found,) = [a for a in accounts if (a.resource, a.obligation) == (resource, obligation)]
    return found


def test_every_payment_is_made_when_the_page_says(ledger: Ledger) -> None:
    logged = ledger.payment[: len(PAYMENTS)]
    for column, name in enumerate(("kind", "stage", "is_interest")):
        assert logged[name].tolist() == [row[column] for row in PAYMENTS]
    for column, name in enumerate(("accrued_us", "paid_us", "amount_us"), start=3):
        assert logged[name].tolist() == [row[column] * 1_000 for row in PAYMENTS]


def test_the_debt_of_undecided_requests_is_that_of_the_hand(ledger: Ledger) -> None:
    found = account(ledger, "core", "undecided request")
    # The two that were decided cost 30 ms and 4 x 25 ms, interest included.
    class_mean = (0.030 + 0.100) / 2
    assert (found.count, found.open_count) == (3, 0)
    assert found.default == pytest.approx(class_mean)
    # 30 + 25 + 25 + 25 = 105 ms on first attempts, and the default.
    assert found.accrual == pytest.approx(0.105 + class_mean)
    assert found.interest == pytest.approx(0.025 + 0.025)
    assert found.paydown == pytest.approx(0.155)
    # Amount times age: 30 x 0.1 + 25 x (0.1 + 8.33 + 0.1 + 0.1 + 4.975) = 343.125 ms s, and the
    # class mean for the 3 s from readiness to expiry.
    assert found.mean_stock == pytest.approx((0.343125 + class_mean * 3.0) / HORIZON_S)


def test_the_debt_of_unverified_results_is_that_of_the_hand(ledger: Ledger) -> None:
    core = account(ledger, "core", "unverified result")
    assert (core.count, core.open_count) == (1, 0)
    assert core.accrual == core.paydown == pytest.approx(0.040 + 0.050)
    # 40 ms x 0.125 s + 50 ms x 5.225 s = 266.25 ms s
    assert core.mean_stock == pytest.approx(0.26625 / HORIZON_S)
    accelerator = account(ledger, "accelerator", "unverified result")
    assert accelerator.accrual == accelerator.paydown == pytest.approx(5.0)
    # 5 GPU-s, paid as if at the middle of the audit: 13.83 - 11.23 = 2.6 s after they accrued.
    assert accelerator.mean_stock == pytest.approx(5.0 * 2.6 / HORIZON_S)


def test_the_stock_at_twelve_seconds_is_what_is_paid_later(ledger: Ledger) -> None:
    edge = 12 * N_DEBT_BINS // HORIZON_S
    stock = [debt_path(ledger, kind)[edge] for kind in (DECISION, CHECK, AUDIT_WORK)]
    assert stock == pytest.approx([0.025, 0.050, 5.0])

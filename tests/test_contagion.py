"""Escrow that loses money, and how far failures spread along what a run has owed."""

from dataclasses import replace

import numpy as np
import pytest

from hanse.agents.world import World
from hanse.market.accounts.money import ACCOUNTS, KINDS, THIEF
from hanse.market.regime import Regime, Settlement, ladder, regimes
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.run import run_world
from hanse.scenarios.scenario import load
from hanse.scenarios.studies.contagion import (
    STRIKES,
    Exposures,
    cleared_row,
    contagion,
    exposures,
    struck,
)
from hanse.scenarios.studies.payoffs import payoffs_of
from hanse.scenarios.studies.shocks import calm
from tests.small_runs import tiny, where_tables_differ
from tests.strategies import HUB, finish, world_of

ESCROWED = replace(HUB, settlement=Settlement.ESCROW)


def losing(world: World, share: float, *, at_s: float) -> World:
    """Let escrow lose a share of what lies in it at an instant."""
    settlement = replace(
        world.terms.settlement,
        escrow_loss_share=share,
        escrow_loss_us=round(at_s * US_PER_S),
    )
    return replace(world, terms=replace(world.terms, settlement=settlement))


def three_jobs() -> World:
    """Build three jobs of 36 s for 20,000 micro-dollars: done at 37 s, at 46 s and at 86 s."""
    return world_of(arrival_s=[1.0, 10.0, 50.0], work_s=[36.0] * 3, units=[0, 0])


def test_what_lay_in_escrow_is_missing_from_what_is_paid_out() -> None:
    run = finish(losing(three_jobs(), 0.25, at_s=40.0), ESCROWED)
    posted = run.measured.postings
    told = [
        (int(at) / US_PER_S, KINDS[kind], ACCOUNTS[credit], int(amount))
        for at, kind, credit, amount in zip(
            posted.at_us, posted.kind, posted.credit, posted.amount_micro_usd, strict=True
        )
    ]
    # The first was paid out at 37 s, before; the third is locked at 50 s, after.
    assert told == [
        (1.0, "escrow lock", "escrow", 20_000),
        (10.0, "escrow lock", "escrow", 20_000),
        (37.0, "payout", "owner", 20_000),
        (40.0, "escrow loss", "thief", 5_000),
        (46.0, "payout", "owner", 15_000),
        (50.0, "escrow lock", "escrow", 20_000),
        (86.0, "payout", "owner", 20_000),
    ]


def fullest_s(world: World, regime: Regime) -> float:
    """Return a moment at which much lies in escrow: just after half of all locks."""
    record = finish(world, regime).work
    return float(np.median(record["escrow_us"])) / US_PER_S + 1e-6


@pytest.mark.parametrize("name", ["market", "audited-market"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 1.0])
def test_a_loss_is_a_transfer_and_all_of_it_is_somewhere(name: str, share: float) -> None:
    base, regime = draw_world(tiny(), 3), regimes[name]
    at_s = fullest_s(base, regime)
    whole, robbed = (finish(losing(base, s, at_s=at_s), regime) for s in (0.0, share))
    assert robbed.measured.welfare.welfare_usd.sum() == whole.measured.welfare.welfare_usd.sum()
    left = payoffs_of(robbed.measured)
    assert left.total == pytest.approx(float(robbed.measured.welfare.welfare_usd.sum()), abs=1e-9)
    balances, before = (run.measured.postings.balances() for run in (robbed, whole))
    taken = balances[THIEF, 0]
    assert taken > 0
    assert left.thief == pytest.approx(taken / 1e6, abs=1e-9)
    missing = sum(
        amount - balances.get(account, 0)
        for account, amount in before.items()
        if ACCOUNTS[account[0]] in {"buyer", "owner", "escrow"}
    )
    assert missing == taken


def test_what_is_lost_follows_the_share() -> None:
    base, regime = draw_world(tiny(), 3), regimes["market"]
    at_s = fullest_s(base, regime)
    taken = [
        payoffs_of(finish(losing(base, share, at_s=at_s), regime).measured).thief
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    # Rounded down to a micro-dollar for each price.
    assert taken[4] > 0.0
    assert taken == pytest.approx([taken[4] * k / 4 for k in range(5)], abs=1e-4)


def test_where_nothing_lies_in_escrow_nothing_is_lost() -> None:
    scenario = tiny().replace({"shock.escrow_loss_share": 1.0, "shock.escrow_loss_at_s": 150.0})
    one, two = (
        run_world(draw_world(each, 3), regimes["central"], digest="-").tables
        for each in (scenario, calm(scenario))
    )
    assert where_tables_differ(one, two) == []
    assert calm(scenario) != scenario


def test_the_scenario_robs_where_there_is_escrow_and_costs_nobody_else() -> None:
    small = load("escrow-loss").replace({"fleet.nodes": 60, "load.model_calls": 600})
    world, before = draw_world(small, 3), draw_world(calm(small), 3)
    for name, is_robbed in (("central", False), ("market", True)):
        struck, whole = (finish(each, regimes[name]) for each in (world, before))
        stolen = payoffs_of(struck.measured).thief
        assert (stolen > 0.0) == is_robbed
        lost = [
            payoffs_of(whole.measured).owner.sum() - payoffs_of(struck.measured).owner.sum(),
            payoffs_of(whole.measured).buyer.sum() - payoffs_of(struck.measured).buyer.sum(),
        ]
        assert sum(lost) == pytest.approx(stolen, abs=1e-9)
        assert struck.measured.welfare.welfare_usd.sum() == whole.measured.welfare.welfare_usd.sum()


def exposed(owed: dict[tuple[int, int], int], cash: list[int]) -> Exposures:
    """Build one buyer (0), two owners (1, 2), escrow (3) and outside (4)."""
    debts = np.zeros((5, 5), np.int64)
    for (debtor, creditor), amount in owed.items():
        debts[debtor, creditor] = amount
    return Exposures(n_buyers=1, n_owners=2, owed=debts, cash=np.array(cash))


def test_a_failed_buyer_takes_along_the_owner_that_has_no_cash() -> None:
    # The buyer owes 60 and 40; the first owner owes 50 outside and has 20, the second 10 and 30.
    debts = {(0, 1): 60_000_000, (0, 2): 40_000_000, (1, 4): 50_000_000, (2, 4): 10_000_000}
    calm_state = exposed(debts, [100_000_000, 20_000_000, 30_000_000, 0, 0])
    assert cleared_row(calm_state)[1:5] == (0.0, 0, 0, 0)
    after = cleared_row(struck(calm_state, "largest buyer", loss_share=1.0))
    # Nothing reaches the owners: 100 unpaid, and 30 of the first owner's debts outside.
    assert after == (160.0, 130.0, 1, 1, 0, 100.0, 30.0)


def test_escrow_that_loses_half_pays_half() -> None:
    debts = {(3, 1): 60_000_000, (1, 4): 50_000_000}
    whole = exposed(debts, [0, 10_000_000, 0, 60_000_000, 0])
    after = cleared_row(struck(whole, "escrow", loss_share=0.5))
    # 30 of 60 reach the owner, which has 10 besides and owes 50.
    assert after == (110.0, 40.0, 0, 1, 1, 30.0, 10.0)


def test_exposures_are_what_a_run_has_owed() -> None:
    lag_us = 30 * US_PER_S
    world = three_jobs()
    world = replace(world, terms=replace(world.terms, invoice_lag_us=lag_us))
    invoiced = exposures(finish(world, HUB).measured, at_us=48 * US_PER_S, working_hours=0.0)
    # At 48 s two jobs are delivered, paid at 67 s and 76 s; units have cost 1 USD an hour.
    assert invoiced.owed[0, 1] == 40_000
    assert invoiced.owed[1, 3] == round(2 * 36 / 3600 * 1e6)
    locked = exposures(finish(world, ESCROWED).measured, at_us=40 * US_PER_S, working_hours=0.0)
    # At 40 s one price lies in escrow, for work that is not done: it is still its buyer's.
    assert locked.owed[2, 0] == 20_000
    assert locked.cash[2] == 20_000
    assert locked.cash[1] == 20_000


def test_each_regime_fails_by_what_it_leans_on() -> None:
    found = contagion(
        tiny(), seeds=[0, 1], regimes=[ladder[0], ladder[6]], working_hours=0.1, workers=1
    )
    assert found["strike"].unique().tolist() == list(STRIKES)
    by = found.groupby(["rung", "strike"])["unpaid_to_owners_usd"].sum()
    assert by["central", "escrow"] == by["central", "none"]
    assert by["market", "largest buyer"] == by["market", "none"]
    assert by["central", "largest buyer"] > by["central", "none"]
    assert by["market", "escrow"] >= by["market", "none"]

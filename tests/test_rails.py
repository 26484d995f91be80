"""Rails: when a payment is there, what it locks and owes meanwhile, and that fees are transfers."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.agents.world import World
from hanse.market.accounts.money import ACCOUNTS, IN_TRANSIT, KINDS, OWNER, RAIL
from hanse.market.accounts.payments import payments_of, returns_of
from hanse.market.rails import (
    ON_DEMAND,
    US_PER_DAY,
    RailRules,
    RailTerms,
    SettlementTerms,
    lower_rail,
    settled_us,
    zone_shift_us,
)
from hanse.market.regime import Audits, Rail, Regime, Settlement, regimes
from hanse.market.units import MICRO_USD_PER_USD, S_PER_YEAR, US_PER_HOUR, US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.run import run_world
from hanse.scenarios.studies.payoffs import payoffs_of
from tests.small_runs import tiny, where_tables_differ
from tests.strategies import HUB, Finished, finish, with_jobs, world_of
from tests.test_money import cheated

HOUR = int(US_PER_HOUR)
BANK = RailTerms(opens_us=9 * HOUR, closes_us=17 * HOUR, business_days=2)
TUESDAY_9 = 33 * HOUR
ESCROWED = replace(HUB, settlement=Settlement.ESCROW)
DELAYS_S = (0, 15, 60, 600, 86_400)


def bank(begins_us: int = TUESDAY_9, **changes: int) -> RailRules:
    """Lower a rail with bank hours."""
    return lower_rail(replace(BANK, **changes), SettlementTerms(begins_us=begins_us))


def hours(rail: RailRules, sent_h: float = 0.0, payer_h: int = 0, payee_h: int = 0) -> float:
    """Return when a payment is there, in hours."""
    there_us = settled_us(rail, round(sent_h * HOUR), payer_h * HOUR, payee_h * HOUR)
    return there_us / HOUR


def test_two_business_days_from_tuesday_end_on_thursday() -> None:
    assert hours(bank()) == 48.0


def test_a_payment_of_friday_evening_waits_for_monday() -> None:
    # Friday 18:00 is 81 h on; taken on Monday 9:00, there on Wednesday 9:00, 192 h on.
    assert hours(bank(), sent_h=81.0) == 192.0


def test_each_end_keeps_the_hours_of_its_place() -> None:
    # Tuesday 9:00 UTC is 4:00 in New York (-5), where the bank opens at 14:00 UTC: 21:00 in
    # Singapore (+7). There it counts from Wednesday 9:00, and is there on Friday 9:00, 2:00 UTC.
    assert hours(bank(), payer_h=-5, payee_h=7) == 3 * 24 - 9 + 2


def test_where_both_banks_are_open_and_nothing_takes_a_day_a_payment_is_there_at_once() -> None:
    assert hours(bank(business_days=0), sent_h=1.5) == 1.5
    assert hours(bank(business_days=0), sent_h=8.0) == 24.0  # 17:00: closed until Wednesday 9:00


def test_a_rail_that_never_closes_takes_its_delay_whenever() -> None:
    chain = lower_rail(RailTerms(delay_us=768 * US_PER_S), SettlementTerms())
    assert hours(chain, sent_h=100.0) == pytest.approx(100.0 + 768 / 3600)


def by_the_hour(sent: datetime, payer_h: int, payee_h: int, days: int) -> datetime:
    """Find the same with a calendar: look at every hour until both banks would do their part."""

    def is_open(at: datetime, shift_h: int) -> bool:
        local = at + timedelta(hours=shift_h)
        return local.weekday() < 5 and 9 <= local.hour < 17

    while not is_open(sent, payer_h):
        sent += timedelta(hours=1)
    while not is_open(sent, payee_h):
        sent += timedelta(hours=1)
    for _ in range(days):
        sent += timedelta(days=1)
        while (sent + timedelta(hours=payee_h)).weekday() >= 5:
            sent += timedelta(days=1)
    return sent


@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(
    sent_h=st.integers(0, 500),
    payer_h=st.integers(-12, 12),
    payee_h=st.integers(-12, 12),
    days=st.integers(0, 9),
)
def test_business_days_are_those_of_a_calendar(
    sent_h: int, payer_h: int, payee_h: int, days: int
) -> None:
    monday = datetime(2026, 6, 1)  # noqa: DTZ001 - UTC, as all here
    found_h = hours(bank(0, business_days=days), sent_h, payer_h, payee_h)
    there = by_the_hour(monday + timedelta(hours=sent_h), payer_h, payee_h, days)
    assert monday + timedelta(hours=found_h) == there


def test_zones_follow_the_sun() -> None:
    frankfurt, singapore, oregon = zone_shift_us(np.array([8.7, 103.8, -122.7])) // HOUR
    assert (frankfurt, singapore, oregon) == (1, 7, -8)


def chained(settlement: SettlementTerms, *, capital: float = 0.0, lag_s: int = 0) -> World:
    """Build two jobs of 36 s, for 20,000 micro-dollars each, on two units from 1 s and 2 s on."""
    world = world_of(
        arrival_s=[1.0, 2.0],
        work_s=[36.0, 36.0],
        units=[0, 0],
        capital_rate_per_year=capital,
        invoice_lag_us=lag_s * US_PER_S,
    )
    return replace(world, terms=replace(world.terms, settlement=settlement))


def over_chain(
    delay_s: int, *, fee_usd: float = 0.0, netting_s: int = 0, **shared: float
) -> SettlementTerms:
    """Make a chain of this delay."""
    return SettlementTerms(
        chain=RailTerms(
            delay_us=delay_s * US_PER_S, fee_usd=fee_usd, netting_us=netting_s * US_PER_S
        ),
        **shared,  # type: ignore[arg-type]
    )


def on_chain(regime: Regime) -> Regime:
    """Let a regime pay over a chain."""
    return replace(regime, rail=Rail.CHAIN)


def bookings(run: Finished) -> list[tuple[float, str, str, str, int]]:
    """Return (seconds, kind, debit, credit, micro-dollars) in order of posting."""
    posted = run.measured.postings
    columns = (posted.at_us, posted.kind, posted.debit, posted.credit, posted.amount_micro_usd)
    return [
        (int(at) / US_PER_S, KINDS[kind], ACCOUNTS[debit], ACCOUNTS[credit], int(amount))
        for at, kind, debit, credit, amount in zip(*columns, strict=True)
    ]


def test_an_invoice_is_in_transit_until_its_rail_has_settled_it() -> None:
    run = finish(chained(over_chain(10, fee_usd=0.001)), on_chain(HUB))
    # Final at 37 and 38, there at 47 and 48, for 1,000 micro-dollars each.
    assert bookings(run) == [
        (37.0, "invoice", "buyer", "in transit", 20_000),
        (38.0, "invoice", "buyer", "in transit", 20_000),
        (47.0, "settlement", "in transit", "owner", 20_000),
        (47.0, "rail fee", "owner", "rail", 1_000),
        (48.0, "settlement", "in transit", "owner", 20_000),
        (48.0, "rail fee", "owner", "rail", 1_000),
    ]


def test_what_is_netted_travels_as_one_transfer_for_one_fee() -> None:
    run = finish(chained(over_chain(10, fee_usd=0.001, netting_s=60)), on_chain(ESCROWED))
    # Windows end at 30 and 90. Paid out of escrow at 37 and 38, sent at 90, there at 100.
    assert bookings(run)[2:] == [
        (37.0, "payout", "escrow", "in transit", 20_000),
        (38.0, "payout", "escrow", "in transit", 20_000),
        (100.0, "settlement", "in transit", "owner", 20_000),
        (100.0, "settlement", "in transit", "owner", 20_000),
        (100.0, "rail fee", "owner", "rail", 1_000),
    ]


@pytest.mark.parametrize("regime", [HUB, ESCROWED], ids=["invoice", "escrow"])
@pytest.mark.parametrize("delay_s", DELAYS_S)
def test_each_second_on_the_rail_locks_what_is_on_it(regime: Regime, delay_s: int) -> None:
    rate = 0.5
    world = chained(over_chain(delay_s), capital=rate)
    locked, free = finish(world, on_chain(regime)), finish(world, regime)
    more = locked.measured.welfare.capital_usd.sum() - free.measured.welfare.capital_usd.sum()
    # 0.04 USD on the rail for the delay; escrow was funded as long before, besides.
    legs = 1 if regime is HUB else 2
    assert more == pytest.approx(legs * 0.04 * rate * delay_s / S_PER_YEAR, rel=1e-9, abs=1e-18)


@pytest.mark.parametrize("name", ["central", "dynamic-central", "market"])
def test_locked_capital_rises_with_the_delay_in_every_regime(name: str) -> None:
    base = draw_world(tiny(), 3)
    found = []
    for delay_s in DELAYS_S:
        world = replace(base, terms=replace(base.terms, settlement=over_chain(delay_s)))
        found.append(
            float(finish(world, on_chain(regimes[name])).measured.welfare.capital_usd.sum())
        )
    assert found == sorted(found)
    assert len(set(found)) == len(DELAYS_S)


def test_a_payment_on_the_rail_is_an_open_obligation() -> None:
    run = finish(chained(over_chain(10)), on_chain(HUB))
    accounts = [one for one in run.measured.debt if one.obligation == "unpaid delivery"]
    # 0.02 USD twice for 10 s of 100.
    assert sum(one.mean_stock for one in accounts) == pytest.approx(0.04 * 10 / 100)
    beyond = finish(chained(over_chain(1_000)), on_chain(HUB))
    accounts = [one for one in beyond.measured.debt if one.obligation == "unpaid delivery"]
    assert sum(one.open_at_horizon_class_mean for one in accounts) == pytest.approx(0.04)


def test_all_money_is_somewhere_to_the_last_micro_dollar() -> None:
    base = draw_world(tiny(), 3)
    world = replace(base, terms=replace(base.terms, settlement=over_chain(100, fee_usd=1e-6)))
    run = finish(world, on_chain(regimes["market"]))
    paid = payments_of(run.ledger, world.terms)
    away = paid.is_owed & (paid.settled_us > run.ledger.horizon_us)
    balances = run.measured.postings.balances()
    lock, horizon_us = run.ledger.lock, run.ledger.horizon_us
    going_back = (lock["freed_us"] <= horizon_us) & (returns_of(run.ledger).lock_us > horizon_us)
    refunds = int(lock["amount_micro_usd"][going_back].sum())
    assert refunds > 0
    assert balances[IN_TRANSIT, 0] == paid.amount_micro_usd[away].sum() + refunds
    settled = (paid.is_owed & ~away).sum()
    assert balances[RAIL, 0] == settled


def caught_over_chain(delay_s: int, *, capital: float = 0.0) -> Finished:
    """Run a cheat that its audit catches, and the work done anew, over a chain."""
    world = cheated()
    terms = replace(
        world.terms, settlement=over_chain(delay_s), capital_rate_per_year=capital, invoice_lag_us=0
    )
    return finish(replace(world, terms=terms), on_chain(replace(ESCROWED, audits=Audits.RANDOM)))


def test_a_refund_and_a_stake_go_back_over_the_rail_too() -> None:
    run = caught_over_chain(10)
    # As without a rail, but that what is free at 72 and 108 is back 10 s later. A slash stays.
    assert [booking for booking in bookings(run) if booking[0] >= 72.0] == [
        (72.0, "escrow lock", "buyer", "escrow", 20_000),
        (72.0, "refund", "escrow", "in transit", 20_000),
        (72.0, "stake lock", "owner", "stake", 80_000),
        (72.0, "slash to treasury", "stake", "treasury", 40_000),
        (72.0, "slash to verifier", "stake", "verifier", 40_000),
        (72.0, "audit fee", "buyer", "verifier", 10_000),
        (82.0, "settlement", "in transit", "buyer", 20_000),
        (108.0, "payout", "escrow", "in transit", 20_000),
        (108.0, "stake release", "stake", "in transit", 80_000),
        (118.0, "settlement", "in transit", "owner", 20_000),
        (118.0, "rail fee", "owner", "rail", 0),
        (118.0, "settlement", "in transit", "owner", 80_000),
    ]


@pytest.mark.parametrize("delay_s", DELAYS_S)
def test_each_second_on_the_way_back_locks_what_goes_back(delay_s: int) -> None:
    rate = 0.5
    slow, quick = (
        caught_over_chain(each, capital=rate).measured.welfare.capital_usd.sum()
        for each in (delay_s, 0)
    )
    # Two locks funded ahead, one pay-out, one refund: 0.02 USD each; and a stake of 0.08 USD.
    usd_s = (4 * 0.02 + 0.08) * delay_s
    assert slow - quick == pytest.approx(usd_s * rate / S_PER_YEAR, rel=1e-9, abs=1e-18)


@pytest.mark.parametrize("delay_s", [0, 15, 60, 127])
def test_a_refund_on_the_rail_is_owed_to_its_buyer(delay_s: int) -> None:
    quick, slow, beyond = (
        [
            one
            for one in caught_over_chain(each).measured.debt
            if one.obligation == "undelivered payment"
        ]
        for each in (0, delay_s, 200)
    )
    # It is 0.02 USD from 72 s on, of 200.
    more = sum(one.mean_stock for one in slow) - sum(one.mean_stock for one in quick)
    assert more == pytest.approx(0.02 * delay_s / 200, abs=1e-12)
    assert sum(one.open_at_horizon_class_mean for one in beyond) == pytest.approx(0.02)


def test_what_a_bounced_command_had_locked_is_back_once_its_rail_has_brought_it() -> None:
    base = draw_world(tiny(), 3)
    world = replace(base, terms=replace(base.terms, settlement=over_chain(7)))
    run = finish(world, on_chain(regimes["market"]))
    lock = run.ledger.lock
    assert run.ledger.n_bounces > 0
    assert (returns_of(run.ledger).lock_us - lock["freed_us"] == 7 * US_PER_S).all()


def test_a_fee_is_a_transfer_but_for_its_declared_part() -> None:
    free = finish(chained(over_chain(0)), on_chain(HUB)).measured.welfare.welfare_usd.sum()
    paid = finish(chained(over_chain(0, fee_usd=0.003)), on_chain(HUB))
    assert paid.measured.welfare.welfare_usd.sum() == free
    half = finish(chained(over_chain(0, fee_usd=0.003, fee_resource_share=0.5)), on_chain(HUB))
    assert half.measured.welfare.welfare_usd.sum() == pytest.approx(free - 0.003, abs=1e-12)
    assert half.measured.welfare.settlement_usd.sum() == pytest.approx(0.003)


def test_what_payers_take_back_moves_from_payee_to_payer() -> None:
    card = RailTerms(
        fee_share=0.1, chargeback_share=0.5, chargeback_fee_usd=0.002, chargeback_us=5 * US_PER_S
    )
    world = chained(SettlementTerms(card=card))
    world = with_jobs(world, stage_chargeback=np.array([0.4, 0.6]))
    run = finish(world, replace(HUB, rail=Rail.CARD))
    assert (42.0, "chargeback", "owner", "buyer", 20_000) in bookings(run)
    balances = run.measured.postings.balances()
    # Two fees of a tenth, and one for the chargeback; of 40,000 the owner keeps what is left.
    assert balances[RAIL, 0] == 2 * 2_000 + 2_000
    assert sum(amount for (kind, _), amount in balances.items() if kind == OWNER) == 14_000


SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def by_card(share: float, regime: Regime, **terms: float) -> Finished:
    """Run a small world that pays by a card of which so much is taken back."""
    world = draw_world(tiny(), 3)
    card = RailTerms(chargeback_share=share, **terms)  # type: ignore[arg-type]
    world = replace(world, terms=replace(world.terms, settlement=SettlementTerms(card=card)))
    coin = np.random.default_rng(5).random(world.workload.n_stages)
    world = replace(world, workload=replace(world.workload, stage_chargeback=coin))
    return finish(world, replace(regime, rail=Rail.CARD))


@pytest.mark.parametrize("name", ["central", "dynamic-central", "market"])
def test_more_is_taken_back_and_worked_on_the_larger_the_share_in_every_regime(name: str) -> None:
    runs = [by_card(share, regimes[name], chargeback_person_hours=2.0) for share in SHARES]
    worked = [float(run.measured.welfare.person_hours.sum()) for run in runs]
    kept = [payoffs_of(run.measured).owner.sum() for run in runs]
    assert worked[0] == by_card(0.0, regimes[name]).measured.welfare.person_hours.sum()
    assert all(less < more for less, more in pairwise(worked))
    assert all(more < less for less, more in pairwise(kept))
    for run in runs:
        whole = float(run.measured.welfare.welfare_usd.sum())
        assert payoffs_of(run.measured).total == pytest.approx(whole, abs=1e-9)


@pytest.mark.parametrize("name", ["central", "dynamic-central", "market"])
def test_a_rail_takes_its_share_in_every_regime_and_welfare_stays(name: str) -> None:
    runs = [by_card(0.0, regimes[name], fee_share=share) for share in (0.0, 0.01, 0.02, 0.04, 0.08)]
    taken = [payoffs_of(run.measured).rail for run in runs]
    assert taken[-1] > 0.0
    assert taken == pytest.approx([taken[-1] * k for k in (0, 1 / 8, 1 / 4, 1 / 2, 1)], abs=1e-3)
    assert len({float(run.measured.welfare.welfare_usd.sum()) for run in runs}) == 1


def test_a_command_waits_for_its_money_where_escrow_is_funded_on_demand() -> None:
    world = world_of(
        arrival_s=[1.0], work_s=[36.0], units=[0], one_way_s=0.5, control_delay_scale=1.0
    )
    settlement = replace(over_chain(10), funding=ON_DEMAND)
    run = finish(
        replace(world, terms=replace(world.terms, settlement=settlement)), on_chain(ESCROWED)
    )
    # Decided at 1.5; word comes back at 2.5, money at 12.5; landed at 13, ended at 49.
    assert bookings(run)[0] == (12.5, "escrow lock", "buyer", "escrow", 20_000)
    assert run.work["end_us"].tolist() == [49 * US_PER_S]


@pytest.mark.parametrize("rail", list(Rail))
@pytest.mark.parametrize("name", ["central", "market", "audited-market"])
def test_payoffs_sum_to_welfare_over_every_rail(rail: Rail, name: str) -> None:
    world = draw_world(tiny(), 4)
    run = finish(world, replace(regimes[name], rail=rail))
    assert payoffs_of(run.measured).total == pytest.approx(
        float(run.measured.welfare.welfare_usd.sum()), abs=1e-9
    )


def test_without_a_rail_its_terms_change_nothing() -> None:
    world = draw_world(tiny(), 3)
    other = replace(
        world,
        terms=replace(world.terms, settlement=over_chain(US_PER_DAY // US_PER_S, fee_usd=5.0)),
    )
    for regime in (regimes["central"], regimes["market"]):
        one, two = (run_world(each, regime, digest="-").tables for each in (world, other))
        assert where_tables_differ(one, two) == []


def test_a_rail_of_no_delay_and_no_fee_changes_no_measure() -> None:
    world = draw_world(tiny(), 3)
    world = replace(world, terms=replace(world.terms, settlement=SettlementTerms()))
    for name in ("central", "market"):
        regime = regimes[name]
        one, two = (
            run_world(world, each, digest="-").tables["measures"]["value"]
            for each in (regime, replace(regime, rail=Rail.BANK))
        )
        assert np.array_equal(one, two, equal_nan=True)


def test_a_window_longer_than_the_run_shares_its_fee_with_all_that_is_like_it() -> None:
    terms = over_chain(0, fee_usd=1.0, netting_s=1_000)
    run = finish(chained(terms), on_chain(HUB))
    paid = payments_of(run.ledger, run.world.terms)
    # Both payments travel as one, of which 100 s of 1,000 s are in the run; it waits half of them.
    assert paid.fee_micro_usd.tolist() == [MICRO_USD_PER_USD // 10]
    assert paid.sent_us.tolist() == [500 * US_PER_S] * 2


def test_people_work_on_what_is_taken_back() -> None:
    card = RailTerms(chargeback_share=0.5, chargeback_person_hours=3.0)
    world = chained(SettlementTerms(card=card))
    world = with_jobs(world, stage_chargeback=np.array([0.4, 0.6]))
    world = replace(world, terms=replace(world.terms, person_usd_per_hour=50.0))
    for regime in (HUB, ESCROWED):
        welfare = finish(world, replace(regime, rail=Rail.CARD)).measured.welfare
        assert welfare.person_hours.sum() == 3.0
        assert welfare.person_usd.sum() == 150.0

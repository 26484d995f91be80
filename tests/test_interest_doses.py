"""Selling on, tokens and lies: five doses each, the first of which is as where there are none.

What is read of seasons, accounts and ledgers does not know the dose.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hanse.agents.reselling import SPREADS_MAX, resell
from hanse.agents.world import OwnerHabits, World
from hanse.market.regime import Regime, ladder, regimes
from hanse.market.reporting import AT_COST, Hurried, MarkedUp, Scaled, Truthful
from hanse.market.units import MICRO_USD_PER_USD
from hanse.scenarios.draw import draw_world
from hanse.scenarios.measuring.measures import measure
from hanse.scenarios.mechanisms.figures import MECHANISMS
from hanse.scenarios.mechanisms.interests import (
    ASKS,
    DOSES,
    EMISSIONS,
    INTERESTS,
    WAYS_TO_BE_PAID,
    WAYS_TO_PAY,
    left_and_paid,
)
from hanse.scenarios.mechanisms.mechanism import Mechanism
from hanse.scenarios.mechanisms.studies import Case
from hanse.scenarios.run import run_world
from hanse.scenarios.running.tasks import Columns
from hanse.scenarios.scenario import Scenario, load
from hanse.scenarios.seasons.play import Seasons, play_seasons
from hanse.scenarios.selftest.checks import run_ledger
from hanse.scenarios.studies.emissions import subsidy_usd, token_emissions
from hanse.scenarios.studies.payoffs import payoffs_of
from hanse.scenarios.studies.strategic_reports import post_at
from tests.small_runs import tiny, where_tables_differ
from tests.strategies import finish
from tests.test_institution_doses import follows, late
from tests.test_reports import executed

N_SEASONS = 6
N_PAYMENTS = 100_000
SMALL = {
    "fleet.nodes": 60,
    "load.model_calls": 500,
    "load.batch_jobs": 60,
    "measurement.displacement_instants": 16,
}


def same(first: Seasons, second: Seasons) -> None:
    for name in ("market", "places", "owners", "buyers"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name), check_exact=True)


def selling(**changes: object) -> Scenario:
    """Make the scenario about selling on small."""
    told = {f"institutions.{name}": value for name, value in changes.items()}
    return load("reselling").replace(SMALL | told)


def emitting(share: float, **changes: object) -> Scenario:
    """Make the scenario about tokens small, and emit a share of them a year."""
    told = {f"emission.{name}": value for name, value in changes.items()}
    return load("emission").replace(
        {"measurement.displacement_instants": 16, "emission.share_per_year": share} | told
    )


def test_a_holder_offers_its_least_needed_units_and_no_more_than_its_share() -> None:
    # As in the sale by hand of two buyers, but half of 5 units, rounded down, is 2, and of 1 none:
    # asks 0 and 0, bids 8 and 8, so that both are sold half way between 0 and 8.
    whole, half, none = (
        resell(
            np.array([5, 1]),
            need=np.array([2.0, 3.0]),
            sd=np.zeros(2),
            shortage_usd=np.full(2, 8.0),
            price_usd=np.full(2, 1.0),
            share=share,
        )
        for share in (1.0, 0.5, 0.0)
    )
    assert whole.moved.tolist() == half.moved.tolist() == [-2, 2]
    assert half.price_usd == 4.0
    assert none.held.tolist() == [5, 1]
    assert np.isnan(none.price_usd)


def test_where_nothing_may_be_sold_on_it_is_as_without_a_market_for_it() -> None:
    allowed, forbidden = (
        play_seasons(scenario, "reserved", n_seasons=4, seed=1)
        for scenario in (selling(resale_share=0.0), selling(resale_market=False))
    )
    same(allowed, forbidden)


def test_where_bids_end_moves_no_unit_that_costs_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shortage of 300 times the price is dear, and still within reach of four spreads."""
    rng = np.random.default_rng(3)
    held, need = rng.integers(0, 9, 40), rng.uniform(0.0, 8.0, 40)
    sd = rng.uniform(0.2, 3.0, 40)

    def sold() -> list[int]:
        sale = resell(
            held, need=need, sd=sd, shortage_usd=np.full(40, 300.0), price_usd=np.ones(40)
        )
        return sale.held.tolist()

    near = sold()
    for spreads in (SPREADS_MAX + 2.0, 2.0 * SPREADS_MAX):
        monkeypatch.setattr("hanse.agents.reselling.SPREADS_MAX", spreads)
        assert sold() == near


@pytest.mark.slow
def test_more_units_are_sold_on_the_more_may_be() -> None:
    found = [
        [
            late("resold_units")(
                play_seasons(
                    selling(resale_share=share), "reserved", n_seasons=N_SEASONS, seed=seed
                )
            )
            for share in DOSES
        ]
        for seed in range(8)
    ]
    follows(np.array(found), rises=True)


def test_owners_who_are_handed_nothing_decide_as_where_there_is_no_token() -> None:
    never, worthless = (
        play_seasons(scenario, "market", n_seasons=3, seed=2)
        for scenario in (emitting(0.0), emitting(1.6, supply_worth_usd=0.0))
    )
    same(never, worthless)
    assert (never.path("subsidy_usd") == 0.0).all()


def test_seasons_hand_out_what_the_account_beside_a_run_says() -> None:
    scenario = tiny().replace({"emission.share_per_year": 0.5})
    account = token_emissions(scenario, seeds=[3], regimes=[ladder[6]], workers=1).owners
    world = draw_world(scenario, 3)
    handed = subsidy_usd(scenario, measure(world, run_ledger(world, ladder[6].regime)))
    assert handed.tolist() == account["subsidy_usd"].tolist()
    assert handed.sum() > 0.0


@pytest.mark.slow
@pytest.mark.parametrize("regime", ["central", "market"])
def test_more_capacity_is_built_the_more_is_emitted_for_having_it(regime: str) -> None:
    found = [
        [
            late("units")(play_seasons(emitting(share), regime, n_seasons=N_SEASONS, seed=seed))
            for share in EMISSIONS
        ]
        for seed in range(8)
    ]
    follows(np.array(found), rises=True)


def bent(share: float, *, worth: float = 0.5, seed: int = 1) -> World:
    """Let a share of buyers say a multiple of worth."""
    told = {"reporting.strategic_share": share, "reporting.worth_share": worth}
    return draw_world(load("bending").replace(told), seed)


def told_alike(tables: Mapping[str, Columns]) -> dict[str, Columns]:
    """Leave out welfare, which is told of a regime only where somebody may bend the truth."""
    measures = tables["measures"]
    is_other = measures["measure"] != "welfare_usd"
    return {**tables, "measures": {name: of[is_other] for name, of in measures.items()}}


@pytest.mark.parametrize("way", WAYS_TO_PAY)
def test_where_nobody_bends_it_is_as_where_nobody_may(way: str) -> None:
    world, regime = bent(0.0), WAYS_TO_PAY[way]
    may, may_not = (
        told_alike(run_world(world, replace(regime, reporting=reporting), digest="-").tables)
        for reporting in (Scaled(), Truthful())
    )
    assert where_tables_differ(may, may_not) == []


def left(world: World, regime: Regime, name: str) -> float:
    """Return one of the measures that the figure draws."""
    told = {row["measure"]: row["value"] for row in left_and_paid(world, run_ledger(world, regime))}
    return float(told[name])


def test_buyers_who_say_half_pay_less_the_more_they_are_where_bids_are_paid() -> None:
    regime = WAYS_TO_PAY["bids are paid"]
    found = [
        [left(bent(share, seed=seed), regime, "paid_usd") for share in DOSES] for seed in range(8)
    ]
    follows(np.array(found), rises=False)


HURRIES = (1.0, 2.0, 4.0, 8.0, 16.0)


def hurrying(scale: float, seed: int) -> World:
    """Let half of the buyers say a multiple of what waiting costs them, where units are short."""
    told = {"reporting.strategic_share": 0.5, "reporting.delay_scale": scale}
    short = SMALL | {"fleet.nodes": 40, "load.model_calls": 1200, "load.batch_jobs": 200}
    return draw_world(load("bending").replace(short | told), seed)


@pytest.mark.parametrize("name", ["dynamic-central", "market"])
def test_who_says_that_waiting_costs_more_leaves_more_to_others(name: str) -> None:
    """What is claimed to lose its worth by the second is claimed to be worth less once it waits."""
    regime = replace(regimes[name], reporting=Hurried())
    found = []
    for seed in range(8):
        hurries = hurrying(HURRIES[1], seed).habits.delay_scale != 1.0
        shares = []
        for scale in HURRIES:
            ledger = run_ledger(hurrying(scale, seed), regime)
            of_others = ~hurries[ledger.stage_fact["buyer"]]
            served = np.isin(np.arange(len(of_others)), ledger.record[ledger.work]["stage"])
            shares.append(float(served[of_others].mean()))
        found.append(shares)
    follows(np.array(found), rises=True)


def test_where_nobody_hurries_it_is_as_where_nobody_may() -> None:
    world = hurrying(HURRIES[0], 1)
    for name in ("dynamic-central", "market"):
        may, may_not = (
            run_world(world, replace(regimes[name], reporting=reporting), digest="-").tables
            for reporting in (Hurried(), Truthful())
        )
        assert where_tables_differ(may, may_not) == []


def asking(way: str, ask: float) -> list[Case]:
    """Return the cases of the figure of asks: half of owners first, then all."""
    shown = INTERESTS["asking"]
    assert isinstance(shown, Mechanism)
    return [
        case
        for case in shown.cases(load("asking"))
        if case.keys["way"] == way and case.keys["asked"] == ask
    ]


@pytest.mark.parametrize("way", WAYS_TO_BE_PAID)
def test_where_nobody_asks_more_it_is_as_where_nobody_may(way: str) -> None:
    half, everybody = asking(way, ASKS[0])
    regime, world = everybody.regime, everybody.draw(1)
    assert half.draw(1).digest() == world.digest()
    may, may_not = (
        told_alike(run_world(world, replace(regime, asking=asking), digest="-").tables)
        for asking in (MarkedUp(), AT_COST)
    )
    assert where_tables_differ(may, may_not) == []


@pytest.mark.parametrize("way", WAYS_TO_BE_PAID)
def test_what_is_left_is_read_without_knowing_what_was_asked(way: str) -> None:
    for case in asking(way, ASKS[-1]):
        world = case.draw(1)
        ledger = run_ledger(world, case.regime)
        n_owners = len(world.fleet.owner)
        forgot = OwnerHabits(cost_share=np.ones(n_owners), posted_share=np.ones(n_owners))
        assert list(left_and_paid(world, ledger)) == list(
            left_and_paid(replace(world, asks=forgot), ledger)
        )


@pytest.mark.parametrize("way", ["asks are paid", "locational prices"])
@pytest.mark.parametrize("who", [0, 1])
def test_more_is_paid_and_left_to_owners_the_more_they_say_that_units_cost(
    way: str, who: int
) -> None:
    found = [
        [left(case.draw(seed), case.regime, "owners_usd") for case in cases]
        for seed in range(8)
        for cases in [[asking(way, ask)[who] for ask in ASKS]]
    ]
    follows(np.array(found), rises=True)


def test_where_lists_are_paid_buyers_are_left_with_less_the_dearer_they_are() -> None:
    cases = [asking("lists are paid", ask)[1] for ask in ASKS]
    found = [
        [left(case.draw(seed), case.regime, "buyers_usd") for case in cases] for seed in range(8)
    ]
    follows(np.array(found), rises=False)


def test_where_a_hub_weighs_costs_dearer_lists_move_money_and_nothing_else() -> None:
    """The rule does not ask what is listed: owners gain all that buyers lose."""
    world = asking("lists are paid", ASKS[0])[1].draw(2)
    regime = replace(regimes["dynamic-central"], asking=MarkedUp())
    all_owners = np.ones(len(world.fleet.owner))
    plain, *dearer = (
        finish(post_at(world, ask * all_owners), regime, n_payments=N_PAYMENTS) for ask in ASKS
    )
    paid = plain.work["payment_micro_usd"].sum() / MICRO_USD_PER_USD
    shared = payoffs_of(plain.measured)
    for ask, run in zip(ASKS[1:], dearer, strict=True):
        assert executed(run) == executed(plain)
        assert run.work["payment_micro_usd"].sum() / MICRO_USD_PER_USD == pytest.approx(
            ask * paid, rel=1e-4
        )
        now = payoffs_of(run.measured)
        gained = now.owner.sum() - shared.owner.sum()
        assert gained > 0.0
        assert gained == pytest.approx(shared.buyer.sum() - now.buyer.sum(), abs=1e-9)
        # What invoices bind is capital, which is a resource.
        capital = run.measured.welfare.capital_usd - plain.measured.welfare.capital_usd
        lost = plain.measured.welfare.welfare_usd - run.measured.welfare.welfare_usd
        assert lost.sum() == pytest.approx(capital.sum(), abs=1e-9)


def test_every_interest_has_its_figure_and_a_dose_of_none() -> None:
    assert set(INTERESTS) <= set(MECHANISMS)
    for doses, none in ((DOSES, 0.0), (EMISSIONS, 0.0), (ASKS, 1.0)):
        assert len(doses) == 5
        assert doses[0] == none
        assert np.diff(doses).min() > 0.0

"""Selling on, tokens and lies: five doses each, none of which is what there was without them.

What is read of seasons, accounts and ledgers does not know the dose.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hanse.agents.reselling import SPREADS_MAX, resell
from hanse.agents.world import World
from hanse.market.regime import ladder
from hanse.market.reporting import Scaled, Truthful
from hanse.scenarios.draw import draw_world
from hanse.scenarios.emissions import subsidy_usd, token_emissions
from hanse.scenarios.measures import measure
from hanse.scenarios.mechanism_figures import MECHANISMS
from hanse.scenarios.mechanism_interests import (
    DOSES,
    EMISSIONS,
    INTERESTS,
    WAYS_TO_PAY,
    left_and_paid,
)
from hanse.scenarios.run import run_world
from hanse.scenarios.scenario import Scenario, load
from hanse.scenarios.seasons import Seasons, play_seasons
from hanse.scenarios.selftest_checks import run_ledger
from tests.small_runs import tiny, where_tables_differ
from tests.test_institution_doses import follows, late

N_SEASONS = 6
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


@pytest.mark.parametrize("way", WAYS_TO_PAY)
def test_where_nobody_bends_it_is_as_where_nobody_may(way: str) -> None:
    world, regime = bent(0.0), WAYS_TO_PAY[way]
    may, may_not = (
        run_world(world, replace(regime, reporting=reporting), digest="-").tables
        for reporting in (Scaled(), Truthful())
    )
    assert where_tables_differ(may, may_not) == []


def test_buyers_who_say_half_pay_less_the_more_they_are_where_bids_are_paid() -> None:
    regime = WAYS_TO_PAY["bids are paid"]
    found = []
    for seed in range(8):
        worlds = [bent(share, seed=seed) for share in DOSES]
        rows = [left_and_paid(world, run_ledger(world, regime)) for world in worlds]
        found.append([{r["measure"]: r["value"] for r in told}["paid_usd"] for told in rows])
    follows(np.array(found, dtype=float), rises=False)


def test_every_interest_has_its_figure_and_a_dose_of_none() -> None:
    assert set(INTERESTS) <= set(MECHANISMS)
    for doses in (DOSES, EMISSIONS):
        assert len(doses) == 5
        assert doses[0] == 0.0
        assert np.diff(doses).min() > 0.0

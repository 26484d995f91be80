"""Speculators: the forward price by hand and by formula, limits, and what more capital does."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.agents.speculator import Traders, capital_limit_hours, trade_forward
from hanse.market.regime import ladder
from hanse.market.units import MICRO_USD_PER_USD, Floats
from hanse.scenarios.scenario import load
from hanse.scenarios.studies.financial import Spot, spot_runs
from hanse.scenarios.studies.forward_market import exposures, forward_market, speculators_of
from hanse.scenarios.studies.spot_prices import Trades

INF = float("inf")


def traders(exposure: list[float], n_speculators: int, limit: float = INF) -> Traders:
    """Let hedgers with these exposures trade with so many speculators, all equally averse."""
    n = len(exposure) + n_speculators
    return Traders(
        exposure_hours=np.array(exposure + [0.0] * n_speculators),
        risk_aversion=np.full(n, 2.0),
        limit_hours=np.array([INF] * len(exposure) + [limit] * n_speculators),
    )


def test_whoever_hedges_alone_finds_nobody_and_the_price_says_so() -> None:
    trade = trade_forward(traders([10.0], 0), mean_usd=3.0, variance=0.5)
    assert trade.position_hours.tolist() == [0.0]
    assert trade.price_usd == pytest.approx(3.0 + 2.0 * 0.5 * 10.0)


def test_hedgers_whose_needs_match_pay_nobody() -> None:
    trade = trade_forward(traders([10.0, -10.0], 3), mean_usd=3.0, variance=0.5)
    assert trade.price_usd == pytest.approx(3.0)
    assert trade.position_hours == pytest.approx([10.0, -10.0, 0.0, 0.0, 0.0])


@given(
    exposure=st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=6),
    n_speculators=st.integers(0, 5),
    variance=st.floats(0.01, 4.0),
)
def test_the_premium_is_variance_times_net_exposure_over_what_all_can_bear(
    exposure: list[float], n_speculators: int, variance: float
) -> None:
    who = traders(exposure, n_speculators)
    trade = trade_forward(who, mean_usd=5.0, variance=variance)
    bearing = float((1.0 / who.risk_aversion).sum())
    expected = variance * math.fsum(exposure) / bearing
    assert trade.price_usd - 5.0 == pytest.approx(expected, abs=1e-6)
    assert trade.position_hours.sum() == pytest.approx(0.0, abs=1e-7)


@given(limit=st.floats(0.0, 20.0), exposure=st.sampled_from([-40.0, -3.0, -1e-6, 0.0, 0.5, 40.0]))
def test_no_speculator_holds_more_than_its_limit(limit: float, exposure: float) -> None:
    trade = trade_forward(traders([exposure], 2, limit), mean_usd=5.0, variance=1.0)
    assert np.abs(trade.position_hours[1:]).max() <= limit + 1e-6


def test_capital_margins_hours_and_an_inventory_bounds_them() -> None:
    assert capital_limit_hours(10.0, margin_usd_per_hour=2.0) == 5.0
    assert capital_limit_hours(10.0, margin_usd_per_hour=2.0, inventory_hours=3.0) == 3.0
    assert capital_limit_hours(10.0, margin_usd_per_hour=0.0, inventory_hours=3.0) == 3.0


def test_aversion_and_limits_out_of_bounds_are_named() -> None:
    with pytest.raises(ValueError, match="risk_aversion must be above"):
        Traders(exposure_hours=np.ones(1), risk_aversion=np.zeros(1), limit_hours=np.ones(1))


def spot(seed: int, price_usd: float, hours: Floats) -> Spot:
    """Write down a run in which buyers bought these hours of one owner at one price."""
    n = len(hours)
    nothing = np.zeros(n, np.int64)
    micro_usd = round(price_usd * MICRO_USD_PER_USD)
    return Spot(
        rung="any",
        seed=seed,
        families=("one",),
        trades=Trades(
            at_us=nothing,
            family=nothing,
            region=nothing,
            buyer=np.arange(n),
            owner=nothing,
            hours=hours,
            paid_micro_usd=np.rint(hours * micro_usd).astype(np.int64),
        ),
        path=np.full(4, micro_usd),
        horizon_s=3_600.0,
        match_s=0.0,
        capital_rate_per_year=0.1,
    )


PRICES = (2.0, 3.0, 5.0, 2.5, 4.0)
RUNS = [spot(seed, price, np.array([6.0, 2.0])) for seed, price in enumerate(PRICES)]


def outcome(**how: float) -> dict[str, float]:
    """Return the mean of each measure under such speculators."""
    told = {"forward.speculators": 4, "forward.capital_usd": 1e9} | {
        f"forward.{name}": value for name, value in how.items()
    }
    table = forward_market(RUNS, speculators=speculators_of(load("baseline").replace(told)))
    return dict(zip(table["measure"], table["mean"].astype(float), strict=True))


def test_exposure_is_what_others_bought_and_what_owners_sell_forward() -> None:
    found = exposures(RUNS, owners_hedge_share=0.5)
    assert found.tolist() == [6.0, 2.0, -4.0]


def test_the_premium_of_each_run_is_that_of_the_formula() -> None:
    premiums = []
    for seed in range(len(PRICES)):
        variance = np.delete(np.array(PRICES), seed).var(ddof=1)
        premiums.append(variance * 8.0 / 7)  # of 8 hours, two buyers, an owner, four speculators
    assert outcome()["premium_usd_per_hour"] == pytest.approx(np.mean(premiums), rel=1e-9)


def test_more_capital_lowers_the_premium_and_hedges_more() -> None:
    doses = [outcome(capital_usd=usd) for usd in (0.0, 0.5, 1.0, 2.0, 4.0)]
    premium = [dose["premium_usd_per_hour"] for dose in doses]
    hedged = [dose["hedged_share"] for dose in doses]
    assert all(a > b for a, b in pairwise(premium))
    assert all(a < b for a, b in pairwise(hedged))


def test_more_speculators_lower_the_premium_towards_the_fair_price() -> None:
    premium = [outcome(speculators=n)["premium_usd_per_hour"] for n in (0, 1, 4, 16, 4_000)]
    assert all(a > b for a, b in pairwise(premium))
    assert premium[-1] < 0.01


def test_owners_who_sell_forward_take_the_place_of_speculators() -> None:
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    premium = [outcome(owners_hedge_share=s)["premium_usd_per_hour"] for s in shares]
    assert all(a > b for a, b in pairwise(premium))
    assert premium[-1] == pytest.approx(0.0, abs=1e-9)


def test_a_larger_inventory_lowers_the_premium_and_hedges_more() -> None:
    doses = [outcome(inventory_hours=hours) for hours in (0.0, 0.25, 0.5, 0.75, 1.0)]
    premium = [dose["premium_usd_per_hour"] for dose in doses]
    hedged = [dose["hedged_share"] for dose in doses]
    assert all(a > b for a, b in pairwise(premium))
    assert all(a < b for a, b in pairwise(hedged))


def test_a_dearer_margin_raises_the_premium() -> None:
    levels = (1.0, 2.0, 4.0, 8.0, 16.0)
    doses = [outcome(capital_usd=8.0, margin_multiple=multiple) for multiple in levels]
    premium = [dose["premium_usd_per_hour"] for dose in doses]
    assert all(a <= b for a, b in pairwise(premium))
    assert premium[-1] > premium[0]


def test_more_aversion_raises_the_premium_in_proportion() -> None:
    levels = (0.25, 0.5, 1.0, 2.0, 4.0)
    premium = [outcome(risk_aversion=level)["premium_usd_per_hour"] for level in levels]
    assert premium == pytest.approx([premium[0] * level / levels[0] for level in levels])


def test_speculators_owe_beyond_their_capital_only_where_it_margins_too_little() -> None:
    assert outcome(capital_usd=5.0, margin_multiple=50.0)["speculator_default_usd"] == 0.0
    assert outcome(capital_usd=0.5, margin_multiple=0.05)["speculator_default_usd"] > 0.0


def test_two_seeds_say_nothing_of_a_variance() -> None:
    with pytest.raises(ValueError, match="at least 3 seeds a rung, got 2"):
        forward_market(RUNS[:2], speculators=speculators_of(load("baseline")))


@pytest.mark.slow
def test_runs_of_any_rung_can_be_traded_forward() -> None:
    scarce = load("scarce").replace(
        {"fleet.nodes": 60, "load.model_calls": 600, "load.batch_jobs": 40}
    )
    runs = spot_runs(scarce, seeds=range(4), regimes=(ladder[0], ladder[-1]), workers=1)
    table = forward_market(runs, speculators=speculators_of(scarce))
    assert table["rung"].unique().tolist() == [ladder[0].name, ladder[-1].name]
    assert table["mean"].notna().all()
    assert (table[table["measure"] == "traded_hours"]["mean"] > 0).all()

"""Contracts on the prices of runs: indices by hand, exact money, and nothing real that changes."""

from itertools import pairwise

import numpy as np
import pytest

from hanse.agents.model import ComputeMarket
from hanse.market.exchange.market_making import Maker
from hanse.market.regime import ladder
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.scenario import Scenario, Value, load
from hanse.scenarios.studies.financial import (
    HEDGES,
    MarginTerms,
    Spot,
    draw_hedges,
    hedged_spend,
    liquidity,
    margin_calls,
    positions,
    spot_runs,
)
from hanse.scenarios.studies.spot_prices import INDICES, Trades, spot_path, trades_of

SMALL: dict[str, Value] = {
    "fleet.nodes": 60,
    "load.model_calls": 600,
    "load.batch_jobs": 40,
    "measurement.displacement_instants": 16,
}
RUNGS = (ladder[0], ladder[-1])


def small(name: str = "baseline", **more: Value) -> Scenario:
    """Return a scenario on a small fleet, with some values of `shock` set."""
    return load(name).replace({**SMALL, **{f"shock.{key}": value for key, value in more.items()}})


def trades(rows: list[tuple[float, float, float]]) -> Trades:
    """Make trades of (second, hours, USD), all of one buyer with one owner."""
    at_s, hours, paid = np.array(rows, float).reshape(-1, 3).T
    nothing = np.zeros(len(at_s), np.int64)
    return Trades(
        at_us=np.rint(at_s * US_PER_S).astype(np.int64),
        family=nothing,
        region=nothing,
        buyer=nothing,
        owner=nothing,
        hours=hours,
        paid_micro_usd=np.rint(paid * 1e6).astype(np.int64),
    )


def spot(seed: int, *, price_usd: float, hours: float) -> Spot:
    """Make a run in which one family bought so many hours at one price."""
    bought = trades([(1.0, hours, price_usd * hours)])
    path = spot_path(bought, horizon_us=10 * US_PER_S, interval_s=5.0)
    return Spot(
        rung="any",
        seed=seed,
        families=("batch",),
        trades=bought,
        path=path,
        horizon_s=10.0,
        match_s=1.0,
        capital_rate_per_year=0.1,
    )


@pytest.fixture(scope="module")
def runs() -> list[Spot]:
    """Run two rungs on four small worlds."""
    return spot_runs(small(), seeds=range(4), regimes=RUNGS, workers=1)


def test_an_index_of_an_interval_is_what_was_paid_over_what_was_bought() -> None:
    """Three intervals: two trades, none, and one; before and after, the price stands."""
    bought = trades([(11.0, 1.0, 2.0), (12.0, 3.0, 12.0), (31.0, 2.0, 2.0)])
    path = spot_path(bought, horizon_us=50 * US_PER_S, interval_s=10.0)
    assert path.tolist() == [3_500_000, 3_500_000, 3_500_000, 1_000_000, 1_000_000]
    median = spot_path(bought, horizon_us=50 * US_PER_S, interval_s=10.0, index=INDICES["median"])
    assert median.tolist() == [4_000_000, 4_000_000, 4_000_000, 1_000_000, 1_000_000]


def test_without_trades_there_is_no_price() -> None:
    with pytest.raises(ValueError, match="no price"):
        spot_path(trades([]), horizon_us=US_PER_S, interval_s=1.0)


def test_trades_are_every_payment_of_the_ledger() -> None:
    world = draw_world(small(), 1)
    ledger = ComputeMarket(world, ladder[-1].regime, with_agents=False).run_to_horizon()
    record = ledger.record[ledger.work]
    there = record["end_us"] > record["accepted_us"]
    found = trades_of(world, ledger)
    assert found.paid_micro_usd.sum() == record["payment_micro_usd"][there].sum()
    assert (found.hours > 0).all()
    assert positions(found).sum() == 0


def test_a_forward_takes_all_variance_away_where_price_alone_varies() -> None:
    worlds = [spot(seed, price_usd=price, hours=4.0) for seed, price in enumerate((1, 2, 3, 6))]
    table = hedged_spend(worlds).set_index("hedge")
    # Strikes differ by seed, as each is the mean of the others: spend is 4 h times that mean.
    left = 4.0 * (12.0 - np.array([1.0, 2.0, 3.0, 6.0])) / 3.0
    assert table.loc["forward", "sd_usd"] == pytest.approx(left.std(ddof=1), abs=1e-6)
    assert table.loc["forward", "variance_ratio"] == pytest.approx(1 / 9, rel=1e-5)
    assert table.loc["spot", "variance_ratio"] == 1.0


def test_a_forward_is_worth_nothing_where_volume_alone_varies() -> None:
    worlds = [spot(seed, price_usd=2.0, hours=h) for seed, h in enumerate((1.0, 2.0, 3.0, 6.0))]
    table = hedged_spend(worlds).set_index("hedge")
    assert table.loc["forward", "variance_ratio"] == pytest.approx(1.0)
    assert table.loc["call", "mean_usd"] == table.loc["spot", "mean_usd"]


def test_hedges_are_tabulated_for_every_rung_and_family(runs: list[Spot]) -> None:
    table = hedged_spend(runs)
    assert len(table) == len(RUNGS) * 2 * len(HEDGES)
    told = table.dropna()
    assert ((told["ci_low"] <= told["variance_ratio"]) & (told["n"] == 4)).all()
    assert (table[table["hedge"] == "spot"]["variance_ratio"] == 1.0).all()
    assert len(draw_hedges(table).axes) == 2


def test_liquidity_is_measured_on_every_rung(runs: list[Spot]) -> None:
    maker = Maker(risk_aversion=1.0, order_rate=1.0, order_decay=10.0)
    table = liquidity(runs, maker=maker).set_index(["rung", "measure"])["mean"]
    for rung in RUNGS:
        least = 2.0 * np.log(1.1)
        assert table[rung.name, "maker_spread_usd"] >= least
        assert table[rung.name, "time_to_match_s"] > 0
        assert table[rung.name, "indices_apart_usd"] >= 0


def test_members_with_more_cash_default_less() -> None:
    surge = small("demand-surge", surge_jobs=600)
    failed = []
    for share in (0.0, 0.1, 0.3, 1.0, 10.0):
        terms = MarginTerms(cash_share=share)
        table = margin_calls(surge, seeds=[1], regimes=RUNGS[1:], terms=terms, workers=1)
        assert table["arm"].tolist() == ["before", "after"]
        assert (table["locked_capital_usd"] > 0).all()
        failed.append(table["n_defaults"].to_numpy())
    assert all((more <= less).all() for less, more in pairwise(failed))
    assert failed[0].min() > 0
    assert failed[-1].max() == 0


def test_more_margin_locks_more_capital() -> None:
    surge = small("demand-surge", surge_jobs=100)
    locked = [
        margin_calls(
            surge,
            seeds=[1],
            regimes=RUNGS[1:],
            terms=MarginTerms(margin_multiple=multiple),
            workers=1,
        )["locked_capital_usd"].sum()
        for multiple in (0.5, 1.0, 2.0, 4.0, 8.0)
    ]
    assert locked == sorted(locked)
    assert locked[-1] == pytest.approx(16 * locked[0], rel=1e-3)

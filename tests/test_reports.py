"""Reports: routers hear what buyers say, welfare counts what is true, and who gains by bending."""

from dataclasses import replace

import numpy as np
import pytest

from hanse.agents.world import BuyerHabits, World
from hanse.market.regime import Cadence, Incompatible, Pricing, Regime, Rule, regimes
from hanse.market.reporting import Hurried, Scaled, Truthful
from hanse.market.units import MICRO_USD_PER_USD, US_PER_S, Floats
from hanse.scenarios.draw import draw_world
from hanse.scenarios.run import run_world
from hanse.scenarios.selftest.oracle_worlds import FREE_TERMS, plain_workload, plain_world
from hanse.scenarios.studies.payoffs import payoffs_of
from hanse.scenarios.studies.strategic_reports import bend, best_responses, gains_of_bending
from tests.small_runs import tiny, where_tables_differ
from tests.strategies import HUB, Finished, finish

CLEARED = replace(HUB, rule=Rule.WELFARE, cadence=Cadence.AT_INTERVAL, reporting=Scaled())
UNIFORM = replace(CLEARED, pricing=Pricing.LOCATIONAL)
AS_BID = replace(CLEARED, pricing=Pricing.PAY_AS_BID)
ROUND_US = 10 * US_PER_S
N_AUCTIONS = 2_000


def auctions(worth_usd: Floats, *, n_units: int = 1) -> World:
    """Sell units in one auction every ten seconds; buyer b has the worth of column b, for one unit.

    Units cost nothing, so that bids alone are paid. Losers are gone before the next auction.
    """
    n_rounds, n_buyers = worth_usd.shape
    at_us = np.arange(n_rounds)[:, None] * ROUND_US + 1 + np.arange(n_buyers)
    at_us = at_us.reshape(-1)
    workload = plain_workload(at_us, np.full(at_us.size, 5 * US_PER_S))
    workload = replace(
        workload,
        buyer_region=np.zeros(n_buyers, np.int64),
        job_buyer=np.tile(np.arange(n_buyers), n_rounds),
        job_deadline_us=(at_us // ROUND_US + 1) * ROUND_US + 8 * US_PER_S,
        job_value_usd=worth_usd.reshape(-1),
    )
    terms = replace(
        FREE_TERMS,
        clearing_interval_us=ROUND_US,
        hardware_usd_per_gpu_hour=0.0,
    )
    return plain_world(workload, n_nodes=n_units, horizon_us=(n_rounds + 2) * ROUND_US, terms=terms)


def earned_usd(world: World, regime: Regime, shares: list[float]) -> Floats:
    """Return what each buyer is left with when buyers say these shares of their worth."""
    return payoffs_of(finish(bend(world, np.array(shares)), regime).measured).buyer


def uniform_worths(seed: int, n_auctions: int, n_buyers: int) -> Floats:
    """Draw worths in (0, 1) USD."""
    return np.random.default_rng(seed).random((n_auctions, n_buyers)) * 0.999 + 0.001


def test_the_winner_pays_its_bid_or_the_next_bid() -> None:
    world = auctions(np.array([[0.9, 0.6, 0.3]]))
    paid = {
        regime.pricing: finish(bend(world, np.array([0.8, 1.0, 1.0])), regime)
        .work["payment_micro_usd"]
        .tolist()
        for regime in (UNIFORM, AS_BID)
    }
    # The first says 0.72, the others the truth.
    assert paid == {Pricing.LOCATIONAL: [600_000], Pricing.PAY_AS_BID: [720_000]}


def test_the_first_price_auction_of_two_pays_a_half_of_the_worth() -> None:
    """Vickrey 1961: against bids of v / 2 the best bid is v / 2, worth 1/6 to each of two."""
    worth = uniform_worths(1, N_AUCTIONS, 2)
    mean = {
        share: earned_usd(auctions(worth), AS_BID, [share, 0.5])[0] / N_AUCTIONS
        for share in (0.25, 0.5, 0.75, 1.0)
    }
    # (1 - s) 2 s / 3 up to a half; above it (1 - s) E[v min(1, 2 s v)].
    expected = {0.25: 1 / 8, 0.5: 1 / 6, 0.75: 0.25 * (4 / 27 + 5 / 18), 1.0: 0.0}
    # A pay-off lies in [0, 1 - s], so its standard deviation is at most (1 - s) / 2.
    for share, value in expected.items():
        within = 4 * (1 - share) / 2 / N_AUCTIONS**0.5 + 1e-6
        assert mean[share] == pytest.approx(value, abs=within)
    assert max(mean, key=mean.__getitem__) == 0.5


@pytest.mark.parametrize("n_units", [1, 3])
def test_under_a_uniform_price_nobody_gains_by_shading_or_by_exaggerating(n_units: int) -> None:
    """With unit demand the least competitive prices make truth dominant (Leonard 1983)."""
    worth = uniform_worths(2, 200, 4 * n_units)
    world, others = auctions(worth, n_units=n_units), [0.7, 1.0, 1.4] * (2 * n_units)
    others = others[: 4 * n_units - 1]
    truth = earned_usd(world, UNIFORM, [1.0, *others])[0]
    for share in (0.25, 0.5, 0.8, 0.95, 1.1, 2.0):
        assert earned_usd(world, UNIFORM, [share, *others])[0] <= truth + 1e-5


def test_two_prices_of_one_auction_raise_the_same() -> None:
    """Revenue equivalence (Myerson 1981): a third on average with two buyers, either way."""
    worth = uniform_worths(3, N_AUCTIONS, 2)
    truthful = finish(bend(auctions(worth), np.ones(2)), UNIFORM)
    shaded = finish(bend(auctions(worth), np.full(2, 0.5)), AS_BID)
    # Var of the lower of two is 1/18, of half the higher 1/72.
    for run, variance in ((truthful, 1 / 18), (shaded, 1 / 72)):
        mean = run.work["payment_micro_usd"].sum() / MICRO_USD_PER_USD / N_AUCTIONS
        assert mean == pytest.approx(1 / 3, abs=4 * (variance / N_AUCTIONS) ** 0.5 + 1e-3)


def test_where_claims_cost_nothing_whoever_exaggerates_is_served_first() -> None:
    """Posted prices under the welfare rule do not follow what is said (O24: orders inflate)."""
    world = auctions(uniform_worths(4, 500, 2))
    free = replace(world.fleet, node_posted_usd_per_gpu_hour=np.zeros(1))
    world = replace(world, fleet=free)
    earned = [earned_usd(world, CLEARED, [share, 1.0])[0] for share in (0.5, 1.0, 2.0, 8.0)]
    assert earned == sorted(earned)
    assert earned[-1] > 1.2 * earned[1]


def executed(run: Finished) -> list[bytes]:
    """Return who ran where and when."""
    names = ("stage", "unit", "accepted_us", "end_us")
    return [run.work[name].tobytes() for name in names]


def test_where_everybody_shades_alike_nothing_real_changes_and_welfare_is_true() -> None:
    world = auctions(uniform_worths(5, 100, 3))
    truth, shaded = (finish(bend(world, np.full(3, share)), AS_BID) for share in (1.0, 0.4))
    assert executed(truth) == executed(shaded)
    assert truth.measured.welfare.welfare_usd.sum() == shaded.measured.welfare.welfare_usd.sum()
    ratio = shaded.work["payment_micro_usd"].sum() / truth.work["payment_micro_usd"].sum()
    assert ratio == pytest.approx(0.4, rel=1e-4)


@pytest.mark.parametrize("name", ["central", "market"])
def test_habits_change_nothing_where_reports_are_truthful(name: str) -> None:
    world = draw_world(tiny(), 1)
    n_buyers = len(world.workload.buyer_region)
    bent = replace(
        world,
        habits=BuyerHabits(worth_share=np.full(n_buyers, 0.3), delay_scale=np.full(n_buyers, 9.0)),
    )
    one, two = (run_world(each, regimes[name], digest="-").tables for each in (world, bent))
    assert where_tables_differ(one, two) == []


@pytest.mark.parametrize("reporting", [Truthful(), Scaled(), Hurried()])
@pytest.mark.parametrize("name", ["central", "dynamic-central", "market"])
def test_every_way_of_reporting_runs_in_every_regime(
    reporting: Truthful | Scaled | Hurried, name: str
) -> None:
    world = draw_world(tiny(), 1)
    regime = replace(regimes[name], reporting=reporting)
    run = finish(world, regime)
    assert payoffs_of(run.measured).total == pytest.approx(
        float(run.measured.welfare.welfare_usd.sum()), abs=1e-9
    )
    assert (
        run.ledger.stage_fact["value_usd"] == world.workload.job_value_usd[world.workload.stage_job]
    ).all()


def test_hurry_is_said_of_the_cost_of_delay_alone() -> None:
    world = draw_world(tiny().replace({"reporting.delay_scale": 3.0}), 1)
    said = finish(world, replace(regimes["market"], reporting=Hurried())).ledger.stage_fact
    assert (said["said_usd"] == said["value_usd"]).all()
    assert said["said_delay_usd_per_us"] == pytest.approx(3.0 * said["delay_usd_per_us"])


def test_bids_need_a_rule_that_weighs_them() -> None:
    with pytest.raises(Incompatible, match="pricing=PAY_AS_BID with rule=POSTED: .* no bids"):
        replace(regimes["central"], pricing=Pricing.PAY_AS_BID)


def test_more_buyers_are_strategic_the_larger_their_share() -> None:
    shares = [
        draw_world(tiny().replace({"reporting.strategic_share": share}), 1).habits.worth_share
        for share in (0.0, 0.4, 1.0)
    ]
    bent = [set(np.flatnonzero(share != 1.0)) for share in shares]
    assert bent[0] == set()
    assert bent[0] < bent[1] < bent[2] == set(range(len(shares[0])))


def test_gains_are_measured_against_the_truth_of_the_same_worlds() -> None:
    gains = gains_of_bending(
        tiny(),
        replace(regimes["market"], pricing=Pricing.PAY_AS_BID),
        seeds=[0, 1],
        shares=[0.5],
        n_triers=1,
        workers=1,
    )
    gain = gains.set_index("own_share")["gain_usd"]
    assert gain[1.0] == 0.0
    assert gain[0.5] > 0.0


def test_best_responses_leave_the_truth_where_bids_are_paid() -> None:
    found = best_responses(
        tiny(),
        replace(regimes["market"], pricing=Pricing.PAY_AS_BID),
        seeds=[0, 1],
        shares=[0.5, 1.0],
        n_triers=1,
        n_rounds=2,
        workers=1,
    )
    assert found["best_share"].tolist()[0] == 0.5
    assert found["paid_usd"].is_monotonic_decreasing

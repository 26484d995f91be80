"""Asks: routers hear what owners say that units cost, accounts the truth, and who gains by it."""

from dataclasses import replace

import numpy as np
import pytest

from hanse.agents.lowering import lower_facts
from hanse.agents.world import OwnerHabits, World
from hanse.market.regime import Audits, Incompatible, Pricing, Regime, Rule, regimes
from hanse.market.reporting import AT_COST, MarkedUp
from hanse.market.units import MICRO_USD_PER_USD, S_PER_HOUR, US_PER_S, Floats
from hanse.scenarios.draw import draw_world
from hanse.scenarios.run import run_world
from hanse.scenarios.studies.payoffs import payoffs_of
from hanse.scenarios.studies.strategic_reports import (
    COST,
    POSTED,
    best_responses,
    gains_of_bending,
    mark_up,
    post_at,
)
from hanse.scenarios.yardstick import measure_yardstick
from tests.small_runs import tiny, where_tables_differ
from tests.strategies import HUB, Finished, finish
from tests.test_reports import CLEARED, auctions, executed, uniform_worths

UNIFORM = replace(CLEARED, pricing=Pricing.LOCATIONAL, asking=MarkedUp())
AS_ASKED = replace(CLEARED, pricing=Pricing.PAY_AS_ASK, asking=MarkedUp())
COST_USD = 0.2
WORK_S = 5


def sales(worth_usd: Floats, *, n_owners: int, posted_usd: float = 0.3) -> World:
    """Let owners of a unit each sell in one auction every ten seconds; a job costs them 0.2 USD."""
    world = auctions(worth_usd, n_units=n_owners)
    per_hour = S_PER_HOUR / WORK_S
    fleet = replace(
        world.fleet,
        node_owner=np.arange(n_owners),
        owner=tuple(f"owner {k}" for k in range(n_owners)),
        owner_is_hyperscaler=np.zeros(n_owners, bool),
        node_posted_usd_per_gpu_hour=np.full(n_owners, posted_usd * per_hour),
    )
    terms = replace(world.terms, hardware_usd_per_gpu_hour=COST_USD * per_hour)
    return replace(world, fleet=fleet, terms=terms)


def paid_usd(run: Finished) -> dict[int, float]:
    """Return what each unit was paid, of those that worked."""
    return dict(
        zip(
            run.work["unit"].tolist(),
            (run.work["payment_micro_usd"] / MICRO_USD_PER_USD).tolist(),
            strict=True,
        )
    )


def test_the_cheapest_win_at_the_dearest_of_their_asks_or_each_at_its_own() -> None:
    world = mark_up(sales(np.array([[0.9, 0.9]]), n_owners=3), np.array([1.5, 1.0, 1.2]))
    # Asks are 0.30, 0.20 and 0.24. Two buyers: whoever has the unit at 0.20 would pay up to 0.24
    # for it before the other took its place, and no more.
    assert paid_usd(finish(world, UNIFORM)) == pytest.approx({1: 0.24, 2: 0.24}, abs=2e-6)
    assert paid_usd(finish(world, AS_ASKED)) == pytest.approx({1: 0.20, 2: 0.24}, abs=2e-6)


def test_what_is_left_to_owners_is_reckoned_at_true_cost() -> None:
    world = mark_up(sales(np.array([[0.9, 0.9]]), n_owners=3), np.array([1.5, 1.0, 1.2]))
    run = finish(world, UNIFORM)
    left = payoffs_of(run.measured)
    assert left.owner == pytest.approx([0.0, 0.04, 0.04], abs=1e-5)
    assert left.buyer == pytest.approx([0.66, 0.66], abs=1e-5)
    assert float(run.measured.welfare.welfare_usd.sum()) == pytest.approx(2 * (0.9 - 0.2))


def test_an_owner_paid_its_posted_price_earns_its_mark_up_until_a_rival_is_cheaper() -> None:
    world, left = sales(np.array([[0.9]]), n_owners=2), {}
    regime = replace(HUB, asking=MarkedUp())
    for share in (1.0, 0.9, 1.1):
        own = post_at(world, np.array([share, 1.0]))
        left[share] = payoffs_of(finish(own, regime).measured).owner.tolist()
    # Posted at 0.30, costing 0.20: the first is served at the same price, undercuts, or loses.
    assert left[1.0] == pytest.approx([0.10, 0.0], abs=1e-5)
    assert left[0.9] == pytest.approx([0.07, 0.0], abs=1e-5)
    assert left[1.1] == pytest.approx([0.0, 0.10], abs=1e-5)


def earned(world: World, regime: Regime, share: float) -> float:
    """Return what the first owner is left with per auction if it alone marks up."""
    n_owners = len(world.fleet.owner)
    n_rounds = world.horizon_us // (10 * US_PER_S) - 2
    told = np.ones(n_owners)
    told[0] = share
    left = payoffs_of(finish(mark_up(world, told), regime).measured).owner[0]
    return float(left / n_rounds)


def test_one_seller_asks_half_way_to_the_most_that_anybody_bids() -> None:
    """Monopoly: against one worth that is uniform in (0, 1), p earns (p - c)(1 - p)."""
    n_auctions = 2_000
    world = sales(uniform_worths(1, n_auctions, 1), n_owners=1)
    found = {share: earned(world, AS_ASKED, share) for share in (1.0, 2.0, 3.0, 4.0)}
    for share, value in found.items():
        price = share * COST_USD
        expected = (price - COST_USD) * (1.0 - price)
        deviation = (price - COST_USD) * (price * (1.0 - price)) ** 0.5
        assert value == pytest.approx(expected, abs=4 * deviation / n_auctions**0.5 + 1e-3)
    assert max(found, key=found.__getitem__) == 3.0  # 0.6 = (1 + 0.2) / 2


def test_one_seller_under_a_uniform_price_sets_the_best_reserve() -> None:
    """Myerson 1981: with two bids the reserve that earns most is (1 + c) / 2, too."""
    n_auctions = 2_000
    world = sales(uniform_worths(2, n_auctions, 2), n_owners=1)
    for share in (1.0, 3.0):
        r, c = share * COST_USD, COST_USD
        one, both = 2 * r * (1 - r), (1 - r) ** 2
        expected = one * (r - c) + both * (r + (1 - r) / 3 - c)
        # What is earned lies in [0, 1 - c].
        within = 4 * (1 - c) / 2 / n_auctions**0.5
        assert earned(world, UNIFORM, share) == pytest.approx(expected, abs=within)


def test_with_many_sellers_a_uniform_price_leaves_no_gain_and_paying_asks_does() -> None:
    """What one seller can add to a uniform price is the gap between two bids, at most."""
    shares, gain = (1.25, 1.75, 2.25, 2.5, 3.0), {}
    for n_owners in (1, 4, 16):
        world = sales(uniform_worths(3, 200, 2 * n_owners), n_owners=n_owners)
        for regime in (UNIFORM, AS_ASKED):
            truth = earned(world, regime, 1.0)
            best = max(earned(world, regime, share) for share in shares)
            gain[n_owners, regime.pricing] = best - truth
    uniform = [gain[n_owners, Pricing.LOCATIONAL] for n_owners in (1, 4, 16)]
    # Bids are 1 / (2 n + 1) apart on average.
    assert uniform[0] > uniform[1] > uniform[2]
    assert uniform[2] < 1 / 33
    assert gain[16, Pricing.PAY_AS_ASK] > 0.1


def test_where_all_mark_up_alike_nothing_real_changes_and_welfare_is_true() -> None:
    world = sales(0.6 + 0.4 * uniform_worths(5, 100, 3), n_owners=2)
    truth, dear = (finish(mark_up(world, np.full(2, share)), AS_ASKED) for share in (1.0, 1.5))
    assert executed(truth) == executed(dear)
    assert truth.measured.welfare.welfare_usd.sum() == dear.measured.welfare.welfare_usd.sum()
    ratio = dear.work["payment_micro_usd"].sum() / truth.work["payment_micro_usd"].sum()
    assert ratio == pytest.approx(1.5, rel=1e-4)


def marked(world: World, *, cost: float = 1.0, posted: float = 1.0) -> World:
    """Let every other owner bend."""
    odd = np.arange(len(world.fleet.owner)) % 2 == 1
    return replace(
        world,
        asks=OwnerHabits(
            cost_share=np.where(odd, cost, 1.0), posted_share=np.where(odd, posted, 1.0)
        ),
    )


@pytest.mark.parametrize("name", ["central", "dynamic-central", "audited-market"])
def test_habits_change_nothing_where_asks_are_at_cost(name: str) -> None:
    world = draw_world(tiny(), 1)
    bent = marked(world, cost=3.0, posted=0.2)
    one, two = (run_world(each, regimes[name], digest="-").tables for each in (world, bent))
    assert where_tables_differ(one, two) == []


@pytest.mark.parametrize("name", ["central", "dynamic-central", "audited-market"])
def test_owners_who_may_bend_and_do_not_are_as_those_who_may_not(name: str) -> None:
    world = marked(draw_world(tiny(), 1))
    may, may_not = (
        run_world(world, replace(regimes[name], asking=asking), digest="-").tables
        for asking in (MarkedUp(), AT_COST)
    )
    assert where_tables_differ(may, may_not) == []


def test_where_nobody_reads_what_costs_are_said_to_be_nothing_that_runs_changes() -> None:
    """Under the posted rule sinks are cut, and audits find units in any part of a place."""
    scenario = tiny().replace({"control.service_edge_us": 0.0, "load.model_calls": 150})
    world = draw_world(scenario, 3)
    regime = replace(regimes["central"], audits=Audits.REPLICATION)
    plain = finish(world, regime)
    cut = finish(marked(world, cost=2.0), replace(regime, asking=MarkedUp()))
    assert len(cut.ledger.sink) > len(plain.ledger.sink)
    assert plain.ledger.n_audits > 20
    assert plain.ledger.record.tobytes() == cut.ledger.record.tobytes()
    whole, parts = (run.measured.cost.per_family() for run in (plain, cut))
    assert parts == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize("pricing", list(Pricing))
def test_all_pricing_runs_with_asks_and_leaves_everybody_with_all_of_welfare(
    pricing: Pricing,
) -> None:
    world = marked(draw_world(tiny(), 1), cost=1.7, posted=1.3)
    regime = replace(regimes["audited-market"], pricing=pricing, asking=MarkedUp())
    run = finish(world, regime)
    assert payoffs_of(run.measured).total == pytest.approx(
        float(run.measured.welfare.welfare_usd.sum()), abs=1e-9
    )
    true = run.ledger.sink["asked_busy_usd_per_us"] / run.ledger.sink["busy_usd_per_us"]
    assert set(np.unique(true.round(12))) == {1.0, 1.7}


def test_sinks_are_cut_where_neighbours_ask_different_costs_and_nowhere_else() -> None:
    world = sales(np.array([[0.9]]), n_owners=4)
    facts = lower_facts(mark_up(world, np.array([1.0, 2.0, 2.0, 1.0])), UNIFORM)
    assert facts.offer["sink"].tolist() == [0, 1, 1, 2]
    assert facts.unit["sink"].tolist() == [0, 1, 1, 2]
    assert facts.sink["place"].tolist() == [0, 0, 0]
    again = lower_facts(world, CLEARED, lowered=facts)
    assert again.sink["first_offer"].tolist() == [0]
    assert again.sink["last_offer"].tolist() == [4]


def test_the_yardstick_of_a_world_does_not_hear_its_owners() -> None:
    world = draw_world(tiny(), 1)
    plain, bent = (measure_yardstick(each) for each in (world, marked(world, cost=4.0)))
    assert plain.reference_usd.tolist() == bent.reference_usd.tolist()


def test_asks_below_zero_and_habits_of_others_are_refused() -> None:
    world = sales(np.array([[0.9]]), n_owners=2)
    with pytest.raises(ValueError, match="asked busy_usd_per_us must be at least 0"):
        finish(mark_up(world, np.array([1.0, -1.0])), UNIFORM)
    with pytest.raises(ValueError, match=r"one entry per owner \(2\), got 3"):
        finish(mark_up(world, np.ones(3)), UNIFORM)


def test_asks_need_a_rule_that_weighs_them_to_be_paid() -> None:
    with pytest.raises(Incompatible, match="pricing=PAY_AS_ASK with rule=POSTED"):
        replace(regimes["central"], pricing=Pricing.PAY_AS_ASK, rule=Rule.POSTED)


def test_more_owners_are_strategic_the_larger_their_share() -> None:
    shares = [
        draw_world(tiny().replace({"reporting.strategic_owner_share": share}), 1).asks.cost_share
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    bent = [set(np.flatnonzero(share != 1.0)) for share in shares]
    assert bent[0] == set()
    assert bent[0] < bent[1] < bent[2] < bent[3] < bent[4] == set(range(len(shares[0])))


def test_owners_who_are_paid_what_they_ask_learn_to_ask_more() -> None:
    regime = replace(regimes["market"], pricing=Pricing.PAY_AS_ASK)
    found = best_responses(
        tiny().replace({"load.model_calls": 600}),
        regime,
        seeds=[0, 1],
        shares=[1.0, 2.0],
        n_triers=2,
        n_rounds=2,
        lie=COST,
        workers=1,
    )
    assert found["best_share"].tolist()[0] == 2.0
    assert found["paid_usd"].is_monotonic_increasing


def test_gains_of_owners_are_measured_against_the_truth_of_the_same_worlds() -> None:
    gains = gains_of_bending(
        tiny(), regimes["central"], seeds=[0, 1], shares=[50.0], n_triers=2, lie=POSTED, workers=1
    )
    gain = gains.set_index("own_share")["gain_usd"]
    assert gain[1.0] == 0.0
    assert gain[50.0] < 0.0

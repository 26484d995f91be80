"""Egress that owners charge for: whom they bill, what it costs, what law caps, who moves less."""

from dataclasses import replace

import numpy as np
import pytest

from hanse.agents.world import EgressPrices, World
from hanse.market.accounts.money import EGRESS
from hanse.market.engine.egress import BILLED, COST
from hanse.market.regime import Regime, Rule, regimes
from hanse.market.units import BYTES_PER_GB, MICRO_USD_PER_USD
from hanse.scenarios.draw import draw_world
from hanse.scenarios.run import run_world
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.studies.payoffs import payoffs_of
from hanse.scenarios.tables import jurisdiction_index, read_jurisdictions, read_regions
from tests.small_runs import tiny, where_tables_differ
from tests.strategies import HUB, Finished, finish, with_jobs, world_of

WELFARE = replace(HUB, rule=Rule.WELFARE)


def moving(price_usd_per_gb: float, *, store: int = 0, cost_usd_per_gb: float = 0.02) -> World:
    """Build a job of two stages, 10 GB each, at home in a region that has no unit."""
    world = world_of(arrival_s=[1.0], work_s=[10.0, 5.0], stage_job=[0, 0], units=[1], n_regions=2)
    world = with_jobs(world, stage_input_bytes=np.full(2, 10 * BYTES_PER_GB))
    geography = replace(world.geography, egress_usd_per_gb=np.full(2, cost_usd_per_gb))
    prices = EgressPrices(
        owner_usd_per_gb=np.full((len(world.fleet.owner), 2), price_usd_per_gb),
        buyer_store=np.full(len(world.workload.buyer_region), store),
    )
    return replace(world, geography=geography, egress=prices)


def billed_micro_usd(run: Finished) -> int:
    """Return what was billed for bytes."""
    posted = run.measured.postings
    return int(posted.amount_micro_usd[posted.kind == EGRESS].sum())


@pytest.mark.parametrize("regime", [HUB, WELFARE], ids=["posted", "welfare"])
def test_bytes_are_billed_at_the_price_and_cost_what_they_cost(regime: Regime) -> None:
    run = finish(moving(0.09), regime)
    # The first stage moves 10 GB from home at 0.09; the second runs where its inputs lie.
    assert billed_micro_usd(run) == 900_000
    assert run.measured.welfare.egress_usd.sum() == pytest.approx(0.2)
    assert run.ledger.egress_bill[COST].sum() == pytest.approx(0.2)


def test_who_keeps_its_own_data_is_billed_nothing_and_bears_their_cost() -> None:
    run = finish(moving(0.09, store=-1), HUB)
    assert billed_micro_usd(run) == 0
    assert run.measured.welfare.egress_usd.sum() == pytest.approx(0.2)


def test_the_owner_of_the_unit_charges_for_what_was_made_there() -> None:
    world = world_of(
        arrival_s=[1.0], work_s=[10.0, 5.0], stage_job=[0, 0], units=[0, 1], n_regions=2
    )
    world = with_jobs(
        world,
        stage_input_bytes=np.array([0, 10 * BYTES_PER_GB]),
        stage_region=np.array([0, 1]),
    )
    fleet = replace(world.fleet, node_owner=np.array([1, 0]), owner=("a", "b"))
    fleet = replace(fleet, owner_is_hyperscaler=np.zeros(2, bool))
    prices = EgressPrices(
        owner_usd_per_gb=np.array([[0.5, 0.5], [0.05, 0.7]]), buyer_store=np.array([0])
    )
    run = finish(replace(world, fleet=fleet, egress=prices), HUB)
    # Made on the unit of the second owner, in the first region: 10 GB at 0.05.
    assert run.ledger.egress_bill[BILLED].tolist() == [[0.0, pytest.approx(0.5)]]


@pytest.mark.parametrize("price", [0.0, 0.05, 0.09, 0.5, 5.0])
def test_transfers_do_not_enter_where_the_rule_weighs_resources(price: float) -> None:
    free, charged = finish(moving(0.0), WELFARE), finish(moving(price), WELFARE)
    assert charged.measured.welfare.welfare_usd.sum() == free.measured.welfare.welfare_usd.sum()


def test_a_buyer_who_pays_posted_prices_stays_where_leaving_is_dear() -> None:
    def region_of(price_usd_per_gb: float) -> int:
        world = world_of(arrival_s=[1.0], work_s=[36.0], units=[0, 1], n_regions=2)
        world = with_jobs(world, stage_input_bytes=np.array([10 * BYTES_PER_GB]))
        fleet = replace(world.fleet, node_posted_usd_per_gpu_hour=np.array([100.0, 1.0]))
        prices = EgressPrices(
            owner_usd_per_gb=np.full((len(fleet.owner), 2), price_usd_per_gb),
            buyer_store=np.zeros(len(world.workload.buyer_region), np.int64),
        )
        run = finish(replace(world, fleet=fleet, egress=prices), HUB)
        return int(world.fleet.node_region[run.work["unit"][0]])

    # 36 s cost 1 USD at home and 0.01 away: 0.99 USD buy 10 GB at up to 0.099 USD.
    assert [region_of(price) for price in (0.0, 0.05, 0.098, 0.1, 1.0)] == [1, 1, 1, 0, 0]


def charging(**values: float | str) -> Scenario:
    """Let owners charge for egress in a tiny scenario."""
    dotted = {key.replace("__", "."): value for key, value in values.items()}
    return tiny().replace({"fleet.egress_pricing": "owners", **dotted})


def test_hyperscalers_charge_the_tariff_and_others_what_they_ask() -> None:
    world = draw_world(charging(fleet__neocloud_egress_usd_per_gb=0.01), 2)
    tariff, is_large = read_regions().egress_usd_per_gb, world.fleet.owner_is_hyperscaler
    asked = world.egress.owner_usd_per_gb
    assert (asked[is_large] == tariff).all()
    assert (asked[~is_large] == 0.01).all()
    assert (world.geography.egress_usd_per_gb <= 0.02).all()


def test_the_data_act_caps_what_may_be_charged_in_the_union_alone() -> None:
    free = draw_world(charging(), 2).egress.owner_usd_per_gb
    capped = draw_world(charging(law__egress_rule="at-cost"), 2).egress.owner_usd_per_gb
    nothing = draw_world(
        charging(law__egress_rule="switching-free", law__egress_switching_share=1.0), 2
    ).egress.owner_usd_per_gb
    member = np.array([one == "EU" for one in read_jurisdictions().eu_adequacy])
    inside = member[jurisdiction_index()]
    assert (capped[:, ~inside] == free[:, ~inside]).all()
    assert (capped[:, inside] == np.minimum(free[:, inside], 0.02)).all()
    assert (nothing[:, inside] == 0.0).all()


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_what_is_billed_rises_with_the_price_and_welfare_stays(scale: float) -> None:
    regime = regimes["dynamic-central"]
    one = finish(draw_world(charging(fleet__hyperscaler_egress_scale=1.0), 2), regime)
    other = finish(draw_world(charging(fleet__hyperscaler_egress_scale=scale), 2), regime)
    assert one.ledger.egress_bill[BILLED].sum() > 0
    assert other.ledger.egress_bill[BILLED].sum() == pytest.approx(
        scale * one.ledger.egress_bill[BILLED].sum()
    )
    assert one.measured.welfare.welfare_usd.sum() == other.measured.welfare.welfare_usd.sum()


@pytest.mark.parametrize("name", ["central", "dynamic-central", "market"])
def test_payoffs_sum_to_welfare_where_owners_charge_for_egress(name: str) -> None:
    run = finish(draw_world(charging(fleet__stored_share=0.6), 2), regimes[name])
    billed = run.ledger.egress_bill[BILLED].sum()
    assert billed_micro_usd(run) / MICRO_USD_PER_USD == pytest.approx(billed, abs=1e-3)
    assert payoffs_of(run.measured).total == pytest.approx(
        float(run.measured.welfare.welfare_usd.sum()), abs=1e-9
    )


def test_prices_that_nobody_charges_change_nothing() -> None:
    plain = tiny()
    other = plain.replace(
        {"fleet.hyperscaler_egress_scale": 2.0, "fleet.neocloud_egress_usd_per_gb": 0.09}
    )
    for name in ("central", "market"):
        one, two = (
            run_world(draw_world(each, 2), regimes[name], digest="-").tables
            for each in (plain, other)
        )
        assert where_tables_differ(one, two) == []

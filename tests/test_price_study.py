"""What prices are made of: one price for one good, premiums recovered, and measures by hand."""

from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.clearing import clear_welfare, clearing_scratch
from hanse.market.jurisdictions import RESIDENT
from hanse.market.planner import OPTIMAL, Planner
from hanse.market.regime import DYNAMIC_CENTRAL, Cadence, Pricing, Regime, Rung, ladder
from hanse.market.units import US_PER_S, Floats
from hanse.scenarios.selftest.checks import ON_ARRIVAL
from hanse.scenarios.selftest.oracle_worlds import (
    FREE_CROSSINGS,
    FREE_TERMS,
    plain_workload,
    plain_world,
)
from hanse.scenarios.studies.hedonics import regress
from hanse.scenarios.studies.price_quality import market_quality
from hanse.scenarios.studies.price_study import (
    COVARIATES,
    PLANNER,
    PRICINGS,
    draw_study_map,
    hedonic_premiums,
    price_study,
    purchases,
)
from tests.small_runs import tiny

N_REGIONS: Final = 6
LOCATIONAL: Final = {
    "hub": replace(DYNAMIC_CENTRAL, pricing=Pricing.LOCATIONAL),
    **{rung.name: rung.regime for rung in ladder if rung.regime.pricing is Pricing.LOCATIONAL},
}


def planner_of(horizon_us: int, price_usd_per_gpu_s: Floats) -> Planner:
    """Set the planner's prices, one column per part of the horizon."""
    n_bins = price_usd_per_gpu_s.shape[1]
    return Planner(
        bound_usd=0.0,
        primal_usd=0.0,
        standing_usd=0.0,
        price_usd_per_gpu_s=price_usd_per_gpu_s,
        edges_us=np.linspace(0, horizon_us, n_bins + 1).astype(np.int64),
        n_columns=0,
        seconds=0.0,
        status=OPTIMAL,
    )


def bought_in(world: World, regime: Regime, price: Floats | None = None) -> pd.DataFrame:
    """Tabulate what is bought in a world, beside a planner's prices that are zero if not given."""
    if price is None:
        price = np.zeros((world.geography.n_regions, 1))
    model = ComputeMarket(world, regime, with_agents=False)
    ledger = model.run_to_horizon()
    release(model)
    frame = purchases(world, ledger, planner_of(world.horizon_us, price))
    assert len(frame) == len(ledger.record)
    return frame.assign(accepted_us=ledger.record["accepted_us"])


def one_size_world(
    *, has_law: bool = False, seed: int = 3, n_jobs: int = 500, delay_usd_per_s: float = 0.0
) -> World:
    """Build a world in which nothing rubs, all jobs are of a size, and 500 are more than fit.

    Jobs differ in what they are worth, regions in how far they are from each other, owners in what
    they ask. With law, half of the jobs must stay at home.
    """
    rng = np.random.default_rng(seed)
    work_us = 20 * US_PER_S
    workload = plain_workload(
        np.sort(rng.integers(0, 300 * US_PER_S, n_jobs)),
        np.full(n_jobs, work_us),
        origin=rng.integers(0, N_REGIONS, n_jobs),
        patience_us=120 * US_PER_S,
    )
    is_bound = (rng.random(n_jobs) < 0.5) & has_law
    workload = replace(
        workload,
        job_value_usd=rng.uniform(0.02, 0.2, n_jobs) + delay_usd_per_s * 20,
        job_delay_usd_per_s=np.full(n_jobs, delay_usd_per_s),
        job_data_class=np.where(is_bound, RESIDENT, workload.job_data_class),
    )
    terms = replace(FREE_TERMS, clearing_interval_us=10 * US_PER_S, control_cores=float(N_REGIONS))
    world = plain_world(
        workload, n_nodes=24, n_regions=N_REGIONS, horizon_us=500 * US_PER_S, terms=terms
    )
    rtt_ms = rng.uniform(1.0, 300.0, (N_REGIONS, N_REGIONS))
    ask = rng.uniform(1.5, 4.0, 24)
    fleet = replace(
        world.fleet,
        node_owner=np.arange(24),
        node_posted_usd_per_gpu_hour=ask,
        owner=tuple(f"owner-{k}" for k in range(24)),
        owner_is_hyperscaler=np.zeros(24, bool),
    )
    geography = replace(world.geography, rtt_ms=rtt_ms + rtt_ms.T)
    return replace(world, geography=geography, fleet=fleet)


def spread_within_clearings(bought: pd.DataFrame) -> "pd.Series[float]":
    """Return the range of what was paid in each clearing; all stages are of one size."""
    paid = bought.groupby("accepted_us")["paid_usd"]
    return paid.max() - paid.min()


@settings(max_examples=200)
@given(
    value=st.lists(st.integers(-5, 30), min_size=1, max_size=12),
    capacity=st.lists(st.integers(0, 4), min_size=1, max_size=6),
)
def test_equal_units_have_one_price_in_a_clearing(value: list[int], capacity: list[int]) -> None:
    units = np.array(capacity, np.int64)
    book = np.repeat(np.array(value, np.int64)[:, None], len(units), axis=1)
    assignment, price = np.empty(len(value), np.int64), np.empty(len(units), np.int64)
    clear_welfare(book, units, assignment, price, clearing_scratch(len(value), len(units)))
    # The highest value that is left out, if any is worth a unit: what one more unit would add.
    left_out = sorted(value, reverse=True)[int(units.sum()) :]
    expected = max([0, *left_out])
    assert price[units > 0].tolist() == [expected] * int((units > 0).sum())


@pytest.mark.parametrize("regime", LOCATIONAL.values(), ids=LOCATIONAL)
def test_one_price_for_one_good_without_friction_and_law(regime: Regime) -> None:
    bought = bought_in(one_size_world(), regime)
    spread = spread_within_clearings(bought)
    many = bought.groupby("accepted_us")["region"].nunique() > 1
    assert many.sum() > 20
    assert spread.tolist() == [0.0] * len(spread)
    assert (bought["paid_usd"] > 1.5 * bought["cost_usd"]).mean() > 0.5  # scarcity is real
    # One price at a time, not one price for ever.
    assert bought["paid_usd"].nunique() > 10


def test_law_parts_the_prices_of_equal_units() -> None:
    bought = bought_in(one_size_world(has_law=True), LOCATIONAL["hub"])
    assert (spread_within_clearings(bought) > 0).sum() > 5


def test_owners_who_post_their_prices_know_no_one_price() -> None:
    bought = bought_in(one_size_world(), DYNAMIC_CENTRAL)
    assert (spread_within_clearings(bought) > 0).mean() > 0.5


def test_there_is_no_proximity_premium_where_distance_costs_nothing() -> None:
    bought = bought_in(one_size_world(), LOCATIONAL["hub"])
    price = (bought["paid_usd"] / bought["hours"]).to_numpy()
    rtt_ms, instant = bought["rtt_ms"].to_numpy(), bought["accepted_us"].to_numpy()
    fit = regress(price, {"rtt_ms": rtt_ms}, within=instant)
    assert rtt_ms.std() > 50.0
    assert price.std() > 1.0
    assert abs(fit["rtt_ms"][0]) < 1e-12


def test_scarcity_that_sends_buyers_far_is_no_premium_on_distance() -> None:
    rng = np.random.default_rng(6)
    frame = synthetic(rng, 20)
    scarcity = rng.exponential(1.0, 20 * 60)[frame["seed"] * 60 + frame["minute"]]
    bought = frame.assign(
        paid_usd=frame["hours"] * (2.0 + scarcity),
        rtt_ms=rng.uniform(1.0, 100.0, len(frame)) * (1.0 + scarcity),
    )
    found = hedonic_premiums(bought).set_index(["outcome", "term"])
    assert found.loc[("price", "rtt_ms"), "coefficient"] == pytest.approx(0.0, abs=1e-12)
    # Without the minute, far would look dear.
    assert np.corrcoef(bought["rtt_ms"], bought["paid_usd"] / bought["hours"])[0, 1] > 0.5


def test_far_units_must_be_cheaper_where_distance_costs() -> None:
    # Who chooses among posted prices goes far only if that pays. A round trip of 1 ms costs 0.5 ms
    # of delay: 0.02 USD/s * 0.5 ms / (20 / 3600 h) = 0.0018 USD an hour, which bounds what choosing
    # can make of it.
    worlds = [
        bought_in(one_size_world(seed=seed, n_jobs=200, delay_usd_per_s=0.02), ON_ARRIVAL)
        for seed in range(8)
    ]
    bought = pd.concat([one.assign(seed=seed, rung="posted") for seed, one in enumerate(worlds)])
    found = hedonic_premiums(bought).set_index(["outcome", "term"])
    mean, low, high = found.loc[("price", "rtt_ms"), ["coefficient", "ci_low", "ci_high"]]
    assert -0.0018 < mean < 0.0
    assert low < high < 0.0


def synthetic(rng: np.random.Generator, n_worlds: int) -> pd.DataFrame:
    """Draw purchases whose prices are made of what is bought by known coefficients."""
    n = n_worlds * 240
    frame = pd.DataFrame(
        {
            "rung": "made-up",
            "family": "job",
            "seed": np.repeat(np.arange(n_worlds), 240),
            "bin": rng.integers(0, 3, n),
            "minute": rng.integers(0, 60, n),
            "accelerator_class": 0,
            "hours": rng.uniform(0.01, 1.0, n),
            "electricity_usd_per_kwh": rng.uniform(0.05, 0.3, n),
            "rtt_ms": rng.uniform(1.0, 300.0, n),
            "gbps": rng.choice([5.0, 10.0], n),
            "crosses_border": rng.integers(0, 2, n).astype(float),
            "serving_share": rng.uniform(0.6, 1.0, n),
            "is_tempted": rng.integers(0, 2, n).astype(float),
            "verifier_rtt_ms": rng.uniform(1.0, 300.0, n),
        }
    )
    cost = 1.0 + 0.7 * frame["electricity_usd_per_kwh"]
    dual = 2.0 - 0.001 * frame["rtt_ms"] + 0.3 * frame["bin"]
    shared = rng.normal(0.0, 0.3, n_worlds)[frame["seed"]] + rng.normal(0.0, 0.2, n)
    price = cost + dual + shared - 0.002 * frame["rtt_ms"] + 0.5 * frame["serving_share"]
    return frame.assign(
        cost_usd=cost * frame["hours"],
        paid_usd=price * frame["hours"],
        dual_usd_per_gpu_hour=dual,
    )


def test_known_premiums_are_recovered_in_the_market_in_the_duals_and_between() -> None:
    frame = hedonic_premiums(synthetic(np.random.default_rng(8), 30))
    found = frame.set_index(["outcome", "term"])
    true = {
        ("price", "rtt_ms"): -0.003,
        ("planner price", "rtt_ms"): -0.001,
        ("rent", "rtt_ms"): -0.002,
        ("price", "serving_share"): 0.5,
        ("planner price", "serving_share"): 0.0,
        ("price", "verifier_rtt_ms"): 0.0,
    }
    for key, value in true.items():
        mean, low, high = found.loc[key, ["coefficient", "ci_low", "ci_high"]]
        # 2.2 half-widths are 4.5 standard errors: by chance one in ten thousand is farther off.
        assert abs(mean - value) <= 2.2 * (high - low) / 2 + 1e-9, key
        assert high - low < 0.4
    assert found.loc[("price", "rtt_ms"), "ci_high"] < -0.0025
    assert set(frame["n_worlds"]) == {30}


def test_the_proximity_rent_is_the_market_premium_less_the_dual_one() -> None:
    found = hedonic_premiums(synthetic(np.random.default_rng(9), 5))
    by_outcome = found.pivot_table(index="term", columns="outcome", values="coefficient")
    between = by_outcome["price"] - by_outcome["planner price"]
    assert by_outcome["rent"].to_numpy() == pytest.approx(between.to_numpy(), abs=1e-9)
    assert set(by_outcome.index) == set(COVARIATES)


def test_a_purchase_says_what_was_bought_and_what_the_planner_would_charge() -> None:
    workload = plain_workload(
        np.array([5, 8]) * US_PER_S, np.array([10, 60]) * US_PER_S, origin=np.array([0, 2])
    )
    workload = replace(workload, job_data_class=np.array([0, RESIDENT]))
    world = plain_world(workload, n_nodes=3, n_regions=3, horizon_us=20 * US_PER_S, rtt_ms=80.0)
    world = replace(
        world,
        fleet=replace(
            world.fleet,
            node_region=np.array([1, 2]),
            node_class=np.zeros(2, np.int64),
            node_owner=np.zeros(2, np.int64),
            node_free_from_us=np.zeros(2, np.int64),
            node_posted_usd_per_gpu_hour=np.array([2.0, 3.0]),
        ),
    )
    price = np.array([[9.0, 9.0], [1.0, 3.0], [0.5, 1.5]]) / 3_600
    bought = bought_in(world, ON_ARRIVAL, price)
    near, home = bought.iloc[0], bought.iloc[1]
    assert (near["region"], home["region"]) == ("region-1", "region-2")
    assert near["hours"] == pytest.approx(10 / 3_600)
    assert near["paid_usd"] == pytest.approx(2.0 * 10 / 3_600, abs=1e-6)
    assert near["cost_usd"] == pytest.approx(1.0 * 10 / 3_600)
    assert near["match_s"] == home["match_s"] == 0.0
    # From 5 s to 15 s, half at 1 USD an hour and half at 3; from 8 s to the horizon at 20 s, 2 s
    # at 0.5 and 10 s at 1.5.
    assert near["dual_usd_per_gpu_hour"] == pytest.approx(2.0)
    assert home["dual_usd_per_gpu_hour"] == pytest.approx((2 * 0.5 + 10 * 1.5) / 12)
    assert (near["rtt_ms"], home["rtt_ms"]) == (80.0, 1.0)
    assert (near["crosses_border"], home["crosses_border"]) == (1.0, 0.0)
    # The second job must stay in region 2, so that half of the jobs may run in region 1.
    assert (near["serving_share"], home["serving_share"]) == (0.5, 1.0)


def test_where_nothing_is_scarce_a_locational_price_is_the_resource_cost() -> None:
    n_jobs = 5
    workload = plain_workload(
        np.arange(1, n_jobs + 1) * 40 * US_PER_S, np.full(n_jobs, 20 * US_PER_S)
    )
    workload = replace(workload, stage_holds=np.ones(n_jobs, bool))
    world = plain_world(
        workload,
        n_nodes=2,
        n_regions=2,
        horizon_us=300 * US_PER_S,
        rtt_ms=200.0,
        crossing=replace(FREE_CROSSINGS, identity_full_us=9e6, proxy_us=1e6, round_trip_scale=1.0),
        terms=replace(FREE_TERMS, active_w=700.0, idle_w=100.0),
    )
    geography = replace(world.geography, electricity_usd_per_kwh=np.array([9.0, 5.0]))
    fleet = replace(world.fleet, node_region=np.array([1, 1]))
    world = replace(world, geography=geography, fleet=fleet)
    bought = bought_in(world, replace(LOCATIONAL["hub"], cadence=Cadence.ON_ARRIVAL))
    # 10.4 s held (identity and its round trip, policy, the round trip of state), 20 s at work; an
    # hour costs 1 USD and 5 USD/kWh * 0.1 or 0.7 kW.
    assert bought["hours"].tolist() == pytest.approx([30.4 / 3_600] * n_jobs)
    expected_usd = (10.4 * 1.5 + 20.0 * 4.5) / 3_600
    assert bought["cost_usd"].tolist() == pytest.approx([expected_usd] * n_jobs)
    assert bought["paid_usd"].tolist() == pytest.approx([expected_usd] * n_jobs, abs=1.1e-6)


def test_what_is_done_again_is_bought_again_and_matched_once() -> None:
    workload = plain_workload(np.array([US_PER_S]), np.array([10 * US_PER_S]))
    # The first attempt is tempted and audited, no later one is.
    later = np.ones_like(workload.attempt_audit)
    later[0] = 0.0
    workload = replace(workload, attempt_audit=later, attempt_temptation=later)
    terms = replace(
        FREE_TERMS, audit_probability=0.5, temptation_share=0.5, saved_share=0.6, stake_multiple=0.0
    )
    world = plain_world(workload, n_nodes=2, horizon_us=100 * US_PER_S, terms=terms)
    regime = replace(LOCATIONAL["audited-market"], cadence=Cadence.ON_ARRIVAL)
    model = ComputeMarket(world, regime, with_agents=False)
    bought = purchases(world, model.run_to_horizon(), planner_of(10**8, np.zeros((1, 1))))
    release(model)
    assert bought["is_tempted"].tolist() == [1.0, 0.0]
    assert bought["match_s"].isna().tolist() == [False, True]
    assert bought["match_s"].iloc[0] == 0.0


def purchase(
    region: str, unit: int, hours: float, paid_usd: float, **more: float
) -> dict[str, object]:
    """Write one purchase at a cost of 1 USD an hour."""
    return {
        "region": region,
        "unit": unit,
        "hours": hours,
        "paid_usd": paid_usd,
        "cost_usd": hours,
        "bin": 0,
        "accelerator_class": 0,
        "dual_usd_per_gpu_hour": 0.0,
        "match_s": 4.0,
    } | more


def test_the_quality_of_prices_is_that_worked_by_hand() -> None:
    bought = pd.DataFrame(
        [
            purchase("a", 0, 1.0, 2.0, dual_usd_per_gpu_hour=1.0),
            purchase("a", 1, 1.0, 4.0, dual_usd_per_gpu_hour=1.0, match_s=float("nan")),
            purchase("b", 2, 2.0, 10.0, dual_usd_per_gpu_hour=3.0, match_s=10.0),
        ]
    )
    found = market_quality(bought)
    assert found["price_usd_per_gpu_hour"] == 16.0 / 4.0
    # Cells at 3 and 5 USD an hour, duals 1 and 3: on one line.
    assert found["informativeness_r2"] == pytest.approx(1.0)
    # The planner would charge 1 + 1 and 1 + 3: off by 1 everywhere.
    assert found["deviation_usd_per_gpu_hour"] == pytest.approx(1.0)
    assert found["regional_dispersion_cv"] == pytest.approx(2**0.5 / 4.0)
    # In "a" units at 2 and 4; "b" sold one unit alone.
    assert found["equal_unit_dispersion_cv"] == pytest.approx(2**0.5 / 3.0)
    assert found["margin_share"] == pytest.approx((16.0 - 4.0) / 16.0)
    assert found["time_to_match_s"] == pytest.approx(7.0)


def test_what_does_not_vary_informs_of_nothing() -> None:
    bought = pd.DataFrame([purchase("a", 0, 1.0, 2.0), purchase("b", 1, 1.0, 2.0)])
    found = market_quality(bought)
    assert np.isnan([found["informativeness_r2"], found["equal_unit_dispersion_cv"]]).all()
    assert found["regional_dispersion_cv"] == 0.0


def test_a_study_has_every_rung_and_family_and_the_planner_beside() -> None:
    rungs: tuple[Rung, ...] = (ladder[4], ladder[5])
    study = price_study(tiny(), seeds=[0, 1, 2], regimes=rungs, workers=1)
    again = price_study(tiny(), seeds=[0, 1, 2], regimes=rungs, workers=2)
    names = {rung.name for rung in rungs}
    assert set(study.premiums["rung"]) == set(study.quality["rung"]) == names
    assert set(study.places["rung"]) == names | {PLANNER}
    assert set(study.premiums["family"]) == {"batch", "model_call"}
    assert (study.premiums["n_worlds"] <= 3).all()
    # The two rungs make the same assignments; they pay differently for them.
    match = study.quality[study.quality["measure"] == "time_to_match_s"]
    assert match.groupby("family")["mean"].nunique().tolist() == [1, 1]
    price = study.quality[study.quality["measure"] == "price_usd_per_gpu_hour"]
    assert price.groupby("family")["mean"].nunique().tolist() == [2, 2]
    pd.testing.assert_frame_equal(study.premiums, again.premiums)
    pd.testing.assert_frame_equal(study.places, again.places)


def test_every_way_of_pricing_pays_another_price_for_the_same_units() -> None:
    scarce = tiny().with_settings(["fleet.nodes=4"])
    study = price_study(scarce, seeds=[0, 1], regimes=PRICINGS, workers=1)
    quality = study.quality.set_index(["measure", "rung"])["mean"]
    assert len(PRICINGS) == len(Pricing)
    assert quality["time_to_match_s"].groupby("rung").mean().nunique() == 1
    paid = quality["price_usd_per_gpu_hour"].groupby("rung").mean()
    assert paid["pay-as-ask"] < paid["locational"] < paid["pay-as-bid"]
    assert paid.nunique() == len(PRICINGS)
    figure = draw_study_map(study)
    assert figure is not None
    headings = [axis.get_ylabel().split("\n")[0] for axis in figure.axes]
    assert [*(rung.name for rung in PRICINGS), PLANNER] == [one for one in headings if one]

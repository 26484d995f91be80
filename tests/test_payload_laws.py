"""Payload laws: closed forms against their oracles, and the engine against the closed forms."""

from dataclasses import replace
from math import inf, log

import numpy as np
import pytest
from scipy.optimize import brentq

from hanse.agents.world import World
from hanse.market.accounts.occupancy import B, C, U
from hanse.market.engine.states import AUDITING, POLICY
from hanse.market.regime import ladder
from hanse.market.units import US_PER_S, Flags, Floats
from hanse.scenarios.growth.payload_laws import (
    first_passage_years,
    fraction_of_linear_law,
    fraction_of_product_law,
    margin,
    midpoint,
    midpoint_shift,
    share_after,
    tokens_per_s,
    width_90_10,
)
from tests.strategies import AUDITED, HUB, finish, with_jobs, with_luck, with_power_cap, world_of

WORK_S = 1.0
N_JOBS = 4
ADDED_W = 600.0


@pytest.mark.parametrize(
    ("levels", "width"), [(1.2, 24.1), (1.5, 10.8), (2, 6.34), (3, 4.0), (10, 1.91)]
)
def test_the_width_of_the_product_law_is_4_394_over_the_log_of_its_levels(
    levels: float, width: float
) -> None:
    assert width_90_10(levels) == pytest.approx(width, abs=0.05)

    def at(share: float) -> float:
        return float(
            brentq(
                lambda d: fraction_of_product_law(d, unit=1e-3, levels=levels) - share, -100, 100
            )
        )

    assert at(0.1) - at(0.9) == pytest.approx(width_90_10(levels), rel=1e-9)
    assert at(0.5) == pytest.approx(midpoint(1e-3, levels), rel=1e-9)


def test_ten_times_the_efficiency_moves_the_midpoint_by_a_constant() -> None:
    assert midpoint_shift(10.0, 2.0) == pytest.approx(3.32, abs=0.005)
    moved = midpoint(1e-4, 2.0) - midpoint(1e-3, 2.0)
    assert moved == pytest.approx(midpoint_shift(10.0, 2.0), rel=1e-12)


def test_the_linear_law_has_no_cliff() -> None:
    dimensions = np.array([0.0, 1.0, 9.0, 99.0])
    fraction = fraction_of_linear_law(dimensions, unit=1.0)
    assert fraction.tolist() == [1.0, 0.5, 0.1, 0.01]


def test_output_without_coordination_is_efficiency_times_watts() -> None:
    assert tokens_per_s(0.25, 4_000.0) == 1_000.0
    assert tokens_per_s(0.25, 4_000.0, coordination_w=5_000.0) == 0.0


def test_margin_is_how_often_coordination_fits_into_the_threshold() -> None:
    assert margin(0.01) == pytest.approx(50.0)
    assert margin(0.0) == inf


@pytest.mark.parametrize(("overhead", "capacity"), [(0.4, 0.1), (log(2.0), 0.3), (0.2, -0.1)])
def test_first_passage_is_when_the_share_is_there(overhead: float, capacity: float) -> None:
    rates = {"overhead_rate": overhead, "capacity_rate": capacity}
    years = first_passage_years(0.001, threshold=0.5, **rates)
    assert share_after(years, 0.001, **rates) == pytest.approx(0.5, rel=1e-12)


def test_overhead_that_grows_no_faster_than_capacity_never_passes() -> None:
    assert first_passage_years(0.4, threshold=0.5, overhead_rate=0.2, capacity_rate=0.2) == inf
    assert first_passage_years(0.6, threshold=0.5, overhead_rate=0.1, capacity_rate=0.2) == 0.0


def policy_world(dimensions: int, *, levels: int, order: int, rule_us: float) -> World:
    """Build jobs of a second that cross into a region under the same law, holding their unit.

    The crossing is free but for the rules of its policy.
    """
    world = world_of(
        arrival_s=[0.0] * N_JOBS,
        work_s=[WORK_S] * N_JOBS,
        origin=[0] * N_JOBS,
        units=[1] * N_JOBS,
        n_regions=2,
        horizon_s=1e5,
    )
    world = with_jobs(world, stage_holds=np.ones(N_JOBS, bool))
    return replace(
        world,
        geography=replace(world.geography, region_jurisdiction=np.zeros(2, np.int64)),
        crossing=replace(
            world.crossing,
            policy_rule_us=rule_us,
            rule_dimensions=dimensions,
            rule_levels=levels,
            interaction_order=order,
        ),
    )


def payload_fraction(world: World, rung: int) -> float:
    """Return payload over payload and the units held for policy, from the ledger of units."""
    occupancy = finish(world, ladder[rung].regime).measured.occupancy
    payload_us = occupancy.unit_us[occupancy.label == U].sum()
    held = (occupancy.label == B) & (occupancy.operation == POLICY)
    assert payload_us == N_JOBS * WORK_S * US_PER_S
    assert not (occupancy.label == C).any()
    return float(payload_us / (payload_us + occupancy.unit_us[held].sum()))


def curve(dimensions: range, *, rung: int, **law: float) -> Floats:
    """Run the law at each number of dimensions; by default rules join all of them."""
    levels, rule_us = int(law["levels"]), law["rule_us"]
    return np.array(
        [
            payload_fraction(
                policy_world(d, levels=levels, order=int(law.get("order", d)), rule_us=rule_us),
                rung,
            )
            for d in dimensions
        ]
    )


@pytest.mark.parametrize("rung", [0, 4, 7], ids=["central", "venues", "audited-market"])
@pytest.mark.parametrize("levels", [1, 2, 9])
def test_joint_rules_held_for_give_the_product_law_in_the_ledger(levels: int, rung: int) -> None:
    # Rules that may leave a condition open: (levels + 1)**dimensions of them.
    found = curve(range(8), rung=rung, levels=levels, rule_us=1_000.0)
    law = fraction_of_product_law(np.arange(8.0), unit=1e-3, levels=levels + 1.0)
    assert found == pytest.approx(law, rel=1e-6)


def test_rules_of_one_condition_each_give_the_linear_law_in_the_ledger() -> None:
    found = curve(range(0, 40, 8), rung=0, levels=2, rule_us=10_000.0, order=1)
    # One rule applies always, and two more per condition.
    overhead = 0.01 * (1.0 + 2.0 * np.arange(0, 40, 8))
    assert found == pytest.approx(fraction_of_linear_law(overhead, unit=1.0), rel=1e-6)


def test_tenfold_efficiency_moves_the_ledgers_curve_by_the_same_dimensions() -> None:
    slow = curve(range(15), rung=0, levels=1, rule_us=10_000.0)
    fast = curve(range(15), rung=0, levels=1, rule_us=1_000.0)

    def half(fraction: Floats) -> float:
        odds = np.log(fraction / (1.0 - fraction))
        return float(np.interp(0.0, -odds, np.arange(15.0)))

    assert half(fast) - half(slow) == pytest.approx(midpoint_shift(10.0, 2.0), rel=1e-3)


def full_site(*, share: float, coordinates: bool) -> World:
    """Build a site of ten units of 700 W at work and 100 W idle, with work for all of them.

    Where it coordinates, all first results come to be audited, while all others are at work.
    """
    world = world_of(
        arrival_s=[0.0] * 10,
        work_s=[5.0] * 2 + [500.0] * 8,
        units=[0] * 10,
        horizon_s=40.0,
        active_w=700.0,
        idle_w=100.0,
        audit_probability=0.5,
        audit_share=40.0,
    )
    audit = [[0.0] * 2 + [1.0] * 8] if coordinates else [[1.0] * 10]
    return with_power_cap(with_luck(world, audit=audit), share)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("coordinates", [False, True])
def test_a_capped_site_yields_what_huangs_equation_with_its_missing_term_says(
    share: float, coordinates: bool
) -> None:
    world = full_site(share=share, coordinates=coordinates)
    run = finish(world, AUDITED if coordinates else HUB)
    occupancy, horizon_s = run.measured.occupancy, run.ledger.horizon_us / US_PER_S

    def mean_units(chosen: Flags) -> float:
        return float(occupancy.unit_us[chosen].sum()) / US_PER_S / horizon_s

    payload = mean_units(occupancy.label == U)
    audits = mean_units((occupancy.label == C) & (occupancy.cause == AUDITING))
    assert (audits > 0.1) == coordinates
    said = tokens_per_s(
        1.0 / ADDED_W, share * 7_000.0, coordination_w=audits * ADDED_W, idle_w=1_000.0
    )
    # One token is a second of work at full speed; rates are rounded down to a millionth.
    assert payload == pytest.approx(said, rel=1e-5)
    without = tokens_per_s(1.0 / ADDED_W, share * 7_000.0, idle_w=1_000.0)
    assert payload + audits == pytest.approx(without, rel=1e-5)


def test_a_site_that_neither_coordinates_nor_idles_yields_efficiency_times_watts() -> None:
    world = full_site(share=0.5, coordinates=False)
    world = replace(world, terms=replace(world.terms, idle_w=0.0))
    occupancy = finish(world, HUB).measured.occupancy
    payload_s = float(occupancy.unit_us[occupancy.label == U].sum()) / US_PER_S
    assert payload_s / 40.0 == pytest.approx(tokens_per_s(1.0 / 700.0, 3_500.0), rel=1e-5)

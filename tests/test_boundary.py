"""Boundaries: edges and widths that paper knows, found by the driver that asks the engine."""

import numpy as np
import pandas as pd
import pytest

from hanse.agents.world import World
from hanse.market.regime import CENTRAL
from hanse.market.units import US_PER_S
from hanse.scenarios.commands.boundary import _where
from hanse.scenarios.growth.boundary import (
    Answer,
    Ask,
    Start,
    answer_of,
    asking,
    find_edge,
    overloaded,
)
from hanse.scenarios.growth.hysteresis import (
    escape_time,
    hysteresis,
    mean_interval,
    sweep_both_ways,
)
from hanse.scenarios.growth.transitions import fit_transition, of_thresholds
from hanse.scenarios.growth.unfinished_work import work_path
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.selftest.checks import ON_ARRIVAL, run_ledger
from hanse.scenarios.selftest.oracle_worlds import plain_workload, plain_world
from hanse.scenarios.streams import stream
from tests.small_runs import tiny
from tests.strategies import world_of

N_UNITS = 4
HORIZON_S = 600


def loaded_world(utilisation: float, seed: int) -> World:
    """Build a fleet of four units under Poisson jobs of exponential work, mean one second.

    The arrivals of one seed are the same but for their pace, whatever the utilisation.
    """
    n_jobs = int(1.6 * N_UNITS * HORIZON_S)
    gaps_s = stream(seed, "boundary.gaps").exponential(1.0, n_jobs) / (N_UNITS * utilisation)
    arrival_us = np.rint(np.cumsum(gaps_s) * US_PER_S).astype(np.int64)
    work_s = stream(seed, "boundary.work").exponential(1.0, n_jobs)
    here = arrival_us < HORIZON_S * US_PER_S
    work_us = np.rint(work_s * US_PER_S).astype(np.int64) + 1
    workload = plain_workload(arrival_us[here], work_us[here])
    return plain_world(workload, n_nodes=N_UNITS, horizon_us=HORIZON_S * US_PER_S)


def load_of(pulse_s: float) -> Ask:
    """Ask the engine at a utilisation."""

    def ask(x: float, seed: int, start: Start) -> Answer:
        return answer_of(loaded_world(x, seed), ON_ARRIVAL, start=start, pulse_s=pulse_s)

    return ask


def test_unfinished_work_and_payload_by_hand() -> None:
    # Two units; jobs of 4 s at 0, 2 and 2.5 s run from 0, 2 and, after a wait, 4 s on.
    world = world_of(arrival_s=[0, 2, 2.5], work_s=[4, 4, 4], units=[0, 0], horizon_s=10)
    path = work_path(run_ledger(world, ON_ARRIVAL), n_instants=11)
    left_s = [4, 3, 2 + 4, 1 + 3 + 4, 2 + 4, 1 + 3, 2, 1, 0, 0, 0]
    assert path.unfinished_s == pytest.approx(np.array(left_s) / 2, abs=1e-9)
    assert path.payload_share == pytest.approx([0.5, 0.5, 1, 1, 1, 1, 0.5, 0.5, 0, 0], abs=1e-9)
    assert path.mean_payload_share(0.0) == pytest.approx(12 / 20)  # 12 GPU-s of 2 units x 10 s


def test_a_job_that_is_given_up_is_unfinished_no_more_and_no_payload() -> None:
    world = world_of(arrival_s=[0, 1], work_s=[8, 4], units=[0], horizon_s=10, patience_s=8.5)
    path = work_path(run_ledger(world, ON_ARRIVAL), n_instants=11)
    # The second could not be done by 10 s, and is given up when its patience of 8.5 s ends.
    left_s = [8, 11, 10, 9, 8, 7, 6, 5, 4, 4, 0]
    assert path.unfinished_s == pytest.approx(left_s, abs=1e-9)
    assert path.payload_share.sum() == pytest.approx(8)


def test_the_edge_of_a_fleet_is_where_load_meets_capacity() -> None:
    edge = find_edge(load_of(0.0), low=0.5, high=1.5, seeds=range(8), tolerance=0.02)
    assert edge.transition is not None
    assert edge.transition.is_falling
    # Work may grow by 1 % of capacity, so that the edge is at 1.01; the horizon is finite.
    assert edge.transition.location.holds(1.01)
    assert 0.95 < edge.transition.location.value < 1.07
    assert edge.transition.width.value < 0.25
    assert edge.thresholds["is_executable_low"].all()
    assert not edge.thresholds["is_executable_high"].any()
    assert len(edge.runs) == 8 * (2 + 6)  # a range of 1 is halved six times to be below 0.02


def test_a_range_in_which_nothing_turns_has_no_edge() -> None:
    edge = find_edge(load_of(0.0), low=0.2, high=0.4, seeds=range(2), tolerance=0.1)
    assert edge.transition is None
    assert edge.thresholds["threshold"].isna().all()
    assert edge.thresholds["is_executable_high"].all()


def test_a_backlog_lasts_as_long_as_fluid_theory_says_and_leaves_no_hysteresis() -> None:
    pulse_s = 40.0
    found = escape_time(load_of(pulse_s), at=0.6, seeds=range(8), pulse_s=pulse_s)
    assert found.escaped_share == 1.0
    # A pulse of D leaves D x rho per unit, which drains at 1 - rho: 40 x 0.6 / 0.4 = 60 s.
    assert mean_interval(found.escaped_s, confidence=0.999).holds(60.0)
    swept = sweep_both_ways(load_of(pulse_s), points=[0.4, 0.6], seeds=range(4))
    assert hysteresis(swept).value == pytest.approx(0.0, abs=1e-12)


def test_an_overloaded_start_occupies_every_unit_and_changes_nothing_else() -> None:
    world = loaded_world(0.5, 0)
    late = overloaded(world, 30.0)
    assert (late.fleet.node_free_from_us == 30 * US_PER_S).all()
    assert overloaded(world, 0.0).digest() == world.digest()
    with pytest.raises(ScenarioError, match="the pulse must end before the horizon of 600 s"):
        answer_of(world, ON_ARRIVAL, start=Start.EMPTY, pulse_s=600.0)


def test_seeds_of_which_some_execute_throughout_are_not_said_to_execute_nowhere() -> None:
    assert _where(pd.Series([True, True])) == "executable throughout"
    assert _where(pd.Series([False, False])) == "executable nowhere"
    assert _where(pd.Series([True, False, False])) == "throughout on 1 seed, nowhere on 2"


def bistable(x: float, _: int, start: Start) -> Answer:
    """Collapse at 0.8 from an empty start, and at 0.5 from an overloaded one."""
    turns = 0.8 if start is Start.EMPTY else 0.5
    return Answer(payload_share=0.6 if x < turns else 0.0, growth_share=0.0)


def test_the_area_between_two_branches_is_hysteresis() -> None:
    points = np.linspace(0.0, 1.0, 101).tolist()
    area = hysteresis(sweep_both_ways(bistable, points=points, seeds=range(3)))
    assert area.value == pytest.approx(0.6 * 0.3, abs=1e-9)
    edges = [
        find_edge(bistable, low=0, high=1, seeds=[0, 1], tolerance=1e-3, start=start).transition
        for start in Start
    ]
    found = [edge.location.value for edge in edges if edge is not None]
    assert found == pytest.approx([0.8, 0.5], abs=1e-3)


@pytest.mark.parametrize(
    ("factor", "width"), [(1.2, 24.1), (1.5, 10.8), (2.0, 6.34), (3.0, 4.0), (10.0, 1.91)]
)
def test_o16_the_width_of_a_product_law_is_4_394_over_the_log_of_its_factor(
    factor: float, width: float
) -> None:
    middle = 30.0

    def ask(x: float, seed: int, start: Start) -> Answer:
        share = 1.0 / (1.0 + factor ** (x - middle))
        return Answer(payload_share=share, growth_share=0.0)

    points = np.linspace(middle - 2 * width, middle + 2 * width, 41).tolist()
    swept = sweep_both_ways(ask, points=points, seeds=[0])
    up = swept[swept["start"] == "empty"]
    found = fit_transition(up["x"].to_numpy(), up["payload_share"].to_numpy())
    assert found.is_falling
    assert found.location.value == pytest.approx(middle, abs=1e-6)
    assert found.width.value == pytest.approx(width, rel=0.005)
    # The floor of the payload rate puts the edge where the share is 5 %: ln 19 / ln b further on.
    edge = find_edge(ask, low=0, high=100, seeds=[0, 1], tolerance=1e-3).transition
    assert edge is not None
    assert edge.location.value == pytest.approx(middle + np.log(19) / np.log(factor), abs=1e-3)


def test_o16_ten_times_the_efficiency_moves_the_middle_by_a_constant() -> None:
    x = np.linspace(0, 40, 81)
    middles = [
        fit_transition(x, 1.0 / (1.0 + k * 2.0**x)).location.value for k in (1e-4, 1e-5, 1e-6)
    ]
    assert np.diff(middles) == pytest.approx([3.3219, 3.3219], abs=1e-3)  # ln 10 / ln 2


def test_intervals_of_a_transition_cover_the_truth() -> None:
    x = np.tile(np.linspace(-4, 4, 17), 10)
    share = 1.0 / (1.0 + np.exp(1.5 * x))
    rng = stream(0, "cover")
    found = [fit_transition(x, (rng.random(len(x)) < share).astype(float)) for _ in range(200)]
    held = np.array([(one.location.holds(0.0), one.width.holds(4.394 / 1.5)) for one in found])
    # 95 % of 200 is 190; 177 is the 0.1 % quantile of the binomial law.
    assert (held.sum(axis=0) >= 177).all()


def test_a_clean_cut_is_known_to_the_gap() -> None:
    found = fit_transition(np.array([1.0, 2, 3, 4]), np.array([1.0, 1, 0, 0]))
    assert found.is_separated
    assert (found.location.low, found.location.high) == (2.0, 3.0)
    assert (found.width.low, found.width.high) == (0.0, 1.0)
    with pytest.raises(ScenarioError, match="nothing turns: the share is 1 everywhere"):
        fit_transition(np.array([1.0, 2]), np.array([1.0, 1]))


def test_the_width_over_thresholds_is_that_of_their_logistic_law() -> None:
    threshold = stream(0, "thresholds").logistic(5.0, 2.0, 400)
    found = of_thresholds(threshold, is_falling=True)
    assert found.location.holds(5.0)
    assert found.width.holds(2 * 4.394)


def test_a_bisection_claims_no_more_than_its_tolerance() -> None:
    edge = find_edge(bistable, low=0.0, high=1.0, seeds=[0, 1], tolerance=0.1).transition
    assert edge is not None
    assert edge.location.high - edge.location.low >= 0.1
    assert edge.location.holds(0.8)
    assert edge.width.high >= 0.1


def test_a_scenario_is_asked_along_any_parameter_and_alike_by_any_regime() -> None:
    ask = asking(tiny(), CENTRAL, "fleet.nodes", pulse_s=60.0)
    few, many = ask(5.0, 1, Start.EMPTY), ask(60.4, 1, Start.EMPTY)
    assert few.path is not None
    assert many.path is not None
    assert few.payload_share > many.payload_share
    with pytest.raises(ScenarioError, match="unknown parameter"):
        asking(tiny(), CENTRAL, "fleet.nods")


def test_a_seed_that_never_escapes_is_censored() -> None:
    found = escape_time(load_of(100.0), at=1.3, seeds=range(2), pulse_s=100.0)
    assert found.escaped_share == 0.0
    assert found.mean_s.value == float("inf")
    # Nobody escaped in 2 x 500 s at risk: the mean is above 1000 / -ln 0.025 with 97.5 %.
    assert found.mean_s.low == pytest.approx(1_000 / 3.6889, rel=1e-3)

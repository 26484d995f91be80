"""Ramps: one run up a load and down again, on a plane of which paper knows both branches."""

from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd
import pytest

from hanse.market.accounts.ledger import Ledger
from hanse.market.failure_terms import FailureTerms
from hanse.market.regime import regimes
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.arrivals import stepped_instants
from hanse.scenarios.drawing.tapes import draw_arrivals
from hanse.scenarios.growth.boundary_figures import draw_ramp
from hanse.scenarios.growth.hysteresis import mean_interval
from hanse.scenarios.growth.ramps import (
    N_WINDOWS,
    Way,
    branches,
    escape_on_the_way_down,
    gaps,
    ramp_area,
    ramped,
    rate_steps,
    ride_ramp,
    riding,
)
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.scenario import Value, load
from hanse.scenarios.selftest.checks import ON_ARRIVAL, run_ledger
from hanse.scenarios.selftest.failing_worlds import stepped_impatient_world
from hanse.scenarios.streams import stream

SEEDS: Final = range(6)
STEP_S: Final = 2_000
LEVELS: Final = (0.1, 0.3, 0.55, 0.9)
FAILURES: Final = FailureTerms(timeout_us=20 * US_PER_S, retry_limit=1)
"""A collapse keeps itself alive from .5 a second on; health ends by .811 at the latest."""


def one_plane(seed: int, failures: FailureTerms = FAILURES) -> Ledger:
    """Lead requests before a server of rate one up to .9 a second and down again."""
    world = stepped_impatient_world(
        stream(seed, "ramp"), per_s=rate_steps(LEVELS), step_s=STEP_S, failures=failures
    )
    return run_ledger(world, ON_ARRIVAL)


def plain_plane(seed: int) -> Ledger:
    """Do the same where nobody tries again."""
    return one_plane(seed, replace(FAILURES, retry_limit=0))


@pytest.fixture(scope="module")
def ridden() -> pd.DataFrame:
    return ride_ramp(one_plane, levels=LEVELS, seeds=SEEDS)


def test_a_ramp_goes_up_and_down_and_gives_the_last_jobs_time() -> None:
    assert rate_steps((1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0, 2.0, 1.0, 1.0)
    with pytest.raises(ScenarioError, match="two levels or more that rise, got 2, 1"):
        rate_steps((2.0, 1.0))
    with pytest.raises(ScenarioError, match="two levels or more that rise, got 1"):
        rate_steps((1.0,))


def test_arrivals_keep_their_order_and_come_in_each_step_as_its_rate_says() -> None:
    even_s = (np.arange(1_000) + 0.5) * 0.1
    moved_s = stepped_instants(even_s, horizon_s=100.0, rates=(0.0, 1.0, 3.0, 0.0))
    assert (np.diff(moved_s) > 0).all()
    assert np.histogram(moved_s, bins=4, range=(0.0, 100.0))[0].tolist() == [0, 250, 750, 0]
    assert stepped_instants(even_s, horizon_s=100.0, rates=(2.0, 2.0)) == pytest.approx(even_s)


def test_every_family_rises_and_falls_by_the_steps_of_its_scenario() -> None:
    many: dict[str, Value] = {"load.training_jobs": 20_000}
    for family, expected in (("batch", 20_000.0), ("training", None), ("conversation", 20_000.0)):
        flat = load("baseline").replace(many | {"load.conversation_arrival_cv": 1.0})
        stepped = flat.replace({"load.rate_steps": (0.5, 2.0)})
        drawn = draw_arrivals(stepped, 3, family, expected=expected) / US_PER_S
        counts = np.histogram(drawn, bins=2, range=(0, 3_600))[0]
        # 5,000 and 20,000 arrivals; 3.29 standard errors of a Poisson count, whatever the variation
        # of gaps says beyond that.
        cv = flat.number(f"load.{family}_arrival_cv")
        assert np.abs(counts - [5_000, 20_000]) == pytest.approx(
            [0, 0], abs=3.29 * max(cv, 1.0) * 20_000**0.5
        )


def test_one_step_of_one_leaves_a_world_as_it_was() -> None:
    plain = load("baseline")
    one = plain.replace({"load.rate_steps": (1.0,)})
    assert draw_world(one, 5).digest() == draw_world(plain, 5).digest()
    even = plain.replace({"load.rate_steps": (1.0, 1.0)})
    arrivals = [draw_world(s, 5).workload.job_arrival_us for s in (plain, even)]
    assert np.abs(arrivals[0] - arrivals[1]).max() <= 1
    with pytest.raises(ScenarioError, match="both move arrivals"):
        even.replace({"load.daily_profile": True})


def test_windows_add_up_to_the_run_and_leave_out_its_last_step(ridden: pd.DataFrame) -> None:
    first = ridden[ridden["seed"] == 0]
    assert len(first) == (2 * len(LEVELS) - 1) * N_WINDOWS
    assert first["until_s"].iloc[-1] == (2 * len(LEVELS) - 1) * STEP_S
    assert first["level"].iloc[::N_WINDOWS].tolist() == list(rate_steps(LEVELS)[:-1])
    ledger = one_plane(0)
    read_s = first["until_s"].iloc[-1]
    arrived = ledger.stage_fact["job_arrival_us"] < read_s * US_PER_S
    assert first["n_jobs"].sum() == arrived.sum()
    assert (
        first["n_done"].sum() == (ledger.job_done_us[ledger.stage_fact["job"]][arrived] >= 0).sum()
    )


def test_o17_what_was_carried_on_the_way_up_is_lost_on_the_way_down(ridden: pd.DataFrame) -> None:
    found = gaps(branches(ridden)).set_index("level")
    assert found.loc[0.55, "up"] > 0.98
    assert found.loc[0.55, "down"] < 0.02
    assert found.loc[0.55, "gap_low"] > 0.9
    assert found.loc[0.1, "up"] > 0.98
    assert found.loc[0.9, "up"] < 0.05
    assert ramp_area(branches(ridden)).low > 0.1


def test_without_retries_the_way_down_is_the_way_up() -> None:
    windows = ride_ramp(plain_plane, levels=LEVELS, seeds=SEEDS)
    lost = gaps(branches(windows)).set_index("level")
    # What is late at .9 is so alike by any way there: exp(-.1 x 20) of all.
    assert np.abs(lost["gap"]).max() < 0.02
    assert lost.loc[0.9, "up"] == pytest.approx(1 - np.exp(-2), abs=0.15)
    assert abs(ramp_area(branches(windows)).value) < 0.005
    assert escape_on_the_way_down(windows) is None


def test_a_collapse_escapes_when_its_backlog_has_drained(ridden: pd.DataFrame) -> None:
    escape = escape_on_the_way_down(ridden)
    assert escape is not None
    assert escape.escaped_share == 1.0
    # Each request is sent twice to a server of rate one. A step at .9 piles up .8 of a step's work,
    # .55 another .1; .3 takes off .4, and .1 the last .5 at .8 a second: 2.625 steps after .9.
    assert mean_interval(escape.escaped_s, confidence=0.999).holds(2.625 * STEP_S)
    assert escape.escaped_s.std() < 0.25 * STEP_S


def test_a_run_that_ends_before_it_escapes_is_censored(ridden: pd.DataFrame) -> None:
    cut = ridden[(ridden["way"] != Way.DOWN.value) | (ridden["level"] > 0.5)]
    escape = escape_on_the_way_down(cut)
    assert escape is not None
    assert escape.escaped_share == 0.0
    assert np.isinf(escape.mean_s.value)
    never = ridden.assign(n_done=ridden["n_jobs"])
    assert escape_on_the_way_down(never) is None


def test_a_level_at_which_nobody_came_has_no_gap(ridden: pd.DataFrame) -> None:
    settled = (ridden["level"] == 0.1) & (ridden["window"] >= N_WINDOWS // 2)
    empty = ridden.assign(
        **{name: ridden[name].where(~settled, 0) for name in ("n_jobs", "n_done")}
    )
    told = gaps(branches(empty)).set_index("level")
    assert np.isnan(told.loc[0.1, "gap"])
    assert told.loc[0.55, "gap"] > 0.9


def test_a_scenario_is_led_up_and_down_alike_under_any_regime() -> None:
    levels = (0.5, 2.0)
    small = load("baseline").with_settings(
        ["fleet.nodes=20", "load.batch_jobs=0", "load.model_calls=300", "measurement.horizon_s=400"]
    )
    digests = {draw_world(ramped(small, levels), 2).digest() for _ in range(2)}
    assert len(digests) == 1
    found = [
        ride_ramp(riding(small, regimes[name], levels), levels=levels, seeds=[2])
        for name in ("central", "market")
    ]
    assert found[0]["n_jobs"].tolist() == found[1]["n_jobs"].tolist()
    assert (found[0]["payload_share"] > 0).any()


def test_the_picture_of_a_ramp_draws_both_ways(ridden: pd.DataFrame) -> None:
    figure = draw_ramp(ridden, axis="requests a second")
    up, down = figure.axes[0].lines[:2]
    told = gaps(branches(ridden))
    assert np.asarray(up.get_ydata()) == pytest.approx(told["up"].to_numpy())
    assert np.asarray(down.get_ydata()) == pytest.approx(told["down"].to_numpy())

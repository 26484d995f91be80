"""Discovery recovers boxes that were planted, and does not find what is not there."""

import numpy as np
import pandas as pd
import pytest

from hanse.market.units import Flags
from hanse.scenarios.analysis.designs import make_design
from hanse.scenarios.analysis.discovery import Box, Limit, box_table, discover
from hanse.scenarios.parameters import ScenarioError

UNIT = {"low": 0.0, "high": 1.0}
HOLD, CORES, SPARE = "load.hold_share", "control.cores", "fleet.occupied_share"


def sample(method: str, n: int, seed: int = 0) -> pd.DataFrame:
    """Sample three factors, two of which matter below."""
    cores = {"low": 1.0, "high": 101.0}
    factors = {HOLD: UNIT, CORES: cores, SPARE: UNIT}
    return make_design(method, factors, n=n, seed=seed).frame()


def planted(points: pd.DataFrame) -> Flags:
    """Plant a box: much to hold, and few cores."""
    return np.array((points[HOLD] > 0.6) & (points[CORES] <= 41.0))


@pytest.mark.parametrize("method", ["lhs", "sobol"])
def test_a_planted_box_is_recovered(method: str) -> None:
    points = sample(method, 1024)
    (box,) = discover(points, planted(points))
    limits = {limit.key: limit for limit in box.limits}
    assert set(limits) == {HOLD, CORES}
    # Neighbouring values of 512 points are 1/512 of the range apart on average.
    assert limits[HOLD].low == pytest.approx(0.6, abs=0.02)
    assert limits[CORES].high == pytest.approx(41.0, abs=2.0)
    assert np.isinf([limits[HOLD].high, limits[CORES].low]).all()
    assert min(box.density, box.coverage) > 0.95
    assert box.ci_low < box.density


def test_density_and_coverage_are_those_of_a_count_by_hand() -> None:
    points = sample("lhs", 400, seed=3)
    truth = planted(points)
    (box,) = discover(points, truth)
    inside = box.holds(points)
    # The whole sample, both halves; the box saw one half and was measured on the other.
    assert (inside & truth).sum() / inside.sum() == pytest.approx(box.density, abs=0.05)
    assert (inside & truth).sum() / truth.sum() == pytest.approx(box.coverage, abs=0.1)
    assert inside.sum() == pytest.approx(2 * box.n, abs=20)


def test_noise_makes_density_less_than_one_and_its_interval_knows() -> None:
    rng = np.random.default_rng(4)
    covered = []
    for seed in range(40):
        points = sample("lhs", 300, seed=seed)
        truth = planted(points)
        flipped = rng.random(300) < 0.15
        boxes = discover(points, truth ^ flipped, limits_max=2, share_min=0.1, seed=seed)
        for box in boxes[:1]:
            fresh = sample("lhs", 20_000, seed=1000 + seed)
            # Inside the plant 0.85 are of interest, outside 0.15.
            density = np.where(planted(fresh), 0.85, 0.15)[box.holds(fresh)].mean()
            covered.append(box.ci_low <= density <= box.ci_high)
    assert len(covered) > 30
    assert np.mean(covered) >= 0.9  # exact intervals cover at least 0.95; 35 boxes, 1.4 s.e.


def test_where_interest_is_by_chance_no_box_is_dense() -> None:
    points = sample("lhs", 600)
    by_chance = np.random.default_rng(5).random(600) < 0.3
    boxes = discover(points, by_chance)
    # The search always finds something; points that it did not see say what it is worth.
    assert all(box.ci_low < 0.5 for box in boxes)
    assert sum(box.coverage for box in boxes) < 0.3


def test_words_and_flags_become_limits_in_words() -> None:
    points = sample("lhs", 400)
    rng = np.random.default_rng(6)
    points["verification.release"] = rng.choice(["receipt", "finality"], 400)
    points["load.daily_profile"] = rng.random(400) < 0.5
    truth = np.array((points["verification.release"] == "finality") & points["load.daily_profile"])
    (box,) = discover(points, truth)
    assert str(box) == "load.daily_profile is True and verification.release is finality" or (
        str(box) == "verification.release is finality and load.daily_profile is True"
    )
    assert (box.density, box.coverage) == (1.0, 1.0)
    np.testing.assert_array_equal(box.holds(points), truth)


def test_a_box_of_several_words_names_those_that_are_left() -> None:
    words = np.array(["a", "b", "c"])[np.random.default_rng(7).integers(3, size=300)]
    points = pd.DataFrame({"control.hub": words, HOLD: np.linspace(0, 1, 300)})
    boxes = discover(points, words != "b")
    assert {limit for box in boxes for limit in box.limits} <= {
        Limit(key="control.hub", values=values) for values in (("a",), ("c",), ("a", "c"))
    }
    assert sum(box.coverage for box in boxes) == 1.0


def test_the_table_of_boxes_reads_as_a_sentence() -> None:
    limits = (Limit(key=HOLD, low=0.6), Limit(key=CORES, low=2, high=41.25))
    box = Box(limits=limits, density=0.9, ci_low=0.8, ci_high=0.95, coverage=0.7, n=50)
    row = box_table([box]).iloc[0]
    assert row["limits"] == "load.hold_share > 0.6 and 2 < control.cores <= 41.25"
    assert row["n"] == 50


@pytest.mark.parametrize(
    ("n", "interest", "message"),
    [
        (20, np.arange(20) > 5, "needs at least 40 points, got 20"),
        (60, np.ones(60, bool), "all of the 60 points are of interest"),
        (60, np.zeros(60, bool), "none of the 60 points are of interest"),
        (60, np.ones(3, bool), r"one flag per point \(60\), got 3"),
    ],
)
def test_what_gives_no_box_is_said_with_numbers(n: int, interest: Flags, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        discover(sample("lhs", n), interest)


def test_a_row_that_leaves_a_parameter_out_is_named() -> None:
    points = sample("lhs", 60).astype({CORES: float})
    points.loc[3, CORES] = np.nan
    with pytest.raises(ScenarioError, match="control.cores is missing at some points"):
        discover(points, np.arange(60) > 30)

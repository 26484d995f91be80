"""How few hold how much, and how often a voter decides: the constants of the textbooks."""

from itertools import permutations, product

import numpy as np
import pytest

from hanse.market.accounts.concentration import (
    effective_number,
    herfindahl,
    is_pivotal,
    nakamoto,
    residual_supply_index,
    shares,
    weakest_nakamoto,
)
from hanse.market.accounts.voting_power import banzhaf_power, sampled_power, shapley_shubik_power
from hanse.market.units import Integers
from hanse.scenarios.streams import stream


@pytest.mark.parametrize("n", [1, 2, 3, 7, 10, 49])
def test_of_equal_holders_the_index_and_the_coefficient_are_those_of_the_books(n: int) -> None:
    equal = np.full(n, 3.0)
    assert herfindahl(equal) == pytest.approx(10_000.0 / n)
    assert effective_number(equal) == pytest.approx(n)
    assert nakamoto(equal) == n // 2 + 1
    assert nakamoto(equal, line=1.0 / 3.0) == n // 3 + 1


def test_a_pivotal_supplier_is_one_without_whom_demand_is_not_met() -> None:
    supply = np.array([30.0, 28.0, 22.0, 20.0])
    # 100 is supplied and 90 asked for: (100 - 30) / 90.
    assert residual_supply_index(supply, 90.0)[0] == pytest.approx(0.778, abs=5e-4)
    assert is_pivotal(supply, 90.0).all()
    assert not is_pivotal(supply, 60.0).any()
    # n equal suppliers: K (1 - 1/n) / demand.
    assert residual_supply_index(np.full(4, 25.0), 60.0) == pytest.approx(100 * 0.75 / 60)


def test_where_nothing_is_held_nobody_is_concentrated() -> None:
    nothing = np.zeros(3)
    assert shares(nothing).tolist() == [0.0, 0.0, 0.0]
    assert herfindahl(nothing) == 0.0
    assert np.isnan(effective_number(nothing))
    assert nakamoto(nothing) == 0


def test_a_system_is_as_weak_as_the_part_that_fewest_control() -> None:
    parts = {"capacity": np.full(9, 1.0), "checks": np.zeros(4), "stake": np.array([2.0, 1.0, 1.0])}
    # One holder has exactly half of the stake, which is not more than half: it takes two.
    assert weakest_nakamoto(parts) == ("stake", 2)
    assert weakest_nakamoto(parts, line=1.0 / 3.0) == ("stake", 1)
    with pytest.raises(ValueError, match="nothing is held"):
        weakest_nakamoto({"checks": np.zeros(4)})


@pytest.mark.parametrize(
    "holding", [np.array([-1.0, 2.0]), np.array([np.nan, 1.0]), np.array([np.inf, 1.0])]
)
def test_a_holding_below_zero_or_beyond_numbers_is_refused(holding: np.ndarray) -> None:
    with pytest.raises(ValueError, match="holdings must be"):
        herfindahl(holding)


@pytest.mark.parametrize(
    ("weight", "quota", "banzhaf", "shapley_shubik"),
    [
        ([50, 49, 1], 51, [0.6, 0.2, 0.2], [2 / 3, 1 / 6, 1 / 6]),
        ([51, 49], 51, [1.0, 0.0], [1.0, 0.0]),
        ([40, 30, 20, 10], 51, [5 / 12, 1 / 4, 1 / 4, 1 / 12], [5 / 12, 1 / 4, 1 / 4, 1 / 12]),
        # Of the seven small ones 35 + 35 + 21 coalitions need the large one: 3, 4 or 5 of them
        # have 30 to 50. A small one decides with 5 others, or with the large one and 2 others.
        ([30] + [10] * 7, 51, [91 / 238] + [21 / 238] * 7, [0.375] + [0.625 / 7] * 7),
    ],
)
def test_power_is_what_the_textbooks_say(
    weight: list[int], quota: int, banzhaf: list[float], shapley_shubik: list[float]
) -> None:
    votes = np.array(weight)
    assert banzhaf_power(votes, quota) == pytest.approx(banzhaf)
    assert shapley_shubik_power(votes, quota) == pytest.approx(shapley_shubik)


def counted(votes: Integers, quota: int) -> tuple[list[float], list[float]]:
    """Count swings coalition by coalition and order by order."""
    n = len(votes)
    swings, pivots = np.zeros(n), np.zeros(n)
    for member in product([False, True], repeat=n):
        has = int(votes[list(member)].sum())
        for voter in range(n):
            swings[voter] += not member[voter] and has < quota <= has + votes[voter]
    for order in permutations(range(n)):
        reached = np.cumsum(votes[list(order)]) >= quota
        pivots[order[int(reached.argmax())]] += 1
    return (swings / swings.sum()).tolist(), (pivots / pivots.sum()).tolist()


@pytest.mark.parametrize("draw", range(6))
def test_generating_functions_count_what_enumeration_counts(draw: int) -> None:
    rng = stream(draw, "test.power")
    votes = rng.integers(0, 9, 6)
    votes[0] += 1
    quota = int(rng.integers(1, votes.sum() + 1))
    swings, pivots = counted(votes, quota)
    assert banzhaf_power(votes, quota) == pytest.approx(swings)
    assert shapley_shubik_power(votes, quota) == pytest.approx(pivots)


def test_equal_voters_have_equal_power_however_many_they_are() -> None:
    votes = np.full(150, 7)
    assert banzhaf_power(votes, 526) == pytest.approx(1 / 150)
    assert shapley_shubik_power(votes, 526) == pytest.approx(1 / 150)


def test_sampled_power_is_near_exact_power_by_its_standard_error() -> None:
    votes = np.array([400, 300, 200, 100, 90, 80, 70, 60, 50, 40])
    quota = int(votes.sum()) // 2 + 1
    found = sampled_power(votes.astype(float), quota, rng=stream(5, "test.sampled_power"))
    exact = shapley_shubik_power(votes, quota)
    assert found.power.sum() == pytest.approx(1.0)
    assert (np.abs(found.power - exact) < 4 * found.standard_error).all()
    assert (found.standard_error < 0.005).all()


@pytest.mark.parametrize("quota", [0, 101])
def test_a_quota_that_none_or_all_reach_is_refused(quota: int) -> None:
    votes = np.array([60, 40])
    with pytest.raises(ValueError, match="quota must be above 0"):
        banzhaf_power(votes, quota)
    with pytest.raises(ValueError, match="quota must be above 0"):
        sampled_power(votes.astype(float), quota, rng=stream(0, "test.refused"))


def test_weights_that_are_no_whole_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        shapley_shubik_power(np.array([0.5, 0.5]), 1)  # type: ignore[arg-type]

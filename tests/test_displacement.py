"""Proof that displaced units are a maximum flow, the most even one, and owe nothing to order."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_flow

from hanse.market.accounts.displacement import Displacement, displace
from hanse.market.accounts.stratified import stratified_standard_error
from hanse.market.units import Flags, Floats, Integers

Instant = tuple[Integers, Integers, Flags]

SAMPLE = """
import numpy as np
from hanse.market.accounts.displacement import displace
rng = np.random.default_rng(8)
legal = rng.random((5, 8)) < 0.4
result = displace(
    waiting=rng.integers(0, 5, (20, 10)),
    available=rng.integers(0, 4, (20, 8)),
    weight_us=rng.integers(1, 10, 20),
    column_signature=np.arange(10) % 5,
    legal=legal,
)
print(result.displaced.tolist(), result.displaced_us.round(9).tolist())
"""


@st.composite
def instants(draw: st.DrawFn) -> Instant:
    """Draw waiting stages by signature, available units by sink, and what law allows."""
    n_signatures, n_sinks = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    largest = draw(st.sampled_from([2, 9, 100_000]))
    counts = st.integers(0, largest)
    waiting = draw(arrays(np.int64, n_signatures, elements=counts))
    available = draw(arrays(np.int64, n_sinks, elements=counts))
    return waiting, available, draw(arrays(np.bool_, (n_signatures, n_sinks)))


def drawn_instant(rng: np.random.Generator) -> Instant:
    """Draw an instant of up to 7 signatures by 10 sinks."""
    n_signatures, n_sinks = rng.integers(1, 8), rng.integers(1, 11)
    legal = rng.random((n_signatures, n_sinks)) < rng.choice([0.2, 0.4, 0.7])
    return rng.integers(0, 12, n_signatures), rng.integers(0, 12, n_sinks), legal


def at_one_instant(waiting: Integers, available: Integers, legal: Flags) -> Displacement:
    """Displace for one microsecond, with one column for each signature."""
    return displace(
        waiting=waiting[None],
        available=available[None],
        weight_us=np.array([1]),
        column_signature=np.arange(len(waiting)),
        legal=legal,
    )


def largest_flow(waiting: Integers, available: Integers, legal: Flags) -> int:
    """Return the maximum flow that another solver finds."""
    n_signatures, n_sinks = legal.shape
    capacity = np.zeros((n_signatures + n_sinks + 2,) * 2, dtype=np.int32)
    capacity[0, 1 : n_signatures + 1] = waiting
    capacity[1 : n_signatures + 1, n_signatures + 1 : -1] = legal * 1_000_000
    capacity[n_signatures + 1 : -1, -1] = available
    return int(maximum_flow(csr_matrix(capacity), 0, len(capacity) - 1).flow_value)


def most_even_use(waiting: Integers, available: Integers, legal: Flags) -> Floats:
    """Return the units used at each sink, as a general-purpose solver makes them even."""
    used = np.argwhere(legal & (waiting[:, None] > 0) & (available > 0))
    by_row = np.equal.outer(np.arange(len(waiting)), used[:, 0]).astype(float)
    by_sink = np.equal.outer(np.arange(len(available)), used[:, 1]).astype(float)
    per_unit = 1 / np.maximum(available, 1)
    solution = minimize(
        lambda flow: per_unit @ (by_sink @ flow) ** 2,
        np.full(len(used), 0.1),
        jac=lambda flow: 2 * by_sink.T @ (per_unit * (by_sink @ flow)),
        bounds=[(0, None)] * len(used),
        constraints=[
            {"type": "ineq", "fun": lambda flow: waiting - by_row @ flow, "jac": lambda _: -by_row},
            {
                "type": "ineq",
                "fun": lambda flow: available - by_sink @ flow,
                "jac": lambda _: -by_sink,
            },
            {
                "type": "eq",
                "fun": lambda flow: flow.sum() - largest_flow(waiting, available, legal),
            },
        ],
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert solution.success
    use: Floats = by_sink @ solution.x
    return use


def test_a_worked_example_adds_up_by_hand() -> None:
    # Sinks A, B, C have 4, 2, 6 units. Signature 0 (6 stages: 4 in column 0, 2 in column 1) may
    # use A; signature 1 (1 stage) A or B; signature 2 (4 stages) B or C.
    #   A: 6 stages on 4 units is level 3/2, the highest: A is full, 4 of 6 are matched.
    #   B, C: 1 + 4 stages on 2 + 6 units is level 5/8: B has 2 x 5/8 = 1.25, C has 6 x 5/8 = 3.75.
    #   Signature 1 fits into B (1 <= 1.25); signature 2 takes the other 0.25 there and 3.75 in C.
    # Sum 4 + 1.25 + 3.75 = 9 of the 11; over 30 us, times 30.
    result = displace(
        waiting=np.array([[4, 2, 1, 4]]),
        available=np.array([[4, 2, 6]]),
        weight_us=np.array([30]),
        column_signature=np.array([0, 0, 1, 2]),
        legal=np.array([[True, False, False], [True, True, False], [False, True, True]]),
    )
    by_hand = np.array([[8 / 3, 0, 0], [4 / 3, 0, 0], [0, 1, 0], [0, 0.25, 3.75]])
    assert result.displaced.tolist() == [9]
    assert result.displaced_us == pytest.approx(30 * by_hand)


def test_totals_are_those_of_another_maximum_flow() -> None:
    rng = np.random.default_rng(1)
    drawn = [drawn_instant(rng) for _ in range(400)]
    assert [at_one_instant(*instant).displaced[0] for instant in drawn] == pytest.approx(
        [largest_flow(*instant) for instant in drawn], rel=1e-12
    )


@pytest.mark.parametrize("seed", range(12))
def test_sinks_are_used_as_evenly_as_by_a_general_solver(seed: int) -> None:
    rng = np.random.default_rng(seed)
    waiting, available = rng.integers(1, 9, 4), rng.integers(0, 9, 5)
    legal = rng.random((4, 5)) < 0.5
    ours = at_one_instant(waiting, available, legal).displaced_us.sum(axis=0)
    # The solver stops once the sum of squares improves by less than 1e-12: uses within 1e-5.
    assert ours == pytest.approx(most_even_use(waiting, available, legal), abs=1e-4)


@settings(max_examples=300)
@given(instants())
def test_no_work_could_move_to_a_less_used_sink(instant: Instant) -> None:
    waiting, available, legal = instant
    flow = at_one_instant(*instant).displaced_us
    use = flow.sum(axis=0) / np.maximum(available, 1)
    reachable = legal & (available > 0)
    slack = 1e-9 * max(1, waiting.sum())
    for row in range(len(waiting)):
        least = use[reachable[row]].min(initial=1.0)
        most = use[flow[row] > slack].max(initial=0.0)
        assert most <= least + 1e-9
        assert flow[row].sum() > waiting[row] - slack or least > 1 - 1e-9


@settings(max_examples=300)
@given(instants())
def test_nobody_is_matched_twice_no_unit_is_used_twice_and_law_holds(instant: Instant) -> None:
    waiting, available, legal = instant
    result = at_one_instant(*instant)
    rounding = 1e-11 * max(1, waiting.sum())
    assert (result.displaced_us >= 0).all()
    assert not result.displaced_us[~legal].any()
    assert (result.displaced_us.sum(axis=1) <= waiting + rounding).all()
    assert (result.displaced_us.sum(axis=0) <= available + rounding).all()
    assert result.displaced_us.sum() == pytest.approx(result.displaced[0], rel=1e-12)


@settings(max_examples=200)
@given(instants(), st.integers(0, 99))
def test_the_order_of_signatures_and_sinks_means_nothing(instant: Instant, seed: int) -> None:
    waiting, available, legal = instant
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(waiting)), rng.permutation(len(available))
    flow = at_one_instant(*instant).displaced_us[np.ix_(rows, columns)]
    moved = at_one_instant(waiting[rows], available[columns], legal[np.ix_(rows, columns)])
    assert moved.displaced_us == pytest.approx(flow, rel=1e-7, abs=1e-9 * max(1, waiting.sum()))


@settings(max_examples=200)
@given(instants())
def test_nothing_is_displaced_iff_no_stage_has_a_legal_unit(instant: Instant) -> None:
    waiting, available, legal = instant
    has_partner = (legal & (waiting[:, None] > 0) & (available > 0)).any()
    assert (at_one_instant(*instant).displaced[0] > 0) == has_partner


@settings(max_examples=200)
@given(instants(), st.integers(0, 6), st.integers(1, 50))
def test_more_units_never_displace_less(instant: Instant, sink: int, units: int) -> None:
    waiting, available, legal = instant
    more = available.copy()
    more[sink % len(more)] += units
    before, after = at_one_instant(*instant), at_one_instant(waiting, more, legal)
    assert after.displaced[0] >= before.displaced[0] * (1 - 1e-12)
    assert after.displaced[0] <= before.displaced[0] * (1 + 1e-12) + units


def test_without_law_the_flow_is_pro_rata_over_both_sides() -> None:
    waiting, available = np.array([3, 0, 5]), np.array([4, 8, 0, 1])
    flow = at_one_instant(waiting, available, np.ones((3, 4), dtype=np.bool_)).displaced_us
    assert flow == pytest.approx(np.outer(waiting, available) / 13)


def test_those_who_share_full_sinks_are_served_to_one_share() -> None:
    legal = np.array([[True, True, False], [False, True, True], [False, True, False]])
    flow = at_one_instant(np.array([4, 9, 5]), np.array([2, 6, 4]), legal).displaced_us
    # 18 stages on 12 units, and no part of the market is worse off: each has two thirds.
    assert flow.sum(axis=1) == pytest.approx([8 / 3, 6, 10 / 3])
    assert flow.sum(axis=0) == pytest.approx([2, 6, 4])


def test_what_evenness_leaves_open_is_split_in_proportion() -> None:
    legal = np.array([[True, True, True], [True, True, False], [False, True, True]])
    flow = at_one_instant(np.array([4, 3, 5]), np.array([5, 7, 6]), legal).displaced_us
    # Rows a, b that may both use sinks s, t divide them alike: x[a,s] / x[a,t] = x[b,s] / x[b,t].
    assert flow[0, 0] * flow[1, 1] == pytest.approx(flow[0, 1] * flow[1, 0])
    assert flow[0, 1] * flow[2, 2] == pytest.approx(flow[0, 2] * flow[2, 1])
    assert flow.sum(axis=0) == pytest.approx(np.array([5, 7, 6]) * 12 / 18)
    assert flow.sum(axis=1) == pytest.approx([4, 3, 5])


def test_a_pair_that_can_carry_nothing_is_left_out_where_levels_tie() -> None:
    # Signature 0 may use sink 0 only, 2 on 4 units; signature 1 both. Each sink is half used, so
    # that signature 1 has no room at sink 0 although law allows it.
    legal = np.array([[True, False], [True, True]])
    flow = at_one_instant(np.array([2, 2]), np.array([4, 4]), legal).displaced_us
    assert flow.tolist() == [[2, 0], [0, 2]]


@pytest.mark.parametrize("large", [10, 1_000, 1_000_000])
def test_a_single_unit_between_two_large_pools_is_found(large: int) -> None:
    legal = np.array([[True, False], [True, True]])
    flow = at_one_instant(np.array([large - 1, large + 1]), np.array([large, large]), legal)
    assert flow.displaced_us == pytest.approx(
        np.array([[large - 1, 0], [1, large]]), abs=1e-11 * large
    )


def test_instants_add_up_by_their_weights() -> None:
    rng = np.random.default_rng(2)
    waiting, available = rng.integers(0, 4, (30, 6)), rng.integers(0, 3, (30, 5))
    weight_us, legal = rng.integers(1, 100, 30), rng.random((3, 5)) < 0.6
    column_signature = np.array([0, 1, 2, 0, 1, 2])
    result = displace(
        waiting=waiting,
        available=available,
        weight_us=weight_us,
        column_signature=column_signature,
        legal=legal,
    )
    assert result.displaced_us.sum() == pytest.approx(weight_us @ result.displaced)
    one_by_one = [
        displace(
            waiting=waiting[k : k + 1],
            available=available[k : k + 1],
            weight_us=weight_us[k : k + 1],
            column_signature=column_signature,
            legal=legal,
        ).displaced_us
        for k in range(30)
    ]
    assert result.displaced_us == pytest.approx(np.sum(one_by_one, axis=0))


@pytest.mark.parametrize(
    ("waiting", "available", "signature", "message"),
    [
        ([[1, 2, 3]], [[1, 1]], [0, 1], r"waiting must have shape \(1, 2\), got \(1, 3\)"),
        ([[1, 2]], [[1]], [0, 1], r"available must have shape \(1, 2\), got \(1, 1\)"),
        ([[1, -2]], [[1, 1]], [0, 1], "waiting must be 0 to 67108864 in all, got -2"),
        (
            [[1, 2]],
            [[1, 70_000_000]],
            [0, 1],
            "available must be 0 to 67108864 in all, got 0 to 70000001",
        ),
        ([[1, 2]], [[1, 1]], [0, 2], "column_signature must be below 2, got 2"),
        ([[1, 2]], [[1, 1]], [-1, 1], "column_signature must be below 2, got -1"),
    ],
)
def test_counts_that_mean_nothing_are_refused_by_name_and_bound(
    waiting: list[list[int]], available: list[list[int]], signature: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        displace(
            waiting=np.array(waiting),
            available=np.array(available),
            weight_us=np.array([1]),
            column_signature=np.array(signature),
            legal=np.ones((2, 2), dtype=np.bool_),
        )


def test_uncompiled_code_gives_identical_results() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", SAMPLE],
            env=os.environ | {"NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            text=True,
            check=True,
        )
        for disabled in ("0", "1")
    ]
    assert runs[0].stdout == runs[1].stdout != ""


def test_the_standard_error_of_pairs_is_the_root_of_their_squared_differences() -> None:
    # Totals 10 x (3, 5 | 4, 1): differences 20 and 30, root of 400 + 900.
    displaced, stratum_us = np.array([3.0, 5, 4, 1]), np.full(4, 10)
    assert stratified_standard_error(displaced, stratum_us) == pytest.approx(1300**0.5)


def test_an_odd_stratum_joins_the_last_pair() -> None:
    # 10 x (0, 3 | 1, 1, 4): 30 squared; mean 20 of the three, 3/2 x (100 + 100 + 400).
    displaced, stratum_us = np.array([0.0, 3, 1, 1, 4]), np.full(5, 10)
    assert stratified_standard_error(displaced, stratum_us) == pytest.approx(1800**0.5)


def test_a_constant_has_no_error_however_long_the_strata() -> None:
    stratum_us = np.array([10, 70, 20, 5, 30])
    assert stratified_standard_error(np.full(5, 7.0), stratum_us) == pytest.approx(0, abs=1e-12)


def test_the_squared_standard_error_is_unbiased_where_pairs_share_their_mean() -> None:
    rng = np.random.default_rng(3)
    stratum_us, repeats = np.full(40, 25), 4_000
    draws: NDArray[np.float64] = rng.poisson(4.0, (repeats, 40)).astype(np.float64)
    squared = [stratified_standard_error(row, stratum_us) ** 2 for row in draws]
    # Variance of the integral: 40 strata x 25**2 x 4.
    error_of_mean = np.std(squared) / repeats**0.5
    assert abs(np.mean(squared) - 40 * 25**2 * 4) < 4 * error_of_mean


@pytest.mark.parametrize(("n_instants", "n_strata"), [(1, 1), (0, 0), (3, 4)])
def test_an_error_needs_two_strata_with_an_instant_each(n_instants: int, n_strata: int) -> None:
    with pytest.raises(ValueError, match=f"got {n_strata} strata and {n_instants} instants"):
        stratified_standard_error(np.ones(n_instants), np.ones(n_strata, dtype=np.int64))

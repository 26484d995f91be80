"""Checkers, committees and disputes: on paper, one by one, and by lot (VO1-4, 6, 7, 9-11)."""

from itertools import combinations, product
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from hanse.verification.incentives import (
    all_bad,
    bisection_rounds,
    caught_probability,
    detection_without_replacement,
    deterrent_audit_probability,
    dispute_duration_s,
    fraud_worth_checking,
    gain_from_cheating_until_caught,
    inspection_equilibrium,
    least_attention_deposit,
    majority_bad,
    payoff_of_checking,
    payoff_of_trusting,
    payoffs,
    stalled_s,
)

N_DRAWN = 400_000
repeatable = settings(derandomize=True, deadline=None, max_examples=100, database=None)


@pytest.mark.parametrize(
    ("p", "d", "r"), [(0.10, 1.0, 0.0), (0.12, 1.0, 0.0), (0.15, 1.0, 0.0), (0.24, 0.5, 0.1)]
)
def test_lazy_solvers_earn_by_lot_what_the_formula_says(p: float, d: float, r: float) -> None:
    rng = np.random.default_rng(1)
    audited, seen, strange = rng.random((3, N_DRAWN)) < np.array([[p], [d], [1.0 - r]])
    earned = np.where(audited & seen & strange, -400.0, 100.0)
    paper = payoffs(
        reward_usd=100.0,
        honest_cost_usd=60.0,
        lazy_cost_usd=0.0,
        stake_usd=400.0,
        caught_probability=caught_probability(p, d, r),
    )
    # Four standard errors of the mean: at most 1.4 USD.
    tolerance = 4.0 * earned.std() / np.sqrt(N_DRAWN)
    assert earned.mean() == pytest.approx(paper.lazy_usd, abs=tolerance)


@pytest.mark.parametrize("r", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("fee", [0.0, 100.0])
def test_the_audit_rate_under_collusion_leaves_a_cheat_nothing_by_lot(r: float, fee: float) -> None:
    p = deterrent_audit_probability(
        saving=60.0, at_risk=500.0, collusion=r, audit_reward=fee, detection=0.9
    )
    rng = np.random.default_rng(3)
    audited, friend, seen = rng.random((3, N_DRAWN)) < np.array([[p], [r], [0.9]])
    earned = np.where(audited & ~friend & seen, -400.0, 100.0) + fee * (audited & friend)
    tolerance = 4.0 * earned.std() / np.sqrt(N_DRAWN)
    assert earned.mean() == pytest.approx(40.0, abs=tolerance)


@pytest.mark.parametrize(("n", "k", "m"), [(6, 2, 3), (7, 1, 2), (8, 5, 3), (5, 0, 4), (6, 4, 3)])
def test_detection_is_a_count_of_all_samples(n: int, k: int, m: int) -> None:
    samples = list(combinations(range(n), m))
    hits = sum(min(sample) < k for sample in samples)
    assert detection_without_replacement(n_units=n, n_cheated=k, n_sampled=m) == pytest.approx(
        hits / len(samples), rel=1e-15
    )


def test_detection_is_what_samples_by_lot_find() -> None:
    rng = np.random.default_rng(4)
    for n, k, m in [(1_000, 10, 50), (100, 5, 10), (1_000, 100, 44)]:
        found = rng.hypergeometric(k, n - k, m, size=N_DRAWN) > 0
        paper = detection_without_replacement(n_units=n, n_cheated=k, n_sampled=m)
        tolerance = 4.0 * np.sqrt(paper * (1.0 - paper) / N_DRAWN)
        assert found.mean() == pytest.approx(paper, abs=tolerance)
    # (100, 5, 10): 1 - C(95, 10) / C(100, 10)
    assert round(detection_without_replacement(n_units=100, n_cheated=5, n_sampled=10), 6) == (
        0.416248
    )


def test_both_ways_to_treat_a_result_cost_one_where_a_fiftieth_is_fraud() -> None:
    fraud = fraud_worth_checking(checking_cost=5.0, bounty=200.0, loss=50.0)
    assert fraud == pytest.approx(0.02, rel=1e-15)
    assert payoff_of_checking(fraud, checking_cost=5.0, bounty=200.0) == pytest.approx(-1.0)
    assert payoff_of_trusting(fraud, loss=50.0) == pytest.approx(-1.0)


def test_the_inspection_game_has_no_pure_equilibrium() -> None:
    # Rows: work, cheat. Columns: check, trust. R = 100, c_h = 60, S = 400.
    solver = np.array([[40.0, 40.0], [-400.0, 100.0]])
    verifier = np.array(
        [
            [payoff_of_checking(x, checking_cost=5.0, bounty=200.0), payoff_of_trusting(x, loss=50)]
            for x in (0.0, 1.0)
        ]
    )
    stable = [
        (row, column)
        for row, column in product(range(2), range(2))
        if solver[row, column] == solver[:, column].max()
        and verifier[row, column] == verifier[row].max()
    ]
    assert stable == []


def test_the_mixed_equilibrium_makes_both_indifferent() -> None:
    game = inspection_equilibrium(
        saving=60.0, at_risk=500.0, checking_cost=5.0, bounty=200.0, loss=50.0
    )
    assert (game.cheating, game.checking) == pytest.approx((0.02, 0.12), rel=1e-12)
    assert game.accepted_fraud == pytest.approx(0.0176, rel=1e-12)
    # Independently: the two linear equations of indifference.
    checking = np.linalg.solve([[-500.0]], [40.0 - 100.0])[0]
    cheating = np.linalg.solve([[200.0 + 50.0]], [5.0])[0]
    assert (game.cheating, game.checking) == pytest.approx((cheating, checking), rel=1e-12)


@pytest.mark.parametrize(
    ("at_risk", "bounty", "name"), [(50.0, 200.0, "checking"), (500.0, 0.0, "cheating")]
)
def test_a_game_with_a_dominant_choice_has_no_such_equilibrium(
    at_risk: float, bounty: float, name: str
) -> None:
    with pytest.raises(ValueError, match=f"the share of {name} must be strictly between 0 and 1"):
        inspection_equilibrium(
            saving=60.0, at_risk=at_risk, checking_cost=5.0, bounty=bounty, loss=0.0
        )


@repeatable
@given(
    cost=st.floats(0.1, 50.0),
    bounty=st.floats(0.0, 500.0),
    loss=st.floats(0.0, 500.0),
    a=st.floats(0.001, 1.0),
    factor=st.floats(0.5, 2.0),
)
def test_checking_is_dominant_iff_the_deposit_outweighs_its_cost(
    cost: float, bounty: float, loss: float, a: float, factor: float
) -> None:
    deposit = factor * least_attention_deposit(checking_cost=cost, attention_probability=a)
    better = [
        payoff_of_checking(x, checking_cost=cost, bounty=bounty)
        >= payoff_of_trusting(x, loss=loss, attention_probability=a, deposit=deposit)
        for x in (0.0, 1e-9, 0.02, 1.0)
    ]
    # At the threshold itself a D and C_v differ by rounding.
    if abs(factor - 1.0) > 1e-9:
        assert better[0] == (factor > 1.0)
    if factor > 1.0 + 1e-9:
        assert all(better)


def test_attention_at_one_in_twenty_needs_a_deposit_of_a_hundred() -> None:
    assert least_attention_deposit(checking_cost=5.0, attention_probability=0.05) == 100.0
    assert least_attention_deposit(checking_cost=5.0, attention_probability=0.0) == inf


@pytest.mark.parametrize(("n", "expected"), [(1, 0.3), (3, 0.025108), (5, 0.0018928)])
def test_a_referee_fails_only_where_all_are_bad(n: int, expected: float) -> None:
    drawn = all_bad(n_pool=100, n_bad=30, n_drawn=n)
    assert drawn == pytest.approx(expected, rel=5e-5)
    assert drawn == pytest.approx(hypergeom.pmf(n, 100, 30, n), rel=1e-9)


@pytest.mark.parametrize(
    ("n", "expected"), [(3, 0.21342), (5, 0.15761), (11, 0.06644), (21, 0.01402)]
)
def test_a_majority_fails_far_more_often(n: int, expected: float) -> None:
    drawn = majority_bad(n_pool=100, n_bad=30, n_drawn=n)
    assert drawn == pytest.approx(expected, abs=5e-6)
    assert drawn == pytest.approx(hypergeom.sf(n // 2, 100, 30, n), rel=1e-9)
    assert drawn > all_bad(n_pool=100, n_bad=30, n_drawn=n)


def test_committees_are_counted_one_by_one() -> None:
    pool = [True, True, True, False, False, False, False]  # three of seven are bad
    for n in (1, 3, 4, 5):
        drawn = list(combinations(pool, n))
        count = sum(all(members) for members in drawn)
        assert all_bad(n_pool=7, n_bad=3, n_drawn=n) == pytest.approx(count / len(drawn))
        # Half of an even committee is no majority.
        count = sum(2 * sum(members) > n for members in drawn)
        assert majority_bad(n_pool=7, n_bad=3, n_drawn=n) == pytest.approx(count / len(drawn))


@pytest.mark.parametrize(
    ("n_units", "n_parts", "rounds"),
    [
        (1, 2, 0),
        (2, 2, 1),
        (1024, 2, 10),
        (1025, 2, 11),
        (80_957, 2, 17),
        (2**20, 2, 20),
        (80_957, 8, 6),
        (11, 2, 4),
    ],
)
def test_bisection_takes_as_many_questions_as_the_paper_says(
    n_units: int, n_parts: int, rounds: int
) -> None:
    assert bisection_rounds(n_units, n_parts=n_parts) == rounds


def test_three_levels_of_a_rollup_are_sixty_eight_questions() -> None:
    assert sum(bisection_rounds(2**bits) for bits in (26, 19, 23)) == 68


@repeatable
@given(n_units=st.integers(1, 5_000), n_parts=st.integers(2, 9), data=st.data())
def test_questions_asked_one_by_one_are_never_more(
    n_units: int, n_parts: int, data: st.DataObject
) -> None:
    guilty = data.draw(st.integers(0, n_units - 1))
    low, high, asked = 0, n_units, 0
    while high - low > 1:
        width = -(-(high - low) // n_parts)
        low += (guilty - low) // width * width
        high, asked = min(high, low + width), asked + 1
    assert low == guilty
    assert asked <= bisection_rounds(n_units, n_parts=n_parts)


def test_no_unit_or_no_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="n_units must be at least 1 .* got 0 and 2"):
        bisection_rounds(0)
    with pytest.raises(ValueError, match="n_parts at least 2, got 5 and 1"):
        bisection_rounds(5, n_parts=1)


def test_a_dispute_lasts_seconds_by_message_and_minutes_by_block() -> None:
    # 14 x (0.15 s + 1 s); two moves a round, a block of 12 s each
    assert dispute_duration_s(n_rounds=14, round_trip_s=0.15, response_s=1.0) == pytest.approx(16.1)
    assert dispute_duration_s(n_rounds=14, round_trip_s=0.0, response_s=2 * 12.0) == 336.0
    assert dispute_duration_s(
        n_rounds=14, round_trip_s=0.15, response_s=1.0, replay_s=32.0
    ) == pytest.approx(48.1)


def test_a_chess_clock_bounds_what_a_deadline_per_move_does_not() -> None:
    assert stalled_s(n_rounds=14, move_deadline_s=3_600.0) == 14 * 3_600.0
    assert stalled_s(n_rounds=14, move_deadline_s=3_600.0, clock_s=7_200.0) == 7_200.0


@repeatable
@given(q=st.floats(0.01, 0.9), saving=st.floats(1.0, 100.0), seed=st.integers(0, 100))
def test_cheating_until_caught_gains_by_lot_what_the_formula_says(
    q: float, saving: float, seed: int
) -> None:
    # VO10: a cheat saves C on every task up to the one on which it is caught, then loses S + R + V.
    tasks = np.random.default_rng(seed).geometric(q, 20_000)
    gained = saving * tasks - 1_000.0 - 70.0
    paper = gain_from_cheating_until_caught(
        saving=saving, caught_probability=q, at_risk=1_000.0, continuation=70.0
    )
    # One hundred examples: five standard errors.
    assert gained.mean() == pytest.approx(paper, abs=5.0 * gained.std() / np.sqrt(tasks.size))

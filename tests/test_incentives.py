"""Cheating and checking: the answers that are known on paper (VO1-VO5, VO10, VO14, VO15, O25)."""

import doctest
from math import inf
from types import ModuleType

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hanse.market import units
from hanse.verification import audits, incentives, premium, receipts
from hanse.verification.incentives import (
    capital_cost_usd,
    caught_probability,
    cheats,
    compute_multiplier_of_audits,
    compute_multiplier_of_delegation,
    compute_multiplier_of_replication,
    detection_without_replacement,
    deterrent_audit_probability,
    deterrent_stake,
    expected_tasks_until_caught,
    gain_from_cheating,
    gain_from_cheating_until_caught,
    payoffs,
    samples_needed,
    slash,
)

S_PER_DAY = 86_400.0
SHARES = np.linspace(0.0, 1.0, 101)

repeatable = settings(derandomize=True, deadline=None, max_examples=100, database=None)
probabilities = st.floats(0.0, 1.0)
amounts = st.floats(0.01, 1_000.0)


@numba.njit()
def cheats_in_a_kernel(saving: float, p: float, d: float, stake: float, reward: float) -> bool:
    return cheats(saving, p, d, stake, reward)


@pytest.mark.parametrize(
    ("audit_probability", "lazy_usd"),
    # lazy = (1 - p) x 100 - p x 400 - 0 = 100 - 500 p; honest = 100 - 60 = 40
    [(0.10, 50.0), (0.12, 40.0), (0.15, 25.0)],
)
def test_a_single_audit_pays_what_the_paper_says(audit_probability: float, lazy_usd: float) -> None:
    pays = payoffs(
        reward_usd=100.0,
        honest_cost_usd=60.0,
        lazy_cost_usd=0.0,
        stake_usd=400.0,
        caught_probability=audit_probability,
    )
    assert pays.honest_usd == 40.0
    assert pays.lazy_usd == pytest.approx(lazy_usd, rel=1e-12)


def test_an_agent_cheats_below_the_deterrent_audit_rate_only() -> None:
    audit_probability = np.array([0.10, 0.12, 0.15])
    cheated = cheats(np.full(3, 60.0), audit_probability, 1.0, 400.0, 100.0)
    assert cheated.tolist() == [True, False, False]  # indifferent at 0.12, hence honest


@repeatable
@given(
    saving=amounts, stake=amounts, reward=amounts, p=probabilities, d=probabilities, cost=amounts
)
@example(saving=60.0, stake=400.0, reward=100.0, p=0.12, d=1.0, cost=0.0)
def test_who_cheats_is_who_is_paid_more_for_it(
    saving: float, stake: float, reward: float, p: float, d: float, cost: float
) -> None:
    pays = payoffs(
        reward_usd=reward,
        honest_cost_usd=saving + cost,
        lazy_cost_usd=cost,
        stake_usd=stake,
        caught_probability=caught_probability(p, d, 0.0),
    )
    advantage = pays.lazy_usd - pays.honest_usd
    # The two are equal algebraically; sums of numbers below 4,000 round by less than 1e-9.
    if abs(advantage) > 1e-9:
        assert cheats(saving, p, d, stake, reward) == (advantage > 0.0)


@repeatable
@given(saving=amounts, p=probabilities, d=probabilities, stake=amounts, reward=amounts)
def test_floats_arrays_and_compiled_kernels_agree(
    saving: float, p: float, d: float, stake: float, reward: float
) -> None:
    alone = cheats(saving, p, d, stake, reward)
    assert cheats(np.array([saving]), p, d, stake, reward).tolist() == [alone]
    assert cheats_in_a_kernel(saving, p, d, stake, reward) == alone


def test_the_least_audit_rate_is_twelve_per_cent() -> None:
    assert deterrent_audit_probability(saving=60.0, at_risk=500.0) == 0.12  # 60 / (400 + 100)


def test_half_the_detection_needs_twice_the_audits() -> None:
    assert deterrent_audit_probability(saving=60.0, at_risk=500.0, detection=0.5) == 0.24


@pytest.mark.parametrize(
    ("saving", "at_risk", "audit_reward", "expected"),
    [
        (60.0, 500.0, 0.0, 2.0 / 15.0),  # 60 / (0.9 x 500)
        (60.0, 500.0, 100.0, 60.0 / 440.0),  # 60 / (0.9 x 400 + 0.8 x 100)
        (1.0, 101.0, 0.0, 1.0 / 90.9),  # 0.011001
        (1.0, 101.0, 1.0, 1.0 / 90.8),  # 0.011013
    ],
)
def test_collusion_raises_the_audit_rate_as_in_both_versions_of_posp(
    saving: float, at_risk: float, audit_reward: float, expected: float
) -> None:
    least = deterrent_audit_probability(
        saving=saving, at_risk=at_risk, collusion=0.1, audit_reward=audit_reward
    )
    assert least == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("saving", "stake", "expected"), [(1.0, 1.0, 0.5), (1.0, 9.0, 0.1), (1.0, 99.0, 0.01)]
)
def test_the_audit_rate_that_deters_falls_with_the_slash(
    saving: float, stake: float, expected: float
) -> None:
    # O25: honest iff p >= c / (c + S), which is a reward equal to the cost saved.
    least = deterrent_audit_probability(saving=saving, at_risk=stake + saving)
    assert least == pytest.approx(expected, rel=1e-12)


def test_no_audit_rate_deters_where_every_auditor_colludes() -> None:
    assert deterrent_audit_probability(saving=60.0, at_risk=500.0, collusion=1.0) == inf


def test_rare_audits_need_a_high_stake() -> None:
    least = deterrent_stake(saving=60.0, caught_probability=0.05, reward=100.0)
    assert least == pytest.approx(1_100.0, rel=1e-12)  # 60 / 0.05 - 100
    assert deterrent_stake(saving=60.0, caught_probability=0.0, reward=100.0) == inf
    # 60 / 1 - 100 < 0: losing the reward deters by itself
    assert deterrent_stake(saving=60.0, caught_probability=1.0, reward=100.0) == 0.0


@repeatable
@given(saving=amounts, reward=amounts, q=st.floats(0.01, 1.0))
def test_the_least_stake_and_the_least_audit_rate_are_one_condition(
    saving: float, reward: float, q: float
) -> None:
    stake = deterrent_stake(saving=saving, caught_probability=q, reward=reward)
    least = deterrent_audit_probability(saving=saving, at_risk=stake + reward)
    assert least <= q * (1.0 + 1e-9)
    assert stake == 0.0 or least == pytest.approx(q, rel=1e-9)


@pytest.mark.parametrize(
    ("n_units", "n_cheated", "n_sampled", "expected"),
    [
        (1_000, 10, 50, 0.402689),
        (1_000, 10, 230, 0.927719),
        # 1 - 90 x 89 x 88 x 87 x 86 / (100 x 99 x 98 x 97 x 96)
        (100, 5, 10, 0.416248),
        (1_000, 100, 44, 0.991299),
    ],
)
def test_sampling_detects_as_often_as_the_paper_says(
    n_units: int, n_cheated: int, n_sampled: int, expected: float
) -> None:
    found = detection_without_replacement(n_units=n_units, n_cheated=n_cheated, n_sampled=n_sampled)
    assert found == pytest.approx(expected, abs=5e-7)  # six printed decimals


def test_one_cheated_unit_is_found_in_proportion_to_the_sample() -> None:
    assert detection_without_replacement(n_units=1_024, n_cheated=1, n_sampled=32) == 32 / 1_024


@repeatable
@given(n=st.integers(1, 300), cheated=probabilities, sampled=probabilities)
def test_sampling_without_replacement_detects_at_least_as_much_as_with(
    n: int, cheated: float, sampled: float
) -> None:
    k, m = round(cheated * n), round(sampled * n)
    found = detection_without_replacement(n_units=n, n_cheated=k, n_sampled=m)
    assert found >= 1.0 - (1.0 - k / n) ** m - 1e-12


def test_more_cannot_be_sampled_than_there_is() -> None:
    with pytest.raises(ValueError, match="n_sampled must be from 0 to n_units = 10, got 11"):
        detection_without_replacement(n_units=10, n_cheated=1, n_sampled=11)


@pytest.mark.parametrize(
    ("cheated_share", "detection", "expected"),
    [(0.01, 0.90, 230), (0.01, 0.99, 459), (0.10, 0.99, 44), (0.001, 0.99, 4_603)],
)
def test_samples_needed_are_those_of_the_paper(
    cheated_share: float, detection: float, expected: int
) -> None:
    assert samples_needed(cheated_share=cheated_share, detection=detection) == expected


def test_no_sample_makes_detection_certain() -> None:
    with pytest.raises(ValueError, match="detection must be strictly between 0 and 1, got 1"):
        samples_needed(cheated_share=0.1, detection=1.0)


@repeatable
@given(saving=amounts, q=probabilities, n_sampled=st.integers(1, 50), at_risk=amounts)
@example(saving=60.0, q=0.11, n_sampled=5, at_risk=500.0)
@example(saving=60.0, q=0.13, n_sampled=5, at_risk=500.0)
def test_the_best_cheat_is_all_or_nothing(
    saving: float, q: float, n_sampled: int, at_risk: float
) -> None:
    gain = gain_from_cheating(
        SHARES, saving=saving, caught_probability=q, n_sampled=n_sampled, at_risk=at_risk
    )
    assert gain.max() <= max(gain[0], gain[-1]) + 1e-9
    assert gain[0] == 0.0


def test_eleven_per_cent_tempts_the_whole_task_and_twelve_tempts_nobody() -> None:
    tempted = gain_from_cheating(
        SHARES, saving=60.0, caught_probability=0.11, n_sampled=5, at_risk=500.0
    )
    deterred = gain_from_cheating(
        SHARES, saving=60.0, caught_probability=0.12, n_sampled=5, at_risk=500.0
    )
    assert SHARES[tempted.argmax()] == 1.0
    assert tempted.max() == pytest.approx(5.0, rel=1e-12)  # 60 - 0.11 x 500
    assert deterred.max() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("cheated_share", "n_sampled", "gain"),
    [
        # f C - q (1 - (1 - f)^m)(R + S): 30 - 0.12 x (1 - 1/32) x 500
        (0.5, 5, 30.0 - 58.125),
        # One sample: 60 (f - f), nothing at any share.
        (0.25, 1, 0.0),
        # 15 - 0.12 x (1 - 9/16) x 500
        (0.25, 2, 15.0 - 26.25),
    ],
)
def test_a_part_of_a_task_gains_what_its_samples_leave(
    cheated_share: float, n_sampled: int, gain: float
) -> None:
    gained = gain_from_cheating(
        np.array([cheated_share]),
        saving=60.0,
        caught_probability=0.12,
        n_sampled=n_sampled,
        at_risk=500.0,
    )
    assert gained == pytest.approx([gain], abs=1e-12)


@pytest.mark.parametrize("n_sampled", [1, 2, 5, 50])
def test_no_number_of_samples_moves_the_audit_rate_that_deters(n_sampled: int) -> None:
    for q, best in ((0.1199, 1.0), (0.1201, 0.0)):
        gain = gain_from_cheating(
            SHARES, saving=60.0, caught_probability=q, n_sampled=n_sampled, at_risk=500.0
        )
        assert SHARES[gain.argmax()] == best


def test_a_repeated_cheat_lasts_twenty_two_tasks() -> None:
    # 1 / (0.05 x 0.99 x 0.9) = 1 / 0.04455
    q = caught_probability(0.05, 0.99, 0.1)
    assert expected_tasks_until_caught(q) == pytest.approx(22.4467, abs=5e-5)
    assert expected_tasks_until_caught(0.0) == inf


def test_the_wait_until_caught_is_geometric() -> None:
    rng = np.random.default_rng(10)
    q = caught_probability(0.05, 0.99, 0.1)
    waits = rng.geometric(q, 100_000)
    # sd of a geometric wait: sqrt(1 - q) / q = 21.9; four standard errors
    tolerance = 4.0 * np.sqrt(1.0 - q) / q / np.sqrt(waits.size)
    assert waits.mean() == pytest.approx(expected_tasks_until_caught(q), abs=tolerance)


@pytest.mark.parametrize(("continuation", "gain"), [(0.0, 346.80), (346.80, 0.0), (500.0, -153.20)])
def test_a_future_worth_losing_deters_and_a_new_name_undoes_it(
    continuation: float, gain: float
) -> None:
    # 60 x 22.4467 - 1,000 - V = 346.80 - V
    gained = gain_from_cheating_until_caught(
        saving=60.0,
        caught_probability=caught_probability(0.05, 0.99, 0.1),
        at_risk=1_000.0,
        continuation=continuation,
    )
    assert gained == pytest.approx(gain, abs=5e-3)


def test_compute_multipliers_are_those_of_the_paper() -> None:
    assert compute_multiplier_of_audits(0.15, 1.0) == pytest.approx(1.15, rel=1e-12)
    assert compute_multiplier_of_audits(0.15, 0.1) == pytest.approx(1.015, rel=1e-12)
    assert compute_multiplier_of_audits(0.0, 1.0) == 1.0
    assert compute_multiplier_of_replication(7) == 8.0
    assert [
        round(compute_multiplier_of_delegation(2, slowdown), 12) for slowdown in (1.3, 1.6, 2.26)
    ] == [2.6, 3.2, 4.52]


def test_slow_finality_costs_what_the_paper_says() -> None:
    # 1,100 x 0.10 x 7 / 365 = 2.1096; 1,100 x 0.10 / 8,760 = 0.01256
    assert capital_cost_usd(1_100.0, 0.10, 7.0 * S_PER_DAY) == pytest.approx(2.110, abs=5e-4)
    assert capital_cost_usd(1_100.0, 0.10, 3_600.0) == pytest.approx(0.0126, abs=5e-5)


@pytest.mark.parametrize("stake_micro_usd", [0, 1, 2, 7, 10**15 + 1])
def test_a_slash_makes_and_loses_no_money(stake_micro_usd: int) -> None:
    parts = slash(stake_micro_usd)
    assert parts.treasury_micro_usd + parts.verifier_micro_usd == stake_micro_usd
    assert 0 <= parts.treasury_micro_usd - parts.verifier_micro_usd <= 1


def test_a_stake_cannot_be_negative() -> None:
    with pytest.raises(ValueError, match="stake_micro_usd must be at least 0, got -1"):
        slash(-1)


@pytest.mark.parametrize("module", [incentives, premium, receipts, audits])
def test_examples_in_docstrings_are_true(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_units_agree_with_those_of_the_market() -> None:
    # Verification imports no other package, so the numbers stand twice; here is why that is safe.
    assert incentives.S_PER_YEAR == units.S_PER_YEAR
    assert premium.S_PER_HOUR == units.S_PER_HOUR
    assert premium.US_PER_S == units.US_PER_S == premium.MS_PER_S * units.US_PER_MS
    assert premium.BYTES_PER_GB == units.BYTES_PER_GB

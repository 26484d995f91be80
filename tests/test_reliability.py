"""Reliability by horizon: constants that paper knows, and shapes recovered from draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hanse.scenarios.growth.reliability import (
    TaskMix,
    chain_success,
    fit_decay,
    fit_task_mix,
    horizon_ratio,
    pass_all,
    success_by_stages,
    with_retries,
)
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.selftest.checks import ON_ARRIVAL, run_ledger
from hanse.scenarios.streams import stream
from tests.strategies import with_audits, with_luck, world_of

STEPS = np.array([1, 2, 4, 8, 16, 32, 64])


@pytest.mark.parametrize(
    ("step", "n", "retries", "expected"),
    [(0.99, 50, 0, 0.605), (0.95, 50, 0, 0.077), (0.9, 50, 1, 0.605)],
)
def test_o26_success_of_a_chain_of_equal_steps(
    step: float, n: int, retries: int, expected: float
) -> None:
    found = chain_success(with_retries(np.full(n, step), retries))
    assert found == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(("share", "ratio"), [(0.8, 0.3219), (0.9, 0.1520), (0.99, 0.0145)])
def test_o26_horizons_of_a_constant_hazard_over_its_half_life(share: float, ratio: float) -> None:
    assert horizon_ratio(share) == pytest.approx(ratio, abs=5e-5)


def test_o26_pass_all_of_a_beta_mixture_is_a_product_of_ratios() -> None:
    # E p^k = product of (a + i) / (a + b + i): for a = 2, b = 1 it is 2/3, 2/3 x 3/4, x 4/5.
    found = [TaskMix(alpha=2.0, beta=1.0).pass_all(k) for k in (1, 2, 3)]
    assert found == pytest.approx([2 / 3, 1 / 2, 2 / 5], abs=1e-12)


def test_steps_of_different_success_multiply() -> None:
    assert chain_success(np.array([0.9, 0.5, 1.0, 0.8])) == pytest.approx(0.36)


@given(st.integers(1, 6), st.floats(0.2, 5.0), st.floats(0.2, 5.0))
def test_a_mixture_of_tasks_passes_more_often_than_tasks_of_the_mean(
    k: int, alpha: float, beta: float
) -> None:
    mix = TaskMix(alpha=alpha, beta=beta)
    assert mix.pass_all(k) >= mix.mean**k * (1 - 1e-9)


def test_pass_all_is_estimated_without_bias_and_by_the_fitted_mixture_alike() -> None:
    rng = stream(0, "pass")
    success = rng.beta(2.0, 1.0, 4_000)
    trials = np.full(4_000, 8)
    successes = rng.binomial(trials, success)
    mix = fit_task_mix(successes, trials)
    for k in (1, 2, 4, 8):
        # The standard error of the mean of p^k over 4,000 tasks is below 0.5 / sqrt(4,000) = 0.008.
        expected = TaskMix(alpha=2.0, beta=1.0).pass_all(k)
        assert pass_all(successes, trials, k) == pytest.approx(expected, abs=3.3 * 0.008)
        assert mix.pass_all(k) == pytest.approx(expected, abs=3.3 * 0.008)
    with pytest.raises(ScenarioError, match=r"pass\^9 needs 9 trials of each task, got 8"):
        pass_all(successes, trials, 9)


@pytest.mark.parametrize("shape", [0.7, 1.0, 1.6])
def test_the_shape_of_a_decay_is_recovered_within_its_interval(shape: float) -> None:
    trials = np.full(len(STEPS), 200)
    success = np.exp(-np.log(2) * (STEPS / 20.0) ** shape)
    rng = stream(0, f"decay {shape}")
    held = np.zeros(2)
    for _ in range(200):
        found = fit_decay(STEPS, rng.binomial(trials, success), trials)
        held += [found.shape.holds(shape), found.half_life.holds(20.0)]
    # 177 is the 0.1 % quantile of 200 trials at 95 %.
    assert (held >= stats.binom.ppf(0.001, 200, 0.95)).all(), held
    assert found.success(np.array([20.0]))[0] == pytest.approx(0.5, abs=0.1)


def test_tasks_of_mixed_hazard_make_a_shape_below_one() -> None:
    # With a hazard that follows a gamma law the share that survives is (1 + n / b) ^ -a.
    success = (1.0 + STEPS / 10.0) ** -0.8
    trials = np.full(len(STEPS), 2_000)
    found = fit_decay(STEPS, np.round(success * trials), trials)
    assert found.shape.high < 1.0


@pytest.mark.parametrize("succeeded", [[9, 9], [0, 0]])
def test_a_decay_is_not_made_up_where_nothing_fails_or_nothing_succeeds(
    succeeded: list[int],
) -> None:
    with pytest.raises(ScenarioError, match="a decay needs two numbers of steps"):
        fit_decay(np.array([1, 2]), np.array(succeeded), np.array([9, 9]))


def test_success_is_counted_by_number_of_stages() -> None:
    # One unit each second; jobs: done; wrong and accepted; given up; two stages done; still open.
    world = world_of(
        arrival_s=[0, 10, 20, 40, 90],
        work_s=[1, 1, 60, 1, 1, 50],
        stage_job=[0, 1, 2, 3, 3, 4],
        units=[0],
        horizon_s=100,
        patience_s=55,
    )
    world = with_luck(with_audits(world), temptation=[[1, 0, 1, 1, 1, 1]])
    counts = success_by_stages(world, run_ledger(world, ON_ARRIVAL))
    columns = ["n_stages", "jobs", "succeeded", "wrong", "expired", "open"]
    assert counts[columns].to_numpy().tolist() == [[1, 4, 1, 1, 1, 1], [2, 1, 1, 0, 0, 0]]
    assert counts["success_share"].tolist() == pytest.approx([1 / 3, 1.0])
    low, high = counts.loc[0, ["ci_low", "ci_high"]]
    assert low < 1 / 3 < high

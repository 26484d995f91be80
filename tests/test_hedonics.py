"""Hedonic regression: coefficients and robust intervals, against paper and known truths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student_t

from hanse.scenarios.studies.hedonics import regress


def test_a_slope_and_its_hc1_error_are_those_worked_by_hand() -> None:
    fit = regress(np.array([0.0, 1.0, 1.0, 4.0]), {"x": np.array([0.0, 1.0, 2.0, 3.0])})
    # Means 1.5 and 1.5; Sxx = 5, Sxy = 2.25 + 0.25 - 0.25 + 3.75 = 6: slope 1.2, intercept -0.3.
    assert fit.coefficient == pytest.approx([-0.3, 1.2], abs=1e-12)
    # Residuals 0.3, 0.1, -1.1, 0.7, squares 0.09, 0.01, 1.21, 0.49, sum 1.8; of y 9: R2 = 0.8.
    assert fit.r2 == pytest.approx(0.8, abs=1e-12)
    # Sum of (x - 1.5)^2 e^2 = 2.25 * 0.09 + 0.25 * 0.01 + 0.25 * 1.21 + 2.25 * 0.49 = 1.61;
    # variance 4 / (4 - 2) * 1.61 / 5^2 = 0.1288.
    assert fit.standard_error[1] == pytest.approx(0.1288**0.5, rel=1e-12)
    half = float(student_t.ppf(0.975, 2)) * 0.1288**0.5
    assert fit["x"] == pytest.approx((1.2, 1.2 - half, 1.2 + half), rel=1e-9)


def test_a_clustered_error_is_that_worked_by_hand() -> None:
    outcome, x = np.array([0.0, 1.0, 1.0, 4.0]), np.array([0.0, 1.0, 2.0, 3.0])
    fit = regress(outcome, {"x": x}, cluster=np.array([7, 7, 3, 3]))
    # (x - 1.5) e = -0.45, -0.05, -0.55, 1.05; sums by cluster -0.5 and 0.5, squares 0.5 in all.
    # Factor 2 / 1 * 3 / 2 = 3; variance 3 * 0.5 / 5^2 = 0.06; one degree of freedom.
    assert fit.standard_error[1] == pytest.approx(0.06**0.5, rel=1e-12)
    half = float(student_t.ppf(0.975, 1)) * 0.06**0.5
    assert fit["x"] == pytest.approx((1.2, 1.2 - half, 1.2 + half), rel=1e-9)
    assert fit.n_clusters == 2


@given(seed=st.integers(0, 10_000))
def test_a_cluster_per_row_is_no_cluster(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, outcome = rng.normal(size=(2, 12))
    alone = regress(outcome, {"x": x})
    each = regress(outcome, {"x": x}, cluster=rng.permutation(12))
    # n / (n - 1) * (n - 1) / (n - k) is HC1's n / (n - k).
    assert each.standard_error == pytest.approx(alone.standard_error, rel=1e-9)


@given(seed=st.integers(0, 10_000))
def test_differences_within_groups_are_a_level_per_group(seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 5, 30)
    x, other, outcome = rng.normal(size=(3, 30)) + rng.normal(size=(3, 5))[:, group] * 10
    found = regress(outcome, {"x": x, "other": other}, within=group)
    levels = {str(k): (group == k).astype(float) for k in np.unique(group)[1:]}
    expected = regress(outcome, {"x": x, "other": other} | levels)
    for term in ("x", "other"):
        assert found[term] == pytest.approx(expected[term], rel=1e-7, abs=1e-9)


def test_what_is_the_same_within_each_group_is_not_told_from_the_levels() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(6), 5)
    terms = {"of the group": 0.1 + 0.3 * group, "own": rng.normal(size=30)}
    fit = regress(2.0 * terms["own"] + group, terms, within=group)
    assert np.isnan(fit["of the group"][0])
    assert fit["own"][0] == pytest.approx(2.0, rel=1e-12)


def test_known_coefficients_are_found_within_their_intervals() -> None:
    rng = np.random.default_rng(5)
    n_worlds, per_world = 60, 50
    world = np.repeat(np.arange(n_worlds), per_world)
    rtt_ms = rng.uniform(1.0, 300.0, n_worlds * per_world)
    is_foreign = (rng.random(len(rtt_ms)) < 0.3).astype(float)
    # What a world shares, and a spread that grows with distance: neither is what textbooks assume.
    noise = rng.normal(0.0, 0.2, n_worlds)[world] + rng.normal(size=len(rtt_ms)) * rtt_ms / 600
    price = 2.5 - 0.003 * rtt_ms - 0.2 * is_foreign + noise
    fit = regress(price, {"rtt_ms": rtt_ms, "is_foreign": is_foreign}, cluster=world)
    for term, true in (("(intercept)", 2.5), ("rtt_ms", -0.003), ("is_foreign", -0.2)):
        _, low, high = fit[term]
        assert low < true < high
    _, low, high = fit["rtt_ms"]
    assert high < 0.0
    assert high - low < 0.001


def test_clustered_intervals_hold_nearly_what_they_promise_and_others_do_not() -> None:
    rng = np.random.default_rng(12)
    n_rounds, hits = 600, {"clustered": 0, "row by row": 0}
    world = np.repeat(np.arange(20), 10)
    for _ in range(n_rounds):
        far = np.repeat(rng.normal(size=20), 10)  # the same for a whole world, as is its noise
        price = rng.normal(size=20)[world] + rng.normal(size=200)
        for name, cluster in (("clustered", world), ("row by row", None)):
            _, low, high = regress(price, {"far": far}, cluster=cluster)["far"]
            hits[name] += low <= 0.0 <= high
    # 0.91 and 0.57 in 2,000 rounds of another seed; three standard errors of 600: 0.035, 0.061.
    assert 0.875 < hits["clustered"] / n_rounds < 0.95
    assert 0.51 < hits["row by row"] / n_rounds < 0.63


def test_what_cannot_be_told_apart_is_not_made_up() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=30)
    terms = {"x": x, "flat": np.full(30, 4.0), "twice": 2.0 * x + 1.0, "other": rng.normal(size=30)}
    fit = regress(3.0 * x, terms)
    assert np.isnan([fit["flat"][0], fit["twice"][0]]).all()
    assert fit["x"][0] == pytest.approx(3.0, rel=1e-12)
    assert fit["other"][0] == pytest.approx(0.0, abs=1e-12)


def test_columns_of_very_different_size_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    small, large = rng.normal(size=40) * 1e-9, 1e9 + rng.normal(size=40)
    fit = regress(2e9 * small + 3.0 * (large - 1e9), {"small": small, "large": large})
    assert fit["small"][0] == pytest.approx(2e9, rel=1e-5)


def test_one_world_gives_no_interval() -> None:
    rng = np.random.default_rng(4)
    x, price = rng.normal(size=(2, 20))
    fit = regress(price, {"x": x}, cluster=np.zeros(20, np.int64))
    assert np.isfinite(fit["x"][0])
    assert np.isnan(fit["x"][1:]).all()


@pytest.mark.parametrize("wrong", [np.array([1.0, np.nan, 2.0]), np.array([1.0, 2.0])])
def test_a_column_that_is_not_finite_or_not_as_long_is_refused(wrong: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match="x must hold 3 finite numbers"):
        regress(np.array([1.0, 2.0, 3.0]), {"x": wrong})

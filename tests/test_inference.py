"""Inference against what is known: coverage, size and power by simulation, tables by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from hanse.scenarios.analysis import inference
from hanse.scenarios.analysis.inference import (
    VALUES_MIN,
    bca_interval,
    equivalence,
    holm,
    paired_tests,
    variance_ratio,
)
from hanse.scenarios.parameters import ScenarioError

N_SIMULATED = 2000
# Three standard errors of a share of 2,000 near 0.95, which is 0.005.
TOLERANCE = 0.015


def test_the_bca_interval_of_the_mean_covers_it_as_often_as_it_says() -> None:
    values = np.random.default_rng(1).normal(3.0, size=(N_SIMULATED, 50))
    found = bca_interval(values, resamples=999)
    covered = ((found.low <= 3.0) & (found.high >= 3.0)).mean()
    # A bootstrap knows no degrees of freedom: at n = 50 it is 1.96 sqrt(49 / 50) where Student has
    # 2.01, which covers 0.942.
    assert covered == pytest.approx(0.942, abs=TOLERANCE)


def test_the_bca_interval_misses_more_evenly_than_students_where_values_are_skewed() -> None:
    values = np.random.default_rng(2).exponential(size=(N_SIMULATED, 20))
    found = bca_interval(values, resamples=999)
    half = stats.t.ppf(0.975, 19) * values.std(axis=1, ddof=1) / np.sqrt(20)
    mean = values.mean(axis=1)
    bca_misses = (found.high < 1).mean(), (found.low > 1).mean()
    student_misses = (mean + half < 1).mean(), (mean - half > 1).mean()
    assert bca_misses[0] < student_misses[0]
    assert abs(bca_misses[0] - bca_misses[1]) < abs(student_misses[0] - student_misses[1]) / 2


def test_the_bca_interval_is_that_of_its_definition() -> None:
    values = np.random.default_rng(3).lognormal(size=30)
    found = bca_interval(values[None, :], resamples=100_000)
    # Efron's formulas, with resamples of our own.
    means = np.random.default_rng(4).choice(values, size=(100_000, 30)).mean(axis=1)
    z0 = stats.norm.ppf((means < values.mean()).mean())
    left_out = (values.sum() - values) / 29
    spread = left_out.mean() - left_out
    acceleration = (spread**3).sum() / (6 * (spread**2).sum() ** 1.5)
    z = z0 + stats.norm.ppf([0.025, 0.975])
    expected = np.quantile(means, stats.norm.cdf(z0 + z / (1 - acceleration * z)))
    assert [found.low[0], found.high[0]] == pytest.approx(expected.tolist(), rel=0.02)


def test_equal_values_give_the_point_and_too_few_no_interval() -> None:
    found = bca_interval(np.array([np.full(10, 2.0), np.arange(10.0)]))
    assert (found.low[0], found.high[0]) == (2.0, 2.0)
    assert found.low[1] < 4.5 < found.high[1]
    assert np.isnan(bca_interval(np.arange(9.0)[None, :]).low).all()


def test_the_least_number_of_values_is_where_coverage_falls_below_nine_tenths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    covered = {}
    for n in (VALUES_MIN, VALUES_MIN - 3):
        monkeypatch.setattr(inference, "VALUES_MIN", n)
        values = np.random.default_rng(1).normal(size=(N_SIMULATED, n))
        found = bca_interval(values, resamples=999)
        covered[n] = ((found.low <= 0) & (found.high >= 0)).mean()
    assert covered[VALUES_MIN] > 0.9 - TOLERANCE
    assert covered[VALUES_MIN - 3] < 0.9


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(5).normal(size=(1, 12))
    assert bca_interval(values).low == bca_interval(values).low
    assert bca_interval(values).low != bca_interval(values, seed=1).low


def share_shown(mean: float, *, n: int) -> float:
    """Simulate how often differences of this mean and spread 1 are shown to lie within 0.5."""
    values = np.random.default_rng(6).normal(mean, 1.0, size=(N_SIMULATED, n))
    return float(np.mean([equivalence(row, margin=0.5).is_shown() for row in values]))


def test_the_equivalence_test_has_its_size_at_the_margin() -> None:
    # Power of the other side is next to one at n = 60, so that the size is the level itself.
    assert share_shown(0.5, n=60) == pytest.approx(0.05, abs=TOLERANCE)
    assert share_shown(-0.5, n=60) == pytest.approx(0.05, abs=TOLERANCE)


def test_the_equivalence_test_has_the_power_of_the_noncentral_t() -> None:
    n = 45
    critical, centre = stats.t.ppf(0.95, n - 1), 0.5 * np.sqrt(n)
    # Both one-sided tests at no difference; their overlap is what is not lost by either.
    power = 1 - 2 * stats.nct.cdf(critical, n - 1, centre)
    assert share_shown(0.0, n=n) == pytest.approx(power, abs=3 * np.sqrt(0.25 / N_SIMULATED))
    assert share_shown(0.0, n=8) < 0.05  # too few worlds show nothing


def test_equivalence_is_not_the_absence_of_a_difference() -> None:
    few = np.array([-3.0, 4.0, 1.0, -2.0])
    assert stats.ttest_1samp(few, 0).pvalue > 0.9
    assert not equivalence(few, margin=0.5).is_shown()


@pytest.mark.parametrize(("value", "p_value"), [(0.2, 0.0), (0.5, 1.0), (-0.7, 1.0)])
def test_equal_differences_lie_within_the_margin_or_not(value: float, p_value: float) -> None:
    assert equivalence(np.full(5, value), margin=0.5).p_value == p_value


def test_an_equivalence_test_refuses_what_it_cannot_test() -> None:
    with pytest.raises(ScenarioError, match="margin of an equivalence test must be above 0, got 0"):
        equivalence(np.arange(3.0), margin=0.0)
    with pytest.raises(ScenarioError, match="needs two differences, got 1"):
        equivalence(np.ones(1), margin=1.0)


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.2: times 4, 3, 2, 1, and never less than the one before.
    found = holm(np.array([0.03, 0.01, np.nan, 0.2, 0.02]))
    np.testing.assert_allclose(found, [0.06, 0.04, np.nan, 0.2, 0.06])
    assert np.isnan(holm(np.array([np.nan]))).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(holm(np.array(p_values)), expected)


def test_holm_keeps_the_error_of_the_family() -> None:
    p_values = np.random.default_rng(7).random((N_SIMULATED, 10))
    some_rejected = np.mean([(holm(row) < 0.05).any() for row in p_values])
    assert some_rejected == pytest.approx(1 - (1 - 0.05 / 10) ** 10, abs=TOLERANCE)


def test_pairing_is_worth_what_the_correlation_says() -> None:
    rng = np.random.default_rng(8)
    shared, one, other = rng.normal(size=(3, 200_000))
    # Variances 1.25 each, covariance 1: (1.25 + 1.25) / (2 * 0.25) = 5.
    assert variance_ratio(shared + one / 2, shared + other / 2) == pytest.approx(5.0, rel=0.02)
    assert variance_ratio(one, other) == pytest.approx(1.0, rel=0.02)
    assert variance_ratio(one, one + 1.0) > 1e6
    assert np.isnan(variance_ratio(np.ones(3), np.ones(3)))


def samples() -> pd.DataFrame:
    """Tabulate two measures of one family on three rungs and twelve worlds."""
    rng = np.random.default_rng(9)
    luck = rng.normal(0, 5, size=12)
    rows = []
    for k, regime in enumerate(("dynamic-central", "venues", "market")):
        for measure, effect in (("waiting_s", 3.0), ("welfare_usd", 0.0)):
            values = luck + effect * k + rng.normal(0, 0.3, size=12)
            rows += [("batch", measure, regime, s, v) for s, v in enumerate(values.tolist())]
    return pd.DataFrame(rows, columns=["family", "measure", "regime", "seed", "value"])


def test_paired_tests_say_all_that_a_claim_needs() -> None:
    frame = paired_tests(samples(), margin=1.0)
    # "market" follows "venues" only across a rung that is left out.
    assert frame[["regime", "versus"]].drop_duplicates().to_numpy().tolist() == [
        ["venues", "dynamic-central"]
    ]
    waiting, welfare = (frame[frame["measure"] == m].iloc[0] for m in ("waiting_s", "welfare_usd"))
    wide = samples().pivot_table(index=["measure", "seed"], columns="regime", values="value")
    expected = stats.ttest_rel(
        wide.loc["waiting_s", "venues"], wide.loc["waiting_s"]["dynamic-central"]
    )
    assert waiting["p_value"] == pytest.approx(expected.pvalue)
    assert waiting["p_holm"] == pytest.approx(2 * expected.pvalue)
    assert waiting["ci_low"] > 2
    assert waiting["p_equivalence"] > 0.99
    assert welfare["p_equivalence_holm"] < 0.001 < welfare["p_value"]
    assert waiting["variance_ratio"] > 20
    assert waiting["n"] == 12


def test_worlds_on_which_one_regime_failed_are_left_out() -> None:
    some = samples()
    some = some[~((some["regime"] == "venues") & (some["seed"] < 11))]
    frame = paired_tests(some, margin=1.0)
    assert frame["n"].tolist() == [1, 1]
    assert (
        frame[["ci_low", "p_value", "p_holm", "p_equivalence", "variance_ratio"]].isna().all().all()
    )

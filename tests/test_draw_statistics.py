"""Drawn families beside the published statistics that they are drawn from.

Tolerances are four standard errors, so that a correct draw fails once in 16,000 new seeds; the
seeds are fixed.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from hanse.market.units import Floats
from hanse.scenarios.drawing.arrivals import daily_instants, renewal_instants
from hanse.scenarios.drawing.calls import draw_tokens
from hanse.scenarios.drawing.families import draw_batch, draw_durations, draw_model_calls
from hanse.scenarios.drawing.fleet import residual_s
from hanse.scenarios.drawing.workload import buyer_shares, pick
from hanse.scenarios.scenario import load
from hanse.scenarios.streams import stream

ERRORS = 4.0
BASELINE = load("baseline")
PUBLISHED_CV = {
    "load.conversation_arrival_cv": 1.09,
    "load.code_arrival_cv": 13.2,
    "load.batch_arrival_cv": 6.9,
}


def cv_error(cv: float, n_gaps: int) -> float:
    """Return the standard error of the CV of Gamma gaps.

    The delta method on mean and variance gives cv**2 / n * ((m4/s4 - 1)/4 + cv**2 - cv * skew),
    and a Gamma law has skew 2 cv and m4/s4 = 3 + 6 cv**2, hence cv**2 (1 + cv**2) / (2 n).
    """
    return float(cv * np.sqrt((1 + cv**2) / (2 * n_gaps)))


def log_normal_errors(sigma: float, size: int) -> tuple[float, float]:
    """Return the standard errors of the mean and the deviation of logarithms."""
    return sigma / size**0.5, sigma / (2 * size) ** 0.5


@pytest.mark.parametrize(("key", "cv"), PUBLISHED_CV.items())
def test_gaps_between_arrivals_vary_as_published(key: str, cv: float) -> None:
    assert BASELINE.number(key) == cv
    instants = renewal_instants(stream(1, key), expected=1e6, cv=cv, horizon_s=1e6)
    gaps = np.diff(instants)
    assert abs(gaps.std() / gaps.mean() - cv) < ERRORS * cv_error(cv, len(gaps))


@pytest.mark.parametrize("cv", PUBLISHED_CV.values())
def test_the_mean_count_is_the_expected_one_from_the_first_second_on(cv: float) -> None:
    rng = stream(1, "counts")
    draws = [renewal_instants(rng, expected=100, cv=cv, horizon_s=3600.0) for _ in range(2000)]
    for until_s in (360.0, 3600.0):
        counts = np.array([np.searchsorted(instants, until_s) for instants in draws])
        error = counts.std() / len(counts) ** 0.5
        assert abs(counts.mean() - 100 * until_s / 3600.0) < ERRORS * error


@given(expected=st.floats(0.0, 300.0), cv=st.floats(0.1, 15.0), horizon_s=st.floats(1.0, 1e5))
def test_arrivals_are_sorted_within_the_horizon(
    expected: float, cv: float, horizon_s: float
) -> None:
    rng = stream(1, "any")
    instants = renewal_instants(rng, expected=expected, cv=cv, horizon_s=horizon_s)
    assert (np.diff(instants) >= 0).all()
    assert (instants >= 0).all()
    assert (instants < horizon_s).all()


def test_conversation_and_code_mix_as_in_the_trace() -> None:
    # 5.53 and 2.57 calls per second
    assert BASELINE.number("load.conversation_share") == pytest.approx(5.53 / 8.10, abs=0.0005)


@pytest.mark.parametrize(
    ("kind", "part", "mu", "sigma"),
    [
        ("conversation", "context", 6.63, 0.99),
        ("conversation", "generated", 5.02, 0.86),
        ("code", "context", 7.00, 1.36),
        ("code", "generated", 2.79, 0.85),
    ],
)
def test_tokens_are_log_normal_as_published(kind: str, part: str, mu: float, sigma: float) -> None:
    logarithms = np.log(draw_tokens(BASELINE, 1, kind, part=part, shape=(20_000, 2)))
    mu_error, sigma_error = log_normal_errors(sigma, logarithms.size)
    assert abs(logarithms.mean() - mu) < ERRORS * mu_error
    assert abs(logarithms.std() - sigma) < ERRORS * sigma_error


def test_batch_durations_are_log_normal_before_the_cap() -> None:
    logarithms = np.log(draw_durations(BASELINE, stream(1, "durations"), 100_000))
    mu_error, sigma_error = log_normal_errors(2.18, logarithms.size)
    assert abs(logarithms.mean() - 6.85) < ERRORS * mu_error
    assert abs(logarithms.std() - 2.18) < ERRORS * sigma_error


def test_batch_work_is_capped_at_the_horizon_as_often_as_the_law_says() -> None:
    scenario = BASELINE.replace({"load.batch_jobs": 20_000, "load.batch_arrival_cv": 1.0})
    work_s = draw_batch(scenario, 1).work_us / 1e6
    assert work_s.min() >= 1.0
    assert work_s.max() == 3600.0
    share = float(ndtr((6.85 - np.log(3600.0)) / 2.18))
    error = (share * (1 - share) / len(work_s)) ** 0.5
    assert abs((work_s == 3600.0).mean() - share) < ERRORS * error


def test_59_of_100_model_calls_stay_alone() -> None:
    scenario = BASELINE.replace({"load.model_calls": 50_000, "load.code_arrival_cv": 1.0})
    n_stages = draw_model_calls(scenario, 1).n_stages
    error = (0.59 * 0.41 / len(n_stages)) ** 0.5
    assert set(n_stages.tolist()) == {1, 2}
    assert abs((n_stages == 1).mean() - 0.59) < ERRORS * error


def test_tools_take_their_published_median_and_95th_percentile() -> None:
    scenario = BASELINE.replace({"load.model_calls": 50_000, "load.code_arrival_cv": 1.0})
    tape = draw_model_calls(scenario, 1)
    wait = np.log(tape.tool_us[tape.edge_to] / 1e6)
    sigma = np.log(2.5 / 0.4) / 1.6449
    # Error of a quantile: sqrt(q (1 - q) / n) over the density there, 0.3989 and 0.1031 per sigma.
    for share, expected_s, density in ((0.5, 0.4, 0.3989), (0.95, 2.5, 0.1031)):
        error = (share * (1 - share) / len(wait)) ** 0.5 * sigma / density
        assert abs(np.quantile(wait, share) - np.log(expected_s)) < ERRORS * error


def test_the_daily_profile_peaks_as_published() -> None:
    profile = load("daily")
    instants = renewal_instants(stream(1, "day"), expected=1e6, cv=1.0, horizon_s=86_400.0)
    moved = daily_instants(
        instants,
        horizon_s=86_400.0,
        kappa=profile.number("load.daily_kappa"),
        peak_hour=profile.number("load.daily_peak_hour"),
    )
    per_hour = np.histogram(moved, bins=24, range=(0.0, 86_400.0))[0] / (len(moved) / 24)
    assert 1.8 <= per_hour.max() <= 2.2
    assert 0.30 <= per_hour.min() <= 0.45
    # Hours 13-14 and 14-15 touch the peak at 14 h and are alike.
    assert set(np.argsort(per_hour)[-2:]) == {13, 14}
    # Von Mises: exp(0.9) / I0(0.9) = 2.028, a little less over a whole hour (0.9975).
    error = (2.03 / (1e6 / 24)) ** 0.5
    assert abs(per_hour.max() - 2.023) < ERRORS * error


def test_only_the_daily_scenario_moves_arrivals() -> None:
    still = BASELINE.replace({"measurement.horizon_s": 86_400, "load.model_calls": 500})
    moving = still.replace({"load.daily_profile": True})
    flat = moving.replace({"load.daily_kappa": 0})
    arrivals = [draw_model_calls(one, 1).arrival_us for one in (still, moving, flat)]
    assert len(arrivals[0]) == len(arrivals[1])
    assert abs(arrivals[0] - arrivals[1]).max() > 3600 * 1_000_000
    assert abs(arrivals[0] - arrivals[2]).max() <= 1


@given(
    share=st.floats(0, 0.999), kappa=st.floats(0, 3), horizon_s=st.sampled_from([600.0, 86_400.0])
)
def test_the_daily_profile_keeps_instants_inside_the_horizon(
    share: float, kappa: float, horizon_s: float
) -> None:
    instants = np.array([0.0, share * horizon_s])
    moved = daily_instants(instants, horizon_s=horizon_s, kappa=kappa, peak_hour=14.0)
    assert moved[0] == 0.0
    assert 0.0 <= moved[1] < horizon_s


def test_buyers_are_as_concentrated_as_the_clients_of_a_model() -> None:
    share = buyer_shares(BASELINE)
    assert 0.06 <= (share**2).sum() <= 0.28
    assert (np.diff(share) < 0).all()
    drawn = np.bincount(pick(stream(1, "buyers").random(100_000), share)) / 100_000
    assert abs((drawn**2).sum() - (share**2).sum()) < 0.005


def capped_moment(order: int, cap_s: float) -> float:
    """Return E[min(X, cap) ** order] of the log-normal law of batch durations."""
    mu, sigma = 6.85, 2.18
    z = (np.log(cap_s) - mu) / sigma
    below = np.exp(order * mu + (order * sigma) ** 2 / 2) * ndtr(z - order * sigma)
    return float(below + cap_s**order * ndtr(-z))


@pytest.mark.parametrize("cap_s", [600.0, 3600.0, 86_400.0])
def test_residual_work_is_that_of_an_equilibrium(cap_s: float) -> None:
    rng = stream(1, "residual")
    left = residual_s(rng.random(200_000), rng.random(200_000), mu=6.85, sigma=2.18, cap_s=cap_s)
    # Renewal theory: the mean of what is left is E[X^2] / (2 E[X]).
    expected = capped_moment(2, cap_s) / (2 * capped_moment(1, cap_s))
    assert abs(left.mean() - expected) < ERRORS * left.std() / len(left) ** 0.5


@given(
    chance=st.floats(0, 1, exclude_max=True),
    elapsed=st.floats(0, 1, exclude_max=True),
    mu=st.floats(0, 14),
    sigma=st.floats(0.01, 4),
    cap_s=st.floats(1, 1e6),
)
def test_residual_work_never_exceeds_the_cap(
    chance: float, elapsed: float, mu: float, sigma: float, cap_s: float
) -> None:
    left: Floats = residual_s(
        np.array([chance]), np.array([elapsed]), mu=mu, sigma=sigma, cap_s=cap_s
    )
    assert 0.0 <= left[0] <= cap_s

"""Reliability by horizon: the one place for how success falls with the number of steps.

A constant hazard per step loses the same share of jobs at each. Where success falls faster than
that, the shape of Weibull's law is above 1: what has gone before makes the next step harder. Where
tasks differ in how hard they are, the hard ones go first and the shape falls below 1.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import optimize, special, stats
from statsmodels.stats.proportion import proportion_confint

from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import COMPLETE, LAPSED, RIGHT
from hanse.market.units import Floats, Integers
from hanse.scenarios.analysis.intervals import CONFIDENCE, Interval
from hanse.scenarios.parameters import ScenarioError

LN_2: Final = float(np.log(2.0))


def chain_success(step_success: Floats) -> float:
    """Return the chance that all steps succeed, each with a chance of its own."""
    return float(np.prod(step_success))


def with_retries(step_success: Floats, retries: int) -> Floats:
    """Return the chance that a step succeeds when it may be tried again so many times."""
    success: Floats = 1.0 - (1.0 - np.asarray(step_success, dtype=float)) ** (retries + 1)
    return success


def horizon_ratio(share: float) -> float:
    """Return the horizon at which so many succeed, over the half-life, at a constant hazard."""
    return float(np.log(share) / np.log(0.5))


def pass_all(successes: Integers, trials: Integers, k: int) -> float:
    """Estimate pass^k, the chance that k independent trials of one task all succeed.

    Without bias, from at least k trials of each task (arXiv:2406.12045): the mean of
    C(successes, k) / C(trials, k).
    """
    if (np.asarray(trials) < k).any():
        raise ScenarioError(f"pass^{k} needs {k} trials of each task, got {int(np.min(trials))}")
    return float((special.comb(successes, k) / special.comb(trials, k)).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMix:
    """Tasks of which the chance of success follows a beta law: some are harder than others."""

    alpha: float
    beta: float

    @property
    def mean(self) -> float:
        """Return the mean chance of success."""
        return self.alpha / (self.alpha + self.beta)

    def pass_all(self, k: int) -> float:
        """Return the chance that k trials of one task all succeed; above mean^k."""
        a, b = self.alpha, self.beta
        return float(np.exp(special.betaln(a + k, b) - special.betaln(a, b)))


def fit_task_mix(successes: Integers, trials: Integers) -> TaskMix:
    """Fit the beta-binomial law to trials of many tasks by maximum likelihood."""
    successes, trials = np.asarray(successes), np.asarray(trials)

    def loss(logs: Floats) -> float:
        alpha, beta = np.exp(logs)
        return -float(stats.betabinom.logpmf(successes, trials, alpha, beta).sum())

    found = optimize.minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6})
    alpha, beta = np.exp(found.x)
    return TaskMix(alpha=float(alpha), beta=float(beta))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decay:
    """How success falls with the number of steps: exp(-(n / scale) ^ shape).

    Attributes
    ----------
    shape : of Weibull's law; 1 is a constant hazard per step.
    half_life : steps at which half of the jobs succeed.
    """

    shape: Interval
    half_life: Interval

    def success(self, n_steps: Floats) -> Floats:
        """Return the share that succeeds after so many steps."""
        relative = np.asarray(n_steps, dtype=float) / self.half_life.value
        share: Floats = np.exp(-LN_2 * relative**self.shape.value)
        return share


def fit_decay(
    n_steps: Integers, succeeded: Integers, trials: Integers, *, confidence: float = CONFIDENCE
) -> Decay:
    """Fit Weibull's law to successes by number of steps, by statsmodels.

    The complementary log-log of the share that fails is linear in log n, with the shape as slope:
    a generalised linear model. Intervals are Wald's; that of the half-life is on its logarithm.

    Raises
    ------
    ScenarioError
        If fewer than two numbers of steps are given, or all succeed or all fail: then nothing is
        known of how success falls.
    """
    n_steps, succeeded = np.asarray(n_steps, dtype=float), np.asarray(succeeded, dtype=float)
    trials = np.asarray(trials, dtype=float)
    failed = trials - succeeded
    if len(np.unique(n_steps)) < 2 or failed.sum() == 0 or succeeded.sum() == 0:
        raise ScenarioError(
            f"a decay needs two numbers of steps, failures and successes; got "
            f"{len(np.unique(n_steps))}, {failed.sum():g} and {succeeded.sum():g}"
        )
    family = sm.families.Binomial(link=sm.families.links.CLogLog())
    design = sm.add_constant(np.log(n_steps), has_constant="add")
    fitted = sm.GLM(np.column_stack([failed, succeeded]), design, family=family).fit()
    start, shape = (float(value) for value in fitted.params)
    covariance = np.asarray(fitted.cov_params())
    quantile = float(stats.norm.ppf((1.0 + confidence) / 2.0))
    half = quantile * float(np.sqrt(covariance[1, 1]))
    log_half_life = (np.log(LN_2) - start) / shape
    gradient = np.array([-1.0, -log_half_life]) / shape
    apart = quantile * float(np.sqrt(gradient @ covariance @ gradient))
    ends = np.exp(log_half_life + np.array([0.0, -apart, apart]))
    return Decay(
        shape=Interval(value=shape, low=shape - half, high=shape + half),
        half_life=Interval(value=float(ends[0]), low=float(ends[1]), high=float(ends[2])),
    )


def success_by_stages(
    world: World, ledger: Ledger, *, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Count what became of jobs by family and number of stages, whether they succeeded or not.

    A job succeeds if all of its stages are complete and their results right. One that the horizon
    cuts off is open, and in no share: of long jobs more are open, so read the counts.

    Returns
    -------
    pd.DataFrame
        Columns family, n_stages, jobs, succeeded, wrong, expired, open, success_share (of those
        not open), ci_low, ci_high (Wilson).
    """
    job, stage = ledger.stage_fact["job"], ledger.stage
    n_jobs = int(job.max(initial=-1)) + 1
    n_stages = np.bincount(job, minlength=n_jobs)
    complete = stage["status"] == COMPLETE
    right = complete.copy()
    right[complete] = ledger.record["outcome"][stage["record"][complete]] == RIGHT
    is_done = np.bincount(job[complete], minlength=n_jobs) == n_stages
    is_right = np.bincount(job[right], minlength=n_jobs) == n_stages
    is_expired = np.bincount(job[stage["status"] == LAPSED], minlength=n_jobs) > 0
    frame = pd.DataFrame(
        {
            "family": np.array(world.workload.family, dtype=object)[world.workload.job_family],
            "n_stages": n_stages,
            "jobs": 1,
            "succeeded": is_right.astype(int),
            "wrong": (is_done & ~is_right).astype(int),
            "expired": is_expired.astype(int),
            "open": (~is_done & ~is_expired).astype(int),
        }
    )
    counts = frame.groupby(["family", "n_stages"], as_index=False, sort=True).sum()
    ended = (counts["jobs"] - counts["open"]).to_numpy()
    with_end = np.maximum(ended, 1)
    low, high = proportion_confint(
        counts["succeeded"], with_end, alpha=1.0 - confidence, method="wilson"
    )
    share = np.where(ended > 0, counts["succeeded"] / with_end, np.nan)
    return counts.assign(success_share=share, ci_low=low, ci_high=high)

"""Throughput: the one place for the laws of speed-up, and for fitting them to what N servers do.

Amdahl (AFIPS 1967): a serial share limits. Gustafson (CACM 31, 1988): the work grows with N.
Universal Scalability Law (Gunther 1993): X(N) = g N / (1 + a (N - 1) + b N (N - 1)), in which a is
contention and b the price of agreeing pairwise; with b > 0 throughput has a peak and falls.
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from hanse.market.units import Floats
from hanse.scenarios.analysis.intervals import Interval
from hanse.scenarios.parameters import ScenarioError


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalability:
    """What the Universal Scalability Law makes of a throughput.

    Attributes
    ----------
    rate : g, of one server alone.
    contention : a.
    coherence : b; 0 is Amdahl's law.
    peak : N at which throughput is greatest; infinite where coherence is 0.
    delta_aicc : of Amdahl's law less that of this one; above 0 speaks for coherence.
    """

    rate: Interval
    contention: Interval
    coherence: Interval
    peak: float
    peak_throughput: float
    delta_aicc: float

    @property
    def is_retrograde(self) -> bool:
        """Say whether coherence is shown to be above 0, so that throughput must fall in the end."""
        return self.coherence.low > 0


def amdahl(n: Floats, parallel_share: float) -> Floats:
    """Return the speed-up of fixed work on n servers; at most 1 / (1 - parallel share)."""
    speed_up: Floats = 1.0 / ((1.0 - parallel_share) + parallel_share / n)
    return speed_up


def gustafson(n: Floats, parallel_share: float) -> Floats:
    """Return the speed-up of work that grows with n servers."""
    speed_up: Floats = n - (1.0 - parallel_share) * (n - 1.0)
    return speed_up


def scalability(n: Floats, *, rate: float, contention: float, coherence: float) -> Floats:
    """Return the throughput of n servers by the Universal Scalability Law."""
    through: Floats = rate * n / (1.0 + contention * (n - 1.0) + coherence * n * (n - 1.0))
    return through


def peak_servers(contention: float, coherence: float) -> float:
    """Return how many servers do most; infinite where nothing is agreed pairwise."""
    if coherence <= 0:
        return float("inf")
    return float(np.sqrt((1.0 - contention) / coherence))


def fit_scalability(n: Floats, throughput: Floats, *, confidence: float = 0.95) -> Scalability:
    """Fit the law to throughputs with lognormal errors.

    Intervals are those of the linearised model; one that would cross 0 is cut there.

    Raises
    ------
    ScenarioError
        If fewer than five throughputs are given, or one is not above 0.
    """
    n, throughput = np.asarray(n, dtype=float), np.asarray(throughput, dtype=float)
    if len(n) < 5 or (throughput <= 0).any():
        raise ScenarioError(
            f"a throughput needs five values above 0, got {len(n)} from {throughput.min():g}"
        )
    found, spread = _fit(n, throughput, with_coherence=True)
    half = stats.t.ppf((1.0 + confidence) / 2.0, len(n) - 3) * np.sqrt(np.diag(spread))
    rate, contention, coherence = (
        Interval(value=float(v), low=float(max(0.0, v - h)), high=float(v + h))
        for v, h in zip(found, half, strict=True)
    )
    simple, _ = _fit(n, throughput, with_coherence=False)
    peak = peak_servers(contention.value, coherence.value)
    top = float("inf") if np.isinf(peak) else float(_law(np.array([peak]), found)[0])
    return Scalability(
        rate=rate,
        contention=contention,
        coherence=coherence,
        peak=peak,
        peak_throughput=top,
        delta_aicc=_aicc(n, throughput, simple, k=3) - _aicc(n, throughput, found, k=4),
    )


def _law(n: Floats, free: Floats) -> Floats:
    rate, contention, coherence = np.append(free, 0.0)[:3]
    return scalability(n, rate=rate, contention=contention, coherence=coherence)


def _fit(n: Floats, throughput: Floats, *, with_coherence: bool) -> tuple[Floats, Floats]:
    """Return the parameters of greatest likelihood, and their covariance."""
    n_free = 3 if with_coherence else 2
    start = (float((throughput / n).max()), 0.01, 1e-4)[:n_free]

    def logged(servers: Floats, *free: float) -> Floats:
        return np.asarray(np.log(_law(servers, np.array(free))))

    found, spread = optimize.curve_fit(
        logged,
        n,
        np.log(throughput),
        p0=start,
        bounds=((1e-12, 0.0, 0.0)[:n_free], (np.inf, 1.0, 1.0)[:n_free]),
        x_scale=(max(start[0], 1e-12), 0.01, 1e-3)[:n_free],
    )
    return found, spread


def _aicc(n: Floats, throughput: Floats, found: Floats, *, k: int) -> float:
    miss = np.log(throughput) - np.log(_law(n, found))
    size = len(n)
    fit = size * np.log(max(float((miss**2).mean()), 1e-24))
    return float(fit + 2 * k + 2 * k * (k + 1) / max(size - k - 1, 1e-9))

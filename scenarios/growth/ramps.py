"""Ramps: the one place that leads one run up a load and down again, and reads it both ways.

All that a run carries from step to step, queues, caches, debts and old views, it brings along. What
it does at a level on the way down, less what it did there on the way up, is its hysteresis.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

import numpy as np
import pandas as pd

from hanse.market.accounts.ledger import Ledger
from hanse.market.regime import Regime
from hanse.market.units import US_PER_S, Floats, Integers
from hanse.scenarios.analysis.intervals import CONFIDENCE, Interval
from hanse.scenarios.draw import draw_world
from hanse.scenarios.growth.hysteresis import Escape, area_of, escape_of, mean_interval
from hanse.scenarios.growth.unfinished_work import work_path
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.selftest.checks import run_ledger

N_WINDOWS: Final = 8
"""Into which each step is cut; the second half of them is what is read of a level.

A definition, not a belief about the world: how finely time to escape is read. Levels are settled or
not whatever it is; docs/how-to/find-the-boundary.md says what other cuts give.
"""
HEALTHY_MIN: Final = 0.5
"""The least share of jobs done at which a level counts as healthy, unless told otherwise.

What collapse means, not a belief about the world: more is done than is given up. By how much the
escape depends on it stands in docs/how-to/find-the-boundary.md.
"""
OUTCOMES: Final = {
    "done_share": "share of jobs done",
    "payload_share": "payload, share of the fleet",
}

Ride = Callable[[int], Ledger]
"""What runs the ramp on the world of a seed."""


class Way(Enum):
    """Whether load is rising or falling; the highest level is the end of one, the other's start."""

    UP = "up"
    TOP = "top"
    DOWN = "down"


def rate_steps(levels: Sequence[float]) -> tuple[float, ...]:
    """Return the steps of a ramp: up, down, and the lowest level once more.

    The last step is not read: jobs of the one before have it to be done in.

    Raises
    ------
    ScenarioError
        If there are fewer than two levels, or they do not rise.
    """
    if len(levels) < 2 or not all(np.diff(levels) > 0):
        told = ", ".join(f"{level:g}" for level in levels)
        raise ScenarioError(f"a ramp needs two levels or more that rise, got {told}")
    return (*levels, *levels[-2::-1], levels[0])


def ramped(scenario: Scenario, levels: Sequence[float]) -> Scenario:
    """Let all arrivals of a scenario rise and fall in steps, as multiples of its own rates."""
    return scenario.replace({"load.rate_steps": rate_steps(levels)})


def riding(scenario: Scenario, regime: Regime, levels: Sequence[float]) -> Ride:
    """Return what takes a scenario up the ramp and down again under a regime."""
    stepped = ramped(scenario, levels)
    return lambda seed: run_ledger(draw_world(stepped, seed), regime)


def ride_ramp(ride: Ride, *, levels: Sequence[float], seeds: Sequence[int]) -> pd.DataFrame:
    """Run the ramp on each seed and read it window by window.

    Returns
    -------
    pd.DataFrame
        Columns seed, step, way, level, window, from_s, until_s, n_jobs, n_done (of those that
        arrived in the window), payload_share.
    """
    return pd.concat(
        [read_windows(ride(seed), levels).assign(seed=seed) for seed in seeds], ignore_index=True
    )


def read_windows(ledger: Ledger, levels: Sequence[float]) -> pd.DataFrame:
    """Read the jobs and the payload of each window off a closed run, without the last step."""
    n_steps = len(rate_steps(levels))
    n_all = n_steps * N_WINDOWS
    edge_us = np.linspace(0, ledger.horizon_us, n_all + 1).astype(np.int64)
    arrival_us = _job_arrival_us(ledger)
    n_jobs = np.histogram(arrival_us, edge_us)[0]
    n_done = np.histogram(arrival_us[ledger.job_done_us >= 0], edge_us)[0]
    step = np.arange(n_all) // N_WINDOWS
    top = len(levels) - 1
    ways = np.array([Way.UP.value, Way.TOP.value, Way.DOWN.value])
    table = pd.DataFrame(
        {
            "step": step,
            "way": ways[np.sign(step - top) + 1],
            "level": np.array(rate_steps(levels))[step],
            "window": np.arange(n_all) % N_WINDOWS,
            "from_s": edge_us[:-1] / US_PER_S,
            "until_s": edge_us[1:] / US_PER_S,
            "n_jobs": n_jobs,
            "n_done": n_done,
            "payload_share": work_path(ledger, n_instants=n_all + 1).payload_share,
        }
    )
    return table[step < n_steps - 1]


def _job_arrival_us(ledger: Ledger) -> Integers:
    fact = ledger.stage_fact
    arrival_us = np.zeros(len(ledger.job_done_us), np.int64)
    arrival_us[fact["job"]] = fact["job_arrival_us"]
    return arrival_us


def branches(windows: pd.DataFrame) -> pd.DataFrame:
    """Return what each seed did at each level on either way, once it had settled.

    Returns
    -------
    pd.DataFrame
        Columns seed, way, level, done_share, payload_share. The highest level is on both ways.
    """
    settled = windows[windows["window"] >= N_WINDOWS // 2]
    both = pd.concat(
        settled[settled["way"].isin([way.value, Way.TOP.value])].assign(way=way.value)
        for way in (Way.UP, Way.DOWN)
    )
    found = both.groupby(["seed", "way", "level"]).agg(
        n_jobs=("n_jobs", "sum"), n_done=("n_done", "sum"), payload_share=("payload_share", "mean")
    )
    found["done_share"] = found["n_done"] / found["n_jobs"]
    return found.reset_index()[["seed", "way", "level", *OUTCOMES]]


def apart(found: pd.DataFrame, *, outcome: str = "done_share") -> pd.DataFrame:
    """Return the outcome on the way up less that on the way down: levels by seeds."""
    wide = found.pivot(index=["level", "seed"], columns="way", values=outcome)
    lost: pd.Series = wide[Way.UP.value] - wide[Way.DOWN.value]
    return lost.unstack("seed")


def gaps(
    found: pd.DataFrame, *, outcome: str = "done_share", confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Return by level the means of both ways, and their difference with its interval over seeds.

    Returns
    -------
    pd.DataFrame
        Columns level, up, down, gap, gap_low, gap_high, n_seeds.
    """
    means = found.groupby(["level", "way"])[outcome].mean().unstack("way")
    lost = apart(found, outcome=outcome)
    rows = []
    for level, of_seeds in zip(lost.index, lost.to_numpy(dtype=float), strict=True):
        gap = mean_interval(of_seeds[~np.isnan(of_seeds)], confidence=confidence)
        up, down = (float(means.loc[level, way.value]) for way in (Way.UP, Way.DOWN))
        rows.append(
            {
                "level": float(level),
                "up": up,
                "down": down,
                "gap": gap.value,
                "gap_low": gap.low,
                "gap_high": gap.high,
                "n_seeds": int((~np.isnan(of_seeds)).sum()),
            }
        )
    return pd.DataFrame(rows)


def ramp_area(
    found: pd.DataFrame, *, outcome: str = "done_share", confidence: float = CONFIDENCE
) -> Interval:
    """Return the area between the ways where all seeds had jobs, paired by seed."""
    return area_of(apart(found, outcome=outcome).dropna(), confidence=confidence)


def escape_on_the_way_down(
    windows: pd.DataFrame, *, healthy_min: float = HEALTHY_MIN, confidence: float = CONFIDENCE
) -> Escape | None:
    """Measure how long seeds that collapsed stay so at loads that they carried on the way up.

    The clock of a seed starts where load has fallen to a level that was healthy on the way up, and
    stops with the first window in which jobs are done again as in a healthy level, and so are those
    of all windows from it on together; 0 if that is the first.

    Returns
    -------
    Escape or None
        Of the seeds that had collapsed at the highest level; None if there are none, or no level
        was healthy.
    """
    watched = [
        seen
        for _, of_seed in windows.groupby("seed")
        if (seen := _collapsed_below(of_seed, healthy_min)) is not None
    ]
    if not watched:
        return None
    times = np.array([_time_to_escape(one, healthy_min) for one in watched])
    return escape_of(times[:, 0], times[:, 1], confidence=confidence)


def _collapsed_below(of_seed: pd.DataFrame, healthy_min: float) -> pd.DataFrame | None:
    """Return the windows in which a seed is at risk, or None if it had not collapsed before."""
    found = branches(of_seed)
    up = found[found["way"] == Way.UP.value].set_index("level")["done_share"]
    if up.iloc[-1] >= healthy_min or not (up >= healthy_min).any():
        return None
    carried = float(up.index[up >= healthy_min].max())
    is_at_risk = (of_seed["way"] == Way.DOWN.value) & (of_seed["level"] <= carried)
    at_risk: pd.DataFrame = of_seed[is_at_risk]
    return at_risk


def _time_to_escape(watched: pd.DataFrame, healthy_min: float) -> tuple[float, float]:
    """Return when it escaped, NaN if it did not, and for how long it was at risk."""
    n_jobs, n_done = (watched[name].to_numpy(dtype=float) for name in ("n_jobs", "n_done"))
    since_s = (watched["from_s"] - watched["from_s"].iloc[0]).to_numpy(dtype=float)
    is_healthy = (n_done >= healthy_min * n_jobs) & (n_jobs > 0)
    stays = n_done[::-1].cumsum() >= healthy_min * n_jobs[::-1].cumsum()
    there = np.flatnonzero(is_healthy & stays[::-1])
    if len(there):
        return float(since_s[there[0]]), float(since_s[there[0]])
    return float("nan"), float(watched["until_s"].iloc[-1] - watched["from_s"].iloc[0])


def done_by_window(windows: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the share done of the jobs of all seeds, by window, and when the windows begin."""
    total = windows.groupby("from_s")[["n_jobs", "n_done"]].sum()
    share = total["n_done"].to_numpy(dtype=float) / total["n_jobs"].to_numpy(dtype=float)
    return share, total.index.to_numpy(dtype=float)

"""Strategic reports: what bending the truth earns a buyer, and where best responses lead.

A buyer says a share of what a result is worth (`Scaled`). Against a crowd that all say one share,
each of a few buyers tries every share of a grid by itself, on worlds of the same seed; what it
gains is its payoff less that of telling the truth. Welfare is counted at true worth throughout.
See docs/why/reports-are-columns.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import pandas as pd

from hanse.agents.world import World
from hanse.market.regime import Regime, Rung
from hanse.market.reporting import Scaled
from hanse.market.units import Floats, Integers
from hanse.scenarios.draw import draw_world
from hanse.scenarios.executors import available_workers, run_in_order
from hanse.scenarios.experiment import checked_seeds
from hanse.scenarios.intervals import interval
from hanse.scenarios.measures import Measured, measure
from hanse.scenarios.payoffs import payoffs_of
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.selftest_checks import run_ledger

SHARES: Final = (0.25, 0.5, 0.75, 1.0, 1.5, 3.0)
TRUTH: Final = 1.0
_GAIN_COLUMNS: Final = ("crowd_share", "own_share", "gain_usd", "ci_low", "ci_high", "n")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """One run to make: everybody says `crowd_share`, but for a buyer who says `own_share`."""

    seed: int
    crowd_share: float
    buyer: int = -1
    own_share: float = TRUTH


def gains_of_bending(
    scenario: Scenario,
    regime: Regime,
    *,
    seeds: Sequence[int],
    crowd_share: float = TRUTH,
    shares: Sequence[float] = SHARES,
    n_buyers: int = 3,
    workers: int | None = None,
) -> pd.DataFrame:
    """Measure what each share earns a buyer over the truth, against a crowd that says one share.

    Parameters
    ----------
    regime : under any way of reporting; here it is `Scaled`.
    n_buyers : how many try, one at a time, from the largest down in even steps.

    Returns
    -------
    pd.DataFrame
        Columns crowd_share, own_share, gain_usd (mean per buyer and run), ci_low, ci_high, n: 95 %,
        Student's t over seeds, each the mean of its buyers.
    """
    asked = sorted({*shares, TRUTH})
    buyers = _triers(scenario.count("load.buyers"), n_buyers)
    tries = [
        _Try(seed=seed, crowd_share=crowd_share, buyer=int(buyer), own_share=share)
        for seed in checked_seeds(seeds)
        for buyer in buyers
        for share in asked
    ]
    work = partial(_payoff_usd, scenario=scenario, regime=replace(regime, reporting=Scaled()))
    paid = run_in_order(work, tries, workers=workers or available_workers())
    found = np.array(paid).reshape(len(seeds), len(buyers), len(asked))
    gain = (found - found[:, :, [asked.index(TRUTH)]]).mean(axis=1)
    rows = []
    for k, share in enumerate(asked):
        over = interval(gain[:, k])
        rows.append(
            (crowd_share, share, float(over.mean), float(over.low), float(over.high), int(over.n))
        )
    return pd.DataFrame(rows, columns=_GAIN_COLUMNS)


def best_responses(
    scenario: Scenario,
    regime: Regime,
    *,
    seeds: Sequence[int],
    shares: Sequence[float] = SHARES,
    n_buyers: int = 3,
    n_rounds: int = 6,
    workers: int | None = None,
) -> pd.DataFrame:
    """Let the crowd say what was best for one of it, round after round, from the truth on.

    It ends where the best share is the crowd's own, or has been before: a cycle. Of shares that
    earn equally much, to a billionth, the one nearest to the crowd's is taken, so that nobody moves
    for nothing.

    Returns
    -------
    pd.DataFrame
        A row per round: round, crowd_share, best_share, gain_usd over the crowd's share, and with
        everybody at the crowd's share welfare_usd (at true worth) and paid_usd, means over seeds.
    """
    rows: list[tuple[float, ...]] = []
    crowd, seen = TRUTH, set[float]()
    while len(rows) < n_rounds and crowd not in seen:
        seen.add(crowd)
        gains = gains_of_bending(
            scenario,
            regime,
            seeds=seeds,
            crowd_share=crowd,
            shares=[*shares, crowd],
            n_buyers=n_buyers,
            workers=workers,
        )
        best = _nearest_best(gains, crowd)
        own = gains.set_index("own_share")["gain_usd"]
        together = crowd_outcomes(scenario, regime, seeds=seeds, shares=[crowd], workers=workers)
        welfare, paid = together[["welfare_usd", "paid_usd"]].mean()
        gained = float(own[best] - own[crowd])
        rows.append((len(rows), crowd, best, gained, float(welfare), float(paid)))
        crowd = best
    columns = ["round", "crowd_share", "best_share", "gain_usd", "welfare_usd", "paid_usd"]
    return pd.DataFrame(rows, columns=columns)


def crowd_outcomes(
    scenario: Scenario,
    regime: Regime,
    *,
    seeds: Sequence[int],
    shares: Sequence[float] = SHARES,
    workers: int | None = None,
) -> pd.DataFrame:
    """Say what comes of everybody saying one share; by share and seed, welfare_usd and paid_usd."""
    tries = [_Try(seed=seed, crowd_share=share) for share in shares for seed in seeds]
    work = partial(_outcome, scenario=scenario, regime=replace(regime, reporting=Scaled()))
    found = run_in_order(work, tries, workers=workers or available_workers())
    frame = pd.DataFrame(found, columns=["welfare_usd", "paid_usd"])
    frame.insert(0, "crowd_share", [one.crowd_share for one in tries])
    frame.insert(1, "seed", [one.seed for one in tries])
    return frame


def bend(world: World, worth_share: Floats) -> World:
    """Return a world whose buyers say these shares of what results are worth, where they may."""
    return replace(world, habits=replace(world.habits, worth_share=worth_share))


def gain_over_rungs(
    scenario: Scenario,
    rungs: Sequence[Rung],
    *,
    seeds: Sequence[int],
    workers: int | None = None,
) -> pd.DataFrame:
    """Stack `gains_of_bending` against the truth of rungs, led by a column rung."""
    frames = [
        gains_of_bending(scenario, rung.regime, seeds=seeds, workers=workers).assign(rung=rung.name)
        for rung in rungs
    ]
    whole = pd.concat(frames, ignore_index=True)
    return whole[["rung", *_GAIN_COLUMNS]]


def _triers(n_all: int, n_buyers: int) -> Integers:
    """Choose buyers in even steps of rank; the first has the most jobs."""
    steps = np.linspace(0, n_all - 1, min(n_buyers, n_all))
    return np.unique(np.rint(steps).astype(np.int64))


def _nearest_best(gains: pd.DataFrame, crowd: float) -> float:
    top = gains[gains["gain_usd"] >= gains["gain_usd"].max() - 1e-9]["own_share"].to_numpy(float)
    return float(top[np.abs(top - crowd).argmin()])


def _measured(one: _Try, scenario: Scenario, regime: Regime) -> Measured:
    world = draw_world(scenario, one.seed)
    share = np.full(len(world.workload.buyer_region), one.crowd_share)
    if one.buyer >= 0:
        share[one.buyer] = one.own_share
    bent = bend(world, share)
    return measure(bent, run_ledger(bent, regime))


def _payoff_usd(one: _Try, *, scenario: Scenario, regime: Regime) -> float:
    return float(payoffs_of(_measured(one, scenario, regime)).buyer[one.buyer])


def _outcome(one: _Try, *, scenario: Scenario, regime: Regime) -> tuple[float, float]:
    measured = _measured(one, scenario, regime)
    paid = payoffs_of(measured).buyer_paid.sum()
    return float(measured.welfare.welfare_usd.sum()), float(paid)

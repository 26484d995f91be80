"""Strategic reports: what bending the truth earns whoever does it, and where best responses lead.

A buyer says a share of what a result is worth (`WORTH`), an owner of what its units cost (`COST`)
or of what it lists them at (`POSTED`). Against a crowd that all say one share, each of a few tries
every share of a grid by itself, on worlds of the same seed; what it gains is its payoff less that
of telling the truth. Welfare, and what units cost, are counted as they are throughout.
See docs/why/reports-are-columns.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from hanse.agents.world import World
from hanse.market.regime import Regime, Rung
from hanse.market.reporting import MarkedUp, Scaled
from hanse.market.units import Floats, Integers
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.draw import draw_world
from hanse.scenarios.experiment import checked_seeds
from hanse.scenarios.measuring.measures import measure
from hanse.scenarios.running.batches import run_in_order
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.selftest.checks import run_ledger
from hanse.scenarios.studies.payoffs import Payoffs, payoffs_of

SHARES: Final = (0.25, 0.5, 0.75, 1.0, 1.5, 3.0)
TRUTH: Final = 1.0
_GAIN_COLUMNS: Final = ("crowd_share", "own_share", "gain_usd", "ci_low", "ci_high", "n")


def bend(world: World, worth_share: Floats) -> World:
    """Return a world whose buyers say these shares of what results are worth, where they may."""
    return replace(world, habits=replace(world.habits, worth_share=worth_share))


def mark_up(world: World, cost_share: Floats) -> World:
    """Return a world whose owners say these shares of what units cost them, where they may."""
    return replace(world, asks=replace(world.asks, cost_share=cost_share))


def post_at(world: World, posted_share: Floats) -> World:
    """Return a world whose owners post these shares of their lists, where they may."""
    return replace(world, asks=replace(world.asks, posted_share=posted_share))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """What may be said other than the truth.

    Attributes
    ----------
    allow : returns the regime under which it may.
    tell : returns the world in which all say these shares, one each.
    ranked : lists who may, the largest first.
    left : reads what each of them is left with.
    """

    allow: Callable[[Regime], Regime]
    tell: Callable[[World, Floats], World]
    ranked: Callable[[World], Integers]
    left: Callable[[Payoffs], Floats]


def _may_scale(regime: Regime) -> Regime:
    return replace(regime, reporting=Scaled())


def _may_mark_up(regime: Regime) -> Regime:
    return replace(regime, asking=MarkedUp())


def _by_jobs(world: World) -> Integers:
    """List buyers; they are drawn in falling order of jobs."""
    return np.arange(len(world.workload.buyer_region))


def _by_units(world: World) -> Integers:
    units = np.bincount(world.fleet.node_owner, minlength=len(world.fleet.owner))
    return np.argsort(-units, kind="stable")


def _of_buyers(left: Payoffs) -> Floats:
    return left.buyer


def _of_owners(left: Payoffs) -> Floats:
    return left.owner


WORTH: Final = Lie(allow=_may_scale, tell=bend, ranked=_by_jobs, left=_of_buyers)
COST: Final = Lie(allow=_may_mark_up, tell=mark_up, ranked=_by_units, left=_of_owners)
POSTED: Final = Lie(allow=_may_mark_up, tell=post_at, ranked=_by_units, left=_of_owners)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """One run to make: everybody says `crowd_share`, but for one who says `own_share`.

    That one stands at `rank` of all who may, from 0 for the largest to 1 for the smallest.
    """

    seed: int
    crowd_share: float
    own_share: float
    rank: float = 0.0


class _Outcome(NamedTuple):
    payoff_usd: float
    welfare_usd: float
    paid_usd: float


def gains_of_bending(
    scenario: Scenario,
    regime: Regime,
    *,
    seeds: Sequence[int],
    crowd_share: float = TRUTH,
    shares: Sequence[float] = SHARES,
    n_triers: int = 3,
    lie: Lie = WORTH,
    workers: int | None = None,
) -> pd.DataFrame:
    """Measure what each share earns whoever says it over the truth, against a crowd that says one.

    Parameters
    ----------
    regime : under any way of reporting and asking; here under that which allows the lie.
    n_triers : how many try, one at a time, from the largest down in even steps.

    Returns
    -------
    pd.DataFrame
        Columns crowd_share, own_share, gain_usd (mean per trier and run), ci_low, ci_high, n: 95 %,
        Student's t over seeds, each the mean of its triers.
    """
    asked = sorted({*shares, TRUTH})
    ranks = np.linspace(0.0, 1.0, n_triers).tolist()
    tries = [
        _Try(seed=seed, crowd_share=crowd_share, own_share=share, rank=rank)
        for seed in checked_seeds(seeds)
        for rank in ranks
        for share in asked
    ]
    found = _run(tries, scenario, regime, lie=lie, workers=workers)
    paid = np.array([one.payoff_usd for one in found]).reshape(len(seeds), n_triers, len(asked))
    gain = (paid - paid[:, :, [asked.index(TRUTH)]]).mean(axis=1)
    over = interval(gain.T)
    table = pd.DataFrame({"own_share": asked, "gain_usd": over.mean}).assign(
        crowd_share=crowd_share, ci_low=over.low, ci_high=over.high, n=over.n
    )
    return table[list(_GAIN_COLUMNS)]


def best_responses(
    scenario: Scenario,
    regime: Regime,
    *,
    seeds: Sequence[int],
    shares: Sequence[float] = SHARES,
    n_triers: int = 3,
    n_rounds: int = 6,
    lie: Lie = WORTH,
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
        everybody at the crowd's share welfare_usd (at true worth and cost) and paid_usd, means over
        seeds.
    """
    with_crowd = partial(
        gains_of_bending,
        scenario,
        regime,
        seeds=seeds,
        n_triers=n_triers,
        lie=lie,
        workers=workers,
    )
    all_say = partial(crowd_outcomes, scenario, regime, seeds=seeds, lie=lie, workers=workers)
    rows: list[tuple[float, ...]] = []
    crowd, seen = TRUTH, set[float]()
    while len(rows) < n_rounds and crowd not in seen:
        seen.add(crowd)
        gains = with_crowd(crowd_share=crowd, shares=[*shares, crowd])
        best = _nearest_best(gains, crowd)
        own = gains.set_index("own_share")["gain_usd"]
        together = all_say(shares=[crowd])
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
    lie: Lie = WORTH,
    workers: int | None = None,
) -> pd.DataFrame:
    """Say what comes of everybody saying one share; by share and seed, welfare_usd and paid_usd."""
    tries = [
        _Try(seed=seed, crowd_share=share, own_share=share) for share in shares for seed in seeds
    ]
    found = _run(tries, scenario, regime, lie=lie, workers=workers)
    return pd.DataFrame(
        {
            "crowd_share": [one.crowd_share for one in tries],
            "seed": [one.seed for one in tries],
            "welfare_usd": [one.welfare_usd for one in found],
            "paid_usd": [one.paid_usd for one in found],
        }
    )


def gain_over_rungs(
    scenario: Scenario,
    rungs: Sequence[Rung],
    *,
    seeds: Sequence[int],
    shares: Sequence[float] = SHARES,
    lie: Lie = WORTH,
    workers: int | None = None,
) -> pd.DataFrame:
    """Stack `gains_of_bending` against the truth of rungs, led by a column rung."""
    frames = [
        gains_of_bending(
            scenario, rung.regime, seeds=seeds, shares=shares, lie=lie, workers=workers
        ).assign(rung=rung.name)
        for rung in rungs
    ]
    whole = pd.concat(frames, ignore_index=True)
    return whole[["rung", *_GAIN_COLUMNS]]


def _nearest_best(gains: pd.DataFrame, crowd: float) -> float:
    top = gains[gains["gain_usd"] >= gains["gain_usd"].max() - 1e-9]["own_share"].to_numpy(float)
    return float(top[np.abs(top - crowd).argmin()])


def _run(
    tries: Sequence[_Try], scenario: Scenario, regime: Regime, *, lie: Lie, workers: int | None
) -> list[_Outcome]:
    work = partial(_outcome, scenario=scenario, regime=lie.allow(regime), lie=lie)
    return run_in_order(work, tries, workers=workers)


def _outcome(one: _Try, *, scenario: Scenario, regime: Regime, lie: Lie) -> _Outcome:
    world = draw_world(scenario, one.seed)
    ranked = lie.ranked(world)
    who = ranked[round(one.rank * (len(ranked) - 1))]
    share = np.full(len(ranked), one.crowd_share)
    share[who] = one.own_share
    told = lie.tell(world, share)
    measured = measure(told, run_ledger(told, regime))
    left = payoffs_of(measured)
    return _Outcome(
        payoff_usd=float(lie.left(left)[who]),
        welfare_usd=float(measured.welfare.welfare_usd.sum()),
        paid_usd=float(left.buyer_paid.sum()),
    )

"""Contracts on compute, settled on the prices that runs have made: who is hedged, who is called.

The runs come first and know of no contract: cash-settled contracts move money between parties who
run, pay and wait as they would without. So nothing real changes (time to match, dispersion,
synchronization cost); what may change is how much a buyer's spend varies, and what is locked for it
costs capital. Expectations are taken over the other seeds alone, so that nobody knows its own
future. See docs/why/contracts-settle-on-run-prices.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from hanse.agents.model import ComputeMarket, release
from hanse.market.exchange.clearing_house import LAYERS, Cleared, House, clear_path
from hanse.market.exchange.contracts import CALL, FORWARD, Contracts, capital_usd, cash_flows
from hanse.market.exchange.market_making import Maker, quoted_spread
from hanse.market.regime import Rung, ladder
from hanse.market.units import MICRO_USD_PER_USD, S_PER_HOUR, US_PER_S, Floats, Integers
from hanse.scenarios import charts
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.draw import draw_world
from hanse.scenarios.experiment import checked_seeds
from hanse.scenarios.running.batches import run_in_order
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.studies.price_quality import variation
from hanse.scenarios.studies.shocks import calm
from hanse.scenarios.studies.spot_prices import INDICES, Index, Trades, gpu_s, spot_path, trades_of

HEDGES: Final = ("spot", "forward", "call")
_BUYER, _WRITER = 0, 1
_SPEND_COLUMNS: Final = (
    "rung",
    "family",
    "hedge",
    "mean_usd",
    "sd_usd",
    "variance_ratio",
    "ci_low",
    "ci_high",
    "n",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginTerms:
    """What a clearing house asks for, and what its members can pay calls with.

    Attributes
    ----------
    margin_multiple : initial margin over the standard deviation of what a position gains or loses
        from interval to interval in a calm run.
    fund_share : default fund over margin; the house's own capital is the largest member's part.
    cash_share : cash over what the position is worth at the mean price of the calm run.
    """

    margin_multiple: float = 2.0
    fund_share: float = 0.1
    cash_share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """What one run leaves to contracts.

    Attributes
    ----------
    path : index price by interval, micro-USD per GPU-hour.
    match_s : mean time from readiness to the first acceptance.
    """

    rung: str
    seed: int
    families: tuple[str, ...]
    trades: Trades
    path: Integers
    horizon_s: float
    match_s: float
    capital_rate_per_year: float


def spot_runs(
    scenario: Scenario,
    *,
    seeds: Sequence[int],
    regimes: Sequence[Rung] = ladder,
    interval_s: float = 300.0,
    index: str = "volume-weighted",
    workers: int | None = None,
) -> list[Spot]:
    """Run regimes on the same worlds, and keep what was bought and the index of each interval."""
    work = partial(
        _spot_of_seed,
        scenario=scenario,
        regimes=tuple(regimes),
        interval_s=interval_s,
        index=INDICES[index],
    )
    found = run_in_order(work, checked_seeds(seeds), workers=workers)
    return [spot for spots in found for spot in spots]


def hedged_spend(runs: Sequence[Spot]) -> pd.DataFrame:
    """Say how much spend varies over worlds, unhedged and with a forward or a call on the index.

    All buyers of a family hedge together the hours that they buy in the mean of the other seeds, at
    the mean index of those as the forward price and as the strike; a call costs its mean pay-off
    there, about their own mean, which is a little low with few seeds. It settles on the mean index
    of the run.

    Returns
    -------
    pd.DataFrame
        Columns rung, family, hedge, mean_usd, sd_usd, variance_ratio (to spot), ci_low, ci_high,
        n. The interval of the ratio is a jackknife's of its logarithm, 95 %.
    """
    rows = []
    for rung, here in by_rung(runs).items():
        for family, name in enumerate(here[0].families):
            spend = spend_of(here, family)
            for hedge, after in spend.items():
                rows.append((rung, name, hedge, *_variance_row(after, spend[HEDGES[0]])))
    return pd.DataFrame(rows, columns=_SPEND_COLUMNS)


def liquidity(runs: Sequence[Spot], *, maker: Maker) -> pd.DataFrame:
    """Measure how liquid accelerator time was on each rung, over worlds.

    - maker_spread_usd : what `maker` would keep between its quotes for one interval, given how the
      index of the run has moved; USD per GPU-hour.
    - regional_dispersion_cv : of prices over regions that sold, each counted once.
    - time_to_match_s : from readiness to the first acceptance.
    - volatility_usd : standard deviation of the moves of the index from interval to interval.
    - indices_apart_usd : between the highest and the lowest of the three indices of the whole run.

    Returns
    -------
    pd.DataFrame
        Columns rung, measure, mean, ci_low, ci_high, n.
    """
    rows = []
    for rung, here in by_rung(runs).items():
        found = pd.DataFrame([liquidity_of(spot, maker) for spot in here])
        for measure in found:
            over = interval(found[measure].to_numpy(float))
            told = (float(over.mean), float(over.low), float(over.high), int(over.n))
            rows.append((rung, measure, *told))
    return pd.DataFrame(rows, columns=["rung", "measure", "mean", "ci_low", "ci_high", "n"])


def margin_calls(
    scenario: Scenario,
    *,
    seeds: Sequence[int],
    regimes: Sequence[Rung] = ladder,
    terms: MarginTerms = MarginTerms(),
    interval_s: float = 300.0,
    workers: int | None = None,
) -> pd.DataFrame:
    """Let owners and buyers hold forwards through a shock, with margin set by calm runs.

    Each buyer is long, each owner short, for what it bought or sold in the calm world of that seed;
    initial margin is a multiple of the standard deviation of the index there from interval to
    interval, the fund a share of margin, and cash a share of the contract's worth.

    Returns
    -------
    pd.DataFrame
        Columns rung, seed, arm (before, after the shock), n_calls, called_usd, n_defaults,
        the layers of the waterfall in USD, and locked_capital_usd, a resource cost.
    """
    arms = {
        arm: spot_runs(asked, seeds=seeds, regimes=regimes, interval_s=interval_s, workers=workers)
        for arm, asked in (("before", calm(scenario)), ("after", scenario))
    }
    rows = []
    for quiet, struck in zip(arms["before"], arms["after"], strict=True):
        position = positions(quiet.trades)
        house, cash = _house(quiet, position, terms)
        for arm, spot in (("before", quiet), ("after", struck)):
            cleared = clear_path(house, position, spot.path, cash_micro_usd=cash)
            row = {"rung": spot.rung, "seed": spot.seed, "arm": arm}
            rows.append(row | _margin_row(cleared, house, spot))
    return pd.DataFrame(rows)


def log_variance_ratios(after: Floats, spend: Floats) -> Floats:
    """Return jackknife values of the logarithm of a ratio of variances over worlds, one a world.

    Their mean and Student's interval are the jackknife's. NaN with fewer than three worlds, or
    where without one of them nothing varies.
    """
    n = len(spend)
    if n < 3:
        return np.full(n, np.nan)
    kept = [np.delete(np.arange(n), k) for k in range(n)]
    variances = np.array([[after[one].var(), spend[one].var()] for one in (np.arange(n), *kept)])
    if not (variances > 0.0).all():
        return np.full(n, np.nan)
    ratio = np.log(variances[:, 0] / variances[:, 1])
    return np.asarray(n * ratio[0] - (n - 1) * ratio[1:])


def spend_of(runs: Sequence[Spot], family: int) -> dict[str, Floats]:
    """Return what a family spent in each world of one regime, by hedge; USD."""
    price = np.array([float(spot.path.mean()) for spot in runs])
    bought = [spot.trades.family == family for spot in runs]
    hours = np.array([float(s.trades.hours[b].sum()) for s, b in zip(runs, bought, strict=True)])
    paid = [s.trades.paid_micro_usd[b].sum() for s, b in zip(runs, bought, strict=True)]
    spend = np.array(paid, float) / MICRO_USD_PER_USD
    return {hedge: spend - _pay_offs(price, hours, hedge=hedge) for hedge in HEDGES}


def positions(trades: Trades) -> Integers:
    """Return what each party is long, buyers first, then owners, GPU-seconds; they sum to zero."""
    n_buyers = int(trades.buyer.max()) + 1
    n_parties = n_buyers + int(trades.owner.max()) + 1
    quantity, position = gpu_s(trades.hours), np.zeros(n_parties, np.int64)
    np.add.at(position, trades.buyer, quantity)
    np.subtract.at(position, n_buyers + trades.owner, quantity)
    return position


def draw_hedges(spend: pd.DataFrame) -> Figure:
    """Draw how much of the variance of spend each hedge leaves, by rung and family."""
    shown = spend[spend["hedge"] != HEDGES[0]]
    families, rungs = list(shown["family"].unique()), list(shown["rung"].unique())
    size = (charts.WIDTH_INCH, 0.35 * len(rungs) + 1.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(1, len(families), sharey=True, squeeze=False)
    for axis, family in zip(grid[0], families, strict=True):
        for number, hedge in enumerate(HEDGES[1:]):
            here = shown[(shown["family"] == family) & (shown["hedge"] == hedge)]
            at = np.array([rungs.index(rung) for rung in here["rung"]]) + 0.2 * (number - 0.5)
            ends = np.abs(here[["ci_low", "ci_high"]].sub(here["variance_ratio"], axis=0))
            axis.errorbar(
                here["variance_ratio"],
                at,
                xerr=ends.to_numpy().T,
                fmt="o",
                markersize=3,
                color=charts.LINES[1 + number],
                label=hedge if family == families[0] else None,
            )
        axis.axvline(1.0, color=charts.GREY, linewidth=0.8)
        axis.set(title=family, xscale="log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.spines[["top", "right"]].set_visible(False)
    grid[0, 0].set_yticks(range(len(rungs)), rungs)
    grid[0, 0].invert_yaxis()
    figure.supxlabel(
        "variance of spend over worlds, hedged over unhedged; 95 % jackknife intervals"
    )
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    return figure


def _spot_of_seed(
    seed: int, *, scenario: Scenario, regimes: tuple[Rung, ...], interval_s: float, index: Index
) -> list[Spot]:
    world, found = draw_world(scenario, seed), []
    for rung in regimes:
        model = ComputeMarket(world, rung.regime, with_agents=False)
        ledger = model.run_to_horizon()
        trades = trades_of(world, ledger)
        record = ledger.record[ledger.work]
        stage, first = np.unique(record["stage"], return_index=True)
        match_us = record["accepted_us"][first] - ledger.stage["ready_us"][stage]
        path = spot_path(trades, horizon_us=world.horizon_us, interval_s=interval_s, index=index)
        found.append(
            Spot(
                rung=rung.name,
                seed=seed,
                families=world.workload.family,
                trades=trades,
                path=path,
                horizon_s=world.horizon_us / US_PER_S,
                match_s=float(match_us.mean()) / US_PER_S,
                capital_rate_per_year=world.terms.capital_rate_per_year,
            )
        )
        release(model)
    return found


def by_rung(runs: Sequence[Spot]) -> dict[str, list[Spot]]:
    """Part runs by their rung, in the order in which those come."""
    names = dict.fromkeys(spot.rung for spot in runs)
    return {name: [spot for spot in runs if spot.rung == name] for name in names}


def _pay_offs(price: Floats, hours: Floats, *, hedge: str) -> Floats:
    """Return in USD what a hedge pays in each world, made on what the others lead to expect."""
    if hedge == HEDGES[0] or len(price) < 2:
        return np.zeros(len(price))
    n_others = len(price) - 1
    strike = (price.sum() - price) / n_others
    quantity = gpu_s((hours.sum() - hours) / n_others)
    kind = FORWARD if hedge == HEDGES[1] else CALL
    paid = []
    for seed in range(len(price)):
        others = np.delete(price, seed)
        gains = others - strike[seed]
        fair = float(np.maximum(gains, 0.0).mean() * quantity[seed] / S_PER_HOUR)
        contract = _one(
            kind=kind,
            quantity=int(quantity[seed]),
            strike=round(float(strike[seed])),
            premium=round(fair) if kind == CALL else 0,
        )
        flow = cash_flows(contract, np.array([round(float(price[seed]))]), n_parties=2)
        paid.append(int(flow[_BUYER]))
    return np.array(paid, float) / MICRO_USD_PER_USD


def _one(*, kind: int, quantity: int, strike: int, premium: int) -> Contracts:
    rows = (_BUYER, _WRITER, kind, quantity, strike, premium)
    columns = [np.array([one], np.int64) for one in rows]
    long, short, kinds, quantities, strikes, premiums = columns
    return Contracts(
        long=long,
        short=short,
        kind=kinds,
        quantity_gpu_s=quantities,
        strike_micro_usd_per_gpu_hour=strikes,
        premium_micro_usd=premiums,
    )


def _variance_row(after: Floats, spend: Floats) -> tuple[float, ...]:
    """Return mean and spread of spend, and the ratio of variances with a jackknife's interval."""
    n = len(spend)
    mean, spread = float(after.mean()), float(after.std(ddof=1)) if n > 1 else float("nan")
    if n < 3 or spend.var() == 0.0 or after.var() == 0.0:
        return (mean, spread, float("nan"), float("nan"), float("nan"), n)
    ratio = np.log(after.var() / spend.var())
    over = interval(log_variance_ratios(after, spend))
    return (
        mean,
        spread,
        float(np.exp(ratio)),
        *(float(np.exp(ratio + end - over.mean)) for end in (over.low, over.high)),
        n,
    )


def liquidity_of(spot: Spot, maker: Maker) -> dict[str, float]:
    """Measure one run, as `liquidity` says."""
    price, hours = spot.trades.price_usd_per_gpu_hour, spot.trades.hours
    moves = np.diff(spot.path) / MICRO_USD_PER_USD
    paid = np.bincount(spot.trades.region, spot.trades.paid_micro_usd / MICRO_USD_PER_USD)
    sold = np.bincount(spot.trades.region, hours)
    whole = [index(price, hours) for index in INDICES.values()]
    return {
        "maker_spread_usd": quoted_spread(maker, variance_left=float(moves.var())),
        "regional_dispersion_cv": variation(paid[sold > 0] / sold[sold > 0]),
        "time_to_match_s": spot.match_s,
        "volatility_usd": float(moves.std()),
        "indices_apart_usd": max(whole) - min(whole),
    }


def _house(quiet: Spot, position: Integers, terms: MarginTerms) -> tuple[House, Integers]:
    """Set margin, fund and capital by a calm run, and say what cash each member has."""
    spread = float(np.diff(quiet.path).std()) * terms.margin_multiple
    size = np.abs(position) / S_PER_HOUR
    margin = np.ceil(size * spread).astype(np.int64)
    fund = np.ceil(margin * terms.fund_share).astype(np.int64)
    cash = np.ceil(size * float(quiet.path.mean()) * terms.cash_share).astype(np.int64)
    house = House(margin_micro_usd=margin, fund_micro_usd=fund, capital_micro_usd=int(fund.max()))
    return house, cash


def _margin_row(cleared: Cleared, house: House, spot: Spot) -> dict[str, float]:
    locked = house.margin_micro_usd + house.fund_micro_usd
    held_s = np.full(len(locked), spot.horizon_s)
    borne = cleared.borne_micro_usd.sum(axis=0) / MICRO_USD_PER_USD
    return {
        "n_calls": float(cleared.n_calls.sum()),
        "called_usd": float(cleared.called_micro_usd.sum()) / MICRO_USD_PER_USD,
        "n_defaults": float((cleared.defaulted_at >= 0).sum()),
        **dict(zip(LAYERS, borne.tolist(), strict=True)),
        "locked_capital_usd": capital_usd(locked, held_s, rate_per_year=spot.capital_rate_per_year),
    }

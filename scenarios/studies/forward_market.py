"""Forward markets on the prices of runs: the one place where a forward price is found by trade.

Before each run buyers, owners and speculators trade hours forward, on what the other seeds lead
them to expect; the run settles them. Nothing that runs is changed by it
(docs/why/contracts-settle-on-run-prices.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from hanse.agents.speculator import Traders, capital_limit_hours, trade_forward
from hanse.market.units import MICRO_USD_PER_USD, Floats
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.studies.financial import Spot, by_rung

_MEASURES: Final = (
    "premium_usd_per_hour",
    "traded_hours",
    "hedged_share",
    "speculator_profit_usd",
    "speculator_default_usd",
)
COLUMNS: Final = ("rung", "measure", "mean", "ci_low", "ci_high", "n")
_SEEDS_MIN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculators:
    """Who takes the risk of others, and what all are like: the parameters of `forward`.

    What each is stands beside its value there; none has evidence.
    """

    number: int
    capital_usd: float
    risk_aversion: float
    margin_multiple: float
    inventory_hours: float
    owners_hedge_share: float


def speculators_of(scenario: Scenario) -> Speculators:
    """Read who trades forward off a scenario."""
    return Speculators(
        number=scenario.count("forward.speculators"),
        capital_usd=scenario.number("forward.capital_usd"),
        risk_aversion=scenario.number("forward.risk_aversion"),
        margin_multiple=scenario.number("forward.margin_multiple"),
        inventory_hours=scenario.number("forward.inventory_hours"),
        owners_hedge_share=scenario.number("forward.owners_hedge_share"),
    )


def forward_market(runs: Sequence[Spot], *, speculators: Speculators) -> pd.DataFrame:
    """Trade hours forward before each run of each rung, and settle them on its mean index.

    - premium_usd_per_hour : forward price less what the other seeds lead to expect.
    - traded_hours : what is long in all.
    - hedged_share : part of what buyers expect to buy that they have forward; NaN if they buy none.
    - speculator_profit_usd : of all of them together, a transfer from and to hedgers.
    - speculator_default_usd : what they owe beyond their capital.

    Returns
    -------
    pd.DataFrame
        Columns rung, measure, mean, ci_low, ci_high (95 %, over seeds), n.

    Raises
    ------
    ValueError
        If a rung has fewer than three seeds: the variance comes from the others.
    """
    rows = []
    for rung, here in by_rung(runs).items():
        if len(here) < _SEEDS_MIN:
            raise ValueError(f"runs must have at least {_SEEDS_MIN} seeds a rung, got {len(here)}")
        found = np.array([_settled(here, k, speculators) for k in range(len(here))]).T
        over = interval(found)
        for measure, mean, low, high in zip(_MEASURES, over.mean, over.low, over.high, strict=True):
            rows.append((rung, measure, float(mean), float(low), float(high), len(here)))
    return pd.DataFrame(rows, columns=COLUMNS)


def exposures(runs: Sequence[Spot], *, owners_hedge_share: float) -> Floats:
    """Return the mean of hours that each buyer buys, then of those that each owner sells forward.

    Shape (n_buyers + n_owners,); sales are below zero.
    """
    n_buyers = 1 + max(int(spot.trades.buyer.max(initial=0)) for spot in runs)
    n_owners = 1 + max(int(spot.trades.owner.max(initial=0)) for spot in runs)
    bought, sold = np.zeros(n_buyers), np.zeros(n_owners)
    for spot in runs:
        bought += np.bincount(spot.trades.buyer, spot.trades.hours, n_buyers)
        sold += np.bincount(spot.trades.owner, spot.trades.hours, n_owners)
    return np.concatenate([bought, -owners_hedge_share * sold]) / len(runs)


def _settled(runs: Sequence[Spot], own: int, speculators: Speculators) -> tuple[float, ...]:
    """Trade on what the others lead to expect, and settle on this one."""
    others = [spot for k, spot in enumerate(runs) if k != own]
    price = np.array([spot.path.mean() for spot in others]) / MICRO_USD_PER_USD
    mean_usd, variance = float(price.mean()), float(price.var(ddof=1))
    exposed = exposures(others, owners_hedge_share=speculators.owners_hedge_share)
    limit = capital_limit_hours(
        speculators.capital_usd,
        margin_usd_per_hour=speculators.margin_multiple * variance**0.5,
        inventory_hours=speculators.inventory_hours,
    )
    n, n_hedgers = speculators.number, len(exposed)
    traders = Traders(
        exposure_hours=np.concatenate([exposed, np.zeros(n)]),
        risk_aversion=np.full(n_hedgers + n, speculators.risk_aversion),
        limit_hours=np.concatenate([np.full(n_hedgers, np.inf), np.full(n, limit)]),
    )
    trade = trade_forward(traders, mean_usd=mean_usd, variance=variance)
    paid_usd = float(runs[own].path.mean()) / MICRO_USD_PER_USD - trade.price_usd
    gain = trade.position_hours * paid_usd
    its_gain, buys = gain[n_hedgers:], exposed > 0
    needed = float(exposed[buys].sum())
    return (
        trade.price_usd - mean_usd,
        float(np.maximum(0.0, trade.position_hours).sum()),
        float(trade.position_hours[:n_hedgers][buys].sum()) / needed if needed else float("nan"),
        float(its_gain.sum()),
        float(np.maximum(0.0, -its_gain - speculators.capital_usd).sum()),
    )

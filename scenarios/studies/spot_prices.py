"""Spot prices: what runs have paid for accelerator time, by region and interval, as an index."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.exchange.price_indices import trimmed_mean, volume_median, volume_weighted_mean
from hanse.market.units import (
    MICRO_USD_PER_USD,
    S_PER_HOUR,
    US_PER_HOUR,
    US_PER_S,
    Floats,
    Integers,
)

TRIMMED_SHARE: Final = 0.1

Index = Callable[[Floats, Floats], float]


def trimmed(price: Floats, volume: Floats) -> float:
    """Return the mean without the cheapest and the dearest tenth of the volume."""
    return trimmed_mean(price, volume, share=TRIMMED_SHARE)


INDICES: Final[dict[str, Index]] = {
    "volume-weighted": volume_weighted_mean,
    "trimmed": trimmed,
    "median": volume_median,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trades:
    """What a run has bought, a row per acceptance: all that contracts know of it.

    Attributes
    ----------
    at_us : when a unit accepted.
    hours : that the unit is then occupied; price is what was paid over that.
    """

    at_us: Integers
    family: Integers
    region: Integers
    buyer: Integers
    owner: Integers
    hours: Floats
    paid_micro_usd: Integers

    @property
    def price_usd_per_gpu_hour(self) -> Floats:
        """Return what was paid over the time occupied."""
        price: Floats = self.paid_micro_usd / MICRO_USD_PER_USD / self.hours
        return price


def trades_of(world: World, ledger: Ledger) -> Trades:
    """Read from a ledger what was bought, and for how much; nothing else of the run matters."""
    row = ledger.record[ledger.work]
    row = row[row["end_us"] > row["accepted_us"]]
    unit, fact = row["unit"], ledger.stage_fact[row["stage"]]
    return Trades(
        at_us=row["accepted_us"].astype(np.int64),
        family=fact["family"].astype(np.int64),
        region=ledger.unit["region"][unit],
        buyer=fact["buyer"].astype(np.int64),
        owner=world.fleet.node_owner[unit],
        hours=(row["end_us"] - row["accepted_us"]) / US_PER_HOUR,
        paid_micro_usd=row["payment_micro_usd"].astype(np.int64),
    )


def spot_path(
    trades: Trades,
    *,
    horizon_us: int,
    interval_s: float,
    index: Index = volume_weighted_mean,
    region: int | None = None,
) -> Integers:
    """Return the index of each interval, whole micro-USD per GPU-hour, shape (n_intervals,).

    Where nothing trades, the price is that of the interval before; before the first trade, that of
    the first.

    Parameters
    ----------
    region : where to look, or everywhere.
    """
    n_intervals = max(1, round(horizon_us / US_PER_S / interval_s))
    slot = np.minimum(trades.at_us * n_intervals // horizon_us, n_intervals - 1)
    here = np.ones(len(slot), bool) if region is None else trades.region == region
    price, hours = trades.price_usd_per_gpu_hour, trades.hours
    found = np.array(
        [
            index(price[chosen], hours[chosen])
            for chosen in (here & (slot == one) for one in range(n_intervals))
        ]
    )
    told = np.flatnonzero(np.isfinite(found))
    if len(told) == 0:
        raise ValueError("nothing was bought, so that there is no price")
    last = told[np.maximum(np.searchsorted(told, np.arange(n_intervals), side="right") - 1, 0)]
    return np.asarray(np.rint(found[last] * MICRO_USD_PER_USD), np.int64)


def gpu_s(hours: Floats | float) -> Integers:
    """Return hours as whole GPU-seconds, in which contracts are written."""
    return np.asarray(np.rint(np.asarray(hours) * S_PER_HOUR), np.int64)

"""Money at duals: synchronization cost located in place and time, at what capacity is worth there.

Where capacity is slack its price is zero, and so is the money: displaced units then cost energy,
and nobody an opportunity. First order only: prices are those of the last unit, not of many.
"""

from dataclasses import dataclass, replace

import numpy as np

from hanse.market.accounts.displacement import displace
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.occupancy import C, F, label_time
from hanse.market.engine.states import N_WAITING_STATES
from hanse.market.units import US_PER_S, Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedCost:
    """Synchronization cost in accelerator-seconds, by family, place and bin of time.

    Attributes
    ----------
    labelled_gpu_s : shape (n_families, n_places, n_bins), what was labelled C or F; exact.
    displaced_gpu_s : the same shape, idle and held units displaced; each sampled instant stands for
        its stratum, in the bin that it falls into.
    """

    labelled_gpu_s: Floats
    displaced_gpu_s: Floats

    def usd(self, price_usd_per_gpu_s: Floats) -> Floats:
        """Return the money at these prices, shape (n_places, n_bins), by family."""
        whole = self.labelled_gpu_s + self.displaced_gpu_s
        return np.asarray((whole * price_usd_per_gpu_s).sum(axis=(1, 2)))


def locate_cost(ledger: Ledger, edges_us: Integers, *, n_families: int) -> LocatedCost:
    """Say where and when synchronization cost arose; over bins it sums to `SyncCost`.

    `edges_us`, shape (n_bins + 1,), run from 0 to the horizon.
    """
    n_places = int(ledger.sink["place"][-1]) + 1
    until = [_labelled_us(ledger, int(edge), n_families) for edge in edges_us]
    within_us = np.diff(np.stack(until, axis=2).astype(float), axis=2)
    displaced_us = np.zeros((n_families, n_places, len(edges_us) - 1))
    slot = np.searchsorted(edges_us, ledger.sample_us, side="right") - 1
    slot = np.minimum(slot, len(edges_us) - 2)
    for chosen in np.unique(slot):
        displaced_us[:, :, chosen] = _displaced_us(ledger, slot == chosen, n_families)
    return LocatedCost(
        labelled_gpu_s=np.asarray(within_us / US_PER_S),
        displaced_gpu_s=displaced_us / US_PER_S,
    )


def _labelled_us(ledger: Ledger, until_us: int, n_families: int) -> Integers:
    """Add up what is labelled C or F before an instant, as if the ledger were closed then."""
    occupancy = label_time(replace(ledger, horizon_us=until_us), n_families)
    total = np.zeros((n_families, int(ledger.sink["place"][-1]) + 1), np.int64)
    chosen = np.isin(occupancy.label, (C, F)) & (occupancy.family < n_families)
    where = (occupancy.family[chosen], ledger.sink["place"][occupancy.sink[chosen]])
    np.add.at(total, where, occupancy.unit_us[chosen])
    return total


def _displaced_us(ledger: Ledger, sampled: Integers, n_families: int) -> Floats:
    """Integrate displaced units over some of the sampled instants, by family and place."""
    stratum_us = ledger.horizon_us / len(ledger.sample_us)
    of_class = ledger.signature_accelerator[:, None] == ledger.sink["accelerator"]
    may_use = ledger.legal[:, ledger.sink["region"]] & of_class
    # As in all measures of displacement, signatures that may use the same sinks are one.
    legal, group = np.unique(may_use, axis=0, return_inverse=True)
    result = displace(
        waiting=ledger.waiting[sampled],
        available=ledger.available[sampled],
        weight_us=np.full(int(sampled.sum()), stratum_us),
        column_signature=np.repeat(group.reshape(-1), N_WAITING_STATES),
        legal=legal,
    )
    family = np.repeat(ledger.signature_family, N_WAITING_STATES)
    place = ledger.sink["place"]
    total = np.zeros((n_families, int(place[-1]) + 1))
    np.add.at(total, (family[:, None], place[None, :]), result.displaced_us)
    return total

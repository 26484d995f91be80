"""Columns of what owners have between seasons: how many units where, and what they ask."""

from dataclasses import dataclass, replace

import numpy as np

from hanse.agents.fleet import Fleet
from hanse.agents.sums import summed
from hanse.market.units import Flags, Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """One row per owner, region and accelerator class; rows are only ever added, at the end.

    Attributes
    ----------
    region, accelerator, owner : indices, shape (n_rows,).
    units : accelerators, >= 0.
    price_usd : asked per GPU-hour.
    owner_name, is_hyperscaler : of each owner.
    """

    region: Integers
    accelerator: Integers
    owner: Integers
    units: Integers
    price_usd: Floats
    owner_name: tuple[str, ...]
    is_hyperscaler: Flags

    @property
    def n_rows(self) -> int:
        return len(self.region)

    @property
    def row_is_hyperscaler(self) -> Flags:
        """Say of each row whether a hyperscaler owns it."""
        of_row: Flags = self.is_hyperscaler[self.owner]
        return of_row

    @property
    def owner_units(self) -> Floats:
        """Accelerators of each owner, shape (n_owners,)."""
        return summed(self.owner, self.units, len(self.owner_name))

    def of_owner(self, column: Floats | Integers) -> Floats:
        """Add a column of rows up by owner."""
        return summed(self.owner, column, len(self.owner_name))


def capacity_of(fleet: Fleet) -> Capacity:
    """Gather the nodes of a fleet by region, class and owner, each at its mean posted price."""
    key = np.stack([fleet.node_region, fleet.node_class, fleet.node_owner])
    rows, of_node, units = np.unique(key, axis=1, return_inverse=True, return_counts=True)
    price = np.bincount(of_node.ravel(), fleet.node_posted_usd_per_gpu_hour) / units
    return Capacity(
        region=rows[0],
        accelerator=rows[1],
        owner=rows[2],
        units=units.astype(np.int64),
        price_usd=price,
        owner_name=fleet.owner,
        is_hyperscaler=fleet.owner_is_hyperscaler,
    )


def node_rows(capacity: Capacity) -> Integers:
    """Return the row of each node, nodes in the order that a fleet has them."""
    order = np.lexsort((capacity.owner, capacity.accelerator, capacity.region))
    return np.repeat(order, capacity.units[order])


def fleet_of(capacity: Capacity, drawn: Fleet, tenant: Integers) -> Fleet:
    """Put the nodes of owners up as a fleet, with the residual work and classes of a drawn one.

    Parameters
    ----------
    drawn : a fleet of as many nodes.
    tenant : whose each node is, or -1.
    """
    row = node_rows(capacity)
    return replace(
        drawn,
        node_region=capacity.region[row],
        node_class=capacity.accelerator[row],
        node_owner=capacity.owner[row],
        node_posted_usd_per_gpu_hour=capacity.price_usd[row],
        node_tenant=tenant,
        owner=capacity.owner_name,
        owner_is_hyperscaler=capacity.is_hyperscaler,
    )


def entered(capacity: Capacity, units: Integers, price_usd: Floats, *, name: str) -> Capacity:
    """Let newcomers in: each row of `units` above zero becomes a new owner in that row's place.

    Parameters
    ----------
    units : shape (n_rows,); where, and how many.
    price_usd : what they ask, shape (n_rows,).
    name : newcomers are called this, and numbered.
    """
    place = np.flatnonzero(units > 0)
    n_owners = len(capacity.owner_name)
    newcomers = tuple(f"{name}-{n_owners + k}" for k in range(len(place)))
    return Capacity(
        region=np.append(capacity.region, capacity.region[place]),
        accelerator=np.append(capacity.accelerator, capacity.accelerator[place]),
        owner=np.append(capacity.owner, n_owners + np.arange(len(place))),
        units=np.append(capacity.units, units[place]),
        price_usd=np.append(capacity.price_usd, price_usd[place]),
        owner_name=capacity.owner_name + newcomers,
        is_hyperscaler=np.append(capacity.is_hyperscaler, np.zeros(len(place), bool)),
    )

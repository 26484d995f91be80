"""Columns of the fleet: nodes and who owns them."""

from dataclasses import dataclass

from hanse.market.units import Flags, Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """One-unit nodes, sorted by (region, accelerator class, owner); all columns have n_nodes rows.

    Attributes
    ----------
    node_region, node_class, node_owner : indices.
    node_free_from_us : instant at which residual work leaves the node; 0 if free at the start.
    node_posted_usd_per_gpu_hour : what the owner asks at a posted price.
    node_tenant : buyer for whom the node is reserved, where a regime has reservations; -1 for none.
    owner : names; `owner_is_hyperscaler` follows this order. Each
        independent node has an owner of its own, or a few share one ("independents").
    """

    node_region: Integers
    node_class: Integers
    node_owner: Integers
    node_free_from_us: Integers
    node_posted_usd_per_gpu_hour: Floats
    node_tenant: Integers
    owner: tuple[str, ...]
    owner_is_hyperscaler: Flags
    accelerator_class: tuple[str, ...]

    @property
    def n_nodes(self) -> int:
        return len(self.node_region)

"""The control planes of a regime in a world: where each sits, what it watches, whom it serves.

Every layout has the same control cores in all. A plane watches whole regions: it sees and may
command units there, and works off refreshes from nowhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from hanse.agents.world import World
from hanse.market.regime import Plane, Regime
from hanse.market.units import Flags, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The control planes of one regime.

    Attributes
    ----------
    region : where each plane sits, shape (n_planes,).
    watches : regions that a plane has in view and may command, shape (n_planes, n_regions).
    of_stage : the plane that decides a stage first, shape (n_stages,).
    of_unit : the only plane that sees and commands a unit, or -1, shape (n_units,).
    passes_to : planes to which a request goes on that finds no unit, in order, shape
        (n_planes, n_hops) by its first plane; -1 for none. At the last it waits.
    """

    region: Integers
    watches: Flags
    of_stage: Integers
    of_unit: Integers
    passes_to: Integers


def lay_out(world: World, regime: Regime) -> Layout:
    """Lay out the control planes of a regime in a world."""
    return _LAYOUTS[regime.plane](world)


def _origin(world: World) -> Integers:
    return world.workload.job_origin[world.workload.stage_job]


def _layout(
    world: World,
    region: Integers,
    of_stage: Integers,
    *,
    watches: Flags | None = None,
    of_unit: Integers | None = None,
    passes_to: Integers | None = None,
) -> Layout:
    everything = np.ones((len(region), world.geography.n_regions), bool)
    nobody = np.zeros((len(region), 0), np.int64)
    return Layout(
        region=region,
        watches=everything if watches is None else watches,
        of_stage=of_stage,
        of_unit=np.full(world.fleet.n_nodes, -1) if of_unit is None else of_unit,
        passes_to=nobody if passes_to is None else passes_to,
    )


def _hub(world: World) -> Layout:
    return _layout(world, np.array([world.terms.hub_region]), np.zeros_like(_origin(world)))


def _shards(world: World) -> Layout:
    """Put several planes in the hub's place; each has buyers of its own and sees all units."""
    n_shards = world.terms.shards
    region = np.full(n_shards, world.terms.hub_region)
    return _layout(world, region, world.workload.job_buyer[world.workload.stage_job] % n_shards)


def _venues(world: World) -> Layout:
    return _layout(world, np.arange(world.geography.n_regions), _origin(world))


def _tree(world: World) -> Layout:
    """Let a plane in each region try its own units, and pass what finds none to the hub."""
    n_regions = world.geography.n_regions
    region = np.append(np.arange(n_regions), world.terms.hub_region)
    watches = np.vstack([np.eye(n_regions, dtype=bool), np.ones(n_regions, bool)])
    root = np.append(np.full(n_regions, n_regions), -1)
    return _layout(world, region, _origin(world), watches=watches, passes_to=root[:, None])


def _peers(world: World) -> Layout:
    """Give each buyer a plane that watches the nearest regions, those with units before any other.

    A region without units matters for what its buyers have pending.
    """
    seat, n_regions = world.workload.buyer_region, world.geography.n_regions
    is_empty = np.bincount(world.fleet.node_region, minlength=n_regions) == 0
    distance = world.geography.rtt_ms[seat]
    order = np.lexsort((distance, np.broadcast_to(is_empty, distance.shape)), axis=1)
    rank = np.argsort(order, axis=1, kind="stable")
    watches = rank < world.terms.peer_regions
    of_stage = world.workload.job_buyer[world.workload.stage_job]
    return _layout(world, seat, of_stage, watches=watches)


def _federation(world: World) -> Layout:
    """Give each jurisdiction a venue for its own units; what finds none goes round the others.

    A venue sits in the region of its jurisdiction where most jobs originate. A request goes to the
    nearest other venue first, and in the end back home, where it waits.
    """
    geography, workload = world.geography, world.workload
    n_jurisdictions = len(geography.jurisdiction)
    watches = geography.region_jurisdiction == np.arange(n_jurisdictions)[:, None]
    demand = np.bincount(workload.job_origin, minlength=geography.n_regions)
    seat = np.where(watches, demand, -1).argmax(axis=1)
    distance = geography.rtt_ms[seat][:, seat]
    np.fill_diagonal(distance, np.inf)
    tour = np.argsort(distance, axis=1, kind="stable")
    return _layout(
        world,
        seat,
        geography.region_jurisdiction[_origin(world)],
        watches=watches,
        passes_to=tour if n_jurisdictions > 1 else None,
    )


def _reserved(world: World) -> Layout:
    """Give each buyer a plane in the hub's place; it has the nodes reserved for that buyer.

    Nodes that are reserved for nobody are for all, first come, first served.
    """
    workload = world.workload
    region = np.full(len(workload.buyer_region), world.terms.hub_region)
    of_stage = workload.job_buyer[workload.stage_job]
    return _layout(world, region, of_stage, of_unit=world.fleet.node_tenant)


def _mixed(world: World) -> Layout:
    """Let a hub decide first parties' own jobs, and a venue in each region all others."""
    n_regions = world.geography.n_regions
    region = np.append(np.arange(n_regions), world.terms.hub_region)
    is_own = world.workload.job_first_party[world.workload.stage_job] >= 0
    return _layout(world, region, np.where(is_own, n_regions, _origin(world)))


_LAYOUTS: Final[Mapping[Plane, Callable[[World], Layout]]] = MappingProxyType(
    {
        Plane.HUB: _hub,
        Plane.SHARDS: _shards,
        Plane.VENUES: _venues,
        Plane.TREE: _tree,
        Plane.PEERS: _peers,
        Plane.FEDERATION: _federation,
        Plane.MIXED: _mixed,
        Plane.RESERVED: _reserved,
    }
)

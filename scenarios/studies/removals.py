"""The one place that takes a controller out of a world: its nodes, judges, site, links or supply.

What demand there is stays, the controller's own jobs too: the question is what others could still
route. A removed owner has no nodes; a verifier's stages go to the next one that counts; a site of
control is down for the whole run; a region without links can neither send nor take others' data.
A chip vendor is not switched off: what it has delivered works on, and only the share of its
accelerators that came last is missing (`undelivered_share`), as if it had stopped before.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from hanse.agents.control_layout import lay_out
from hanse.agents.world import Outages, World
from hanse.market.jurisdictions import Law
from hanse.market.regime import Regime
from hanse.market.units import Flags
from hanse.scenarios.drawing.borders import recognised_of
from hanse.scenarios.drawing.entrants import kept
from hanse.scenarios.drawing.workload import allowed_verifiers
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream
from hanse.scenarios.tables import rows_of

KINDS: Final = ("owner", "vendor", "verifier", "site", "links")
NO_HOME: Final = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """Somebody or something that routing may depend on.

    Attributes
    ----------
    kind : one of `KINDS`.
    name : of the owner, the vendor, the verifier's number, or the region.
    home : jurisdiction it answers to, or `NO_HOME`.
    """

    kind: str
    name: str
    home: str


def controllers(
    world: World, regime: Regime, *, kinds: tuple[str, ...] = ("owner",), least_share: float = 0.02
) -> list[Controller]:
    """List who could be taken out of a world.

    Parameters
    ----------
    regime : whose sites of control are listed.
    least_share : of all nodes, below which an owner is not listed.

    Raises `ValueError` if a kind is unknown.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {unknown[0]!r}")
    found: list[Controller] = []
    for kind in kinds:
        if kind == "owner":
            found += _owners(world, least_share)
        elif kind == "vendor":
            vendors = {vendor_of(one): None for one in world.fleet.accelerator_class}
            found += [Controller(kind=kind, name=name, home=home) for name, home in vendors]
        elif kind == "verifier":
            places = world.verifier_region.tolist()
            found += [_at(world, kind, place, name=f"{k}") for k, place in enumerate(places)]
        else:
            places = sorted(set(world.fleet.node_region.tolist()))
            if kind == "site":
                places = sorted(set(lay_out(world, regime).region.tolist()))
            found += [_at(world, kind, place) for place in places]
    return found


def without(
    world: World, controller: Controller, scenario: Scenario, *, undelivered_share: float = 0.5
) -> World:
    """Return the world as it would be without a controller.

    Parameters
    ----------
    scenario : that the world was drawn from.
    undelivered_share : of a vendor's nodes, in [0, 1]; assumed (grade E), and to be swept.

    Raises `ValueError` if no node would be left.
    """
    if controller.kind == "vendor":
        return _without_later_supply(world, controller.name, undelivered_share)
    taken_out = {
        "owner": _without_owner,
        "verifier": _without_verifier,
        "site": _without_site,
        "links": _without_links,
    }
    return taken_out[controller.kind](world, controller.name, scenario)


def vendor_of(accelerator_class: str) -> tuple[str, str]:
    """Return who designs a class, and where that is; a class nobody knows is its own vendor."""
    return _vendors().get(accelerator_class, (accelerator_class, NO_HOME))


@lru_cache(maxsize=1)
def _vendors() -> dict[str, tuple[str, str]]:
    rows = rows_of("chip_vendors.csv")
    return {row["accelerator_class"]: (row["vendor"], row["home"]) for row in rows}


@lru_cache(maxsize=1)
def _homes() -> dict[str, str]:
    return {row["owner"]: row["home"] for row in rows_of("owner_homes.csv")}


def _owners(world: World, least_share: float) -> list[Controller]:
    """List owners by index; one whose home nobody knows is at home where its first node stands."""
    fleet, geography = world.fleet, world.geography
    count = np.bincount(fleet.node_owner, minlength=len(fleet.owner))
    large = np.flatnonzero((count > 0) & (count >= least_share * fleet.n_nodes)).tolist()
    found = []
    for owner in large:
        first = int(fleet.node_region[fleet.node_owner == owner][0])
        seat = geography.jurisdiction[int(geography.region_jurisdiction[first])]
        named = fleet.owner[owner].removeprefix("sovereign-")
        home = _homes().get(fleet.owner[owner], seat if named == fleet.owner[owner] else named)
        found.append(Controller(kind="owner", name=fleet.owner[owner], home=home))
    return found


def _at(world: World, kind: str, region: int, *, name: str = "") -> Controller:
    geography = world.geography
    home = geography.jurisdiction[int(geography.region_jurisdiction[region])]
    return Controller(kind=kind, name=name or geography.region[region], home=home)


def _without_owner(world: World, name: str, _: Scenario) -> World:
    fleet = world.fleet
    keeps = fleet.node_owner != fleet.owner.index(name)
    if not keeps.any():
        raise ValueError(f"without owner {name!r} there is no node")
    return _with_nodes(world, keeps)


def _without_later_supply(world: World, name: str, undelivered_share: float) -> World:
    """Take out the nodes a vendor delivered last; the same ones as the share grows."""
    fleet = world.fleet
    is_its = np.array([vendor_of(one)[0] == name for one in fleet.accelerator_class])
    late = stream(world.seed, "fleet.undelivered").random(fleet.n_nodes)
    keeps = ~is_its[fleet.node_class] | (late >= undelivered_share)
    if not keeps.any():
        raise ValueError(f"without what vendor {name!r} has not delivered there is no node")
    return _with_nodes(world, keeps)


def _with_nodes(world: World, keeps: Flags) -> World:
    """Keep some nodes, each with its own breakdowns."""
    mishaps, new_index = world.mishaps, np.cumsum(keeps) - 1
    stays = keeps[mishaps.breakdown_node]
    return replace(
        world,
        fleet=kept(world.fleet, keeps),
        mishaps=replace(
            mishaps,
            breakdown_node=new_index[mishaps.breakdown_node[stays]],
            breakdown_from_us=mishaps.breakdown_from_us[stays],
            breakdown_until_us=mishaps.breakdown_until_us[stays],
        ),
    )


def _without_verifier(world: World, name: str, scenario: Scenario) -> World:
    """Give a verifier's stages to the next by index that may judge them, or to their origin."""
    workload, gone = world.workload, int(name)
    others = np.delete(np.arange(len(world.verifier_region)), gone)
    moved = np.flatnonzero(workload.stage_verifier == gone)
    verifier = workload.stage_verifier.copy()
    verifier[moved] = -1
    if len(others) and len(moved):
        judged = Law(may_serve=world.law.may_serve & recognised_of(scenario, world.seed))
        table = allowed_verifiers(judged, world.verifier_region[others])
        job = workload.stage_job[moved]
        chosen = table[workload.job_data_class[job], workload.job_origin[job], gone % len(others)]
        verifier[moved] = np.where(chosen >= 0, others[chosen], -1)
    return replace(world, workload=replace(workload, stage_verifier=verifier))


def _without_site(world: World, name: str, _: Scenario) -> World:
    """Put the site of control in a region out of order for good."""
    region, old = world.geography.region.index(name), world.outages
    other = old.region != region
    where = np.append(old.region[other], region)
    order = np.argsort(where, kind="stable")
    return replace(
        world,
        outages=Outages(
            region=where[order],
            from_us=np.append(old.from_us[other], 0)[order],
            until_us=np.append(old.until_us[other], world.horizon_us + 1)[order],
        ),
    )


def _without_links(world: World, name: str, _: Scenario) -> World:
    """Cut the ways of data between a region and all others; commands still come through."""
    region = world.geography.region.index(name)
    may_serve = world.law.may_serve.copy()
    at_home = may_serve[:, region, region].copy()
    may_serve[:, region, :] = False
    may_serve[:, :, region] = False
    may_serve[:, region, region] = at_home
    return replace(world, law=Law(may_serve=may_serve))

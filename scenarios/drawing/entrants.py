"""The one place for who joins the drawn fleet, and who is not let in.

Both are done to a fleet that is drawn already, so that all other nodes stay as they are.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from hanse.agents.fleet import Fleet
from hanse.market.units import Flags, Integers
from hanse.scenarios.drawing.fleet import apportion
from hanse.scenarios.scenario import Scenario, ScenarioError
from hanse.scenarios.tables import read_regions

NOBODY = "none"
_COLUMNS = (
    "node_region",
    "node_class",
    "node_owner",
    "node_free_from_us",
    "node_posted_usd_per_gpu_hour",
    "node_tenant",
)


def with_entrants(fleet: Fleet, scenario: Scenario) -> Fleet:
    """Leave out owners below the minimum stake, then add a sovereign programme's nodes.

    Raises `ScenarioError` if nobody is left.
    """
    admitted = without_small_owners(fleet, scenario.count("verification.minimum_stake_nodes"))
    whose = scenario.text("fleet.sovereign_jurisdiction")
    n_nodes = scenario.count("fleet.sovereign_nodes")
    if whose == NOBODY or n_nodes == 0:
        return admitted
    return _with_programme(admitted, scenario, whose=whose, n_nodes=n_nodes)


def without_small_owners(fleet: Fleet, nodes_min: int) -> Fleet:
    """Leave out the nodes of owners who have fewer; a minimum of 0 or 1 admits everybody."""
    count = np.bincount(fleet.node_owner, minlength=len(fleet.owner))
    keeps = count[fleet.node_owner] >= nodes_min
    if not keeps.any():
        raise ScenarioError(
            f"verification.minimum_stake_nodes admits nobody: the largest owner has "
            f"{count.max(initial=0)} nodes, got {nodes_min}"
        )
    return fleet if keeps.all() else kept(fleet, keeps)


def kept(fleet: Fleet, keeps: Flags | Integers) -> Fleet:
    """Return a fleet with the nodes chosen by flags or indices; owners keep their index."""
    columns: dict[str, Any] = {name: getattr(fleet, name)[keeps] for name in _COLUMNS}
    return replace(fleet, **columns)


def programme_regions(whose: str) -> Integers:
    """Return the regions of a jurisdiction, or of all members of the EU."""
    law = read_regions().region_jurisdiction
    return np.flatnonzero([one == whose or one.startswith(f"{whose}-") for one in law])


def _with_programme(fleet: Fleet, scenario: Scenario, *, whose: str, n_nodes: int) -> Fleet:
    """Add nodes that a jurisdiction pays for, at home, which ask what their hardware costs."""
    at = programme_regions(whose)
    region = np.repeat(at, apportion(read_regions().capacity_weight[at], n_nodes))
    per_class = apportion(np.array(scenario.numbers("fleet.class_shares")), n_nodes)
    # Spread classes evenly over places: those of one class do not all stand in the first region.
    classes = np.repeat(np.arange(len(per_class)), per_class)
    spread = np.argsort(np.arange(n_nodes) * 0.6180339887498949 % 1.0, kind="stable")
    posted = np.full(n_nodes, scenario.number("resources.hardware_usd_per_gpu_hour"))
    added = replace(
        fleet,
        node_region=region,
        node_class=classes[spread],
        node_owner=np.full(n_nodes, len(fleet.owner)),
        node_free_from_us=np.zeros(n_nodes, np.int64),
        node_posted_usd_per_gpu_hour=posted,
        node_tenant=np.full(n_nodes, -1),
    )
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in (fleet, added)]) for name in _COLUMNS
    }
    joined = replace(
        fleet,
        **columns,
        owner=(*fleet.owner, f"sovereign-{whose}"),
        owner_is_hyperscaler=np.append(fleet.owner_is_hyperscaler, [False]),
    )
    order = np.lexsort((joined.node_owner, joined.node_class, joined.node_region))
    return kept(joined, order)

"""The one place that draws the fleet: where nodes stand, whose they are, what already runs there.

Counts are not luck: nodes are apportioned over regions, owners and classes by largest remainders,
so that two seeds differ in who stands where, never in how much there is.
"""

import numpy as np
from scipy.special import ndtr, ndtri

from hanse.agents.fleet import Fleet
from hanse.market.units import US_PER_S, Flags, Floats, Integers
from hanse.scenarios.drawing.chip_rules import capacity_weight
from hanse.scenarios.drawing.place import class_regions
from hanse.scenarios.drawing.shocks import nodes_shown
from hanse.scenarios.drawing.tapes import ANY
from hanse.scenarios.drawing.workload import buyer_shares, pick
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream
from hanse.scenarios.tables import INDEPENDENT, capacity_by_owner, read_owners, read_regions


def draw_fleet(scenario: Scenario, seed: int) -> Fleet:
    """Draw the nodes, sorted by (region, class, owner)."""
    node_region, node_class, row = _place_nodes(scenario, seed)
    node_owner, owner, owner_row = _name_owners(scenario, row)
    table = read_owners()
    return Fleet(
        node_region=node_region,
        node_class=node_class,
        node_owner=node_owner,
        node_free_from_us=_draw_free_from_us(scenario, seed),
        node_posted_usd_per_gpu_hour=_draw_posted(
            scenario,
            stream(seed, "fleet.price"),
            node_region=node_region,
            node_owner=node_owner,
            owner_row=owner_row,
        ),
        node_tenant=_draw_tenant(scenario, seed, n_nodes=len(node_region)),
        owner=owner,
        owner_is_hyperscaler=table.is_hyperscaler[owner_row],
        accelerator_class=scenario.words("fleet.classes"),
    )


def _draw_tenant(scenario: Scenario, seed: int, *, n_nodes: int) -> Integers:
    """Draw for whom each node would be reserved: buyers by share of jobs, wherever they sit."""
    rng = stream(seed, "fleet.tenant")
    is_reserved = rng.random(n_nodes) < scenario.number("fleet.reserved_share")
    return np.where(is_reserved, pick(rng.random(n_nodes), buyer_shares(scenario)), -1)


def apportion(share: Floats, total: int) -> Integers:
    """Split a whole number in proportion to shares by largest remainders, ties by index.

    Examples
    --------
    >>> apportion(np.array([0.5, 0.3, 0.2]), 11).tolist()
    [6, 3, 2]
    """
    quota: Floats = total * share / float(share.sum())
    count = np.floor(quota).astype(np.int64)
    missing = total - int(count.sum())
    count[np.argsort(count - quota, kind="stable")[:missing]] += 1
    return count


def residual_s(chance: Floats, elapsed: Floats, *, mu: float, sigma: float, cap_s: float) -> Floats:
    """Return how long work that is found running goes on, in seconds.

    Durations are log-normal, cut at `cap_s`. Work found at a random instant has a duration biased
    by its length (renewal theory; Cox 1962, section 5.4), of which a uniform share is left.

    Parameters
    ----------
    chance, elapsed : uniform in [0, 1), any one shape; they pick the duration and the share left.
    """
    log_cap = np.log(cap_s)
    shifted = ndtr((log_cap - mu - sigma**2) / sigma)
    below = np.exp(mu + sigma**2 / 2) * shifted
    at_cap = cap_s * ndtr((mu - log_cap) / sigma)
    share_below = below / (below + at_cap)
    is_below = chance < share_below
    quantile = np.where(is_below, chance, 0.0) / max(share_below, np.finfo(float).tiny) * shifted
    duration = np.where(is_below, np.exp(mu + sigma**2 + sigma * ndtri(quantile)), cap_s)
    return np.minimum(duration, cap_s) * (1.0 - elapsed)


def _place_nodes(scenario: Scenario, seed: int) -> tuple[Integers, Integers, Integers]:
    """Return region, class and row of the owners' table of each node, sorted by all three."""
    n_nodes = nodes_shown(scenario)
    per_class = apportion(np.array(scenario.numbers("fleet.class_shares")), n_nodes)
    home = class_regions(scenario)
    unbound = np.where(home == ANY, per_class, 0)
    per_region = apportion(capacity_weight(scenario), int(unbound.sum()))
    region = np.repeat(np.arange(len(per_region)), per_region)
    classes = np.repeat(np.arange(len(per_class)), unbound)
    if len(per_class) > 1:
        classes = stream(seed, "fleet.class").permutation(classes)
    bound = np.repeat(np.arange(len(per_class)), per_class - unbound)
    region, classes = np.append(region, home[bound]), np.append(classes, bound)
    row = _draw_owner_rows(stream(seed, "fleet.owner"), region)
    order = np.lexsort((row, classes, region))
    return region[order], classes[order], row[order]


def _draw_owner_rows(rng: np.random.Generator, node_region: Integers) -> Integers:
    """Give each node an owner; regions that admit the same owners share one apportionment."""
    admits = read_owners().may_own.T
    _, group = np.unique(admits, axis=0, return_inverse=True)
    row = np.empty(len(node_region), dtype=np.int64)
    for one in range(int(group.max()) + 1):
        here = np.flatnonzero(group[node_region] == one)
        share = capacity_by_owner()[group == one].sum(axis=0)
        counts = apportion(share, len(here))
        row[here] = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return row


def _name_owners(scenario: Scenario, row: Integers) -> tuple[Integers, tuple[str, ...], Integers]:
    """Return the owner of each node, the owners' names, and the table row of each owner."""
    named = read_owners().owner[:-1]
    assert read_owners().owner[-1] == INDEPENDENT
    last = len(named)
    is_independent = row == last
    ordinal = np.cumsum(is_independent) - 1
    node_owner = row + np.where(
        is_independent, ordinal // scenario.count("fleet.nodes_per_independent"), 0
    )
    n_independent = max(0, int(node_owner.max(initial=-1)) + 1 - last)
    independents = tuple(f"{INDEPENDENT}-{one}" for one in range(n_independent))
    owner_row = np.minimum(np.arange(last + n_independent), last)
    return node_owner, named + independents, owner_row


def _draw_posted(
    scenario: Scenario,
    rng: np.random.Generator,
    *,
    node_region: Integers,
    node_owner: Integers,
    owner_row: Integers,
) -> Floats:
    """Return list prices, or for owners without one a neocloud's times the regional factor."""
    table = read_regions()
    low, high = (scenario.number(f"fleet.neocloud_usd_{end}") for end in ("low", "high"))
    neocloud = low + (high - low) * rng.random(len(owner_row))
    asks_list: Flags = read_owners().asks_list_price[owner_row]
    return np.where(
        asks_list[node_owner],
        table.list_usd_per_gpu_hour[node_region],
        neocloud[node_owner] * table.list_price_factor[node_region],
    )


def _draw_free_from_us(scenario: Scenario, seed: int) -> Integers:
    """Return when residual work leaves each node: exactly the stated share of nodes is occupied."""
    n_nodes = nodes_shown(scenario)
    shuffled = stream(seed, "fleet.occupied").random(n_nodes).argsort()
    occupied = shuffled[: round(n_nodes * scenario.number("fleet.occupied_share"))]
    left_s = residual_s(
        stream(seed, "fleet.residual_duration").random(n_nodes),
        stream(seed, "fleet.residual_elapsed").random(n_nodes),
        mu=scenario.number("load.batch_duration_mu"),
        sigma=scenario.number("load.batch_duration_sigma"),
        cap_s=scenario.number("measurement.horizon_s"),
    )
    free_from_us = np.zeros(n_nodes, dtype=np.int64)
    free_from_us[occupied] = np.maximum(1, np.rint(left_s[occupied] * US_PER_S))
    return free_from_us

"""Percolation: the one place for what can reach what, as structure, before any job is routed.

A region reaches another if data that originate there may be served there, and both take part. Few
enough participants, or strict enough laws, and the graph falls into pieces: with random edges it
does so where the mean degree falls to one.
"""

from dataclasses import dataclass

import networkx as nx
import numpy as np
from scipy.special import lambertw

from hanse.agents.world import World
from hanse.market.units import Flags, Floats


def giant_share(graph: "nx.Graph[int]") -> float:
    """Return the share of nodes in the largest connected component."""
    n_nodes = graph.number_of_nodes()
    if n_nodes == 0:
        return 0.0
    return max(len(part) for part in nx.connected_components(graph)) / n_nodes


def giant_share_expected(mean_degree: float) -> float:
    """Return the giant share of a large random graph, the root of S = 1 - exp(-c S).

    Erdős and Rényi (1960): zero up to a mean degree c of one.
    """
    if mean_degree <= 1.0:
        return 0.0
    branch = lambertw(-mean_degree * np.exp(-mean_degree)).real
    return float(1.0 + branch / mean_degree)


def random_graph(n_nodes: int, mean_degree: float, rng: np.random.Generator) -> "nx.Graph[int]":
    """Draw a random graph in which each pair is joined with the same chance."""
    chance = mean_degree / (n_nodes - 1)
    graph: nx.Graph[int] = nx.fast_gnp_random_graph(n_nodes, chance, seed=int(rng.integers(2**31)))
    return graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What the law and who takes part leave reachable, of one class of data.

    Attributes
    ----------
    unit_share : shape (n_regions,), of all units of the fleet, those that a job from there may use.
    region_share : shape (n_regions,), the same of regions.
    mean_unit_share : over jobs, by the demand of their origins.
    giant_share : of the regions, those in the largest piece in which each may serve each other,
        directly or through others.
    isolated_share : of the regions, those that reach no unit at all.
    """

    unit_share: Floats
    region_share: Floats
    mean_unit_share: float
    giant_share: float
    isolated_share: float


def reach(world: World, *, data_class: int, takes_part: Flags | None = None) -> Reach:
    """Measure what is reachable; regions that do not take part neither ask nor serve.

    Parameters
    ----------
    data_class : `hanse.market.jurisdictions.UNRESTRICTED` or `RESIDENT`.
    takes_part : shape (n_regions,); all of them where it is not given.
    """
    geography = world.geography
    n_regions = geography.n_regions
    part = np.ones(n_regions, bool) if takes_part is None else takes_part
    may_serve = world.law.may_serve[data_class] & part[:, None] & part[None, :]
    units = np.bincount(world.fleet.node_region, minlength=n_regions)
    unit_share = may_serve @ units / max(1, int(units.sum()))
    demand = geography.demand_weight / geography.demand_weight.sum()
    return Reach(
        unit_share=unit_share,
        region_share=may_serve.mean(axis=1),
        mean_unit_share=float(demand @ unit_share),
        giant_share=_giant_of_mutual(may_serve),
        isolated_share=float((unit_share == 0).mean()),
    )


def _giant_of_mutual(may_serve: Flags) -> float:
    """Return the giant share where an edge needs law to allow both directions."""
    graph: nx.Graph[int] = nx.from_numpy_array(may_serve & may_serve.T)
    return giant_share(graph)


def reach_by_participation(
    world: World, *, data_class: int, shares: Floats, rng: np.random.Generator
) -> Floats:
    """Return the giant share as ever fewer regions take part, dropped in one random order.

    Parameters
    ----------
    shares : shape (n,), of the regions that take part.
    """
    n_regions = world.geography.n_regions
    order = rng.permutation(n_regions)
    giants = np.zeros(len(shares))
    for k, share in enumerate(shares):
        takes_part = np.zeros(n_regions, bool)
        takes_part[order[: round(share * n_regions)]] = True
        giants[k] = reach(world, data_class=data_class, takes_part=takes_part).giant_share
    return giants

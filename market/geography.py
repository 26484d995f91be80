"""Where things are: regions, round trips, bandwidth, and the tariffs of place."""

from dataclasses import dataclass, field

import networkx as nx
import numpy as np

from hanse.market.units import Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Geography:
    """Facts of place that no routing can change.

    Attributes
    ----------
    region : names, length n_regions; every other region column follows this order.
    jurisdiction : names of the jurisdictions, length n_jurisdictions.
    region_jurisdiction : shape (n_regions,), index into `jurisdiction`.
    rtt_ms : shape (n_regions, n_regions), symmetric, > 0, also on the diagonal.
    gbps : shape (n_regions, n_regions), rate of one bulk transfer in Gbit/s.
    egress_usd_per_gb : shape (n_regions,), what a byte that leaves a region costs.
    electricity_usd_per_kwh, carbon_g_per_kwh : shape (n_regions,).
    demand_weight : shape (n_regions,), share of requests that originate there, sums to 1.
    power_cap_share : shape (n_regions,), what the machines of a site may draw at once, as a share
        of all its accelerators at work; 1 or more is no cap. Of no length where no site has one.
    """

    region: tuple[str, ...]
    jurisdiction: tuple[str, ...]
    region_jurisdiction: Integers
    latitude: Floats
    longitude: Floats
    rtt_ms: Floats
    gbps: Floats
    egress_usd_per_gb: Floats
    electricity_usd_per_kwh: Floats
    carbon_g_per_kwh: Floats
    demand_weight: Floats
    power_cap_share: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def n_regions(self) -> int:
        return len(self.region)


def link_graph(geography: Geography) -> "nx.Graph[str]":
    """Build the complete graph of regions, edges weighted by `rtt_ms` and `gbps`."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(geography.region)
    for a in range(geography.n_regions):
        for b in range(a):
            graph.add_edge(
                geography.region[a],
                geography.region[b],
                rtt_ms=float(geography.rtt_ms[a, b]),
                gbps=float(geography.gbps[a, b]),
            )
    return graph


def demand_median(geography: Geography) -> int:
    """Return the region that minimises demand-weighted round trips (the 1-median)."""
    return int((geography.rtt_ms @ geography.demand_weight).argmin())

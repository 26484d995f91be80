"""Hyperscalers as Mesa agents: each is a view of the rows it owns."""

from typing import TYPE_CHECKING

import mesa
import numpy as np

from hanse.market.units import Integers

if TYPE_CHECKING:
    from hanse.agents.model import ComputeMarket


class Hyperscaler(mesa.Agent):
    """An owner of many nodes that also has jobs of its own."""

    model: "ComputeMarket"

    def __init__(self, model: "ComputeMarket", owner: int) -> None:
        super().__init__(model)
        self.owner = owner

    @property
    def name(self) -> str:
        """Name of the owner."""
        return self.model.world.fleet.owner[self.owner]

    @property
    def nodes(self) -> Integers:
        """Indices of its nodes."""
        return np.flatnonzero(self.model.world.fleet.node_owner == self.owner)

    @property
    def capacity_share(self) -> float:
        """Share of all nodes that it owns."""
        return len(self.nodes) / self.model.world.fleet.n_nodes

    @property
    def busy_share(self) -> float:
        """Share of its nodes that work occupies now; NaN if it owns none."""
        nodes = self.nodes
        if len(nodes) == 0:
            return float("nan")
        return float(self.model.state.unit["is_busy"][nodes].mean())

    @property
    def own_jobs(self) -> Integers:
        """Indices of the jobs it wants for itself."""
        return np.flatnonzero(self.model.world.workload.job_first_party == self.owner)

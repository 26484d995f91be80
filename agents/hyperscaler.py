"""Hyperscalers as Mesa agents: each is a view of the rows it owns."""

from typing import TYPE_CHECKING

import mesa
import numpy as np

from hanse.agents.asking import next_price
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

    def next_price_usd(
        self,
        *,
        price: float,
        cost: float,
        demand: float,
        capacity: float,
        elasticity: float,
        menu_cost_share: float,
        share: float,
    ) -> float:
        """Return what it asks in a region next season: the rule that seasons apply to columns."""
        row = {"price": price, "cost": cost, "demand": demand, "capacity": capacity}
        asked = next_price(
            **{name: np.array([value]) for name, value in row.items()},
            elasticity=elasticity,
            menu_cost_share=menu_cost_share,
            share=share,
        )
        return float(asked[0])

    @property
    def own_jobs(self) -> Integers:
        """Indices of the jobs it wants for itself."""
        return np.flatnonzero(self.model.world.workload.job_first_party == self.owner)

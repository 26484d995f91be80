"""GPU nodes as Mesa agents: each is a view of one row of the fleet."""

from typing import TYPE_CHECKING

import mesa
import numpy as np

from hanse.agents.asking import W_PER_KW, reservation_price
from hanse.market.engine.states import OPEN
from hanse.verification.incentives import cheats

if TYPE_CHECKING:
    from hanse.agents.model import ComputeMarket


class GpuNode(mesa.Agent):
    """One accelerator and whoever runs it; every attribute reads the columns, none is stored."""

    model: "ComputeMarket"

    def __init__(self, model: "ComputeMarket", node: int) -> None:
        super().__init__(model)
        self.node = node

    @property
    def region(self) -> str:
        """Name of the region."""
        fleet, geography = self.model.world.fleet, self.model.world.geography
        return geography.region[int(fleet.node_region[self.node])]

    @property
    def owner(self) -> str:
        """Name of the owner."""
        fleet = self.model.world.fleet
        return fleet.owner[int(fleet.node_owner[self.node])]

    @property
    def ask_usd_per_gpu_hour(self) -> float:
        """Posted price of the node."""
        return float(self.model.world.fleet.node_posted_usd_per_gpu_hour[self.node])

    @property
    def is_busy(self) -> bool:
        """Whether work occupies the node now."""
        return bool(self.model.state.unit["is_busy"][self.node])

    @property
    def running_stage(self) -> int:
        """Stage that occupies the node now, or -1; residual work and idleness are -1."""
        record = int(self.model.state.unit["record"][self.node])
        if not self.is_busy or record < 0:
            return -1
        row = self.model.state.record[record]
        return int(row["stage"]) if row["outcome"] == OPEN else -1

    def reservation_usd_per_hour(self, elsewhere_usd: float = 0.0) -> float:
        """Return the least it takes per GPU-hour: the same rule that seasons apply to columns."""
        world = self.model.world
        region = int(world.fleet.node_region[self.node])
        kwh = world.terms.active_w / W_PER_KW * world.geography.electricity_usd_per_kwh[region]
        cost = np.array([kwh]), np.array([world.terms.hardware_usd_per_gpu_hour])
        return float(reservation_price(*cost, np.array([elsewhere_usd]))[0])

    def cheats_on(self, *, saving_usd: float, reward_usd: float) -> bool:
        """Decide whether cheating pays: the same rule that the engine applies to columns."""
        terms, rules = self.model.world.terms, self.model.rules
        probability, stake_usd = rules.audit_probability, terms.stake_multiple * reward_usd
        return bool(cheats(saving_usd, probability, terms.audit_detection, stake_usd, reward_usd))

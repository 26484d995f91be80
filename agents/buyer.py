"""Buyers as Mesa agents: each is a view of its jobs."""

from typing import TYPE_CHECKING

import mesa
import numpy as np

from hanse.agents.hoarding import critical_ratio, reserve_units
from hanse.market.engine.preparation import worth_usd
from hanse.market.engine.states import COMPLETE
from hanse.market.units import MICRO_USD_PER_USD, Integers

if TYPE_CHECKING:
    from hanse.agents.model import ComputeMarket


class Buyer(mesa.Agent):
    """Somebody who wants jobs done, and loses value while they wait."""

    model: "ComputeMarket"

    def __init__(self, model: "ComputeMarket", buyer: int) -> None:
        super().__init__(model)
        self.buyer = buyer

    @property
    def region(self) -> str:
        """Name of the region its jobs originate in."""
        world = self.model.world
        return world.geography.region[int(world.workload.buyer_region[self.buyer])]

    @property
    def stages(self) -> Integers:
        """Indices of the stages of its jobs."""
        return np.flatnonzero(self.model.facts.stage["buyer"] == self.buyer)

    @property
    def done_share(self) -> float:
        """Share of its stages that are done; NaN if it has none."""
        stages = self.stages
        if len(stages) == 0:
            return float("nan")
        return float((self.model.state.stage["status"][stages] == COMPLETE).mean())

    @property
    def committed_usd(self) -> float:
        """What it has agreed to pay so far."""
        return float(self.model.state.stage["payment_micro_usd"][self.stages].sum()) / (
            MICRO_USD_PER_USD
        )

    def stock_units(
        self, *, mean: float, sd: float, shortage_usd: float, holding_usd: float
    ) -> float:
        """Return what it would hold for itself: the same rule that seasons apply to columns."""
        ratio = critical_ratio(np.array([shortage_usd]), np.array([holding_usd]))
        return float(reserve_units(np.array([mean]), np.array([sd]), ratio)[0])

    def worth_usd(self, stage: int, finish_us: int) -> float:
        """Say what a finish instant is worth, true or not: what the engine hears of it."""
        return float(worth_usd(self.model.facts, stage, finish_us))

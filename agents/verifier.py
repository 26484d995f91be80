"""Verifiers as Mesa agents: each is a view of the stages it would audit."""

from typing import TYPE_CHECKING

import mesa
import numpy as np

from hanse.market.units import Integers

if TYPE_CHECKING:
    from hanse.agents.model import ComputeMarket


class Verifier(mesa.Agent):
    """Somebody who re-executes finished work where an audit is drawn."""

    model: "ComputeMarket"

    def __init__(self, model: "ComputeMarket", verifier: int) -> None:
        super().__init__(model)
        self.verifier = verifier

    @property
    def region(self) -> str:
        """Name of the region it sits in."""
        world = self.model.world
        return world.geography.region[int(world.verifier_region[self.verifier])]

    @property
    def audited_stages(self) -> Integers:
        """Stages that it has audited, or is to audit, so far."""
        is_own = self.model.world.workload.stage_verifier == self.verifier
        return np.flatnonzero(is_own & (self.model.state.stage["is_audited"] == 1))

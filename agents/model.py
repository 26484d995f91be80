"""ComputeMarket: the Mesa model of one world under one regime."""

from typing import Final

import mesa

from hanse.agents.buyer import Buyer
from hanse.agents.gpu_node import GpuNode
from hanse.agents.hyperscaler import Hyperscaler
from hanse.agents.lowering import lower_facts, lower_rules, record_bound
from hanse.agents.verifier import Verifier
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger, read_ledger
from hanse.market.engine.advance import start
from hanse.market.engine.allocation import allocate
from hanse.market.engine.columns import Facts
from hanse.market.engine.driver import finish_run, run_until
from hanse.market.engine.stale import with_stale_rows
from hanse.market.engine.states import COMPLETE
from hanse.market.regime import Regime
from hanse.market.units import US_PER_S

PHASES: Final = ("advance", "observe")
"""What one step does, in this order: physics and decisions up to the next epoch, then looking."""

VIEWS_MAX: Final = 2_000
"""Nodes of larger fleets get no registered agents; `ComputeMarket.node` hands out views."""


class ComputeMarket(mesa.Model):
    """A world under a regime, advanced epoch by epoch; agents are views of its columns.

    Between two epochs the compiled engine advances arrivals, decisions and executions at exact
    instants; an epoch is only how often Mesa's side looks. Its length changes no result.

    Parameters
    ----------
    world : the facts, the same value for every regime.
    regime : who decides, when and how.
    epoch_s : length of a step in seconds, > 0.
    with_agents : whether to register agents; batches run without.
    n_payments : rows of the payment log to keep, for those who audit the debt by hand.
    lowered : facts of the same world, lowered for any regime, to spare lowering them again.
    """

    def __init__(
        self,
        world: World,
        regime: Regime,
        *,
        epoch_s: float = 60.0,
        with_agents: bool = True,
        n_payments: int = 0,
        lowered: Facts | None = None,
    ) -> None:
        if epoch_s <= 0:
            raise ValueError(f"epoch_s must be above 0, got {epoch_s}")
        super().__init__(rng=world.seed)
        self.world = world
        self.regime = regime
        self.epoch_us = max(1, round(epoch_s * US_PER_S))
        self.facts = lower_facts(world, regime, lowered=lowered)
        n_planes = len(self.facts.plane_region)
        self.rules = lower_rules(
            world.terms, regime, horizon_us=world.horizon_us, n_planes=n_planes
        )
        self.facts = with_stale_rows(self.facts, self.rules.failure.n_stale)
        self.state = allocate(
            self.facts,
            self.rules,
            n_records=record_bound(world, regime),
            n_families=len(world.workload.family),
            n_payments=n_payments,
        )
        start(self.facts, self.rules, self.state, world.fleet.node_free_from_us)
        self.now_us = 0
        self.is_closed = False
        self.datacollector = mesa.DataCollector(
            model_reporters={
                "now_s": "now_s",
                "busy_share": "busy_share",
                "n_pending": "n_pending",
                "n_complete": "n_complete",
            }
        )
        if with_agents:
            self._register_agents()

    def step(self) -> None:
        """Advance by one epoch, phase by phase, and no further than the horizon."""
        for phase in PHASES:
            getattr(self, phase)()

    def advance(self) -> None:
        """Let the engine advance to the next epoch."""
        self.now_us = min(self.now_us + self.epoch_us, self.world.horizon_us)
        run_until(self.facts, self.rules, self.state, self.now_us, self.regime.router)

    def observe(self) -> None:
        """Collect the model-level reporters."""
        self.datacollector.collect(self)

    def run_to_horizon(self) -> Ledger:
        """Advance to the horizon at once and return the closed ledger."""
        run_until(self.facts, self.rules, self.state, self.world.horizon_us, self.regime.router)
        self.now_us = self.world.horizon_us
        return self.ledger()

    def ledger(self) -> Ledger:
        """Close the books at the horizon and return them; raises before the horizon."""
        if self.now_us < self.world.horizon_us:
            raise ValueError(
                f"the ledger closes at {self.world.horizon_us} us, got now_us={self.now_us}"
            )
        if not self.is_closed:
            finish_run(self.facts, self.rules, self.state)
            self.is_closed = True
        return read_ledger(self.facts, self.rules, self.state)

    def node(self, index: int) -> GpuNode:
        """Return a view of one node, registered or not."""
        return GpuNode(self, index)

    @property
    def now_s(self) -> float:
        """Simulated time in seconds."""
        return self.now_us / US_PER_S

    @property
    def busy_share(self) -> float:
        """Share of the units that work occupies now."""
        return float(self.state.unit["is_busy"].mean())

    @property
    def n_pending(self) -> int:
        """Requests that wait for a decision."""
        return int(self.state.plane["n_pending"].sum())

    @property
    def n_complete(self) -> int:
        """Stages done so far."""
        return int((self.state.stage["status"] == COMPLETE).sum())

    def _register_agents(self) -> None:
        fleet, workload = self.world.fleet, self.world.workload
        for owner in range(len(fleet.owner)):
            if fleet.owner_is_hyperscaler[owner]:
                Hyperscaler(self, owner)
        for buyer in range(len(workload.buyer_region)):
            Buyer(self, buyer)
        for verifier in range(len(self.world.verifier_region)):
            Verifier(self, verifier)
        if fleet.n_nodes <= VIEWS_MAX:
            for node in range(fleet.n_nodes):
                GpuNode(self, node)


def release(model: ComputeMarket) -> None:
    """Let go of a model that has had its day; its ledger stays good.

    Mesa 3.3 keeps every model alive through a class attribute, and a model and its agents keep one
    another alive until the garbage collector comes, so that each run would touch fresh memory.
    """
    ids = getattr(mesa.Agent, "_ids", None)
    if ids is not None:
        ids.pop(model, None)
    vars(model).clear()

"""Agents are views: whatever one says is what its row of the columns says, at every instant."""

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import mesa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.agents import model as model_module
from hanse.agents.buyer import Buyer
from hanse.agents.gpu_node import GpuNode
from hanse.agents.hyperscaler import Hyperscaler
from hanse.agents.model import ComputeMarket, release
from hanse.agents.verifier import Verifier
from hanse.agents.world import World
from hanse.market.engine.clock import N_RECORDS
from hanse.market.engine.states import COMPLETE, OPEN
from hanse.market.regime import Regime, ladder
from tests.strategies import SmallWorld, small_worlds

AUDITED = ladder[-1].regime
epochs = st.lists(st.integers(1, 40), min_size=1, max_size=4)
rungs = st.sampled_from([rung.regime for rung in ladder])


def check_node(model: ComputeMarket, node: GpuNode) -> None:
    world, state, index = model.world, model.state, node.node
    assert node.region == world.geography.region[world.fleet.node_region[index]]
    assert node.owner == world.fleet.owner[world.fleet.node_owner[index]]
    assert node.ask_usd_per_gpu_hour == world.fleet.node_posted_usd_per_gpu_hour[index]
    assert node.is_busy == bool(state.unit["is_busy"][index])
    # The one open execution on the unit, found in the records rather than through the unit.
    started = state.record[: int(state.clock[N_RECORDS])]
    mine = started[(started["unit"] == index) & (started["outcome"] == OPEN)]
    running = mine["stage"][mine["end_us"] >= model.now_us]
    assert [node.running_stage] == (running.tolist() or [-1])


def check_hyperscaler(model: ComputeMarket, owner: Hyperscaler) -> None:
    fleet = model.world.fleet
    own = fleet.node_owner == owner.owner
    assert fleet.owner_is_hyperscaler[owner.owner]
    assert owner.name == fleet.owner[owner.owner]
    assert owner.nodes.tolist() == [n for n in range(fleet.n_nodes) if own[n]]
    assert owner.capacity_share == own.sum() / fleet.n_nodes
    busy = model.state.unit["is_busy"][own]
    assert owner.busy_share == (busy.mean() if own.any() else pytest.approx(math.nan, nan_ok=True))
    jobs = model.world.workload.job_first_party
    assert owner.own_jobs.tolist() == np.flatnonzero(jobs == owner.owner).tolist()


def check_buyer(model: ComputeMarket, buyer: Buyer) -> None:
    workload, stage = model.world.workload, model.state.stage
    assert buyer.region == model.world.geography.region[workload.buyer_region[buyer.buyer]]
    own = workload.job_buyer[workload.stage_job] == buyer.buyer
    assert buyer.stages.tolist() == np.flatnonzero(own).tolist()
    done = (stage["status"][own] == COMPLETE).mean() if own.any() else math.nan
    assert buyer.done_share == pytest.approx(done, nan_ok=True)
    paid_micro_usd = int(stage["payment_micro_usd"][own].sum())
    assert buyer.committed_usd == pytest.approx(paid_micro_usd / 1e6, rel=1e-12)
    for index in buyer.stages.tolist():
        check_worth(model, buyer, index)


def check_worth(model: ComputeMarket, buyer: Buyer, stage: int) -> None:
    """Compare with v_j by hand: falling from arrival on, and nothing after the deadline."""
    workload = model.world.workload
    job = workload.stage_job[stage]
    arrival_us, deadline_us = workload.job_arrival_us[job], int(workload.job_deadline_us[job])
    for finish_us in (int(arrival_us), deadline_us, deadline_us + 1):
        late_s = (finish_us - arrival_us) / 1e6
        fallen = workload.job_value_usd[job] - workload.job_delay_usd_per_s[job] * late_s
        expected = max(0.0, fallen) if finish_us <= deadline_us else 0.0
        assert buyer.worth_usd(stage, finish_us) == pytest.approx(expected, rel=1e-9)


def check_verifier(model: ComputeMarket, verifier: Verifier) -> None:
    world, stage = model.world, model.state.stage
    assert verifier.region == world.geography.region[world.verifier_region[verifier.verifier]]
    own = world.workload.stage_verifier == verifier.verifier
    expected = np.flatnonzero(own & (stage["is_audited"] == 1)).tolist()
    assert verifier.audited_stages.tolist() == expected


CHECKS: dict[type[mesa.Agent], Callable[[ComputeMarket, Any], None]] = {
    GpuNode: check_node,
    Hyperscaler: check_hyperscaler,
    Buyer: check_buyer,
    Verifier: check_verifier,
}


@given(small=small_worlds(), regime=rungs, steps=epochs)
def test_every_property_of_every_agent_is_its_column(
    small: SmallWorld, regime: Regime, steps: list[int]
) -> None:
    model = ComputeMarket(small.build(), regime, epoch_s=0.7)
    for count in [0, *steps]:
        for _ in range(count):
            model.step()
        for kind, check in CHECKS.items():
            for agent in model.agents_by_type.get(kind, ()):
                check(model, agent)
    release(model)


def numbers_of(world: World) -> dict[type, int]:
    return {
        GpuNode: world.fleet.n_nodes,
        Hyperscaler: int(world.fleet.owner_is_hyperscaler.sum()),
        Buyer: len(world.workload.buyer_region),
        Verifier: len(world.verifier_region),
    }


@given(small=small_worlds())
def test_agents_stand_where_a_mesa_user_looks_for_them(small: SmallWorld) -> None:
    world = small.build()
    model = ComputeMarket(world, AUDITED)
    assert {kind: len(found) for kind, found in model.agents_by_type.items()} == numbers_of(world)
    nodes = model.agents_by_type[GpuNode]
    assert nodes.get("node") == list(range(world.fleet.n_nodes))
    assert sum(nodes.get("is_busy")) == int((world.fleet.node_free_from_us > 0).sum())
    region = [world.geography.region[place] for place in world.fleet.node_region]
    assert nodes.get("region") == region
    release(model)


@given(small=small_worlds())
def test_without_agents_there_are_none_and_nodes_are_handed_out(small: SmallWorld) -> None:
    model = ComputeMarket(small.build(), AUDITED, with_agents=False)
    model.run_to_horizon()
    assert len(model.agents) == 0
    check_node(model, model.node(0))
    release(model)


@given(small=small_worlds(), steps=epochs)
def test_views_handed_out_lazily_equal_those_that_are_registered(
    small: SmallWorld, steps: list[int]
) -> None:
    world = small.build()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_module, "VIEWS_MAX", 1)
        large = ComputeMarket(world, AUDITED, epoch_s=3.0)
    assert GpuNode not in large.agents_by_type
    model = ComputeMarket(world, AUDITED, epoch_s=3.0)
    for _ in range(sum(steps)):
        large.step()
        model.step()
    for node in cast("Iterable[GpuNode]", model.agents_by_type[GpuNode]):
        lazy = large.node(node.node)
        check_node(large, lazy)
        for name in ("region", "owner", "ask_usd_per_gpu_hour", "is_busy", "running_stage"):
            assert getattr(lazy, name) == getattr(node, name)
    release(model)
    release(large)


@given(small=small_worlds(), regime=st.sampled_from([ladder[0].regime, AUDITED]))
def test_a_node_cheats_as_the_engine_recorded_whenever_the_coin_tempts_it(
    small: SmallWorld, regime: Regime
) -> None:
    world = small.build()
    model = ComputeMarket(world, regime)
    ledger = model.run_to_horizon()
    for row in ledger.record[ledger.work]:
        unit, stage = int(row["unit"]), int(row["stage"])
        region = world.fleet.node_region[unit]
        # Resource cost at the world's prices: hardware, and power at the region's tariff.
        per_s = world.terms.hardware_usd_per_gpu_hour / 3_600
        tariff = world.geography.electricity_usd_per_kwh[region] / 3.6e6
        per_s += world.terms.active_w * tariff
        cost_usd = per_s * world.workload.stage_work_us[stage] / 1e6
        is_tempted = (
            world.workload.attempt_temptation[row["attempt"], stage] < world.terms.temptation_share
        )
        decision = model.node(unit).cheats_on(
            saving_usd=world.terms.saved_share * cost_usd,
            reward_usd=row["payment_micro_usd"] / 1e6,
        )
        assert bool(row["is_wrong"]) == (is_tempted and decision)
    release(model)

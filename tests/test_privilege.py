"""Privileged labs: buyers whose jobs rank as own work where owners rank their own first."""

from dataclasses import replace

import numpy as np
import pytest

from hanse.agents.world import World
from hanse.market.engine.states import COMPLETE
from hanse.market.regime import CENTRAL, regimes
from hanse.scenarios.draw import draw_world
from hanse.scenarios.parameters import ScenarioError
from tests.small_runs import tiny
from tests.strategies import Finished, finish

DOSES = (0, 1, 3, 6, 12)


def scarce(n_labs: int, seed: int) -> World:
    """Draw a world of few units and no own work, with so many labs among twelve buyers."""
    settings = (
        f"load.privileged_buyers={n_labs}",
        "load.first_party_share=0",
        "load.buyers=12",
        "load.model_calls=1500",
        "fleet.nodes=3",
    )
    return draw_world(tiny().with_settings(settings), seed)


def without_labs(world: World) -> World:
    """Return the same world in which nobody is a lab."""
    nobody = np.zeros(0, np.int64)
    return replace(world, workload=replace(world.workload, buyer_partner=nobody))


def served_share(run: Finished, world: World, of: np.ndarray) -> float:
    """Return the share of the stages of some buyers that were done."""
    buyer = world.workload.job_buyer[world.workload.stage_job]
    is_theirs = np.isin(buyer, np.flatnonzero(of))
    return float((run.ledger.stage["status"][is_theirs] == COMPLETE).mean())


def of_one_partner(world: World) -> World:
    """Give all labs one partner, and it all units."""
    partner, n_nodes = world.workload.buyer_partner, world.fleet.n_nodes
    workload = replace(world.workload, buyer_partner=np.where(partner >= 0, partner[0], -1))
    fleet = replace(world.fleet, node_owner=np.full(n_nodes, partner[0]))
    return replace(world, workload=workload, fleet=fleet)


def test_labs_are_served_before_others_where_owners_rank_their_own_first() -> None:
    gains = []
    for seed in range(8):
        world = of_one_partner(scarce(3, seed))
        is_lab = world.workload.buyer_partner >= 0
        plain, run = finish(without_labs(world), CENTRAL), finish(world, CENTRAL)
        gains.append(served_share(run, world, is_lab) - served_share(plain, world, is_lab))
        assert served_share(run, world, ~is_lab) <= served_share(plain, world, ~is_lab)
    assert np.mean(gains) > 3 * np.std(gains, ddof=1) / len(gains) ** 0.5


@pytest.mark.parametrize("name", ["without-first-party", "welfare-rule", "market"])
def test_privilege_is_nothing_where_nobody_ranks_own_work_first(name: str) -> None:
    runs = [finish(scarce(n_labs, 1), regimes[name], n_payments=1_000_000) for n_labs in DOSES]
    assert len({run.work.tobytes() for run in runs}) == 1


def test_where_all_are_the_labs_of_one_owner_it_serves_in_order_of_readiness() -> None:
    favoured = of_one_partner(scarce(12, 2))
    runs = [finish(favoured, CENTRAL), finish(without_labs(favoured), CENTRAL)]
    assert runs[0].work.tobytes() == runs[1].work.tobytes()


def test_labs_pay_and_procure_as_others_do() -> None:
    world = scarce(12, 3)
    run = finish(world, CENTRAL)
    assert (world.workload.job_first_party == -1).all()
    assert run.measured.welfare.value_usd.sum() > 0
    assert (run.work["payment_micro_usd"] > 0).all()


def test_there_are_no_more_labs_than_buyers() -> None:
    with pytest.raises(
        ScenarioError, match=r"load.privileged_buyers must be at most load.buyers \(12\), got 13"
    ):
        scarce(13, 0)

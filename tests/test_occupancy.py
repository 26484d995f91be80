"""The ledger of units: hand-computed labels of every accelerator-microsecond."""

from dataclasses import replace

import numpy as np

from hanse.agents.world import World
from hanse.market.accounts.occupancy import NONE, B, C, F, I, U, X
from hanse.market.engine.states import (
    AUDITING,
    CAUSES,
    CONTEXT,
    CROSSING,
    DISTANCE,
    LABELS,
    OPERATIONS,
    ROUTING,
    RULE,
    STATE,
    STRATEGIC,
    VERIFICATION,
)
from hanse.market.regime import Regime
from hanse.market.units import US_PER_S
from tests.strategies import (
    AUDITED,
    HUB,
    Finished,
    finish,
    seconds,
    with_audits,
    with_fleet,
    with_jobs,
    with_luck,
    world_of,
)


def labelled_s(run: Finished) -> dict[tuple[str, str, str], float]:
    """Return the seconds of each label, operation and cause, over all sinks and families."""
    occupancy = run.measured.occupancy
    found: dict[tuple[str, str, str], float] = {}
    for k, unit_us in enumerate(occupancy.unit_us.tolist()):
        key = name(occupancy.label[k], occupancy.operation[k], occupancy.cause[k])
        found[key] = found.get(key, 0.0) + unit_us / US_PER_S
    return found


def name(label: int, operation: int = NONE, cause: int = NONE) -> tuple[str, str, str]:
    """Name a label, its operation and its cause; those it has not are empty."""
    return LABELS[label], (*OPERATIONS, "")[operation], (*CAUSES, "")[cause]


def labels_of(world: World, regime: Regime = HUB) -> dict[tuple[str, str, str], float]:
    """Run a world and return its labels."""
    return labelled_s(finish(world, regime))


def test_labels_stand_in_the_order_of_their_names() -> None:
    assert "".join(LABELS[k] for k in (U, C, B, F, 4, I, X)) == "UCBFHIX"


def test_payload_is_useful_and_the_rest_is_idle() -> None:
    world = world_of(arrival_s=[1.0, 2.0], work_s=[10.0, 30.0], units=[0, 0])
    # 2 units x 100 s = 200 s; 10 + 30 = 40 s of work.
    assert labels_of(world) == {name(U): 40.0, name(I): 160.0}


def test_residual_work_is_useful_and_belongs_to_no_family() -> None:
    world = world_of(arrival_s=[1.0], work_s=[10.0], units=[0])
    run = finish(with_fleet(world, node_free_from_us=seconds(30.0)), HUB)
    assert labelled_s(run) == {name(U): 40.0, name(I): 60.0}
    occupancy = run.measured.occupancy
    assert occupancy.unit_us[(occupancy.family == 0)].tolist() == [10 * US_PER_S]


def test_work_that_the_horizon_cuts_off_counts_up_to_it() -> None:
    run = finish(world_of(arrival_s=[95.0], work_s=[10.0], units=[0]), HUB)
    assert labelled_s(run) == {name(U): 5.0, name(I): 95.0}
    assert run.measured.occupancy.is_open.tolist() == [True, False]


def test_a_run_in_which_nothing_is_ever_executed_is_idle_throughout() -> None:
    world = world_of(arrival_s=[1.0], work_s=[10.0], units=[0], patience_s=5.0)
    assert labels_of(world) == {name(I): 100.0}


def test_each_step_of_a_crossing_has_its_label() -> None:
    world = world_of(
        arrival_s=[1.0],
        work_s=[10.0],
        units=[1],
        n_regions=2,
        one_way_s=0.5,
        context_tokens_per_gpu_s=1_000.0,
    )
    world = replace(world, crossing=replace(world.crossing, commit_us=250_000.0))
    world = with_jobs(
        world,
        stage_input_bytes=np.array([2_500_000_000]),
        stage_context_tokens=np.array([3_000]),
        stage_holds=np.array([True]),
    )
    # Commit 0.25 s; 2.5 GB at 10 Gbit/s take 2 s; 3,000 tokens at 1,000 per second take 3 s;
    # 100 - 0.25 - 2 - 3 - 10 = 84.75 s of idleness.
    assert labels_of(world) == {
        name(B, STATE, CROSSING): 0.25,
        name(B, CONTEXT, DISTANCE): 2.0,
        name(C, CONTEXT, CROSSING): 3.0,
        name(U): 10.0,
        name(I): 84.75,
    }
    # Released, the unit is taken when commit and data are there: 2.25 s more of idleness.
    released = with_jobs(world, stage_holds=np.array([False]))
    assert labels_of(released) == {
        name(C, CONTEXT, CROSSING): 3.0,
        name(U): 10.0,
        name(I): 87.0,
    }


def test_the_right_work_of_a_job_that_expires_is_lost_to_the_rule() -> None:
    world = world_of(
        arrival_s=[0.0, 1.0],
        work_s=[10.0, 10.0, 50.0],
        stage_job=[0, 0, 1],
        units=[0],
        patience_s=60.0,
    )
    # The second stage would go from 10 to 20, but the unit is given to the job that came first
    # among the ready: it has waited since 1. It has the unit until 60 = the first job's deadline.
    assert labels_of(world) == {
        name(F, ROUTING, RULE): 10.0,
        name(U): 50.0,
        name(I): 40.0,
    }


def test_cheats_are_lost_and_audits_are_coordination() -> None:
    world = with_audits(world_of(arrival_s=[0.0, 0.0], work_s=[10.0, 20.0], units=[0, 0]))
    world = with_luck(world, temptation=[[0.0, 0.0]], audit=[[0.0, 1.0]])
    # The first cheat is caught by an audit of 10 s and done again; the second is never looked at.
    assert labels_of(world, AUDITED) == {
        name(F, VERIFICATION, STRATEGIC): 30.0,
        name(C, VERIFICATION, AUDITING): 10.0,
        name(U): 10.0,
        name(I): 150.0,
    }


def lost_input(horizon_s: float) -> World:
    """Build a job whose second stage works from 10 to 40 on a result that is caught at 20."""
    world = with_audits(
        world_of(
            arrival_s=[0.0],
            work_s=[10.0, 30.0],
            stage_job=[0, 0],
            units=[0, 0],
            horizon_s=horizon_s,
            active_w=700.0,
            idle_w=100.0,
        )
    )
    return with_luck(world, temptation=[[0.0, 1.0]], audit=[[0.0, 1.0]])


def test_work_on_a_wrong_input_is_lost_to_the_cheat() -> None:
    # Lost: the cheat's 10 s and 30 s on its result; useful: 10 s + 30 s of doing it again.
    assert labels_of(lost_input(100.0), AUDITED) == {
        name(F, VERIFICATION, STRATEGIC): 10.0,
        name(F, STATE, STRATEGIC): 30.0,
        name(C, VERIFICATION, AUDITING): 10.0,
        name(U): 40.0,
        name(I): 110.0,
    }


def test_work_on_a_wrong_input_is_lost_even_if_the_horizon_cuts_it_off() -> None:
    # At 25: the cheat's 10 s and 15 s on its result are lost, 5 s of doing it again are useful.
    assert labels_of(lost_input(25.0), AUDITED) == {
        name(F, VERIFICATION, STRATEGIC): 10.0,
        name(F, STATE, STRATEGIC): 15.0,
        name(C, VERIFICATION, AUDITING): 10.0,
        name(U): 5.0,
        name(I): 10.0,
    }


def test_a_cheat_idles_but_honest_work_on_its_result_draws_full_power() -> None:
    run = finish(lost_input(100.0), AUDITED)
    # Idle 110 s and cheat 10 s at 100 W; lost 30 s, audit 10 s and useful 40 s at 700 W.
    assert run.measured.welfare.joules.sum() == 120.0 * 100.0 + 80.0 * 700.0

"""The engine on worlds small enough to run by hand: each test is a timeline worked out on paper."""

from dataclasses import replace

import numpy as np

from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.columns import Rows
from hanse.market.engine.states import (
    ACTIVE,
    AUDIT,
    AWAITING_CLEARING,
    AWAITING_SETTLEMENT,
    BOUNCED,
    COMPLETE,
    DELIVERING,
    DISPATCHED,
    DONE,
    EXECUTING,
    EXPIRED,
    IN_FLIGHT,
    IN_SERVICE,
    LANDING,
    LAPSED,
    QUEUED,
    REDO,
    STATES,
    TRANSFERRING,
    UNMATCHED,
)
from hanse.market.regime import (
    Regime,
    Settlement,
)
from hanse.market.terms import ON_FINALITY
from hanse.market.units import US_PER_S
from tests.strategies import (
    AUDITED,
    CLEARED,
    HUB,
    VENUES,
    finish,
    seconds,
    with_audits,
    with_fleet,
    with_jobs,
    with_luck,
    world_of,
)

Spans = list[tuple[int, int, float, float]]


def run(world: World, regime: Regime) -> Ledger:
    """Run a world and return its ledger."""
    return finish(world, regime).ledger


def spent_s(ledger: Ledger, stage: int) -> dict[str, float]:
    """Return the seconds that a stage spent in each state where it spent any."""
    row = ledger.time_us[stage]
    return {STATES[k]: int(row[k]) / US_PER_S for k in np.flatnonzero(row)}


def named(times_s: dict[int, float]) -> dict[str, float]:
    """Name the states of a timeline."""
    return {STATES[state]: length for state, length in times_s.items()}


def executions(ledger: Ledger) -> Spans:
    """Return (stage, unit, from, to) in seconds of each execution, in order of acceptance."""
    return spans(ledger.record[ledger.work])


def audits(ledger: Ledger) -> Spans:
    """Return (stage, unit, from, to) in seconds of each audit."""
    return spans(ledger.record[ledger.record["outcome"] == AUDIT])


def spans(rows: Rows) -> Spans:
    """Return (stage, unit, from, to) of each occupation, to the millisecond."""
    return [
        (
            int(row["stage"]),
            int(row["unit"]),
            round(int(row["accepted_us"]) / US_PER_S, 3),
            round(int(row["end_us"]) / US_PER_S, 3),
        )
        for row in rows
    ]


def test_a_request_travels_is_served_is_commanded_runs_and_is_delivered() -> None:
    world = world_of(
        arrival_s=[1.0],
        work_s=[10.0],
        units=[0],
        one_way_s=0.1,
        control_delay_scale=1.0,
        service_posted_us=500_000.0,
    )
    # 1.0 + 0.1 way + 0.5 service + 0.1 way = 1.7; + 10 = 11.7; + 0.1 way = 11.8; 100 - 11.8 = 88.2
    assert spent_s(run(world, HUB), 0) == named(
        {IN_FLIGHT: 0.1, IN_SERVICE: 0.5, LANDING: 0.1, EXECUTING: 10.0, DELIVERING: 0.1}
        | {DONE: 88.2}
    )


def test_escrow_is_locked_by_a_round_trip_to_the_buyer_before_dispatch() -> None:
    world = world_of(
        arrival_s=[1.0], work_s=[10.0], units=[0], one_way_s=0.1, control_delay_scale=1.0
    )
    ledger = run(world, replace(HUB, settlement=Settlement.ESCROW))
    assert spent_s(ledger, 0)[STATES[AWAITING_SETTLEMENT]] == 0.2
    assert executions(ledger) == [(0, 0, 1.4, 11.4)]  # 1.0 + 0.1 + 0.2 + 0.1


def test_requests_wait_for_a_server_in_order_of_arrival() -> None:
    world = world_of(
        arrival_s=[1.0, 1.0, 1.25],
        work_s=[10.0, 10.0, 10.0],
        units=[0, 0, 0],
        service_posted_us=500_000.0,
    )
    ledger = run(world, HUB)
    # One core: served 1.0-1.5, 1.5-2.0, 2.0-2.5, so the waits are 0, 0.5 and 2.0 - 1.25 = 0.75.
    assert [spent_s(ledger, k).get(STATES[QUEUED], 0.0) for k in range(3)] == [0.0, 0.5, 0.75]
    assert executions(ledger) == [(0, 0, 1.5, 11.5), (1, 1, 2.0, 12.0), (2, 2, 2.5, 12.5)]


def test_a_core_of_half_speed_takes_twice_as_long() -> None:
    world = world_of(
        arrival_s=[1.0],
        work_s=[10.0],
        units=[0],
        service_posted_us=500_000.0,
        control_cores=0.5,
    )
    ledger = run(world, HUB)
    assert spent_s(ledger, 0)[STATES[IN_SERVICE]] == 1.0
    assert ledger.plane["decision_core_us"].sum() == 500_000


def test_requests_wait_for_the_clearing_that_follows_their_arrival() -> None:
    world = world_of(
        arrival_s=[1.0, 5.0, 7.0],
        work_s=[1.0, 1.0, 1.0],
        units=[0, 0, 0],
        clearing_interval_us=5 * US_PER_S,
    )
    ledger = run(world, CLEARED)
    # Clearings at 5, 10, ...; what arrives at the instant of a clearing is in time for it.
    assert [spent_s(ledger, k).get(STATES[AWAITING_CLEARING], 0.0) for k in range(3)] == [
        4.0,
        0.0,
        3.0,
    ]


def test_an_unserved_request_expires_at_its_deadline_and_with_it_its_job() -> None:
    world = world_of(
        arrival_s=[0.0, 1.0],
        work_s=[50.0, 5.0, 5.0],
        stage_job=[0, 1, 1],
        units=[0],
        patience_s=55.0,
    )
    ledger = run(world, HUB)
    # The only unit is free at 50; 5 + 5 s of work would then end at 60 > 1 + 55.
    assert spent_s(ledger, 1) == named({UNMATCHED: 55.0, EXPIRED: 44.0})
    assert ledger.stage["status"].tolist()[:2] == [COMPLETE, LAPSED]
    assert ledger.job_done_us.tolist() == [50 * US_PER_S, -1]


def test_residual_work_keeps_a_unit_until_it_leaves() -> None:
    world = world_of(arrival_s=[1.0], work_s=[10.0], units=[0])
    ledger = run(with_fleet(world, node_free_from_us=seconds(30.0)), HUB)
    assert executions(ledger) == [(0, 0, 30.0, 40.0)]
    assert spent_s(ledger, 0)[STATES[UNMATCHED]] == 29.0


def crossing(*, holds: bool) -> World:
    """Build one job that has to move 125 MB to the only unit, which is elsewhere."""
    world = world_of(arrival_s=[1.0], work_s=[10.0], units=[1], n_regions=2, one_way_s=0.2)
    world = with_jobs(
        world, stage_input_bytes=np.array([125_000_000]), stage_holds=np.array([holds])
    )
    return replace(world, terms=replace(world.terms, control_delay_scale=1.0))


def test_a_held_unit_is_occupied_while_the_data_come() -> None:
    ledger = run(crossing(holds=True), HUB)
    # 1.0 + 0.0005 to the hub + 0.2 command = 1.2005; 125 MB at 10 Gbit/s take 0.1 s.
    assert executions(ledger) == [(0, 0, 1.2, 11.3)]
    assert spent_s(ledger, 0)[STATES[DISPATCHED]] == 0.2
    assert spent_s(ledger, 0)[STATES[TRANSFERRING]] == 0.1


def test_a_released_unit_is_occupied_when_the_data_are_there() -> None:
    ledger = run(crossing(holds=False), HUB)
    # The data travel while the command does: 0.1 s of the 0.2 s, so that execution starts at once.
    assert executions(ledger) == [(0, 0, 1.2, 11.2)]
    assert spent_s(ledger, 0)[STATES[TRANSFERRING]] == 0.1


def bouncing() -> World:
    """Build a unit that two venues command: the nearer one takes it, the other's command bounces.

    Unit 0 is the cheapest, in region 0; units 1 and 2 are in region 1, a second away.
    """
    world = world_of(
        arrival_s=[1.0, 1.5, 3.6],
        work_s=[10.0, 4.0, 4.0],
        origin=[0, 1, 1],
        units=[0, 1, 1],
        n_regions=2,
        one_way_s=1.0,
        control_cores=2.0,
        control_delay_scale=1.0,
        service_posted_us=200_000.0,
    )
    return with_fleet(world, node_posted_usd_per_gpu_hour=np.array([1.0, 3.0, 3.0]))


def test_a_bounce_costs_the_way_back_the_queue_and_a_full_service_again() -> None:
    ledger = run(bouncing(), VENUES)
    # Job 1 reaches its venue at 1.5005, sees unit 0 as it was at 0.5005, is served until 1.7005 and
    # lands at 2.7005, where job 0 has been since 1.201. Back at 3.7005 it finds job 2 in service
    # until 3.8005, is served until 4.0005 and lands next door at 4.001.
    assert executions(ledger) == [(0, 0, 1.201, 11.201), (2, 1, 3.801, 7.801), (1, 2, 4.001, 8.001)]
    assert ledger.n_bounces == 1
    times = spent_s(ledger, 1)
    assert times[STATES[BOUNCED]] == 1.3  # 1.0 way back + 0.1 queue + 0.2 service
    assert times[STATES[LANDING]] == 1.0005
    assert times[STATES[IN_SERVICE]] == 0.2
    assert ledger.stage["decision_core_us"].tolist() == [200_000, 400_000, 200_000]


def test_a_request_that_bounces_too_often_expires() -> None:
    world = bouncing()
    ledger = run(replace(world, terms=replace(world.terms, bounce_limit=0)), VENUES)
    assert ledger.stage["status"].tolist() == [COMPLETE, LAPSED, COMPLETE]
    assert ledger.stage["done_us"][1] == 2_700_500


def test_an_audit_takes_the_unit_before_any_request_and_a_caught_cheat_is_done_again() -> None:
    world = with_audits(world_of(arrival_s=[0.0, 5.0], work_s=[10.0, 10.0], units=[0]))
    world = with_luck(world, temptation=[[0.0, 1.0]], audit=[[0.0, 1.0]])
    ledger = run(world, AUDITED)
    assert audits(ledger) == [(0, 0, 10.0, 20.0)]
    # The other request has waited since 5, and has the unit at 20, before the audit is settled.
    assert executions(ledger) == [(0, 0, 0.0, 10.0), (1, 0, 20.0, 30.0), (0, 0, 30.0, 40.0)]
    assert spent_s(ledger, 0) == named({EXECUTING: 20.0, UNMATCHED: 10.0, DONE: 70.0})
    assert ledger.n_catches == ledger.n_redos == 1


def test_a_caught_stage_takes_its_successor_back_with_it() -> None:
    world = with_audits(
        world_of(arrival_s=[0.0], work_s=[10.0, 30.0], stage_job=[0, 0], units=[0, 0])
    )
    world = with_luck(world, temptation=[[0.0, 1.0]], audit=[[0.0, 1.0]])
    ledger = run(world, AUDITED)
    assert audits(ledger) == [(0, 0, 10.0, 20.0)]
    # The successor's unit works on until 40 on a wrong input.
    assert executions(ledger) == [
        (0, 0, 0.0, 10.0),
        (1, 1, 10.0, 40.0),
        (0, 0, 20.0, 30.0),
        (1, 0, 30.0, 60.0),
    ]
    assert spent_s(ledger, 1) == named({EXECUTING: 40.0, REDO: 10.0, DONE: 40.0})


def test_word_of_finality_is_not_the_result() -> None:
    world = world_of(
        arrival_s=[0.0],
        work_s=[10.0],
        origin=[1],
        units=[0],
        n_regions=2,
        one_way_s=1.0,
        release=ON_FINALITY,
    )
    # Control is instant, data are not: the result needs a second to its origin.
    assert run(world, HUB).stage["done_us"].tolist() == [11 * US_PER_S]


def test_a_stage_that_is_caught_after_its_deadline_expires() -> None:
    world = with_audits(world_of(arrival_s=[0.0], work_s=[10.0], units=[0], patience_s=15.0))
    world = with_luck(world, temptation=[[0.0]], audit=[[0.0]])
    ledger = run(world, AUDITED)
    assert audits(ledger) == [(0, 0, 10.0, 20.0)]
    assert ledger.stage["status"].tolist() == [LAPSED]


def test_a_job_that_was_abandoned_is_not_done_again() -> None:
    world = with_audits(
        world_of(arrival_s=[0.0], work_s=[10.0, 4.0], stage_job=[0, 0], units=[0], patience_s=15.0)
    )
    world = with_luck(world, temptation=[[0.0, 1.0]], audit=[[0.0, 1.0]])
    ledger = run(world, AUDITED)
    # The audit has the only unit from 10 to 20, so that the second stage expires at 15.
    assert spent_s(ledger, 1)[STATES[EXPIRED]] == 85.0
    assert ledger.stage["status"][1] == LAPSED
    assert ledger.stage["status"][0] != ACTIVE


def test_an_attempt_that_is_thrown_away_is_not_audited_any_more() -> None:
    world = with_audits(
        world_of(
            arrival_s=[0.0],
            work_s=[10.0, 12.0],
            stage_job=[0, 0],
            units=[0, 0, 0],
            audit_bytes=12.5e9,
        )
    )
    world = with_luck(world, temptation=[[0.0, 1.0]], audit=[[0.0, 0.0]])
    # The data of an audit take 10 s: the first stage's begins at 20 and catches it at 30; the
    # second stage has ended at 22, so that its audit would begin at 32, for nothing.
    assert audits(run(world, AUDITED)) == [(0, 1, 20.0, 30.0)]


def test_a_stage_waits_for_an_audit_only_once() -> None:
    world = with_audits(
        world_of(
            arrival_s=[0.0],
            work_s=[10.0, 5.0],
            stage_job=[0, 0],
            origin=[1],
            units=[0, 1, 1],
            n_regions=2,
            one_way_s=1e-3,
            horizon_s=200.0,
        )
    )
    world = with_luck(world, temptation=[[0.0, 1.0]], audit=[[0.0, 0.0], *3 * [[1.0, 0.0]]])
    world = replace(world, verifier_region=np.array([0, 1]))
    world = with_jobs(world, stage_verifier=np.array([1, 0]))
    # The second stage's verifier has one unit, taken until 100: both its audits would wait there.
    ledger = run(with_fleet(world, node_free_from_us=seconds(100.0, 0.0, 0.0)), AUDITED)
    assert [audit for audit in audits(ledger) if audit[0] == 1] == [(1, 0, 100.0, 105.0)]


def test_a_bounced_request_that_was_started_anew_meanwhile_is_ignored() -> None:
    world = with_audits(
        world_of(
            arrival_s=[0.0, 5.0],
            work_s=[4.0, 1.0, 10.0],
            stage_job=[0, 1, 1],
            units=[0, 0, 1, 2],
            n_regions=3,
            one_way_s=5.0,
            control_delay_scale=1.0,
        )
    )
    rtt_ms = np.array([[1.0, 1e4, 6e3], [1e4, 1.0, 1e4], [6e3, 1e4, 1.0]])
    world = replace(
        world,
        geography=replace(world.geography, rtt_ms=rtt_ms),
        verifier_region=np.array([1, 2]),
    )
    world = with_fleet(
        world,
        node_free_from_us=seconds(0.0, 0.0, 2.0, 0.0),
        node_posted_usd_per_gpu_hour=np.array([2.0, 2.0, 1.0, 9.0]),
    )
    world = with_jobs(
        world, stage_verifier=np.array([0, 1, 0]), stage_tool_us=seconds(0.0, 0.0, 1.5)
    )
    world = with_luck(world, temptation=[[1.0, 0.0, 1.0]], audit=[[0.0, 0.0, 1.0]])
    # Stage 2 leaves for the cheap unit at 7.5, finds an audit of stage 0 there at 12.5, and is back
    # at 17.5. At 13 its input turns out to be wrong; done again, it has been running since 15.5.
    ledger = run(world, AUDITED)
    assert ledger.n_bounces == 1
    assert [span for span in executions(ledger) if span[0] == 2] == [(2, 0, 15.503, 25.503)]


def test_the_delivery_of_a_caught_result_does_not_deliver_the_next_one() -> None:
    world = with_audits(
        world_of(
            arrival_s=[0.0],
            work_s=[1.0],
            origin=[0],
            units=[1, 1],
            n_regions=2,
            one_way_s=5.0,
            hub_region=1,
            control_delay_scale=1.0,
        )
    )
    world = replace(world, verifier_region=np.array([1]))
    world = with_luck(world, temptation=[[0.0]], audit=[[0.0]])
    ledger = run(world, AUDITED)
    # Executed 5.0-6.0, caught by the audit at 7.0, executed 7.0-8.0, and 5 s on the way.
    assert len(executions(ledger)) == 2
    assert round(int(ledger.stage["done_us"][0]) / US_PER_S, 2) == 13.0


def test_a_caught_stage_takes_all_that_follows_back_with_it() -> None:
    world = with_audits(
        world_of(
            arrival_s=[0.0],
            work_s=[10.0, 10.0, 10.0],
            stage_job=[0, 0, 0],
            units=[0, 0],
            audit_bytes=31.25e9,
        )
    )
    world = with_luck(world, temptation=[[0.0, 1.0, 1.0]], audit=[[0.0, 1.0, 1.0]])
    ledger = run(world, AUDITED)
    # The data of the audit take 25 s: it runs from 35 to 45, when all three stages are done.
    assert audits(ledger) == [(0, 0, 35.0, 45.0)]
    assert ledger.job_done_us.tolist() == [75 * US_PER_S]


def test_the_calendar_has_room_for_all_reports_that_are_on_their_way() -> None:
    n_regions, n_jobs = 12, 600
    world = world_of(
        arrival_s=[0.001 * k for k in range(n_jobs)],
        work_s=[0.0001] * n_jobs,
        origin=[k % n_regions for k in range(n_jobs)],
        units=list(range(n_regions)),
        n_regions=n_regions,
        one_way_s=20.0,
        control_delay_scale=1.0,
    )
    # Views are continuous: each of 600 ends is reported to 12 venues, and travels for 20 s.
    assert len(executions(run(world, VENUES))) == n_jobs

"""Errors, time-outs, retries, refusals, breakers and breakdowns, worked by hand and at random."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.money import BUYER, ESCROW, OWNER
from hanse.market.accounts.occupancy import F, U, X, label_time
from hanse.market.engine.failure_columns import (
    CALL_ERROR,
    CIRCUIT_OPEN,
    NODE_FAILURE,
    REFUSED,
    TIMED_OUT,
)
from hanse.market.engine.states import (
    ABANDONED,
    CAUSES,
    COMPLETE,
    DOWN,
    EXECUTING,
    FAILED,
    FAILURE,
    LAPSED,
    RETRYING,
    RIGHT,
    UNMATCHED,
)
from hanse.market.regime import Cadence, Plane, Regime, Settlement
from hanse.market.units import US_PER_S
from hanse.scenarios.selftest.checks import run_ledger
from hanse.scenarios.selftest.failing_worlds import breaking_world
from tests.failing import failing_worlds, with_errors, with_failures
from tests.strategies import HUB, all_regimes, finish, world_of

LATE = replace(HUB, cadence=Cadence.ON_ARRIVAL)


def labelled_s(ledger: Ledger, label: int) -> float:
    """Return how many unit-seconds of a run carry a label."""
    occupancy = label_time(ledger, 1)
    return float(occupancy.unit_us[occupancy.label == label].sum()) / US_PER_S


def failures(ledger: Ledger) -> list[tuple[float, int, int, int]]:
    """Return (second, stage, kind, state) of each failure, in order of time."""
    log = ledger.failure
    at_s = (log["at_us"] / US_PER_S).round(3)
    columns = (at_s, log["stage"], log["kind"], log["state"])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_an_attempt_fails_where_its_coin_says_and_the_next_one_starts_after_the_wait() -> None:
    world = world_of(arrival_s=[1.0], work_s=[8.0], units=[0])
    # The coin 0.25 lies below the share of one half: the first attempt fails after half its work.
    world = with_errors(world, [0.25], backoff_us=3 * US_PER_S)
    ledger = run_ledger(world, LATE)
    assert failures(ledger) == [(5.0, 0, CALL_ERROR, EXECUTING)]
    # 1 + 4 of work + 3 of waiting + 8 of work = 16
    assert ledger.job_done_us.tolist() == [16 * US_PER_S]
    assert ledger.record["outcome"].tolist() == [FAILED, RIGHT]
    assert (labelled_s(ledger, F), labelled_s(ledger, U)) == (4.0, 8.0)
    assert ledger.time_us[0, RETRYING] == 3 * US_PER_S
    assert ledger.stage["retries"].tolist() == [1]


def test_errors_without_coins_are_refused_at_the_door() -> None:
    world = with_failures(world_of(arrival_s=[1.0], work_s=[8.0], units=[0]), call_error_share=0.5)
    with pytest.raises(ValueError, match=r"call_error_share=0.5 needs a coin"):
        run_ledger(world, LATE)


def test_what_errors_cost_is_booked_to_failure() -> None:
    world = with_errors(world_of(arrival_s=[1.0], work_s=[8.0], units=[0]), [0.25])
    occupancy = label_time(run_ledger(world, LATE), 1)
    lost = occupancy.label == F
    assert [CAUSES[cause] for cause in occupancy.cause[lost]] == ["failure"]


def test_a_stage_whose_retries_are_used_up_lapses_for_failure() -> None:
    world = with_errors(
        world_of(arrival_s=[1.0], work_s=[8.0], units=[0]), [0.25], [0.49], retry_limit=1
    )
    ledger = run_ledger(world, LATE)
    assert ledger.stage["status"].tolist() == [LAPSED]
    assert ledger.stage["lapse_cause"].tolist() == [FAILURE]
    assert [kind for *_, kind, _ in failures(ledger)] == [CALL_ERROR, CALL_ERROR]


def test_waits_grow_by_their_factor_and_a_coin_shortens_them() -> None:
    world = world_of(arrival_s=[1.0], work_s=[8.0], units=[0])
    world = with_errors(
        world, [0.0], [0.0], [0.0], backoff_us=2 * US_PER_S, backoff_growth=3.0, retry_limit=3
    )
    # Errors at once: waits of 2, 6 and 18 seconds.
    at_s = [at for at, *_ in failures(run_ledger(world, LATE))]
    assert at_s == [1.0, 3.0, 9.0]
    coins = np.full(world.workload.attempt_audit.shape, 0.5)
    world = replace(world, mishaps=replace(world.mishaps, attempt_backoff=coins))
    world = with_failures(world, backoff_jitter=1.0)
    assert [at for at, *_ in failures(run_ledger(world, LATE))] == [1.0, 2.0, 5.0]


def test_what_times_out_in_a_queue_or_in_service_is_decided_and_executed_all_the_same() -> None:
    # One decision takes 4 seconds, and clients wait 4.5.
    world = world_of(arrival_s=[1.0, 1.5], work_s=[1.0, 1.0], units=[0, 0], service_posted_us=4e6)
    world = with_failures(world, timeout_us=round(4.5 * US_PER_S), retry_limit=1)
    ledger = run_ledger(world, LATE)
    # The first times out at 5.5 executing, the second at 6 in service; and both again 4.5 later.
    assert [row[:2] for row in failures(ledger)] == [(5.5, 0), (6.0, 1), (10.0, 0), (10.5, 1)]
    # Decisions end at 5, 9, 13, 17, each too late: the server does stale work alone.
    assert (ledger.record["accepted_us"] / US_PER_S).tolist() == [5.0, 9.0, 13.0, 17.0]
    assert ledger.record["outcome"].tolist() == [ABANDONED] * 4
    assert ledger.record["stage"].tolist() == [0, 1, 0, 1]
    assert ledger.stage["status"].tolist() == [LAPSED, LAPSED]
    assert labelled_s(ledger, F) == 4.0
    assert ledger.stage["decision_core_us"].tolist() == [8 * US_PER_S, 8 * US_PER_S]


def test_a_request_that_waits_for_a_unit_and_is_sent_again_may_get_two() -> None:
    # A unit is busy until 10. The client gives up at 6 and asks again: now two requests wait, the
    # plane knows no better than to serve both, the older one first. At 11 the client gives up anew.
    world = world_of(arrival_s=[1.0], work_s=[3.0], units=[0])
    world = replace(world, fleet=replace(world.fleet, node_free_from_us=np.array([10 * US_PER_S])))
    world = with_failures(world, timeout_us=5 * US_PER_S, retry_limit=9)
    ledger = run_ledger(world, LATE)
    assert failures(ledger)[0] == (6.0, 0, TIMED_OUT, UNMATCHED)
    work = ledger.record[ledger.work]
    # The tries of 1, 6, 11 and 16 are served at 10, 13, 16 and 19, each after its client gave up.
    # That of 21 is served at 22, and is done in time.
    assert (work["accepted_us"] / US_PER_S).tolist() == [10.0, 13.0, 16.0, 19.0, 22.0]
    assert work["outcome"].tolist() == [ABANDONED] * 4 + [RIGHT]
    assert ledger.job_done_us.tolist() == [25 * US_PER_S]


def test_without_a_time_out_nothing_is_stale() -> None:
    world = world_of(arrival_s=[1.0, 1.5], work_s=[1.0, 1.0], units=[0, 0], service_posted_us=4e6)
    ledger = run_ledger(with_failures(world, retry_limit=5), LATE)
    assert len(ledger.failure) == 0
    assert ledger.record["outcome"].tolist() == [RIGHT, RIGHT]


def test_a_result_that_arrives_when_its_client_gives_up_is_in_time() -> None:
    world = world_of(arrival_s=[1.0], work_s=[3.0], units=[0])
    for timeout_us, status in ((3_000_000, COMPLETE), (2_999_999, LAPSED)):
        ledger = run_ledger(with_failures(world, timeout_us=timeout_us, retry_limit=0), LATE)
        assert ledger.stage["status"].tolist() == [status]


def test_a_full_plane_refuses_and_what_it_refuses_is_sent_again() -> None:
    world = world_of(
        arrival_s=[1.0, 1.1, 1.2, 1.3], work_s=[1.0] * 4, units=[0] * 4, service_posted_us=4e6
    )
    # One is in service, two wait; the fourth is refused at 1.3, and let in at 6.3.
    world = with_failures(world, admission_limit=2, backoff_us=5 * US_PER_S)
    ledger = run_ledger(world, LATE)
    assert [row[1:3] for row in failures(ledger)] == [(3, REFUSED)]
    assert ledger.stage["status"].tolist() == [COMPLETE] * 4
    assert ledger.time_us[3, RETRYING] > 5 * US_PER_S


def test_each_of_several_planes_has_its_part_of_what_may_wait() -> None:
    world = world_of(
        arrival_s=[1.0, 1.1, 1.2, 1.3],
        work_s=[1.0] * 4,
        units=[0] * 4,
        n_regions=2,
        one_way_s=0.001,
        service_posted_us=4e6,
        control_cores=2.0,
    )
    world = with_failures(world, admission_limit=2, retry_limit=0)
    assert len(run_ledger(world, LATE).failure) == 0  # two servers, two wait
    # All come from one region: its venue serves one, and lets one wait.
    assert len(run_ledger(world, replace(LATE, plane=Plane.VENUES)).failure) == 2


def test_a_breaker_opens_after_so_many_failures_and_closes_after_a_while() -> None:
    world = world_of(
        arrival_s=[1.0, 1.1, 2.0, 3.0, 30.0],
        work_s=[9.0, 9.0, 1.0, 1.0, 1.0],
        units=[0] * 5,
    )
    world = with_failures(
        world,
        timeout_us=US_PER_S + 500_000,
        retry_limit=0,
        breaker_failures=2,
        breaker_cooldown_us=10 * US_PER_S,
    )
    # The first two time out at 2.5 and 2.6; the request of 3.0 is not sent; that of 30.0 is.
    ledger = run_ledger(world, LATE)
    assert [row[1:3] for row in failures(ledger)] == [
        (0, TIMED_OUT),
        (1, TIMED_OUT),
        (3, CIRCUIT_OPEN),
    ]
    assert ledger.stage["status"].tolist() == [LAPSED, LAPSED, COMPLETE, LAPSED, COMPLETE]


def test_a_node_that_breaks_down_loses_what_runs_on_it() -> None:
    world = breaking_world(world_of(arrival_s=[1.0], work_s=[8.0], units=[0, 0]), [(0, 4.0, 50.0)])
    ledger = run_ledger(world, LATE)
    assert failures(ledger) == [(4.0, 0, NODE_FAILURE, EXECUTING)]
    assert ledger.job_done_us.tolist() == [12 * US_PER_S]  # anew on the other node
    assert (labelled_s(ledger, F), labelled_s(ledger, X)) == (3.0, 46.0)
    assert sorted(ledger.record["outcome"].tolist()) == sorted([FAILED, DOWN, RIGHT])


def test_a_node_that_is_down_while_idle_takes_nothing_until_it_is_up() -> None:
    world = breaking_world(world_of(arrival_s=[2.0], work_s=[8.0], units=[0]), [(0, 1.0, 5.0)])
    ledger = run_ledger(world, LATE)
    assert ledger.job_done_us.tolist() == [13 * US_PER_S]
    assert labelled_s(ledger, X) == 4.0
    assert len(ledger.failure) == 0


def test_a_breakdown_cuts_residual_work_short() -> None:
    world = world_of(arrival_s=[1.0], work_s=[1.0], units=[0])
    world = replace(world, fleet=replace(world.fleet, node_free_from_us=np.array([30 * US_PER_S])))
    ledger = run_ledger(breaking_world(world, [(0, 4.0, 6.0)]), LATE)
    assert ledger.record["end_us"].tolist() == [4 * US_PER_S, 6 * US_PER_S, 7 * US_PER_S]


def test_a_failed_call_is_not_paid_and_its_escrow_comes_back() -> None:
    world = with_errors(world_of(arrival_s=[1.0], work_s=[8.0], units=[0]), [0.25], retry_limit=0)
    for settlement in Settlement:
        run = finish(world, replace(LATE, settlement=settlement))
        balances = run.measured.postings.balances()
        assert balances.get((OWNER, 0), 0) == 0
        assert balances.get((BUYER, 0), 0) == 0
        assert balances.get((ESCROW, 0), 0) == 0


def test_what_nobody_waits_for_any_more_is_paid_all_the_same() -> None:
    world = world_of(arrival_s=[1.0], work_s=[3.0], units=[0])
    world = with_failures(world, timeout_us=2 * US_PER_S, retry_limit=0)
    run = finish(world, replace(LATE, settlement=Settlement.ESCROW))
    paid = run.ledger.record["payment_micro_usd"].sum()
    assert paid > 0
    assert run.measured.postings.balances()[OWNER, 0] == paid


def test_errors_come_where_they_come_whoever_decides() -> None:
    world = world_of(arrival_s=[1.0, 2.0], work_s=[8.0, 8.0], units=[0, 0])
    world = with_errors(world, [0.25, 0.9])
    for regime in (LATE, HUB, replace(HUB, plane=Plane.VENUES)):
        assert run_ledger(world, regime).stage["retries"].tolist() == [1, 0]


def is_whole(world: World, ledger: Ledger) -> bool:
    """Say whether units, stages and jobs of a run add up, to the last microsecond."""
    n_families = len(world.workload.family)
    occupied_us = int(label_time(ledger, n_families).unit_us.sum())
    ready = ledger.stage["ready_us"] >= 0
    alive_us = int((ledger.horizon_us - ledger.stage["ready_us"][ready]).sum())
    return (
        occupied_us == world.fleet.n_nodes * world.horizon_us
        and int(ledger.time_us.sum()) == alive_us
    )


REGIMES = st.sampled_from(all_regimes())


@settings(max_examples=40)
@given(world=failing_worlds(), regime=REGIMES)
def test_whatever_fails_everything_is_conserved(world: World, regime: Regime) -> None:
    run = finish(world, regime)
    ledger = run.ledger
    assert is_whole(world, ledger)
    record = ledger.record
    for unit in range(world.fleet.n_nodes):
        rows = record[record["unit"] == unit]
        rows = rows[np.lexsort((rows["end_us"], rows["accepted_us"]))]
        assert (rows["end_us"][:-1] <= rows["accepted_us"][1:]).all()
    parts = ["identity", "policy", "state", "authority", "transfer", "context", "execution"]
    lengths = sum(record[f"{part}_us"] for part in parts)
    assert (lengths == record["end_us"] - record["accepted_us"]).all()
    assert (ledger.stage["retries"] <= world.terms.failures.retry_limit).all()
    assert (record["attempt"] < len(world.workload.attempt_audit)).all()
    counts = run.measured.counts
    assert (counts.done + counts.lapsed <= counts.jobs).all()
    assert sum(run.measured.postings.balances().values()) == 0


@settings(max_examples=40)
@given(world=failing_worlds(), regime=REGIMES)
def test_every_retry_follows_a_failure_and_every_lapse_for_failure_a_last_one(
    world: World, regime: Regime
) -> None:
    ledger = run_ledger(world, regime)
    noticed = np.bincount(ledger.failure["stage"], minlength=len(ledger.stage))
    gone = (ledger.stage["status"] == LAPSED) & (ledger.stage["lapse_cause"] == FAILURE)
    last = np.zeros(len(gone), np.int64)
    for stage, retries in zip(
        ledger.failure["stage"].tolist(), ledger.failure["retries"].tolist(), strict=True
    ):
        last[stage] += retries == world.terms.failures.retry_limit
    assert (noticed == ledger.stage["retries"] + last).all()
    # A job lapses with the stage that failed; stages behind it carry the cause on.
    assert (last[gone & (noticed > 0)] <= 1).all()


@settings(max_examples=40)
@given(world=failing_worlds(), regime=REGIMES)
def test_the_same_failures_come_out_the_same(world: World, regime: Regime) -> None:
    once, again = run_ledger(world, regime), run_ledger(world, regime)
    for name in ("record", "stage", "time_us", "failure"):
        assert getattr(once, name).tobytes() == getattr(again, name).tobytes()

"""What is conserved in every run, to the microsecond and the micro-dollar, whoever decides."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hanse.agents.world import World
from hanse.market.accounts.money import ESCROW, STAKE
from hanse.market.engine.columns import Rows
from hanse.market.engine.states import (
    ACTIVE,
    AUDIT,
    CAUGHT,
    CHEATED,
    COMPLETE,
    DISCARDED,
    EXECUTING,
    EXPIRED,
    LAPSED,
    NOT_READY,
    ON_CONTEXT,
    RESIDUAL,
    WRONG,
)
from hanse.market.regime import AUDITED_MARKET, Regime, Release, ladder
from hanse.market.units import US_PER_MS, Flags, Integers
from hanse.scenarios.draw import draw_world
from hanse.scenarios.run import run_world
from hanse.scenarios.scenario import load
from hanse.scenarios.selftest.checks import run_ledger
from tests.strategies import (
    Finished,
    SmallWorld,
    all_regimes,
    capped_worlds,
    cheating_worlds,
    finished,
    small_worlds,
)

Law = Callable[[Finished], bool]


def overlap(rows: Rows) -> bool:
    """Say whether two of these occupations overlap in time."""
    rows = rows[np.lexsort((rows["end_us"], rows["accepted_us"]))]
    return bool((rows["end_us"][:-1] > rows["accepted_us"][1:]).any())


def is_living(run: Finished, rows: Rows) -> Flags:
    """Say of each occupation whether its result counts, or could still count, for its stage."""
    living: Flags = rows["epoch"] == run.ledger.stage["epoch"][rows["stage"]]
    living &= rows["outcome"] != DISCARDED
    return living


def is_running(run: Finished) -> Flags:
    """Say of each execution whether the horizon cuts it off."""
    running: Flags = run.work["end_us"] > run.ledger.horizon_us
    return running


def delivery_us(run: Finished, rows: Rows) -> Integers:
    """Return how long results travel from where they were made to the origin of their job."""
    one_way_us = np.rint(run.world.geography.rtt_ms * US_PER_MS / 2).astype(np.int64)
    region = run.ledger.unit["region"][rows["unit"]]
    way_us: Integers = one_way_us[region, run.ledger.stage_fact["origin"][rows["stage"]]]
    return way_us


def a_unit_is_never_occupied_twice_at_once(run: Finished) -> bool:
    record = run.ledger.record
    return not any(overlap(record[record["unit"] == u]) for u in range(len(run.ledger.unit)))


def an_occupation_lasts_as_long_as_its_parts(run: Finished) -> bool:
    names = ["identity_us", "policy_us", "state_us", "authority_us", "transfer_us"]
    parts = [run.ledger.record[name] for name in [*names, "context_us", "execution_us"]]
    spent = run.ledger.record["end_us"] - run.ledger.record["accepted_us"]
    lost_us = np.where(run.ledger.record["end_us"] <= run.ledger.horizon_us, run.lost_us, 0)
    lasted = sum(parts) + lost_us == spent
    # Of what the horizon cuts off under a cap, nobody knows when it would have ended.
    lasted |= (run.lost_us > 0) & (lost_us == 0)
    return bool((np.stack(parts) >= 0).all() and lasted.all())


def no_execution_is_shorter_than_its_work(run: Finished) -> bool:
    work_us = run.ledger.stage_fact["work_us"][run.work["stage"]]
    return bool((run.work["execution_us"] == work_us).all())


def the_labels_of_a_sink_add_up_to_units_times_horizon(run: Finished) -> bool:
    occupancy, n_sinks = run.measured.occupancy, len(run.ledger.sink)
    total = np.zeros(n_sinks, np.int64)
    np.add.at(total, occupancy.sink, occupancy.unit_us)
    n_units = np.bincount(run.ledger.unit["sink"], minlength=n_sinks)
    return bool((occupancy.unit_us > 0).all() and (total == n_units * run.ledger.horizon_us).all())


def work_and_audits_stay_where_law_and_class_allow(run: Finished) -> bool:
    rows, workload = np.concatenate([run.work, run.audits]), run.world.workload
    job, region = workload.stage_job[rows["stage"]], run.ledger.unit["region"][rows["unit"]]
    data_class, origin = workload.job_data_class[job], workload.job_origin[job]
    is_lawful = run.world.law.may_serve[data_class, origin, region]
    accelerator = run.ledger.sink["accelerator"][run.ledger.unit["sink"][rows["unit"]]]
    return bool(is_lawful.all() and (accelerator == workload.stage_class[rows["stage"]]).all())


def the_states_of_a_stage_add_up_to_its_time_since_readiness(run: Finished) -> bool:
    ready_us = run.ledger.stage["ready_us"]
    lived_us = np.where(ready_us >= 0, run.ledger.horizon_us - ready_us, 0)
    is_whole = run.ledger.time_us.sum(axis=1) == lived_us
    return bool((run.ledger.time_us >= 0).all() and is_whole.all())


def a_stage_has_one_living_execution_at_a_time(run: Finished) -> bool:
    rows = run.work[is_living(run, run.work)]
    return not any(overlap(rows[rows["stage"] == s]) for s in np.unique(rows["stage"]))


def stages_and_units_agree_on_execution(run: Finished) -> bool:
    rows, horizon_us = run.work, run.ledger.horizon_us
    executed_us = np.zeros(len(run.ledger.stage), np.int64)
    end_us = np.minimum(rows["end_us"], horizon_us)
    lost_us = run.lost_us[run.ledger.work]
    work_us = rows["context_us"] + rows["execution_us"] + lost_us
    start_us = np.minimum(rows["end_us"] - work_us, horizon_us)
    np.add.at(executed_us, rows["stage"], end_us - start_us)
    # A stage that lost its input leaves its unit at work, and is itself elsewhere.
    is_thrown_away = ~is_living(run, rows) & (rows["outcome"] != CAUGHT)
    kept = np.setdiff1d(np.arange(len(executed_us)), rows["stage"][is_thrown_away])
    spent_us = run.ledger.time_us[:, [ON_CONTEXT, EXECUTING]].sum(axis=1)
    return bool((spent_us[kept] == executed_us[kept]).all())


def a_result_arrives_after_readiness_work_and_delivery(run: Finished) -> bool:
    stage = run.ledger.stage
    done = np.flatnonzero(stage["status"] == COMPLETE)
    rows = run.ledger.record[stage["record"][done]]
    soonest_us = rows["end_us"] + delivery_us(run, rows)
    waited_us = stage["done_us"][done] - stage["ready_us"][done]
    work_us = run.ledger.stage_fact["work_us"][done]
    return bool(
        (rows["stage"] == done).all()
        and (stage["done_us"][done] >= soonest_us).all()
        and (waited_us >= work_us + delivery_us(run, rows)).all()
    )


def a_result_released_on_receipt_arrives_when_it_is_delivered(run: Finished) -> bool:
    stage = run.ledger.stage
    done = np.flatnonzero(stage["status"] == COMPLETE)
    rows = run.ledger.record[stage["record"][done]]
    arrival_us = rows["end_us"] + delivery_us(run, rows)
    return run.waits_for_finality or bool((stage["done_us"][done] == arrival_us).all())


def a_result_released_on_finality_is_final(run: Finished) -> bool:
    stage = run.ledger.stage
    done = np.flatnonzero(stage["status"] == COMPLETE)
    final_us = run.ledger.record["final_us"][stage["record"][done]]
    is_final = (final_us >= 0) & (final_us <= stage["done_us"][done])
    return not run.waits_for_finality or bool(is_final.all())


def a_stage_starts_after_all_that_it_waits_for_has_ended(run: Finished) -> bool:
    edges = zip(run.world.workload.edge_from, run.world.workload.edge_to, strict=True)
    for before, after in edges:
        started_us = run.work["accepted_us"][run.work["stage"] == after]
        ended_us = run.work["end_us"][run.work["stage"] == before]
        if len(started_us) and not (ended_us.min(initial=1 << 62) <= started_us).all():
            return False
    return True


def what_counts_starts_after_the_last_result_and_the_tool(run: Finished) -> bool:
    stage, tool_us = run.ledger.stage, run.world.workload.stage_tool_us
    rows = run.work[is_living(run, run.work)]
    edge_from, edge_to = run.world.workload.edge_from, run.world.workload.edge_to
    for row in rows[stage["status"][rows["stage"]] != LAPSED]:
        before = stage[edge_from[edge_to == row["stage"]]]
        soonest_us = before["done_us"] + tool_us[row["stage"]]
        if (before["status"] != COMPLETE).any() or (soonest_us > row["accepted_us"]).any():
            return False
    return True


def an_abandoned_job_has_nothing_left_under_way(run: Finished) -> bool:
    status, job = run.ledger.stage["status"], run.ledger.stage_fact["job"]
    is_abandoned = np.isin(job, job[status == LAPSED])
    goes_on = (status == ACTIVE) | ((status == NOT_READY) & (run.ledger.stage["ready_us"] >= 0))
    return not (is_abandoned & goes_on).any()


def a_job_is_done_or_expired_or_open(run: Finished) -> bool:
    fact, status = run.ledger.stage_fact, run.ledger.stage["status"]
    n_jobs = run.world.workload.n_jobs
    n_lapsed = np.bincount(fact["job"][status == LAPSED], minlength=n_jobs)
    n_complete = np.bincount(fact["job"][status == COMPLETE], minlength=n_jobs)
    is_done = n_complete == np.bincount(fact["job"], minlength=n_jobs)
    table = {"jobs": 0.0, "jobs_done": 0.0, "jobs_expired": 0.0, "jobs_open": 0.0}
    rows = run.measured_rows()
    for name in table:
        table[name] = sum(value for (_, measure), value in rows.items() if measure == name)
    return (
        not (is_done & (n_lapsed > 0)).any()
        and bool((is_done == (run.ledger.job_done_us >= 0)).all())
        and table["jobs_done"] == is_done.sum()
        and table["jobs_expired"] == (n_lapsed > 0).sum()
        and table["jobs_open"] == n_jobs - is_done.sum() - (n_lapsed > 0).sum()
    )


def money_is_moved_and_never_made(run: Finished) -> bool:
    postings = run.measured.postings
    balance: Counter[tuple[int, int]] = Counter()
    for row in range(len(postings.at_us)):
        amount = int(postings.amount_micro_usd[row])
        balance[int(postings.debit[row]), int(postings.debit_holder[row])] -= amount
        balance[int(postings.credit[row]), int(postings.credit_holder[row])] += amount
    is_in_time = (postings.at_us >= 0) & (postings.at_us <= run.ledger.horizon_us)
    return sum(balance.values()) == 0 and bool(
        is_in_time.all() and (np.diff(postings.at_us) >= 0).all()
    )


def held_in_trust(run: Finished, account: int) -> Integers:
    """Return the balance of a common account after each posting."""
    postings = run.measured.postings
    sign = (postings.credit == account).astype(np.int64) - (postings.debit == account)
    return np.cumsum(sign * postings.amount_micro_usd)


def escrow_and_stakes_are_never_overdrawn(run: Finished) -> bool:
    return all((held_in_trust(run, account) >= 0).all() for account in (ESCROW, STAKE))


def escrow_and_stakes_end_at_what_is_still_open(run: Finished) -> bool:
    is_open = (run.work["final_us"] < 0) & (is_living(run, run.work) | is_running(run))
    unsettled = run.work["payment_micro_usd"][is_open]
    stake = np.rint(run.world.terms.stake_multiple * unsettled).astype(np.int64)
    escrow = int(held_in_trust(run, ESCROW)[-1:].sum())
    staked = int(held_in_trust(run, STAKE)[-1:].sum())
    return escrow == run.ledger.has_escrow * int(unsettled.sum()) and staked == (
        run.ledger.has_stakes * int(stake.sum())
    )


def audits_are_the_verifiers_and_counted_once(run: Finished) -> bool:
    region = run.ledger.unit["region"][run.audits["unit"]]
    at_home = region == run.ledger.stage_fact["verifier_region"][run.audits["stage"]]
    return len(run.audits) == run.ledger.n_audits and bool(at_home.all())


def an_audit_follows_an_execution(run: Finished) -> bool:
    work = run.work
    return all(
        ((work["stage"] == audit["stage"]) & (work["end_us"] <= audit["accepted_us"])).any()
        for audit in run.audits
    )


def records_and_stages_agree_on_redos_and_bounces(run: Finished) -> bool:
    stage, terms, ledger = run.ledger.stage, run.world.terms, run.ledger
    n_caught = int((run.work["outcome"] == CAUGHT).sum())
    # What is caught is done anew, unless its job has been abandoned meanwhile.
    n_in_vain = ledger.n_catches - ledger.n_redos
    return (
        n_caught == ledger.n_catches
        and ledger.n_redos == int(stage["redos"].sum())
        and 0 <= n_in_vain <= int((stage["status"] == LAPSED).sum())
        and ledger.n_bounces == int(stage["bounces"].sum())
        and bool((stage["bounces"] <= terms.bounce_limit + 1).all())
    )


def a_cheat_is_caught_where_its_coin_says_so(run: Finished) -> bool:
    terms, rows = run.world.terms, run.work[run.work["final_us"] >= 0]
    coin = run.world.workload.attempt_audit[rows["attempt"], rows["stage"]]
    is_found = coin < run.audit_probability * terms.audit_detection
    cheated = rows["is_wrong"] == CHEATED
    was_caught, slipped = rows["outcome"] == CAUGHT, (rows["outcome"] == WRONG) & cheated
    return bool((was_caught <= (is_found & cheated)).all() and not (slipped & is_found).any())


def an_attempt_is_audited_at_most_once(run: Finished) -> bool:
    attempts = zip(run.audits["stage"].tolist(), run.audits["attempt"].tolist(), strict=True)
    return max(Counter(attempts).values(), default=0) <= 1


def a_stage_that_has_lapsed_stays_so(run: Finished) -> bool:
    has_lapsed = run.ledger.time_us[:, EXPIRED] > 0
    return bool((run.ledger.stage["status"][has_lapsed] == LAPSED).all())


def a_request_does_not_outlive_its_deadline(run: Finished) -> bool:
    stage, horizon_us = run.ledger.stage, run.ledger.horizon_us
    waits = (stage["status"] == ACTIVE) & (stage["unit"] < 0)
    return bool((run.ledger.stage_fact["deadline_us"][waits] >= horizon_us - 1).all())


def a_result_is_final_after_its_end(run: Finished) -> bool:
    final = run.work[run.work["final_us"] >= 0]
    return bool((final["final_us"] >= final["end_us"]).all())


def control_work_is_what_stages_carry(run: Finished) -> bool:
    plane, stage = run.ledger.plane, run.ledger.stage
    checks_us = plane["verification_core_us"].sum() + plane["settlement_core_us"].sum()
    unshared_us = plane["decision_core_us"].sum() - stage["decision_core_us"].sum()
    return bool(checks_us == stage["verification_core_us"].sum() and unshared_us >= 0)


LAWS: Final[tuple[Law, ...]] = (
    a_unit_is_never_occupied_twice_at_once,
    an_occupation_lasts_as_long_as_its_parts,
    no_execution_is_shorter_than_its_work,
    the_labels_of_a_sink_add_up_to_units_times_horizon,
    work_and_audits_stay_where_law_and_class_allow,
    the_states_of_a_stage_add_up_to_its_time_since_readiness,
    a_stage_has_one_living_execution_at_a_time,
    stages_and_units_agree_on_execution,
    a_result_released_on_receipt_arrives_when_it_is_delivered,
    a_result_released_on_finality_is_final,
    a_stage_starts_after_all_that_it_waits_for_has_ended,
    what_counts_starts_after_the_last_result_and_the_tool,
    an_abandoned_job_has_nothing_left_under_way,
    a_job_is_done_or_expired_or_open,
    money_is_moved_and_never_made,
    escrow_and_stakes_are_never_overdrawn,
    audits_are_the_verifiers_and_counted_once,
    an_audit_follows_an_execution,
    records_and_stages_agree_on_redos_and_bounces,
    a_cheat_is_caught_where_its_coin_says_so,
    a_result_is_final_after_its_end,
    control_work_is_what_stages_carry,
)

LAWS_OF_REDO: Final[tuple[Law, ...]] = (
    a_result_arrives_after_readiness_work_and_delivery,
    escrow_and_stakes_end_at_what_is_still_open,
    an_attempt_is_audited_at_most_once,
    a_stage_that_has_lapsed_stays_so,
    a_request_does_not_outlive_its_deadline,
)


def broken(small: SmallWorld, regime: Regime, laws: tuple[Law, ...]) -> list[str]:
    """Name the laws that a run breaks."""
    run = finished(small, regime)
    return [law.__name__ for law in laws if not law(run)]


@settings(max_examples=60)
@given(small=small_worlds())
def test_every_law_holds_on_every_rung(small: SmallWorld) -> None:
    assert {rung.name: broken(small, rung.regime, LAWS) for rung in ladder} == {
        rung.name: [] for rung in ladder
    }


@settings(max_examples=200)
@given(
    small=small_worlds(),
    regime=st.sampled_from(all_regimes()),
    release=st.sampled_from(Release),
)
def test_every_law_holds_for_any_composition_of_parts(
    small: SmallWorld, regime: Regime, release: Release
) -> None:
    assert broken(small, replace(regime, release=release), LAWS) == []


@settings(max_examples=200)
@given(small=cheating_worlds())
def test_every_law_holds_where_cheats_are_caught(small: SmallWorld) -> None:
    assert broken(small, AUDITED_MARKET, LAWS) == []


@settings(max_examples=200)
@given(small=capped_worlds(), regime=st.sampled_from([*all_regimes(), AUDITED_MARKET]))
def test_every_law_holds_under_a_power_cap(small: SmallWorld, regime: Regime) -> None:
    assert broken(small, regime, LAWS) == []


@pytest.mark.parametrize("law", LAWS_OF_REDO, ids=lambda law: law.__name__)
@settings(max_examples=300, phases=[Phase.generate])
@given(small=cheating_worlds())
def test_a_law_of_redo_holds_where_cheats_are_caught(law: Law, small: SmallWorld) -> None:
    assert broken(small, AUDITED_MARKET, (law,)) == []


def test_the_worlds_that_are_drawn_have_all_that_could_go_wrong() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=200)
    @given(small=cheating_worlds())
    def count(small: SmallWorld) -> None:
        run = finished(small, AUDITED_MARKET)
        seen["bounces"] += run.ledger.n_bounces
        seen["catches"] += run.ledger.n_catches
        seen["lost inputs"] += int((run.work["outcome"] == DISCARDED).sum())
        seen["expiries"] += int((run.ledger.stage["status"] == LAPSED).sum())
        seen["held units"] += int((run.work["transfer_us"] > 0).sum())
        seen["cheats that pass"] += int((run.work["outcome"] == WRONG).sum())

    count()
    assert min(seen.values()) >= 5, seen


def test_every_execution_that_ended_is_signed_for_real_or_modelled() -> None:
    sizes = {"fleet.nodes": 26, "load.model_calls": 200, "load.batch_jobs": 20}
    world = draw_world(load("baseline").replace(sizes | {"verification.temptation_share": 0.5}), 3)
    result = run_world(world, AUDITED_MARKET)
    receipts = {name: int(column[0]) for name, column in result.tables["receipts"].items()}
    ended = executions_ended(world)
    assert 0 < receipts["n_signed"] < ended
    assert receipts["n_signed"] + receipts["n_modelled"] == ended


def executions_ended(world: World) -> int:
    """Count the executions that end within the horizon, from the records themselves."""
    record = run_ledger(world, AUDITED_MARKET).record
    is_work = ~np.isin(record["outcome"], (AUDIT, RESIDUAL))
    return int((is_work & (record["end_us"] <= world.horizon_us)).sum())

"""What a finished run leaves behind, as the witness that every measure reads."""

from dataclasses import dataclass

import numpy as np

from hanse.market.engine.clock import (
    N_AUDITS,
    N_BOUNCES,
    N_CATCHES,
    N_CERTIFIED,
    N_EVENTS,
    N_FAILURES,
    N_LOCKS,
    N_RECORDS,
    N_REDOS,
)
from hanse.market.engine.columns import Facts, Rows, Rules, State
from hanse.market.engine.meters import DebtMeter
from hanse.market.engine.stale import fold_stale_rows, fold_tally, owners
from hanse.market.engine.states import AUDIT, COMPLETE, LAPSED
from hanse.market.rails import RailRules
from hanse.market.units import Flags, Floats, Integers

Counts = np.ndarray[tuple[int, ...], np.dtype[np.int32]]
Shares = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Both ledgers of time, the metered debt and the counts at the sampled instants.

    It knows no regime, but over which `rail` money went; `zone_us` is what local time is ahead of
    UTC by region, and `egress_bill` what owners charged for bytes and what those cost. `record` has
    a row per occupation of a unit, `stage` one per stage, with `time_us`, shape (n_stages,
    n_states), beside it. `work` are the rows of `record` that execute a stage: neither an audit nor
    residual work nor a breakdown. `lost_us`, shape (n_records, n_operations + 1), is what each
    occupation lost to coordination and to the cap where sites have power caps, and has no rows
    where none has. `failure` has a row per failure that a client noticed. `tally` counts what each
    stage's crossings came to, and `crossing` are the facts behind it. Counts of events are
    whole-run totals.
    """

    horizon_us: int
    stage_fact: Rows
    stage: Rows
    time_us: Integers
    record: Rows
    lost_us: Integers
    work: Integers
    unit: Rows
    offer: Rows
    sink: Rows
    plane: Rows
    plane_region: Integers
    site_cap_w: Floats
    debt: DebtMeter
    payment: Rows
    lock: Rows
    crossing: Rows
    tally: Rows
    failure: Rows
    legal: Flags
    signature_family: Integers
    signature_accelerator: Integers
    sample_us: Integers
    waiting: Counts
    available: Counts
    hidden: Shares
    has_stakes: bool
    has_escrow: bool
    rail: RailRules
    zone_us: Integers
    egress_bill: Floats
    n_events: int
    n_bounces: int
    n_redos: int
    n_audits: int
    n_catches: int
    n_certified: int

    @property
    def lapsed_job(self) -> Flags:
        """Say of each stage whether its job was abandoned."""
        lapsed = np.zeros(int(self.stage_fact["job"].max(initial=-1)) + 1, bool)
        lapsed[self.stage_fact["job"][self.stage["status"] == LAPSED]] = True
        of_stage: Flags = lapsed[self.stage_fact["job"]]
        return of_stage

    @property
    def job_done_us(self) -> Integers:
        """Return when the last result of each job arrived, or -1; shape (n_jobs,)."""
        first = np.flatnonzero(np.diff(self.stage_fact["job"], prepend=-1))
        if len(first) == 0:
            return np.zeros(0, np.int64)
        is_done = np.logical_and.reduceat(self.stage["status"] == COMPLETE, first)
        last_us = np.maximum.reduceat(self.stage["done_us"], first)
        return np.asarray(np.where(is_done, last_us, -1), np.int64)


def read_ledger(facts: Facts, rules: Rules, state: State) -> Ledger:
    """Take the ledger off a closed run; arrays are views, so the state must not advance further."""
    clock = state.clock
    record = state.record[: clock[N_RECORDS]]
    stage, time_us = fold_stale_rows(rules, state)
    return Ledger(
        horizon_us=rules.horizon_us,
        stage_fact=facts.stage[: len(stage)],
        stage=stage,
        time_us=time_us,
        record=record,
        lost_us=state.power.lost_us[: len(record)],
        work=np.flatnonzero((record["outcome"] != AUDIT) & (record["stage"] >= 0)),
        unit=facts.unit,
        offer=facts.offer,
        sink=facts.sink,
        plane=state.plane,
        plane_region=facts.plane_region,
        site_cap_w=facts.site_cap_w,
        debt=state.debt,
        payment=owners(rules, state, state.payment),
        lock=owners(rules, state, state.lock[: clock[N_LOCKS]]),
        crossing=facts.crossing.stage[: len(stage)],
        tally=fold_tally(rules, state),
        failure=state.failure.log[: clock[N_FAILURES]],
        legal=facts.legal,
        signature_family=facts.signature_family,
        signature_accelerator=facts.signature_accelerator,
        sample_us=facts.sample_us,
        waiting=state.waiting,
        available=state.available,
        hidden=state.hidden,
        has_stakes=rules.audits == 1,
        has_escrow=rules.escrow == 1,
        rail=rules.rail,
        zone_us=facts.zone_us,
        egress_bill=state.egress_bill,
        n_events=int(clock[N_EVENTS]),
        n_bounces=int(clock[N_BOUNCES]),
        n_redos=int(clock[N_REDOS]),
        n_audits=int(clock[N_AUDITS]),
        n_catches=int(clock[N_CATCHES]),
        n_certified=int(clock[N_CERTIFIED]),
    )

"""Open crossings: replicas that differ, approvals that are pending, contexts that were lost."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.obligations import (
    APPROVAL,
    CLOSED,
    EXPIRED,
    HELD_STEPS,
    IN_VAIN,
    REBUILD,
    REPLICA,
    STILL_OPEN,
    Executions,
    Part,
)
from hanse.market.crossings import ALL_STEPS
from hanse.market.engine.columns import Rows
from hanse.market.engine.states import (
    ACTIVE,
    LANDING,
    LAPSED,
    ON_AUTHORITY,
    ON_IDENTITY,
    ON_POLICY,
    ON_STATE,
    TRANSFERRING,
)
from hanse.market.kernels import kernel
from hanse.market.units import Flags, Floats, Integers

_HELD: Final = ("identity_us", "policy_us", "state_us", "authority_us", "transfer_us")
_STEPS: Final = (ON_IDENTITY, ON_POLICY, ON_STATE, ON_AUTHORITY, TRANSFERRING)
_STATE_STEP, _AUTHORITY_STEP = 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Crossed:
    """Executions that crossed, one row each, and what lay before them.

    `step_us`, shape (n_rows, 5), are the operations of the crossing from `begun_us` on.
    """

    stage: Integers
    region: Integers
    is_first: Flags
    held_usd_per_us: Floats
    left_us: Integers
    begun_us: Integers
    step_us: Integers


def open_crossings(ledger: Ledger, work: Executions) -> list[Part]:
    """List every replica, approval and rebuild of a run, in every regime alike."""
    commanded = _commanded(ledger)
    return [*_crossings(ledger, work, commanded), *_rebuilds(ledger, work, commanded)]


def _crossed(ledger: Ledger, work: Executions) -> tuple[_Crossed, Integers, Integers]:
    """Find the crossing of each execution; and, by stage, what commands that bounced have taken.

    Where the unit is held, its record has the operations. Where not, only their total over all
    commands of a stage is known, and that those of an accepted one fit between its leaving and its
    landing: what the total exceeds that by, commands that bounced have done in vain.
    """
    released = np.empty(len(ledger.stage), np.int64)
    index = np.full(len(ledger.stage), -1)
    own_us = _unheld_time_us(ledger)
    released = released[: _list_released(ledger.stage_fact, own_us, released, index)]
    at = np.flatnonzero(index[work.stage] >= 0)
    of, lead_us = index[work.stage[at]], work.accepted_us[at] - work.left_us[at]
    in_vain_us = np.empty((len(released), len(_STEPS)), np.int64)
    released_us = np.empty((len(at), len(_STEPS)), np.int64)
    leads_us = np.bincount(of, lead_us, len(released)).astype(np.int64)
    accepted_us = np.empty_like(in_vain_us)
    _accept(ledger.stage, own_us, ledger.horizon_us, released, leads_us, accepted_us, in_vain_us)
    _share_out(of, lead_us, leads_us, accepted_us, released_us)
    held = np.flatnonzero(work.is_held)
    held_us = np.column_stack([ledger.record[name][work.record[held]] for name in HELD_STEPS])
    chosen = np.concatenate([held, at])
    price = np.zeros(len(chosen))
    price[: len(held)] = ledger.sink["held_usd_per_us"][ledger.unit["sink"][work.unit[held]]]
    crossed = _Crossed(
        stage=work.stage[chosen],
        region=work.region[chosen],
        is_first=work.is_first[chosen],
        held_usd_per_us=price,
        left_us=work.left_us[chosen],
        begun_us=np.concatenate([work.accepted_us[held], work.left_us[at]]),
        step_us=np.concatenate([held_us, released_us]),
    )
    return crossed, released, in_vain_us


def _unheld_time_us(ledger: Ledger) -> Integers:
    """Return stage time but for what a unit was held for, where only some steps hold it."""
    holds = ledger.stage_fact["holds"][ledger.record["stage"][ledger.work]]
    record = ledger.record[ledger.work[(holds != 0) & (holds != ALL_STEPS)]]
    if len(record) == 0:
        return ledger.time_us
    held_us = np.zeros_like(ledger.time_us)
    at_us = record["accepted_us"].astype(np.int64)
    for name, state in zip(_HELD, _STEPS, strict=True):
        end_us = np.minimum(at_us + record[name], ledger.horizon_us)
        np.add.at(held_us[:, state], record["stage"], end_us - at_us)
        at_us = end_us
    return np.asarray(ledger.time_us - np.minimum(held_us, ledger.time_us))


@kernel
def _list_released(fact: Rows, time_us: Integers, released: Integers, index: Integers) -> int:
    """List the stages that crossed without holding a unit, and index them; return how many."""
    count = 0
    for k in range(len(time_us)):
        crossed_us = time_us[k, ON_IDENTITY] + time_us[k, ON_STATE] + time_us[k, ON_AUTHORITY]
        if crossed_us > 0 and fact[k]["holds"] != ALL_STEPS:
            released[count] = k
            index[k] = count
            count += 1
    return count


@kernel
def _accept(
    stage: Rows,
    time_us: Integers,
    horizon_us: int,
    released: Integers,
    leads_us: Integers,
    accepted_us: Integers,
    in_vain_us: Integers,
) -> None:
    """Part what a stage's commands took: what fits into `leads_us`, and what was in vain.

    All of it where it fits, so that a stage with one command has exactly what it took.
    """
    for k in range(len(released)):
        row, crossed_us = stage[released[k]], 0
        for step in range(len(_STEPS)):
            crossed_us += time_us[released[k], _STEPS[step]]
        if row["unit"] >= 0 and row["record"] < 0:
            leads_us[k] += max(0, horizon_us - row["escrow_us"])
        share = min(1.0, leads_us[k] / max(crossed_us, 1))
        for step in range(len(_STEPS)):
            own_us = time_us[released[k], _STEPS[step]]
            accepted_us[k, step] = np.floor(own_us * share)
            in_vain_us[k, step] = own_us - accepted_us[k, step]


@kernel
def _share_out(
    of: Integers,
    lead_us: Integers,
    leads_us: Integers,
    accepted_us: Integers,
    released_us: Integers,
) -> None:
    """Share what was accepted of a stage out over its executions, by their leads."""
    for k in range(len(of)):
        share = lead_us[k] / max(leads_us[of[k]], 1)
        for step in range(len(_STEPS)):
            released_us[k, step] = np.floor(accepted_us[of[k], step] * share)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Commanded:
    """Stages whose command was on its way at the horizon, or when they were abandoned."""

    stage: Integers
    region: Integers
    fate: Integers
    ended_us: Integers
    crosses: Flags


def _commanded(ledger: Ledger) -> _Commanded:
    stage = np.flatnonzero((ledger.stage["unit"] >= 0) & (ledger.stage["record"] < 0))
    row = ledger.stage[stage]
    has_lapsed = row["status"] == LAPSED
    until_us = np.where(has_lapsed, row["done_us"], ledger.horizon_us)
    bound = (row["escrow_us"] <= until_us) & (has_lapsed | (row["status"] == ACTIVE))
    stage, row = stage[bound], row[bound]
    region = ledger.unit["region"][row["unit"]]
    return _Commanded(
        stage=stage,
        region=region,
        fate=np.where(has_lapsed[bound], EXPIRED, STILL_OPEN),
        ended_us=until_us[bound],
        crosses=(row["input_region"] != region) | (row["n_sources"] > 1),
    )


def _crossings(ledger: Ledger, work: Executions, commanded: _Commanded) -> list[Part]:
    """List replicas and approvals: from when the command leaves until the operation is done."""
    parts = []
    crossed, released, in_vain_us = _crossed(ledger, work)
    for kind, step in ((REPLICA, _STATE_STEP), (APPROVAL, _AUTHORITY_STEP)):
        chosen = np.flatnonzero(crossed.step_us[:, step])
        amount = crossed.step_us[chosen, step]
        done_us = crossed.begun_us[chosen] + crossed.step_us[chosen, : step + 1].sum(axis=1)
        is_done = done_us <= ledger.horizon_us
        parts.append(
            Part(
                kind=kind,
                stage=crossed.stage[chosen],
                region=crossed.region[chosen],
                fate=np.where(is_done, CLOSED, STILL_OPEN),
                is_interest=~crossed.is_first[chosen],
                opened_us=crossed.left_us[chosen],
                ended_us=np.where(is_done, done_us, ledger.horizon_us),
                amount=np.where(is_done, amount, 0),
                usd_per_unit=crossed.held_usd_per_us[chosen],
            )
        )
        parts.append(_in_vain(ledger, kind, released, in_vain_us[:, step]))
        parts.extend(_under_way(ledger, kind, step, commanded))
    return parts


def _in_vain(ledger: Ledger, kind: int, stage: Integers, us: Integers) -> Part:
    """Book what bounced commands have done, as if it ended when the last of them bounced."""
    stage, us = stage[us > 0], us[us > 0]
    at_us = ledger.stage["obligation_us"][stage]
    return Part(
        kind=kind,
        stage=stage,
        region=ledger.stage_fact["origin"][stage],
        fate=np.full(len(stage), IN_VAIN),
        is_interest=np.ones(len(stage), bool),
        opened_us=at_us - us,
        ended_us=at_us,
        amount=us,
        usd_per_unit=np.zeros(len(stage)),
    )


def _under_way(ledger: Ledger, kind: int, step: int, on: _Commanded) -> list[Part]:
    """List what commands on their way have left open, and what they have done already.

    Every crossing commits state that is not monotone; whether an approval is due only shows once
    it is asked for.
    """
    time_us = ledger.time_us[on.stage]
    own_us = time_us[:, _STEPS[step]]
    is_past = time_us[:, _STEPS[step] + 1 : LANDING + 1].sum(axis=1) > 0
    commits = (kind == REPLICA) & (ledger.crossing["is_sure"][on.stage] >> _STATE_STEP & 1 == 1)
    is_due = on.crosses & ((own_us > 0) | commits)
    left_us = ledger.stage["escrow_us"][on.stage]
    done_us = left_us + time_us[:, ON_IDENTITY : _STEPS[step] + 1].sum(axis=1)
    # Of a stage that was commanded before, the times are those of all its commands.
    is_fresh = (ledger.stage["attempt"][on.stage] == 0) & (own_us > 0)
    parts = []
    for which, is_done in ((is_due & ~is_past, False), (is_due & is_past & is_fresh, True)):
        ended_us = (done_us if is_done else on.ended_us)[which]
        n = int(which.sum())
        parts.append(
            Part(
                kind=kind,
                stage=on.stage[which],
                region=on.region[which],
                fate=np.full(n, CLOSED) if is_done else on.fate[which],
                is_interest=np.zeros(n, bool),
                opened_us=np.minimum(left_us[which], ended_us),
                ended_us=ended_us,
                amount=own_us[which] if is_done else np.zeros(n, np.int64),
                usd_per_unit=np.zeros(n),
            )
        )
    return parts


def _rebuilds(ledger: Ledger, work: Executions, commanded: _Commanded) -> list[Part]:
    """List lost contexts of live work: from the loss until the rebuild on the accelerator ends.

    A context is lost to a request when its time is up where it was kept, or when a command leads
    elsewhere. A request that expires without it defaults.
    """
    chosen = np.flatnonzero(work.context_us)
    stage, need_us = work.stage[chosen], work.context_us[chosen]
    crosses = ledger.stage["input_region"][stage] != work.region[chosen]
    latest_us = np.where(crosses, work.left_us[chosen], work.accepted_us[chosen])
    lost_us = np.minimum(_evicted_us(ledger, stage), latest_us)
    is_current = ledger.record["epoch"][work.record[chosen]] == ledger.stage["epoch"][stage]
    rest_us = ledger.record["execution_us"][work.record[chosen]]
    done_us = work.end_us[chosen] - rest_us
    is_done = done_us <= ledger.horizon_us
    done = Part(
        kind=REBUILD,
        stage=stage,
        region=work.region[chosen],
        fate=np.where(is_done, CLOSED, STILL_OPEN),
        is_interest=~work.is_first[chosen],
        opened_us=np.where(work.is_first[chosen] & is_current, lost_us, work.left_us[chosen]),
        ended_us=np.where(is_done, done_us, ledger.horizon_us),
        amount=np.where(is_done, need_us, 0),
        usd_per_unit=ledger.sink["busy_usd_per_us"][ledger.unit["sink"][work.unit[chosen]]],
    )
    return [done, _not_rebuilt(ledger, commanded)]


_ON_READINESS: Final = ("ready_us", "obligation_us", "bounces", "context_until_us")


def _evicted_us(ledger: Ledger, stage: Integers) -> Integers:
    """Return when the context of stages was given up where it lay, as a request at least."""
    row = {name: ledger.stage[name][stage] for name in _ON_READINESS}
    ready_us = np.where(row["bounces"] == 0, row["obligation_us"], row["ready_us"])
    evicted_us: Integers = np.maximum(ready_us, row["context_until_us"] + 1)
    return evicted_us


def _not_rebuilt(ledger: Ledger, on: _Commanded) -> Part:
    """List requests without a context and without a unit: open, or expired."""
    row = ledger.stage
    stage = np.flatnonzero(row["record"] < 0)
    stage = stage[ledger.stage_fact["context_us"][stage] > 0]
    stage = stage[row["obligation_us"][stage] >= 0]
    stage = stage[(row["status"][stage] == ACTIVE) | (row["status"][stage] == LAPSED)]
    leaves_us = np.full(len(stage), np.iinfo(np.int64).max)
    is_elsewhere = row["input_region"][on.stage] != on.region
    leaves = np.isin(stage, on.stage[is_elsewhere])
    leaves_us[leaves] = row["escrow_us"][stage[leaves]]
    since_us = np.minimum(_evicted_us(ledger, stage), leaves_us)
    has_lapsed = row["status"][stage] == LAPSED
    until_us = np.where(has_lapsed, row["done_us"][stage], ledger.horizon_us)
    due = since_us < until_us
    stage, has_lapsed = stage[due], has_lapsed[due]
    return Part(
        kind=REBUILD,
        stage=stage,
        region=row["input_region"][stage],
        fate=np.where(has_lapsed, EXPIRED, STILL_OPEN),
        is_interest=np.zeros(len(stage), bool),
        opened_us=since_us[due],
        ended_us=until_us[due],
        amount=np.zeros(len(stage), np.int64),
        usd_per_unit=np.zeros(len(stage)),
    )

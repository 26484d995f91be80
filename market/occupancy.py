"""The ledger of units: which label, operation and cause each unit-microsecond carries."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.ledger import Ledger
from hanse.market.states import (
    AUDIT,
    AUDITING,
    BLAME,
    CAUGHT,
    CONTEXT,
    CROSSING,
    DISCARDED,
    LABELS,
    ON_AUTHORITY,
    ON_IDENTITY,
    ON_POLICY,
    ON_STATE,
    OPEN,
    RESIDUAL,
    RIGHT,
    ROUTING,
    STRATEGIC,
    TRANSFERRING,
    VERIFICATION,
    WRONG,
)
from hanse.market.units import Flags, Integers

U, C, B, F, H, I, X = range(len(LABELS))  # noqa: E741  # the labels of the literature
NONE: Final = -1
"""Operation or cause of a unit-microsecond that has none: payload, idle, down."""

_HELD_FOR: Final = (
    ("identity_us", ON_IDENTITY),
    ("policy_us", ON_POLICY),
    ("state_us", ON_STATE),
    ("authority_us", ON_AUTHORITY),
    ("transfer_us", TRANSFERRING),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupancy:
    """Rows of labelled unit time; they add up to units times horizon, exactly, at every sink.

    Attributes
    ----------
    family : family of the stage served; `n_families` for residual work, idle and down time.
    sink, label, operation, cause : indices; operation and cause are `NONE` where there is none.
    is_open : whether the occupation was still running at the horizon.
    unit_us : the time.
    """

    family: Integers
    sink: Integers
    label: Integers
    operation: Integers
    cause: Integers
    is_open: Flags
    unit_us: Integers


def label_time(ledger: Ledger, n_families: int) -> Occupancy:
    """Label every unit-microsecond of a run and add up equal labels."""
    record = ledger.record
    stage = record["stage"]
    is_work = stage >= 0
    family = np.where(is_work, ledger.stage_fact["family"][stage], n_families)
    sink = ledger.unit["sink"][record["unit"]]
    is_open = record["end_us"] > ledger.horizon_us
    segments = _segments(ledger)
    busy = sum(us for us, _, _, _ in segments)
    idle = _idle_time(ledger, np.asarray(busy))
    columns = [
        np.concatenate([np.broadcast_to(part, len(us)) for us, *_ in segments for part in [column]])
        for column in (family, sink, is_open)
    ]
    labels = [
        np.concatenate([np.broadcast_to(segment[k], len(segment[0])) for segment in segments])
        for k in (1, 2, 3)
    ]
    unit_us = np.concatenate([us for us, *_ in segments])
    n_sinks = len(ledger.sink)
    return _add_up(
        family=np.append(columns[0], np.full(n_sinks, n_families)),
        sink=np.append(columns[1], np.arange(n_sinks)),
        is_open=np.append(columns[2], np.zeros(n_sinks, bool)),
        label=np.append(labels[0], np.full(n_sinks, I)),
        operation=np.append(labels[1], np.full(n_sinks, NONE)),
        cause=np.append(labels[2], np.full(n_sinks, NONE)),
        unit_us=np.append(unit_us, idle),
    )


Segment = tuple[Integers, Integers | int, Integers | int, Integers | int]


def _segments(ledger: Ledger) -> list[Segment]:
    """Cut each occupation into its steps, clipped at the horizon, with its label and blame."""
    record, horizon_us = ledger.record, ledger.horizon_us
    at_us = record["accepted_us"].copy()
    segments: list[Segment] = []
    for name, state in _HELD_FOR:
        operation, cause = BLAME[state]
        segments.append((_clipped(at_us, record[name], horizon_us), B, operation, cause))
        at_us = at_us + record[name]
    context = _clipped(at_us, record["context_us"], horizon_us)
    segments.append((context, C, CONTEXT, CROSSING))
    at_us = at_us + record["context_us"]
    execution = _clipped(at_us, record["execution_us"], horizon_us)
    segments.append((execution, *_execution_labels(ledger)))
    return segments


def _clipped(at_us: Integers, length_us: Integers, horizon_us: int) -> Integers:
    end_us: Integers = np.minimum(at_us + length_us, horizon_us)
    return end_us - np.minimum(at_us, horizon_us)


def _execution_labels(ledger: Ledger) -> tuple[Integers, Integers, Integers]:
    """Say of each execution whether it was payload, lost, or an audit, and why."""
    record = ledger.record
    outcome, stage = record["outcome"], record["stage"]
    abandoned = (stage >= 0) & ledger.lapsed_job[stage]
    lapse_cause = ledger.stage["lapse_cause"]
    job_cause = np.zeros(int(ledger.stage_fact["job"].max(initial=-1)) + 1, np.int64)
    np.maximum.at(job_cause, ledger.stage_fact["job"], lapse_cause)
    is_cheat = (
        (outcome == WRONG) | (outcome == CAUGHT) | ((outcome == OPEN) & (record["is_wrong"] == 1))
    )
    is_lost = ((outcome == RIGHT) & abandoned) | (outcome == DISCARDED)
    label = np.select([outcome == AUDIT, is_cheat | is_lost], [C, F], U)
    operation = np.select(
        [outcome == AUDIT, is_cheat | (outcome == DISCARDED), is_lost],
        [VERIFICATION, VERIFICATION, ROUTING],
        NONE,
    )
    cause = np.select(
        [outcome == AUDIT, is_cheat, (outcome == DISCARDED) & ~abandoned, is_lost],
        [AUDITING, STRATEGIC, STRATEGIC, job_cause[ledger.stage_fact["job"][stage]]],
        NONE,
    )
    residual = outcome == RESIDUAL
    label[residual], operation[residual], cause[residual] = U, NONE, NONE
    return label, operation, cause


def _idle_time(ledger: Ledger, busy_us: Integers) -> Integers:
    """Return what is left of each sink's time; occupations of a unit must not overlap."""
    n_units, n_sinks = len(ledger.unit), len(ledger.sink)
    unit_busy = np.zeros(n_units, np.int64)
    np.add.at(unit_busy, ledger.record["unit"], busy_us)
    idle = ledger.horizon_us - unit_busy
    assert (idle >= 0).all(), "a unit was occupied twice at once"
    idle_of_sink = np.zeros(n_sinks, np.int64)
    np.add.at(idle_of_sink, ledger.unit["sink"], idle)
    return idle_of_sink


def _add_up(
    *,
    family: Integers,
    sink: Integers,
    label: Integers,
    operation: Integers,
    cause: Integers,
    is_open: Flags,
    unit_us: Integers,
) -> Occupancy:
    kept = unit_us > 0
    columns = [family, sink, label, operation, cause, is_open.astype(np.int64)]
    low = [int(c.min(initial=0)) for c in columns]
    size = [int(c.max(initial=0)) - least + 1 for c, least in zip(columns, low, strict=True)]
    shifted = [c[kept] - least for c, least in zip(columns, low, strict=True)]
    key = np.ravel_multi_index(shifted, size)
    unique, group = np.unique(key, return_inverse=True)
    total = np.zeros(len(unique), np.int64)
    np.add.at(total, group, unit_us[kept])
    parts = [part + least for part, least in zip(np.unravel_index(unique, size), low, strict=True)]
    return Occupancy(
        family=parts[0],
        sink=parts[1],
        label=parts[2],
        operation=parts[3],
        cause=parts[4],
        is_open=parts[5].astype(bool),
        unit_us=total,
    )

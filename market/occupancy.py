"""The ledger of units: which label, operation and cause each unit-microsecond carries."""

import math
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from hanse.market.ledger import Ledger
from hanse.market.states import (
    AUDIT,
    AUDITING,
    BLAME,
    CAUGHT,
    CAUSES,
    CONTEXT,
    CROSSING,
    DISCARDED,
    LABELS,
    ON_AUTHORITY,
    ON_IDENTITY,
    ON_POLICY,
    ON_STATE,
    OPEN,
    OPERATIONS,
    RESIDUAL,
    RIGHT,
    ROUTING,
    STATE,
    STRATEGIC,
    TRANSFERRING,
    VERIFICATION,
    WRONG,
)
from hanse.market.units import Flags, Integers

U, C, B, F, H, I, X = range(len(LABELS))  # noqa: E741  # the labels of the literature
NONE: Final = -1
"""Operation or cause of a unit-microsecond that has none: payload, idle, down."""

_EXACT: Final = 1 << 53

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


_AXES: Final = (len(LABELS), len(OPERATIONS) + 1, len(CAUSES) + 1, 2)
"""Labels, operations and causes (`NONE` comes first), open or not: how a ledger line is keyed."""


def label_time(ledger: Ledger, n_families: int) -> Occupancy:
    """Label every unit-microsecond of a run and add up equal labels."""
    record, n_sinks = ledger.record, len(ledger.sink)
    stage = record["stage"]
    family = np.where(stage >= 0, ledger.stage_fact["family"][stage], n_families)
    sink = ledger.unit["sink"][record["unit"]]
    place = (family * n_sinks + sink) * math.prod(_AXES)
    is_open = record["end_us"] > ledger.horizon_us
    n_keys = (n_families + 1) * n_sinks * math.prod(_AXES)
    place += is_open
    segments = _segments(ledger)
    keys, time_us, busy = [], [], np.zeros(len(record), np.int64)
    for unit_us, line in segments:
        some = np.flatnonzero(unit_us)
        keys.append((place + line)[some])
        time_us.append(unit_us[some])
        busy += unit_us
    total = np.bincount(np.concatenate(keys), np.concatenate(time_us), n_keys)
    idle_place = (n_families * n_sinks + np.arange(n_sinks)) * math.prod(_AXES)
    total[idle_place + _line(I, NONE, NONE)] += _idle_time(ledger, busy)
    assert total.max() < _EXACT, "a sum of microseconds is too large to be exact"
    key = np.flatnonzero(total)
    axes = np.unravel_index(key, (n_families + 1, n_sinks, *_AXES))
    return Occupancy(
        family=axes[0],
        sink=axes[1],
        label=axes[2],
        operation=axes[3] + NONE,
        cause=axes[4] + NONE,
        is_open=axes[5].astype(bool),
        unit_us=total[key].astype(np.int64),
    )


Line = TypeVar("Line", int, Integers)
Segment = tuple[Integers, Integers | int]
"""Unit time of each occupation, and the line of the ledger it belongs to."""


def _line(label: Line, operation: Line, cause: Line) -> Line:
    """Return the line of a label, an operation and a cause; open time stands one line further."""
    _, n_operations, n_causes, n_open = _AXES
    return ((label * n_operations + operation - NONE) * n_causes + cause - NONE) * n_open


def _segments(ledger: Ledger) -> list[Segment]:
    """Cut each occupation into its steps, clipped at the horizon, with its label and blame."""
    record, horizon_us = ledger.record, ledger.horizon_us
    at_us = record["accepted_us"].copy()
    segments: list[Segment] = []
    for name, state in _HELD_FOR:
        segments.append((_clipped(at_us, record[name], horizon_us), _line(B, *BLAME[state])))
        at_us = at_us + record[name]
    context = _clipped(at_us, record["context_us"], horizon_us)
    segments.append((context, _line(C, CONTEXT, CROSSING)))
    at_us = at_us + record["context_us"]
    execution = _clipped(at_us, record["execution_us"], horizon_us)
    segments.append((execution, _line(*_execution_labels(ledger))))
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
    outdated = (outcome == OPEN) & (record["epoch"] != ledger.stage["epoch"][stage])
    discarded = (outcome == DISCARDED) | outdated
    is_lost = ((outcome == RIGHT) & abandoned) | discarded
    label = np.select([outcome == AUDIT, is_cheat | is_lost], [C, F], U)
    operation = np.select(
        [outcome == AUDIT, is_cheat, discarded & ~abandoned, is_lost],
        [VERIFICATION, VERIFICATION, STATE, ROUTING],
        NONE,
    )
    cause = np.select(
        [outcome == AUDIT, is_cheat, discarded & ~abandoned, is_lost],
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

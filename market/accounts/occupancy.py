"""The ledger of units: which label, operation and cause each unit-microsecond carries."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.columns import RECORD, Rows
from hanse.market.engine.states import (
    ABANDONED,
    AUDIT,
    AUDITING,
    BLAME,
    CAUGHT,
    CAUSES,
    CONTEXT,
    CROSSING,
    DISCARDED,
    DOWN,
    ERROR,
    FAILED,
    FAILS,
    FAILURE,
    LABELS,
    LAPSED,
    ON_AUTHORITY,
    ON_IDENTITY,
    ON_POLICY,
    ON_STATE,
    OPEN,
    OPERATIONS,
    POLICY,
    POWER_CAP,
    RESIDUAL,
    RIGHT,
    ROUTING,
    STATE,
    STRATEGIC,
    TRANSFERRING,
    UNCHECKED,
    VERIFICATION,
    WRONG,
)
from hanse.market.kernels import kernel
from hanse.market.units import Flags, Integers

U, C, B, F, H, I, X = range(len(LABELS))  # noqa: E741  # the labels of the literature
NONE: Final = -1
"""Operation or cause of a unit-microsecond that has none: payload, idle, down."""

_HELD_FOR: Final = tuple(
    BLAME[state] for state in (ON_IDENTITY, ON_POLICY, ON_STATE, ON_AUTHORITY, TRANSFERRING)
)
"""Operation and cause of each step for which a unit is held, in order."""

_N_COLUMNS: Final = RECORD.itemsize // np.dtype(np.int64).itemsize
_FIELDS: Final = RECORD.names or ()
_FIRST_STEP: Final = _N_COLUMNS - len(_FIELDS) + _FIELDS.index("identity_us")  # from the end
_N_STEPS: Final = len(_HELD_FOR) + 2
"""The steps of an occupation stand side by side: what it is held for, context, execution."""


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
    record, n_sinks = ledger.record, len(ledger.sink)
    axes = (len(LABELS), len(OPERATIONS) + 1, len(CAUSES) + 1, 2)
    total = np.zeros((n_families + 1, n_sinks, *axes), np.int64)
    busy_us = np.zeros(len(ledger.unit), np.int64)
    columns = record.view(np.int64).reshape(len(record), _N_COLUMNS)
    _add_up(
        record,
        columns[:, _FIRST_STEP : _FIRST_STEP + _N_STEPS],
        ledger.stage_fact,
        ledger.stage,
        ledger.unit,
        _why_lost(ledger),
        ledger.horizon_us,
        ledger.lost_us,
        total,
        busy_us,
    )
    for label, unit_us in zip((H, I), _idle_time(ledger, busy_us), strict=True):
        total[n_families, :, label, NONE - NONE, NONE - NONE, 0] += unit_us
    place = np.flatnonzero(total != 0)
    axis = np.unravel_index(place, total.shape)
    return Occupancy(
        family=axis[0],
        sink=axis[1],
        label=axis[2],
        operation=axis[3] + NONE,
        cause=axis[4] + NONE,
        is_open=axis[5].astype(bool),
        unit_us=total.reshape(-1)[place],
    )


def _why_lost(ledger: Ledger) -> Integers:
    """Return why each job was abandoned, or `NONE`; shape (n_jobs,)."""
    lapsed = np.flatnonzero(ledger.stage["status"] == LAPSED)
    job = ledger.stage_fact["job"]
    cause = np.full(int(job.max(initial=-1)) + 1, NONE)
    np.maximum.at(cause, job[lapsed], ledger.stage["lapse_cause"][lapsed])
    return cause


@kernel
def _blame_execution(record: Rows, row: int, epoch: int, cause: int) -> tuple[int, int, int]:
    """Say of an execution whether it was payload, lost, or an audit, and why.

    `epoch` is how often its stage has begun anew, `cause` why its job was abandoned, or `NONE`.
    """
    outcome, is_wrong = record[row]["outcome"], record[row]["is_wrong"]
    if outcome == RESIDUAL:
        return U, NONE, NONE
    if outcome == DOWN:
        return X, NONE, NONE
    if outcome == AUDIT:
        return C, VERIFICATION, AUDITING
    if outcome in (FAILED, ABANDONED) or (outcome == OPEN and is_wrong == FAILS):
        return F, ROUTING, FAILURE
    if outcome in (WRONG, CAUGHT) or (outcome == OPEN and is_wrong > 0):
        return (F, POLICY, ERROR) if is_wrong == UNCHECKED else (F, VERIFICATION, STRATEGIC)
    discarded = outcome == DISCARDED or (outcome == OPEN and record[row]["epoch"] != epoch)
    if discarded and cause == NONE:
        return F, STATE, STRATEGIC
    if discarded or (outcome == RIGHT and cause != NONE):
        return F, ROUTING, cause
    return U, NONE, NONE


@kernel
def _add_up(
    record: Rows,
    steps: Integers,
    stage_fact: Rows,
    stage: Rows,
    unit: Rows,
    why_lost: Integers,
    horizon_us: int,
    lost_us: Integers,
    total: Integers,
    busy_us: Integers,
) -> None:
    """Cut each occupation into its steps, clipped at the horizon, and add them up by label.

    What a power cap has cost it comes last, whenever it was.
    """
    for row in range(len(record)):
        of_stage, at_us = record[row]["stage"], min(record[row]["accepted_us"], horizon_us)
        family, epoch, lost = len(total) - 1, 0, NONE
        if of_stage >= 0:
            family, lost = stage_fact[of_stage]["family"], why_lost[stage_fact[of_stage]["job"]]
            epoch = stage[of_stage]["epoch"]
        label, operation, cause = _blame_execution(record, row, epoch, lost)
        is_open = int(record[row]["end_us"] > horizon_us)
        sink, until_us = unit[record[row]["unit"]]["sink"], horizon_us
        lines = total[family, sink]
        for k in range(lost_us.shape[1] if len(lost_us) > 0 else 0):
            until_us -= lost_us[row, k]
            busy_us[record[row]["unit"]] += lost_us[row, k]
            if k < len(OPERATIONS):
                lines[C, k - NONE, POWER_CAP - NONE, is_open] += lost_us[row, k]
            else:
                total[-1, sink, X, NONE - NONE, POWER_CAP - NONE, 0] += lost_us[row, k]
        for step in range(_N_STEPS):
            end_us = min(at_us + steps[row, step], until_us)
            if step < len(_HELD_FOR):
                line = (B, _HELD_FOR[step][0] - NONE, _HELD_FOR[step][1] - NONE)
            elif step == len(_HELD_FOR):
                line = (C, CONTEXT - NONE, CROSSING - NONE)
            else:
                line = (label, operation - NONE, cause - NONE)
            lines[line[0], line[1], line[2], is_open] += end_us - at_us
            busy_us[record[row]["unit"]] += end_us - at_us
            at_us = end_us


def _idle_time(ledger: Ledger, busy_us: Integers) -> Integers:
    """Return what is left of each sink's time, of reserved units and of others, shape (2, n_sinks).

    Occupations of a unit must not overlap.
    """
    idle = ledger.horizon_us - busy_us
    assert (idle >= 0).all(), "a unit was occupied twice at once"
    idle_of_sink = np.zeros((2, len(ledger.sink)), np.int64)
    is_open = (ledger.unit["plane"] < 0).astype(np.int64)
    np.add.at(idle_of_sink, (is_open, ledger.unit["sink"]), idle)
    return idle_of_sink

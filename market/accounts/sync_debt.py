"""Synchronization debt: its flow (the cost of coordination) and its stock, read from the ledger."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.accounts.displacement import displace
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.occupancy import B, C, F, Occupancy
from hanse.market.accounts.stratified import stratified_standard_error
from hanse.market.engine.columns import N_DEBT_BINS, Rows
from hanse.market.engine.debt_meter import AUDIT_WORK, CHECK, DECISION, OBLIGATION, RESOURCE
from hanse.market.engine.states import (
    ACTIVE,
    AUDIT,
    BLAME,
    CAUGHT,
    CAUSES,
    LAPSED,
    N_WAITING_STATES,
    OPERATIONS,
    STALENESS,
    UNMATCHED,
)
from hanse.market.kernels import kernel
from hanse.market.units import US_PER_S, Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncCost:
    """Accelerator time that coordination took.

    Attributes
    ----------
    labelled_gpu_s, displaced_gpu_s : shape (n_families, n_operations, n_causes, n_regions). What
        was labelled C, F or B; and what counts as cost: C and F whole, and those held or idle
        units that displaced waiting work (`accounts/displacement.py`).
    displacement_se_gpu_s : standard error of the displaced units, all families together; the
        labelled part is exact.
    """

    labelled_gpu_s: Floats
    displaced_gpu_s: Floats
    displacement_gpu_s: Floats
    displacement_se_gpu_s: float

    def per_family(self) -> Floats:
        """Return the cost of each family, shape (n_families,)."""
        return np.asarray(self.displaced_gpu_s.sum(axis=(1, 2, 3)))


def sync_cost(ledger: Ledger, occupancy: Occupancy, *, n_families: int) -> SyncCost:
    """Add up what coordination took, by family, operation, cause and region."""
    n_regions = int(ledger.sink["region"].max()) + 1
    shape = (n_families, len(OPERATIONS), len(CAUSES), n_regions)
    cost = _labelled(ledger, occupancy, shape, (C, F))
    labelled = _labelled(ledger, occupancy, shape, (C, F, B))
    displaced, error = _displacement(ledger, shape)
    return SyncCost(
        labelled_gpu_s=labelled,
        displaced_gpu_s=cost + displaced,
        displacement_gpu_s=displaced,
        displacement_se_gpu_s=error,
    )


def _labelled(
    ledger: Ledger, occupancy: Occupancy, shape: tuple[int, ...], labels: tuple[int, ...]
) -> Floats:
    """Add up the unit-seconds of families that carry certain labels, label by label."""
    total = np.zeros(shape)
    for label in labels:
        chosen = np.flatnonzero((occupancy.label == label) & (occupancy.family < shape[0]))
        index = (
            occupancy.family[chosen],
            occupancy.operation[chosen],
            occupancy.cause[chosen],
            ledger.sink["region"][occupancy.sink[chosen]],
        )
        total += _added(shape, index, occupancy.unit_us[chosen] / US_PER_S)
    return total


def _added(shape: tuple[int, ...], index: tuple[Integers, ...], amount: Floats) -> Floats:
    """Add amounts up at their places in an array of this shape."""
    place = np.ravel_multi_index(index, shape).reshape(-1)
    total = np.bincount(place, amount.reshape(-1), math.prod(shape))
    return np.asarray(total.reshape(shape), np.float64)


_BLAMED: Final = np.array([BLAME.get(state, (0, 0)) for state in range(N_WAITING_STATES)])


def _displacement(ledger: Ledger, shape: tuple[int, ...]) -> tuple[Floats, float]:
    """Blame displaced units on what the stages they are matched with were waiting for."""
    n_samples = len(ledger.sample_us)
    stratum_us = np.full(n_samples, ledger.horizon_us / n_samples)
    of_class = ledger.signature_accelerator[:, None] == ledger.sink["accelerator"]
    # Families that may use the same sinks share their flow pro rata: to the flow they are one.
    may_use = ledger.legal[:, ledger.sink["region"]] & of_class
    legal, group = np.unique(may_use, axis=0, return_inverse=True)
    result = displace(
        waiting=ledger.waiting,
        available=ledger.available,
        weight_us=stratum_us,
        column_signature=np.repeat(group.reshape(-1), N_WAITING_STATES),
        legal=legal,
    )
    gpu_s = result.displaced_us / US_PER_S
    hidden = _hidden_share(ledger)
    total = np.zeros(shape)
    region = ledger.sink["region"]
    column = np.flatnonzero(gpu_s.any(axis=1))
    signature, state = np.divmod(column, N_WAITING_STATES)
    family, (operation, cause) = ledger.signature_family[signature], _BLAMED[state].T
    unseen = np.where((state == UNMATCHED)[:, None], hidden * gpu_s[column], 0.0)
    for why, part in ((cause, gpu_s[column] - unseen), (np.full_like(cause, STALENESS), unseen)):
        place = np.broadcast_arrays(family[:, None], operation[:, None], why[:, None], region)
        total += _added(shape, tuple(place), part)
    error = stratified_standard_error(result.displaced, stratum_us) / US_PER_S
    return total, float(error)


def _hidden_share(ledger: Ledger) -> Floats:
    """Average, per sink, the share of free units that planes with unmatched requests cannot see."""
    unmatched = ledger.waiting[:, UNMATCHED::N_WAITING_STATES].sum(axis=1) > 0
    weight = ledger.available[unmatched].astype(float)
    total = (weight * ledger.hidden[unmatched]).sum(axis=0)
    return np.asarray(total / np.maximum(weight.sum(axis=0), 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class DebtAccount:
    """The stock of one kind of obligation of one family over the horizon, in unit-seconds.

    accrual + interest = paydown + default holds, where an obligation that expires adds the class
    mean to accrual and to default. Those open at the horizon stand apart, at the class mean.
    `mean_stock` is the time average of what was open and unpaid, `open_mean_stock` that of what was
    open at the horizon, at the class mean, or for money at what is owed.
    """

    family: int
    resource: str
    obligation: str
    accrual: float
    interest: float
    paydown: float
    default: float
    mean_stock: float
    count: int
    expired_count: int
    open_count: int
    open_at_horizon_class_mean: float
    open_mean_stock: float


_KINDS: Final = (DECISION, CHECK, AUDIT_WORK)


# What is added up of one kind of obligation of one family; times are in seconds.
_OPENED, _EXPIRED, _STILL, _EXPIRED_AGE, _STILL_AGE, _PAID_BY_CLOSED = range(6)


def debt_accounts(ledger: Ledger, n_families: int) -> list[DebtAccount]:
    """Draw up the debt accounts of a run, one per kind of obligation and family."""
    sums = np.zeros((len(_KINDS), n_families, 6))
    _add_obligations(
        ledger.stage_fact,
        ledger.stage,
        ledger.record,
        _audited_us(ledger),
        ledger.horizon_us,
        sums,
    )
    return [
        _account(ledger, sums[kind, family].tolist(), kind, family)
        for kind in _KINDS
        for family in range(n_families)
    ]


def _account(ledger: Ledger, sums: Sequence[float], kind: int, family: int) -> DebtAccount:
    root, interest = (ledger.debt.total_us[kind, family] / US_PER_S).tolist()
    area = float(ledger.debt.area[kind, family].sum()) / US_PER_S / US_PER_S
    n_opened, n_expired, n_open = (int(sums[k]) for k in (_OPENED, _EXPIRED, _STILL))
    n_closed = n_opened - n_expired - n_open
    class_mean = sums[_PAID_BY_CLOSED] / n_closed if n_closed > 0 else 0.0
    default = class_mean * n_expired
    horizon_s = ledger.horizon_us / US_PER_S
    return DebtAccount(
        family=family,
        resource=RESOURCE[kind],
        obligation=OBLIGATION[kind],
        accrual=root + default,
        interest=interest,
        paydown=root + interest,
        default=default,
        mean_stock=(area + class_mean * sums[_EXPIRED_AGE]) / horizon_s,
        count=n_opened,
        expired_count=n_expired,
        open_count=n_open,
        open_at_horizon_class_mean=class_mean * n_open,
        open_mean_stock=class_mean * sums[_STILL_AGE] / horizon_s,
    )


def _audited_us(ledger: Ledger) -> Integers:
    """Return how long the audits of each stage took that ended by the horizon."""
    record = ledger.record[ledger.record["outcome"] == AUDIT]
    ended = record[record["end_us"] <= ledger.horizon_us]
    work_us = np.bincount(ended["stage"], ended["execution_us"], len(ledger.stage))
    return work_us.astype(np.int64)


@kernel
def _add_obligations(
    fact: Rows,
    stage: Rows,
    record: Rows,
    audited_us: Integers,
    horizon_us: int,
    sums: Floats,
) -> None:
    """Add up the obligations of all stages by kind and family, in one pass."""
    for k in range(len(stage)):
        row, family = stage[k], fact[k]["family"]
        if row["obligation_us"] >= 0:
            of_family, opened_us = sums[DECISION, family], row["obligation_us"]
            # What a unit had accepted was decided, unless it was caught: then it was asked anew.
            was_decided = row["record"] >= 0 and record[row["record"]]["outcome"] != CAUGHT
            if row["status"] == LAPSED and not was_decided:
                of_family[_EXPIRED] += 1
                of_family[_EXPIRED_AGE] += (row["done_us"] - opened_us) / US_PER_S
                of_family[_OPENED] += 1
            else:
                is_open = row["status"] == ACTIVE and row["record"] < 0
                _add(of_family, is_open, horizon_us - opened_us, row["decision_core_us"])
        if row["executed_us"] >= 0:
            is_open, age_us = row["final_us"] < 0, horizon_us - row["executed_us"]
            _add(sums[CHECK, family], is_open, age_us, row["verification_core_us"])
            if row["is_audited"] == 1:
                _add(sums[AUDIT_WORK, family], is_open, age_us, audited_us[k])


@kernel
def _add(of_family: Floats, is_open: bool, age_us: int, paid_us: int) -> None:
    of_family[_OPENED] += 1
    if is_open:
        of_family[_STILL] += 1
        of_family[_STILL_AGE] += age_us / US_PER_S
    else:
        of_family[_PAID_BY_CLOSED] += paid_us / US_PER_S


def debt_path(ledger: Ledger, kind: int) -> Floats:
    """Return the stock of a kind of obligation at the edges of the bins, in unit-seconds.

    Shape (`N_DEBT_BINS` + 1,): what had accrued by then and was not yet paid.
    """
    accrued = np.cumsum(ledger.debt.accrued_us[kind, :N_DEBT_BINS])
    paid = np.cumsum(ledger.debt.paid_us[kind, :N_DEBT_BINS])
    return np.concatenate([[0.0], (accrued - paid) / US_PER_S])

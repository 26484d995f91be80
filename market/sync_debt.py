"""Synchronization debt: its flow (the cost of coordination) and its stock, read from the ledger."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.columns import N_DEBT_BINS
from hanse.market.debt_meter import AUDIT_WORK, CHECK, DECISION, OBLIGATION, RESOURCE
from hanse.market.displacement import displace
from hanse.market.ledger import Ledger
from hanse.market.occupancy import B, C, F, Occupancy
from hanse.market.states import (
    ACTIVE,
    AUDIT,
    BLAME,
    CAUSES,
    LAPSED,
    N_WAITING_STATES,
    OPERATIONS,
    STALENESS,
    UNMATCHED,
)
from hanse.market.stratified import stratified_standard_error
from hanse.market.units import US_PER_S, Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncCost:
    """Accelerator time that coordination took.

    Attributes
    ----------
    labelled_gpu_s, displaced_gpu_s : shape (n_families, n_operations, n_causes, n_regions). What
        was labelled C, F or B; and what counts as cost: C and F whole, and those held or idle
        units that displaced waiting work (`displacement.py`).
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
    labelled = np.zeros(shape)
    cost = np.zeros(shape)
    for label, target in ((C, cost), (F, cost), (C, labelled), (F, labelled), (B, labelled)):
        chosen = (occupancy.label == label) & (occupancy.family < n_families)
        index = (
            occupancy.family[chosen],
            occupancy.operation[chosen],
            occupancy.cause[chosen],
            ledger.sink["region"][occupancy.sink[chosen]],
        )
        np.add.at(target, index, occupancy.unit_us[chosen] / US_PER_S)
    displaced, error = _displacement(ledger, shape)
    return SyncCost(
        labelled_gpu_s=labelled,
        displaced_gpu_s=cost + displaced,
        displacement_gpu_s=displaced,
        displacement_se_gpu_s=error,
    )


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
        place = (family[:, None], operation[:, None], why[:, None], region)
        np.add.at(total, place, part)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Obligations:
    """Obligations by family: how many, how old in all, and what was paid on those closed."""

    opened: Floats
    expired: Floats
    still: Floats
    expired_age_s: Floats
    still_age_s: Floats
    paid_by_closed_s: Floats


_KINDS: Final = (DECISION, CHECK, AUDIT_WORK)


def debt_accounts(ledger: Ledger, n_families: int) -> list[DebtAccount]:
    """Draw up the debt accounts of a run, one per kind of obligation and family."""
    return [
        _account(ledger, counts, kind, family)
        for kind in _KINDS
        for counts in [_obligations(ledger, kind, n_families)]
        for family in range(n_families)
    ]


def _account(ledger: Ledger, counts: _Obligations, kind: int, family: int) -> DebtAccount:
    root, interest = (ledger.debt.total_us[kind, family] / US_PER_S).tolist()
    area = float(ledger.debt.area[kind, family].sum()) / US_PER_S / US_PER_S
    n_opened, n_expired = int(counts.opened[family]), int(counts.expired[family])
    n_open = int(counts.still[family])
    n_closed = n_opened - n_expired - n_open
    class_mean = counts.paid_by_closed_s[family] / n_closed if n_closed > 0 else 0.0
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
        mean_stock=(area + class_mean * counts.expired_age_s[family]) / horizon_s,
        count=n_opened,
        expired_count=n_expired,
        open_count=n_open,
        open_at_horizon_class_mean=class_mean * n_open,
        open_mean_stock=class_mean * counts.still_age_s[family] / horizon_s,
    )


def _paid_us(ledger: Ledger, kind: int) -> Integers:
    """Return what was paid in all on each stage's obligation of a kind."""
    if kind == AUDIT_WORK:
        record = ledger.record[ledger.record["outcome"] == AUDIT]
        ended = record[record["end_us"] <= ledger.horizon_us]
        work_us = np.bincount(ended["stage"], ended["execution_us"], len(ledger.stage))
        return work_us.astype(np.int64)
    name = "decision_core_us" if kind == DECISION else "verification_core_us"
    paid_us: Integers = ledger.stage[name]
    return paid_us


def _obligations(ledger: Ledger, kind: int, n_families: int) -> _Obligations:
    """Count the obligations of a kind by family."""
    stage = ledger.stage
    if kind == DECISION:
        opened_us = stage["obligation_us"]
        opened = np.flatnonzero(opened_us >= 0)
        status = stage["status"][opened]
        expired, still = status == LAPSED, (status == ACTIVE) & (stage["record"][opened] < 0)
        age_us = np.where(expired, stage["done_us"][opened] - opened_us[opened], 0)
    else:
        opened_us = stage["executed_us"]
        is_open = opened_us >= 0
        if kind == AUDIT_WORK:
            is_open &= stage["is_audited"] == 1
        opened = np.flatnonzero(is_open)
        expired, age_us = np.zeros(len(opened), bool), np.zeros(len(opened))
        still = stage["final_us"][opened] < 0
    still_us = np.where(still, ledger.horizon_us - opened_us[opened], 0)
    paid_us = np.where(expired | still, 0, _paid_us(ledger, kind)[opened])
    family = ledger.stage_fact["family"][opened].astype(np.int64)
    counts = [
        np.bincount(family, weight, n_families).astype(float)
        for weight in (None, expired, still, *(us / US_PER_S for us in (age_us, still_us, paid_us)))
    ]
    return _Obligations(
        opened=counts[0],
        expired=counts[1],
        still=counts[2],
        expired_age_s=counts[3],
        still_age_s=counts[4],
        paid_by_closed_s=counts[5],
    )


def debt_path(ledger: Ledger, kind: int) -> Floats:
    """Return the stock of a kind of obligation at the edges of the bins, in unit-seconds.

    Shape (`N_DEBT_BINS` + 1,): what had accrued by then and was not yet paid.
    """
    accrued = np.cumsum(ledger.debt.accrued_us[kind, :N_DEBT_BINS])
    paid = np.cumsum(ledger.debt.paid_us[kind, :N_DEBT_BINS])
    return np.concatenate([[0.0], (accrued - paid) / US_PER_S])

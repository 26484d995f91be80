"""What was paid of synchronization debt, broken down by operation, cause, place and buyer."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.accounts.debt_accounts import METERED
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.obligations import (
    APPROVAL,
    CLOSED,
    IN_VAIN,
    REBUILD,
    REPLICA,
    UNDELIVERED,
    UNPAID,
    Obligations,
)
from hanse.market.engine.columns import Rows
from hanse.market.engine.debt_meter import AUDIT_WORK, CHECK, DECISION
from hanse.market.engine.states import (
    AUDIT,
    AUDITING,
    AUTHORITY,
    CONTEXT,
    CROSSING,
    DISCARDED,
    FRICTION,
    JURISDICTION,
    LAPSED,
    ROUTING,
    SERVICE,
    SETTLEMENT,
    STALENESS,
    STATE,
    STRATEGIC,
    VERIFICATION,
)
from hanse.market.units import Integers

DIMENSIONS: Final = ("operation", "cause", "region", "jurisdiction", "buyer")
OPERATION_DIMENSION, CAUSE_DIMENSION, REGION_DIMENSION, JURISDICTION_DIMENSION, BUYER_DIMENSION = (
    range(len(DIMENSIONS))
)
_SHOWN: Final = len(METERED)

# By account: the metered kinds, then those that records show.
_OPERATION: Final = np.array(
    [ROUTING, VERIFICATION, VERIFICATION, STATE, AUTHORITY, CONTEXT, SETTLEMENT, SETTLEMENT]
)
_CAUSE: Final = np.array(
    [SERVICE, AUDITING, AUDITING, CROSSING, JURISDICTION, CROSSING, FRICTION, FRICTION]
)
assert (DECISION, CHECK, AUDIT_WORK) == METERED == (0, 1, 2), "the order of the rows above"
assert (REPLICA, APPROVAL, REBUILD, UNPAID, UNDELIVERED) == (0, 1, 2, 3, 4), "likewise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Rows of what was paid; over the members of one dimension they sum to the account's paydown.

    Attributes
    ----------
    account : index of the kind: the metered ones, then `REPLICA` to `UNDELIVERED`.
    family, dimension, member : of which family; index into `DIMENSIONS`; index of the operation,
        cause, region, jurisdiction or buyer.
    paid : whole microseconds of the account's resource, or micro-USD; never 0.
    """

    account: Integers
    family: Integers
    dimension: Integers
    member: Integers
    paid: Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paid:
    """Payments with who and where; `cause` is -1 where the meter only knows it by family."""

    account: Integers
    stage: Integers
    region: Integers
    cause: Integers
    amount: Integers


def break_down(
    ledger: Ledger, shown: Obligations, *, region_jurisdiction: Integers, n_families: int
) -> Breakdown:
    """Break what was paid of each account down, one dimension at a time.

    Control work counts where the plane is, all else where the unit is; what bounced commands have
    done, at the origin of their stage. What a decision again is due to, a bounce or a redo, the
    meter does not say: interest on requests is split by how many of each there were.
    """
    paid = _payments(ledger, shown)
    family = ledger.stage_fact["family"][paid.stage]
    known = paid.cause >= 0
    members = {
        OPERATION_DIMENSION: _OPERATION[paid.account],
        REGION_DIMENSION: paid.region,
        JURISDICTION_DIMENSION: region_jurisdiction[paid.region],
        BUYER_DIMENSION: ledger.stage_fact["buyer"][paid.stage],
    }
    parts = [
        _sums(paid.account, family, dimension, member, paid.amount, n_families)
        for dimension, member in members.items()
    ]
    causes = (paid.account[known], family[known], paid.cause[known], paid.amount[known])
    account, of_family, cause, amount = (
        np.concatenate(pair) for pair in zip(causes, _metered_causes(ledger), strict=True)
    )
    parts.append(_sums(account, of_family, CAUSE_DIMENSION, cause, amount, n_families))
    return Breakdown(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in Breakdown.__slots__
        }
    )


def _payments(ledger: Ledger, shown: Obligations) -> _Paid:
    """Put all payments into one set of columns."""
    stage, plane = ledger.stage, ledger.plane_region[ledger.stage["plane"]]
    decided = np.flatnonzero(stage["decision_core_us"])
    checked = np.flatnonzero(stage["verification_core_us"])
    audit = _metered_audits(ledger)
    done = np.flatnonzero((shown.fate == CLOSED) | (shown.fate == IN_VAIN))
    kind, again = shown.kind[done], shown.is_interest[done]
    cause = np.where(again, STRATEGIC, _CAUSE[_SHOWN + kind])
    cause[shown.fate[done] == IN_VAIN] = STALENESS
    unknown = np.full(len(decided) + len(checked), -1)
    audited = np.where(audit["epoch"] > 0, STRATEGIC, AUDITING)
    return _Paid(
        account=np.concatenate(
            [
                np.repeat(METERED, [len(decided), len(checked), len(audit)]),
                _SHOWN + kind,
            ]
        ),
        stage=np.concatenate([decided, checked, audit["stage"], shown.stage[done]]),
        region=np.concatenate(
            [
                plane[decided],
                plane[checked],
                ledger.unit["region"][audit["unit"]],
                shown.region[done],
            ]
        ),
        cause=np.concatenate([unknown, audited, cause]),
        amount=np.concatenate(
            [
                stage["decision_core_us"][decided],
                stage["verification_core_us"][checked],
                audit["execution_us"],
                shown.amount[done],
            ]
        ),
    )


def _metered_audits(ledger: Ledger) -> Rows:
    """Take out the audits that ended while somebody wanted their verdict: those were metered.

    A stage that was put back or abandoned meanwhile has closed what was audited, or itself.
    """
    record, stage = ledger.record, ledger.stage
    audit: Rows = record[(record["outcome"] == AUDIT) & (record["end_us"] <= ledger.horizon_us)]
    if len(audit) == 0:
        return audit
    width = int(record["epoch"].max()) + 1
    work = ledger.work
    key = record["stage"][work] * width + record["epoch"][work]
    order = np.argsort(key)
    found = np.searchsorted(key[order], audit["stage"] * width + audit["epoch"])
    audited = record[work[order[found]]]
    put_back = (audited["outcome"] == DISCARDED) & (audited["final_us"] < audit["end_us"])
    abandoned = stage["status"][audit["stage"]] == LAPSED
    abandoned &= stage["done_us"][audit["stage"]] < audit["end_us"]
    metered: Rows = audit[~put_back & ~abandoned]
    return metered


def _metered_causes(ledger: Ledger) -> tuple[Integers, Integers, Integers, Integers]:
    """Give the metered core time its causes by family: account, family, cause, amount."""
    total_us = ledger.debt.total_us
    n_families = total_us.shape[1]
    family = ledger.stage_fact["family"]
    n_bounces = np.bincount(family, ledger.stage["bounces"], n_families).astype(np.int64)
    n_again = np.bincount(family, ledger.stage["attempt"], n_families).astype(np.int64)
    again_us = total_us[DECISION, :, 1]
    stale_us = again_us * np.minimum(n_bounces, n_again) // np.maximum(n_again, 1)
    amount = [
        total_us[DECISION, :, 0],
        stale_us,
        again_us - stale_us,
        total_us[CHECK, :, 0],
        total_us[CHECK, :, 1],
    ]
    accounts = (DECISION, DECISION, DECISION, CHECK, CHECK)
    return (
        np.repeat(accounts, n_families),
        np.tile(np.arange(n_families), len(accounts)),
        np.repeat((SERVICE, STALENESS, STRATEGIC, AUDITING, STRATEGIC), n_families),
        np.concatenate(amount),
    )


def _sums(
    account: Integers,
    family: Integers,
    dimension: int,
    member: Integers,
    amount: Integers,
    n_families: int,
) -> Breakdown:
    """Add up equal rows and leave out those of nothing."""
    n_members = int(member.max(initial=0)) + 1
    shape = (len(_OPERATION), n_families, n_members)
    key = np.ravel_multi_index((account, family, member), shape)
    total = np.bincount(key, amount, int(np.prod(shape))).astype(np.int64)
    some = np.flatnonzero(total)
    accounts, families, members = np.unravel_index(some, shape)
    return Breakdown(
        account=accounts,
        family=families,
        dimension=np.full(len(some), dimension),
        member=members,
        paid=total[some],
    )

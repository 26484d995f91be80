"""All accounts of synchronization debt: what was metered, and what the records show."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from hanse.market.accounts.energy import usd_per_joule
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.obligations import (
    CLOSED,
    EXPIRED,
    IN_VAIN,
    N_FATES,
    N_KINDS,
    RECORDED_OBLIGATION,
    RECORDED_RESOURCE,
    STILL_OPEN,
    UNPAID,
    Obligations,
    executions,
    joined,
)
from hanse.market.accounts.open_crossings import open_crossings
from hanse.market.accounts.open_payments import open_payments
from hanse.market.accounts.sync_debt import DebtAccount, debt_accounts
from hanse.market.engine.columns import N_DEBT_BINS, Rows
from hanse.market.engine.debt_meter import AUDIT_WORK, CHECK, DECISION
from hanse.market.engine.states import AUDIT
from hanse.market.kernels import kernel
from hanse.market.terms import Terms
from hanse.market.units import (
    MICRO_USD_PER_USD,
    S_PER_HOUR,
    US_PER_S,
    Flags,
    Floats,
    Integers,
)

METERED: Final = (DECISION, CHECK, AUDIT_WORK)
_UNIT: Final = np.repeat([US_PER_S, MICRO_USD_PER_USD], [UNPAID, N_KINDS - UNPAID])
assert _UNIT.tolist() == [US_PER_S] * N_KINDS, "both are millionths"


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedAccount(DebtAccount):
    """An account and its worth.

    `mean_stock_usd` values both of its stocks at the world's prices: money at the capital that
    binding it takes, work at what it takes. Nothing prices the time of commits and approvals but
    the unit that is held for them.
    """

    mean_stock_usd: float


def obligations(ledger: Ledger, terms: Terms) -> Obligations:
    """List every obligation that the records of a run show, in every regime alike."""
    work = executions(ledger)
    parts = [*open_crossings(ledger, work), *open_payments(ledger, work, terms)]
    del work  # columns as long as the run, of which the parts have what they need
    return joined(parts, ledger, terms)


def core_usd_per_s(terms: Terms, electricity_usd_per_kwh: Floats) -> float:
    """Return what a second of a control core takes: the core, and its energy at the mean price."""
    energy = terms.core_w * float(usd_per_joule(terms, electricity_usd_per_kwh.mean()))
    return terms.core_usd_per_hour / S_PER_HOUR + energy


def priced_accounts(
    ledger: Ledger,
    terms: Terms,
    shown: Obligations,
    *,
    n_families: int,
    electricity_usd_per_kwh: Floats,
) -> list[PricedAccount]:
    """Draw up every account of a run: those that were metered, then those that records show."""
    core_usd = core_usd_per_s(terms, electricity_usd_per_kwh)
    metered = debt_accounts(ledger, n_families)
    priced = []
    for k, kind in enumerate(METERED):
        price = np.full(n_families, core_usd)
        if kind == AUDIT_WORK:
            price = _audit_usd_per_s(ledger, n_families)
        for account in metered[k * n_families : (k + 1) * n_families]:
            stock = account.mean_stock + account.open_mean_stock
            of_account = {f.name: getattr(account, f.name) for f in fields(DebtAccount)}
            usd = stock * float(price[account.family])
            priced.append(PricedAccount(**of_account, mean_stock_usd=usd))
    return priced + _shown_accounts(ledger, shown, n_families)


def _audit_usd_per_s(ledger: Ledger, n_families: int) -> Floats:
    """Return what a second of the audits that ended has taken on average, by family."""
    record = ledger.record
    audit = np.flatnonzero(record["outcome"] == AUDIT)
    audit = audit[record["end_us"][audit] <= ledger.horizon_us]
    family = ledger.stage_fact["family"][record["stage"][audit]]
    usd_per_us = ledger.sink["busy_usd_per_us"][ledger.unit["sink"][record["unit"][audit]]]
    execution_us = record["execution_us"][audit]
    us = np.bincount(family, execution_us, n_families)
    usd = np.bincount(family, execution_us * usd_per_us, n_families)
    return np.asarray(usd / np.maximum(us, 1) * US_PER_S)


def _shown_accounts(ledger: Ledger, shown: Obligations, n_families: int) -> list[PricedAccount]:
    """Add up the rows by kind, family and fate."""
    total = np.zeros((N_KINDS, n_families, _N_SUMS, N_FATES))
    _add_shown(
        ledger.stage_fact,
        ledger.horizon_us,
        shown.kind,
        shown.stage,
        shown.fate,
        shown.is_interest,
        shown.opened_us,
        shown.paid_us,
        shown.amount,
        shown.usd_area,
        total,
    )
    # Plain numbers from here on: there are few, and numpy is slow at few.
    sums = total.tolist()
    return [
        _shown_account(ledger, kind, family, sums[kind][family])
        for kind in range(N_KINDS)
        for family in range(n_families)
    ]


_COUNT, _AMOUNT, _INTEREST, _AREA, _AGE, _USD_AREA = range(6)
_N_SUMS: Final = 6


@kernel
def _add_shown(
    fact: Rows,
    horizon_us: int,
    kind: Integers,
    stage: Integers,
    fate: Integers,
    is_interest: Flags,
    opened_us: Integers,
    paid_us: Integers,
    amount: Integers,
    usd_area: Floats,
    total: Floats,
) -> None:
    for k in range(len(kind)):
        age_s = (min(paid_us[k], horizon_us) - opened_us[k]) / US_PER_S
        due = amount[k] / US_PER_S
        sums, of = total[kind[k], fact[stage[k]]["family"]], fate[k]
        sums[_COUNT, of] += 1
        sums[_AMOUNT, of] += due
        sums[_AREA, of] += due * age_s
        sums[_AGE, of] += age_s
        sums[_USD_AREA, of] += usd_area[k]
        if is_interest[k]:
            sums[_INTEREST, of] += due


def _shown_account(
    ledger: Ledger, kind: int, family: int, sums: list[list[float]]
) -> PricedAccount:
    """Draw up one account from its six sums of each fate."""
    count, amount, interest, area, age_s, usd_area = sums
    horizon_s = ledger.horizon_us / US_PER_S
    paydown, extra = (of[CLOSED] + of[IN_VAIN] for of in (amount, interest))
    paid_area, paid_usd = (of[CLOSED] + of[IN_VAIN] for of in (area, usd_area))
    class_mean = paydown / count[CLOSED] if count[CLOSED] else 0.0
    class_usd = paid_usd / paid_area if paid_area else 0.0
    if kind >= UNPAID:
        default, lost_area = amount[EXPIRED], area[EXPIRED]
        still, still_area = amount[STILL_OPEN], area[STILL_OPEN]
        usd = sum(usd_area)
    else:
        default, lost_area = class_mean * count[EXPIRED], class_mean * age_s[EXPIRED]
        still, still_area = class_mean * count[STILL_OPEN], class_mean * age_s[STILL_OPEN]
        usd = paid_usd + class_usd * (lost_area + still_area)
    return PricedAccount(
        family=family,
        resource=RECORDED_RESOURCE[kind],
        obligation=RECORDED_OBLIGATION[kind],
        accrual=paydown - extra + default,
        interest=extra,
        paydown=paydown,
        default=default,
        mean_stock=(paid_area + lost_area) / horizon_s,
        count=int(count[CLOSED] + count[EXPIRED] + count[STILL_OPEN]),
        open_count=int(count[STILL_OPEN]),
        open_at_horizon_class_mean=still,
        expired_count=int(count[EXPIRED]),
        open_mean_stock=still_area / horizon_s,
        mean_stock_usd=usd / horizon_s,
    )


def shown_path(shown: Obligations, horizon_us: int) -> Floats:
    """Return the stock of each kind at the edges of the bins, shape (`N_KINDS`, bins + 1).

    What had accrued by then and was paid later, within the horizon or, for money, whenever.
    """
    counts = (shown.fate == CLOSED) | (shown.fate == IN_VAIN) | (shown.kind >= UNPAID)
    kind, amount = shown.kind[counts], shown.amount[counts]
    change = _binned(kind, shown.opened_us[counts], amount, horizon_us)
    change -= _binned(kind, shown.paid_us[counts], amount, horizon_us)
    stock = np.cumsum(change[:, :N_DEBT_BINS], axis=1) / US_PER_S
    return np.concatenate([np.zeros((N_KINDS, 1)), stock], axis=1)


def _binned(kind: Integers, at_us: Integers, amount: Integers, horizon_us: int) -> Floats:
    slot = np.minimum(at_us * N_DEBT_BINS // horizon_us, N_DEBT_BINS)
    width = N_DEBT_BINS + 1
    total = np.bincount(kind * width + slot, amount, N_KINDS * width)
    return total.astype(float).reshape(N_KINDS, width)

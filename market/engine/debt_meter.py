"""Metering what is paid of each obligation, as it is paid.

An undecided request is an obligation from readiness to accepted dispatch; an unverified result is
one from the end of execution to finality. Work that a bounce or a redo adds is interest.
"""

from typing import Final

from hanse.market.engine.clock import N_OWN, N_PAYMENTS, NOW
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.kernels import kernel

DECISION: Final = 0
CHECK: Final = 1
AUDIT_WORK: Final = 2
RESOURCE: Final = ("core", "core", "accelerator")
OBLIGATION: Final = ("undecided request", "unverified result", "unverified result")


@kernel
def pay(
    facts: Facts, rules: Rules, state: State, stage: int, kind: int, paid_us: int, amount_us: int
) -> None:
    """Meter a payment of work on an obligation of a stage.

    `kind` is one of `DECISION`, `CHECK` and `AUDIT_WORK`: which resource pays for which obligation.
    """
    source, family = state.stage[stage], facts.stage[stage]["family"]
    begun_anew = source["attempt"] if kind == DECISION else source["epoch"]
    is_interest = 1 if begun_anew > 0 else 0
    accrued_us = source["obligation_us"] if kind == DECISION else source["executed_us"]
    debt = state.debt
    debt.total_us[kind, family, is_interest] += amount_us
    debt.area[kind, family, is_interest] += float(amount_us) * float(paid_us - accrued_us)
    last = debt.accrued_us.shape[1] - 1
    debt.accrued_us[kind, min(accrued_us * last // rules.horizon_us, last)] += amount_us
    debt.paid_us[kind, min(paid_us * last // rules.horizon_us, last)] += amount_us
    count = state.clock[N_PAYMENTS]
    state.clock[N_PAYMENTS] += 1
    if count < len(state.payment):
        row = state.payment[count]
        row["stage"], row["kind"], row["is_interest"] = stage, kind, is_interest
        row["accrued_us"], row["paid_us"], row["amount_us"] = accrued_us, paid_us, amount_us


@kernel
def pay_decision(facts: Facts, rules: Rules, state: State, core_us: int) -> None:
    """Split a decision's service over the plane's own requests, the remainder by index."""
    book, n_own = state.book, state.clock[N_OWN]
    if n_own == 0:
        return
    share, rest = core_us // n_own, core_us % n_own
    for position in range(n_own if share > 0 else rest):
        stage = book.request[book.own[position]]
        amount = share + (1 if position < rest else 0)
        state.stage[stage]["decision_core_us"] += amount
        pay(facts, rules, state, stage, DECISION, state.clock[NOW], amount)

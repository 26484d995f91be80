"""Rows of obligations that the ledger shows: what they are, what became of them, what they take.

Decisions and checks are metered as they are paid (`engine/debt_meter.py`). These need no meter:
records say when each began and when it was done. Work is paid evenly, so counted as paid in its
middle. docs/reference/debt-by-hand.md says when each opens and closes, and works an example.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.accounts.ledger import Ledger
from hanse.market.terms import Terms
from hanse.market.units import (
    MICRO_USD_PER_USD,
    S_PER_YEAR,
    US_PER_S,
    Flags,
    Floats,
    Integers,
)

REPLICA, APPROVAL, REBUILD, UNPAID, UNDELIVERED = range(5)
N_KINDS: Final = 5
RECORDED_OBLIGATION: Final = (
    "divergent replica",
    "pending approval",
    "evicted context",
    "unpaid delivery",
    "undelivered payment",
)
RECORDED_RESOURCE: Final = ("commit", "approval", "accelerator", "usd", "usd")

HELD_STEPS: Final = ("identity_us", "policy_us", "state_us", "authority_us", "transfer_us")
"""What lies on the record of an occupation before its context is rebuilt."""

CLOSED, EXPIRED, STILL_OPEN, IN_VAIN = range(4)
"""What became of an obligation. `IN_VAIN` is work of commands that bounced: interest, uncounted."""
N_FATES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligations:
    """One row per obligation, or per piece of work in vain; every column has the same length.

    Attributes
    ----------
    kind : one of `REPLICA` to `UNDELIVERED`.
    stage, region : whose, and where it is cleared.
    fate : one of `CLOSED` to `IN_VAIN`.
    is_interest : whether it is there only because something had to be done again.
    opened_us, ended_us : `ended_us` is the horizon or later where the obligation is open.
    paid_us : the instant that the payment counts at; at the end for money.
    amount : microseconds of work, or micro-USD; for work that did not end, 0.
    usd : the real resources that clearing it takes, at the world's prices.
    usd_area : those times the time that they are owed for within the horizon, in USD-seconds.
    """

    kind: Integers
    stage: Integers
    region: Integers
    fate: Integers
    is_interest: Flags
    opened_us: Integers
    ended_us: Integers
    paid_us: Integers
    amount: Integers
    usd: Floats
    usd_area: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows of one kind, before they are priced; `usd_per_unit` is 0 where work takes nothing."""

    kind: int
    stage: Integers
    region: Integers
    fate: Integers
    is_interest: Flags
    opened_us: Integers
    ended_us: Integers
    amount: Integers
    usd_per_unit: Floats


def joined(parts: Sequence[Part], ledger: Ledger, terms: Terms) -> Obligations:
    """Put parts into one set of columns, and value them at the world's prices."""
    column = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Part.__slots__
        if name != "kind"
    }
    kind = np.repeat([part.kind for part in parts], [len(part.stage) for part in parts])
    per_unit = column.pop("usd_per_unit")
    is_money = kind >= UNPAID
    end_us, amount = column["ended_us"], column["amount"]
    paid_us = np.where(is_money, end_us, end_us - amount // 2)
    life_us = end_us - column["opened_us"]
    rate = terms.capital_rate_per_year / S_PER_YEAR / MICRO_USD_PER_USD / US_PER_S
    usd = amount * np.where(is_money, rate * life_us, per_unit)
    # Capital is paid evenly over the whole life of which the horizon may cut off a part.
    seen_us = np.minimum(end_us, ledger.horizon_us) - column["opened_us"]
    owed = seen_us - seen_us * (seen_us / np.maximum(life_us, 1)) / 2
    age_us = np.where(is_money, owed, paid_us - column["opened_us"])
    return Obligations(
        kind=kind, paid_us=paid_us, usd=usd, usd_area=usd * age_us / US_PER_S, **column
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Executions:
    """The occupations that execute stages: neither audits nor residual work; one row each.

    `record` is their row in the ledger, `left_us` when their command left.
    """

    record: Integers
    stage: Integers
    unit: Integers
    region: Integers
    is_first: Flags
    is_held: Flags
    left_us: Integers
    accepted_us: Integers
    context_us: Integers
    end_us: Integers


def executions(ledger: Ledger) -> Executions:
    """Take out the columns that obligations are read from."""
    record = ledger.work
    stage = ledger.record["stage"][record]
    unit = ledger.record["unit"][record]
    accepted_us, end_us = ledger.record["accepted_us"][record], ledger.record["end_us"][record]
    context_us = ledger.record["context_us"][record]
    held_us = np.sum([ledger.record[name][record] for name in HELD_STEPS], axis=0)
    first = np.zeros(len(ledger.stage), np.int64)
    first[stage[::-1]] = np.arange(len(stage))[::-1]
    return Executions(
        record=record,
        stage=stage,
        unit=unit,
        region=ledger.unit["region"][unit],
        is_first=first[stage] == np.arange(len(stage)),
        is_held=held_us > 0,
        left_us=ledger.record["escrow_us"][record],
        accepted_us=accepted_us,
        context_us=context_us,
        end_us=end_us,
    )

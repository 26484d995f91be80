"""The one place for how money travels: what a rail asks for, and when a payment is there.

A rail is a part of a regime; what each rail takes stands in `RailTerms`, which the world holds and
all regimes share. Time of day and week are those of the place, by its longitude; holidays are left
out, and everybody's week-end is Saturday and Sunday. See docs/why/rails-are-parts.md.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from hanse.market.kernels import kernel
from hanse.market.units import MICRO_USD_PER_USD, US_PER_HOUR, Floats, Integers

US_PER_DAY: Final = 24 * int(US_PER_HOUR)
_WORKDAYS, _WEEK = 5, 7
_DEGREES_PER_HOUR = 15.0

PREFUNDED: Final = "prefunded"
ON_DEMAND: Final = "on-demand"


@dataclass(frozen=True, slots=True, kw_only=True)
class RailTerms:
    """What one rail takes; zero throughout is a payment that is there at once.

    Attributes
    ----------
    opens_us, closes_us : when banks are open, time of day; equal if the rail never closes.
    business_days : from the day on which the payer's bank takes a payment to that of settlement.
    delay_us : what is added whatever the hour: blocks until finality, or days until a pay-out.
    fee_share, fee_usd : of the amount, and per transfer; the payee's.
    chargeback_share, chargeback_fee_usd, chargeback_us : how many transfers their payers take back,
        what that costs the payee besides, and how long after settlement.
    chargeback_person_hours : what somebody works on each.
    netting_us : what one payer owes one payee in a place within such a window is one transfer,
        sent as it ends; 0 sends each payment by itself, as it falls due.
    """

    opens_us: int = 0
    closes_us: int = 0
    business_days: int = 0
    delay_us: int = 0
    fee_share: float = 0.0
    fee_usd: float = 0.0
    chargeback_share: float = 0.0
    chargeback_fee_usd: float = 0.0
    chargeback_us: int = 0
    chargeback_person_hours: float = 0.0
    netting_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementTerms:
    """The rails of a world, and what they have in common.

    Attributes
    ----------
    begins_us : the start of the run, since Monday 00:00 UTC.
    funding : whether escrow is funded ahead (`PREFUNDED`), which locks capital, or when a command
        asks for it (`ON_DEMAND`), which makes the command wait.
    fee_resource_share : the part of fees that pays for real resources; the rest is a transfer.
    escrow_loss_share, escrow_loss_us : what is lost of all that lies in escrow at an instant.
    """

    bank: RailTerms = RailTerms()
    card: RailTerms = RailTerms()
    chain: RailTerms = RailTerms()
    begins_us: int = 0
    funding: str = PREFUNDED
    fee_resource_share: float = 0.0
    escrow_loss_share: float = 0.0
    escrow_loss_us: int = 0


AT_ONCE: Final = SettlementTerms()


class RailRules(NamedTuple):
    """A rail as compiled code reads it; money in micro-dollars."""

    is_on: int
    on_demand: int
    begins_us: int
    netting_us: int
    opens_us: int
    closes_us: int
    business_days: int
    delay_us: int
    fee_share: float
    fee_micro_usd: float
    resource_share: float
    chargeback_share: float
    chargeback_fee_micro_usd: float
    chargeback_us: int
    chargeback_person_hours: float


NO_RAIL: Final = RailRules(0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0.0)


def lower_rail(rail: RailTerms, settlement: SettlementTerms) -> RailRules:
    """Put a rail and what all rails share into the columns of the engine."""
    return RailRules(
        is_on=1,
        on_demand=int(settlement.funding == ON_DEMAND),
        begins_us=settlement.begins_us,
        netting_us=rail.netting_us,
        opens_us=rail.opens_us,
        closes_us=rail.closes_us,
        business_days=rail.business_days,
        delay_us=rail.delay_us,
        fee_share=rail.fee_share,
        fee_micro_usd=rail.fee_usd * MICRO_USD_PER_USD,
        resource_share=settlement.fee_resource_share,
        chargeback_share=rail.chargeback_share,
        chargeback_fee_micro_usd=rail.chargeback_fee_usd * MICRO_USD_PER_USD,
        chargeback_us=rail.chargeback_us,
        chargeback_person_hours=rail.chargeback_person_hours,
    )


def zone_shift_us(longitude: Floats) -> Integers:
    """Return what local time is ahead of UTC: an hour for each fifteen degrees."""
    return np.rint(longitude / _DEGREES_PER_HOUR).astype(np.int64) * int(US_PER_HOUR)


def sent_with_others_us(rail: RailRules, due_us: Integers) -> Integers:
    """Return when payments are sent: as they fall due, or as the window that they fall in ends.

    Runs begin in the middle of a window, so that one much longer than a run delays payments by half
    of it, as it does on average.
    """
    window_us = rail.netting_us
    if window_us == 0:
        return due_us
    shift_us = window_us // 2
    return np.asarray(-(-(due_us + shift_us) // window_us) * window_us - shift_us, np.int64)


@kernel
def next_open_us(rail: RailRules, local_us: int) -> int:
    """Return when a bank is next open, since Monday 00:00 there."""
    if rail.opens_us == rail.closes_us:
        return local_us
    day, of_day = local_us // US_PER_DAY, local_us % US_PER_DAY
    if of_day >= rail.closes_us:
        day, of_day = day + 1, rail.opens_us
    if day % _WEEK >= _WORKDAYS:
        day, of_day = day + _WEEK - day % _WEEK, rail.opens_us
    return int(day * US_PER_DAY + max(of_day, rail.opens_us))


@kernel
def settled_us(rail: RailRules, sent_us: int, payer_us: int, payee_us: int) -> int:
    """Return when a payment is with its payee.

    The payer's bank takes it when it is open; it settles so many business days later, at the same
    time of day, or as soon after as the payee's bank is open.

    Parameters
    ----------
    sent_us : since the start of the run.
    payer_us, payee_us : what their local times are ahead of UTC.
    """
    if rail.is_on == 0:
        return sent_us
    if rail.opens_us == rail.closes_us and rail.business_days == 0:
        return int(sent_us + rail.delay_us)
    taken_us = next_open_us(rail, sent_us + rail.begins_us + payer_us) - payer_us
    local_us = next_open_us(rail, taken_us + payee_us)
    day = local_us // US_PER_DAY
    since_monday = min(day % _WEEK, _WORKDAYS - 1) + rail.business_days
    later = day - day % _WEEK + since_monday // _WORKDAYS * _WEEK + since_monday % _WORKDAYS
    there_us = next_open_us(rail, later * US_PER_DAY + local_us % US_PER_DAY)
    return int(there_us - payee_us - rail.begins_us + rail.delay_us)


@kernel
def _settle(
    rail: RailRules, sent_us: Integers, payer_us: Integers, payee_us: Integers, found: Integers
) -> None:
    for k in range(len(sent_us)):
        found[k] = settled_us(rail, sent_us[k], payer_us[k], payee_us[k])


def settle_all(
    rail: RailRules, sent_us: Integers, payer_us: Integers, payee_us: Integers
) -> Integers:
    """Return when each payment is with its payee; `settled_us` for columns."""
    found = sent_us.copy()
    if rail.is_on == 1:
        _settle(rail, sent_us, payer_us, payee_us, found)
    return found

"""Reporting and asking, parts of a regime: what buyers and owners say worth and cost to be.

A report turns columns into columns: true worth and true cost of delay into what is said; an ask
does the same with what units cost and are posted at. By how much they bend the truth, and which of
them do, are facts of the world (`Habits`, `AskHabits`); a regime says only in which way. Routers,
prices and payments know reports and asks alone; welfare and accounts know the truth alone.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from hanse.market.units import Floats


class Worth(NamedTuple):
    """Columns of worth: at arrival, and what it falls by; both of shape (n_stages,)."""

    usd: Floats
    delay_usd_per_us: Floats


class Habits(NamedTuple):
    """How the buyer of each stage bends the truth where it may; shape (n_stages,), 1 is not at all.

    `worth_share` is what is said over what is true, below 1 shading and above 1 exaggeration;
    `delay_scale` the same of the cost of delay.
    """

    worth_share: Floats
    delay_scale: Floats


class Reporting(Protocol):
    """What routers are told of true worth."""

    @property
    def is_truthful(self) -> bool:
        """Say whether reports equal the truth."""
        ...

    def report(self, true: Worth, habits: Habits) -> Worth:
        """Return what is said; neither column may be below zero."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Truthful:
    """Report true worth."""

    is_truthful: bool = True

    def report(self, true: Worth, habits: Habits) -> Worth:
        """Return the truth."""
        return true


TRUTHFUL: Final = Truthful()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """Report a multiple of true worth, at every instant: shading below 1, exaggeration above."""

    is_truthful: bool = False

    def report(self, true: Worth, habits: Habits) -> Worth:
        """Scale worth and cost of delay alike, so that worth is scaled whenever it comes."""
        share = habits.worth_share
        return Worth(true.usd * share, true.delay_usd_per_us * share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hurried:
    """Report true worth at arrival, and that waiting costs a multiple of what it does."""

    is_truthful: bool = False

    def report(self, true: Worth, habits: Habits) -> Worth:
        """Scale the cost of delay alone."""
        return Worth(true.usd, true.delay_usd_per_us * habits.delay_scale)


class Asks(NamedTuple):
    """Columns of what units cost when busy and held, and are posted at; shape (n_offers,)."""

    busy_usd_per_us: Floats
    held_usd_per_us: Floats
    posted_usd_per_us: Floats


class AskHabits(NamedTuple):
    """How the owner of each offer bends the truth where it may; shape (n_offers,), 1 is not at all.

    `cost_share` is what it says that units cost over what they do, and `posted_share` what it posts
    over what it would.
    """

    cost_share: Floats
    posted_share: Floats


class Asking(Protocol):
    """What routers are told of true costs and list prices."""

    @property
    def is_truthful(self) -> bool:
        """Say whether asks equal the truth."""
        ...

    def ask(self, true: Asks, habits: AskHabits) -> Asks:
        """Return what is said; no column may be below zero."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AtCost:
    """Say what units cost, and post what the world has."""

    is_truthful: bool = True

    def ask(self, true: Asks, habits: AskHabits) -> Asks:
        """Return the truth."""
        return true


AT_COST: Final = AtCost()


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedUp:
    """Say a multiple of what units cost, and post a multiple of the list: below 1 a mark-down."""

    is_truthful: bool = False

    def ask(self, true: Asks, habits: AskHabits) -> Asks:
        """Scale costs by one share and the posted price by another."""
        return Asks(
            true.busy_usd_per_us * habits.cost_share,
            true.held_usd_per_us * habits.cost_share,
            true.posted_usd_per_us * habits.posted_share,
        )

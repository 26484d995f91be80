"""Reporting, a part of a regime: what buyers say that results are worth to them.

A report turns columns into columns: true worth and true cost of delay into what is said. By how
much buyers bend the truth, and which of them do, are facts of the world (`Habits`); a regime says
only in which way. Routers, prices and payments know reports alone; welfare knows the truth alone.
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

"""Every fact that routing cannot change, drawn before any decision."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import Any, Final

import numpy as np

from hanse.agents.crossing_draws import NO_DRAWS, CrossingDraws
from hanse.agents.fleet import Fleet
from hanse.agents.workload import Workload
from hanse.market.crossings import CrossingCosts
from hanse.market.geography import Geography
from hanse.market.jurisdictions import Law
from hanse.market.terms import Terms
from hanse.market.units import Floats, Integers

_DIGITS: Final = 32
_SHORT_BYTES: Final = 4_096
_LONG_BYTES: Final = 32_768
_PLAIN: Final = frozenset({bool, int, float, str})

Column = np.ndarray[tuple[int, ...], np.dtype[np.generic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outages:
    """When something is amiss in a region, as its site of control; by region, then by beginning.

    Attributes
    ----------
    region, from_us, until_us : shape (n_outages,); `until_us` is exclusive.
    """

    region: Integers
    from_us: Integers
    until_us: Integers


NO_OUTAGES: Final = Outages(
    region=np.zeros(0, np.int64), from_us=np.zeros(0, np.int64), until_us=np.zeros(0, np.int64)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishaps:
    """What will go wrong, whoever routes; all of it empty where nothing does.

    Attributes
    ----------
    attempt_error : shape (n_attempts, n_stages), coins in [0, 1): an attempt whose coin lies below
        the share of errors fails, after a part of its work that is uniform as well.
    attempt_backoff : the same shape, coins by which waits before retries are shortened.
    breakdown_node, breakdown_from_us, breakdown_until_us : when which nodes are down; those of one
        node do not overlap.
    """

    attempt_error: Floats
    attempt_backoff: Floats
    breakdown_node: Integers
    breakdown_from_us: Integers
    breakdown_until_us: Integers


NO_MISHAPS: Final = Mishaps(
    attempt_error=np.zeros((0, 0)),
    attempt_backoff=np.zeros((0, 0)),
    breakdown_node=np.zeros(0, np.int64),
    breakdown_from_us=np.zeros(0, np.int64),
    breakdown_until_us=np.zeros(0, np.int64),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyerHabits:
    """How each buyer bends the truth where a regime lets it; of no length where none does.

    Attributes
    ----------
    worth_share, delay_scale : shape (n_buyers,), what is said over what is true, >= 0.
    """

    worth_share: Floats = field(default_factory=lambda: np.zeros(0))
    delay_scale: Floats = field(default_factory=lambda: np.zeros(0))


NO_HABITS: Final = BuyerHabits()


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerHabits:
    """How each owner bends the truth where a regime lets it; of no length where none does.

    Attributes
    ----------
    cost_share, posted_share : shape (n_owners,), what is said that units cost over what they do,
        and what is posted over the list; >= 0.
    """

    cost_share: Floats = field(default_factory=lambda: np.zeros(0))
    posted_share: Floats = field(default_factory=lambda: np.zeros(0))


AS_IT_IS: Final = OwnerHabits()


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPrices:
    """What owners charge for bytes that leave them; of no length where none does.

    Attributes
    ----------
    owner_usd_per_gb : shape (n_owners, n_regions), by the region that the bytes leave.
    buyer_store : shape (n_buyers,), owner with whom a buyer's inputs lie, or -1 for none.
    """

    owner_usd_per_gb: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    buyer_store: Integers = field(default_factory=lambda: np.zeros(0, np.int64))


NO_EGRESS_PRICES: Final = EgressPrices()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One draw of a scenario: the same value for every regime.

    Attributes
    ----------
    verifier_region : shape (n_verifiers,).
    divergences : when a region goes by an old policy; sorted as outages are.
    sample_instant_us : sorted instants at which displacement is measured.
    """

    scenario: str
    seed: int
    horizon_us: int
    geography: Geography
    law: Law
    fleet: Fleet
    workload: Workload
    crossing: CrossingCosts
    terms: Terms
    verifier_region: Integers
    sample_instant_us: Integers
    outages: Outages = NO_OUTAGES
    divergences: Outages = NO_OUTAGES
    crossing_draws: CrossingDraws = NO_DRAWS
    mishaps: Mishaps = NO_MISHAPS
    habits: BuyerHabits = NO_HABITS
    asks: OwnerHabits = AS_IT_IS
    egress: EgressPrices = NO_EGRESS_PRICES

    def digest(self) -> str:
        """Return 128 bits of SHA-256 over every column and scalar, field names included.

        Processors have instructions for it: megabytes of columns take half the time of BLAKE2b.
        """
        return self.digests().world

    def digests(self) -> "Digests":
        """Return the digest of the world, and that of all but its seed, by reading it once."""
        read = _Reading()
        read.take(repr(_ALL_BUT_SEED), [getattr(self, name) for name in _ALL_BUT_SEED])
        luck = read.digest()
        read.take("seed", [self.seed])
        return Digests(world=read.digest(), luck=luck)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """What names a world.

    Attributes
    ----------
    luck : of what was drawn, under no seed: equal for two seeds only if they drew the same.
    """

    world: str
    luck: str


_ALL_BUT_SEED: Final = tuple(field.name for field in fields(World) if field.name != "seed")


@cache
def _fields_of(kind: type) -> "tuple[str, Callable[[Any], Sequence[object]]] | None":
    """Return the names of the fields of a data class, and what gets them; None for other types."""
    if not is_dataclass(kind):
        return None
    names = [field.name for field in fields(kind)]
    get = attrgetter(*names)
    return repr(names), get if len(names) > 1 else lambda of: [get(of)]


@cache
def _name_of(dtype: np.dtype[Any]) -> str:
    return dtype.str


class _Reading:
    """A digest of what was read so far.

    What columns are called and how they are shaped is told in one text, and short columns are read
    in one go, as each call takes time. Where all entries of a long column are the same, however
    they lie in memory, the text says which, and that is all there is to read.
    """

    def __init__(self) -> None:
        self._state = hashlib.sha256()
        self._told: list[object] = []
        self._short: list[Column] = []
        self._long: list[Column] = []

    def take(self, names: str, values: Sequence[object]) -> None:
        """Note fields, each with all its fields if it has some."""
        self._told.append(names)
        if _PLAIN.issuperset(map(type, values)):
            self._told += values
            return
        for value in values:
            kind = type(value)
            if kind is np.ndarray:
                self._take_column(value)  # type: ignore[arg-type]
            elif (found := _fields_of(kind)) is not None:  # type: ignore[arg-type]  # a type
                self.take(found[0], found[1](value))
            else:
                self._told.append(value)

    def digest(self) -> str:
        """Read what was noted, and return the digits of the digest; more may follow."""
        short = [np.ascontiguousarray(column).data for column in self._short]
        self._state.update(b"".join([repr(self._told).encode(), *short]))
        for column in self._long:
            self._state.update(np.ascontiguousarray(column).reshape(-1).data)
        for noted in (self._told, self._short, self._long):
            noted.clear()
        return self._state.hexdigest()[:_DIGITS]

    def _take_column(self, column: Column) -> None:
        self._told += (_name_of(column.dtype), column.shape)
        n_bytes = column.nbytes
        if n_bytes <= _SHORT_BYTES:
            self._short.append(column)
        elif n_bytes > _LONG_BYTES and _is_one_entry(column):
            self._told.append(column[(0,) * column.ndim].tobytes())
        else:
            self._long.append(column)


def _is_one_entry(column: Column) -> bool:
    if column.item(0) != column.item(-1):
        return False
    if not any(column.strides):
        return True
    bits = np.ascontiguousarray(column).reshape(-1).view(f"u{column.itemsize}")
    return bool((bits == bits[0]).all())

"""Every fact that routing cannot change, drawn before any decision."""

import hashlib
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
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
        for name in _names_of(World):
            if name != "seed":
                read.take(name, getattr(self, name))
        luck = read.digest()
        read.take("seed", self.seed)
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


@cache
def _names_of(kind: type) -> tuple[str, ...]:
    """Return the names of the fields of a data class; none of any other type."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


class _Reading:
    """A digest of what was read so far; what is short waits for more, as each call takes time."""

    def __init__(self) -> None:
        self._state, self._waiting = hashlib.sha256(), bytearray()

    def take(self, name: str, value: object) -> None:
        """Read a field, with all its fields if it has some."""
        if isinstance(value, np.ndarray):
            self._waiting += f"{name}\0{value.dtype.str}{value.shape}".encode()
            if value.nbytes <= _SHORT_BYTES:
                self._waiting += value.tobytes()
            else:
                self._pass_on()
                self._state.update(np.ascontiguousarray(value).reshape(-1).data)
            return
        kind: type[Any] = type(value)
        names = _names_of(kind)  # type: ignore[arg-type]  # the hash that mypy sees is of instances
        self._waiting += (f"{name}\0" if names else f"{name}\0{value!r}\0").encode()
        for each in names:
            self.take(each, getattr(value, each))

    def digest(self) -> str:
        """Return the digits of the digest; reading may go on."""
        self._pass_on()
        return self._state.hexdigest()[:_DIGITS]

    def _pass_on(self) -> None:
        self._state.update(self._waiting)
        self._waiting.clear()

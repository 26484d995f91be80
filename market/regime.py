"""Regime: who decides, with what information, when and along which message path; nothing else.

A regime is a frozen composition of parts. A part is a choice, never a number: every number that a
part needs stands in `Terms`, which the world holds and all regimes share.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from dataclasses import replace as replace_part
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from hanse.market.engine.parts import (
    ASK_PRICE,
    BID_PRICE,
    FOREIGN_RULE,
    LOCATIONAL_PRICE,
    POSTED_PRICE,
    POSTED_RULE,
    WELFARE_RULE,
)
from hanse.market.rails import NO_RAIL, RailRules, SettlementTerms, lower_rail
from hanse.market.reporting import AT_COST, TRUTHFUL, Asking, Reporting
from hanse.market.router import Router


class Incompatible(ValueError):
    """Two parts of a regime exclude each other; the message gives the reason."""


class Plane(IntEnum):
    """Where requests are decided, with how much in view."""

    HUB = 0
    VENUES = 1
    SHARDS = 2
    TREE = 3
    PEERS = 4
    FEDERATION = 5
    MIXED = 6
    RESERVED = 7

    @property
    def shares_books(self) -> bool:
        """Say whether planes see, as late as all they see, what others have pending."""
        return self in (Plane.VENUES, Plane.SHARDS, Plane.PEERS, Plane.MIXED)


class Admission(IntEnum):
    """Which requests a plane decides: all, or no more of a buyer's than its quota of units."""

    OPEN = 0
    QUOTA = 1


class Cadence(IntEnum):
    """When requests are decided: as they arrive, or together at the clearing interval."""

    ON_ARRIVAL = 0
    AT_INTERVAL = 1


class Ranking(IntEnum):
    """Who is served first at a posted price: an owner's own jobs on its own units, or nobody."""

    FIFO = 0
    FIRST_PARTY = 1


class Rule(IntEnum):
    """What a decision maximises: each request its own surplus, or all of them the joint welfare."""

    POSTED = POSTED_RULE
    WELFARE = WELFARE_RULE
    FOREIGN = FOREIGN_RULE


class Pricing(IntEnum):
    """What is paid: the posted price, what is asked plus the locational rent, the bid, or the ask.

    A bid is what its buyer says that the result is worth, less the cost of the rest of the job; an
    ask what the owner says that the stage costs it.
    """

    POSTED = POSTED_PRICE
    LOCATIONAL = LOCATIONAL_PRICE
    PAY_AS_BID = BID_PRICE
    PAY_AS_ASK = ASK_PRICE


class Settlement(IntEnum):
    """How it is paid: by invoice after the lag, or from escrow locked before dispatch."""

    INVOICE = 0
    ESCROW = 1


class Rail(IntEnum):
    """Over which rail a price travels once it is due: none (at once), or one of the world's.

    What each takes, in hours, days, blocks and fees, are terms of the world (`market/rails.py`).
    """

    INSTANT = 0
    BANK = 1
    CARD = 2
    CHAIN = 3


class Audits(IntEnum):
    """Which finished work is executed once more, and how soon a result can be final.

    At random (PoSP); all of it (replication by two, refereed delegation); or at random, with a
    window in which whoever executes it again may challenge a result before it is final.
    """

    NONE = 0
    RANDOM = 1
    REPLICATION = 2
    OPTIMISTIC = 3


class Release(IntEnum):
    """On what a successor may start: as all regimes of the scenario, on a receipt, on finality."""

    SCENARIO = 0
    RECEIPT = 1
    FINALITY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """A composition of parts.

    `router`, where given, replaces the compiled decision rule by a researcher's own and needs
    `rule=Rule.FOREIGN`. Raises `Incompatible` for parts that exclude each other.
    """

    plane: Plane
    cadence: Cadence
    ranking: Ranking
    rule: Rule
    pricing: Pricing
    settlement: Settlement
    audits: Audits
    admission: Admission = Admission.OPEN
    reporting: Reporting = TRUTHFUL
    asking: Asking = AT_COST
    rail: Rail = Rail.INSTANT
    release: Release = Release.SCENARIO
    router: Router | None = None

    def __post_init__(self) -> None:
        if self.ranking is Ranking.FIRST_PARTY and self.rule is Rule.WELFARE:
            raise Incompatible(
                "ranking=FIRST_PARTY with rule=WELFARE: the welfare rule weighs values and has no "
                "ranks; use ranking=FIFO, or rule=POSTED"
            )
        if self.pricing is Pricing.LOCATIONAL and self.rule is Rule.POSTED:
            raise Incompatible(
                "pricing=LOCATIONAL with rule=POSTED: requests choose by posted prices, so "
                "there is no clearing to price a location; use rule=WELFARE, or pricing=POSTED"
            )
        if self.admission is Admission.QUOTA and self.plane is not Plane.HUB:
            raise Incompatible(
                f"admission=QUOTA with plane={self.plane.name}: a quota is kept by a plane that "
                "commands all of a buyer's units; use plane=HUB, or admission=OPEN"
            )
        if (self.router is not None) != (self.rule is Rule.FOREIGN):
            raise Incompatible(
                f"rule={self.rule.name} with router={self.router!r}: a router goes with "
                "rule=FOREIGN, and rule=FOREIGN needs a router"
            )
        if self.pricing is Pricing.PAY_AS_BID and self.rule is Rule.POSTED:
            raise Incompatible(
                "pricing=PAY_AS_BID with rule=POSTED: requests take posted prices and make no "
                "bids; use rule=WELFARE, or pricing=POSTED"
            )
        if self.pricing is Pricing.PAY_AS_ASK and self.rule is Rule.POSTED:
            raise Incompatible(
                "pricing=PAY_AS_ASK with rule=POSTED: requests take posted prices, which are all "
                "that is asked; use rule=WELFARE, or pricing=POSTED"
            )

    def parts(self) -> Mapping[str, str]:
        """Name each part and its choice in words, and a router by its class."""
        words = {f.name: _choice(getattr(self, f.name)) for f in fields(self)}
        return words if self.router is None else {**words, "router": type(self.router).__name__}


def rail_of(settlement: SettlementTerms, rail: Rail) -> RailRules:
    """Return what the rail of a regime takes in a world."""
    if rail is Rail.INSTANT:
        return NO_RAIL
    one = {Rail.BANK: settlement.bank, Rail.CARD: settlement.card, Rail.CHAIN: settlement.chain}
    return lower_rail(one[rail], settlement)


_BEFORE_CAPITALS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _choice(part: object) -> str:
    if isinstance(part, IntEnum):
        return part.name.lower().replace("_", " ")
    if part is None:
        return "none"
    return _BEFORE_CAPITALS.sub(" ", type(part).__name__).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A regime with a name, which differs from another in exactly one part.

    On the ladder that is the rung before; for a variant it is "dynamic-central".
    """

    name: str
    title: str
    change: str
    regime: Regime


CENTRAL: Final = Regime(
    plane=Plane.HUB,
    cadence=Cadence.ON_ARRIVAL,
    ranking=Ranking.FIRST_PARTY,
    rule=Rule.POSTED,
    pricing=Pricing.POSTED,
    settlement=Settlement.INVOICE,
    audits=Audits.NONE,
)
_WITHOUT_PRIORITY: Final = replace_part(CENTRAL, ranking=Ranking.FIFO)
_WELFARE: Final = replace_part(_WITHOUT_PRIORITY, rule=Rule.WELFARE)
DYNAMIC_CENTRAL: Final = replace_part(_WELFARE, cadence=Cadence.AT_INTERVAL)
_VENUES: Final = replace_part(DYNAMIC_CENTRAL, plane=Plane.VENUES)
_LOCATIONAL: Final = replace_part(_VENUES, pricing=Pricing.LOCATIONAL)
MARKET: Final = replace_part(_LOCATIONAL, settlement=Settlement.ESCROW)
AUDITED_MARKET: Final = replace_part(MARKET, audits=Audits.RANDOM)

ladder: Final[tuple[Rung, ...]] = (
    Rung(
        name="central",
        title="Central",
        change="one hub, decides on arrival at posted prices, its owners' own jobs first",
        regime=CENTRAL,
    ),
    Rung(
        name="without-first-party",
        title="Without first-party priority",
        change="owners' own jobs queue like all others",
        regime=_WITHOUT_PRIORITY,
    ),
    Rung(
        name="welfare-rule",
        title="Welfare rule",
        change="the hub maximises joint welfare instead of serving each request its best offer",
        regime=_WELFARE,
    ),
    Rung(
        name="dynamic-central",
        title="Dynamic central",
        change="the hub decides at the clearing interval instead of on arrival",
        regime=DYNAMIC_CENTRAL,
    ),
    Rung(
        name="venues",
        title="A venue per region",
        change="each region decides its own requests, on its own view, with its share of the cores",
        regime=_VENUES,
    ),
    Rung(
        name="locational-prices",
        title="Locational prices",
        change="resource cost plus locational rent is paid instead of posted prices",
        regime=_LOCATIONAL,
    ),
    Rung(
        name="market",
        title="Market",
        change="payment from escrow locked before dispatch instead of by invoice",
        regime=MARKET,
    ),
    Rung(
        name="audited-market",
        title="Audited market",
        change="finished work is re-executed at random",
        regime=AUDITED_MARKET,
    ),
)


def _layout(name: str, title: str, change: str, plane: Plane) -> Rung:
    regime = replace_part(DYNAMIC_CENTRAL, plane=plane)
    return Rung(name=name, title=title, change=change, regime=regime)


_QUOTAS: Final = Rung(
    name="quotas",
    title="Quotas",
    change="no buyer has more units at once than its quota",
    regime=replace_part(DYNAMIC_CENTRAL, admission=Admission.QUOTA),
)


variants: Final[tuple[Rung, ...]] = (
    _layout(
        "shards",
        "Shards of a hub",
        "several planes in the hub's place each decide for buyers of their own",
        Plane.SHARDS,
    ),
    _layout(
        "tree",
        "Tree",
        "each region tries its own units first, and passes on to the hub what finds none",
        Plane.TREE,
    ),
    _layout(
        "peer-to-peer",
        "Peer to peer",
        "each buyer decides for itself, with the nearest regions in view",
        Plane.PEERS,
    ),
    _layout(
        "federation",
        "Federation",
        "each jurisdiction decides on its own units; what finds none goes round the others",
        Plane.FEDERATION,
    ),
    _layout(
        "mixed",
        "Mixed",
        "the hub decides owners' own jobs, and a venue in each region all others",
        Plane.MIXED,
    ),
    _layout(
        "reserved",
        "Static reservations",
        "each buyer has the nodes that are reserved for it, and those reserved for nobody",
        Plane.RESERVED,
    ),
    _QUOTAS,
)
"""Beside the ladder: "dynamic-central" with its plane replaced, or its admission."""

named_rungs: Final[tuple[Rung, ...]] = (*ladder, *variants)
regimes: Final[Mapping[str, Regime]] = MappingProxyType({r.name: r.regime for r in named_rungs})

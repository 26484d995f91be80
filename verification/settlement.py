"""The one place for who pays whom when a task is final: integer transfers that sum to zero."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hanse.verification.framing import DIGEST_BYTES
from hanse.verification.messages import Settlement

PPM: Final = 1_000_000
TREASURY: Final = b"hanse/treasury".ljust(DIGEST_BYTES, b"\0")
BURN: Final = b"hanse/burn".ljust(DIGEST_BYTES, b"\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How forfeited money is divided, in parts per million of it; the rest is the treasury's.

    Attributes
    ----------
    winners_ppm : to those who upheld the result that stands, in equal shares. Half by default, as
        in Truebit: a cheat that has itself convicted by a friend still loses the other half.
    burn_ppm : of what the treasury would get, burned instead.
    """

    winners_ppm: int = PPM // 2
    burn_ppm: int = 0

    def __post_init__(self) -> None:
        for name in ("winners_ppm", "burn_ppm"):
            if not 0 <= getattr(self, name) <= PPM:
                raise ValueError(f"{name} must be from 0 to {PPM}, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A task at its end; parties are known by their public keys, money is in micro-USD.

    Attributes
    ----------
    buyer : who pays.
    due : what the buyer owes, and to whom: rewards, fees, a levy to `TREASURY`.
    locked : the stake or bond of everybody who locked one.
    guilty : those who lose what they locked; nothing is due to them.
    winners : those who share it; none of the guilty.
    """

    buyer: bytes
    due: Mapping[bytes, int]
    locked: Mapping[bytes, int]
    guilty: frozenset[bytes]
    winners: frozenset[bytes]

    def __post_init__(self) -> None:
        for name, amounts in (("due", self.due), ("locked", self.locked)):
            for who, amount in amounts.items():
                if amount < 0:
                    raise ValueError(f"{name} to {who.hex()} must be at least 0, got {amount}")
        if self.guilty & self.winners or self.guilty & self.due.keys():
            raise ValueError("nothing may be due to the guilty, nor may they win")


def settle(case: Case, rules: Rules) -> dict[bytes, int]:
    """Return what each account gains or loses; what is locked and not lost returns to its owner.

    The amounts sum to zero. No winner gets a fraction: what does not divide is the treasury's.

    >>> buyer, solver, rival = b"b" * 32, b"s" * 32, b"r" * 32
    >>> case = Case(
    ...     buyer=buyer,
    ...     due={rival: 100},
    ...     locked={solver: 401, rival: 10},
    ...     guilty=frozenset({solver}),
    ...     winners=frozenset({rival}),
    ... )
    >>> settled = settle(case, Rules())
    >>> [settled[who] for who in (buyer, solver, rival, TREASURY)]
    [-100, -401, 300, 201]
    """
    pot = sum(case.locked.get(loser, 0) for loser in case.guilty)
    share = pot * rules.winners_ppm // PPM // len(case.winners) if case.winners else 0
    rest = pot - share * len(case.winners)
    burned = rest * rules.burn_ppm // PPM
    amounts = [
        (case.buyer, -sum(case.due.values())),
        *case.due.items(),
        *((loser, -case.locked.get(loser, 0)) for loser in case.guilty),
        *((winner, share) for winner in case.winners),
        (TREASURY, rest - burned),
        (BURN, burned),
    ]
    return _added_up(amounts)


def settlement_message(
    receipt_digest: bytes, referee_public_key: bytes, amounts: Mapping[bytes, int]
) -> Settlement:
    """Return the message that a referee signs to have these amounts paid."""
    accounts = tuple(sorted(who for who, amount in amounts.items() if amount))
    return Settlement(
        receipt_digest=receipt_digest,
        referee_public_key=referee_public_key,
        accounts=accounts,
        amounts_micro_usd=tuple(amounts[who] for who in accounts),
    )


def _added_up(amounts: Iterable[tuple[bytes, int]]) -> dict[bytes, int]:
    balance: dict[bytes, int] = {}
    for who, amount in amounts:
        balance[who] = balance.get(who, 0) + amount
    assert sum(balance.values()) == 0
    return balance

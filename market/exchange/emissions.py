"""The one place for tokens that a rule hands to nodes: who gets how many, and who pays by dilution.

What all tokens together are worth is given, and emission makes no more of it: each new token takes
its worth from those that there were. So a subsidy is a transfer from holders to nodes, to the
micro-dollar, and no part of welfare. See docs/why/emission-is-dilution.md.
"""

from dataclasses import dataclass
from typing import Final

from hanse.market.exchange.clearing_house import shared_out
from hanse.market.units import MICRO_USD_PER_USD, Integers

BY_CAPACITY: Final = "capacity"
BY_WORK: Final = "work"
BY_PAYMENT: Final = "payment"
RULES: Final = (BY_CAPACITY, BY_WORK, BY_PAYMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """A rule of emission over one run.

    Attributes
    ----------
    supply, emitted : tokens before, and those that the schedule makes in the run; whole.
    burned_share : of what is emitted, destroyed before anybody has it.
    worth_usd : of all tokens together, before and after.
    """

    supply: int
    emitted: int
    burned_share: float
    worth_usd: float

    def __post_init__(self) -> None:
        if self.supply < 1 or self.emitted < 0:
            raise ValueError(
                f"supply must be at least 1 and emitted at least 0, got {self.supply} and "
                f"{self.emitted}"
            )
        if not 0.0 <= self.burned_share <= 1.0:
            raise ValueError(f"burned_share must be in [0, 1], got {self.burned_share}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAccount:
    """What came of an emission.

    Attributes
    ----------
    tokens : shape (n_owners,), handed to each; `burned` and they sum to what was emitted.
    subsidy_micro_usd : shape (n_owners,), what those are worth after.
    diluted_micro_usd : what holders lost by it, the sum of all subsidies.
    price_before_usd, price_after_usd : of a token.
    """

    tokens: Integers
    burned: int
    subsidy_micro_usd: Integers
    diluted_micro_usd: int
    price_before_usd: float
    price_after_usd: float


def hand_out(emission: Emission, weight: Integers) -> TokenAccount:
    """Hand what is emitted to owners in proportion to whole weights, by largest remainders.

    Where all weights are zero, all of it is burned.

    Examples
    --------
    >>> import numpy as np
    >>> rule = Emission(supply=900, emitted=125, burned_share=0.2, worth_usd=1_000.0)
    >>> account = hand_out(rule, np.array([3, 1]))
    >>> account.tokens.tolist(), account.burned, account.diluted_micro_usd
    ([75, 25], 25, 100000000)
    """
    burned = round(emission.emitted * emission.burned_share)
    kept = emission.emitted - burned if weight.sum() > 0 else 0
    tokens = shared_out(kept, weight)
    worth = round(emission.worth_usd * MICRO_USD_PER_USD)
    diluted = worth * kept // (emission.supply + kept)
    return TokenAccount(
        tokens=tokens,
        burned=emission.emitted - kept,
        subsidy_micro_usd=shared_out(diluted, tokens),
        diluted_micro_usd=diluted,
        price_before_usd=emission.worth_usd / emission.supply,
        price_after_usd=emission.worth_usd / (emission.supply + kept),
    )

"""The words of a regime's parts as the engine reads them; `hanse.market.regime` names them all."""

from typing import Final

# What a decision maximises, in `Rules.rule`.
POSTED_RULE: Final = 0
WELFARE_RULE: Final = 1
FOREIGN_RULE: Final = 2

# What is paid, in `Rules.pricing`.
POSTED_PRICE: Final = 0
LOCATIONAL_PRICE: Final = 1
BID_PRICE: Final = 2
ASK_PRICE: Final = 3

"""Positions in `State.clock`: the numbers of a run that are not a column."""

from typing import Final

NOW: Final = 0
HEAP_SIZE: Final = 1
NEXT_ARRIVAL: Final = 2
NEXT_SAMPLE: Final = 3
N_RECORDS: Final = 4
N_LOG: Final = 5
N_RECENT: Final = 6
N_OPEN: Final = 7
N_BOUNCES: Final = 8
N_REDOS: Final = 9
N_AUDITS: Final = 10
N_PAYMENTS: Final = 11
ROUTING_PLANE: Final = 12
N_BOOK: Final = 13
ROUTING_STAGE: Final = 14
N_EVENTS: Final = 16
N_CATCHES: Final = 17
N_CERTIFIED: Final = 18
NEXT_EXPIRY: Final = 19
# Counts the instants, and the changes of a cache at one: quotes of one generation are equal.
GENERATION: Final = 20
N_OWN: Final = 21
N_LOCKS: Final = 22
N_HELD_BACK: Final = 23
N_FAILURES: Final = 24
NEXT_POWER: Final = 25
CLOCK_SIZE: Final = 26

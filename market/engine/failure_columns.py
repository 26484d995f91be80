"""Columns of failures: what clients and planes do about them, and the log of those there were."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.void]

FAILURE: Final = np.dtype(
    [
        ("at_us", "i8"),
        ("stage", "i4"),
        ("kind", "i2"),
        ("state", "i2"),
        ("plane", "i2"),
        ("retries", "i2"),
    ],
    align=True,
)
BREAKER: Final = np.dtype([("n_failures", "i8"), ("open_until_us", "i8")])

# Kinds of failure, as the client comes to know of it; 0 is none.
CALL_ERROR: Final = 1
TIMED_OUT: Final = 2
REFUSED: Final = 3
CIRCUIT_OPEN: Final = 4
NODE_FAILURE: Final = 5
FAILURE_KINDS: Final = (
    "none",
    "call error",
    "timed out",
    "refused",
    "circuit open",
    "node failure",
)


class FailureState(NamedTuple):
    """The log of failures, and what each client counts against each plane, if it does."""

    log: Rows
    breaker: Rows


class FailureRules(NamedTuple):
    """What clients and planes do about failures; `n_stale` rows are kept for stale requests."""

    n_stale: int
    error_share: float
    timeout_us: int
    retry_limit: int
    backoff_us: float
    backoff_growth: float
    backoff_jitter: float
    admission_limit: int
    breaker_failures: int
    breaker_cooldown_us: int


NO_FAILURES: Final = FailureRules(
    n_stale=0,
    error_share=0.0,
    timeout_us=0,
    retry_limit=0,
    backoff_us=0.0,
    backoff_growth=1.0,
    backoff_jitter=0.0,
    admission_limit=0,
    breaker_failures=0,
    breaker_cooldown_us=0,
)
"""Nothing fails, and nobody waits for failures: what the reference runs under."""

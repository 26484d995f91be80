"""What every client and every plane does about failures; the same under every regime."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureTerms:
    """Scalars of failing, waiting and trying again.

    Attributes
    ----------
    call_error_share : share of attempts that end in an error of software, in [0, 1].
    timeout_us : how long a client waits for a result before it gives the try up; 0 is for ever.
    retry_limit : how often a stage is requested again after failures of any kind.
    backoff_us, backoff_growth : wait before the first retry, and the factor from each to the next.
    backoff_jitter : share of that wait that a coin may take off.
    admission_limit : what may wait before all planes together, an n-th of it before each of n;
        0 is no limit.
    breaker_failures : time-outs and refusals in a row after which a client sends a plane nothing;
        0 is never.
    breaker_cooldown_us : how long.
    recovery_persons : at work on each site of control that is down.
    """

    call_error_share: float = 0.0
    timeout_us: int = 0
    retry_limit: int = 2
    backoff_us: float = 0.0
    backoff_growth: float = 1.0
    backoff_jitter: float = 0.0
    admission_limit: int = 0
    breaker_failures: int = 0
    breaker_cooldown_us: int = 0
    recovery_persons: float = 0.0


NOTHING_FAILS: Final = FailureTerms()

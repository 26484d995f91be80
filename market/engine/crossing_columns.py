"""The columns of boundary crossings: what the world says of them, and what changes in a run."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.market.units import Floats, Integers

Rows = NDArray[np.void]

LINK: Final = np.dtype(
    [
        ("delivery_us", "i8"),
        ("identity_full_us", "i8"),
        ("identity_resume_us", "i8"),
        ("identity_verify_us", "i8"),
        ("policy_us", "i8"),
        ("policy_modal_us", "i8"),
        ("commit_us", "i8"),
        ("commit_modal_us", "i8"),
        ("state_rtt_us", "i8"),
        ("authority_us", "i8"),
        ("approval_us", "i8"),
        ("capability_us", "i8"),
        ("identity_full_core_us", "i8"),
        ("identity_resume_core_us", "i8"),
        ("identity_verify_core_us", "i8"),
        ("policy_core_us", "i8"),
        ("policy_modal_core_us", "i8"),
        ("is_foreign", "i8"),
        ("transfer_us_per_byte", "f8"),
        ("egress_usd_per_byte", "f8"),
    ]
)
"""What lies between two regions; `is_foreign` where authority has to be reconciled."""

_CROSSING_FIELDS: Final = ("is_sure", "is_monotone", "is_modal", "skips_policy", "is_inadmissible")
CROSSING: Final = np.dtype([(name, "i2") for name in _CROSSING_FIELDS])
"""Facts of a stage, should it cross. `is_sure` has a bit for each step of which the tabulated time
is a lower bound, whatever the caches are; a stage `is_inadmissible` if the policy check that it
skips would have refused it."""

_TALLY_FIELDS: Final = ("approvals", "capability_uses", "invalid_uses", "unchecked")
TALLY: Final = np.dtype([(name, "i8") for name in _TALLY_FIELDS])
"""Counts of a stage: authority reconciled, capabilities used, of them after they were revoked, and
executions whose policy check was due and skipped."""

SHARED_HOLD: Final = 1 << 5
"""The bit of `holds` that says that a held unit serves several waiting stages at once."""


class CrossingFacts(NamedTuple):
    """What the world says of crossings, and no decision can change.

    `attempt_approval` are factors on the time of an approval, shape (n_attempts, n_stages) or
    (0, 0) where none varies. `has_capability`, by (buyer, jurisdiction), says whether the buyer
    carries a capability that names the jurisdiction. The revocations of a buyer stand from
    `first_revocation` of the buyer to that of the next. Intervals, lifetimes and cores of 0 switch
    their mechanism off.
    """

    stage: Rows
    attempt_approval: Floats
    has_capability: Integers
    first_revocation: Integers
    revocation_us: Integers
    overlap: int
    execution_covers: int
    hold_batch: int
    session_ttl_us: int
    capability_ttl_us: int
    revocation_lag_us: int
    revalidation_us: int
    batch_window_us: int
    policy_base_us: int
    pool_cores: float


class CrossingState(NamedTuple):
    """What crossings leave behind while the engine advances.

    By (buyer, region): until when a session can be resumed. By buyer: since when the capability
    holds. By region: when the open batch of policy decisions closes, and when the pool of cores
    for crossings has worked off what it was given.
    """

    tally: Rows
    session_until_us: Integers
    capability_since_us: Integers
    batch_until_us: Integers
    pool_free_us: Integers

"""What is drawn of boundary crossings before any decision; nothing of it by default."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.units import Flags, Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossingDraws:
    """Facts of places, stages and buyers that matter at a crossing; a column of length 0 is unset.

    Attributes
    ----------
    region_trust_domain, region_policy_domain, region_transport : shape (n_regions,). Unset, each
        region is a trust and a policy domain of its own, and there is one transport.
    stage_held_steps : a mask of `crossings.STEPS`. Unset, all or none, as `stage_holds` says.
    stage_is_monotone : whether its change of state needs no commit.
    stage_is_modal : whether it is of another modality than its inputs.
    stage_skips_policy : whether the policy check of its crossings is left out.
    stage_is_inadmissible : whether that check would have refused it.
    buyer_has_capability : whether the buyer carries a capability.
    buyer_scope : shape (n_buyers, n_jurisdictions), which jurisdictions it names beside that of the
        buyer, or (0, 0) where it names all.
    revocation_buyer, revocation_us : sorted by buyer, then by instant; what the buyer holds ends.
    attempt_approval : shape (n_attempts, n_stages), factors of mean 1, or (0, 0).
    """

    region_trust_domain: Integers
    region_policy_domain: Integers
    region_transport: Integers
    stage_held_steps: Integers
    stage_is_monotone: Flags
    stage_is_modal: Flags
    stage_skips_policy: Flags
    stage_is_inadmissible: Flags
    buyer_has_capability: Flags
    buyer_scope: Flags
    revocation_buyer: Integers
    revocation_us: Integers
    attempt_approval: Floats


_NO_NUMBERS: Final = np.zeros(0, np.int64)
_NO_FLAGS: Final = np.zeros(0, bool)

NO_DRAWS: Final = CrossingDraws(
    region_trust_domain=_NO_NUMBERS,
    region_policy_domain=_NO_NUMBERS,
    region_transport=_NO_NUMBERS,
    stage_held_steps=_NO_NUMBERS,
    stage_is_monotone=_NO_FLAGS,
    stage_is_modal=_NO_FLAGS,
    stage_skips_policy=_NO_FLAGS,
    stage_is_inadmissible=_NO_FLAGS,
    buyer_has_capability=_NO_FLAGS,
    buyer_scope=np.zeros((0, 0), bool),
    revocation_buyer=_NO_NUMBERS,
    revocation_us=_NO_NUMBERS,
    attempt_approval=np.ones((0, 0)),
)

"""Policies that diverge: a region that has not heard of a change refuses what comes from elsewhere.

A change of policy reaches each region after a lag of its own. Until it does, the region goes by the
old policy, and whatever crosses into it has been admitted under the new one: it is sent back.
"""

from hanse.market.engine.columns import Facts, State
from hanse.market.kernels import kernel


@kernel
def refuses(facts: Facts, state: State, stage: int, region: int, now_us: int) -> bool:
    """Say whether a region refuses a stage that crosses into it, because its policy is another."""
    first, last = facts.first_divergence[region], facts.first_divergence[region + 1]
    if first == last:
        return False
    row = state.stage[stage]
    if row["input_region"] == region and row["n_sources"] < 2:
        return False
    for k in range(first, last):
        if facts.divergence_from_us[k] <= now_us < facts.divergence_until_us[k]:
            return True
    return False

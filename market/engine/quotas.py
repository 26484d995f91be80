"""Quotas: how many units one buyer may have at once, as its plane knows it.

A unit counts for a buyer from the command that binds it until the plane sees it free again. Views
age, so a quota binds somewhat longer than the unit is held, and never shorter. Requests beyond the
quota stay out of the book; who came first to the plane has what is left of the quota.
"""

from hanse.market.engine.clock import N_BOOK, N_HELD_BACK
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.kernels import kernel


@kernel
def quota_units(facts: Facts, rules: Rules) -> int:
    """Return how many units a buyer may have at once: its share of all, at least one."""
    return max(1, int(rules.quota_share * len(facts.unit)))


@kernel
def ask(facts: Facts, rules: Rules, state: State, stage: int) -> bool:
    """Say whether a request may go into the book; if not, note that it is held back.

    Until `forget_asked` what may go in counts as bound.
    """
    if rules.has_quotas == 0:
        return True
    buyer = facts.stage[stage]["buyer"]
    if state.n_bound[buyer] < quota_units(facts, rules):
        state.n_bound[buyer] += 1
        return True
    state.book.held_back[state.clock[N_HELD_BACK]] = stage
    state.clock[N_HELD_BACK] += 1
    return False


@kernel
def forget_asked(facts: Facts, rules: Rules, state: State) -> None:
    """Count what is in the book as not bound again: most of it may find no unit."""
    if rules.has_quotas == 1:
        for row in range(state.clock[N_BOOK]):
            state.n_bound[facts.stage[state.book.request[row]]["buyer"]] -= 1


@kernel
def bind(facts: Facts, rules: Rules, state: State, stage: int, unit: int) -> None:
    """Count a unit for the buyer that it is commanded for."""
    if rules.has_quotas == 1:
        assert state.bound_stage[unit] < 0, "a unit counted for two buyers"
        state.bound_stage[unit] = stage
        state.n_bound[facts.stage[stage]["buyer"]] += 1


@kernel
def unbind(facts: Facts, state: State, unit: int) -> None:
    """Count a unit for nobody, once its plane sees it free."""
    stage = state.bound_stage[unit]
    if stage >= 0:
        state.bound_stage[unit] = -1
        state.n_bound[facts.stage[stage]["buyer"]] -= 1

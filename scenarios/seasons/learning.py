"""The one place where agents of seasons learn whether to cheat, to hoard and to enter.

Which rule they learn by is a choice of the scenario, decision by decision. What a way has paid is
read from the accounts and scaled to between 0 and 1, as the rules that know their own way alone
need it; imitation compares means of those who did and those who did not.
"""

from dataclasses import replace

import numpy as np

from hanse.agents.choices import (
    BEST_RESPONSE,
    REPLICATOR,
    Learning,
    learned,
)
from hanse.agents.sums import mean_of, summed
from hanse.market.units import Flags, Floats
from hanse.scenarios.seasons.accounts import Accounts
from hanse.scenarios.seasons.institutions import Institutions, learns_honesty
from hanse.scenarios.seasons.state import Cast, State
from hanse.scenarios.streams import stream
from hanse.scenarios.studies.learned_cheating import Payoffs


def decides(cast: Cast, *, luck: int, what: str, n: int) -> Flags:
    """Say who of n decides anew in this season; the others leave things as they are."""
    share = cast.institutions.deciding_share
    return np.asarray(stream(luck, f"institutions.decides.{what}").random(n) < share)


def learn_honesty(cast: Cast, state: State, accounts: Accounts, *, luck: int) -> State:
    """Let both groups of owners learn what cheating has paid them."""
    own = cast.institutions
    if not learns_honesty(own):
        return state
    payoff = np.array([_honest_and_cheating(own, paid) for paid in accounts.payoffs])
    rule = _learning(own, own.honesty_rule, rate=own.honesty_learning_rate)
    if rule.rule not in (BEST_RESPONSE, REPLICATOR):
        lost = cast.scenario.number("verification.stake_multiple") + own.reputation_rewards
        payoff = np.clip((payoff + lost) / (1.0 + lost), 0.0, 1.0)
    coin = stream(luck, "institutions.honesty").random(len(payoff))
    acted = coin < state.honesty.share
    return replace(state, honesty=learned(state.honesty, payoff, acted, learning=rule))


def learn_hoarding(cast: Cast, state: State, accounts: Accounts, *, luck: int) -> State:
    """Let pools learn whether holding the newsvendor's stock has paid; who best responds, holds."""
    own, n_pools = cast.institutions, len(state.holds)
    if own.hoarding_rule == BEST_RESPONSE or not own.hoarding:
        return replace(state, holds=np.full(n_pools, own.hoarding))
    payoff = _by_way(pool_payoffs(cast, accounts), state.holds, is_shared=_imitates(own))
    rule = _learning(own, own.hoarding_rule, rate=own.learning_rate)
    told = learned(state.pools, payoff, state.holds, learning=rule)
    coin = stream(luck, "institutions.hold").random(n_pools)
    return replace(state, pools=told, holds=coin < told.share)


def learn_entry(cast: Cast, state: State, excess: Floats, *, luck: int) -> State:
    """Let those who might enter in each region learn whether it pays to.

    Parameters
    ----------
    excess : of independents' margin over the hurdle, over that, by region; NaN where none is.
    """
    own = cast.institutions
    enters = np.clip((np.clip(excess, -1.0, 1.0) + 1.0) / 2.0, 0.0, 1.0)
    payoff = np.column_stack([np.where(np.isnan(enters), np.nan, 0.5), enters])
    rule = _learning(own, own.entry_rule, rate=own.learning_rate)
    told = learned(state.entrants, payoff, state.enters, learning=rule)
    coin = stream(luck, "institutions.entry").random(len(excess))
    return replace(state, entrants=told, enters=coin < told.share)


def pool_payoffs(cast: Cast, accounts: Accounts) -> Floats:
    """Return what each pool kept of its jobs' worth, after what it paid for work and for holding.

    From 0 to 1; NaN for a pool without work.
    """
    seen, n_pools = accounts.buyers, int(cast.pool.max(initial=-1)) + 1
    worth = seen.need_units * accounts.hours * cast.worth_usd_per_hour
    lost = np.nan_to_num(seen.missed) * worth + seen.paid_usd + accounts.held_usd
    kept, whole = (summed(cast.pool, column, n_pools) for column in (worth - lost, worth))
    return np.asarray(np.clip(mean_of(kept, whole), 0.0, 1.0))


def _honest_and_cheating(own: Institutions, paid: Payoffs) -> tuple[float, float]:
    caught = paid.n_caught / paid.n_cheats if paid.n_cheats else float("nan")
    return paid.honest, paid.cheating - own.reputation_rewards * caught


def _imitates(own: Institutions) -> bool:
    return own.hoarding_rule == REPLICATOR


def _by_way(payoff: Floats, acted: Flags, *, is_shared: bool) -> Floats:
    """Lay pay-offs out by way: one's own, or the means of all who took it."""
    apart = np.column_stack([np.where(acted, np.nan, payoff), np.where(acted, payoff, np.nan)])
    if not is_shared:
        return apart
    known = ~np.isnan(apart)
    mean = mean_of(np.where(known, apart, 0.0).sum(axis=0), known.sum(axis=0).astype(float))
    return np.broadcast_to(mean, apart.shape)


def _learning(own: Institutions, rule: str, *, rate: float) -> Learning:
    return Learning(
        rule=rule,
        response_share=own.response_share,
        rate=rate,
        forgetting=own.forgetting,
        experimentation=own.experimentation,
        exploration=own.exploration,
        least=own.least_share,
    )

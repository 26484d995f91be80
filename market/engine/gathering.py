"""Pending requests: each plane's own list, and what a venue knows of the others'."""

from hanse.market.engine.clock import N_BOOK, N_HELD_BACK, N_OWN, N_RECENT, NOW
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.engine.pools import give_back
from hanse.market.engine.quotas import ask, forget_asked
from hanse.market.engine.stale import rank_of
from hanse.market.engine.views import taken_us
from hanse.market.kernels import kernel
from hanse.market.units import Integers

_NEVER = 1 << 62


@kernel
def add_pending(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Append a request to its plane's list, in order of arrival there."""
    row = state.stage[stage]
    plane = state.plane[row["plane"]]
    row["is_pending"] = 1
    row["pending_next"] = -1
    row["pending_previous"] = plane["pending_last"]
    if plane["pending_last"] < 0:
        plane["pending_first"] = stage
    else:
        state.stage[plane["pending_last"]]["pending_next"] = stage
    plane["pending_last"] = stage
    plane["n_pending"] += 1
    for word in range(state.option.shape[1]):
        state.undecided[stage, word] = state.option[stage, word]
    if rules.shares_books == 1:
        _remember(facts, rules, state, stage)


@kernel
def remove_pending(state: State, stage: int) -> None:
    """Take a request off its plane's list, now."""
    row = state.stage[stage]
    if row["is_pending"] == 0:
        return
    plane = state.plane[row["plane"]]
    row["is_pending"] = 0
    give_back(state.quote_rows, stage)
    if row["recent_position"] >= 0:
        state.recent[row["recent_position"]]["decided_us"] = state.clock[NOW]
        row["recent_position"] = -1
    if row["pending_previous"] < 0:
        plane["pending_first"] = row["pending_next"]
    else:
        state.stage[row["pending_previous"]]["pending_next"] = row["pending_next"]
    if row["pending_next"] < 0:
        plane["pending_last"] = row["pending_previous"]
    else:
        state.stage[row["pending_next"]]["pending_previous"] = row["pending_previous"]
    plane["n_pending"] -= 1


@kernel
def _remember(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Note from when on a request is pending: an old view may show it after it is decided."""
    count = state.clock[N_RECENT]
    if count % 64 == 63:
        count = _forget(rules, state, count)
    assert count < len(state.recent), "the intervals of waiting are full"
    interval = state.recent[count]
    plane = state.stage[stage]["plane"]
    interval["stage"], interval["plane"] = stage, plane
    interval["region"] = facts.plane_region[plane]
    interval["since_us"], interval["decided_us"] = state.clock[NOW], _NEVER
    state.stage[stage]["recent_position"] = count
    state.clock[N_RECENT] = count + 1


@kernel
def _forget(rules: Rules, state: State, count: int) -> int:
    """Drop the intervals that have left every view; return how many are kept."""
    kept, longest_us = 0, 0
    for plane in range(len(state.plane)):
        longest_us = max(longest_us, state.plane[plane]["refresh_delay_us"])
    oldest_us = state.clock[NOW] - rules.refresh_us - longest_us - 1
    for k in range(count):
        interval = state.recent[k]
        if interval["decided_us"] < oldest_us:
            give_back(state.quote_rows, interval["stage"])
            continue
        to = state.recent[kept]
        to["stage"], to["plane"] = interval["stage"], interval["plane"]
        to["region"] = interval["region"]
        to["since_us"], to["decided_us"] = interval["since_us"], interval["decided_us"]
        if interval["decided_us"] == _NEVER:
            state.stage[interval["stage"]]["recent_position"] = kept
        kept += 1
    return kept


@kernel
def _sort(rules: Rules, state: State, request: Integers, count: int) -> None:
    """Sort by insertion: rows are nearly in order, and nothing is allocated."""
    for k in range(1, count):
        entry, slot = request[k], k
        rank = rank_of(rules, state, entry)
        while slot > 0 and rank_of(rules, state, request[slot - 1]) > rank:
            request[slot] = request[slot - 1]
            slot -= 1
        request[slot] = entry


@kernel
def gather(
    facts: Facts, rules: Rules, state: State, plane: int, newcomer: int, everything: bool
) -> None:
    """Put the requests of one decision into the book, own ones and others in view, by index.

    While they are collected, the lowest bit of an entry says whether it is the plane's own.

    On arrival only the newcomer is new; the rest had their chance, unless the view has gained a
    unit since (losing units, ageing and newcomers never make an unmatched request matchable).
    """
    book, count = state.book, 0
    state.clock[N_HELD_BACK] = 0
    if everything and rules.shares_books == 1:
        count = _gather_in_view(facts, rules, state, plane)
    elif everything:
        stage = state.plane[plane]["pending_first"]
        while stage >= 0:
            assert count < len(book.request), "the book is full"
            if ask(facts, rules, state, stage):
                book.request[count] = 2 * stage + 1
                count += 1
            stage = state.stage[stage]["pending_next"]
    elif newcomer >= 0 and ask(facts, rules, state, newcomer):
        book.request[0] = 2 * newcomer + 1
        count = 1
    _sort(rules, state, book.request, count)
    n_own = 0
    for row in range(count):
        book.is_own[row] = book.request[row] & 1
        book.request[row] >>= 1
        if book.is_own[row] == 1:
            book.own[n_own] = row
            n_own += 1
    state.clock[N_OWN] = n_own
    state.clock[N_BOOK] = count
    forget_asked(facts, rules, state)


@kernel
def _gather_in_view(facts: Facts, rules: Rules, state: State, plane: int) -> int:
    """Collect own requests, and what others had pending when this plane's picture was taken."""
    book, count = state.book, 0
    if state.plane[plane]["n_pending"] == 0:
        return 0
    for k in range(state.clock[N_RECENT]):
        interval = state.recent[k]
        if interval["plane"] == plane:
            is_seen = interval["decided_us"] == _NEVER
        else:
            at_us = taken_us(facts, rules, state, plane, interval["region"])
            is_seen = interval["since_us"] <= at_us <= interval["decided_us"]
        if is_seen:
            assert count < len(book.request), "the book is full"
            book.request[count] = 2 * interval["stage"] + (interval["plane"] == plane)
            count += 1
    return count

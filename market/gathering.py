"""Pending requests: each plane's own list, and what a venue knows of the others'."""

from hanse.market.columns import N_BOOK, N_RECENT, NOW, Rules, State
from hanse.market.kernels import kernel
from hanse.market.states import ACTIVE
from hanse.market.units import Integers

_NEVER = 1 << 62


@kernel
def add_pending(rules: Rules, state: State, stage: int) -> None:
    """Append a request to its plane's list, in order of arrival there."""
    row = state.stage[stage]
    plane = state.plane[row["plane"]]
    row["is_pending"] = 1
    row["pending_since_us"] = state.clock[NOW]
    row["decided_us"] = _NEVER
    row["pending_next"] = -1
    row["pending_previous"] = plane["pending_last"]
    if plane["pending_last"] < 0:
        plane["pending_first"] = stage
    else:
        state.stage[plane["pending_last"]]["pending_next"] = stage
    plane["pending_last"] = stage
    plane["n_pending"] += 1
    if rules.is_venues == 1:
        _remember(rules, state, stage)


@kernel
def remove_pending(state: State, stage: int) -> None:
    """Take a request off its plane's list, now."""
    row = state.stage[stage]
    if row["is_pending"] == 0:
        return
    plane = state.plane[row["plane"]]
    row["is_pending"] = 0
    row["decided_us"] = state.clock[NOW]
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
def _remember(rules: Rules, state: State, stage: int) -> None:
    """Keep a request among those that an old view may still show; forget the outdated."""
    count = state.clock[N_RECENT]
    if count == len(state.recent) or count % 64 == 63:
        kept, longest_us = 0, 0
        for plane in range(len(state.plane)):
            longest_us = max(longest_us, state.plane[plane]["refresh_delay_us"])
        oldest_us = state.clock[NOW] - rules.refresh_us - longest_us - 1
        for k in range(count):
            other = state.recent[k]
            if other != stage and state.stage[other]["decided_us"] >= oldest_us:
                state.recent[kept] = other
                kept += 1
        count = kept
    for k in range(count):
        if state.recent[k] == stage:
            state.clock[N_RECENT] = count
            return
    state.recent[count] = stage
    state.clock[N_RECENT] = count + 1


@kernel
def _sort(request: Integers, count: int) -> None:
    """Sort the first rows by insertion: they are nearly in order, and nothing is allocated."""
    for k in range(1, count):
        stage, slot = request[k], k
        while slot > 0 and request[slot - 1] > stage:
            request[slot] = request[slot - 1]
            slot -= 1
        request[slot] = stage


@kernel
def gather(rules: Rules, state: State, plane: int, newcomer: int, everything: bool) -> None:
    """Put the requests of one decision into the book, own ones and others in view, by index.

    On arrival only the newcomer is new; the rest had their chance, unless the view has gained a
    unit since (losing units, ageing and newcomers never make an unmatched request matchable).
    """
    book, count = state.book, 0
    if everything:
        stage = state.plane[plane]["pending_first"]
        while stage >= 0:
            assert count < len(book.request), "the book is full"
            book.request[count] = stage
            count += 1
            stage = state.stage[stage]["pending_next"]
    elif newcomer >= 0:
        book.request[0] = newcomer
        count = 1
    if rules.is_venues == 1 and everything and count > 0:
        count = _gather_others(state, plane, count)
    _sort(book.request, count)
    state.clock[N_BOOK] = count


@kernel
def _gather_others(state: State, plane: int, count: int) -> int:
    for k in range(state.clock[N_RECENT]):
        stage = state.recent[k]
        row = state.stage[stage]
        if row["plane"] == plane or row["status"] != ACTIVE:
            continue
        region = state.plane[row["plane"]]["region"]
        at_us = state.sight[plane, region]["at_us"]
        if row["pending_since_us"] <= at_us <= row["decided_us"]:
            assert count < len(state.book.request), "the book is full"
            state.book.request[count] = stage
            count += 1
    return count

"""The compiled decision rules: from one book to an assignment."""

import numpy as np
from hanse.market.kernels import kernel

from hanse.market.clearing import FORBIDDEN, clear_welfare
from hanse.market.columns import N_BOOK, NOW, Facts, Rules, State
from hanse.market.preparation import quote


@kernel
def write_book(facts: Facts, rules: Rules, state: State, plane: int) -> int:
    """Quote each request at each sink that has a visible unit and return the edges quoted."""
    book, edges = state.book, 0
    n_sinks = len(facts.sink)
    for sink in range(n_sinks):
        book.capacity[sink] = state.visible_sink[plane, sink]
    for row in range(state.clock[N_BOOK]):
        stage = book.request[row]
        fact = facts.stage[stage]
        for sink in range(n_sinks):
            place = facts.sink[sink]
            book.net_nano_usd[row, sink] = FORBIDDEN
            if book.capacity[sink] == 0 or place["accelerator"] != fact["accelerator"]:
                continue
            if not facts.legal[fact["signature"], place["region"]]:
                continue
            quote(facts, rules, state, row, stage, sink, state.clock[NOW])
            book.net_nano_usd[row, sink] = (
                book.worth_nano_usd[row, sink] - book.cost_nano_usd[row, sink]
            )
            edges += 1
    return edges


@kernel
def route_welfare(state: State) -> int:
    """Clear the book for maximal joint welfare; write sinks and rents; return edges."""
    book, count = state.book, state.clock[N_BOOK]
    edges = clear_welfare(
        book.net_nano_usd[:count],
        book.capacity,
        book.assigned_sink[:count],
        book.rent_nano_usd,
        state.scratch,
    )
    book.assigned[:count] = -1
    return int(edges)


@kernel
def _surplus(facts: Facts, state: State, row: int, offer: int) -> int:
    """Return what a request gains from an offer at its posted price, in nano-USD."""
    book, place = state.book, facts.offer[offer]
    fact = facts.stage[book.request[row]]
    billed_us = book.occupied_us[row, place["sink"]] + fact["rest_work_us"]
    price = np.int64(round(place["posted_usd_per_us"] * billed_us * 1e9))
    return int(book.worth_nano_usd[row, place["sink"]] - price)


@kernel
def _outranks(facts: Facts, rules: Rules, state: State, row: int, other: int, offer: int) -> bool:
    """Say whether a request comes before another at an offer: own jobs, then arrival, then id."""
    first, second = state.book.request[row], state.book.request[other]
    if rules.first_party == 1:
        owner = facts.offer[offer]["owner"]
        is_own = facts.stage[first]["first_party"] == owner
        is_other_own = facts.stage[second]["first_party"] == owner
        if is_own != is_other_own:
            return bool(is_own)
    ready, other_ready = state.stage[first]["ready_us"], state.stage[second]["ready_us"]
    return bool(ready < other_ready or (ready == other_ready and first < second))


@kernel
def _best_offer(facts: Facts, state: State, plane: int, row: int) -> int:
    """Return the offer of largest positive surplus that has not refused the request, or -1."""
    book, best, best_surplus = state.book, -1, 0
    for offer in range(len(facts.offer)):
        if state.visible_offer[plane, offer] == 0 or book.refused[row, offer] == 1:
            continue
        if book.net_nano_usd[row, facts.offer[offer]["sink"]] == FORBIDDEN:
            continue
        surplus = _surplus(facts, state, row, offer)
        if surplus > best_surplus:
            best, best_surplus = offer, surplus
    return best


@kernel
def _weakest(facts: Facts, rules: Rules, state: State, row: int, offer: int) -> int:
    """Return the lowest-ranking of a full offer's holders and the newcomer."""
    weakest = row
    for other in range(state.clock[N_BOOK]):
        if other != row and state.book.assigned[other] == offer:
            if _outranks(facts, rules, state, weakest, other, offer):
                weakest = other
    return weakest


@kernel
def route_posted(facts: Facts, rules: Rules, state: State, plane: int) -> int:
    """Let requests choose offers at posted prices; each offer keeps those it ranks first.

    Deferred acceptance (Gale and Shapley 1962, doi:10.2307/2312726). Where all offers rank alike,
    by arrival, it is serial dictatorship in that order. Returns the edges scanned.
    """
    book, edges = state.book, 0
    count = state.clock[N_BOOK]
    book.rent_nano_usd[:] = 0
    book.assigned[:count] = -1
    book.refused[:count] = 0
    for first in range(count):
        row = first
        while row >= 0:
            offer = _best_offer(facts, state, plane, row)
            edges += len(facts.offer)
            if offer < 0:
                break
            taken = 0
            for other in range(count):
                taken += book.assigned[other] == offer
            book.assigned[row] = offer
            if taken < state.visible_offer[plane, offer]:
                break
            loser = _weakest(facts, rules, state, row, offer)
            book.assigned[loser] = -1
            book.refused[loser, offer] = 1
            row = loser
    return edges

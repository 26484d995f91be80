"""The compiled decision rules: from one book to an assignment."""

from typing import Final

import numpy as np

from hanse.market.clearing import FORBIDDEN, ClearingScratch, clear_welfare
from hanse.market.columns import MAX_BEST, N_BOOK, N_CERTIFIED, NOW, Facts, Rules, State
from hanse.market.kernels import kernel
from hanse.market.preparation import quote, worth_usd
from hanse.market.units import NANO_USD_PER_USD, Integers

POSTED_RULE: Final = 0
WELFARE_RULE: Final = 1
FOREIGN_RULE: Final = 2


@kernel
def _open_sinks(facts: Facts, state: State, plane: int) -> int:
    """List the sinks with a visible unit, with their capacity, and return how many there are."""
    book, n_open = state.book, 0
    for sink in range(len(facts.sink)):
        if state.visible_sink[plane, sink] > 0:
            book.open_sink[n_open] = sink
            book.open_capacity[n_open] = state.visible_sink[plane, sink]
            n_open += 1
    return n_open


@kernel
def _quote_row(facts: Facts, rules: Rules, state: State, row: int, n_open: int) -> int:
    """Quote one request at each open sink that law and class allow; return the edges."""
    book, edges = state.book, 0
    fact = facts.stage[book.request[row]]
    for k in range(n_open):
        sink = book.open_sink[k]
        place = facts.sink[sink]
        book.net_nano_usd[row, sink] = FORBIDDEN
        is_legal = facts.legal[fact["signature"], place["region"]]
        if is_legal and place["accelerator"] == fact["accelerator"]:
            quote(facts, rules, state, row, book.request[row], sink, state.clock[NOW])
            book.net_nano_usd[row, sink] = (
                book.worth_nano_usd[row, sink] - book.cost_nano_usd[row, sink]
            )
            edges += 1
    return edges


@kernel
def write_book(facts: Facts, rules: Rules, state: State, plane: int) -> None:
    """Quote every request at every open sink: the whole book, for a router of the user's own."""
    n_open = _open_sinks(facts, state, plane)
    for row in range(state.clock[N_BOOK]):
        for sink in range(len(facts.sink)):
            state.book.net_nano_usd[row, sink] = FORBIDDEN
            state.book.worth_nano_usd[row, sink] = 0
            state.book.cost_nano_usd[row, sink] = 0
            state.book.occupied_us[row, sink] = 0
        _quote_row(facts, rules, state, row, n_open)


@kernel
def _ceiling_nano_usd(facts: Facts, state: State, stage: int) -> int:
    """Bound what a request can be worth anywhere: its value as it stands, at no cost at all."""
    fact = facts.stage[stage]
    value = worth_usd(facts, stage, state.clock[NOW] + fact["work_us"] + fact["rest_us"])
    return int(value * NANO_USD_PER_USD) + 1


@kernel
def _keep_best(best: Integers, n_kept: int, value: int) -> None:
    """Insert a value into a row of the `n_kept` largest, in falling order."""
    slot = n_kept
    while slot > 0 and best[slot - 1] < value:
        if slot < n_kept:
            best[slot] = best[slot - 1]
        slot -= 1
    if slot < n_kept:
        best[slot] = value


@kernel
def _raise_floor(state: State, row: int, n_open: int, n_kept: int) -> int:
    """Count a quoted request among the best of each open sink; return the lowest that matters."""
    book, floor = state.book, np.int64(1) << 62
    for k in range(n_open):
        best = book.best_nano_usd[k]
        _keep_best(best, n_kept, book.net_nano_usd[row, book.open_sink[k]])
        floor = min(floor, best[n_kept - 1])
    return int(floor)


@kernel
def route_welfare(facts: Facts, rules: Rules, state: State, plane: int) -> int:
    """Clear the book for maximal joint welfare; write sinks and rents; return the edges scanned.

    With F visible units, an optimum and its least prices exist among the F + 1 best requests of
    each sink (exchange argument), so a request whose ceiling lies below all of those stays out.
    """
    book, count = state.book, state.clock[N_BOOK]
    n_open, n_kept = _open_sinks(facts, state, plane), state.plane[plane]["n_visible"] + 1
    prunes = n_kept < min(MAX_BEST, count)
    edges, floor, n_candidates = 0, 0, 0
    if prunes:
        book.best_nano_usd[:n_open, :n_kept] = 0
    for row in range(count):
        if prunes and _ceiling_nano_usd(facts, state, book.request[row]) <= floor:
            continue
        quoted = _quote_row(facts, rules, state, row, n_open)
        if quoted == 0:
            continue
        edges += quoted
        if prunes:
            floor = _raise_floor(state, row, n_open, n_kept)
        for k in range(n_open):
            book.net_open[n_candidates, k] = book.net_nano_usd[row, book.open_sink[k]]
        book.candidate[n_candidates] = row
        n_candidates += 1
    if n_candidates > 0:
        edges += _clear(state, n_candidates, n_open)
    return edges


@kernel
def _certify(state: State, n_candidates: int, n_open: int) -> None:
    """Prove the clearing optimal: welfare must equal the dual bound at its prices, exactly."""
    book, primal, dual = state.book, 0, 0
    for k in range(n_open):
        dual += book.open_capacity[k] * book.open_rent[k]
    for row in range(n_candidates):
        surplus = 0
        for k in range(n_open):
            surplus = max(surplus, book.net_open[row, k] - book.open_rent[k])
        dual += surplus
        if book.candidate_sink[row] >= 0:
            primal += book.net_open[row, book.candidate_sink[row]]
    assert primal == dual, "a clearing was not optimal"
    state.clock[N_CERTIFIED] += 1


@kernel
def _clear(state: State, n_candidates: int, n_open: int) -> int:
    book = state.book
    scratch = ClearingScratch(state.scratch.sinks[:n_open], state.scratch.holders)
    edges = clear_welfare(
        book.net_open[:n_candidates, :n_open],
        book.open_capacity[:n_open],
        book.candidate_sink[:n_candidates],
        book.open_rent[:n_open],
        scratch,
    )
    _certify(state, n_candidates, n_open)
    for k in range(n_open):
        book.rent_nano_usd[book.open_sink[k]] = book.open_rent[k]
    for k in range(n_candidates):
        if book.candidate_sink[k] >= 0:
            sink = book.open_sink[book.candidate_sink[k]]
            book.assigned_sink[book.candidate[k]] = sink
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
def _best_offer(facts: Facts, state: State, row: int, n_open: int) -> int:
    """Return the slot of the open offer of largest positive surplus that has not refused, or -1."""
    book, best, best_surplus = state.book, -1, 0
    for slot in range(n_open):
        offer = book.open_offer[slot]
        if book.refused[row, slot] == 1:
            continue
        if book.net_nano_usd[row, facts.offer[offer]["sink"]] == FORBIDDEN:
            continue
        surplus = _surplus(facts, state, row, offer)
        if surplus > best_surplus:
            best, best_surplus = slot, surplus
    return best


@kernel
def _weakest(facts: Facts, rules: Rules, state: State, row: int, offer: int) -> int:
    """Return the lowest-ranking of a full offer's holders and the newcomer."""
    weakest = row
    for other in range(state.clock[N_BOOK]):
        holds = other != row and state.book.assigned[other] == offer
        if holds and _outranks(facts, rules, state, weakest, other, offer):
            weakest = other
    return weakest


@kernel
def _propose(facts: Facts, rules: Rules, state: State, plane: int, row: int, n_open: int) -> bool:
    """Let a request, and whomever it displaces, propose in turn; true if one more unit is held."""
    book = state.book
    while row >= 0:
        slot = _best_offer(facts, state, row, n_open)
        if slot < 0:
            return False
        offer = book.open_offer[slot]
        book.assigned[row] = offer
        if book.taken[slot] < state.visible_offer[plane, offer]:
            book.taken[slot] += 1
            return True
        row = _weakest(facts, rules, state, row, offer)
        book.assigned[row] = -1
        book.refused[row, slot] = 1
    return False


@kernel
def _open_offers(facts: Facts, state: State, plane: int) -> int:
    """List the offers with a visible unit and return how many there are."""
    book, n_open = state.book, 0
    for offer in range(len(facts.offer)):
        if state.visible_offer[plane, offer] > 0:
            book.open_offer[n_open] = offer
            book.taken[n_open] = 0
            n_open += 1
    return n_open


@kernel
def _in_order_of_readiness(state: State) -> None:
    """Write into `book.candidate` the rows by (readiness, index)."""
    book = state.book
    for k in range(state.clock[N_BOOK]):
        ready_us, slot = state.stage[book.request[k]]["ready_us"], k
        while (
            slot > 0 and state.stage[book.request[book.candidate[slot - 1]]]["ready_us"] > ready_us
        ):
            book.candidate[slot] = book.candidate[slot - 1]
            slot -= 1
        book.candidate[slot] = k


@kernel
def _can_displace(facts: Facts, rules: Rules, state: State, row: int, n_open: int) -> bool:
    """Say whether a request could still get a unit once earlier ones hold all of them."""
    owner = facts.stage[state.book.request[row]]["first_party"]
    if rules.first_party == 0 or owner < 0:
        return False
    for slot in range(n_open):
        if facts.offer[state.book.open_offer[slot]]["owner"] == owner:
            return True
    return False


@kernel
def _can_afford(facts: Facts, state: State, stage: int, posted_usd_per_us: float) -> bool:
    """Say whether a request could gain from the cheapest open offer at no other cost."""
    fact = facts.stage[stage]
    price = posted_usd_per_us * (fact["work_us"] + fact["rest_work_us"]) * NANO_USD_PER_USD
    return bool(_ceiling_nano_usd(facts, state, stage) > price)


@kernel
def route_posted(facts: Facts, rules: Rules, state: State, plane: int) -> int:
    """Let requests choose offers at posted prices; each offer keeps those it ranks first.

    Deferred acceptance (Gale and Shapley 1962, doi:10.2307/2312726). Where all offers rank alike,
    by readiness, it is serial dictatorship in that order. Returns the edges scanned.
    """
    book, edges = state.book, 0
    n_sinks, n_open = _open_sinks(facts, state, plane), _open_offers(facts, state, plane)
    n_left, cheapest = state.plane[plane]["n_visible"], np.inf
    for slot in range(n_open):
        cheapest = min(cheapest, facts.offer[book.open_offer[slot]]["posted_usd_per_us"])
    _in_order_of_readiness(state)
    for k in range(state.clock[N_BOOK]):
        row = book.candidate[k]
        if n_left == 0 and not _can_displace(facts, rules, state, row, n_open):
            continue
        if not _can_afford(facts, state, book.request[row], cheapest):
            continue
        book.refused[row, :n_open] = 0
        edges += _quote_row(facts, rules, state, row, n_sinks)
        if _propose(facts, rules, state, plane, row, n_open):
            n_left -= 1
    return edges

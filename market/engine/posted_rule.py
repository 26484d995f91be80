"""The posted rule, compiled: requests choose offers at posted prices, in order."""

import numpy as np

from hanse.market.engine.bits import drop_member, is_member, next_member
from hanse.market.engine.clock import N_BOOK, NOW
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.engine.options import bound_or_strike_off
from hanse.market.engine.preparation import ROUNDINGS, quote, worth_usd
from hanse.market.kernels import count_bits, kernel
from hanse.market.units import NANO_USD_PER_USD


@kernel
def _surplus_nano_usd(facts: Facts, state: State, stage: int, offer: int) -> int:
    """Return what a quoted stage gains from an offer at its posted price."""
    place = facts.offer[offer]
    row = state.quote[state.quote_rows.row_of[stage], place["sink"]]
    billed_us = row["occupied_us"] + facts.stage[stage]["rest_work_us"]
    price = np.int64(round(place["posted_usd_per_us"] * billed_us * 1e9))
    return int(row["worth_nano_usd"] - price)


@kernel
def _outranks(facts: Facts, rules: Rules, state: State, row: int, other: int, offer: int) -> bool:
    """Say whether a request comes before another at an offer: own jobs, then arrival, then id."""
    first, second = state.book.request[row], state.book.request[other]
    if rules.first_party == 1:
        owner = facts.offer[offer]["owner"]
        is_own = facts.stage[first]["ranks_with"] == owner
        is_other_own = facts.stage[second]["ranks_with"] == owner
        if is_own != is_other_own:
            return bool(is_own)
    ready, other_ready = state.stage[first]["ready_us"], state.stage[second]["ready_us"]
    return bool(ready < other_ready or (ready == other_ready and row < other))


@kernel
def _may_propose(
    facts: Facts, rules: Rules, state: State, plane: int, row: int, offer: int, is_displaced: int
) -> bool:
    """Say whether an offer could take a request: it has a unit left, or a holder to displace.

    Requests propose in order of readiness, so one that was never displaced outranks the holders
    of a full offer only as the owner's own.
    """
    book = state.book
    if book.taken[offer] < state.visible_offer[plane, offer]:
        return True
    if rules.first_party == 0 or state.visible_offer[plane, offer] == 0:
        return False
    is_own = facts.stage[book.request[row]]["ranks_with"] == facts.offer[offer]["owner"]
    return bool((is_own or is_displaced == 1) and book.refused[row, offer] == 0)


@kernel
def _note_whom_to_ask(state: State, plane: int, stage: int) -> int:
    """Write into `book.to_ask` the open sinks that have not refused a stage; return how many."""
    n_sinks = 0
    for word in range(state.open_sink.shape[1]):
        may = state.undecided[stage, word] | state.gained[plane, word]
        may &= state.option[stage, word] & state.open_sink[plane, word]
        state.book.to_ask[word] = may
        n_sinks += count_bits(may)
    return n_sinks


@kernel
def _first_of_equals(
    facts: Facts, rules: Rules, state: State, plane: int, row: int, choice: int, is_displaced: int
) -> int:
    """Return the first offer of a choice's sink that is as good: prices may differ by too little.

    What a stage gains is in whole nano-USD, so that a cheaper offer may gain it no more. Offers
    that cost no more than the choice have been asked already.
    """
    if choice < 0:
        return choice
    stage, chosen, first = state.book.request[row], facts.offer[choice], choice
    surplus = _surplus_nano_usd(facts, state, stage, choice)
    least_us = facts.stage[stage]["work_us"] + facts.stage[stage]["rest_work_us"]
    nano_usd_per_price = least_us * NANO_USD_PER_USD
    for k in range(chosen["rank"] + 1, facts.first_of_class[facts.stage[stage]["accelerator"] + 1]):
        entry = facts.price_list[k]
        if (entry["posted_usd_per_us"] - chosen["posted_usd_per_us"]) * nano_usd_per_price > 2:
            break
        offer = entry["offer"]
        is_as_good = offer < first and entry["sink"] == chosen["sink"]
        is_as_good = is_as_good and _surplus_nano_usd(facts, state, stage, offer) == surplus
        if is_as_good and _may_propose(facts, rules, state, plane, row, offer, is_displaced):
            first = offer
    return first


@kernel
def _best_offer(
    facts: Facts, rules: Rules, state: State, plane: int, row: int, is_displaced: int
) -> int:
    """Return the offer of largest positive surplus that could take the request, or -1.

    Of offers that gain as much it is the first by index. Offers are asked from cheap to dear, of
    each sink the first that could take the request, and no further than the price at which even a
    result at once and at no distance would gain less than what is found. Where no visible offer of
    a sink is cheap enough, only a further unit there can change that, unless one could not take the
    request now and may yet.
    """
    book, best, choice, is_contested = state.book, 1, -1, False
    stage = book.request[row]
    fact = facts.stage[stage]
    done_us = state.clock[NOW] + fact["work_us"] + fact["rest_us"]
    most_nano_usd = worth_usd(facts, stage, done_us) * NANO_USD_PER_USD + ROUNDINGS
    first = facts.first_of_class[fact["accelerator"]]
    last = facts.first_of_class[fact["accelerator"] + 1]
    nano_usd_per_price = (fact["work_us"] + fact["rest_work_us"]) * NANO_USD_PER_USD
    n_sinks = _note_whom_to_ask(state, plane, stage)
    k = next_member(state.open_offer[plane], first, last)
    while k < last and n_sinks > 0:
        entry = facts.price_list[k]
        k = next_member(state.open_offer[plane], k + 1, last)
        offer, sink, price = entry["offer"], entry["sink"], entry["posted_usd_per_us"]
        if most_nano_usd - price * nano_usd_per_price < best:
            break
        if not is_member(book.to_ask, sink):
            continue
        if not _may_propose(facts, rules, state, plane, row, offer, is_displaced):
            is_contested = True
            continue
        drop_member(book.to_ask, sink)
        n_sinks -= 1
        premium = price - facts.sink[sink]["posted_usd_per_us"]
        bound = bound_or_strike_off(facts, rules, state, stage, sink)
        bound -= premium * nano_usd_per_price
        if bound <= 0 and not is_contested:
            drop_member(state.undecided[stage], sink)
        if bound < best:
            continue
        quote(facts, rules, state, stage, sink)
        surplus = _surplus_nano_usd(facts, state, stage, offer)
        if surplus > best or (surplus == best and (choice < 0 or offer < choice)):
            best, choice = surplus, offer
    return _first_of_equals(facts, rules, state, plane, row, choice, is_displaced)


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
def _propose(facts: Facts, rules: Rules, state: State, plane: int, row: int) -> bool:
    """Let a request, and whomever it displaces, propose in turn; true if one more unit is held."""
    book, is_displaced = state.book, 0
    while row >= 0:
        offer = _best_offer(facts, rules, state, plane, row, is_displaced)
        if offer < 0:
            return False
        book.assigned[row] = offer
        if book.taken[offer] < state.visible_offer[plane, offer]:
            book.taken[offer] += 1
            return True
        row = _weakest(facts, rules, state, row, offer)
        book.assigned[row] = -1
        book.refused[row, offer] = 1
        is_displaced = 1
    return False


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
def _owns_an_open_offer(facts: Facts, state: State, plane: int, stage: int) -> bool:
    """Say whether a request is a first party's own, and that owner has a unit in view."""
    owner = facts.stage[stage]["ranks_with"]
    if owner >= 0:
        for offer in range(len(facts.offer)):
            if facts.offer[offer]["owner"] == owner and state.visible_offer[plane, offer] > 0:
                return True
    return False


@kernel
def route_posted(facts: Facts, rules: Rules, state: State, plane: int) -> None:
    """Let requests choose offers at posted prices; each offer keeps those it ranks first.

    Deferred acceptance (Gale and Shapley 1962, doi:10.2307/2312726). Where all offers rank alike,
    by readiness, it is serial dictatorship in that order.
    """
    book, n_left = state.book, state.plane[plane]["n_visible"]
    for offer in range(len(facts.offer)):
        book.taken[offer] = 0
    _in_order_of_readiness(state)
    for k in range(state.clock[N_BOOK]):
        row = book.candidate[k]
        if n_left == 0 and rules.first_party == 0:
            break
        if n_left == 0 and not _owns_an_open_offer(facts, state, plane, book.request[row]):
            continue
        if rules.first_party == 1:
            for offer in range(len(facts.offer)):
                book.refused[row, offer] = 0
        if _propose(facts, rules, state, plane, row):
            n_left -= 1

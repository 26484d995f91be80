"""The welfare rule, compiled: one book cleared for the largest joint welfare."""

import numpy as np

from hanse.market.clearing import FORBIDDEN, ClearingScratch, clear_welfare
from hanse.market.engine.bits import WORD_BITS
from hanse.market.engine.clock import N_BOOK, N_CERTIFIED, NOW
from hanse.market.engine.columns import MAX_BEST, Facts, Rules, State
from hanse.market.engine.options import bound_or_strike_off
from hanse.market.engine.preparation import quote, worth_usd
from hanse.market.kernels import kernel, lowest_bit
from hanse.market.units import NANO_USD_PER_USD, Integers


@kernel
def _net_nano_usd(state: State, stage: int, sink: int) -> int:
    """Return what a quoted stage adds to welfare at a sink."""
    row = state.quote[state.quote_rows.row_of[stage], sink]
    return int(row["worth_nano_usd"] - row["cost_nano_usd"])


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
def _raise_floor(state: State, candidate: int, n_open: int, n_kept: int) -> int:
    """Count a quoted request among the best of each open sink; return the lowest that matters."""
    book, floor = state.book, np.int64(1) << 62
    for k in range(n_open):
        best = book.best_nano_usd[k]
        _keep_best(best, n_kept, book.net_open[candidate, k])
        floor = min(floor, best[n_kept - 1])
    return int(floor)


@kernel
def _list_open_sinks(state: State, plane: int) -> int:
    """List the sinks with a visible unit, with their capacity, and return how many there are."""
    book, n_open = state.book, 0
    for word in range(state.open_sink.shape[1]):
        rest = state.open_sink[plane, word]
        while rest != 0:
            sink = word * WORD_BITS + lowest_bit(rest)
            rest &= rest - 1
            book.open_sink[n_open] = sink
            book.open_capacity[n_open] = state.visible_sink[plane, sink]
            book.slot[sink] = n_open
            n_open += 1
    return n_open


@kernel
def _bound_row(facts: Facts, rules: Rules, state: State, plane: int, stage: int) -> int:
    """Bound what a request can gain at each open sink, and return the largest bound."""
    largest = 0
    for word in range(state.open_sink.shape[1]):
        rest = state.option[stage, word] & state.open_sink[plane, word]
        while rest != 0:
            sink = word * WORD_BITS + lowest_bit(rest)
            rest &= rest - 1
            bound = bound_or_strike_off(facts, rules, state, stage, sink)
            largest = max(largest, bound)
    return int(largest)


@kernel
def _quote_row(
    facts: Facts, rules: Rules, state: State, plane: int, row: int, candidate: int, n_open: int
) -> bool:
    """Quote a request at each open sink that is an option; say whether it can gain anywhere."""
    book, stage, can_gain = state.book, state.book.request[row], False
    for k in range(n_open):
        book.net_open[candidate, k] = FORBIDDEN
    for word in range(state.open_sink.shape[1]):
        rest = state.option[stage, word] & state.open_sink[plane, word]
        while rest != 0:
            sink = word * WORD_BITS + lowest_bit(rest)
            rest &= rest - 1
            quote(facts, rules, state, stage, sink)
            net = _net_nano_usd(state, stage, sink)
            book.net_open[candidate, book.slot[sink]] = net
            if net > 0:
                can_gain = True
            else:
                bound_or_strike_off(facts, rules, state, stage, sink)
    return can_gain


@kernel
def route_welfare(facts: Facts, rules: Rules, state: State, plane: int) -> None:
    """Clear the book for maximal joint welfare; write sinks and rents.

    With F visible units, an optimum and its least prices exist among the F + 1 best requests of
    each sink (exchange argument), so a request whose bounds lie below all of those stays out.
    """
    book, count = state.book, state.clock[N_BOOK]
    if count == 1:
        _route_alone(facts, rules, state, plane)
        return
    n_open, n_kept = _list_open_sinks(state, plane), state.plane[plane]["n_visible"] + 1
    prunes = n_kept < min(MAX_BEST, count)
    floor, n_candidates = 0, 0
    if prunes:
        for k in range(n_open):
            for rank in range(n_kept):
                book.best_nano_usd[k, rank] = 0
    for row in range(count):
        stage = book.request[row]
        if prunes and _ceiling_nano_usd(facts, state, stage) <= floor:
            continue
        if prunes and _bound_row(facts, rules, state, plane, stage) <= floor:
            continue
        if not _quote_row(facts, rules, state, plane, row, n_candidates, n_open):
            continue
        if prunes:
            floor = _raise_floor(state, n_candidates, n_open, n_kept)
        book.candidate[n_candidates] = row
        n_candidates += 1
    if n_candidates > 0:
        _clear(state, n_candidates, n_open)


@kernel
def _route_alone(facts: Facts, rules: Rules, state: State, plane: int) -> None:
    """Give a request that nobody competes with the sink where it is worth most, free of rent.

    The most promising sink is quoted first: few others can then still be better.
    """
    book, stage = state.book, state.book.request[0]
    best, choice = 0, -1
    promise = book.net_open[0]
    first = _promise_row(facts, rules, state, plane, stage, promise)
    if first >= 0:
        quote(facts, rules, state, stage, first)
        net = _net_nano_usd(state, stage, first)
        if net > 0:
            best, choice = net, first
    for word in range(state.open_sink.shape[1]):
        rest = state.option[stage, word] & state.open_sink[plane, word]
        while rest != 0:
            sink = word * WORD_BITS + lowest_bit(rest)
            rest &= rest - 1
            if sink == first or promise[sink] <= 0 or promise[sink] < best:
                continue
            quote(facts, rules, state, stage, sink)
            net = _net_nano_usd(state, stage, sink)
            if net > best or (net == best and 0 <= sink < choice):
                best, choice = net, sink
    book.assigned_sink[0] = choice
    state.clock[N_CERTIFIED] += choice >= 0


@kernel
def _promise_row(
    facts: Facts, rules: Rules, state: State, plane: int, stage: int, promise: Integers
) -> int:
    """Bound what a request can gain at each open sink; return where that is most, or -1."""
    largest, first = 0, -1
    for word in range(state.open_sink.shape[1]):
        rest = state.option[stage, word] & state.open_sink[plane, word]
        while rest != 0:
            sink = word * WORD_BITS + lowest_bit(rest)
            rest &= rest - 1
            promise[sink] = bound_or_strike_off(facts, rules, state, stage, sink)
            if promise[sink] > largest:
                largest, first = promise[sink], sink
    return first


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
def _clear(state: State, n_candidates: int, n_open: int) -> None:
    """Clear the candidates over the open sinks, prove it, and write sinks and rents."""
    book = state.book
    scratch = ClearingScratch(state.scratch.sinks[:n_open], state.scratch.holders)
    clear_welfare(
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

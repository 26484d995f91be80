"""What every decision rule begins with: the edges of a book, and the options of a request.

No rule quotes what cannot matter. A request keeps in bits the sinks it may still gain from
(`State.option`): a sink whose bound is not above zero is struck off for good, and one whose bound
does not reach what the request has been quoted already is passed over. Charged is the book all the
same, by `count_edges`.
"""

from hanse.market.engine.bits import WORD_BITS, drop_member
from hanse.market.engine.clock import N_BOOK, NOW
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.engine.pools import give_back
from hanse.market.engine.preparation import bound_nano_usd, quote
from hanse.market.kernels import count_bits, kernel, lowest_bit


@kernel
def _may_use(facts: Facts, state: State, stage: int, word: int) -> int:
    """Return in bits which sinks law and class allow a stage and its plane commands."""
    signature = facts.stage[stage]["signature"]
    return int(facts.admissible[signature, word] & facts.scope[state.stage[stage]["plane"], word])


@kernel
def count_edges(facts: Facts, state: State, plane: int) -> int:
    """Count the pairs of a request of the book and an open sink that it may have."""
    book, edges = state.book, 0
    for row in range(state.clock[N_BOOK]):
        for word in range(state.open_sink.shape[1]):
            may_use = _may_use(facts, state, book.request[row], word)
            edges += count_bits(may_use & state.open_sink[plane, word])
    return edges


@kernel
def offer_options(facts: Facts, state: State, stage: int) -> None:
    """Let a stage that comes to a plane gain from every sink that law, class and plane allow."""
    for word in range(state.option.shape[1]):
        state.option[stage, word] = _may_use(facts, state, stage, word)
    give_back(state.quote_rows, stage)


@kernel
def write_book(facts: Facts, rules: Rules, state: State, plane: int) -> None:
    """Quote every request at every open sink: the whole book, for a router of the user's own."""
    book = state.book
    for row in range(state.clock[N_BOOK]):
        stage = book.request[row]
        for word in range(state.open_sink.shape[1]):
            rest = _may_use(facts, state, stage, word) & state.open_sink[plane, word]
            while rest != 0:
                quote(facts, rules, state, stage, word * WORD_BITS + lowest_bit(rest))
                rest &= rest - 1


@kernel
def _strike_off(state: State, stage: int, sink: int) -> None:
    """Take a sink off the options of a stage, for as long as its inputs stay where they are."""
    drop_member(state.option[stage], sink)


@kernel
def bound_or_strike_off(facts: Facts, rules: Rules, state: State, stage: int, sink: int) -> int:
    """Bound what a stage can gain at a sink; where that is nothing, the sink is no option more."""
    bound = bound_nano_usd(facts, rules, state, stage, sink, state.clock[NOW])
    if bound <= 0:
        _strike_off(state, stage, sink)
    return bound

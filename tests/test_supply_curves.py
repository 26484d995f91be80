"""Live supply curves: what is taken is the cheapest that is free, whatever went before."""

from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.market.exchange.supply_curves import (
    ASK_MAX,
    NO_UNIT,
    SOLD_OUT,
    SupplyCurves,
    free_units,
    give_back,
    next_asks,
    supply_curves,
    take,
)

N_SINKS: Final = 3
SINK: Final = np.arange(12) % N_SINKS

asks = st.lists(st.integers(0, 5), min_size=12, max_size=12)
# Take from a sink, or give a number of the units that are out back, at a change of their asks.
moves = st.lists(
    st.tuples(st.just(True), st.integers(0, N_SINKS - 1), st.just(0))
    | st.tuples(st.just(False), st.integers(1, 3), st.integers(0, 3)),
    max_size=40,
)


def after(ask: list[int], steps: list[tuple[bool, int, int]]) -> SupplyCurves:
    """Live through takes and returns, each checked against a search through all free units."""
    curves = supply_curves(SINK, np.array(ask), n_sinks=N_SINKS)
    free, current = set(range(12)), list(ask)
    out: list[int] = []
    for is_take, number, change in steps:
        if is_take:
            open_units = [(current[unit], unit) for unit in free if SINK[unit] == number]
            cheapest = min(open_units)[1] if open_units else NO_UNIT
            assert take(curves, number) == cheapest
            out += [cheapest] if open_units else []
            free -= {cheapest}
        else:
            back, out = np.array(out[:number], np.int64), out[number:]
            new_ask = curves.unit_ask[back] + change
            give_back(curves, back, ask_nano_usd=new_ask)
            free |= set(back.tolist())
            for unit, asked in zip(back.tolist(), new_ask.tolist(), strict=True):
                current[unit] = asked
    assert set(np.flatnonzero(curves.is_free).tolist()) == free
    assert curves.unit_ask.tolist() == current
    return curves


@settings(max_examples=300)
@given(asks, moves)
def test_a_curve_that_has_lived_is_the_curve_of_what_is_free(
    ask: list[int], steps: list[tuple[bool, int, int]]
) -> None:
    curves = after(ask, steps)
    free = np.flatnonzero(curves.is_free)
    fresh = supply_curves(SINK[free], curves.unit_ask[free], n_sinks=N_SINKS)
    assert next_asks(curves).tolist() == next_asks(fresh).tolist()
    for sink in range(N_SINKS):
        assert free_units(curves, sink).tolist() == free[free_units(fresh, sink)].tolist()
        drained = [take(curves, sink) for _ in range(int(curves.n_free[sink]))]
        assert drained == [int(free[take(fresh, sink)]) for _ in drained]
        assert take(curves, sink) == NO_UNIT


def test_a_large_curve_is_drained_in_the_order_of_a_sort() -> None:
    rng = np.random.default_rng(1)
    sink, ask = rng.integers(0, 5, 20_000), rng.integers(0, 5_000, 20_000)
    curves = supply_curves(sink, ask, n_sinks=5)
    for place in range(5):
        units = np.flatnonzero(sink == place)
        expected = units[np.lexsort((units, ask[units]))]
        assert free_units(curves, place).tolist() == expected.tolist()
        assert [take(curves, place) for _ in expected] == expected.tolist()
    assert (next_asks(curves) == SOLD_OUT).all()


def test_a_sink_without_units_is_sold_out_from_the_start() -> None:
    curves = supply_curves(np.array([2]), np.array([7]), n_sinks=4)
    assert next_asks(curves).tolist() == [SOLD_OUT, SOLD_OUT, 7, SOLD_OUT]
    assert take(curves, 0) == NO_UNIT


def test_giving_back_what_is_not_out_is_refused_and_changes_nothing() -> None:
    curves = supply_curves(np.zeros(4, np.int64), np.array([4, 3, 2, 1]), n_sinks=1)
    assert [take(curves, 0), take(curves, 0)] == [3, 2]
    for wrong in ([2, 1], [3, 3], [2, 3, 2], [4], [-1]):
        with pytest.raises(ValueError, match="unit must"):
            give_back(curves, np.array(wrong))
    with pytest.raises(ValueError, match="ask_nano_usd"):
        give_back(curves, np.array([3]), ask_nano_usd=np.array([ASK_MAX + 1]))
    assert curves.is_free.tolist() == [1, 1, 0, 0]
    assert free_units(curves, 0).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("sink", "ask", "named"),
    [
        ([0, 3], [1, 1], "sink must be below 3, got 3"),
        ([-1], [1], "sink must be at least 0"),
        ([0], [1, 2], "ask_nano_usd must have shape"),
        ([0], [ASK_MAX + 1], "ask_nano_usd must be at most 2\\*\\*57"),
        ([0], [0.5], "ask_nano_usd must be whole"),
    ],
)
def test_units_that_mean_nothing_are_refused_by_name(
    sink: list[int], ask: list[float], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        supply_curves(np.array(sink), np.array(ask), n_sinks=3)

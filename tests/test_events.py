"""The calendar of events: whatever is put on it comes off in order, ties by key."""

import heapq

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hanse.market.engine.events import EVENT, index_of, key_of, kind_of, pop, push

SIZE = 40

events = st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 48, 82]), st.integers(0, 3))


@given(todo=st.lists(st.one_of(st.none(), events), max_size=2 * SIZE))
def test_events_come_off_by_instant_then_kind_then_index_however_they_went_on(
    todo: list[tuple[int, int, int] | None],
) -> None:
    heap, size, expected = np.zeros(SIZE, EVENT), 0, list[tuple[int, int, int]]()
    for event in [*todo, *[None] * SIZE]:
        if event is not None and size < SIZE:
            size = push(heap, size, *event)
            heapq.heappush(expected, event)
        elif event is None and size > 0:
            at_us, key = int(heap[0]["at_us"]), int(heap[0]["key"])
            assert (at_us, kind_of(key), index_of(key)) == heapq.heappop(expected)
            size = pop(heap, size)
    assert size == len(expected) == 0


def test_a_key_is_ordered_by_kind_before_index() -> None:
    assert key_of(1, (1 << 40) - 1) < key_of(2, 0)

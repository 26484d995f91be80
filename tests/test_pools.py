"""Rows that stages borrow, and sets of units in words: against the plainest way to do the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.market.engine.bits import (
    WORD_BITS,
    add_member,
    drop_member,
    n_words,
    next_member,
    unpack,
)
from hanse.market.engine.columns import STAGE
from hanse.market.engine.pools import borrow_row, give_back, pool
from hanse.market.engine.stage_clock import time_by_group

N_STAGES = 6
UNITS = 3 * WORD_BITS

stages = st.lists(st.integers(0, N_STAGES - 1), max_size=60)
units = st.integers(0, UNITS - 1)


@given(turns=stages)
def test_no_two_stages_ever_have_one_row_and_no_more_rows_are_used_than_were_needed(
    turns: list[int],
) -> None:
    rows, holders, most = pool(N_STAGES), set[int](), 0
    for stage in turns:  # each takes a row, or gives back the one it has
        if stage in holders:
            holders.remove(stage)
            give_back(rows, stage)
            assert rows.row_of[stage] == -1
        else:
            holders.add(stage)
            assert borrow_row(rows, stage) == rows.row_of[stage]
        most = max(most, len(holders))
        held = rows.row_of[rows.row_of >= 0]
        assert len(set(held.tolist())) == len(holders)
        assert held.max(initial=-1) < most


def test_the_row_given_back_last_is_lent_first_and_nothing_is_given_back_twice() -> None:
    rows = pool(3)
    assert [borrow_row(rows, stage) for stage in range(3)] == [0, 1, 2]
    for stage in (2, 0, 0):
        give_back(rows, stage)
    assert [borrow_row(rows, stage) for stage in (0, 2)] == [0, 2]


@given(changes=st.lists(st.tuples(st.booleans(), units), max_size=80), start=units, stop=units)
def test_the_next_member_is_the_least_one_from_the_start_on(
    changes: list[tuple[bool, int]], start: int, stop: int
) -> None:
    words, members = np.zeros(n_words(UNITS), np.int64), set[int]()
    for joins, unit in changes:
        (add_member if joins else drop_member)(words, unit)
        (members.add if joins else members.discard)(unit)
    assert set(np.flatnonzero(unpack(words, UNITS)).tolist()) == members
    for last in (stop, UNITS):
        after = [unit for unit in members if start <= unit < last]
        assert next_member(words, start, last) == min(after, default=last)


def test_a_search_that_starts_behind_the_last_word_finds_nothing() -> None:
    words = np.zeros(n_words(UNITS), np.int64)
    assert next_member(words, UNITS, UNITS) == UNITS


@pytest.mark.parametrize("n_families", [1, 3])
def test_stage_time_by_group_is_the_sum_over_its_stages(n_families: int) -> None:
    rng = np.random.default_rng(3)
    family, time_us = rng.integers(n_families, size=40), rng.integers(1 << 50, size=(40, 5))
    total = time_by_group(family, time_us, n_families)
    assert total.tolist() == [
        time_us[family == one].sum(axis=0).tolist() for one in range(n_families)
    ]


def test_the_fields_of_a_stage_hold_what_a_run_may_put_there() -> None:
    low = {name: np.iinfo(STAGE[name]).max for name in ("bounces", "redos", "attempt", "plane")}
    assert (
        min(low.values()) > 1_000
    )  # the most planes, bounces and redos that a scenario may ask for
    assert np.iinfo(STAGE["unit"]).max > 1_000_000  # the largest fleet
    assert np.iinfo(STAGE["planned"]).bits > 22  # one bit for each state

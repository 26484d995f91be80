"""What compiled code rests on: pointers to tuples through which stores are kept, and bits."""

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hanse.market.engine.bits import WORD_BITS, n_words, pack, unpack
from hanse.market.kernels import borrow, count_bits, kernel, lowest_bit
from hanse.market.units import Flags, Integers


class Columns(NamedTuple):
    """Two columns."""

    counts: Integers
    table: Integers


@kernel
def store_in_a_loop(columns: Columns) -> int:
    """Write behind a borrowed pointer, in a loop, and read nothing of it."""
    columns = borrow(columns)
    for row in range(len(columns.counts)):
        columns.counts[row] += 1
        columns.table[row, 0] = 7
    return 0


def test_what_is_stored_behind_a_borrowed_pointer_is_kept() -> None:
    columns = Columns(np.zeros(3, np.int64), np.zeros((3, 2), np.int64))
    store_in_a_loop(columns)
    assert columns.counts.tolist() == [1, 1, 1]
    assert columns.table.tolist() == [[7, 0]] * 3


@kernel
def members(word: int, found: Integers) -> int:
    """List the bits of a word and return how many there are."""
    count, rest = 0, word
    while rest != 0:
        found[count] = lowest_bit(rest)
        count += 1
        rest &= rest - 1
    return count if count == count_bits(word) else -1


@given(flags=st.lists(st.booleans(), max_size=3 * WORD_BITS))
def test_words_hold_the_members_of_a_set(flags: list[bool]) -> None:
    is_member: Flags = np.array(flags, bool)
    words = pack(is_member)
    assert len(words) == n_words(len(flags))
    assert (words >= 0).all()
    assert unpack(words, len(flags)).tolist() == flags
    found = np.zeros(WORD_BITS, np.int64)
    listed = []
    for position, word in enumerate(words.tolist()):
        count = members(word, found)
        listed += [position * WORD_BITS + bit for bit in found[:count].tolist()]
    assert listed == np.flatnonzero(is_member).tolist()

"""Sets of sinks as words of bits: which are open, which a request may still want, which are both.

A word keeps to 62 bits, so that it is a positive int64 whichever way it is read.
"""

from typing import Final

import numpy as np

from hanse.market.kernels import kernel, lowest_bit
from hanse.market.units import Flags, Integers

WORD_BITS: Final = 62


def n_words(n_members: int) -> int:
    """Return how many words a set over so many members takes, at least one."""
    return max(1, -(-n_members // WORD_BITS))


def pack(is_member: Flags) -> Integers:
    """Pack rows of flags, shape (..., n_members), into words, shape (..., n_words)."""
    *rows, n_members = is_member.shape
    size = n_words(n_members)
    padded = np.zeros((*rows, size * WORD_BITS), np.int64)
    padded[..., :n_members] = is_member
    packed: Integers = padded.reshape(*rows, size, WORD_BITS) @ (1 << np.arange(WORD_BITS))
    return packed


def unpack(words: Integers, n_members: int) -> Flags:
    """Unpack words, shape (..., n_words), into flags, shape (..., n_members): undo `pack`."""
    bit = (words[..., None] >> np.arange(WORD_BITS)) & 1
    flags: Flags = bit.reshape(*words.shape[:-1], -1)[..., :n_members].astype(bool)
    return flags


@kernel
def add_member(words: Integers, member: int) -> None:
    """Put a member into a set."""
    words[member // WORD_BITS] |= 1 << (member % WORD_BITS)


@kernel
def drop_member(words: Integers, member: int) -> None:
    """Take a member out of a set."""
    words[member // WORD_BITS] &= ~(1 << (member % WORD_BITS))


@kernel
def is_member(words: Integers, member: int) -> bool:
    """Say whether a set has a member."""
    return bool(words[member // WORD_BITS] >> (member % WORD_BITS) & 1)


@kernel
def next_member(words: Integers, start: int, stop: int) -> int:
    """Return the least member from `start` on below `stop`, or `stop` if there is none."""
    if start >= stop:
        return stop
    word = start // WORD_BITS
    rest = words[word] >> (start % WORD_BITS) << (start % WORD_BITS)
    while rest == 0:
        word += 1
        if word * WORD_BITS >= stop:
            return stop
        rest = words[word]
    return int(min(stop, word * WORD_BITS + lowest_bit(rest)))

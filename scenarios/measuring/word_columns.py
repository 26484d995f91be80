"""Word columns: the one place for columns of words that many runs share.

Which measures there are, and of which families, is the same in run after run. Their columns are
made once, and packed once for all runs of a batch; they must not be written to, and cannot be.
"""

from functools import lru_cache

import numpy as np

Column = np.ndarray[tuple[int, ...], np.dtype[np.generic]]


@lru_cache(maxsize=256)
def listed(words: tuple[str, ...]) -> Column:
    """Return the words as they come."""
    return _shared(np.array(words, dtype=object))


@lru_cache(maxsize=64)
def each_repeated(words: tuple[str, ...], times: int) -> Column:
    """Repeat each word before the next."""
    return _shared(np.repeat(np.array(words, dtype=object), times))


@lru_cache(maxsize=64)
def all_repeated(words: tuple[str, ...], times: int) -> Column:
    """Repeat the words one after the other."""
    return _shared(np.tile(np.array(words, dtype=object), times))


def _shared(column: Column) -> Column:
    column.setflags(write=False)
    return column

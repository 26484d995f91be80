"""Rows that stages borrow while they need them, so that memory follows those that do."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.market.kernels import kernel
from hanse.market.units import Integers

_NO_ROW = -1
_N_USED, _N_FREE = range(2)


class Pool(NamedTuple):
    """Which row of a table each stage has, or -1; the rows given back, and how many rows are which.

    The table has a row for every stage and is left as the system gives it: what nobody has ever
    borrowed takes no memory.
    """

    row_of: NDArray[np.int32]
    free: NDArray[np.int32]
    size: Integers


def pool(n_stages: int) -> Pool:
    """Return a pool of which nothing is borrowed."""
    return Pool(
        row_of=np.full(n_stages, _NO_ROW, np.int32),
        free=np.empty(n_stages, np.int32),
        size=np.zeros(2, np.int64),
    )


@kernel
def borrow_row(rows: Pool, stage: int) -> int:
    """Return a row for a stage that has none; what was last given back is lent first."""
    if rows.size[_N_FREE] > 0:
        rows.size[_N_FREE] -= 1
        row = rows.free[rows.size[_N_FREE]]
    else:
        row = rows.size[_N_USED]
        rows.size[_N_USED] += 1
    rows.row_of[stage] = row
    return int(row)


@kernel
def give_back(rows: Pool, stage: int) -> None:
    """Let others have the row of a stage, if it has one."""
    row = rows.row_of[stage]
    if row >= 0:
        rows.row_of[stage] = _NO_ROW
        rows.free[rows.size[_N_FREE]] = row
        rows.size[_N_FREE] += 1

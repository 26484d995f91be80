"""The one place for displacement: which idle or held units kept released work waiting.

At one instant, signatures (rows of `legal`) have stages waiting and sinks have units idle or held.
Displaced units are the maximum flow between them; among maxima the one that uses sinks as evenly
as law allows (least sum of f_s**2 / n_s), which is unique at each sink. It is found by Fujishige's
decomposition (Mathematics of Operations Research 5(2), 1980): pour all waiting work into the sinks
at one level, work / units; where that fails, the minimum cut sets apart what must lie above the
level from what can lie below, and each part is solved alone. Sinks of a part of level r are then
used to the share min(r, 1), its signatures served to min(1 / r, 1): as evenly as law allows, too.

What that leaves open, which signature uses which sink of its part, is split by maximum entropy:
x = a[signature] * b[sink] on all pairs that can carry flow; pro rata where law forbids nothing.
So the result is a property of the counts: no index breaks a tie.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.market.kernels import kernel
from hanse.market.units import Flags, Floats, Integers

Counts = NDArray[np.int32] | Integers

_SIGNATURE = np.dtype([("work", "f8"), ("part", "i8")])
_SINK = np.dtype([("units", "f8"), ("part", "i8")])
_COLUMN = np.dtype([("id", "i8"), ("amount", "f8"), ("via", "i8")])
_ROW = np.dtype([*_COLUMN.descr, ("room", "f8"), ("queue", "i8"), ("factor", "f8"), ("step", "f8")])
_ROWS, _COLUMNS, _SEEN, _FILLED = range(4)  # numbers in _Run.size
_WORK, _UNITS, _LEFT = range(3)  # sums in _Run.total
_UNSEEN, _ROOT, _ANY_LEFT = -2, -1, -1
_TOTAL_MAX: Final = 1 << 26  # products of two such totals are exact in float64
_SPLIT_TOLERANCE: Final = 1e-12
_STEPS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Displacement:
    """Unit-microseconds displaced, by column and sink; and units displaced at each instant."""

    displaced_us: Floats
    displaced: Floats


class _Run(NamedTuple):
    """The arguments of `displace`; then one instant by signature and sink; then one part of it.

    Rows are the signatures of the part, columns its sinks. While work is poured, amounts are what
    is left and `cell` the flow, both times the units of the part: whole numbers, so that the search
    for a maximum is exact. Then amounts are what rows and columns have of the final flow, and
    `cell` is that flow.
    """

    waiting: NDArray[np.int32]
    available: NDArray[np.int32]
    weight_us: Floats
    column_signature: Integers
    legal: Flags
    signature: NDArray[np.void]
    sink: NDArray[np.void]
    flow: Floats
    size: Integers
    total: Floats
    row: NDArray[np.void]
    column: NDArray[np.void]
    can_use: Flags
    cell: Floats
    curvature: Floats
    filled: Integers


def displace(
    *,
    waiting: Counts,
    available: Counts,
    weight_us: Integers,
    column_signature: Integers,
    legal: Flags,
) -> Displacement:
    """Integrate the units displaced at sampled instants, by demand column and sink.

    Parameters
    ----------
    waiting : stages waiting, shape (n_instants, n_columns).
    available : units idle or held, shape (n_instants, n_sinks).
    weight_us : time that each instant stands for, shape (n_instants,).
    column_signature : shape (n_columns,); columns of one signature share its flow pro rata.
    legal : shape (n_signatures, n_sinks); whether a unit there could serve such a stage.

    Examples
    --------
    >>> waiting, available, legal = np.array([[3, 1]]), np.array([[6, 2]]), np.array([[True, True]])
    >>> result = displace(
    ...     waiting=waiting, available=available, legal=legal,
    ...     weight_us=np.array([10]), column_signature=np.array([0, 0]),
    ... )
    >>> result.displaced_us.tolist()  # 4 units for 10 us, 3 : 1 over columns and over sinks
    [[22.5, 7.5], [7.5, 2.5]]
    """
    n_signatures, n_sinks = legal.shape
    run = _Run(
        waiting=np.ascontiguousarray(waiting, dtype=np.int32),
        available=np.ascontiguousarray(available, dtype=np.int32),
        weight_us=np.asarray(weight_us, dtype=np.float64),
        column_signature=np.asarray(column_signature, dtype=np.int64),
        legal=np.ascontiguousarray(legal, dtype=np.bool_),
        signature=np.zeros(n_signatures, _SIGNATURE),
        sink=np.zeros(n_sinks, _SINK),
        flow=np.zeros(legal.shape),
        size=np.zeros(4, dtype=np.int64),
        total=np.zeros(3),
        row=np.zeros(n_signatures, _ROW),
        column=np.zeros(n_sinks, _COLUMN),
        can_use=np.zeros(legal.shape, dtype=np.bool_),
        cell=np.zeros(legal.shape),
        curvature=np.zeros((n_signatures, n_signatures)),
        filled=np.zeros(len(column_signature), dtype=np.int64),
    )
    _check(run)
    result = Displacement(
        displaced_us=np.zeros((len(column_signature), n_sinks)), displaced=np.zeros(len(weight_us))
    )
    _integrate(run, result.displaced_us, result.displaced)
    return result


def _check(run: _Run) -> None:
    n_instants, index = len(run.weight_us), run.column_signature
    widths = {"waiting": len(index), "available": len(run.sink)}
    for name, counts in (("waiting", run.waiting), ("available", run.available)):
        shape = (n_instants, widths[name])
        if counts.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {counts.shape}")
        least, most = counts.min(initial=0), counts.sum(axis=1).max(initial=0)
        if least < 0 or most > _TOTAL_MAX:
            raise ValueError(f"{name} must be 0 to {_TOTAL_MAX} in all, got {least} to {most}")
    for wrong in index[(index < 0) | (index >= len(run.signature))]:
        raise ValueError(f"column_signature must be below {len(run.signature)}, got {wrong}")


@kernel
def _integrate(run: _Run, displaced_us: Floats, displaced: Floats) -> None:
    """Solve every instant and add up its flow, weighted by time."""
    for k in range(len(run.weight_us)):
        _count(run, k)
        displaced[k] = _solve(run)
        for position in range(run.size[_FILLED]):
            column = run.filled[position]
            signature = run.column_signature[column]
            if run.signature[signature]["part"] >= 0:
                weight_us = run.weight_us[k] * run.waiting[k, column]
                weight_us /= run.signature[signature]["work"]
                for sink in range(len(run.sink)):
                    displaced_us[column, sink] += weight_us * run.flow[signature, sink]


@kernel
def _count(run: _Run, k: int) -> None:
    """Add up waiting stages by signature and leave out whatever has no partner."""
    for signature in range(len(run.signature)):
        run.signature[signature]["work"], run.signature[signature]["part"] = 0, -1
    run.size[_FILLED] = 0
    for column in range(len(run.column_signature)):
        if run.waiting[k, column] > 0:
            run.signature[run.column_signature[column]]["work"] += run.waiting[k, column]
            run.filled[run.size[_FILLED]] = column
            run.size[_FILLED] += 1
    for sink in range(len(run.sink)):
        run.sink[sink]["units"], run.sink[sink]["part"] = run.available[k, sink], -1
    for signature in range(len(run.signature)):
        if run.signature[signature]["work"] > 0:
            for sink in range(len(run.sink)):
                run.flow[signature, sink] = 0
                if run.legal[signature, sink] and run.sink[sink]["units"] > 0:
                    run.signature[signature]["part"], run.sink[sink]["part"] = 0, 0


@kernel
def _solve(run: _Run) -> float:
    """Divide the instant into parts of one level each; return the units displaced."""
    displaced, part, n_parts = 0.0, 0, 1
    while part < n_parts:
        if _load(run, part) or (_pour(run) and _is_connected(run)):
            _split(run)
            displaced += min(run.total[_WORK], run.total[_UNITS])
            part += 1
        else:
            _set_apart(run, n_parts)
            n_parts += 1
    return displaced


@kernel
def _load(run: _Run, part: int) -> bool:
    """Gather the rows and columns of a part; say whether every row can use every column."""
    n_rows, n_columns, is_free = 0, 0, True
    run.total[:] = 0
    for sink in range(len(run.sink)):
        if run.sink[sink]["part"] == part:
            run.column[n_columns]["id"] = sink
            run.total[_UNITS] += run.sink[sink]["units"]
            n_columns += 1
    for signature in range(len(run.signature)):
        if run.signature[signature]["part"] == part:
            run.row[n_rows]["id"] = signature
            run.total[_WORK] += run.signature[signature]["work"]
            for column in range(n_columns):
                run.can_use[n_rows, column] = run.legal[signature, run.column[column]["id"]]
                is_free &= run.can_use[n_rows, column]
            n_rows += 1
    run.size[_ROWS], run.size[_COLUMNS] = n_rows, n_columns
    return is_free


@kernel
def _pour(run: _Run) -> bool:
    """Pour the waiting work into the units at one level; say whether all of it fits.

    If not, the rows and columns last seen are those on the overfull side of the minimum cut.
    """
    run.total[_LEFT] = run.total[_WORK] * run.total[_UNITS]
    for column in range(run.size[_COLUMNS]):
        units = run.sink[run.column[column]["id"]]["units"]
        run.column[column]["amount"] = units * run.total[_WORK]
    for row in range(run.size[_ROWS]):
        left = run.signature[run.row[row]["id"]]["work"] * run.total[_UNITS]
        for column in range(run.size[_COLUMNS]):
            amount = min(left, run.column[column]["amount"]) * run.can_use[row, column]
            run.cell[row, column] = amount
            run.column[column]["amount"] -= amount
            run.total[_LEFT] -= amount
            left -= amount
        run.row[row]["amount"] = left
    while run.total[_LEFT] > 0:
        column = _search(run, _ANY_LEFT)
        if column < 0:
            return False
        _push(run, column)
    return True


@kernel
def _search(run: _Run, root: int) -> int:
    """Look breadth first, from a row or all with work left, for a column with room; or -1."""
    head, tail = 0, 0
    for column in range(run.size[_COLUMNS]):
        run.column[column]["via"] = _UNSEEN
    for row in range(run.size[_ROWS]):
        run.row[row]["via"] = _UNSEEN
        if row == root or (root == _ANY_LEFT and run.row[row]["amount"] > 0):
            run.row[row]["via"], run.row[row]["room"] = _ROOT, run.row[row]["amount"]
            run.row[tail]["queue"] = row
            tail += 1
    while head < tail:
        row = run.row[head]["queue"]
        head += 1
        for column in range(run.size[_COLUMNS]):
            if run.can_use[row, column] and run.column[column]["via"] == _UNSEEN:
                run.column[column]["via"] = row
                if run.column[column]["amount"] > 0:
                    return column
                for other in range(run.size[_ROWS]):
                    if run.cell[other, column] > 0 and run.row[other]["via"] == _UNSEEN:
                        run.row[other]["via"], run.row[tail]["queue"] = column, other
                        run.row[other]["room"] = min(run.row[row]["room"], run.cell[other, column])
                        tail += 1
    run.size[_SEEN] = tail
    return -1


@kernel
def _push(run: _Run, last: int) -> None:
    """Move as much work as fits along the path that the search found to column `last`."""
    amount = min(run.column[last]["amount"], run.row[run.column[last]["via"]]["room"])
    run.column[last]["amount"] -= amount
    run.total[_LEFT] -= amount
    column = last
    while column != _ROOT:
        row = run.column[column]["via"]
        run.cell[row, column] += amount
        column = run.row[row]["via"]
        if column != _ROOT:
            run.cell[row, column] -= amount
        else:
            run.row[row]["amount"] -= amount


@kernel
def _is_connected(run: _Run) -> bool:
    """Say whether work of each row can make way for that of each other, within the level.

    Where not, what a row cannot reach shares no flow with what it can: the part falls in two.
    """
    for root in range(run.size[_ROWS]):
        _search(run, root)
        if run.size[_SEEN] < run.size[_ROWS]:
            return False
    return True


@kernel
def _set_apart(run: _Run, new_part: int) -> None:
    """Make a new part of what the last search did not see."""
    for row in range(run.size[_ROWS]):
        if run.row[row]["via"] == _UNSEEN:
            run.signature[run.row[row]["id"]]["part"] = new_part
    for column in range(run.size[_COLUMNS]):
        if run.column[column]["via"] == _UNSEEN:
            run.sink[run.column[column]["id"]]["part"] = new_part


@kernel
def _split(run: _Run) -> None:
    """Split the flow of a part over its pairs: the table a[row] * b[column] with these margins.

    Newton's method on the logarithms of a. Along a step, the third derivative of the convex
    objective is at most (largest - smallest component) times the second; damping by
    log(1 + that) / that minimises the bound this gives, so that it descends from anywhere.
    """
    total = min(run.total[_WORK], run.total[_UNITS])
    for row in range(run.size[_ROWS]):
        work = run.signature[run.row[row]["id"]]["work"]
        run.row[row]["amount"] = run.row[row]["factor"] = work * (total / run.total[_WORK])
    for column in range(run.size[_COLUMNS]):
        units = run.sink[run.column[column]["id"]]["units"]
        run.column[column]["amount"] = units * (total / run.total[_UNITS])
    steps = 0
    while _fit_columns(run) > _SPLIT_TOLERANCE * total:
        _step_to_rows(run)
        steps += 1
        if steps == _STEPS_MAX:
            raise ArithmeticError("the split of a flow does not converge")
    for row in range(run.size[_ROWS]):
        for column in range(run.size[_COLUMNS]):
            run.flow[run.row[row]["id"], run.column[column]["id"]] = run.cell[row, column]


@kernel
def _fit_columns(run: _Run) -> float:
    """Fill the table so that columns are exact, and `step` with what rows lack; add up the lack."""
    for row in range(run.size[_ROWS]):
        run.row[row]["step"] = run.row[row]["amount"]
    for column in range(run.size[_COLUMNS]):
        total = 0.0
        for row in range(run.size[_ROWS]):
            total += run.row[row]["factor"] * run.can_use[row, column]
        ratio = run.column[column]["amount"] / total
        for row in range(run.size[_ROWS]):
            amount = ratio * run.row[row]["factor"] * run.can_use[row, column]
            run.cell[row, column] = amount
            run.row[row]["step"] -= amount
    lack = 0.0
    for row in range(run.size[_ROWS]):
        lack += abs(run.row[row]["step"])
    return lack


@kernel
def _step_to_rows(run: _Run) -> None:
    """Move the factors by one damped Newton step; the first stays, for only ratios matter."""
    n_rows, matrix = run.size[_ROWS], run.curvature
    for row in range(1, n_rows):
        matrix[row, :n_rows] = 0
        matrix[row, row] = run.row[row]["amount"] - run.row[row]["step"]
        for column in range(run.size[_COLUMNS]):
            share = run.cell[row, column] / run.column[column]["amount"]
            if share > 0:
                for other in range(1, n_rows):
                    matrix[row, other] -= share * run.cell[other, column]
    # Gauss-Jordan; the matrix is positive definite, so that no pivot need be sought.
    for pivot in range(1, n_rows):
        for row in range(1, n_rows):
            if row != pivot:
                ratio = matrix[row, pivot] / matrix[pivot, pivot]
                for other in range(pivot, n_rows):
                    matrix[row, other] -= ratio * matrix[pivot, other]
                run.row[row]["step"] -= ratio * run.row[pivot]["step"]
    high, low = 0.0, 0.0
    for row in range(1, n_rows):
        run.row[row]["step"] /= matrix[row, row]
        high, low = max(high, run.row[row]["step"]), min(low, run.row[row]["step"])
    for row in range(1, n_rows):
        step = run.row[row]["step"] * np.log1p(high - low) / (high - low)
        run.row[row]["factor"] *= np.exp(step)

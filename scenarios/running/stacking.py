"""Stacking: the one place that puts the rows of parts in the order of the runs.

A table is the same, to the byte where it is written, in whatever batches its runs were made and in
whatever order these came. Words are codes into the sorted words of the whole column.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from typing import Final

import numpy as np
import pyarrow as pa

from hanse.market.units import Integers
from hanse.scenarios.running.parts import Column, Part, Values
from hanse.scenarios.running.tasks import Cell

# Rows that are put together at once, more or less: a part is not divided for it.
PIECE_ROWS: Final = 1 << 16

_TYPES: Final = {"f": pa.float64(), "i": pa.int64(), "b": pa.bool_()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Runs that follow each other in a part as in the experiment."""

    part: int
    runs: slice
    rows: slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """The words of one column over all parts, sorted; without any, it is numbers."""

    codes: Mapping[str, int]
    words: pa.Array

    def spelled(self, codes: Integers) -> pa.Array:
        """Return words by their codes."""
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), self.words)

    def recoded(self, column: Column) -> Values:
        """Return the codes of a part's column here."""
        own = np.array([self.codes[word] for word in column.words or ()], np.int32)
        recoded: Values = own[column.values]
        return recoded


def names_of(parts: Iterable[Part]) -> list[str]:
    """List the tables that any part has, in a fixed order."""
    return sorted({name for part in parts for name in part.tables})


def rows_in_order(
    parts: Sequence[Part], name: str, runs: Sequence[int] | None = None
) -> Iterator[pa.Table]:
    """Yield the rows of a table in the order of the runs; at least one piece, if without rows.

    Parameters
    ----------
    runs : numbers of those wanted; where None, all.
    """
    there = [part for part in parts if name in part.tables]
    if not there:
        return
    # What has no row says nothing of types, unless none has.
    held = [p for p in there if _may_hold(p, runs) and p.tables[name].rows.any()] or there[:1]
    stack = _Stack(held=held, name=name, spellings=_spellings(held, name))
    for piece in _in_pieces(_stretches(held, name, runs)):
        yield stack.put_together(piece)


def stacked(parts: Sequence[Part], name: str, runs: Sequence[int] | None = None) -> pa.Table | None:
    """Put a table together in the order of the runs, words as text; None where no part has it."""
    pieces = list(rows_in_order(parts, name, runs))
    if not pieces:
        return None
    table = pa.concat_tables(pieces)
    is_coded = [pa.types.is_dictionary(field.type) for field in table.schema]
    columns = [
        column.cast(pa.string()) if coded else column
        for column, coded in zip(table.columns, is_coded, strict=True)
    ]
    return pa.table(columns, names=table.column_names).combine_chunks()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stack:
    """One table of many parts."""

    held: Sequence[Part]
    name: str
    spellings: Mapping[str, Spelling]

    def put_together(self, piece: Sequence[Stretch]) -> pa.Table:
        """Join the rows of stretches, each led by the keys of its run."""
        parts = [self.held[one.part] for one in piece]
        times = np.concatenate(
            [part.tables[self.name].rows[s.runs] for part, s in zip(parts, piece, strict=True)]
        )
        arrays = {}
        for key in parts[0].keys:
            cells = [
                cell
                for part, s in zip(parts, piece, strict=True)
                for cell in part.keys[key][s.runs]
            ]
            arrays[key] = _repeated(cells, times, self.spellings.get(key))
        read = [part.columns(self.name) for part in parts]
        for column in read[0]:
            rows = [
                Column(values=columns[column].values[s.rows], words=columns[column].words)
                for columns, s in zip(read, piece, strict=True)
            ]
            arrays[column] = _joined(rows, self.spellings.get(column))
        return pa.table(arrays)


def _may_hold(part: Part, runs: Sequence[int] | None) -> bool:
    return runs is None or bool(part.runs[0] <= max(runs) and min(runs) <= part.runs[-1])


def _spellings(held: Sequence[Part], name: str) -> dict[str, Spelling]:
    """Collect the words of the keys and of the columns."""
    found: dict[str, set[str]] = {}
    for part in held:
        rows = part.tables[name].rows.tolist()  # a run without rows has no words here
        for key, cells in part.keys.items():
            if isinstance(cells[0], str):
                found.setdefault(key, set()).update(map(str, compress(cells, rows)))
        for column, _, words in part.tables[name].columns:
            if words is not None:
                found.setdefault(column, set()).update(words)
    return {column: _spelling(sorted(words)) for column, words in found.items()}


def _spelling(words: Sequence[str]) -> Spelling:
    codes = {word: code for code, word in enumerate(words)}
    return Spelling(codes=codes, words=pa.array(words, pa.string()))


def _stretches(held: Sequence[Part], name: str, runs: Sequence[int] | None) -> Iterator[Stretch]:
    """Yield what may be read in one go, in the order of the runs."""
    number = np.concatenate([part.runs for part in held])
    index = np.repeat(np.arange(len(held)), [len(part.runs) for part in held])
    place = np.concatenate([np.arange(len(part.runs)) for part in held])
    if runs is not None:
        wanted = np.isin(number, runs)
        number, index, place = number[wanted], index[wanted], place[wanted]
    if not len(number):
        yield Stretch(part=0, runs=slice(0), rows=slice(0))
        return
    order = np.argsort(number)
    index, place = index[order], place[order]
    is_next = (np.diff(index) == 0) & (np.diff(place) == 1)
    edges = np.flatnonzero(np.concatenate([[True], ~is_next, [True]]))
    ends = [np.concatenate([[0], np.cumsum(part.tables[name].rows)]) for part in held]
    for first, after in pairwise(edges.tolist()):
        part, a, b = int(index[first]), int(place[first]), int(place[after - 1]) + 1
        rows = slice(int(ends[part][a]), int(ends[part][b]))
        yield Stretch(part=part, runs=slice(a, b), rows=rows)


def _in_pieces(stretches: Iterable[Stretch]) -> Iterator[list[Stretch]]:
    piece: list[Stretch] = []
    n_rows = 0
    for one in stretches:
        piece.append(one)
        n_rows += one.rows.stop - one.rows.start
        if n_rows >= PIECE_ROWS:
            yield piece
            piece, n_rows = [], 0
    if piece:
        yield piece


def _repeated(cells: Sequence[Cell], times: Integers, spelling: Spelling | None) -> pa.Array:
    if spelling is None:
        return _numbers(np.repeat(np.array(cells), times))
    codes = [spelling.codes[str(cell)] for cell in compress(cells, times)]
    return spelling.spelled(np.repeat(np.array(codes, np.int32), times[times > 0]))


def _joined(parts: Sequence[Column], spelling: Spelling | None) -> pa.Array:
    if spelling is None:
        return _numbers(np.concatenate([part.values for part in parts]))
    return spelling.spelled(np.concatenate([spelling.recoded(part) for part in parts]))


def _numbers(values: Values) -> pa.Array:
    return pa.array(values, _TYPES[values.dtype.kind])

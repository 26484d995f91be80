"""Parts: the one place for the bytes that a batch of runs leaves.

A worker packs what it has run; whoever keeps it writes the bytes as they are. A part says which
runs it holds and carries a digest of itself. Its rows lie column by column, those of all its runs
together; words are written once, and stand in the rows as numbers.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from hanse.market.units import Integers
from hanse.scenarios.running.tasks import Cell, Columns, Ended

MAGIC: Final = b"HANSEPT2"
_DIGEST_BYTES: Final = 16
_LENGTH_BYTES: Final = 8
_HEAD_BYTES: Final = len(MAGIC) + _DIGEST_BYTES + _LENGTH_BYTES
_ALIGNED_BYTES: Final = 8
_CODEC: Final = "lz4"
# How numbers lie in a part, by kind of numpy's; any other kind is words.
_STORED: Final = {"f": "<f8", "i": "<i8", "u": "<i8", "b": "|b1"}
_NO_WORDS: Final = np.array([], dtype=object)
# About as many as a batch has; without a guess, room for every word that is there would be made.
_DIFFERENT_WORDS: Final = 512

Values = np.ndarray[tuple[int, ...], np.dtype[np.generic]]


class PartDamaged(ValueError):
    """The bytes of a part are not those that were written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """The rows of a column: numbers, or codes into its words.

    Attributes
    ----------
    words : each once; None where the values are numbers themselves.
    """

    values: Values
    words: Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the rows of one table lie.

    Attributes
    ----------
    rows : shape (n_runs,), how many rows are whose.
    columns : name, type as numpy writes it, and words if it has any.
    """

    rows: Integers
    columns: Sequence[tuple[str, str, Sequence[str] | None]]
    first_byte: int
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is known of a batch of runs without reading its rows, and where these are.

    Attributes
    ----------
    runs : shape (n_runs,), the number of each in the experiment, rising.
    keys : what leads the rows of each run.
    luck : of each run, the digest of what was drawn, the seed left out; empty where no world was.
    watched : the outcome of interest of each run; NaN where it failed.
    seconds : time by phase, of all together; measured, and in no table.
    references : welfare of the reference by family, of worlds of which later runs are not here.
    """

    runs: Integers
    keys: Mapping[str, Sequence[Cell]]
    luck: Sequence[str]
    watched: Sequence[float]
    seconds: Mapping[str, float]
    references: Mapping[int, Sequence[float]]
    tables: Mapping[str, Layout]
    source: bytes | Path

    def columns(self, name: str) -> dict[str, Column]:
        """Read the rows of one table, in the order of the runs."""
        layout = self.tables[name]
        n_rows = int(layout.rows.sum())
        sizes = [_padded(n_rows * np.dtype(kind).itemsize) for _, kind, _ in layout.columns]
        body = pa.decompress(self._read(layout), sum(sizes), codec=_CODEC) if n_rows else b""
        columns, offset = {}, 0
        for (column, kind, words), size in zip(layout.columns, sizes, strict=True):
            values = np.frombuffer(body, kind, n_rows, offset)
            columns[column] = Column(values=values, words=words)
            offset += size
        return columns

    def _read(self, layout: Layout) -> pa.Buffer:
        if isinstance(self.source, bytes):
            return pa.py_buffer(self.source).slice(layout.first_byte, layout.n_bytes)
        with self.source.open("rb") as file:
            file.seek(layout.first_byte)
            return pa.py_buffer(file.read(layout.n_bytes))


class Collection(Protocol):
    """Parts by the order in which they came; in memory or in a folder."""

    def parts(self) -> Sequence[Part]: ...

    def add(self, packed: bytes) -> Part: ...


class InMemory:
    """Parts of an experiment that keeps nothing until it is saved."""

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def parts(self) -> Sequence[Part]:
        return self._parts

    def add(self, packed: bytes) -> Part:
        self._parts.append(unpack(packed))
        return self._parts[-1]


def pack(
    ended: Sequence[tuple[int, Ended]],
    *,
    watch: str = "",
    references: Mapping[int, Sequence[float]] | None = None,
) -> bytes:
    """Pack numbered runs, whose numbers rise.

    Parameters
    ----------
    watch : measure whose sum over families is noted for each run.
    references : of worlds that somebody else goes on with, by number.
    """
    ends = [end for _, end in ended]
    names = dict.fromkeys(name for end in ends for name in end.tables)
    tables = {name: _gathered([end.tables.get(name) for end in ends]) for name in names}
    wording = _Wording(
        piece
        for table in tables.values()
        for pieces in table.columns.values()
        if not _is_number(pieces[0])
        for piece in pieces
    )
    packed = {name: _packed_table(table, wording) for name, table in tables.items()}
    header = {
        "runs": [number for number, _ in ended],
        "keys": {key: [end.keys[key] for end in ends] for key in ends[0].keys},
        "luck": [end.luck for end in ends],
        "watched": [end.measure(watch) for end in ends],
        "seconds": _total([end.seconds for end in ends]),
        "references": {world: list(usd) for world, usd in (references or {}).items()},
        "tables": {name: (*told, len(blob)) for name, (told, blob) in packed.items()},
    }
    text = json.dumps(header).encode()
    length = len(text).to_bytes(_LENGTH_BYTES, "little")
    body = b"".join([length, text, *(blob for _, blob in packed.values())])
    return b"".join([MAGIC, _digest(body), body])


def checked(packed: bytes) -> bytes:
    """Return the bytes of a part; raise `PartDamaged` if they are not those that were packed."""
    digest = packed[len(MAGIC) : len(MAGIC) + _DIGEST_BYTES]
    body = memoryview(packed)[len(MAGIC) + _DIGEST_BYTES :]
    if packed[: len(MAGIC)] != MAGIC or _digest(body) != digest:
        raise PartDamaged("its digest is not that of its bytes")
    return packed


def unpack(packed: bytes) -> Part:
    """Read the header of a part whose rows stay in memory."""
    length = int.from_bytes(packed[_HEAD_BYTES - _LENGTH_BYTES : _HEAD_BYTES], "little")
    header = json.loads(packed[_HEAD_BYTES : _HEAD_BYTES + length])
    tables, first = {}, _HEAD_BYTES + length
    for name, (rows, columns, n_bytes) in header["tables"].items():
        tables[name] = Layout(
            rows=np.array(rows, np.int64),
            columns=columns,
            first_byte=first,
            n_bytes=n_bytes,
        )
        first += n_bytes
    named = {name: header[name] for name in ("keys", "luck", "watched", "seconds")}
    return Part(
        runs=np.array(header["runs"], np.int64),
        references={int(world): usd for world, usd in header["references"].items()},
        tables=tables,
        source=packed,
        **named,
    )


def _digest(body: bytes | memoryview) -> bytes:
    return blake2b(body, digest_size=_DIGEST_BYTES).digest()


class _Wording:
    """The words of a batch, looked through once, whichever table or column they stand in.

    Columns that many runs share, as one array, count once.
    """

    def __init__(self, pieces: Iterable[Values]) -> None:
        different = {id(piece): piece for piece in pieces}
        codes, self._words = pd.factorize(
            np.concatenate([_NO_WORDS, *different.values()]), size_hint=_DIFFERENT_WORDS
        )
        self._codes: dict[int, Values] = {}
        first = 0
        for name, piece in different.items():
            self._codes[name] = codes[first : first + len(piece)]
            first += len(piece)

    def column(self, pieces: Sequence[Values]) -> Column:
        """Join pieces, and number the words that stand in them."""
        codes = np.concatenate([self._codes[id(piece)] for piece in pieces])
        is_there = np.bincount(codes, minlength=len(self._words)) > 0
        words = self._words[is_there].tolist()
        place = (np.cumsum(is_there) - 1).astype(np.min_scalar_type(len(words)))
        return Column(values=place[codes], words=words)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gathered:
    """One table of all runs: how many rows are whose, and each column in pieces, at least one."""

    rows: Sequence[int]
    columns: Mapping[str, Sequence[Values]]


def _gathered(tables: Sequence[Columns | None]) -> _Gathered:
    rows = [0 if table is None else len(next(iter(table.values()))) for table in tables]
    # What has no row says nothing of types, unless none has.
    held = [table for table, n_rows in zip(tables, rows, strict=True) if table and n_rows]
    held = held or [table for table in tables if table is not None][:1]
    return _Gathered(rows=rows, columns={name: [of[name] for of in held] for name in held[0]})


def _packed_table(
    table: _Gathered, wording: _Wording
) -> tuple[tuple[Sequence[int], list[Any]], bytes]:
    """Join the rows of one table; return how many are whose, the columns, and their bytes."""
    told, content = [], []
    for name, pieces in table.columns.items():
        column = _numbers(pieces) if _is_number(pieces[0]) else wording.column(pieces)
        told.append((name, column.values.dtype.str, column.words))
        raw = column.values.tobytes()
        content += [raw, bytes(_padded(len(raw)) - len(raw))]
    body = b"".join(content)
    return (table.rows, told), pa.compress(body, codec=_CODEC, asbytes=True) if body else b""


def _numbers(pieces: Sequence[Values]) -> Column:
    joined = np.concatenate(pieces)
    return Column(values=joined.astype(_STORED[joined.dtype.kind], copy=False), words=None)


def _is_number(values: Values) -> bool:
    return values.dtype.kind in _STORED


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // _ALIGNED_BYTES) * _ALIGNED_BYTES


def _total(seconds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for one in seconds:
        for phase, spent in one.items():
            total[phase] = total.get(phase, 0.0) + spent
    return total

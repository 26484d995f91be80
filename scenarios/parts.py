"""Parts: the one place for the bytes that a batch of tasks leaves, and for putting them in order.

A worker packs what it has run; whoever keeps it writes the bytes as they are. Each part says
which tasks it holds and carries a digest of itself. Tables are put together in the order of the
tasks, whatever the order in which parts arrived.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from hanse.scenarios.tasks import Cell, Outcome

MAGIC: Final = b"HANSEPT1"
_DIGEST_BYTES: Final = 16
_LENGTH_BYTES: Final = 8
_HEAD_BYTES: Final = len(MAGIC) + _DIGEST_BYTES + _LENGTH_BYTES
_TEXT: Final = pa.string()

_Values = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
Columns = Mapping[str, _Values]


class PartDamaged(ValueError):
    """The bytes of a part are not those that were written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is known of one task without reading its rows.

    Attributes
    ----------
    number : place of the task in the design, from 0.
    luck : digest of what was drawn, the seed left out; empty where no world was.
    rows : rows of each table that belong to the task.
    seconds : time by phase; measured, and in no table.
    watched : the outcome of interest by regime.
    """

    number: int
    luck: str
    rows: Mapping[str, int]
    seconds: Mapping[str, float]
    watched: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The marks of a batch, and where the bytes of its tables lie."""

    marks: tuple[Mark, ...]
    blobs: Mapping[str, tuple[int, int]]
    source: "bytes | Path"

    def table(self, name: str) -> pa.Table:
        """Return the rows of one table, in the order of the marks."""
        first, length = self.blobs[name]
        if isinstance(self.source, bytes):
            return _read_table(pa.py_buffer(self.source).slice(first, length))
        with pa.memory_map(str(self.source)) as file:
            file.seek(first)
            return _read_table(file.read_buffer(length))


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


def pack(outcomes: Sequence[tuple[int, Outcome]], *, keys: Mapping[str, Cell], watch: str) -> bytes:
    """Pack the outcomes of a batch of numbered tasks.

    Parameters
    ----------
    keys : of any one run, for the types of the columns that lead the rows.
    watch : measure whose sum over families is noted for each run.
    """
    tables = _tables(outcomes, keys)
    marks = [_told(_mark(number, outcome, watch)) for number, outcome in outcomes]
    blobs = [(name, _bytes_of(table)) for name, table in tables.items()]
    header = {"marks": marks, "blobs": [(name, len(blob)) for name, blob in blobs]}
    text = json.dumps(header).encode()
    body = [len(text).to_bytes(_LENGTH_BYTES, "little"), text, *(blob for _, blob in blobs)]
    state = blake2b(digest_size=_DIGEST_BYTES)
    for piece in body:
        state.update(piece)
    return b"".join([MAGIC, state.digest(), *body])


def checked(packed: bytes) -> bytes:
    """Return the bytes of a part; raise `PartDamaged` if they are not those that were packed."""
    digest = packed[len(MAGIC) : len(MAGIC) + _DIGEST_BYTES]
    body = memoryview(packed)[len(MAGIC) + _DIGEST_BYTES :]
    if packed[: len(MAGIC)] != MAGIC or blake2b(body, digest_size=_DIGEST_BYTES).digest() != digest:
        raise PartDamaged("its digest is not that of its bytes")
    return packed


def unpack(packed: bytes) -> Part:
    """Read the header of a part whose tables stay in memory."""
    length = int.from_bytes(packed[_HEAD_BYTES - _LENGTH_BYTES : _HEAD_BYTES], "little")
    header = json.loads(packed[_HEAD_BYTES : _HEAD_BYTES + length])
    blobs, first = {}, _HEAD_BYTES + length
    for name, size in header["blobs"]:
        blobs[name] = (first, size)
        first += size
    marks = tuple(Mark(**mark) for mark in header["marks"])
    return Part(marks=marks, blobs=blobs, source=packed)


def names_of(parts: Iterable[Part]) -> list[str]:
    """List the tables of which any part holds rows, in a fixed order."""
    return sorted({name for part in parts for name in part.blobs})


def rows_in_order(
    parts: Sequence[Part], name: str, numbers: Iterable[int] | None = None
) -> Iterator[pa.Table]:
    """Yield the rows of a table in the order of the tasks, in as few pieces as may be.

    Parameters
    ----------
    numbers : of the tasks wanted; where None, all.
    """
    wanted = None if numbers is None else set(numbers)
    places = sorted(_places(parts, name, wanted))
    last_use = {place[1]: k for k, place in enumerate(places)}
    opened: dict[int, pa.Table] = {}
    k = 0
    while k < len(places):
        _, index, first, n_rows = places[k]
        while k + 1 < len(places) and places[k + 1][1:3] == (index, first + n_rows):
            k += 1
            n_rows += places[k][3]
        if index not in opened:
            opened[index] = parts[index].table(name)
        yield opened[index].slice(first, n_rows)
        if last_use[index] <= k:
            del opened[index]
        k += 1


def stacked(
    parts: Sequence[Part], name: str, numbers: Iterable[int] | None = None
) -> pa.Table | None:
    """Put a table together in the order of the tasks; None where no part has it."""
    pieces = list(rows_in_order(parts, name, numbers))
    return pa.concat_tables(pieces).combine_chunks() if pieces else None


def stack_runs(
    runs: Iterable[tuple[Mapping[str, Cell], Mapping[str, Columns]]],
) -> dict[str, pa.Table]:
    """Stack the tables of many runs by name, each row led by the keys of its run."""
    by_name: dict[str, list[tuple[Mapping[str, Cell], Columns]]] = {}
    for keys, tables in runs:
        for name, columns in tables.items():
            by_name.setdefault(name, []).append((keys, columns))
    return {name: _stack(pieces) for name, pieces in by_name.items()}


def rows_schema(keys: Mapping[str, Cell], **columns: pa.DataType) -> pa.Schema:
    """Return the schema of rows that these keys lead."""
    types = {k: pa.int64() if isinstance(v, int) else _TEXT for k, v in keys.items()}
    return pa.schema(list((types | columns).items()))


def _stack(pieces: Sequence[tuple[Mapping[str, Cell], Columns]]) -> pa.Table:
    counts = [len(next(iter(columns.values()))) for _, columns in pieces]
    arrays = {key: _repeated([keys[key] for keys, _ in pieces], counts) for key in pieces[0][0]}
    for name in pieces[0][1]:
        arrays[name] = _column([columns[name] for _, columns in pieces])
    return pa.table(arrays)


def _column(pieces: Sequence[_Values]) -> pa.Array:
    """Join the pieces of a column; one that many runs share is converted once."""
    different = {id(piece): piece for piece in pieces}
    if pieces[0].dtype != object or len(different) == len(pieces):
        return _array(np.concatenate(pieces))
    made = {key: _array(piece) for key, piece in different.items()}
    return pa.concat_arrays([made[id(piece)] for piece in pieces])


def _repeated(cells: Sequence[Cell], counts: Sequence[int]) -> pa.Array:
    """Repeat each cell as often as its count says; text goes straight to Arrow's own layout."""
    if not isinstance(cells[0], str):
        return pa.array(np.repeat(cells, counts))
    texts = [str(cell).encode() for cell in cells]
    ends = np.zeros(sum(counts) + 1, np.int32)
    np.cumsum(np.repeat([len(text) for text in texts], counts), out=ends[1:])
    content = b"".join([text * n for text, n in zip(texts, counts, strict=True)])
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(content)]
    return pa.Array.from_buffers(_TEXT, sum(counts), buffers)


def _array(values: _Values) -> pa.Array:
    match values.dtype.kind:
        case "f":
            return pa.array(values, pa.float64())
        case "i" | "u":
            return pa.array(values, pa.int64())
        case "b":
            return pa.array(values, pa.bool_())
        case _:
            return pa.array(values, _TEXT)


def _tables(
    outcomes: Sequence[tuple[int, Outcome]], keys: Mapping[str, Cell]
) -> dict[str, pa.Table]:
    runs = [run for _, outcome in outcomes for run in outcome.runs]
    failures = [dict(row) for _, outcome in outcomes for row in outcome.failures]
    digests = [{**k, "world_digest": result.world_digest} for k, result in runs]
    told = dict.fromkeys(("error", "parameters", "traceback"), _TEXT)
    return stack_runs([(k, result.tables) for k, result in runs]) | {
        "runs": pa.Table.from_pylist(digests, schema=rows_schema(keys, world_digest=_TEXT)),
        "failures": pa.Table.from_pylist(failures, schema=rows_schema(keys, **told)),
    }


def _mark(number: int, outcome: Outcome, watch: str) -> Mark:
    rows = {"runs": len(outcome.runs), "failures": len(outcome.failures)}
    seconds = {"draw": outcome.draw_s, "reference": outcome.reference_s}
    watched = {}
    for _, result in outcome.runs:
        for name, columns in result.tables.items():
            rows[name] = rows.get(name, 0) + len(next(iter(columns.values())))
        for phase, spent in result.seconds.items():
            seconds[phase] = seconds.get(phase, 0.0) + spent
        measures = result.tables["measures"]
        watched[result.regime] = float(measures["value"][measures["measure"] == watch].sum())
    return Mark(number=number, luck=outcome.luck, rows=rows, seconds=seconds, watched=watched)


def _told(mark: Mark) -> dict[str, object]:
    return {field.name: getattr(mark, field.name) for field in fields(mark)}


def _places(
    parts: Sequence[Part], name: str, wanted: set[int] | None
) -> Iterator[tuple[int, int, int, int]]:
    """Yield number of the task, index of the part, first row there, and how many."""
    for index, part in enumerate(parts):
        if name not in part.blobs:
            continue
        first = 0
        for mark in part.marks:
            n_rows = mark.rows.get(name, 0)
            if wanted is None or mark.number in wanted:
                yield mark.number, index, first, n_rows
            first += n_rows


def _bytes_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    # Without threads: Arrow's own do not live on in a forked worker.
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _read_table(buffer: pa.Buffer) -> pa.Table:
    with pa.ipc.open_stream(buffer) as reader:
        return reader.read_all()

"""The one place that reads published workload traces, whatever table of those known they are.

The columns of a CSV file with a header say which one it is; other columns are ignored.

- *Azure LLM inference*: `TIMESTAMP` (ISO 8601; without a zone UTC), `ContextTokens`,
  `GeneratedTokens`; replaces model calls.
- *Mooncake*: `timestamp_ms`, `input_length`, `output_length`; replaces inference.
- *Alibaba openb pods*: `num_gpu`, `creation_time`, `scheduled_time`, `deletion_time` in seconds;
  replaces batch. Pods without accelerators, and those that were never scheduled, are left out; a
  share of an accelerator counts as a whole one.
- *Philly virtual clusters*: `vc`, `arrival_s`, `gpus`; replaces the arrivals of batch jobs and the
  units they ask for.

Instants count from the first row, or where rows need not be in order from the earliest.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from hanse.market.units import US_PER_MS, US_PER_S, Integers
from hanse.scenarios.parameters import near_miss

_COLUMNS: Final = ("context_tokens", "generated_tokens", "n_units", "duration_us")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TraceError(ValueError):
    """A trace that cannot be read."""


def _nothing() -> Integers:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Jobs as they came, of one family.

    Attributes
    ----------
    arrival_us : since the first job, sorted; shape (n_jobs,).
    family : the family whose drawn jobs these replace.
    context_tokens, generated_tokens : of calls, shape (n_jobs,); empty for others.
    n_units : accelerators that each batch job asks for, shape (n_jobs,); empty for calls.
    duration_us : of batch jobs, shape (n_jobs,); empty if the trace does not say.
    """

    arrival_us: Integers
    context_tokens: Integers = field(default_factory=_nothing)
    generated_tokens: Integers = field(default_factory=_nothing)
    family: str = "model_call"
    n_units: Integers = field(default_factory=_nothing)
    duration_us: Integers = field(default_factory=_nothing)

    @property
    def n_jobs(self) -> int:
        return len(self.arrival_us)

    def since(self, from_s: int) -> "Trace":
        """Return the jobs that came from then on, with that instant as 0.

        Raises
        ------
        TraceError
            If none did.
        """
        from_us = from_s * US_PER_S
        kept = self.arrival_us >= from_us
        if not kept.any():
            last_s = self.arrival_us[-1] / US_PER_S
            raise TraceError(f"no job comes from {from_s} s on; the last comes at {last_s:.12g} s")
        columns = {name: column[kept] for name in _COLUMNS if len(column := getattr(self, name))}
        return replace(self, arrival_us=self.arrival_us[kept] - from_us, **columns)


Cells = Sequence[int | None]
Reader = Callable[[str, str, str], int | None]
Rows = Sequence[tuple[str, list[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """One kind of table: what its columns hold, and what it says of jobs.

    Attributes
    ----------
    columns : what reads a cell, given where it stands, its column and its text.
    ordered : the column that must not go back, or "".
    """

    title: str
    columns: Mapping[str, Reader]
    trace: Callable[[Mapping[str, Cells]], Trace]
    ordered: str = ""


def read_trace(path: str | Path) -> Trace:
    """Read a trace of any kind that is known.

    Raises
    ------
    TraceError
        If the file cannot be read, is none of the tables known, is empty, or has a row that is not
        a number, negative or out of order; the message names file, line, column and value.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse(path.name, csv.reader(file))
    except FileNotFoundError:
        raise TraceError(f"there is no trace file {str(path)!r}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path.name} cannot be read: {error}") from error


def _parse(name: str, lines: Iterator[list[str]]) -> Trace:
    header = [column.strip() for column in next(lines, [])]
    table = _table_of(name, header)
    places = [header.index(column) for column in table.columns]
    rows = [(f"{name}, line {line}", row) for line, row in enumerate(lines, start=2) if row]
    if not rows:
        raise TraceError(f"{name} has a header and no rows")
    read = [_cells(where, row, table, places=places) for where, row in rows]
    columns = dict(zip(table.columns, zip(*read, strict=True), strict=True))
    if table.ordered:
        values = columns[table.ordered]
        _check_order(rows, header.index(table.ordered), column=table.ordered, values=values)
    trace = table.trace(columns)
    if trace.n_jobs == 0:
        raise TraceError(f"{name} has no job that took an accelerator")
    return trace


def _table_of(name: str, header: Sequence[str]) -> _Table:
    """Find the kind of table that has these columns; name what the nearest one lacks."""
    nearest = max(_TABLES, key=lambda table: _likeness(table, header))
    found = ", ".join(header) or "nothing"
    if not any(column in header for column in nearest.columns):
        known = "; ".join(f"{table.title}: {', '.join(table.columns)}" for table in _TABLES)
        raise TraceError(
            f"{name} has no column {next(iter(_TABLES[0].columns))} (its header has {found}), "
            f"nor is it any other table that can be replayed ({known})"
        )
    for column in nearest.columns:
        if column not in header:
            raise TraceError(
                f"{name} has no column {column}{near_miss(column, header)} "
                f"(its header has {found}; read as {nearest.title})"
            )
    return nearest


def _likeness(table: _Table, header: Sequence[str]) -> float:
    """Return the share of a table's columns that are there, near misses for half."""
    score = sum(
        1.0 if column in header else 0.5 * bool(get_close_matches(column, header, n=1))
        for column in table.columns
    )
    return score / len(table.columns)


def _cells(where: str, row: list[str], table: _Table, *, places: list[int]) -> list[int | None]:
    if len(row) <= max(places):
        raise TraceError(f"{where}: {len(row)} fields are too few for {', '.join(table.columns)}")
    return [
        read(where, column, row[place].strip())
        for (column, read), place in zip(table.columns.items(), places, strict=True)
    ]


def _check_order(rows: Rows, place: int, *, column: str, values: Cells) -> None:
    for n, (low, high) in enumerate(pairwise(values)):
        assert low is not None
        assert high is not None
        if high < low:
            (_, before), (where, after) = rows[n : n + 2]
            raise TraceError(
                f"{where}: {column} must not go back, got {after[place].strip()}"
                f" after {before[place].strip()}"
            )


def _instant(where: str, column: str, text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise TraceError(f"{where}: {column} must be an ISO 8601 time, got {text!r}") from None
    zoned = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (zoned - _EPOCH) // timedelta(microseconds=1)


def _whole(where: str, column: str, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise TraceError(f"{where}: {column} must be a whole number, got {text!r}") from None
    return _at_least(where, column, number, low=0)


def _units(where: str, column: str, text: str) -> int:
    return _at_least(where, column, _whole(where, column, text), low=1)


def _seconds(where: str, column: str, text: str) -> int:
    return _scaled(where, column, text, unit_us=US_PER_S)


def _milliseconds(where: str, column: str, text: str) -> int:
    return _scaled(where, column, text, unit_us=US_PER_MS)


def _seconds_or_never(where: str, column: str, text: str) -> int | None:
    return _scaled(where, column, text, unit_us=US_PER_S) if text else None


def _scaled(where: str, column: str, text: str, *, unit_us: int) -> int:
    try:
        us = round(float(text) * unit_us)
    except (ValueError, OverflowError):
        raise TraceError(f"{where}: {column} must be a number, got {text!r}") from None
    return _at_least(where, column, us, low=0)


def _at_least(where: str, column: str, number: int, *, low: int) -> int:
    if number < low:
        raise TraceError(f"{where}: {column} must be at least {low}, got {number}")
    return number


def _calls(columns: Mapping[str, Cells], names: Sequence[str], family: str) -> Trace:
    instant, context, generated = (np.array(columns[name], np.int64) for name in names)
    return Trace(
        arrival_us=instant - instant[0],
        context_tokens=context,
        generated_tokens=generated,
        family=family,
    )


def _azure(columns: Mapping[str, Cells]) -> Trace:
    return _calls(columns, ("TIMESTAMP", "ContextTokens", "GeneratedTokens"), "model_call")


def _mooncake(columns: Mapping[str, Cells]) -> Trace:
    return _calls(columns, ("timestamp_ms", "input_length", "output_length"), "inference")


def _openb(columns: Mapping[str, Cells]) -> Trace:
    scheduled = np.array([-1 if one is None else one for one in columns["scheduled_time"]])
    n_units = np.array(columns["num_gpu"], np.int64)
    ran = np.flatnonzero((scheduled >= 0) & (n_units > 0))
    created, deleted = (np.array(columns[f"{name}_time"], np.int64)[ran] for name in _OPENB_SPAN)
    return _batch(created, n_units[ran], duration_us=np.maximum(deleted - scheduled[ran], 1))


def _philly(columns: Mapping[str, Cells]) -> Trace:
    return _batch(np.array(columns["arrival_s"], np.int64), np.array(columns["gpus"], np.int64))


def _batch(instant: Integers, n_units: Integers, *, duration_us: Integers | None = None) -> Trace:
    order = np.argsort(instant, kind="stable")
    return Trace(
        arrival_us=instant[order] - instant.min(initial=np.iinfo(np.int64).max),
        family="batch",
        n_units=n_units[order],
        duration_us=_nothing() if duration_us is None else duration_us[order],
    )


def _ignored(where: str, column: str, text: str) -> None:
    """Take a column that only tells tables apart."""


_OPENB_SPAN: Final = ("creation", "deletion")
_TABLES: Final = (
    _Table(
        title="Azure LLM inference",
        columns={"TIMESTAMP": _instant, "ContextTokens": _whole, "GeneratedTokens": _whole},
        trace=_azure,
        ordered="TIMESTAMP",
    ),
    _Table(
        title="Mooncake",
        columns={"timestamp_ms": _milliseconds, "input_length": _whole, "output_length": _whole},
        trace=_mooncake,
        ordered="timestamp_ms",
    ),
    _Table(
        title="Alibaba openb pods",
        columns={
            "num_gpu": _whole,
            "creation_time": _seconds,
            "deletion_time": _seconds,
            "scheduled_time": _seconds_or_never,
        },
        trace=_openb,
    ),
    _Table(
        title="Philly virtual clusters",
        columns={"vc": _ignored, "arrival_s": _seconds, "gpus": _units},
        trace=_philly,
    ),
)

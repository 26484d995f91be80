"""The one place that reads published workload traces.

The schema is the one of the Azure LLM inference traces: a CSV file with a header and three columns,

    TIMESTAMP         instant of arrival, ISO 8601, in order; the first row is instant 0
    ContextTokens     tokens of the prompt, a whole number, at least 0
    GeneratedTokens   tokens of the answer, a whole number, at least 0

Other columns are ignored. Times without a zone are read as UTC, fractions to the microsecond.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hanse.market.units import Integers
from hanse.scenarios.parameters import near_miss

_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


class TraceError(ValueError):
    """A trace that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Model calls as they came.

    Attributes
    ----------
    arrival_us : since the first call, sorted; shape (n_calls,), as the other columns.
    """

    arrival_us: Integers
    context_tokens: Integers
    generated_tokens: Integers

    @property
    def n_calls(self) -> int:
        return len(self.arrival_us)


class _Call(NamedTuple):
    where: str
    instant: datetime
    context_tokens: int
    generated_tokens: int


def read_trace(path: str | Path) -> Trace:
    """Read a trace of model calls.

    Raises
    ------
    TraceError
        If the file cannot be read, lacks a column, is empty, or has a row that is not a number,
        negative or out of order; the message names file, line and value.
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
    places = [_place(name, column, header) for column in _COLUMNS]
    rows = ((f"{name}, line {line}", row) for line, row in enumerate(lines, start=2) if row)
    calls = [_call(where, row, places) for where, row in rows]
    if not calls:
        raise TraceError(f"{name} has a header and no rows")
    for before, after in pairwise(calls):
        if after.instant < before.instant:
            raise TraceError(
                f"{after.where}: TIMESTAMP must not go back, got {after.instant}"
                f" after {before.instant}"
            )
    microsecond, first = timedelta(microseconds=1), calls[0].instant
    return Trace(
        arrival_us=np.array([(call.instant - first) // microsecond for call in calls]),
        context_tokens=np.array([call.context_tokens for call in calls]),
        generated_tokens=np.array([call.generated_tokens for call in calls]),
    )


def _place(name: str, column: str, header: list[str]) -> int:
    if column not in header:
        found = ", ".join(header) or "nothing"
        raise TraceError(
            f"{name} has no column {column}{near_miss(column, header)} (its header has {found})"
        )
    return header.index(column)


def _call(where: str, row: list[str], places: list[int]) -> _Call:
    if len(row) <= max(places):
        raise TraceError(f"{where}: {len(row)} fields are too few for {', '.join(_COLUMNS)}")
    instant, context, generated = (row[place].strip() for place in places)
    return _Call(
        where,
        _instant(where, instant),
        _tokens(where, _COLUMNS[1], context),
        _tokens(where, _COLUMNS[2], generated),
    )


def _instant(where: str, text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise TraceError(f"{where}: TIMESTAMP must be an ISO 8601 time, got {text!r}") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _tokens(where: str, column: str, text: str) -> int:
    try:
        tokens = int(text)
    except ValueError:
        raise TraceError(f"{where}: {column} must be a whole number, got {text!r}") from None
    if tokens < 0:
        raise TraceError(f"{where}: {column} must be at least 0, got {tokens}")
    return tokens

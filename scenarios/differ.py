"""Differences of two results: the one place that says whether they are the same, and where not.

A result is compared by its tables, never by its manifest: that holds times and facts of a machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from hanse.scenarios.results import Results

KEYS: Final = ("scenario", "point", "regime", "rung", "versus", "seed", "family", "measure")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place where two results are not the same.

    Attributes
    ----------
    table, column : where; the column is empty if the tables cannot be set side by side.
    n_rows : how many rows differ.
    what : the first of them in words, or why nothing can be compared.
    largest : the largest difference relative to the larger magnitude, 0 to 2; NaN for text.
    """

    table: str
    column: str
    n_rows: int
    what: str
    largest: float = float("nan")


def differences_of(one: Results, other: Results, *, rtol: float = 0.0) -> list[Difference]:
    """List every column of every table in which two results differ.

    Parameters
    ----------
    rtol : numbers as near as this, relative to the larger magnitude, count as the same; at 0 only
        equal ones do. Two that are not a number count as the same.
    """
    found: list[Difference] = []
    for name in sorted({*one.tables, *other.tables}):
        here, there = name in one.tables, name in other.tables
        if here and there:
            found += _of_table(name, one.frame(name), other.frame(name), rtol=rtol)
        else:
            where = "first" if here else "second"
            found.append(Difference(table=name, column="", n_rows=0, what=f"only in the {where}"))
    return found


def _of_table(
    name: str, one: pd.DataFrame, other: pd.DataFrame, *, rtol: float
) -> Iterator[Difference]:
    if list(one.columns) != list(other.columns):
        only = sorted({*one.columns} ^ {*other.columns}) or ["their order"]
        what = f"columns differ: {', '.join(only)}"
        yield Difference(table=name, column="", n_rows=0, what=what)
        return
    keys = [key for key in KEYS if key in one.columns]
    if len(one) != len(other) or not one[keys].equals(other[keys]):
        yield _of_rows(name, one[keys], other[keys])
        return
    for column in one.columns:
        differs, largest = _differ(one[column], other[column], rtol)
        if differs.any():
            row = int(differs.argmax())
            where = ", ".join(f"{key} {one[key].iloc[row]}" for key in keys)
            yield Difference(
                table=name,
                column=column,
                n_rows=int(differs.sum()),
                what=f"{where}: {one[column].iloc[row]} against {other[column].iloc[row]}",
                largest=largest,
            )


def _of_rows(name: str, one: pd.DataFrame, other: pd.DataFrame) -> Difference:
    """Say of tables of other rows which rows only one of them has."""
    if not len(one.columns):
        what = f"{len(one)} rows against {len(other)}"
        return Difference(table=name, column="", n_rows=abs(len(one) - len(other)), what=what)
    both = one.drop_duplicates().merge(other.drop_duplicates(), how="outer", indicator="side")
    only = both[both["side"] != "both"]
    what = f"{len(one)} rows against {len(other)}"
    if len(only):
        first = only.iloc[0]
        side = "first" if first["side"] == "left_only" else "second"
        told = ", ".join(f"{key} {first[key]}" for key in one.columns)
        what += f"; only in the {side}: {told}"
    return Difference(table=name, column="", n_rows=len(only), what=what)


def _differ(
    one: "pd.Series[float]", other: "pd.Series[float]", rtol: float
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], float]:
    if not (_is_number(one) and _is_number(other)):
        return (one.astype(str) != other.astype(str)).to_numpy(), float("nan")
    equal = (one == other) | (one.isna() & other.isna())
    a, b = one.to_numpy(float), other.to_numpy(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
    relative = np.where(equal, 0.0, np.where(np.isfinite(relative), relative, np.inf))
    differs = ~equal.to_numpy() & ~(relative <= rtol)
    return differs, float(relative.max(initial=0.0))


def _is_number(column: "pd.Series[float]") -> bool:
    return bool(pd.api.types.is_numeric_dtype(column)) and column.dtype != bool


def told_differences(found: Sequence[Difference]) -> list[tuple[str, ...]]:
    """Return rows for a terminal: where, how many rows, how far at most, and the first."""
    return [
        (
            f"{one.table}.{one.column}" if one.column else one.table,
            str(one.n_rows) if one.n_rows else "",
            "" if np.isnan(one.largest) else f"{one.largest:.2g}",
            one.what,
        )
        for one in found
    ]

"""Runs that take milliseconds, and one that fails: what the tests of experiments share."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from hanse.market.regime import Rule, Rung, ladder
from hanse.scenarios.running.parts import pack, unpack
from hanse.scenarios.running.stacking import stacked
from hanse.scenarios.running.tasks import Cell, Columns, Ended
from hanse.scenarios.scenario import Scenario, load

TINY = (
    "fleet.nodes=30",
    "load.model_calls=40",
    "load.batch_jobs=6",
    "measurement.horizon_s=300",
    "measurement.displacement_instants=16",
)


def tiny() -> Scenario:
    """Shrink the baseline until a run takes milliseconds."""
    return load("baseline").with_settings(TINY)


class BrokenRouter:
    """A researcher's router with a bug."""

    def route(self, book: object) -> object:
        raise ZeroDivisionError("the router divides by the number of free units")


def broken_rung() -> Rung:
    """Put a broken router where the compiled rule was."""
    regime = replace(ladder[2].regime, rule=Rule.FOREIGN, router=BrokenRouter())  # type: ignore[arg-type]
    return Rung(name="broken", title="Broken", change="a router that raises", regime=regime)


def stack_runs(
    runs: Iterable[tuple[Mapping[str, Cell], Mapping[str, Columns]]],
) -> dict[str, pa.Table]:
    """Stack the tables of runs as an experiment does, each row led by the keys of its run."""
    part = unpack(pack([(k, Ended(keys=keys, tables=t)) for k, (keys, t) in enumerate(runs)]))
    tables = {name: stacked([part], name) for name in part.tables}
    return {name: table for name, table in tables.items() if table is not None}


def where_tables_differ(
    one: Mapping[str, Mapping[str, np.ndarray]],  # type: ignore[type-arg]
    other: Mapping[str, Mapping[str, np.ndarray]],  # type: ignore[type-arg]
) -> list[tuple[str, str]]:
    """Name every table and column whose cells are not the same in two runs."""
    assert {name: set(of) for name, of in one.items()} == {n: set(of) for n, of in other.items()}
    return [
        (table, name)
        for table, columns in one.items()
        for name, cells in columns.items()
        if not np.array_equal(cells, other[table][name], equal_nan=cells.dtype.kind == "f")
    ]

"""Paired differences: the one place for which rung is set against which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from hanse.market.regime import ladder, regimes
from hanse.market.units import Floats
from hanse.scenarios.analysis.intervals import Interval, interval
from hanse.scenarios.measuring.measures import SHARED

INTERVAL: Final = "Student t on paired differences, 95 %, each by itself"
ALL: Final = "(all)"
WHOLE_LADDER: Final = "(whole ladder)"

# What the ladder is walked for; synchronization cost also by operation and cause.
LADDER_MEASURES: Final = (
    "sync_cost_gpu_s",
    "debt_mean_gpu_s",
    "debt_mean_core_s",
    "coordination_efficiency",
    "waiting_s",
    "price_usd_per_gpu_hour",
    "welfare_usd",
    "value_open_usd",
)
CELL: Final = ("family", "measure", "unit", "operation", "cause")
_SAMPLES: Final = (*CELL, "regime", "seed", "value")
_TEXT: Final = pa.string()
_CELL_SCHEMA: Final = dict.fromkeys(CELL, _TEXT)
_INTERVAL_SCHEMA: Final = {
    "mean": pa.float64(),
    "ci_low": pa.float64(),
    "ci_high": pa.float64(),
    "n": pa.int64(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cube:
    """One value per cell, rung and seed; NaN where the run failed or has no such value.

    Attributes
    ----------
    cells : one row per (family, measure, unit, operation, cause).
    value : shape (n_cells, n_rungs, n_seeds).
    """

    cells: pd.DataFrame
    rungs: tuple[str, ...]
    value: Floats

    def levels(self) -> pa.Table:
        """Tabulate each cell on each rung."""
        frames = [self._rows({"rung": rung}, self.value[:, k]) for k, rung in enumerate(self.rungs)]
        return _table(frames, {"rung": _TEXT})

    def differences(self) -> pa.Table:
        """Tabulate each rung minus the one before; the whole, only below all of its steps."""
        pairs = [(k, k - 1) for k in range(1, len(self.rungs)) if not _skips(self.rungs, k)]
        frames = [
            self._rows(
                {"rung": self.rungs[k], "versus": self.rungs[j]},
                self.value[:, k] - self.value[:, j],
            )
            for k, j in pairs
        ]
        if 2 < len(self.rungs) == len(pairs) + 1:
            whole = {"rung": WHOLE_LADDER, "versus": self.rungs[0]}
            frames.append(self._rows(whole, self.value[:, -1] - self.value[:, 0]))
        return _table(frames, {"rung": _TEXT, "versus": _TEXT})

    def _rows(self, names: Mapping[str, str], value: Floats) -> pd.DataFrame:
        found = interval(value)
        columns = {"mean": found.mean, "ci_low": found.low, "ci_high": found.high, "n": found.n}
        rows = self.cells.assign(**names, **columns)
        return rows[[*names, *CELL, *columns]]


def estimates(table: pd.DataFrame, family: str) -> dict[tuple[str, str], Interval]:
    """Look up the totals of one family by (rung, measure)."""
    rows = table[(table["family"] == family) & (table["operation"] == ALL)]
    columns = ["rung", "measure", "mean", "ci_low", "ci_high"]
    return {
        (rung, measure): Interval(value=mean, low=low, high=high)
        for rung, measure, mean, low, high in rows[columns].to_numpy().tolist()
    }


def skipped_rungs(rungs: Sequence[str]) -> tuple[str, str] | None:
    """Return the first two neighbours between which a rung of the ladder is left out."""
    for k in range(1, len(rungs)):
        if _skips(rungs, k):
            return rungs[k - 1], rungs[k]
    return None


def paired_cube(tables: Mapping[str, pa.Table], rungs: Sequence[str], seeds: Sequence[int]) -> Cube:
    """Arrange the measures of the ladder so that the same seed stands at the same place."""
    columns = pd.MultiIndex.from_product([list(rungs), list(seeds)], names=["regime", "seed"])
    if not tables["runs"].num_rows:
        empty = pd.DataFrame({name: pd.Series(dtype=str) for name in CELL})
        return Cube(cells=empty, rungs=tuple(rungs), value=np.empty((0, len(rungs), len(seeds))))
    totals = _wide(_totals(tables["measures"].to_pandas()), columns)
    parts = _wide(_parts(tables["sync_cost"].to_pandas()), columns)
    ended = pd.MultiIndex.from_frame(tables["runs"].to_pandas()[["regime", "seed"]])
    parts.loc[:, ended] = parts.loc[:, ended].fillna(0.0)  # a run without such a cost has none
    wide = pd.concat([totals, parts])
    return Cube(
        cells=wide.index.to_frame(index=False),
        rungs=tuple(rungs),
        value=wide.to_numpy(dtype=float).reshape(len(wide), len(rungs), len(seeds)),
    )


def _skips(rungs: Sequence[str], k: int) -> bool:
    """Say whether more than one change lies between two neighbours, as far as that is known."""
    names = [rung.name for rung in ladder]
    before, after = rungs[k - 1], rungs[k]
    if before in names and after in names:
        return names.index(after) != names.index(before) + 1
    if before not in regimes or after not in regimes:
        return False
    one, other = regimes[before].parts(), regimes[after].parts()
    return sum(one[part] != other[part] for part in one) != 1


def _totals(measures: pd.DataFrame) -> pd.DataFrame:
    # What belongs to no family has a welfare of its own, but the ladder is walked per family.
    of_family = measures["family"] != SHARED
    wanted = measures[of_family & measures["measure"].isin(LADDER_MEASURES)]
    return wanted.assign(operation=ALL, cause=ALL)[list(_SAMPLES)]


def _parts(sync_cost: pd.DataFrame) -> pd.DataFrame:
    keys = ["family", "operation", "cause", "regime", "seed"]
    # What counts as cost; the column beside it holds labelled time, displacing work or not.
    gpu_s = sync_cost.groupby(keys)["displaced_gpu_s"].sum()
    rows = gpu_s.rename("value").reset_index()
    return rows.assign(measure="sync_cost_gpu_s", unit="gpu_s")[list(_SAMPLES)]


def _wide(samples: pd.DataFrame, columns: pd.MultiIndex) -> pd.DataFrame:
    wide = samples.set_index(list(_SAMPLES[:-1]))["value"].unstack(["regime", "seed"])
    return wide.sort_index().reindex(columns=columns)


def _table(frames: Sequence[pd.DataFrame], names: Mapping[str, pa.DataType]) -> pa.Table:
    schema = pa.schema(list((dict(names) | _CELL_SCHEMA | _INTERVAL_SCHEMA).items()))
    if not frames:
        return schema.empty_table()
    return pa.Table.from_pandas(pd.concat(frames), schema=schema, preserve_index=False)

"""Studies of mechanisms: the one place that runs the small experiments that figures are drawn from.

Every case meets the same seeds. A reading turns the ledger of a run into rows of a measure and a
value, and never learns what the case was.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Final

import numpy as np
import pandas as pd

from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.regime import Regime, regimes
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.draw import draw_world
from hanse.scenarios.measuring.measures import measure
from hanse.scenarios.measuring.run_tables import tables_of
from hanse.scenarios.scenario import Scenario

Key = str | float
Row = dict[str, Key]
Reading = Callable[[World, Ledger], Iterable[Row]]

LESS: Final = " less "
TWO: Final = ("dynamic-central", "market")
"""A hub and venues that both clear at intervals by the welfare rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is run: a world for each seed, under one regime, told apart by its keys."""

    keys: Mapping[str, Key]
    draw: Callable[[int], World]
    regime: Regime


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the runs say.

    Attributes
    ----------
    rows : the keys of the cases and of the reading, then seed, measure and value.
    worlds : one row per run: the keys of the case, seed, world_digest.
    """

    rows: pd.DataFrame
    worlds: pd.DataFrame

    def levels(self, versus: str = "") -> pd.DataFrame:
        """Return each measure at each key: mean, Student's interval of 95 % over seeds, n.

        Parameters
        ----------
        versus : a key; then paired differences from its first value on the same seeds are added,
            as measures named after both.
        """
        rows = pd.concat([self.rows, self._differences(versus)]) if versus else self.rows
        keys = [name for name in rows.columns if name not in ("seed", "value")]
        wide = rows.pivot_table(
            index=keys, columns="seed", values="value", sort=False, dropna=False, observed=True
        )
        wide = wide[wide.notna().any(axis=1)]
        found = interval(wide.to_numpy(dtype=float))
        told = {"mean": found.mean, "ci_low": found.low, "ci_high": found.high, "n": found.n}
        return wide.index.to_frame(index=False).assign(**told)

    def _differences(self, key: str) -> pd.DataFrame:
        first = self.rows[key].iloc[0]
        is_first = self.rows[key] == first
        beside = [name for name in self.rows.columns if name not in (key, "value")]
        against = self.rows[is_first].drop(columns=key).rename(columns={"value": "against"})
        paired = self.rows[~is_first].merge(against, on=beside)
        paired["measure"] += less(first)
        paired["value"] -= paired["against"]
        told: pd.DataFrame = paired.drop(columns="against")
        return told


def less(first: object) -> str:
    """Return how the name of a measure ends where it is a difference from the first value."""
    return f"{LESS}{first}"


def grid(
    scenario: Scenario,
    levels: Mapping[str, Sequence[Key]],
    *,
    names: Sequence[str] = TWO,
) -> list[Case]:
    """Combine values of parameters, and regimes by name, into cases on the same worlds."""
    cases = []
    for values in product(*levels.values()):
        point = dict(zip(levels, values, strict=True))
        drawn = partial(draw_world, scenario.replace(point))
        cases += [
            Case(keys=point | {"regime": name}, draw=drawn, regime=regimes[name]) for name in names
        ]
    return cases


def observe(cases: Sequence[Case], seeds: Sequence[int], read: Reading) -> Evidence:
    """Run every case on every seed and read each ledger."""
    rows: list[Row] = []
    worlds: list[Row] = []
    for case in cases:
        for seed in seeds:
            world = case.draw(seed)
            model = ComputeMarket(world, case.regime, with_agents=False)
            ledger = model.run_to_horizon()
            keys: Row = {**case.keys, "seed": seed}
            rows += [keys | row for row in read(world, ledger)]
            worlds.append(keys | {"world_digest": world.digest()})
            release(model)
    return Evidence(rows=_with_values_last(rows), worlds=pd.DataFrame(worlds))


def measures_of(family: str, *names: str) -> Reading:
    """Return what reads measures of one family, as the table of measures has them.

    `failed_share` is the share of jobs that expired, of those that arrived.
    """

    def read(world: World, ledger: Ledger) -> list[Row]:
        table = tables_of(measure(world, ledger))["measures"]
        chosen = table["family"] == family
        found = dict(zip(table["measure"][chosen], table["value"][chosen], strict=True))
        found["failed_share"] = found["jobs_expired"] / max(1.0, found["jobs"])
        return [{"measure": name, "value": float(found[name])} for name in names]

    return read


def state_time(*states: int) -> Reading:
    """Return what reads the mean time that stages spent in some states, in milliseconds."""

    def read(_: World, ledger: Ledger) -> list[Row]:
        is_ready = ledger.stage["ready_us"] >= 0
        spent_us = ledger.time_us[is_ready][:, list(states)].sum(axis=1)
        return [{"measure": "state_ms", "value": float(spent_us.mean()) / 1e3}]

    return read


def together(*readings: Reading) -> Reading:
    """Return what reads all of these."""

    def read(world: World, ledger: Ledger) -> list[Row]:
        return [row for one in readings for row in one(world, ledger)]

    return read


def binned(
    values: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]", edges: Sequence[int]
) -> list[tuple[str, "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]"]]:
    """Cut counts into bins that begin at the edges; name each, and say what lies in it."""
    bins = []
    for begin, end in zip(edges, [*edges[1:], None], strict=True):
        last = "" if end is None else str(end - 1)
        name = f"{begin}+" if end is None else str(begin) if end - 1 == begin else f"{begin}-{last}"
        inside = (values >= begin) & (values < (np.inf if end is None else end))
        bins.append((name, inside))
    return bins


def _with_values_last(rows: list[Row]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    last = ["seed", "measure", "value"]
    return frame[[*(name for name in frame.columns if name not in last), *last]]

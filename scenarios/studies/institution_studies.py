"""Studies of institutions: the one place that turns removals, votes and contracts into evidence.

Each runs a small experiment of its own on the same seeds, and gives rows of a measure and a value
that a figure draws; none of them knows what a regime is called but as a key.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Final

import numpy as np
import pandas as pd

from hanse.market.exchange.market_making import Maker
from hanse.market.regime import ladder, regimes
from hanse.scenarios.draw import draw_world
from hanse.scenarios.mechanisms.studies import Evidence
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.studies.capture import attack
from hanse.scenarios.studies.financial import (
    HEDGES,
    Spot,
    by_rung,
    liquidity_of,
    log_variance_ratios,
    margin_calls,
    spend_of,
    spot_runs,
)
from hanse.scenarios.studies.removals import KINDS
from hanse.scenarios.studies.shocks import calm
from hanse.scenarios.studies.sovereignty import WORLD, removals

MAKER: Final = Maker(risk_aversion=1.0, order_rate=1.0, order_decay=10.0)
"""Assumed (grade E): its spread is read as a scale of how much prices move, not as a price."""

VIEWS: Final = ("reference", "central", "market")
"""What is still worth routing, and what two regimes really route."""

_EVERYBODY: Final = "everybody"
BLOCS: Final[Mapping[str, Sequence[str]]] = {
    _EVERYBODY: (WORLD,),
    "United States": ("US",),
    "European Union": ("EU",),
    "India": ("IN",),
    "Japan and Korea": ("JP", "KR"),
    "Singapore, Malaysia, Indonesia": ("SG", "MY", "ID"),
}
"""Whose sovereignty is drawn; of a single small jurisdiction it is luck in so small a world."""

_OUTCOMES: Final = ("power", "captured_share", "rent_usd", "transfer_usd")
_LEAST_SHARE: Final = 0.04


def attacks_seen(scenario: Scenario, seeds: Sequence[int]) -> Evidence:
    """Let initial capital attack at several stakes, with safeguards on and off."""
    found = attack(scenario, seeds=seeds)
    keys = ["proposal", "constitution", "initial_share", "seed"]
    rows = found.melt(id_vars=keys, value_vars=list(_OUTCOMES), var_name="measure")
    return Evidence(rows=rows, worlds=_worlds(scenario, seeds))


def removals_seen(scenario: Scenario, seeds: Sequence[int]) -> Evidence:
    """Take every controller out in turn, and see what is lost by three yardsticks.

    Measures are loss_share, of all value by controller, and sovereignty, of all and by bloc.
    """
    tables = []
    for view in VIEWS:
        removed = removals(
            scenario,
            seeds=seeds,
            regime=regimes.get(view, regimes["central"]),
            yardsticks=("realised" if view in regimes else view,),
            kinds=KINDS,
            least_share=_LEAST_SHARE,
            workers=1,
        )
        tables += [_losses(removed).assign(view=view), _sovereign(removed).assign(view=view)]
    rows = pd.concat(tables, ignore_index=True)
    return Evidence(
        rows=rows[["view", "who", "seed", "measure", "value"]], worlds=_worlds(scenario, seeds)
    )


def trades_seen(scenario: Scenario, seeds: Sequence[int]) -> Evidence:
    """Read liquidity and hedges of every rung in calm worlds, and defaults in the shocked ones."""
    quiet = calm(scenario)
    runs = spot_runs(quiet, seeds=seeds, workers=1)
    calls = margin_calls(scenario, seeds=seeds, workers=1)
    titles = {rung.name: rung.title for rung in ladder}
    rows = pd.DataFrame([*_liquidity(runs), *_hedges(runs), *_margins(calls)])
    rows["rung"] = rows["rung"].map(titles)
    worlds = [_worlds(one, seeds) for one in (quiet, scenario)]
    return Evidence(rows=rows, worlds=pd.concat(worlds, ignore_index=True))


def _worlds(scenario: Scenario, seeds: Sequence[int]) -> pd.DataFrame:
    digests = [draw_world(scenario, seed).digest() for seed in seeds]
    return pd.DataFrame({"seed": list(seeds), "world_digest": digests})


def _losses(removed: pd.DataFrame) -> pd.DataFrame:
    """Name each controller by its kind; of sites, verifiers and links the worst stands for all."""
    whole = removed[removed["jurisdiction"] == WORLD]
    single = whole["kind"].isin(("owner", "vendor"))
    one_by_one = whole[single].assign(who=whole["kind"] + " " + whole["controller"])
    worst = whole[~single].groupby(["kind", "seed"], sort=False)["loss_share"].max().reset_index()
    worst["who"] = "worst of " + worst["kind"].map(
        {"verifier": "verifiers", "site": "sites of control", "links": "regions' links"}
    )
    rows = pd.concat([one_by_one, worst]).rename(columns={"loss_share": "value"})
    return rows[["who", "seed", "value"]].assign(measure="loss_share")


def _sovereign(removed: pd.DataFrame) -> pd.DataFrame:
    """Return 1 less the worst loss: over all controllers of all, over foreign ones of a bloc."""
    tables = [_of_bloc(removed, members).assign(who=name) for name, members in BLOCS.items()]
    return pd.concat(tables, ignore_index=True).assign(measure="sovereignty")


def _of_bloc(removed: pd.DataFrame, members: Sequence[str]) -> pd.DataFrame:
    counts = [_is_one_of(one, members) for one in removed["jurisdiction"]]
    if WORLD not in members:
        at_home = [_is_one_of(one, members) for one in removed["home"]]
        counts = list(np.array(counts) & ~np.array(at_home))
    here = removed[counts].groupby(["seed", "kind", "controller"])
    whole = here[["value_usd", "without_usd"]].sum()
    whole = whole[whole["value_usd"] > 0]
    worst = (1.0 - whole["without_usd"] / whole["value_usd"]).groupby("seed").max()
    return (1.0 - worst).reset_index(name="value")


def _is_one_of(jurisdiction: str, members: Sequence[str]) -> bool:
    return any(jurisdiction == one or jurisdiction.startswith(f"{one}-") for one in members)


def _liquidity(runs: Sequence[Spot]) -> list[dict[str, object]]:
    return [
        {"rung": spot.rung, "seed": spot.seed, "measure": measure, "value": value}
        for spot in runs
        for measure, value in liquidity_of(spot, MAKER).items()
    ]


def _hedges(runs: Sequence[Spot]) -> list[dict[str, object]]:
    """Return jackknife values of the log ratio of variances, where there are any."""
    rows: list[dict[str, object]] = []
    for rung, here in by_rung(runs).items():
        families = enumerate(here[0].families)
        for (number, family), hedge in product(families, HEDGES[1:]):
            spend = spend_of(here, number)
            values = log_variance_ratios(spend[hedge], spend[HEDGES[0]])
            if np.isnan(values).any():
                continue
            rows += [
                {"rung": rung, "seed": s.seed, "measure": f"{hedge} {family}", "value": value}
                for s, value in zip(here, values.tolist(), strict=True)
            ]
    return rows


def _margins(calls: pd.DataFrame) -> list[dict[str, object]]:
    struck = calls[calls["arm"] == "after"]
    return [
        {"rung": row["rung"], "seed": row["seed"], "measure": measure, "value": row[measure]}
        for row in struck.to_dict("records")
        for measure in ("n_defaults", "locked_capital_usd")
    ]

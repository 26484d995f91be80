"""Routing sovereignty: what is lost when the one that is needed most is taken away.

RS = 1 - max over controllers e of [V(all) - V(without e)] / V(all). V comes from one of three
yardsticks, and each row says from which: the planner's bound, the reference, or what a regime
really delivers. The first two know no control plane, so that only the third can depend on a site.
V is gross of standing energy, which a removed node would save; otherwise a fleet that idles would
count as a burden, not as something to route to.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hanse.agents.lowering import lower_facts, lower_rules
from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.occupancy import label_time
from hanse.market.accounts.structure import job_worth_usd
from hanse.market.planner import planner_bound
from hanse.market.reference import reference_ledger
from hanse.market.regime import CENTRAL, Regime
from hanse.market.units import S_PER_HOUR, Floats
from hanse.scenarios import charts
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.draw import draw_world
from hanse.scenarios.experiment import checked_seeds
from hanse.scenarios.measuring.measures import welfare_of
from hanse.scenarios.running.batches import run_in_order
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.studies.removals import Controller, controllers, without

YARDSTICKS: Final = ("planner", "reference", "realised")
WORLD: Final = "(all)"
"""The row of everybody's value, beside those of single jurisdictions."""

_N_BINS: Final = 6


def removals(
    scenario: Scenario,
    *,
    seeds: Iterable[int],
    regime: Regime = CENTRAL,
    yardsticks: Sequence[str] = ("reference", "realised"),
    kinds: tuple[str, ...] = ("owner",),
    least_share: float = 0.02,
    undelivered_share: float = 0.5,
    workers: int | None = None,
) -> pd.DataFrame:
    """Take each controller out of each world in turn, and see what is still routed.

    Parameters
    ----------
    regime : whose value "realised" is, and whose sites of control are taken out.
    yardsticks : some of `YARDSTICKS`; "planner" takes seconds to minutes per removal.
    least_share : of all nodes, below which an owner is not taken out.
    undelivered_share : of a vendor's nodes, which go with it; no evidence, sweep it over 0 to 1.

    Returns
    -------
    A row per seed, yardstick, jurisdiction and controller: value_usd, without_usd, and loss_share,
    their difference over value_usd. `WORLD` is welfare gross of standing energy. A jurisdiction's
    value is the worth of right results that its buyers get, of "reference" and "realised" alone:
    a bound on the whole is no bound on a part. is_foreign says whether the controller answers to
    another jurisdiction.
    """
    unknown = [name for name in yardsticks if name not in YARDSTICKS]
    if unknown:
        raise ValueError(f"yardstick must be one of {', '.join(YARDSTICKS)}, got {unknown[0]!r}")
    work = partial(
        _removals_of_seed,
        scenario=scenario,
        regime=regime,
        yardsticks=tuple(yardsticks),
        kinds=kinds,
        least_share=least_share,
        undelivered_share=undelivered_share,
    )
    frames = run_in_order(work, checked_seeds(seeds), workers=workers)
    return pd.concat(frames, ignore_index=True)


def routing_sovereignty(removed: pd.DataFrame) -> pd.DataFrame:
    """Return RS over seeds: columns yardstick, jurisdiction, mean, ci_low, ci_high, n, needed_most.

    Of a jurisdiction only foreign controllers count; needed_most is the one most often needed most.
    A world in which a jurisdiction gets nothing has no RS there.
    """
    counted = removed[(removed["jurisdiction"] == WORLD) | removed["is_foreign"]]
    counted = counted[counted["value_usd"] > 0]
    keys = ["yardstick", "jurisdiction", "seed"]
    worst = counted.loc[counted.groupby(keys, sort=False)["loss_share"].idxmax()]
    rows = []
    for (yardstick, jurisdiction), group in worst.groupby(keys[:2], sort=False):
        found = interval(np.asarray(1.0 - group["loss_share"], np.float64))
        rows.append(
            {
                "yardstick": yardstick,
                "jurisdiction": jurisdiction,
                "mean": float(found.mean),
                "ci_low": float(found.low),
                "ci_high": float(found.high),
                "n": int(found.n),
                "needed_most": str(group["controller"].mode().iloc[0]),
            }
        )
    return pd.DataFrame(rows)


def programme(
    scenario: Scenario,
    jurisdiction: str,
    *,
    nodes: Sequence[int],
    seeds: Iterable[int],
    regime: Regime = CENTRAL,
    yardstick: str = "reference",
    workers: int | None = None,
) -> pd.DataFrame:
    """Say what a sovereign programme costs, and what it gains in worth and in sovereignty.

    Parameters
    ----------
    jurisdiction : who adds the nodes and pays for them; "EU" is all its members here.
    nodes : sizes of the programme; 0 is what the others are set against.

    Returns
    -------
    A row per size: cost_usd, the whole bill of the nodes over the run at the replacement cost of
    hardware, whether used or not; means over seeds of worth_gain_usd (right results of buyers at
    home), world_gain_usd (welfare of all, from which the hours that are used are paid already) and
    sovereignty_gain, the gain in RS of the jurisdiction.
    """
    tasks = checked_seeds(seeds)
    hours = scenario.number("measurement.horizon_s") / S_PER_HOUR
    rate = scenario.number("resources.hardware_usd_per_gpu_hour")
    measured = {}
    for size in {0, *nodes}:
        chosen = {"fleet.sovereign_jurisdiction": jurisdiction, "fleet.sovereign_nodes": size}
        removed = removals(
            scenario.replace(chosen),
            seeds=tasks,
            regime=regime,
            yardsticks=(yardstick,),
            workers=workers,
        )
        measured[size] = _of_programme(removed, jurisdiction)
    rows = [
        {
            "nodes": size,
            "cost_usd": size * rate * hours,
            **(measured[size] - measured[0]).mean(axis=0).to_dict(),
        }
        for size in nodes
    ]
    return pd.DataFrame(rows)


def draw_removals(removed: pd.DataFrame, *, jurisdiction: str = WORLD, top: int = 12) -> Figure:
    """Draw the share of value lost without each controller, a panel per yardstick.

    Only the `top` most needed are drawn; dots are means over seeds with their 95 % interval.
    """
    rows = removed[removed["jurisdiction"] == jurisdiction]
    yardsticks = list(dict.fromkeys(rows["yardstick"]))
    with charts.style():
        figure, axes = charts.panels(len(yardsticks), row_inch=0.6 + 0.22 * top)
        for axis, yardstick in zip(axes, yardsticks, strict=True):
            chosen = rows[rows["yardstick"] == yardstick].groupby(["kind", "controller"])
            spread = pd.DataFrame(
                [
                    {"name": f"{kind} {name}", **_spread(100.0 * group["loss_share"])}
                    for (kind, name), group in chosen
                ]
            ).sort_values("mean", ascending=False, kind="stable")
            charts.dots(axis, spread.head(top))
            axis.set_yticks(range(len(spread.head(top))), spread["name"].head(top))
            axis.invert_yaxis()
            axis.set_title(f"value: {yardstick}", loc="left")
        axes[-1].set_xlabel("lost without the controller, % of value")
    return figure


def _spread(value: "pd.Series[float]") -> dict[str, float]:
    found = interval(np.asarray(value, np.float64))
    return {"mean": float(found.mean), "ci_low": float(found.low), "ci_high": float(found.high)}


def _of_programme(removed: pd.DataFrame, jurisdiction: str) -> pd.DataFrame:
    """Return worth at home, welfare of all and RS at home, a row per seed."""
    at_home = [one for one in removed["jurisdiction"].unique() if _is_in(one, jurisdiction)]
    every = removed.drop_duplicates(["seed", "jurisdiction"])
    home = removed[removed["jurisdiction"].isin(at_home)]
    foreign = home[[not _is_in(one, jurisdiction) for one in home["home"]]]
    whole = foreign.groupby(["seed", "controller"])[["value_usd", "without_usd"]].sum()
    lost = 1.0 - whole["without_usd"] / whole["value_usd"]
    value = every.set_index("seed")
    return pd.DataFrame(
        {
            "worth_gain_usd": value["value_usd"][value["jurisdiction"].isin(at_home)]
            .groupby("seed")
            .sum(),
            "world_gain_usd": value["value_usd"][value["jurisdiction"] == WORLD],
            "sovereignty_gain": 1.0 - lost.groupby("seed").max(),
        }
    )


def _is_in(jurisdiction: str, whose: str) -> bool:
    return jurisdiction == whose or jurisdiction.startswith(f"{whose}-")


def _removals_of_seed(
    seed: int,
    *,
    scenario: Scenario,
    regime: Regime,
    yardsticks: tuple[str, ...],
    kinds: tuple[str, ...],
    least_share: float,
    undelivered_share: float,
) -> pd.DataFrame:
    world = draw_world(scenario, seed)
    chosen = controllers(world, regime, kinds=kinds, least_share=least_share)
    frames = []
    for yardstick in yardsticks:
        value = partial(_value_usd, yardstick=yardstick, regime=regime)
        whole = value(world)
        for one in chosen:
            left = value(without(world, one, scenario, undelivered_share=undelivered_share))
            frames.append(_rows(world, one, yardstick, whole=whole, left=left))
    return pd.concat(frames, ignore_index=True)


def _rows(
    world: World, controller: Controller, yardstick: str, *, whole: Floats, left: Floats
) -> pd.DataFrame:
    names = [*world.geography.jurisdiction, WORLD][-len(whole) :]
    with np.errstate(divide="ignore", invalid="ignore"):
        loss_share = np.where(whole > 0, (whole - left) / whole, np.nan)
    frame = pd.DataFrame(
        {
            "seed": world.seed,
            "yardstick": yardstick,
            "jurisdiction": names,
            "kind": controller.kind,
            "controller": controller.name,
            "home": controller.home,
            "is_foreign": [name != WORLD and not _is_in(name, controller.home) for name in names],
            "value_usd": whole,
            "without_usd": left,
            "loss_share": loss_share,
        }
    )
    return frame[(frame["value_usd"] != 0) | (frame["jurisdiction"] == WORLD)]


def _value_usd(world: World, *, yardstick: str, regime: Regime) -> Floats:
    """Return the value of each jurisdiction's buyers, and of all; of all alone by the planner."""
    if yardstick == "planner":
        facts = lower_facts(world, CENTRAL)
        planned = planner_bound(
            facts,
            world.terms,
            world.fleet.node_free_from_us,
            horizon_us=world.horizon_us,
            n_bins=_N_BINS,
        )
        return np.array([planned.bound_usd + planned.standing_usd])
    if yardstick == "reference":
        facts = lower_facts(world, CENTRAL)
        rules = lower_rules(world.terms, CENTRAL, horizon_us=world.horizon_us, n_planes=1)
        n_families = len(world.workload.family)
        ledger = reference_ledger(
            facts, rules, world.fleet.node_free_from_us, n_families=n_families
        )
        return _ledger_value_usd(world, ledger)
    model = ComputeMarket(world, regime, with_agents=False)
    value = _ledger_value_usd(world, model.run_to_horizon())
    release(model)
    return value


def _ledger_value_usd(world: World, ledger: Ledger) -> Floats:
    """Return worth by jurisdiction of the buyer's place, then welfare of all families together."""
    where = world.geography.region_jurisdiction[world.workload.job_origin]
    worth = job_worth_usd(ledger)
    n_jurisdictions = len(world.geography.jurisdiction)
    by_jurisdiction = np.bincount(where, worth, n_jurisdictions).astype(float)
    occupancy = label_time(ledger, len(world.workload.family))
    # The last row is what belongs to no family: idle power, and refreshes that nobody asked for.
    families = welfare_of(world, ledger, occupancy).welfare_usd[:-1]
    return np.append(by_jurisdiction, families.sum())

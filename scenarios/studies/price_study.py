"""Price study: what was paid for which unit, beside what the planner would charge for it.

A purchase is one acceptance of a stage by a unit: what was agreed, over the time that it occupies
the unit. The planner's price of the same unit-hour is resource cost plus the mean dual price of the
place over that time, so that both are made of the same things; what they differ by is rent that
scarcity, as a clairvoyant sees it, does not explain. Measures are per workload family throughout.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hanse.agents.lower_fleet import usd_per_us
from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.columns import Rows
from hanse.market.planner import Planner
from hanse.market.regime import Pricing, Rung, ladder, regimes
from hanse.market.units import MICRO_USD_PER_USD, S_PER_HOUR, US_PER_HOUR, US_PER_S, Floats
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.draw import draw_world
from hanse.scenarios.experiment import checked_seeds, regions_table
from hanse.scenarios.running.batches import run_in_order
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.studies.hedonics import Regression, regress
from hanse.scenarios.studies.price_maps import draw_price_maps
from hanse.scenarios.studies.price_quality import UNITS, market_quality
from hanse.scenarios.yardstick import measure_bound

PLANNER: Final = "planner"
"""What stands for a rung where prices are the planner's own."""

COVARIATES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "rtt_ms": "1/ms",
        "gbps": "1/(Gbit/s)",
        "crosses_border": "",
        "serving_share": "",
        "is_tempted": "",
        "verifier_rtt_ms": "1/ms",
    }
)
"""What a unit is bought with, and the unit of one over it."""

PRICINGS: Final[tuple[Rung, ...]] = tuple(
    Rung(
        name=pricing.name.lower().replace("_", "-"),
        title=pricing.name.capitalize().replace("_", " "),
        change=f"pricing={pricing.name} in the place of LOCATIONAL",
        regime=replace(regimes["locational-prices"], pricing=pricing),
    )
    for pricing in Pricing
)
"""Every way of pricing what the welfare rule allots: all else is as on "locational-prices"."""

OUTCOMES: Final = ("price", "log price", "planner price", "rent")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceStudy:
    """Prices on rungs, explained and set against the planner's.

    Attributes
    ----------
    premiums : columns rung, family, outcome, term, coefficient, ci_low, ci_high, n, n_worlds: the
        hedonic regressions, a row per term of `COVARIATES`. Outcomes are those of `OUTCOMES`: in
        USD per GPU-hour, or the natural logarithm of that.
    quality : columns rung, family, measure, unit, mean, ci_low, ci_high, n; 95 % over worlds.
    places : columns rung, region, usd_per_gpu_hour: mean over worlds, all families together. The
        rung `PLANNER` holds the planner's price, averaged over the horizon.
    regions : where the regions lie, as the table of a comparison.
    """

    premiums: pd.DataFrame
    quality: pd.DataFrame
    places: pd.DataFrame
    regions: pd.DataFrame


def price_study(
    scenario: Scenario,
    *,
    seeds: Iterable[int],
    regimes: Sequence[Rung] = ladder,
    n_bins: int = 6,
    workers: int | None = None,
) -> PriceStudy:
    """Run regimes on the same worlds and study what they pay; one linear program per world.

    Parameters
    ----------
    seeds : distinct and not negative; fewer than two give no interval, and few give wide ones.
    n_bins : parts of the horizon that the planner prices apart; more are finer and take longer.
    """
    tasks = checked_seeds(seeds)
    work = partial(_study_seed, scenario=scenario, regimes=tuple(regimes), n_bins=n_bins)
    found = run_in_order(work, tasks, workers=workers)
    bought = pd.concat([purchased for purchased, _ in found], ignore_index=True)
    places = pd.concat([place for _, place in found], ignore_index=True)
    order = ["rung", "region"]
    return PriceStudy(
        premiums=hedonic_premiums(bought),
        quality=_over_worlds(bought),
        places=places.groupby(order, sort=False)["usd_per_gpu_hour"].mean().reset_index(),
        regions=regions_table(draw_world(scenario, tasks[0]).geography).to_pandas(),
    )


def draw_study_map(study: PriceStudy) -> Figure | None:
    """Draw the mean price by region on each rung, the planner's below, all on one colour scale.

    A rung's price is averaged over the hours sold, the planner's over the horizon, sold or not.
    """
    price = {
        str(rung): here.set_index("region")["usd_per_gpu_hour"]
        for rung, here in study.places.groupby("rung", sort=False)
    }
    planned = price.pop(PLANNER)
    rows = {f"{rung}\n(paid)": paid for rung, paid in price.items()}
    rows |= {f"{PLANNER}\n(resource cost and dual)": planned}
    return draw_price_maps(study.regions.set_index("region"), rows)


def purchases(world: World, ledger: Ledger, planner: Planner) -> pd.DataFrame:
    """Tabulate every purchase of a run, with what was bought and what the planner would charge.

    Columns: family, region, accelerator_class, unit, bin (of the planner), minute, hours, paid_usd,
    cost_usd (of what the unit consumes), dual_usd_per_gpu_hour, match_s (from readiness to the
    first acceptance; NaN for later ones), work_s, electricity_usd_per_kwh, and `COVARIATES`:

    - rtt_ms, gbps : between the job's origin and the unit's region.
    - crosses_border : 1 if these lie in different jurisdictions.
    - serving_share : share of all jobs of the world that law allows in the unit's region.
    - is_tempted : 1 if whoever owns the unit would gain by cheating here unless caught. No buyer
      sees it, so that it is the one risk there is and ought not to be in a price.
    - verifier_rtt_ms : between the unit's region and the region of the audit.
    """
    record = ledger.record
    row = record[ledger.work]
    row = row[row["end_us"] > row["accepted_us"]]
    stage, work, geography = row["stage"], world.workload, world.geography
    fact, region = ledger.stage_fact[stage], ledger.unit["region"][row["unit"]]
    sink, origin = ledger.unit["sink"][row["unit"]], ledger.stage_fact["origin"][stage]
    dual = _mean_dual(planner, row, ledger.sink["place"][sink])
    law = geography.region_jurisdiction
    tempted = work.attempt_temptation[row["attempt"], stage] < world.terms.temptation_share
    match_us = row["accepted_us"] - ledger.stage["ready_us"][stage]
    first = np.zeros(len(row), bool)
    first[np.unique(stage, return_index=True)[1]] = True  # records stand in order of acceptance
    return pd.DataFrame(
        {
            "family": np.array(work.family, dtype=object)[fact["family"]],
            "region": np.array(geography.region, dtype=object)[region],
            "accelerator_class": ledger.sink["accelerator"][sink],
            "unit": row["unit"],
            "bin": np.searchsorted(planner.edges_us, row["accepted_us"], side="right") - 1,
            "minute": row["accepted_us"] // (60 * US_PER_S),
            "hours": (row["end_us"] - row["accepted_us"]) / US_PER_HOUR,
            "paid_usd": row["payment_micro_usd"] / MICRO_USD_PER_USD,
            "cost_usd": _cost_usd(ledger, row, sink),
            "dual_usd_per_gpu_hour": dual * S_PER_HOUR,
            "match_s": np.where(first, match_us / US_PER_S, np.nan),
            "work_s": fact["work_us"] / US_PER_S,
            "electricity_usd_per_kwh": geography.electricity_usd_per_kwh[region],
            "rtt_ms": geography.rtt_ms[origin, region],
            "gbps": geography.gbps[origin, region],
            "crosses_border": (law[origin] != law[region]).astype(float),
            "serving_share": _serving_share(world)[region],
            "is_tempted": tempted.astype(float),
            "verifier_rtt_ms": geography.rtt_ms[region, fact["verifier_region"]],
        }
    )


def hedonic_premiums(bought: pd.DataFrame) -> pd.DataFrame:
    """Regress prices on what was bought, for each rung, family and outcome.

    `bought` stacks what `purchases` gives, beside columns rung and seed. Intervals are clustered by
    seed. Purchases are compared within the same minute of the same world: when units are scarce
    everywhere, prices are high and buyers go far, which is no premium on distance. Held constant
    besides `COVARIATES`: the price of electricity, the logarithm of the hours (a rent per unit
    weighs more on short work), the accelerator class.
    """
    rows = []
    for (rung, family), here in bought.groupby(["rung", "family"], sort=False):
        terms, seed = _terms(here), here["seed"].to_numpy()
        moment = np.asarray(here.groupby(["seed", "minute"]).ngroup(), np.int64)
        for outcome, price in _outcomes(here).items():
            told = np.isfinite(price)
            chosen = {name: column[told] for name, column in terms.items()}
            fit = regress(price[told], chosen, cluster=seed[told], within=moment[told])
            rows += [_premium_row(fit, term, (rung, family, outcome)) for term in COVARIATES]
    return pd.DataFrame(rows, columns=_PREMIUM_COLUMNS)


_PREMIUM_COLUMNS: Final = (
    "rung",
    "family",
    "outcome",
    "term",
    "coefficient",
    "ci_low",
    "ci_high",
    "n",
    "n_worlds",
)


def _premium_row(
    fit: Regression, term: str, keys: tuple[object, object, str]
) -> tuple[object, ...]:
    return (*keys, term, *fit[term], fit.n_rows, fit.n_clusters)


def _outcomes(bought: pd.DataFrame) -> dict[str, Floats]:
    """Return what is explained; the logarithm is NaN where nothing was paid."""
    price = (bought["paid_usd"] / bought["hours"]).to_numpy()
    cost = (bought["cost_usd"] / bought["hours"]).to_numpy()
    planned = cost + bought["dual_usd_per_gpu_hour"].to_numpy()
    logarithm = np.log(price, where=price > 0, out=np.full(len(price), np.nan))
    return dict(zip(OUTCOMES, (price, logarithm, planned, price - planned), strict=True))


def _terms(bought: pd.DataFrame) -> dict[str, Floats]:
    terms = {name: bought[name].to_numpy(float) for name in COVARIATES}
    terms["electricity"] = bought["electricity_usd_per_kwh"].to_numpy(float)
    terms["log hours"] = np.log(bought["hours"].to_numpy(float))
    for value in np.unique(bought["accelerator_class"])[1:]:
        terms[f"class {value}"] = (bought["accelerator_class"] == value).to_numpy(float)
    return terms


def _serving_share(world: World) -> Floats:
    """Return the share of all jobs that law allows in each region, shape (n_regions,)."""
    work = world.workload
    allowed = world.law.may_serve[work.job_data_class, work.job_origin]
    return np.asarray(allowed.mean(axis=0), float)


def _cost_usd(ledger: Ledger, row: Rows, sink: Rows) -> Floats:
    """Return the resource cost of a unit's time: busy for context and work, held for the rest."""
    occupied_us = row["end_us"] - row["accepted_us"]
    busy_us = np.minimum(row["context_us"] + row["execution_us"], occupied_us)
    place = ledger.sink[sink]
    held_us = occupied_us - busy_us
    return np.asarray(place["busy_usd_per_us"] * busy_us + place["held_usd_per_us"] * held_us)


def _mean_dual(planner: Planner, row: Rows, place: Rows) -> Floats:
    """Return the mean dual price over each occupation up to the horizon, USD per GPU-second."""
    edges_us = planner.edges_us
    area = np.zeros((len(planner.price_usd_per_gpu_s), len(edges_us)))
    np.cumsum(planner.price_usd_per_gpu_s * np.diff(edges_us), axis=1, out=area[:, 1:])
    start_us, end_us = row["accepted_us"], np.minimum(row["end_us"], edges_us[-1])

    def area_until(at_us: Floats) -> Floats:
        slot = np.minimum(np.searchsorted(edges_us, at_us, side="right") - 1, len(edges_us) - 2)
        rate = planner.price_usd_per_gpu_s[place, slot]
        return np.asarray(area[place, slot] + rate * (at_us - edges_us[slot]))

    mean: Floats = (area_until(end_us) - area_until(start_us)) / (end_us - start_us)
    return mean


def _study_seed(
    seed: int, *, scenario: Scenario, regimes: tuple[Rung, ...], n_bins: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what was bought on each rung in one world, and the mean price of each region."""
    world = draw_world(scenario, seed)
    planner = measure_bound(world, n_bins=n_bins)
    frames = []
    places = [_planned_places(world, planner)]
    for rung in regimes:
        model = ComputeMarket(world, rung.regime, with_agents=False)
        bought = purchases(world, model.run_to_horizon(), planner)
        release(model)
        frames.append(bought.assign(rung=rung.name, seed=seed))
        total = bought.groupby("region", sort=False)[["paid_usd", "hours"]].sum()
        price = (total["paid_usd"] / total["hours"]).rename("usd_per_gpu_hour").reset_index()
        places.append(price.assign(rung=rung.name))
    return pd.concat(frames), pd.concat(places).assign(seed=seed)


def _planned_places(world: World, planner: Planner) -> pd.DataFrame:
    """Average the planner's price of each region's units over the horizon."""
    n_classes = len(world.fleet.accelerator_class)
    n_units = np.zeros(len(planner.price_usd_per_gpu_s))
    np.add.at(n_units, world.fleet.node_region * n_classes + world.fleet.node_class, 1)
    share = np.diff(planner.edges_us) / planner.edges_us[-1]
    busy, _ = usd_per_us(world)
    price = np.repeat(busy, n_classes) * US_PER_HOUR
    price = price + planner.price_usd_per_gpu_s @ share * S_PER_HOUR
    by_region = [column.reshape(-1, n_classes).sum(axis=1) for column in (price * n_units, n_units)]
    has_units = by_region[1] > 0
    return pd.DataFrame(
        {
            "rung": PLANNER,
            "region": np.array(world.geography.region, dtype=object)[has_units],
            "usd_per_gpu_hour": by_region[0][has_units] / by_region[1][has_units],
        }
    )


def _over_worlds(bought: pd.DataFrame) -> pd.DataFrame:
    """Measure each run and family, and take means over worlds with their interval."""
    rows = []
    for (rung, family), here in bought.groupby(["rung", "family"], sort=False):
        worlds = [market_quality(one) for _, one in here.groupby("seed")]
        for measure, unit in UNITS.items():
            over = interval(np.array([world[measure] for world in worlds]))
            found = (float(over.mean), float(over.low), float(over.high), int(over.n))
            rows.append((rung, family, measure, unit, *found))
    columns = ("rung", "family", "measure", "unit", "mean", "ci_low", "ci_high", "n")
    return pd.DataFrame(rows, columns=columns)

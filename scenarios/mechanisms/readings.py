"""Readings of mechanisms: the one place for what figures of scenarios read from a ledger alone."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import COMPLETE
from hanse.market.units import US_PER_S, Integers
from hanse.scenarios import charts
from hanse.scenarios.growth.reliability import success_by_stages
from hanse.scenarios.measuring.latency import COMPONENTS, COORDINATION, TOOLS, latency
from hanse.scenarios.mechanisms.studies import Reading, Row, binned

CALLS: Final = (1, 2, 3, 6, 12)
"""Where bins of the number of calls begin."""

SHARES: Final = {
    "coordination": COORDINATION,
    "coordination, tools with it": (*COORDINATION, TOOLS),
}


def latency_by_calls(family: str) -> Reading:
    """Return what reads the shares of latency, and coordination's of it, by number of calls."""

    def read(world: World, ledger: Ledger) -> Iterable[Row]:
        found = latency(ledger, world.workload)
        its = found.of_family(world.workload.family.index(family))
        for name, inside in binned(its.n_stages, CALLS):
            part_us = its.part_us[inside]
            total_us = int(part_us.sum())
            if total_us == 0:
                continue
            key: Row = {"calls": name}
            shares = part_us.sum(axis=0) / total_us
            for component, share in zip(COMPONENTS, shares.tolist(), strict=True):
                yield key | {"component": component, "measure": "share", "value": share}
            for measure, counted in SHARES.items():
                value = float(shares[list(counted)].sum())
                yield key | {"component": "", "measure": measure, "value": value}

    return read


def success_by_calls(family: str) -> Reading:
    """Return what reads the share of jobs done and right, of those not open, by number of calls."""

    def read(world: World, ledger: Ledger) -> Iterable[Row]:
        counts = success_by_stages(world, ledger)
        counts = counts[counts["family"] == family]
        for name, inside in binned(counts["n_stages"].to_numpy(), CALLS):
            its = counts[inside]
            ended = int((its["jobs"] - its["open"]).sum())
            if ended:
                share = float(its["succeeded"].sum()) / ended
                yield {"calls": name, "measure": "success", "value": share}

    return read


def where_work_runs(world: World, ledger: Ledger) -> Iterable[Row]:
    """Read which share of a continent's accelerator time is executed on which continent."""
    continent = _continents(world)
    record = ledger.record[ledger.work]
    buyer = ledger.stage_fact["buyer"][record["stage"]]
    asked = continent[world.workload.buyer_region[buyer]]
    run = continent[world.fleet.node_region[record["unit"]]]
    n = len(charts.BOXES)
    worked = np.zeros((n, n))
    np.add.at(worked, (asked, run), record["execution_us"])
    shares = worked / np.maximum(worked.sum(axis=1, keepdims=True), 1.0)
    for (one, other), share in np.ndenumerate(shares):
        yield {
            "asked_from": charts.BOXES[one].name,
            "run_in": charts.BOXES[other].name,
            "measure": "share",
            "value": float(share),
        }


def goodput_by_time(bin_s: int) -> Reading:
    """Return what reads the share of one-stage jobs done, by when they arrived."""

    def read(_: World, ledger: Ledger) -> Iterable[Row]:
        arrival_s = ledger.stage_fact["job_arrival_us"] // US_PER_S
        is_done = ledger.stage["status"] == COMPLETE
        horizon_s = ledger.horizon_us // US_PER_S
        for from_s in range(0, horizon_s - bin_s + 1, bin_s):
            inside = (arrival_s >= from_s) & (arrival_s < from_s + bin_s)
            value = float(is_done[inside].mean())
            yield {"time_s": from_s + bin_s / 2, "measure": "goodput", "value": value}

    return read


def _continents(world: World) -> Integers:
    """Return of each region which box of the map it lies in."""
    at = zip(world.geography.longitude, world.geography.latitude, strict=True)
    return np.array([[box.holds(*one) for box in charts.BOXES].index(True) for one in at])

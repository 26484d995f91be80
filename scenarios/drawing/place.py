"""The one place that turns the tables of place and law into the geography and law of a world.

The law is thin. A jurisdiction has one rule for resident data: it may go anywhere (`free`,
`accountability`, `comparable`, `conditional`: the conditions are assumed met, at no cost or delay),
to the European Economic Area and the countries it calls adequate (`adequacy`; the United Kingdom,
Japan and the rest are given the European list), or nowhere else (`hard`: China's thresholds are
read as always reached). A scenario may put one of these rules in the place of all
(`law.export_rule`). Volume thresholds and contracts are left out; headquarters matter to chips
alone (`chip_rules`). Egress out of the EU may be held to its cost (`law.egress_rule`).
"""

import numpy as np

from hanse.market.geography import Geography
from hanse.market.jurisdictions import DATA_CLASSES, RESIDENT, Law
from hanse.market.units import Flags, Floats, Integers
from hanse.scenarios.drawing.shocks import round_trips_left
from hanse.scenarios.drawing.tapes import ANY
from hanse.scenarios.scenario import ANYWHERE, Scenario
from hanse.scenarios.tables import (
    jurisdiction_index,
    read_jurisdictions,
    read_regions,
    read_round_trips,
    region_index,
)

_ANYWHERE = ("free", "accountability", "comparable", "conditional")
_ADEQUATE = ("EU", "EEA", "adequate", "DPF")
_TABULATED = "tabulated"
OWNERS = "owners"
_TARIFF, _SWITCHING_FREE = "tariff", "switching-free"
_MBIT_PER_GBIT = 1000.0


def geography_of(scenario: Scenario, *, is_cut: bool = True) -> Geography:
    """Return the places of a scenario; nothing here is random.

    The arrays are copies: worlds do not share what a caller might write to.

    Parameters
    ----------
    is_cut : whether cables that the scenario cuts are cut; else the places are as they were before.
    """
    table = read_regions()
    rtt_ms = read_round_trips().copy()
    np.fill_diagonal(rtt_ms, scenario.number("resources.region_rtt_ms"))
    rtt_ms = round_trips_left(scenario, rtt_ms) if is_cut else rtt_ms
    return Geography(
        region=table.region,
        jurisdiction=read_jurisdictions().jurisdiction,
        region_jurisdiction=jurisdiction_index(),
        latitude=table.latitude.copy(),
        longitude=table.longitude.copy(),
        rtt_ms=rtt_ms,
        gbps=_bulk_gbps(scenario, rtt_ms),
        egress_usd_per_gb=_egress_usd_per_gb(scenario),
        electricity_usd_per_kwh=table.electricity_usd_per_kwh.copy(),
        carbon_g_per_kwh=table.carbon_g_per_kwh.copy(),
        demand_weight=_demand_weight(scenario),
        power_cap_share=_power_cap_share(scenario, table.region),
    )


def law_of(scenario: Scenario) -> Law:
    """Return which data may be served where (see the module's first lines for what is left out)."""
    own = jurisdiction_index()
    may_serve = np.ones((len(DATA_CLASSES), len(own), len(own)), dtype=bool)
    may_leave = _may_leave(scenario.text("law.export_rule"))
    may_serve[RESIDENT] = may_leave[own[:, None], own[None, :]]
    return Law(may_serve=may_serve)


def class_regions(scenario: Scenario) -> Integers:
    """Return the one region that has each accelerator class, or `ANY`."""
    words = scenario.words("fleet.class_regions")
    home = np.array([ANY if word == ANYWHERE else region_index(word) for word in words])
    return np.broadcast_to(home, len(scenario.words("fleet.classes")))


def _may_leave(rule: str) -> Flags:
    """Say where resident data may go, shape (n_jurisdictions, n_jurisdictions)."""
    table = read_jurisdictions()
    rules = table.data_export_rule if rule == _TABULATED else (rule,) * len(table.jurisdiction)
    anywhere = np.array([rule.startswith(_ANYWHERE) for rule in rules])
    adequacy = np.array([rule.startswith("adequacy") for rule in rules])
    adequate = np.array([status.startswith(_ADEQUATE) for status in table.eu_adequacy])
    at_home = np.eye(len(anywhere), dtype=bool)
    may_leave: Flags = anywhere[:, None] | (adequacy[:, None] & adequate[None, :]) | at_home
    return may_leave


def _bulk_gbps(scenario: Scenario, rtt_ms: Floats) -> Floats:
    """Return the rate of one bulk transfer: streams of constant window, up to what cards allow."""
    window = scenario.number("resources.stream_mbit_ms") / _MBIT_PER_GBIT
    streams = scenario.number("resources.transfer_streams")
    gbps: Floats = np.minimum(
        scenario.number("resources.transfer_cap_gbps"), streams * window / rtt_ms
    )
    np.fill_diagonal(gbps, scenario.number("resources.region_gbps"))
    return gbps


def _power_cap_share(scenario: Scenario, regions: tuple[str, ...]) -> Floats:
    named = scenario.words("resources.capped_regions")
    is_capped = np.isin(regions, named) | (ANYWHERE in named)
    return np.where(is_capped, scenario.number("resources.power_cap_share"), 1.0)


def _egress_usd_per_gb(scenario: Scenario) -> Floats:
    """Return what a gigabyte takes that leaves a region.

    Where owners charge for it, that is its cost; else the tariff stands for it, or what the EU Data
    Act leaves of the tariff.
    """
    tariff = read_regions().egress_usd_per_gb
    if scenario.text("fleet.egress_pricing") == OWNERS:
        return np.minimum(tariff, scenario.number("law.egress_cost_usd_per_gb"))
    return under_egress_rule(scenario, tariff)


def under_egress_rule(scenario: Scenario, usd_per_gb: Floats) -> Floats:
    """Return what may be charged, or is counted, for bytes that leave each region.

    Parameters
    ----------
    usd_per_gb : shape (..., n_regions), what would be without a rule.
    """
    rule = scenario.text("law.egress_rule")
    if rule == _TARIFF:
        return usd_per_gb.copy()
    cost = np.minimum(usd_per_gb, scenario.number("law.egress_cost_usd_per_gb"))
    if rule == _SWITCHING_FREE:
        cost = cost * (1.0 - scenario.number("law.egress_switching_share"))
    is_member = np.array([status == "EU" for status in read_jurisdictions().eu_adequacy])
    return np.where(is_member[jurisdiction_index()], cost, usd_per_gb)


def _demand_weight(scenario: Scenario) -> Floats:
    table, blend = read_regions(), scenario.number("load.demand_at_capacity_share")
    weight: Floats = blend * table.capacity_weight + (1.0 - blend) * table.demand_weight
    return weight / float(weight.sum())

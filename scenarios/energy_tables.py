"""Energy tables: the one place where joules that were read become measures and rows."""

from collections.abc import Mapping

import numpy as np

from hanse.market.energy import RESOURCES, Energy, carbon_kg, power_limit_w
from hanse.market.geography import Geography
from hanse.market.ledger import Ledger
from hanse.market.occupancy import NONE
from hanse.market.states import CAUSES, LABELS, OPERATIONS
from hanse.market.terms import Terms
from hanse.market.units import US_PER_S, Floats, Integers

Column = np.ndarray[tuple[int, ...], np.dtype[np.generic]]


def energy_of_family(
    energy: Energy, family: int, *, energy_usd: float, carbon_g_per_kwh: Floats
) -> Mapping[tuple[str, str], float]:
    """Return what one family's work has drawn, by name and unit."""
    of_region = energy.of_region[family]
    return {
        ("energy_j", "J"): float(of_region.sum()),
        ("payload_energy_j", "J"): float(energy.payload_j[family]),
        ("coordination_energy_j", "J"): float(energy.coordination_j[family]),
        ("energy_usd", "USD"): energy_usd,
        ("carbon_kg", "kg"): float(carbon_kg(of_region, carbon_g_per_kwh).sum()),
    }


def energy_of_all(energy: Energy, ledger: Ledger, terms: Terms) -> Mapping[tuple[str, str], float]:
    """Return shares of all energy of a run, and what coordination draws of what sites may draw."""
    total, coordination = float(energy.joules.sum()), float(energy.coordination_j.sum())
    limit_w = float(power_limit_w(ledger, terms).sum())
    limit_j = limit_w * ledger.horizon_us / US_PER_S * terms.pue
    return {
        ("payload_energy_fraction", "share"): float(energy.payload_j.sum()) / (total or 1.0),
        ("coordination_energy_share", "share"): coordination / (total or 1.0),
        ("coordination_power_share", "share"): energy.machine_coordination_j / (limit_j or 1.0),
    }


def energy_table(
    energy: Energy, families: tuple[str, ...], geography: Geography
) -> dict[str, Column]:
    """Tabulate joules, and their carbon dioxide, by all that they are known by."""
    index = np.nonzero(energy.joules)
    resource, family, label, operation, cause, region = index
    joules = energy.joules[index]
    return {
        "resource": _names(RESOURCES, resource),
        "family": _names(families, family),
        "label": _names(LABELS, label),
        "operation": _names((*OPERATIONS, ""), operation + NONE),
        "cause": _names((*CAUSES, ""), cause + NONE),
        "region": _names(geography.region, region),
        "joules": joules,
        "carbon_kg": carbon_kg(joules, geography.carbon_g_per_kwh[region]),
    }


def _names(names: tuple[str, ...], index: Integers) -> Column:
    return np.array(names, dtype=object)[index]

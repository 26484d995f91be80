"""Energy tables: the one place where joules that were read become measures and rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hanse.market.accounts.energy import NETWORK, RESOURCES, Energy, carbon_kg, power_limit_w
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.occupancy import NONE, B, C, U
from hanse.market.engine.states import CAUSES, LABELS, OPERATIONS
from hanse.market.geography import Geography
from hanse.market.terms import Terms
from hanse.market.units import US_PER_S, Floats, Integers

Column = np.ndarray[tuple[int, ...], np.dtype[np.generic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyRows:
    """What was drawn at all, a row for each combination; most combinations draw nothing."""

    n_families: int
    resource: Integers
    family: Integers
    label: Integers
    operation: Integers
    cause: Integers
    region: Integers
    joules: Floats

    def by_family(self, chosen: Column) -> Floats:
        """Add up the chosen rows by family; shape (n_families + 1,)."""
        joules = np.where(chosen, self.joules, 0.0)
        return np.asarray(np.bincount(self.family, joules, self.n_families + 1), np.float64)


def energy_rows(energy: Energy) -> EnergyRows:
    """Say of each row what it is known by."""
    resource, family, label, operation, cause, region = np.unravel_index(energy.place, energy.shape)
    return EnergyRows(
        n_families=energy.shape[1] - 1,
        resource=resource,
        family=family,
        label=label,
        operation=operation + NONE,
        cause=cause + NONE,
        region=region,
        joules=energy.joules,
    )


def energy_measures(
    rows: EnergyRows, *, energy_usd: Floats, carbon_g_per_kwh: Floats
) -> list[Mapping[tuple[str, str], float]]:
    """Return what each family's work has drawn, by name and unit; the last is nobody's."""
    carbon = carbon_kg(rows.joules, carbon_g_per_kwh[rows.region])
    by_family = {
        ("energy_j", "J"): rows.by_family(rows.joules > 0),
        ("payload_energy_j", "J"): rows.by_family(rows.label == U),
        ("coordination_energy_j", "J"): rows.by_family(np.isin(rows.label, (C, B))),
        ("energy_usd", "USD"): energy_usd,
        ("carbon_kg", "kg"): np.bincount(rows.family, carbon, rows.n_families + 1),
    }
    return [
        {name: float(values[family]) for name, values in by_family.items()}
        for family in range(rows.n_families + 1)
    ]


def energy_of_all(
    rows: EnergyRows, ledger: Ledger, terms: Terms
) -> Mapping[tuple[str, str], float]:
    """Return shares of all energy of a run, and what coordination draws of what sites may draw."""
    is_coordination = np.isin(rows.label, (C, B))
    total, coordination = float(rows.joules.sum()), float(rows.joules[is_coordination].sum())
    of_machines = float(rows.joules[is_coordination & (rows.resource < NETWORK)].sum())
    limit_w = float(power_limit_w(ledger, terms).sum())
    limit_j = limit_w * ledger.horizon_us / US_PER_S * terms.pue
    payload = float(rows.joules[rows.label == U].sum())
    return {
        ("payload_energy_fraction", "share"): payload / (total or 1.0),
        ("coordination_energy_share", "share"): coordination / (total or 1.0),
        ("coordination_power_share", "share"): of_machines / (limit_j or 1.0),
    }


def energy_table(
    rows: EnergyRows, families: tuple[str, ...], geography: Geography
) -> dict[str, Column]:
    """Tabulate joules, and their carbon dioxide, by all that they are known by."""
    return {
        "resource": _names(RESOURCES, rows.resource),
        "family": _names(families, rows.family),
        "label": _names(LABELS, rows.label),
        "operation": _names((*OPERATIONS, ""), rows.operation),
        "cause": _names((*CAUSES, ""), rows.cause),
        "region": _names(geography.region, rows.region),
        "joules": rows.joules,
        "carbon_kg": carbon_kg(rows.joules, geography.carbon_g_per_kwh[rows.region]),
    }


def _names(names: tuple[str, ...], index: Integers) -> Column:
    return np.array(names, dtype=object)[index]

"""Joules: what every unit, control core and byte of a run has drawn, by label and operation.

Accelerators are read from the ledger of units: work draws active power, and all else that is up
draws idle power; a cheat only sits there, and so does work while a cap keeps it from going on.
Control cores draw while they are busy. A network draws standing power, and little more for bytes
that it moves (docs/why/bytes-draw-little.md). `Terms.pue` multiplies all of it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.columns import Rows
from hanse.market.ledger import Ledger
from hanse.market.occupancy import NONE, B, C, F, H, I, Occupancy, X
from hanse.market.states import (
    AUDIT,
    AUDITING,
    CAUSES,
    CONTEXT,
    CROSSING,
    DISTANCE,
    IDENTITY,
    LABELS,
    OPERATIONS,
    POWER_CAP,
    ROUTING,
    SERVICE,
    STALENESS,
    VERIFICATION,
)
from hanse.market.terms import Terms
from hanse.market.units import BYTES_PER_GB, J_PER_KWH, US_PER_S, Floats, Integers

RESOURCES: Final = ("accelerator", "core", "network")
ACCELERATOR, CORE, NETWORK = range(3)
_G_PER_KG: Final = 1_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Joules at the meter.

    Attributes
    ----------
    joules : shape (resources, families + 1, labels, operations + 1, causes + 1, regions); the last
        family is what belongs to none, and the first operation and cause are none.
    """

    joules: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreTime:
    """Core-microseconds of each stage, shape (n_stages,), and of each plane, shape (n_planes,).

    What a plane has decided beyond the shares of stages belongs to nobody: `unshared_us`.
    """

    decision_us: Integers
    verification_us: Integers
    data_us: Integers
    signing_us: Floats
    refresh_us: Integers
    unshared_us: int


def usd_per_joule(terms: Terms, electricity_usd_per_kwh: Floats) -> Floats:
    """Return what a joule that a machine draws costs, with what cools and feeds the machine."""
    return electricity_usd_per_kwh * terms.pue / J_PER_KWH


def unit_joules(occupancy: Occupancy, terms: Terms) -> Floats:
    """Return the energy of each row of the ledger of units."""
    label, is_kept = occupancy.label, occupancy.cause == POWER_CAP
    is_cheat = (label == F) & (occupancy.operation == VERIFICATION)
    idles = is_cheat | is_kept | np.isin(label, (B, H, I))
    watts = np.where(idles, terms.idle_w, terms.active_w)
    watts[(label == X) & ~is_kept] = 0.0
    return np.asarray(occupancy.unit_us / US_PER_S * watts * terms.pue)


def core_time(ledger: Ledger, terms: Terms) -> CoreTime:
    """Say who kept control cores busy, and with what."""
    stage = ledger.stage
    work = ledger.record["stage"][ledger.record["stage"] >= 0]
    decided_us = int(ledger.plane["decision_core_us"].sum())
    return CoreTime(
        decision_us=stage["decision_core_us"],
        verification_us=stage["verification_core_us"],
        data_us=stage["data_core_us"],
        signing_us=np.bincount(work, minlength=len(stage)).astype(float) * terms.receipt_sign_us,
        refresh_us=ledger.plane["refresh_core_us"],
        unshared_us=decided_us - int(stage["decision_core_us"].sum()),
    )


def measure_energy(ledger: Ledger, occupancy: Occupancy, terms: Terms, n_families: int) -> Energy:
    """Read all joules of a run from its ledgers."""
    n_regions = ledger.legal.shape[1]
    shape = (len(LABELS), len(OPERATIONS) + 1, len(CAUSES) + 1, n_regions)
    joules = np.zeros((len(RESOURCES), n_families + 1, *shape))
    place = (
        occupancy.family,
        occupancy.label,
        occupancy.operation - NONE,
        occupancy.cause - NONE,
        ledger.sink["region"][occupancy.sink],
    )
    np.add.at(joules[ACCELERATOR], place, unit_joules(occupancy, terms))
    _add_cores(ledger, terms, joules[CORE])
    _add_network(ledger, terms, joules[NETWORK])
    return Energy(joules=joules)


def carbon_kg(joules: Floats, carbon_g_per_kwh: Floats) -> Floats:
    """Return the carbon dioxide of joules whose last axis is the region."""
    return np.asarray(joules * carbon_g_per_kwh / J_PER_KWH / _G_PER_KG)


def power_limit_w(ledger: Ledger, terms: Terms) -> Floats:
    """Return what machines may draw at each site: its cap, or else all accelerators at work."""
    units = np.bincount(ledger.unit["region"], minlength=len(ledger.site_cap_w))
    return np.asarray(np.minimum(ledger.site_cap_w, units * terms.active_w))


def _add_cores(ledger: Ledger, terms: Terms, joules: Floats) -> None:
    """Add decisions and checks where their plane sits, and crossings where the work was done."""
    cores, fact, plane = core_time(ledger, terms), ledger.stage_fact, ledger.plane
    per_us = terms.core_w * terms.pue / US_PER_S
    seat = ledger.plane_region[np.maximum(0, ledger.stage["plane"])]
    there = _worked_at(ledger)
    for us, region, operation, cause in (
        (cores.decision_us, seat, ROUTING, SERVICE),
        (cores.verification_us, seat, VERIFICATION, AUDITING),
        (cores.data_us, there, IDENTITY, CROSSING),
        (cores.signing_us, there, VERIFICATION, AUDITING),
    ):
        row = joules[:, C, operation - NONE, cause - NONE]
        np.add.at(row, (fact["family"], region), us * per_us)
    decided = plane["decision_core_us"] / max(1, int(plane["decision_core_us"].sum()))
    nobody = joules[-1, C, ROUTING - NONE]
    np.add.at(nobody[SERVICE - NONE], ledger.plane_region, decided * (cores.unshared_us * per_us))
    np.add.at(nobody[STALENESS - NONE], ledger.plane_region, cores.refresh_us * per_us)


def _worked_at(ledger: Ledger) -> Integers:
    """Return the region where each stage was last executed, or else where it came from."""
    record = np.maximum(0, ledger.stage["record"])
    if len(ledger.record) == 0:
        return np.asarray(ledger.stage_fact["origin"], np.int64)
    region = ledger.unit["region"][ledger.record["unit"][record]]
    return np.where(ledger.stage["record"] >= 0, region, ledger.stage_fact["origin"])


def _add_network(ledger: Ledger, terms: Terms, joules: Floats) -> None:
    """Add bytes where they came from, audits where the verifier sits, and the standing power."""
    per_byte = terms.network_j_per_gb * terms.pue / BYTES_PER_GB
    stage, family = ledger.stage, ledger.stage_fact["family"]
    moved = joules[:, C, CONTEXT - NONE, DISTANCE - NONE]
    np.add.at(moved, (family, stage["input_region"]), stage["moved_bytes"] * per_byte)
    audit: Rows = ledger.record[ledger.record["outcome"] == AUDIT]
    audited = joules[:, C, VERIFICATION - NONE, AUDITING - NONE]
    place = (family[audit["stage"]], ledger.unit["region"][audit["unit"]])
    np.add.at(audited, place, terms.audit_bytes * per_byte)
    units = np.bincount(ledger.unit["region"], minlength=joules.shape[-1])
    standing_j = units * terms.network_standing_w * terms.pue * (ledger.horizon_us / US_PER_S)
    joules[-1, I, NONE - NONE, NONE - NONE] += standing_j

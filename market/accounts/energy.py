"""Joules: what every unit, control core and byte of a run has drawn, by label and operation.

Accelerators are read from the ledger of units: work draws active power, and all else that is up
draws idle power; a cheat only sits there, and so does work while a cap keeps it from going on.
Control cores draw while they are busy. A network draws standing power, and little more for bytes
that it moves (docs/why/bytes-draw-little.md). `Terms.pue` multiplies all of it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.occupancy import NONE, B, C, F, H, I, Occupancy, X
from hanse.market.engine.columns import Rows
from hanse.market.engine.states import (
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
Column = np.ndarray[tuple[int, ...], np.dtype[np.floating | np.integer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Joules at the meter, a row for each combination that drew any; most draw nothing.

    Attributes
    ----------
    shape : how many resources, families + 1, labels, operations + 1, causes + 1 and regions there
        are; the last family is what belongs to none, and the first operation and cause are none.
    place : where each row lies in an array of that shape, flat and in order; shape (n_rows,).
    joules : shape (n_rows,).
    """

    shape: tuple[int, ...]
    place: Integers
    joules: Floats

    def table(self) -> Floats:
        """Lay the rows out by all that they are known by, with all that drew nothing."""
        table = np.zeros(self.shape)
        table.reshape(-1)[self.place] = self.joules
        return table


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
    drawn = _Drawn(n_families + 1, n_regions)
    place = (
        np.full(len(occupancy.family), ACCELERATOR),
        occupancy.family,
        occupancy.label,
        occupancy.operation - NONE,
        occupancy.cause - NONE,
        ledger.sink["region"][occupancy.sink],
    )
    drawn.add(place, unit_joules(occupancy, terms))
    _add_cores(ledger, terms, drawn)
    _add_network(ledger, terms, drawn)
    return drawn.close()


class _Drawn:
    """Joules as they are added, before equal places are."""

    def __init__(self, n_families: int, n_regions: int) -> None:
        self.shape = (
            len(RESOURCES),
            n_families,
            len(LABELS),
            len(OPERATIONS) + 1,
            len(CAUSES) + 1,
            n_regions,
        )
        self._place: list[Integers] = []
        self._joules: list[Floats] = []

    def add(self, place: tuple[Integers, ...], joules: Column) -> None:
        """Add joules at places, each an index along every axis."""
        self._place.append(np.ravel_multi_index(place, self.shape))
        self._joules.append(np.asarray(joules, np.float64))

    def add_work(
        self,
        what: tuple[int, int, int, int],
        family: Integers | int,
        region: Integers,
        joules: Column,
    ) -> None:
        """Add joules of one resource, label, operation and cause, by family and region."""
        n_families, n_regions = self.shape[1], self.shape[-1]
        cell = family * n_regions + region
        total = np.bincount(cell, joules, n_families * n_regions)
        cell = np.flatnonzero(total)
        resource, label, operation, cause = (np.full(len(cell), which) for which in what)
        of_family, place = np.divmod(cell, n_regions)
        place_of = (resource, of_family, label, operation - NONE, cause - NONE, place)
        self.add(place_of, total[cell])

    def close(self) -> Energy:
        """Add up what lies at one place."""
        place, joules = np.concatenate(self._place), np.concatenate(self._joules)
        drawing = joules != 0
        place, row = np.unique(place[drawing], return_inverse=True)
        total = np.bincount(row, joules[drawing], len(place))
        return Energy(shape=self.shape, place=place, joules=total.astype(float))


def carbon_kg(joules: Floats, carbon_g_per_kwh: Floats) -> Floats:
    """Return the carbon dioxide of joules whose last axis is the region."""
    return np.asarray(joules * carbon_g_per_kwh / J_PER_KWH / _G_PER_KG)


def power_limit_w(ledger: Ledger, terms: Terms) -> Floats:
    """Return what machines may draw at each site: its cap, or else all accelerators at work."""
    units = np.bincount(ledger.unit["region"], minlength=len(ledger.site_cap_w))
    return np.asarray(np.minimum(ledger.site_cap_w, units * terms.active_w))


def _add_cores(ledger: Ledger, terms: Terms, drawn: _Drawn) -> None:
    """Add decisions and checks where their plane sits, and crossings where the work was done."""
    cores, plane = core_time(ledger, terms), ledger.plane
    family = ledger.stage_fact["family"].astype(np.int64)
    per_us = terms.core_w * terms.pue / US_PER_S
    seat = ledger.plane_region[np.maximum(0, ledger.stage["plane"])]
    there = _worked_at(ledger)
    for us, region, operation, cause in (
        (cores.decision_us, seat, ROUTING, SERVICE),
        (cores.verification_us, seat, VERIFICATION, AUDITING),
        (cores.data_us, there, IDENTITY, CROSSING),
        (cores.signing_us, there, VERIFICATION, AUDITING),
    ):
        drawn.add_work((CORE, C, operation, cause), family, region, us * per_us)
    decided = plane["decision_core_us"] / max(1, int(plane["decision_core_us"].sum()))
    nobody, seats = drawn.shape[1] - 1, ledger.plane_region
    for us, cause in ((decided * cores.unshared_us, SERVICE), (cores.refresh_us, STALENESS)):
        drawn.add_work((CORE, C, ROUTING, cause), nobody, seats, us * per_us)


def _worked_at(ledger: Ledger) -> Integers:
    """Return the region where each stage was last executed, or else where it came from."""
    record = np.maximum(0, ledger.stage["record"])
    if len(ledger.record) == 0:
        return np.asarray(ledger.stage_fact["origin"], np.int64)
    region = ledger.unit["region"][ledger.record["unit"][record]]
    return np.where(ledger.stage["record"] >= 0, region, ledger.stage_fact["origin"])


def _add_network(ledger: Ledger, terms: Terms, drawn: _Drawn) -> None:
    """Add bytes where they came from, audits where the verifier sits, and the standing power."""
    per_byte = terms.network_j_per_gb * terms.pue / BYTES_PER_GB
    stage, family = ledger.stage, ledger.stage_fact["family"].astype(np.int64)
    moved_j = stage["moved_bytes"] * per_byte
    drawn.add_work((NETWORK, C, CONTEXT, DISTANCE), family, stage["input_region"], moved_j)
    audit: Rows = ledger.record[ledger.record["outcome"] == AUDIT]
    audited_j = np.full(len(audit), terms.audit_bytes * per_byte)
    place = ledger.unit["region"][audit["unit"]]
    drawn.add_work((NETWORK, C, VERIFICATION, AUDITING), family[audit["stage"]], place, audited_j)
    region = np.arange(drawn.shape[-1])
    units = np.bincount(ledger.unit["region"], minlength=len(region))
    standing_j = units * terms.network_standing_w * terms.pue * (ledger.horizon_us / US_PER_S)
    drawn.add_work((NETWORK, I, NONE, NONE), drawn.shape[1] - 1, region, standing_j)

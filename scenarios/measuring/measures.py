"""Measures: the one place that reads everything from a closed ledger, before it is laid out."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.agents.world import World
from hanse.market.accounts.debt_accounts import (
    PricedAccount,
    obligations,
    priced_accounts,
)
from hanse.market.accounts.energy import Energy, measure_energy
from hanse.market.accounts.failure_counts import FailureCounts, count_failures
from hanse.market.accounts.family_counts import FamilyCounts, count_by_family
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.money import Postings, post
from hanse.market.accounts.obligations import Obligations
from hanse.market.accounts.occupancy import Occupancy, label_time
from hanse.market.accounts.sync_debt import SyncCost, sync_cost
from hanse.market.accounts.welfare import Welfare, measure_welfare
from hanse.market.recovery import recovery_person_hours
from hanse.scenarios.measuring.latency import Latency, latency

SHARED: Final = "(shared)"
Column = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
Table = dict[str, Column]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything that is read from one ledger, before it is laid out in tables."""

    world: World
    ledger: Ledger
    counts: FamilyCounts
    failures: FailureCounts
    occupancy: Occupancy
    cost: SyncCost
    welfare: Welfare
    latency: Latency
    energy: Energy
    obligations: Obligations
    debt: tuple[PricedAccount, ...]
    postings: Postings

    @property
    def families(self) -> tuple[str, ...]:
        """Names of the families; what belongs to none comes last."""
        return (*self.world.workload.family, SHARED)


def measure(world: World, ledger: Ledger) -> Measured:
    """Read every measure from the ledger of a run on this world."""
    n_families = len(world.workload.family)
    occupancy = label_time(ledger, n_families)
    shown = obligations(ledger, world.terms)
    return Measured(
        world=world,
        ledger=ledger,
        counts=count_by_family(ledger, n_families),
        failures=count_failures(ledger, n_families),
        occupancy=occupancy,
        cost=sync_cost(ledger, occupancy, n_families=n_families),
        welfare=welfare_of(world, ledger, occupancy),
        latency=latency(ledger, world.workload),
        energy=measure_energy(ledger, occupancy, world.terms, n_families),
        obligations=shown,
        debt=tuple(
            priced_accounts(
                ledger,
                world.terms,
                shown,
                n_families=n_families,
                electricity_usd_per_kwh=world.geography.electricity_usd_per_kwh,
            )
        ),
        postings=post(
            ledger,
            world.terms,
            verifier=np.maximum(0, world.workload.stage_verifier),
            chargeback_coin=world.workload.stage_chargeback,
        ),
    )


def welfare_of(world: World, ledger: Ledger, occupancy: Occupancy) -> Welfare:
    """Value a run on this world at the world's prices."""
    return measure_welfare(
        ledger,
        occupancy,
        world.terms,
        n_families=len(world.workload.family),
        electricity_usd_per_kwh=world.geography.electricity_usd_per_kwh,
        recovery_person_hours=recovery_person_hours_of(world, ledger),
        chargeback_coin=world.workload.stage_chargeback,
    )


def recovery_person_hours_of(world: World, ledger: Ledger) -> float:
    """Return the working time that outages cost, by where the planes of a run sit."""
    outages = world.outages
    return recovery_person_hours(
        ledger.plane_region,
        region=outages.region,
        from_us=outages.from_us,
        until_us=outages.until_us,
        persons=world.terms.failures.recovery_persons,
        horizon_us=ledger.horizon_us,
    )

"""Rails side by side: how long money is away, what that locks, and what rails take."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import pandas as pd

from hanse.market.accounts.money import IN_TRANSIT
from hanse.market.accounts.payments import locked_usd_s, payments_of
from hanse.market.regime import Rail, Rung, ladder
from hanse.market.units import MICRO_USD_PER_USD, US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.experiment import checked_seeds
from hanse.scenarios.measuring.measures import Measured, measure
from hanse.scenarios.running.batches import run_in_order
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.selftest.checks import run_ledger

_COLUMNS: Final = (
    "rung",
    "rail",
    "seed",
    "payments",
    "transfers",
    "revenue_usd",
    "delay_s",
    "locked_usd_s",
    "in_transit_usd",
    "fees_usd",
    "fee_resource_usd",
    "capital_usd",
    "welfare_usd",
    "jobs_done",
)


def compare_rails(
    scenario: Scenario,
    *,
    seeds: Sequence[int],
    regimes: Sequence[Rung] = ladder,
    rails: Sequence[Rail] = tuple(Rail),
    workers: int | None = None,
) -> pd.DataFrame:
    """Run regimes over each rail on the same worlds.

    Returns
    -------
    pd.DataFrame
        A row per rung, rail and seed: payments and the transfers that carry them; the mean delay
        from finality to settlement by amount, and the dollar-seconds that lock; what is in transit
        at the horizon; fees, and their real part; capital and welfare of all families.
    """
    work = partial(_of_seed, scenario=scenario, regimes=tuple(regimes), rails=tuple(rails))
    found = run_in_order(work, checked_seeds(seeds), workers=workers)
    return pd.DataFrame([row for rows in found for row in rows], columns=_COLUMNS)


def _of_seed(
    seed: int, *, scenario: Scenario, regimes: tuple[Rung, ...], rails: tuple[Rail, ...]
) -> list[tuple[object, ...]]:
    world = draw_world(scenario, seed)
    return [
        (
            rung.name,
            rail.name.lower(),
            seed,
            *_row(measure(world, run_ledger(world, replace(rung.regime, rail=rail)))),
        )
        for rung in regimes
        for rail in rails
    ]


def _row(measured: Measured) -> tuple[float, ...]:
    ledger, welfare = measured.ledger, measured.welfare
    paid = payments_of(ledger, measured.world.terms)
    amount = np.where(paid.is_owed, paid.amount_micro_usd, 0) / MICRO_USD_PER_USD
    revenue = float(amount.sum())
    away_s = (paid.settled_us - paid.final_us) / US_PER_S
    transit = measured.postings.balances().get((IN_TRANSIT, 0), 0)
    return (
        int(paid.is_owed.sum()),
        len(paid.fee_micro_usd),
        revenue,
        float((amount * away_s).sum()) / revenue if revenue else float("nan"),
        locked_usd_s(paid),
        transit / MICRO_USD_PER_USD,
        float(paid.fee_micro_usd.sum()) / MICRO_USD_PER_USD,
        float(welfare.settlement_usd.sum()),
        float(welfare.capital_usd.sum()),
        float(welfare.welfare_usd.sum()),
        int(measured.counts.done.sum()),
    )

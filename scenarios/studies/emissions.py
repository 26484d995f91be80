"""Token emissions beside runs: what a rule would hand each owner, and whose margin hangs on it.

Runs know of no token. Weights are read from ledgers, and what is handed out stands in an account
apart: welfare, prices and payments are as they were.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pandas as pd

from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.columns import Rows
from hanse.market.engine.states import RIGHT, WRONG
from hanse.market.exchange.emissions import (
    BY_CAPACITY,
    BY_PAYMENT,
    BY_WORK,
    Emission,
    TokenAccount,
    hand_out,
)
from hanse.market.regime import Rung, ladder
from hanse.market.units import S_PER_YEAR, Floats, Integers
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.shocks import fake_share
from hanse.scenarios.experiment import checked_seeds
from hanse.scenarios.measuring.measures import Measured, measure
from hanse.scenarios.running.batches import run_in_order
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.selftest.checks import run_ledger
from hanse.scenarios.studies.payoffs import payoffs_of

_MICRO: Final = 1e-6
_COLUMNS: Final = (
    "rung",
    "seed",
    "owner",
    "is_hyperscaler",
    "tokens",
    "subsidy_usd",
    "revenue_usd",
    "payoff_usd",
    "payoff_with_subsidy_usd",
)
_TOTALS: Final = (
    "rung",
    "seed",
    "emitted",
    "burned",
    "subsidy_usd",
    "diluted_usd",
    "dilution_share",
    "revenue_usd",
    "subsidy_over_revenue",
    "false_share",
    "owners_saved",
    "welfare_usd",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """Two tables of an emission: by owner, and a row per run with what holders lost."""

    owners: pd.DataFrame
    runs: pd.DataFrame


def emission_of(scenario: Scenario) -> Emission:
    """Read the schedule of a scenario for the length of its run."""
    supply = scenario.count("emission.supply_tokens")
    years = scenario.number("measurement.horizon_s") / S_PER_YEAR
    return Emission(
        supply=supply,
        emitted=round(supply * scenario.number("emission.share_per_year") * years),
        burned_share=scenario.number("emission.burned_share"),
        worth_usd=scenario.number("emission.supply_worth_usd"),
    )


def account_of(scenario: Scenario, measured: Measured) -> TokenAccount:
    """Hand out what a scenario emits in a run, by the scenario's rule."""
    return hand_out(emission_of(scenario), weights_of(measured, scenario.text("emission.rule")))


def subsidy_usd(scenario: Scenario, measured: Measured) -> Floats:
    """Return what the tokens are worth that each owner got in a run; shape (n_owners,)."""
    return np.asarray(account_of(scenario, measured).subsidy_micro_usd * _MICRO)


def weights_of(measured: Measured, rule: str) -> Integers:
    """Return what a rule counts for each owner, whole: unit time up, work accepted, or payments.

    Accepted is what no check has caught: the rule knows no more than the network does.
    """
    ledger, n_owners = measured.ledger, len(measured.world.fleet.owner)
    if rule == BY_CAPACITY:
        units = np.bincount(measured.world.fleet.node_owner, minlength=n_owners)
        return np.asarray(units * ledger.horizon_us, np.int64)
    record, owner = _accepted(ledger)
    column = {BY_WORK: "execution_us", BY_PAYMENT: "payment_micro_usd"}[rule]
    total = np.zeros(n_owners, np.int64)
    np.add.at(total, owner, record[column])
    return total


def token_emissions(
    scenario: Scenario,
    *,
    seeds: Sequence[int],
    regimes: Sequence[Rung] = ladder,
    workers: int | None = None,
) -> Emitted:
    """Run regimes, and hand out tokens by the scenario's rule beside them.

    Returns
    -------
    Emitted
        `owners` has what each got beside what it earned; `runs` what was emitted and burned, what
        holders lost, the share of the subsidy that went to what was not real (`false_share`), and
        how many owners have a loss without it and none with it (`owners_saved`).
    """
    work = partial(_of_seed, scenario=scenario, regimes=tuple(regimes))
    found = run_in_order(work, checked_seeds(seeds), workers=workers)
    owners = [row for rows, _ in found for row in rows]
    runs = [row for _, rows in found for row in rows]
    return Emitted(
        owners=pd.DataFrame(owners, columns=_COLUMNS), runs=pd.DataFrame(runs, columns=_TOTALS)
    )


def _accepted(ledger: Ledger) -> tuple[Rows, Integers]:
    record = ledger.record[ledger.work]
    is_final = (record["final_us"] >= 0) & (record["final_us"] <= ledger.horizon_us)
    record = record[is_final & np.isin(record["outcome"], (RIGHT, WRONG))]
    return record, ledger.offer["owner"][ledger.unit["offer"][record["unit"]]]


def _false_share(measured: Measured, scenario: Scenario, rule: str) -> float:
    """Return the share of what a rule counts that is not real: fakes that stand, or wrong work."""
    if rule == BY_CAPACITY:
        return fake_share(scenario)
    record, _ = _accepted(measured.ledger)
    column = record[{BY_WORK: "execution_us", BY_PAYMENT: "payment_micro_usd"}[rule]]
    counted = float(column.sum())
    return float(column[record["outcome"] == WRONG].sum()) / counted if counted else 0.0


def _of_seed(
    seed: int, *, scenario: Scenario, regimes: tuple[Rung, ...]
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    world, rule = draw_world(scenario, seed), scenario.text("emission.rule")
    owners: list[tuple[object, ...]] = []
    runs: list[tuple[object, ...]] = []
    for rung in regimes:
        measured = measure(world, run_ledger(world, rung.regime))
        emission = emission_of(scenario)
        account = account_of(scenario, measured)
        subsidy = account.subsidy_micro_usd * _MICRO
        left = payoffs_of(measured)
        for k, name in enumerate(world.fleet.owner):
            owners.append(
                (
                    rung.name,
                    seed,
                    name,
                    bool(world.fleet.owner_is_hyperscaler[k]),
                    int(account.tokens[k]),
                    float(subsidy[k]),
                    float(left.owner_paid[k]),
                    float(left.owner[k]),
                    float(left.owner[k] + subsidy[k]),
                )
            )
        revenue = float(left.owner_paid.sum())
        saved = (left.owner < 0) & (left.owner + subsidy >= 0)
        runs.append(
            (
                rung.name,
                seed,
                emission.emitted,
                account.burned,
                float(subsidy.sum()),
                account.diluted_micro_usd * _MICRO,
                1.0 - account.price_after_usd / account.price_before_usd,
                revenue,
                float(subsidy.sum()) / revenue if revenue else float("nan"),
                _false_share(measured, scenario, rule),
                int(saved.sum()),
                float(measured.welfare.welfare_usd.sum()),
            )
        )
    return owners, runs

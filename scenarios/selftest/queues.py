"""The checks of the control plane as a queue: textbook waits and Little's law, O1 to O4."""

from collections.abc import Callable
from typing import Final

import numpy as np

from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.sync_debt import debt_accounts
from hanse.market.engine.states import AWAITING_CLEARING, IN_SERVICE, QUEUED
from hanse.market.queues import erlang_c
from hanse.market.units import US_PER_S, Floats
from hanse.scenarios.selftest.checks import (
    AT_INTERVAL,
    ON_ARRIVAL,
    ROUND_OFF,
    Check,
    close_to,
    lindley_wait_us,
    mean_close_to,
    run_ledger,
)
from hanse.scenarios.selftest.oracle_worlds import (
    clearing_world,
    counted_queue_world,
    queue_world,
    receipt_world,
)
from hanse.scenarios.streams import stream


def single_server_waits(n_jobs: int) -> list[Check]:
    """O1: with one exponential server of rate 1, W = rho / (1 - rho); and Lindley's every wait."""
    checks = []
    for utilisation in (0.5, 0.8, 0.9):
        n = round(n_jobs * 2 * utilisation)
        rng = stream(0, f"O1 {utilisation}")
        service = rng.exponential(1.0, n)
        world = queue_world(rng, n_jobs=n, servers=1, utilisation=utilisation, service=service)
        wait_us = run_ledger(world, ON_ARRIVAL).time_us[:, QUEUED]
        expected = utilisation / (1.0 - utilisation)
        name = f"O1 M/M/1 at {utilisation}"
        checks.append(mean_close_to(f"{name}: wait in s", expected, wait_us / US_PER_S))
        service_us = np.rint(service * US_PER_S).astype(np.int64)
        exact_us = lindley_wait_us(world.workload.job_arrival_us, service_us)
        gap_us = float(np.abs(wait_us - exact_us).max())
        checks.append(close_to(f"{name}: largest difference from Lindley in us", 0.0, gap_us))
    return checks


def pooled_server_waits(n_jobs: int) -> list[Check]:
    """O2: Erlang C, the share of jobs that wait and their mean wait."""
    checks = []
    for servers, utilisation in ((2, 0.8), (4, 0.8), (8, 0.8), (16, 0.9)):
        rng = stream(0, f"O2 {servers} {utilisation}")
        service = rng.exponential(1.0, n_jobs)
        world = queue_world(
            rng, n_jobs=n_jobs, servers=servers, utilisation=utilisation, service=service
        )
        wait_us = run_ledger(world, ON_ARRIVAL).time_us[:, QUEUED]
        waits = erlang_c(servers, utilisation)
        name = f"O2 M/M/{servers} at {utilisation}"
        checks += [
            mean_close_to(f"{name}: share that waits", waits, (wait_us > 0).astype(float)),
            mean_close_to(
                f"{name}: wait in s", waits / (servers * (1.0 - utilisation)), wait_us / US_PER_S
            ),
        ]
    return checks


SERVICES: Final[dict[float, tuple[str, Callable[[np.random.Generator, int], Floats]]]] = {
    0.0: ("constant", lambda _, n: np.ones(n)),
    1.0 / 3.0: ("uniform", lambda rng, n: rng.uniform(0.0, 2.0, n)),
    1.0: ("exponential", lambda rng, n: rng.exponential(1.0, n)),
    4.0: ("Gamma of cs2 = 4", lambda rng, n: rng.gamma(0.25, 4.0, n)),
}
"""Unit-mean services by their squared coefficient of variation."""


def general_service_waits(n_jobs: int, utilisation: float = 0.8) -> list[Check]:
    """O3: Pollaczek and Khinchine, W = rho (1 + cs2) / (2 (1 - rho)), linear in cs2."""
    checks = []
    for cs2, (kind, draw) in SERVICES.items():
        rng = stream(0, f"O3 {kind}")
        n = 2 * n_jobs if cs2 > 1.0 else n_jobs
        service = draw(rng, n)
        world = queue_world(rng, n_jobs=n, servers=1, utilisation=utilisation, service=service)
        wait_us = run_ledger(world, ON_ARRIVAL).time_us[:, QUEUED]
        expected = utilisation * (1.0 + cs2) / 2.0 / (1.0 - utilisation)
        name = f"O3 M/G/1 at {utilisation}, {kind} service: wait in s"
        checks.append(mean_close_to(name, expected, wait_us / US_PER_S))
    return checks


def clearing_waits(n_jobs: int) -> list[Check]:
    """At an interval T, requests wait T / 2 for the clearing; if it takes a > T, they wait a / 2.

    A clearing is one job on the queue. While it takes less than T, it starts on time and each
    request is in service for all of it. If it takes more, the next is due when it ends, and starts.
    """
    checks = []
    for interval_s, service_s in ((0.1, 0.0), (1.0, 0.6), (10.0, 6.0), (1.0, 1.6), (60.0, 0.0)):
        rng = stream(0, f"clearing {interval_s} {service_s}")
        # Ten requests to an interval: one in 20,000 intervals has none.
        per_s = 10.0 / max(interval_s, service_s)
        world = clearing_world(
            rng, n_jobs=n_jobs, per_s=per_s, interval_s=interval_s, service_s=service_s
        )
        time_us = run_ledger(world, AT_INTERVAL).time_us
        name = f"O2 clearing of {service_s:g} s every {interval_s:g} s"
        wait_s = time_us[:, AWAITING_CLEARING] / US_PER_S
        in_service_us = time_us[:, IN_SERVICE]
        expected = max(interval_s, service_s) / 2.0
        checks.append(mean_close_to(f"{name}: wait for it in s", expected, wait_s))
        off_us = float(np.abs(in_service_us - round(service_s * US_PER_S)).max())
        checks.append(close_to(f"{name}: largest error of service in us", 0.0, off_us))
    return checks


def receipt_waits(n_jobs: int, utilisation: float = 0.8) -> list[Check]:
    """O3 for what does queue one by one at a clearing interval: receipts of constant service."""
    checks = []
    for interval_s in (1.0, 10.0, 60.0):
        rng = stream(0, f"receipts {interval_s}")
        world = receipt_world(rng, n_jobs=n_jobs, utilisation=utilisation, interval_s=interval_s)
        stage = run_ledger(world, AT_INTERVAL).stage
        order = np.argsort(stage["executed_us"], kind="stable")
        wait_us = (stage["final_us"] - stage["executed_us"])[order] - US_PER_S
        expected = utilisation / 2.0 / (1.0 - utilisation)
        name = f"O3 M/D/1 receipts beside a clearing every {interval_s:g} s: wait in s"
        checks.append(mean_close_to(name, expected, wait_us / US_PER_S))
    return checks


def littles_law(n_jobs: int) -> list[Check]:
    """O4: L = lambda W for the counted queue, H = lambda G for the debt stock; both exact.

    L is the mean of counts at instants, W the mean of durations: two ledgers that do not know of
    one another. H integrates the payment log, G the durations and what each decision cost.
    """
    world = counted_queue_world(stream(0, "O4"), n_jobs=n_jobs)
    ledger = run_ledger(world, ON_ARRIVAL, n_payments=4 * n_jobs)
    n_seconds = len(ledger.sample_us)
    per_s = n_jobs / n_seconds
    checks = []
    for state, what in ((QUEUED, "queue"), (IN_SERVICE, "service")):
        length = float(ledger.waiting[:, state].mean())
        duration_s = float(ledger.time_us[:, state].mean()) / US_PER_S
        checks.append(
            close_to(f"O4 L = lambda W in {what}", length, per_s * duration_s, within=ROUND_OFF)
        )
    held = (ledger.time_us[:, QUEUED] / US_PER_S) * (ledger.stage["decision_core_us"] / US_PER_S)
    stock = debt_accounts(ledger, 1)[0].mean_stock
    name = "O4 H = lambda G of the debt stock in core-s"
    checks.append(close_to(name, per_s * float(held.mean()), stock, within=ROUND_OFF * stock))
    path = _mean_of_path(ledger)
    checks.append(
        close_to("O4 mean of the debt's path in core-s", path, stock, within=ROUND_OFF * stock)
    )
    return checks


def _mean_of_path(ledger: Ledger) -> float:
    """Integrate the stock of unpaid control work over the horizon, step by step."""
    log = ledger.payment[ledger.payment["amount_us"] > 0]
    at_us = np.concatenate([log["accrued_us"], log["paid_us"]])
    change_us = np.concatenate([log["amount_us"], -log["amount_us"]])
    order = np.argsort(at_us, kind="stable")
    stock_us = np.cumsum(change_us[order])[:-1]
    area = float((stock_us / US_PER_S * (np.diff(at_us[order]) / US_PER_S)).sum())
    return area / (ledger.horizon_us / US_PER_S)

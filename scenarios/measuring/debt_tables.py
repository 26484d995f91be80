"""Debt tables: the one place where accounts of debt become measures and rows."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from hanse.market.accounts.debt_accounts import METERED, PricedAccount, shown_path
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.obligations import RECORDED_OBLIGATION, RECORDED_RESOURCE, Obligations
from hanse.market.accounts.sync_debt import debt_path
from hanse.market.engine.columns import N_DEBT_BINS
from hanse.market.engine.debt_meter import OBLIGATION, RESOURCE
from hanse.market.units import US_PER_S
from hanse.scenarios.measuring.word_columns import Column, all_repeated, each_repeated

_QUANTITIES: Final = (
    "accrual",
    "interest",
    "paydown",
    "default",
    "mean_stock",
    "count",
    "expired_count",
    "open_count",
    "open_at_horizon_class_mean",
    "open_mean_stock",
    "mean_stock_usd",
)


def debt_of_family(
    accounts: Sequence[PricedAccount], family: int
) -> Mapping[tuple[str, str], float]:
    """Return the mean stocks of one family's debt, by name and unit."""
    stock = {"accelerator": 0.0, "core": 0.0}
    usd = 0.0
    for account in accounts:
        if account.family == family:
            usd += account.mean_stock_usd
            if account.resource in stock:
                stock[account.resource] += account.mean_stock
    return {
        ("debt_mean_gpu_s", "gpu_s"): stock["accelerator"],
        ("debt_mean_core_s", "core_s"): stock["core"],
        ("debt_mean_usd", "USD"): usd,
    }


def debt_table(debt: Sequence[PricedAccount], families: tuple[str, ...]) -> dict[str, Column]:
    """Tabulate what happened to each account, a row per quantity."""
    accounts = tuple((families[one.family], one.resource, one.obligation) for one in debt)
    values = [float(getattr(one, name)) for one in debt for name in _QUANTITIES]
    table: dict[str, Column] = {
        name: each_repeated(words, len(_QUANTITIES))
        for name, words in zip(
            ("family", "resource", "obligation"), zip(*accounts, strict=True), strict=False
        )
    }
    table["quantity"] = all_repeated(_QUANTITIES, len(accounts))
    table["value"] = np.array(values, dtype=float)
    return table


def debt_path_table(ledger: Ledger, obligations: Obligations) -> dict[str, Column]:
    """Tabulate the stock of each obligation along the horizon."""
    instant = np.arange(N_DEBT_BINS + 1) * (ledger.horizon_us / US_PER_S / N_DEBT_BINS)
    resource = (*(RESOURCE[k] for k in METERED), *RECORDED_RESOURCE)
    obligation = (*(OBLIGATION[k] for k in METERED), *RECORDED_OBLIGATION)
    metered = [debt_path(ledger, k) for k in METERED]
    shown = shown_path(obligations, ledger.horizon_us)
    n = len(instant)
    return {
        "resource": each_repeated(resource, n),
        "obligation": each_repeated(obligation, n),
        "instant_s": np.tile(instant, len(resource)),
        "stock": np.concatenate([*metered, *shown]),
    }

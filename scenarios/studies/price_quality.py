"""Price quality: the one place for how informative, even and quick the prices of one run are."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

from hanse.market.units import Floats

UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "price_usd_per_gpu_hour": "USD/gpu_h",
        "informativeness_r2": "share",
        "deviation_usd_per_gpu_hour": "USD/gpu_h",
        "regional_dispersion_cv": "share",
        "equal_unit_dispersion_cv": "share",
        "margin_share": "share",
        "time_to_match_s": "s",
    }
)
"""The measures of `market_quality` and their units."""


def market_quality(bought: pd.DataFrame) -> dict[str, float]:
    """Measure the purchases of one run and family, as `price_study.purchases` tabulates them.

    A cell is a region, an accelerator class and a part of the horizon; its price is what was paid
    there over the hours sold. NaN stands for what nothing was sold for, or what does not vary.

    - price_usd_per_gpu_hour : paid over hours.
    - informativeness_r2 : share of the variance of cell prices that the planner's dual explains,
      cells weighted by hours sold.
    - deviation_usd_per_gpu_hour : mean absolute deviation of cell prices from the planner's, that
      is from resource cost and dual, weighted alike.
    - regional_dispersion_cv : coefficient of variation over regions that sold, each counted once.
    - equal_unit_dispersion_cv : the same over the units of a cell, mean over cells in which at
      least two units sold, weighted by hours.
    - margin_share : share of what was paid that exceeds resource cost: what owners ask beyond it,
      or scarcity rent. Negative where payment does not cover cost.
    - time_to_match_s : mean time from a stage's readiness to its first acceptance.
    """
    cells = _priced(bought, ["region", "accelerator_class", "bin"])
    by_region = _priced(bought, ["region"])["price"].to_numpy()
    hours, paid = float(bought["hours"].sum()), float(bought["paid_usd"].sum())
    weight, dual = cells["hours"].to_numpy(), cells["dual"].to_numpy()
    price, planned = cells["price"].to_numpy(), (cells["cost"] + cells["dual"]).to_numpy()
    return {
        "price_usd_per_gpu_hour": _ratio(paid, hours),
        "informativeness_r2": squared_correlation(price, dual, weight),
        "deviation_usd_per_gpu_hour": _ratio(float(weight @ np.abs(price - planned)), hours),
        "regional_dispersion_cv": variation(by_region),
        "equal_unit_dispersion_cv": _equal_unit_dispersion(bought),
        "margin_share": _ratio(paid - float(bought["cost_usd"].sum()), paid),
        "time_to_match_s": float(bought["match_s"].mean()),
    }


def squared_correlation(first: Floats, second: Floats, weight: Floats) -> float:
    """Return the weighted R2 of one column on another; NaN where either does not vary.

    Examples
    --------
    >>> squared_correlation(np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.ones(2))
    1.0
    """
    share = weight / weight.sum()
    first, second = first - share @ first, second - share @ second
    spread = float(share @ first**2) * float(share @ second**2)
    return _ratio(float(share @ (first * second)) ** 2, spread)


def variation(value: Floats) -> float:
    """Return the coefficient of variation of a sample; NaN for fewer than two values.

    Examples
    --------
    >>> variation(np.array([1.0, 3.0])) == 2**0.5 / 2
    True
    """
    if len(value) < 2:
        return float("nan")
    return _ratio(float(value.std(ddof=1)), float(value.mean()))


def _equal_unit_dispersion(bought: pd.DataFrame) -> float:
    units = _priced(bought, ["region", "accelerator_class", "bin", "unit"]).reset_index()
    cells = units.groupby(["region", "accelerator_class", "bin"])
    found = pd.DataFrame({"cv": cells["price"].agg(_variation_of), "hours": cells["hours"].sum()})
    found = found.dropna()
    return _ratio(float((found["cv"] * found["hours"]).sum()), float(found["hours"].sum()))


def _variation_of(price: "pd.Series[float]") -> float:
    return variation(np.asarray(price, float))


def _priced(bought: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Sum purchases by keys, and say what was paid, used up and the dual of an hour there."""
    dual_usd = bought["dual_usd_per_gpu_hour"] * bought["hours"]
    sums = bought.assign(dual_usd=dual_usd).groupby(by)[
        ["hours", "paid_usd", "cost_usd", "dual_usd"]
    ]
    total = sums.sum()
    return pd.DataFrame(
        {
            "hours": total["hours"],
            "price": total["paid_usd"] / total["hours"],
            "cost": total["cost_usd"] / total["hours"],
            "dual": total["dual_usd"] / total["hours"],
        }
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")

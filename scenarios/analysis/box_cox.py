"""Sum or product: the one place that asks on which scale the effects of factors add up.

The power of Box and Cox (Journal of the Royal Statistical Society B 26, 1964) is chosen by
likelihood among models in which each factor has an effect of its own and none interact. At power 1
effects add up on the response itself, at power 0 on its logarithm: they multiply.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from hanse.market.units import Floats
from hanse.scenarios.parameters import ScenarioError

SUM, PRODUCT, NEITHER, UNDETERMINED = "sum", "product", "neither", "undetermined"
_POWERS: Final = np.linspace(-1.0, 2.0, 301)


@dataclass(frozen=True, slots=True, kw_only=True)
class Additivity:
    """On which scale effects add up.

    Attributes
    ----------
    power : of greatest likelihood; 1 is a sum, 0 a product.
    low, high : ends of its interval by profile likelihood.
    verdict : "sum" or "product" if the interval holds that power and not the other, "neither" if it
        holds neither, "undetermined" if both.
    """

    power: float
    low: float
    high: float
    verdict: str


def additivity(
    frame: pd.DataFrame, *, factors: list[str], value: str = "value", confidence: float = 0.95
) -> Additivity:
    """Estimate the scale on which the effects of at least two factors add up.

    Parameters
    ----------
    frame : one row per run of a crossed design; each factor has a level of its own per value.

    Raises
    ------
    ScenarioError
        If there are fewer than two factors with two levels, or a response is not above 0.
    """
    if sum(frame[name].nunique() > 1 for name in factors) < 2:
        raise ScenarioError(f"a sum or a product needs two factors that vary, got {factors}")
    response = frame[value].to_numpy(dtype=float)
    if (response <= 0).any():
        raise ScenarioError(f"{value} must be above 0, got {response.min():g}")
    design = pd.get_dummies(frame[factors].astype(str), drop_first=True).to_numpy(dtype=float)
    likelihood = _profile(np.column_stack([np.ones(len(response)), design]), response)
    drop = stats.chi2.ppf(confidence, 1) / 2.0
    inside = _POWERS[likelihood >= likelihood.max() - drop]
    low, high = float(inside.min()), float(inside.max())
    power = float(_POWERS[likelihood.argmax()])
    return Additivity(power=power, low=low, high=high, verdict=_verdict(low, high))


def _profile(design: Floats, response: Floats) -> Floats:
    """Return the log-likelihood of each power, all other numbers at their best."""
    scaled = response / np.exp(np.log(response).mean())  # its Jacobian is then one
    logs = np.log(scaled)
    near_zero = np.abs(_POWERS) < 1e-9
    safe = np.where(near_zero, 1.0, _POWERS)
    raised = np.expm1(np.outer(logs, safe)) / safe
    moved = np.where(near_zero, logs[:, None], raised)
    miss = moved - design @ np.linalg.lstsq(design, moved, rcond=None)[0]
    squares = np.maximum((miss**2).sum(axis=0), 1e-24)
    profile: Floats = -0.5 * len(response) * np.log(squares)
    return profile


def _verdict(low: float, high: float) -> str:
    is_sum, is_product = low <= 1.0 <= high, low <= 0.0 <= high
    if is_sum and is_product:
        return UNDETERMINED
    if is_sum:
        return SUM
    return PRODUCT if is_product else NEITHER

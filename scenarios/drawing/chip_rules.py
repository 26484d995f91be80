"""The one place for export control of chips: where a rule leaves capacity.

Capacity as it stands is history: the tier rule of January 2025 was withdrawn two days before it
began, so its caps are a counterfactual. A rule never takes away what was delivered before it; of
later supply it leaves a part, and what it holds back goes to the countries it does not bind. No
chip is lost, so that only the place of capacity differs. Duties and single licences are left out.
"""

from functools import lru_cache

import numpy as np

from hanse.market.units import Floats, Integers
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.tables import jurisdiction_index, read_regions, rows_of

AS_PLACED, TIERS, CASE_BY_CASE = "as-placed", "tiers-2025", "case-by-case-2026"
CAPPED, BARRED = 2, 3


@lru_cache(maxsize=1)
def region_tier() -> Integers:
    """Return the tier of each region under the rule of January 2025, 1 to 3."""
    tier = {row["jurisdiction"]: int(row["tier"]) for row in rows_of("chip_tiers.csv")}
    return np.array([tier[one] for one in read_regions().region_jurisdiction])


def capacity_weight(scenario: Scenario) -> Floats:
    """Return the share of capacity that stands in each region, shape (n_regions,)."""
    weight, rule = read_regions().capacity_weight, scenario.text("law.chip_rule")
    if rule == AS_PLACED:
        return weight
    later = (1.0 - scenario.number("law.chip_delivered_share")) * weight
    cut = later * (1.0 - _left_share(scenario, rule, later))
    is_bound = region_tier() == BARRED
    if rule == TIERS:
        is_bound = is_bound | (region_tier() == CAPPED)
    elsewhere = np.where(is_bound, 0.0, weight)
    return np.asarray(weight - cut + elsewhere * (cut.sum() / elsewhere.sum()))


def _left_share(scenario: Scenario, rule: str, later: Floats) -> Floats:
    """Return the share of later supply that a rule leaves to each region."""
    tier, own = region_tier(), scenario.number("law.chip_own_design_share")
    if rule == CASE_BY_CASE:
        licensed = scenario.number("law.chip_licence_share")
        return np.where(tier == BARRED, own + (1.0 - own) * licensed, 1.0)
    country = jurisdiction_index()
    wanted = np.bincount(country, later)[country]
    capped = np.minimum(1.0, scenario.number("law.chip_country_share") / np.maximum(wanted, 1e-12))
    return np.select([tier == CAPPED, tier == BARRED], [capped, np.full(len(tier), own)], 1.0)

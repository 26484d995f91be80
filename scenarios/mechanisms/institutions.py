"""Mechanisms of institutions: the one place for what the figure of each varies, reads and draws.

They are those of agents that want something: buyers that hoard, owners that grow, whoever controls
what routing needs, those who vote, and those who trade. None names a number that a regime has.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from hanse.scenarios.mechanisms.charts import Curves
from hanse.scenarios.mechanisms.mechanism import Inquiry
from hanse.scenarios.mechanisms.seasons import (
    SeasonCase,
    dosed,
    every_season,
    last_seasons,
    plainly,
    seen,
)
from hanse.scenarios.scenario import Scenario, Value
from hanse.scenarios.studies.institution_charts import dots_in_rows, removals_and_sovereignty
from hanse.scenarios.studies.institution_studies import attacks_seen, removals_seen, trades_seen

_OF: Final = "institutions."
_SCALE: Final = f"{_OF}uncertainty_scale"
_OWN: Final = f"{_OF}own_growth_share"
_HOARDS: Final = f"{_OF}hoarding"


def _hoarding(scenario: Scenario) -> list[SeasonCase]:
    """Vary what buyers reckon with, where units are reserved: apart, pooled, with resale."""
    pooled = {f"{_OF}pool_buyers": scenario.count("load.buyers")}
    ways: dict[str, tuple[str, Mapping[str, Value]]] = {
        "reserved, each for itself": ("reserved", {}),
        "reserved, one pool": ("reserved", pooled),
        "reserved, resale": ("reserved", {f"{_OF}resale": True}),
        **plainly("central", "market"),
    }
    return dosed(scenario, _SCALE, (0.0, 0.5, 1.0, 1.5, 2.0), ways=ways, by="way")


def _concentration(scenario: Scenario) -> list[SeasonCase]:
    hoards = {"nobody hoards": False, "buyers may hoard": True}
    ways = plainly("central", "reserved", "market")
    return dosed(scenario, _HOARDS, hoards, ways=ways, by="regime", along="way")


def _own_work(scenario: Scenario) -> list[SeasonCase]:
    ways = plainly("central", "without-first-party", "market")
    return dosed(scenario, _OWN, (0.0, 0.25, 0.5, 0.75, 1.0), ways=ways, by="regime")


INSTITUTIONS: Final[Mapping[str, Inquiry]] = {
    "hoarding": Inquiry(
        title="Uncertainty makes buyers hold idle units, where units can be held",
        caption="Means over the last four of eight seasons, by how much of their uncertainty "
        "buyers reckon with, and the same less that without any, on the same luck; band: 95 % "
        "over worlds.",
        observe=seen(_hoarding, last_seasons, "idle_held_gpu_h", "unserved_share"),
        draw=Curves(
            x=_SCALE,
            xlabel="uncertainty that buyers reckon with, over what it was",
            by="way",
            measures={
                "idle_held_gpu_h": "idle while held, GPU-h",
                "idle_held_gpu_h less 0.0": "less none, paired",
                "unserved_share": "work not served, of all",
            },
        ),
        n_seeds=6,
        versus=_SCALE,
    ),
    "concentration": Inquiry(
        title="Who owns and who commands units, over seasons, with hoarding and without",
        caption="Sums of squared shares, 0 to 1: of owners by units, and of whoever holds or owns "
        "a unit; below each, with hoarding less without, on the same luck; and the independents' "
        "part of all units. Band: 95 % over worlds.",
        observe=seen(_concentration, every_season, "owner_hhi", "command_hhi", "independent_share"),
        draw=Curves(
            x="season",
            xlabel="season",
            by="way",
            panel="regime",
            measures={
                "owner_hhi": "owners' HHI",
                "owner_hhi less nobody hoards": "less without",
                "command_hhi": "commanders' HHI",
                "command_hhi less nobody hoards": "less without",
                "independent_share": "independents' part",
            },
        ),
        n_seeds=6,
        versus="way",
    ),
    "hood": Inquiry(
        title="What hyperscalers forgo in sales when new units do their own work",
        caption="Means over the last four of eight seasons, by the share of new units that owners "
        "fill with work of their own; band: 95 % over worlds.",
        observe=seen(
            _own_work, last_seasons, "hyperscaler_customers_usd", "own_hours", "unserved_share"
        ),
        draw=Curves(
            x=_OWN,
            xlabel="share of new units for own work",
            by="regime",
            measures={
                "hyperscaler_customers_usd": "customers pay, USD",
                "own_hours": "own work, GPU-h",
                "unserved_share": "work not served, of all",
            },
        ),
        n_seeds=6,
    ),
    "sovereignty": Inquiry(
        title="What is lost without each controller, and what is left to whom",
        caption="Left: share of all value lost without one controller; of a chip vendor, half of "
        "what it has delivered, the later half. Right: routing sovereignty, 1 less the worst loss, "
        "of blocs of jurisdictions by foreign controllers alone. Whisker: 95 % over worlds.",
        observe=removals_seen,
        draw=removals_and_sovereignty,
        n_seeds=8,
    ),
    "capture": Inquiry(
        title="What initial capital can have voted, at which stake",
        caption="Power is the Banzhaf share; captured, the share of votes by which a value stands "
        "that initial capital prefers to what stands without it; rent, welfare lost against the "
        "best value, and transfer, what insiders gain, are not added. Band: 95 % over worlds.",
        observe=attacks_seen,
        draw=Curves(
            x="initial_share",
            xlabel="initial stake",
            by="constitution",
            panel="proposal",
            measures={
                "power": "share of power",
                "captured_share": "share captured",
                "rent_usd": "rent, USD a run",
                "transfer_usd": "transfer, USD a run",
            },
        ),
        n_seeds=16,
    ),
    "financialization": Inquiry(
        title="How liquid accelerator time is, rung by rung, and what contracts on it do",
        caption="Above, in calm worlds: what a market maker would keep between its quotes, prices' "
        "dispersion over regions, time to match, moves of the index. Below: logarithm of the "
        "variance of spend on calls with a forward or an option over that without, below 0 where "
        "the hedge helps; and through a surge, members that default and capital locked as margin. "
        "Whisker: 95 % over worlds, of hedges the jackknife's.",
        observe=trades_seen,
        draw=partial(
            dots_in_rows,
            rows="rung",
            measures=(
                {
                    "maker_spread_usd": "maker's spread, USD",
                    "regional_dispersion_cv": "dispersion, CV",
                    "time_to_match_s": "time to match, s",
                    "volatility_usd": "volatility, USD",
                },
                {
                    "forward model_call": "forward,\nln of variance ratio",
                    "call model_call": "option,\nln of variance ratio",
                    "n_defaults": "members\nthat default",
                    "locked_capital_usd": "capital\nlocked, USD",
                },
            ),
        ),
        n_seeds=12,
    ),
}
"""By scenario of the library."""

"""Mechanisms of interests: the one place for what the figures of selling on, tokens and lies vary.

Each has five doses, from none to strong. What is read of seasons and runs does not know the dose.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.regime import Pricing, Regime, regimes
from hanse.market.reporting import MarkedUp, Scaled
from hanse.scenarios.draw import draw_world
from hanse.scenarios.measuring.measures import measure
from hanse.scenarios.mechanisms.charts import Curves
from hanse.scenarios.mechanisms.mechanism import Inquiry, Mechanism, Shown
from hanse.scenarios.mechanisms.seasons import SeasonCase, dosed, last_seasons, plainly, seen
from hanse.scenarios.mechanisms.studies import Case, Row, less
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.studies.payoffs import payoffs_of

DOSES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
EMISSIONS: Final = (0.0, 0.0125, 0.025, 0.05, 0.1)
ASKS: Final = (1.0, 1.5, 2.0, 3.0, 5.0)
_SOLD_ON: Final = "institutions.resale_share"
_EMITTED: Final = "emission.share_per_year"
_BENDING: Final = "reporting.strategic_share"
_SAYING: Final = "reporting.worth_share"
_MARKING_UP: Final = "reporting.strategic_owner_share"
_COST: Final = "reporting.cost_share"
_LIST: Final = "reporting.posted_share"
_ASKED: Final = "asked"
WAYS_TO_PAY: Final[Mapping[str, Regime]] = {
    "bids are paid": replace(regimes["market"], pricing=Pricing.PAY_AS_BID, reporting=Scaled()),
    "locational prices": replace(regimes["market"], reporting=Scaled()),
    "posted prices": replace(regimes["dynamic-central"], reporting=Scaled()),
}
WAYS_TO_BE_PAID: Final[Mapping[str, tuple[Regime, str]]] = {
    "asks are paid": (
        replace(regimes["market"], pricing=Pricing.PAY_AS_ASK, asking=MarkedUp()),
        _COST,
    ),
    "locational prices": (replace(regimes["market"], asking=MarkedUp()), _COST),
    "lists are paid": (replace(regimes["central"], asking=MarkedUp()), _LIST),
}
"""The regime, and what owners bend there: what they say that units cost, or their lists."""


def _selling_on(scenario: Scenario) -> list[SeasonCase]:
    return dosed(scenario, _SOLD_ON, DOSES, ways=plainly("reserved"), by="regime")


def _emitting(scenario: Scenario) -> list[SeasonCase]:
    ways = plainly("central", "market")
    return dosed(scenario, _EMITTED, EMISSIONS, ways=ways, by="regime")


def _bending(scenario: Scenario) -> list[Case]:
    """Let more and more buyers say half or twice the worth, under three ways to pay."""
    said = {"say half": 0.5, "say twice": 2.0}
    return [
        Case(
            keys={"said": name, "way": way, _BENDING: share},
            draw=partial(draw_world, scenario.replace({_SAYING: worth, _BENDING: share})),
            regime=regime,
        )
        for name, worth in said.items()
        for way, regime in WAYS_TO_PAY.items()
        for share in DOSES
    ]


def _asking(scenario: Scenario) -> list[Case]:
    """Let half of owners, or all, ask more and more, under three ways to be paid."""
    told = {"half of owners ask more": 0.5, "all owners ask more": 1.0}
    truth = {_COST: ASKS[0], _LIST: ASKS[0]}
    return [
        Case(
            keys={"who": name, "way": way, _ASKED: ask},
            draw=partial(draw_world, scenario.replace(truth | {_MARKING_UP: share, bent: ask})),
            regime=regime,
        )
        for name, share in told.items()
        for way, (regime, bent) in WAYS_TO_BE_PAID.items()
        for ask in ASKS
    ]


def left_and_paid(world: World, ledger: Ledger) -> Iterable[Row]:
    """Read welfare at true worth and cost, what is paid, who is left with what, and what fails."""
    measured = measure(world, ledger)
    left = payoffs_of(measured)
    told = {
        "welfare_usd": measured.welfare.welfare_usd.sum(),
        "paid_usd": left.buyer_paid.sum(),
        "buyers_usd": left.buyer.sum(),
        "owners_usd": left.owner.sum(),
        "failed_share": measured.counts.lapsed.sum() / max(1, measured.counts.jobs.sum()),
    }
    return [{"measure": name, "value": float(value)} for name, value in told.items()]


def _beside_none(measures: Mapping[str, str], none: float = DOSES[0]) -> dict[str, str]:
    """Draw below each measure what it is less that without any dose, on the same luck."""
    panels: dict[str, str] = {}
    for name, label in measures.items():
        panels |= {name: label, f"{name}{less(none)}": "less none"}
    return panels


_SEASONS_CAPTION: Final = (
    "Means over the last four of eight seasons, and the same less that at a dose of none, paired "
    "on the same luck; band: 95 % over worlds."
)
_HELD: Final = {
    "idle_held_gpu_h": "idle while held, GPU-h",
    "unserved_share": "work not served, of all",
    "resold_units": "sold on, units",
}
_BUILT: Final = {
    "units": "units",
    "sold_share": "sold, of all hours",
    "paid_usd_per_gpu_hour": "paid, USD/GPU-h",
}
_LEFT: Final = {
    "welfare_usd": "welfare, USD",
    "buyers_usd": "left to buyers, USD",
    "paid_usd": "paid, USD",
}
_GAINED: Final = {
    "welfare_usd": "welfare, USD",
    "owners_usd": "left to owners, USD",
    "failed_share": "given up, of all jobs",
}

INTERESTS: Final[Mapping[str, Shown]] = {
    "reselling": Inquiry(
        title="What it changes how much of what is held may be sold on",
        caption=_SEASONS_CAPTION,
        observe=seen(_selling_on, last_seasons, *_HELD),
        draw=Curves(
            x=_SOLD_ON,
            xlabel="share of what is held that may be sold on",
            by="regime",
            measures=_beside_none(_HELD),
        ),
        n_seeds=12,
        versus=_SOLD_ON,
    ),
    "emission": Inquiry(
        title="What capacity does when owners are paid in tokens for having it",
        caption=_SEASONS_CAPTION,
        observe=seen(
            _emitting, last_seasons, *_BUILT, "independent_share", "subsidy_usd", "revenue_usd"
        ),
        draw=Curves(
            x=_EMITTED,
            xlabel="tokens emitted a year, over those that there are",
            by="regime",
            measures=_beside_none(_BUILT),
        ),
        n_seeds=6,
        versus=_EMITTED,
    ),
    "bending": Mechanism(
        title="What comes of it when more and more buyers bend the truth",
        caption="Sums over a run, and the same less that of the truth, paired on the same worlds; "
        "band: 95 % over worlds. Welfare counts what is true.",
        cases=_bending,
        read=left_and_paid,
        draw=Curves(
            x=_BENDING,
            xlabel="share of buyers who bend",
            by="way",
            panel="said",
            measures=_beside_none(_LEFT),
        ),
        n_seeds=12,
        versus=_BENDING,
    ),
    "asking": Mechanism(
        title="What comes of it when owners ask more than units cost, or list them dearer",
        caption="Sums over a run, and the same less that of the truth, paired on the same worlds; "
        "band: 95 % over worlds. Welfare and owners count what units do cost.",
        cases=_asking,
        read=left_and_paid,
        draw=Curves(
            x=_ASKED,
            xlabel="asked, over the cost or the list",
            by="way",
            panel="who",
            measures=_beside_none(_GAINED, none=ASKS[0]),
        ),
        n_seeds=12,
        versus=_ASKED,
    ),
}
"""By scenario of the library."""

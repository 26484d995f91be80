"""The one place where initial capital attacks a protocol: what it can have voted, at which stake.

A scenario names what is put to the vote, whose interest the initial capital has, and what the
constitution asks for. Interests are read from ledgers; voters know what each value leaves them with
in the mean over worlds, and what follows is read world by world.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import pandas as pd

from hanse.agents.council import PLAIN_MAJORITY, Safeguards
from hanse.market.regime import AUDITED_MARKET, Regime
from hanse.scenarios.scenario import Scenario, ScenarioError
from hanse.scenarios.studies.governance import Constitution, outcomes_by_world
from hanse.scenarios.studies.interests import PARAMETERS, Interests, read_interests

SHARES: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
"""Stakes of the initial capital at which an attack is tried."""

WITHOUT, APATHY, WITH = "no safeguards, all vote", "no safeguards", "safeguards"
_CANDIDATES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "fee": "governance.fee_values",
        "audit rate": "governance.audit_values",
        "stake": "governance.stake_values",
        "minimum stake": "governance.minimum_stake_values",
        "recognition": "governance.recognition_values",
    }
)


def candidates(scenario: Scenario, proposal: str) -> tuple[float, ...]:
    """Return what may be voted, first of all what stands; there is no fee until one is voted."""
    key = PARAMETERS[proposal]
    stands = scenario.number(key) if key else 0.0
    others = scenario.numbers(_CANDIDATES[proposal])
    return (stands, *(value for value in others if value != stands))


def safeguards_of(scenario: Scenario) -> Safeguards:
    """Return what the constitution of a scenario asks for."""
    return Safeguards(
        cap_share=scenario.number("governance.cap_share"),
        is_quadratic=scenario.flag("governance.quadratic"),
        threshold=scenario.number("governance.threshold"),
        quorum=scenario.number("governance.quorum"),
        is_time_locked=scenario.flag("governance.time_lock"),
    )


def constitution_of(scenario: Scenario, proposal: str) -> Constitution:
    """Return how the council of a scenario is set up for what is proposed."""
    insiders = dict(attacks(scenario))
    return Constitution(
        initial_share=scenario.number("governance.initial_share"),
        insiders=insiders[proposal],
        holdings=scenario.text("governance.holdings"),
        turnout=scenario.number("governance.turnout"),
        delegated_share=scenario.number("governance.delegated_share"),
        delegates_to=scenario.text("governance.delegates_to"),
        safeguards=safeguards_of(scenario),
    )


def attacks(scenario: Scenario) -> list[tuple[str, str]]:
    """List what is proposed, and whose interest the initial capital has in it.

    Raises `ScenarioError` if the two lists of the scenario differ in length.
    """
    proposals, insiders = (scenario.words(f"governance.{key}") for key in ("proposals", "insiders"))
    if len(proposals) != len(insiders):
        raise ScenarioError(
            f"governance.insiders must have one group per proposal ({len(proposals)}), "
            f"got {len(insiders)}"
        )
    return list(zip(proposals, insiders, strict=True))


def constitutions(scenario: Scenario, proposal: str) -> dict[str, Constitution]:
    """Return the council of a scenario with its safeguards on, off, and off where all vote."""
    whole = constitution_of(scenario, proposal)
    without = replace(whole, safeguards=PLAIN_MAJORITY)
    return {WITHOUT: replace(without, turnout=1.0), APATHY: without, WITH: whole}


def interests_of(
    scenario: Scenario,
    proposal: str,
    *,
    seeds: Iterable[int],
    regime: Regime = AUDITED_MARKET,
    workers: int | None = None,
) -> Interests:
    """Read from ledgers what every candidate of a proposal leaves everybody with."""
    values = candidates(scenario, proposal)
    return read_interests(
        scenario, proposal, values, seeds=seeds, regime=regime, workers=workers or 1
    )


def attack(
    scenario: Scenario,
    *,
    seeds: Sequence[int],
    initial_shares: Sequence[float] = SHARES,
    regime: Regime = AUDITED_MARKET,
    n_votes: int = 100,
    workers: int | None = None,
) -> pd.DataFrame:
    """Let initial capital have its way with every proposal, at several stakes.

    Returns
    -------
    A row per proposal, constitution (safeguards on and off), initial_share and seed: those of
    `outcomes_by_world`.
    """
    tables = []
    for proposal, _ in attacks(scenario):
        interests = interests_of(scenario, proposal, seeds=seeds, regime=regime, workers=workers)
        for name, set_up in constitutions(scenario, proposal).items():
            for share in initial_shares:
                found = outcomes_by_world(
                    interests, replace(set_up, initial_share=share), n_votes=n_votes
                )
                found = found.assign(proposal=proposal, constitution=name, initial_share=share)
                tables.append(found.assign(seed=list(seeds)))
    return pd.concat(tables, ignore_index=True)

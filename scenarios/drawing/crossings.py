"""The one place that draws boundaries and what matters at them: domains, coins, revocations."""

from typing import Final

import numpy as np

from hanse.agents.crossing_draws import CrossingDraws
from hanse.market.crossings import STEPS, CrossingCosts
from hanse.market.units import US_PER_S, Flags, Floats, Integers
from hanse.scenarios.drawing.attempts import draw_approval_factors
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream

_SECONDS_PER_DAY: Final = 86_400
_NONE: Final = "none"


def crossing_of(scenario: Scenario) -> CrossingCosts:
    """Return what a boundary crossing costs in this scenario."""
    number, count, microseconds = scenario.number, scenario.count, scenario.microseconds
    return CrossingCosts(
        identity_full_us=number("crossing.identity_full_us"),
        identity_verify_us=number("crossing.identity_verify_us"),
        policy_base_us=number("crossing.policy_base_us"),
        policy_rule_us=number("crossing.policy_rule_us"),
        rule_dimensions=count("crossing.rule_dimensions"),
        rule_levels=count("crossing.rule_levels"),
        interaction_order=count("crossing.interaction_order"),
        proxy_cpu_us=number("crossing.proxy_cpu_us"),
        proxy_us=number("crossing.proxy_us"),
        commit_us=number("crossing.commit_us"),
        authority_round_trips=number("crossing.authority_round_trips"),
        approval_us=microseconds("crossing.approval_s"),
        round_trip_scale=number("crossing.round_trip_scale"),
        law=scenario.text("crossing.law"),
        state_rule_us=number("crossing.state_rule_us"),
        identity_conditions=count("crossing.identity_conditions"),
        modality_conditions=count("crossing.modality_conditions"),
        authority_conditions=count("crossing.authority_conditions"),
        transport_conditions=count("crossing.transport_conditions"),
        participation=_words(scenario, "crossing.participation"),
        identity_resume_us=number("crossing.identity_resume_us"),
        session_ttl_us=microseconds("crossing.session_ttl_s"),
        capability_verify_us=number("crossing.capability_verify_us"),
        capability_ttl_us=microseconds("crossing.capability_ttl_s"),
        revocation_lag_us=microseconds("crossing.revocation_lag_s"),
        revalidation_us=microseconds("crossing.revalidation_s"),
        batch_window_us=microseconds("crossing.batch_window_s"),
        pool_cores=number("crossing.pool_cores"),
        hold_batch=count("crossing.hold_batch"),
        overlap=_words(scenario, "crossing.overlap"),
        overlap_with=scenario.text("crossing.overlap_with"),
    )


def draw_crossings(
    scenario: Scenario,
    seed: int,
    *,
    n_regions: int,
    n_jurisdictions: int,
    n_stages: int,
    n_buyers: int,
) -> CrossingDraws:
    """Draw what the scenario asks for, each from its own stream; by default nothing."""
    revocation_buyer, revocation_us = _draw_revocations(scenario, seed, n_buyers)

    def flags(name: str, key: str, size: int) -> Flags:
        share = scenario.number(f"crossing.{key}")
        if share == 0.0:
            return np.zeros(0, bool)
        drawn: Flags = stream(seed, name).random(size) < share
        return drawn

    return CrossingDraws(
        region_trust_domain=_draw_domains(
            scenario, seed, name="trust_domains", n_regions=n_regions
        ),
        region_policy_domain=_draw_domains(
            scenario, seed, name="policy_domains", n_regions=n_regions
        ),
        region_transport=_draw_domains(scenario, seed, name="transports", n_regions=n_regions),
        stage_held_steps=_draw_held_steps(scenario, seed, n_stages),
        stage_is_monotone=flags("stage.monotone", "monotone_share", n_stages),
        stage_is_modal=flags("stage.modal", "modality_change_share", n_stages),
        stage_skips_policy=flags("stage.skips_policy", "skip_share", n_stages),
        stage_is_inadmissible=flags("stage.inadmissible", "inadmissible_share", n_stages),
        buyer_has_capability=flags("buyer.capability", "authority_continuity", n_buyers),
        buyer_scope=_draw_scope(scenario, seed, (n_buyers, n_jurisdictions)),
        revocation_buyer=revocation_buyer,
        revocation_us=revocation_us,
        attempt_approval=draw_approval_factors(scenario, seed, n_stages),
    )


def _words(scenario: Scenario, key: str) -> tuple[str, ...]:
    return tuple(word for word in scenario.words(key) if word != _NONE)


def _draw_domains(scenario: Scenario, seed: int, *, name: str, n_regions: int) -> Integers:
    """Draw the domain of each region among so many, uniformly; unset where each is its own."""
    n_domains = scenario.count(f"crossing.{name}")
    if n_domains == 0 or (n_domains == 1 and name == "transports"):
        return np.zeros(0, np.int64)
    chance = stream(seed, f"region.{name}").random(n_regions)
    return np.floor(chance * n_domains).astype(np.int64)


def _draw_scope(scenario: Scenario, seed: int, shape: tuple[int, int]) -> Flags:
    """Draw which jurisdictions each capability names; unset where it names all."""
    share = scenario.number("crossing.capability_scope")
    if share == 1.0:
        return np.zeros((0, 0), bool)
    drawn: Flags = stream(seed, "buyer.scope").random(shape) < share
    return drawn


def _draw_held_steps(scenario: Scenario, seed: int, n_stages: int) -> Integers:
    """Draw for which steps each stage holds its unit, by the one coin that says whether it does."""
    factor = np.array([scenario.number(f"load.{step}_hold_factor") for step in STEPS])
    if (factor == 1.0).all():
        return np.zeros(0, np.int64)
    share = np.minimum(1.0, scenario.number("load.hold_share") * factor)
    holds = stream(seed, "stage.holds").random(n_stages)[:, None] < share
    mask: Integers = holds @ (1 << np.arange(len(STEPS)))
    return mask


def _draw_revocations(scenario: Scenario, seed: int, n_buyers: int) -> tuple[Integers, Integers]:
    """Draw when what each buyer holds is revoked, as a Poisson process over the horizon."""
    horizon_s: float = scenario.number("measurement.horizon_s")
    expected = scenario.number("crossing.revocations_per_day") * horizon_s / _SECONDS_PER_DAY
    rng = stream(seed, "buyer.revocations")
    buyer = np.repeat(np.arange(n_buyers), rng.poisson(expected, n_buyers))
    at_s: Floats = rng.random(len(buyer)) * horizon_s
    at_us = np.floor(at_s * US_PER_S).astype(np.int64)
    order = np.lexsort((at_us, buyer))
    return buyer[order], at_us[order]

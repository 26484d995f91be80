"""The one place that turns a scenario into what money and reports ask of a world."""

from dataclasses import replace

import numpy as np

from hanse.agents.workload import Workload
from hanse.agents.world import BuyerHabits, OwnerHabits
from hanse.market.rails import US_PER_DAY, RailTerms, SettlementTerms
from hanse.market.units import US_PER_HOUR, Flags, Floats
from hanse.scenarios.drawing.workload import draw_flags
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream


def settlement_terms_of(scenario: Scenario) -> SettlementTerms:
    """Return the rails of a scenario, which all regimes share."""
    number = scenario.number
    return SettlementTerms(
        bank=RailTerms(
            opens_us=_hours_us(number("settlement.bank_opens_h")),
            closes_us=_hours_us(number("settlement.bank_closes_h")),
            business_days=scenario.count("settlement.bank_days"),
            fee_usd=number("settlement.bank_fee_usd"),
            netting_us=_days_us(number("settlement.bank_netting_days")),
        ),
        card=RailTerms(
            delay_us=_days_us(number("settlement.card_days")),
            fee_share=number("settlement.card_fee_share"),
            fee_usd=number("settlement.card_fee_usd"),
            chargeback_share=number("settlement.card_chargeback_share"),
            chargeback_fee_usd=number("settlement.card_chargeback_fee_usd"),
            chargeback_us=_days_us(number("settlement.card_chargeback_days")),
            chargeback_person_hours=number("settlement.card_chargeback_person_hours"),
            netting_us=_days_us(number("settlement.card_netting_days")),
        ),
        chain=RailTerms(
            delay_us=round(
                scenario.microseconds("settlement.chain_block_s")
                * scenario.count("settlement.chain_blocks")
            ),
            fee_usd=number("settlement.chain_fee_usd"),
            netting_us=_days_us(number("settlement.chain_netting_days")),
        ),
        begins_us=_hours_us(number("settlement.begins_h")),
        funding=scenario.text("settlement.funding"),
        fee_resource_share=number("settlement.fee_resource_share"),
        escrow_loss_share=number("shock.escrow_loss_share"),
        escrow_loss_us=scenario.microseconds("shock.escrow_loss_at_s"),
    )


def with_chargeback_coins(workload: Workload, scenario: Scenario, seed: int) -> Workload:
    """Draw which payments may be taken back; nothing where none is."""
    if scenario.number("settlement.card_chargeback_share") == 0.0:
        return workload
    coin = stream(seed, "settlement.chargeback").random(workload.n_stages)
    return replace(workload, stage_chargeback=coin)


def draw_habits(scenario: Scenario, seed: int, *, n_buyers: int) -> BuyerHabits:
    """Draw which buyers bend the truth, and say how far."""
    key = "reporting.strategic_share"
    bends = draw_flags(scenario, seed, "reporting.strategic", key=key, size=n_buyers)
    return BuyerHabits(
        worth_share=_where(bends, scenario, "worth_share"),
        delay_scale=_where(bends, scenario, "delay_scale"),
    )


def draw_asks(scenario: Scenario, seed: int, *, n_owners: int) -> OwnerHabits:
    """Draw which owners bend the truth, and say how far."""
    key = "reporting.strategic_owner_share"
    bends = draw_flags(scenario, seed, "reporting.strategic_owners", key=key, size=n_owners)
    return OwnerHabits(
        cost_share=_where(bends, scenario, "cost_share"),
        posted_share=_where(bends, scenario, "posted_share"),
    )


def _where(bends: Flags, scenario: Scenario, name: str) -> Floats:
    return np.where(bends, scenario.number(f"reporting.{name}"), 1.0)


def _hours_us(hours: float) -> int:
    return round(hours * US_PER_HOUR)


def _days_us(days: float) -> int:
    return round(days * US_PER_DAY)

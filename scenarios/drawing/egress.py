"""The one place for what owners charge for egress, by law, and for whose data lie with whom."""

import numpy as np

from hanse.agents.fleet import Fleet
from hanse.agents.world import NO_EGRESS_PRICES, EgressPrices
from hanse.market.units import Integers
from hanse.scenarios.drawing.place import OWNERS, under_egress_rule
from hanse.scenarios.drawing.workload import pick
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream
from hanse.scenarios.tables import read_regions


def draw_egress_prices(
    scenario: Scenario, seed: int, *, fleet: Fleet, buyer_region: Integers
) -> EgressPrices:
    """Return what each owner charges, and draw with whom each buyer's inputs lie.

    Law caps prices where it reaches (`law.egress_rule`), whoever charges them.
    """
    if scenario.text("fleet.egress_pricing") != OWNERS:
        return NO_EGRESS_PRICES
    tariff = read_regions().egress_usd_per_gb
    listed = tariff * scenario.number("fleet.hyperscaler_egress_scale")
    other = np.full(len(tariff), scenario.number("fleet.neocloud_egress_usd_per_gb"))
    asked = np.where(fleet.owner_is_hyperscaler[:, None], listed, other)
    return EgressPrices(
        owner_usd_per_gb=under_egress_rule(scenario, asked),
        buyer_store=_draw_stores(scenario, seed, fleet=fleet, buyer_region=buyer_region),
    )


def _draw_stores(
    scenario: Scenario, seed: int, *, fleet: Fleet, buyer_region: Integers
) -> Integers:
    """Draw an owner for each buyer by its units in the buyer's region, or anywhere if none has any.

    Those who store with an owner at a smaller share do so at a larger one, with the same.
    """
    rng, n_regions = stream(seed, "egress.store"), len(read_regions().region)
    stores, chance = rng.random(len(buyer_region)), rng.random(len(buyer_region))
    units = np.zeros((n_regions, len(fleet.owner)))
    np.add.at(units, (fleet.node_region, fleet.node_owner), 1.0)
    weight = np.where(units.sum(axis=1, keepdims=True) > 0, units, units.sum(axis=0))
    drawn = [pick(np.array([c]), weight[r])[0] for c, r in zip(chance, buyer_region, strict=True)]
    is_stored = stores < scenario.number("fleet.stored_share")
    return np.where(is_stored, np.array(drawn, np.int64), -1)

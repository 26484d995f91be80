"""From a fleet to the units, offers and sinks of the engine."""

from typing import Any

import numpy as np

from hanse.agents.world import World
from hanse.market.columns import OFFER, PRICE, SINK, UNIT_FACT, Rows
from hanse.market.energy import usd_per_joule
from hanse.market.units import US_PER_HOUR, US_PER_S, Floats, Integers


def usd_per_us(world: World) -> tuple[Floats, Floats]:
    """Return the real cost of a busy and of a held unit per region, in USD per microsecond."""
    terms, price = world.terms, world.geography.electricity_usd_per_kwh
    hardware = terms.hardware_usd_per_gpu_hour / US_PER_HOUR
    per_watt = usd_per_joule(terms, price) / US_PER_S
    return hardware + terms.active_w * per_watt, hardware + terms.idle_w * per_watt


def lower_fleet(world: World) -> dict[str, Any]:
    """Lay out the units, their offers, the price list of each class, and the sinks."""
    offer, unit_offer = _offers(world)
    price_list, first_of_class = _list_prices(world, offer)
    return {
        "unit": _units(world, unit_offer),
        "offer": offer,
        "price_list": price_list,
        "first_of_class": first_of_class,
        "sink": _sinks(world, offer),
    }


def _offers(world: World) -> tuple[Rows, Integers]:
    """Group units of one region, class, owner and posted price; units are contiguous."""
    fleet = world.fleet
    keys = np.column_stack([fleet.node_region, fleet.node_class, fleet.node_owner])
    starts = np.flatnonzero(np.append(True, (np.diff(keys, axis=0) != 0).any(axis=1)))
    n_classes = len(fleet.accelerator_class)
    offer = np.zeros(len(starts), OFFER)
    offer["region"] = fleet.node_region[starts]
    offer["owner"] = fleet.node_owner[starts]
    offer["sink"] = fleet.node_region[starts] * n_classes + fleet.node_class[starts]
    offer["first_unit"] = starts
    offer["last_unit"] = np.append(starts[1:], fleet.n_nodes)
    offer["posted_usd_per_us"] = fleet.node_posted_usd_per_gpu_hour[starts] / US_PER_HOUR
    unit_offer = np.repeat(np.arange(len(starts)), offer["last_unit"] - offer["first_unit"])
    return offer, unit_offer


def _list_prices(world: World, offer: Rows) -> tuple[Rows, Integers]:
    """List the offers of each class from cheap to dear, and write into each its rank."""
    n_classes = len(world.fleet.accelerator_class)
    accelerator = offer["sink"] % n_classes
    by_price = np.lexsort((offer["posted_usd_per_us"], accelerator))
    offer["rank"][by_price] = np.arange(len(offer))
    price = np.zeros(len(offer), PRICE)
    price["offer"] = by_price
    for name in ("posted_usd_per_us", "sink"):
        price[name] = offer[name][by_price]
    return price, np.searchsorted(accelerator[by_price], np.arange(n_classes + 1))


def _units(world: World, unit_offer: Integers) -> Rows:
    """Say of each unit where it stands and which offer it belongs to."""
    fleet = world.fleet
    unit = np.zeros(fleet.n_nodes, UNIT_FACT)
    unit["region"] = fleet.node_region
    unit["sink"] = fleet.node_region * len(fleet.accelerator_class) + fleet.node_class
    unit["offer"] = unit_offer
    return unit


def _sinks(world: World, offer: Rows) -> Rows:
    """Lay out one sink for each region and class, with what a unit there really costs."""
    n_classes, n_regions = len(world.fleet.accelerator_class), world.geography.n_regions
    sink = np.zeros(n_regions * n_classes, SINK)
    sink["region"] = np.repeat(np.arange(n_regions), n_classes)
    sink["accelerator"] = np.tile(np.arange(n_classes), n_regions)
    index = np.arange(len(sink))
    sink["first_offer"] = np.searchsorted(offer["sink"], index, side="left")
    sink["last_offer"] = np.searchsorted(offer["sink"], index, side="right")
    busy, held = usd_per_us(world)
    sink["busy_usd_per_us"] = busy[sink["region"]]
    sink["held_usd_per_us"] = held[sink["region"]]
    sink["posted_usd_per_us"] = np.inf
    np.minimum.at(sink["posted_usd_per_us"], offer["sink"], offer["posted_usd_per_us"])
    return sink

"""The one place where units become offers and sinks: what is asked for, where, by whom, how dear.

Units of one region, class and owner are an offer. Offers of a region and class that stand side by
side and are asked for at one cost are a sink; so, if all owners tell the truth, a sink is a region
and class.
"""

from typing import NamedTuple

import numpy as np

from hanse.agents.world import World
from hanse.market.accounts.energy import usd_per_joule
from hanse.market.engine.columns import OFFER, PRICE, SINK, UNIT_FACT, Facts, Rows
from hanse.market.reporting import AskHabits, Asking, Asks
from hanse.market.units import US_PER_HOUR, US_PER_S, Floats, Integers


class Places(NamedTuple):
    """Where stages can run, in rows of `UNIT_FACT`, `OFFER`, `PRICE` and `SINK`.

    `price_list` has the offers of each class from cheap to dear, from its `first_of_class` on.
    """

    unit: Rows
    offer: Rows
    price_list: Rows
    first_of_class: Integers
    sink: Rows

    def equals(self, facts: Facts) -> bool:
        """Say whether facts already have these offers and sinks."""
        return np.array_equal(self.sink, facts.sink) and np.array_equal(self.offer, facts.offer)


def usd_per_us(world: World) -> tuple[Floats, Floats]:
    """Return the real cost of a busy and of a held unit per region, in USD per microsecond."""
    terms, price = world.terms, world.geography.electricity_usd_per_kwh
    hardware = terms.hardware_usd_per_gpu_hour / US_PER_HOUR
    per_watt = usd_per_joule(terms, price) / US_PER_S
    return hardware + terms.active_w * per_watt, hardware + terms.idle_w * per_watt


def lower_places(world: World, asking: Asking) -> Places:
    """Group the units of a world, which are contiguous, by what is asked for them.

    Raises `ValueError` if an ask lies below zero.
    """
    fleet, n_classes = world.fleet, len(world.fleet.accelerator_class)
    keys = np.column_stack([fleet.node_region, fleet.node_class, fleet.node_owner])
    starts = np.flatnonzero(np.append(True, (np.diff(keys, axis=0) != 0).any(axis=1)))
    offer = np.zeros(len(starts), OFFER)
    offer["region"] = fleet.node_region[starts]
    offer["owner"] = fleet.node_owner[starts]
    offer["first_unit"] = starts
    offer["last_unit"] = np.append(starts[1:], fleet.n_nodes)
    place = fleet.node_region[starts] * n_classes + fleet.node_class[starts]
    said = _asked(world, asking, starts)
    offer["posted_usd_per_us"] = said.posted_usd_per_us
    begins = _sinks_begin(place, said)
    sink = _sinks(world, offer, place=place, begins=begins, said=said)
    unit = np.zeros(fleet.n_nodes, UNIT_FACT)
    unit["region"] = fleet.node_region
    unit["offer"] = np.repeat(np.arange(len(starts)), offer["last_unit"] - offer["first_unit"])
    unit["sink"] = offer["sink"][unit["offer"]]
    price_list, first_of_class = _list_prices(offer, fleet.node_class[starts], n_classes)
    return Places(
        unit=unit, offer=offer, price_list=price_list, first_of_class=first_of_class, sink=sink
    )


def _asked(world: World, asking: Asking, first_node: Integers) -> Asks:
    """Return what the owner of each offer says."""
    fleet, habits = world.fleet, world.asks
    region, owner = fleet.node_region[first_node], fleet.node_owner[first_node]
    busy, held = usd_per_us(world)
    posted = fleet.node_posted_usd_per_gpu_hour[first_node] / US_PER_HOUR
    true = Asks(busy[region], held[region], posted)
    if asking.is_truthful:
        return true
    n_owners = len(fleet.owner)
    shares = [
        _of_offers(share, owner, n_owners) for share in (habits.cost_share, habits.posted_share)
    ]
    said = asking.ask(true, AskHabits(*shares))
    for name, column in said._asdict().items():
        if not column.min() >= 0:
            raise ValueError(f"asked {name} must be at least 0, got {column.min()}")
    return said


def _list_prices(offer: Rows, accelerator: Integers, n_classes: int) -> tuple[Rows, Integers]:
    """List the offers of each class from cheap to dear, and write into each its rank."""
    by_price = np.lexsort((offer["posted_usd_per_us"], accelerator))
    offer["rank"][by_price] = np.arange(len(offer))
    price = np.zeros(len(offer), PRICE)
    price["offer"] = by_price
    for name in ("posted_usd_per_us", "sink"):
        price[name] = offer[name][by_price]
    return price, np.searchsorted(accelerator[by_price], np.arange(n_classes + 1))


def _of_offers(of_owner: Floats, owner: Integers, n_owners: int) -> Floats:
    if len(of_owner) == 0:
        return np.ones(len(owner))
    if len(of_owner) != n_owners:
        raise ValueError(f"asks must have one entry per owner ({n_owners}), got {len(of_owner)}")
    return np.asarray(of_owner[owner])


def _sinks_begin(place: Integers, said: Asks) -> Integers:
    """Return the offers at which another place begins, or another cost is asked."""
    changes = np.diff(place) != 0
    changes |= np.diff(said.busy_usd_per_us) != 0
    changes |= np.diff(said.held_usd_per_us) != 0
    return np.flatnonzero(np.append(True, changes))


def _sinks(world: World, offer: Rows, *, place: Integers, begins: Integers, said: Asks) -> Rows:
    """Lay out the sinks of all places in order, one for a place without units, and fill `offer`."""
    n_classes, n_regions = len(world.fleet.accelerator_class), world.geography.n_regions
    n_places = n_regions * n_classes
    n_runs = np.bincount(place[begins], minlength=n_places)
    of_sink = np.repeat(np.arange(n_places), np.maximum(1, n_runs))
    sink = np.zeros(len(of_sink), SINK)
    sink["place"] = of_sink
    sink["region"], sink["accelerator"] = of_sink // n_classes, of_sink % n_classes
    of_run = np.flatnonzero(n_runs[of_sink] > 0)
    offer["sink"] = np.repeat(of_run, np.diff(np.append(begins, len(offer))))
    index = np.arange(len(sink))
    sink["first_offer"] = np.searchsorted(offer["sink"], index, side="left")
    sink["last_offer"] = np.searchsorted(offer["sink"], index, side="right")
    sink["busy_usd_per_us"], sink["held_usd_per_us"] = (
        cost[sink["region"]] for cost in usd_per_us(world)
    )
    for name in ("busy_usd_per_us", "held_usd_per_us"):
        sink[f"asked_{name}"] = sink[name]
        sink[f"asked_{name}"][of_run] = getattr(said, name)[begins]
    sink["posted_usd_per_us"] = np.inf
    np.minimum.at(sink["posted_usd_per_us"], offer["sink"], offer["posted_usd_per_us"])
    return sink

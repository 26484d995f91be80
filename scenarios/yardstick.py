"""Yardstick: what every regime on a world is measured against, worked out once per world.

The reference is quick and run for every world. The planner's bound is a linear program of seconds
to a minute, so it is worked out where it is asked for and never in a comparison.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from hanse.agents.lowering import lower_facts, lower_rules
from hanse.agents.world import World
from hanse.market.accounts.essential_cost import EssentialCost, essential_cost, executed_stages
from hanse.market.accounts.occupancy import label_time
from hanse.market.engine.columns import Facts
from hanse.market.planner import Planner, planner_bound
from hanse.market.reference import reference_ledger
from hanse.market.regime import CENTRAL
from hanse.market.units import Floats
from hanse.scenarios.measuring.measures import Measured, Table, welfare_of
from hanse.scenarios.measuring.word_columns import listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """The reference of one world, and what working it out took.

    Attributes
    ----------
    reference_usd : welfare of the reference W0 by family, shape (n_families + 1,); the last is what
        belongs to no family.
    facts : of the world, as they were lowered for the reference.
    essential : what coordination each stage needs at the least, in every regime.
    seconds : its own cost.
    """

    reference_usd: Floats
    essential: EssentialCost
    facts: Facts
    seconds: float


def measure_yardstick(world: World, *, reference_usd: Sequence[float] = ()) -> Yardstick:
    """Run the reference on a world: exact clearing of the true state at every event, at no delay.

    Which regime the facts are lowered for makes no difference: the reference puts its own control
    plane in the place of any (a test holds it to that).

    Parameters
    ----------
    reference_usd : as this gave it for the same world before, which spares the run; else empty.
    """
    begun = perf_counter()
    facts = lower_facts(world, CENTRAL)
    usd = np.array(reference_usd) if len(reference_usd) else _reference_usd(world, facts)
    return Yardstick(
        reference_usd=usd,
        essential=essential_cost(facts, world.terms),
        facts=facts,
        seconds=perf_counter() - begun,
    )


def _reference_usd(world: World, facts: Facts) -> Floats:
    n_families = len(world.workload.family)
    rules = lower_rules(world.terms, CENTRAL, horizon_us=world.horizon_us, n_planes=1)
    ledger = reference_ledger(facts, rules, world.fleet.node_free_from_us, n_families=n_families)
    return welfare_of(world, ledger, label_time(ledger, n_families)).welfare_usd


def measure_bound(world: World, *, n_bins: int = 6) -> Planner:
    """Bound from above the welfare that any regime can reach on a world, all families together.

    What it exceeds the reference by, `bound_usd - reference_usd.sum()`, is the foresight gap: what
    knowing all arrivals, and splitting work at will, could earn at the most.
    """
    return planner_bound(
        lower_facts(world, CENTRAL),
        world.terms,
        world.fleet.node_free_from_us,
        horizon_us=world.horizon_us,
        n_bins=n_bins,
    )


def with_losses(measures: Table, yardstick: Yardstick, measured: Measured) -> Table:
    """Add to a run's measures what it loses against the reference, W0 - W, family by family.

    It may be negative: waiting can thicken a market, and the reference decides at every event.
    Beside it stands what of its synchronization cost was essential, and what was in excess of that.
    """
    rows: list[tuple[str, str, str, float]] = []
    for name, reference_usd in zip(measured.families, yardstick.reference_usd, strict=True):
        here = measures["family"] == name
        welfare_usd = measures["value"][here & (measures["measure"] == "welfare_usd")]
        rows.append((name, "reference_welfare_usd", "USD", reference_usd))
        rows.append((name, "coordination_loss_usd", "USD", reference_usd - float(welfare_usd[0])))
    ledger, n_families = measured.ledger, len(measured.families) - 1
    essential_s = yardstick.essential.gpu_s(
        executed_stages(ledger), ledger.stage_fact["family"], n_families
    ).sum(axis=1)
    excess_s = measured.cost.per_family() - essential_s
    for family, name in enumerate(measured.families[:-1]):
        rows.append((name, "essential_cost_gpu_s", "gpu_s", float(essential_s[family])))
        rows.append((name, "excess_cost_gpu_s", "gpu_s", float(excess_s[family])))
    *words, values = zip(*rows, strict=True)
    table = {
        key: listed((*measures[key].tolist(), *more))
        for key, more in zip(("family", "measure", "unit"), words, strict=True)
    }
    return {**table, "value": np.append(measures["value"], np.array(values))}

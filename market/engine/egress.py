"""What owners charge for bytes that leave them: who is billed, by whom, and what the bytes cost.

The bill is a transfer; what moving the bytes takes is a resource, and the same in every regime.
Where no owner charges, tables have no rows, and all egress is a resource at the world's tariff.
"""

from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.engine.parts import POSTED_RULE
from hanse.market.kernels import kernel

BILLED, COST = 0, 1
"""Planes of `State.egress_bill`: what owners charge buyers, and what the same bytes take."""


@kernel
def charges_egress(facts: Facts) -> bool:
    """Say whether owners charge for bytes apart from what bytes cost."""
    return len(facts.egress_price) > 0


@kernel
def egress_price_usd(facts: Facts, state: State, stage: int, region: int) -> float:
    """Return what owners will charge if a stage runs in a region: each for what lies with it."""
    return _charge(facts, state, stage, region, 0)


@kernel
def bill_egress(facts: Facts, state: State, stage: int, region: int) -> None:
    """Bill the buyer of a stage for its inputs, as they move to a region."""
    if charges_egress(facts):
        _charge(facts, state, stage, region, 1)


@kernel
def _charge(facts: Facts, state: State, stage: int, region: int, is_billed: int) -> float:
    """Add up what owners charge; the inputs of a stage that waits for none lie with its store."""
    fact = facts.stage[stage]
    first, last = facts.first_input[stage], facts.first_input[stage + 1]
    buyer, usd = fact["buyer"], 0.0
    if first == last:
        if fact["origin"] == region:
            return 0.0
        owner = facts.buyer_store[buyer]
        return _one(facts, state, buyer, owner, fact["origin"], fact["input_bytes"], is_billed)
    n_bytes = fact["input_bytes"] / (last - first)
    for edge in range(first, last):
        unit = state.stage[facts.predecessor[edge]]["unit"]
        if unit < 0 or facts.unit[unit]["region"] == region:
            continue
        place = facts.unit[unit]
        owner = facts.offer[place["offer"]]["owner"]
        usd += _one(facts, state, buyer, owner, place["region"], n_bytes, is_billed)
    return usd


@kernel
def _one(
    facts: Facts,
    state: State,
    buyer: int,
    owner: int,
    source: int,
    n_bytes: float,
    is_billed: int,
) -> float:
    """Return what an owner charges for bytes that leave a region, and bill it where it is due."""
    if owner < 0:
        return 0.0
    usd = n_bytes * facts.egress_price[owner, source]
    if is_billed == 1:
        state.egress_bill[BILLED, buyer, owner] += usd
        cost = facts.link[source, source]["egress_usd_per_byte"]
        state.egress_bill[COST, buyer, owner] += n_bytes * cost
    return float(usd)


@kernel
def crossing_egress_usd(
    facts: Facts, rules: Rules, state: State, stage: int, region: int, cost_usd: float
) -> float:
    """Return what egress weighs in a decision: the price where requests pay it, else the cost."""
    if rules.rule != POSTED_RULE or not charges_egress(facts):
        return cost_usd
    own_usd = egress_price_usd(facts, state, stage, region)
    return float(own_usd + _unowned_usd(facts, stage, cost_usd))


@kernel
def _unowned_usd(facts: Facts, stage: int, cost_usd: float) -> float:
    """Return what of the cost no owner charges for, because the inputs lie with their buyer."""
    is_root = facts.first_input[stage] == facts.first_input[stage + 1]
    is_own = is_root and facts.buyer_store[facts.stage[stage]["buyer"]] < 0
    return cost_usd if is_own else 0.0

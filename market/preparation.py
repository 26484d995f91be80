"""What lies between a decision and execution: preliminary operations, transfer, rebuild."""

from typing import Final, NamedTuple

from hanse.market.bits import WORD_BITS
from hanse.market.clock import GENERATION, NOW
from hanse.market.columns import POSTED_RULE, Facts, Rules, State
from hanse.market.kernels import kernel
from hanse.market.pools import borrow_row
from hanse.market.stage_clock import plan
from hanse.market.states import ON_AUTHORITY, ON_IDENTITY, ON_POLICY, ON_STATE, TRANSFERRING
from hanse.market.units import NANO_USD_PER_USD

# A quote rounds thrice to whole nano-USD, and an amount in floating point is right to far less.
_ROUNDINGS: Final = 4


class Preparation(NamedTuple):
    """How one stage gets ready at one place.

    `lead_us` runs from the moment the command leaves to the start of the rebuild or execution;
    `holding_us` is the part of it during which the unit is held.
    """

    identity_us: int
    policy_us: int
    state_us: int
    authority_us: int
    transfer_us: int
    context_us: int
    holding_us: int
    lead_us: int
    core_us: int
    egress_usd: float
    moved_bytes: float


@kernel
def prepare(
    facts: Facts, state: State, stage: int, region: int, command_us: int, now_us: int, commit: float
) -> Preparation:
    """Work out the preparation of a stage in a region, with the caches as they are now.

    `commit` is the factor on the local part of a state commit: the attempt's own draw for the
    real thing, one for an expectation.
    """
    if state.stage[stage]["n_sources"] > 1:
        return _prepare_from_all(facts, state, stage, region, command_us, now_us, commit)
    source, n_bytes = state.stage[stage]["input_region"], facts.stage[stage]["input_bytes"]
    return _prepare_from(facts, state, stage, source, region, n_bytes, command_us, now_us, commit)


@kernel
def _prepare_from(
    facts: Facts,
    state: State,
    stage: int,
    source: int,
    region: int,
    n_bytes: float,
    command_us: int,
    now_us: int,
    commit: float,
) -> Preparation:
    """Work out the preparation if all inputs, and the context with them, lie in one region."""
    fact = facts.stage[stage]
    if source == region:
        expired = state.stage[stage]["context_until_us"] < now_us
        context_us = fact["context_us"] if expired else 0
        return Preparation(0, 0, 0, 0, 0, context_us, 0, command_us, 0, 0.0, 0.0)
    link = facts.link[source, region]
    buyer = fact["buyer"]
    is_known = state.credential_until_us[buyer, region] > now_us
    identity_us = link["identity_verify_us"] if is_known else link["identity_full_us"]
    core_us = link["cpu_cached_us"] if is_known else link["cpu_full_us"]
    state_us = link["state_rtt_us"] + int(link["commit_us"] * commit + 0.5)
    jurisdiction = facts.region_jurisdiction[region]
    is_authorised = state.authority_until_us[buyer, jurisdiction] > now_us
    authority_us = 0 if is_authorised else link["authority_us"]
    transfer_us = int(n_bytes * link["transfer_us_per_byte"] + 0.5)
    steps_us = identity_us + link["policy_us"] + state_us + authority_us + transfer_us
    holds = fact["holds"] == 1
    return Preparation(
        identity_us,
        link["policy_us"],
        state_us,
        authority_us,
        transfer_us,
        fact["context_us"],
        steps_us if holds else 0,
        command_us + steps_us if holds else max(command_us, steps_us),
        core_us,
        n_bytes * link["egress_usd_per_byte"],
        n_bytes,
    )


@kernel
def _prepare_from_all(
    facts: Facts, state: State, stage: int, region: int, command_us: int, now_us: int, commit: float
) -> Preparation:
    """Let the inputs of a stage that joins branches cross side by side, each from where it lies.

    Each of what the stage waits for hands on an equal part of its input. The time is that of the
    slowest crossing, and the steps are its own. Control work and egress are those of all; none can
    use a proof that another is only obtaining. The context lies where the first of what the stage
    waits for was done.
    """
    fact, row, first = facts.stage[stage], state.stage[stage], facts.first_input[stage]
    n_inputs, slowest_us, core_us = facts.first_input[stage + 1] - first, -1, 0
    egress_usd, moved_bytes = 0.0, 0.0
    slowest = Preparation(0, 0, 0, 0, 0, 0, 0, command_us, 0, 0.0, 0.0)
    for slot in range(first, first + row["n_sources"]):
        source, share = state.source[slot]["region"], state.source[slot]["n_inputs"] / n_inputs
        if source == region:
            continue
        n_bytes = fact["input_bytes"] * share
        way = _prepare_from(
            facts, state, stage, source, region, n_bytes, command_us, now_us, commit
        )
        core_us += way.core_us
        egress_usd += way.egress_usd
        moved_bytes += n_bytes
        steps_us = way.identity_us + way.policy_us + way.state_us + way.authority_us
        steps_us += way.transfer_us
        if steps_us > slowest_us:
            slowest, slowest_us = way, steps_us
    is_kept = row["input_region"] == region and row["context_until_us"] >= now_us
    return Preparation(
        slowest.identity_us,
        slowest.policy_us,
        slowest.state_us,
        slowest.authority_us,
        slowest.transfer_us,
        0 if is_kept else fact["context_us"],
        slowest.holding_us,
        slowest.lead_us,
        core_us,
        egress_usd,
        moved_bytes,
    )


@kernel
def way_us(facts: Facts, state: State, stage: int, region: int) -> int:
    """Return how long a message about a stage takes between its plane and a region, this time."""
    row = state.stage[stage]
    mean_us = facts.command_us[row["plane"], region]
    if len(facts.attempt_way) == 0:
        return int(mean_us)
    return int(round(mean_us * facts.attempt_way[row["attempt"], stage]))


@kernel
def plan_steps(state: State, stage: int, ready: Preparation) -> None:
    """Put the preliminary operations and the transfer on the plan of a stage."""
    plan(state, stage, ON_IDENTITY, ready.identity_us)
    plan(state, stage, ON_POLICY, ready.policy_us)
    plan(state, stage, ON_STATE, ready.state_us)
    plan(state, stage, ON_AUTHORITY, ready.authority_us)
    plan(state, stage, TRANSFERRING, ready.transfer_us)


@kernel
def worth_usd(facts: Facts, stage: int, finish_us: int) -> float:
    """Return v_j of a job whose last result would arrive then; zero after the deadline."""
    fact = facts.stage[stage]
    if finish_us > fact["deadline_us"]:
        return 0.0
    fall = fact["delay_usd_per_us"] * (finish_us - fact["job_arrival_us"])
    return float(max(0.0, fact["value_usd"] - fall))


@kernel
def quote(facts: Facts, rules: Rules, state: State, stage: int, sink: int) -> None:
    """Fill in worth, real resource cost and occupied time of a stage at a sink, as of now.

    A quote depends on the stage and the sink, not on who asks: planes that decide at one instant
    share it.
    """
    word, bit = sink // WORD_BITS, 1 << (sink % WORD_BITS)
    own, is_new = state.quote_rows.row_of[stage], False
    if own < 0:
        own, is_new = borrow_row(state.quote_rows, stage), True
    if is_new or state.quoted_at[own] != state.clock[GENERATION]:
        state.quoted_at[own] = state.clock[GENERATION]
        for k in range(state.quoted.shape[1]):
            state.quoted[own, k] = 0
    elif state.quoted[own, word] & bit != 0:
        return
    state.quoted[own, word] |= bit
    fact, now_us = facts.stage[stage], state.clock[NOW]
    region = facts.sink[sink]["region"]
    home = state.stage[stage]["plane"]
    lock_us = 2 * facts.command_us[home, fact["origin"]] if rules.escrow == 1 else 0
    ready = prepare(facts, state, stage, region, facts.command_us[home, region], now_us, 1.0)
    busy_us = ready.context_us + fact["work_us"]
    finish_us = (
        now_us
        + lock_us
        + ready.lead_us
        + busy_us
        + facts.link[region, fact["origin"]]["delivery_us"]
        + fact["rest_us"]
    )
    crossing_usd = ready.core_us * rules.core_usd_per_us + ready.egress_usd
    # No job is done before its longest path: a branch is not worth more for being short.
    worth = worth_usd(facts, stage, max(finish_us, fact["soonest_us"])) - crossing_usd
    cost = (
        facts.sink[sink]["busy_usd_per_us"] * (busy_us + fact["rest_work_us"])
        + facts.sink[sink]["held_usd_per_us"] * ready.holding_us
    )
    row = state.quote[own, sink]
    row["worth_nano_usd"] = round(worth * NANO_USD_PER_USD)
    row["cost_nano_usd"] = round(cost * NANO_USD_PER_USD)
    row["occupied_us"] = ready.holding_us + busy_us


@kernel
def bound_nano_usd(
    facts: Facts, rules: Rules, state: State, stage: int, sink: int, now_us: int
) -> int:
    """Bound what the stage can gain at the sink from now on: `quote` with every cache warm.

    It only falls with time, so a sink where it is not above zero needs no more quotes as long as
    the inputs stay where they are. What a posted price takes is bounded by the lowest of the sink.
    The crossings of a stage that joins branches are left out, which makes its bound a wider one.
    """
    fact, place = facts.stage[stage], facts.sink[sink]
    region, source = place["region"], state.stage[stage]["input_region"]
    lead_us = facts.command_us[state.stage[stage]["plane"], region]
    busy_us, holding_us, crossing_usd = fact["work_us"], 0, 0.0
    if source != region and state.stage[stage]["n_sources"] < 2:
        link = facts.link[source, region]
        steps_us = min(link["identity_verify_us"], link["identity_full_us"]) + link["policy_us"]
        steps_us += link["state_rtt_us"] + link["commit_us"]
        steps_us += int(fact["input_bytes"] * link["transfer_us_per_byte"])
        holding_us = steps_us * fact["holds"]
        lead_us = max(lead_us, steps_us) if holding_us == 0 else lead_us + steps_us
        busy_us += fact["context_us"]
        crossing_usd = fact["input_bytes"] * link["egress_usd_per_byte"]
    finish_us = now_us + lead_us + busy_us + fact["rest_us"]
    worth = worth_usd(facts, stage, finish_us + facts.link[region, fact["origin"]]["delivery_us"])
    if rules.rule == POSTED_RULE:
        cost = place["posted_usd_per_us"] * (busy_us + fact["rest_work_us"] + holding_us)
    else:
        cost = place["busy_usd_per_us"] * (busy_us + fact["rest_work_us"])
        cost += place["held_usd_per_us"] * holding_us
    return int((worth - crossing_usd - cost) * NANO_USD_PER_USD) + _ROUNDINGS

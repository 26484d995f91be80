"""The queue in front of every decision: servers, service times, items, and refreshes.

A plane of capacity c has m = max(1, floor(c)) servers of speed c/m. Requests, clearings, receipts
and verdicts wait in one first-come queue; refreshes go before what is waiting, as reports do.
"""

from hanse.market.engine.columns import (
    ITEMS_PER_STAGE,
    NOT_QUEUED,
    REQUEST_ITEM,
    Facts,
    Rules,
    State,
)
from hanse.market.engine.events import SERVE, schedule
from hanse.market.engine.states import ROUTING
from hanse.market.kernels import kernel


@kernel
def _is_request(state: State, item: int) -> int:
    """Return 1 for an item that is a request, and 0 for a receipt, a verdict or a clearing."""
    is_one = item % ITEMS_PER_STAGE == REQUEST_ITEM
    return int(is_one and item < ITEMS_PER_STAGE * len(state.stage))


@kernel
def enqueue(state: State, plane: int, item: int) -> None:
    """Put an item at the end of a plane's queue, unless it waits there already."""
    if state.queue_next[item] != NOT_QUEUED:
        return
    row = state.plane[plane]
    state.queue_next[item] = -1
    row["n_queued"] += _is_request(state, item)
    if row["queue_last"] < 0:
        row["queue_first"] = item
    else:
        state.queue_next[row["queue_last"]] = item
    row["queue_last"] = item


@kernel
def dequeue(state: State, plane: int) -> int:
    """Take the first item of a plane's queue."""
    row = state.plane[plane]
    item = row["queue_first"]
    row["n_queued"] -= _is_request(state, item)
    row["queue_first"] = state.queue_next[item]
    state.queue_next[item] = NOT_QUEUED
    if row["queue_first"] < 0:
        row["queue_last"] = -1
    return int(item)


@kernel
def clearing_item(state: State, plane: int) -> int:
    """Return the queue item that stands for a plane's clearing."""
    return ITEMS_PER_STAGE * len(state.stage) + plane


@kernel
def idle_server(rules: Rules, state: State, plane: int, at_us: int) -> int:
    """Return a server of a plane that is free by then, or else the one that is free first."""
    first = plane * rules.n_servers
    best = first
    for server in range(first, first + rules.n_servers):
        if state.server_free_us[server] <= at_us:
            return server
        if state.server_free_us[server] < state.server_free_us[best]:
            best = server
    return best


@kernel
def occupy(
    rules: Rules, state: State, server: int, from_us: int, core_us: int, operation: int
) -> int:
    """Occupy a server for work of so many core-microseconds; return when it ends."""
    end_us = from_us + round(core_us / rules.server_speed)
    state.power.server_operation[server] = operation
    state.server_free_us[server] = end_us
    return int(end_us)


@kernel
def play_refreshes(rules: Rules, state: State, plane: int, now_us: int) -> None:
    """Let the plane work off the refreshes that have reached it by now."""
    if rules.refresh_us == 0:
        return
    row = state.plane[plane]
    n_regions = row["n_watched"]
    core_us = round(rules.service_message_us * n_regions)
    while row["next_refresh"] * rules.refresh_us + row["refresh_delay_us"] <= now_us:
        at_us = row["next_refresh"] * rules.refresh_us + row["refresh_delay_us"]
        row["next_refresh"] += 1
        row["refresh_core_us"] += core_us
        row["n_messages"] += n_regions
        if core_us > 0:
            server = idle_server(rules, state, plane, at_us)
            from_us = max(at_us, state.server_free_us[server])
            occupy(rules, state, server, from_us, core_us, ROUTING)


@kernel
def back_up_us(facts: Facts, plane: int, now_us: int) -> int:
    """Return when the plane's site is up again: now, unless it is down."""
    region = facts.plane_region[plane]
    for k in range(facts.first_outage[region], facts.first_outage[region + 1]):
        if facts.outage_from_us[k] <= now_us:
            now_us = max(now_us, facts.outage_until_us[k])
    return int(now_us)


@kernel
def await_server(state: State, plane: int, free_us: int) -> None:
    """Come back to the queue when a server is free."""
    row = state.plane[plane]
    if row["serve_us"] < 0 or free_us < row["serve_us"]:
        row["serve_us"] = free_us
        schedule(state, free_us, SERVE, plane)

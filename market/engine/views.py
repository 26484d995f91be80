"""What a decision maker sees: each region as it was at the last refresh, plus its own decisions.

Physical changes of a region go into a log. A plane walks each region's log only as far as the last
refresh that can have reached it, and keeps its own commands as holds until a refresh has seen them
land. Views therefore cost nothing while nobody decides.
"""

from typing import Final

from hanse.market.engine.bits import add_member, drop_member
from hanse.market.engine.clock import N_LOG, NOW
from hanse.market.engine.columns import HELD, SEEN_FREE, Facts, Rules, State
from hanse.market.engine.events import WAKE, schedule
from hanse.market.engine.quotas import unbind
from hanse.market.kernels import kernel

_NEVER: Final = 1 << 62


@kernel
def sight_us(facts: Facts, rules: Rules, plane: int, region: int, now_us: int) -> int:
    """Return the instant at which the plane's picture of the region was taken, or -1."""
    at_us = now_us - facts.command_us[plane, region]
    if at_us < 0:
        return -1
    if rules.refresh_us > 0:
        at_us -= at_us % rules.refresh_us
    return int(at_us)


@kernel
def record_change(facts: Facts, rules: Rules, state: State, unit: int, is_free: int) -> None:
    """Log that a unit became free or busy now, and report it where views are continuous."""
    clock = state.clock
    entry = clock[N_LOG]
    clock[N_LOG] += 1
    region = facts.unit[unit]["region"]
    row = state.log[entry]
    row["at_us"] = clock[NOW]
    row["unit"] = unit
    row["is_free"] = is_free
    row["next"] = -1
    book = state.region[region]
    if book["log_last"] < 0:
        book["log_first"] = entry
    else:
        state.log[book["log_last"]]["next"] = entry
    book["log_last"] = entry
    if is_free == 1:
        state.unit[unit]["freed_entry"] = entry
    if rules.refresh_us == 0 and is_free == 1:
        for plane in range(len(state.plane)):
            if not facts.watches[plane, region]:
                continue
            state.plane[plane]["n_messages"] += 1
            state.plane[plane]["refresh_core_us"] += round(rules.service_message_us)
            at_us = clock[NOW] + facts.command_us[plane, region]
            schedule(state, at_us, WAKE, plane)


@kernel
def may_command(facts: Facts, plane: int, unit: int) -> bool:
    """Say whether a unit is in a region that the plane watches, and not another plane's alone."""
    fact = facts.unit[unit]
    return bool(facts.watches[plane, fact["region"]] and fact["plane"] in (-1, plane))


@kernel
def show(facts: Facts, state: State, plane: int, unit: int) -> None:
    """Make a unit visible as free."""
    fact = facts.unit[unit]
    sink = fact["sink"]
    unbind(facts, state, unit)
    add_member(state.visible[plane], unit)
    state.visible_offer[plane, fact["offer"]] += 1
    add_member(state.open_offer[plane], facts.offer[fact["offer"]]["rank"])
    state.visible_sink[plane, sink] += 1
    add_member(state.open_sink[plane], sink)
    add_member(state.gained[plane], sink)
    state.plane[plane]["n_visible"] += 1
    state.plane[plane]["has_gained"] = 1


@kernel
def forget_gains(state: State, plane: int) -> None:
    """Note that the plane has looked at all that is pending with all it has in view."""
    state.plane[plane]["has_gained"] = 0
    for word in range(state.gained.shape[1]):
        state.gained[plane, word] = 0


@kernel
def regain(state: State, plane: int) -> None:
    """Let every unit in view count as gained, because it may be left over after all."""
    for word in range(state.gained.shape[1]):
        state.gained[plane, word] |= state.open_sink[plane, word]


@kernel
def hide(facts: Facts, state: State, plane: int, unit: int) -> None:
    """Make a unit invisible."""
    fact = facts.unit[unit]
    sink = fact["sink"]
    drop_member(state.visible[plane], unit)
    state.visible_offer[plane, fact["offer"]] -= 1
    if state.visible_offer[plane, fact["offer"]] == 0:
        drop_member(state.open_offer[plane], facts.offer[fact["offer"]]["rank"])
    state.visible_sink[plane, sink] -= 1
    if state.visible_sink[plane, sink] == 0:
        drop_member(state.open_sink[plane], sink)
    state.plane[plane]["n_visible"] -= 1


@kernel
def next_entry(state: State, plane: int, region: int) -> int:
    """Return the first entry of the region's log that the plane has not read, or -1."""
    last = state.sight[plane, region]["log"]
    return int(state.region[region]["log_first"] if last < 0 else state.log[last]["next"])


@kernel
def _walk(facts: Facts, state: State, plane: int, region: int, until_us: int) -> None:
    """Read the region's log up to a refresh; that instant's dispatches come after the refresh."""
    sight = state.sight[plane, region]
    while True:
        entry = next_entry(state, plane, region)
        if entry < 0:
            break
        row = state.log[entry]
        if row["at_us"] > until_us or (row["at_us"] == until_us and row["is_free"] == 0):
            break
        sight["log"] = entry
        unit = row["unit"]
        if not may_command(facts, plane, unit):
            continue
        before = state.seen[plane, unit]
        after = (before & HELD) | (SEEN_FREE if row["is_free"] == 1 else 0)
        state.seen[plane, unit] = after
        if before & HELD == 0 and before != after:
            if after == SEEN_FREE:
                show(facts, state, plane, unit)
            else:
                hide(facts, state, plane, unit)


@kernel
def _drop_holds(facts: Facts, rules: Rules, state: State, plane: int) -> None:
    """Forget own commands that a refresh has seen land."""
    count = state.plane[plane]["n_holds"]
    kept = 0
    for k in range(count):
        unit = state.hold[plane, k]["unit"]
        land_us = state.hold[plane, k]["land_us"]
        if land_us < taken_us(facts, rules, state, plane, facts.unit[unit]["region"]):
            state.seen[plane, unit] &= SEEN_FREE
            if state.seen[plane, unit] == SEEN_FREE:
                show(facts, state, plane, unit)
        else:
            state.hold[plane, kept]["unit"] = unit
            state.hold[plane, kept]["land_us"] = land_us
            kept += 1
    state.plane[plane]["n_holds"] = kept


@kernel
def taken_us(facts: Facts, rules: Rules, state: State, plane: int, region: int) -> int:
    """Return when the picture of a region was taken that the plane looked at last, or -1.

    There is none of a region that it does not watch.
    """
    if rules.refresh_us > 0 or not facts.watches[plane, region]:
        return int(state.sight[plane, region]["at_us"])
    return int(max(-1, state.plane[plane]["looked_us"] - facts.command_us[plane, region]))


@kernel
def look(facts: Facts, rules: Rules, state: State, plane: int, now_us: int) -> None:
    """Bring the plane's view of every region up to what has reached it by now."""
    row = state.plane[plane]
    if now_us < row["next_sight_us"]:
        return
    if rules.refresh_us > 0:
        row["next_sight_us"] = _look_at_pictures(facts, rules, state, plane, now_us)
    elif now_us > row["looked_us"]:
        row["looked_us"] = now_us
        _look_at_logs(facts, state, plane, now_us)
    _drop_holds(facts, rules, state, plane)


@kernel
def _look_at_logs(facts: Facts, state: State, plane: int, now_us: int) -> None:
    """Read what is new in the logs of all regions, as far as word of it has come."""
    for region in range(len(state.region)):
        is_new = state.region[region]["log_last"] != state.sight[plane, region]["log"]
        if is_new and facts.watches[plane, region]:
            at_us = now_us - facts.command_us[plane, region]
            if at_us >= 0:
                _walk(facts, state, plane, region, at_us)


@kernel
def _look_at_pictures(facts: Facts, rules: Rules, state: State, plane: int, now_us: int) -> int:
    """Read the logs of regions that a refresh has come from; return when the next one comes."""
    next_us = _NEVER
    for region in range(len(state.region)):
        if not facts.watches[plane, region]:
            continue
        sight = state.sight[plane, region]
        due_us = sight["at_us"] + rules.refresh_us + facts.command_us[plane, region]
        if sight["at_us"] < 0 or now_us >= due_us:
            at_us = sight_us(facts, rules, plane, region, now_us)
            if at_us > sight["at_us"]:
                sight["at_us"] = at_us
                _walk(facts, state, plane, region, at_us)
        due_us = sight["at_us"] + rules.refresh_us + facts.command_us[plane, region]
        next_us = min(next_us, due_us if sight["at_us"] >= 0 else now_us + 1)
    return int(max(next_us, now_us + 1))


@kernel
def hold(facts: Facts, state: State, plane: int, unit: int, land_us: int) -> None:
    """Count a visible unit as taken by an own command that will land then."""
    assert state.seen[plane, unit] == SEEN_FREE
    hide(facts, state, plane, unit)
    state.seen[plane, unit] |= HELD
    count = state.plane[plane]["n_holds"]
    state.hold[plane, count]["unit"] = unit
    state.hold[plane, count]["land_us"] = land_us
    state.plane[plane]["n_holds"] = count + 1

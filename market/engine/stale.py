"""Stale requests: what a client has given up on, and its plane and a unit still serve.

A stage is one request at a time to its client, and as many as the client has sent to everybody
else. So a stage has, besides its own row, a row for each try that may time out. When a try does,
what has become of it so far (in flight, queued, pending, commanded) moves to such a row and goes on
as if nothing had happened: it is decided, it takes a unit, it runs to its end, in vain. An
execution that has begun needs no row: its record says that it is abandoned.

Rows of stale requests come after those of all stages, as many to a stage as it has tries. An entry
in a plane's queue stands for one try: the first under the stage's own row, the next under the row
that the try before it would move to.
"""

import numpy as np

from hanse.market.engine.clock import NOW
from hanse.market.engine.columns import (
    ITEMS_PER_STAGE,
    REQUEST_ITEM,
    STAGE,
    Facts,
    Rows,
    Rules,
    State,
)
from hanse.market.engine.events import epoch_of, stage_of
from hanse.market.engine.pools import give_back
from hanse.market.engine.states import ABANDONED, NOT_READY, OPEN
from hanse.market.kernels import kernel
from hanse.market.units import Floats, Integers


def with_stale_rows(facts: Facts, n_stale: int) -> Facts:
    """Give every stage so many rows for its stale requests; they have its facts and its coins.

    Each is a job of its own, as giving it up concerns nothing else. It knows where the inputs of
    its stage lie, and nothing waits for it.
    """
    if n_stale == 0:
        return facts
    n_stages, again = len(facts.stage), np.repeat(facts.stage, n_stale)
    again["job"] = -1 - np.arange(len(again))
    n_inputs = np.repeat(np.diff(facts.first_input), n_stale)
    last_input = np.cumsum(n_inputs)
    edge = np.repeat(np.repeat(facts.first_input[:-1], n_stale) - last_input + n_inputs, n_inputs)
    edge += np.arange(len(edge))
    no_outputs = np.full(len(again), facts.first_output[-1])
    return facts._replace(
        stage=np.concatenate([facts.stage, again]),
        predecessor=np.concatenate([facts.predecessor, facts.predecessor[edge]]),
        first_input=np.concatenate([facts.first_input, facts.first_input[-1] + last_input]),
        first_output=np.concatenate([facts.first_output, no_outputs]),
        stage_plane=np.concatenate([facts.stage_plane, np.repeat(facts.stage_plane, n_stale)]),
        attempt_temptation=_widened(facts.attempt_temptation, n_stages, n_stale),
        attempt_audit=_widened(facts.attempt_audit, n_stages, n_stale),
        attempt_commit=_widened(facts.attempt_commit, n_stages, n_stale),
        attempt_service=_widened(facts.attempt_service, n_stages, n_stale),
        attempt_way=_widened(facts.attempt_way, n_stages, n_stale),
        crossing=facts.crossing._replace(
            stage=np.concatenate([facts.crossing.stage, np.repeat(facts.crossing.stage, n_stale)]),
            attempt_approval=_widened(facts.crossing.attempt_approval, n_stages, n_stale),
        ),
    )


def _widened(factor: Floats, n_stages: int, n_stale: int) -> Floats:
    """Repeat the columns of stages for their stale rows; one column for all stays one."""
    if factor.shape[1] != n_stages:
        return factor
    return np.concatenate([factor, np.repeat(factor, n_stale, axis=1)], axis=1)


@kernel
def n_own(rules: Rules, state: State) -> int:
    """Return the number of stages, stale rows apart."""
    return len(state.stage) // (1 + rules.failure.n_stale)


@kernel
def owner_of(rules: Rules, state: State, row: int) -> int:
    """Return the stage that a row belongs to: itself, unless it is a stale one."""
    n_stages = n_own(rules, state)
    return row if row < n_stages else (row - n_stages) // rules.failure.n_stale


@kernel
def stale_row(rules: Rules, state: State, stage: int, ordinal: int) -> int:
    """Return the row that a try of a stage moves to if it times out; the first try is 0."""
    return n_own(rules, state) + stage * rules.failure.n_stale + ordinal


@kernel
def request_item(rules: Rules, state: State, row: int) -> int:
    """Return the entry in a plane's queue that stands for the try that a row holds."""
    stage, n_stages = row, n_own(rules, state)
    ordinal = state.stage[row]["retries"]
    if row >= n_stages:
        stage = (row - n_stages) // rules.failure.n_stale
    if ordinal == 0 or rules.failure.n_stale == 0:
        return ITEMS_PER_STAGE * stage + REQUEST_ITEM
    return ITEMS_PER_STAGE * stale_row(rules, state, stage, ordinal - 1) + REQUEST_ITEM


@kernel
def row_of_item(rules: Rules, state: State, item: int) -> int:
    """Return the row that holds the try which an entry of a plane's queue stands for."""
    row, n_stages = item // ITEMS_PER_STAGE, n_own(rules, state)
    if rules.failure.n_stale == 0:
        return row
    stage, ordinal = row, 0
    if row >= n_stages:
        stage = (row - n_stages) // rules.failure.n_stale
        ordinal = (row - n_stages) % rules.failure.n_stale + 1
    stale = stale_row(rules, state, stage, ordinal)
    return stale if state.stage[stale]["status"] != NOT_READY else stage


@kernel
def rank_of(rules: Rules, state: State, entry: int) -> int:
    """Return where an entry of a book stands: by stage, and a stale request before what followed.

    `entry` is twice the row, plus a bit. A plane cannot know which of the two is stale.
    """
    n_stale = rules.failure.n_stale
    if n_stale == 0:
        return entry
    row, n_stages = entry >> 1, n_own(rules, state)
    if row < n_stages:
        return row * (n_stale + 1) + n_stale
    return (row - n_stages) // n_stale * (n_stale + 1) + (row - n_stages) % n_stale


@kernel
def stale_of(rules: Rules, state: State, index: int) -> int:
    """Return the stale row of what an event of an earlier beginning is about, or -1."""
    stage, epoch = stage_of(index), epoch_of(index)
    if rules.failure.n_stale == 0 or stage >= n_own(rules, state):
        return -1
    for ordinal in range(rules.failure.n_stale):
        stale = stale_row(rules, state, stage, ordinal)
        row = state.stage[stale]
        if row["status"] != NOT_READY and row["epoch"] == epoch:
            return stale
    return -1


@kernel
def set_aside(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Let the try that a stage's client gives up on go on without it."""
    row, now_us = state.stage[stage], state.clock[NOW]
    if row["record"] >= 0:
        record = state.record[row["record"]]
        if record["outcome"] != OPEN and record["final_us"] < 0:
            record["final_us"] = now_us
        record["outcome"] = ABANDONED
    elif row["trouble"] == 0:
        _move(facts, state, stage, stale_row(rules, state, stage, row["retries"]))


@kernel
def _move(facts: Facts, state: State, stage: int, stale: int) -> None:
    """Move a request to a stale row, with its place among those that are pending."""
    state.stage[stale] = state.stage[stage]
    row, copy = state.stage[stage], state.stage[stale]
    copy["planned"] = 0
    copy["open_position"] = -1
    copy["since_us"] = state.clock[NOW]
    # From here on the copy counts what it takes itself; `trouble` keeps the bounces it came with.
    copy["decision_core_us"] = copy["verification_core_us"] = copy["data_core_us"] = 0
    copy["egress_usd"] = copy["moved_bytes"] = 0.0
    copy["trouble"] = row["bounces"]
    first, to = facts.first_input[stage], facts.first_input[stale]
    for slot in range(row["n_sources"]):
        state.source[to + slot]["region"] = state.source[first + slot]["region"]
        state.source[to + slot]["n_inputs"] = state.source[first + slot]["n_inputs"]
    for word in range(state.option.shape[1]):
        state.option[stale, word] = state.option[stage, word]
        state.undecided[stale, word] = state.undecided[stage, word]
    if row["is_pending"] == 0:
        return
    plane = state.plane[row["plane"]]
    if row["pending_previous"] < 0:
        plane["pending_first"] = stale
    else:
        state.stage[row["pending_previous"]]["pending_next"] = stale
    if row["pending_next"] < 0:
        plane["pending_last"] = stale
    else:
        state.stage[row["pending_next"]]["pending_previous"] = stale
    if row["recent_position"] >= 0:
        state.recent[row["recent_position"]]["stage"] = stale
        row["recent_position"] = -1
    row["is_pending"] = 0
    give_back(state.quote_rows, stage)


def fold_stale_rows(rules: Rules, state: State) -> tuple[Rows, Integers]:
    """Return the rows of the stages, charged with what their stale requests took, and their time.

    Without stale rows they are the engine's own; with them, copies.
    """
    n_stale = rules.failure.n_stale
    n_stages = len(state.stage) // (1 + n_stale)
    if n_stale == 0:
        return state.stage, state.time_us
    # As bytes: field by field, what lies between fields would stay as memory had it.
    stage = state.stage[:n_stages].view(np.uint8).copy().view(STAGE)
    stale = state.stage[n_stages:]
    for name in ("decision_core_us", "data_core_us", "egress_usd", "moved_bytes"):
        stage[name] += stale[name].reshape(n_stages, n_stale).sum(axis=1)
    bounces = (stale["bounces"] - stale["trouble"]).reshape(n_stages, n_stale)
    stage["bounces"] += bounces.sum(axis=1, dtype=np.int16)
    return stage, state.time_us[:n_stages]


def fold_tally(rules: Rules, state: State) -> Rows:
    """Return what each stage's crossings came to, those of its stale requests among them."""
    n_stale, tally = rules.failure.n_stale, state.crossing.tally
    if n_stale == 0:
        return tally
    n_stages = len(tally) // (1 + n_stale)
    folded = tally[:n_stages].copy()
    for name in tally.dtype.names or ():
        folded[name] += tally[name][n_stages:].reshape(n_stages, n_stale).sum(axis=1)
    return folded


def owners(rules: Rules, state: State, log: Rows) -> Rows:
    """Return a log in which stages stand for their stale requests."""
    n_stale = rules.failure.n_stale
    n_stages = len(state.stage) // (1 + n_stale)
    is_stale = log["stage"] >= n_stages
    if not is_stale.any():
        return log
    owned = log.copy()
    owned["stage"][is_stale] = (log["stage"][is_stale] - n_stages) // n_stale
    return owned

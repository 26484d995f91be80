"""How clients answer failures: a request sets out, is noticed to have failed, and is sent again.

Each failure costs a retry, whatever its kind; a stage that has none left lapses, cause *failure*.
Nothing here knows how busy anything is: load comes back only as what is sent again.
"""

from hanse.market.engine.clock import NOW
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.engine.completing import lapse, next_attempt
from hanse.market.engine.events import EXPIRE, NOTICE, REQUEST, RETRY, of_epoch, schedule
from hanse.market.engine.failure_columns import CIRCUIT_OPEN, REFUSED, TIMED_OUT
from hanse.market.engine.failures import (
    arm_timer,
    is_circuit_open,
    kind_of_trouble,
    note_failure,
    trouble_of,
)
from hanse.market.engine.gathering import remove_pending
from hanse.market.engine.options import offer_options
from hanse.market.engine.preparation import way_us
from hanse.market.engine.stage_clock import enter, open_stage, state_at
from hanse.market.engine.stale import n_own, set_aside
from hanse.market.engine.states import ACTIVE, FAILURE, RETRYING
from hanse.market.kernels import kernel


@kernel
def send_request(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Send a request on its way to its plane, unless its client sends that plane nothing now."""
    if is_circuit_open(facts, rules, state, stage):
        fail(facts, rules, state, stage, CIRCUIT_OPEN)
        return
    row = state.stage[stage]
    arrives_us = state.clock[NOW] + way_us(facts, state, stage, facts.stage[stage]["origin"])
    schedule(state, arrives_us, REQUEST, of_epoch(stage, row["epoch"]))
    arm_timer(rules, state, stage)


@kernel
def fail(facts: Facts, rules: Rules, state: State, stage: int, kind: int) -> None:
    """Let the client of a request know that it has failed, and send it again if it may."""
    row = state.stage[stage]
    note_failure(facts, rules, state, stage, kind)
    row["trouble"] = 0
    remove_pending(state, stage)
    row["unit"] = row["record"] = -1
    if row["retries"] >= rules.failure.retry_limit:
        lapse(facts, rules, state, stage, FAILURE)
        return
    wait_us = _backoff_us(facts, rules, state, stage)
    row["retries"] += 1
    row["attempt"] = next_attempt(facts, state, stage)
    row["epoch"] += 1
    row["done_us"] = -1
    row["obligation_us"] = state.clock[NOW]
    enter(rules, state, stage, RETRYING)
    row["returning"] = RETRYING
    open_stage(state, stage)
    schedule(state, state.clock[NOW] + wait_us, RETRY, of_epoch(stage, row["epoch"]))


@kernel
def _backoff_us(facts: Facts, rules: Rules, state: State, stage: int) -> int:
    """Return how long a client waits before it sends a request again: longer each time."""
    row, failure = state.stage[stage], rules.failure
    wait_us = failure.backoff_us * failure.backoff_growth ** row["retries"]
    if len(facts.attempt_backoff) > 0:
        coin = facts.attempt_backoff[row["attempt"], stage]
        wait_us *= 1.0 - failure.backoff_jitter * coin
    return int(round(wait_us))


@kernel
def retry(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Send a request again after its wait, to the plane it first goes to."""
    row, now_us = state.stage[stage], state.clock[NOW]
    if row["status"] != ACTIVE:
        return
    row["plane"], row["passed_on"] = facts.stage_plane[stage], 0
    offer_options(facts, state, stage)
    send_request(facts, rules, state, stage)
    if now_us >= facts.stage[stage]["deadline_us"]:
        schedule(state, now_us, EXPIRE, stage)


@kernel
def time_out(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Let a client give up on a try that it has waited for long enough; the try goes on."""
    if state.stage[stage]["status"] == ACTIVE:
        set_aside(facts, rules, state, stage)
        fail(facts, rules, state, stage, TIMED_OUT)


@kernel
def stop(rules: Rules, state: State, stage: int, kind: int, word_us: int) -> None:
    """Break a try off; its client knows when word has come that far."""
    row = state.stage[stage]
    remove_pending(state, stage)
    row["trouble"] = trouble_of(kind, state_at(state, stage, state.clock[NOW]))
    row["unit"] = row["record"] = -1
    enter(rules, state, stage, RETRYING)
    at_us = state.clock[NOW] + word_us
    schedule(state, at_us, NOTICE, of_epoch(stage, row["epoch"]))


@kernel
def notice(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Let word of a failure reach the client."""
    row = state.stage[stage]
    if row["status"] == ACTIVE and row["trouble"] > 0:
        fail(facts, rules, state, stage, kind_of_trouble(row["trouble"]))


@kernel
def is_refused(facts: Facts, rules: Rules, state: State, stage: int) -> bool:
    """Refuse a request if as much waits before its plane as may; what has come back is let in."""
    row, limit = state.stage[stage], rules.failure.admission_limit
    if limit == 0 or row["returning"] not in (0, RETRYING):
        return False
    plane = state.plane[row["plane"]]
    if plane["n_queued"] + plane["n_pending"] < limit:
        return False
    plane["new_messages"] += 1
    if stage >= n_own(rules, state):
        lapse(facts, rules, state, stage, FAILURE)
    else:
        back_us = way_us(facts, state, stage, facts.stage[stage]["origin"])
        stop(rules, state, stage, REFUSED, back_us)
    return True

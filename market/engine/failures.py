"""What clients notice of failures: the log, the timer of each request, and their circuit breakers.

A client is a buyer. It keeps a breaker for each plane: after so many time-outs and refusals in a
row it sends that plane nothing for a while, and one more then opens it again.
"""

from typing import Final

from hanse.market.engine.clock import N_FAILURES, NOW
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.engine.events import TIMEOUT, of_epoch, schedule
from hanse.market.engine.failure_columns import REFUSED, TIMED_OUT
from hanse.market.engine.stage_clock import state_at
from hanse.market.engine.stale import n_own
from hanse.market.kernels import kernel

_KINDS: Final = 8


@kernel
def trouble_of(kind: int, where: int) -> int:
    """Put the kind of a failure, and the state in which it struck, into one number above 0."""
    return _KINDS * where + kind


@kernel
def kind_of_trouble(trouble: int) -> int:
    """Return the kind of a failure that its client has not heard of yet."""
    return trouble % _KINDS


@kernel
def note_failure(facts: Facts, rules: Rules, state: State, stage: int, kind: int) -> None:
    """Log a failure as its client comes to know of it, and count it against the plane."""
    row, count = state.stage[stage], state.clock[N_FAILURES]
    assert count < len(state.failure.log), "the log of failures is full"
    state.clock[N_FAILURES] = count + 1
    entry = state.failure.log[count]
    entry["at_us"], entry["stage"], entry["kind"] = state.clock[NOW], stage, kind
    entry["state"] = row["trouble"] // _KINDS
    if row["trouble"] == 0:
        entry["state"] = state_at(state, stage, state.clock[NOW])
    entry["plane"], entry["retries"] = row["plane"], row["retries"]
    if rules.failure.breaker_failures > 0 and kind in (TIMED_OUT, REFUSED):
        _count_against(facts, rules, state, stage)


@kernel
def _count_against(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    breaker = state.failure.breaker[facts.stage[stage]["buyer"], facts.stage_plane[stage]]
    breaker["n_failures"] += 1
    if breaker["n_failures"] >= rules.failure.breaker_failures:
        breaker["open_until_us"] = state.clock[NOW] + rules.failure.breaker_cooldown_us
        breaker["n_failures"] = rules.failure.breaker_failures - 1


@kernel
def note_success(facts: Facts, rules: Rules, state: State, stage: int) -> None:
    """Let a result in time clear what its client has counted against the plane."""
    if rules.failure.breaker_failures > 0:
        state.failure.breaker[facts.stage[stage]["buyer"], facts.stage_plane[stage]][
            "n_failures"
        ] = 0


@kernel
def is_circuit_open(facts: Facts, rules: Rules, state: State, stage: int) -> bool:
    """Say whether the client of a stage sends its plane nothing now."""
    if rules.failure.breaker_failures == 0:
        return False
    breaker = state.failure.breaker[facts.stage[stage]["buyer"], facts.stage_plane[stage]]
    return bool(breaker["open_until_us"] > state.clock[NOW])


@kernel
def arm_timer(rules: Rules, state: State, stage: int) -> None:
    """Let the client of a request that sets out now wait for its result no longer than it will."""
    if rules.failure.timeout_us > 0:
        at_us = state.clock[NOW] + rules.failure.timeout_us
        schedule(state, at_us, TIMEOUT, of_epoch(stage, state.stage[stage]["epoch"]))


@kernel
def work_until_error(facts: Facts, rules: Rules, state: State, stage: int) -> int:
    """Return after how much work an attempt fails by an error of software, or -1.

    It fails if its coin lies below the share; then how far below is uniform, too.
    """
    share = rules.failure.error_share
    if share == 0.0 or stage >= n_own(rules, state):
        return -1
    coin = facts.attempt_error[state.stage[stage]["attempt"], stage]
    return int(facts.stage[stage]["work_us"] * (coin / share)) if coin < share else -1

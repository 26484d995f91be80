"""The one place that draws the jobs of each family: when they come and what work they bring."""

from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.market.units import BYTES_PER_GB, US_PER_S, Floats, Integers
from hanse.scenarios.draw_arrivals import daily_instants, renewal_instants
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream
from hanse.scenarios.traces import Trace

FAMILIES: Final = ("model_call", "batch")
STAGES_MAX: Final = 2
_KINDS: Final = ("conversation", "code")
_NORMAL_P95: Final = 1.6448536269514722
_BATCH_S_MIN: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """The jobs of one family, in any order.

    Attributes
    ----------
    arrival_us, deadline_us : shape (n_jobs,), instants.
    n_stages : shape (n_jobs,), 1 or 2.
    work_us, input_bytes, context_tokens, tool_us : shape (n_jobs, STAGES_MAX); what stands beyond
        `n_stages` is not used.
    """

    arrival_us: Integers
    deadline_us: Integers
    n_stages: Integers
    work_us: Integers
    input_bytes: Integers
    context_tokens: Integers
    tool_us: Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Calls:
    """Instants and tokens of model calls; tokens have shape (n_jobs, STAGES_MAX)."""

    arrival_us: Integers
    context_tokens: Integers
    generated_tokens: Integers


def draw_tapes(scenario: Scenario, seed: int, trace: Trace | None) -> tuple[Tape, ...]:
    """Draw one tape per family, in the order of `FAMILIES`."""
    return draw_model_calls(scenario, seed, trace), draw_batch(scenario, seed)


def draw_model_calls(scenario: Scenario, seed: int, trace: Trace | None = None) -> Tape:
    """Draw model-call jobs: a mixture of conversation and code, or the calls of a trace."""
    if trace is None:
        calls = _joined([_draw_kind(scenario, seed, kind) for kind in _KINDS])
    else:
        horizon_us = scenario.microseconds("measurement.horizon_s")
        calls = _replayed(trace, stream(seed, "trace.second"), horizon_us)
    n_jobs = len(calls.arrival_us)
    prefill_s = calls.context_tokens / scenario.number("load.prefill_tokens_per_gpu_s")
    decode_s = calls.generated_tokens / scenario.number("load.decode_tokens_per_gpu_s")
    input_bytes = calls.context_tokens * scenario.number("load.bytes_per_token")
    stops = stream(seed, "model_call.stages").random(n_jobs)
    return Tape(
        arrival_us=calls.arrival_us,
        deadline_us=calls.arrival_us + scenario.microseconds("load.model_call_deadline_s"),
        n_stages=np.where(stops < scenario.number("load.one_call_share"), 1, 2),
        work_us=_microseconds(prefill_s + decode_s),
        input_bytes=_whole(input_bytes),
        context_tokens=_after_first(_rebuilt_tokens(scenario, calls)),
        tool_us=_after_first(_draw_tool_us(scenario, stream(seed, "model_call.tool"), n_jobs)),
    )


def draw_batch(scenario: Scenario, seed: int) -> Tape:
    """Draw batch jobs of one stage, log-normal durations cut to [1 s, horizon]."""
    horizon_s = scenario.number("measurement.horizon_s")
    arrival_s = renewal_instants(
        stream(seed, "batch.arrival"),
        expected=scenario.number("load.batch_jobs"),
        cv=scenario.number("load.batch_arrival_cv"),
        horizon_s=horizon_s,
    )
    n_jobs = len(arrival_s)
    duration_s = draw_durations(scenario, stream(seed, "batch.duration"), n_jobs)
    duration_s = np.clip(duration_s, _BATCH_S_MIN, horizon_s)
    patience_s: Floats = np.maximum(
        scenario.number("load.batch_deadline_s"),
        scenario.number("load.batch_deadline_multiple") * duration_s,
    )
    arrival_us = _arrival_us(arrival_s)
    spread = stream(seed, "batch.input").standard_normal(n_jobs)
    input_gb = scenario.number("load.batch_input_gb") * np.exp(
        scenario.number("load.batch_input_sigma") * spread
    )
    nothing = np.zeros((n_jobs, STAGES_MAX), dtype=np.int64)
    return Tape(
        arrival_us=arrival_us,
        deadline_us=arrival_us + _whole(patience_s * US_PER_S),
        n_stages=np.ones(n_jobs, dtype=np.int64),
        work_us=_first_only(_microseconds(duration_s)),
        input_bytes=_first_only(_whole(input_gb * BYTES_PER_GB)),
        context_tokens=nothing,
        tool_us=nothing,
    )


def draw_durations(scenario: Scenario, rng: np.random.Generator, n_jobs: int) -> Floats:
    """Draw durations of batch work in seconds, before any cap."""
    mu = scenario.number("load.batch_duration_mu")
    return rng.lognormal(mu, scenario.number("load.batch_duration_sigma"), n_jobs)


def draw_tokens(scenario: Scenario, seed: int, kind: str, *, part: str, n_jobs: int) -> Integers:
    """Draw the tokens of a kind's prompts or answers, shape (n_jobs, STAGES_MAX), each >= 1."""
    key = f"load.{kind}_{part}"
    tokens = stream(seed, f"{kind}.{part}").lognormal(
        scenario.number(f"{key}_mu"), scenario.number(f"{key}_sigma"), (n_jobs, STAGES_MAX)
    )
    return _whole(np.clip(tokens, 1.0, scenario.count("load.tokens_max")))


def _draw_kind(scenario: Scenario, seed: int, kind: str) -> _Calls:
    horizon_s = scenario.number("measurement.horizon_s")
    share = scenario.number("load.conversation_share")
    instants_s = renewal_instants(
        stream(seed, f"{kind}.arrival"),
        expected=scenario.number("load.model_calls") * (share if kind == _KINDS[0] else 1 - share),
        cv=scenario.number(f"load.{kind}_arrival_cv"),
        horizon_s=horizon_s,
    )
    if scenario.flag("load.daily_profile"):
        instants_s = daily_instants(
            instants_s,
            horizon_s=horizon_s,
            kappa=scenario.number("load.daily_kappa"),
            peak_hour=scenario.number("load.daily_peak_hour"),
        )
    n_jobs = len(instants_s)
    return _Calls(
        arrival_us=_arrival_us(instants_s),
        context_tokens=draw_tokens(scenario, seed, kind, part="context", n_jobs=n_jobs),
        generated_tokens=draw_tokens(scenario, seed, kind, part="generated", n_jobs=n_jobs),
    )


def _joined(kinds: list[_Calls]) -> _Calls:
    return _Calls(
        arrival_us=np.concatenate([one.arrival_us for one in kinds]),
        context_tokens=np.concatenate([one.context_tokens for one in kinds]),
        generated_tokens=np.concatenate([one.generated_tokens for one in kinds]),
    )


def _replayed(trace: Trace, rng: np.random.Generator, horizon_us: int) -> _Calls:
    """Take the trace's calls as first stages; second stages resemble calls of the same trace."""
    first = np.arange(int(np.searchsorted(trace.arrival_us, horizon_us)))
    second = rng.integers(len(first), size=len(first))
    rows = np.column_stack([first, second])
    return _Calls(
        arrival_us=trace.arrival_us[first],
        context_tokens=trace.context_tokens[rows],
        generated_tokens=trace.generated_tokens[rows],
    )


def _rebuilt_tokens(scenario: Scenario, calls: _Calls) -> Integers:
    """Return what a second stage must rebuild elsewhere: prompt and answer of the first."""
    first = calls.context_tokens[:, 0] + calls.generated_tokens[:, 0]
    return _whole(first * scenario.number("load.rebuilt_context_share"))


def _draw_tool_us(scenario: Scenario, rng: np.random.Generator, n_jobs: int) -> Integers:
    mu = log(scenario.number("load.tool_median_s"))
    sigma = (log(scenario.number("load.tool_p95_s")) - mu) / _NORMAL_P95
    return _whole(rng.lognormal(mu, sigma, n_jobs) * US_PER_S)


def _first_only(column: Integers) -> Integers:
    return np.column_stack([column, np.zeros_like(column)])


def _after_first(column: Integers) -> Integers:
    return np.column_stack([np.zeros_like(column), column])


def _microseconds(seconds: Floats) -> Integers:
    """Round to microseconds, at least one, because no work ends when it starts."""
    return np.maximum(1, _whole(seconds * US_PER_S))


def _arrival_us(instants_s: Floats) -> Integers:
    """Cut to whole microseconds, downwards, so that every arrival stays inside the horizon."""
    return np.floor(instants_s * US_PER_S).astype(np.int64)


def _whole(column: NDArray[np.floating]) -> Integers:
    whole: Integers = np.rint(column).astype(np.int64)
    return whole

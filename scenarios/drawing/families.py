"""The one place for the families of jobs, and the one that draws those that published traces have.

A family whose number of jobs is 0 does not occur in a world at all, unless a trace brings it in;
`model_call` and `batch` always do.
"""

from typing import Final

import numpy as np

from hanse.market.units import BYTES_PER_GB, US_PER_S, Floats, Integers
from hanse.scenarios.drawing.agentic import draw_agentic
from hanse.scenarios.drawing.calls import (
    Tokens,
    call_bytes,
    call_work_us,
    draw_calls,
    draw_tool_us,
    inherited_tokens,
)
from hanse.scenarios.drawing.graphs import Graphs, Link, Step, lay_out
from hanse.scenarios.drawing.multimodal import draw_multimodal
from hanse.scenarios.drawing.rounds import draw_hybrid, draw_pipeline, draw_training
from hanse.scenarios.drawing.shocks import draw_surge_us
from hanse.scenarios.drawing.tapes import (
    Stages,
    Tape,
    draw_arrivals,
    microseconds,
    patient_tape,
    tape_of,
    whole,
)
from hanse.scenarios.drawing.traces import Trace
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream

FAMILIES: Final = (
    "model_call",
    "batch",
    "inference",
    "agentic",
    "multimodal",
    "training",
    "hybrid",
    "pipeline",
)
_KINDS: Final = ("conversation", "code")
_DRAWN: Final = {
    "agentic": draw_agentic,
    "multimodal": draw_multimodal,
    "training": draw_training,
    "hybrid": draw_hybrid,
    "pipeline": draw_pipeline,
}
_BATCH_S_MIN: Final = 1.0


def draw_tapes(scenario: Scenario, seed: int, trace: Trace | None) -> dict[str, Tape]:
    """Draw one tape per family that occurs, in the order of `FAMILIES`."""
    replaced = {} if trace is None else {trace.family: trace}
    tapes = {
        "model_call": draw_model_calls(scenario, seed, replaced.get("model_call")),
        "batch": draw_batch(scenario, seed, replaced.get("batch")),
    }
    if "inference" in replaced or occurs(scenario, "inference"):
        tapes["inference"] = draw_inference(scenario, seed, replaced.get("inference"))
    drawn = {name: draw for name, draw in _DRAWN.items() if occurs(scenario, name)}
    return tapes | {name: draw(scenario, seed) for name, draw in drawn.items()}


def occurs(scenario: Scenario, family: str) -> bool:
    """Say whether a scenario asks for jobs of a family."""
    return scenario.number(f"load.{family}_jobs") > 0


def draw_model_calls(scenario: Scenario, seed: int, trace: Trace | None = None) -> Tape:
    """Draw model-call jobs: a mixture of conversation and code, or the calls of a trace.

    A job has one call, or two with a tool between them.
    """
    if trace is None:
        kinds = [draw_kind(scenario, seed, kind) for kind in _KINDS]
        kinds += [_draw_surge(scenario, seed)] if scenario.count("shock.surge_jobs") else []
        arrival_us = np.concatenate([instants for instants, _ in kinds])
        context, generated = (
            np.concatenate([getattr(tokens, part) for _, tokens in kinds])
            for part in ("context", "generated")
        )
    else:
        first = _within_horizon(scenario, trace)
        # Second calls resemble others of the trace, which does not say which calls belong together.
        second = stream(seed, "trace.second").integers(len(first), size=len(first))
        rows = np.column_stack([first, second])
        arrival_us = trace.arrival_us[first]
        context, generated = trace.context_tokens[rows], trace.generated_tokens[rows]
    n_jobs = len(arrival_us)
    stops = stream(seed, "model_call.stages").random(n_jobs) < scenario.number(
        "load.one_call_share"
    )
    graphs = _one_or_two(stops)
    is_call = np.column_stack([np.ones(n_jobs, bool), ~stops])
    tokens = Tokens(context=context[is_call], generated=generated[is_call])
    tool_us = draw_tool_us(scenario, stream(seed, "model_call.tool"), n_jobs)
    stages = Stages(
        work_us=call_work_us(scenario, tokens),
        input_bytes=call_bytes(scenario, tokens),
        context_tokens=inherited_tokens(scenario, graphs, tokens),
        tool_us=tool_us[graphs.job],
    )
    deadline_us = scenario.microseconds("load.model_call_deadline_s")
    return tape_of(arrival_us, graphs, stages, patience_us=np.full(n_jobs, deadline_us))


def draw_inference(scenario: Scenario, seed: int, trace: Trace | None = None) -> Tape:
    """Draw jobs of one call each, with long prompts, or take them from a trace."""
    if trace is None:
        arrival_us = draw_arrivals(scenario, seed, "inference", by_day=True)
        shape = (len(arrival_us),)
        tokens = draw_calls(scenario, seed, "long", name="inference", shape=shape)
    else:
        kept = _within_horizon(scenario, trace)
        arrival_us = trace.arrival_us[kept]
        tokens = Tokens(context=trace.context_tokens[kept], generated=trace.generated_tokens[kept])
    stages = Stages(
        work_us=call_work_us(scenario, tokens), input_bytes=call_bytes(scenario, tokens)
    )
    graphs = _single(len(arrival_us))
    return patient_tape(scenario, "inference", arrival_us, graphs=graphs, stages=stages)


def draw_batch(scenario: Scenario, seed: int, trace: Trace | None = None) -> Tape:
    """Draw batch jobs, log-normal durations cut to [1 s, horizon], or take them from a trace.

    A drawn job has one stage. One of a trace has a stage for each unit that it asked for, all as
    long as the job; nothing holds them to one node or to one start.
    """
    horizon_s = scenario.number("measurement.horizon_s")
    if trace is None:
        arrival_us, n_units = draw_arrivals(scenario, seed, "batch"), None
    else:
        kept = _within_horizon(scenario, trace)
        arrival_us, n_units = trace.arrival_us[kept], trace.n_units[kept]
    n_jobs = len(arrival_us)
    duration_s = draw_durations(scenario, stream(seed, "batch.duration"), n_jobs)
    if trace is not None and len(trace.duration_us):
        duration_s = trace.duration_us[kept] / US_PER_S
    duration_s = np.clip(duration_s, _BATCH_S_MIN, horizon_s)
    patience_s: Floats = np.maximum(
        scenario.number("load.batch_deadline_s"),
        scenario.number("load.batch_deadline_multiple") * duration_s,
    )
    spread = stream(seed, "batch.input").standard_normal(n_jobs)
    input_gb = scenario.number("load.batch_input_gb") * np.exp(
        scenario.number("load.batch_input_sigma") * spread
    )
    graphs = _single(n_jobs) if n_units is None else lay_out(n_jobs, [Step(role=0, width=n_units)])
    stages = Stages(
        work_us=microseconds(duration_s)[graphs.job],
        input_bytes=whole(input_gb * BYTES_PER_GB)[graphs.job],
    )
    return tape_of(arrival_us, graphs, stages, patience_us=whole(patience_s * US_PER_S))


def draw_durations(scenario: Scenario, rng: np.random.Generator, n_jobs: int) -> Floats:
    """Draw durations of batch work in seconds, before any cap."""
    mu = scenario.number("load.batch_duration_mu")
    return rng.lognormal(mu, scenario.number("load.batch_duration_sigma"), n_jobs)


def draw_kind(scenario: Scenario, seed: int, kind: str) -> tuple[Integers, Tokens]:
    """Draw the calls of one kind: when they come, and the tokens of up to two calls of each job."""
    share = scenario.number("load.conversation_share")
    expected = scenario.number("load.model_calls") * (share if kind == _KINDS[0] else 1 - share)
    arrival_us = draw_arrivals(scenario, seed, kind, expected=expected, by_day=True)
    return arrival_us, draw_calls(scenario, seed, kind, name=kind, shape=(len(arrival_us), 2))


def _draw_surge(scenario: Scenario, seed: int) -> tuple[Integers, Tokens]:
    """Draw the calls of a surge, in conversations like all others."""
    arrival_us = draw_surge_us(scenario, seed)
    shape = (len(arrival_us), 2)
    return arrival_us, draw_calls(scenario, seed, _KINDS[0], name="surge", shape=shape)


def _within_horizon(scenario: Scenario, trace: Trace) -> Integers:
    horizon_us = scenario.microseconds("measurement.horizon_s")
    return np.arange(int(np.searchsorted(trace.arrival_us, horizon_us)))


def _single(n_jobs: int) -> Graphs:
    return lay_out(n_jobs, [Step(role=0, width=np.ones(n_jobs, np.int64))])


def _one_or_two(stops: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Graphs:
    first = Step(role=0, width=np.ones(len(stops), np.int64))
    second = Step(role=0, width=(~stops).astype(np.int64), link=Link.AFTER_EACH)
    return lay_out(len(stops), [first, second])

"""The one place that draws calls of models and tools: tokens, the work they are, and the waits."""

from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np

from hanse.market.units import US_PER_S, Integers
from hanse.scenarios.drawing.graphs import Graphs
from hanse.scenarios.drawing.tapes import microseconds, whole
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream

_NORMAL_P95: Final = 1.6448536269514722


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What calls read and write; both columns have one shape."""

    context: Integers
    generated: Integers


def draw_tokens(
    scenario: Scenario, seed: int, kind: str, *, part: str, shape: tuple[int, ...], name: str = ""
) -> Integers:
    """Draw the tokens of a kind's prompts or answers, log-normal, each >= 1.

    Parameters
    ----------
    name : of the stream, if not the kind: several families may share a law, never their luck.
    """
    key = f"load.{kind}_{part}"
    tokens = stream(seed, f"{name or kind}.{part}").lognormal(
        scenario.number(f"{key}_mu"), scenario.number(f"{key}_sigma"), shape
    )
    return whole(np.clip(tokens, 1.0, scenario.count("load.tokens_max")))


def draw_calls(
    scenario: Scenario, seed: int, kind: str, *, name: str, shape: tuple[int, ...]
) -> Tokens:
    """Draw prompts and answers of one kind for the calls of a family."""
    context, generated = (
        draw_tokens(scenario, seed, kind, part=part, shape=shape, name=name)
        for part in ("context", "generated")
    )
    return Tokens(context=context, generated=generated)


def call_work_us(scenario: Scenario, tokens: Tokens) -> Integers:
    """Return the accelerator time of calls: reading prompts and writing answers, at their rates."""
    prefill_s = tokens.context / scenario.number("load.prefill_tokens_per_gpu_s")
    decode_s = tokens.generated / scenario.number("load.decode_tokens_per_gpu_s")
    return microseconds(prefill_s + decode_s)


def call_bytes(scenario: Scenario, tokens: Tokens) -> Integers:
    """Return the size of prompts."""
    return whole(tokens.context * scenario.number("load.bytes_per_token"))


def rebuilt_tokens(scenario: Scenario, tokens: Integers) -> Integers:
    """Return what of earlier prompts and answers must be rebuilt where it is not at hand."""
    return whole(tokens * scenario.number("load.rebuilt_context_share"))


def inherited_tokens(scenario: Scenario, graphs: Graphs, tokens: Tokens) -> Integers:
    """Return the context of each stage: prompts and answers of all the stages that it follows."""
    held = tokens.context + tokens.generated
    before = np.zeros(len(held), np.int64)
    np.add.at(before, graphs.edge_to, held[graphs.edge_from])
    return rebuilt_tokens(scenario, before)


def draw_tool_us(scenario: Scenario, rng: np.random.Generator, size: int) -> Integers:
    """Draw waits for tools: log-normal, by median and 95th percentile."""
    mu = log(scenario.number("load.tool_median_s"))
    return whole(rng.lognormal(mu, tool_sigma(scenario), size) * US_PER_S)


def tool_sigma(scenario: Scenario) -> float:
    """Return the spread of the logarithm of a wait for a tool."""
    mu = log(scenario.number("load.tool_median_s"))
    return (log(scenario.number("load.tool_p95_s")) - mu) / _NORMAL_P95

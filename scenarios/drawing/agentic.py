"""The one place that draws agentic workflows: planners, agents at work with tools, and evaluators.

A job of one call is an answer, one of two a plan and an answer. With three calls or more there are
rounds: a planner, agents side by side, and an evaluator that may ask for another round. Agents
choose before each call whether they turn to a tool, to a retriever or to a memory, or skip all of
them; a call may fail, and is then made again. Tools, retrievers and memories take no accelerator:
they are waits.
"""

from collections.abc import Iterator
from enum import IntEnum

import numpy as np

from hanse.market.units import US_PER_S, Flags, Floats, Integers
from hanse.scenarios.drawing.calls import (
    Tokens,
    call_bytes,
    call_work_us,
    draw_calls,
    inherited_tokens,
    tool_sigma,
)
from hanse.scenarios.drawing.graphs import Graphs, Step, lay_out, threads
from hanse.scenarios.drawing.tapes import Stages, Tape, draw_arrivals, patient_tape, whole
from hanse.scenarios.growth.induced_demand import whole_steps
from hanse.scenarios.parameters import parameter
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream

_TAIL_FROM = 3


class Role(IntEnum):
    """What a call is made for."""

    PLANNER = 0
    AGENT = 1
    EVALUATOR = 2


def draw_agentic(scenario: Scenario, seed: int) -> Tape:
    """Draw workflows whose number of calls is one, two, or heavy-tailed from three on."""
    arrival_us = draw_arrivals(scenario, seed, "agentic", by_day=True)
    graphs = draw_workflows(scenario, seed, len(arrival_us))
    shape = (len(graphs.role),)
    tokens = draw_calls(scenario, seed, "long", name="agentic", shape=shape)
    again = stream(seed, "agentic.repeat").random(shape) < scenario.number(
        "load.agentic_repeat_share"
    )
    tokens = _made_again(tokens, graphs.follows, again)
    stages = Stages(
        work_us=call_work_us(scenario, tokens),
        input_bytes=call_bytes(scenario, tokens),
        context_tokens=inherited_tokens(scenario, graphs, tokens),
        tool_us=_draw_waits_us(scenario, seed, graphs),
    )
    return patient_tape(scenario, "agentic", arrival_us, graphs=graphs, stages=stages)


def draw_workflows(scenario: Scenario, seed: int, n_jobs: int) -> Graphs:
    """Draw the graphs: calls, rounds and agents of each job."""
    calls = draw_calls_per_job(scenario, stream(seed, "agentic.calls"), n_jobs)
    replan = scenario.number("load.agentic_replan_share")
    wanted = stream(seed, "agentic.rounds").geometric(1.0 - replan, n_jobs)
    rounds = np.minimum(wanted, np.maximum(calls // _TAIL_FROM, 1))
    rng = stream(seed, "agentic.agents")
    agents_max = scenario.count("load.agentic_agents_max")
    return lay_out(n_jobs, _steps(rng, calls, rounds, agents_max=agents_max))


def _steps(
    rng: np.random.Generator, calls: Integers, rounds: Integers, *, agents_max: int
) -> Iterator[Step]:
    """Yield the steps of each round; the calls that agents make are shared out over the rounds."""
    is_long = calls >= _TAIL_FROM
    for_agents = np.where(is_long, calls - 2 * rounds, 1)
    for n in range(int(rounds.max(initial=0))):
        on = n < rounds
        share = np.where(on, for_agents // rounds + (n < for_agents % rounds), 0)
        agents = rng.integers(1, agents_max + 1, len(calls))
        yield Step(role=Role.PLANNER, width=(on & (calls > 1)).astype(np.int64))
        yield from threads(Role.AGENT, calls=share, side_by_side=agents)
        yield Step(role=Role.EVALUATOR, width=(on & is_long).astype(np.int64))


def draw_calls_per_job(scenario: Scenario, rng: np.random.Generator, n_jobs: int) -> Integers:
    """Draw calls per job: 1 and 2 by their shares, else from a discrete Pareto law from 3 on.

    Of the jobs with three calls or more, a share (3 / n) ** exponent has at least n; what is longer
    than `load.agentic_calls_max` is cut to it. Where decoding is quicker than usual people ask for
    more steps, by `load.step_elasticity`.
    """
    one = scenario.number("load.one_call_share")
    two = scenario.number("load.agentic_two_call_share")
    chance = rng.random(n_jobs)
    exponent = scenario.number("load.agentic_tail_exponent")
    tail = np.floor(_TAIL_FROM * (1.0 - rng.random(n_jobs)) ** (-1.0 / exponent))
    tail = np.minimum(tail, scenario.count("load.agentic_calls_max"))
    calls = np.where(chance < one, 1, np.where(chance < one + two, 2, tail)).astype(np.int64)
    decode = "load.decode_tokens_per_gpu_s"
    usual = parameter(decode).default
    assert isinstance(usual, float)
    return whole_steps(
        calls,
        speed_up=scenario.number(decode) / usual,
        elasticity=scenario.number("load.step_elasticity"),
        most=scenario.count("load.agentic_calls_max"),
    )


def _made_again(tokens: Tokens, follows: Integers, again: Flags) -> Tokens:
    """Give a call that is made again the tokens of the one that failed, however often it does."""
    own = np.arange(len(follows))
    source = np.where(again & (follows >= 0), follows, own)
    while (source != source[source]).any():
        source = source[source]
    return Tokens(context=tokens.context[source], generated=tokens.generated[source])


def _draw_waits_us(scenario: Scenario, seed: int, graphs: Graphs) -> Integers:
    """Draw what agents turn to before each call and how long it takes; other roles do not wait."""
    size = len(graphs.role)
    weight = np.array(scenario.numbers("load.agentic_choice_weights"))
    edges = np.cumsum(weight) / weight.sum()
    choice = np.searchsorted(edges[:-1], stream(seed, "agentic.choice").random(size), side="right")
    median_s = np.array(
        [
            scenario.number("load.tool_median_s"),
            scenario.number("load.agentic_retriever_s"),
            scenario.number("load.agentic_memory_s"),
            0.0,
        ]
    )
    spread: Floats = stream(seed, "agentic.wait").lognormal(0.0, tool_sigma(scenario), size)
    wait_us = whole(median_s[choice] * spread * US_PER_S)
    return np.where(graphs.role == Role.AGENT, wait_us, 0)

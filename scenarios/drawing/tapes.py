"""The one place for the jobs of a family before they meet those of others, and for joining them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.market.units import US_PER_S, Floats, Integers
from hanse.scenarios.drawing.arrivals import daily_instants, renewal_instants, stepped_instants
from hanse.scenarios.drawing.graphs import Graphs, longest_us
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream

ANY: Final = -1
"""An accelerator class or a region that a stage leaves open."""

_OF_JOBS: Final = ("arrival_us", "deadline_us", "n_stages")
_OF_EDGES: Final = ("edge_from", "edge_to")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """The jobs of one family, in any order; their stages follow one another job by job.

    Attributes
    ----------
    arrival_us, deadline_us : shape (n_jobs,), instants.
    n_stages : shape (n_jobs,), at least 1.
    work_us, input_bytes, context_tokens, tool_us : shape (n_stages of all jobs,).
    accelerator, region : of each stage, what it is bound to, or `ANY`.
    edge_from, edge_to : shape (n_edges,), stages of one job each, from a lower to a higher one.
    """

    arrival_us: Integers
    deadline_us: Integers
    n_stages: Integers
    work_us: Integers
    input_bytes: Integers
    context_tokens: Integers
    tool_us: Integers
    accelerator: Integers
    region: Integers
    edge_from: Integers
    edge_to: Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What was drawn for the stages of some graphs; what is left out is nothing, or open.

    Attributes
    ----------
    tool_us : stages that follow no other wait for no tool, whatever stands here.
    """

    work_us: Integers
    input_bytes: Integers | None = None
    context_tokens: Integers | None = None
    tool_us: Integers | None = None
    accelerator: Integers | None = None
    region: Integers | None = None


def tape_of(arrival_us: Integers, graphs: Graphs, stages: Stages, *, patience_us: Integers) -> Tape:
    """Put jobs on a tape.

    Parameters
    ----------
    patience_us : shape (n_jobs,), from arrival to deadline.
    """
    nothing = np.zeros(len(stages.work_us), np.int64)
    anything = np.full(len(stages.work_us), ANY)
    return Tape(
        arrival_us=arrival_us,
        deadline_us=arrival_us + patience_us,
        n_stages=graphs.n_stages,
        work_us=stages.work_us,
        input_bytes=nothing if stages.input_bytes is None else stages.input_bytes,
        context_tokens=nothing if stages.context_tokens is None else stages.context_tokens,
        tool_us=_waits_us(graphs, stages),
        accelerator=anything if stages.accelerator is None else stages.accelerator,
        region=anything if stages.region is None else stages.region,
        edge_from=graphs.edge_from,
        edge_to=graphs.edge_to,
    )


def patient_tape(
    scenario: Scenario, family: str, arrival_us: Integers, *, graphs: Graphs, stages: Stages
) -> Tape:
    """Put jobs on a tape that may take a time, or a multiple of their longest path if it is more.

    The longest path counts work and tools alone, as if everything lay in one place.
    """
    path_us = longest_us(graphs, stages.work_us + _waits_us(graphs, stages))
    multiple = scenario.number(f"load.{family}_deadline_multiple")
    least_us = scenario.microseconds(f"load.{family}_deadline_s")
    patience_us = np.maximum(least_us, whole(multiple * path_us))
    return tape_of(arrival_us, graphs, stages, patience_us=patience_us)


def draw_arrivals(
    scenario: Scenario,
    seed: int,
    family: str,
    *,
    expected: float | None = None,
    by_day: bool = False,
) -> Integers:
    """Draw when the jobs of a family arrive, by its expected number and variation of gaps.

    Parameters
    ----------
    expected : at a rate of 1 throughout; `load.FAMILY_jobs` if it is not given.
    by_day : whether people ask for them, so that they follow the hours of the day if any do.
    """
    horizon_s = scenario.number("measurement.horizon_s")
    expected = scenario.number(f"load.{family}_jobs") if expected is None else expected
    rates = scenario.numbers("load.rate_steps")
    instants_s = renewal_instants(
        stream(seed, f"{family}.arrival"),
        expected=expected * (sum(rates) / len(rates)),
        cv=scenario.number(f"load.{family}_arrival_cv"),
        horizon_s=horizon_s,
    )
    if len(rates) > 1 and len(instants_s):
        instants_s = stepped_instants(instants_s, horizon_s=horizon_s, rates=rates)
    if by_day and scenario.flag("load.daily_profile"):
        instants_s = daily_instants(
            instants_s,
            horizon_s=horizon_s,
            kappa=scenario.number("load.daily_kappa"),
            peak_hour=scenario.number("load.daily_peak_hour"),
        )
    return cut_us(instants_s)


def joined(tapes: Sequence[Tape]) -> tuple[Tape, Integers]:
    """Join tapes in order of arrival, ties by tape and index; also return the tape of each job."""
    family = np.repeat(np.arange(len(tapes)), [len(tape.arrival_us) for tape in tapes])
    columns = {
        field.name: np.concatenate([getattr(tape, field.name) for tape in tapes])
        for field in fields(Tape)
    }
    size = np.array([len(tape.work_us) for tape in tapes])
    shift = np.repeat(np.cumsum(size) - size, [len(tape.edge_to) for tape in tapes])
    for name in _OF_EDGES:
        columns[name] = columns[name] + shift
    order = columns["arrival_us"].argsort(kind="stable")
    return _ordered(columns, order), family[order]


def microseconds(seconds: Floats) -> Integers:
    """Round to microseconds, at least one, because no work ends when it starts."""
    return np.maximum(1, whole(seconds * US_PER_S))


def cut_us(instants_s: Floats) -> Integers:
    """Cut to whole microseconds, downwards, so that every arrival stays inside the horizon."""
    return np.floor(instants_s * US_PER_S).astype(np.int64)


def whole(column: NDArray[np.floating]) -> Integers:
    """Round to whole numbers."""
    rounded: Integers = np.rint(column).astype(np.int64)
    return rounded


def _waits_us(graphs: Graphs, stages: Stages) -> Integers:
    if stages.tool_us is None:
        return np.zeros(len(stages.work_us), np.int64)
    return np.where(graphs.is_first, 0, stages.tool_us)


def _ordered(columns: dict[str, Integers], order: Integers) -> Tape:
    """Bring jobs into an order, and their stages and edges with them."""
    n_stages = columns["n_stages"]
    first = np.cumsum(n_stages) - n_stages
    n_there = n_stages[order]
    begin = np.cumsum(n_there) - n_there
    stage = np.repeat(first[order] - begin, n_there) + np.arange(int(n_there.sum()))
    place = np.empty_like(stage)
    place[stage] = np.arange(len(stage))
    edge_from, edge_to = (place[columns[name]] for name in _OF_EDGES)
    edge = np.lexsort((edge_from, edge_to))
    moved = {
        name: column[order if name in _OF_JOBS else stage]
        for name, column in columns.items()
        if name not in _OF_EDGES
    }
    return Tape(**moved, edge_from=edge_from[edge], edge_to=edge_to[edge])

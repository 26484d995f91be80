"""The planner: a clairvoyant, fractional upper bound on welfare, by linear programming.

It knows all arrivals, splits work over units as it likes, pays nothing for control and rebuilds no
context. What it keeps is what no regime escapes: law, class, units less residual work, the order of
a job's stages, and the ways of data. docs/why/the-planner-is-an-upper-bound.md argues each
coefficient. It needs no regime: of the facts it reads none that depends on where planes sit.
"""

from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

from hanse.market.engine.bits import unpack
from hanse.market.engine.columns import Facts, Rows
from hanse.market.engine.stage_graph import earliest_start_us, is_root
from hanse.market.terms import Terms
from hanse.market.units import S_PER_HOUR, US_PER_HOUR, US_PER_S, Floats, Integers

OPTIMAL: Final = 0
"""`Planner.status` of a solved program; others are those of `scipy.optimize.linprog`."""

SHORTFALL: Final = 1e-5
"""Share of capacity taken off to see what less of it loses: well above the solver's tolerance."""


class Unsolved(RuntimeError):
    """The solver gave up; the message is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """The bound on welfare of one world, with the prices that prove it.

    It bounds the sum of `Welfare.welfare_usd` over all rows: families and what belongs to none.

    Attributes
    ----------
    bound_usd : the bound, worked out from the dual prices, so that it holds to rounding whatever
        the tolerance of the solver. Standing cost is taken off.
    primal_usd : the welfare of the fractional plan; the bound exceeds it by no more than tolerance.
    standing_usd : energy that the fleet draws whatever is decided: idle, and for residual work.
    price_usd_per_gpu_s : shape (n_sinks, n_bins), what one more second of a unit would add; one of
        several where the optimum is degenerate, 0 where nothing of worth could run.
    edges_us : shape (n_bins + 1,), from 0 to the horizon.
    n_columns : (stage, sink, bin) triples in the program.
    seconds : wall time taken.
    status : `OPTIMAL`.
    """

    bound_usd: float
    primal_usd: float
    standing_usd: float
    price_usd_per_gpu_s: Floats
    edges_us: Integers
    n_columns: int
    seconds: float
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """The variables: seconds of a stage's payload worked at a sink in a bin.

    `gain` is in USD per unit-hour, so that its size suits the tolerances of the solver; `cap_s`
    is how much of the bin lies in the stage's window.
    """

    stage: Integers
    sink: Integers
    bin: Integers
    gain: Floats
    cap_s: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    """Maximise `gain` x subject to `matrix` x <= `limit_s` and 0 <= x <= `cap_s`.

    `price_of` is the row of each (sink, bin) that has one, as a flat index.
    """

    columns: _Columns
    matrix: csr_array
    limit_s: Floats
    price_of: Integers


def planner_bound(
    facts: Facts, terms: Terms, free_from_us: Integers, *, horizon_us: int, n_bins: int = 24
) -> Planner:
    """Bound the welfare that any regime, or the reference, can reach on a world.

    More bins, each the halves of others, tighten the bound and cost time. It assumes what worlds
    have: prices of energy, cores and egress that are not negative, worth that does not rise.

    Parameters
    ----------
    facts : the facts of a world, whichever regime they were lowered for.
    free_from_us : shape (n_units,), when residual work leaves each unit; 0 where there is none.
    n_bins : equal parts that the horizon is cut into, > 0.

    Raises
    ------
    Unsolved
        If the solver ends without an optimum.
    """
    started = perf_counter()
    edges_us = np.rint(np.linspace(0, horizon_us, n_bins + 1)).astype(np.int64)
    draw = _standing_usd_per_us(facts, terms)
    standing_usd = _standing_usd(facts, draw, free_from_us, horizon_us)
    constant_usd = _workless_usd(facts, horizon_us) - standing_usd
    columns = _columns(facts, draw, edges_us)
    capacity_s = _capacity_s(facts, free_from_us, edges_us)
    price = np.zeros(capacity_s.shape)
    primal_usd = bound_usd = constant_usd
    if len(columns.stage):
        program = _program(facts, columns, capacity_s)
        worked_s, dual = _solve(program)
        primal_usd += float(columns.gain @ worked_s) / S_PER_HOUR
        bound_usd += _dual_bound(program, dual) / S_PER_HOUR
        price.flat[program.price_of] = dual[: len(program.price_of)] / S_PER_HOUR
    return Planner(
        bound_usd=bound_usd,
        primal_usd=primal_usd,
        standing_usd=standing_usd,
        price_usd_per_gpu_s=price,
        edges_us=edges_us,
        n_columns=len(columns.stage),
        seconds=perf_counter() - started,
        status=OPTIMAL,
    )


def upper_prices(
    facts: Facts, terms: Terms, free_from_us: Integers, *, horizon_us: int, n_bins: int = 24
) -> Floats:
    """Return the upper end of the prices of capacity, shape (n_sinks, n_bins), in USD per GPU-s.

    Where the optimum is degenerate, a second of a unit less loses more than one more would gain. Of
    all prices that prove the bound these have the greatest sum over all capacity: those of the
    program with a hundred-thousandth less of all of it. It takes one more program, as dear as the
    bound; the upper end of each single price would take one for each sink and bin.

    Raises
    ------
    Unsolved
        If the solver ends without an optimum.
    """
    edges_us = np.rint(np.linspace(0, horizon_us, n_bins + 1)).astype(np.int64)
    columns = _columns(facts, _standing_usd_per_us(facts, terms), edges_us)
    capacity_s = _capacity_s(facts, free_from_us, edges_us)
    price = np.zeros(capacity_s.shape)
    if len(columns.stage):
        program = _program(facts, columns, capacity_s * (1.0 - SHORTFALL))
        _, dual = _solve(program)
        price.flat[program.price_of] = dual[: len(program.price_of)] / S_PER_HOUR
    return price


def _standing_usd_per_us(facts: Facts, terms: Terms) -> Floats:
    """Return the cost of the least that a unit of each sink can draw, at work or not."""
    hardware = terms.hardware_usd_per_gpu_hour / US_PER_HOUR
    sink = facts.sink
    least: Floats = np.minimum(sink["busy_usd_per_us"], sink["held_usd_per_us"]) - hardware
    return least


def _standing_usd(facts: Facts, draw: Floats, free_from_us: Integers, horizon_us: int) -> float:
    """Add up the energy nobody decides on. The hardware of residual work is charged to nobody."""
    sink = facts.unit["sink"]
    held, busy = facts.sink["held_usd_per_us"][sink], facts.sink["busy_usd_per_us"][sink]
    residual_us = np.minimum(free_from_us, horizon_us)
    extra = busy - np.minimum(busy, held)
    return float((draw[sink] * horizon_us + extra * residual_us).sum())


def _capacity_s(facts: Facts, free_from_us: Integers, edges_us: Integers) -> Floats:
    """Return the unit time that residual work leaves, shape (n_sinks, n_bins), in seconds."""
    left_us = edges_us[1:] - np.maximum(edges_us[:-1], free_from_us[:, None])
    capacity = np.zeros((len(facts.sink), len(edges_us) - 1))
    np.add.at(capacity, facts.unit["sink"], np.maximum(0, left_us) / US_PER_S)
    return capacity


def _worth_usd(stage: Rows, done_us: Integers) -> Floats:
    """Return v_j if the last result arrives at `done_us`; zero after the deadline."""
    late_us = done_us - stage["job_arrival_us"]
    worth = np.maximum(0.0, stage["value_usd"] - stage["delay_usd_per_us"] * late_us)
    return np.where(done_us > stage["deadline_us"], 0.0, worth)


def _job_work_us(facts: Facts) -> Integers:
    """Return the payload of the whole job that each stage belongs to."""
    job = facts.stage["job"]
    total = np.zeros(int(job.max(initial=-1)) + 1, np.int64)
    np.add.at(total, job, facts.stage["work_us"])
    return np.asarray(total[job], np.int64)


def _path_us(facts: Facts) -> Integers:
    """Return how long after its job's arrival each stage can end at the soonest."""
    fact = facts.stage
    n_inputs = np.diff(facts.first_input)
    work_us, tool_us = fact["work_us"].copy(), fact["tool_us"].copy()
    edge_to = np.repeat(np.arange(len(fact)), n_inputs)
    path_us: Integers = earliest_start_us(work_us, tool_us, facts.predecessor, edge_to) + work_us
    return path_us


def _workless_usd(facts: Facts, horizon_us: int) -> float:
    """Return what jobs without any payload are worth: no unit limits them."""
    is_first = np.diff(facts.stage["job"], prepend=-1) != 0
    stage = facts.stage[is_first & (_job_work_us(facts) == 0)]
    done_us = stage["soonest_us"]
    return float(_worth_usd(stage, done_us)[done_us < horizon_us].sum())


def _columns(facts: Facts, draw: Floats, edges_us: Integers) -> _Columns:
    """List each stage, sink and bin that law, class and windows leave, where work would gain.

    A window runs from the earliest instant the stage can start at the sink to the latest instant
    work on it can still lead to a result by deadline and horizon; both by the longest path, up and
    down the job's graph. No job is done earlier than its longest path without waits, nor than the
    bin and what comes after it.
    """
    stage, sink = np.nonzero(unpack(facts.admissible, len(facts.sink))[facts.stage["signature"]])
    fact = facts.stage[stage]
    lead_us, egress_usd = _first_crossing(facts, stage, sink)
    end_us = fact["job_arrival_us"] + _path_us(facts)[stage] + lead_us
    start_us = end_us - fact["work_us"]
    way_us = facts.link["delivery_us"][facts.sink["region"][sink], fact["origin"]]
    after_us = fact["rest_us"] + way_us
    latest_us = np.minimum(fact["deadline_us"], edges_us[-1] - 1) - after_us
    fits = (end_us <= latest_us) & (fact["work_us"] > 0)
    low = np.searchsorted(edges_us, start_us, side="right") - 1
    high = np.searchsorted(edges_us, latest_us, side="left")
    n_in_window = np.where(fits, high - low, 0)
    pair = np.repeat(np.arange(len(stage)), n_in_window)
    ordinal = np.arange(len(pair)) - np.repeat(np.cumsum(n_in_window) - n_in_window, n_in_window)
    slot = low[pair] + ordinal
    done_us = np.maximum(edges_us[slot], end_us[pair]) + after_us[pair]
    done_us = np.maximum(done_us, fact["soonest_us"][pair])
    work_us = _job_work_us(facts)[stage[pair]]
    place = sink[pair]
    cost = facts.sink["busy_usd_per_us"][place] - draw[place]
    cost = cost + egress_usd[pair] / fact["work_us"][pair]
    gain = (_worth_usd(fact[pair], done_us) / work_us - cost) * US_PER_HOUR
    cap_us = np.minimum(edges_us[slot + 1], latest_us[pair])
    cap_us = cap_us - np.maximum(edges_us[slot], start_us[pair])
    some = gain > 0
    return _Columns(
        stage=stage[pair][some],
        sink=place[some],
        bin=slot[some],
        gain=gain[some],
        cap_s=cap_us[some] / US_PER_S,
    )


def _first_crossing(facts: Facts, stage: Integers, sink: Integers) -> tuple[Integers, Floats]:
    """Bound time and egress from readiness to the unit, in microseconds and USD.

    The inputs of a stage that waits for none lie at its origin. Those of others may all lie where
    the unit is, so nothing is certain of them.
    """
    fact, region = facts.stage[stage], facts.sink["region"][sink]
    crosses = is_root(facts)[stage] & (region != fact["origin"])
    link = facts.link[fact["origin"], region]
    is_sure = facts.crossing.stage["is_sure"][stage].astype(np.int64)
    steps_us = np.minimum(link["identity_verify_us"], link["identity_full_us"]) * (is_sure & 1)
    steps_us = steps_us + link["policy_us"] * (is_sure >> 1 & 1)
    steps_us += link["state_rtt_us"] * (is_sure >> 2 & 1)
    steps_us += np.floor(fact["input_bytes"] * link["transfer_us_per_byte"]).astype(np.int64)
    egress_usd = fact["input_bytes"] * link["egress_usd_per_byte"]
    return np.where(crosses, steps_us, 0), np.where(crosses, egress_usd, 0.0)


def _program(facts: Facts, columns: _Columns, capacity_s: Floats) -> _Program:
    """Set up the rows: capacity of sinks and bins, work of stages, and one unit at a time.

    The last kind is left out where a stage's whole work fits into what the window has of the bin,
    for there the row of its work implies it.
    """
    n_bins, n_columns = capacity_s.shape[1], len(columns.stage)
    place, place_row = np.unique(columns.sink * n_bins + columns.bin, return_inverse=True)
    stage, stage_row = np.unique(columns.stage, return_inverse=True)
    work_s = facts.stage["work_us"] / US_PER_S
    moment, moment_row = np.unique(columns.stage * n_bins + columns.bin, return_inverse=True)
    widest_s = np.zeros(len(moment))
    np.maximum.at(widest_s, moment_row, columns.cap_s)
    is_long = work_s[moment // n_bins] > widest_s
    long_row = np.cumsum(is_long) - 1
    paced = np.flatnonzero(is_long[moment_row])
    row = np.concatenate(
        [
            place_row,
            len(place) + stage_row,
            len(place) + len(stage) + long_row[moment_row[paced]],
        ]
    )
    every = np.arange(n_columns)
    column = np.concatenate([every, every, paced])
    limit_s = np.concatenate([capacity_s.flat[place], work_s[stage], widest_s[is_long]])
    shape = (len(limit_s), n_columns)
    matrix = csr_array((np.ones(len(row)), (row, column)), shape=shape)
    return _Program(columns=columns, matrix=matrix, limit_s=limit_s, price_of=place)


def _solve(program: _Program) -> tuple[Floats, Floats]:
    """Return the seconds worked in each column and the price of each row, at the optimum."""
    columns = program.columns
    solution = linprog(
        -columns.gain,
        A_ub=program.matrix,
        b_ub=program.limit_s,
        bounds=np.column_stack([np.zeros(len(columns.cap_s)), columns.cap_s]),
        method="highs",
    )
    if solution.status != OPTIMAL:
        raise Unsolved(f"planner bound: {solution.message}")
    return solution.x, np.maximum(0.0, -solution.ineqlin.marginals)


def _dual_bound(program: _Program, dual: Floats) -> float:
    """Bound the program by prices: any that are not negative prove a bound, these the least."""
    surplus = np.maximum(0.0, program.columns.gain - program.matrix.T @ dual)
    return float(program.limit_s @ dual + program.columns.cap_s @ surplus)

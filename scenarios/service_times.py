"""What a control plane's work costs on this machine, measured on this project's own code.

A decision is what the engine does between looking and commanding: bring the view up to date,
gather the pending requests, quote, and route. Its law, a_rule + c edges + d requests served, is
fitted by non-negative least squares on relative errors, jointly for both rules: an edge and a
request served have one coefficient, whichever rule counts them. All times are CPU times of one
thread with warm caches. Each is the best of some tries, because what else the machine does can
only slow it down; medians and spread are over repetitions of that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import thread_time_ns
from typing import Final

import numpy as np
from scipy.optimize import nnls

from hanse.agents.lowering import lower_facts, lower_rules
from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.accounts.money import post
from hanse.market.engine.advance import start
from hanse.market.engine.allocation import allocate
from hanse.market.engine.clock import GENERATION, N_BOOK, NOW
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.engine.gathering import add_pending, gather
from hanse.market.engine.options import count_edges
from hanse.market.engine.parts import WELFARE_RULE
from hanse.market.engine.posted_rule import route_posted
from hanse.market.engine.states import ACTIVE
from hanse.market.engine.views import forget_gains, look
from hanse.market.engine.welfare_rule import route_welfare
from hanse.market.kernels import borrow, kernel
from hanse.market.regime import CENTRAL, MARKET, Ranking, Regime, Rule
from hanse.market.units import Floats
from hanse.scenarios.draw import draw_world
from hanse.scenarios.scenario import load
from hanse.verification.receipts import (
    NO_RECEIPT,
    Signer,
    Verdict,
    WorkReceipt,
    big_endian,
    canonical_bytes,
    check,
    is_valid_signature,
    read_signed_receipt,
    sign,
)

REPETITIONS: Final = 31
TRIES: Final = 5
ENOUGH_NS: Final = 2_000_000
NODES: Final = (26, 100, 400)
REQUESTS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
SIGNATURES: Final = 50
POSTED: Final = replace(CENTRAL, ranking=Ranking.FIFO)
WELFARE: Final = replace(POSTED, rule=Rule.WELFARE)
_DECISION: Final = (
    "control.service_posted_us",
    "control.service_welfare_us",
    "control.service_edge_us",
    "control.service_solve_us",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTimes:
    """Service times by the key of the parameter that they are a value of, in microseconds.

    Attributes
    ----------
    us : shape (n_repetitions,) each.
    misfit : by how much the law of decisions is off, as a factor >= 1, for each book of the design.
    """

    us: Mapping[str, Floats]
    misfit: Floats


def measure_service_times(
    *, repetitions: int = REPETITIONS, tries: int = TRIES, nodes: Sequence[int] = NODES
) -> ServiceTimes:
    """Measure everything in turns; the tries of one repetition lie far apart in time.

    So few of them fall into one busy spell of the machine. `nodes` are the sizes of the fleets
    whose decisions are timed; the default takes a minute.
    """
    points, counts = make_points(nodes)
    actions = make_actions()
    settling, n_settled = make_settlement()
    rounds = []
    for _ in range(tries * repetitions):
        decisions = [time_decision_us(point) for point in points]
        single = [time_us(action, SIGNATURES) for action in actions.values()]
        rounds.append([*decisions, *single, time_us(settling, 1) / n_settled])
    best = np.array(rounds).reshape(tries, repetitions, -1).min(axis=0)
    fits = np.array(
        [nnls(counts / us[:, None], np.ones(len(us)))[0] for us in best[:, : len(points)]]
    )
    off = np.abs(np.log(fits @ counts.T / best[:, : len(points)]))
    single_us = dict(zip((*actions, "settle"), best[:, len(points) :].T, strict=True))
    return ServiceTimes(
        us={
            **dict(zip(_DECISION, fits.T, strict=True)),
            "control.service_message_us": (single_us["sign message"] + single_us["verify message"])
            / 2,
            "verification.receipt_sign_us": single_us["sign receipt"],
            "verification.receipt_verify_us": single_us["verify receipt"],
            "verification.settlement_us": single_us["settle"],
        },
        misfit=np.exp(np.median(off, axis=0)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One book of the design: how often it is routed per measurement, and what it counts."""

    facts: Facts
    rules: Rules
    state: State
    loops: int
    edges: int
    served: int


@kernel
def decide_often(  # noqa: PLR0917 - numba compiles no keyword-only arguments
    facts: Facts, rules: Rules, state: State, loops: int
) -> int:
    """Decide on one book again and again, each time as if it were new; return its edges."""
    facts, rules, state = borrow(facts), borrow(rules), borrow(state)
    for _ in range(loops):
        state.clock[GENERATION] += 1
        look(facts, rules, state, 0, state.clock[NOW])
        gather(facts, rules, state, 0, -1, True)
        count = state.clock[N_BOOK]
        for row in range(count):
            stage = state.book.request[row]
            for word in range(state.option.shape[1]):
                state.option[stage, word] = facts.admissible[facts.stage[stage]["signature"], word]
                state.undecided[stage, word] = state.option[stage, word]
        state.book.assigned[:count] = -1
        state.book.assigned_sink[:count] = -1
        state.book.rent_nano_usd[:] = 0
        if rules.rule == WELFARE_RULE:
            route_welfare(facts, rules, state, 0)
        else:
            route_posted(facts, rules, state, 0)
        forget_gains(state, 0)
    return count_edges(facts, state, 0)


def make_points(nodes: Sequence[int]) -> tuple[list[Point], Floats]:
    """Make the books of the design; and what each counts, in the order of `_DECISION`."""
    worlds = [draw_world(load("baseline").replace({"fleet.nodes": n}), 0) for n in nodes]
    points = [
        make_point(world, regime, n_requests)
        for world in worlds
        for regime in (POSTED, WELFARE)
        for n_requests in REQUESTS
    ]
    is_welfare = np.array([point.rules.rule == WELFARE_RULE for point in points])
    edges, served = (np.array([getattr(p, name) for p in points]) for name in ("edges", "served"))
    return points, np.column_stack([~is_welfare, is_welfare, edges, served]).astype(float)


def make_point(world: World, regime: Regime, n_requests: int) -> Point:
    """Put the first requests of a world before its hub at the start, and count one decision."""
    facts = lower_facts(world, regime)
    rules = lower_rules(world.terms, regime, horizon_us=world.horizon_us, n_planes=1)
    state = allocate(facts, rules, n_records=world.fleet.n_nodes + 1, n_families=2)
    start(facts, rules, state, world.fleet.node_free_from_us)
    requests = facts.arrival_stage[:n_requests]
    # Every job has just arrived, so that each is worth serving.
    facts.stage["job_arrival_us"] = 0
    facts.stage["deadline_us"] = world.horizon_us
    state.stage["status"][requests] = ACTIVE
    state.stage["plane"][requests] = 0
    for stage in requests.tolist():
        add_pending(facts, rules, state, stage)
    edges = decide_often(facts, rules, state, 1)
    taken = (state.book.assigned[:n_requests] >= 0) | (state.book.assigned_sink[:n_requests] >= 0)
    point = Point(
        facts=facts, rules=rules, state=state, loops=1, edges=edges, served=int(taken.sum())
    )
    loops = 1
    while time_decision_us(replace(point, loops=loops)) * loops * 1_000 < ENOUGH_NS:
        loops *= 2
    return replace(point, loops=loops)


def time_decision_us(point: Point) -> float:
    """Time one decision, as the mean of as many as take long enough to time."""
    return (
        time_us(lambda: decide_often(point.facts, point.rules, point.state, point.loops), 1)
        / point.loops
    )


def time_us(action: Callable[[], object], times: int) -> float:
    """Time an action, repeated so many times."""
    began = thread_time_ns()
    for _ in range(times):
        action()
    return max(1, thread_time_ns() - began) / times / 1_000


def request_message(stage: int) -> bytes:
    """Encode what a request says: who asks for what, from where, until when, and for how much."""
    names = ("stage", "job", "origin", "buyer", "work_us", "input_bytes", "deadline_us", "value")
    parts = [big_endian(name, stage + position) for position, name in enumerate(names)]
    return canonical_bytes(b"request", *parts)


def make_actions() -> Mapping[str, Callable[[], object]]:
    """Name what is done to a message and to a receipt: encoding is part of each (Ed25519)."""
    key = Signer(0, 0)
    signature = key.signature_of(request_message(7))
    receipt = WorkReceipt(
        task_id=bytes(32),
        program_digest=bytes(32),
        output_digest=bytes(32),
        solver_public_key=key.public_key,
        region=3,
        started_us=1_000_000,
        ended_us=3_000_000,
        work_us=2_000_000,
        sequence=0,
        previous_receipt_digest=NO_RECEIPT,
    )
    travelled = sign(receipt, key).to_bytes()

    def verify() -> Verdict:
        return check(read_signed_receipt(travelled), task_id=bytes(32), program_digest=bytes(32))

    assert verify() is Verdict.GENUINE
    return {
        "sign message": lambda: key.signature_of(request_message(7)),
        "verify message": lambda: is_valid_signature(key.public_key, request_message(7), signature),
        "sign receipt": lambda: sign(receipt, key),
        "verify receipt": verify,
    }


def make_settlement() -> tuple[Callable[[], object], int]:
    """Settle a run from escrow, postings and accounts; return also how many stages that is."""
    world = draw_world(load("baseline"), 0)
    model = ComputeMarket(world, MARKET, with_agents=False)
    ledger = model.run_to_horizon()
    release(model)
    verifier = np.maximum(0, world.workload.stage_verifier)
    n_settled = int((ledger.stage["final_us"] >= 0).sum())
    return lambda: post(ledger, world.terms, verifier=verifier).balances(), n_settled

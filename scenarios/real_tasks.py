"""Where a share of a run's tasks is really executed, checked, disputed and paid, as the run had it.

Who worked, who cheated, what was audited and what it paid are the run's. The program is a small one
that stands for the task: it is run, committed to and signed for, and whoever checked in the run
checks it, with a dispute where that finds a fault. So a row says what cryptography finds, and what
the ledger had modelled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Final

import numpy as np

from hanse.agents.lowering import audit_probability
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import AUDIT, CAUGHT, CHEATED, RIGHT, WRONG
from hanse.market.regime import Audits, Regime
from hanse.market.units import MICRO_USD_PER_USD, Flags, Integers
from hanse.scenarios.measuring.measures import Table
from hanse.verification.plays import Job, Played
from hanse.verification.program import Program
from hanse.verification.programs import SMALL, diffusion, inference, training
from hanse.verification.protocols.checked import Optimistic, ProofOfSampling, Unverified
from hanse.verification.protocols.interface import (
    Behaviour,
    Strategy,
    TaskShape,
    VerificationProtocol,
)
from hanse.verification.protocols.refereed import Verde
from hanse.verification.real import play

_INFERENCES: Final = ("model_call", "inference", "agentic", "multimodal")
_TRAININGS: Final = ("batch", "training", "pipeline")
N_STEPS: Final = 64
INTERVAL: Final = 16
_BATCH: Final = 32
_COLUMNS: Final = (
    "family",
    "owner",
    "region",
    "program",
    "protocol",
    "fidelity",
    "strategy",
    "checker",
    "is_checked",
    "is_wrong",
    "is_caught",
    "is_caught_in_ledger",
    "reason",
    "rounds",
    "messages",
    "bytes",
    "executions",
    "paid_micro_usd",
    "slashed_micro_usd",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealTasks:
    """What came of the tasks that were really executed.

    Attributes
    ----------
    table : a row per task, the same for the same seed; None where the world drew no stage.
    seconds : processor time of solvers, of those who checked, and of disputes; measured.
    """

    table: Table | None
    seconds: Mapping[str, float]


def play_tasks(world: World, regime: Regime, ledger: Ledger) -> RealTasks:
    """Really execute those executions that a run has settled whose stages the world drew."""
    seconds = dict.fromkeys(("real_solver", "real_checking", "real_dispute"), 0.0)
    if not world.workload.stage_is_real.any():
        return RealTasks(table=None, seconds=seconds)
    record = ledger.record
    settled = ledger.work[record["final_us"][ledger.work] >= 0]
    settled = settled[np.isin(record["outcome"][settled], (RIGHT, WRONG, CAUGHT))]
    chosen = settled[world.workload.stage_is_real[record["stage"][settled]]]
    checked = _is_checked(ledger, chosen)
    rows = []
    for row, is_checked in zip(chosen.tolist(), checked.tolist(), strict=True):
        told, played = _play(world, regime, ledger, row=row, is_checked=is_checked)
        rows.append(told)
        seconds["real_solver"] += played.solver_s
        seconds["real_checking"] += played.checking_s
        seconds["real_dispute"] += played.dispute_s
    columns = zip(*rows, strict=True) if rows else [()] * len(_COLUMNS)
    table: Table = {name: _column(values) for name, values in zip(_COLUMNS, columns, strict=True)}
    return RealTasks(table=table, seconds=seconds)


def _column(values: tuple[object, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    is_text = not values or isinstance(values[0], str)
    return np.array(values, dtype=object) if is_text else np.array(values)


def _is_checked(ledger: Ledger, rows: Integers) -> Flags:
    """Say of executions whether somebody had executed them again when they became final."""
    record = ledger.record
    audit = record[record["outcome"] == AUDIT]
    width = int(record["epoch"].max(initial=0)) + 1
    key = audit["stage"].astype(np.int64) * width + audit["epoch"]
    of_row = record["stage"][rows].astype(np.int64) * width + record["epoch"][rows]
    checked: Flags = np.isin(of_row, key)
    return checked


def _play(
    world: World, regime: Regime, ledger: Ledger, *, row: int, is_checked: bool
) -> tuple[tuple[object, ...], Played]:
    """Play one execution of the run; return its row of the table, and what was measured."""
    record = ledger.record[row]
    stage, unit = record["stage"], record["unit"]
    family = world.workload.family[ledger.stage_fact["family"][stage]]
    program = program_of(family)
    shape = _shape(world, ledger, row=row, program=program)
    is_friend = is_checked and _is_friend(world, regime, record)
    protocol = protocol_of(world, regime, audited=float(is_checked), ring=float(is_friend))
    terms = world.terms
    strategy = Strategy(terms.conduct.cheat) if record["is_wrong"] == CHEATED else Strategy.HONEST
    checker = Strategy(terms.conduct.checker)
    name = f"{world.seed}/{stage}/{record['epoch']}".encode()
    played = play(
        protocol,
        Job(program=program, shape=shape),
        Behaviour(solver=strategy, verifier=checker),
        stake_micro_usd=round(terms.stake_multiple * shape.reward_micro_usd)
        if ledger.has_stakes
        else 0,
        trial=int.from_bytes(blake2b(name, digest_size=7).digest(), "big"),
    )
    outcome = played.outcome
    told = (
        family,
        world.fleet.owner[world.fleet.node_owner[unit]],
        world.geography.region[world.fleet.node_region[unit]],
        program.name,
        protocol.name,
        outcome.fidelity,
        str(strategy),
        str(Strategy.COLLUDING if is_friend else checker) if is_checked else "",
        is_checked,
        outcome.is_wrong,
        outcome.caught,
        bool(record["outcome"] == CAUGHT),
        str(outcome.reason or ""),
        outcome.n_rounds,
        played.n_messages,
        played.n_bytes,
        1.0 + outcome.compute_units,
        max(0, outcome.transfers.solver),
        max(0, -outcome.transfers.solver),
    )
    return told, played


@cache
def program_of(family: str) -> Program:
    """Return the small program that stands for a family's tasks: the same for all of them."""
    if family in _INFERENCES:
        return inference(SMALL, n_steps=N_STEPS, checkpoint_interval=INTERVAL, batch_size=_BATCH)
    if family in _TRAININGS:
        return training(SMALL, n_steps=N_STEPS, checkpoint_interval=INTERVAL, batch_size=_BATCH)
    return diffusion(n_steps=N_STEPS, checkpoint_interval=INTERVAL)


def _is_friend(world: World, regime: Regime, record: np.void) -> bool:
    """Say whether whoever checked an execution is of the ring.

    The coin that drew the audit says what came of it too: its uppermost stretch is the ring's.
    """
    coin = world.workload.attempt_audit[record["attempt"], record["stage"]]
    honest = audit_probability(world.terms, regime) * (1.0 - world.terms.conduct.ring_share)
    return bool(coin >= honest)


def protocol_of(
    world: World, regime: Regime, *, audited: float, ring: float
) -> VerificationProtocol:
    """Return the protocol that a regime's policy is.

    Parameters
    ----------
    audited, ring : probabilities that somebody checks, and that it is a friend; 0 or 1 where the
        lots have fallen already, in a run.
    """
    match regime.audits:
        case Audits.NONE:
            return Unverified()
        case Audits.RANDOM:
            n_segments = N_STEPS // INTERVAL
            n_sampled = max(1, round(world.terms.audit_share * n_segments))
            return ProofOfSampling(audit_probability=audited, n_sampled=n_sampled, collusion=ring)
        case Audits.OPTIMISTIC:
            return Optimistic(
                window_us=world.terms.challenge_window_us, watch_probability=audited, collusion=ring
            )
        case Audits.REPLICATION:
            return Verde(n_providers=2, reproducibility=1.0, collusion=ring)


def _shape(world: World, ledger: Ledger, *, row: int, program: Program) -> TaskShape:
    """Return the money of the execution, and the size of the program that stands for it."""
    record = ledger.record[row]
    sink = ledger.sink[ledger.unit["sink"][record["unit"]]]
    cost = sink["busy_usd_per_us"] * record["execution_us"] * MICRO_USD_PER_USD
    honest = round(float(cost))
    return TaskShape(
        n_steps=program.n_steps,
        n_operators=len(program.operators),
        checkpoint_interval=program.checkpoint_interval,
        work_us=int(record["execution_us"]),
        state_bytes=sum(value.nbytes for value in program.initial_state().values()),
        input_bytes=0,
        reward_micro_usd=int(record["payment_micro_usd"]),
        honest_cost_micro_usd=honest,
        # Fakes cheat whatever it saves, and save all of it.
        lazy_cost_micro_usd=round((1.0 - min(1.0, world.terms.saved_share)) * honest),
        checking_cost_micro_usd=honest,
    )

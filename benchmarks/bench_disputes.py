"""What a dispute takes: rounds, moves, bytes, replay, and the referee beside the whole execution.

Run it with `python -m benchmarks.bench_disputes`. A network is trained twice, once rightly and once
with one altered gradient in one step, and the two results are disputed. Times are processor times
of one process, medians over disputes with their range; an execution is timed once for each party.
Commitments are part of an execution, and what a party hashes in a dispute is part of its replay.
"""

import argparse
from dataclasses import dataclass
from time import process_time
from typing import Final

import numpy as np

from hanse.verification.arithmetic import Tensor
from hanse.verification.court import Pace
from hanse.verification.dispute import contest
from hanse.verification.framing import digest_of
from hanse.verification.keys import Signer
from hanse.verification.parties import AsProgrammed, Executor, Saboteur
from hanse.verification.program import Program
from hanse.verification.programs import SMALL, NetworkSize, training
from hanse.verification.trace import Task
from hanse.verification.verdicts import DisputeOutcome

MICRO: Final = 1_000_000
MEDIUM: Final = NetworkSize(n_inputs=784, n_hidden=1_024, n_outputs=10)
"""813,056 parameters."""
ALTERED: Final = "w1_gradient"
ROUND_TRIP_US, CLOCK_US = 150_000, 600 * MICRO


@dataclass(frozen=True, slots=True, kw_only=True)
class Fought:
    """One dispute, and how long it kept the processor."""

    outcome: DisputeOutcome
    all_s: float


def cheat_on(program: Program, step: int) -> Saboteur:
    """Move one weight by one unit, through its gradient, in one step."""
    shift = next(
        dict(operator.attributes)["shift"]
        for operator in program.operators
        if operator.output == "w1.next"
    )

    def altered(gradient: Tensor) -> Tensor:
        changed = np.array(gradient)
        changed.flat[0] += 1 << shift
        return changed

    return Saboteur(alterations={(step, ALTERED): altered})


def fight(task: Task, *, cheat: Executor, honest: Executor) -> Fought:
    """Hold one dispute."""
    trips = dict.fromkeys((cheat.public_key, honest.public_key), ROUND_TRIP_US)
    began_s = process_time()
    outcome = contest(task, (cheat, honest), Pace(round_trip_us=trips, clock_us=CLOCK_US))
    return Fought(outcome=outcome, all_s=process_time() - began_s)


def spread(values: list[float], unit: float, digits: int = 2) -> str:
    """Return a median and its range."""
    scaled = np.array(values) / unit
    return (
        f"{np.median(scaled):.{digits}f} ({scaled.min():.{digits}f} to {scaled.max():.{digits}f})"
    )


def report(size: NetworkSize, n_steps: int, interval: int, *, n_disputes: int) -> None:
    """Train, dispute, and print."""
    program = training(size, n_steps=n_steps, checkpoint_interval=interval, batch_size=128)
    task = Task(task_id=digest_of(b"bench", person=b"hanse.task.v1"), program=program)
    honest = Executor(task, AsProgrammed(), Signer(1, 1))
    cheat = Executor(task, cheat_on(program, 2 * n_steps // 3), Signer(1, 2))
    run_s = []
    for party in (honest, cheat):
        began_s = process_time()
        assert party.receipts
        run_s.append(process_time() - began_s)
    fights = []
    for _ in range(n_disputes):
        honest.forget()
        cheat.forget()
        fights.append(fight(task, cheat=cheat, honest=honest))
    outcome = fights[0].outcome
    assert outcome.guilty == {cheat.public_key}
    assert program.operators[outcome.operator or 0].name == ALTERED
    referee_s = [each.outcome.referee_s for each in fights]
    checking_s = [each.outcome.checking_s for each in fights]
    print(f"{size.n_parameters:,} parameters, {n_steps} steps, a checkpoint every {interval}")
    print(f"  execution with commitments: {spread(run_s, 1.0)} s")
    print(
        f"  rounds {outcome.n_rounds}, signed answers {outcome.n_messages}, bytes "
        f"{outcome.n_bytes:,}, steps replayed {max(outcome.replayed_steps.values())} a party, "
        f"simulated {outcome.elapsed_us / MICRO:.2f} s without the parties' thinking"
    )
    run_ms = float(np.median(run_s)) * 1e3
    all_s = [each.all_s for each in fights]
    print(f"  whole dispute, both parties in one process: {spread(all_s, 1e-3)} ms")
    print(f"  referee, evidence and one operator: {spread(referee_s, 1e-3, 3)} ms")
    print(f"  referee, signatures, proofs, digests: {spread(checking_s, 1e-3, 3)} ms")
    shares = [each * 1e3 / run_ms for each in referee_s]
    print(f"  evidence and operator over an execution: {spread(shares, 1e-4)} e-4")
    enough = n_steps * float(np.median(shares)) / 1e-4
    print(f"  the share is 1e-4 or less from {enough:,.0f} steps on: the operator is the same")


def main() -> None:
    """Print two sizes, and how the share falls with the length of the work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--disputes", type=int, default=9, help="disputes of each size")
    arguments = parser.parse_args()
    report(SMALL, 1_024, 32, n_disputes=arguments.disputes)
    report(MEDIUM, 256, 16, n_disputes=arguments.disputes)
    report(SMALL, 8_192, 64, n_disputes=arguments.disputes)


if __name__ == "__main__":
    main()

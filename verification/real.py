"""The one place where a task is really run, checked and disputed under a protocol, and paid for.

It answers to the same protocols, with the same `Outcome`, as their models do. Programs are executed
and committed to, messages signed and read, operators executed again. Money is what the shape of the
task says that work is worth, times the steps that were really executed.
"""

from hanse.verification.checkers import count_votes, delegate, sample, watch
from hanse.verification.plays import Ending, Job, Play, Played
from hanse.verification.protocols.checked import Optimistic, ProofOfSampling, Unverified
from hanse.verification.protocols.interface import Behaviour, VerificationProtocol
from hanse.verification.protocols.refereed import Replication, Verde


def play(
    protocol: VerificationProtocol,
    job: Job,
    behaviour: Behaviour,
    *,
    stake_micro_usd: int,
    trial: int,
) -> Played:
    """Run one task under a protocol; each trial has keys, lotteries and friends of its own.

    A lazy solver, and whoever hides behind stalling, withholding or two receipts, does nothing at
    all; a partial one and a saboteur leave out segments.

    Raises
    ------
    ValueError
        For a protocol with an imperfect detection or attention challenges: what is executed again
        exactly shows every fault, and the other is only modelled.
    """
    for name, modelled_only in (("detection", 1.0), ("attention", None)):
        value = getattr(protocol, name, modelled_only)
        if value != modelled_only and getattr(value, "probability", 1.0) != 0.0:
            raise ValueError(f"{name} must be left out where work is real, got {value}")
    under_way = Play(job, behaviour, stake_micro_usd, trial=trial)
    match protocol:
        case Unverified():
            ending = Ending(due={under_way.solver.public_key: job.shape.reward_micro_usd})
        case ProofOfSampling():
            ending = sample(under_way, protocol)
        case Optimistic():
            ending = watch(under_way, protocol)
        case Verde():
            ending = delegate(under_way, protocol)
        case Replication():
            ending = count_votes(under_way, protocol)
        case _:
            raise ValueError(f"protocol must be one that can be played, got {protocol.name}")
    return under_way.played(ending)

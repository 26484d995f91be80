"""The one place for how each protocol really checks: who looks, at what, and what follows."""

from collections import Counter
from collections.abc import Sequence
from time import process_time

from hanse.verification.commit_reveal import close, seal
from hanse.verification.dispute import contest, resolve
from hanse.verification.framing import digest_of
from hanse.verification.keys import Signer
from hanse.verification.lottery import (
    LOTTERY_IS_VRF,
    beacon_output,
    drawn_by,
    is_audited,
    lottery_input,
    prove,
    public_key_of,
    secret_key_for,
)
from hanse.verification.messages import AuditCommit, AuditReveal, AuditTicket, LotteryKey, Reason
from hanse.verification.parties import AsProgrammed, Executor
from hanse.verification.plays import Ending, Meter, Play
from hanse.verification.protocols.checked import Optimistic, ProofOfSampling
from hanse.verification.protocols.interface import Strategy
from hanse.verification.protocols.refereed import Replication, Verde
from hanse.verification.questions import Party
from hanse.verification.receipts import equivocators
from hanse.verification.settlement import TREASURY
from hanse.verification.signing import Signed, sign_message
from hanse.verification.spot_check import Claim, SpotCheck, check_segments, sampled_segments

SOLVER, AUDITOR = 1, 2
"""Whose key is which."""


def sample(under_way: Play, protocol: ProofOfSampling) -> Ending:
    """Draw an auditor by lot, let it check segments, and dispute what it finds wrong."""
    solver, shape = under_way.solver.public_key, under_way.job.shape
    ending = Ending(due={solver: shape.reward_micro_usd, TREASURY: protocol.levy_micro_usd})
    output = _drawn(under_way)
    if not is_audited(output, protocol.audit_probability):
        return ending
    auditor = under_way.key(AUDITOR).public_key
    fee_micro_usd = protocol.audit_fee_micro_usd
    if under_way.is_friend(protocol.collusion, AUDITOR):
        # A friend passes whatever it is shown, and hands its fee to a cheat.
        is_cheat = under_way.behaviour.cheated_share(shape) > 0.0
        return _with_due(ending, solver if is_cheat else auditor, fee_micro_usd)
    if not under_way.behaviour.strangers_work:
        is_opened = _seals(under_way, _last_link(under_way))
        return _with_due(ending, auditor, fee_micro_usd if is_opened else 0)
    n_sampled = protocol.n_audited_segments(shape)
    segments = sampled_segments(output, under_way.task.n_segments, n_sampled)
    found = _spot_check(under_way, segments)
    if found.withheld_segment is None:
        _seals(under_way, found.chain_end)
    ending.verifier_cost_micro_usd = _share(shape.checking_cost_micro_usd, under_way, found.n_steps)
    ending.compute_units = found.n_steps / shape.n_steps
    ending = _with_due(ending, auditor, fee_micro_usd)
    if equivocators(under_way.solver.receipts):
        return _convicted(under_way, ending, Reason.EQUIVOCATION, finder=auditor)
    if found.withheld_segment is not None:
        return _convicted(under_way, ending, Reason.UNAVAILABLE, finder=auditor)
    if found.auditor is None:
        return ending
    under_way.challenge(under_way.key(AUDITOR), found.chain_end)
    parties = (under_way.solver, found.auditor)
    under_way.fight(
        lambda: (
            contest(under_way.task, parties, under_way.pace(*parties), segment=found.wrong_segment),
        )
    )
    return _after_dispute(under_way, ending, auditor)


def watch(under_way: Play, protocol: Optimistic) -> Ending:
    """Let somebody execute the whole task within the window, or nobody."""
    solver, shape = under_way.solver.public_key, under_way.job.shape
    ending = Ending(due={solver: shape.reward_micro_usd, TREASURY: protocol.levy_micro_usd})
    is_watched = under_way.uniform(b"watched") < protocol.watch_probability
    is_friend = under_way.is_friend(protocol.collusion, AUDITOR)
    if not is_watched or is_friend or not under_way.behaviour.strangers_work:
        return ending
    watcher, n_steps = _executed(under_way, AUDITOR)
    ending.verifier_cost_micro_usd = _share(shape.checking_cost_micro_usd, under_way, n_steps)
    ending.compute_units = n_steps / shape.n_steps
    parties = (under_way.solver, watcher)
    if _root(under_way.solver) == _root(watcher):
        return ending
    under_way.challenge(under_way.key(AUDITOR), _root(watcher))
    under_way.fight(lambda: (contest(under_way.task, parties, under_way.pace(*parties)),))
    return _after_dispute(under_way, ending, watcher.public_key)


def delegate(under_way: Play, protocol: Verde) -> Ending:
    """Have several providers execute, and let all who differ dispute until one result is left."""
    crowd = Crowd(under_way, protocol.n_providers - 1, protocol.collusion)
    parties = [under_way.solver, *crowd.opened]
    for provider in crowd.opened:
        if _root(provider) != _root(under_way.solver):
            under_way.challenge(provider.key, _root(provider))
    under_way.fight(lambda: resolve(under_way.task, parties, under_way.pace(*parties)).disputes)
    faults = {key: why for each in under_way.disputes for key, why in each.faults.items()}
    standing = [party.public_key for party in parties if party.public_key not in faults]
    return crowd.ending(standing, faults)


def count_votes(under_way: Play, protocol: Replication) -> Ending:
    """Have several replicas execute, and take the answer of a quorum for right."""
    crowd = Crowd(under_way, protocol.n_replicas - 1, protocol.collusion)
    faults = {}
    voters: list[Party] = [under_way.solver, *crowd.opened]
    if equivocators(under_way.solver.receipts) and crowd.n_working:
        faults = {under_way.solver.public_key: Reason.EQUIVOCATION}
        voters = list(crowd.opened)
    votes = Counter(map(_root, voters))
    answer, n_votes = votes.most_common(1)[0] if votes else (b"", 0)
    if n_votes < protocol.quorum:
        return crowd.ending([], faults)
    standing = [party.public_key for party in voters if _root(party) == answer]
    lost = [party.public_key for party in voters if _root(party) != answer]
    return crowd.ending(standing, faults | dict.fromkeys(lost, Reason.WRONG_OUTPUT))


class Crowd:
    """All but one of several that do the same task: they seal their results, then open them."""

    def __init__(self, under_way: Play, n_others: int, collusion: float) -> None:
        self.under_way = under_way
        self.n_working = self.n_idle = 0
        executors: list[Executor] = []
        commits: list[Signed[AuditCommit]] = []
        reveals: list[Signed[AuditReveal]] = []
        for owner in range(AUDITOR, AUDITOR + n_others):
            key = under_way.key(owner)
            is_friend = under_way.is_friend(collusion, owner)
            if not is_friend and not under_way.behaviour.strangers_work:
                self.n_idle += 1
                if under_way.behaviour.verifier is Strategy.COPIER:
                    commit, reveal = _copied(under_way, key)
                    commits.append(commit)
                    reveals.append(reveal)
                continue
            provider, _ = _executed(under_way, owner, as_solver=is_friend)
            self.n_working += not is_friend
            self.n_idle += is_friend
            executors.append(provider)
            commit, reveal = _sealed(under_way, key, _root(provider))
            commits.append(commit)
            reveals.append(reveal)
        under_way.send(*commits, *reveals)
        opened = {reveal.verifier_public_key for reveal in close(commits, reveals).opened}
        self.opened = [each for each in executors if each.public_key in opened]
        self.refused = frozenset(
            under_way.key(owner).public_key for owner in range(AUDITOR, AUDITOR + n_others)
        ) - {each.public_key for each in self.opened}

    def ending(self, standing: Sequence[bytes], faults: dict[bytes, Reason]) -> Ending:
        """Pay those who stand; the guilty, and those who had no seal to open, lose their stake."""
        under_way, shape = self.under_way, self.under_way.job.shape
        solver = under_way.solver.public_key
        is_convicted = solver in faults
        winners = frozenset(standing)
        rounds = under_way.convicting_rounds(solver) if under_way.disputes and is_convicted else 0
        return Ending(
            accepted=solver in winners,
            solver_fault=faults.get(solver),
            verifier_fault=Reason.BAD_PROOF if self.refused and not is_convicted else None,
            due=dict.fromkeys(winners, shape.reward_micro_usd),
            guilty=frozenset(faults) | self.refused,
            winners=winners,
            n_rounds=rounds,
            verifier_cost_micro_usd=self.n_working * shape.honest_cost_micro_usd
            + self.n_idle * shape.lazy_cost_micro_usd,
            compute_units=float(self.n_working),
        )


def _drawn(under_way: Play) -> bytes:
    """Have the auditor draw, and whoever doubts it verify; return the output of the lottery.

    Its key was registered an epoch before the task. Where there is no VRF, a beacon draws.
    """
    key = under_way.key(AUDITOR)
    beacon = digest_of(under_way.task.task_id, person=b"hanse.beacon.v1")
    receipt_digest = under_way.solver.receipts[0].receipt.digest()
    epoch = under_way.trial + 1
    alpha = lottery_input(receipt_digest, key.public_key, epoch=epoch, beacon=beacon)
    if not LOTTERY_IS_VRF:
        return beacon_output(beacon, alpha)
    secret = secret_key_for(under_way.trial, AUDITOR)
    registration = LotteryKey(
        verifier_public_key=key.public_key,
        lottery_public_key=public_key_of(secret),
        epoch=epoch - 1,
    )
    ticket = sign_message(
        AuditTicket(
            receipt_digest=receipt_digest,
            verifier_public_key=key.public_key,
            epoch=epoch,
            beacon=beacon,
            vrf_proof=prove(secret, alpha),
        ),
        key,
    )
    under_way.send(ticket)
    output = drawn_by(ticket, sign_message(registration, key), beacon=beacon)
    assert output is not None
    return output


def _spot_check(under_way: Play, segments: tuple[int, ...]) -> SpotCheck:
    began_s = process_time()
    found = check_segments(
        under_way.holder,
        Claim(task=under_way.task, root=_root(under_way.solver)),
        segments,
        key=under_way.key(AUDITOR),
        conduct=AsProgrammed(),
    )
    under_way.checking_s += process_time() - began_s
    under_way.n_bytes += found.n_bytes
    return found


def _executed(under_way: Play, owner: int, *, as_solver: bool = False) -> tuple[Executor, int]:
    """Have somebody execute the task, or do as the solver does; return it and its steps."""
    began_s = process_time()
    meter = Meter(under_way.meter.conduct if as_solver else AsProgrammed())
    provider = Executor(under_way.task, meter, under_way.key(owner))
    under_way.n_messages += 1
    under_way.n_bytes += len(provider.receipts[0].to_bytes())
    under_way.checking_s += process_time() - began_s
    return provider, meter.n_steps


def _seals(under_way: Play, result: bytes) -> bool:
    """Have the auditor seal and open a result; say whether it opened what was sealed."""
    key = under_way.key(AUDITOR)
    if under_way.behaviour.verifier is Strategy.COPIER:
        commit, reveal = _copied(under_way, key)
    else:
        commit, reveal = _sealed(under_way, key, result)
    under_way.send(commit, reveal)
    return bool(close([commit], [reveal]).opened)


def _sealed(
    under_way: Play, key: Signer, result: bytes
) -> tuple[Signed[AuditCommit], Signed[AuditReveal]]:
    reveal = AuditReveal(
        receipt_digest=under_way.solver.receipts[0].receipt.digest(),
        verifier_public_key=key.public_key,
        chain_end=result,
        nonce=digest_of(under_way.task.task_id + key.public_key, person=b"hanse.nonce.v1"),
    )
    commit = seal(reveal)
    assert isinstance(commit, AuditCommit)
    return sign_message(commit, key), sign_message(reveal, key)


def _copied(under_way: Play, key: Signer) -> tuple[Signed[AuditCommit], Signed[AuditReveal]]:
    """Copy the seal of a neighbour, and later what it opens, under one's own name."""
    result = _last_link(under_way)
    neighbours_commit, neighbours_reveal = _sealed(under_way, under_way.key(SOLVER), result)
    commit = AuditCommit(
        receipt_digest=neighbours_commit.message.receipt_digest,
        verifier_public_key=key.public_key,
        commitment=neighbours_commit.message.commitment,
    )
    reveal = AuditReveal(
        receipt_digest=neighbours_reveal.message.receipt_digest,
        verifier_public_key=key.public_key,
        chain_end=neighbours_reveal.message.chain_end,
        nonce=neighbours_reveal.message.nonce,
    )
    return sign_message(commit, key), sign_message(reveal, key)


def _after_dispute(under_way: Play, ending: Ending, challenger: bytes) -> Ending:
    faults = under_way.disputes[-1].faults
    if under_way.solver.public_key in faults:
        reason = faults[under_way.solver.public_key]
        return _convicted(under_way, ending, reason, finder=challenger)
    ending.verifier_fault = faults[challenger]
    ending.guilty = frozenset({challenger})
    ending.winners = frozenset({under_way.solver.public_key})
    ending.due.pop(challenger, None)
    return ending


def _convicted(under_way: Play, ending: Ending, reason: Reason, *, finder: bytes) -> Ending:
    """Take the stake, and the reward that would have been paid."""
    solver = under_way.solver.public_key
    ending.accepted, ending.solver_fault = False, reason
    ending.due.pop(solver, None)
    ending.guilty, ending.winners = frozenset({solver}), frozenset({finder})
    disputes = under_way.disputes
    ending.n_rounds = disputes[-1].n_rounds if disputes else 0
    return ending


def _with_due(ending: Ending, payee: bytes, amount_micro_usd: int) -> Ending:
    ending.due[payee] = ending.due.get(payee, 0) + amount_micro_usd
    return ending


def _share(amount_micro_usd: int, under_way: Play, n_steps: int) -> int:
    return round(amount_micro_usd * n_steps / under_way.job.shape.n_steps)


def _last_link(under_way: Play) -> bytes:
    return under_way.executor.trace.chain[-1]


def _root(party: Party) -> bytes:
    return party.receipts[0].receipt.output_digest

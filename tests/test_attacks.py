"""Attacks on verification: what each costs who tries it, and whom it hurts, to the micro-dollar.

Throughout: reward 100 USD, honest work 60, stake 400, a challenger's bond 40, half of what is
forfeited to who was right. The numbers of the attacks are those of docs/reference/disputes.md.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from hashlib import sha512
from pathlib import Path

import numpy as np
import pytest
from nacl import bindings

from hanse.verification.arithmetic import Mode, OutOfRangeError, Tensor
from hanse.verification.commit_reveal import audit_probability_when_withheld
from hanse.verification.commitments import is_included, node_hash
from hanse.verification.dispute import contest, resolve
from hanse.verification.framing import digest_of
from hanse.verification.keys import is_valid_signature
from hanse.verification.lottery import (
    GROUP_ORDER,
    is_audited,
    lottery_input,
    prove,
    public_key_of,
    verify,
)
from hanse.verification.messages import (
    BisectMove,
    Evidence,
    LotteryKey,
    Reason,
    is_equivocation,
    read_message,
    sign_message,
)
from hanse.verification.parties import (
    Equivocator,
    Executor,
    Recorded,
    Staller,
    Withholder,
    nudged,
)
from hanse.verification.plays import Job
from hanse.verification.program import Program, Step
from hanse.verification.programs import SMALL, training
from hanse.verification.protocols.checked import Optimistic, ProofOfSampling, Unverified
from hanse.verification.protocols.interface import Behaviour, Outcome, Strategy
from hanse.verification.protocols.refereed import Verde
from hanse.verification.questions import Kind, Party, Question, Reply
from hanse.verification.real import play
from hanse.verification.receipts import SignedReceipt, Verdict, check
from hanse.verification.referee import FAILED, Referee
from hanse.verification.settlement import TREASURY, Case, Rules, settle
from hanse.verification.tensors import encode_tensor
from hanse.verification.trace import Task
from hanse.verification.verdicts import DisputeOutcome
from tests.disputants import (
    BUYER,
    HONEST,
    OTHER,
    RIVAL,
    SECOND_US,
    SHAPE,
    SOLVER,
    STAKE,
    TASK,
    USD,
    executor,
    honest,
    pace_of,
    sabotage,
    task_of,
)
from tests.test_disputes import OPERATORS, healing

JOB = Job(program=TASK.program, shape=SHAPE)
BOND = 40 * USD
HONEST_PAYOFF = (100 - 60) * USD

CAUGHT = {"solver": -400 * USD, "challenger": 200 * USD, "buyer": 0, "treasury": 200 * USD}
"""What follows where a solver is convicted: the buyer keeps its money."""
REPELLED = {
    "solver": 120 * USD,
    "challenger": -40 * USD,
    "buyer": -100 * USD,
    "treasury": 20 * USD,
}
"""What follows where a challenger is: the solver is paid, and has half the bond for its trouble."""


def played(
    protocol: object, solver: Strategy, verifier: Strategy = Strategy.HONEST, trial: int = 0
) -> Outcome:
    behaviour = Behaviour(solver=solver, verifier=verifier)
    return play(protocol, JOB, behaviour, stake_micro_usd=STAKE, trial=trial).outcome


def fought(solver: Party, challenger: Party, task: Task = TASK) -> DisputeOutcome:
    return contest(task, (solver, challenger), pace_of(solver, challenger))


def settled(outcome: DisputeOutcome, solver: Party, challenger: Party) -> dict[str, int]:
    """Pay out a dispute between a solver with its stake and a challenger with its bond."""
    parties = {"solver": solver.public_key, "challenger": challenger.public_key}
    accepted = solver.public_key not in outcome.guilty
    amounts = settle(
        Case(
            buyer=BUYER.public_key,
            due={solver.public_key: SHAPE.reward_micro_usd} if accepted else {},
            locked={solver.public_key: STAKE, challenger.public_key: BOND},
            guilty=outcome.guilty,
            winners=frozenset(parties.values()) - outcome.guilty,
        ),
        Rules(),
    )
    who = parties | {"buyer": BUYER.public_key, "treasury": TREASURY}
    return {role: amounts.get(key, 0) for role, key in who.items()}


def test_1_a_lazy_solver_gains_its_cost_unseen_and_loses_its_stake_seen() -> None:
    unseen = played(ProofOfSampling(audit_probability=0.0), Strategy.LAZY)
    seen = played(ProofOfSampling(audit_probability=1.0), Strategy.LAZY)
    gain = unseen.payoffs_micro_usd.solver - HONEST_PAYOFF
    loss = HONEST_PAYOFF - seen.payoffs_micro_usd.solver
    assert (gain, loss) == (60 * USD, 440 * USD)
    # It pays iff (1 - p) 60 > p 440: below p = 60 / 500, the threshold of the single audit.
    assert Fraction(gain, gain + loss) == Fraction(12, 100)
    # Unseen it hurts the buyer, who pays 100 for what costs it 30 more, and the idle verifier.
    assert unseen.payoffs_micro_usd.buyer == -130 * USD
    assert unseen.payoffs_micro_usd.verifier == -50 * USD
    # Seen it hurts nobody else: a quarter of the checking cost of 8 was spent to find 200.
    assert seen.payoffs_micro_usd.buyer == 0
    assert seen.payoffs_micro_usd.verifier == 198 * USD


def test_2_a_partial_cheat_saves_its_share_and_risks_all() -> None:
    protocol = ProofOfSampling(audit_probability=1.0)
    outcomes = [played(protocol, Strategy.PARTIAL, trial=trial) for trial in range(40)]
    # Half of 60 saved: 70 in all if the sampled segment was worked on, -430 if it was not.
    assert {outcome.payoffs_micro_usd.solver for outcome in outcomes} == {70 * USD, -430 * USD}
    assert all(
        outcome.caught == (outcome.payoffs_micro_usd.solver == -430 * USD) for outcome in outcomes
    )
    # Caught half as often as who idles throughout, for half the saving: 30 > p/2 · 500 iff
    # 60 > p · 500, the same threshold.
    assert Fraction(30, 70 + 430) == Fraction(12, 100) * Fraction(1, 2)
    assert {played(protocol, Strategy.LAZY, trial=trial).caught for trial in range(5)} == {True}


def test_3_a_tiny_saboteur_escapes_samples_and_no_full_execution() -> None:
    sampled = [
        played(ProofOfSampling(audit_probability=1.0), Strategy.SABOTEUR, trial=trial).caught
        for trial in range(200)
    ]
    # One segment of four: 1/4, standard error 3.1 %.
    assert abs(float(np.mean(sampled)) - 0.25) < 0.093
    watched = played(Optimistic(watch_probability=1.0), Strategy.SABOTEUR)
    assert watched.caught
    # One more in one weight of one step, by one that did all the work: it cost it 400 + 60.
    saboteur, challenger = executor(SOLVER, sabotage(7, "w1_update")), honest(RIVAL)
    outcome = fought(saboteur, challenger)
    assert (outcome.step, outcome.operator) == (8, OPERATORS.index("w1_update"))
    assert settled(outcome, saboteur, challenger) == CAUGHT
    # It hurts the buyer only where nobody looks; an outsider pays 5, and 15 of work were saved.
    unseen = played(Unverified(), Strategy.SABOTEUR)
    assert unseen.payoffs_micro_usd.solver == (100 - 45 + 5) * USD
    assert unseen.payoffs_micro_usd.buyer == -130 * USD


def test_4_a_rubber_stamp_is_paid_for_nothing_and_the_buyer_for_it() -> None:
    protocol = ProofOfSampling(audit_probability=1.0, n_sampled=None, audit_fee_micro_usd=10 * USD)
    diligent = played(protocol, Strategy.HONEST)
    stamp = played(protocol, Strategy.HONEST, Strategy.RUBBER_STAMP)
    assert diligent.payoffs_micro_usd.verifier == (10 - 8) * USD
    assert stamp.payoffs_micro_usd.verifier == 10 * USD
    # While all solvers are honest it costs nobody a thing: the verifier's dilemma.
    assert stamp.payoffs_micro_usd.buyer == diligent.payoffs_micro_usd.buyer == -110 * USD
    fraud = played(protocol, Strategy.LAZY, Strategy.RUBBER_STAMP)
    assert fraud.accepted
    assert fraud.payoffs_micro_usd.buyer == -140 * USD
    # It forgoes half the stake for 2 of work, a first segment of four, and answers with 50.
    honest_check = played(protocol, Strategy.LAZY)
    assert honest_check.payoffs_micro_usd.verifier == (10 - 2 + 200) * USD
    assert fraud.payoffs_micro_usd.verifier == (10 - 50) * USD


def test_5_a_copied_seal_opens_under_no_other_name() -> None:
    protocol = ProofOfSampling(audit_probability=1.0, audit_fee_micro_usd=10 * USD)
    copied = played(protocol, Strategy.HONEST, Strategy.COPIER)
    assert copied.payoffs_micro_usd.verifier == 0
    assert copied.payoffs_micro_usd.buyer == -100 * USD
    # Among providers, who has sealed nothing of its own forfeits its stake: a half to the solver.
    delegated = played(Verde(n_providers=2), Strategy.HONEST, Strategy.COPIER)
    assert (delegated.guilty, delegated.reason) == ("verifier", Reason.BAD_PROOF)
    assert delegated.payoffs_micro_usd.verifier == -400 * USD
    assert delegated.transfers.solver == (100 + 200) * USD


@cache
def rings() -> dict[int, Outcome]:
    """Play with friends drawn by lot, and keep one outcome for each size of the ring."""
    protocol = Verde(n_providers=4, collusion=0.5)
    outcomes = [played(protocol, Strategy.LAZY, trial=trial) for trial in range(40)]
    return {4 - round(outcome.compute_units): outcome for outcome in outcomes}


@pytest.mark.parametrize("size", [1, 2, 3])
def test_6_a_ring_loses_to_one_who_is_not_of_it(size: int) -> None:
    ring, n_honest = rings()[size], 4 - size
    assert ring.caught
    # Each of the ring loses 400; the honest share half of it, and are paid 100 each.
    share = size * 200 * USD // n_honest
    assert ring.transfers.solver == -400 * USD
    assert ring.transfers.verifier == n_honest * (share + 100 * USD) - (size - 1) * 400 * USD
    assert ring.transfers.treasury == size * 400 * USD - n_honest * share
    assert ring.transfers.buyer == -n_honest * 100 * USD


def test_6_a_ring_of_all_takes_everything_from_the_buyer() -> None:
    ring = rings()[4]
    assert ring.accepted
    assert ring.payoffs_micro_usd.solver == 100 * USD
    assert ring.payoffs_micro_usd.buyer == -430 * USD
    # An auditor on the solver's side, with a fee of 10 that it hands over: R + A, for no work.
    protocol = ProofOfSampling(audit_probability=1.0, audit_fee_micro_usd=10 * USD)
    pair = played(protocol, Strategy.COLLUDING, Strategy.COLLUDING)
    assert pair.payoffs_micro_usd.solver == 110 * USD
    assert pair.payoffs_micro_usd.buyer == -140 * USD


def test_10_a_false_challenge_costs_its_bond() -> None:
    solver, griefer = honest(SOLVER), executor(RIVAL, sabotage(7, "w1_update"))
    outcome = fought(solver, griefer)
    assert outcome.faults == {griefer.public_key: Reason.WRONG_OUTPUT}
    assert settled(outcome, solver, griefer) == REPELLED


def test_11_stalling_in_every_round_delays_by_one_clock_in_all() -> None:
    solver = Staller(party=executor(SOLVER, sabotage(7, "w1_update")), delay_us=55 * SECOND_US)
    challenger = honest(RIVAL)
    outcome = fought(solver, challenger)
    assert outcome.faults == {solver.public_key: Reason.TIMEOUT}
    assert settled(outcome, solver, challenger) == CAUGHT
    # Eleven answers of 55.158 s did not fit into 600 s; the buyer waits for that, never for more.
    assert outcome.elapsed_us == 600 * SECOND_US
    # A deadline for each move would have let it wait 12 times 600 s.


def test_12_who_withholds_the_evidence_is_taken_to_have_none() -> None:
    for kinds in ({Kind.STEP}, {Kind.OPERATOR}, {Kind.EVIDENCE}):
        solver = Withholder(
            party=executor(SOLVER, sabotage(7, "w1_update")), kinds=frozenset(kinds)
        )
        challenger = honest(RIVAL)
        outcome = fought(solver, challenger)
        assert outcome.faults == {solver.public_key: Reason.UNAVAILABLE}
        assert settled(outcome, solver, challenger) == CAUGHT


def test_13_two_receipts_of_one_sequence_cost_the_stake_even_if_one_is_right() -> None:
    solver = Equivocator(party=honest(SOLVER), other_root=bytes(32))
    challenger = honest(RIVAL)
    outcome = fought(solver, challenger)
    assert outcome.faults == {solver.public_key: Reason.EQUIVOCATION}
    assert settled(outcome, solver, challenger) == CAUGHT
    # It did all the work for it: 460 worse than the 60 it would have cost to be paid 100.
    assert HONEST_PAYOFF - (CAUGHT["solver"] - 60 * USD) == 500 * USD


class Presenting:
    """Answers as another does, and shows receipts of its choice."""

    def __init__(self, party: Executor, *receipts: SignedReceipt) -> None:
        self.party, self.public_key, self.receipts = party, party.public_key, receipts

    def answer(self, question: Question) -> Reply | None:
        return self.party.answer(question)


def test_14_a_receipt_is_good_for_one_task_and_one_solver() -> None:
    challenger = executor(RIVAL, sabotage(7, "w1_update"))
    elsewhere = honest(SOLVER, task_of(TASK.program, b"another task"))
    (replayed,) = elsewhere.receipts
    digests = {"task_id": TASK.task_id, "program_digest": TASK.program_digest}
    assert check(replayed, **digests) is Verdict.OTHER_TASK
    stolen = honest(OTHER).receipts[0]
    unsigned = replace(honest(SOLVER).receipts[0], signature=bytes(64))
    for receipt in (replayed, stolen, unsigned):
        thief = Presenting(honest(SOLVER), receipt)
        outcome = fought(thief, honest(RIVAL))
        assert outcome.faults == {thief.public_key: Reason.BAD_PROOF}
        assert outcome.n_messages == 0
        assert settled(outcome, thief, challenger) == CAUGHT


def test_14_a_challenger_needs_a_receipt_of_its_own_for_the_task_too() -> None:
    rival, conduct = honest(RIVAL), sabotage(7, "w1_update")
    (replayed,) = executor(RIVAL, conduct, task_of(TASK.program, b"another task")).receipts
    (stolen,) = executor(OTHER, conduct).receipts
    unsigned = replace(executor(RIVAL, conduct).receipts[0], signature=bytes(64))
    for receipt in (replayed, stolen, unsigned):
        solver, thief = honest(SOLVER), Presenting(rival, receipt)
        outcome = fought(solver, thief)
        assert outcome.faults == {thief.public_key: Reason.BAD_PROOF}
        assert outcome.n_messages == 0
        assert settled(outcome, solver, thief) == REPELLED


class Tampering:
    """Alters its own answers to questions of one kind, and signs what it altered."""

    def __init__(self, party: Executor, kind: Kind, alter: Callable[[bytes], bytes]) -> None:
        self.party, self.kind, self.alter = party, kind, alter
        self.public_key, self.receipts = party.public_key, party.receipts

    def answer(self, question: Question) -> Reply | None:
        reply = self.party.answer(question)
        if question.kind is not self.kind:
            return reply
        return replace(reply, message=self.alter(reply.message))


def tampered_move(party: Executor, alter: Callable[[BisectMove], BisectMove]) -> Tampering:
    def again(message: bytes) -> bytes:
        return party.sign_answer(alter(read_message(BisectMove, message).message))

    return Tampering(party, Kind.CHECKPOINT, again)


@pytest.mark.parametrize(
    "alter",
    [
        lambda proof: proof[:-1],
        lambda proof: (*proof, bytes(32)),
        lambda proof: proof[::-1],
        lambda _: (),
        lambda proof: (bytes(32), *proof[1:]),
    ],
    ids=["truncated", "padded", "reversed", "empty", "replaced"],
)
def test_15_a_proof_that_is_anything_else_proves_nothing(
    alter: Callable[[tuple[bytes, ...]], tuple[bytes, ...]],
) -> None:
    solver, challenger = executor(SOLVER, sabotage(7, "w1_update")), honest(RIVAL)

    def altered(move: BisectMove) -> BisectMove:
        return replace(move, inclusion_proof=alter(move.inclusion_proof))

    forger = tampered_move(solver, altered)
    outcome = fought(forger, challenger)
    assert outcome.faults == {solver.public_key: Reason.BAD_PROOF}
    assert settled(outcome, solver, challenger) == CAUGHT


def test_15_no_node_passes_for_a_leaf_and_no_tree_for_another() -> None:
    tree = honest(SOLVER).trace.tree
    left, right = tree.levels[1][0], tree.levels[1][1]
    above = tree.inclusion_proof(0)[2:]
    # The two nodes under a node, handed in as a leaf of a smaller tree, without its prefix.
    assert node_hash(left, right) == tree.levels[2][0]
    assert not is_included(left + right, 0, 2, proof=above, root=tree.root)
    for size in (0, 4, 6):
        assert not is_included(b"leaf", 0, size, proof=tree.inclusion_proof(0), root=tree.root)


def test_17_a_second_form_of_a_signature_is_no_signature() -> None:
    solver, challenger = honest(SOLVER), executor(RIVAL, sabotage(7, "w1_update"))

    def malleated(message: bytes) -> bytes:
        scalar = int.from_bytes(message[-32:], "little") + GROUP_ORDER
        return message[:-32] + scalar.to_bytes(32, "little")

    outcome = fought(solver, Tampering(challenger, Kind.CHECKPOINT, malleated))
    assert outcome.faults == {challenger.public_key: Reason.BAD_PROOF}
    assert settled(outcome, solver, challenger) == REPELLED
    # Nobody can turn it against others: what was not rightly signed convicts no one else.
    small_order = (1).to_bytes(32, "little")
    assert not is_valid_signature(small_order, b"any message", small_order + bytes(32))


def grinding_signature(key: bytes, message: bytes, nonce: int) -> bytes:
    """Sign with a nonce of one's choice: valid Ed25519 (RFC 8032), and a new one for each nonce."""
    public_key = public_key_of(key)
    expanded = sha512(key).digest()
    clamped = bytes([expanded[0] & 248, *expanded[1:31], expanded[31] & 127 | 64])
    commitment = bindings.crypto_scalarmult_ed25519_base_noclamp(nonce.to_bytes(32, "little"))
    challenge = int.from_bytes(sha512(commitment + public_key + message).digest(), "little")
    response = nonce + challenge * int.from_bytes(clamped, "little")
    return commitment + (response % GROUP_ORDER).to_bytes(32, "little")


def test_18_signatures_can_be_ground_until_no_audit_is_drawn_and_a_vrf_cannot() -> None:
    key, probability = digest_of(b"cheat", person=b"hanse.key.v1"), 0.15
    alpha = lottery_input(bytes(32), public_key_of(key), epoch=1, beacon=bytes(32))
    # A lottery by signatures: all of these are valid, and it may hand in whichever it likes.
    draws = []
    for nonce in range(1, 65):
        signature = grinding_signature(key, alpha, nonce)
        assert is_valid_signature(public_key_of(key), alpha, signature)
        draws.append(is_audited(sha512(signature).digest(), probability))
    assert any(draws)
    assert not all(draws)
    # So it is never audited, and idling is worth 60 USD a task, for a few signatures.
    proof = prove(key, alpha)
    output = verify(public_key_of(key), alpha, proof)
    others = [
        proof[:48]
        + ((int.from_bytes(proof[48:], "little") + 1) % GROUP_ORDER).to_bytes(32, "little"),
        bytes([proof[0] ^ 1]) + proof[1:],
        grinding_signature(key, alpha, 7) + proof[:16],
    ]
    assert output is not None
    assert [verify(public_key_of(key), alpha, other) for other in others] == [None] * 3


def test_18_who_could_choose_a_key_after_the_beacon_would_choose_not_to_be_audited() -> None:
    beacon = digest_of(b"beacon", person=b"hanse.beacon.v1")
    keys = [digest_of(bytes([n]), person=b"hanse.key.v1") for n in range(40)]
    audited = []
    for key in keys:
        alpha = lottery_input(bytes(32), bytes(32), epoch=1, beacon=beacon)
        output = verify(public_key_of(key), alpha, prove(key, alpha))
        assert output is not None
        audited.append(is_audited(output, 0.5))
    assert any(audited)
    assert not all(audited)
    # Registering a second key for an epoch convicts by itself.
    first, second = (
        sign_message(
            LotteryKey(
                verifier_public_key=RIVAL.public_key,
                lottery_public_key=public_key_of(key),
                epoch=1,
            ),
            RIVAL,
        )
        for key in keys[:2]
    )
    assert is_equivocation(first, second)


def test_18_a_deposit_of_500_takes_back_what_withholding_a_beacon_share_saves() -> None:
    probability = Fraction(15, 100)
    evaded = probability - Fraction(audit_probability_when_withheld(0.15, 1)).limit_denominator(
        10**6
    )
    # 0.15 - 0.0225 fewer audits, each of which takes 100 + 400 from a cheat.
    gain_micro_usd = evaded * 500 * USD
    assert gain_micro_usd == 63_750_000
    # It withholds when its own share draws the audit and what is left does not.
    withheld = probability * (1 - probability)
    assert gain_micro_usd / withheld == 500 * USD


def test_19_a_deviation_that_heals_is_slashed_like_any_other() -> None:
    solver, challenger = Executor(TASK, healing((3,)), SOLVER), honest(RIVAL)
    outcome = fought(solver, challenger)
    assert outcome.step == 4
    assert settled(outcome, solver, challenger) == CAUGHT


def narrowed(name: str, value: Tensor) -> bytes:
    return encode_tensor(name, value.astype(np.int32))


def renamed(name: str, value: Tensor) -> bytes:
    return encode_tensor(name + "2", value)


def turned(name: str, value: Tensor) -> bytes:
    return encode_tensor(name, np.ascontiguousarray(value.T))


def swapped(name: str, value: Tensor) -> bytes:
    """Put the elements in the other byte order, behind the same header."""
    message = encode_tensor(name, value)
    body = value.byteswap().tobytes()
    return message[: -len(body)] + body


def not_a_number(name: str, value: Tensor) -> bytes:
    header = encode_tensor(name, np.ones(value.shape, np.float32))
    body = np.full(value.shape, np.nan, np.float32).tobytes()
    return header[: -len(body)] + body


def negative_zero(name: str, value: Tensor) -> bytes:
    header = encode_tensor(name, np.ones(value.shape, np.float32))
    body = np.full(value.shape, -0.0, np.float32).tobytes()
    return header[: -len(body)] + body


def cut_short(name: str, value: Tensor) -> bytes:
    return encode_tensor(name, value)[:-1]


@pytest.mark.parametrize(
    "encode", [narrowed, renamed, turned, swapped, not_a_number, negative_zero, cut_short]
)
def test_20_evidence_in_any_other_bytes_is_no_evidence(
    encode: Callable[[str, Tensor], bytes],
) -> None:
    # The first input of w1_gradient's successor is an accumulator of 64 bits.
    step, operator = 7, "w1_update"
    solver, challenger = executor(SOLVER, sabotage(step, operator)), honest(RIVAL)

    def again(message: bytes) -> bytes:
        evidence = read_message(Evidence, message).message
        state = solver.trace.states[1]
        for at in (4, 5, 6):
            state = HONEST.advance(TASK.program, state, at)
        values = HONEST.explain(TASK.program, state, step).values
        weight, gradient = TASK.program.operators[evidence.index].inputs
        inputs = (encode_tensor(weight, values[weight]), encode(gradient, values[gradient]))
        return solver.sign_answer(replace(evidence, inputs=inputs))

    outcome = fought(Tampering(solver, Kind.EVIDENCE, again), challenger)
    assert outcome.faults == {solver.public_key: Reason.BAD_PROOF}
    assert settled(outcome, solver, challenger) == CAUGHT


def test_21_what_overflows_raises_and_is_never_rounded_into_a_result() -> None:
    def beyond(output: Tensor) -> Tensor:
        altered = np.array(output)
        altered.flat[0] = 1 << 30
        return altered

    # Whoever works on with such a number has no result to hand in: it forgoes 100 for 60 of work.
    with pytest.raises(OutOfRangeError):
        assert executor(SOLVER, sabotage(7, "hidden", beyond)).receipts
    # Whoever claims a result of it all the same is found at the operator that made the number.
    program = TASK.program
    steps, state = [], program.initial_state()
    for step in range(program.n_steps):
        made = program.step(state, step)
        if step == 7:
            made = Step(
                state={**made.state, "w2": nudged(made.state["w2"])},
                values={
                    **made.values,
                    "hidden": beyond(made.values["hidden"]),
                    "w2.next": nudged(made.values["w2.next"]),
                },
            )
        steps.append(made)
        state = made.state
    solver = Executor(TASK, Recorded(steps=tuple(steps)), SOLVER)
    challenger = honest(RIVAL)
    outcome = fought(solver, challenger)
    assert outcome.operator == OPERATORS.index("hidden")
    assert settled(outcome, solver, challenger) == CAUGHT
    # Even agreed upon, it has no output: the referee says so, and rounds nothing.
    referee, product = Referee(task=TASK), OPERATORS.index("output_sum")
    names = program.operators[product].inputs
    assert referee.output_digest(product, [steps[7].values[name] for name in names]) == FAILED


RUN_AND_WRITE = """
import sys
import numpy as np
from hanse.verification.arithmetic import Mode
from tests.test_attacks import float_program

program = float_program(Mode(sys.argv[2]))
state, written = program.initial_state(), {}
for step in range(program.n_steps):
    made = program.step(state, step)
    state = made.state
    written |= {f"{step}/{name}": value for name, value in made.values.items()}
    written |= {f"{step}//{name}": value for name, value in state.items()}
np.savez(sys.argv[1], **written)
"""


def float_program(mode: Mode) -> Program:
    return training(SMALL, n_steps=4, checkpoint_interval=2, batch_size=32, mode=mode)


def steps_run_on(core: str | None, mode: Mode, folder: Path) -> Recorded:
    """Execute in another process, under another type of processor."""
    file = folder / f"{core}-{mode}.npz"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    if core is not None:
        environment["OPENBLAS_CORETYPE"] = core
    project = Path(__file__).resolve().parents[1]
    subprocess.run(
        [sys.executable, "-c", RUN_AND_WRITE, file, mode],
        cwd=project,
        env={**environment, "PYTHONPATH": str(project)},
        check=True,
    )
    with np.load(file, allow_pickle=False) as written:
        tensors = dict(written)
    program = float_program(mode)
    return Recorded(
        steps=tuple(
            Step(
                state={name: tensors[f"{step}//{name}"] for name in program.carried},
                values={
                    name.split("/", 1)[1]: value
                    for name, value in tensors.items()
                    if name.startswith(f"{step}/") and "//" not in name
                },
            )
            for step in range(program.n_steps)
        )
    )


def test_22_in_floats_an_honest_solver_on_another_processor_loses_its_stake(
    tmp_path: Path,
) -> None:
    verdicts = {}
    for mode in (Mode.FLOAT32, Mode.INT21):
        task = task_of(float_program(mode))
        ours = Executor(task, steps_run_on("Haswell", mode, tmp_path), RIVAL)
        theirs = Executor(task, steps_run_on("Prescott", mode, tmp_path), SOLVER)
        if mode is Mode.FLOAT32 and ours.trace.tree.root == theirs.trace.tree.root:
            pytest.skip("OPENBLAS_CORETYPE makes no difference here: nothing to show")
        resolution = resolve(task, [theirs, ours], pace_of(theirs, ours))
        verdicts[mode] = (resolution, theirs, ours)
    resolution, theirs, ours = verdicts[Mode.FLOAT32]
    (dispute,) = resolution.disputes
    # Both did what the program says; whoever rounds unlike the referee's processor is slashed.
    assert set(dispute.faults.values()) == {Reason.WRONG_OUTPUT}
    assert dispute.operator is not None
    lost = settled(dispute, theirs, ours)
    assert lost["solver"] == -STAKE or lost["challenger"] == -BOND
    # In integers the same two agree to the last bit, and nothing is disputed.
    assert verdicts[Mode.INT21][0].disputes == ()
    assert verdicts[Mode.INT21][0].faults == {}

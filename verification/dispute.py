"""The one place for how two who disagree about a result are narrowed down to one operator.

Whoever is honest wins, whatever the other does: it can open every commitment that it made, within
the time that it has, and the one operator that is left is executed again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import process_time
from typing import TypeAlias

from hanse.verification.commitments import EMPTY_ROOT
from hanse.verification.court import Convicted, Court, Pace
from hanse.verification.framing import big_endian, canonical_bytes, digest_of
from hanse.verification.messages import BisectMove, Evidence, OperatorMove, Reason
from hanse.verification.program import NEXT
from hanse.verification.questions import Kind, OperatorOpening, Party, StepOpening
from hanse.verification.receipts import Verdict, check, equivocators
from hanse.verification.referee import Referee
from hanse.verification.trace import Task
from hanse.verification.verdicts import DisputeOutcome, Resolution

Claims: TypeAlias = Mapping[bytes, bytes]
"""What each party says, a link or a root, by public key."""
Steps: TypeAlias = Mapping[bytes, StepOpening]
Operators: TypeAlias = Mapping[bytes, OperatorOpening]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Two neighbours in a sequence: what both parties say of the first, and each of the second."""

    low: int
    agreed: bytes
    claimed: Claims


def resolve(task: Task, parties: Sequence[Party], pace: Pace) -> Resolution:
    """Let all who disagree dispute, one pair at a time, until one result is left, or none.

    A party that is convicted is out; an honest one never is, so that one honest party among any
    number decides what stands. Each dispute removes somebody: n parties fight at most n - 1.
    """
    faults: dict[bytes, Reason] = {}
    disputes: list[DisputeOutcome] = []
    standing = list(parties)
    while rival := next((each for each in standing if _root(each) != _root(standing[0])), None):
        disputes.append(contest(task, (standing[0], rival), pace))
        faults |= disputes[-1].faults
        standing = [party for party in standing if party.public_key not in faults]
    return Resolution(
        disputes=tuple(disputes),
        faults=faults,
        survivors=tuple(party.public_key for party in standing),
    )


def contest(
    task: Task, parties: tuple[Party, Party], pace: Pace, *, segment: int | None = None
) -> DisputeOutcome:
    """Find which of two results is wrong, by bisection and one operator; perhaps both are.

    Silence in a move is `TIMEOUT`, as is a clock run out. Silence where something is to be opened
    that was committed to is `UNAVAILABLE`. What does not verify is `BAD_PROOF`.

    Parameters
    ----------
    parties : who defends a receipt, and who challenges it.
    segment : None for a challenger with a receipt of its own for the whole task. The number of the
        segment that an auditor executed from the defender's state: it answers for that one alone.
    """
    digests = [each.receipt.digest() for party in parties for each in party.receipts[:1]]
    # Rounds count from 0 in each: under one id, honest answers about two segments would convict.
    place = [] if segment is None else [big_endian("segment", segment)]
    framed = canonical_bytes(b"dispute", *digests, parties[1].public_key, *place)
    court = Court(
        referee=Referee(task=task),
        parties=parties,
        pace=pace,
        dispute_id=digest_of(framed, person=b"hanse.dispute.v1"),
    )
    began_s = process_time()
    try:
        faults = _faults(court, segment)
    except Convicted as verdict:
        faults = verdict.faults
    busy_s = process_time() - began_s
    return DisputeOutcome(
        dispute_id=court.dispute_id,
        faults=faults,
        step=court.step,
        operator=court.operator,
        n_rounds=court.n_rounds,
        n_messages=court.n_messages,
        n_bytes=court.n_bytes,
        replayed_steps=court.replayed_steps,
        clock_us=court.clock_us,
        elapsed_us=court.elapsed_us,
        referee_s=court.referee_s,
        checking_s=busy_s - court.parties_s - court.referee_s,
    )


def _faults(court: Court, segment: int | None) -> dict[bytes, Reason]:
    _require_receipts(court, court.parties if segment is None else court.parties[:1])
    if segment is None:
        checkpoints = _bisect_checkpoints(court)
    else:
        checkpoints = _audited_segment(court, segment)
    states = _bisect_states(court, checkpoints)
    steps = _open_step(court, checkpoints, states)
    prefixes = _bisect_operators(court, steps)
    operators = _open_operator(court, prefixes)
    _require_one_input(court, steps, operators, agreed_root=prefixes.agreed)
    return _judge(court, operators)


def _root(party: Party) -> bytes:
    return party.receipts[0].receipt.output_digest


def _require_receipts(court: Court, parties: Sequence[Party]) -> None:
    """Convict who signed two receipts under one sequence, or none that is for this task."""
    task = court.referee.task
    faults = {}
    for party in parties:
        digests = {"task_id": task.task_id, "program_digest": task.program_digest}
        is_genuine = check(party.receipts[0], **digests) is Verdict.GENUINE
        if party.public_key in equivocators(party.receipts):
            faults[party.public_key] = Reason.EQUIVOCATION
        elif not is_genuine or party.receipts[0].receipt.solver_public_key != party.public_key:
            faults[party.public_key] = Reason.BAD_PROOF
    if faults:
        raise Convicted(faults)


def _bisect(court: Court, gap: Gap, high: int, *, ask: Callable[[int], Claims]) -> Gap:
    """Halve the way from where both agree to where they do not: ceil(log2) questions at most."""
    while high - gap.low > 1:
        middle = (gap.low + high) // 2
        claims = ask(middle)
        court.n_rounds += 1
        said = set(claims.values())
        if len(said) == 1:
            gap = Gap(low=middle, agreed=said.pop(), claimed=gap.claimed)
        else:
            high, gap = middle, Gap(low=gap.low, agreed=gap.agreed, claimed=claims)
    return gap


def _bisect_checkpoints(court: Court) -> Gap:
    """Find the segment before which the chains agree, and after which they do not.

    A challenger whose last link is the defender's has challenged nothing.
    """
    referee = court.referee
    last = _links_at(court, referee.task.n_segments, court.parties)
    if len(set(last.values())) == 1:
        raise Convicted({court.parties[1].public_key: Reason.BAD_PROOF})
    gap = _bisect(
        court,
        Gap(low=0, agreed=b"", claimed=last),
        referee.task.n_segments,
        ask=lambda checkpoint: _links_at(court, checkpoint, court.parties),
    )
    # The first link follows from the task; to hash the initial state is left for when it matters.
    return gap if gap.low else replace(gap, agreed=referee.start)


def _audited_segment(court: Court, segment: int) -> Gap:
    """Have the defender show both ends of a segment, and the auditor where it arrived."""
    (start,) = _links_at(court, segment, court.parties[:1]).values()
    ends = _links_at(court, segment + 1, court.parties)
    if segment == 0 and start != court.referee.start:
        raise Convicted({court.parties[0].public_key: Reason.BAD_PROOF})
    if len(set(ends.values())) == 1:
        raise Convicted({court.parties[1].public_key: Reason.BAD_PROOF})
    return Gap(low=segment, agreed=start, claimed=ends)


def _links_at(court: Court, checkpoint: int, parties: Sequence[Party]) -> Claims:
    """Ask for a link of the chain, under the root of who has one."""
    referee = court.referee
    step = checkpoint * referee.task.program.checkpoint_interval
    roots = {party.public_key: _root(party) for party in parties if party.receipts}
    question = court.question(Kind.CHECKPOINT, step)

    def accepts(move: BisectMove, key: bytes) -> bool:
        if key not in roots:
            return move.index == step and not move.inclusion_proof
        return move.index == step and referee.accepts_checkpoint(move, roots[key])

    answers = court.ask(question, BisectMove, accepts=accepts, parties=parties)
    return {key: move.chain for key, move in answers.items()}


def _bisect_states(court: Court, checkpoints: Gap) -> Gap:
    """Find the step within a segment, on a chain that starts at the segment's first state."""
    interval = court.referee.task.program.checkpoint_interval
    first = checkpoints.low * interval

    def ask(index: int) -> Claims:
        question = court.question(Kind.STATE, index)

        def accepts(move: BisectMove, _: bytes) -> bool:
            return move.index == index and not move.inclusion_proof

        return {
            key: move.chain
            for key, move in court.ask(question, BisectMove, accepts=accepts).items()
        }

    gap = Gap(low=first, agreed=checkpoints.agreed, claimed=checkpoints.claimed)
    return _bisect(court, gap, first + interval, ask=ask)


def _open_step(court: Court, checkpoints: Gap, states: Gap) -> Steps:
    """Have both show what stands behind the links before and after the step.

    The last state of a segment is bound by the link that was committed, which follows upon that of
    the segment's start; every other by a link that was told in this dispute.
    """
    referee = court.referee
    court.step = states.low + 1
    is_last = court.step % referee.task.program.checkpoint_interval == 0
    link = checkpoints.agreed if is_last else states.agreed
    question = court.question(Kind.STEP, court.step)

    def accepts(opening: StepOpening, key: bytes) -> bool:
        return (
            opening.step == question.step
            and referee.accepts_before(opening, states.agreed)
            and referee.accepts_after(opening, link, states.claimed[key])
        )

    return court.ask(question, StepOpening, accepts=accepts)


def _bisect_operators(court: Court, steps: Steps) -> Gap:
    """Find the first operator on which the parties differ, by roots over those before it."""
    roots = {key: opening.operator_root for key, opening in steps.items()}
    n_operators = len(court.referee.task.program.operators)
    if len(set(roots.values())) == 1:
        _convict_who_hides_the_maker(court, steps)

    def ask(size: int) -> Claims:
        question = court.question(Kind.PREFIX, _step(court), operator=size)

        def accepts(move: OperatorMove, _: bytes) -> bool:
            return move.index == size

        answers = court.ask(question, OperatorMove, accepts=accepts)
        return {key: move.prefix_root for key, move in answers.items()}

    return _bisect(court, Gap(low=0, agreed=EMPTY_ROOT, claimed=roots), n_operators, ask=ask)


def _convict_who_hides_the_maker(court: Court, steps: Steps) -> None:
    """Convict whose state is not what its operators made: both showed the same operators.

    The digest of a tensor contains its name, and the operator's output has another than the state:
    both have to show the tensor itself, and only one of two states can be what was made.
    """
    referee = court.referee
    name = referee.first_made_otherwise(*steps.values())
    index, n_operators = referee.makers[name + NEXT], len(referee.task.program.operators)
    question = court.question(Kind.MAKER, _step(court), operator=index, size=n_operators)

    def accepts_maker(opening: OperatorOpening, key: bytes) -> bool:
        return (opening.index, opening.size) == (
            index,
            n_operators,
        ) and referee.accepts_operator(opening, steps[key].operator_root)

    makers = court.ask(question, OperatorOpening, accepts=accepts_maker)

    def accepts_made(evidence: Evidence, key: bytes) -> bool:
        return evidence.index == index and referee.is_made(
            name, evidence, made=makers[key].output, after=steps[key]
        )

    question = court.question(Kind.MADE, _step(court), operator=index)
    court.ask(question, Evidence, accepts=accepts_made)
    # Unreachable while BLAKE2b and SHA-256 hold: one root would open to two tensors.
    raise Convicted(dict.fromkeys(steps, Reason.BAD_PROOF))


def _open_operator(court: Court, prefixes: Gap) -> Operators:
    """Have both show the operator that follows upon those on which they agree."""
    court.operator = prefixes.low
    size = prefixes.low + 1
    question = court.question(Kind.OPERATOR, _step(court), operator=prefixes.low, size=size)

    def accepts(opening: OperatorOpening, key: bytes) -> bool:
        root = prefixes.claimed[key]
        return (
            (opening.index, opening.size) == (prefixes.low, size)
            and court.referee.accepts_operator(opening, root)
            and court.referee.accepts_continuation(opening, prefixes.agreed, root)
        )

    return court.ask(question, OperatorOpening, accepts=accepts)


def _require_one_input(
    court: Court, steps: Steps, operators: Operators, *, agreed_root: bytes
) -> None:
    """Convict whose operator read something else than what was agreed before it."""
    referee = court.referee
    one, other = operators.values()
    names = referee.operator(one.index).inputs
    differ = zip(names, one.inputs, other.inputs, strict=True)
    position = next((at for at, (_, mine, theirs) in enumerate(differ) if mine != theirs), None)
    if position is None:
        return
    step = next(iter(steps.values()))
    right = _agreed_digest(court, step, names[position], agreed_root=agreed_root)
    wrong = [key for key, opening in operators.items() if opening.inputs[position] != right]
    raise Convicted(dict.fromkeys(wrong, Reason.BAD_PROOF))


def _agreed_digest(court: Court, step: StepOpening, name: str, *, agreed_root: bytes) -> bytes:
    """Return the digest of an input from where it comes from, on which both agree."""
    referee = court.referee
    if name not in referee.makers:
        return referee.given_digest(name, step)
    index, size = referee.makers[name], court.operator or 0
    question = court.question(Kind.SOURCE, _step(court), operator=index, size=size)

    def accepts(opening: OperatorOpening, _: bytes) -> bool:
        return (opening.index, opening.size) == (index, size) and referee.accepts_operator(
            opening, agreed_root
        )

    answers = court.ask(question, OperatorOpening, accepts=accepts)
    return next(iter(answers.values())).output


def _judge(court: Court, operators: Operators) -> dict[bytes, Reason]:
    """Execute the operator on the inputs that the defender hands in, and compare."""
    referee = court.referee
    defender = court.parties[0]
    agreed = operators[defender.public_key]
    question = court.question(Kind.EVIDENCE, _step(court), operator=agreed.index)

    def accepts(evidence: Evidence, _: bytes) -> bool:
        return evidence.index == agreed.index

    (evidence,) = court.ask(question, Evidence, accepts=accepts, parties=[defender]).values()
    began_s = process_time()
    inputs = referee.read_inputs(evidence, agreed.inputs)
    if inputs is None:
        raise Convicted({defender.public_key: Reason.BAD_PROOF})
    right = referee.output_digest(agreed.index, inputs)
    court.referee_s = process_time() - began_s
    wrong = [key for key, opening in operators.items() if opening.output != right]
    return dict.fromkeys(wrong, Reason.WRONG_OUTPUT)


def _step(court: Court) -> int:
    assert court.step is not None
    return court.step

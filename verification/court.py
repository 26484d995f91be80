"""The one place for one dispute under way: who is asked, on whose clock, and what is an answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import process_time
from typing import TypeVar

from hanse.verification.framing import MalformedMessageError
from hanse.verification.messages import Reason
from hanse.verification.questions import MOVES, Kind, Party, Question
from hanse.verification.referee import Referee
from hanse.verification.signing import Message, is_genuine, read_message, sender_of

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What time there is, in simulated microseconds.

    Attributes
    ----------
    round_trip_us : from the referee to a party and back, by public key.
    clock_us : what each party may use in all, way and thought. It is no limit of single moves, so
        that nobody gains by being slow in each.
    """

    round_trip_us: Mapping[bytes, int]
    clock_us: int


class Convicted(ValueError):
    """Raised within a dispute, and caught there, as soon as somebody is found at fault."""

    def __init__(self, faults: Mapping[bytes, Reason]) -> None:
        super().__init__(faults)
        self.faults = dict(faults)


@dataclass(slots=True, kw_only=True)
class Court:
    """Asks both parties, keeps their clocks, and refuses what is no proper answer.

    Attributes
    ----------
    parties : defender, then challenger.
    n_rounds : questions of bisection so far.
    elapsed_us : simulated time so far; both parties answer at once.
    parties_s, referee_s : processor time measured so far.
    step, operator : what the dispute has been narrowed down to.
    """

    referee: Referee
    parties: tuple[Party, Party]
    pace: Pace
    dispute_id: bytes
    clock_us: dict[bytes, int] = field(init=False)
    replayed_steps: dict[bytes, int] = field(init=False)
    n_asked: int = 0
    n_rounds: int = 0
    n_messages: int = 0
    n_bytes: int = 0
    elapsed_us: int = 0
    referee_s: float = 0.0
    parties_s: float = 0.0
    step: int | None = None
    operator: int | None = None

    def __post_init__(self) -> None:
        keys = [party.public_key for party in self.parties]
        self.clock_us = dict.fromkeys(keys, self.pace.clock_us)
        self.replayed_steps = dict.fromkeys(keys, 0)

    def question(self, kind: Kind, step: int, *, operator: int = 0, size: int = 0) -> Question:
        """Return the next question, with its number."""
        asked = Question(
            dispute_id=self.dispute_id,
            round=self.n_asked,
            kind=kind,
            step=step,
            operator=operator,
            size=size,
        )
        self.n_asked += 1
        return asked

    def ask(
        self,
        question: Question,
        kind: type[M],
        *,
        accepts: Callable[[M, bytes], bool],
        parties: Sequence[Party] = (),
    ) -> dict[bytes, M]:
        """Put a question to both parties, or to some; return what each answers, by public key.

        Parameters
        ----------
        kind : the only type of message that answers it.
        accepts : whether an answer of the party with this public key proves what it should.

        Raises
        ------
        Convicted
            If one is silent, late, or answers with anything that does not verify.
        """
        answers: dict[bytes, M] = {}
        faults: dict[bytes, Reason] = {}
        spent_us = []
        for party in parties or self.parties:
            key = party.public_key
            had_us = self.clock_us[key]
            answer = self._answer_of(party, question, kind)
            spent_us.append(had_us - self.clock_us[key])
            if isinstance(answer, Reason):
                faults[key] = answer
            elif accepts(answer, key):
                answers[key] = answer
            else:
                faults[key] = Reason.BAD_PROOF
        self.elapsed_us += max(spent_us)
        if faults:
            raise Convicted(faults)
        return answers

    def _answer_of(self, party: Party, question: Question, kind: type[M]) -> M | Reason:
        key = party.public_key
        began_s = process_time()
        reply = party.answer(question)
        self.parties_s += process_time() - began_s
        used_us = self.pace.round_trip_us[key] + (reply.took_us if reply else 0)
        if reply is None or used_us > self.clock_us[key]:
            self.clock_us[key] = 0
            is_move = question.kind in MOVES
            return Reason.TIMEOUT if reply is not None or is_move else Reason.UNAVAILABLE
        self.clock_us[key] -= used_us
        self.replayed_steps[key] += reply.n_replayed
        self.n_messages += 1
        self.n_bytes += len(reply.message)
        try:
            signed = read_message(kind, reply.message)
        except MalformedMessageError:
            return Reason.BAD_PROOF
        message = signed.message
        answers_it = (
            sender_of(message) == key
            and getattr(message, "dispute_id", None) == question.dispute_id
            and getattr(message, "round", question.round) == question.round
        )
        return message if answers_it and is_genuine(signed) else Reason.BAD_PROOF

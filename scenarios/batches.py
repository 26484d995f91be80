"""Batches: the one place that hands tasks out, by how long they take, and sees to what is lost.

A batch is as many tasks as fill a fraction of a second, by what finished ones took, and fewer
towards the end, so that nobody waits long for the last. A batch whose worker died is handed out
again task by task; a task that was there twice runs alone, and if its worker dies then, too, it is
given up.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass
from typing import Any, Final

from hanse.scenarios.executors import Crew, HiredCrew

# Given up when the worker of a task has died this often, the last time with nothing beside it.
DEATHS_MAX: Final = 3


class ExecutorBroken(RuntimeError):
    """The executor that the caller passed takes no more work; what finished is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What a worker sends back: the bytes of a part, and the time it took to make them."""

    part: bytes
    seconds: float


def run_batches(
    crew: Crew, numbers: Iterable[int], *, give_up: Callable[[int, int], Packed]
) -> Iterator[Packed]:
    """Yield the answers to batches of tasks as they come, in whatever order.

    Parameters
    ----------
    give_up : makes the answer of a task whose worker died each time, from its number and how often.
    """
    is_done = False
    try:
        yield from _Round(crew, numbers).answers(give_up)
        is_done = True
    finally:
        crew.stop(is_done=is_done)


class _Round:
    """Who is at what, and how long a task takes."""

    def __init__(self, crew: Crew, numbers: Iterable[int]) -> None:
        self._crew = crew
        self._waiting = deque(numbers)
        self._again: deque[int] = deque()
        self._deaths: Counter[int] = Counter()
        self._at_work: dict[Future[Any], Sequence[int]] = {}
        self._n_timed, self._seconds = 0, 0.0

    def answers(self, give_up: Callable[[int, int], Packed]) -> Iterator[Packed]:
        while self._waiting or self._again or self._at_work:
            lost = self._hand_out()
            done, _ = wait(self._at_work, return_when=FIRST_COMPLETED)
            for future in done:
                batch = self._at_work.pop(future)
                error = _error_of(future)
                if error is not None and _is_death(error):
                    lost += batch
                    continue
                answer: Packed = future.result()
                self._n_timed += len(batch)
                self._seconds += answer.seconds
                yield answer
            if lost:
                yield from self._bury(lost, give_up)

    def _hand_out(self) -> list[int]:
        """Fill the crew's hands; return the tasks that it would not take."""
        while len(self._at_work) < self._crew.n_hands:
            batch = self._next_batch()
            if not batch:
                break
            try:
                self._at_work[self._crew.submit(batch)] = batch
            except BrokenExecutor:
                return list(batch)
        return []

    def _next_batch(self) -> Sequence[int]:
        if self._again and self._deaths[self._again[0]] == DEATHS_MAX - 1:
            # The suspect runs with nothing beside it.
            return [] if self._at_work else [self._again.popleft()]
        if self._again:
            return [self._again.popleft()]
        return [self._waiting.popleft() for _ in range(self._batch_size())]

    def _batch_size(self) -> int:
        if not self._n_timed:
            return min(1, len(self._waiting))
        by_time = self._crew.batch_s * self._n_timed / max(self._seconds, 1e-9)
        by_rest = len(self._waiting) / (3 * self._crew.n_workers)
        return min(len(self._waiting), max(1, int(min(by_time, by_rest))))

    def _bury(self, lost: list[int], give_up: Callable[[int, int], Packed]) -> Iterator[Packed]:
        """Take in what else the dead had in hand, find new workers, and note who was there."""
        if isinstance(self._crew, HiredCrew):
            self._check_hired(lost)
        else:
            for future in wait(self._at_work).done:
                batch = self._at_work.pop(future)
                if future.exception() is None:
                    yield future.result()
                else:
                    lost += batch
            self._crew.renew()
        self._deaths.update(lost)
        for number in sorted(lost):
            if self._deaths[number] >= DEATHS_MAX:
                yield give_up(number, self._deaths[number])
            else:
                self._again.append(number)
        self._again = deque(sorted(self._again, key=lambda n: (self._deaths[n], n)))

    def _check_hired(self, lost: list[int]) -> None:
        """Raise `ExecutorBroken` if the caller's executor itself is at its end."""
        try:
            self._crew.submit([]).result()
        except BrokenExecutor as error:
            raise ExecutorBroken(
                f"the executor lost its workers at tasks {min(lost)} to {max(lost)} ({error}); "
                "what finished is kept where a store was given: pass a new executor and call again"
            ) from error


def _error_of(future: "Future[Any]") -> BaseException | None:
    """Return what a batch raised; raise `ExecutorBroken` if somebody else called it off."""
    try:
        return future.exception()
    except CancelledError as error:
        raise ExecutorBroken(
            "the executor called off what it had taken; a store, if one was given, has the rest"
        ) from error


def _is_death(error: BaseException) -> bool:
    # By name: Dask's own class is there only where Dask is.
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"

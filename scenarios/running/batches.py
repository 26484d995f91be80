"""Batches: the one place that hands tasks out, by how long they take, and sees to what is lost.

A batch is as many tasks as fill a fraction of a second, by what finished ones took, and fewer
towards the end, so that nobody waits long for the last. Tasks that share something are handed out
together. A worker may come back with the beginning of its batch: the rest goes to whoever is next.
A batch whose worker died is handed out again task by task; a task that was there twice runs alone,
and if its worker dies then, too, it is given up.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass
from functools import partial
from time import thread_time
from typing import Any, Final, Generic, TypeVar

from hanse.scenarios.running.executors import Answer, Crew, HiredCrew, Task, crew_for

Part = TypeVar("Part")

# What takes less is not divided further: whoever waits for the last batch waits no longer.
WORTH_S: Final = 0.1

# What is kept batch by batch is kept so often.
KEPT_S: Final = 2.0

# Given up when the worker of a task has died this often, the last time with nothing beside it.
DEATHS_MAX: Final = 3


class ExecutorBroken(RuntimeError):
    """The executor that the caller passed takes no more work; what finished is kept."""


class WorkerDied(RuntimeError):
    """The process that ran a task ended without an answer, each time it was tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed(Generic[Part]):
    """What a worker sends back: what it has made of which tasks, and in what processor time."""

    part: Part
    done: tuple[int, ...]
    seconds: float


def run_batches(
    crew: Crew,
    numbers: Iterable[int],
    *,
    give_up: Callable[[int, int], Packed[Part]],
    n_together: int = 1,
    known: Callable[[Sequence[int]], object] = lambda _: None,
    batch_s: float = KEPT_S,
) -> Iterator[Packed[Part]]:
    """Yield the answers to batches of tasks as they come, in whatever order.

    Parameters
    ----------
    give_up : makes the answer of a task whose worker died each time, from its number and how often.
    n_together : so many tasks share something, from 0 on: no batch ends between them by itself.
    known : what a worker must be told with these tasks that it was not born with.
    batch_s : how long a batch should take, so that handing it over, and keeping it, costs little.
    """
    is_done = False
    tasks: _Round[Part] = _Round(crew, numbers, n_together=n_together, known=known, batch_s=batch_s)
    try:
        yield from tasks.answers(give_up)
        is_done = True
    finally:
        crew.stop(is_done=is_done)


def run_in_order(
    work: Callable[[Task], Answer], tasks: Sequence[Task], *, workers: object | None
) -> list[Answer]:
    """Work through the tasks and return their answers in the order of the tasks.

    Parameters
    ----------
    work : depends on its task alone; what it raises ends the whole. Its answers can be pickled.
    workers : see `crew_for`.
    """
    crew = crew_for(partial(_answers, work), tasks, workers=workers, n_waiting=len(tasks))
    found: dict[int, Answer] = {}
    for packed in run_batches(crew, range(len(tasks)), give_up=_no_answer, batch_s=WORTH_S):
        found.update(zip(packed.done, packed.part, strict=True))
    return [found[number] for number in range(len(tasks))]


def _answers(
    work: Callable[[Task], Answer], batch: Sequence[tuple[int, Task]], _: object
) -> Packed[list[Answer]]:
    begun_s = thread_time()
    part = [work(task) for _, task in batch]
    done = tuple(number for number, _ in batch)
    return Packed(part=part, done=done, seconds=thread_time() - begun_s)


def _no_answer(number: int, times: int) -> Packed[list[Any]]:
    raise WorkerDied(f"the process of task {number} died {times} times, the last time alone")


class _Round(Generic[Part]):
    """Who is at what, and how long a task takes."""

    def __init__(
        self,
        crew: Crew,
        numbers: Iterable[int],
        *,
        n_together: int,
        known: Callable[[Sequence[int]], object],
        batch_s: float,
    ) -> None:
        self._crew, self._n_together, self._known, self._batch_s = crew, n_together, known, batch_s
        self._waiting = deque(numbers)
        self._again: deque[int] = deque()
        self._deaths: Counter[int] = Counter()
        self._at_work: dict[Future[Any], Sequence[int]] = {}
        self._n_timed, self._seconds = 0, 0.0

    def answers(self, give_up: Callable[[int, int], Packed[Part]]) -> Iterator[Packed[Part]]:
        while self._waiting or self._again or self._at_work:
            lost = self._hand_out()
            done, _ = wait(self._at_work, return_when=FIRST_COMPLETED)
            for future in done:
                batch = self._at_work.pop(future)
                error = _error_of(future)
                if error is not None and _is_death(error):
                    lost += batch
                    continue
                yield self._taken_in(batch, self._crew.answer(future))
            if lost:
                yield from self._bury(lost, give_up)

    def _taken_in(self, batch: Sequence[int], answer: Packed[Part]) -> Packed[Part]:
        """Note how long tasks take; what the worker did not come to is next."""
        assert answer.done
        self._n_timed += len(answer.done)
        self._seconds += answer.seconds
        done = set(answer.done)
        self._waiting.extendleft(number for number in reversed(batch) if number not in done)
        return answer

    def _hand_out(self) -> list[int]:
        """Fill the crew's hands; return the tasks that it would not take."""
        while len(self._at_work) < self._crew.n_hands:
            batch = self._next_batch()
            if not batch:
                break
            try:
                self._at_work[self._crew.submit(batch, self._known(batch))] = batch
            except BrokenExecutor:
                return list(batch)
        return []

    def _next_batch(self) -> Sequence[int]:
        if self._again and self._deaths[self._again[0]] == DEATHS_MAX - 1:
            # The suspect runs with nothing beside it.
            return [] if self._at_work else [self._again.popleft()]
        if self._again:
            return [self._again.popleft()]
        batch = [self._waiting.popleft() for _ in range(self._batch_size())]
        while batch and self._waiting and self._goes_with(batch[-1], self._waiting[0]):
            batch.append(self._waiting.popleft())
        return batch

    def _goes_with(self, one: int, other: int) -> bool:
        return one // self._n_together == other // self._n_together

    def _batch_size(self) -> int:
        if not self._n_timed:
            return min(1, len(self._waiting))
        a_second = self._n_timed / max(self._seconds, 1e-9)
        by_rest = len(self._waiting) / (2 * self._crew.n_workers)
        size = min(self._batch_s * a_second, max(by_rest, WORTH_S * a_second))
        return min(len(self._waiting), max(1, int(size)))

    def _bury(
        self, lost: list[int], give_up: Callable[[int, int], Packed[Part]]
    ) -> Iterator[Packed[Part]]:
        """Take in what else the dead had in hand, find new workers, and note who was there."""
        if isinstance(self._crew, HiredCrew):
            self._check_hired(lost)
        else:
            for future in wait(self._at_work).done:
                batch = self._at_work.pop(future)
                if future.exception() is None:
                    yield self._taken_in(batch, self._crew.answer(future))
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
            self._crew.submit([], None).result()
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

"""Executors: the one place that decides where tasks run, and never in which order they count.

Any executor with the interface of `concurrent.futures` will do. Our own is a pool of forked
processes: part of a run is compiled code that releases the interpreter lock, the rest is Python
that needs it, so that threads wait for each other some of the time. Forked processes do not, and
inherit compiled kernels, tasks and whatever a notebook has defined without a copy or a second
import. Where forking is not safe (macOS, Windows) threads do: a spawned process would import and
load kernels for seconds, and run the user's script again.
"""

import ctypes
import gc
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.context import ForkContext, ForkProcess
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

Task = TypeVar("Task")
Answer = TypeVar("Answer")

# What a forked worker was born with; filled in such a worker only, never in the user's process.
_inherited: list[Any] = []

# Linux's prctl: the signal that a process gets when the one that made it dies.
_PR_SET_PDEATHSIG: Final = 1


def available_workers() -> int:
    """Count the cores this process may use, which a container can make fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def told_workers(workers: object | None) -> object:
    """Say for a manifest who worked."""
    if workers is None or isinstance(workers, int):
        return workers or available_workers()
    return type(workers).__name__


def can_fork() -> bool:
    """Say whether workers are forked processes, which share nothing, rather than threads."""
    return sys.platform == "linux"


class Crew(Protocol):
    """Whoever works on numbered tasks.

    Attributes
    ----------
    n_workers : how many work at once, as far as that is known.
    n_hands : how many batches to hand out at once: two a worker, so that the next lies ready.
    """

    n_workers: int
    n_hands: int

    def submit(self, numbers: Sequence[int], known: object) -> "Future[Any]": ...

    def answer(self, future: "Future[Any]") -> Any:  # noqa: ANN401 - whatever the work returns
        """Return what came of a batch that raised nothing."""

    def renew(self) -> None:
        """Take new workers for those that died."""

    def stop(self, *, is_done: bool) -> None:
        """Let workers go; those still at work, where it is not done, are ended."""


class ForkedCrew:
    """Processes forked from this one; they die with it, and new ones take their place.

    An answer does not go through the pipe of the pool: a worker that dies while it sends more than
    fits into one would leave everybody waiting for the rest. It is left in memory that this process
    holds, a place for each batch that is out, and outlives the worker.
    """

    def __init__(
        self,
        work: Callable[[Sequence[tuple[int, Task]], Any], Answer],
        tasks: Sequence[Task],
        *,
        workers: int,
    ) -> None:
        self.n_workers, self.n_hands = workers, 2 * workers
        self._born_with = (work, tasks, os.getpid())
        self._open()

    def submit(self, numbers: Sequence[int], known: object) -> "Future[Any]":
        with warnings.catch_warnings():
            # Python warns since 3.12 that other threads exist. They are those of BLAS and of the
            # bar, which hold no lock that a worker takes.
            warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
            future = self._pool.submit(_leave_answer, self._free[-1], numbers, known)
        self._place[future] = self._free.pop()
        return future

    def answer(self, future: "Future[Any]") -> Any:  # noqa: ANN401 - whatever the work returns
        future.result()  # raises what the work has raised
        place = self._place.pop(future)
        answer = pickle.loads(_file_of(place).read_bytes())
        os.ftruncate(place, 0)
        self._free.append(place)
        return answer

    def renew(self) -> None:
        self.stop(is_done=False)
        self._open()

    def stop(self, *, is_done: bool) -> None:
        if not is_done:
            for process in self._context.born:
                process.kill()
        # Waiting is short, as the workers are idle or dead, and leaves no thread of the pool behind
        # that the end of the interpreter would have to wait for.
        self._pool.shutdown(wait=True, cancel_futures=True)
        for place in (*self._free, *self._place.values()):
            os.close(place)

    def _open(self) -> None:
        self._place: dict[Future[Any], int] = {}
        self._free = [os.memfd_create("answer") for _ in range(self.n_hands)]
        self._context = _Remembering()
        self._pool = ProcessPoolExecutor(
            self.n_workers,
            mp_context=self._context,
            initializer=_inherit,
            initargs=self._born_with,
        )


class HiredCrew:
    """An executor of the caller's, which we neither start nor end.

    Parameters
    ----------
    executor : anything with the interface of `concurrent.futures`, or a `distributed.Client`.
    """

    def __init__(
        self,
        executor: Any,  # noqa: ANN401 - by what it can do; Dask need not be installed
        work: Callable[[Sequence[tuple[int, Task]], Any], Answer],
        tasks: Sequence[Task],
    ) -> None:
        is_client = hasattr(executor, "get_executor")
        threads = sum(executor.nthreads().values()) if is_client else None
        self.n_workers = threads or getattr(executor, "_max_workers", None) or 1
        self.n_hands = 2 * self.n_workers
        # Impure: else Dask reads each batch through to name it by what it holds.
        self._executor: Executor = executor.get_executor(pure=False) if is_client else executor
        self._work, self._tasks = work, tasks
        self._handed: set[Future[Any]] = set()

    def submit(self, numbers: Sequence[int], known: object) -> "Future[Any]":
        batch = [(number, self._tasks[number]) for number in numbers]
        future = self._executor.submit(self._work, batch, known)
        self._handed.add(future)
        future.add_done_callback(self._handed.discard)
        return future

    def answer(self, future: "Future[Any]") -> Any:  # noqa: ANN401 - whatever the work returns
        return future.result()

    def renew(self) -> None:
        """Do nothing: an executor that can go on does so by itself."""

    def stop(self, *, is_done: bool) -> None:
        for future in list(self._handed):
            future.cancel()


class ThreadCrew(HiredCrew):
    """Threads of this process, where it cannot be forked."""

    def stop(self, *, is_done: bool) -> None:
        self._executor.shutdown(wait=is_done, cancel_futures=True)


class SerialCrew:
    """The process itself, one task after the other."""

    n_workers = 1
    n_hands = 1

    def __init__(
        self, work: Callable[[Sequence[tuple[int, Task]], Any], Answer], tasks: Sequence[Task]
    ) -> None:
        self._work, self._tasks = work, tasks

    def submit(self, numbers: Sequence[int], known: object) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(self._work([(n, self._tasks[n]) for n in numbers], known))
        return future

    def answer(self, future: "Future[Any]") -> Any:  # noqa: ANN401 - whatever the work returns
        return future.result()

    def renew(self) -> None:
        """Do nothing: what ends this process ends everything."""

    def stop(self, *, is_done: bool) -> None:
        """Do nothing: nobody else works."""


def crew_for(
    work: Callable[[Sequence[tuple[int, Task]], Any], Answer],
    tasks: Sequence[Task],
    *,
    workers: object | None,
    n_waiting: int,
) -> Crew:
    """Choose who works: the caller's executor, or this process, or forks of it, or threads.

    Parameters
    ----------
    workers : how many, at least 1; or an executor; where None, as many as there are cores.
    """
    if workers is not None and not isinstance(workers, int):
        return HiredCrew(workers, work, tasks)
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    n_workers = min(workers or available_workers(), n_waiting)
    if n_workers < 2:
        return SerialCrew(work, tasks)
    if can_fork():
        return ForkedCrew(work, tasks, workers=n_workers)
    return ThreadCrew(ThreadPoolExecutor(n_workers), work, tasks)


class _Remembering(ForkContext):
    """A way to fork that knows whom it has made, so that they can be ended."""

    def __init__(self) -> None:
        super().__init__()
        self.born: list[ForkProcess] = []

    def Process(self, *arguments: Any, **named: Any) -> ForkProcess:  # type: ignore[override]  # noqa: ANN401, N802
        process = ForkProcess(*arguments, **named)
        self.born.append(process)
        return process


def _inherit(work: Callable[..., object], tasks: Sequence[object], parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupt ends a worker at once, silently
    # A worker holds both ends of the queue it reads from, and would wait for a dead parent forever.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    gc.freeze()  # what was inherited is nobody's garbage
    _inherited[:] = [work, tasks]


def _leave_answer(place: int, numbers: Sequence[int], known: object) -> None:
    work, tasks = _inherited
    answer = work([(number, tasks[number]) for number in numbers], known)
    _file_of(place).write_bytes(pickle.dumps(answer))


def _file_of(place: int) -> Path:
    return Path(f"/proc/self/fd/{place}")

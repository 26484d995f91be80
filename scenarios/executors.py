"""Executors: the one place that decides where tasks run, and never in which order they count.

Part of a run is compiled code that releases the interpreter lock, the rest is Python that needs it,
so that threads wait for each other some of the time. Forked processes do not, and inherit compiled
kernels, tasks and whatever a notebook has defined without a copy or a second import. Where
forking is not safe (macOS, Windows) threads do: a spawned process would import and load kernels for
seconds, and run the user's script again.
"""

import gc
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import (
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from multiprocessing import get_context
from typing import Any, TypeVar

Task = TypeVar("Task")
Answer = TypeVar("Answer")

# What a forked worker was born with; filled in such a worker only, never in the user's process.
_inherited: list[Any] = []


def available_workers() -> int:
    """Count the cores this process may use, which a container can make fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def can_fork() -> bool:
    """Say whether workers are forked processes, which share nothing, rather than threads."""
    return sys.platform == "linux"


def run_in_order(
    work: Callable[[Task], Answer],
    tasks: Sequence[Task],
    *,
    workers: int,
    on_done: Callable[[], object] = lambda: None,
) -> list[Answer]:
    """Work through the tasks and return their answers in the order of the tasks.

    Parameters
    ----------
    work : depends on its task alone; what it raises ends the whole. Its answers can be pickled.
    workers : at least 1; with 1 everything runs here.
    on_done : called here after each task, in the order in which they finish.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    workers = min(workers, len(tasks))
    if workers < 2:
        return [_done(work(task), on_done) for task in tasks]
    if not can_fork():
        with ThreadPoolExecutor(workers) as pool:
            return _collect(pool, [pool.submit(work, task) for task in tasks], on_done)
    # The context is passed on: the start method of the process is the user's, and mesa changes it.
    with ProcessPoolExecutor(
        workers, mp_context=get_context("fork"), initializer=_inherit, initargs=(work, tasks)
    ) as pool:
        return _collect(pool, _submit_by_number(pool, len(tasks)), on_done)


def _submit_by_number(pool: Executor, n_tasks: int) -> list[Future[Any]]:
    with warnings.catch_warnings():
        # Python warns since 3.12 that other threads exist. They are those of BLAS and of the bar,
        # which hold no lock that a worker takes.
        warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
        return [pool.submit(_work_on, number) for number in range(n_tasks)]


def _inherit(work: Callable[[Any], object], tasks: Sequence[object]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupt ends a worker at once, silently
    gc.freeze()  # what was inherited is nobody's garbage
    _inherited[:] = [work, tasks]


def _work_on(number: int) -> object:
    work, tasks = _inherited
    return work(tasks[number])


def _collect(
    pool: Executor, futures: Sequence[Future[Answer]], on_done: Callable[[], object]
) -> list[Answer]:
    try:
        for future in as_completed(futures):
            _done(future.result(), on_done)
    except BaseException:  # an interrupt, too, must not wait for what has not begun
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    return [future.result() for future in futures]


def _done(answer: Answer, on_done: Callable[[], object]) -> Answer:
    on_done()
    return answer

"""Executors: the one place that decides where tasks run, and never in which order they count."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def available_workers() -> int:
    """Count the cores this process may use, which a container can make fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def run_in_order(
    work: Callable[[Task], Answer],
    tasks: Sequence[Task],
    *,
    workers: int,
    on_done: Callable[[], object] = lambda: None,
) -> list[Answer]:
    """Work through the tasks and return their answers in the order of the tasks.

    Threads, because the compiled kernels release the interpreter lock, share the compiled code and
    the world, and start at no cost.

    Parameters
    ----------
    work : must not touch shared state; what it raises ends the whole.
    workers : at least 1; with 1 no thread is started.
    on_done : called in this thread after each task, in the order in which they finish.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if workers == 1 or len(tasks) < 2:
        return [_done(work(task), on_done) for task in tasks]
    with ThreadPoolExecutor(max_workers=min(workers, len(tasks))) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        try:
            _watch(futures, on_done)
        except BaseException:  # an interrupt must not wait for what has not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _done(answer: Answer, on_done: Callable[[], object]) -> Answer:
    on_done()
    return answer


def _watch(futures: Sequence[Future[Answer]], on_done: Callable[[], object]) -> None:
    for future in as_completed(futures):
        future.result()
        on_done()

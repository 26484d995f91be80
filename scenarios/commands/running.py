"""What commands that run something need: who works, what is kept meanwhile, and compiling."""

import os
import signal
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hanse.scenarios.cli import INTERRUPTED, INTERRUPTED_LINE
from hanse.scenarios.commands.plain_text import failures_text
from hanse.scenarios.numerals import counted
from hanse.scenarios.results import Results, Shelf
from hanse.scenarios.run import warm_up
from hanse.scenarios.running.store import Store, naming_full_disks


class CommandError(ValueError):
    """A name or a setting on the command line that does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command says on stdout, and whether something in it failed."""

    text: str
    has_failed: bool = False


def answer_of(text: str, results: Results) -> Answer:
    """Say what there is to say, and which runs failed."""
    failures = failures_text(results)
    return Answer(text=f"{text}\n{failures}".rstrip(), has_failed=bool(failures))


def ran_text(results: Results) -> str:
    """Say how much ran, how long, and on how many workers."""
    told = results.manifest
    who = told["workers"]
    workers = counted(who, "worker") if isinstance(who, int) else f"{who} workers"
    return f"{counted(int(str(told['runs'])), 'run')} in {told['elapsed_s']} s on {workers}"


@contextmanager
def kept_in(output: Path, arguments: Namespace) -> Iterator[Store]:
    """Keep each run beside the result to come; an interrupt says what is kept, and where."""
    target = output.resolve()
    path = target.with_name(f"{target.name}.unfinished")
    if arguments.fresh and path.exists():
        with Store(path) as stale:
            stale.discard()
    with Store(path) as store:
        try:
            yield store
        except KeyboardInterrupt:
            n_kept = store.n_runs
            if not n_kept:
                store.discard()
                raise
            shown = output.with_name(path.name)
            raise KeyboardInterrupt(
                f"interrupted; {n_kept} runs are kept in {shown}, and the same command goes on"
            ) from None


def saved(
    results: Results,
    output: Path,
    *,
    store: Store,
    force: bool,
    pages: Mapping[str, str] | None = None,
) -> Results:
    """Save a result where it belongs, and only then let go of its runs."""
    with naming_full_disks(store.path):
        results.save(output, force=force, pages=pages)
    store.discard()
    if not isinstance(results.tables, Shelf):
        return results
    return replace(results, tables=results.tables.moved_to(output.resolve() / "tables"))


@contextmanager
def workers_of(arguments: Namespace) -> Iterator[object]:
    """Find who works: a number of processes, or a client of the scheduler that was named."""
    if (arguments.executor == "dask") != (arguments.scheduler is not None):
        raise CommandError("--executor dask needs --scheduler ADDRESS, and nothing else takes one")
    if arguments.executor == "dask":
        with arguments.connected(arguments.scheduler) as client:
            yield client
    else:
        yield 1 if arguments.executor == "serial" else arguments.workers


def compile_engine() -> None:
    """Compile before anything is timed; an interrupt leaves at once.

    As an exception it would be lost: it may strike in a callback of the compiler, which drops it.
    """
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGINT, _leave)
        try:
            seconds = warm_up()
        finally:
            signal.signal(signal.SIGINT, before)
    else:
        seconds = warm_up()
    note(f"compiled, or fetched what was compiled before, in {seconds:.1f} s")


def _leave(*_: object) -> None:
    sys.stderr.write(f"{INTERRUPTED_LINE}\n")
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def note(text: str) -> None:
    """Say something on stderr that is no result."""
    sys.stderr.write(f"hanse: {text}\n")

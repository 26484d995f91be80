"""Plans: the one place that says what an experiment asks, so that another is never taken for it."""

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

from hanse.market.regime import Rung
from hanse.scenarios.drawing.traces import Trace
from hanse.scenarios.results import versions
from hanse.scenarios.running.tasks import Task

_PACKAGES: Final = ("market", "agents", "verification", "scenarios")
_SOURCES: Final = (".py", ".toml", ".csv")


def plan_of(
    tasks: Sequence[Task], regimes: Sequence[Rung], trace: Trace | None
) -> dict[str, object]:
    """Fix by digests what is run, on which worlds, under which regimes, by which code."""
    return {
        "design": _design_digest(tasks),
        "regimes": [[rung.name, rung.title, rung.change, rung.regime.parts()] for rung in regimes],
        "trace": trace_digest(trace),
        "code": code_digest(),
        "versions": versions(),
    }


@cache
def code_digest() -> str:
    """Digest every source file of the package, names included; once, as it was imported once."""
    root = Path(__file__).resolve().parents[2]
    folders = [root / name for name in _PACKAGES]
    files = sorted(f for folder in folders for f in folder.rglob("*") if f.suffix in _SOURCES)
    state = blake2b(digest_size=16)
    for file in files:
        content = file.read_bytes()
        state.update(f"{file.relative_to(root).as_posix()}:{len(content)}\0".encode())
        state.update(content)
    return state.hexdigest()


def trace_digest(trace: Trace | None) -> str | None:
    """Name the trace that took the place of drawn arrivals by what it holds."""
    if trace is None:
        return None
    state = blake2b(digest_size=16)
    columns = (trace.arrival_us, trace.context_tokens, trace.generated_tokens)
    for column in (*columns, trace.n_units, trace.duration_us):
        state.update(column.tobytes())
    return f"{trace.n_jobs} jobs of {trace.family}, BLAKE2b-128 {state.hexdigest()}"


def _design_digest(tasks: Sequence[Task]) -> str:
    state = blake2b(digest_size=16)
    told: dict[int, str] = {}
    for task in tasks:
        values = told.get(id(task.scenario))
        if values is None:
            text = repr(dict(task.scenario.values)).encode()
            values = told[id(task.scenario)] = blake2b(text, digest_size=16).hexdigest()
        state.update(f"{dict(task.keys)}, {task.seed}, {values}\0".encode())
    return f"{len(tasks)} worlds, BLAKE2b-128 {state.hexdigest()}"

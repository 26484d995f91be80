"""A small sweep with a store, as a process that tests and the fault campaign kill.

`python -m tests.sweep_to_kill FOLDER` ends with the tables in FOLDER/done, and says so.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from hanse.market.regime import ladder
from hanse.scenarios.results import Results
from hanse.scenarios.running import worker
from hanse.scenarios.running.store import Store
from hanse.scenarios.sweep import sweep
from tests.small_runs import broken_rung, tiny

SETTINGS = {"load.hold_share": (0.0, 0.5, 1.0)}
N_SEEDS = 6


def swept(folder: Path, *, workers: object = 2, store: Store | None = None) -> Results:
    """Run the sweep: three points, six seeds, two regimes of which one always fails."""
    rungs = (ladder[3], broken_rung())
    return sweep(
        tiny(), SETTINGS, regimes=rungs, seeds=range(N_SEEDS), workers=workers, store=store
    )


def main() -> None:
    """Keep each run in a store, and save the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before each run")
    parser.add_argument("--singly", action="store_true", help="each run comes back by itself")
    arguments = parser.parse_args()
    if arguments.singly:
        worker.BACK_WITHIN_S = 0.0  # type: ignore[misc]
    run_task = worker.run_task

    def slow(*positional: object, **named: object) -> Iterator[object]:
        for end in run_task(*positional, **named):  # type: ignore[arg-type]
            time.sleep(arguments.pause)
            yield end

    worker.run_task = slow  # type: ignore[assignment]
    with Store(arguments.folder / "kept") as store:
        results = swept(arguments.folder, workers=arguments.workers, store=store)
        results.save(arguments.folder / "done")
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()

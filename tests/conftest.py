"""What every test shares: where the project lies, how examples are drawn, how the session ends."""

import atexit
import faulthandler
import os
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import settings

# Before matplotlib is first imported: a test must not need a display.
os.environ["MPLBACKEND"] = "Agg"

# The same examples on each machine and each day; a failure is found again by running again. The
# first example of a compiled function compiles it, so that no deadline would be fair.
settings.register_profile("hanse", derandomize=True, deadline=None, database=None)
settings.load_profile("hanse")

ENDS_WITHIN_S = 60.0


@pytest.fixture(scope="session")
def project() -> Path:
    """Return the folder of the project."""
    return Path(__file__).parents[1]


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """See to it that the process ends once the last test has, and say what kept it.

    Some thousand tests leave threads of a dozen libraries behind, and one of them that never ends
    would keep the interpreter from ending: the verdict of the tests would be known, and nobody
    would get it. That a sweep's own process ends is tested where sweeps are.
    """
    if hasattr(config, "workerinput"):
        # A worker without tests waits for the others, and is ended by whoever started it.
        return
    status = int(getattr(config.pluginmanager.get_plugin("session"), "exitstatus", 1))

    def end() -> None:
        sys.__stderr__.write(f"\nnot ended {ENDS_WITHIN_S:.0f} s after the last test; threads:\n")
        faulthandler.dump_traceback(sys.__stderr__, all_threads=True)
        leave()

    def leave() -> None:
        for stream in (sys.__stdout__, sys.__stderr__):
            stream.flush()
        os._exit(status)

    guard = threading.Timer(ENDS_WITHIN_S, end)
    guard.daemon = True
    guard.start()
    # Once all threads have ended: the libraries' own ends, in C, are out of the timer's reach.
    atexit.register(leave)

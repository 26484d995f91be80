"""Dask: the one place that connects to a scheduler which the user runs; hanse starts none.

Loaded only where it is asked for; `pip install 'hanse[dask]'` brings what it needs. Workers need
hanse in the same version and what its runs import, and no disk in common.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from distributed import Client

CONNECT_TIMEOUT_S: Final = 10


class SchedulerUnreachable(OSError):
    """Nobody answers at the address, or no worker is there."""


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to a scheduler such as `tcp://host:8786` for the length of a `with` statement."""
    try:
        client = Client(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SchedulerUnreachable(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        if not client.nthreads():
            raise SchedulerUnreachable(f"the Dask scheduler at {address} has no workers")
        yield client

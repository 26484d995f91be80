"""The one place where random streams begin: one per decision, by name."""

from hashlib import blake2b

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the stream of one decision: a Philox generator keyed by the name and the seed.

    Streams are independent of one another and of the order in which they are asked for, so a new
    one never moves the numbers of another.

    Examples
    --------
    >>> bool(stream(7, "arrivals").random() == stream(7, "arrivals").random())
    True
    """
    key = blake2b(f"{seed}\0{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def spawning_stream(seed: int, name: str) -> np.random.Generator:
    """Return a stream for a library that spawns from what it is given, as a keyed one cannot."""
    return np.random.default_rng(int(stream(seed, name).integers(2**63)))

"""What every test shares: where the project lies, and how generated examples are drawn."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Before matplotlib is first imported: a test must not need a display.
os.environ["MPLBACKEND"] = "Agg"

# The same examples on each machine and each day; a failure is found again by running again. The
# first example of a compiled function compiles it, so that no deadline would be fair.
settings.register_profile("hanse", derandomize=True, deadline=None, database=None)
settings.load_profile("hanse")


@pytest.fixture(scope="session")
def project() -> Path:
    """Return the folder of the project."""
    return Path(__file__).parents[1]

"""One pinned run: whatever changes a result shows here first, and its commit says why."""

import json

import pytest

from hanse.market.regime import ladder
from tests.pin_baseline import PIN, pinned_values


@pytest.fixture(scope="module")
def now() -> dict[str, dict[str, float]]:
    """Every measure of the pinned run, as the code gives it now."""
    return pinned_values()


@pytest.mark.parametrize("rung", [rung.name for rung in ladder])
def test_every_measure_of_the_pinned_run_stays_as_it_was(
    rung: str, now: dict[str, dict[str, float]]
) -> None:
    pinned = json.loads(PIN.read_text())[rung]
    # Counts and integers are exact; sums of floats may differ in the last digits between machines.
    assert now[rung] == pytest.approx(pinned, rel=1e-9, abs=1e-12, nan_ok=True)


def test_the_pinned_run_catches_cheats_so_that_redo_is_pinned_too() -> None:
    pinned = json.loads(PIN.read_text())["audited-market"]
    assert pinned["(shared) audits"] > 0
    assert pinned["model_call redos"] + pinned["batch redos"] > 0

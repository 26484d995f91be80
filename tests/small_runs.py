"""Runs that take milliseconds, and one that fails: what the tests of experiments share."""

from dataclasses import replace

from hanse.market.regime import Rule, Rung, ladder
from hanse.scenarios.scenario import Scenario, load

TINY = (
    "fleet.nodes=30",
    "load.model_calls=40",
    "load.batch_jobs=6",
    "measurement.horizon_s=300",
    "measurement.displacement_instants=16",
)


def tiny() -> Scenario:
    """Shrink the baseline until a run takes milliseconds."""
    return load("baseline").with_settings(TINY)


class BrokenRouter:
    """A researcher's router with a bug."""

    def route(self, book: object) -> object:
        raise ZeroDivisionError("the router divides by the number of free units")


def broken_rung() -> Rung:
    """Put a broken router where the compiled rule was."""
    regime = replace(ladder[2].regime, rule=Rule.FOREIGN, router=BrokenRouter())  # type: ignore[arg-type]
    return Rung(name="broken", title="Broken", change="a router that raises", regime=regime)

"""Rewrite the pinned regression run: `make baseline`; the commit explains the difference."""

import json
from pathlib import Path

from hanse.market.regime import ladder
from hanse.scenarios.draw import draw_world
from hanse.scenarios.run import run_world
from hanse.scenarios.scenario import load

PIN = Path(__file__).with_name("baseline.json")
SEED = 7
SETTINGS = {
    "measurement.horizon_s": 600,
    "fleet.nodes": 60,
    "load.model_calls": 400,
    "load.batch_jobs": 60,
    "verification.temptation_share": 0.2,
    "verification.saved_share": 0.9,
}
"""Small, loaded, and with cheats that pay, so that audits catch some of them."""


def pinned_values() -> dict[str, dict[str, float]]:
    """Run every rung of the ladder on the pinned world and return all its measures."""
    world = draw_world(load("baseline").replace(SETTINGS), SEED)
    values: dict[str, dict[str, float]] = {}
    for rung in ladder:
        measures = run_world(world, rung.regime).tables["measures"]
        keys = zip(measures["family"], measures["measure"], strict=True)
        names = [f"{family} {measure}" for family, measure in keys]
        values[rung.name] = dict(zip(names, measures["value"].tolist(), strict=True))
    return values


def main() -> None:
    """Write the pin."""
    PIN.write_text(json.dumps(pinned_values(), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

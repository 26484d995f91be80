"""A scenario as a function: what it returns is what runs measure, and it goes to other workers."""

import pickle

import pandas as pd
import pytest

from hanse.scenarios.as_function import as_function, keywords
from hanse.scenarios.designs import make_design
from hanse.scenarios.outcomes import OutcomeOfInterest
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.run import run
from tests.small_runs import tiny

WAITING = OutcomeOfInterest(name="waiting", measure="waiting_s", family="batch", regime="venues")
GAIN = OutcomeOfInterest(
    name="gain",
    measure="jobs_done",
    family="batch",
    regime="venues",
    versus="dynamic-central",
)


def measured(regime: str, seed: int, measure: str) -> float:
    """Run one world and read one measure of batch work."""
    scenario = tiny().replace({"load.hold_share": 0.75})
    table = pd.DataFrame(run(scenario, regime, seed).tables["measures"])
    return float(table.set_index(["family", "measure"])["value"]["batch", measure])


def test_a_function_returns_means_over_seeds_also_from_another_worker() -> None:
    simulate = pickle.loads(pickle.dumps(as_function(tiny(), [WAITING, GAIN], seeds=(0, 4))))
    waiting = sum(measured("venues", seed, "waiting_s") for seed in (0, 4)) / 2
    done = [
        measured("venues", s, "jobs_done") - measured("dynamic-central", s, "jobs_done")
        for s in (0, 4)
    ]
    found = simulate(load__hold_share=0.75)
    assert found == {"waiting": pytest.approx(waiting), "gain": pytest.approx(sum(done) / 2)}


def test_keywords_are_identifiers_that_the_function_takes() -> None:
    unit = {"low": 0.0, "high": 1.0}
    design = make_design("lhs", {"load.hold_share": unit}, levers={"control.cores": [2]}, n=2)
    found = keywords(design)
    assert list(found) == ["load__hold_share", "control__cores"]
    assert all(name.isidentifier() for name in found)
    simulate = as_function(tiny(), [WAITING], seeds=[0])
    assert set(simulate(load__hold_share=0.1, control__cores=2)) == {"waiting"}


def test_a_function_refuses_what_a_scenario_would() -> None:
    simulate = as_function(tiny(), [WAITING], seeds=[0])
    with pytest.raises(ScenarioError, match="did you mean 'load.hold_share'"):
        simulate(load__hold_shar=1)
    with pytest.raises(ScenarioError, match="load.hold_share must be at most 1"):
        simulate(load__hold_share=2)


def test_a_function_has_one_value_per_outcome() -> None:
    everywhere = OutcomeOfInterest(name="waiting", measure="waiting_s", family="batch")
    with pytest.raises(ScenarioError, match="outcomes.waiting needs a regime"):
        as_function(tiny(), [everywhere], seeds=[0])
    with pytest.raises(ScenarioError, match="at least one outcome"):
        as_function(tiny(), [], seeds=[0])

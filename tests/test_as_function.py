"""A scenario as a function: what it returns is what runs measure, and it goes to other workers."""

import pickle
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest
from SALib.sample import latin

from hanse.scenarios.analysis.designs import make_design
from hanse.scenarios.as_function import as_function, keywords
from hanse.scenarios.outcomes import OutcomeOfInterest
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.run import run
from hanse.scenarios.scenario import load, names
from tests.small_runs import tiny

WAITING = OutcomeOfInterest(name="waiting", measure="waiting_s", family="batch", regime="venues")
GAIN = OutcomeOfInterest(
    name="gain",
    measure="jobs_done",
    family="batch",
    regime="venues",
    versus="dynamic-central",
)

CALLS_WAIT = OutcomeOfInterest(
    name="calls_wait", measure="waiting_s", family="model_call", regime="venues"
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


def called_as_by_a_workbench(
    function: Callable[..., Mapping[str, float]],
    *,
    uncertainties: Mapping[str, object],
    levers: Mapping[str, object],
    outcomes: list[str],
) -> dict[str, float]:
    """Call a function as EMA-workbench does an experiment of its `Model`, in another process.

    It pickles the function, joins an experiment's uncertainties and levers to one mapping, calls
    with nothing but keywords that are identifiers, and looks each outcome up by its name.
    """
    assert all(name.isidentifier() for name in (*uncertainties, *levers, *outcomes))
    output = pickle.loads(pickle.dumps(function))(**{**uncertainties, **levers})
    return {name: output[name] for name in outcomes}


def test_a_function_keeps_the_calling_convention_of_a_workbench() -> None:
    # Samplers hand over numpy's scalars: of a real, of an integer, and words of a category.
    point = {"load__hold_share": np.float64(0.75), "load__batch_jobs": np.int64(6)}
    levers = {"control__cores": np.int64(260), "law__export_rule": np.str_("hard")}
    simulate = as_function(tiny(), [CALLS_WAIT, GAIN], seeds=(0, 4))
    found = called_as_by_a_workbench(
        simulate, uncertainties=point, levers=levers, outcomes=["calls_wait", "gain"]
    )
    plain = simulate(
        load__hold_share=0.75, load__batch_jobs=6, control__cores=260, law__export_rule="hard"
    )
    assert found == plain
    assert found["calls_wait"] > 0
    assert all(type(value) is float for value in found.values())


def test_any_scenario_gives_a_problem_of_salib_that_salib_samples() -> None:
    for name in names():
        unit = {"low": 0.2, "high": 0.9}
        design = make_design("lhs", {"load.hold_share": unit, "control.cores": [26, 260]}, n=2)
        assert len(list(design.scenarios(load(name)))) == 2
        problem = design.problem()
        assert problem["num_vars"] == 2
        sample = latin.sample(problem, 8, seed=1)
        assert sample.shape == (8, 2)
        assert (sample[:, 0] >= 0.2).all()
        assert (sample[:, 0] <= 0.9).all()


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

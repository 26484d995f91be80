"""Induced demand: when quicker steps make slower tasks, on paper and through the engine."""

import numpy as np
import pytest

from hanse.market.regime import regimes
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.growth.induced_demand import (
    is_paradox,
    slope_of_task,
    steps_of,
    task_s,
    whole_steps,
)
from hanse.scenarios.measuring.latency import latency
from hanse.scenarios.scenario import Scenario, load
from hanse.scenarios.selftest.checks import run_ledger
from hanse.scenarios.selftest.latency import chain_latency, chain_world

DECODE = "load.decode_tokens_per_gpu_s"
CASES = [
    (inference_s, coordination_s, elasticity)
    for inference_s, coordination_s in ((1.0, 1.0), (0.3, 0.7), (2.0, 0.5), (0.05, 2.0))
    for elasticity in (0.0, 0.2, 0.45, 0.9, 1.5)
]


@pytest.mark.parametrize(("inference_s", "coordination_s", "elasticity"), CASES)
def test_o14_quicker_inference_makes_slower_tasks_iff_elasticity_exceeds_its_share(
    inference_s: float, coordination_s: float, elasticity: float
) -> None:
    def task(each_s: float) -> float:
        return float(
            task_s(
                np.array(each_s),
                np.array(coordination_s),
                n0=10.0,
                at_s=1.0,
                elasticity=elasticity,
            )
        )

    step = 1e-6 * inference_s
    numeric = (task(inference_s + step) - task(inference_s - step)) / (2 * step)
    exact = float(
        slope_of_task(
            np.array(inference_s),
            np.array(coordination_s),
            n0=10.0,
            at_s=1.0,
            elasticity=elasticity,
        )
    )
    assert exact == pytest.approx(numeric, rel=1e-6, abs=1e-6)
    slows = elasticity > inference_s / (inference_s + coordination_s)
    assert (exact < 0) is slows
    assert is_paradox(inference_s, coordination_s, elasticity=elasticity) is slows


def test_an_elasticity_of_one_keeps_the_inference_of_a_task() -> None:
    each_s = np.array([2.0, 1.0, 0.5])
    steps = steps_of(np.array(8.0), each_s, at_s=1.0, elasticity=1.0)
    assert (steps * each_s).tolist() == [8.0, 8.0, 8.0]


def test_whole_steps_stay_as_they_were_without_elasticity_and_within_bounds() -> None:
    n0 = np.array([1, 2, 5, 40])
    assert whole_steps(n0, speed_up=10.0, elasticity=0.0, most=50).tolist() == n0.tolist()
    assert whole_steps(n0, speed_up=1.0, elasticity=2.0, most=50).tolist() == n0.tolist()
    assert whole_steps(n0, speed_up=4.0, elasticity=0.5, most=50).tolist() == [2, 4, 10, 50]
    assert whole_steps(n0, speed_up=0.01, elasticity=1.0, most=50).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("elasticity", [0.0, 0.25, 0.75, 1.25])
@pytest.mark.parametrize("tool_s", [1.0, 3.0])
def test_o14_the_engine_shows_the_paradox_on_the_side_that_paper_says(
    elasticity: float, tool_s: float
) -> None:
    # Each step takes 1 s or half of it; the share of inference is 1 / (1 + tool) at 1 s.
    took_s, shares = [], []
    for inference_s in (1.0, 0.5):
        steps = whole_steps(
            np.array([20]), speed_up=1.0 / inference_s, elasticity=elasticity, most=10_000
        )
        found = chain_latency(chain_world(int(steps[0]), work_s=inference_s, tool_s=tool_s))
        took_s.append(found.total_us[0] / US_PER_S)
        shares.append(found.coordination_share(with_tools=True))
    # Over a whole halving the mean share counts: T falls iff 2^e (1/2 + tool) < 1 + tool.
    expected = 2.0**elasticity * (0.5 + tool_s) > 1.0 + tool_s
    assert bool(took_s[1] > took_s[0]) is expected
    assert shares[1] > shares[0]


def agentic(speed_up: float, elasticity: float) -> Scenario:
    """Ask for workflows on a fleet in plenty, decoded so many times as fast as usual."""
    usual = load("agentic").number(DECODE)
    return load("agentic").replace(
        {
            "fleet.nodes": 400,
            "load.agentic_jobs": 150,
            "load.batch_jobs": 0,
            "load.step_elasticity": elasticity,
            "measurement.horizon_s": 1800,
            DECODE: usual * speed_up,
        }
    )


def test_workflows_have_more_calls_where_decoding_is_quick_and_demand_is_elastic() -> None:
    plain, quick = (draw_world(agentic(speed, 0.0), 1).workload for speed in (1.0, 4.0))
    assert (plain.stage_job == quick.stage_job).all()
    more = draw_world(agentic(4.0, 0.5), 1).workload
    most = load("agentic").count("load.agentic_calls_max")
    calls, asked = (np.bincount(work.stage_job) for work in (plain, more))
    assert asked.tolist() == np.minimum(2 * calls, most).tolist()


def test_quicker_decoding_makes_quicker_workflows_unless_their_steps_are_elastic() -> None:
    mean_s = {}
    for elasticity in (0.0, 1.2):
        for speed_up in (1.0, 4.0):
            world = draw_world(agentic(speed_up, elasticity), 1)
            ledger = run_ledger(world, regimes["welfare-rule"])
            found = latency(ledger, world.workload)
            assert len(found.job) > 0.9 * world.workload.n_jobs
            mean_s[elasticity, speed_up] = float(found.total_us.mean()) / US_PER_S
    assert mean_s[0.0, 4.0] < mean_s[0.0, 1.0]
    assert mean_s[1.2, 4.0] > mean_s[1.2, 1.0]

"""Each family on the engine: every law of conservation, and what its graphs are for."""

import numpy as np
import pytest

from hanse.agents.world import World
from hanse.market.engine.states import COMPLETE
from hanse.market.regime import AUDITED_MARKET, Regime, ladder
from hanse.scenarios.draw import draw_world
from hanse.scenarios.scenario import Value, load
from hanse.scenarios.tables import region_index
from tests.strategies import Finished, finish
from tests.test_conservation import LAWS

REGIMES = {"central": ladder[0].regime, "dynamic-central": ladder[3].regime} | {
    "audited-market": AUDITED_MARKET
}
SMALL: dict[str, Value] = {
    "fleet.nodes": 60,
    "measurement.horizon_s": 900,
    "measurement.displacement_instants": 16,
    "load.model_calls": 20,
    "load.batch_jobs": 6,
    "load.code_arrival_cv": 1.0,
    "verification.temptation_share": 0.2,
    "verification.saved_share": 0.9,
}
FAMILIES: dict[str, dict[str, Value]] = {
    "inference": {"load.inference_jobs": 60},
    "agentic": {"load.agentic_jobs": 40, "load.agentic_tail_exponent": 0.8},
    "multimodal": {"load.multimodal_jobs": 20, "load.multimodal_alignment": "pairwise"},
    "training": {
        "load.training_jobs": 3,
        "load.training_shards": 3,
        "load.training_steps": 20,
        "load.training_steps_per_round": 4,
        "load.training_step_s": 2.0,
    },
    "hybrid": {"load.hybrid_jobs": 6, "load.hybrid_iterations": 12},
    "pipeline": {
        "load.pipeline_jobs": 3,
        "load.pipeline_train_s": 20.0,
        "load.pipeline_regions": ("de-fra", "anywhere", "anywhere"),
        "load.pipeline_classes": ("any", "any", "quantum"),
        "fleet.classes": ("h100", "quantum"),
        "fleet.class_shares": (0.9, 0.1),
        "fleet.class_regions": ("anywhere", "nl-ams"),
        "load.resident_share": 0.0,
        "fleet.nodes": 120,
    },
}


def small_world(family: str, **changes: Value) -> World:
    return draw_world(load("baseline").replace(SMALL | FAMILIES[family] | changes), 5)


@pytest.mark.parametrize("regime", REGIMES.values(), ids=REGIMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_obeys_every_law_of_conservation(family: str, regime: Regime) -> None:
    world = small_world(family)
    run = finish(world, regime, n_payments=100_000)
    assert (world.workload.job_family == world.workload.family.index(family)).sum() > 0
    assert [law.__name__ for law in LAWS if not law(run)] == []


def placed(run: Finished) -> dict[int, set[int]]:
    """Return the regions that did the stages bound to each region, -1 for those that are not."""
    bond = run.world.workload.stage_region[run.work["stage"]]
    region = run.ledger.unit["region"][run.work["unit"]]
    return {one: set(region[bond == one].tolist()) for one in np.unique(bond).tolist()}


def test_bound_stages_run_where_they_are_bound_and_on_the_class_they_name() -> None:
    run = finish(small_world("pipeline"), ladder[3].regime, n_payments=100_000)
    regions = placed(run)
    assert regions[region_index("de-fra")] == {region_index("de-fra")}
    assert len(regions[-1]) > 1
    is_quantum = run.world.workload.stage_class[run.work["stage"]] == 1
    where = run.ledger.unit["region"][run.work["unit"]]
    assert set(where[is_quantum].tolist()) == {region_index("nl-ams")}


@pytest.mark.parametrize("family", ["agentic", "multimodal", "training", "hybrid", "pipeline"])
def test_no_job_is_faster_than_its_longest_path(family: str) -> None:
    world = small_world(family, **{"fleet.occupied_share": 0.0, "load.batch_jobs": 0})
    run = finish(world, ladder[3].regime, n_payments=100_000)
    work, done_us = world.workload, run.ledger.job_done_us
    end_us = work.stage_work_us.copy()
    for before, after in zip(work.edge_from.tolist(), work.edge_to.tolist(), strict=True):
        tool_us, own_us = work.stage_tool_us[after], work.stage_work_us[after]
        end_us[after] = max(end_us[after], end_us[before] + tool_us + own_us)
    longest_us = np.zeros(work.n_jobs, np.int64)
    np.maximum.at(longest_us, work.stage_job, end_us)
    jobs = np.flatnonzero((done_us >= 0) & (work.job_family == 2))
    assert len(jobs) > 0
    assert (run.ledger.stage["status"][np.isin(work.stage_job, jobs)] == COMPLETE).all()
    assert (done_us[jobs] - work.job_arrival_us[jobs] > longest_us[jobs]).all()

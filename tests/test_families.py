"""Families drawn as graphs of stages, beside the figures and the templates they are drawn from.

Tolerances are four standard errors, so that a correct draw fails once in 16,000 new seeds; the
seeds are fixed.
"""

from collections import Counter
from math import comb

import numpy as np
import pytest

from hanse.agents.lowering import lower_facts
from hanse.agents.workload import Workload
from hanse.agents.world import World
from hanse.market.engine.bits import unpack
from hanse.market.regime import ladder
from hanse.market.units import Floats, Integers
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.agentic import Role, draw_agentic, draw_calls_per_job, draw_workflows
from hanse.scenarios.drawing.families import FAMILIES, draw_inference
from hanse.scenarios.drawing.multimodal import draw_multimodal, n_joint_combinations
from hanse.scenarios.drawing.rounds import draw_hybrid, draw_pipeline, draw_training
from hanse.scenarios.drawing.tapes import Tape
from hanse.scenarios.scenario import Scenario, ScenarioError, Value, load, names
from hanse.scenarios.streams import stream
from hanse.scenarios.tables import region_index

ERRORS = 4.0
BASELINE = load("baseline")
NEW = FAMILIES[2:]
FEW: dict[str, Value] = {
    "load.model_calls": 200,
    "load.batch_jobs": 40,
    "load.code_arrival_cv": 1.0,
    **{f"load.{family}_jobs": 20 for family in NEW},
}


def steady(family: str, n_jobs: int, **changes: Value) -> Scenario:
    """Ask for many jobs of one family, evenly enough that their number is near the expected one."""
    values = {f"load.{family}_{name}": value for name, value in changes.items()}
    return BASELINE.replace(
        {f"load.{family}_jobs": n_jobs, f"load.{family}_arrival_cv": 1.0} | values
    )


def within(measured: float, expected: float, error: float) -> bool:
    return abs(measured - expected) < ERRORS * error


def share_error(share: float, size: int) -> float:
    return float((share * (1 - share) / size) ** 0.5)


def job_of(tape: Tape) -> Integers:
    return np.repeat(np.arange(len(tape.n_stages)), tape.n_stages)


def work_s(tape: Tape) -> Floats:
    total: Floats = np.bincount(job_of(tape), tape.work_us) / 1e6
    return total


# What a scenario asks for, and nothing else.


def test_no_family_but_the_two_of_the_baseline_occurs_unasked() -> None:
    assert all(BASELINE.number(f"load.{family}_jobs") == 0 for family in NEW)
    assert draw_world(BASELINE, 1).workload.family == ("model_call", "batch")


@pytest.mark.parametrize("family", NEW)
def test_a_family_that_is_asked_for_leaves_the_others_as_they_were(family: str) -> None:
    few = {"load.model_calls": 200, "load.batch_jobs": 40}
    alone = draw_world(BASELINE.replace(few), 1).workload
    beside = draw_world(BASELINE.replace({**few, f"load.{family}_jobs": 20}), 1).workload
    assert beside.family == ("model_call", "batch", family)
    is_new = beside.job_family == 2
    assert 0 < is_new.sum() < 100
    is_old = ~is_new[beside.stage_job]
    assert np.array_equal(beside.job_arrival_us[~is_new], alone.job_arrival_us)
    for name in ("work_us", "input_bytes", "context_tokens", "tool_us"):
        old, now = getattr(alone, f"stage_{name}"), getattr(beside, f"stage_{name}")
        assert np.array_equal(now[is_old], old), name


def test_all_families_together_keep_their_own_stages_and_edges() -> None:
    work = draw_world(BASELINE.replace(FEW), 1).workload
    assert work.family == FAMILIES
    assert (np.diff(work.job_arrival_us) > 0).all()
    drawn = {"agentic": draw_agentic, "training": draw_training, "hybrid": draw_hybrid}
    for family, draw in drawn.items():
        tape = draw(BASELINE.replace(FEW), 1)
        assert graphs_of(work, family) == tape_graphs(tape), family


def graphs_of(work: Workload, family: str) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Return works and edges of each job of a family, stages counted within the job."""
    jobs = np.flatnonzero(work.job_family == work.family.index(family))
    return _graphs(jobs, work.stage_job, work.stage_work_us, (work.edge_from, work.edge_to))


def tape_graphs(tape: Tape) -> list[tuple[list[int], list[tuple[int, int]]]]:
    jobs = np.arange(len(tape.n_stages))
    return _graphs(jobs, job_of(tape), tape.work_us, (tape.edge_from, tape.edge_to))


def _graphs(
    jobs: Integers, stage_job: Integers, work_us: Integers, edges: tuple[Integers, Integers]
) -> list[tuple[list[int], list[tuple[int, int]]]]:
    found = []
    for job in jobs.tolist():
        begin, end = np.searchsorted(stage_job, [job, job + 1])
        own = (edges[1] >= begin) & (edges[1] < end)
        local = (edges[0][own] - begin).tolist(), (edges[1][own] - begin).tolist()
        found.append((work_us[begin:end].tolist(), list(zip(*local, strict=True))))
    return found


@pytest.mark.parametrize("name", [name for name in names() if name != "week"])
def test_every_scenario_of_the_library_draws_a_whole_world(name: str) -> None:
    world = draw_world(load(name), 3)
    work = world.workload
    assert (work.job_arrival_us < world.horizon_us).all()
    assert (work.job_deadline_us > work.job_arrival_us).all()
    assert (work.stage_work_us >= 1).all()
    assert set(work.stage_job.tolist()) == set(range(work.n_jobs))
    is_first = np.ones(work.n_stages, bool)
    is_first[work.edge_to] = False
    assert not work.stage_tool_us[is_first].any()
    # Every stage finds nodes of its class somewhere.
    assert set(work.stage_class.tolist()) <= set(world.fleet.node_class.tolist())


@pytest.mark.parametrize("family", ["agentic", "training", "hybrid", "pipeline"])
def test_a_deadline_is_a_time_or_a_multiple_of_the_longest_path(family: str) -> None:
    draw = {
        "agentic": draw_agentic,
        "training": draw_training,
        "hybrid": draw_hybrid,
        "pipeline": draw_pipeline,
    }[family]
    short = draw(steady(family, 50, deadline_s=0.001, deadline_multiple=2), 1)
    for job, (work, edges) in enumerate(tape_graphs(short)):
        begin = int(short.n_stages[:job].sum())
        end_us = list(work)
        for before, after in edges:
            wait_us = int(short.tool_us[begin + after])
            end_us[after] = max(end_us[after], end_us[before] + wait_us + work[after])
        patience_us = short.deadline_us[job] - short.arrival_us[job]
        assert abs(patience_us - 2 * max(end_us)) <= 1
    patient = draw(steady(family, 50, deadline_s=1e6, deadline_multiple=2), 1)
    assert set((patient.deadline_us - patient.arrival_us).tolist()) == {10**12}


@pytest.mark.parametrize(
    ("family", "follows"),
    [("inference", True), ("agentic", True), ("multimodal", True), ("hybrid", False)],
)
def test_what_people_ask_for_follows_the_hours_of_the_day(family: str, follows: bool) -> None:
    day = {"measurement.horizon_s": 86_400, "load.daily_profile": True}
    alone = {"load.model_calls": 0, "load.batch_jobs": 0}
    work = draw_world(steady(family, 5_000).replace(day | alone), 1).workload
    hour = work.job_arrival_us / 3.6e9
    # Von Mises with kappa 0.9: the half day around 14 h has 0.758 of the arrivals.
    share = 0.758 if follows else 0.5
    is_by_day = (hour > 8) & (hour < 20)
    assert within(is_by_day.mean(), share, share_error(share, len(hour)))


# Inference.


def test_long_calls_have_the_quantiles_of_mooncake() -> None:
    # Work is prompt / 2,800 + answer / 50, bytes are 4 a token.
    tape = draw_inference(steady("inference", 50_000), 1)
    prompt = tape.input_bytes / 4
    for share, expected, density in ((0.5, 6_909, 0.3989), (0.9, 27_367, 0.1755)):
        error = (share * (1 - share) / len(prompt)) ** 0.5 * 1.07 / density
        # Parameters have three digits: 0.005 of mu and 0.005 x 1.28 of sigma.
        assert abs(np.log(np.quantile(prompt, share) / expected)) < ERRORS * error + 0.012
    assert (tape.n_stages == 1).all()
    assert len(tape.edge_to) == 0


# Agentic workflows.


def test_calls_per_job_have_their_published_shares() -> None:
    calls = draw_calls_per_job(BASELINE, stream(1, "calls"), 100_000)
    for share, is_so in ((0.59, calls == 1), (0.23, calls == 2), (0.18, calls >= 3)):
        assert within(is_so.mean(), share, share_error(share, len(calls)))


@pytest.mark.parametrize("exponent", [1.0, 1.5, 3.0])
def test_the_tail_of_calls_falls_as_a_power(exponent: float) -> None:
    scenario = BASELINE.replace({"load.agentic_tail_exponent": exponent})
    calls = draw_calls_per_job(scenario, stream(1, "calls"), 200_000)
    long = calls[calls >= 3]
    for least in (4, 6, 12, 64):
        share = (3 / least) ** exponent
        assert within((long >= least).mean(), share, share_error(share, len(long)))
    assert calls.max() == 64


def test_a_workflow_has_planners_agents_and_evaluators_in_rounds() -> None:
    graphs = draw_workflows(BASELINE.replace({"load.agentic_tail_exponent": 1.0}), 1, 5_000)
    for n_calls, roles in zip(
        graphs.n_stages.tolist(),
        np.split(graphs.role, np.cumsum(graphs.n_stages)[:-1]),
        strict=True,
    ):
        count = Counter(roles.tolist())
        if n_calls < 3:
            assert roles.tolist() == [Role.PLANNER, Role.AGENT][2 - n_calls :]
            continue
        assert roles[0] == Role.PLANNER
        assert roles[-1] == Role.EVALUATOR
        assert count[Role.PLANNER] == count[Role.EVALUATOR] <= count[Role.AGENT]


def test_rounds_are_asked_for_as_often_as_evaluators_ask_for_them() -> None:
    # Jobs of 64 calls have room for 21 rounds, so their number is geometric.
    scenario = BASELINE.replace(
        {
            "load.one_call_share": 0,
            "load.agentic_two_call_share": 0,
            "load.agentic_tail_exponent": 0.5,
            "load.agentic_replan_share": 0.4,
        }
    )
    graphs = draw_workflows(scenario, 1, 40_000)
    n_rounds = np.bincount(graphs.job[graphs.role == Role.PLANNER])
    n_rounds = n_rounds[graphs.n_stages == 64]
    error = (0.4 / 0.6**2 / len(n_rounds)) ** 0.5
    assert len(n_rounds) > 1_000
    assert within(n_rounds.mean(), 1 / 0.6, error)


def test_no_more_agents_work_side_by_side_than_allowed() -> None:
    for most in (1, 4):
        graphs = draw_workflows(BASELINE.replace({"load.agentic_agents_max": most}), 1, 5_000)
        agents = np.flatnonzero(graphs.role == Role.AGENT)
        side_by_side = Counter(
            zip(graphs.job[agents].tolist(), graphs.depth[agents].tolist(), strict=True)
        )
        assert max(side_by_side.values()) == most


def test_agents_turn_to_tools_retrievers_and_memories_by_weight() -> None:
    """Medians a hundredfold apart and no spread tell the choices apart by their waits."""
    scenario = steady(
        "agentic", 20_000, retriever_s=0.004, memory_s=0.04, choice_weights=[4, 3, 2, 1]
    ).replace({"load.tool_median_s": 0.4, "load.tool_p95_s": 0.4})
    tape = draw_agentic(scenario, 1)
    graphs = draw_workflows(scenario, 1, len(tape.n_stages))
    wait_s = tape.tool_us[(graphs.role == Role.AGENT) & ~graphs.is_first] / 1e6
    for share, median_s in ((0.4, 0.4), (0.3, 0.004), (0.2, 0.04), (0.1, 0.0)):
        assert within((wait_s == median_s).mean(), share, share_error(share, len(wait_s)))
    assert not tape.tool_us[graphs.role != Role.AGENT].any()


def test_a_call_that_is_made_again_reads_and_writes_the_same() -> None:
    scenario = steady("agentic", 5_000, agents_max=1, repeat_share=0.2, tail_exponent=0.5)
    tape = draw_agentic(scenario, 1)
    follows = draw_workflows(scenario, 1, len(tape.n_stages)).follows
    goes_on = np.flatnonzero(follows >= 0)
    is_same = tape.work_us[goes_on] == tape.work_us[follows[goes_on]]
    assert within(is_same.mean(), 0.2, share_error(0.2, len(goes_on)))
    none = draw_agentic(scenario.replace({"load.agentic_repeat_share": 0}), 1)
    assert np.mean(none.work_us[goes_on] == none.work_us[follows[goes_on]]) < 1e-3


def test_a_joining_call_inherits_what_all_before_it_read_and_wrote() -> None:
    tape = draw_agentic(steady("agentic", 2_000, tail_exponent=0.5), 1)
    prompt = tape.input_bytes / 4
    answer = 50 * (tape.work_us / 1e6 - prompt / 2800)
    expected = np.bincount(tape.edge_to, (prompt + answer)[tape.edge_from], minlength=len(prompt))
    n_before = np.bincount(tape.edge_to, minlength=len(prompt))
    assert n_before.max() == 4
    # Work is rounded to a microsecond, which is 0.00005 / 2 of a token.
    assert abs(tape.context_tokens - expected).max() < 0.51


# Multimodal jobs.


@pytest.mark.parametrize("n_modalities", [1, 2, 3, 5])
@pytest.mark.parametrize("alignment", ["barrier", "pairwise", "joint"])
def test_modalities_are_aligned_as_asked(n_modalities: int, alignment: str) -> None:
    scenario = steady("multimodal", 50, modalities=n_modalities, alignment=alignment)
    tape = draw_multimodal(scenario, 1)
    n_pairs = comb(n_modalities, 2)
    n_aligned = {"barrier": 0, "pairwise": n_pairs, "joint": 1}[alignment]
    assert set(tape.n_stages.tolist()) == {n_modalities + n_aligned + 1}
    n_edges = {
        "barrier": n_modalities,
        "pairwise": 3 * n_pairs if n_pairs else 1,
        "joint": n_modalities + 1,
    }
    assert len(tape.edge_to) == n_edges[alignment] * len(tape.n_stages)


def test_joint_alignment_counts_combinations_up_to_its_order() -> None:
    # Five modalities: 10 pairs of 3 x 3 states, 10 triples of 27.
    assert n_joint_combinations(5, levels=3, order=3) == 10 * 9 + 10 * 27
    # All orders: every subset with a state for each of its members, less singles and nothing.
    assert n_joint_combinations(5, levels=3, order=5) == 4**5 - 1 - 5 * 3
    scenario = steady("multimodal", 20, modalities=5, alignment="joint", levels=3, align_s=0.01)
    tape = draw_multimodal(scenario, 1)
    aligning = np.cumsum(tape.n_stages) - 2
    assert set(tape.work_us[aligning].tolist()) == {900_000}


def test_with_one_level_joint_work_is_the_sum_of_the_pairwise() -> None:
    shape = {"modalities": 4, "levels": 1, "align_s": 0.25}
    pairwise, joint, barrier = (
        draw_multimodal(steady("multimodal", 20, **shape, alignment=alignment), 1)
        for alignment in ("pairwise", "joint", "barrier")
    )
    assert work_s(pairwise) == pytest.approx(work_s(joint))
    assert work_s(joint) == pytest.approx(work_s(barrier) + 6 * 0.25)


def test_each_modality_is_as_likely_as_another_and_stands_once_in_a_job() -> None:
    scenario = steady("multimodal", 5_000, modalities=2, encode_sigma=0, encode_s=[1, 2, 3, 4, 5])
    tape = draw_multimodal(scenario, 1)
    first = np.cumsum(tape.n_stages) - tape.n_stages
    modality = np.concatenate([tape.work_us[first], tape.work_us[first + 1]]) // 1_000_000
    assert (tape.work_us[first] < tape.work_us[first + 1]).all()
    n_jobs = len(first)
    for one in range(1, 6):
        assert within((modality == one).sum() / n_jobs, 0.4, share_error(0.4, n_jobs))


# Training, hybrid loops and pipelines.


@pytest.mark.parametrize(("per_round", "n_rounds"), [(1, 12), (5, 3), (12, 1), (50, 1)])
def test_training_takes_the_same_steps_in_however_many_rounds(
    per_round: int, n_rounds: int
) -> None:
    scenario = steady(
        "training",
        40,
        shards=3,
        steps=12,
        steps_per_round=per_round,
        step_s=2,
        join_s=0.5,
        exchange_gb=1,
        work_sigma=0,
    )
    tape = draw_training(scenario, 1)
    assert set(tape.n_stages.tolist()) == {4 * n_rounds}
    # 3 shards x 12 steps x 2 s, and half a second to join each round
    assert work_s(tape) == pytest.approx(72 + 0.5 * n_rounds)
    # Each round 3 GB come in, and 3 GB go out again to the next.
    moved_gb = np.bincount(job_of(tape), tape.input_bytes) / 1e9
    assert moved_gb == pytest.approx(3 * n_rounds + 3 * (n_rounds - 1))


def test_shards_differ_and_their_mean_stays() -> None:
    scenario = steady("training", 3_000, steps_per_round=1_000, work_sigma=0.5)
    tape = draw_training(scenario, 1)
    is_shard = np.arange(len(tape.work_us)) % 9 < 8
    ratio = tape.work_us[is_shard] / 500e6
    assert within(ratio.mean(), 1.0, ratio.std() / len(ratio) ** 0.5)
    assert within(np.log(ratio).std(), 0.5, 0.5 / (2 * len(ratio)) ** 0.5)


def test_a_hybrid_job_is_a_chain_with_a_quantum_answer_between_any_two_stages() -> None:
    tape = draw_hybrid(steady("hybrid", 100, iterations=7, quantum_s=0.000004), 1)
    assert set(tape.n_stages.tolist()) == {7}
    assert np.array_equal(tape.edge_from + 1, tape.edge_to)
    assert len(tape.edge_to) == 6 * len(tape.n_stages)
    assert set(tape.tool_us[tape.edge_to].tolist()) == {4}
    assert tape.tool_us.sum() == 4 * len(tape.edge_to)


@pytest.fixture(scope="module")
def pipeline() -> World:
    return draw_world(load("pipeline"), 1)


def test_a_pipeline_trains_is_checked_and_loops(pipeline: World) -> None:
    work = pipeline.workload
    for works, edges in graphs_of(work, "pipeline"):
        assert len(works) == 4 + 8 + 10
        trained = [(train, check) for check in range(4, 12) for train in range(4)]
        joined = [(check, 12) for check in range(4, 12)]
        assert edges == trained + joined + [(stage - 1, stage) for stage in range(13, 22)]


def test_the_parts_of_a_pipeline_are_bound_where_the_scenario_binds_them(pipeline: World) -> None:
    work, facts = pipeline.workload, lower_facts(pipeline, ladder[0].regime)
    admits = unpack(facts.admissible, len(facts.sink))[facts.stage["signature"]]
    region, accelerator = facts.sink["region"], facts.sink["accelerator"]
    job = int(np.flatnonzero(work.job_family == 2)[0])
    stages = np.flatnonzero(work.stage_job == job)
    for stage, place in ((stages[0], "de-fra"), (stages[4], "sg-sin"), (stages[12], "nl-ams")):
        assert set(region[admits[stage]].tolist()) == {region_index(place)}
    assert set(accelerator[admits[stages[12]]].tolist()) == {1}
    calls = np.flatnonzero(work.job_family[work.stage_job] != 2)
    assert admits[calls][:, accelerator == 0].any(axis=1).all()
    assert not admits[calls][:, accelerator == 1].any()


def test_the_law_binds_a_bound_stage_as_well() -> None:
    scenario = load("pipeline").replace({"load.resident_share": 1})
    world = draw_world(scenario, 1)
    facts = lower_facts(world, ladder[0].regime)
    admits = unpack(facts.admissible, len(facts.sink))[facts.stage["signature"]].any(axis=1)
    work = world.workload
    checks = (work.stage_region == region_index("sg-sin")).nonzero()[0]
    origin = work.job_origin[work.stage_job[checks]]
    may = world.law.may_serve[1, origin, region_index("sg-sin")]
    assert np.array_equal(admits[checks], may)
    assert not may.all()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "load.pipeline_regions=de-fra,sg-sin,nl-amz",
            "load.pipeline_regions must be anywhere or one of",
        ),
        ("load.pipeline_regions=de-fra", "must have 3 items (training, checks, loop), got 1"),
        ("load.pipeline_classes=any,any,quantum", "load.pipeline_classes must be any or one of"),
        ("fleet.class_regions=anywhere,nl-ams", "one region for all classes or one per class (1)"),
        ("fleet.class_regions=nl-am", "got 'nl-am'; did you mean 'nl-ams'?"),
        ("load.agentic_choice_weights=0,0,0,0", "load.agentic_choice_weights must not all be 0"),
        ("load.multimodal_encode_s=1,2", "must have 5 items (text, vision, audio, video, struct"),
        ("load.multimodal_alignment=pairs", "did you mean 'pairwise'?"),
    ],
)
def test_a_family_that_cannot_be_drawn_is_refused(setting: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        BASELINE.with_settings([setting])
    assert message in str(caught.value)


def test_shares_of_calls_above_one_are_refused_where_they_matter() -> None:
    too_many = {"load.one_call_share": 0.9}
    BASELINE.replace(too_many)
    with pytest.raises(ScenarioError, match=r"must sum to at most 1, got 1\.13"):
        load("agentic").replace(too_many)

"""The yardstick: one reference per world, and what each regime loses against it."""

from dataclasses import replace

import numpy as np
import pytest

from hanse.agents.lowering import lower_facts
from hanse.agents.world import World
from hanse.market.regime import Plane, Rule, Rung, ladder
from hanse.scenarios.draw import draw_world
from hanse.scenarios.experiment import Task, compare, run_task
from hanse.scenarios.measuring.measures import Table
from hanse.scenarios.run import run_world
from hanse.scenarios.scenario import load
from hanse.scenarios.yardstick import measure_bound, measure_yardstick
from tests.small_runs import tiny

SMALL = {"fleet.nodes": 30, "load.model_calls": 120, "load.batch_jobs": 10}


def world_of(scenario: str, **settings: float) -> World:
    return draw_world(load(scenario).replace(SMALL | settings), 3)


def values(table: Table, measure: str) -> dict[str, float]:
    """Look one measure up by family."""
    here = table["measure"] == measure
    return dict(zip(table["family"][here].tolist(), table["value"][here].tolist(), strict=True))


@pytest.mark.parametrize("rung", [r for r in ladder if r.regime.rule is Rule.WELFARE])
def test_without_friction_a_welfare_rung_loses_only_what_settling_costs(rung: Rung) -> None:
    world = world_of("frictionless")
    run = run_world(world, rung.regime, yardstick=measure_yardstick(world))
    reference = values(run.tables["measures"], "reference_welfare_usd")
    loss = values(run.tables["measures"], "coordination_loss_usd")
    capital = values(run.tables["measures"], "capital_usd")
    scale = sum(abs(usd) for usd in reference.values())
    for family, lost in loss.items():
        # Capital follows the prices and the settlement that a regime has; nothing else differs.
        assert abs(lost) <= abs(capital.get(family, 0.0)) + 1e-9 * scale


def test_a_loss_is_the_reference_less_the_run_in_every_family() -> None:
    world = world_of("baseline")
    yardstick = measure_yardstick(world)
    for rung in (ladder[0], ladder[-1]):
        table = run_world(world, rung.regime, yardstick=yardstick).tables["measures"]
        reference, loss = (
            values(table, name) for name in ("reference_welfare_usd", "coordination_loss_usd")
        )
        welfare = values(table, "welfare_usd")
        assert list(reference.values()) == yardstick.reference_usd.tolist()
        assert set(loss) == {*world.workload.family, "(shared)"}
        assert loss == {family: reference[family] - welfare[family] for family in loss}


def test_delay_and_stale_views_cost_welfare_against_the_reference() -> None:
    slow = world_of("baseline", **{"control.clearing_interval_s": 60.0, "control.cores": 1.0})
    run = run_world(slow, ladder[4].regime, yardstick=measure_yardstick(slow))
    assert sum(values(run.tables["measures"], "coordination_loss_usd").values()) > 0


def test_all_regimes_of_a_world_share_one_reference() -> None:
    scenario = tiny()
    task = Task(keys={"scenario": scenario.name}, scenario=scenario, seed=1)
    ended = list(run_task(task, ladder))
    assert len(ended) == len(ladder)
    references = [
        np.array(list(values(run.tables["measures"], "reference_welfare_usd").values()))
        for run in ended
    ]
    assert all(np.array_equal(one, references[0]) for one in references)
    assert all(np.array_equal(run.reference_usd, references[0]) for run in ended)
    assert ["reference" in run.seconds for run in ended] == [True] + [False] * (len(ladder) - 1)


def test_who_goes_on_with_a_world_need_not_work_its_reference_out_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = Task(keys={"scenario": "tiny"}, scenario=tiny(), seed=1)
    whole = list(run_task(task, ladder[:3]))
    monkeypatch.setattr(
        "hanse.scenarios.yardstick.reference_ledger", lambda *_, **__: pytest.fail("again")
    )
    rest = list(run_task(task, ladder[1:3], reference_usd=whole[0].reference_usd))
    for one, again in zip(whole[1:], rest, strict=True):
        assert one.keys == again.keys
        for name, table in one.tables.items():
            for column, values_there in table.items():
                np.testing.assert_array_equal(again.tables[name][column], values_there)


def test_no_rung_and_no_reference_reaches_above_the_planner_s_bound() -> None:
    world = world_of("baseline", **{"measurement.horizon_s": 900})
    bound, yardstick = measure_bound(world), measure_yardstick(world)
    assert bound.bound_usd >= yardstick.reference_usd.sum()
    for rung in ladder:
        measures = run_world(world, rung.regime).tables["measures"]
        assert bound.bound_usd >= sum(values(measures, "welfare_usd").values())


def test_no_ladder_is_walked_for_what_belongs_to_no_family() -> None:
    comparison = compare(tiny(), seeds=[0, 1], regimes=ladder[:2], workers=1)
    for table in (comparison.levels, comparison.differences):
        assert "(shared)" not in set(table["family"])
    measures = comparison.results.frame("measures")
    assert "(shared)" in set(measures["family"][measures["measure"] == "coordination_loss_usd"])


def in_bytes(value: object) -> object:
    """Return what a column is made of, or each column of a tuple of them."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.tobytes()
    return tuple(in_bytes(one) for one in value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("plane", list(Plane))
def test_facts_that_are_shared_are_those_that_are_lowered_anew(plane: Plane) -> None:
    world, regime = world_of("baseline"), replace(ladder[-1].regime, plane=plane)
    lowered = lower_facts(world, ladder[0].regime)
    shared, anew = lower_facts(world, regime, lowered=lowered), lower_facts(world, regime)
    for name, one, other in zip(shared._fields, shared, anew, strict=True):
        assert in_bytes(one) == in_bytes(other), name

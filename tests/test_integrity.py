"""Replications are proved distinct, and a sweep whose are not is refused."""

from collections.abc import Iterator
from copy import copy
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from hanse.agents.world import World
from hanse.market.regime import ladder
from hanse.market.units import Floats
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.traces import Trace
from hanse.scenarios.experiment import Task, compare, run_tasks
from hanse.scenarios.integrity import ReplicationsRepeat
from hanse.scenarios.running import tasks
from hanse.scenarios.scenario import Scenario
from tests.small_runs import tiny


@pytest.mark.parametrize("workers", [1, 2])
def test_seeds_that_draw_the_same_world_are_refused(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deaf(scenario: Scenario, seed: int, *, trace: Trace | None = None) -> World:
        """Draw as tools do that share one generator among forks: every third world is new."""
        return replace(draw_world(scenario, seed % 3, trace=trace), seed=seed)

    monkeypatch.setattr(tasks, "draw_world", deaf)
    with pytest.raises(ReplicationsRepeat, match=r"seeds \d and \d drew the same world"):
        compare(tiny(), seeds=range(4), regimes=ladder[:1], workers=workers)


def test_the_digest_of_luck_leaves_the_seed_out_and_nothing_else() -> None:
    digests = draw_world(tiny(), 3).digests()
    world = draw_world(tiny(), 3)
    again, later = replace(world, seed=4), replace(world, horizon_us=world.horizon_us + 1)
    assert again.digests().luck == digests.luck
    assert again.digest() != world.digest() == digests.world
    assert draw_world(tiny(), 4).digests().luck != digests.luck
    assert later.digests().luck != digests.luck


def test_the_digest_of_luck_reads_every_column() -> None:
    world = draw_world(tiny(), 3)
    lucks = [other.digests().luck for other in _with_one_value_changed(world)]
    assert len(lucks) > 40
    assert len({world.digests().luck, *lucks}) == len(lucks) + 1


def test_the_digest_is_of_what_a_long_column_holds_however_it_lies_in_memory() -> None:
    world = draw_world(tiny().replace({"load.model_calls": 600}), 3)
    one_for_all = world.workload.attempt_service
    assert one_for_all.nbytes > 32_768
    assert one_for_all.strides == (0, 0)
    in_full = one_for_all.copy()
    assert _with_service(world, in_full).digests() == world.digests()
    digests = {world.digest()}
    for place in (0, in_full.size // 2, in_full.size - 1):
        other = in_full.copy()
        other.flat[place] = np.nextafter(1.0, 2.0)
        digests.add(_with_service(world, other).digest())
    digests.add(_with_service(world, 2.0 * in_full).digest())
    digests.add(_with_service(world, in_full.reshape(-1, 2)).digest())
    assert len(digests) == 6


def _with_service(world: World, column: Floats) -> World:
    workload = copy(world.workload)
    object.__setattr__(workload, "attempt_service", column)
    return replace(world, workload=workload)


def _with_one_value_changed(world: World) -> Iterator[World]:
    for field in fields(world):
        part = getattr(world, field.name)
        for name in [f.name for f in fields(part)] if is_dataclass(part) else []:
            column = getattr(part, name)
            if isinstance(column, np.ndarray) and column.size:
                other = column.copy()
                other.flat[-1] = not other.flat[-1] if other.dtype == bool else other.flat[-1] + 1
                changed = copy(part)  # as it is: a graph with one edge changed may be refused
                object.__setattr__(changed, name, other)
                yield replace(world, **{field.name: changed})


def test_a_design_that_names_a_world_twice_is_refused_before_anything_runs() -> None:
    task = Task(keys={"scenario": "tiny"}, scenario=tiny(), seed=7)
    with pytest.raises(ReplicationsRepeat, match="seed 7 comes twice at scenario tiny"):
        run_tasks([task, task], ladder[:1], workers=1, progress=False, trace=None)


def test_the_same_world_at_two_points_is_no_repetition() -> None:
    both = [Task(keys={"scenario": "t", "point": k}, scenario=tiny(), seed=7) for k in (0, 1)]
    outcomes = run_tasks(both, ladder[:1], workers=1, progress=False, trace=None)
    lucks = [luck for part in outcomes.collection.parts() for luck in part.luck]
    assert lucks[0] == lucks[1] != ""

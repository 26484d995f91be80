"""Regions that go by an old policy: what crosses into them is sent back, and nothing else is."""

from dataclasses import replace

import numpy as np
import pytest

from hanse.agents.world import Outages, World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import LAPSED, STALENESS
from hanse.market.regime import Cadence, Rung, ladder
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.selftest.checks import run_ledger
from tests.small_runs import tiny
from tests.strategies import HUB, world_of

LATE = replace(HUB, cadence=Cadence.ON_ARRIVAL)


def diverging(world: World, *rows: tuple[int, float, float]) -> World:
    """Let regions (region, from second, until second) go by an old policy."""
    region, from_s, until_s = np.array(rows, float).reshape(-1, 3).T
    divergences = Outages(
        region=region.astype(np.int64),
        from_us=(from_s * US_PER_S).astype(np.int64),
        until_us=(until_s * US_PER_S).astype(np.int64),
    )
    return replace(world, divergences=divergences)


def far_job(*rows: tuple[int, float, float], **terms: float) -> Ledger:
    """Run one job of 8 s, from region 0 at 1 s, for which there is a unit in region 1 alone."""
    settings = {"bounce_limit": 3, "delay_scale": 1.0} | terms
    scale = settings.pop("delay_scale")
    world = world_of(
        arrival_s=[1.0],
        work_s=[8.0],
        units=[1],
        n_regions=2,
        one_way_s=1.0,
        control_delay_scale=scale,
        **settings,  # type: ignore[arg-type]
    )
    return run_ledger(diverging(world, *rows), LATE)


def test_a_region_with_an_old_policy_sends_back_what_crosses_into_it() -> None:
    undisturbed, ledger = far_job(), far_job((1, 0.0, 4.0))
    assert undisturbed.n_bounces == 0
    assert ledger.n_bounces >= 1
    assert ledger.job_done_us[0] > undisturbed.job_done_us[0]
    assert (ledger.record["accepted_us"] >= 4 * US_PER_S).all()


def test_a_divergence_elsewhere_or_at_another_time_changes_nothing() -> None:
    undisturbed = far_job()
    for rows in (((0, 0.0, 90.0),), ((1, 50.0, 90.0),)):
        assert far_job(*rows).job_done_us.tolist() == undisturbed.job_done_us.tolist()


def test_work_that_stays_at_home_is_not_refused() -> None:
    world = world_of(arrival_s=[1.0], work_s=[8.0], units=[0], n_regions=2, one_way_s=1.0)
    assert run_ledger(diverging(world, (0, 0.0, 90.0)), LATE).n_bounces == 0


def test_who_is_sent_back_too_often_lapses_for_staleness() -> None:
    ledger = far_job((1, 0.0, 100.0))
    assert ledger.n_bounces == 4  # three are allowed
    assert ledger.stage["status"].tolist() == [LAPSED]
    assert ledger.stage["lapse_cause"].tolist() == [STALENESS]


@pytest.mark.parametrize("rung", [ladder[0], ladder[4]], ids=lambda rung: rung.name)
def test_the_longer_regions_lag_behind_the_more_is_sent_back_under_any_regime(rung: Rung) -> None:
    bounces = []
    for lag_s in (0.0, 1.0, 5.0, 25.0, 125.0):
        scenario = tiny().replace(
            {"failure.policy_changes_per_day": 2_000, "failure.policy_lag_s": lag_s}
        )
        worlds = [draw_world(scenario, seed) for seed in range(4)]
        bounces.append(sum(run_ledger(world, rung.regime).n_bounces for world in worlds))
    assert bounces == sorted(bounces)
    assert bounces[-1] > bounces[0]

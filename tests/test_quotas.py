"""Quotas: how many units a buyer may have at once, as its plane knows it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import RULE, UNMATCHED
from hanse.market.regime import Admission, Cadence, Regime
from hanse.market.units import US_PER_S, Integers
from hanse.scenarios.selftest.checks import run_ledger
from tests.strategies import HUB, SmallWorld, all_regimes, finish, small_worlds, world_of

QUOTAS = replace(HUB, admission=Admission.QUOTA)
WITH_QUOTAS = [regime for regime in all_regimes() if regime.admission is Admission.QUOTA]


def starts(ledger: Ledger) -> list[tuple[int, int, float]]:
    """Return (stage, unit, second of acceptance) of each execution, by stage."""
    work = ledger.record[ledger.work]
    columns = (work["stage"], work["unit"], work["accepted_us"] / US_PER_S)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def two_buyers(**terms: float) -> World:
    """Let the first buyer ask at 1 and 2 s, the second at 3 s, for 10 s each; there are two units.

    The units are far from nowhere: the plane, both buyers and both units are at no distance.
    """
    world = world_of(
        arrival_s=[1.0, 2.0, 3.0],
        work_s=[10.0, 10.0, 10.0],
        origin=[0, 0, 1],
        units=[0, 0],
        n_regions=2,
        **({"quota_share": 0.5} | terms),
    )
    return replace(world, sample_instant_us=np.arange(100) * US_PER_S + US_PER_S // 2)


def test_a_buyer_at_its_quota_waits_beside_an_idle_unit() -> None:
    run = finish(two_buyers(), QUOTAS)
    assert starts(run.ledger) == [(0, 0, 1.0), (1, 0, 11.0), (2, 1, 3.0)]
    assert run.ledger.time_us[:, UNMATCHED].tolist() == [0, 9 * US_PER_S, 0]
    # From 2 to 3 s the second request waits and the second unit is idle: the rule forbids it.
    by_cause = run.measured.cost.displacement_gpu_s.sum(axis=(0, 1, 3))
    assert by_cause[RULE] == pytest.approx(1.0)
    assert by_cause.sum() == pytest.approx(1.0)


def test_without_a_quota_the_first_buyer_has_both_units() -> None:
    assert starts(run_ledger(two_buyers(), HUB))[:2] == [(0, 0, 1.0), (1, 1, 2.0)]
    # Two units are the whole share; half a unit is one all the same.
    assert starts(run_ledger(two_buyers(quota_share=1.0), QUOTAS))[:2] == [(0, 0, 1.0), (1, 1, 2.0)]
    assert starts(run_ledger(two_buyers(quota_share=0.2), QUOTAS))[1] == (1, 0, 11.0)


def test_a_quota_is_full_until_the_plane_sees_the_unit_free() -> None:
    # Free at 11 s, seen at the refresh of 14 s.
    world = two_buyers(refresh_interval_us=7 * US_PER_S)
    assert starts(run_ledger(world, QUOTAS))[1] == (1, 0, 14.0)


def test_who_came_first_has_what_is_left_of_the_quota() -> None:
    world = world_of(
        arrival_s=[1.0, 2.0, 3.0, 4.0],
        work_s=[10.0, 4.0, 1.0, 1.0],
        units=[0, 0, 0],
        quota_share=1 / 3,
        clearing_interval_us=5 * US_PER_S,
    )
    cleared = replace(QUOTAS, cadence=Cadence.AT_INTERVAL)
    # All four are there at 5 s; the quota is one unit, given in the order of arrival.
    assert [second for _, _, second in starts(run_ledger(world, cleared))] == [
        5.0,
        15.0,
        20.0,
        25.0,
    ]


def most_at_once(ledger: Ledger, buyer: int) -> int:
    """Count the units that a buyer's executions occupy at once, at the worst instant."""
    work = ledger.record[ledger.work]
    work = work[ledger.stage_fact["buyer"][work["stage"]] == buyer]
    at_us: Integers = np.concatenate([work["end_us"], work["accepted_us"]])
    change = np.repeat([-1, 1], len(work))
    # What ends at an instant is gone before what begins at it.
    return int(np.cumsum(change[np.lexsort((change, at_us))]).max(initial=0))


@given(
    small=small_worlds(),
    regime=st.sampled_from(WITH_QUOTAS),
    share=st.floats(0.0, 1.0, allow_nan=False),
)
def test_no_buyer_ever_has_more_than_its_quota(
    small: SmallWorld, regime: Regime, share: float
) -> None:
    small = replace(small, terms=replace(small.terms, quota_share=share))
    world = small.build()
    ledger = finish(world, regime).ledger
    quota = max(1, int(share * world.fleet.n_nodes))
    for buyer in range(len(world.workload.buyer_region)):
        assert most_at_once(ledger, buyer) <= quota


@given(small=small_worlds(), regime=st.sampled_from(WITH_QUOTAS))
def test_a_quota_of_everything_is_none(small: SmallWorld, regime: Regime) -> None:
    small = replace(small, terms=replace(small.terms, quota_share=1.0))
    world = small.build()
    bound, free = (
        run_ledger(world, replace(regime, admission=admission))
        for admission in (Admission.QUOTA, Admission.OPEN)
    )
    assert bound.record.tobytes() == free.record.tobytes()
    assert bound.time_us.tobytes() == free.time_us.tobytes()
    assert bound.plane.tobytes() == free.plane.tobytes()

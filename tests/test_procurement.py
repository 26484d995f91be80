"""Procurement and disputes: people work alike for whoever routes."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.agents.world import World
from hanse.market.engine.states import CAUGHT
from hanse.market.regime import AUDITED_MARKET, CENTRAL, Regime
from hanse.scenarios.draw import draw_world
from tests.failing import mechanism_worlds
from tests.small_runs import tiny
from tests.strategies import Finished, all_regimes, finish

DOSES = (0.0, 0.5, 2.0, 8.0, 40.0)


def procuring(world: World, hours: float, regime: Regime) -> Finished:
    """Run a world in which procurement takes so many hours, at 60 USD each."""
    terms = replace(world.terms, procurement_person_hours=hours, person_usd_per_hour=60.0)
    return finish(replace(world, terms=terms), regime)


def bought_from(run: Finished) -> set[tuple[int, int]]:
    """Look up who bought from whom, record by record; own units are not bought."""
    pairs = set()
    for row in run.work:
        fact = run.ledger.stage_fact[row["stage"]]
        owner = int(run.ledger.offer["owner"][run.ledger.unit["offer"][row["unit"]]])
        if fact["first_party"] != owner:
            pairs.add((int(fact["buyer"]), owner))
    return pairs


@settings(max_examples=60)
@given(world=mechanism_worlds(), regime=st.sampled_from(all_regimes()))
def test_hours_are_counted_once_for_each_buyer_and_owner(world: World, regime: Regime) -> None:
    without, run = (procuring(world, hours, regime) for hours in (0.0, 3.0))
    extra = run.measured.welfare.person_hours.sum() - without.measured.welfare.person_hours.sum()
    assert extra == pytest.approx(3.0 * len(bought_from(run)), abs=1e-9)


@pytest.mark.parametrize("regime", [CENTRAL, AUDITED_MARKET])
def test_each_hour_is_a_resource_and_changes_nothing_that_happens(regime: Regime) -> None:
    runs = [procuring(draw_world(tiny(), 0), hours, regime) for hours in DOSES]
    assert len({run.work.tobytes() for run in runs}) == 1
    resource = [run.measured.welfare.resource_usd.sum() for run in runs]
    n_pairs = len(bought_from(runs[0]))
    assert n_pairs > 1
    for hours, usd in zip(DOSES, resource, strict=True):
        assert usd - resource[0] == pytest.approx(60.0 * hours * n_pairs)


@settings(max_examples=40)
@given(world=mechanism_worlds(), regime=st.sampled_from(all_regimes()))
def test_people_work_on_each_result_that_is_found_wrong(world: World, regime: Regime) -> None:
    runs = []
    for hours in (0.0, 2.5):
        terms = replace(world.terms, dispute_person_hours=hours, person_usd_per_hour=60.0)
        runs.append(finish(replace(world, terms=terms), regime))
    caught = int((runs[1].work["outcome"] == CAUGHT).sum())
    extra = (
        runs[1].measured.welfare.person_hours.sum() - runs[0].measured.welfare.person_hours.sum()
    )
    assert extra == pytest.approx(2.5 * caught, abs=1e-9)
    assert runs[0].work.tobytes() == runs[1].work.tobytes()


def test_disputes_cost_hours_where_cheats_are_caught() -> None:
    world = draw_world(tiny().with_settings(["verification.audit_probability=0.5"]), 0)
    usd = []
    for hours in DOSES:
        terms = replace(world.terms, dispute_person_hours=hours, person_usd_per_hour=60.0)
        cheap = replace(terms, stake_multiple=0.0, temptation_share=1.0)
        run = finish(replace(world, terms=cheap), AUDITED_MARKET)
        n_caught = int((run.work["outcome"] == CAUGHT).sum())
        assert n_caught > 0
        usd.append(run.measured.welfare.resource_usd.sum() - 60.0 * hours * n_caught)
    assert usd == pytest.approx([usd[0]] * len(DOSES))

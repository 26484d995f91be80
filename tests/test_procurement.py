"""Procurement: people work once for each owner that a buyer buys from, whoever routes."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.agents.world import World
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

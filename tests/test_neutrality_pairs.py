"""Neutrality between any two regimes on any small world: N1 to N4 and N6, as properties.

`test_neutrality.py` holds the same on the library's worlds and the named regimes.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hanse.agents.lowering import lower_facts
from hanse.agents.world import World
from hanse.market.accounts.essential_cost import essential_cost
from hanse.market.accounts.ledger import Ledger
from hanse.market.regime import Admission, Audits, Plane, Pricing, Regime, Rule
from hanse.scenarios.measuring.measures import measure
from hanse.scenarios.run import run_world
from hanse.scenarios.yardstick import measure_yardstick
from tests.failing import mechanism_worlds
from tests.strategies import (
    Finished,
    SmallWorld,
    all_regimes,
    finish,
    finished,
    frictionless_worlds,
    with_fleet,
    with_jobs,
)
from tests.test_neutrality import (
    RULE_ALONE,
    allocation,
    blamed,
    control_core_us,
    metered_debt,
    reference,
)
from tests.test_regimes import real

ALL: Final = all_regimes()
# To execute everything twice is no friction, and a quota is a rule.
UNREPLICATED: Final = [regime for regime in ALL if regime.audits is not Audits.REPLICATION]
SHARING: Final = [
    regime
    for regime in UNREPLICATED
    if regime.rule is Rule.WELFARE
    and (regime.plane.shares_books or regime.plane is Plane.HUB)
    and regime.admission is Admission.OPEN
]
UNAUDITED: Final = [
    regime for regime in ALL if regime.rule is Rule.WELFARE and regime.audits is Audits.NONE
]


def pairs(regimes: list[Regime]) -> st.SearchStrategy[tuple[Regime, Regime]]:
    """Draw two different regimes."""
    index = st.integers(0, len(regimes) - 1)
    return (
        st.tuples(index, index)
        .filter(lambda two: two[0] != two[1])
        .map(lambda two: (regimes[two[0]], regimes[two[1]]))
    )


@settings(max_examples=80)
@given(small=frictionless_worlds(), pair=pairs(SHARING))
def test_n1_without_friction_two_welfare_regimes_make_one_allocation(
    small: SmallWorld, pair: tuple[Regime, Regime]
) -> None:
    world = small.build()
    one, other = (allocation(finish(world, regime).ledger) for regime in pair)
    assert one == other == allocation(reference(world, pair[1]))


@settings(max_examples=80)
@given(small=frictionless_worlds(), pair=pairs(UNREPLICATED))
def test_n1_without_friction_any_two_regimes_cost_nothing_but_the_rule(
    small: SmallWorld, pair: tuple[Regime, Regime]
) -> None:
    for regime in pair:
        run = finished(small, regime)
        assert blamed(run) <= RULE_ALONE
        assert metered_debt(run) == 0.0
        assert control_core_us(run) == 0


@settings(max_examples=40)
@given(world=mechanism_worlds(), pair=pairs(ALL))
def test_n2_two_regimes_that_swap_names_swap_no_measure(
    world: World, pair: tuple[Regime, Regime]
) -> None:
    for regime, name, other_name in zip(pair, ("one", "other"), ("other", "one"), strict=True):
        first = run_world(world, regime, name=name, digest="-").tables
        second = run_world(world, regime, name=other_name, digest="-").tables
        assert first.keys() == second.keys()
        for table, columns in first.items():
            for column, values in columns.items():
                assert np.array_equal(
                    values, second[table][column], equal_nan=values.dtype.kind == "f"
                )


@settings(max_examples=40)
@given(world=mechanism_worlds(), pair=pairs(ALL))
def test_n3_two_regimes_are_measured_by_one_yardstick(
    world: World, pair: tuple[Regime, Regime]
) -> None:
    yardstick = measure_yardstick(world)
    for regime in pair:
        ledger = reference(world, regime)
        welfare = measure(world, ledger).welfare.welfare_usd
        assert welfare.tolist() == yardstick.reference_usd.tolist()
        essential = essential_cost(lower_facts(world, regime), world.terms)
        for name in essential.__dataclass_fields__:
            assert np.array_equal(getattr(essential, name), getattr(yardstick.essential, name))


def messages_alone(world: World) -> World:
    """Let each message, receipt and verdict cost a core-microsecond, and nothing else any."""
    its_terms = replace(
        world.terms,
        service_posted_us=0.0,
        service_welfare_us=0.0,
        service_message_us=1.0,
        service_edge_us=0.0,
        service_solve_us=0.0,
        receipt_verify_us=1.0,
        settlement_us=0.0,
    )
    world = replace(world, terms=its_terms)
    ones = np.ones_like(world.workload.attempt_service)
    return with_jobs(world, attempt_service=ones)


def least_messages(run: Finished, *, escrow: bool) -> int:
    """Count the messages that the records prove, all but passed on and still to be decided."""
    ledger = run.ledger
    n_commands = int((run.work["accepted_us"] >= 0).sum()) + ledger.n_bounces
    return n_commands * (1 + (3 if escrow else 1))


@settings(max_examples=80)
@given(world=mechanism_worlds(), pair=pairs(ALL))
def test_n4_every_message_of_either_regime_is_charged(
    world: World, pair: tuple[Regime, Regime]
) -> None:
    world = messages_alone(world)
    for regime in pair:
        run = finish(world, regime)
        n_messages = int(run.ledger.plane["n_messages"].sum())
        assert control_core_us(run) == n_messages
        # For each command a request came in and something went out; reports come on top.
        reports = int(run.ledger.plane["refresh_core_us"].sum())
        assert n_messages - reports >= least_messages(run, escrow=regime.settlement == 1)
        # What planes work off is charged to nobody twice.
        carried = run.ledger.stage["decision_core_us"] + run.ledger.stage["verification_core_us"]
        assert carried.sum() + reports <= n_messages


def without_capital(world: World) -> World:
    """Leave out the one resource that is charged on prices."""
    return replace(world, terms=replace(world.terms, capital_rate_per_year=0.0))


def real_measures(world: World, ledger: Ledger) -> list[list[float]]:
    """Return synchronization cost, debt in kind and welfare."""
    measured = measure(world, ledger)
    debt = [a for a in measured.debt if a.resource != "usd"]
    return [
        measured.cost.displaced_gpu_s.ravel().tolist(),
        [a.mean_stock for a in debt] + [a.accrual for a in debt] + [a.default for a in debt],
        measured.welfare.welfare_usd.tolist(),
    ]


@settings(max_examples=60)
@given(world=mechanism_worlds(), pair=pairs(UNAUDITED), margin=st.sampled_from([0.5, 1.3, 20.0]))
def test_n6_neither_regime_s_prices_change_anything_real(
    world: World, pair: tuple[Regime, Regime], margin: float
) -> None:
    world = without_capital(world)
    posted = world.fleet.node_posted_usd_per_gpu_hour
    dear = with_fleet(world, node_posted_usd_per_gpu_hour=posted * margin)
    for regime in pair:
        runs = [
            finish(priced, replace(regime, pricing=pricing)).ledger
            for priced in (world, dear)
            for pricing in Pricing
        ]
        others = runs[1:]
        assert [real(run) for run in others] == [real(runs[0])] * len(others)
        expected = real_measures(world, runs[0])
        assert [real_measures(world, run) for run in others] == [expected] * len(others)


@settings(max_examples=20)
@given(world=mechanism_worlds(), regime=st.sampled_from(UNAUDITED))
def test_n6_those_prices_do_change_what_is_paid(world: World, regime: Regime) -> None:
    world = without_capital(world)
    posted = replace(regime, pricing=Pricing.POSTED)
    dear = with_fleet(
        world, node_posted_usd_per_gpu_hour=world.fleet.node_posted_usd_per_gpu_hour * 20.0
    )
    one, other = finish(world, posted), finish(dear, posted)
    assume(one.work["payment_micro_usd"].sum() > 0)
    assert other.work["payment_micro_usd"].sum() > one.work["payment_micro_usd"].sum()

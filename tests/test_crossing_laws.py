"""Kinds of boundaries and laws of conditions: whose they are, what they count, how they grow."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.market.crossings import (
    ADDITIVE,
    JOINT,
    KINDS,
    LAWS,
    ORDER_T,
    Boundaries,
    CrossingTables,
    condition_count,
    crossing_tables,
    rule_count,
)
from hanse.market.engine.states import ON_POLICY, ON_STATE
from hanse.market.regime import CENTRAL, MARKET
from hanse.scenarios.selftest.oracle_worlds import FREE_CROSSINGS, line_geography
from tests.borders import border, crossed, in_state_ms

COUNTED = replace(
    FREE_CROSSINGS,
    law=ADDITIVE,
    rule_levels=1,
    policy_rule_us=1_000.0,
    rule_dimensions=1,
    identity_conditions=10,
    authority_conditions=100,
    transport_conditions=1_000,
    modality_conditions=10_000,
)
"""A rule per condition and a millisecond per rule: the digits say which kinds a crossing meets."""

# The first two regions share trust and transport, the middle two the jurisdiction.
PLACES = Boundaries(
    trust_domain=np.array([0, 0, 1, 2]),
    policy_domain=np.array([0, 1, 2, 3]),
    transport=np.array([0, 0, 1, 0]),
)
GEOGRAPHY = replace(
    line_geography(4, rtt_ms=10.0),
    jurisdiction=("a", "b", "c"),
    region_jurisdiction=np.array([0, 1, 1, 2]),
)


def tables(**changes: object) -> CrossingTables:
    costs = replace(COUNTED, **changes)  # type: ignore[arg-type]
    return crossing_tables(GEOGRAPHY, costs, PLACES)


def test_a_crossing_has_the_conditions_of_the_kinds_that_it_meets() -> None:
    # 0-1 policy, authority; 0-2 all; 0-3 no transport; 1-2 no authority; 2-3 all.
    expected = [
        [0, 101, 1_111, 111],
        [101, 0, 1_011, 111],
        [1_111, 1_011, 0, 1_111],
        [111, 111, 1_111, 0],
    ]
    met = tables()
    assert (met.policy_us // 1_000).tolist() == expected
    modal = np.where(np.eye(4) == 1, 0, np.array(expected) + 10_000)
    assert (met.policy_modal_us // 1_000).tolist() == modal.tolist()


@pytest.mark.parametrize(
    ("kind", "conditions"),
    [("identity", 1_101), ("authority", 1_011), ("transport", 111), ("modality", 1_111)],
)
def test_a_kind_that_takes_no_part_adds_no_condition(kind: str, conditions: int) -> None:
    rest = tuple(one for one in KINDS if one != kind)
    assert tables(participation=rest).policy_us[0, 2] == 1_000 * conditions


def test_an_operation_is_due_only_where_its_boundary_is_met() -> None:
    costs = {"identity_full_us": 7.0, "authority_round_trips": 1.0, "round_trip_scale": 1.0}
    met = tables(**costs)
    assert (met.identity_full_us > 0).tolist() == (
        PLACES.trust_domain[:, None] != PLACES.trust_domain
    ).tolist()
    law = GEOGRAPHY.region_jurisdiction
    assert (met.authority_us > 0).tolist() == (law[:, None] != law).tolist()
    assert (met.state_rtt_us > 0).tolist() == (~np.eye(4, dtype=bool)).tolist()
    alone = tables(participation=("transport",), **costs)
    for name in ("identity_full_us", "policy_us", "policy_core_us", "authority_us"):
        assert not getattr(alone, name).any()


def test_the_counts_are_those_of_the_oracle() -> None:
    # b = 3: order 1, 2, 3 and the product, of ten and of twenty conditions.
    for dimensions, expected in (
        (10, [31, 436, 3_676, 59_049]),
        (20, [61, 1_771, 32_551, 3_486_784_401]),
    ):
        found = [condition_count(ORDER_T, dimensions, 3, order) for order in (1, 2, 3)]
        assert [*found, condition_count(JOINT, dimensions, 3, 2)] == expected
        assert condition_count(ADDITIVE, dimensions, 3, 2) == 3 * dimensions


@given(dimensions=st.integers(0, 30), levels=st.integers(1, 6), order=st.integers(0, 6))
def test_laws_are_ordered_and_grow_as_they_say(dimensions: int, levels: int, order: int) -> None:
    def counts(law: str) -> list[int]:
        return [condition_count(law, dimensions + k, levels, order) for k in range(order + 3)]

    # The additive law is linear; the differences of order t + 1 of the law of order t vanish; the
    # joint law multiplies.
    assert not np.diff(counts(ADDITIVE), 2).any()
    assert not np.diff(np.array(counts(ORDER_T), dtype=object), order + 1).any()
    assert all(after == levels * before for before, after in pairwise(counts(JOINT)))
    assert rule_count(dimensions, levels, dimensions) == (1 + levels) ** dimensions


@pytest.mark.parametrize("law", LAWS)
def test_policy_and_state_follow_the_law_in_the_ledger_of_every_regime(law: str) -> None:
    for dimensions in (0, 2, 4, 6, 8):
        costs = replace(
            FREE_CROSSINGS,
            law=law,
            rule_dimensions=dimensions,
            rule_levels=3,
            interaction_order=2,
            policy_rule_us=1_000.0,
            state_rule_us=100.0,
            authority_conditions=1,
        )
        n = condition_count(law, dimensions + 1, 3, 2)
        for regime in (CENTRAL, MARKET):
            ledger = crossed(border([1.0], costs), regime)
            assert in_state_ms(ledger, ON_POLICY) == [n]
            assert in_state_ms(ledger, ON_STATE) == [n / 10]


def test_a_joint_law_beyond_all_bounds_outlasts_the_horizon_and_breaks_nothing() -> None:
    costs = replace(
        FREE_CROSSINGS, law=JOINT, rule_dimensions=40, rule_levels=20, policy_rule_us=1e5
    )
    ledger = crossed(border([1.0], costs))
    assert not (ledger.record["execution_us"] > 0).any()
    assert int(ledger.time_us.sum()) == ledger.horizon_us - 1_000_000

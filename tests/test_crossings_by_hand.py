"""What a crossing takes, by hand: caches that end, batches, overlap, checks, capabilities."""

from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.occupancy import B, C, F, U, label_time
from hanse.market.crossings import EXECUTION_COVERS, STEPS, CrossingCosts
from hanse.market.engine.states import (
    AUTHORITY,
    CAUGHT,
    ERROR,
    IDENTITY,
    ON_AUTHORITY,
    ON_IDENTITY,
    ON_POLICY,
    ON_STATE,
    POLICY,
    STATE,
    TRANSFERRING,
    WRONG,
)
from hanse.market.regime import AUDITED_MARKET
from hanse.market.units import US_PER_S
from hanse.scenarios.measuring.measures import measure
from hanse.scenarios.selftest.oracle_worlds import FREE_CROSSINGS
from tests.borders import MS, border, crossed, drawn, executions, in_state_ms, revoked_at, tally
from tests.strategies import with_audits, with_jobs

FOREVER: Final = 1 << 50
KNOWN: Final = {"credential_ttl_us": FOREVER, "authority_ttl_us": FOREVER}
SECONDS: Final = [float(second) for second in range(1, 31)]

# Milliseconds: identity 20 in full, 2 to check, 8 to resume; policy 5; commit 7; authority 40.
COSTS: Final = replace(
    FREE_CROSSINGS,
    identity_full_us=20_000.0,
    identity_verify_us=2_000.0,
    identity_resume_us=8_000.0,
    policy_base_us=5_000.0,
    commit_us=7_000.0,
    approval_us=38_000,
    capability_verify_us=3_000.0,
)


def held_ms(world_costs: CrossingCosts, *, holds: bool = True, **changes: object) -> dict[int, int]:
    """Run one crossing and return for how long the unit was held, by operation."""
    world = border([1.0], world_costs, holds=holds, transfer_ms=100)
    ledger = crossed(drawn(world, **changes))  # type: ignore[arg-type]
    occupancy = label_time(ledger, 1)
    chosen = occupancy.label == B
    return {
        int(operation): int(us) // MS
        for operation, us in zip(
            occupancy.operation[chosen], occupancy.unit_us[chosen], strict=True
        )
    }


def mask(*steps: str) -> int:
    return sum(1 << STEPS.index(step) for step in steps)


def test_a_credential_is_proved_anew_after_each_revocation() -> None:
    world = revoked_at(border(SECONDS, COSTS, **KNOWN), 10.5, 20.5, 20.7)
    # A stage crosses half a second after it arrives, for its request has a way to go.
    expected = [20.0 if second in (1, 11, 21) else 2.0 for second in range(1, 31)]
    assert in_state_ms(crossed(world), ON_IDENTITY) == expected
    expected = [40.0 if second in (1, 11, 21) else 0.0 for second in range(1, 31)]
    assert in_state_ms(crossed(world), ON_AUTHORITY) == expected


def test_revocations_between_uses_cost_what_reuse_is_on_paper() -> None:
    # Poisson revocations at 0.2 a second and a crossing a second: a proof in full where one fell
    # in between, with chance 1 - q, q = exp(-0.2); with a lifetime of m uses the cycle is a
    # geometric one cut at m, of mean (1 - q^m) / (1 - q).
    n, rate = 4_000, 0.2
    rng = np.random.default_rng(11)
    at_s = np.sort(rng.random(rng.poisson(rate * n)) * n)
    arrivals = [float(k) for k in range(1, n + 1)]
    q = np.exp(-rate)
    for uses in (1, 3, 12, n):
        ttl_us = uses * US_PER_S - US_PER_S // 2
        world = border(arrivals, COSTS, work_s=0.1, n_units=3, credential_ttl_us=ttl_us)
        ms = np.array(in_state_ms(crossed(revoked_at(world, *at_s)), ON_IDENTITY))
        share = (1 - q) / (1 - q**uses)
        se = 18.0 * np.sqrt(share * (1 - share) / n)
        assert ms.mean() == pytest.approx(2.0 + 18.0 * share, abs=4 * se + 1e-9)


def test_a_session_that_lives_is_resumed_and_a_revoked_one_is_not() -> None:
    costs = replace(COSTS, session_ttl_us=5 * US_PER_S)
    arrivals = [1.0, 2.0, 8.5, 10.0, 11.0]
    # Credentials last for an instant. 2 resumes; at 8.5 the session is dead; 10 resumes that of
    # 8.5; by 11 it is revoked.
    world = revoked_at(border(arrivals, costs), 10.8)
    assert in_state_ms(crossed(world), ON_IDENTITY) == [20.0, 8.0, 20.0, 8.0, 20.0]


def test_one_decision_opens_a_batch_and_the_others_share_its_fixed_part() -> None:
    costs = replace(
        FREE_CROSSINGS,
        policy_base_us=5_000.0,
        policy_rule_us=1_000.0,
        rule_dimensions=1,
        authority_conditions=0,
        rule_levels=2,
        interaction_order=1,
        batch_window_us=50_000,
    )
    # Three rules: 8 ms alone. The window opens at the first and closes 50 ms later; the fourth
    # opens another. Who joins waits for the rest of the window and has 3 ms of rules.
    ledger = crossed(border([1.0, 1.010, 1.030, 1.060], costs))
    assert in_state_ms(ledger, ON_POLICY) == [58.0, 43.0, 23.0, 58.0]
    assert ledger.stage["data_core_us"].tolist() == [8_000, 3_000, 3_000, 8_000]


def test_monotone_state_commits_nothing() -> None:
    world = drawn(border([1.0, 2.0], COSTS), stage_is_monotone=np.array([False, True]))
    assert in_state_ms(crossed(world), ON_STATE) == [7.0, 0.0]


def test_the_crossings_of_a_pool_wait_as_in_one_queue() -> None:
    costs = replace(FREE_CROSSINGS, policy_base_us=6_000.0, pool_cores=2.0)
    # Each has 6 ms of work, which two cores do in 3; Lindley: 0, 3 - 1, 5 - 1, then 4 + 3 - 9 < 0.
    ledger = crossed(border([1.0, 1.001, 1.002, 1.011], costs))
    assert in_state_ms(ledger, ON_POLICY) == [6.0, 8.0, 10.0, 6.0]


@pytest.mark.parametrize(
    ("covers", "overlap", "work_s", "expected"),
    [
        # The transfer takes 100: policy and state hide behind it.
        ("transfer", ("policy", "state"), 1.0, [20, 0, 0, 40, 100]),
        # Authority takes 240 with a longer approval, and 140 of it are seen.
        ("transfer", ("identity", "state", "authority"), 1.0, [0, 5, 0, 140, 100]),
        # It hides behind 100 and 130 of work but for 10.
        (EXECUTION_COVERS, ("identity", "state", "authority"), 0.130, [0, 5, 0, 10, 100]),
        (EXECUTION_COVERS, ("identity", "policy", "state", "authority"), 1.0, [0, 0, 0, 0, 100]),
    ],
)
@pytest.mark.parametrize("holds", [False, True])
def test_what_overlaps_takes_as_long_as_the_longer(
    covers: str, overlap: tuple[str, ...], work_s: float, expected: list[int], *, holds: bool
) -> None:
    approval_us = 238_000 if "authority" in overlap else 38_000
    costs = replace(COSTS, overlap=overlap, overlap_with=covers, approval_us=approval_us)
    ledger = crossed(border([1.0], costs, holds=holds, work_s=work_s, transfer_ms=100))
    steps = (ON_IDENTITY, ON_POLICY, ON_STATE, ON_AUTHORITY, TRANSFERRING)
    found = [in_state_ms(ledger, step)[0] for step in steps]
    assert found == expected


def test_each_operation_may_hold_the_unit_by_itself() -> None:
    assert held_ms(COSTS) == {IDENTITY: 20, POLICY: 5, STATE: 7, AUTHORITY: 40, 4: 100}
    assert held_ms(COSTS, stage_held_steps=np.array([mask("state", "authority")])) == {
        STATE: 7,
        AUTHORITY: 40,
    }
    assert held_ms(COSTS, stage_held_steps=np.array([0])) == {}


def test_what_needs_no_unit_is_done_before_it_is_held() -> None:
    world = border([1.0], COSTS, transfer_ms=1_000)
    for steps, accepted_ms, executes_ms in (
        # The request is with its plane at 1,500 ms, and commands are sent by the same region.
        (("identity", "policy", "state", "authority", "transfer"), 1_500, 2_572),
        (("state",), 2_565, 2_572),
        ((), 2_572, 2_572),
    ):
        ledger = crossed(drawn(world, stage_held_steps=np.array([mask(*steps)])))
        (row,) = executions(ledger)
        begins_us = row["end_us"] - row["execution_us"]
        way_us = ledger.time_us[0, :ON_IDENTITY].sum()
        assert begins_us - row["accepted_us"] == (executes_ms - accepted_ms) * MS
        assert ledger.time_us[0, ON_IDENTITY : TRANSFERRING + 1].sum() == 1_072 * MS
        assert way_us + ledger.time_us[0, ON_IDENTITY:].sum() == ledger.horizon_us - US_PER_S


def test_a_batch_of_waiting_stages_holds_each_unit_for_its_share() -> None:
    costs = replace(COSTS, hold_batch=4, identity_full_us=20_003.0)
    world = border([1.0], costs, holds=True, transfer_ms=100)
    (row,) = executions(crossed(world))
    # Whole microseconds, rounded down: the stage waits for all of it, the unit for a quarter.
    names = [f"{step}_us" for step in STEPS]
    assert [int(row[name]) for name in names] == [5_000, 1_250, 1_750, 10_000, 25_000]
    assert in_state_ms(crossed(world), ON_IDENTITY) == [20.003]


def test_checks_are_made_anew_at_an_interval_while_a_stage_executes() -> None:
    costs = replace(COSTS, revalidation_us=250_000)
    # At 250, 500 and 750 ms of a second of work: three times 2 + 5 ms.
    for holds, again_ms in ((False, 0), (True, 3)):
        ledger = crossed(border([1.0], costs, holds=holds))
        assert in_state_ms(ledger, ON_IDENTITY) == [20.0 + 2.0 * again_ms]
        assert in_state_ms(ledger, ON_POLICY) == [5.0 + 5.0 * again_ms]
        assert ledger.stage["data_core_us"].tolist() == [25_000 + 3 * 7_000]


def test_a_capability_is_shown_until_it_expires_and_word_of_its_revocation_spreads() -> None:
    costs = replace(COSTS, capability_ttl_us=12 * US_PER_S, revocation_lag_us=3 * US_PER_S)
    arrivals = [1.0, 2.0, 4.0, 5.0, 8.0, 9.0, 21.0]
    world = border(arrivals, costs, authority_ttl_us=FOREVER)
    ledger = crossed(drawn(revoked_at(world, 3.0), buyer_has_capability=np.array([True])))
    # Revoked at 3 and known from 6 on: the uses at 4.5 and 5.5 are let through. At 8.5 it is
    # refused and issued anew; at 20.5 that one has expired.
    assert in_state_ms(ledger, ON_AUTHORITY) == [3.0, 3.0, 3.0, 3.0, 40.0, 3.0, 40.0]
    assert tally(ledger, "capability_uses") == [1, 1, 1, 1, 0, 1, 0]
    assert tally(ledger, "invalid_uses") == [0, 0, 1, 1, 0, 0, 0]
    assert tally(ledger, "approvals") == [0, 0, 0, 0, 1, 0, 1]
    others = crossed(revoked_at(world, 3.0))
    assert in_state_ms(others, ON_AUTHORITY) == [40.0, 0.0, 40.0, 0.0, 0.0, 0.0, 0.0]
    assert sum(tally(others, "invalid_uses")) == 0


def test_a_capability_is_good_in_the_places_that_it_names_and_nowhere_else() -> None:
    costs = replace(COSTS, capability_ttl_us=12 * US_PER_S, revocation_lag_us=3 * US_PER_S)
    world = border([1.0, 2.0, 4.0, 5.0, 8.0], costs, authority_ttl_us=FOREVER)
    carried = {"buyer_has_capability": np.array([True])}

    def with_scope(*names: bool) -> Ledger:
        return crossed(drawn(revoked_at(world, 3.0), buyer_scope=np.array([names]), **carried))

    named = with_scope(False, True)
    assert tally(named, "capability_uses") == [1, 1, 1, 1, 0]
    assert tally(named, "invalid_uses") == [0, 0, 1, 1, 0]
    # Not named, it is asked for and kept as a token, like anybody's; a revocation is known at once.
    outside = with_scope(True, False)
    assert in_state_ms(outside, ON_AUTHORITY) == [40.0, 0.0, 40.0, 0.0, 0.0]
    assert tally(outside, "approvals") == [1, 0, 1, 0, 0]
    assert sum(tally(outside, "capability_uses")) == sum(tally(outside, "invalid_uses")) == 0
    # At home it needs no name: home granted it.
    assert in_state_ms(with_scope(False, True), ON_AUTHORITY) == in_state_ms(
        with_scope(True, True), ON_AUTHORITY
    )


def test_a_check_that_is_left_out_lets_inadmissible_work_through_and_no_audit_finds_it() -> None:
    world = drawn(
        border([1.0, 2.0, 3.0], COSTS),
        stage_skips_policy=np.array([True, True, False]),
        stage_is_inadmissible=np.array([True, False, True]),
    )
    ledger = crossed(with_audits(with_jobs(world, attempt_audit=np.zeros((8, 3)))), AUDITED_MARKET)
    assert in_state_ms(ledger, ON_POLICY) == [0.0, 0.0, 5.0]
    assert tally(ledger, "unchecked") == [1, 1, 0]
    outcome = executions(ledger)["outcome"]
    assert outcome[0] == WRONG
    assert CAUGHT not in outcome.tolist()
    occupancy = label_time(ledger, 1)
    lost = occupancy.label == F
    assert set(occupancy.operation[lost].tolist()) == {POLICY}
    assert set(occupancy.cause[lost].tolist()) == {ERROR}
    assert int(occupancy.unit_us[lost].sum()) == US_PER_S
    assert int(occupancy.unit_us[occupancy.label == U].sum()) == 2 * US_PER_S
    measured = measure(world, ledger)
    assert measured.welfare.value_usd[0] == pytest.approx(200.0)
    assert measured.counts.wrong.tolist() == [1]
    assert int(occupancy.unit_us[occupancy.label == C].sum()) > 0


def test_an_approval_takes_its_own_time_and_that_of_people() -> None:
    terms = {"approval_person_hours": 0.5, "person_usd_per_hour": 60.0}
    world = border([1.0, 2.0, 3.0], COSTS, **terms)
    world = drawn(world, attempt_approval=np.array([[0.5, 1.0, 4.0]] * 8))
    ledger = crossed(world)
    # Each needs one, for no token lasts: 38 ms times the factor, and 2 of exchange.
    assert in_state_ms(ledger, ON_AUTHORITY) == [21.0, 40.0, 154.0]
    welfare = measure(world, ledger).welfare
    assert welfare.person_hours.tolist() == [1.5, 0.0]
    assert welfare.person_usd.tolist() == [90.0, 0.0]
    assert welfare.resource_usd[0] >= 90.0
    free = border([1.0, 2.0, 3.0], COSTS)
    assert measure(free, crossed(free)).welfare.person_usd.tolist() == [0.0, 0.0]


def test_a_buyer_does_not_ask_where_the_people_cost_more_than_the_job_is_worth() -> None:
    terms = {"approval_person_hours": 1.0, "person_usd_per_hour": 101.0}  # worth is 100 USD
    assert len(executions(crossed(border([1.0], COSTS, **terms)))) == 0

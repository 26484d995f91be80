"""More of a friction of crossings, more of what it costs: read from ledgers, switches unseen."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np
import pytest

from hanse.agents.lower_crossings import capability_scope
from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.accounts.occupancy import B, C, F, label_time
from hanse.market.engine.states import (
    AUTHORITY,
    CONTEXT,
    ERROR,
    IDENTITY,
    ON_AUTHORITY,
    ON_IDENTITY,
    ON_POLICY,
    ON_STATE,
    OPERATIONS,
    STATE,
    TRANSFERRING,
)
from hanse.market.regime import CENTRAL, MARKET, Regime
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.measuring.measures import welfare_of
from hanse.scenarios.run import sign_receipts
from hanse.scenarios.scenario import Value, load
from hanse.scenarios.selftest.checks import run_ledger
from tests.strategies import with_fleet

SMALL: Final[dict[str, Value]] = {
    "load.model_calls": 150,
    "load.batch_jobs": 0,
    "load.buyers": 24,
    "load.resident_share": 0.0,
    "load.one_call_share": 0.5,
    "load.model_call_deadline_s": 3_000.0,
    "load.model_call_value_multiple": 1_000.0,
    "load.first_party_share": 0.0,
    "measurement.horizon_s": 3_600.0,
    "measurement.displacement_instants": 16,
    "fleet.nodes": 150,
    "fleet.occupied_share": 0.0,
    "control.clearing_interval_s": 1.0,
}
REGIMES: Final = (CENTRAL, MARKET)

Outcome = Callable[[World, Ledger], float]


@cache
def far(changes: tuple[tuple[str, Value], ...], seed: int = 3) -> World:
    """Draw a world and put all its units, which are plenty, into one region without buyers.

    Each job has to cross once, wherever it is decided, so that nothing but the crossing differs.
    """
    world = draw_world(load("baseline").replace(SMALL | dict(changes)), seed)
    n = world.fleet.n_nodes
    nobody = set(range(world.geography.n_regions)) - set(world.workload.buyer_region.tolist())
    return with_fleet(
        world,
        node_region=np.full(n, min(nobody)),
        node_owner=np.zeros(n, np.int64),
        node_posted_usd_per_gpu_hour=np.full(n, 1.0),
    )


def run(changes: Mapping[str, Value], regime: Regime, seed: int = 3) -> tuple[World, Ledger]:
    world = far(tuple(changes.items()), seed)
    model = ComputeMarket(world, regime, with_agents=False)
    ledger = model.run_to_horizon()
    release(model)
    return world, ledger


def waits(*states: int) -> Outcome:
    """Return the time of all stages in these states."""
    return lambda _, ledger: float(ledger.time_us[:, list(states)].sum())


def unit_time(label: int, *, operation: int | None = None, cause: int | None = None) -> Outcome:
    """Return the time of units under a label."""

    def outcome(world: World, ledger: Ledger) -> float:
        its = label_time(ledger, len(world.workload.family))
        chosen = its.label == label
        chosen &= (operation is None) | (its.operation == operation)
        chosen &= (cause is None) | (its.cause == cause)
        return float(its.unit_us[chosen].sum())

    return outcome


def counted(name: str) -> Outcome:
    return lambda _, ledger: float(ledger.tally[name].sum())


def core_time(_: World, ledger: Ledger) -> float:
    return float(ledger.stage["data_core_us"].sum())


def person_usd(world: World, ledger: Ledger) -> float:
    its = label_time(ledger, len(world.workload.family))
    return float(welfare_of(world, ledger, its).person_usd.sum())


STEPS: Final = (ON_IDENTITY, ON_POLICY, ON_STATE, ON_AUTHORITY, TRANSFERRING)
SHARES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
NO_TOKENS: Final[dict[str, Value]] = {"crossing.authority_ttl_s": 0.0}
SHORT: Final[dict[str, Value]] = {"crossing.credential_ttl_s": 1.0}
HELD: Final[dict[str, Value]] = {"load.hold_share": 0.4}
CARRIED: Final[dict[str, Value]] = {
    "crossing.authority_continuity": 1.0,
    "crossing.revocations_per_day": 300.0,
}
SKIPPED: Final[dict[str, Value]] = {"crossing.skip_share": 1.0}
AT_ONCE: Final[dict[str, Value]] = {
    "crossing.participation": ("policy", "authority"),
    "load.hold_share": 1.0,
    "control.delay_scale": 0.0,
    "control.refresh_interval_s": 0.0,
}
PAID: Final[dict[str, Value]] = {"resources.person_usd_per_hour": 0.01}

Levels = tuple[str, tuple[Value, ...]]
ANEW: Final[Levels] = ("crossing.revalidation_s", (0.0, 8.0, 4.0, 1.0, 0.25))
BATCHES: Final[Levels] = ("crossing.batch_window_s", (0.0, 0.5, 2.0, 8.0, 32.0))
APPROVAL: Final[Levels] = ("crossing.approval_s", (0.0, 0.1, 1.0, 10.0, 60.0))

DOSES: Final[dict[str, tuple[str, tuple[Value, ...], dict[str, Value], Outcome, int]]] = {
    "conditions": ("crossing.rule_dimensions", (0, 5, 10, 20, 40), {}, waits(ON_POLICY), 1),
    "order": ("crossing.interaction_order", (0, 1, 2, 3, 4), {}, waits(ON_POLICY), 1),
    # Domains are drawn by cutting the same coin, so that doubling them only parts more regions.
    "trust": ("crossing.trust_domains", (1, 2, 4, 8, 64), {}, waits(ON_IDENTITY), 1),
    "policy": ("crossing.policy_domains", (1, 2, 4, 8, 64), {}, waits(ON_POLICY), 1),
    "transports": ("crossing.transports", (1, 2, 4, 8, 64), {}, waits(ON_POLICY), 1),
    "modality": ("crossing.modality_change_share", SHARES, {}, waits(ON_POLICY), 1),
    "states": ("crossing.state_rule_us", (0.0, 1.0, 5.0, 20.0, 80.0), {}, waits(ON_STATE), 1),
    "lifetime": (
        "crossing.credential_ttl_s",
        (0.0, 30.0, 120.0, 600.0, 3_600.0),
        {},
        waits(ON_IDENTITY),
        -1,
    ),
    "revocation": (
        "crossing.revocations_per_day",
        (0.0, 50.0, 500.0, 5_000.0, 50_000.0),
        {},
        waits(ON_IDENTITY),
        1,
    ),
    "sessions": (
        "crossing.session_ttl_s",
        (0.0, 60.0, 240.0, 900.0, 3_600.0),
        SHORT,
        core_time,
        -1,
    ),
    "anew, cores": (*ANEW, {}, core_time, 1),
    "anew, held": (*ANEW, HELD, unit_time(B, operation=IDENTITY), 1),
    # Who waits for a window proves who it is in full meanwhile, and may find its unit taken, after
    # which it crosses anew; here nobody proves, and all that decide know the same at once.
    "batch, cores": (*BATCHES, AT_ONCE, core_time, -1),
    "batch, wait": (*BATCHES, {}, waits(ON_POLICY), 1),
    "pool": ("crossing.pool_cores", (0.0, 1e-2, 1e-3, 5e-4, 2e-4), {}, waits(ON_POLICY), 1),
    "monotone": ("crossing.monotone_share", SHARES, {}, waits(ON_STATE), -1),
    "hold batch": ("crossing.hold_batch", (1, 2, 4, 8, 16), HELD, unit_time(B), -1),
    "hold": ("load.hold_share", SHARES, {}, unit_time(B), 1),
    "hold state": (
        "load.state_hold_factor",
        (0.0, 0.5, 1.0, 1.5, 2.5),
        HELD,
        unit_time(B, operation=STATE),
        1,
    ),
    "continuity": (
        "crossing.authority_continuity",
        SHARES,
        NO_TOKENS,
        waits(ON_AUTHORITY),
        -1,
    ),
    "lag": (
        "crossing.revocation_lag_s",
        (0.0, 4.0, 20.0, 100.0, 3_600.0),
        CARRIED,
        counted("invalid_uses"),
        1,
    ),
    "lag, approvals": (
        "crossing.revocation_lag_s",
        (0.0, 60.0, 200.0, 800.0, 3_600.0),
        CARRIED,
        counted("approvals"),
        -1,
    ),
    "scope": (
        "crossing.capability_scope",
        SHARES,
        CARRIED,
        counted("capability_uses"),
        1,
    ),
    "scope, waits": (
        "crossing.capability_scope",
        SHARES,
        CARRIED,
        waits(ON_AUTHORITY),
        -1,
    ),
    "skipping": (
        "crossing.skip_share",
        SHARES,
        {"crossing.inadmissible_share": 0.5},
        unit_time(F, cause=ERROR),
        1,
    ),
    "inadmissible": (
        "crossing.inadmissible_share",
        SHARES,
        SKIPPED,
        unit_time(F, cause=ERROR),
        1,
    ),
    "approval": (*APPROVAL, {}, waits(ON_AUTHORITY), 1),
    "approval, held": (*APPROVAL, HELD, unit_time(B, operation=AUTHORITY), 1),
    "people": (
        "crossing.approval_person_hours",
        (0.0, 0.1, 0.2, 0.4, 0.8),
        PAID,
        person_usd,
        1,
    ),
    "context": (
        "crossing.context_ttl_s",
        (0.0, 0.5, 1.0, 2.0, 30.0),
        {},
        unit_time(C, operation=CONTEXT),
        -1,
    ),
}


@pytest.mark.parametrize("name", DOSES)
def test_the_response_follows_the_dose_in_every_regime(name: str) -> None:
    key, levels, beside, outcome, sign = DOSES[name]
    for regime in REGIMES:
        found = [outcome(*run(beside | {key: level}, regime)) for level in levels]
        steps = sign * np.diff(found)
        assert (steps >= 0).all(), found
        assert steps.sum() > 0
        assert (steps > 0).sum() >= 3, found


def test_each_step_that_overlaps_takes_its_time_off_the_critical_path() -> None:
    overlap: tuple[str, ...] = ("none",)
    found = []
    for step in (None, "identity", "policy", "state", "authority"):
        overlap = overlap if step is None else (*overlap, step)
        covers: dict[str, Value] = {
            "crossing.overlap": overlap,
            "crossing.overlap_with": "execution",
        }
        found.append(waits(*STEPS)(*run(covers, CENTRAL)))
    assert (np.diff(found) < 0).all()


UNSEEN: Final[dict[str, Value]] = {
    "crossing.identity_resume_us": 7.0,
    "crossing.transport_conditions": 9,
    "crossing.modality_conditions": 9,
    "crossing.capability_verify_us": 5.0,
    "crossing.capability_ttl_s": 1.0,
    "crossing.capability_scope": 0.3,
    "crossing.revocation_lag_s": 50.0,
    "crossing.overlap_with": "execution",
    "crossing.inadmissible_share": 1.0,
    "resources.person_usd_per_hour": 90.0,
}
"""Numbers of mechanisms that are off."""


@pytest.mark.parametrize("regime", REGIMES, ids=["central", "market"])
def test_what_is_off_leaves_every_byte_as_it_was(regime: Regime) -> None:
    (_, plain), (_, off) = run({}, regime), run(UNSEEN, regime)
    for name in ("record", "stage", "time_us", "plane", "waiting", "available", "tally"):
        assert getattr(plain, name).tobytes() == getattr(off, name).tobytes()
    assert plain.tally["approvals"].sum() > 0
    for name in ("capability_uses", "invalid_uses", "unchecked"):
        assert not plain.tally[name].any()


def test_a_context_is_rebuilt_iff_it_was_kept_for_less_than_the_wait() -> None:
    for ttl_s in (0.0, 0.5, 1.0, 2.0, 30.0):
        _, ledger = run({"crossing.context_ttl_s": ttl_s}, CENTRAL)
        rows = ledger.record[ledger.work]
        rows = rows[np.argsort(rows["stage"], kind="stable")]
        second = np.flatnonzero(rows["stage"][1:] == rows["stage"][:-1] + 1) + 1
        same = ledger.stage_fact["job"][rows["stage"][second]]
        second = second[same == ledger.stage_fact["job"][rows["stage"][second - 1]]]
        assert len(second) > 30
        gap_us = rows["accepted_us"][second] - rows["end_us"][second - 1]
        need_us = ledger.stage_fact["context_us"][rows["stage"][second]]
        expected = np.where(gap_us > ttl_s * 1e6, need_us, 0)
        assert rows["context_us"][second].tolist() == expected.tolist()


def test_capabilities_of_sampled_stages_are_really_shown_and_revoked_ones_found_later() -> None:
    changes = CARRIED | {"crossing.revocation_lag_s": 320.0, "verification.signed_receipts": 60}
    world, ledger = run(changes, MARKET)
    counts = {name: int(column[0]) for name, column in sign_receipts(world, ledger).items()}
    sampled = world.workload.stage_is_sampled
    shown = sampled & (ledger.tally["capability_uses"] > 0) & (ledger.stage["record"] >= 0)
    invalid = shown & (ledger.tally["invalid_uses"] > 0)
    assert counts["n_uses_shown"] == counts["n_uses_admitted"] == shown.sum() > 0
    assert counts["n_uses_found_later"] == invalid.sum() > 0


@pytest.mark.parametrize("regime", REGIMES, ids=["central", "market"])
def test_a_capability_is_honoured_where_it_names_the_place_and_wrongly_only_within_the_lag(
    regime: Regime,
) -> None:
    lag_s = 600.0
    asked: dict[str, Value] = {
        "crossing.capability_scope": 0.5,
        "crossing.revocation_lag_s": lag_s,
        "load.model_calls": 1_500,
        "load.hold_share": 1.0,
        "verification.signed_receipts": 200,
    }
    world = draw_world(load("baseline").replace(SMALL | CARRIED | asked), 3)
    ledger = run_ledger(world, regime)
    once = np.flatnonzero((ledger.stage["attempt"] == 0) & (ledger.stage["record"] >= 0))
    record = ledger.record[ledger.stage["record"][once]]
    region = world.fleet.node_region[record["unit"]]
    buyer = ledger.stage_fact["buyer"][once]
    is_named = capability_scope(world)[buyer, world.geography.region_jurisdiction[region]]
    used, invalid = (ledger.tally[name][once] > 0 for name in ("capability_uses", "invalid_uses"))
    assert used.sum() > 50
    assert is_named[used].all()
    assert (~is_named & (ledger.tally["approvals"][once] > 0)).sum() > 10
    # A unit that is held crosses as its command lands.
    draws, landed_us = world.crossing_draws, record["accepted_us"].astype(np.int64)
    assert invalid.sum() > 5
    for who, at_us in zip(buyer[invalid], landed_us[invalid], strict=True):
        since_us = at_us - draws.revocation_us[draws.revocation_buyer == who]
        assert ((since_us >= 0) & (since_us < lag_s * US_PER_S)).any()
    counts = {name: int(column[0]) for name, column in sign_receipts(world, ledger).items()}
    assert counts["n_uses_shown"] == counts["n_uses_admitted"] > 0


def test_no_operation_but_the_held_one_is_booked_where_one_alone_holds() -> None:
    alone = {f"load.{step}_hold_factor": 0.0 for step in ("identity", "policy", "authority")}
    _, ledger = run(HELD | alone | {"load.transfer_hold_factor": 0.0}, MARKET)
    occupancy = label_time(ledger, 2)
    held = {OPERATIONS[k] for k in occupancy.operation[occupancy.label == B].tolist()}
    assert held == {"state"}
    assert int(occupancy.unit_us.sum()) == 150 * ledger.horizon_us


def test_held_time_is_conserved_whatever_holds() -> None:
    world = far(tuple(HELD.items()))
    for held_steps in (0, 5, 18, 31):
        mask = np.full(world.workload.n_stages, held_steps)
        draws = replace(world.crossing_draws, stage_held_steps=mask)
        model = ComputeMarket(replace(world, crossing_draws=draws), MARKET, with_agents=False)
        ledger = model.run_to_horizon()
        release(model)
        assert int(label_time(ledger, 2).unit_us.sum()) == 150 * ledger.horizon_us
        ready_us = ledger.stage["ready_us"]
        alive_us = (ledger.horizon_us - ready_us[ready_us >= 0]).sum()
        assert int(ledger.time_us.sum()) == alive_us

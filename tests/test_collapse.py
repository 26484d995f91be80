"""Where collapse comes from: time-outs, retries and finite capacity, on both sides of a line."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from hanse.agents.world import World
from hanse.market.accounts.failure_counts import count_failures
from hanse.market.accounts.occupancy import F, X, label_time
from hanse.market.engine.states import ABANDONED, FAILED, LAPSED
from hanse.market.failure_terms import NOTHING_FAILS, FailureTerms
from hanse.market.recovery import recovery_person_hours
from hanse.market.regime import ladder
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.outcomes import MEASURES
from hanse.scenarios.run import run_world
from hanse.scenarios.scenario import load
from hanse.scenarios.selftest.checks import ON_ARRIVAL, run_ledger
from hanse.scenarios.selftest.failures import (
    CURES,
    capped_retries,
    goodput_between,
    metastable_world,
)
from tests.failing import with_failures
from tests.small_runs import TINY, tiny

PLAIN = FailureTerms(timeout_us=10 * US_PER_S, retry_limit=3)


def test_retries_with_a_cap_cost_what_the_closed_form_says() -> None:
    closed = [check.expected for check in capped_retries(500) if "closed form" in check.name]
    assert closed == pytest.approx([1.0204, 1.0525, 1.24, 1.75], abs=1e-4)


def test_a_collapsed_queue_works_without_pause_and_for_nobody() -> None:
    ledger = run_ledger(metastable_world(0.35, PLAIN), ON_ARRIVAL)
    assert goodput_between(ledger, 200, 900) > 0.99  # before the pulse
    assert goodput_between(ledger, 12_000, 23_900) < 0.01
    late = ledger.record[ledger.record["accepted_us"] > 12_000 * US_PER_S]
    assert (late["outcome"] == ABANDONED).mean() > 0.99
    # The server of one plane is busy almost all of the time: no capacity has gone.
    core_s = int(ledger.plane["decision_core_us"].sum()) / US_PER_S
    assert core_s > 0.9 * 23_000
    # Each request is sent four times, so that 1.4 come a second.
    assert count_failures(ledger, 1).amplification[0] == pytest.approx(4.0, abs=0.25)


def test_clients_who_wait_for_ever_let_the_same_pulse_drain() -> None:
    world = metastable_world(0.35, PLAIN)
    assert (world.workload.job_arrival_us // US_PER_S == 1_000).sum() >= 50
    patient = replace(world, terms=replace(world.terms, failures=NOTHING_FAILS))
    assert goodput_between(run_ledger(patient, ON_ARRIVAL), 0, 23_900) == 1.0


@pytest.mark.parametrize("cure", CURES)
def test_what_sheds_load_brings_goodput_back(cure: str) -> None:
    ledger = run_ledger(metastable_world(0.35, CURES[cure]), ON_ARRIVAL)
    assert goodput_between(ledger, 12_000, 23_900) > 0.98


def levels(name: str, values: tuple[float, ...], **others: float) -> list[dict[str, float]]:
    """Run a small world at each level of one parameter and return its shared sums."""
    rows = []
    for value in values:
        settings = (*TINY, f"{name}={value}", *(f"{k}={v}" for k, v in others.items()))
        rows.append(totals(draw_world(load("baseline").with_settings(settings), 5)))
    return rows


def totals(world: World) -> dict[str, float]:
    """Run the market on a world and return what of its failures is counted over all families."""
    ledger = run_ledger(world, ladder[3].regime)
    n_families = len(world.workload.family)
    counts, time = count_failures(ledger, n_families), label_time(ledger, n_families)
    return {
        "failures": float(counts.failures.sum()),
        "tries": float(counts.tries.sum()),
        "lapsed": float((ledger.stage["status"] == LAPSED).sum()),
        "lost_us": float(time.unit_us[time.label == F].sum()),
        "down_us": float(time.unit_us[time.label == X].sum()),
        "failed": float((ledger.record["outcome"] == FAILED).sum()),
    }


def column(rows: list[dict[str, float]], name: str) -> list[float]:
    """Return one sum at all levels."""
    return [row[name] for row in rows]


def is_rising(values: list[float]) -> bool:
    """Say whether values never fall, and the last exceeds the first."""
    return bool((np.diff(values) >= 0).all() and values[-1] > values[0])


def test_more_errors_fail_more_attempts_one_by_one() -> None:
    # Coins are nested: who fails at a share fails at each greater one.
    rows = levels("failure.call_error_share", (0.0, 0.05, 0.1, 0.2, 0.4))
    assert column(rows, "failures")[0] == 0
    assert is_rising(column(rows, "failed"))
    assert is_rising(column(rows, "tries"))


def test_more_retries_lose_fewer_stages_to_errors() -> None:
    rows = levels("failure.retry_limit", (0, 1, 2, 4, 8), **{"failure.call_error_share": 0.5})
    assert is_rising([-lapsed for lapsed in column(rows, "lapsed")])
    assert is_rising(column(rows, "tries"))


def test_less_patience_lets_more_requests_time_out() -> None:
    rows = levels("failure.timeout_s", (300.0, 30.0, 10.0, 3.0, 1.0))
    assert is_rising(column(rows, "failures"))
    # What is lost levels off once hardly anything succeeds.
    assert is_rising(column(rows, "lost_us")[:4])


def test_less_room_before_a_plane_refuses_more() -> None:
    rows = levels("failure.admission_limit", (0, 1000, 30, 4, 1))
    assert is_rising(column(rows, "failures"))


def test_more_breakdowns_take_more_time_down_and_lose_more_work() -> None:
    # 300 s at 30 nodes: levels far above any real one, so that a small world feels them.
    rows = levels("failure.breakdowns_per_day", (0, 20, 100, 500, 2_500))
    assert is_rising(column(rows, "down_us"))
    assert is_rising(column(rows, "failed"))


def test_a_wider_blast_takes_more_sites_down_at_once() -> None:
    many = {"failure.bad_changes_per_day": 2_000.0}
    shares = (0.0, 0.1, 0.3, 0.6, 1.0)
    asked = [load("baseline").replace({**many, "failure.blast_share": share}) for share in shares]
    worlds = [draw_world(scenario, 3) for scenario in asked]
    assert is_rising([float(len(world.outages.region)) for world in worlds])
    world = worlds[-1]
    n_regions = world.geography.n_regions
    assert len(world.outages.from_us) == n_regions * len(np.unique(world.outages.from_us))


@pytest.mark.parametrize(
    "terms",
    [
        {"timeout_us": 1 << 50, "retry_limit": 3},
        {"admission_limit": 1 << 40},
        {"timeout_us": 1 << 50, "breaker_failures": 3, "breaker_cooldown_us": 1 << 40},
        {"retry_limit": 7, "backoff_us": 5, "backoff_jitter": 1.0},
    ],
    ids=["patience", "room", "breaker", "retries"],
)
@pytest.mark.parametrize("rung", [0, 3, 7])
def test_what_never_strikes_leaves_every_byte_as_it_was(
    rung: int, terms: Mapping[str, float]
) -> None:
    world, regime = draw_world(tiny(), 4), ladder[rung].regime
    plain, armed = run_ledger(world, regime), run_ledger(with_failures(world, **terms), regime)
    for name in ("record", "stage", "time_us", "plane", "waiting", "available", "hidden", "lock"):
        assert getattr(plain, name).tobytes() == getattr(armed, name).tobytes(), name


def test_failures_are_tabulated_by_family_kind_and_state() -> None:
    settings = (*TINY, "failure.call_error_share=0.4", "failure.timeout_s=5")
    world = draw_world(load("baseline").with_settings(settings), 5)
    tables = run_world(world, ladder[0].regime).tables
    table = tables["failed_tries"]
    rows = set(zip(table["family"].tolist(), table["kind"].tolist(), strict=True))
    assert len(rows) == 2 * 5
    measures = tables["measures"]
    total = measures["value"][measures["measure"] == "failed_tries"].sum()
    assert table["count"].sum() == total > 0
    assert ("model_call", "call error") in rows
    struck = table["count"] > 0
    fingerprints = measures["value"][measures["measure"] == "failure_fingerprints"]
    assert fingerprints.tolist() == [struck.sum()]
    share = table["count"][struck] / total
    entropy = measures["value"][measures["measure"] == "failure_entropy_bits"]
    assert entropy.tolist() == pytest.approx([-(share * np.log2(share)).sum()])
    assert {"failed_tries", "work_amplification"} <= set(MEASURES)


def test_a_hub_recovers_its_own_site_and_venues_all_of_theirs() -> None:
    outages = {
        "region": np.array([0, 0, 2]),
        "from_us": np.array([0, 1_800, 3_000]) * US_PER_S,
        "until_us": np.array([3_600, 5_400, 99_999]) * US_PER_S,
    }
    # Site 0 is down from 0 to 5,400 s = 1.5 h, site 2 from 3,000 s to the horizon at 6,600 = 1 h.
    terms = {"persons": 2.0, "horizon_us": 6_600 * US_PER_S}
    assert recovery_person_hours(np.array([0]), **outages, **terms) == 3.0
    assert recovery_person_hours(np.array([0, 0]), **outages, **terms) == 3.0
    assert recovery_person_hours(np.array([0, 1, 2]), **outages, **terms) == 5.0
    assert recovery_person_hours(np.array([1]), **outages, **terms) == 0.0

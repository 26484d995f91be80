"""The verification policies of a regime: none, random audits, replication, optimistic windows."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.agents.world import World
from hanse.market.engine.states import CAUGHT, RIGHT, WRONG
from hanse.market.regime import Audits, Regime, Release
from hanse.market.units import US_PER_S
from tests.strategies import (
    HUB,
    Finished,
    SmallWorld,
    all_regimes,
    finish,
    small_worlds,
    with_audits,
    with_luck,
    world_of,
)

REPLICATED = replace(HUB, audits=Audits.REPLICATION)
OPTIMISTIC = replace(HUB, audits=Audits.OPTIMISTIC)
OF_EACH = {audits: [r for r in all_regimes() if r.audits is audits] for audits in Audits}


def two_jobs(*, window_s: float) -> World:
    """Let two jobs of 10 s begin at 1 and 2 s on two units; the second node's owner cheats."""
    world = with_audits(
        world_of(arrival_s=[1.0, 2.0], work_s=[10.0, 10.0], units=[0, 0]),
        challenge_window_us=round(window_s * US_PER_S),
        capital_rate_per_year=0.1,
    )
    # Coins below a half are audited at random; the cheat's is.
    return with_luck(world, temptation=[[1.0, 0.0]], audit=[[0.9, 0.0], [0.9, 0.9]])


def finals(run: Finished) -> list[tuple[int, int, float]]:
    """Return (stage, outcome, second of finality) of each execution, in order of acceptance."""
    columns = ("stage", "outcome", "final_us")
    rows = zip(*(run.work[name].tolist() for name in columns), strict=True)
    return [(stage, outcome, final_us / US_PER_S) for stage, outcome, final_us in rows]


def test_a_result_that_stands_is_final_when_its_window_has_passed() -> None:
    run = finish(two_jobs(window_s=30.0), OPTIMISTIC)
    # The cheat ends at 12 s, its audit at 22 s; it is caught then, done again, and that is final
    # 30 s after it ended: at 32 s, as the other unit has been idle.
    assert finals(run) == [(0, RIGHT, 41.0), (1, CAUGHT, 22.0), (1, RIGHT, 62.0)]


def test_without_a_window_optimistic_audits_are_random_audits() -> None:
    world = two_jobs(window_s=0.0)
    optimistic, random = (
        finish(world, replace(HUB, audits=audits)) for audits in (Audits.OPTIMISTIC, Audits.RANDOM)
    )
    assert optimistic.ledger.record.tobytes() == random.ledger.record.tobytes()


def test_a_window_holds_back_successors_only_where_release_waits_for_finality() -> None:
    def second_start(release: str) -> float:
        world = world_of(
            arrival_s=[0.0],
            work_s=[10.0, 10.0],
            stage_job=[0, 0],
            units=[0],
            challenge_window_us=20 * US_PER_S,
            release=release,
        )
        return float(finish(world, OPTIMISTIC).work["accepted_us"][1]) / US_PER_S

    assert second_start("receipt") == 10.0
    assert second_start("finality") == 30.0


@pytest.mark.parametrize("audits", list(Audits))
@pytest.mark.parametrize("of_scenario", ["receipt", "finality"])
def test_a_regime_may_release_otherwise_than_its_scenario(audits: Audits, of_scenario: str) -> None:
    """The part does what the scenario's rule does, and nothing where it follows the scenario."""

    def record(release: str, part: Release) -> bytes:
        world = two_jobs(window_s=30.0)
        world = replace(world, terms=replace(world.terms, release=release))
        regime = replace(HUB, audits=audits, release=part)
        return bytes(finish(world, regime).ledger.record.tobytes())

    by_scenario = {rule: record(rule, Release.SCENARIO) for rule in ("receipt", "finality")}
    assert record(of_scenario, Release.RECEIPT) == by_scenario["receipt"]
    assert record(of_scenario, Release.FINALITY) == by_scenario["finality"]


def test_replication_executes_every_result_once_more_and_finds_every_cheat() -> None:
    run = finish(two_jobs(window_s=0.0), REPLICATED)
    # Replicas run from 11 s and from 12 s, on the units that the results came from; the one that
    # is done again is replicated again.
    assert [(s, o) for s, o, _ in finals(run)] == [(0, RIGHT), (1, CAUGHT), (1, RIGHT)]
    assert len(run.audits) == 3
    assert run.audits["execution_us"].tolist() == [10 * US_PER_S] * 3


@given(small=small_worlds(), regime=st.sampled_from(OF_EACH[Audits.REPLICATION]))
def test_under_replication_nothing_wrong_is_ever_final(small: SmallWorld, regime: Regime) -> None:
    terms = replace(small.terms, audit_detection=1.0, saved_share=1e6, temptation_share=0.5)
    run = finish(replace(small, terms=terms).build(), regime)
    is_final = run.work["final_us"] >= 0
    assert not (is_final & (run.work["outcome"] == WRONG)).any()
    ended = run.work["end_us"] <= run.ledger.horizon_us
    assert len(run.audits) <= int(ended.sum())


@given(
    small=small_worlds(),
    regime=st.sampled_from(OF_EACH[Audits.OPTIMISTIC]),
    window_s=st.sampled_from([0, 1, 7, 40]),
)
def test_no_result_that_stands_is_final_within_its_window(
    small: SmallWorld, regime: Regime, window_s: int
) -> None:
    terms = replace(small.terms, challenge_window_us=window_s * US_PER_S)
    run = finish(replace(small, terms=terms).build(), regime)
    stands = np.isin(run.work["outcome"], (RIGHT, WRONG)) & (run.work["final_us"] >= 0)
    waited_us = (run.work["final_us"] - run.work["end_us"])[stands]
    assert (waited_us >= window_s * US_PER_S).all()


@pytest.mark.parametrize("audits", list(Audits))
def test_a_window_locks_capital_and_nothing_else_does(audits: Audits) -> None:
    def capital_usd(window_s: float) -> float:
        run = finish(two_jobs(window_s=window_s), replace(HUB, audits=audits))
        return float(run.measured.welfare.capital_usd.sum())

    longer = capital_usd(30.0) - capital_usd(0.0)
    assert longer > 0 if audits is Audits.OPTIMISTIC else longer == 0

"""Tasks of a run that are really executed: what cryptography finds is what the ledger says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hanse.agents.world import World
from hanse.market.accounts.money import KINDS, TO_TREASURY, TO_VERIFIER
from hanse.market.regime import AUDITED_MARKET, CENTRAL, MARKET, Audits, Regime
from hanse.scenarios.draw import draw_world
from hanse.scenarios.run import RunResult, run_world
from hanse.scenarios.scenario import load

SIZES = {"fleet.nodes": 40, "load.model_calls": 150, "load.batch_jobs": 20}
EVERYTHING = {"verification.real_share": 1.0}
AUDITING = [Audits.RANDOM, Audits.REPLICATION, Audits.OPTIMISTIC]


def tempting_world(seed: int = 0, **settings: float | str) -> World:
    """Draw a small world in which cheating pays, every stage of which is really executed."""
    return draw_world(load("verified").replace(SIZES | EVERYTHING | settings), seed)


def told(result: RunResult) -> pd.DataFrame:
    """Return the tasks that were really executed."""
    return pd.DataFrame(result.tables["real_tasks"])


def posted_slashes_micro_usd(result: RunResult) -> int:
    """Return what the ledger moved out of stakes that were lost."""
    postings = pd.DataFrame(result.tables["postings"])
    is_slash = postings["kind"].isin([KINDS[TO_TREASURY], KINDS[TO_VERIFIER]])
    return int(postings.loc[is_slash, "amount_micro_usd"].sum())


@pytest.fixture(scope="module", params=AUDITING, ids=lambda audits: audits.name.lower())
def audited(request: pytest.FixtureRequest) -> tuple[World, Regime, RunResult]:
    """Run a policy on a world in which everything is really executed."""
    world, regime = tempting_world(), replace(AUDITED_MARKET, audits=request.param)
    return world, regime, run_world(world, regime)


def test_what_is_caught_for_real_is_what_the_ledger_has_caught(
    audited: tuple[World, Regime, RunResult],
) -> None:
    _, regime, result = audited
    tasks = told(result)
    assert (tasks["is_caught"] == tasks["is_caught_in_ledger"]).all()
    assert (tasks["is_wrong"] == (tasks["strategy"] == "lazy")).all()
    assert (tasks["fidelity"] == "real").all()
    assert (tasks["is_caught"] == (tasks["is_wrong"] & tasks["is_checked"])).all()
    assert (tasks["reason"] == np.where(tasks["is_caught"], "wrong_output", "")).all()
    if regime.audits is Audits.REPLICATION:
        # Whoever is executed again is never tempted: cheating cannot pay.
        assert tasks["is_checked"].all()
        assert not tasks["is_wrong"].any()
    else:
        assert 0 < tasks["is_caught"].sum() < tasks["is_wrong"].sum()


def test_what_is_slashed_for_real_is_what_was_posted(
    audited: tuple[World, Regime, RunResult],
) -> None:
    _, _, result = audited
    assert int(told(result)["slashed_micro_usd"].sum()) == posted_slashes_micro_usd(result)


def test_without_audits_nothing_is_checked_and_every_cheat_is_paid() -> None:
    tasks = told(run_world(tempting_world(), CENTRAL))
    assert not tasks["is_checked"].any()
    assert tasks["is_wrong"].any()
    assert (tasks["paid_micro_usd"] > 0).all()
    assert (tasks["slashed_micro_usd"] == 0).all()
    assert (tasks["executions"] == 1.0).all()


def test_whoever_owns_the_node_is_tempted_hyperscalers_too() -> None:
    world = tempting_world()
    fleet = world.fleet
    large = {fleet.owner[k] for k in np.flatnonzero(fleet.owner_is_hyperscaler)}
    # Posted prices give all of this work to independent owners, joint welfare none.
    for regime, is_large in ((CENTRAL, False), (MARKET, True)):
        tasks = told(run_world(world, regime))
        by_large = tasks["owner"].isin(large)
        assert (by_large == is_large).all()
        share = tasks["is_wrong"].mean()
        sd = np.sqrt(0.3 * 0.7 / len(tasks))
        assert abs(share - world.terms.temptation_share) < 4 * sd


def test_a_disputed_task_moves_evidence_and_an_unchecked_one_its_receipt_alone(
    audited: tuple[World, Regime, RunResult],
) -> None:
    tasks = told(audited[2])
    assert (tasks.loc[tasks["is_caught"], "rounds"] > 0).all()
    assert (tasks.loc[~tasks["is_caught"], "rounds"] == 0).all()
    if (~tasks["is_checked"]).any():
        least = tasks.loc[~tasks["is_checked"], "bytes"].min()
        assert (tasks.loc[tasks["is_checked"], "bytes"] > least).all()


def test_real_work_changes_no_other_table_and_repeats_to_the_byte() -> None:
    world = tempting_world()
    none = replace(world.workload, stage_is_real=np.zeros(world.workload.n_stages, bool))
    with_real, again = run_world(world, AUDITED_MARKET), run_world(world, AUDITED_MARKET)
    without = run_world(replace(world, workload=none), AUDITED_MARKET)
    assert set(with_real.tables) - set(without.tables) == {"real_tasks"}
    for name, table in without.tables.items():
        for column, values in table.items():
            assert values.tolist() == with_real.tables[name][column].tolist(), (name, column)
    for column, values in with_real.tables["real_tasks"].items():
        assert values.tolist() == again.tables["real_tasks"][column].tolist(), column
    assert with_real.seconds["real_solver"] > 0.0
    assert without.seconds["real_solver"] == 0.0


def test_exact_re_execution_finds_what_a_careless_audit_is_told_to_miss() -> None:
    world = tempting_world(**{"verification.audit_detection": 0.2})
    tasks = told(run_world(world, AUDITED_MARKET))
    missed = tasks["is_caught"] & ~tasks["is_caught_in_ledger"]
    assert missed.any()
    assert not (tasks["is_caught_in_ledger"] & ~tasks["is_caught"]).any()


@pytest.mark.parametrize("audits", AUDITING)
def test_who_is_of_a_ring_passes_for_real_what_the_ledger_has_it_pass(audits: Audits) -> None:
    world = tempting_world(**{"shock.ring_share": 0.4, "verification.audit_probability": 0.4})
    result = run_world(world, replace(AUDITED_MARKET, audits=audits))
    tasks = told(result)
    # Where some are of a ring, replication too leaves something to be tempted by.
    assert 0 < tasks["is_caught"].sum() < tasks["is_wrong"].sum()
    assert int(tasks["slashed_micro_usd"].sum()) == posted_slashes_micro_usd(result)
    assert (tasks["is_caught"] == tasks["is_caught_in_ledger"]).all()
    checked = tasks[tasks["is_checked"]]
    assert not tasks.loc[~tasks["is_checked"], "checker"].any()
    friends = checked["checker"] == "colluding"
    assert (checked["is_caught"] == (checked["is_wrong"] & ~friends)).all()
    assert (checked.loc[friends, "executions"].isin([1.0, 2.0])).all()
    error = np.sqrt(0.4 * 0.6 / len(checked))
    assert abs(friends.mean() - 0.4) < 4 * error


def test_fakes_are_executed_for_real_like_any_other_cheats() -> None:
    tasks = told(run_world(tempting_world(**{"shock.fakes_per_node": 0.5}), AUDITED_MARKET))
    assert tasks["is_wrong"].any()
    assert (tasks["is_caught"] == tasks["is_caught_in_ledger"]).all()


@pytest.mark.parametrize(
    ("cheat", "reason"),
    [
        ("lazy", "wrong_output"),
        ("partial", "wrong_output"),
        ("saboteur", "wrong_output"),
        ("staller", "timeout"),
        ("withholder", "unavailable"),
        ("equivocator", "equivocation"),
    ],
)
def test_whoever_cheats_in_another_way_is_convicted_for_another_reason(
    cheat: str, reason: str
) -> None:
    tasks = told(run_world(tempting_world(**{"verification.cheat": cheat}), AUDITED_MARKET))
    assert set(tasks["strategy"]) == {"honest", cheat}
    assert set(tasks["reason"]) == {"", reason}
    # All segments are executed again, so that no way to cheat is a way out.
    assert (tasks["is_caught"] == tasks["is_caught_in_ledger"]).all()


def test_a_partial_cheat_escapes_samples_that_the_ledger_takes_for_exact() -> None:
    # Two of four segments idle, one audited: one half; all of them are caught in the ledger.
    world = tempting_world(**{"verification.cheat": "partial", "verification.audit_share": 0.25})
    tasks = told(run_world(world, AUDITED_MARKET))
    checked = tasks[tasks["is_checked"] & tasks["is_wrong"]]
    assert checked["is_caught_in_ledger"].all()
    assert abs(checked["is_caught"].mean() - 0.5) < 4 * np.sqrt(0.25 / len(checked))


@pytest.mark.parametrize("checker", ["rubber_stamp", "copier"])
def test_whoever_only_pretends_to_check_finds_nothing(checker: str) -> None:
    tasks = told(run_world(tempting_world(**{"verification.checker": checker}), AUDITED_MARKET))
    assert set(tasks["checker"]) == {"", checker}
    assert tasks["is_caught_in_ledger"].any()
    assert not tasks["is_caught"].any()
    assert (tasks["executions"] == 1.0).all()

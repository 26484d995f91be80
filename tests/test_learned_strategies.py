"""All strategies, learned at the prices of a run: honesty absorbs only where checks deter."""

from dataclasses import replace

import pandas as pd
import pytest

from hanse.agents.model import ComputeMarket
from hanse.market.regime import AUDITED_MARKET, CENTRAL, Audits, Regime
from hanse.scenarios.draw import draw_world
from hanse.scenarios.scenario import Scenario, load
from hanse.scenarios.studies.learned_cheating import deterring_probability
from hanse.scenarios.studies.learned_strategies import game_in, learn_strategies
from hanse.verification.protocols.interface import SOLVERS, VERIFIERS, Strategy

SMALL = {"fleet.nodes": 40, "load.model_calls": 150, "load.batch_jobs": 20}


def small(**settings: float) -> Scenario:
    return load("verified").replace(SMALL | {"verification.real_share": 0.0} | settings)


def at_the_end(path: pd.DataFrame, role: str) -> pd.Series:
    last = path[(path["time"] == path["time"].max()) & (path["role"] == role)]
    return last.set_index("strategy")["share"]


def learned(regime: Regime = AUDITED_MARKET, p: float = 0.3, **known: object) -> pd.DataFrame:
    scenario = small(**{"verification.audit_probability": p})
    return learn_strategies(scenario, regime=regime, **known)  # type: ignore[arg-type]


def threshold() -> float:
    ledger = ComputeMarket(draw_world(small(), 0), AUDITED_MARKET).run_to_horizon()
    return deterring_probability(ledger, stake_multiple=0.5, saved_share=1.0, detection=1.0)


def test_every_strategy_of_either_side_takes_part_and_shares_sum_to_one() -> None:
    path = learned()
    of_role = path.groupby("role")["strategy"].unique()
    assert set(of_role["solver"]) == set(map(str, SOLVERS))
    assert set(of_role["verifier"]) == set(map(str, VERIFIERS))
    sums = path.groupby(["time", "role"])["share"].sum()
    assert sums.to_numpy() == pytest.approx(1.0, abs=1e-9)


def test_where_checkers_are_honest_honesty_absorbs_above_the_threshold_and_dies_below() -> None:
    at = threshold()
    for p, is_honest in ((0.8 * at, False), (1.2 * at, True)):
        solver = at_the_end(learned(p=p, verifiers=(Strategy.HONEST,)), "solver")
        assert (solver["honest"] > 0.99) == is_honest
        assert (solver["honest"] < 0.01) != is_honest


def test_checkers_paid_whatever_they_report_let_in_the_cheating_that_honest_ones_deter() -> None:
    alone = learned(p=0.9, verifiers=(Strategy.HONEST,))
    assert at_the_end(alone, "solver")["honest"] > 0.99
    path = learned(p=0.9)
    assert at_the_end(path, "solver")["honest"] < 0.01
    # A ring of both sides comes up first; copies of a seal earn no fee, and die out.
    verifier = at_the_end(path, "verifier")
    assert verifier["rubber_stamp"] > 0.25
    assert verifier["copier"] < 0.01


def test_a_stake_on_ones_own_answer_makes_both_sides_honest_unless_they_are_one_ring() -> None:
    replicated = replace(AUDITED_MARKET, audits=Audits.REPLICATION)
    strangers = tuple(each for each in VERIFIERS if each is not Strategy.COLLUDING)
    path = learned(replicated, verifiers=strangers)
    assert at_the_end(path, "solver")["honest"] > 0.99
    assert at_the_end(path, "verifier")["honest"] > 0.99
    # Where one in four checkers is a friend of one in eight solvers, rings take all.
    ring = learned(replicated)
    assert at_the_end(ring, "solver")["colluding"] > 0.99
    assert at_the_end(ring, "verifier")["colluding"] > 0.99


def test_where_nobody_checks_nobody_learns_to_work() -> None:
    assert at_the_end(learned(CENTRAL), "solver")["honest"] < 0.01


def test_without_settled_work_there_is_nothing_to_learn_from() -> None:
    world = draw_world(small(**{"measurement.horizon_s": 60.0}), 0)
    ledger = ComputeMarket(world, AUDITED_MARKET).run_to_horizon()
    ledger.record["final_us"] = -1
    with pytest.raises(ValueError, match="ledger must have settled a task that pays, got none"):
        game_in(world, AUDITED_MARKET, ledger)

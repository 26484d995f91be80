"""Populations that learn: they circle where nothing pure is stable, and rest where honesty pays."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import root
from scipy.special import expit

from hanse.verification.learning import (
    Experience,
    Mix,
    Path,
    best_respond,
    is_equilibrium,
    learn,
    payoffs_in,
    pure_equilibria,
    replicate,
    respond_by_logit,
)
from hanse.verification.protocols.checked import Attention, Optimistic, ProofOfSampling, Unverified
from hanse.verification.protocols.expectation import Game, game_of
from hanse.verification.protocols.interface import (
    SOLVERS,
    VERIFIERS,
    Strategy,
    TaskShape,
    VerificationProtocol,
)
from hanse.verification.protocols.refereed import Replication, Verde

USD = 1_000_000
STAKE = 400 * USD
LAZY, CHECKING = 1, 0

# R = 100, c_h = 60, c_l = 0, S = 400: C = 60, S + R = 500. C_v = 5, L = 50, R_v = S / 2 = 200.
TASK = TaskShape(
    n_steps=1024,
    n_operators=11,
    checkpoint_interval=32,
    work_us=1024 * USD,
    state_bytes=0,
    input_bytes=0,
    reward_micro_usd=100 * USD,
    honest_cost_micro_usd=60 * USD,
    lazy_cost_micro_usd=0,
    checking_cost_micro_usd=5 * USD,
    verifier_loss_micro_usd=50 * USD,
)

repeatable = settings(derandomize=True, deadline=None, max_examples=15, database=None)


def inspection(*, attention_deposit_usd: int = 0) -> Game:
    """Work or cheat against check or trust, with attention challenges in one of twenty tasks."""
    protocol = Optimistic(
        watch_probability=1.0,
        attention=Attention(probability=0.05, deposit_micro_usd=attention_deposit_usd * USD),
    )
    return game_of(
        protocol,
        TASK,
        solvers=(Strategy.HONEST, Strategy.LAZY),
        verifiers=(Strategy.HONEST, Strategy.RUBBER_STAMP),
        stake_micro_usd=STAKE,
    )


def at(cheating: float, checking: float) -> Mix:
    return Mix(
        solver=np.array([1.0 - cheating, cheating]), verifier=np.array([checking, 1.0 - checking])
    )


EQUILIBRIUM = at(0.02, 0.12)


def even(game: Game) -> Mix:
    return Mix(
        solver=np.full(len(game.solvers), 1.0 / len(game.solvers)),
        verifier=np.full(len(game.verifiers), 1.0 / len(game.verifiers)),
    )


def invariant(path: Path) -> NDArray[np.float64]:
    """Return what an orbit conserves.

    x' = x (1 - x)(60 - 500 y) and y' = y (1 - y)(250 x - 5), so that
    d/dt [-5 ln x - 245 ln(1 - x) - 60 ln y - 440 ln(1 - y)] = 0.
    """
    x, y = path.solver[:, LAZY], path.verifier[:, CHECKING]
    values: NDArray[np.float64] = (
        -5.0 * np.log(x) - 245.0 * np.log1p(-x) - 60.0 * np.log(y) - 440.0 * np.log1p(-y)
    )
    return values


def turns(path: Path, centre: Mix = EQUILIBRIUM) -> float:
    return path.turns_around(centre, solver=LAZY, verifier=CHECKING)


def test_nothing_pure_is_stable_and_the_mixed_equilibrium_is() -> None:
    game = inspection()
    assert pure_equilibria(game) == ()
    assert is_equilibrium(game, EQUILIBRIUM)
    assert not is_equilibrium(game, at(0.03, 0.12))
    assert not is_equilibrium(game, at(0.02, 0.13))
    solver_usd, verifier_usd = payoffs_in(game, EQUILIBRIUM)
    assert solver_usd == pytest.approx([40.0, 40.0])
    assert verifier_usd == pytest.approx([-1.0, -1.0])


@repeatable
@given(cheating=st.floats(0.005, 0.5), checking=st.floats(0.02, 0.6))
def test_a_replicator_orbit_keeps_its_invariant(cheating: float, checking: float) -> None:
    path = replicate(inspection(), at(cheating, checking), np.linspace(0.0, 4.0, 401))
    conserved = invariant(path)
    assert conserved == pytest.approx(np.full(401, conserved[0]), rel=1e-6)


def test_the_invariant_is_least_at_the_equilibrium() -> None:
    # Otherwise its being kept would not close the orbits.
    grid = [at(x, y) for x in (0.01, 0.02, 0.04) for y in (0.06, 0.12, 0.24)]
    shape = Path(
        time=np.arange(9.0),
        solver=np.array([mix.solver for mix in grid]),
        verifier=np.array([mix.verifier for mix in grid]),
    )
    assert invariant(shape).argmin() == 4


def test_a_small_orbit_turns_with_the_period_of_its_linear_part() -> None:
    # omega = sqrt(500 x 0.12 x 0.88 x 250 x 0.02 x 0.98) = 16.085
    period = 2.0 * np.pi / sqrt(500 * 0.12 * 0.88 * 250 * 0.02 * 0.98)
    path = replicate(inspection(), at(0.0201, 0.12), np.linspace(0.0, 20.0 * period, 2_001))
    assert turns(path) == pytest.approx(20.0, rel=1e-3)


def test_replicators_never_rest_but_their_mean_does() -> None:
    path = replicate(inspection(), at(0.3, 0.3), np.linspace(0.0, 60.0, 60_001))
    assert turns(path) > 50.0
    # The mean over n turns is off by at most (one turn) / n; the orbit reaches 0.3 and 0.8.
    assert path.average.solver[LAZY] == pytest.approx(0.02, abs=0.3 / 50)
    assert path.average.verifier[CHECKING] == pytest.approx(0.12, abs=0.8 / 50)
    late = slice(30_000, None)
    assert np.ptp(path.solver[late, LAZY]) > 0.2
    short = replicate(inspection(), at(0.3, 0.3), np.linspace(0.0, 6.0, 6_001))
    errors = [abs(p.average.solver[LAZY] - 0.02) for p in (short, path)]
    assert errors[1] < errors[0]


def test_best_responders_go_round_ever_closer_the_fewer_revise_at_once() -> None:
    # In the limit of few the path ends at the equilibrium; a share r overshoots it on every side,
    # so that a circle is left, whose size goes with the root of r: a sixteenth of r, a quarter.
    distances = []
    for revising, n_rounds in [(0.008, 10_000), (0.0005, 40_000)]:
        path = best_respond(inspection(), at(0.3, 0.3), revising=revising, n_rounds=n_rounds)
        half = slice(n_rounds // 2, None)
        late = Path(time=path.time[half], solver=path.solver[half], verifier=path.verifier[half])
        assert turns(late) > 10.0
        distances.append(np.abs(late.verifier[:, CHECKING] - 0.12).max())
    assert distances[0] / distances[1] == pytest.approx(4.0, rel=0.35)


def test_logit_choice_spirals_into_a_quantal_response() -> None:
    sensitivity = 0.2
    path = respond_by_logit(
        inspection(), at(0.3, 0.3), np.linspace(0.0, 60.0, 601), sensitivity_per_usd=sensitivity
    )
    # Independently: x = logistic(s (60 - 500 y)), y = logistic(s (250 x - 5)).
    solved = root(
        lambda z: [
            z[0] - expit(sensitivity * (60.0 - 500.0 * z[1])),
            z[1] - expit(sensitivity * (250.0 * z[0] - 5.0)),
        ],
        [0.02, 0.12],
        tol=1e-13,
    )
    assert solved.success
    rest = path.last
    assert (rest.solver[LAZY], rest.verifier[CHECKING]) == pytest.approx(tuple(solved.x), abs=1e-7)
    assert turns(path, rest) > 1.0


def test_the_experienced_spiral_outwards_around_the_same_mean() -> None:
    # Memory 1, cumulation 1: multiplicative weights, whose divergence from the equilibrium grows.
    experience = Experience(memory=1.0, cumulation=1.0, sensitivity_per_usd=4e-4)
    path = learn(inspection(), at(0.05, 0.12), experience, n_rounds=20_000)
    assert turns(path) > 10.0
    conserved = invariant(path)
    assert conserved[-1] > conserved[0]
    assert path.average.solver[LAZY] == pytest.approx(0.02, abs=0.003)
    assert path.average.verifier[CHECKING] == pytest.approx(0.12, abs=0.01)


def test_multiplicative_weights_in_small_steps_are_replicators() -> None:
    step = 1e-5
    experience = Experience(memory=1.0, cumulation=1.0, sensitivity_per_usd=step)
    steps = learn(inspection(), at(0.1, 0.2), experience, n_rounds=20_000)
    flow = replicate(inspection(), at(0.1, 0.2), steps.time * step)
    assert steps.solver == pytest.approx(flow.solver, abs=1e-3)
    assert steps.verifier == pytest.approx(flow.verifier, abs=5e-3)


def test_only_the_last_round_counts_without_memory() -> None:
    game, sensitivity = inspection(), 0.01
    path = learn(game, at(0.3, 0.3), Experience(sensitivity_per_usd=sensitivity), n_rounds=1)
    # 60 - 500 x 0.3 = -90 and 250 x 0.3 - 5 = 70 USD
    assert path.solver[1, LAZY] == pytest.approx(expit(-0.9), rel=1e-12)
    assert path.verifier[1, CHECKING] == pytest.approx(expit(0.7), rel=1e-12)


def test_attractions_are_those_of_experience_weighted_attraction_by_hand() -> None:
    experience = Experience(memory=0.5, forgone=0.5, cumulation=0.0, sensitivity_per_usd=0.01)
    path = learn(inspection(), at(0.3, 0.3), experience, n_rounds=1)
    # N' = 0.5 x 1 + 1 = 1.5; A_j = (0.5 x ln x_j / 0.01 + [0.5 + 0.5 x_j] pay_j) / 1.5
    honest = (0.5 * np.log(0.7) / 0.01 + 0.85 * 40.0) / 1.5
    lazy = (0.5 * np.log(0.3) / 0.01 + 0.65 * (100.0 - 500.0 * 0.3)) / 1.5
    assert path.solver[1, LAZY] == pytest.approx(expit(0.01 * (lazy - honest)), rel=1e-12)


@pytest.mark.parametrize("cheating", [0.02, 0.5, 0.98])
def test_attention_challenges_end_the_circling(cheating: float) -> None:
    # VO7: a D = 0.05 x 120 = 6 > C_v = 5, so checking pays whatever solvers do.
    game = inspection(attention_deposit_usd=120)
    assert pure_equilibria(game) == ((0, CHECKING),)
    path = replicate(game, at(cheating, 0.12), np.linspace(0.0, 20.0, 2_001))
    assert path.last.solver[LAZY] < 1e-6
    assert path.last.verifier[CHECKING] > 1.0 - 1e-6
    assert abs(turns(path)) < 1.0
    rounds = best_respond(game, at(cheating, 0.12), revising=0.01, n_rounds=2_000)
    assert rounds.last.solver[LAZY] < 1e-6
    experience = Experience(memory=1.0, cumulation=1.0, sensitivity_per_usd=0.01)
    experienced = learn(game, at(cheating, 0.12), experience, n_rounds=2_000)
    assert experienced.last.solver[LAZY] < 1e-6
    # Logit choice errs by its noise: 1 USD less per check is e**-10 at 10 a USD.
    logit = respond_by_logit(
        game, at(cheating, 0.12), np.linspace(0.0, 40.0, 41), sensitivity_per_usd=10.0
    )
    assert logit.last.solver[LAZY] < 1e-6
    assert logit.last.verifier[CHECKING] == pytest.approx(expit(10.0), abs=1e-6)


def test_a_deposit_too_small_moves_the_circle_and_does_not_end_it() -> None:
    # a D = 4 < 5: checks pay from a fraud of (5 - 4) / 250 = 0.004 on.
    game = inspection(attention_deposit_usd=80)
    centre = at(0.004, 0.12)
    assert pure_equilibria(game) == ()
    assert is_equilibrium(game, centre)
    path = replicate(game, at(0.02, 0.12), np.linspace(0.0, 60.0, 60_001))
    assert turns(path, centre) > 20.0
    assert path.average.solver[LAZY] == pytest.approx(0.004, abs=0.001)


@repeatable
@given(p=st.floats(0.01, 0.99), cheating=st.floats(0.01, 0.99))
def test_honesty_absorbs_exactly_where_the_audit_rate_deters(p: float, cheating: float) -> None:
    # VO1: p* = 0.12. Auditors are paid and check.
    game = game_of(
        ProofOfSampling(audit_probability=p),
        TASK,
        solvers=(Strategy.HONEST, Strategy.LAZY),
        verifiers=(Strategy.HONEST,),
        stake_micro_usd=STAKE,
    )
    start = Mix(solver=np.array([1.0 - cheating, cheating]), verifier=np.ones(1))
    if abs(p - 0.12) < 1e-3:
        return
    # The share of cheats is logistic in time: ln x / (1 - x) moves at 60 - 500 p USD.
    time = np.linspace(0.0, 10.0 / abs(60.0 - 500.0 * p), 11)
    path = replicate(game, start, time)
    odds = np.log(cheating / (1.0 - cheating)) + (60.0 - 500.0 * p) * time
    assert path.solver[:, LAZY] == pytest.approx(expit(odds), rel=1e-6, abs=1e-12)
    best = best_respond(game, start, revising=0.05, n_rounds=500)
    assert best.last.solver[LAZY] == pytest.approx(float(p < 0.12), abs=1e-9)
    experience = Experience(memory=1.0, cumulation=1.0, sensitivity_per_usd=0.05)
    experienced = learn(game, start, experience, n_rounds=800)
    # Odds move by 0.05 x |60 - 500 p| > 0.025 a round.
    assert experienced.last.solver[LAZY] == pytest.approx(float(p < 0.12), abs=1e-6)


def all_strategies(protocol: VerificationProtocol) -> Game:
    return game_of(protocol, TASK, solvers=SOLVERS, verifiers=VERIFIERS, stake_micro_usd=STAKE)


@pytest.mark.parametrize(
    "protocol", [ProofOfSampling(audit_probability=0.15), Verde(), Replication(), Optimistic()]
)
def test_among_all_cheats_honesty_absorbs_if_checkers_are_honest(
    protocol: VerificationProtocol,
) -> None:
    game = game_of(
        protocol, TASK, solvers=SOLVERS, verifiers=(Strategy.HONEST,), stake_micro_usd=STAKE
    )
    path = replicate(game, even(game), np.linspace(0.0, 20.0, 21))
    assert path.last.solver[SOLVERS.index(Strategy.HONEST)] > 1.0 - 1e-3
    assert game.solver_usd[1:, 0].max() < game.solver_usd[0, 0]


def test_where_nobody_checks_work_dies_out() -> None:
    game = all_strategies(Unverified())
    path = replicate(game, even(game), np.linspace(0.0, 2.0, 21))
    assert path.last.solver[SOLVERS.index(Strategy.HONEST)] < 1e-6


def test_a_bound_seal_drives_copiers_and_stamps_out_of_delegation() -> None:
    game = all_strategies(Verde())
    honest, stamp, copier = (
        game.verifier_usd[0, VERIFIERS.index(s)]
        for s in (Strategy.HONEST, Strategy.RUBBER_STAMP, Strategy.COPIER)
    )
    # Paid 100 for 60 of work, against a stake of 400 lost.
    assert (honest, stamp, copier) == (40.0, -400.0, -400.0)


@pytest.mark.parametrize("deposit_usd", [0, 120])
def test_paid_auditors_stamp_unless_they_are_tested(deposit_usd: int) -> None:
    # A fee for every audit, checked or not: it pays C_v and leaves the temptation.
    game = game_of(
        ProofOfSampling(
            audit_probability=0.15,
            n_sampled=None,
            audit_fee_micro_usd=6 * USD,
            attention=Attention(probability=0.05, deposit_micro_usd=deposit_usd * USD),
        ),
        TASK,
        solvers=(Strategy.HONEST, Strategy.LAZY),
        verifiers=(Strategy.HONEST, Strategy.RUBBER_STAMP),
        stake_micro_usd=STAKE,
    )
    path = replicate(game, at(0.05, 0.9), np.linspace(0.0, 400.0, 4_001))
    if deposit_usd:
        assert path.last.solver[LAZY] < 1e-6
        return
    # Solvers cheat where 0.15 x checks < 0.12: fewer than four in five auditors check.
    late = path.verifier[2_000:, CHECKING]
    assert late.min() < 0.8
    assert np.ptp(path.solver[2_000:, LAZY]) > 1e-3


def test_an_unplayed_strategy_stays_unplayed() -> None:
    path = replicate(inspection(), at(0.0, 0.5), np.linspace(0.0, 20.0, 2_001))
    # Had it grown from whatever stands for nothing, by 60 USD: e**1200 times as much.
    assert path.solver[:, LAZY].max() < 1e-100
    # Without fraud nobody checks for long: 5 USD a check.
    assert path.last.verifier[CHECKING] < 1e-9
    with pytest.raises(ValueError, match="all strategies must be played at the start"):
        learn(inspection(), at(0.0, 0.5), Experience(), n_rounds=1)


def test_what_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"memory must be from 0 to 1, got 1\.5"):
        Experience(memory=1.5)
    with pytest.raises(ValueError, match=r"sensitivity_per_usd must be above 0, got 0\.0"):
        Experience(sensitivity_per_usd=0.0)
    with pytest.raises(ValueError, match="shares of solver must be >= 0 and sum to 1"):
        replace(EQUILIBRIUM, solver=np.array([0.5, 0.6]))
    with pytest.raises(ValueError, match="revising must be above 0 and at most 1, got 0"):
        best_respond(inspection(), EQUILIBRIUM, revising=0.0, n_rounds=1)

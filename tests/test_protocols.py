"""Protocols behind one interface: what each declares is what its outcomes come to."""

import re
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from hanse.verification.incentives import cheats, deterrent_audit_probability, payoffs
from hanse.verification.messages import Reason
from hanse.verification.protocols.checked import (
    Attention,
    Optimistic,
    ProofOfSampling,
    Unverified,
)
from hanse.verification.protocols.expectation import expect, game_of
from hanse.verification.protocols.interface import (
    SOLVERS,
    VERIFIERS,
    Behaviour,
    ByRole,
    Luck,
    Outcome,
    PlacePair,
    Strategy,
    TaskShape,
    VerificationProtocol,
)
from hanse.verification.protocols.refereed import Replication, Verde
from tests.project_files import PROJECT

USD = 1_000_000
STAKE = 400 * USD

# The task of verification.md section 3: R = 100, c_h = 60, c_l = 0, S = 400, C_v = 5, L = 50.
TASK = TaskShape(
    n_steps=1024,
    n_operators=11,
    checkpoint_interval=32,
    work_us=1024 * USD,
    state_bytes=1_000_000,
    input_bytes=32_000_000,
    reward_micro_usd=100 * USD,
    honest_cost_micro_usd=60 * USD,
    lazy_cost_micro_usd=0,
    checking_cost_micro_usd=5 * USD,
    verifier_loss_micro_usd=50 * USD,
)
PLACE = PlacePair(rtt_us=158_000, gbps=1.0)
NEVER = Luck(audited=0.999, found=0.999, friends=0.0, attention=0.999)
ALWAYS = Luck(audited=0.0, found=0.0, friends=0.0, attention=0.0)

PROTOCOLS: tuple[VerificationProtocol, ...] = (
    Unverified(),
    Replication(n_replicas=3, quorum=2),
    Replication(n_replicas=5, quorum=4, collusion=0.3),
    ProofOfSampling(),
    ProofOfSampling(
        audit_probability=0.3,
        n_sampled=4,
        detection=0.95,
        collusion=0.1,
        audit_fee_micro_usd=7 * USD,
        levy_micro_usd=3,
        attention=Attention(probability=0.05, deposit_micro_usd=101),
    ),
    Optimistic(watch_probability=0.2, levy_micro_usd=5, collusion=0.25, detection=0.9),
    Verde(n_providers=2),
    Verde(n_providers=4, collusion=0.3, reproducibility=1.6),
)

repeatable = settings(derandomize=True, deadline=None, max_examples=100, database=None)
uniforms = st.floats(0.0, 1.0, exclude_max=True)
lucks = st.builds(Luck, audited=uniforms, found=uniforms, friends=uniforms, attention=uniforms)
behaviours = st.builds(
    Behaviour,
    solver=st.sampled_from(SOLVERS),
    verifier=st.sampled_from(VERIFIERS),
    partial_share=st.floats(0.01, 1.0),
)
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=repr)


def played(protocol: VerificationProtocol, luck: Luck = ALWAYS, **behaviour: Strategy) -> Outcome:
    return protocol.modelled(TASK, Behaviour(**behaviour), luck, stake_micro_usd=STAKE)


def test_proof_of_sampling_pays_what_the_single_audit_pays() -> None:
    # VO1 and VO2 against the closed form, with p, d and r that all matter.
    for p, d, r in [(0.10, 1.0, 0.0), (0.12, 1.0, 0.0), (0.15, 0.5, 0.1)]:
        protocol = ProofOfSampling(audit_probability=p, detection=d, collusion=r)
        paper = payoffs(
            reward_usd=100.0,
            honest_cost_usd=60.0,
            lazy_cost_usd=0.0,
            stake_usd=400.0,
            caught_probability=p * d * (1.0 - r),
        )
        honest = expect(protocol, TASK, Behaviour(), stake_micro_usd=STAKE)
        lazy = expect(protocol, TASK, Behaviour(solver=Strategy.LAZY), stake_micro_usd=STAKE)
        assert honest.solver_usd == pytest.approx(paper.honest_usd, rel=1e-12)
        assert lazy.solver_usd == pytest.approx(paper.lazy_usd, rel=1e-12)


@pytest.mark.parametrize("fee_usd", [0, 100])
def test_a_colluding_auditor_makes_both_versions_of_posp(fee_usd: int) -> None:
    # VO3 at r = 0.1: 2/15 where collusion only passes the cheat, 0.136364 where it shares A = R.
    threshold = deterrent_audit_probability(
        saving=60.0, at_risk=500.0, collusion=0.1, audit_reward=float(fee_usd)
    )
    assert threshold == pytest.approx(2 / 15 if fee_usd == 0 else 60 / 440, rel=1e-12)
    gains = []
    for p in (threshold - 1e-3, threshold, threshold + 1e-3):
        protocol = ProofOfSampling(
            audit_probability=p, collusion=0.1, audit_fee_micro_usd=fee_usd * USD
        )
        lazy = expect(protocol, TASK, Behaviour(solver=Strategy.LAZY), stake_micro_usd=STAKE)
        gains.append(lazy.solver_usd - 40.0)
    assert gains[0] > 0.0 > gains[2]
    assert gains[1] == pytest.approx(0.0, abs=1e-9)


def test_the_inspection_game_falls_out_of_an_optimistic_protocol() -> None:
    game = game_of(
        Optimistic(watch_probability=1.0),
        TASK,
        solvers=(Strategy.HONEST, Strategy.LAZY),
        verifiers=(Strategy.HONEST, Strategy.RUBBER_STAMP),
        stake_micro_usd=STAKE,
    )
    # Solver: 100 - 60 whoever looks; a cheat loses 400 if seen and keeps 100 if not.
    assert game.solver_usd.tolist() == [[40.0, 40.0], [-400.0, 100.0]]
    # Verifier: a check costs 5 and finds half of 400; a missed cheat costs 50.
    assert game.verifier_usd.tolist() == [[-5.0, 0.0], [195.0, -50.0]]


@pytest.mark.parametrize(
    ("share", "detection"),
    # Of 32 segments, 1 is audited: k / 32, where a share is rounded up to whole segments.
    [(0.0, 0.0), (1 / 32, 1 / 32), (0.01, 1 / 32), (0.3, 10 / 32), (1.0, 1.0)],
)
def test_one_audited_segment_finds_a_cheat_in_proportion(share: float, detection: float) -> None:
    terms = ProofOfSampling(audit_probability=1.0).terms(TASK, PLACE, STAKE, cheated_share=share)
    assert terms.detection_probability == pytest.approx(detection, rel=1e-12)


def test_a_saboteur_of_one_segment_passes_most_audits_of_one_and_none_of_all() -> None:
    sampled = ProofOfSampling(audit_probability=1.0, n_sampled=8)
    whole = ProofOfSampling(audit_probability=1.0, n_sampled=None)
    saboteur = Behaviour(solver=Strategy.SABOTEUR)
    assert expect(sampled, TASK, saboteur, stake_micro_usd=STAKE).caught == pytest.approx(8 / 32)
    assert expect(whole, TASK, saboteur, stake_micro_usd=STAKE).caught == 1.0


@every_protocol
@pytest.mark.parametrize("share", [1 / 32, 0.5, 1.0])
def test_what_is_declared_to_be_detected_is_detected(
    protocol: VerificationProtocol, share: float
) -> None:
    cheat = Behaviour(solver=Strategy.PARTIAL, partial_share=share)
    declared_share = protocol.terms(TASK, PLACE, STAKE, cheated_share=share).detection_probability
    expected = expect(protocol, TASK, cheat, stake_micro_usd=STAKE).caught
    assert expected == pytest.approx(declared_share, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("protocol", [p for p in PROTOCOLS if getattr(p, "collusion", 0) == 0])
def test_what_is_declared_to_be_executed_again_is_executed_again(
    protocol: VerificationProtocol,
) -> None:
    honest = expect(protocol, TASK, Behaviour(), stake_micro_usd=STAKE)
    assert honest.compute_units == pytest.approx(
        protocol.terms(TASK, PLACE, STAKE).rerun_share, rel=1e-12
    )


@every_protocol
def test_drawing_outcomes_comes_to_what_is_expected_of_them(
    protocol: VerificationProtocol,
) -> None:
    rng = np.random.default_rng(20)
    n = 4_000
    for solver in (Strategy.LAZY, Strategy.PARTIAL, Strategy.EQUIVOCATOR):
        behaviour = Behaviour(solver=solver)
        drawn = [
            protocol.modelled(
                TASK,
                behaviour,
                Luck(audited=a, found=b, friends=c, attention=d),
                stake_micro_usd=STAKE,
            )
            for a, b, c, d in rng.random((n, 4)).tolist()
        ]
        mean = expect(protocol, TASK, behaviour, stake_micro_usd=STAKE)
        paid = np.array([o.payoffs_micro_usd.solver for o in drawn]) / USD
        caught = np.array([o.caught for o in drawn])
        rounds = np.array([o.n_rounds for o in drawn])
        for sample, expected in [
            (paid, mean.solver_usd),
            (caught, mean.caught),
            (rounds, mean.n_rounds),
        ]:
            # Four standard errors; one part in 1e9 where nothing varies.
            tolerance = 4.0 * sample.std() / np.sqrt(n) + 1e-9
            assert sample.mean() == pytest.approx(expected, abs=tolerance)


@repeatable
@given(index=st.integers(0, len(PROTOCOLS) - 1), behaviour=behaviours, luck=lucks)
def test_no_outcome_makes_or_loses_money(index: int, behaviour: Behaviour, luck: Luck) -> None:
    for stake in (0, 1, 7, 10**15 + 1):
        outcome = PROTOCOLS[index].modelled(TASK, behaviour, luck, stake_micro_usd=stake)
        assert outcome.transfers.total == 0
        assert outcome.payoffs_micro_usd.total == -outcome.costs.total
        assert outcome.transfers.treasury >= 0


@repeatable
@given(index=st.integers(0, len(PROTOCOLS) - 1), behaviour=behaviours, luck=lucks)
def test_the_honest_are_never_found_guilty_and_the_guilty_are_never_paid(
    index: int, behaviour: Behaviour, luck: Luck
) -> None:
    outcome = PROTOCOLS[index].modelled(TASK, behaviour, luck, stake_micro_usd=STAKE)
    if behaviour.solver is Strategy.HONEST:
        assert not outcome.is_wrong
        assert not outcome.caught
        assert outcome.guilty != "solver"
    if outcome.guilty == "solver":
        assert outcome.transfers.solver == -STAKE
        assert not outcome.accepted
    assert (outcome.guilty is None) == (outcome.reason is None)


@every_protocol
def test_the_cases_of_chance_sum_to_one_and_are_told_apart(
    protocol: VerificationProtocol,
) -> None:
    for solver, verifier in product(SOLVERS, VERIFIERS):
        chances = protocol.chances(TASK, Behaviour(solver=solver, verifier=verifier))
        cases = list(chances.cases())
        assert sum(probability for probability, _ in cases) == pytest.approx(1.0, rel=1e-12)
        assert len({luck for _, luck in cases}) == len(cases)


@repeatable
@given(n=st.integers(2, 12), r=st.floats(0.0, 1.0))
def test_the_luck_of_a_case_brings_its_number_of_friends_about(n: int, r: float) -> None:
    chances = Verde(n_providers=n, collusion=r).chances(TASK, Behaviour())
    found = [chances.n_friends(luck.friends) for _, luck in chances.cases()]
    likely = {count for count, chance in enumerate(chances.friends) if chance > 1e-12}
    assert likely <= set(found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("solver", "reason", "n_rounds"),
    [
        # 1,024 steps and 11 operators: 10 + 4 rounds
        (Strategy.LAZY, Reason.WRONG_OUTPUT, 14),
        (Strategy.STALLER, Reason.TIMEOUT, 0),
        (Strategy.WITHHOLDER, Reason.UNAVAILABLE, 14),
        (Strategy.EQUIVOCATOR, Reason.EQUIVOCATION, 0),
    ],
)
def test_each_way_to_lose_a_dispute_has_its_reason(
    solver: Strategy, reason: Reason, n_rounds: int
) -> None:
    for protocol in (Optimistic(), Verde()):
        outcome = played(protocol, solver=solver)
        assert (outcome.guilty, outcome.reason) == ("solver", reason)
        assert outcome.n_rounds == n_rounds


def test_an_audit_knows_its_segment_and_asks_fewer_questions() -> None:
    # 32 steps and 11 operators: 5 + 4
    assert played(ProofOfSampling(), solver=Strategy.LAZY).n_rounds == 9


def test_where_answers_are_counted_there_is_no_dispute_to_stall() -> None:
    outcome = played(Replication(), solver=Strategy.STALLER)
    assert (outcome.reason, outcome.n_rounds) == (Reason.WRONG_OUTPUT, 0)


def test_two_receipts_convict_even_where_the_segment_drawn_is_right() -> None:
    luck = replace(ALWAYS, found=0.99)
    protocol = ProofOfSampling(detection=0.5)
    assert played(protocol, luck, solver=Strategy.EQUIVOCATOR).caught
    assert not played(protocol, luck, solver=Strategy.LAZY).caught


def test_an_auditor_that_has_seen_a_fault_looks_no_further() -> None:
    # Half of 32 segments are wrong, four are drawn: the first is wrong with 1/2, if it is right the
    # second with 16/31, and so on; checked are 1, 2, 3 or 4 of 32, at 5 USD for all.
    protocol = ProofOfSampling(audit_probability=1.0, n_sampled=4)
    right = np.cumprod([1.0, 16 / 32, 15 / 31, 14 / 30])
    cheat = expect(protocol, TASK, Behaviour(solver=Strategy.PARTIAL), stake_micro_usd=0)
    assert cheat.compute_units == pytest.approx(right.sum() / 32, rel=1e-12)
    honest = expect(protocol, TASK, Behaviour(), stake_micro_usd=0)
    assert honest.compute_units == pytest.approx(4 / 32, rel=1e-12)


def test_nobody_is_caught_where_nobody_looks() -> None:
    for solver in SOLVERS:
        assert played(Unverified(), solver=solver).accepted
        assert played(ProofOfSampling(), NEVER, solver=solver).accepted
    assert played(ProofOfSampling(), NEVER, solver=Strategy.LAZY).compute_units == 0.0


@pytest.mark.parametrize(
    ("solver", "verifier"),
    [
        (Strategy.LAZY, Strategy.RUBBER_STAMP),
        (Strategy.LAZY, Strategy.COPIER),
        (Strategy.COLLUDING, Strategy.COLLUDING),
    ],
)
def test_a_checker_that_does_not_check_lets_every_cheat_pass(
    solver: Strategy, verifier: Strategy
) -> None:
    for protocol in (ProofOfSampling(), Optimistic(), Verde()):
        outcome = played(protocol, solver=solver, verifier=verifier)
        assert outcome.is_wrong
        assert outcome.accepted


def test_a_ring_needs_both_its_ends() -> None:
    for protocol in (ProofOfSampling(), Optimistic(), Verde(), Replication()):
        assert played(protocol, solver=Strategy.COLLUDING).caught
        assert played(protocol, solver=Strategy.LAZY, verifier=Strategy.COLLUDING).caught


def test_a_copied_seal_earns_nothing() -> None:
    paid = ProofOfSampling(audit_fee_micro_usd=7 * USD)
    assert played(paid, verifier=Strategy.RUBBER_STAMP).transfers.verifier == 7 * USD
    assert played(paid, verifier=Strategy.COPIER).transfers.verifier == 0
    # Beside a working solver it forfeits a stake of 400: half to the solver, half to the treasury.
    copied = played(Verde(), verifier=Strategy.COPIER)
    assert (copied.guilty, copied.reason) == ("verifier", Reason.BAD_PROOF)
    assert copied.transfers == ByRole(
        solver=300 * USD, verifier=-400 * USD, buyer=-100 * USD, treasury=200 * USD
    )


def test_one_honest_provider_is_enough_for_a_referee_and_not_for_a_vote() -> None:
    # VO9: two friends of three outvote the honest one, which pays for being right.
    vote = Replication(n_replicas=4, quorum=3, collusion=0.5)
    fooled = played(vote, replace(ALWAYS, friends=0.5 + 3 / 8 - 0.01), solver=Strategy.LAZY)
    assert fooled.accepted
    # Friends of three: 1/8, 3/8, 3/8, 1/8. Solver and two friends get 100 each, and a third of half
    # of the 400 that the honest one forfeits.
    assert fooled.transfers.solver == 100 * USD + 200 * USD // 3
    assert fooled.transfers.verifier == 2 * (100 * USD + 200 * USD // 3) - 400 * USD
    referee = Verde(n_providers=4, collusion=0.5)
    caught = played(referee, replace(ALWAYS, friends=0.86), solver=Strategy.LAZY)
    assert caught.caught
    # The solver and two friends forfeit 1,200; the one that worked gets 600 and its reward.
    assert caught.transfers == ByRole(
        solver=-400 * USD, verifier=-800 * USD + 700 * USD, buyer=-100 * USD, treasury=600 * USD
    )
    three_friends = replace(ALWAYS, friends=0.88)
    assert not played(referee, three_friends, solver=Strategy.LAZY).caught


def test_a_vote_without_a_quorum_pays_nobody() -> None:
    # Of five, two wrong answers agree and three right ones: four are needed.
    vote = Replication(n_replicas=5, quorum=4, collusion=0.5)
    one_friend = replace(ALWAYS, friends=0.1)  # 1/16 + 4/16 > 0.1 > 1/16
    split = played(vote, one_friend, solver=Strategy.LAZY)
    assert not split.accepted
    assert split.guilty is None
    assert split.transfers == ByRole()


@pytest.mark.parametrize(("n", "quorum"), [(2, 2), (3, 2), (5, 3), (5, 5), (7, 4)])
def test_a_vote_is_fooled_as_often_as_binomial_counting_says(n: int, quorum: int) -> None:
    r = 0.3
    fooled = binom.sf(quorum - 2, n - 1, r)
    vote = Replication(n_replicas=n, quorum=quorum, collusion=r)
    lazy = expect(vote, TASK, Behaviour(solver=Strategy.LAZY), stake_micro_usd=STAKE)
    assert lazy.accepted_fraud == pytest.approx(fooled, rel=1e-9)


def test_attention_challenges_cost_the_sleeper_and_nobody_else() -> None:
    protocol = Optimistic(
        watch_probability=1.0, attention=Attention(probability=0.05, deposit_micro_usd=100 * USD)
    )
    slept = expect(protocol, TASK, Behaviour(verifier=Strategy.RUBBER_STAMP), stake_micro_usd=STAKE)
    assert slept.verifier_usd == pytest.approx(-5.0, rel=1e-12)  # 0.05 x 100 = C_v
    assert slept.treasury_usd == pytest.approx(5.0, rel=1e-12)
    # A ring passes: the solver tells its friend what to answer.
    ring = Behaviour(solver=Strategy.COLLUDING, verifier=Strategy.COLLUDING)
    assert expect(protocol, TASK, ring, stake_micro_usd=STAKE).treasury_usd == 0.0
    watched = expect(protocol, TASK, Behaviour(), stake_micro_usd=STAKE)
    assert (watched.verifier_usd, watched.treasury_usd) == (-5.0, 0.0)


def test_multipliers_are_those_of_the_paper() -> None:
    # VO14: 1 + p, 1 + p k / n, k x slowdown, n_v + 1
    def multiplier(protocol: VerificationProtocol) -> float:
        return round(protocol.terms(TASK, PLACE, STAKE).compute_multiplier, 12)

    assert multiplier(Unverified()) == 1.0
    assert multiplier(ProofOfSampling(n_sampled=None)) == 1.15
    assert multiplier(ProofOfSampling()) == 1.0046875  # 1 + 0.15 x 32 / 1,024
    assert multiplier(Optimistic(watch_probability=0.15)) == 1.15
    assert multiplier(Replication(n_replicas=8, quorum=5)) == 8.0
    slowdowns = (1.3, 1.6, 2.26)
    assert [multiplier(Verde(reproducibility=s)) for s in slowdowns] == [2.6, 3.2, 4.52]


def test_delays_are_the_sums_on_paper() -> None:
    audit = ProofOfSampling(audit_probability=0.15).terms(TASK, PLACE, STAKE)
    # 1 MB + 32 MB / 32 = 2 MB = 16 ms at 1 Gbit/s; the rerun takes 1,024 s / 32 = 32 s
    assert audit.finality_us == pytest.approx(79_000 + 0.15 * (16_000 + 32e6 + 79_000), rel=1e-12)
    assert audit.moved_bytes == pytest.approx(0.15 * 2e6, rel=1e-12)
    # 9 rounds and 5 openings x 1.158 s + 32 s + 1 s / 11
    assert (audit.dispute_rounds, audit.dispute_questions) == (9, 14)
    assert audit.dispute_us == pytest.approx(14 * 1.158e6 + 32e6 + 1e6 / 11, rel=1e-12)
    # a challenge, two moves a round, two each of three openings, start, evidence and verdict
    assert audit.n_dispute_messages == 1 + 2 * 9 + 6 + 2 + 1
    # From the initial state on, no checkpoint has to travel: 32 MB in 0.256 s.
    whole = ProofOfSampling(audit_probability=1.0, n_sampled=None).terms(TASK, PLACE, STAKE)
    assert whole.moved_bytes == 32e6
    assert whole.finality_us == pytest.approx(79_000 + 256_000 + 1024e6 + 79_000, rel=1e-12)
    watch = Optimistic(window_us=120 * USD).terms(TASK, PLACE, STAKE)
    assert watch.finality_us == 120_079_000
    # 400 USD x (1,024 + 120.079) s
    assert watch.locked_usd_s == pytest.approx(400 * 1_144.079, rel=1e-12)
    verde = Verde(reproducibility=1.3).terms(TASK, PLACE, STAKE)
    assert verde.finality_us == 237_000
    # two stakes; work slowed by 1.3
    assert verde.locked_usd_s == pytest.approx(800 * (1_331.2 + 0.237), rel=1e-12)


@pytest.mark.parametrize(
    ("n_steps", "interval", "n_rounds"),
    # 5 segments of 3 steps: 3 + 2, and 4 for 11 operators, though 15 steps are 4 halvings at once.
    [(15, 3, 9), (1024, 32, 14), (1_000, 100, 15), (7, 7, 7), (80_957, 1, 21)],
)
def test_a_whole_task_is_bisected_by_segments_steps_and_operators(
    n_steps: int, interval: int, n_rounds: int
) -> None:
    task = replace(TASK, n_steps=n_steps, checkpoint_interval=interval)
    for protocol in (Optimistic(), Verde()):
        terms = protocol.terms(task, PLACE, STAKE)
        assert (terms.dispute_rounds, terms.dispute_questions) == (n_rounds, n_rounds + 4)
        lazy = Behaviour(solver=Strategy.LAZY)
        assert protocol.modelled(task, lazy, ALWAYS, stake_micro_usd=1).n_rounds == n_rounds


def test_where_the_last_segment_is_short_audits_execute_less_than_full_ones() -> None:
    # Segments of 30, 30, 30 and 10 steps: one drawn is 25 steps on average, two are 50.
    task = replace(TASK, n_steps=100, checkpoint_interval=30)
    for n_sampled in (1, 2, 3, 4, None):
        protocol = ProofOfSampling(audit_probability=1.0, n_sampled=n_sampled)
        drawn = list(combinations((30, 30, 30, 10), n_sampled or 4))
        share = sum(map(sum, drawn)) / len(drawn) / 100
        terms = protocol.terms(task, PLACE, STAKE)
        assert terms.rerun_share == pytest.approx(share, rel=1e-12)
        honest = expect(protocol, task, Behaviour(), stake_micro_usd=STAKE)
        assert honest.compute_units == pytest.approx(share, rel=1e-12)


def test_a_partial_cheat_leaves_out_whole_segments_and_saves_what_they_cost() -> None:
    # 0.3 of 5 segments are two, of five: it saves 24 of 60, and one sample sees it two in five.
    task = replace(TASK, n_steps=15, checkpoint_interval=3)
    partial = Behaviour(solver=Strategy.PARTIAL, partial_share=0.3)
    assert partial.cheated_share(task) == 0.4
    protocol = ProofOfSampling(audit_probability=1.0)
    expected = expect(protocol, task, partial, stake_micro_usd=STAKE)
    assert expected.caught == pytest.approx(0.4, rel=1e-12)
    # 0.6 x 100 - 0.4 x 400 - 36
    assert expected.solver_usd == pytest.approx(-136.0, rel=1e-12)


@every_protocol
def test_farther_is_later_and_locks_more(protocol: VerificationProtocol) -> None:
    near = protocol.terms(TASK, PLACE, STAKE)
    far = protocol.terms(TASK, replace(PLACE, rtt_us=2 * PLACE.rtt_us), STAKE)
    assert far.finality_us > near.finality_us
    assert far.locked_usd_s > near.locked_usd_s
    assert far.dispute_us >= near.dispute_us
    assert (far.dispute_us > near.dispute_us) == (near.dispute_rounds > 0)
    assert far.rerun_share == near.rerun_share


@repeatable
@given(
    p=st.floats(0.0, 1.0),
    stake=st.integers(0, 2_000),
    lazy_cost=st.integers(0, 50),
    detection=st.floats(0.0, 1.0),
)
def test_who_is_tempted_by_outcomes_is_who_cheats_by_the_closed_form(
    p: float, stake: int, lazy_cost: int, detection: float
) -> None:
    task = replace(TASK, lazy_cost_micro_usd=lazy_cost * USD)
    protocol = ProofOfSampling(audit_probability=p, detection=detection)
    honest = expect(protocol, task, Behaviour(), stake_micro_usd=stake * USD)
    lazy = expect(protocol, task, Behaviour(solver=Strategy.LAZY), stake_micro_usd=stake * USD)
    advantage = lazy.solver_usd - honest.solver_usd
    if abs(advantage) > 1e-9:
        tempted = cheats(60.0 - lazy_cost, p, detection, float(stake), 100.0)
        assert tempted == (advantage > 0.0)


def test_the_tables_of_the_page_are_those_that_its_code_makes() -> None:
    page = (PROJECT / "docs" / "reference" / "protocols.md").read_text(encoding="utf-8")
    namespace: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(compile(block, "protocols.md", "exec"), namespace)
    for name in ("terms_table", "price_table"):
        assert f"\n{namespace[name]}\n" in page


def test_what_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"audit_probability must be from 0 to 1, got 1\.5"):
        ProofOfSampling(audit_probability=1.5)
    with pytest.raises(ValueError, match="quorum must be more than half"):
        Replication(n_replicas=4, quorum=2)
    with pytest.raises(ValueError, match="n_providers must be at least 2, got 1"):
        Verde(n_providers=1)
    for slowdown in (0.5, float("nan")):
        with pytest.raises(ValueError, match="reproducibility must be at least 1, got"):
            Verde(reproducibility=slowdown)
    with pytest.raises(ValueError, match="window_us must be at least 0, got -1"):
        Optimistic(window_us=-1)
    with pytest.raises(ValueError, match="n_sampled must be at least 1, got 0"):
        ProofOfSampling(n_sampled=0)
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match=f"rtt_us must be at least 0, got {wrong}"):
            replace(PLACE, rtt_us=wrong)
        with pytest.raises(ValueError, match=f"response_us must be at least 0, got {wrong}"):
            replace(PLACE, response_us=wrong)
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"gbps must be above 0, got {wrong}"):
            replace(PLACE, gbps=wrong)
    with pytest.raises(ValueError, match="solver must be one of .* got copier"):
        Behaviour(solver=Strategy.COPIER)
    with pytest.raises(ValueError, match="checkpoint_interval must be at most n_steps = 1024"):
        replace(TASK, checkpoint_interval=1025)
    with pytest.raises(ValueError, match=r"found must be in \[0, 1\), got 1\.0"):
        replace(ALWAYS, found=1.0)
    with pytest.raises(ValueError, match="transfers must sum to 0, got 1"):
        replace(played(Unverified()), transfers=ByRole(solver=1))

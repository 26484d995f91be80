"""Which of two ways pays more: what each rule comes to, alone and where all answer at once."""

from dataclasses import replace

import numpy as np
import pytest

from hanse.agents.asking import believed_elasticity, experienced, no_experience
from hanse.agents.choices import RULES, Learning, first_learners, learned
from hanse.market.units import Floats

PLAIN = Learning(
    rule="replicator",
    response_share=0.25,
    rate=2.0,
    forgetting=0.1,
    experimentation=0.2,
    exploration=0.2,
    least=0.01,
)


def play(payoff_of: "object", learning: Learning, *, n: int = 200, n_rounds: int = 200) -> Floats:
    """Let n learners play rounds; return the share that acted, round by round."""
    assert callable(payoff_of)
    rng = np.random.default_rng(3)
    learners, path = first_learners(np.full(n, 0.3), learning.rule), []
    for _ in range(n_rounds):
        acted = rng.random(n) < learners.share
        path.append(acted.mean())
        payoff = np.broadcast_to(payoff_of(path[-1]), (n, 2))
        learners = learned(learners, payoff, acted, learning=learning)
    return np.array(path)


def crowding(share: float) -> Floats:
    """Pay each way the less, the more take it: what all answer at once, all overshoot."""
    return np.array([share, 1.0 - share])


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_comes_to_prefer_what_pays_more(rule: str) -> None:
    for payoff, compare in (([0.2, 0.8], np.greater), ([0.8, 0.2], np.less)):
        path = play(lambda _, paid=payoff: np.array(paid), replace(PLAIN, rule=rule))
        assert compare(path[-50:].mean(), 0.5)
        assert compare(path[-50:].mean(), path[0])


def test_all_who_answer_at_once_cycle_and_inertia_takes_the_cycle_down() -> None:
    """The amplitude is at most the share of the way that anybody goes, over five levels."""
    swings = []
    for share in (1.0, 0.5, 0.25, 0.1, 0.05):
        rule = replace(PLAIN, rule="best-response", response_share=share)
        late = play(crowding, rule, n=100_000)[-40:]
        swings.append(float(np.abs(np.diff(late)).mean()))
        # Chances move by at most `share`; of 100,000 coins the mean is off by 0.0016 at most.
        assert swings[-1] <= share + 5 * 0.0016
    assert swings[0] > 0.9
    assert (np.diff(swings) < 0.0).all()


@pytest.mark.parametrize("rule", ["replicator", "erev-roth", "exp3"])
def test_the_other_rules_settle_where_both_ways_pay_the_same(rule: str) -> None:
    path = play(crowding, replace(PLAIN, rule=rule), n=2_000, n_rounds=400)
    late = path[-200:]
    assert late.mean() == pytest.approx(0.5, abs=0.05)
    assert np.abs(np.diff(late)).mean() < 0.05
    steps = np.diff(late)
    # Coins alone give -1/2; a cycle of two gives -1.
    assert np.corrcoef(steps[1:], steps[:-1])[0, 1] > -0.8


def test_who_decides_by_turns_does_not_cycle_either() -> None:
    """Best response at once, by a quarter of all in each round."""
    rng, share, path = np.random.default_rng(0), np.full(4_000, 0.0), []
    rule = replace(PLAIN, rule="best-response", response_share=1.0)
    for _ in range(100):
        acts = share > 0.5
        path.append(acts.mean())
        payoff = np.broadcast_to(crowding(path[-1]), (len(share), 2))
        told = learned(first_learners(share, rule.rule), payoff, acts, learning=rule).share
        share = np.where(rng.random(len(share)) < 0.25, told, share)
    assert np.abs(np.diff(path[-40:])).mean() < 0.3
    assert np.mean(path[-40:]) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("rule", RULES)
def test_from_what_nobody_can_tell_nothing_is_learned(rule: str) -> None:
    before = first_learners(np.array([0.3, 0.6]), rule)
    after = learned(
        before, np.full((2, 2), np.nan), np.array([True, False]), learning=replace(PLAIN, rule=rule)
    )
    assert after.share == pytest.approx(before.share)
    assert (after.weight == before.weight).all()


def test_a_rule_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="rule must be one of best-response"):
        replace(PLAIN, rule="hope")


def test_an_elasticity_is_learned_from_answers_to_ones_own_prices() -> None:
    """Demand of elasticity 3, prices that move by lot: a high rate finds it, rate 0 keeps 1.5."""
    rng, seen = np.random.default_rng(1), no_experience(50)
    for _ in range(40):
        price = np.exp(0.2 * rng.standard_normal(50))
        seen = experienced(seen, price, 7.0 * price**-3.0, memory=0.9)
    found = [
        believed_elasticity(seen, 1.5, rate=rate).mean() for rate in (0.0, 0.1, 1.0, 10.0, 1e6)
    ]
    assert found[0] == 1.5
    assert (np.diff(found) > 0.0).all()
    assert found[-1] == pytest.approx(3.0)


def test_who_never_moved_a_price_keeps_to_what_it_believed() -> None:
    seen = no_experience(2)
    for demand in (1.0, 5.0, 0.0):
        seen = experienced(seen, np.ones(2), np.full(2, demand), memory=1.0)
    assert believed_elasticity(seen, 2.0, rate=100.0).tolist() == [2.0, 2.0]

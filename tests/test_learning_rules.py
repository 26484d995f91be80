"""How agents move towards what pays: what converges, what cycles, and what finds the better arm."""

import numpy as np
import pytest

from hanse.agents.learning_rules import (
    exp3_learned,
    exp3_shares,
    move_towards,
    reinforced,
    replicated,
    shift_odds,
    smoothed,
)
from hanse.market.units import Floats


def mirror_economy(*, share: float, slope: float, n_rounds: int) -> Floats:
    """Let equal sellers answer the same stale price, and return the prices that come of it.

    Demand is 10 - price; each supplies slope times the price that it saw. It clears at
    10 / (1 + slope), and the error of supply is multiplied by 1 - share (1 + slope) each round.
    """
    supply, prices = np.full(8, 0.25), []
    for _ in range(n_rounds):
        price = 10.0 - supply.sum()
        prices.append(price)
        best = np.full(8, slope * price / 8)
        supply = move_towards(supply, best, share=share)
    return np.array(prices)


def test_who_answers_a_stale_price_at_once_cycles_and_who_goes_half_way_converges() -> None:
    undamped = mirror_economy(share=1.0, slope=1.0, n_rounds=200)
    assert undamped[-1] == pytest.approx(undamped[-3])
    assert undamped[-1] - 5.0 == pytest.approx(-(undamped[-2] - 5.0))
    assert abs(undamped[-1] - 5.0) == pytest.approx(3.0)
    assert mirror_economy(share=0.5, slope=1.0, n_rounds=50)[-1] == pytest.approx(5.0)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.45])
def test_the_error_shrinks_as_the_eigenvalue_says(share: float) -> None:
    slope = 3.0
    error = mirror_economy(share=share, slope=slope, n_rounds=12) - 10.0 / (1.0 + slope)
    assert error[1:] / error[:-1] == pytest.approx(np.full(11, 1.0 - share * (1.0 + slope)))


def test_steep_supply_explodes_without_damping() -> None:
    path = np.abs(mirror_economy(share=1.0, slope=3.0, n_rounds=10) - 2.5)
    assert path[1:] / path[:-1] == pytest.approx(np.full(9, 3.0))


def test_log_odds_move_by_rate_times_gain_as_replication_of_two_does() -> None:
    for share, gain in ((0.2, 0.7), (0.9, -1.3)):
        moved = shift_odds(share, gain, rate=1.5, least=1e-9)
        both = replicated(np.array([share, 1.0 - share]), np.array([gain, 0.0]), rate=1.5)
        assert moved == pytest.approx(both[0])
        assert np.log(moved / (1 - moved)) - np.log(share / (1 - share)) == pytest.approx(
            1.5 * gain
        )


def test_nothing_is_learned_from_what_is_not_known() -> None:
    assert shift_odds(0.3, float("nan"), rate=2.0, least=0.01) == 0.3
    assert smoothed(np.array([1.0]), np.array([np.nan]), memory=0.5).tolist() == [1.0]


def test_a_gain_beyond_all_measure_takes_the_share_to_its_bound() -> None:
    assert shift_odds(0.5, 1e9, rate=2.0, least=0.01) == 0.99
    assert shift_odds(0.5, -1e9, rate=2.0, least=0.01) == 0.01


def test_replication_keeps_a_mixed_equilibrium_and_dies_out_what_pays_less() -> None:
    share = np.array([0.2, 0.3, 0.5])
    assert replicated(share, np.full(3, 7.0), rate=5.0) == pytest.approx(share)
    for _ in range(200):
        share = replicated(share, np.array([0.0, 1.0, 0.9]), rate=1.0)
    assert share[1] > 0.999


def test_reinforcement_keeps_to_the_better_of_two_arms() -> None:
    rng = np.random.default_rng(4)
    propensity, played = np.ones(2), np.zeros(2)
    for _ in range(3_000):
        arm = int(rng.random() < propensity[1] / propensity.sum())
        played[arm] += 1
        paid = float(rng.random() < (0.2, 0.8)[arm])
        propensity = reinforced(propensity, arm, paid, forgetting=0.01, experimentation=0.05)
    # Without forgetting or noise its share would tend to 1; experimentation keeps some of the rest.
    assert played[1] / played.sum() > 0.8


def test_exp3_stays_within_its_bound_of_regret() -> None:
    """Regret is at most (e - 1) g T + K ln K / g in expectation, for any arms."""
    n_arms, n_rounds = 4, 4_000
    paid = np.array([0.2, 0.8, 0.5, 0.3])
    exploration = np.sqrt(n_arms * np.log(n_arms) / ((np.e - 1.0) * n_rounds))
    rng = np.random.default_rng(5)
    log_weight, earned = np.zeros(n_arms), 0.0
    for _ in range(n_rounds):
        share = exp3_shares(log_weight, exploration=exploration)
        arm = int(rng.choice(n_arms, p=share))
        reward = float(rng.random() < paid[arm])
        earned += reward
        log_weight = exp3_learned(log_weight, arm, reward, exploration=exploration)
    bound = (np.e - 1.0) * exploration * n_rounds + n_arms * np.log(n_arms) / exploration
    noise = 5.0 * np.sqrt(n_rounds) / 2.0
    assert 0.8 * n_rounds - earned < bound + noise
    assert exp3_shares(log_weight, exploration=exploration).argmax() == 1


def test_exp3_reckons_without_bias_with_arms_it_did_not_pull() -> None:
    share = exp3_shares(np.log(np.array([1.0, 3.0])), exploration=0.2)
    assert share == pytest.approx([0.8 * 0.25 + 0.1, 0.8 * 0.75 + 0.1])
    learned = [
        exp3_learned(np.log(np.array([1.0, 3.0])), arm, 0.5, exploration=0.2) for arm in (0, 1)
    ]
    mean = share[0] * (learned[0] - np.log([1.0, 3.0])) + share[1] * (
        learned[1] - np.log([1.0, 3.0])
    )
    assert mean == pytest.approx(np.full(2, 0.2 * 0.5 / 2))


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(ValueError, match=r"share must be from 0 to 1, got 1\.5"):
        move_towards(np.zeros(1), np.ones(1), share=1.5)
    with pytest.raises(ValueError, match="payoff must be at least 0"):
        reinforced(np.ones(2), 0, -1.0, forgetting=0.0, experimentation=0.0)
    with pytest.raises(ValueError, match="payoff must be from 0 to 1"):
        exp3_learned(np.zeros(2), 0, 2.0, exploration=0.1)

"""Councils: who wins, what safeguards stop, and that equal power captures nothing."""

from dataclasses import replace

import numpy as np
import pytest

from hanse.agents.council import Council, Safeguards, power_of
from hanse.market.accounts.voting_power import shapley_shubik_power
from hanse.market.units import Flags, Floats

EVERYBODY = np.ones(4, bool)

# Values 0 to 3; welfare is the sum over voters: 7, 9, 11, 7. Only the last voter likes value 3,
# which moves to it what all lose, and more is lost on the way.
PAYOFF = np.array(
    [
        [3.0, 2.0, 1.0, 1.0],
        [3.0, 2.5, 2.0, 1.5],
        [3.5, 3.0, 2.5, 2.0],
        [0.5, 0.5, 0.5, 5.5],
    ]
)


def council(
    stake: list[float], *, safeguards: Safeguards | None = None, payoff: Floats = PAYOFF
) -> Council:
    return Council(
        stake=np.array(stake),
        payoff_usd=payoff,
        status_quo=0,
        delegate=np.arange(len(stake)),
        safeguards=safeguards or Safeguards(),
    )


def test_equal_power_votes_for_what_is_best_for_all_where_most_agree_on_it() -> None:
    equal = council([1, 1, 1, 1])
    assert equal.elect(EVERYBODY) == int(PAYOFF.sum(axis=1).argmax()) == 2
    assert power_of(equal, EVERYBODY) == pytest.approx(0.25)


def test_a_majority_of_stake_captures_and_the_rent_is_what_all_lose() -> None:
    captured = council([1, 1, 1, 4])
    voted = captured.elect(EVERYBODY)
    welfare = PAYOFF.sum(axis=1)
    assert voted == 3
    assert welfare.max() - welfare[voted] == 4.0
    assert PAYOFF[voted, 3] - PAYOFF[2, 3] == 3.5
    assert power_of(captured, EVERYBODY).tolist() == [0.0, 0.0, 0.0, 1.0]


def test_a_board_of_one_voter_decides_what_is_best_for_itself() -> None:
    board = council([1], payoff=PAYOFF[:, 3:])
    assert board.elect(np.ones(1, bool)) == 3


def test_half_of_the_stake_is_no_majority_unless_others_stay_away() -> None:
    half = council([1, 1, 1, 3])
    assert half.elect(EVERYBODY) == 2
    assert half.elect(np.array([True, True, False, True])) == 3


@pytest.mark.parametrize(
    "safeguards",
    [
        Safeguards(cap_share=0.25),
        Safeguards(is_quadratic=True),
        Safeguards(threshold=0.75),
    ],
)
def test_a_safeguard_stops_a_small_majority(safeguards: Safeguards) -> None:
    assert council([1, 1, 1, 4]).elect(EVERYBODY) == 3
    assert council([1, 1, 1, 4], safeguards=safeguards).elect(EVERYBODY) == 2


def test_no_vote_below_the_quorum_changes_anything() -> None:
    guarded = council([1, 1, 1, 4], safeguards=Safeguards(quorum=0.7))
    assert guarded.elect(np.array([False, False, False, True])) == 0
    assert guarded.elect(np.array([True, False, False, True])) == 3


def test_a_time_lock_gives_those_who_stayed_away_a_second_vote() -> None:
    locked = council([1, 1, 1, 2], safeguards=Safeguards(is_time_locked=True))
    few = np.array([True, False, False, True])
    assert council([1, 1, 1, 2]).elect(few) == 3
    assert locked.elect(np.array([few, EVERYBODY])) == 0
    assert locked.elect(np.array([few, few])) == 3
    with pytest.raises(ValueError, match="a row for each of two votes"):
        locked.elect(few)


def test_a_supermajority_protects_what_stands_even_if_it_is_bad() -> None:
    # The last voter has a third and likes the status quo best; the change would be better for all
    # together: 3 x 2 against 5.
    payoff = np.array([[1.0, 1.0, 1.0, 2.0], [2.0, 2.0, 2.0, 0.0]])
    stake = [2.0, 2.0, 2.0, 3.0]
    assert council(stake, payoff=payoff).elect(EVERYBODY) == 1
    guarded = council(stake, payoff=payoff, safeguards=Safeguards(threshold=0.7))
    assert guarded.elect(EVERYBODY) == 0


def test_delegated_votes_are_cast_by_the_last_in_the_chain_and_rings_cast_none() -> None:
    chain = replace(council([1, 2, 3, 4]), delegate=np.array([1, 3, 2, 3]))
    assert chain.votes().tolist() == [0.0, 0.0, 3.0, 7.0]
    ring = replace(council([1, 2, 3, 4]), delegate=np.array([1, 0, 2, 0]))
    assert ring.votes().tolist() == [0.0, 0.0, 3.0, 0.0]


def test_a_cap_binds_what_is_delegated_too_so_that_it_cannot_be_evaded_by_friends() -> None:
    capped = council([1, 2, 3, 4], safeguards=Safeguards(cap_share=0.4))
    assert replace(capped, delegate=np.array([3, 3, 2, 3])).votes().tolist() == [0, 0, 3, 4]


@pytest.mark.parametrize("turns_out", [EVERYBODY, np.array([True, True, False, True])])
def test_power_does_not_grow_when_stake_is_given_away(turns_out: Flags) -> None:
    power = [power_of(council([3, 3, 3, own]), turns_out)[3] for own in (0, 1, 4, 7, 10, 20)]
    assert np.diff(power).min() >= -1e-12
    assert power[0] == 0.0
    assert power[-1] == pytest.approx(1.0)


def test_power_can_be_counted_by_orders_too() -> None:
    found = power_of(council([50, 49, 1, 0]), EVERYBODY, index=shapley_shubik_power)
    assert found == pytest.approx([2 / 3, 1 / 6, 1 / 6, 0.0])


def test_where_nobody_turns_out_nobody_has_power_and_nothing_changes() -> None:
    nobody = np.zeros(4, bool)
    assert power_of(council([1, 1, 1, 4]), nobody).tolist() == [0.0, 0.0, 0.0, 0.0]
    assert council([1, 1, 1, 4]).elect(nobody) == 0


def test_those_to_whom_it_is_all_the_same_do_not_count() -> None:
    payoff = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.1]])
    assert council([5, 5, 5, 1], payoff=payoff).elect(EVERYBODY) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cap_share": 0.0}, "cap_share"),
        ({"threshold": 0.4}, "threshold"),
        ({"quorum": 1.5}, "quorum"),
    ],
)
def test_a_safeguard_out_of_bounds_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Safeguards(**wrong)  # type: ignore[arg-type]


def test_a_council_whose_columns_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="must have 4 entries"):
        council([1, 1, 1])
    with pytest.raises(ValueError, match="status_quo"):
        replace(council([1, 1, 1, 1]), status_quo=4)
    with pytest.raises(ValueError, match="stake"):
        council([0, 0, 0, 0])

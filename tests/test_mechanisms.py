"""What price mechanisms promise: a balanced budget, nobody worse off, and who may be honest."""

from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.market.exchange.bid_columns import NO_ASK
from hanse.market.exchange.mechanisms import (
    SpotRuns,
    Trades,
    fixed_price_in_order,
    highest_losing_bid_auction,
    interruptible_bids,
    k_double_auction,
    pay_as_bid_reverse_auction,
    second_price_auction,
)
from hanse.market.exchange.rationing import fixed_price_in_proportion, inflated_orders
from hanse.market.units import Integers

# Few distinct amounts make ties, large ones would show any rounding.
AMOUNTS = st.integers(0, 6) | st.integers(0, 10**15)
COLUMNS = st.lists(AMOUNTS, max_size=7).map(lambda amounts: np.array(amounts, np.int64))
SHARES = st.fractions(0, 1)


def bidders_terms(trades: Trades, bid: Integers) -> Counter[tuple[int, int]]:
    """Count who bid what and paid what, whatever rows they stood in."""
    return Counter(zip(bid[trades.buyer].tolist(), trades.paid_nano_usd.tolist(), strict=True))


def assert_fair(trades: Trades, bid: Integers, ask: Integers) -> None:
    """Assert that no money is made or lost, nobody trades twice or against its word."""
    assert trades.paid_nano_usd.tolist() == trades.received_nano_usd.tolist()
    assert (trades.paid_nano_usd <= bid[trades.buyer]).all()
    assert (trades.received_nano_usd >= ask[trades.seller]).all()
    assert len(set(trades.buyer.tolist())) == len(trades.buyer)
    assert len(set(trades.seller.tolist())) == len(trades.seller)


@given(COLUMNS, COLUMNS, SHARES)
def test_the_double_auction_balances_and_nobody_trades_against_its_word(
    bid: Integers, ask: Integers, k: Fraction
) -> None:
    assert_fair(k_double_auction(bid, ask, k=k), bid, ask)


@given(COLUMNS, COLUMNS, SHARES)
def test_the_uniform_price_lies_between_the_marginal_bids_and_asks(
    bid: Integers, ask: Integers, k: Fraction
) -> None:
    trades = k_double_auction(bid, ask, k=k)
    out_bid = np.delete(bid, trades.buyer)
    out_ask = np.delete(ask, trades.seller)
    if trades.price_nano_usd is None:
        assert bid.max(initial=-1) < ask.min(initial=NO_ASK)
    else:
        low = max(ask[trades.seller].max(), out_bid.max(initial=0))
        high = min(bid[trades.buyer].min(), out_ask.min(initial=NO_ASK))
        assert trades.price_nano_usd == low + int(k * (int(high) - int(low)))


@given(COLUMNS, COLUMNS, st.integers(0, 99))
def test_the_order_of_rows_moves_no_price_and_no_terms_of_the_double_auction(
    bid: Integers, ask: Integers, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    other_bid, other_ask = rng.permutation(bid), rng.permutation(ask)
    trades, others = k_double_auction(bid, ask), k_double_auction(other_bid, other_ask)
    assert trades.price_nano_usd == others.price_nano_usd
    assert bidders_terms(trades, bid) == bidders_terms(others, other_bid)
    assert Counter(ask[trades.seller].tolist()) == Counter(other_ask[others.seller].tolist())


@given(COLUMNS, COLUMNS, AMOUNTS, AMOUNTS)
def test_a_buyer_of_one_unit_cannot_gain_by_a_lie_at_k_nought_nor_a_seller_at_k_one(
    others: Integers, far_side: Integers, true: int, told: int
) -> None:
    def buyer_gains(bid: int) -> int:
        trades = k_double_auction(np.append(others, bid), far_side, k=0)
        return true - (trades.price_nano_usd or 0) if len(others) in trades.buyer else 0

    def seller_gains(ask: int) -> int:
        trades = k_double_auction(far_side, np.append(others, ask), k=1)
        return (trades.price_nano_usd or 0) - true if len(others) in trades.seller else 0

    assert buyer_gains(told) <= buyer_gains(true)
    assert seller_gains(told) <= seller_gains(true)


def test_the_uniform_price_is_exact_where_floating_point_is_not() -> None:
    # A third of 3 x (10**17 + 1), which no float64 holds.
    trades = k_double_auction(np.array([3 * (10**17 + 1)]), np.array([0]), k=Fraction(1, 3))
    assert trades.price_nano_usd == 10**17 + 1


def test_between_the_ends_a_double_auction_rewards_a_lie() -> None:
    honest = k_double_auction(np.array([10]), np.array([0]), k=0.5)
    shaded = k_double_auction(np.array([6]), np.array([0]), k=0.5)
    assert (honest.price_nano_usd, shaded.price_nano_usd) == (5, 3)


@given(COLUMNS, st.integers(0, 8), AMOUNTS)
def test_the_highest_losing_bid_is_paid_by_the_highest_bids(
    bid: Integers, n_units: int, reserve: int
) -> None:
    trades = highest_losing_bid_auction(bid, n_units=n_units, reserve_nano_usd=reserve)
    lost = np.delete(bid, trades.buyer)
    assert trades.received_nano_usd.tolist() == trades.paid_nano_usd.tolist()
    assert (trades.paid_nano_usd <= bid[trades.buyer]).all()
    assert len(trades.buyer) == min(n_units, int((bid >= reserve).sum()))
    if trades.price_nano_usd is not None:
        assert trades.price_nano_usd == max(reserve, lost.max(initial=0))
        assert set(trades.paid_nano_usd.tolist()) == {trades.price_nano_usd}


@given(COLUMNS, st.integers(0, 4), AMOUNTS, AMOUNTS, AMOUNTS)
def test_to_bid_the_truth_for_one_unit_is_a_dominant_strategy(
    others: Integers, n_units: int, reserve: int, true: int, told: int
) -> None:
    def gain(bid: int) -> int:
        trades = highest_losing_bid_auction(
            np.append(others, bid), n_units=n_units, reserve_nano_usd=reserve
        )
        return true - (trades.price_nano_usd or 0) if len(others) in trades.buyer else 0

    assert gain(told) <= gain(true)
    assert gain(true) >= 0


def test_whoever_wants_two_units_gains_by_bidding_less_for_the_second() -> None:
    # Worth 10 each, another bids 6. Honest: two units at 6 gain 8. With a 0: one at 0 gains 10.
    honest = highest_losing_bid_auction(np.array([10, 10, 6]), n_units=2)
    shaded = highest_losing_bid_auction(np.array([10, 0, 6]), n_units=2)
    assert (honest.buyer.tolist(), honest.price_nano_usd) == ([0, 1], 6)
    assert (shaded.buyer.tolist(), shaded.price_nano_usd) == ([0, 2], 0)


@given(COLUMNS, st.integers(0, 4), st.integers(0, 99))
def test_the_order_of_rows_moves_no_terms_of_the_sealed_bid_auction(
    bid: Integers, n_units: int, seed: int
) -> None:
    shuffled = np.random.default_rng(seed).permutation(bid)
    trades = highest_losing_bid_auction(bid, n_units=n_units)
    others = highest_losing_bid_auction(shuffled, n_units=n_units)
    assert bidders_terms(trades, bid) == bidders_terms(others, shuffled)


@given(COLUMNS)
def test_it_is_the_double_auction_at_k_nought_against_free_units(bid: Integers) -> None:
    units = np.zeros(2, np.int64)
    double, single = k_double_auction(bid, units, k=0), highest_losing_bid_auction(bid, n_units=2)
    assert double.price_nano_usd == single.price_nano_usd
    assert double.buyer.tolist() == single.buyer.tolist()


@pytest.mark.parametrize(
    ("bid", "reserve", "winner", "price"),
    [
        ([4, 9, 7], 0, [1], 7),
        ([4, 9, 7], 8, [1], 8),
        ([4, 9, 7], 10, [], None),
        ([5, 5], 0, [0], 5),
        ([5], 0, [0], 0),
        ([], 0, [], None),
    ],
)
def test_a_second_price_auction_sells_to_the_highest_at_the_second(
    bid: list[int], reserve: int, winner: list[int], price: int | None
) -> None:
    trades = second_price_auction(np.array(bid, np.int64), reserve_nano_usd=reserve)
    assert (trades.buyer.tolist(), trades.price_nano_usd) == (winner, price)


@given(st.integers(0, 10**6))
def test_pay_as_bid_pays_the_ask_that_the_tenant_likes_best_of_those_it_can_have(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ask, limit = rng.integers(0, 9, (5, 3)), rng.integers(0, 9, 5)
    ask[rng.random(ask.shape) < 0.2] = NO_ASK
    n_units, preference = rng.integers(0, 3, 3), rng.integers(0, 3, (5, 3))
    trades = pay_as_bid_reverse_auction(ask, limit, n_units=n_units, preference=preference)
    assert trades.paid_nano_usd.tolist() == ask[trades.buyer, trades.seller].tolist()
    assert trades.received_nano_usd.tolist() == trades.paid_nano_usd.tolist()
    assert (trades.paid_nano_usd <= limit[trades.buyer]).all()
    left = n_units.copy()
    taken = dict(zip(trades.buyer.tolist(), trades.seller.tolist(), strict=True))
    for order in range(5):
        can_have = np.flatnonzero((left > 0) & (ask[order] <= limit[order]))
        assert (order in taken) == (len(can_have) > 0)
        if order in taken:
            choice = taken[order]
            assert preference[order, choice] == preference[order, can_have].max()
            left[choice] -= 1
    assert trades.price_nano_usd is None


def test_a_tenant_may_pass_over_the_cheapest_ask() -> None:
    trades = pay_as_bid_reverse_auction(
        np.array([[3, 5]]),
        np.array([6]),
        n_units=np.array([1, 1]),
        preference=np.array([[0, 1]]),
    )
    assert (trades.seller.tolist(), trades.paid_nano_usd.tolist()) == ([1], [5])


def test_under_pay_as_bid_a_provider_gains_by_asking_up_to_its_rival() -> None:
    limit, one_each = np.array([9]), np.array([1, 1])
    honest = pay_as_bid_reverse_auction(np.array([[2, 7]]), limit, n_units=one_each)
    shaded = pay_as_bid_reverse_auction(np.array([[6, 7]]), limit, n_units=one_each)
    assert (honest.seller.tolist(), honest.received_nano_usd.tolist()) == ([0], [2])
    assert (shaded.seller.tolist(), shaded.received_nano_usd.tolist()) == ([0], [6])


@given(st.integers(0, 10**6))
def test_a_bid_runs_exactly_while_the_price_is_not_above_it_and_units_last(seed: int) -> None:
    spot, price, bid, n_units = drawn_spot(seed)
    for period in range(6):
        running = np.flatnonzero(spot.runs[period])
        willing = np.flatnonzero(bid >= price[period])
        assert set(running) <= set(willing)
        assert len(running) == min(len(willing), n_units[period])
        assert bid[running].min(initial=99) >= bid[np.setdiff1d(willing, running)].max(initial=0)


@given(st.integers(0, 10**6))
def test_the_spot_market_balances_and_no_bid_pays_more_than_it_says(seed: int) -> None:
    spot, price, bid, _ = drawn_spot(seed)
    assert spot.paid_nano_usd.sum() == spot.received_nano_usd.sum()
    assert (spot.paid_nano_usd <= bid * spot.runs.sum(axis=0)).all()
    assert spot.received_nano_usd.tolist() == (price * spot.runs.sum(axis=1)).tolist()


@given(st.integers(0, 10**6))
def test_each_interruption_is_a_period_run_before_one_not_run(seed: int) -> None:
    spot, *_ = drawn_spot(seed)
    text = ["".join("ny"[int(on)] for on in spot.runs[:, bid]) for bid in range(4)]
    assert spot.interruptions.tolist() == [word.count("yn") for word in text]


def test_a_higher_bid_outbids_a_running_one_where_units_are_short() -> None:
    price, bid = np.array([2, 2, 2]), np.array([5, 7])
    spot = interruptible_bids(price, bid, n_units=np.array([2, 1, 2]))
    assert spot.runs.tolist() == [[True, True], [False, True], [True, True]]
    assert spot.interruptions.tolist() == [1, 0]


@given(COLUMNS, COLUMNS, AMOUNTS)
def test_a_fixed_price_balances_and_serves_whoever_accepts_it_in_order(
    limit: Integers, ask: Integers, price: int
) -> None:
    trades = fixed_price_in_order(limit, ask, price_nano_usd=price)
    assert_fair(trades, limit, ask)
    buyers, sellers = np.flatnonzero(limit >= price), np.flatnonzero(ask <= price)
    n_trades = min(len(buyers), len(sellers))
    assert trades.buyer.tolist() == buyers[:n_trades].tolist()
    assert trades.seller.tolist() == sellers[:n_trades].tolist()


@given(COLUMNS, COLUMNS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_at_a_fixed_price_no_limit_beats_the_truth(
    others: Integers, ask: Integers, price: int, true: int, told: int
) -> None:
    def gain(limit: int) -> int:
        trades = fixed_price_in_order(np.append(limit, others), ask, price_nano_usd=price)
        return true - price if 0 in trades.buyer else 0

    assert gain(told) <= gain(true)


@given(st.lists(st.integers(0, 10**12), max_size=6), st.integers(0, 10**13), st.integers(0, 10**3))
def test_proportional_rationing_hands_out_all_there_is_within_a_unit_of_the_share(
    orders: list[int], supply: int, price: int
) -> None:
    order, total = np.array(orders, np.int64), sum(orders)
    rationing = fixed_price_in_proportion(order, supply_units=supply, price_nano_usd=price)
    granted = rationing.granted_units.tolist()
    assert sum(granted) == min(total, supply)
    assert all(0 <= units <= ordered for units, ordered in zip(granted, orders, strict=True))
    if total > supply:
        shares = [Fraction(units * supply, total) for units in orders]
        assert all(abs(g - share) < 1 for g, share in zip(granted, shares, strict=True))
    assert rationing.received_nano_usd == price * sum(granted)
    assert rationing.paid_nano_usd.tolist() == [price * units for units in granted]


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(1, 100), st.integers(40, 400)
)
def test_orders_inflate_to_where_nobody_gains_by_ordering_more(
    needs: list[int], supply: int, cap: int
) -> None:
    orders = inflated_orders(np.array(needs), supply_units=supply, cap_units=cap).tolist()
    for need, order in zip(needs, orders, strict=True):
        is_served = sum(orders) <= supply or order * supply >= need * sum(orders)
        assert need <= order <= cap
        assert is_served or order == cap
    if sum(needs) <= supply:
        assert orders == needs


ONE = np.array([1])
SQUARE = np.ones((1, 1), np.int64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: k_double_auction(np.array([-1]), ONE), "bid_nano_usd must be at least 0, got -1"),
        (lambda: k_double_auction(ONE, np.array([0.5])), "ask_nano_usd must be whole numbers"),
        (lambda: k_double_auction(SQUARE, ONE), "bid_nano_usd must have one dimension"),
        (lambda: k_double_auction(ONE, np.array([(1 << 62) + 1])), r"at most 2\*\*62 nano-USD"),
        (lambda: k_double_auction(ONE, ONE, k=1.1), "k must be from 0 to 1, got 1.1"),
        (lambda: highest_losing_bid_auction(ONE, n_units=-1), "n_units and reserve_nano_usd must"),
        (
            lambda: pay_as_bid_reverse_auction(SQUARE, np.array([1, 1]), n_units=ONE),
            r"ask_nano_usd must have shape \(2, 1\), got shape \(1, 1\)",
        ),
        (
            lambda: pay_as_bid_reverse_auction(SQUARE, ONE, n_units=ONE, preference=ONE),
            r"preference must have shape \(1, 1\), got \(1,\)",
        ),
        (
            lambda: interruptible_bids(ONE, ONE, n_units=np.array([1, 1])),
            r"n_units must have shape \(1,\)",
        ),
        (lambda: fixed_price_in_order(ONE, ONE, price_nano_usd=-3), "must be at least 0, got -3"),
        (
            lambda: fixed_price_in_proportion(ONE, supply_units=-1, price_nano_usd=0),
            "supply_units and price_nano_usd must be at least 0, got -1, 0",
        ),
        (
            lambda: inflated_orders(np.array([7]), supply_units=1, cap_units=5),
            "need_units must be at most cap_units = 5, got 7",
        ),
    ],
)
def test_what_means_nothing_is_refused_by_name_and_bound(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def drawn_spot(seed: int) -> tuple[SpotRuns, Integers, Integers, Integers]:
    """Draw six periods of a spot market with four bids, often equal, and few units."""
    rng = np.random.default_rng(seed)
    price, bid, n_units = rng.integers(0, 6, 6), rng.integers(0, 6, 4), rng.integers(0, 5, 6)
    return interruptible_bids(price, bid, n_units=n_units), price, bid, n_units

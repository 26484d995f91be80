"""Markets and queues whose answer is known on paper: O5, O10-O12, O21, O22, O24 and O30."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from hanse.market.accounts.concentration import is_pivotal, residual_supply_index
from hanse.market.clearing import certificate, clear
from hanse.market.congestion import mean_latency, pigou_routing, selfish_share
from hanse.market.exchange.ascending_auction import ascending_auction
from hanse.market.exchange.competitive_prices import UNBOUNDED, price_lattice
from hanse.market.exchange.mechanisms import highest_losing_bid_auction
from hanse.market.exchange.package_bids import clear_packages
from hanse.market.exchange.rationing import fixed_price_in_proportion, inflated_orders
from hanse.market.queues import (
    erlang_c,
    joining_queue,
    limited_queue_welfare,
    pooled_time,
    random_routing_time,
    two_choices_time,
)
from hanse.market.units import NANO_USD_PER_USD, Integers

ASSIGNMENT_MARKET = np.array([[8, 4, 7], [5, 2, 3], [9, 4, 8]])
ONE_EACH = np.ones(3, np.int64)

NAOR = [
    # reward, waiting cost, service rate, arrival rate: limits, welfares, optimal tolls.
    ((10, 1, 1, 0.9), (10, 4), (4.573, 5.768), (5, 6)),
    ((5, 1, 1, 0.8), (5, 2), (1.776, 2.098), (2, 3)),
    ((20, 1, 1, 0.95), (20, 6), (10.329, 13.890), (13, 14)),
]


@pytest.mark.parametrize(
    ("utilisation", "at_random", "of_two", "pooled"),
    [
        (0.8, 5.0, 1.947, 1.004),
        (0.9, 10.0, 2.614, 1.049),
        (0.95, 20.0, 3.383, 1.184),
        (0.99, 100.0, 5.432, 2.416),
    ],
)
def test_o5_time_in_the_system_by_how_jobs_are_routed(
    utilisation: float, at_random: float, of_two: float, pooled: float
) -> None:
    assert random_routing_time(utilisation) == pytest.approx(at_random, abs=5e-4)
    assert two_choices_time(utilisation) == pytest.approx(of_two, abs=5e-4)
    assert pooled_time(64, utilisation) == pytest.approx(pooled, abs=5e-4)


@pytest.mark.parametrize("utilisation", [0.5, 0.9, 0.99])
def test_o5_two_choices_are_where_iterated_mean_field_flows_come_to_rest(
    utilisation: float,
) -> None:
    # Share with i jobs or more: arrivals raise it by rho (s[i-1]^2 - s[i]^2), services lower it by
    # s[i] - s[i+1]. Explicit steps from empty servers, independent of the closed form.
    tail = np.zeros(40)
    tail[0] = 1.0
    for _ in range(40_000):
        inflow = utilisation * (tail[:-2] ** 2 - tail[1:-1] ** 2)
        tail[1:-1] += 0.2 * (inflow - (tail[1:-1] - tail[2:]))
    assert two_choices_time(utilisation) == pytest.approx(tail[1:].sum() / utilisation, rel=1e-6)


def test_o5_one_server_pooled_is_a_server_at_random_and_an_empty_system_takes_one_service() -> None:
    assert pooled_time(1, 0.7) == pytest.approx(random_routing_time(0.7))
    assert [random_routing_time(0.0), two_choices_time(0.0), pooled_time(64, 0.0)] == [1, 1, 1]


def test_o5_erlang_s_formula_holds_for_more_servers_than_a_factorial_fits() -> None:
    # Halfin and Whitt 1981: for n large and (1 - rho) sqrt(n) = 1, P(wait) tends to 0.2234.
    assert erlang_c(1_000_000, 1.0 - 1e-3) == pytest.approx(0.2234, abs=1e-3)


@pytest.mark.parametrize("utilisation", [-0.1, 1.0, float("nan")])
def test_o5_a_queue_that_never_settles_has_no_mean(utilisation: float) -> None:
    for mean_time in (random_routing_time, two_choices_time, lambda u: pooled_time(2, u)):
        with pytest.raises(ValueError, match="utilisation must be at least 0 and below 1"):
            mean_time(utilisation)


def test_o10_the_assignment_market_is_cleared_at_its_least_competitive_prices() -> None:
    book = clear(ASSIGNMENT_MARKET.astype(float), ONE_EACH)
    assert book.certificate.primal_nano_usd == 18 * NANO_USD_PER_USD
    assert book.assignment.tolist() == [2, 1, 0]
    assert book.price_usd.tolist() == [3.0, 0.0, 2.0]


def test_o10_the_lattice_of_competitive_prices_reaches_from_three_nought_two_to_six_two_five() -> (
    None
):
    lattice = price_lattice(ASSIGNMENT_MARKET, ONE_EACH)
    assert lattice.least_nano_usd.tolist() == [3, 0, 2]
    assert lattice.greatest_nano_usd.tolist() == [6, 2, 5]


def test_o10_of_all_whole_prices_up_to_nine_those_that_support_lie_between_the_two_ends() -> None:
    supporting = [
        price
        for price in itertools.product(range(10), repeat=3)
        if certificate(ASSIGNMENT_MARKET, ONE_EACH, np.array([2, 1, 0]), np.array(price))[2] == 0
    ]
    assert np.min(supporting, axis=0).tolist() == [3, 0, 2]
    assert np.max(supporting, axis=0).tolist() == [6, 2, 5]


def test_o10_a_sink_without_units_has_no_greatest_price() -> None:
    lattice = price_lattice(ASSIGNMENT_MARKET, np.array([1, 0, 5]))
    assert lattice.greatest_nano_usd[1] == UNBOUNDED
    assert lattice.greatest_nano_usd[2] == 0


@pytest.mark.parametrize("n", [20, 100])
@pytest.mark.parametrize("increment", [1, 7, 50])
def test_o11_the_auction_algorithm_is_within_n_increments_of_the_optimum(
    n: int, increment: int
) -> None:
    value = np.random.default_rng(n + increment).integers(0, 1_000, (n, n))
    auction = ascending_auction(value, increment_nano_usd=increment)
    optimum = best_total(value)
    assert sorted(auction.item.tolist()) == list(range(n))
    assert optimum - n * increment <= auction.total_nano_usd <= optimum
    surplus = value - auction.price_nano_usd
    own = surplus[np.arange(n), auction.item]
    assert (own >= surplus.max(axis=1) - increment).all()


@pytest.mark.parametrize("n", [20, 100])
def test_o11_an_increment_below_one_nth_is_exact_for_whole_values(n: int) -> None:
    # All values times n + 1, and an increment of 1: eps = 1 / (n + 1).
    value = np.random.default_rng(n).integers(0, 100, (n, n))
    auction = ascending_auction((n + 1) * value, increment_nano_usd=1)
    assert auction.total_nano_usd == (n + 1) * best_total(value)


def test_o11_a_coarse_increment_does_lose_something() -> None:
    value = np.random.default_rng(1).integers(0, 1_000, (20, 20))
    auction = ascending_auction(value, increment_nano_usd=500)
    assert best_total(value) - 20 * 500 <= auction.total_nano_usd < best_total(value)


def test_o11_more_items_than_bidders_leave_the_unwanted_free() -> None:
    value = 4 * np.array([[9, 1, 0, 0], [8, 2, 0, 0], [9, 9, 0, 1]])
    auction = ascending_auction(value, increment_nano_usd=1)
    assert auction.total_nano_usd == best_total(value)
    unheld = np.setdiff1d(np.arange(4), auction.item)
    assert auction.price_nano_usd[unheld].tolist() == [0]


def test_o11_a_bid_leaps_to_where_the_second_best_item_is_as_good() -> None:
    # Nobody else bids, so the least competitive price is nothing; the leap is 10 - 2, and 1 more.
    auction = ascending_auction(np.array([[10, 2]]), increment_nano_usd=1)
    assert auction.price_nano_usd.tolist() == [9, 0]


@pytest.mark.parametrize(
    ("shape", "increment", "message"),
    [((3, 2), 1, "n_items must be at least n_bidders = 3"), ((2, 2), 0, "increment_nano_usd must")],
)
def test_o11_an_auction_that_would_not_end_is_refused(
    shape: tuple[int, int], increment: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ascending_auction(np.ones(shape, np.int64), increment_nano_usd=increment)


def test_o12_complements_have_an_optimum_and_no_supporting_item_prices() -> None:
    sold = clear_packages(
        np.array([[1, 1], [1, 0], [0, 1]]),
        np.array([3, 2, 2]),
        bidder=np.array([0, 1, 1]),
        supply=np.array([1, 1]),
    )
    assert sold.winner.tolist() == [0]
    assert sold.integer_nano_usd == 3
    assert sold.relaxed_nano_usd == pytest.approx(3.5)
    assert sold.gap_nano_usd == pytest.approx(0.5)
    assert sold.item_price_nano_usd is None


def test_o12_a_keener_bid_for_the_package_has_supporting_prices() -> None:
    # At 4 for both, prices of 2 each keep the second bidder out and leave the first nothing.
    sold = clear_packages(
        np.array([[1, 1], [1, 0], [0, 1]]),
        np.array([4, 2, 2]),
        bidder=np.array([0, 1, 1]),
        supply=np.array([1, 1]),
    )
    assert sold.winner.tolist() == [0]
    assert sold.gap_nano_usd == pytest.approx(0.0, abs=1e-9)
    assert sold.item_price_nano_usd is not None
    assert sold.item_price_nano_usd == pytest.approx([2.0, 2.0])


def test_o12_nobody_s_bids_sell_nothing_at_no_price() -> None:
    nobody = np.zeros(0, np.int64)
    sold = clear_packages(
        np.zeros((0, 2), np.int64), nobody, bidder=nobody, supply=np.array([1, 1])
    )
    assert (sold.winner.tolist(), sold.integer_nano_usd, sold.gap_nano_usd) == ([], 0, 0.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_o12_packages_are_sold_as_trying_all_says_and_priced_if_the_gap_is_nil(seed: int) -> None:
    rng = np.random.default_rng(seed)
    package, value = rng.integers(0, 2, (7, 3)), rng.integers(1, 12, 7)
    bidder, supply = rng.integers(0, 4, 7), rng.integers(1, 3, 3)
    sold = clear_packages(package, value, bidder=bidder, supply=supply)
    assert sold.integer_nano_usd == best_packages(package, value, bidder, supply)
    # Values below 12 in few rows: a gap that is not nil is a fraction with a small denominator.
    assert (sold.item_price_nano_usd is not None) == (sold.gap_nano_usd < 1e-6)
    if sold.item_price_nano_usd is not None:
        cost = package @ sold.item_price_nano_usd
        for name in range(4):
            own = np.flatnonzero(bidder == name)
            best = max(0.0, (value - cost)[own].max(initial=0.0))
            won = [row for row in own if row in sold.winner]
            assert sum((value - cost)[won]) == pytest.approx(best, abs=1e-5)
        left = supply - package[sold.winner].sum(axis=0)
        assert sold.item_price_nano_usd[left > 0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("degree", "ratio", "toll"),
    [(1, 4 / 3, 1 / 2), (2, 1.626, 2 / 3), (4, 2.151, 4 / 5), (8, 3.081, 8 / 9)],
)
def test_o21_selfish_routing_costs_the_known_ratio_and_the_toll_mends_it(
    degree: int, ratio: float, toll: float
) -> None:
    routing = pigou_routing(degree)
    assert routing.selfish_latency == 1.0
    assert routing.price_of_anarchy == pytest.approx(ratio, abs=5.1e-4)
    assert routing.toll == pytest.approx(toll)
    assert selfish_share(degree, routing.toll) == pytest.approx(routing.optimal_share)


@pytest.mark.parametrize("degree", [0.5, 1, 2, 4, 8])
def test_o21_no_other_share_on_a_fine_grid_is_better_than_the_optimum(degree: float) -> None:
    routing = pigou_routing(degree)
    least = min(mean_latency(share, degree) for share in np.linspace(0.0, 1.0, 10_001))
    assert routing.optimal_latency <= least + 1e-12
    assert least == pytest.approx(routing.optimal_latency, abs=1e-6)


def test_o21_linear_latency_at_the_optimum_is_three_quarters() -> None:
    assert pigou_routing(1).optimal_latency == 0.75
    with pytest.raises(ValueError, match="degree must be above 0, got 0"):
        pigou_routing(0)


@pytest.mark.parametrize(("given_by", "limits", "welfares", "tolls"), NAOR)
def test_o22_a_queue_of_selfish_customers_is_too_long_by_what_naor_says(
    given_by: tuple[float, float, float, float],
    limits: tuple[int, int],
    welfares: tuple[float, float],
    tolls: tuple[float, float],
) -> None:
    reward, cost, service, arrivals = given_by
    queue = joining_queue(
        reward=reward, waiting_cost=cost, service_rate=service, arrival_rate=arrivals
    )
    assert (queue.selfish_limit, queue.social_limit) == limits
    found = (queue.selfish_welfare, queue.social_welfare)
    assert found == pytest.approx(welfares, abs=5e-4)
    assert (queue.toll_above, queue.toll_at_most) == pytest.approx(tolls)


@pytest.mark.parametrize(("given_by", "limits", "welfares", "tolls"), NAOR)
def test_o22_a_toll_in_the_interval_and_none_outside_makes_the_selfish_limit_the_social_one(
    given_by: tuple[float, float, float, float],
    limits: tuple[int, int],
    welfares: tuple[float, float],
    tolls: tuple[float, float],
) -> None:
    reward, cost, service, arrivals = given_by

    def selfish_limit_under(toll: float) -> int:
        return joining_queue(
            reward=reward - toll, waiting_cost=cost, service_rate=service, arrival_rate=arrivals
        ).selfish_limit

    inside = [selfish_limit_under(toll) for toll in (tolls[0] + 0.01, tolls[1])]
    assert inside == [limits[1], limits[1]]
    assert selfish_limit_under(tolls[0]) == limits[1] + 1
    assert selfish_limit_under(tolls[1] + 0.01) == limits[1] - 1


def test_o22_welfare_is_that_of_the_queue_s_stationary_equations() -> None:
    # Generator of a birth-death chain with 5 states, solved as a linear system.
    birth, death, n = 0.9, 1.0, 5
    generator = np.diag([birth] * (n - 1), 1) + np.diag([death] * (n - 1), -1)
    np.fill_diagonal(generator, -generator.sum(axis=1))
    system = np.vstack([generator.T, np.ones(n)])
    share = np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)[0]
    welfare = birth * (1.0 - share[-1]) * 10.0 - share @ np.arange(n)
    found = limited_queue_welfare(
        4, reward=10.0, waiting_cost=1.0, service_rate=1.0, arrival_rate=0.9
    )
    assert found == pytest.approx(welfare)


def test_o22_a_reward_that_just_covers_whole_services_does_so_in_spite_of_round_off() -> None:
    # 0.3 / 0.1 is 2.9999999999999996 in floating point.
    queue = joining_queue(reward=0.3, waiting_cost=0.1, service_rate=1.0, arrival_rate=0.5)
    assert queue.selfish_limit == 3


@pytest.mark.parametrize(
    ("reward", "cost", "message"),
    [(0.5, 1.0, "reward must cover one service, worth 1.0"), (5.0, 0.0, "must be above 0, got 0")],
)
def test_o22_a_queue_that_nobody_or_everybody_joins_is_refused(
    reward: float, cost: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        joining_queue(reward=reward, waiting_cost=cost, service_rate=1.0, arrival_rate=0.5)


@pytest.mark.parametrize("cap", [100, 1_000, 10**6])
def test_o24_free_orders_inflate_to_the_cap_under_proportional_rationing(cap: int) -> None:
    need = np.array([50, 40, 60])
    order = inflated_orders(need, supply_units=100, cap_units=cap)
    assert order.tolist() == [cap, cap, cap]
    # Inflated orders say nothing of needs, and 100 units are shared 34, 33, 33.
    rationing = fixed_price_in_proportion(order, supply_units=100, price_nano_usd=1)
    assert rationing.granted_units.tolist() == [34, 33, 33]


def test_o24_whoever_orders_only_its_need_beside_inflated_orders_gets_less() -> None:
    honest = np.array([50, 1_000, 1_000])
    granted = fixed_price_in_proportion(honest, supply_units=100, price_nano_usd=1).granted_units
    # 100 x 50 / 2,050 = 2.4
    assert granted[0] == 2


def test_o24_nobody_inflates_where_supply_covers_needs_nor_who_needs_less_than_a_share() -> None:
    plenty = inflated_orders(np.array([50, 40, 10]), supply_units=100, cap_units=1_000)
    assert plenty.tolist() == [50, 40, 10]
    short = inflated_orders(np.array([1, 90, 90]), supply_units=100, cap_units=1_000)
    # The first is content with q where 100 q >= q + 2,000: 2,000 / 99, rounded up to 21.
    assert short.tolist() == [21, 1_000, 1_000]


def test_o24_in_the_highest_losing_bid_auction_no_bid_beats_the_truth() -> None:
    others, worth = np.array([30, 10, 20]), 25

    def gain(bid: int) -> int:
        trades = highest_losing_bid_auction(np.append(others, bid), n_units=2)
        return worth - (trades.price_nano_usd or 0) if 3 in trades.buyer else 0

    assert [gain(bid) for bid in (0, 19, 20, 21, 25, 29, 1_000)] == [0, 0, 0, 5, 5, 5, 5]


def test_o30_the_largest_of_four_sellers_is_pivotal() -> None:
    supply = np.array([30.0, 28.0, 22.0, 20.0])
    index = residual_supply_index(supply, 90.0)
    # All others together: (100 - 30) / 90 of what is demanded.
    assert index[0] == pytest.approx(0.778, abs=5e-4)
    assert is_pivotal(supply, 90.0)[0]


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_o30_of_equal_sellers_the_index_is_their_total_less_one_share_over_demand(n: int) -> None:
    index = residual_supply_index(np.full(n, 120.0 / n), 90.0)
    assert index == pytest.approx(np.full(n, 120.0 * (1.0 - 1.0 / n) / 90.0))
    # 120 (1 - 1/n) >= 90 from n = 4.
    assert is_pivotal(np.full(n, 120.0 / n), 90.0).tolist() == [n < 4] * n


@pytest.mark.parametrize(
    ("supply", "demand", "message"),
    [([1.0], 0.0, "demand must be above 0"), ([1.0, -2.0], 5.0, "supply must be at least 0")],
)
def test_o30_supply_and_demand_that_mean_nothing_are_refused(
    supply: list[float], demand: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        residual_supply_index(np.array(supply), demand)


def best_total(value: Integers) -> int:
    """Return the optimum of an assignment problem, another solver's way."""
    rows, columns = linear_sum_assignment(value, maximize=True)
    return int(value[rows, columns].sum())


def best_packages(package: Integers, value: Integers, bidder: Integers, supply: Integers) -> int:
    """Try all sets of bids."""
    best = 0
    for chosen in itertools.product([False, True], repeat=len(value)):
        rows = np.flatnonzero(chosen)
        one_each = len(set(bidder[rows].tolist())) == len(rows)
        if one_each and (package[rows].sum(axis=0) <= supply).all():
            best = max(best, int(value[rows].sum()))
    return best

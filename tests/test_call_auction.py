"""The call auction is optimal, at competitive prices, and says so: against solvers and by hand."""

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import coo_array

from hanse.market.clearing import FORBIDDEN
from hanse.market.exchange.augmenting_paths import NET_VALUE_MAX, auction_scratch
from hanse.market.exchange.call_auction import (
    CallAuction,
    accept,
    auction_certificate,
    call_auction,
    net_values,
)
from hanse.market.exchange.competitive_prices import UNBOUNDED, price_lattice
from hanse.market.exchange.supply_curves import SupplyCurves, free_units, give_back, supply_curves
from hanse.market.units import NANO_USD_PER_USD, Floats, Integers

WITHIN_USD: Final = 1e-6
COMPULSORY: Final = 1 << 44
"""More than any book of these tests is worth, and exact in float64 beside it."""

ORACLE_10 = np.array([[8, 4, 7], [5, 2, 3], [9, 4, 8]])

SAMPLE = """
import numpy as np
from hanse.market.exchange.call_auction import call_auction
from hanse.market.exchange.supply_curves import give_back, supply_curves
from tests.test_call_auction import books
for book in books(7, 30):
    curves = book.curves()
    for _ in range(2):
        held = call_auction(curves, book.net_value, hardware_class=book.hardware_class)
        print(held.unit.tolist(), held.prices, held.certificate)
        give_back(curves, held.unit[held.unit >= 0][::2])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Requests and units of a small market."""

    net_value: Integers
    hardware_class: Integers
    unit_sink: Integers
    unit_ask: Integers
    n_classes: int

    @property
    def n_regions(self) -> int:
        """Return the number of regions."""
        return int(self.net_value.shape[1])

    @property
    def n_sinks(self) -> int:
        """Return the number of sinks, with units or without."""
        return self.n_regions * self.n_classes

    def curves(self) -> SupplyCurves:
        """Set up the units, all of them free."""
        return supply_curves(self.unit_sink, self.unit_ask, n_sinks=self.n_sinks)

    def pair_values(self) -> Integers:
        """Return what each request gains with each unit, at least 0; (n_requests, n_units)."""
        region, chosen = self.unit_sink % self.n_regions, self.unit_sink // self.n_regions
        gain = np.maximum(self.net_value[:, region] - self.unit_ask, 0)
        return np.where(self.hardware_class[:, None] == chosen, gain, 0)


def books(seed: int, count: int) -> list[Book]:
    """Draw books of up to 25 requests and 30 units, with ties, shortages and forbidden regions."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(count):
        n_regions, n_classes = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        n_requests, n_units = int(rng.integers(1, 26)), int(rng.integers(0, 31))
        largest = int(rng.choice([4, 30, 10**9]))
        shape = (n_requests, n_regions)
        net_value = rng.integers(-largest // 3, 2 * largest, shape)
        if rng.random() < 0.5:
            net_value = rng.integers(1, 3 * largest, (n_requests, 1)) - rng.integers(
                0, largest, shape
            )
        net_value[rng.random(shape) < rng.choice([0.0, 0.3])] = FORBIDDEN
        drawn.append(
            Book(
                net_value=net_value,
                hardware_class=rng.integers(0, n_classes, n_requests),
                unit_sink=rng.integers(0, n_regions * n_classes, n_units),
                unit_ask=rng.integers(0, largest, n_units),
                n_classes=n_classes,
            )
        )
    return drawn


def held(book: Book) -> CallAuction:
    """Hold the auction on fresh curves."""
    return call_auction(book.curves(), book.net_value, hardware_class=book.hardware_class)


def best_welfare(pair_value: Integers) -> int:
    """Solve an assignment by another solver; exact while totals stay below 2**53."""
    rows, columns = linear_sum_assignment(pair_value, maximize=True)
    return int(pair_value[rows, columns].sum())


def gap_at(book: Book, price: Integers) -> int:
    """Return how far prices are from supporting what the auction allots."""
    curves = book.curves()
    sold = call_auction(curves, book.net_value, hardware_class=book.hardware_class)
    proof = auction_certificate(curves, book.net_value, book.hardware_class, sold.unit, price)
    return int(proof.gap_nano_usd)


def program_welfare_usd(drawn: list[Book]) -> Floats:
    """Solve books as one linear program of shares of pairs: each its own block."""
    rows, columns, value, owner = [], [], [], []
    n_rows = 0
    for number, book in enumerate(drawn):
        gain = book.pair_values()
        request, unit = np.nonzero(gain)
        pair = sum(map(len, value)) + np.arange(len(request))
        rows += [n_rows + request, n_rows + len(gain) + unit]
        columns += [pair, pair]
        value.append(gain[request, unit] / NANO_USD_PER_USD)
        owner.append(np.full(len(request), number))
        n_rows += sum(gain.shape)
    worth, row, column = np.concatenate(value), np.concatenate(rows), np.concatenate(columns)
    uses = coo_array((np.ones(len(row)), (row, column)), shape=(n_rows, len(worth)))
    program = linprog(-worth, A_ub=uses.tocsr(), b_ub=np.ones(n_rows), method="highs")
    assert program.success
    return np.bincount(np.concatenate(owner), worth * program.x, minlength=len(drawn))


def test_welfare_is_the_assignment_solver_s_to_the_nano_dollar_on_two_thousand_books() -> None:
    drawn = books(1, 2_000)
    ours = [held(book).certificate.primal_nano_usd for book in drawn]
    assert ours == [best_welfare(book.pair_values()) for book in drawn]
    assert sum(worth > 0 for worth in ours) > 1_500


@pytest.mark.parametrize("seed", range(10))
def test_welfare_is_that_of_the_linear_program_on_a_hundred_books(seed: int) -> None:
    drawn = books(100 + seed, 100)
    ours = [held(book).certificate.primal_nano_usd / NANO_USD_PER_USD for book in drawn]
    assert ours == pytest.approx(program_welfare_usd(drawn), rel=0.0, abs=WITHIN_USD)


def test_the_least_price_is_what_one_more_unit_at_no_cost_would_add() -> None:
    for book in books(2, 300):
        gains, prices = book.pair_values(), held(book).prices.least_nano_usd
        welfare = best_welfare(gains)
        for sink in range(book.n_sinks):
            chosen, region = divmod(sink, book.n_regions)
            is_of_class = book.hardware_class == chosen
            unit = np.where(is_of_class, np.maximum(book.net_value[:, region], 0), 0)
            assert best_welfare(np.column_stack([gains, unit])) - welfare == prices[sink]


def test_the_greatest_price_is_what_one_more_request_that_must_be_served_would_cost() -> None:
    n_bounded = 0
    for book in books(3, 300):
        gains, prices = book.pair_values(), held(book).prices.greatest_nano_usd
        welfare = best_welfare(gains)
        for sink in range(book.n_sinks):
            newcomer = np.where(book.unit_sink == sink, COMPULSORY - book.unit_ask, 0)
            if not newcomer.any():
                assert prices[sink] == UNBOUNDED
                continue
            n_bounded += 1
            served = best_welfare(np.vstack([gains, newcomer])) - COMPULSORY
            assert welfare - served == prices[sink]
    assert n_bounded > 500


def test_each_buyer_pays_its_vickrey_clarke_groves_payment() -> None:
    n_paid = 0
    for book in books(4, 300):
        sold, gains = held(book), book.pair_values()
        for request in np.flatnonzero(sold.unit >= 0):
            own = int(book.net_value[request, sold.sink[request] % book.n_regions])
            without = best_welfare(np.delete(gains, request, axis=0))
            others = sold.certificate.primal_nano_usd - own
            assert sold.prices.least_nano_usd[sold.sink[request]] == without - others
            n_paid += 1
    assert n_paid > 1_000


def test_prices_from_end_to_end_prove_the_optimum_and_a_step_beyond_does_not() -> None:
    n_below, n_above = 0, 0
    for book in books(5, 200):
        prices = held(book).prices
        least, greatest = prices.least_nano_usd, prices.greatest_nano_usd
        is_bounded = greatest < UNBOUNDED
        assert (least <= greatest).all()
        middle = np.where(is_bounded, least + (greatest - least) // 2, greatest)
        for price in (least, greatest, middle):
            assert gap_at(book, price) == 0
        for sink in range(book.n_sinks):
            step = np.eye(book.n_sinks, dtype=np.int64)[sink]
            if least[sink] > 0:
                n_below += 1
                assert gap_at(book, least - step) > 0
            if is_bounded[sink]:
                n_above += 1
                assert gap_at(book, greatest + step) > 0
    assert min(n_below, n_above) > 300


def test_nobody_trades_at_a_loss_or_would_rather_trade_otherwise_and_the_budget_balances() -> None:
    n_sold, n_left = 0, 0
    for book in books(6, 1_000):
        curves = book.curves()
        sold = call_auction(curves, book.net_value, hardware_class=book.hardware_class)
        price = sold.prices.least_nano_usd
        served = np.flatnonzero(sold.unit >= 0)
        unit, sink = sold.unit[served], sold.sink[served]
        assert len(np.unique(unit)) == len(unit)
        assert (sink == book.unit_sink[unit]).all()
        assert (sink // book.n_regions == book.hardware_class[served]).all()
        assert price[sink].sum() == price[book.unit_sink[unit]].sum()
        assert (book.unit_ask[unit] <= price[sink]).all()
        surplus = np.zeros(len(sold.unit), np.int64)
        surplus[served] = book.net_value[served, sink % book.n_regions] - price[sink]
        own_price = price.reshape(book.n_classes, book.n_regions)[book.hardware_class]
        assert (surplus >= np.maximum(0, (book.net_value - own_price).max(axis=1))).all()
        left = np.flatnonzero(curves.is_free)
        assert set(left.tolist()).isdisjoint(unit.tolist())
        assert (book.unit_ask[left] >= price[book.unit_sink[left]]).all()
        n_sold, n_left = n_sold + len(served), n_left + len(left)
    assert min(n_sold, n_left) > 3_000


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_order_of_rows_changes_neither_welfare_nor_prices(seed: int, shuffle: int) -> None:
    book = books(seed, 1)[0]
    rng = np.random.default_rng(shuffle)
    rows, units = rng.permutation(len(book.net_value)), rng.permutation(len(book.unit_ask))
    shuffled = held(
        Book(
            net_value=book.net_value[rows],
            hardware_class=book.hardware_class[rows],
            unit_sink=book.unit_sink[units],
            unit_ask=book.unit_ask[units],
            n_classes=book.n_classes,
        )
    )
    sold = held(book)
    assert shuffled.certificate == sold.certificate
    assert shuffled.prices.least_nano_usd.tolist() == sold.prices.least_nano_usd.tolist()
    assert shuffled.prices.greatest_nano_usd.tolist() == sold.prices.greatest_nano_usd.tolist()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_curves_that_live_through_auctions_clear_like_curves_built_anew(
    seed: int, keep_one_in: int
) -> None:
    first, second = books(seed, 2)
    second = Book(
        net_value=np.resize(second.net_value, (len(second.net_value), first.n_regions)),
        hardware_class=second.hardware_class % first.n_classes,
        unit_sink=first.unit_sink,
        unit_ask=first.unit_ask,
        n_classes=first.n_classes,
    )
    curves, scratch = (
        first.curves(),
        auction_scratch(25, n_regions=first.n_regions, n_classes=first.n_classes),
    )
    sold = call_auction(
        curves, first.net_value, hardware_class=first.hardware_class, scratch=scratch
    )
    give_back(curves, sold.unit[sold.unit >= 0][::keep_one_in])
    free = np.flatnonzero(curves.is_free)
    anew = supply_curves(first.unit_sink[free], first.unit_ask[free], n_sinks=first.n_sinks)
    live = call_auction(
        curves, second.net_value, hardware_class=second.hardware_class, scratch=scratch
    )
    fresh = call_auction(anew, second.net_value, hardware_class=second.hardware_class)
    assert live.certificate == fresh.certificate
    assert live.prices.least_nano_usd.tolist() == fresh.prices.least_nano_usd.tolist()
    assert live.prices.greatest_nano_usd.tolist() == fresh.prices.greatest_nano_usd.tolist()
    was_served = fresh.unit >= 0
    assert live.unit[was_served].tolist() == free[fresh.unit[was_served]].tolist()
    assert (live.unit[~was_served] == -1).all()


def test_units_that_ask_nothing_clear_as_the_exact_clearing_of_the_engine_does() -> None:
    for book in books(8, 300):
        net_value = np.where(book.hardware_class[:, None] == 0, book.net_value, FORBIDDEN)
        capacity = np.bincount(book.unit_sink, minlength=book.n_sinks)[: book.n_regions]
        lattice = price_lattice(net_value, capacity)
        ours = call_auction(
            supply_curves(book.unit_sink, 0 * book.unit_ask, n_sinks=book.n_sinks),
            net_value,
            hardware_class=np.zeros(len(net_value), np.int64),
        )
        of_class = slice(0, book.n_regions)
        assert ours.prices.least_nano_usd[of_class].tolist() == lattice.least_nano_usd.tolist()
        assert (
            ours.prices.greatest_nano_usd[of_class].tolist() == lattice.greatest_nano_usd.tolist()
        )


def test_the_assignment_market_of_oracle_10_has_its_known_optimum_and_prices() -> None:
    curves = supply_curves(np.arange(3), np.zeros(3, np.int64), n_sinks=3)
    sold = call_auction(curves, ORACLE_10, hardware_class=np.zeros(3, np.int64))
    assert sold.sink.tolist() == [2, 1, 0]
    assert sold.certificate.primal_nano_usd == 18
    assert sold.prices.least_nano_usd.tolist() == [3, 0, 2]
    assert sold.prices.greatest_nano_usd.tolist() == [6, 2, 5]


def test_a_market_of_a_thousand_requests_and_twenty_thousand_units_is_proved_optimal() -> None:
    rng = np.random.default_rng(9)
    rtt_us = rng.integers(1_000, 200_000, (24, 24))
    net_value = net_values(
        rng.integers(10**8, 10**10, 1_000),
        origin=rng.integers(0, 24, 1_000),
        weight_nano_usd_per_us=rng.exponential(3e3, 1_000),
        rtt_us=rtt_us,
    )
    curves = supply_curves(
        rng.integers(0, 192, 20_000), rng.integers(10**8, 10**10, 20_000), n_sinks=192
    )
    sold = call_auction(curves, net_value, hardware_class=rng.integers(0, 8, 1_000))
    assert sold.certificate.gap_nano_usd == 0
    assert sold.certificate.primal_nano_usd > 0
    cheapest = [curves.unit_ask[free_units(curves, sink)[:1]] for sink in range(192)]
    assert all((ask >= sold.prices.least_nano_usd[sink]).all() for sink, ask in enumerate(cheapest))


def test_distance_is_charged_by_weight_and_rounded_once() -> None:
    net_value = net_values(
        np.array([100, 100, 7]),
        origin=np.array([0, 1, 1]),
        weight_nano_usd_per_us=np.array([0.5, 2.0, 0.0]),
        rtt_us=np.array([[0, 3], [11, 1]]),
    )
    assert net_value.tolist() == [[100, 98], [78, 98], [7, 7]]


def test_a_worse_allocation_shows_a_gap_and_a_unit_sold_twice_is_refused() -> None:
    curves = supply_curves(np.array([0, 0]), np.array([1, 5]), n_sinks=1)
    book, classes = np.array([[9], [8]]), np.zeros(2, np.int64)
    sold = call_auction(curves, book, hardware_class=classes)
    price = sold.prices.least_nano_usd
    worse = np.array([sold.unit[0], -1])
    assert auction_certificate(curves, book, classes, worse, price).gap_nano_usd > 0
    curves.is_free[:] = 1
    for wrong in (sold.unit[[0, 0]], np.array([0, 1])):
        with pytest.raises(ValueError, match="sold once"):
            accept(curves, np.array([0, len(wrong) - 1]), wrong, 1)
        curves.is_free[:] = 1
    with pytest.raises(ValueError, match="at least 0 at every sink"):
        auction_certificate(curves, book, classes, sold.unit, price - 10)


def test_an_empty_book_sells_nothing_and_prices_lie_between_nothing_and_the_next_ask() -> None:
    curves = supply_curves(np.array([0, 1]), np.array([4, 6]), n_sinks=3)
    sold = call_auction(curves, np.zeros((0, 3), np.int64), hardware_class=np.zeros(0, np.int64))
    assert sold.certificate == (0, 0, 0)
    assert sold.prices.least_nano_usd.tolist() == [0, 0, 0]
    assert sold.prices.greatest_nano_usd.tolist() == [4, 6, UNBOUNDED]
    assert curves.is_free.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("net_value", "hardware_class", "named"),
    [
        (np.array([1]), [0], "net_value_nano_usd must be int64 of two dimensions"),
        (np.array([[0.5]]), [0], "net_value_nano_usd must be int64"),
        (np.array([[1, 1]]), [0], "n_regions must divide the 3 sinks"),
        (np.array([[1]]), [3], "hardware_class must be below 3, got 3"),
        (np.array([[1]]), [0, 0], "hardware_class must have shape"),
        (np.array([[NET_VALUE_MAX + 1]]), [0], "net values must be"),
        (np.array([[FORBIDDEN - 1]]), [0], "net values must be"),
        (np.full((32, 1), NET_VALUE_MAX), [0] * 32, "net values must be"),
    ],
)
def test_a_book_that_means_nothing_is_refused_and_takes_nothing(
    net_value: Integers, hardware_class: list[int], named: str
) -> None:
    curves = supply_curves(np.array([0, 1]), np.array([4, 6]), n_sinks=3)
    with pytest.raises(ValueError, match=named):
        call_auction(curves, net_value, hardware_class=np.array(hardware_class))
    assert curves.n_free.tolist() == [1, 1, 0]
    assert curves.is_free.tolist() == [1, 1]


def test_scratch_that_does_not_fit_is_refused() -> None:
    curves = supply_curves(np.array([0, 1]), np.array([4, 6]), n_sinks=2)
    for scratch in (
        auction_scratch(1, n_regions=1, n_classes=2),
        auction_scratch(9, n_regions=2, n_classes=2),
    ):
        with pytest.raises(ValueError, match="scratch must be made for"):
            call_auction(
                curves,
                np.ones((2, 1), np.int64),
                hardware_class=np.zeros(2, np.int64),
                scratch=scratch,
            )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"origin": np.array([2])}, "origin must be below 2, got 2"),
        ({"weight_nano_usd_per_us": np.array([-1.0])}, "weight_nano_usd_per_us must be at least 0"),
        ({"weight_nano_usd_per_us": np.array([np.nan])}, "weight_nano_usd_per_us must be"),
        ({"weight_nano_usd_per_us": np.array([1e18])}, "weight_nano_usd_per_us must be"),
        ({"weight_nano_usd_per_us": np.ones(2)}, "weight_nano_usd_per_us must have shape"),
        ({"rtt_us": np.ones((2, 3), np.int64)}, "rtt_us must have shape"),
    ],
)
def test_columns_of_requests_that_mean_nothing_are_refused_by_name(
    change: dict[str, Integers], named: str
) -> None:
    columns = {
        "origin": np.array([1]),
        "weight_nano_usd_per_us": np.array([1.0]),
        "rtt_us": np.array([[0, 80], [80, 0]]),
    }
    with pytest.raises(ValueError, match=named):
        net_values(np.array([900]), **(columns | change))


def test_uncompiled_code_gives_identical_results() -> None:
    compiled, plain = (
        subprocess.run(
            [sys.executable, "-c", SAMPLE],
            env=os.environ | {"NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for disabled in ("0", "1")
    )
    assert len(compiled.splitlines()) > 60
    assert plain == compiled

"""Exact clearing at the scale of a market against two solvers that know nothing of it."""

from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import block_diag, csr_array, kron

from hanse.market.clearing import FORBIDDEN, certificate
from hanse.market.exchange.competitive_prices import UNBOUNDED, price_lattice
from hanse.market.units import NANO_USD_PER_USD, Floats, Integers
from tests.test_clearing import best_welfare, cleared

Book = tuple[Integers, Integers]

WITHIN_USD: Final = 1e-6


def market_books(seed: int, count: int) -> list[Book]:
    """Draw books of up to 30 requests by 8 sinks, worth up to ten dollars, to the nano-USD.

    A third of them are short of units, a third about balanced, a third have units to spare. In half
    of them a request's values are alike everywhere but for a cost of distance, as in the engine.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(count):
        n_requests, n_sinks = int(rng.integers(2, 31)), int(rng.integers(1, 9))
        shape = (n_requests, n_sinks)
        net_value = rng.integers(-(10**9), 10**10, shape)
        if rng.random() < 0.5:
            net_value = rng.integers(1, 10**10, (n_requests, 1)) - rng.integers(0, 10**9, shape)
        net_value[rng.random(shape) < rng.choice([0.0, 0.3])] = FORBIDDEN
        units = rng.choice([0.4, 1.0, 2.0]) * n_requests / n_sinks
        drawn.append((net_value, rng.poisson(units, n_sinks)))
    return drawn


def transportation_welfare_usd(books: list[Book]) -> Floats:
    """Solve books as one linear program of shares: each its own block, none touching another."""
    value = [np.maximum(net_value, 0) / NANO_USD_PER_USD for net_value, _ in books]
    blocks, limits = [], []
    for net_value, capacity in books:
        n_requests, n_sinks = net_value.shape
        ones = csr_array(np.ones((1, n_sinks)))
        blocks += [kron(csr_array(np.eye(n_requests)), ones)]
        limits += [np.ones(n_requests)]
        units = kron(csr_array(np.ones((1, n_requests))), csr_array(np.eye(n_sinks)))
        blocks[-1] = csr_array(np.vstack([blocks[-1].toarray(), units.toarray()]))
        limits += [capacity.astype(float)]
    program = linprog(
        -np.concatenate([v.ravel() for v in value]),
        A_ub=block_diag(blocks, format="csr"),
        b_ub=np.concatenate(limits),
        method="highs",
    )
    assert program.success
    ends = np.cumsum([v.size for v in value])[:-1]
    shares = np.split(program.x, ends)
    return np.array([(v.ravel() * x).sum() for v, x in zip(value, shares, strict=True)])


def one_unit_less(capacity: Integers, sink: int) -> Integers:
    """Return the capacities with one unit less at a sink."""
    fewer = capacity.copy()
    fewer[sink] -= 1
    return fewer


def gap_at(book: Book, price: Integers) -> int:
    """Return how far prices are from supporting the book's allocation."""
    return int(certificate(*book, cleared(*book)[0], price).gap_nano_usd)


def test_welfare_is_the_assignment_solver_s_to_the_nano_dollar_on_two_thousand_markets() -> None:
    # Totals stay below 30 x 10**10 < 2**53: the solver's float64 holds them exactly.
    books = market_books(11, 2_000)
    assert [cleared(*book)[2].primal_nano_usd for book in books] == [
        best_welfare(*book) for book in books
    ]


@pytest.mark.parametrize("seed", range(20))
def test_welfare_is_that_of_the_transportation_program_on_a_hundred_markets(seed: int) -> None:
    books = market_books(100 + seed, 100)
    ours = [cleared(*book)[2].primal_nano_usd / NANO_USD_PER_USD for book in books]
    assert ours == pytest.approx(transportation_welfare_usd(books), rel=0.0, abs=WITHIN_USD)


def test_no_request_would_rather_be_elsewhere_and_what_is_left_over_is_free() -> None:
    n_left_over, n_priced = 0, 0
    for net_value, capacity in market_books(12, 2_000):
        assignment, price, _ = cleared(net_value, capacity)
        served = np.flatnonzero(assignment >= 0)
        surplus = np.zeros(len(net_value), np.int64)
        surplus[served] = net_value[served, assignment[served]] - price[assignment[served]]
        assert (surplus >= np.maximum(0, (net_value - price).max(axis=1))).all()
        is_left_over = np.bincount(assignment[served], minlength=len(capacity)) < capacity
        assert (price[is_left_over] == 0).all()
        n_left_over += int(is_left_over.sum())
        n_priced += int((price > 0).sum())
    # Else the books would have tested nothing.
    assert min(n_left_over, n_priced) > 1_000


def test_the_greatest_prices_are_what_one_unit_less_would_take_from_another_solver_s_welfare() -> (
    None
):
    for net_value, capacity in market_books(13, 300):
        welfare = best_welfare(net_value, capacity)
        taken = [
            welfare - best_welfare(net_value, one_unit_less(capacity, sink))
            if capacity[sink] > 0
            else UNBOUNDED
            for sink in range(len(capacity))
        ]
        assert price_lattice(net_value, capacity).greatest_nano_usd.tolist() == taken


def test_both_ends_of_the_lattice_and_its_middle_support_the_allocation() -> None:
    for net_value, capacity in market_books(14, 300):
        book = net_value[:, capacity > 0], capacity[capacity > 0]
        lattice = price_lattice(*book)
        least, greatest = lattice.least_nano_usd, lattice.greatest_nano_usd
        assert (least <= greatest).all()
        assert least.tolist() == cleared(*book)[1].tolist()
        assert [gap_at(book, p) for p in (least, greatest, (least + greatest) // 2)] == [0, 0, 0]


def test_one_nano_dollar_beyond_either_end_of_the_lattice_supports_nothing() -> None:
    n_tried = 0
    for net_value, capacity in market_books(15, 100):
        book = net_value[:, capacity > 0], capacity[capacity > 0]
        lattice = price_lattice(*book)
        for sink in range(len(book[1])):
            step = np.eye(len(book[1]), dtype=np.int64)[sink]
            assert gap_at(book, lattice.greatest_nano_usd + step) > 0
            if lattice.least_nano_usd[sink] > 0:
                n_tried += 1
                assert gap_at(book, lattice.least_nano_usd - step) > 0
    assert n_tried > 100


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_order_of_rows_changes_neither_welfare_nor_the_lattice(seed: int, shuffle: int) -> None:
    net_value, capacity = market_books(seed, 1)[0]
    rows = np.random.default_rng(shuffle).permutation(len(net_value))
    assert cleared(net_value[rows], capacity)[2] == cleared(net_value, capacity)[2]
    ours, theirs = price_lattice(net_value, capacity), price_lattice(net_value[rows], capacity)
    assert ours.least_nano_usd.tolist() == theirs.least_nano_usd.tolist()
    assert ours.greatest_nano_usd.tolist() == theirs.greatest_nano_usd.tolist()

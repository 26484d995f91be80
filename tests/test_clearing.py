"""Proof that each clearing is optimal, at the least competitive prices, and certified so."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment, linprog

from hanse.market.clearing import (
    FORBIDDEN,
    Certificate,
    certificate,
    clear,
    clear_welfare,
    clearing_scratch,
)
from hanse.market.units import NANO_USD_PER_USD, Integers

Book = tuple[Integers, Integers]

ORACLE_10 = np.array([[8, 4, 7], [5, 2, 3], [9, 4, 8]])

SAMPLE = """
import numpy as np
from hanse.market.clearing import FORBIDDEN, certificate, clear_welfare, clearing_scratch
rng = np.random.default_rng(5)
for n_requests, n_sinks in [(0, 3), (1, 26), (6, 3), (12, 5), (9, 26), (25, 4)]:
    net_value = rng.integers(-3, 12, (n_requests, n_sinks))
    net_value[net_value == 1] = FORBIDDEN
    capacity = rng.integers(0, 4, n_sinks)
    assignment, price = np.empty(n_requests, np.int64), np.empty(n_sinks, np.int64)
    scratch = clearing_scratch(n_requests, n_sinks)
    clear_welfare(net_value, capacity, assignment, price, scratch)
    proof = [int(part) for part in certificate(net_value, capacity, assignment, price)]
    print(assignment.tolist(), price.tolist(), proof)
"""


@st.composite
def books(draw: st.DrawFn) -> Book:
    """Small books: few distinct values make ties, wide ones make prices; any capacity may be 0."""
    n_requests, n_sinks = draw(st.integers(0, 8)), draw(st.integers(1, 5))
    largest = draw(st.sampled_from([1, 3, 10**9, 2**58]))
    values = st.integers(-largest // 2, largest) | st.just(FORBIDDEN)
    net_value = draw(arrays(np.int64, (n_requests, n_sinks), elements=values))
    return net_value, draw(arrays(np.int64, n_sinks, elements=st.integers(0, 3)))


def drawn_books(seed: int, count: int) -> list[Book]:
    """Draw books of up to 12 requests by 6 sinks, with ties, closed sinks and forbidden pairs."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(count):
        n_requests, n_sinks = rng.integers(1, 13), rng.integers(1, 7)
        largest = rng.choice([3, 20, 10**9])
        net_value = rng.integers(-largest // 3, largest, (n_requests, n_sinks))
        net_value[rng.random(net_value.shape) < rng.choice([0.0, 0.4])] = FORBIDDEN
        drawn.append((net_value, rng.integers(0, 4, n_sinks)))
    return drawn


def cleared(net_value: Integers, capacity: Integers) -> tuple[Integers, Integers, Certificate]:
    """Clear a book and return assignment, prices and certificate."""
    n_requests, n_sinks = net_value.shape
    assignment, price = np.empty(n_requests, np.int64), np.empty(n_sinks, np.int64)
    scratch = clearing_scratch(n_requests, n_sinks)
    clear_welfare(net_value, capacity, assignment, price, scratch)
    return assignment, price, certificate(net_value, capacity, assignment, price)


def best_welfare(net_value: Integers, capacity: Integers) -> int:
    """Solve the book as an assignment of requests to single units, another solver's way.

    Each sink becomes as many columns as it has units; a column of zeros per request leaves it
    unserved. Exact while values are whole numbers below 2**53, where float64 holds them all.
    """
    units = np.repeat(np.maximum(net_value, 0), capacity, axis=1)
    columns = np.hstack([units, np.zeros((len(net_value), len(net_value)), dtype=np.int64)])
    rows, chosen = linear_sum_assignment(columns, maximize=True)
    return int(columns[rows, chosen].sum())


def one_more_unit(capacity: Integers, sink: int) -> Integers:
    """Return the capacities with one more unit at a sink."""
    more = capacity.copy()
    more[sink] += 1
    return more


@settings(max_examples=300)
@given(books())
def test_the_certificate_closes_on_every_book(book: Book) -> None:
    _, price, proof = cleared(*book)
    assert proof.gap_nano_usd == 0
    assert (price >= 0).all()


@settings(max_examples=200)
@given(books())
def test_nobody_is_served_at_a_loss_or_would_rather_be_elsewhere(book: Book) -> None:
    net_value, capacity = book
    assignment, price, _ = cleared(net_value, capacity)
    served = np.flatnonzero(assignment >= 0)
    assert (net_value[served, assignment[served]] > 0).all()
    surplus = np.zeros(len(net_value), dtype=np.int64)
    surplus[served] = net_value[served, assignment[served]] - price[assignment[served]]
    assert (surplus >= 0).all()
    assert (surplus[:, None] >= net_value - price).all()
    assert (np.bincount(assignment[served], minlength=len(capacity)) <= capacity).all()


@settings(max_examples=200)
@given(books(), st.integers(0, 99))
def test_the_order_of_rows_changes_neither_welfare_nor_prices(book: Book, seed: int) -> None:
    net_value, capacity = book
    order = np.random.default_rng(seed).permutation(len(net_value))
    _, price, proof = cleared(net_value, capacity)
    _, shuffled_price, shuffled_proof = cleared(net_value[order], capacity)
    assert shuffled_proof == proof
    assert shuffled_price.tolist() == price.tolist()


def test_welfare_is_that_of_another_exact_solver_on_three_thousand_books() -> None:
    ours = [cleared(*book)[2].primal_nano_usd for book in drawn_books(1, 3_000)]
    theirs = [best_welfare(*book) for book in drawn_books(1, 3_000)]
    assert ours == theirs


def test_each_price_is_what_one_more_unit_would_add_to_welfare() -> None:
    # W(capacity + 1 at s) - W(capacity): the least competitive price of s (Gul and Stacchetti,
    # Journal of Economic Theory 87(1), 1999).
    for net_value, capacity in drawn_books(2, 800):
        _, price, _ = cleared(net_value, capacity)
        welfare = best_welfare(net_value, capacity)
        added = [
            best_welfare(net_value, one_more_unit(capacity, sink)) - welfare
            for sink in range(len(capacity))
        ]
        assert price.tolist() == added


def test_each_served_request_pays_its_vickrey_clarke_groves_payment() -> None:
    # What the others lose by its presence: W without it - (W - its own value).
    for net_value, capacity in drawn_books(3, 300):
        assignment, price, proof = cleared(net_value, capacity)
        for request in np.flatnonzero(assignment >= 0):
            others = np.delete(net_value, request, axis=0)
            own = net_value[request, assignment[request]]
            harm = best_welfare(others, capacity) - (proof.primal_nano_usd - own)
            assert price[assignment[request]] == harm


def test_a_large_book_is_cleared_exactly() -> None:
    rng = np.random.default_rng(4)
    net_value, capacity = rng.integers(-(10**8), 10**9, (400, 24)), rng.integers(0, 20, 24)
    proof = cleared(net_value, capacity)[2]
    assert proof == (best_welfare(net_value, capacity), proof.dual_nano_usd, 0)


@pytest.mark.parametrize("seed", range(5))
def test_the_dual_is_that_of_the_linear_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net_value, capacity = rng.integers(1, 50, (9, 4)), rng.integers(0, 3, 4)
    n_requests, n_sinks = net_value.shape
    one_sink_each = np.kron(np.eye(n_requests), np.ones(n_sinks))
    units_in_all = np.kron(np.ones(n_requests), np.eye(n_sinks))
    program = linprog(
        -net_value.ravel(),
        A_ub=np.vstack([one_sink_each, units_in_all]),
        b_ub=np.concatenate([np.ones(n_requests), capacity]),
        method="highs",
    )
    dual = -(program.ineqlin.marginals @ np.concatenate([np.ones(n_requests), capacity]))
    proof = cleared(net_value, capacity)[2]
    # HiGHS stops at a feasibility tolerance of 1e-7 per row; welfare is a whole number.
    assert proof.primal_nano_usd == pytest.approx(-program.fun, abs=1e-6)
    assert proof.dual_nano_usd == pytest.approx(dual, abs=1e-6)


def test_the_assignment_market_of_oracle_10_has_its_known_optimum_and_prices() -> None:
    assignment, price, proof = cleared(ORACLE_10, np.array([1, 1, 1]))
    # 7 + 2 + 9 = 18. One more unit: of sink 0 adds 3 (8 + 5 + 8 = 21), of 1 adds 0, of 2 adds 2.
    assert assignment.tolist() == [2, 1, 0]
    assert price.tolist() == [3, 0, 2]
    assert proof == (18, 18, 0)


def test_a_scarce_sink_far_away_is_priced_through_a_chain_of_moves() -> None:
    # Sink 0 holds row 0, which could go on to sink 1 and send row 1 away, worth 4. Row 2 offers 9
    # at sink 0: it pays what its unit costs the others, 10 - 8 for the move and 4 for row 1.
    net_value = np.array([[10, 8], [FORBIDDEN, 4], [9, FORBIDDEN]])
    assignment, price, _ = cleared(net_value, np.array([1, 1]))
    assert assignment.tolist() == [1, -1, 0]
    assert price.tolist() == [6, 4]


def test_equal_sinks_go_by_index_and_equal_requests_by_row_without_a_move() -> None:
    everywhere_alike = np.full((3, 4), 5)
    assignment, price, _ = cleared(everywhere_alike, np.array([0, 1, 1, 0]))
    assert assignment.tolist() == [1, 2, -1]
    assert price.tolist() == [5, 5, 5, 5]


def test_of_equal_holders_the_latest_row_gives_way_to_a_better_newcomer() -> None:
    assignment, _, _ = cleared(np.array([[5], [5], [5], [7]]), np.array([2]))
    assert assignment.tolist() == [0, -1, -1, 0]


def test_an_empty_book_has_no_prices() -> None:
    assignment, price, proof = cleared(np.empty((0, 3), np.int64), np.array([2, 0, 1]))
    assert (assignment.tolist(), price.tolist(), proof) == ([], [0, 0, 0], (0, 0, 0))


def test_without_capacity_nobody_is_served_and_the_keenest_request_sets_each_price() -> None:
    assignment, price, proof = cleared(np.array([[3, -4], [7, -1]]), np.array([0, 0]))
    assert (assignment.tolist(), price.tolist(), proof) == ([-1, -1], [7, 0], (0, 0, 0))


@pytest.mark.parametrize("worthless", [FORBIDDEN, -1, 0])
def test_a_pair_that_is_forbidden_or_worth_nothing_is_never_made(worthless: int) -> None:
    assignment, price, proof = cleared(np.full((3, 2), worthless), np.array([5, 5]))
    assert (assignment.tolist(), price.tolist(), proof) == ([-1, -1, -1], [0, 0], (0, 0, 0))


def test_used_scratch_changes_nothing() -> None:
    scratch = clearing_scratch(12, 3)
    rng = np.random.default_rng(6)
    for _ in range(50):
        net_value = rng.integers(-2, 9, (rng.integers(1, 13), 3))
        capacity = rng.integers(0, 4, 3)
        assignment, price = np.full(len(net_value), 77), np.full(3, 77)
        clear_welfare(net_value, capacity, assignment, price, scratch)
        fresh_assignment, fresh_price, _ = cleared(net_value, capacity)
        assert assignment.tolist() == fresh_assignment.tolist()
        assert price.tolist() == fresh_price.tolist()


def test_a_worse_allocation_or_a_dearer_price_shows_a_gap() -> None:
    capacity = np.array([1, 1, 1])
    # The optimum is 7 + 2 + 9 = 18. Leaving row 1 out loses its 2; nobody pays 9: 27 of rent.
    unserved = certificate(ORACLE_10, capacity, np.array([2, -1, 0]), np.array([3, 0, 2]))
    assert unserved.gap_nano_usd == 2
    dearer = certificate(ORACLE_10, capacity, np.array([2, 1, 0]), np.array([9, 9, 9]))
    assert dearer.gap_nano_usd == 27 - 18


@pytest.mark.parametrize(("assignment", "price"), [([0, 0, 1], [9, 9, 9]), ([2, 1, 0], [3, -1, 2])])
def test_an_overfull_sink_or_a_negative_price_has_no_certificate(
    assignment: list[int], price: list[int]
) -> None:
    with pytest.raises(ValueError, match="must be at least 0 at every sink"):
        certificate(ORACLE_10, np.ones(3, np.int64), np.array(assignment), np.array(price))


def test_dollars_are_rounded_to_the_nano_dollar_and_back() -> None:
    book = clear(np.array([[0.1 + 0.2, -np.inf], [0.3, 0.1]]), np.array([1, 1]))
    assert book.assignment.tolist() == [0, 1]
    assert book.price_usd.tolist() == [0.2, 0.0]
    assert book.certificate.primal_nano_usd == 0.4 * NANO_USD_PER_USD
    assert book.certificate.gap_nano_usd == 0


@pytest.mark.parametrize(
    ("net_value_usd", "capacity", "message"),
    [
        ([[1.0, np.nan]], [1, 1], "net_value_usd must be -inf or finite.*got nan"),
        ([[1.0, np.inf]], [1, 1], "net_value_usd must be -inf or finite.*got inf"),
        ([[3e9], [1.0]], [1], r"below 4\.61e\+09 USD, got 6e\+09"),
        ([[1.0, 2.0]], [1], r"capacity must have shape \(2,\), got \(1,\)"),
        ([[1.0, 2.0]], [1, -2], "capacity must be at least 0, got -2 at 1"),
    ],
)
def test_a_book_that_means_nothing_is_refused_by_name_and_bound(
    net_value_usd: list[list[float]], capacity: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        clear(np.array(net_value_usd), np.array(capacity))


def test_uncompiled_code_gives_identical_results() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", SAMPLE],
            env=os.environ | {"NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            text=True,
            check=True,
        )
        for disabled in ("0", "1")
    ]
    assert runs[0].stdout == runs[1].stdout != ""

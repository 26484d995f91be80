"""Router, the one seam of the laboratory, and `check_router`, its conformance suite."""

from dataclasses import fields
from typing import Protocol

import numpy as np

from hanse.market.book import Assignment, Book
from hanse.market.clearing import FORBIDDEN
from hanse.market.units import Integers


class RouterError(ValueError):
    """A router broke its contract; the message says which clause, and with what."""


class Router(Protocol):
    """Whatever turns a book into an assignment; it holds no agent, no model and no generator."""

    def route(self, book: Book) -> Assignment:
        """Assign requests to offers."""
        ...


def check_assignment(book: Book, assignment: Assignment) -> None:
    """Raise `RouterError` unless the assignment is feasible on the book."""
    n_requests, n_offers = len(book.request), len(book.offer_free)
    offer = assignment.offer
    if offer.shape != (n_requests,):
        raise RouterError(f"offer must have shape ({n_requests},), got {offer.shape}")
    if n_requests and not (offer.min() >= -1 and offer.max() < n_offers):
        raise RouterError(f"offer must lie in -1..{n_offers - 1}, got {offer.min()}..{offer.max()}")
    taken = np.bincount(offer[offer >= 0], minlength=n_offers)
    if (taken > book.offer_free).any():
        worst = int((taken - book.offer_free).argmax())
        raise RouterError(
            f"offer {worst} has {book.offer_free[worst]} free units, got {taken[worst]} requests"
        )
    row = np.flatnonzero(offer >= 0)
    barred = book.net_nano_usd[row, book.offer_sink[offer[row]]] == FORBIDDEN
    if barred.any():
        raise RouterError(
            f"request row {row[barred][0]} may not be served at offer {offer[row][barred][0]}"
        )
    if assignment.rent_nano_usd.shape != (book.worth_nano_usd.shape[1],):
        raise RouterError(
            f"rent_nano_usd must have one entry per sink, got {assignment.rent_nano_usd.shape}"
        )
    if (assignment.rent_nano_usd < 0).any():
        raise RouterError(f"rent_nano_usd must be at least 0, got {assignment.rent_nano_usd.min()}")


def check_router(router: Router, *, seed: int = 0, n_books: int = 50) -> None:
    """Put a router through random books and raise `RouterError` where it breaks the contract.

    The contract: every assignment is feasible; the book is left as it was; the same book gets the
    same answer; empty and hopeless books are answered, with nothing.
    """
    rng = np.random.default_rng(seed)
    for n_requests in [0, 1, *rng.integers(1, 12, n_books)]:
        book = random_book(rng, int(n_requests))
        before = {f.name: np.copy(getattr(book, f.name)) for f in fields(book)}
        first = router.route(book)
        check_assignment(book, first)
        for name, column in before.items():
            if not np.array_equal(column, getattr(book, name)):
                raise RouterError(f"route changed {name} of the book; a book is read-only")
        second = router.route(book)
        same = np.array_equal(first.offer, second.offer)
        if not same or not np.array_equal(first.rent_nano_usd, second.rent_nano_usd):
            raise RouterError("route answered the same book in two ways; it must be a function")


def random_book(rng: np.random.Generator, n_requests: int, *, n_offers: int = 6) -> Book:
    """Draw a small true book: offers over three sinks, some pairs forbidden."""
    n_sinks = 3
    sink = np.sort(rng.integers(0, n_sinks, n_offers))
    free = rng.integers(0, 3, n_offers)
    stocked = np.bincount(sink, weights=free, minlength=n_sinks) > 0
    worth = rng.integers(-(10**9), 10**10, (n_requests, n_sinks))
    cost = rng.integers(0, 10**9, (n_requests, n_sinks))
    barred = (rng.random((n_requests, n_sinks)) < 0.2) | ~stocked
    return Book(
        now_us=int(rng.integers(0, 10**9)),
        request=np.arange(n_requests),
        request_is_own=np.ones(n_requests, np.int64),
        request_ready_us=rng.integers(0, 10**9, n_requests),
        request_first_party=rng.integers(-1, 3, n_requests),
        offer_sink=sink,
        offer_region=sink.copy(),
        offer_owner=rng.integers(0, 3, n_offers),
        offer_free=free,
        offer_posted_usd_per_us=rng.random(n_offers) * 1e-9,
        worth_nano_usd=worth,
        cost_nano_usd=cost,
        net_nano_usd=np.where(barred, FORBIDDEN, worth - cost),
        billed_us=rng.integers(1, 10**8, (n_requests, n_sinks)),
    )


def offers_of_sinks(book: Book, sink: Integers) -> Integers:
    """Turn sinks into offers: requests take, in order, the first offer of the sink with a unit."""
    free = book.offer_free.copy()
    offer = np.full(len(sink), -1)
    for row in np.flatnonzero(sink >= 0):
        candidates = np.flatnonzero((book.offer_sink == sink[row]) & (free > 0))
        offer[row] = candidates[0]
        free[candidates[0]] -= 1
    return offer

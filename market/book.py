"""Book and Assignment: the columns on each side of the seam between a market and its router."""

from dataclasses import dataclass

import numpy as np

from hanse.market.clearing import FORBIDDEN
from hanse.market.engine.bits import unpack
from hanse.market.engine.clock import N_BOOK, NOW, ROUTING_PLANE
from hanse.market.engine.columns import Facts, State
from hanse.market.units import Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What one control plane sees at one decision; all columns are copies.

    Attributes
    ----------
    now_us : the instant.
    request : shape (n_requests,), opaque indices in ascending order.
    request_is_own : whether this plane commands the request, or only knows of it.
    request_ready_us, request_first_party : since when; owner whose own it ranks as, or -1.
    offer_sink, offer_region, offer_owner : shape (n_offers,).
    offer_free : units of the offer that this plane sees as free.
    offer_posted_usd_per_us : posted price of occupied time.
    worth_nano_usd : shape (n_requests, n_sinks); v(expected finish) less crossing cost.
    cost_nano_usd : resource cost as owners say it, remaining stages included.
    net_nano_usd : their difference, or `hanse.market.clearing.FORBIDDEN`.
    billed_us : occupied time that a posted price is paid for, remaining stages included.
    """

    now_us: int
    request: Integers
    request_is_own: Integers
    request_ready_us: Integers
    request_first_party: Integers
    offer_sink: Integers
    offer_region: Integers
    offer_owner: Integers
    offer_free: Integers
    offer_posted_usd_per_us: Floats
    worth_nano_usd: Integers
    cost_nano_usd: Integers
    net_nano_usd: Integers
    billed_us: Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A router's answer.

    Attributes
    ----------
    offer : shape (n_requests,), the offer each request is assigned to, or -1.
    rent_nano_usd : shape (n_sinks,), scarcity rent per unit, for locational prices; >= 0.
    """

    offer: Integers
    rent_nano_usd: Integers


def read_book(facts: Facts, state: State) -> Book:
    """Copy the book of the decision that is waiting for a router."""
    count, plane = int(state.clock[N_BOOK]), int(state.clock[ROUTING_PLANE])
    book = state.book
    request = book.request[:count].copy()
    rest_us = facts.stage["rest_work_us"][request]
    n_sinks = len(facts.sink)
    is_open = unpack(state.open_sink[plane], n_sinks)
    scope = facts.scope[state.stage["plane"][request]]
    may_use = facts.admissible[facts.stage["signature"][request]] & scope
    is_edge = unpack(may_use, n_sinks) & is_open
    # What was not quoted is not to be read: it may hold anything.
    quote = np.where(
        is_edge, state.quote[state.quote_rows.row_of[request]], np.zeros((), state.quote.dtype)
    )
    net = quote["worth_nano_usd"] - quote["cost_nano_usd"]
    return Book(
        now_us=int(state.clock[NOW]),
        request=request,
        request_is_own=(state.stage["plane"][request] == plane).astype(np.int64),
        request_ready_us=state.stage["ready_us"][request],
        request_first_party=facts.stage["ranks_with"][request],
        offer_sink=facts.offer["sink"].copy(),
        offer_region=facts.offer["region"].copy(),
        offer_owner=facts.offer["owner"].copy(),
        offer_free=state.visible_offer[plane].copy(),
        offer_posted_usd_per_us=facts.offer["posted_usd_per_us"].copy(),
        worth_nano_usd=quote["worth_nano_usd"],
        cost_nano_usd=quote["cost_nano_usd"],
        net_nano_usd=np.where(is_edge, net, FORBIDDEN),
        billed_us=quote["occupied_us"] + rest_us[:, None],
    )


def write_assignment(state: State, assignment: Assignment) -> None:
    """Hand a router's answer to the engine."""
    count = int(state.clock[N_BOOK])
    state.book.assigned[:count] = assignment.offer
    state.book.assigned_sink[:count] = -1
    state.book.rent_nano_usd[:] = assignment.rent_nano_usd

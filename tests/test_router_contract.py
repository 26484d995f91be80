"""The seam: what a router must keep, that each of ours does, and that both of its sides agree."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.agents.lowering import lower_rules
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.auction import WelfareRouter
from hanse.market.book import Assignment, Book
from hanse.market.central import PostedRouter
from hanse.market.clearing import FORBIDDEN
from hanse.market.regime import CENTRAL, Cadence, Plane, Ranking, Regime, Rule
from hanse.market.router import Router, RouterError, check_assignment, check_router, random_book
from hanse.market.units import Integers
from hanse.scenarios.selftest.checks import run_ledger
from hanse.scenarios.selftest.oracle_worlds import FREE_TERMS, plain_workload, plain_world
from tests.strategies import SmallWorld, small_worlds

FIRST_PARTY = CENTRAL
POSTED = replace(CENTRAL, ranking=Ranking.FIFO)
WELFARE = replace(POSTED, rule=Rule.WELFARE)
SEATS = [(plane, cadence) for plane in Plane for cadence in Cadence]


def surplus_of(book: Book) -> Integers:
    """Say what each request gains from each offer at its posted price; FORBIDDEN where none may."""
    price = np.rint(book.offer_posted_usd_per_us * book.billed_us[:, book.offer_sink] * 1e9)
    surplus = book.worth_nano_usd[:, book.offer_sink] - price.astype(np.int64)
    barred = book.net_nano_usd[:, book.offer_sink] == FORBIDDEN
    return np.where(barred | (book.offer_free == 0), FORBIDDEN, surplus)


def rank_of(book: Book, row: int, offer: int) -> tuple[bool, int, int]:
    """Rank a request at an offer, the lower the better: own jobs, then readiness, then index."""
    is_own = bool(book.request_first_party[row] == book.offer_owner[offer])
    return not is_own, int(book.request_ready_us[row]), int(book.request[row])


@dataclass(frozen=True, slots=True, kw_only=True)
class GaleShapleyRouter:
    """Deferred acceptance as in the paper of 1962, in rounds, with every request proposing."""

    def route(self, book: Book) -> Assignment:
        surplus, n_sinks = surplus_of(book), book.net_nano_usd.shape[1]
        offer = np.full(len(book.request), -1)
        refused = np.zeros(surplus.shape, bool)
        proposers = list(range(len(book.request)))
        while proposers:
            row = proposers.pop()
            gain = np.where(refused[row], FORBIDDEN, surplus[row])
            best = int(gain.argmax()) if gain.size else -1
            if best < 0 or gain[best] <= 0:
                continue
            offer[row] = best
            holders = np.flatnonzero(offer == best)
            if len(holders) > book.offer_free[best]:
                last = max((rank_of(book, held, best), held) for held in holders.tolist())[1]
                offer[last], refused[last, best] = -1, True
                proposers.append(last)
        assert blocking_pairs(book, offer) == []
        return Assignment(offer=offer, rent_nano_usd=np.zeros(n_sinks, np.int64))


def blocking_pairs(book: Book, offer: Integers) -> list[tuple[int, int]]:
    """List pairs that would both rather have one another than what they have."""
    surplus = surplus_of(book)
    found = []
    for row, other in np.ndindex(*surplus.shape):
        held = surplus[row, offer[row]] if offer[row] >= 0 else 0
        if surplus[row, other] <= held:
            continue
        holders = np.flatnonzero(offer == other)
        has_room = len(holders) < book.offer_free[other]
        ranks = [rank_of(book, holder, other) for holder in holders.tolist()]
        if has_room or rank_of(book, row, other) < max(ranks):
            found.append((row, other))
    return found


ROUTERS: dict[str, Router] = {
    "welfare": WelfareRouter(),
    "posted": PostedRouter(),
    "Gale-Shapley": GaleShapleyRouter(),
}


@pytest.mark.parametrize("name", ROUTERS)
def test_every_router_keeps_the_contract(name: str) -> None:
    check_router(ROUTERS[name], n_books=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The welfare router with something done to its answer, or to its book."""

    harm: Callable[[Book, Assignment], Assignment]

    def route(self, book: Book) -> Assignment:
        return self.harm(book, WelfareRouter().route(book))


def overbooks(book: Book, answer: Assignment) -> Assignment:
    allowed = (book.net_nano_usd != FORBIDDEN).any(axis=1)
    at = np.where(allowed, book.offer_sink.searchsorted(best_sink(book)), -1)
    return replace(answer, offer=np.minimum(at, len(book.offer_free) - 1))


def best_sink(book: Book) -> Integers:
    return np.asarray(book.net_nano_usd.argmax(axis=1), np.int64)


def serves_the_forbidden(book: Book, answer: Assignment) -> Assignment:
    offer = answer.offer.copy()
    free = book.offer_free - np.bincount(offer[offer >= 0], minlength=len(book.offer_free))
    barred = book.net_nano_usd[:, book.offer_sink] == FORBIDDEN
    for row, place in zip(*np.nonzero(barred & (free > 0) & (offer[:, None] < 0)), strict=True):
        if free[place] > 0 and offer[row] < 0:
            offer[row] = place
            free[place] -= 1
    return replace(answer, offer=offer)


def takes_a_unit_off_the_book(book: Book, answer: Assignment) -> Assignment:
    book.offer_free[:1] += 1
    return answer


def sorts_the_requests(book: Book, answer: Assignment) -> Assignment:
    book.request[:] = book.request[::-1].copy()
    return answer


def answers_one_row_less(book: Book, answer: Assignment) -> Assignment:
    return replace(answer, offer=answer.offer[1:])


def names_an_offer_that_is_not_there(book: Book, answer: Assignment) -> Assignment:
    return replace(answer, offer=np.where(answer.offer < 0, len(book.offer_free), answer.offer))


def prices_offers_not_sinks(book: Book, answer: Assignment) -> Assignment:
    return replace(answer, rent_nano_usd=np.zeros(len(book.offer_free), np.int64))


def asks_a_negative_rent(book: Book, answer: Assignment) -> Assignment:
    return replace(answer, rent_nano_usd=answer.rent_nano_usd - 1)


@pytest.mark.parametrize(
    ("harm", "clause"),
    [
        (overbooks, "free units"),
        (serves_the_forbidden, "may not be served"),
        (takes_a_unit_off_the_book, "offer_free of the book"),
        (sorts_the_requests, "request of the book"),
        (answers_one_row_less, "must have shape"),
        (names_an_offer_that_is_not_there, "must lie in"),
        (prices_offers_not_sinks, "one entry per sink"),
        (asks_a_negative_rent, "at least 0"),
    ],
)
def test_a_broken_router_is_found_and_told_which_clause_it_broke(
    harm: Callable[[Book, Assignment], Assignment], clause: str
) -> None:
    with pytest.raises(RouterError, match=clause):
        check_router(Broken(harm=harm))


class Moody:
    """A router that answers by how often it was asked."""

    def __init__(self, what: str) -> None:
        self.what, self.asked = what, 0

    def route(self, book: Book) -> Assignment:
        self.asked += 1
        answer = WelfareRouter().route(book)
        odd = self.asked % 2
        if self.what == "offer":
            return replace(answer, offer=np.full_like(answer.offer, -1) if odd else answer.offer)
        return replace(answer, rent_nano_usd=answer.rent_nano_usd + odd)


@pytest.mark.parametrize("what", ["offer", "rent"])
def test_a_router_that_answers_one_book_in_two_ways_is_found(what: str) -> None:
    with pytest.raises(RouterError, match="in two ways"):
        check_router(Moody(what))


@given(seed=st.integers(0, 2**32), n_requests=st.integers(0, 12))
def test_a_random_book_is_a_true_book(seed: int, n_requests: int) -> None:
    book = random_book(np.random.default_rng(seed), n_requests)
    nothing = Assignment(
        offer=np.full(n_requests, -1),
        rent_nano_usd=np.zeros(book.net_nano_usd.shape[1], np.int64),
    )
    check_assignment(book, nothing)
    open_pair = book.net_nano_usd != FORBIDDEN
    expected = (book.worth_nano_usd - book.cost_nano_usd)[open_pair]
    assert np.array_equal(book.net_nano_usd[open_pair], expected)


@settings(max_examples=200)
@given(seed=st.integers(0, 2**32), n_requests=st.integers(0, 12))
def test_posted_prices_leave_no_blocking_pair(seed: int, n_requests: int) -> None:
    book = random_book(np.random.default_rng(seed), n_requests)
    nobody = np.full(n_requests, -1)
    book = replace(book, request_first_party=nobody, offer_owner=np.zeros_like(book.offer_owner))
    assert blocking_pairs(book, PostedRouter().route(book).offer) == []


def at_one_fixed_cost(world: World) -> World:
    """Let both rules cost the same: a foreign rule is charged the welfare rule's fixed cost."""
    terms = replace(world.terms, service_posted_us=world.terms.service_welfare_us)
    return replace(world, terms=terms)


def assert_same_run(world: World, one: Regime, other: Regime) -> None:
    """Assert that two regimes leave the same bytes in every ledger."""
    ledgers = [run_ledger(world, regime, n_payments=500) for regime in (one, other)]
    for name in ("record", "stage", "time_us", "payment", "waiting", "available", "hidden"):
        first, second = (getattr(ledger, name) for ledger in ledgers)
        assert first.tobytes() == second.tobytes(), name
    assert ledgers[0].plane.tobytes() == ledgers[1].plane.tobytes()
    assert counts(ledgers[0]) == counts(ledgers[1])


def counts(ledger: Ledger) -> tuple[int, ...]:
    return ledger.n_bounces, ledger.n_redos, ledger.n_audits, ledger.n_catches


@pytest.mark.parametrize(("plane", "cadence"), SEATS)
@pytest.mark.parametrize(
    ("compiled", "router"),
    [
        (WELFARE, WelfareRouter()),
        (POSTED, PostedRouter()),
        (POSTED, GaleShapleyRouter()),
        (FIRST_PARTY, GaleShapleyRouter()),
    ],
    ids=["welfare", "serial dictatorship", "deferred acceptance", "with first-party priority"],
)
@settings(max_examples=60)
@given(small=small_worlds())
def test_a_router_of_one_s_own_runs_as_the_compiled_rule_does(
    compiled: Regime, router: Router, plane: Plane, cadence: Cadence, small: SmallWorld
) -> None:
    world = small.build()
    seat = replace(compiled, plane=plane, cadence=cadence)
    if router == GaleShapleyRouter() and compiled.ranking is Ranking.FIFO:
        world = without_owners(world)
    own = replace(seat, ranking=Ranking.FIFO, rule=Rule.FOREIGN, router=router)
    assert_same_run(at_one_fixed_cost(world), seat, own)


def without_owners(world: World) -> World:
    """Let nobody be a first party."""
    nobody = np.full(world.workload.n_jobs, -1)
    return replace(world, workload=replace(world.workload, job_first_party=nobody))


def with_prices(world: World, usd_per_gpu_hour: list[float], seed: int) -> World:
    """Draw what is asked for each offer from a few prices, so that many are equal."""
    fleet = world.fleet
    offers = np.column_stack([fleet.node_region, fleet.node_class, fleet.node_owner])
    _, offer = np.unique(offers, axis=0, return_inverse=True)
    price = np.random.default_rng(seed).choice(usd_per_gpu_hour, offer.max() + 1)[offer]
    return replace(world, fleet=replace(fleet, node_posted_usd_per_gpu_hour=price))


@pytest.mark.parametrize("cadence", list(Cadence))
@pytest.mark.parametrize("compiled", [POSTED, FIRST_PARTY], ids=["first come", "own jobs first"])
@settings(max_examples=150)
@given(
    small=small_worlds(),
    prices=st.lists(st.sampled_from([2.0, 0.0, 2.0 + 1e-9, 2.01, 1e3]), min_size=1, max_size=3),
    work_us=st.sampled_from([None, 1, 300]),
)
def test_a_stage_takes_the_offer_that_a_plain_scan_finds_best_and_the_first_of_equals(
    compiled: Regime, cadence: Cadence, small: SmallWorld, prices: list[float], work_us: int | None
) -> None:
    world = with_prices(small.build(), prices, small.size.seed)
    if work_us is not None:
        # So short that prices which differ come to the same nano-USD.
        every = np.full_like(world.workload.stage_work_us, work_us)
        value_usd = np.full_like(world.workload.job_value_usd, 1e-5)
        workload = replace(world.workload, stage_work_us=every, job_value_usd=value_usd)
        world = replace(world, workload=workload)
    seat = replace(compiled, cadence=cadence)
    world = at_one_fixed_cost(world if compiled == FIRST_PARTY else without_owners(world))
    own = replace(POSTED, cadence=cadence, rule=Rule.FOREIGN, router=GaleShapleyRouter())
    assert_same_run(world, seat, own)


def test_a_router_of_one_s_own_is_charged_the_welfare_rule_s_fixed_cost() -> None:
    own = replace(WELFARE, rule=Rule.FOREIGN, router=PostedRouter())
    terms = replace(FREE_TERMS, service_welfare_us=7.0, service_posted_us=3.0)
    assert lower_rules(terms, own, horizon_us=1, n_planes=1).service_rule_us == 7.0


@pytest.mark.parametrize(
    "rule", [POSTED, WELFARE, replace(WELFARE, rule=Rule.FOREIGN, router=PostedRouter())]
)
def test_every_rule_is_charged_for_each_pair_that_the_book_allows(rule: Regime) -> None:
    # Three requests of one microsecond wait for the interval; two regions, three units in each.
    workload = plain_workload(np.full(3, 1_000_000), np.full(3, 5_000_000))
    world = plain_world(workload, n_nodes=6, n_regions=2, horizon_us=60_000_000)
    ledger = run_ledger(world, replace(rule, cadence=Cadence.AT_INTERVAL))
    assert ledger.plane["n_edges"].tolist() == [3 * 2]

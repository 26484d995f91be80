"""Shards, trees, peers, federations and mixtures: where planes sit, what they see, who passes on.

Instants are worked out by hand. Within a region a message takes half a millisecond; every plane has
one core, its rule takes 10 ms, and each message 1 ms more.
"""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.agents.control_layout import Layout, lay_out
from hanse.agents.model import ComputeMarket
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.auction import WelfareRouter
from hanse.market.book import Assignment, Book
from hanse.market.engine.states import (
    AUDIT,
    AWAITING_CLEARING,
    DELIVERING,
    EXECUTING,
    IN_FLIGHT,
    IN_SERVICE,
    LANDING,
    LAPSED,
    QUEUED,
    RESIDUAL,
    UNMATCHED,
)
from hanse.market.engine.states import RULE as BY_RULE
from hanse.market.regime import CENTRAL, Cadence, Plane, Ranking, Regime, Rule
from hanse.market.units import US_PER_S, Floats, Integers
from hanse.scenarios.selftest.checks import run_ledger
from tests.strategies import (
    CLEARED,
    HUB,
    SmallWorld,
    finish,
    small_worlds,
    with_fleet,
    with_jobs,
    world_of,
)

RULE_US: Final = 10_000.0
MESSAGE_US: Final = 1_000.0
NEAR_US: Final = 500
# A decision on a request that comes in and goes out again, be it as a command or passed on.
SERVICE_US: Final = 12_000


def at_distances(world: World, one_way_ms: list[list[float]]) -> World:
    """Set how far apart the regions are."""
    rtt_ms = 2.0 * np.array(one_way_ms)
    np.fill_diagonal(rtt_ms, 2.0 * NEAR_US / 1_000)
    return replace(world, geography=replace(world.geography, rtt_ms=rtt_ms))


def charged(world: World, n_planes: int) -> World:
    """Give every plane one core, and let its rule and its messages take time."""
    terms = replace(
        world.terms,
        control_cores=float(n_planes),
        control_delay_scale=1.0,
        service_posted_us=RULE_US,
        service_message_us=MESSAGE_US,
    )
    return replace(world, terms=terms)


def spent(ledger: Ledger, stage: int) -> dict[int, int]:
    """Return in which states a stage has been before it ended, and how long."""
    time_us = ledger.time_us[stage].copy()
    time_us[-2:] = 0
    return {k: int(us) for k, us in enumerate(time_us) if us > 0}


def planes_of(ledger: Ledger) -> list[int]:
    """Return how many messages each plane handled."""
    counts: list[int] = ledger.plane["n_messages"].tolist()
    return counts


def branch(*, interval_us: int = 0) -> World:
    """Let a region's second job find the region's only unit busy; the root is 0.1 s away."""
    world = world_of(
        arrival_s=[1.0, 2.0],
        work_s=[60.0, 5.0],
        units=[0, 1],
        n_regions=2,
        one_way_s=0.1,
        horizon_s=50.0,
        hub_region=1,
        clearing_interval_us=interval_us,
    )
    return charged(world, 3)


def test_a_leaf_passes_what_finds_no_unit_to_the_root_which_serves_it_abroad() -> None:
    ledger = run_ledger(branch(), replace(HUB, plane=Plane.TREE))
    # To the leaf at 2.0005 s, to the root from 2.0125 s to 2.1125 s, command from 2.1245 s.
    assert ledger.record["unit"].tolist() == [0, 1]
    assert ledger.record["accepted_us"].tolist() == [1_013_000, 2_125_000]
    assert spent(ledger, 1) == {
        IN_FLIGHT: NEAR_US + 100_000,
        IN_SERVICE: 2 * SERVICE_US,
        LANDING: NEAR_US,
        EXECUTING: 5 * US_PER_S,
        DELIVERING: 100_000,
    }
    assert ledger.stage["done_us"][1] == 7_225_000
    assert ledger.stage["plane"].tolist() == [0, 2]
    assert ledger.stage["passed_on"].tolist() == [0, 1]
    # The leaf: request and command; request in and out. The other leaf, and the root: that the unit
    # abroad is free again. The root: request, command and receipt besides.
    assert planes_of(ledger) == [2 + 2, 1, 3 + 1]
    assert ledger.plane["decision_core_us"].tolist() == [2 * SERVICE_US, 0, SERVICE_US]
    assert ledger.stage["decision_core_us"].tolist() == [SERVICE_US, 2 * SERVICE_US]


def test_at_a_clearing_interval_a_request_that_is_passed_on_waits_for_the_root_s_clearing() -> None:
    ledger = run_ledger(branch(interval_us=US_PER_S), replace(CLEARED, plane=Plane.TREE))
    # To the leaf at 2.0005 s, cleared at 3 s, to the root at 3.112 s, cleared at 4 s.
    assert ledger.record["unit"].tolist() == [0, 1]
    assert ledger.record["accepted_us"].tolist() == [2_012_500, 4_012_500]
    assert spent(ledger, 1) == {
        IN_FLIGHT: NEAR_US + 100_000,
        AWAITING_CLEARING: 999_500 + 888_000,
        IN_SERVICE: 2 * SERVICE_US,
        LANDING: NEAR_US,
        EXECUTING: 5 * US_PER_S,
        DELIVERING: 100_000,
    }
    assert ledger.stage["done_us"][1] == 9_112_500
    assert planes_of(ledger) == [2 + 2, 1, 3 + 1]


def test_a_hub_would_have_served_it_at_once_and_saved_a_decision() -> None:
    hub = run_ledger(charged(branch(), 1), HUB)
    assert hub.record["unit"].tolist() == [0, 1]
    assert spent(hub, 1)[IN_SERVICE] == SERVICE_US
    assert planes_of(hub) == [2 + 3 + 1]


FEDERATION: Final = replace(HUB, plane=Plane.FEDERATION)
# Whose job (origin), from when on, and how long: home's unit is always taken first.
HOME_IS_BUSY: Final = (0, 1.0, 10.0)
NEAR_IS_BUSY: Final = (2, 1.1, 60.0)
FAR_IS_BUSY: Final = (1, 1.2, 60.0)


def league(*busy: tuple[int, float, float]) -> World:
    """Let a job of the first jurisdiction come at 2 s, when some others have taken their units.

    The third jurisdiction is 30 ms from the first, and the second 100 ms; between them are 50 ms.
    """
    jobs = [*busy, (0, 2.0, 1.0)]
    world = world_of(
        arrival_s=[arrival_s for _, arrival_s, _ in jobs],
        work_s=[work_s for _, _, work_s in jobs],
        origin=[origin for origin, _, _ in jobs],
        units=[0, 1, 2],
        n_regions=3,
        one_way_s=0.1,
        horizon_s=50.0,
    )
    return charged(at_distances(world, [[0, 100, 30], [100, 0, 50], [30, 50, 0]]), 3)


def forbidding(world: World, *regions: int) -> World:
    """Let law keep the last job out of these regions."""
    may_serve = world.law.may_serve.copy()
    may_serve[1] = True
    may_serve[1, :, list(regions)] = False
    last = np.arange(world.workload.n_jobs) == world.workload.n_jobs - 1
    world = with_jobs(world, job_data_class=last.astype(np.int64))
    return replace(world, law=replace(world.law, may_serve=may_serve))


def last_of(ledger: Ledger) -> tuple[int, int]:
    """Return the unit and the instant at which the last job was accepted."""
    row = ledger.record[ledger.record["stage"] == len(ledger.stage) - 1][0]
    return int(row["unit"]), int(row["accepted_us"])


def test_a_federation_asks_the_nearest_partner_first() -> None:
    ledger = run_ledger(league(HOME_IS_BUSY), FEDERATION)
    assert last_of(ledger) == (2, 2_055_000)
    assert spent(ledger, 1) == {
        IN_FLIGHT: NEAR_US + 30_000,
        IN_SERVICE: 2 * SERVICE_US,
        LANDING: NEAR_US,
        EXECUTING: US_PER_S,
        DELIVERING: 30_000,
    }
    # Home: request, command; request in and out. The partner: request, command, receipt, unit free.
    # The home job ends at 11.013 s: its receipt, and that the unit is free.
    assert planes_of(ledger) == [2 + 2 + 2, 0, 4]


def test_a_federation_goes_on_to_the_next_partner_from_where_the_request_is() -> None:
    ledger = run_ledger(league(HOME_IS_BUSY, NEAR_IS_BUSY), FEDERATION)
    assert last_of(ledger) == (1, 2_117_000)
    assert spent(ledger, 2)[IN_FLIGHT] == NEAR_US + 30_000 + 50_000
    assert spent(ledger, 2)[IN_SERVICE] == 3 * SERVICE_US
    assert ledger.stage["passed_on"].tolist() == [0, 0, 2]


def test_a_partner_that_law_forbids_is_passed_over() -> None:
    ledger = run_ledger(forbidding(league(HOME_IS_BUSY), 2), FEDERATION)
    assert last_of(ledger) == (1, 2_000_000 + NEAR_US + SERVICE_US + 100_000 + SERVICE_US + NEAR_US)
    assert spent(ledger, 1)[IN_FLIGHT] == NEAR_US + 100_000
    assert ledger.plane["n_messages"][2] == 0


def test_what_nobody_can_serve_waits_at_home_until_a_unit_there_is_free() -> None:
    ledger = run_ledger(league(HOME_IS_BUSY, NEAR_IS_BUSY, FAR_IS_BUSY), FEDERATION)
    # Home at 2.0005 s, near at 2.0425, far at 2.1045, home again at 2.2165. There a decision takes
    # in one message and sends none. The unit is free at 11.013 s, the plane knows 0.5 ms later, and
    # takes in no message and sends one.
    back_us = 2_000_000 + NEAR_US + 180_000 + 3 * SERVICE_US
    known_us = 11_013_000 + NEAR_US
    assert last_of(ledger) == (0, known_us + 11_000 + NEAR_US)
    assert spent(ledger, 3) == {
        IN_FLIGHT: NEAR_US + 30_000 + 50_000 + 100_000,
        IN_SERVICE: 3 * SERVICE_US + 2 * 11_000,
        UNMATCHED: known_us - (back_us + 11_000),
        LANDING: NEAR_US,
        EXECUTING: US_PER_S,
        DELIVERING: NEAR_US,
    }
    assert (ledger.stage["plane"][3], ledger.stage["passed_on"][3]) == (0, 3)


def test_what_has_come_home_is_not_sent_round_again() -> None:
    # The near unit is free at 3.1 s, and it is home's at 11 s that the request waits for.
    short = (2, 1.1, 2.0)
    ledger = run_ledger(league(HOME_IS_BUSY, short, FAR_IS_BUSY), FEDERATION)
    assert last_of(ledger)[0] == 0


def test_a_request_that_only_home_may_serve_stays_there() -> None:
    ledger = run_ledger(forbidding(league(HOME_IS_BUSY), 1, 2), FEDERATION)
    assert spent(ledger, 1)[IN_FLIGHT] == NEAR_US
    assert ledger.stage["passed_on"][1] == 0
    # Two requests, two commands, two receipts, and twice that the unit is free.
    assert planes_of(ledger) == [8, 0, 0]


@pytest.mark.parametrize(
    ("patience_us", "states"),
    [
        (5_000_000, {IN_FLIGHT: 180_500, IN_SERVICE: 47_000, UNMATCHED: 4_772_500}),
        # On the way to the near partner, which never hears of it.
        (30_000, {IN_FLIGHT: 18_000, IN_SERVICE: SERVICE_US}),
    ],
)
def test_a_request_expires_wherever_it_is(patience_us: int, states: dict[int, int]) -> None:
    world = league(HOME_IS_BUSY, NEAR_IS_BUSY, FAR_IS_BUSY)
    deadline_us = world.workload.job_deadline_us.copy()
    deadline_us[3] = 2_000_000 + patience_us
    ledger = run_ledger(with_jobs(world, job_deadline_us=deadline_us), FEDERATION)
    assert ledger.stage["status"][3] == LAPSED
    assert ledger.stage["lapse_cause"][3] == BY_RULE
    assert ledger.stage["done_us"][3] == 2_000_000 + patience_us
    assert spent(ledger, 3) == states
    reached = int(patience_us > SERVICE_US + NEAR_US + 30_000)
    alone = run_ledger(league(HOME_IS_BUSY, NEAR_IS_BUSY, FAR_IS_BUSY), HUB)
    assert alone.stage["status"][3] != LAPSED
    assert ledger.plane["n_messages"][2] == 2 + 2 * reached


@dataclass(slots=True, kw_only=True)
class Keeper:
    """A router that keeps the books it is shown."""

    books: list[Book] = field(default_factory=list)

    def route(self, book: Book) -> Assignment:
        """Answer as the welfare rule does."""
        self.books.append(book)
        return WelfareRouter().route(book)


def shown(world: World, plane: Plane, stage: int) -> list[int]:
    """Return the first book that held this stage as its plane's own."""
    keeper = Keeper()
    regime = replace(CLEARED, plane=plane, rule=Rule.FOREIGN, router=keeper)
    run_ledger(world, regime)
    own = (
        book.request.tolist()
        for book in keeper.books
        if stage in book.request[book.request_is_own == 1]
    )
    return next(own)


# Where the other plane sits, and what separates it from the one that decides at 2 s.
SEATS: Final = {Plane.VENUES: 2, Plane.PEERS: 2, Plane.MIXED: 2, Plane.SHARDS: 2}


@pytest.mark.parametrize("plane", SEATS)
@pytest.mark.parametrize(
    ("to_first_ms", "to_other_ms", "is_in_view"),
    [(10.0, 300.0, False), (300.0, 10.0, True)],
)
def test_others_requests_are_as_old_as_the_way_from_where_their_plane_sits(
    plane: Plane, to_first_ms: float, to_other_ms: float, is_in_view: bool
) -> None:
    # Stage 1 is pending at the other plane from 1.9005 s on, and both planes clear at 2 s: seen
    # from 10 ms away it was there, seen from 300 ms away not yet. The first region has no part.
    world = world_of(
        arrival_s=[1.5, 1.9],
        work_s=[1.0, 1.0],
        origin=[1, 2],
        units=[0, 0, 1, 1, 2, 2],
        n_regions=3,
        one_way_s=0.3,
        horizon_s=10.0,
        clearing_interval_us=US_PER_S,
        control_delay_scale=1.0,
        hub_region=2,
        peer_regions=3,
    )
    ways = [[0, to_first_ms, 300.0], [to_first_ms, 0, to_other_ms], [300.0, to_other_ms, 0]]
    world = at_distances(world, ways)
    if plane is Plane.MIXED:
        world = with_jobs(world, job_first_party=np.array([-1, 0]))
    if plane is Plane.SHARDS:
        # Both sit at the hub, whatever the way from anywhere else.
        is_in_view = True
    layout = lay_out(world, replace(CLEARED, plane=plane))
    assert layout.region[layout.of_stage[1]] == SEATS[plane]
    assert layout.of_stage[0] != layout.of_stage[1]
    assert shown(world, plane, 0) == ([0, 1] if is_in_view else [0])


@pytest.mark.parametrize(("peer_regions", "n_bounces"), [(1, 1), (3, 0)])
def test_peers_out_of_each_other_s_sight_book_a_unit_twice_even_without_delay(
    peer_regions: int, n_bounces: int
) -> None:
    # Both wait for the one unit, which is in the middle, where neither sits; it is free at 5 s.
    world = world_of(
        arrival_s=[1.0, 2.0],
        work_s=[1.0, 1.0],
        origin=[0, 2],
        units=[1],
        n_regions=3,
        horizon_s=20.0,
        peer_regions=peer_regions,
    )
    world = with_fleet(world, node_free_from_us=np.array([5 * US_PER_S]))
    ledger = run_ledger(world, replace(HUB, plane=Plane.PEERS))
    assert ledger.n_bounces == n_bounces
    assert ledger.record["accepted_us"][1:].tolist() == [5_000_000, 6_000_000]


@pytest.mark.parametrize("plane", [Plane.TREE, Plane.FEDERATION])
def test_planes_that_keep_their_own_books_see_nothing_of_each_other_s(plane: Plane) -> None:
    world = world_of(
        arrival_s=[1.5, 1.5],
        work_s=[1.0, 1.0],
        origin=[0, 1],
        units=[0, 1],
        n_regions=2,
        horizon_s=10.0,
        clearing_interval_us=US_PER_S,
    )
    assert [shown(world, plane, stage) for stage in (0, 1)] == [[0], [1]]


def laid_out(plane: Plane, *, peer_regions: int = 2) -> Layout:
    """Lay control out over five regions on a line, of which the second has no unit."""
    world = world_of(
        arrival_s=[1.0, 2.0, 3.0, 4.0],
        work_s=[1.0, 1.0, 1.0, 1.0],
        origin=[0, 3, 4, 4],
        units=[0, 2, 3, 4],
        n_regions=5,
        one_way_s=0.1,
        shards=3,
        peer_regions=peer_regions,
        hub_region=2,
    )
    place = np.array([0.0, 10.0, 30.0, 60.0, 100.0])
    world = at_distances(world, np.abs(place[:, None] - place).tolist())
    geography = replace(
        world.geography,
        jurisdiction=("west", "east", "nowhere"),
        region_jurisdiction=np.array([0, 0, 0, 1, 1]),
    )
    world = with_jobs(world, job_first_party=np.array([-1, -1, 0, -1]))
    return lay_out(replace(world, geography=geography), replace(HUB, plane=plane))


def test_shards_sit_where_the_hub_would_and_each_has_buyers_of_its_own() -> None:
    layout = laid_out(Plane.SHARDS)
    assert layout.region.tolist() == [2, 2, 2]
    assert layout.of_stage.tolist() == [0, 0, 1, 1]
    assert layout.watches.all()


def test_leaves_watch_their_region_and_the_root_all() -> None:
    layout = laid_out(Plane.TREE)
    assert layout.region.tolist() == [0, 1, 2, 3, 4, 2]
    assert layout.of_stage.tolist() == [0, 3, 4, 4]
    assert layout.watches[:5].tolist() == np.eye(5, dtype=bool).tolist()
    assert layout.watches[5].all()
    assert layout.passes_to[:, 0].tolist() == [5, 5, 5, 5, 5, -1]


def test_a_peer_watches_the_nearest_regions_with_units_before_any_other() -> None:
    watches = laid_out(Plane.PEERS).watches
    assert [np.flatnonzero(row).tolist() for row in watches[[0, 3, 4]]] == [[0, 2], [2, 3], [3, 4]]
    assert laid_out(Plane.PEERS, peer_regions=5).watches.all()


def test_a_jurisdiction_s_venue_sits_where_most_of_its_jobs_originate() -> None:
    layout = laid_out(Plane.FEDERATION)
    assert layout.region[:2].tolist() == [0, 4]
    assert layout.of_stage.tolist() == [0, 1, 1, 1]
    assert layout.watches.astype(int).tolist() == [[1, 1, 1, 0, 0], [0, 0, 0, 1, 1], [0] * 5]
    # The tour ends at home; a jurisdiction without regions is on it, and never may serve.
    assert layout.passes_to[0].tolist()[-1] == 0
    assert sorted(layout.passes_to[1].tolist()) == [0, 1, 2]


def test_a_mixture_has_a_venue_in_each_region_and_a_hub_for_first_parties() -> None:
    layout = laid_out(Plane.MIXED)
    assert layout.region.tolist() == [0, 1, 2, 3, 4, 2]
    assert layout.of_stage.tolist() == [0, 3, 5, 4]
    assert layout.watches.all()


def tour_of(layout: Layout, stage: int) -> list[int]:
    """Return the planes that a stage's request may come to."""
    first = int(layout.of_stage[stage])
    return [first, *(plane for plane in layout.passes_to[first].tolist() if plane >= 0)]


composed = st.builds(
    lambda plane, cadence, ranking, rule: replace(
        CENTRAL, plane=plane, cadence=cadence, ranking=ranking, rule=rule
    ),
    plane=st.sampled_from(list(Plane)),
    cadence=st.sampled_from(list(Cadence)),
    ranking=st.just(Ranking.FIFO),
    rule=st.sampled_from([Rule.POSTED, Rule.WELFARE]),
)


@settings(max_examples=150)
@given(small=small_worlds(), regime=composed)
def test_whoever_commands_a_unit_watches_its_region(small: SmallWorld, regime: Regime) -> None:
    world = small.build()
    ledger, layout = finish(world, regime).ledger, lay_out(world, regime)
    for index, row in enumerate(ledger.record):
        if row["outcome"] in (AUDIT, RESIDUAL):
            continue
        stage, region = int(row["stage"]), int(world.fleet.node_region[row["unit"]])
        tour, kept_for = tour_of(layout, stage), int(layout.of_unit[row["unit"]])
        assert any(layout.watches[plane, region] for plane in tour)
        assert kept_for == -1 or kept_for in tour
        if ledger.stage["record"][stage] == index:
            last = int(ledger.stage["plane"][stage])
            assert last in tour
            assert layout.watches[last, region]


@settings(max_examples=60)
@given(small=small_worlds(), regime=composed)
def test_no_view_shows_a_unit_of_a_region_that_its_plane_does_not_watch(
    small: SmallWorld, regime: Regime
) -> None:
    world = small.build()
    layout = lay_out(world, regime)
    model = ComputeMarket(world, regime, with_agents=False, epoch_s=10.0)
    in_view = layout.watches[:, model.facts.sink["region"]]
    while model.now_us < world.horizon_us:
        model.step()
        assert (model.state.visible_sink[~in_view] == 0).all()


def expected_refreshes(world: World, layout: Layout) -> Integers:
    """Count the reports of refreshes that each plane works off by the horizon."""
    scale = world.terms.control_delay_scale
    delay_us: Floats = np.rint(scale * world.geography.rtt_ms[layout.region] * 500.0)
    farthest_us = np.where(layout.watches, delay_us, 0).max(axis=1).astype(np.int64)
    n_rounds = np.maximum(world.horizon_us - 1 - farthest_us, 0) // world.terms.refresh_interval_us
    counts: Integers = n_rounds * layout.watches.sum(axis=1)
    return counts


@settings(max_examples=100)
@given(small=small_worlds(), regime=composed, refresh_us=st.sampled_from([900_000, 4_000_000]))
def test_a_plane_is_refreshed_by_the_regions_it_watches_and_by_no_other(
    small: SmallWorld, regime: Regime, refresh_us: int
) -> None:
    its_terms = replace(small.terms, refresh_interval_us=refresh_us, service_message_us=1.0)
    world = replace(small, terms=its_terms).build()
    ledger, layout = finish(world, regime).ledger, lay_out(world, regime)
    assert ledger.plane["refresh_core_us"].tolist() == expected_refreshes(world, layout).tolist()


@pytest.mark.parametrize("plane", list(Plane))
def test_where_views_are_continuous_only_watchers_hear_that_a_unit_is_free(plane: Plane) -> None:
    world = league(HOME_IS_BUSY)
    ledger = run_ledger(world, replace(HUB, plane=plane))
    layout = lay_out(world, replace(HUB, plane=plane))
    rows = ledger.record[ledger.record["end_us"] < ledger.horizon_us]
    freed = np.bincount(world.fleet.node_region[rows["unit"]], minlength=3)
    assert freed.sum() == 2
    heard_us = (layout.watches @ freed) * round(MESSAGE_US)
    assert ledger.plane["refresh_core_us"].tolist() == heard_us.tolist()
    assert ledger.time_us[:, QUEUED].sum() == 0

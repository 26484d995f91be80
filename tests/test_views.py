"""Old views, double bookings and bounces, against a second simulation written for this test.

The engine keeps views by walking logs. Here they are worked out from the definition alone: a plane
sees a region as it was at the last refresh that can have reached it, less its own commands that
this refresh has not seen land. A router of the test's own records what the engine shows it.
"""

import heapq
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.agents.control_layout import lay_out
from hanse.agents.model import ComputeMarket
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.auction import WelfareRouter
from hanse.market.book import Assignment, Book
from hanse.market.central import PostedRouter
from hanse.market.engine.clock import ROUTING_PLANE
from hanse.market.engine.columns import Facts
from hanse.market.engine.states import BOUNCED, LAPSED, RESIDUAL, STALENESS
from hanse.market.regime import CENTRAL, Cadence, Plane, Ranking, Regime, Rule
from hanse.market.router import Router
from hanse.market.units import US_PER_MS, Integers
from hanse.scenarios.selftest.checks import run_ledger
from hanse.scenarios.selftest.oracle_worlds import FREE_TERMS, plain_workload, plain_world

NEVER = 1 << 62
HORIZON_US = 60_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a router was shown, and what it said."""

    plane: int
    book: Book
    assignment: Assignment


@dataclass(slots=True, kw_only=True)
class Recorder:
    """A router that asks another and keeps a record, with the plane if it is shown the clock."""

    router: Router
    decisions: list[Decision] = field(default_factory=list)
    clock: Integers = field(default_factory=lambda: np.full(ROUTING_PLANE + 1, -1))

    def route(self, book: Book) -> Assignment:
        assignment = self.router.route(book)
        plane = int(self.clock[ROUTING_PLANE])
        self.decisions.append(Decision(plane=plane, book=book, assignment=assignment))
        return assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """A crowded world of several planes, short enough to read in a failure."""

    seed: int
    n_jobs: int
    n_nodes: int
    refresh_us: int
    interval_us: int
    service_us: float
    bounce_limit: int

    def build(self) -> World:
        """Draw jobs of seconds over three regions that are tenths of seconds apart."""
        rng = np.random.default_rng(self.seed)
        workload = plain_workload(
            np.sort(rng.integers(0, 20_000_000, self.n_jobs)),
            rng.integers(50_000, 4_000_000, self.n_jobs),
            origin=rng.integers(0, 3, self.n_jobs),
        )
        world = plain_world(
            workload,
            n_nodes=self.n_nodes,
            n_regions=3,
            horizon_us=HORIZON_US,
            terms=replace(
                FREE_TERMS,
                control_cores=3.0,
                control_delay_scale=1.0,
                refresh_interval_us=self.refresh_us,
                clearing_interval_us=self.interval_us,
                bounce_limit=self.bounce_limit,
                service_welfare_us=self.service_us,
            ),
        )
        rtt_ms = np.round(rng.uniform(2.0, 900.0, (3, 3)), 3)
        rtt_ms = np.minimum(rtt_ms, rtt_ms.T)
        free_from_us = rng.integers(0, 8_000_000, self.n_nodes) * rng.integers(0, 2, self.n_nodes)
        return replace(
            world,
            geography=replace(world.geography, rtt_ms=rtt_ms),
            fleet=replace(world.fleet, node_free_from_us=free_from_us),
        )


knobs = st.builds(
    Knobs,
    seed=st.integers(0, 9_999),
    n_jobs=st.sampled_from([1, 8, 40]),
    n_nodes=st.integers(1, 7),
    refresh_us=st.sampled_from([0, 300_000, 2_500_000]),
    interval_us=st.sampled_from([0, 250_000, 1_700_000]),
    service_us=st.sampled_from([0.0, 40_000.0]),
    bounce_limit=st.integers(0, 3),
)


class Replay:
    """A second simulation of landings and views, driven by the decisions that were recorded."""

    def __init__(self, world: World, regime: Regime, facts: Facts) -> None:
        self.world, self.facts = world, facts
        self.layout = lay_out(world, regime)
        seats = self.layout.region.tolist()
        one_way_us = np.rint(world.geography.rtt_ms / 2 * US_PER_MS).astype(int)
        self.delay_us = [one_way_us[seat] for seat in seats]
        speed = world.terms.control_cores / len(seats)
        servers = max(1, int(speed))
        self.service_us = round(world.terms.service_welfare_us / (speed / servers))
        self.busy = [[(-1, int(until))] if until else [] for until in world.fleet.node_free_from_us]
        self.sent: list[tuple[int, int, int]] = []
        self.own: list[dict[int, int]] = [{} for _ in seats]
        self.accepted: list[tuple[int, int, int]] = []
        self.bounces = np.zeros(world.workload.n_stages, int)

    def region(self, unit: int) -> int:
        return int(self.world.fleet.node_region[unit])

    def sight_us(self, plane: int, region: int, now_us: int) -> int:
        at_us = now_us - int(self.delay_us[plane][region])
        refresh_us = self.world.terms.refresh_interval_us
        return at_us - at_us % refresh_us if refresh_us and at_us >= 0 else at_us

    def tour(self, stage: int) -> list[int]:
        """List the planes that may decide on a stage."""
        first = int(self.layout.of_stage[stage])
        return [first, *self.layout.passes_to[first].tolist()]

    def sees_free(self, plane: int, unit: int, now_us: int) -> bool:
        is_kept_for = int(self.layout.of_unit[unit])
        if not self.layout.watches[plane, self.region(unit)] or is_kept_for not in (-1, plane):
            return False
        at_us = self.sight_us(plane, self.region(unit), now_us)
        if at_us < 0:
            was_free = all(start_us >= 0 for start_us, _ in self.busy[unit])
        else:
            was_free = not any(start < at_us < end for start, end in self.busy[unit])
        return was_free and self.own[plane].get(unit, -1) < max(at_us, 0)

    def land_until(self, now_us: int) -> None:
        """Let everything land that lands before `now_us`: a refresh precedes its own instant."""
        while self.sent and self.sent[0][0] < now_us:
            land_us, stage, unit = heapq.heappop(self.sent)
            if any(start <= land_us < end for start, end in self.busy[unit]):
                self.bounces[stage] += 1
                continue
            end_us = land_us + int(self.world.workload.stage_work_us[stage])
            self.busy[unit].append((land_us, end_us))
            self.accepted.append((stage, unit, land_us))

    def expect(self, plane: int, now_us: int) -> list[list[int]]:
        """List, by offer, the units that the plane sees as free."""
        return [
            [
                unit
                for unit in range(offer["first_unit"], offer["last_unit"])
                if self.sees_free(plane, unit, now_us)
            ]
            for offer in self.facts.offer
        ]

    def check(self, decision: Decision) -> None:
        """Compare what was shown with what should have been, and send what was decided."""
        book, offers = decision.book, decision.assignment.offer.tolist()
        own, plane = book.request_is_own == 1, decision.plane
        assert own.any()
        assert all(plane in self.tour(stage) for stage in book.request[own].tolist())
        seats_of_others = self.layout.region[self.layout.of_stage[book.request[~own]]]
        assert self.layout.watches[plane, seats_of_others].all()
        self.land_until(book.now_us)
        visible = self.expect(plane, book.now_us)
        assert book.offer_free.tolist() == [len(units) for units in visible]
        for stage, is_own, offer in zip(book.request.tolist(), own, offers, strict=True):
            if offer < 0:
                continue
            unit = visible[offer].pop(0)
            if is_own:
                land_us = book.now_us + self.service_us
                land_us += int(self.delay_us[plane][self.region(unit)])
                heapq.heappush(self.sent, (land_us, stage, unit))
                self.own[plane][unit] = land_us


def replayed(world: World, regime: Regime) -> tuple[Ledger, Replay]:
    """Run a world under a recording router, and replay the record."""
    assert isinstance(regime.router, Recorder)
    model = ComputeMarket(world, regime, with_agents=False)
    regime.router.clock = model.state.clock
    ledger = model.run_to_horizon()
    replay = Replay(world, regime, model.facts)
    for decision in regime.router.decisions:
        replay.check(decision)
    replay.land_until(world.horizon_us)
    return ledger, replay


def recording(plane: Plane, cadence: Cadence, router: Router) -> Regime:
    return replace(
        CENTRAL,
        plane=plane,
        cadence=cadence,
        ranking=Ranking.FIFO,
        rule=Rule.FOREIGN,
        router=Recorder(router=router),
    )


@pytest.mark.parametrize("cadence", list(Cadence))
@pytest.mark.parametrize("plane", list(Plane))
@pytest.mark.parametrize("router", [WelfareRouter(), PostedRouter()], ids=["welfare", "posted"])
@settings(max_examples=60)
@given(knobs=knobs)
def test_a_view_is_the_last_refresh_that_can_have_arrived_and_own_commands_since(
    router: Router, plane: Plane, cadence: Cadence, knobs: Knobs
) -> None:
    ledger, replay = replayed(knobs.build(), recording(plane, cadence, router))
    record = ledger.record[ledger.record["outcome"] != RESIDUAL]
    found = zip(
        record["stage"].tolist(),
        record["unit"].tolist(),
        record["accepted_us"].tolist(),
        strict=True,
    )
    assert sorted(found) == sorted(replay.accepted)
    assert np.array_equal(ledger.stage["bounces"], replay.bounces)
    assert ledger.n_bounces == replay.bounces.sum()


def crowd(*, n_regions: int, bounce_limit: int, refresh_us: int = 30_000_000) -> World:
    """Let each region have a job that wants the one unit there is, seen free until 30 s."""
    workload = plain_workload(
        np.full(n_regions, 1_000_000),
        np.full(n_regions, 20_000_000),
        origin=np.arange(n_regions),
    )
    terms = replace(
        FREE_TERMS,
        control_cores=float(n_regions),
        control_delay_scale=1.0,
        refresh_interval_us=refresh_us,
        clearing_interval_us=2_000_000,
        bounce_limit=bounce_limit,
    )
    return plain_world(
        workload,
        n_nodes=1,
        n_regions=n_regions,
        rtt_ms=200.0,
        horizon_us=HORIZON_US,
        terms=terms,
    )


def test_venues_that_see_one_free_unit_book_it_twice_and_one_command_bounces() -> None:
    regime = replace(CENTRAL, plane=Plane.VENUES, ranking=Ranking.FIFO)
    ledger = run_ledger(crowd(n_regions=2, bounce_limit=3), regime)
    # Decided at 1.0005 s in both; the near one lands at 1.001 s, the far one 0.1 s after deciding.
    assert ledger.record["stage"].tolist() == [0, 1]
    assert ledger.stage["bounces"].tolist() == [0, 1]
    # The way back; then no look can help until a refresh after the near job's end at 21.001 s.
    assert ledger.time_us[1, BOUNCED] == 100_000
    assert ledger.record["accepted_us"][1] == 30_100_000 + 100_000


@pytest.mark.parametrize("bounce_limit", [0, 1, 2, 3])
def test_a_stage_expires_of_staleness_once_it_has_bounced_more_often_than_the_limit(
    bounce_limit: int,
) -> None:
    # Every 2 s a refresh shows the unit free, and 1 ms later a job of its owner's own takes it for
    # 1.2 s. What the far venue sends lands 0.2 s after the refresh, each time.
    is_far = np.arange(21) == 1
    workload = plain_workload(
        np.sort(np.append(np.arange(20) * 2_000_000, 500_000)),
        np.where(is_far, 300_000, 1_200_000),
        origin=is_far.astype(np.int64),
    )
    workload = replace(workload, job_first_party=np.where(is_far, -1, 0))
    world = crowd(n_regions=2, bounce_limit=bounce_limit, refresh_us=2_000_000)
    world = replace(world, workload=workload)
    ledger = run_ledger(world, replace(CENTRAL, plane=Plane.VENUES))
    far = ledger.stage[1]
    assert far["bounces"] == bounce_limit + 1
    assert far["status"] == LAPSED
    assert far["lapse_cause"] == STALENESS
    assert ledger.n_bounces == bounce_limit + 1
    # It went back 0.1 s each time but the last, when it expired where it landed.
    assert ledger.time_us[1, BOUNCED] == bounce_limit * 100_000
    # First sent at 0.5005 s, on the view of 0 s; from then on 0.1 s after each refresh.
    assert far["done_us"] == (600_500, 2_200_000, 4_200_000, 6_200_000)[bounce_limit]


@settings(max_examples=30)
@given(knobs=knobs)
def test_a_fresh_view_of_one_hub_without_delay_never_bounces(knobs: Knobs) -> None:
    world = replace(knobs, refresh_us=0, service_us=0.0).build()
    world = replace(world, terms=replace(world.terms, control_delay_scale=0.0))
    for cadence in Cadence:
        regime = recording(Plane.HUB, cadence, WelfareRouter())
        assert run_ledger(world, regime).n_bounces == 0


@pytest.mark.parametrize("work_us", [5_000_000, 100_000])
def test_a_venue_s_book_holds_its_own_requests_and_the_others_as_old_as_its_view(
    work_us: int,
) -> None:
    # The refresh of 4 s shows the far request pending; it is cleared at 4 s itself, and runs.
    workload = plain_workload(
        np.array([3_900_000, 4_600_000]), np.array([work_us, 100_000]), origin=np.array([0, 1])
    )
    world = crowd(n_regions=2, bounce_limit=0, refresh_us=4_000_000)
    terms = replace(world.terms, clearing_interval_us=500_000)
    world = replace(world, workload=workload, terms=terms)
    regime = recording(Plane.VENUES, Cadence.AT_INTERVAL, WelfareRouter())
    run_ledger(world, regime)
    assert isinstance(regime.router, Recorder)
    shown = [
        (
            decision.book.now_us,
            decision.book.request.tolist(),
            decision.book.request_is_own.tolist(),
        )
        for decision in regime.router.decisions
    ]
    assert shown[:2] == [(4_000_000, [0], [1]), (5_000_000, [0, 1], [0, 1])]

"""Allocating the state of one run; nothing is allocated after that."""

from typing import Any

import numpy as np

from hanse.market.clearing import clearing_scratch
from hanse.market.engine.bits import n_words
from hanse.market.engine.book_columns import BookColumns
from hanse.market.engine.clock import CLOCK_SIZE
from hanse.market.engine.columns import (
    AUDIT_QUEUE,
    BOOK_DEPTH,
    HOLD,
    INTERVAL,
    ITEMS_PER_STAGE,
    LOCK,
    LOG,
    MAX_BEST,
    N_DEBT_BINS,
    NEVER_US,
    PAYMENT,
    PLANE,
    QUOTE,
    RECORD,
    REGION,
    SIGHT,
    SOURCE,
    STAGE,
    UNIT,
    Facts,
    Rules,
    State,
)
from hanse.market.engine.crossing_columns import TALLY, CrossingState
from hanse.market.engine.events import EVENT
from hanse.market.engine.failure_columns import BREAKER, FAILURE, FailureState
from hanse.market.engine.meters import SITE, WORKER, DebtMeter, PowerMeter
from hanse.market.engine.pools import pool
from hanse.market.engine.power_caps import N_LOST
from hanse.market.engine.states import N_STATES, N_WAITING_STATES
from hanse.market.units import Integers


def _book(facts: Facts) -> BookColumns:
    n_requests, n_sinks = min(len(facts.stage), BOOK_DEPTH), len(facts.sink)
    n_offers, n_units = len(facts.offer), len(facts.unit)
    return BookColumns(
        request=np.zeros(n_requests, np.int64),
        is_own=np.zeros(n_requests, np.int64),
        own=np.zeros(n_requests, np.int64),
        held_back=np.zeros(n_requests, np.int64),
        assigned=np.zeros(n_requests, np.int64),
        assigned_sink=np.zeros(n_requests, np.int64),
        rent_nano_usd=np.zeros(n_sinks, np.int64),
        refused=np.empty((n_requests, n_offers), np.uint8),
        to_ask=np.zeros(n_words(n_sinks), np.int64),
        cursor=np.zeros(n_units, np.int64),
        candidate=np.zeros(n_requests, np.int64),
        slot=np.zeros(n_sinks, np.int64),
        open_sink=np.zeros(n_sinks, np.int64),
        open_capacity=np.zeros(n_sinks, np.int64),
        open_rent=np.zeros(n_sinks, np.int64),
        net_open=np.empty((n_requests, n_sinks), np.int64),
        candidate_sink=np.zeros(n_requests, np.int64),
        taken=np.zeros(n_offers, np.int64),
        best_nano_usd=np.zeros((n_sinks, MAX_BEST), np.int64),
    )


def _debt(n_families: int) -> DebtMeter:
    return DebtMeter(
        total_us=np.zeros((3, n_families, 2), np.int64),
        area=np.zeros((3, n_families, 2)),
        accrued_us=np.zeros((3, N_DEBT_BINS + 1), np.int64),
        paid_us=np.zeros((3, N_DEBT_BINS + 1), np.int64),
    )


def _power(facts: Facts, *, n_records: int, n_servers: int) -> PowerMeter:
    """Allocate the clocks of sites; of no site, where none has a cap."""
    is_capped = np.isfinite(facts.site_cap_w)
    has_caps = bool(is_capped.any())
    n_sites, n_units = (len(is_capped), len(facts.unit)) if has_caps else (0, 0)
    site = np.zeros(n_sites, SITE)
    if has_caps:
        site["is_capped"], site["next_us"] = is_capped, NEVER_US
        site["first_unit"] = np.searchsorted(facts.unit["region"], np.arange(n_sites))
        site["last_unit"] = np.append(site["first_unit"][1:], n_units)
    return PowerMeter(
        site=site,
        worker=np.zeros(n_units, WORKER),
        lost_rate=np.zeros((n_sites, N_LOST), np.int64),
        lost=np.zeros((n_sites, N_LOST), np.int64),
        lost_before=np.zeros((n_units, N_LOST), np.int64),
        lost_us=np.zeros((n_records if has_caps else 0, N_LOST), np.int64),
        draw_w=np.zeros(N_LOST),
        server_operation=np.zeros(n_servers, np.int64),
    )


def _n_intervals(facts: Facts, rules: Rules) -> int:
    """Bound the intervals of waiting that old views may show.

    A request waits anew after each bounce, each redo, and each redo of what came before it: at
    most all stages of its job that stand before it.
    """
    if rules.shares_books == 0:
        return 0
    n_stages, first = len(facts.stage), np.flatnonzero(np.diff(facts.stage["job"], prepend=-1))
    n_of_job = np.diff(first, append=n_stages)
    # Of n stages, one stands behind one other, one behind two, and so on.
    n_begun = 2 * n_stages + int((n_of_job * (n_of_job - 1)).sum()) // 2
    return 64 + n_stages * (1 + rules.bounce_limit) + n_begun * (1 + rules.redo_limit)


def _n_events(facts: Facts, rules: Rules, n_records: int) -> int:
    """Bound the events that the calendar holds at once.

    A stage that is put back leaves the readiness that it waited for on the calendar.
    """
    n_planes, n_units = len(facts.command_us), len(facts.unit)
    wakes = n_planes * (n_units + n_records) if rules.refresh_us == 0 else 0
    at_stages = 5 * len(facts.stage) + 2 * len(facts.predecessor) + n_records
    breaks = 3 * len(facts.breakdown_unit)
    return at_stages + n_units + 8 * n_planes + wakes + breaks + 64


def _failures(facts: Facts, rules: Rules) -> FailureState:
    """Bound the failures that clients notice: each takes a retry, or is the last of its stage."""
    n_own, failure = len(facts.stage) // (1 + rules.failure.n_stale), rules.failure
    shape = (_n_buyers(facts), len(facts.command_us)) if failure.breaker_failures > 0 else (0, 0)
    return FailureState(
        log=np.zeros(n_own * (1 + failure.retry_limit), FAILURE), breaker=np.zeros(shape, BREAKER)
    )


def _never(facts: Facts, n_places: int) -> Integers:
    """Return until when each buyer has a credential at each place, at the start."""
    return np.full((_n_buyers(facts), n_places), -1, np.int64)


def _proofs(facts: Facts, n_stages: int, n_regions: int) -> dict[str, Any]:
    """Return what crossings leave behind: what buyers have proved, and what is counted."""
    return {
        "credential_until_us": _never(facts, n_regions),
        "authority_until_us": _never(facts, int(facts.region_jurisdiction.max()) + 1),
        "crossing": CrossingState(
            tally=np.zeros(n_stages, TALLY),
            session_until_us=_never(facts, n_regions),
            capability_since_us=np.zeros(_n_buyers(facts), np.int64),
            batch_until_us=np.full(n_regions, -1, np.int64),
            pool_free_us=np.zeros(n_regions, np.int64),
        ),
    }


def _egress_shape(facts: Facts) -> tuple[int, int]:
    """Return the shape of bills by buyer and owner; none where no owner charges."""
    n_owners = len(facts.egress_price)
    return (len(facts.buyer_store), n_owners) if n_owners else (0, 0)


def _n_buyers(facts: Facts) -> int:
    return int(facts.stage["buyer"].max(initial=0)) + 1


def allocate(
    facts: Facts, rules: Rules, *, n_records: int, n_families: int, n_payments: int = 0
) -> State:
    """Allocate the state of one run; all zero but what is written anew before it is read.

    `n_records` bounds the executions (residual work, attempts and audits together); `n_payments`
    rows of the payment log are kept, or none.
    """
    n_stages, n_units, n_sinks = len(facts.stage), len(facts.unit), len(facts.sink)
    (n_planes, n_regions), n_samples = facts.command_us.shape, len(facts.sample_us)
    return State(
        clock=np.zeros(CLOCK_SIZE, np.int64),
        heap=np.empty(_n_events(facts, rules, n_records), EVENT),
        stage=np.zeros(n_stages, STAGE),
        source=np.zeros(len(facts.predecessor), SOURCE),
        plan_us=np.empty((n_stages, N_STATES), np.int64),
        plan_rows=pool(n_stages),
        time_us=np.zeros((n_stages, N_STATES), np.int64),
        unit=np.zeros(n_units, UNIT),
        idle_units=np.zeros(n_sinks, np.int64),
        idle=np.zeros(n_words(n_units), np.int64),
        record=np.zeros(n_records, RECORD),
        plane=np.zeros(n_planes, PLANE),
        server_free_us=np.zeros(n_planes * rules.n_servers, np.int64),
        queue_next=np.full(ITEMS_PER_STAGE * n_stages + n_planes, -1, np.int32),
        seen=np.zeros((n_planes, n_units), np.uint8),
        visible=np.zeros((n_planes, n_words(n_units)), np.int64),
        visible_offer=np.zeros((n_planes, len(facts.offer)), np.int64),
        visible_sink=np.zeros((n_planes, n_sinks), np.int64),
        open_offer=np.zeros((n_planes, n_words(len(facts.offer))), np.int64),
        open_sink=np.zeros((n_planes, n_words(n_sinks)), np.int64),
        option=np.zeros((n_stages, n_words(n_sinks)), np.int64),
        quote=np.empty((n_stages, n_sinks), QUOTE),
        quote_rows=pool(n_stages),
        quoted=np.empty((n_stages, n_words(n_sinks)), np.int64),
        quoted_at=np.empty(n_stages, np.int64),
        undecided=np.zeros((n_stages, n_words(n_sinks)), np.int64),
        gained=np.zeros((n_planes, n_words(n_sinks)), np.int64),
        sight=np.zeros((n_planes, n_regions), SIGHT),
        hold=np.empty((n_planes, n_units + 8), HOLD),
        log=np.empty(2 * n_records + n_units, LOG),
        region=np.zeros(n_regions, REGION),
        audit_queue=np.zeros(n_sinks, AUDIT_QUEUE),
        audit_next=np.full(n_stages, -1, np.int32),
        **_proofs(facts, n_stages, n_regions),
        recent=np.empty(_n_intervals(facts, rules), INTERVAL),
        bound_stage=np.full(n_units, -1, np.int64),
        n_bound=np.zeros(_n_buyers(facts), np.int64),
        open_stage=np.zeros(n_stages, np.int64),
        book=_book(facts),
        scratch=clearing_scratch(min(n_stages, BOOK_DEPTH), n_sinks),
        waiting=np.zeros((n_samples, len(facts.legal) * N_WAITING_STATES), np.int32),
        available=np.zeros((n_samples, n_sinks), np.int32),
        hidden=np.zeros((n_samples, n_sinks), np.float32),
        egress_bill=np.zeros((2, *_egress_shape(facts))),
        debt=_debt(n_families),
        payment=np.zeros(n_payments, PAYMENT),
        lock=np.empty(n_stages * (1 + rules.bounce_limit) * rules.escrow, LOCK),
        failure=_failures(facts, rules),
        power=_power(facts, n_records=n_records, n_servers=n_planes * rules.n_servers),
    )

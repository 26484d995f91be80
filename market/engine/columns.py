"""The columns that the engine advances: facts that stay, state that changes, records that remain.

Related columns are packed into structured arrays, one row per entity: a compiled function then
takes one argument instead of twenty, and `stage["work_us"]` is still a column.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.market.clearing import ClearingScratch
from hanse.market.engine.book_columns import BookColumns
from hanse.market.engine.crossing_columns import CrossingFacts, CrossingState
from hanse.market.engine.failure_columns import FailureRules, FailureState
from hanse.market.engine.meters import DebtMeter, PowerMeter
from hanse.market.engine.pools import Pool
from hanse.market.rails import RailRules
from hanse.market.units import Flags, Floats, Integers

Rows = NDArray[np.void]

STAGE_FACT: Final = np.dtype(
    [
        ("job", "i4"),
        ("family", "i2"),
        ("signature", "i2"),
        ("origin", "i2"),
        ("buyer", "i4"),
        ("first_party", "i4"),
        ("ranks_with", "i4"),
        ("accelerator", "i2"),
        ("tool_us", "i8"),
        ("work_us", "i8"),
        ("rest_us", "i8"),
        ("rest_work_us", "i8"),
        ("soonest_us", "i8"),
        ("input_bytes", "f8"),
        ("context_us", "i8"),
        ("holds", "i2"),
        ("verifier_region", "i2"),
        ("value_usd", "f8"),
        ("delay_usd_per_us", "f8"),
        ("said_usd", "f8"),
        ("said_delay_usd_per_us", "f8"),
        ("job_arrival_us", "i8"),
        ("deadline_us", "i8"),
        ("worthless_us", "i8"),
    ],
    align=True,
)

STAGE: Final = np.dtype(
    [
        ("status", "i2"),
        ("state", "i2"),
        ("since_us", "i8"),
        ("ready_us", "i8"),
        ("planned", "i4"),
        ("epoch", "i2"),
        ("attempt", "i2"),
        ("bounces", "i2"),
        ("returning", "i2"),
        ("redos", "i2"),
        ("retries", "i2"),
        ("trouble", "i2"),
        ("plane", "i2"),
        ("passed_on", "i2"),
        ("is_pending", "i2"),
        ("pending_next", "i4"),
        ("pending_previous", "i4"),
        ("recent_position", "i4"),
        ("open_position", "i4"),
        ("input_region", "i2"),
        ("n_sources", "i2"),
        ("context_until_us", "i8"),
        ("unit", "i4"),
        ("record", "i4"),
        ("land_us", "i8"),
        ("holding_us", "i8"),
        ("payment_micro_usd", "i8"),
        ("is_audited", "i2"),
        ("is_delivered", "i2"),
        ("is_final", "i2"),
        ("executed_us", "i8"),
        ("done_us", "i8"),
        ("final_us", "i8"),
        ("escrow_us", "i8"),
        ("obligation_us", "i8"),
        ("decision_core_us", "i8"),
        ("verification_core_us", "i8"),
        ("data_core_us", "i8"),
        ("egress_usd", "f8"),
        ("moved_bytes", "f8"),
        ("lapse_cause", "i2"),
        ("is_behind", "i2"),
        ("audit_end_us", "i8"),
    ],
    align=True,
)

UNIT_FACT: Final = np.dtype([("region", "i8"), ("sink", "i8"), ("offer", "i8"), ("plane", "i8")])

UNIT: Final = np.dtype([("is_busy", "i8"), ("record", "i8"), ("freed_entry", "i8")])

_OFFER_FIELDS: Final = ("sink", "region", "owner", "rank", "first_unit", "last_unit")
PRICE: Final = np.dtype([("posted_usd_per_us", "f8"), ("offer", "i4"), ("sink", "i4")])
OFFER: Final = np.dtype([*((name, "i8") for name in _OFFER_FIELDS), ("posted_usd_per_us", "f8")])

_SINK_FIELDS: Final = ("region", "accelerator", "place", "first_offer", "last_offer")
_COSTS: Final = ("busy_usd_per_us", "held_usd_per_us")
_SINK_PRICES: Final = (*_COSTS, *(f"asked_{name}" for name in _COSTS), "posted_usd_per_us")
SINK: Final = np.dtype(
    [*((name, "i8") for name in _SINK_FIELDS), *((name, "f8") for name in _SINK_PRICES)]
)

RECORD: Final = np.dtype(
    [
        ("stage", "i4"),
        ("unit", "i4"),
        ("outcome", "i2"),
        ("epoch", "i2"),
        ("attempt", "i2"),
        ("is_wrong", "i2"),
        ("accepted_us", "i8"),
        ("identity_us", "i8"),
        ("policy_us", "i8"),
        ("state_us", "i8"),
        ("authority_us", "i8"),
        ("transfer_us", "i8"),
        ("context_us", "i8"),
        ("execution_us", "i8"),
        ("end_us", "i8"),
        ("payment_micro_usd", "i8"),
        ("escrow_us", "i8"),
        ("final_us", "i8"),
    ],
    align=True,
)

PLANE: Final = np.dtype(
    [
        ("n_watched", "i8"),
        ("pending_first", "i8"),
        ("pending_last", "i8"),
        ("n_pending", "i8"),
        ("n_queued", "i8"),
        ("queue_first", "i8"),
        ("queue_last", "i8"),
        ("tick_us", "i8"),
        ("serve_us", "i8"),
        ("wake_us", "i8"),
        ("has_gained", "i8"),
        ("n_rivals", "i8"),
        ("n_unmatched", "i8"),
        ("looked_us", "i8"),
        ("next_sight_us", "i8"),
        ("n_visible", "i8"),
        ("n_holds", "i8"),
        ("next_refresh", "i8"),
        ("refresh_delay_us", "i8"),
        ("new_messages", "i8"),
        ("decision_core_us", "i8"),
        ("refresh_core_us", "i8"),
        ("verification_core_us", "i8"),
        ("settlement_core_us", "i8"),
        ("n_decisions", "i8"),
        ("n_messages", "i8"),
        ("n_edges", "i8"),
    ]
)

SOURCE: Final = np.dtype([("region", "i4"), ("n_inputs", "i4")])
HOLD: Final = np.dtype([("unit", "i8"), ("land_us", "i8")])
SIGHT: Final = np.dtype([("log", "i8"), ("at_us", "i8")])
QUOTE: Final = np.dtype([("worth_nano_usd", "i8"), ("cost_nano_usd", "i8"), ("occupied_us", "i8")])
INTERVAL: Final = np.dtype(
    [("stage", "i8"), ("plane", "i8"), ("region", "i8"), ("since_us", "i8"), ("decided_us", "i8")]
)
LOG: Final = np.dtype([("at_us", "i8"), ("unit", "i4"), ("is_free", "i4"), ("next", "i8")])
REGION: Final = np.dtype([("log_first", "i8"), ("log_last", "i8")])
AUDIT_QUEUE: Final = np.dtype([("first", "i8"), ("last", "i8")])
LOCK: Final = np.dtype(
    [("stage", "i8"), ("locked_us", "i8"), ("freed_us", "i8"), ("amount_micro_usd", "i8")]
)
_PAYMENT_FIELDS: Final = ("stage", "kind", "is_interest", "accrued_us", "paid_us", "amount_us")
PAYMENT: Final = np.dtype([(name, "i8") for name in _PAYMENT_FIELDS])


class Facts(NamedTuple):
    """What no decision can change; built once per world and regime.

    A stage waits for `predecessor` from its `first_input` to that of the next, exclusive, and
    `successor` from its `first_output` to that of the next wait for it; both in rising order.
    `watches` says which regions a plane has in view, and `scope` the same in bits of sinks.
    `passes_to` has a row for the first plane of a request: where it goes on if it finds no unit.
    `stage` has first the stages, then the rows of stale requests (`stale.py`), if there are any.
    A sink has units of one `place`, a region and class, that owners say cost the same.
    The outages of a plane's site stand from `first_outage` of the plane's region to that of the
    next; likewise the divergences of a region. A unit with a `plane` is for that plane alone.
    `site_cap_w` is infinite without a cap; `zone_us` is what local time is ahead of UTC.
    `egress_price`, USD per byte, is by owner and region, or empty; `buyer_store` is with whom the
    inputs of a buyer lie, or -1. `price_list` has the offers of each class, from its
    `first_of_class` on, by rising price.
    """

    stage: Rows
    predecessor: Integers
    first_input: Integers
    successor: Integers
    first_output: Integers
    arrival_us: Integers
    arrival_stage: Integers
    expiry_us: Integers
    expiry_stage: Integers
    attempt_temptation: Floats
    attempt_audit: Floats
    attempt_commit: Floats
    attempt_service: Floats
    attempt_way: Floats
    attempt_error: Floats
    attempt_backoff: Floats
    unit: Rows
    offer: Rows
    price_list: Rows
    first_of_class: Integers
    sink: Rows
    legal: Flags
    signature_family: Integers
    signature_accelerator: Integers
    region_jurisdiction: Integers
    command_us: Integers
    link: Rows
    crossing: CrossingFacts
    plane_region: Integers
    stage_plane: Integers
    watches: Flags
    scope: Integers
    passes_to: Integers
    first_outage: Integers
    outage_from_us: Integers
    outage_until_us: Integers
    breakdown_unit: Integers
    breakdown_from_us: Integers
    breakdown_until_us: Integers
    first_divergence: Integers
    divergence_from_us: Integers
    divergence_until_us: Integers
    sample_us: Integers
    admissible: Integers
    site_cap_w: Floats
    zone_us: Integers
    egress_price: Floats
    buyer_store: Integers


class Rules(NamedTuple):
    """The parts of a regime lowered to integers, and the terms that all regimes share."""

    shares_books: int
    has_quotas: int
    at_interval: int
    first_party: int
    rule: int
    pricing: int
    escrow: int
    audits: int
    on_finality: int
    horizon_us: int
    interval_us: int
    refresh_us: int
    bounce_limit: int
    redo_limit: int
    n_servers: int
    server_speed: float
    quota_share: float
    service_rule_us: float
    service_message_us: float
    service_edge_us: float
    service_solve_us: float
    receipt_us: float
    settlement_us: float
    audit_probability: float
    window_us: int
    audit_detection: float
    audit_share: float
    audit_bytes: float
    stake_multiple: float
    saved_share: float
    temptation_share: float
    core_usd_per_us: float
    approval_usd: float
    active_w: float
    idle_w: float
    core_w: float
    credential_ttl_us: int
    authority_ttl_us: int
    context_ttl_us: int
    failure: FailureRules
    rail: RailRules


class State(NamedTuple):
    """Everything that changes while the engine advances.

    `open_sink` says in bits which sinks a plane sees a free unit of, `open_offer` which offers by
    rank, `option` which sinks a stage may still gain from, `undecided` which of them have not
    refused it at posted prices, and `gained` which have shown a unit more since the plane last
    looked at all that is pending.
    `idle_units` counts, at each sink, the units that nothing occupies.
    A stage borrows a row of `plan_us` while it has a plan, and while it is pending one of `quote`:
    `quoted` says for which sinks that holds, in the generation `quoted_at`.
    `visible` says in bits of units which ones a plane sees as free, `idle` which ones are.
    `source` has the `n_sources` regions where inputs of a stage lie, from its `first_input` on.
    `egress_bill` has what was charged and what it cost, by buyer and owner. `bound_stage` is whose
    quota a unit counts for, or -1; `n_bound` how many do, by buyer.
    """

    clock: Integers
    heap: Rows
    stage: Rows
    source: Rows
    plan_us: Integers
    plan_rows: Pool
    time_us: Integers
    unit: Rows
    idle_units: Integers
    idle: Integers
    record: Rows
    plane: Rows
    server_free_us: Integers
    queue_next: NDArray[np.int32]
    seen: NDArray[np.uint8]
    visible: Integers
    visible_offer: Integers
    visible_sink: Integers
    open_offer: Integers
    open_sink: Integers
    option: Integers
    quote: Rows
    quote_rows: Pool
    quoted: Integers
    quoted_at: Integers
    undecided: Integers
    gained: Integers
    sight: Rows
    hold: Rows
    log: Rows
    region: Rows
    audit_queue: Rows
    audit_next: NDArray[np.int32]
    credential_until_us: Integers
    authority_until_us: Integers
    crossing: CrossingState
    recent: Rows
    bound_stage: Integers
    n_bound: Integers
    open_stage: Integers
    book: BookColumns
    scratch: ClearingScratch
    waiting: NDArray[np.int32]
    available: NDArray[np.int32]
    hidden: NDArray[np.float32]
    debt: DebtMeter
    payment: Rows
    lock: Rows
    failure: FailureState
    power: PowerMeter
    egress_bill: Floats


REQUEST_ITEM: Final = 0
RECEIPT_ITEM: Final = 1
VERDICT_ITEM: Final = 2
ITEMS_PER_STAGE: Final = 3

# In `queue_next` and `audit_next`: the item or stage is in no queue.
NOT_QUEUED: Final = -2

NEVER_US: Final = 1 << 62
"""An instant that does not come."""

SEEN_FREE: Final = 1
HELD: Final = 2

N_DEBT_BINS: Final = 120

# Books over fewer visible units than this are pruned to the requests that could matter.
MAX_BEST: Final = 17
# A decision looks at no more requests than this at once; the engine asserts it.
BOOK_DEPTH: Final = 16_384

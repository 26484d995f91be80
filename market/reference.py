"""The reference: exact clearing of the true state at every event, without any delay of control.

It is a benchmark beside the regimes, computed once per world. Data still travels, law still holds,
crossings still cost; but commands, views and decisions are instant and free, reports are true and
nobody cheats. Coordination loss is its welfare less that of a regime, and may be negative: waiting
can thicken a market.
"""

import numpy as np

from hanse.market.accounts.ledger import Ledger, read_ledger
from hanse.market.engine.advance import start
from hanse.market.engine.allocation import allocate
from hanse.market.engine.bits import pack
from hanse.market.engine.columns import Facts, Rules
from hanse.market.engine.driver import finish_run, run_until
from hanse.market.engine.failure_columns import NO_FAILURES
from hanse.market.engine.parts import POSTED_PRICE, WELFARE_RULE
from hanse.market.rails import NO_RAIL
from hanse.market.units import Integers


def reference_ledger(
    facts: Facts, rules: Rules, free_from_us: Integers, *, n_families: int
) -> Ledger:
    """Run the reference on the facts of a world, whichever regime they were lowered for."""
    n_regions, n_sinks = len(facts.region_jurisdiction), len(facts.sink)
    unit = facts.unit.copy()
    unit["plane"] = -1
    free = facts._replace(
        command_us=np.zeros((1, n_regions), np.int64),
        plane_region=np.zeros(1, np.int64),
        stage_plane=np.zeros(len(facts.stage), np.int64),
        watches=np.ones((1, n_regions), bool),
        scope=pack(np.ones((1, n_sinks), bool)),
        passes_to=np.zeros((1, 0), np.int64),
        unit=unit,
        attempt_way=np.ones((0, 0)),
        first_outage=np.zeros(n_regions + 1, np.int64),
        breakdown_unit=np.zeros(0, np.int64),
    )
    instant = rules._replace(
        shares_books=0,
        has_quotas=0,
        at_interval=0,
        first_party=0,
        rule=WELFARE_RULE,
        pricing=POSTED_PRICE,
        escrow=0,
        audits=0,
        audit_probability=0.0,
        window_us=0,
        refresh_us=0,
        n_servers=1,
        server_speed=1.0,
        service_rule_us=0.0,
        service_message_us=0.0,
        service_edge_us=0.0,
        service_solve_us=0.0,
        receipt_us=0.0,
        settlement_us=0.0,
        temptation_share=0.0,
        failure=NO_FAILURES,
        rail=NO_RAIL,
    )
    n_records = len(facts.unit) + len(facts.stage) + 1
    state = allocate(free, instant, n_records=n_records, n_families=n_families)
    start(free, instant, state, free_from_us)
    run_until(free, instant, state, rules.horizon_us)
    finish_run(free, instant, state)
    return read_ledger(free, instant, state)

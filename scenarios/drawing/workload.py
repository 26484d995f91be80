"""The one place that draws the workload: the tapes of all families as one list of jobs and stages.

A stage's verifier is drawn among all; where the law keeps the job's data from its region, the next
one by index that may see them takes its place. Where no verifier may, `stage_verifier` is -1: the
audit is done in the region of origin.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hanse.agents.fleet import Fleet
from hanse.agents.workload import Workload
from hanse.market.geography import Geography
from hanse.market.jurisdictions import RESIDENT, UNRESTRICTED, Law
from hanse.market.units import US_PER_HOUR, US_PER_S, Flags, Floats, Integers
from hanse.scenarios.drawing.attempts import (
    draw_coins,
    draw_commit_factors,
    draw_service_factors,
    draw_way_factors,
)
from hanse.scenarios.drawing.families import draw_tapes
from hanse.scenarios.drawing.place import class_regions
from hanse.scenarios.drawing.tapes import ANY, Tape, joined
from hanse.scenarios.drawing.traces import Trace
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream
from hanse.scenarios.tables import read_owners, read_regions


def draw_workload(
    scenario: Scenario,
    seed: int,
    *,
    geography: Geography,
    law: Law,
    fleet: Fleet,
    verifier_region: Integers,
    trace: Trace | None = None,
) -> Workload:
    """Draw buyers, jobs sorted by arrival, their stages, and the luck of each attempt."""
    tapes = draw_tapes(scenario, seed, trace)
    tape, family = _merged(tapes)
    n_jobs = len(family)
    n_buyers = scenario.count("load.buyers")
    buyer_region = pick(stream(seed, "buyer.region").random(n_buyers), geography.demand_weight)
    buyer = pick(stream(seed, "job.buyer").random(n_jobs), buyer_shares(scenario))
    data_class = _draw_data_class(scenario, seed, n_jobs)
    multiple, delay_share = (
        np.array([scenario.number(f"load.{name}_{key}") for name in tapes])[family]
        for key in ("value_multiple", "delay_share")
    )
    value_usd = _draw_value(scenario, seed, tape=tape, multiple=multiple)
    stage_job = np.repeat(np.arange(n_jobs), tape.n_stages)
    may_verify = allowed_verifiers(law, verifier_region)[data_class, buyer_region[buyer]]
    return Workload(
        family=tuple(tapes),
        buyer_region=buyer_region,
        buyer_partner=_draw_partners(scenario, seed, fleet=fleet, n_buyers=n_buyers),
        job_family=family,
        job_arrival_us=tape.arrival_us,
        job_deadline_us=tape.deadline_us,
        job_origin=buyer_region[buyer],
        job_buyer=buyer,
        job_first_party=_draw_first_party(scenario, seed, fleet=fleet, n_jobs=n_jobs),
        job_data_class=data_class,
        job_value_usd=value_usd,
        job_delay_usd_per_s=_delay_usd_per_s(tape, value_usd, share=delay_share),
        stage_job=stage_job,
        **_draw_stages(scenario, seed, tape, stage_job=stage_job, may_verify=may_verify),
    )


def _draw_stages(
    scenario: Scenario, seed: int, tape: Tape, *, stage_job: Integers, may_verify: Integers
) -> dict[str, Any]:
    """Return the columns of stages and edges, and draw what no family draws for itself.

    Parameters
    ----------
    may_verify : shape (n_jobs, n_verifiers), who verifies a job's stages instead of whom.
    """
    n_stages, first = len(stage_job), np.cumsum(tape.n_stages) - tape.n_stages
    drawn_class = _draw_class(scenario, seed, len(tape.n_stages))[stage_job]
    drawn_verifier = draw_verifiers(seed, may_verify.shape[1], n_stages)
    holds = draw_flags(scenario, seed, "stage.holds", key="load.hold_share", size=n_stages)
    return {
        "stage_ordinal": np.arange(n_stages) - first[stage_job],
        "edge_from": tape.edge_from,
        "edge_to": tape.edge_to,
        "stage_class": np.where(tape.accelerator == ANY, drawn_class, tape.accelerator),
        "stage_region": tape.region,
        "stage_work_us": tape.work_us,
        "stage_input_bytes": tape.input_bytes,
        "stage_context_tokens": tape.context_tokens,
        "stage_tool_us": tape.tool_us,
        "stage_holds": holds,
        "stage_verifier": may_verify[stage_job, drawn_verifier],
        "stage_is_sampled": _draw_sample(scenario, seed, n_stages),
        "stage_is_real": _draw_real(scenario, seed, n_stages),
        "attempt_temptation": draw_coins(scenario, seed, "temptation", n_stages=n_stages),
        "attempt_audit": draw_coins(scenario, seed, "audit", n_stages=n_stages),
        "attempt_commit": draw_commit_factors(scenario, seed, n_stages),
        "attempt_service": draw_service_factors(scenario, seed, n_stages),
        "attempt_way": draw_way_factors(scenario, seed, n_stages),
    }


def pick(chance: Floats, share: Floats) -> Integers:
    """Turn uniform numbers in [0, 1) into indices with the given shares."""
    edges = np.cumsum(share)
    return np.searchsorted(edges[:-1] / edges[-1], chance, side="right")


def buyer_shares(scenario: Scenario) -> Floats:
    """Return each buyer's share of jobs: a Zipf law, largest first, summing to 1."""
    rank = np.arange(1.0, scenario.count("load.buyers") + 1.0)
    share: Floats = rank ** -scenario.number("load.buyer_zipf")
    return share / float(share.sum())


def draw_verifiers(seed: int, n_verifiers: int, n_stages: int) -> Integers:
    """Draw who would verify each stage if law let everybody."""
    return stream(seed, "stage.verifier").integers(n_verifiers, size=n_stages)


def allowed_verifiers(law: Law, verifier_region: Integers) -> Integers:
    """Return who verifies instead of whom, shape (n_data_classes, n_regions, n_verifiers).

    The entry of (data class, origin, drawn verifier) is the drawn verifier if it may see the data,
    else the next one by index that may, going round; -1 if none may.
    """
    n_verifiers = len(verifier_region)
    may_see = law.may_serve[:, :, verifier_region]
    chosen = np.full((*may_see.shape[:2], n_verifiers), -1)
    for step in reversed(range(n_verifiers)):
        candidate = (np.arange(n_verifiers) + step) % n_verifiers
        chosen = np.where(may_see[:, :, candidate], candidate, chosen)
    return chosen


def mean_list_usd_per_gpu_hour() -> float:
    """Return the list price of an accelerator-hour, averaged over regions by capacity."""
    table = read_regions()
    return float(table.capacity_weight @ table.list_usd_per_gpu_hour)


def _merged(tapes: Mapping[str, Tape]) -> tuple[Tape, Integers]:
    """Join the tapes in order of arrival, no two in one microsecond; also return the families."""
    tape, family = joined(tuple(tapes.values()))
    shift_us = _distinct(tape.arrival_us) - tape.arrival_us
    tape = replace(
        tape, arrival_us=tape.arrival_us + shift_us, deadline_us=tape.deadline_us + shift_us
    )
    return tape, family


def _distinct(arrival_us: Integers) -> Integers:
    """Part arrivals that rounding has put into one microsecond, by one microsecond each.

    Requests of one instant at different places could not know of each other at any speed of
    control, so such ties would be a friction that no scenario can switch off.
    """
    rank = np.arange(len(arrival_us))
    return np.maximum.accumulate(arrival_us - rank) + rank


def _draw_value(scenario: Scenario, seed: int, *, tape: Tape, multiple: Floats) -> Floats:
    """Draw worth: a multiple of the job's work at the mean list price, with unit-mean spread."""
    job = np.repeat(np.arange(len(multiple)), tape.n_stages)
    # Sums of whole microseconds are exact as floats up to 285 years.
    work_hour: Floats = np.bincount(job, tape.work_us, len(multiple)) / US_PER_HOUR
    sigma = scenario.number("load.value_sigma")
    spread = stream(seed, "job.value").standard_normal(len(multiple))
    factor = np.exp(sigma * spread - sigma**2 / 2.0)
    return multiple * mean_list_usd_per_gpu_hour() * work_hour * factor


def _delay_usd_per_s(tape: Tape, value_usd: Floats, *, share: Floats) -> Floats:
    """Return the rate at which the stated share of worth is gone at the deadline."""
    patience_s = (tape.deadline_us - tape.arrival_us) / US_PER_S
    return value_usd * share / patience_s


def draw_flags(scenario: Scenario, seed: int, name: str, *, key: str, size: int) -> Flags:
    """Draw which of so many are chosen; a larger share of them has those of a smaller one."""
    return stream(seed, name).random(size) < scenario.number(key)


def _draw_data_class(scenario: Scenario, seed: int, n_jobs: int) -> Integers:
    is_resident = draw_flags(scenario, seed, "job.resident", key="load.resident_share", size=n_jobs)
    return np.where(is_resident, RESIDENT, UNRESTRICTED)


def _draw_class(scenario: Scenario, seed: int, n_jobs: int) -> Integers:
    """Draw the class that jobs ask for by its share of nodes, of those not tied to a region."""
    shares = np.array(scenario.numbers("fleet.class_shares"))
    unbound = np.where(class_regions(scenario) == ANY, shares, 0.0)
    return pick(stream(seed, "job.class").random(n_jobs), unbound if unbound.any() else shares)


def _draw_first_party(scenario: Scenario, seed: int, *, fleet: Fleet, n_jobs: int) -> Integers:
    """Draw whose own job each is, a hyperscaler's or nobody's (-1)."""
    owner = _draw_hyperscalers(seed, "job.first_party_owner", fleet=fleet, size=n_jobs)
    is_own = draw_flags(
        scenario, seed, "job.first_party", key="load.first_party_share", size=n_jobs
    )
    return np.where(is_own, owner, -1)


def _draw_partners(scenario: Scenario, seed: int, *, fleet: Fleet, n_buyers: int) -> Integers:
    """Draw the partner of each lab, a hyperscaler; nobody is a lab by default."""
    n_labs = scenario.count("load.privileged_buyers")
    if n_labs == 0:
        return np.zeros(0, np.int64)
    if n_labs > n_buyers:
        raise ScenarioError(
            f"load.privileged_buyers must be at most load.buyers ({n_buyers}), got {n_labs}"
        )
    partner = _draw_hyperscalers(seed, "buyer.partner", fleet=fleet, size=n_buyers)
    return np.where(np.arange(n_buyers) < n_labs, partner, -1)


def _draw_hyperscalers(seed: int, name: str, *, fleet: Fleet, size: int) -> Integers:
    """Draw hyperscalers by their share of accelerators.

    The named owners lead `fleet.owner` in the order of their table, so a row there is an owner.
    """
    table = read_owners()
    assert fleet.owner[: len(table.owner) - 1] == table.owner[:-1]
    candidate = np.flatnonzero(table.is_hyperscaler)
    drawn: Integers = candidate[pick(stream(seed, name).random(size), table.share[candidate])]
    return drawn


def _draw_sample(scenario: Scenario, seed: int, n_stages: int) -> Flags:
    """Draw the stages whose receipts are real: as many as asked for, all if there are fewer."""
    size = min(scenario.count("verification.signed_receipts"), n_stages)
    chosen = stream(seed, "stage.sampled").choice(n_stages, size, replace=False, shuffle=False)
    is_sampled = np.zeros(n_stages, dtype=bool)
    is_sampled[chosen] = True
    return is_sampled


def _draw_real(scenario: Scenario, seed: int, n_stages: int) -> Flags:
    """Draw which stages are really executed; stages keep their place as the share grows."""
    share = scenario.number("verification.real_share")
    if share == 0.0:
        return np.zeros(n_stages, bool)
    is_real: Flags = stream(seed, "verification.real").random(n_stages) < share
    return is_real

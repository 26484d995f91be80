"""The one place for what a border asks of people: whose verdict counts, who may rent from afar.

Both are done to a workload that is drawn already, so that its jobs stay as they are.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from hanse.agents.workload import Workload
from hanse.market.jurisdictions import DATA_CLASSES, Law
from hanse.market.units import Flags, Integers
from hanse.scenarios.drawing.chip_rules import BARRED, region_tier
from hanse.scenarios.drawing.workload import allowed_verifiers, draw_verifiers, pick
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream
from hanse.scenarios.tables import jurisdiction_index, read_jurisdictions, read_regions

_BY_HEADQUARTERS: Final = "by-headquarters"


def with_remote_access(law: Law, scenario: Scenario) -> Law:
    """Add what barred buyers may do: each data class again, held to the regions of tier 3."""
    if scenario.text("law.remote_access") != _BY_HEADQUARTERS:
        return law
    held = law.may_serve & (region_tier() == BARRED)
    return Law(may_serve=np.concatenate([law.may_serve, held]))


def under_borders(
    workload: Workload, scenario: Scenario, seed: int, *, law: Law, verifier_region: Integers
) -> Workload:
    """Put each job under its buyer's row of the law, and its audits before judges that count.

    Where no verifier counts who may see the data, the region of origin judges.
    """
    by_headquarters = scenario.text("law.remote_access") == _BY_HEADQUARTERS
    if not by_headquarters and scenario.number("law.recognition_share") == 1.0:
        return workload
    job_class = workload.job_data_class
    if by_headquarters:
        is_barred = barred_buyers(scenario, seed, workload.buyer_region)
        job_class = job_class + len(DATA_CLASSES) * is_barred[workload.job_buyer]
    judged = Law(may_serve=law.may_serve & recognised_of(scenario, seed))
    drawn = draw_verifiers(seed, len(verifier_region), workload.n_stages)
    job = workload.stage_job
    may_verify = allowed_verifiers(judged, verifier_region)
    return replace(
        workload,
        job_data_class=job_class,
        stage_verifier=may_verify[job_class[job], workload.job_origin[job], drawn],
    )


def recognised_of(scenario: Scenario, seed: int) -> Flags:
    """Draw whose verdicts count where, shape (n_regions, n_regions): origin, seat of the verifier.

    Verdicts given in one's own jurisdiction always count. Pairs that count go on to do so as the
    share grows.
    """
    own, n = jurisdiction_index(), len(read_jurisdictions().jurisdiction)
    chance = stream(seed, "law.recognition").random((n, n))
    counts = chance < scenario.number("law.recognition_share")
    recognised: Flags = (counts | np.eye(n, dtype=bool))[own[:, None], own[None, :]]
    return recognised


def headquarters(scenario: Scenario, seed: int, buyer_region: Integers) -> Integers:
    """Draw the jurisdiction of each buyer's headquarters: its own, or by demand; index."""
    own = jurisdiction_index()
    n_jurisdictions = len(read_jurisdictions().jurisdiction)
    demand = np.bincount(own, read_regions().demand_weight, n_jurisdictions).astype(float)
    rng = stream(seed, "buyer.headquarters")
    is_foreign = rng.random(len(buyer_region)) < scenario.number("load.foreign_headquarters_share")
    drawn = pick(rng.random(len(buyer_region)), demand)
    return np.where(is_foreign, drawn, own[buyer_region])


def barred_buyers(scenario: Scenario, seed: int, buyer_region: Integers) -> Flags:
    """Say of each buyer whether its headquarters lie in tier 3."""
    is_barred = np.zeros(len(read_jurisdictions().jurisdiction), bool)
    is_barred[jurisdiction_index()[region_tier() == BARRED]] = True
    barred: Flags = is_barred[headquarters(scenario, seed, buyer_region)]
    return barred

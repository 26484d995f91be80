"""What verification adds to a price on the world that the scenario draws."""

import numpy as np
import pytest

from hanse.scenarios.draw import draw_world
from hanse.scenarios.scenario import load
from hanse.scenarios.studies.premiums import premium_table, regional_premium
from hanse.verification.premium import PriceTerms


def test_a_verifier_in_the_same_region_moves_no_bytes_and_is_final_soonest() -> None:
    premium = regional_premium(draw_world(load("baseline"), 0))
    assert (np.diag(premium.transfer_usd) == 0).all()
    # The work to re-execute is the same everywhere, so only distance tells rows apart.
    audited = premium.finality.audited_us
    assert (np.diag(audited)[:, None] <= audited).all()


def test_the_stake_is_locked_for_longer_where_the_verifier_is_farther() -> None:
    world = draw_world(load("baseline"), 0)
    premium, rtt_ms = regional_premium(world), world.geography.rtt_ms
    order = np.argsort(rtt_ms[0])
    near, far = order[0], order[-1]
    assert premium.capital_usd[0, far] > premium.capital_usd[0, near]


def test_without_audits_only_receipt_and_capital_are_left() -> None:
    scenario = load("baseline").replace({"verification.audit_probability": 0.0})
    terms = regional_premium(draw_world(scenario, 0)).terms()
    left = {name for name, usd in terms.items() if usd.any()}
    assert left == {"capital_usd", "message_usd"}


def test_somebody_waits_for_checks_where_results_are_released_on_finality() -> None:
    scenario = load("baseline").replace({"verification.release": "finality"})
    world = draw_world(scenario, 0)
    latency_usd = regional_premium(world).latency_usd
    # One way, and back from audits; what disputes add is far below a thousandth.
    trips = (1.0 + world.terms.audit_probability) / 2.0
    delay = world.workload.job_delay_usd_per_s.mean()
    assert latency_usd == pytest.approx(delay * trips * world.geography.rtt_ms / 1e3, rel=1e-3)


def test_the_table_has_each_term_of_each_pair_even_where_it_vanishes() -> None:
    world = draw_world(load("baseline"), 0)
    table, n_regions = premium_table(world), world.geography.n_regions
    assert list(dict.fromkeys(table["term"])) == list(PriceTerms.__slots__)
    assert len(table["term"]) == 8 * n_regions**2
    total = regional_premium(world).total_usd.sum()
    assert table["usd_per_gpu_hour"].sum() == pytest.approx(total, rel=1e-12)

"""The price of verification by region pair: each term by hand, and how each must move."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.verification.audit_premium import (
    AuditPolicy,
    AuditPremium,
    audit_premium,
    dispute_s,
    dispute_usd,
    finality,
)
from hanse.verification.premium import Places, PriceTerms

FRANKFURT, SINGAPORE = 0, 1

# Round trips as in calibration.md 2.2 (FRA-SIN 158 ms); the rest is chosen for short sums.
PLACES = Places(
    rtt_ms=np.array([[2.0, 158.0], [158.0, 2.0]]),
    gbps=np.array([[10.0, 1.0], [1.0, 10.0]]),
    egress_usd_per_gb=np.array([0.08, 0.12]),
    usd_per_gpu_s=np.array([0.001, 0.0005]),
)
POLICY = AuditPolicy(
    audit_probability=0.15,
    audit_share=0.10,
    audit_detection=1.0,
    audit_bytes=0.5e9,
    stake_multiple=4.0,
    capital_rate_per_year=0.10,
    receipt_cpu_s=100e-6,
    core_usd_per_hour=0.036,
    wrong_share=0.001,
    dispute_rounds=14,
    dispute_response_s=1.0,
)
WORK_S = 600.0
REWARD_USD = 0.75

repeatable = settings(derandomize=True, deadline=None, max_examples=60, database=None)


def drawn_places(seed: int, n_regions: int = 6) -> Places:
    """Draw places where near is near: the diagonal has the shortest trip and the widest link."""
    rng = np.random.default_rng(seed)
    far_ms = np.triu(rng.uniform(5.0, 300.0, (n_regions, n_regions)), 1)
    local = np.eye(n_regions, dtype=bool)
    return Places(
        rtt_ms=np.where(local, rng.uniform(0.2, 4.0, n_regions), far_ms + far_ms.T),
        gbps=np.where(local, 25.0, rng.uniform(0.5, 20.0, (n_regions, n_regions))),
        egress_usd_per_gb=rng.uniform(0.01, 0.15, n_regions),
        usd_per_gpu_s=np.full(n_regions, 0.0007),
    )


def price(places: Places = PLACES, policy: AuditPolicy = POLICY) -> AuditPremium:
    return audit_premium(places, policy, work_s=WORK_S, reward_usd=REWARD_USD)


def test_finality_is_a_trip_or_a_trip_a_transfer_a_rerun_and_a_trip() -> None:
    delay = finality(PLACES, POLICY, work_s=WORK_S)
    # 158 ms / 2 = 79 ms
    assert delay.unaudited_us[FRANKFURT, SINGAPORE] == 79_000
    # 0.079 s + 4e9 bit / 1e9 bit/s + 0.10 x 600 s + 0.079 s = 64.158 s
    assert delay.audited_us[FRANKFURT, SINGAPORE] == 64_158_000
    # 64.158 s + 14 x (0.158 s + 1 s) = 64.158 s + 16.212 s = 80.370 s
    assert delay.disputed_us[FRANKFURT, SINGAPORE] == 80_370_000
    # 0.001 s + 4e9 bit / 10e9 bit/s + 60 s + 0.001 s = 60.402 s
    assert delay.audited_us[FRANKFURT, FRANKFURT] == 60_402_000


def test_every_term_of_frankfurt_checked_in_singapore_is_the_sum_on_paper() -> None:
    terms = {name: term[FRANKFURT, SINGAPORE] for name, term in price().terms().items()}
    assert terms == pytest.approx(
        {
            # Nothing is slowed down, levied, or waited for.
            "compute_usd": 0.0,
            "taxes_usd": 0.0,
            "latency_usd": 0.0,
            # 0.15 x 0.10 x 600 s x 0.0005 USD/s (Singapore's price)
            "audit_usd": 0.0045,
            # 0.15 x 0.5 GB x 0.08 USD/GB (Frankfurt's egress)
            "transfer_usd": 0.006,
            # 4 x 0.75 USD x 0.10/year x (600 + 0.85 x 0.079 + 0.15 x 64.158) s / 31,536,000 s
            "capital_usd": 0.3 * 609.69085 / 31_536_000,
            # 100 us x 0.036 USD/h
            "message_usd": 1e-9,
            # 0.15 x 0.001 x [16.212 s x 0.0015 USD/s + 28 x 1e-9 USD + 0.3 x 16.212 / 31,536,000]
            "dispute_usd": 0.00015 * (0.024318 + 28e-9 + 0.3 * 16.212 / 31_536_000),
        },
        rel=1e-12,
    )


def test_every_term_of_an_odd_policy_between_odd_places_is_the_sum_on_paper() -> None:
    places = Places(
        rtt_ms=np.array([[3.0, 143.0], [151.0, 5.0]]),
        gbps=np.array([[9.0, 0.7], [0.3, 8.0]]),
        egress_usd_per_gb=np.array([0.07, 0.13]),
        usd_per_gpu_s=np.array([0.0011, 0.0003]),
    )
    policy = AuditPolicy(
        audit_probability=0.07,
        audit_share=0.3,
        audit_detection=0.9,
        audit_bytes=210e6,
        stake_multiple=3.0,
        capital_rate_per_year=0.13,
        receipt_cpu_s=90e-6,
        core_usd_per_hour=0.05,
        wrong_share=0.02,
        dispute_rounds=9,
        dispute_response_s=0.7,
        slowdown=1.4,
        levy_usd=0.017,
        waiting_usd_per_s=0.004,
    )
    each = audit_premium(places, policy, work_s=35.0, reward_usd=0.31)
    # 210 MB are 1.68 Gbit: 5.6 s at 0.3 Gbit/s. Work takes 49 s, execution again 14.7 s.
    audited_s = 0.0755 + 5.6 + 14.7 + 0.0755
    dispute_for_s = 9 * (0.151 + 0.7)
    locked_usd_per_s = 3.0 * 0.31 * 0.13 / 31_536_000
    receipt_usd = 90e-6 * 0.05 / 3_600
    terms = {name: usd[SINGAPORE, FRANKFURT] for name, usd in each.terms().items()}
    assert terms == pytest.approx(
        {
            "compute_usd": 14.0 * 0.0003,
            "audit_usd": 0.07 * 14.7 * 0.0011,
            "taxes_usd": 0.017,
            # A way, the way back of audits, and the trips of disputes.
            "latency_usd": 0.004 * 0.151 * (0.5 + 0.035 + 0.07 * 0.9 * 0.02 * 9),
            "transfer_usd": 0.07 * 0.21 * 0.13,
            "capital_usd": locked_usd_per_s * (49.0 + 0.93 * 0.0755 + 0.07 * audited_s),
            "message_usd": receipt_usd,
            "dispute_usd": 0.07
            * 0.9
            * 0.02
            * (dispute_for_s * (0.0014 + locked_usd_per_s) + 18 * receipt_usd),
        },
        rel=1e-9,
    )
    assert each.finality.disputed_us[SINGAPORE, FRANKFURT] == round(
        (audited_s + dispute_for_s) * 1e6
    )


def test_disputes_of_an_almost_honest_market_are_about_1e_5_usd_or_less() -> None:
    # model.md 11: they vanish, and nobody may scale them up.
    dispute = price().dispute_usd
    assert (dispute > 0.0).all()
    assert (dispute < 1e-5).all()
    assert (dispute < price().total_usd / 1_000.0).all()


def test_a_dispute_of_fourteen_rounds_takes_sixteen_seconds() -> None:
    places = replace(PLACES, rtt_ms=np.full((2, 2), 150.0))
    # VO11: 14 x (0.15 s + 1 s) = 16.1 s
    assert dispute_s(places, POLICY) == pytest.approx(16.1, rel=1e-12)


@pytest.mark.parametrize("field", ["wrong_share", "audit_detection", "audit_probability"])
def test_the_dispute_term_is_linear_in_what_leads_to_one(field: str) -> None:
    halved = replace(POLICY, **{field: getattr(POLICY, field) / 2.0})
    assert price(policy=halved).dispute_usd == pytest.approx(price().dispute_usd / 2.0, rel=1e-12)


def test_the_dispute_term_is_a_whole_dispute_where_every_result_is_disputed() -> None:
    certain = replace(POLICY, audit_probability=1.0, wrong_share=1.0)
    stake_usd = np.array(POLICY.stake_multiple * REWARD_USD)
    assert price(policy=certain).dispute_usd == pytest.approx(
        dispute_usd(PLACES, certain, stake_usd), rel=1e-12
    )


def test_the_terms_sum_to_the_total() -> None:
    each = price()
    by_hand = (
        each.compute_usd
        + each.audit_usd
        + each.taxes_usd
        + each.dispute_usd
        + each.capital_usd
        + each.latency_usd
        + each.transfer_usd
        + each.message_usd
    )
    assert each.total_usd == pytest.approx(by_hand, rel=1e-12)
    assert list(PriceTerms.__slots__) == list(each.terms())


def test_without_audits_only_the_receipt_and_its_capital_are_charged() -> None:
    each = price(policy=replace(POLICY, audit_probability=0.0))
    assert not each.audit_usd.any()
    assert not each.transfer_usd.any()
    assert not each.dispute_usd.any()
    assert each.message_usd == pytest.approx(1e-9, rel=1e-12)
    # 4 x 0.75 USD x 0.10/year x (600 s + half a round trip)
    held_s = WORK_S + PLACES.rtt_ms / 2_000.0
    assert each.capital_usd == pytest.approx(0.3 * held_s / 31_536_000, rel=1e-12)


def test_without_audits_or_stakes_a_receipt_costs_its_signature_alone() -> None:
    each = price(policy=replace(POLICY, audit_probability=0.0, stake_multiple=0.0))
    assert (each.total_usd == each.message_usd).all()


def test_no_byte_pays_egress_inside_its_region() -> None:
    assert price().transfer_usd.diagonal().tolist() == [0.0, 0.0]


def test_egress_is_the_solvers_and_compute_is_the_verifiers() -> None:
    each = price()
    # 0.15 x 0.5 GB x 0.12 USD/GB out of Singapore
    assert each.transfer_usd[SINGAPORE, FRANKFURT] == pytest.approx(0.009, rel=1e-12)
    # 0.15 x 60 s x 0.001 USD/s in Frankfurt
    assert each.audit_usd[SINGAPORE, FRANKFURT] == pytest.approx(0.009, rel=1e-12)


@repeatable
@given(seed=st.integers(0, 1_000))
def test_the_local_verifier_is_the_cheapest_where_compute_costs_the_same(seed: int) -> None:
    total_usd = price(drawn_places(seed)).total_usd
    assert (total_usd.argmin(axis=1) == np.arange(6)).all()


@repeatable
@given(seed=st.integers(0, 1_000), factor=st.floats(1.01, 10.0))
def test_farther_is_never_cheaper_nor_sooner(seed: int, factor: float) -> None:
    near = drawn_places(seed)
    far = replace(near, rtt_ms=near.rtt_ms * factor)
    assert (price(far).total_usd > price(near).total_usd).all()
    assert (price(far).finality.audited_us > price(near).finality.audited_us).all()


@repeatable
@given(seed=st.integers(0, 1_000), low=st.floats(0.0, 0.98), step=st.floats(0.01, 1.0))
def test_more_audits_are_never_cheaper(seed: int, low: float, step: float) -> None:
    places = drawn_places(seed)
    few = price(places, replace(POLICY, audit_probability=low))
    many = price(places, replace(POLICY, audit_probability=min(1.0, low + step)))
    for name, term in few.terms().items():
        assert (term <= many.terms()[name]).all()
    assert (few.total_usd < many.total_usd).all()


@repeatable
@given(seed=st.integers(0, 1_000), low=st.floats(0.0, 20.0), step=st.floats(0.01, 20.0))
def test_a_higher_stake_raises_capital_and_nothing_but_the_dispute_with_it(
    seed: int, low: float, step: float
) -> None:
    places = drawn_places(seed)
    less = price(places, replace(POLICY, stake_multiple=low))
    more = price(places, replace(POLICY, stake_multiple=low + step))
    assert (less.capital_usd < more.capital_usd).all()
    assert (less.dispute_usd < more.dispute_usd).all()
    assert (less.audit_usd == more.audit_usd).all()
    assert (less.transfer_usd == more.transfer_usd).all()


def test_the_stake_follows_the_reward_of_the_solvers_region() -> None:
    each = audit_premium(PLACES, POLICY, work_s=WORK_S, reward_usd=np.array([0.75, 1.5]))
    same = price()
    assert (each.capital_usd[FRANKFURT] == same.capital_usd[FRANKFURT]).all()
    assert each.capital_usd[SINGAPORE] == pytest.approx(
        2.0 * same.capital_usd[SINGAPORE], rel=1e-12
    )


def test_a_share_above_one_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"audit_probability must be from 0 to 1, got 1\.5"):
        replace(POLICY, audit_probability=1.5)
    for name in ("audit_bytes", "stake_multiple", "waiting_usd_per_s", "dispute_rounds"):
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError, match=f"{name} must be at least 0, got {wrong}"):
                replace(POLICY, **{name: wrong})


def test_work_that_is_checked_is_never_quicker_than_plain_work() -> None:
    with pytest.raises(ValueError, match="slowdown must be at least 1, got 0.9"):
        replace(POLICY, slowdown=0.9)


def test_a_place_that_cannot_be_is_refused_by_name() -> None:
    for wrong in (0.0, -1.0, float("nan")):
        for name in ("rtt_ms", "gbps"):
            with pytest.raises(ValueError, match=f"{name} must be above 0, got {wrong}"):
                replace(PLACES, **{name: np.array([[1.0, wrong], [1.0, 1.0]])})
    for wrong in (-1.0, float("nan")):
        for name in ("egress_usd_per_gb", "usd_per_gpu_s"):
            with pytest.raises(ValueError, match=f"{name} must be at least 0, got {wrong}"):
                replace(PLACES, **{name: np.array([1.0, wrong])})


def test_columns_of_another_shape_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"rtt_ms must have shape \(2, 2\), got \(2,\)"):
        replace(PLACES, rtt_ms=np.ones(2))


def test_a_link_without_bandwidth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gbps must be above 0, got 0\.0"):
        replace(PLACES, gbps=np.zeros((2, 2)))

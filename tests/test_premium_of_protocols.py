"""What each protocol adds to a price, by region pair: on paper, beside the audit's own formula."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.verification.audit_premium import AuditPolicy, audit_premium
from hanse.verification.premium import (
    Charges,
    Places,
    ProtocolPremium,
    protocol_premium,
)
from hanse.verification.protocols.checked import Optimistic, ProofOfSampling, Unverified
from hanse.verification.protocols.interface import TaskShape, VerificationProtocol
from hanse.verification.protocols.refereed import Replication, Verde

FRANKFURT, SINGAPORE = 0, 1
USD = 1_000_000
S_PER_YEAR = 31_536_000

PLACES = Places(
    rtt_ms=np.array([[2.0, 158.0], [158.0, 2.0]]),
    gbps=np.array([[10.0, 1.0], [1.0, 10.0]]),
    egress_usd_per_gb=np.array([0.08, 0.12]),
    usd_per_gpu_s=np.array([0.001, 0.0005]),
)
# 600 s of work in 1,000 steps; a checkpoint every 100, of 0.5 GB; nothing else to move.
TASK = TaskShape(
    n_steps=1_000,
    n_operators=11,
    checkpoint_interval=100,
    work_us=600 * USD,
    state_bytes=500_000_000,
    input_bytes=0,
    reward_micro_usd=750_000,
    honest_cost_micro_usd=600_000,
    lazy_cost_micro_usd=0,
    checking_cost_micro_usd=300_000,
)
STAKE = 3 * USD
CHARGES = Charges(
    capital_rate_per_year=0.10,
    message_cpu_s=100e-6,
    core_usd_per_hour=0.036,
    wrong_share=0.001,
    waiting_usd_per_s=0.002,
)
PROTOCOLS: tuple[VerificationProtocol, ...] = (
    Unverified(),
    Replication(),
    ProofOfSampling(),
    Optimistic(window_us=3_600 * USD),
    Verde(n_providers=2, reproducibility=1.3),
)

repeatable = settings(derandomize=True, deadline=None, max_examples=40, database=None)
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=repr)


def price(
    protocol: VerificationProtocol,
    *,
    places: Places = PLACES,
    charges: Charges = CHARGES,
    stake: int = STAKE,
) -> ProtocolPremium:
    return protocol_premium(protocol, TASK, places, stake_micro_usd=stake, charges=charges)


def of_frankfurt_in_singapore(protocol: VerificationProtocol) -> dict[str, float]:
    return {name: usd[FRANKFURT, SINGAPORE] for name, usd in price(protocol).terms().items()}


def test_sampling_is_the_sum_on_paper() -> None:
    # 600 s + 0.079 s + 0.15 x (4e9 bit / 1e9 bit/s + 60 s + 0.079 s)
    locked_s = 600.0 + 0.079 + 0.15 * 64.079
    # 7 + 4 rounds (log2 of 100 and of 11), 5 openings; a replay of 60 s, one operator of 600 /
    # 11,000 s
    answers_s = 16.0 + 60.0 + 600.0 / 11_000.0
    lasting_s = answers_s + 16 * 0.158
    assert of_frankfurt_in_singapore(ProofOfSampling()) == pytest.approx(
        {
            "compute_usd": 0.0,
            "audit_usd": 0.15 * 60.0 * 0.0005,
            "taxes_usd": 0.0,
            # a wrong result in a thousand, 0.15 of them found; 2 x 11 + 10 messages of 1e-9 USD
            "dispute_usd": 0.00015 * (answers_s * 0.0015 + 32e-9 + 0.3 * lasting_s / S_PER_YEAR),
            "capital_usd": 0.3 * locked_s / S_PER_YEAR,
            # receipt half a trip, and in 0.15 of all cases the verdict another half
            "latency_usd": 0.575 * 0.158 * 0.002 + 0.00015 * 16 * 0.158 * (0.0015 + 0.002),
            "transfer_usd": 0.15 * 0.5 * 0.08,
            "message_usd": 3.3e-9,
        },
        rel=1e-9,
    )


def test_delegation_is_the_sum_on_paper() -> None:
    # 4 + 7 + 4 rounds (log2 of 10 segments, 100 steps, 11 operators), 4 openings
    answers_s = 19.0 + 1.3 * (60.0 + 600.0 / 11_000.0)
    lasting_s = answers_s + 19 * 0.158
    assert of_frankfurt_in_singapore(Verde(n_providers=2, reproducibility=1.3)) == pytest.approx(
        {
            # 0.3 x 600 s at Frankfurt's price, 1.3 x 600 s at Singapore's
            "compute_usd": 180.0 * 0.001,
            "audit_usd": 780.0 * 0.0005,
            "taxes_usd": 0.0,
            "dispute_usd": 0.001 * (answers_s * 0.0015 + 39e-9 + 0.3 * lasting_s / S_PER_YEAR),
            # two stakes of 3 USD
            "capital_usd": 0.6 * (780.0 + 0.237) / S_PER_YEAR,
            "latency_usd": 1.5 * 0.158 * 0.002 + 0.001 * 19 * 0.158 * 0.0035,
            "transfer_usd": 0.0,
            "message_usd": 5e-9,
        },
        rel=1e-9,
    )


ODD_PLACES = replace(
    PLACES,
    rtt_ms=np.array([[3.0, 143.0], [151.0, 5.0]]),
    gbps=np.array([[9.0, 0.7], [0.3, 8.0]]),
)
# 15 steps in 5 segments, of 7 s of work each; 210 MB in, 30 MB a checkpoint.
ODD_TASK = replace(
    TASK,
    n_steps=15,
    checkpoint_interval=3,
    work_us=35 * USD,
    state_bytes=30_000_000,
    input_bytes=210_000_000,
)
ODD_AUDIT = ProofOfSampling(
    audit_probability=0.3,
    n_sampled=2,
    collusion=0.1,
    detection=0.9,
    levy_micro_usd=41,
    audit_fee_micro_usd=1_000_000,
    reproducibility=1.6,
)


def test_an_odd_audit_between_odd_places_is_the_sum_on_paper() -> None:
    charges = replace(CHARGES, response_s=0.7, wrong_share=0.02)
    price = protocol_premium(
        ODD_AUDIT, ODD_TASK, ODD_PLACES, stake_micro_usd=STAKE, charges=charges
    )
    # Singapore works at 0.0005 USD/s, Frankfurt checks at 0.001; 151 ms between them.
    work_s, rtt_s = 35.0 * 1.6, 0.151
    # Two states and two fifths of the input: 60 + 84 MB at 0.3 Gbit/s.
    moved_s = 144e6 * 8 / 0.3e9
    final_s = rtt_s / 2 + 0.3 * (moved_s + 0.4 * work_s + rtt_s / 2)
    # 2 + 4 rounds and 5 openings; a segment of three steps, and one operator.
    answers_s = 11 * 0.7 + work_s / 5 + work_s / (15 * 11)
    lasting_s = answers_s + 11 * rtt_s
    disputed = 0.02 * 0.3 * 0.9 * 0.9
    locked_usd_per_s = 3.0 * 0.10 / S_PER_YEAR
    assert {name: usd[SINGAPORE, FRANKFURT] for name, usd in price.terms().items()} == (
        pytest.approx(
            {
                "compute_usd": 0.6 * 35.0 * 0.0005,
                "audit_usd": 0.3 * 0.4 * work_s * 0.001,
                "taxes_usd": 41e-6,
                # 2 x 6 + 10 messages of 1e-9 USD
                "dispute_usd": disputed
                * (answers_s * 0.0015 + 22e-9 + locked_usd_per_s * lasting_s),
                "capital_usd": locked_usd_per_s * (work_s + final_s),
                "latency_usd": 0.65 * rtt_s * 0.002 + disputed * 11 * rtt_s * 0.0035,
                "transfer_usd": 0.3 * 0.144 * 0.12,
                "message_usd": 3.6e-9,
            },
            rel=1e-9,
        )
    )
    assert price.finality_us[SINGAPORE, FRANKFURT] == round(final_s * 1e6)
    assert price.dispute_us[SINGAPORE, FRANKFURT] == round(lasting_s * 1e6)


def test_no_protocol_costs_its_receipt_and_the_capital_and_time_of_one_trip() -> None:
    terms = of_frankfurt_in_singapore(Unverified())
    assert {name for name, usd in terms.items() if usd} == {
        "capital_usd",
        "latency_usd",
        "message_usd",
    }
    assert terms["latency_usd"] == pytest.approx(0.5 * 0.158 * 0.002, rel=1e-12)


def test_a_window_costs_capital_as_on_paper() -> None:
    # VO15: 1,100 USD for 7 days at 10 % are 2.110 USD, for an hour 0.0126; work and trip are extra.
    week, hour, none = (
        price(Optimistic(window_us=window_s * USD), stake=1_100 * USD).capital_usd
        for window_s in (7 * 86_400, 3_600, 0)
    )
    assert week - none == pytest.approx(np.full((2, 2), 2.110), abs=5e-4)
    assert hour - none == pytest.approx(np.full((2, 2), 0.0126), abs=5e-5)


def test_sampling_costs_what_an_audit_policy_costs_where_both_speak() -> None:
    policy = AuditPolicy(
        audit_probability=0.15,
        audit_share=0.10,
        audit_detection=1.0,
        audit_bytes=0.5e9,
        stake_multiple=4.0,
        capital_rate_per_year=0.10,
        receipt_cpu_s=100e-6,
        core_usd_per_hour=0.036,
        wrong_share=0.001,
        dispute_rounds=11,
        dispute_response_s=1.0,
    )
    audit = audit_premium(PLACES, policy, work_s=600.0, reward_usd=0.75)
    posp = price(ProofOfSampling())
    assert posp.audit_usd == pytest.approx(audit.audit_usd, rel=1e-12)
    assert posp.transfer_usd == pytest.approx(audit.transfer_usd, rel=1e-12)
    assert posp.capital_usd == pytest.approx(audit.capital_usd, rel=1e-9)
    # The policy leaves the replay of a segment out, and counts one way of no waiting.
    assert (posp.dispute_usd > audit.dispute_usd).all()


@every_protocol
def test_every_term_is_printed_even_where_it_is_zero(protocol: VerificationProtocol) -> None:
    each = price(protocol)
    assert list(each.terms()) == [
        "compute_usd",
        "audit_usd",
        "taxes_usd",
        "dispute_usd",
        "capital_usd",
        "latency_usd",
        "transfer_usd",
        "message_usd",
    ]
    assert all(usd.shape == (2, 2) and (usd >= 0.0).all() for usd in each.terms().values())
    assert each.total_usd == pytest.approx(sum(each.terms().values()), rel=1e-12)


@every_protocol
def test_an_honest_market_pays_for_no_dispute(protocol: VerificationProtocol) -> None:
    honest = price(protocol, charges=replace(CHARGES, wrong_share=0.0))
    assert not honest.dispute_usd.any()
    rare = price(protocol)
    assert (rare.dispute_usd < rare.total_usd / 100.0).all()


@every_protocol
@repeatable
@given(factor=st.floats(1.01, 10.0))
def test_farther_is_never_cheaper_nor_sooner(protocol: VerificationProtocol, factor: float) -> None:
    near = price(protocol)
    far = price(protocol, places=replace(PLACES, rtt_ms=PLACES.rtt_ms * factor))
    assert all((usd <= far.terms()[name] * (1 + 1e-9)).all() for name, usd in near.terms().items())
    assert (far.latency_usd > near.latency_usd).all()
    assert (far.finality_us > near.finality_us).all()


@every_protocol
@repeatable
@given(multiple=st.integers(2, 20))
def test_a_stake_raises_capital_and_nothing_but_the_dispute_with_it(
    protocol: VerificationProtocol, multiple: int
) -> None:
    less, more = price(protocol), price(protocol, stake=multiple * STAKE)
    assert more.capital_usd == pytest.approx(multiple * less.capital_usd, rel=1e-12)
    assert (more.dispute_usd >= less.dispute_usd).all()
    for name in set(less.terms()) - {"capital_usd", "dispute_usd"}:
        assert (less.terms()[name] == more.terms()[name]).all()


def test_a_levy_is_the_tax_and_bytes_pay_no_egress_at_home() -> None:
    assert (price(ProofOfSampling(levy_micro_usd=250)).taxes_usd == 0.00025).all()
    transfer = price(ProofOfSampling()).transfer_usd
    assert transfer.diagonal().tolist() == [0.0, 0.0]
    # 0.15 x 0.5 GB x 0.12 USD/GB out of Singapore
    assert transfer[SINGAPORE, FRANKFURT] == pytest.approx(0.009, rel=1e-12)


def test_a_share_above_one_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"wrong_share must be from 0 to 1, got 1\.5"):
        replace(CHARGES, wrong_share=1.5)

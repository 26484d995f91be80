"""Pay-offs out of ledgers, and what votes on them do."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from hanse.agents.council import Safeguards
from hanse.agents.model import ComputeMarket
from hanse.market.accounts.concentration import herfindahl
from hanse.market.accounts.money import FEE, INVOICE, PAYOUT, TO_TREASURY, TO_VERIFIER
from hanse.market.accounts.structure import WEAKEST, job_worth_usd, read_structure
from hanse.market.regime import AUDITED_MARKET, CENTRAL, MARKET, Regime
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.measuring.measures import Measured, measure
from hanse.scenarios.studies.governance import (
    Constitution,
    capture_map,
    draw_capture,
    hold_votes,
    seat,
)
from hanse.scenarios.studies.interests import Interests, read_interests
from hanse.scenarios.studies.payoffs import payoffs_of
from tests.small_runs import tiny

TEMPTED = {
    "verification.temptation_share": 0.5,
    "verification.audit_probability": 0.4,
    "verification.stake_multiple": 0.1,
    "verification.saved_share": 1.0,
}
REGIMES = pytest.mark.parametrize("regime", [CENTRAL, MARKET, AUDITED_MARKET])


def measured(regime: Regime, seed: int = 3) -> Measured:
    world = draw_world(tiny().replace(TEMPTED), seed)
    model = ComputeMarket(world, regime, with_agents=False)
    return measure(world, model.run_to_horizon())


@pytest.fixture(scope="module")
def audited() -> Measured:
    return measured(AUDITED_MARKET)


def paper(
    payoff: list[list[float]], *, treasury: tuple[float, ...] = (), group: tuple[int, ...] = (0, 1)
) -> Interests:
    """Write down interests of one world by hand; welfare is what all have together."""
    own = np.array(payoff)[:, None, :]
    pot = np.array(treasury or [0.0] * len(payoff))[:, None]
    return Interests(
        parameter="audit rate",
        values=tuple(float(k) for k in range(len(payoff))),
        status_quo=0,
        group=np.array(group),
        payoff_usd=own,
        treasury_usd=pot,
        welfare_usd=own.sum(axis=2) + pot,
        turnover_usd=np.ones(len(group)),
    )


@REGIMES
def test_what_everybody_has_adds_up_to_welfare(regime: Regime) -> None:
    run = measured(regime)
    welfare_usd = float(run.welfare.welfare_usd.sum())
    assert payoffs_of(run).total == pytest.approx(welfare_usd, abs=1e-9)


@REGIMES
def test_the_worth_of_jobs_adds_up_to_the_value_of_welfare(regime: Regime) -> None:
    run = measured(regime)
    value_usd = float(run.welfare.value_usd.sum())
    assert job_worth_usd(run.ledger).sum() == pytest.approx(value_usd, abs=1e-9)


def test_payments_read_from_records_are_those_of_the_postings(audited: Measured) -> None:
    payoffs, posted = payoffs_of(audited), audited.postings
    usd = posted.amount_micro_usd / 1e6
    paid = usd[np.isin(posted.kind, (INVOICE, PAYOUT))].sum()
    assert (posted.kind == TO_VERIFIER).any()
    assert payoffs.owner_paid.sum() == pytest.approx(paid)
    assert payoffs.buyer_paid.sum() == pytest.approx(paid + usd[posted.kind == FEE].sum())
    assert payoffs.treasury == pytest.approx(usd[posted.kind == TO_TREASURY].sum())
    assert payoffs.treasury > 0


def test_holdings_are_read_from_the_ledger_and_each_is_all_there_is(audited: Measured) -> None:
    world, ledger = audited.world, audited.ledger
    found = read_structure(
        ledger,
        n_owners=len(world.fleet.owner),
        n_verifiers=len(world.verifier_region),
        verifier=world.workload.stage_verifier,
    )
    nodes = np.bincount(world.fleet.node_owner, minlength=len(world.fleet.owner))
    assert found.holdings["capacity"] == pytest.approx(nodes * world.horizon_us / US_PER_S)
    assert found.holdings["routed value"].sum() == pytest.approx(job_worth_usd(ledger).sum())
    assert found.holdings["verification"].sum() > 0
    rows = {(name, measure): value for name, measure, _, value in found.rows()}
    assert rows["capacity", "hhi"] == pytest.approx(herfindahl(nodes.astype(float)))
    held = [rows[name, "nakamoto_half"] for name in found.holdings]
    assert rows[WEAKEST, "nakamoto_half"] == min(held)


def test_one_hub_is_all_of_routing_and_venues_are_not() -> None:
    routing = {}
    for name, regime in (("hub", CENTRAL), ("venues", MARKET)):
        run = measured(regime)
        verifier = run.world.workload.stage_verifier
        n_owners = len(run.world.fleet.owner)
        found = read_structure(run.ledger, n_owners=n_owners, n_verifiers=8, verifier=verifier)
        routing[name] = herfindahl(found.holdings["routing"])
    assert routing["hub"] == 10_000.0
    assert routing["venues"] < 5_000.0


@REGIMES
def test_a_fee_moves_money_to_the_treasury_and_changes_nothing_real(regime: Regime) -> None:
    found = read_interests(
        tiny(), "fee", (0.0, 0.1, 0.5), seeds=[1, 2], regime=regime, workers=1
    ).of_group()
    assert found["welfare"].nunique() == 1
    assert found["buyers"].nunique() == 1
    assert found["treasury"].is_monotonic_increasing
    whole = found["owners"] + found["treasury"]
    assert whole.to_numpy() == pytest.approx(whole[0])


def test_interests_differ_only_by_what_the_parameter_does() -> None:
    scenario = tiny().replace(TEMPTED)
    found = read_interests(
        scenario, "audit rate", (0.4, 0.4, 0.0), seeds=[3, 4], regime=AUDITED_MARKET, workers=1
    )
    assert (found.payoff_usd[0] == found.payoff_usd[1]).all()
    assert (found.payoff_usd[0] != found.payoff_usd[2]).any()
    assert found.payoff_usd.shape == (3, 2, len(found.group))


def test_equal_power_shows_no_capture() -> None:
    # All have a little to win by value 1; by value 2 the first takes from the others and more is
    # lost. With equal stake nobody decides alone, and the best value is voted.
    interests = paper([[1, 1, 1], [2, 2, 2], [4, 0, 0]], group=(0, 1, 1))
    equal = Constitution(initial_share=0.25, insiders="owners", holdings="heads")
    votes = hold_votes(interests, equal, n_votes=20)
    assert (votes["voted"] == 1.0).all()
    assert (votes["rent_usd"] == 0.0).all()
    assert (votes["transfer_usd"] == 0.0).all()
    assert votes["power"].to_numpy() == pytest.approx(0.25)


def test_a_majority_of_initial_capital_captures_and_rent_and_transfer_are_apart() -> None:
    interests = paper([[1, 1, 1], [2, 2, 2], [4, 0, 0]], group=(0, 1, 1))
    captured = Constitution(initial_share=0.6, insiders="owners", holdings="heads")
    votes = hold_votes(interests, captured, n_votes=20)
    assert (votes["voted"] == 2.0).all()
    # Welfare falls from 6 to 4; the insiders go from 2 to 4. The two are not added.
    assert (votes["rent_usd"] == 2.0).all()
    assert (votes["transfer_usd"] == 2.0).all()
    assert (votes["power"] == 1.0).all()


def test_a_pure_transfer_has_no_rent_however_it_is_voted() -> None:
    interests = paper([[2, 2], [1, 2]], treasury=(0.0, 1.0))
    assert interests.welfare_usd[:, 0].tolist() == [4.0, 4.0]
    votes = hold_votes(interests, Constitution(initial_share=0.8), n_votes=10)
    assert (votes["voted"] == 1.0).all()
    assert (votes["rent_usd"] == 0.0).all()
    assert votes["transfer_usd"].to_numpy() == pytest.approx(0.8)


def test_low_turnout_and_delegation_to_insiders_give_a_minority_the_power_of_a_majority() -> None:
    interests = paper([[1] * 9, [1.5] * 9, [5] + [0] * 8], group=(0, *[1] * 8))
    few = Constitution(initial_share=0.3, insiders="owners", holdings="heads")
    shy = replace(few, turnout=0.1)
    lazy = replace(few, delegated_share=0.9, delegates_to="insiders")
    power = [hold_votes(interests, one, n_votes=40)["power"].mean() for one in (few, shy, lazy)]
    assert power[0] < 0.5
    assert min(power[1:]) > 0.7


def test_safeguards_lower_the_map_of_capture_and_the_map_can_be_drawn() -> None:
    interests = paper([[1] * 9, [1.5] * 9, [5] + [0] * 8], group=(0, *[1] * 8))
    plain = Constitution(insiders="owners", holdings="heads")
    capped = replace(plain, safeguards=Safeguards(cap_share=0.1))
    mapped = capture_map(
        interests, {"plain": plain, "capped": capped}, initial_shares=(0.0, 0.3, 0.6), n_votes=20
    )
    rent = mapped.pivot_table(index="initial_share", columns="constitution", values="rent_usd")
    # 9 voters have 13.5 at best and 5 where it is captured.
    assert rent["plain"].tolist() == [0.0, 0.0, 8.5]
    assert rent["capped"].tolist() == [0.0, 0.0, 0.0]
    assert mapped["captured_share"].tolist() == [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    assert isinstance(draw_capture(mapped), Figure)


def test_stake_follows_heads_or_turnover_and_a_seat_is_the_last() -> None:
    interests = replace(paper([[1, 1], [2, 0]]), turnover_usd=np.array([3.0, 1.0]))
    half = Constitution(initial_share=0.5)
    assert seat(interests, half, np.array([0])).stake.tolist() == [0.375, 0.125, 0.5]
    heads = replace(half, holdings="heads")
    assert seat(interests, heads, np.array([0])).stake.tolist() == [0.25, 0.25, 0.5]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"initial_share": 1.1}, "initial_share"),
        ({"insiders": "kings"}, "insiders must be one of"),
        ({"holdings": "birth"}, "holdings must be one of"),
        ({"delegates_to": "nobody"}, "delegates_to must be one of"),
    ],
)
def test_a_constitution_out_of_bounds_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Constitution(**wrong)  # type: ignore[arg-type]


def test_what_is_no_parameter_of_a_council_is_refused() -> None:
    with pytest.raises(ValueError, match="parameter must be one of fee, audit rate"):
        read_interests(tiny(), "weather", (0.0,), seeds=[1])
    with pytest.raises(ValueError, match="at least one candidate"):
        read_interests(tiny(), "fee", (), seeds=[1])


def test_what_everybody_has_adds_up_to_welfare_where_work_fails_and_nodes_break() -> None:
    failing = {
        "failure.call_error_share": 0.3,
        "failure.breakdowns_per_day": 100.0,
        "failure.breakdown_s": 60.0,
    }
    world = draw_world(tiny().replace(TEMPTED | failing), 3)
    run = measure(world, ComputeMarket(world, AUDITED_MARKET, with_agents=False).run_to_horizon())
    welfare_usd = float(run.welfare.welfare_usd.sum())
    assert payoffs_of(run).total == pytest.approx(welfare_usd, abs=1e-9)

"""Token emissions: whole tokens, a subsidy that holders pay, and an account apart from welfare."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.market.exchange import emissions
from hanse.market.exchange.emissions import Emission, hand_out
from hanse.market.regime import ladder, regimes
from hanse.scenarios.draw import draw_world
from hanse.scenarios.run import run_world
from hanse.scenarios.studies.emissions import emission_of, token_emissions
from tests.small_runs import tiny, where_tables_differ

repeatable = settings(derandomize=True, deadline=None, max_examples=200, database=None)
RUNGS = [ladder[0], ladder[6]]


def test_the_example_holds() -> None:
    assert doctest.testmod(emissions).failed == 0


@repeatable
@given(
    emitted=st.integers(0, 10**9),
    supply=st.integers(1, 10**9),
    burned=st.floats(0, 1),
    worth=st.floats(0, 1e6),
    weight=st.lists(st.integers(0, 10**12), min_size=1, max_size=8),
)
def test_no_token_and_no_dollar_is_made(
    emitted: int, supply: int, burned: float, worth: float, weight: list[int]
) -> None:
    rule = Emission(supply=supply, emitted=emitted, burned_share=burned, worth_usd=worth)
    account = hand_out(rule, np.array(weight))
    assert account.tokens.sum() + account.burned == emitted
    assert account.subsidy_micro_usd.sum() == account.diluted_micro_usd
    assert (account.tokens >= 0).all()
    left = (supply + account.tokens.sum()) * account.price_after_usd
    assert left == pytest.approx(worth)


def test_a_doubled_supply_takes_half_of_what_holders_had() -> None:
    account = hand_out(
        Emission(supply=100, emitted=100, burned_share=0.0, worth_usd=10.0), np.array([1, 3])
    )
    assert account.subsidy_micro_usd.tolist() == [1_250_000, 3_750_000]
    assert account.price_after_usd == account.price_before_usd / 2


def emitting(**changes: float | str) -> dict[str, float | str]:
    """Emit enough for it to matter within five minutes."""
    dotted = {f"emission.{key}": value for key, value in changes.items()}
    return {"emission.share_per_year": 0.5, "emission.supply_worth_usd": 1e6, **dotted}


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_what_is_burned_is_no_subsidy(share: float) -> None:
    scenario = tiny().replace(emitting(burned_share=share))
    runs = token_emissions(scenario, seeds=[0], regimes=RUNGS, workers=1).runs
    whole = emission_of(scenario).emitted
    assert runs["burned"].tolist() == [round(whole * share)] * 2
    kept = whole - round(whole * share)
    assert runs["dilution_share"].tolist() == pytest.approx([kept / (10**9 + kept)] * 2)


@pytest.mark.parametrize("rule", ["capacity", "work", "payment"])
def test_subsidies_change_no_payoff_in_sum_and_no_welfare(rule: str) -> None:
    off = token_emissions(tiny(), seeds=[1], regimes=RUNGS, workers=1)
    on = token_emissions(tiny().replace(emitting(rule=rule)), seeds=[1], regimes=RUNGS, workers=1)
    assert on.runs["welfare_usd"].tolist() == off.runs["welfare_usd"].tolist()
    assert on.owners["payoff_usd"].tolist() == off.owners["payoff_usd"].tolist()
    assert on.runs["subsidy_usd"].tolist() == pytest.approx(on.runs["diluted_usd"].tolist())
    assert (on.runs["subsidy_usd"] > 0).all()
    assert (off.runs["subsidy_usd"] == 0).all()


def test_fakes_are_paid_for_standing_and_for_work_that_nobody_checks() -> None:
    faked = tiny().replace({"shock.fakes_per_node": 3.0} | emitting())
    standing = token_emissions(faked, seeds=[2], regimes=RUNGS, workers=1).runs
    assert standing["false_share"].tolist() == [0.75, 0.75]
    by_work = {"emission.rule": "work", "verification.audit_probability": 1.0}
    working = token_emissions(
        faked.replace(by_work), seeds=[2], regimes=[ladder[6], ladder[7]], workers=1
    ).runs
    unaudited, audited = working["false_share"]
    assert unaudited > 0.5
    assert audited == 0.0


def test_emission_changes_nothing_that_runs() -> None:
    one, two = (
        run_world(draw_world(each, 2), regimes["market"], digest="-").tables
        for each in (tiny(), tiny().replace(emitting()))
    )
    assert where_tables_differ(one, two) == []

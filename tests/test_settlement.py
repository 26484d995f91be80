"""Settlements: no money is made, none is lost, and whoever is honest is never charged."""

import doctest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.verification import settlement
from hanse.verification.settlement import (
    BURN,
    PPM,
    TREASURY,
    Case,
    Rules,
    settle,
    settlement_message,
)

BUYER, *PARTIES = (bytes([n]) * 32 for n in range(1, 8))
repeatable = settings(derandomize=True, deadline=None, max_examples=200, database=None)
amounts = st.integers(0, 10**15)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    locked = {who: draw(amounts) for who in PARTIES if draw(st.booleans())}
    roles = {who: draw(st.sampled_from(["guilty", "winner", "neither"])) for who in PARTIES}
    guilty = frozenset(who for who in PARTIES if roles[who] == "guilty")
    due = {who: draw(amounts) for who in PARTIES if who not in guilty and draw(st.booleans())}
    return Case(
        buyer=BUYER,
        due=due | {TREASURY: draw(amounts)},
        locked=locked,
        guilty=guilty,
        winners=frozenset(who for who in PARTIES if roles[who] == "winner"),
    )


rules = st.builds(Rules, winners_ppm=st.integers(0, PPM), burn_ppm=st.integers(0, PPM))


@repeatable
@given(case=cases(), rules=rules)
def test_money_is_moved_and_never_made(case: Case, rules: Rules) -> None:
    settled = settle(case, rules)
    assert sum(settled.values()) == 0
    assert settled[BUYER] == -sum(case.due.values())
    assert all(settled.get(who, 0) == -case.locked.get(who, 0) for who in case.guilty)
    assert all(settled.get(who, 0) >= 0 for who in PARTIES if who not in case.guilty)
    shares = {settled[who] - case.due.get(who, 0) for who in case.winners}
    assert len(shares) <= 1


@repeatable
@given(case=cases(), rules=rules)
def test_what_is_signed_is_what_was_settled(case: Case, rules: Rules) -> None:
    settled = settle(case, rules)
    message = settlement_message(bytes(32), bytes(32), settled)
    signed = dict(zip(message.accounts, message.amounts_micro_usd, strict=True))
    assert signed == {who: amount for who, amount in settled.items() if amount}


def test_three_winners_share_half_of_two_stakes_and_the_treasury_keeps_the_rest() -> None:
    solver, liar, *winners = PARTIES[:5]
    case = Case(
        buyer=BUYER,
        due=dict.fromkeys(winners, 70),
        locked={solver: 400, liar: 41, winners[0]: 400},
        guilty=frozenset({solver, liar}),
        winners=frozenset(winners),
    )
    settled = settle(case, Rules(burn_ppm=250_000))
    # Pot 441, half of it 220, a third of that 73; of the 222 left a quarter is burned.
    assert [settled[who] for who in winners] == [143, 143, 143]
    assert (settled[solver], settled[liar], settled[BUYER]) == (-400, -41, -210)
    assert (settled[TREASURY], settled[BURN]) == (167, 55)


def test_nothing_is_due_to_the_guilty_and_no_amount_is_negative() -> None:
    who = PARTIES[0]
    for wrong in (
        {"due": {who: 1}, "guilty": frozenset({who})},
        {"winners": frozenset({who}), "guilty": frozenset({who})},
        {"due": {who: -1}},
        {"locked": {who: -1}},
    ):
        fields = {
            "buyer": BUYER,
            "due": {},
            "locked": {},
            "guilty": frozenset(),
            "winners": frozenset(),
        }
        with pytest.raises(ValueError, match="must be at least 0, got -1|nothing may be due"):
            Case(**{**fields, **wrong})


@pytest.mark.parametrize("name", ["winners_ppm", "burn_ppm"])
@pytest.mark.parametrize("ppm", [-1, PPM + 1])
def test_no_share_is_negative_or_more_than_all(name: str, ppm: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be from 0 to 1000000, got {ppm}"):
        Rules(**{name: ppm})


def test_half_of_a_stake_is_the_finders_to_the_micro_dollar() -> None:
    cheat, finder = PARTIES[:2]
    case = Case(
        buyer=BUYER,
        due={},
        locked={cheat: 2 * PPM},
        guilty=frozenset({cheat}),
        winners=frozenset({finder}),
    )
    settled = settle(case, Rules())
    assert (settled[finder], settled[TREASURY], settled[BURN]) == (PPM, PPM, 0)


def test_the_example_of_the_docstring_is_so() -> None:
    assert doctest.testmod(settlement).failed == 0

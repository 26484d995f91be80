"""Reservations that are sold on: who sells, to whom, at what price, and what idles after."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.agents import reselling
from hanse.agents.reselling import resell, worth_of_units
from hanse.scenarios.scenario import Scenario, load
from hanse.scenarios.seasons.play import play_seasons
from tests.idle_holdings import idle_while_held

repeatable = settings(derandomize=True, deadline=None, max_examples=200, database=None)


def test_the_examples_hold() -> None:
    assert doctest.testmod(reselling).failed == 0


def test_a_unit_goes_from_where_it_is_spare_to_where_it_is_short() -> None:
    # Needs are known. The first holds 5 and needs 2, the second holds 1 and needs 3; a lacking unit
    # loses 8 USD, a spare one costs 1. Asks 8, 8, 3.5 (as likely as not), 0, 0 and 8; bids 8, 8.
    sale = resell(
        np.array([5, 1]),
        need=np.array([2.0, 3.0]),
        sd=np.zeros(2),
        shortage_usd=np.full(2, 8.0),
        price_usd=np.full(2, 1.0),
    )
    assert sale.moved.tolist() == [-2, 2]
    assert sale.held.tolist() == [3, 3]
    # Six asks: between the sixth and the seventh largest of 8, 8, 8, 8, 8, 3.5, 0, 0.
    assert sale.price_usd == 1.75


def test_where_nobody_is_short_nothing_is_sold() -> None:
    sale = resell(
        np.array([5, 4]),
        need=np.array([2.0, 3.0]),
        sd=np.zeros(2),
        shortage_usd=np.full(2, 1.0),
        price_usd=np.full(2, 9.0),
    )
    assert sale.moved.tolist() == [0, 0]
    assert np.isnan(sale.price_usd)


@repeatable
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 6), st.floats(0, 8), st.floats(0, 3), st.floats(0, 20)),
        min_size=1,
        max_size=6,
    ),
    price=st.floats(0, 5),
)
def test_resale_moves_units_and_makes_none_and_nobody_loses_by_it(
    rows: list[tuple[int, float, float, float]], price: float
) -> None:
    held, need, sd, short = (np.array(column) for column in zip(*rows, strict=True))
    paid = np.full(len(rows), price)
    sale = resell(held, need=need, sd=sd, shortage_usd=short, price_usd=paid)
    assert sale.held.sum() == held.sum()
    assert (sale.held >= 0).all()

    def expected(units: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        """Add up what each expects of the units that it holds."""
        count = np.arange(int(units.max(initial=0)))[None, :] * np.ones((len(rows), 1))
        columns = {"need": need, "sd": sd, "shortage_usd": short, "price_usd": paid}
        worth = worth_of_units(count, **{name: of[:, None] for name, of in columns.items()})
        return np.asarray((worth * (count < units[:, None])).sum(axis=1))

    if sale.sold_units:
        gain = expected(sale.held) - expected(held) - sale.moved * sale.price_usd
        assert (gain >= -1e-6).all()


def reserving(**changes: object) -> Scenario:
    """Make the scenario of hoarding small."""
    small = {
        "fleet.nodes": 60,
        "load.model_calls": 500,
        "load.batch_jobs": 60,
        "measurement.displacement_instants": 32,
    }
    return load("hoarding").replace(
        small | {f"institutions.{name}": value for name, value in changes.items()}
    )


def test_without_a_market_for_reservations_none_is_sold() -> None:
    played = play_seasons(reserving(), "reserved", n_seasons=3, seed=1)
    assert (played.path("resold_units") == 0).all()
    assert played.path("resale_price_usd").isna().all()


def test_units_that_are_sold_on_are_as_many_as_are_bought() -> None:
    played = play_seasons(reserving(resale_market=True), "reserved", n_seasons=4, seed=1)
    assert played.path("resold_units").iloc[1:].sum() > 0
    assert (played.buyers.groupby("season")["resold_units"].sum() == 0).all()
    traded = played.path("resold_units") > 0
    assert (played.path("resale_price_usd")[traded] >= 0.0).all()


def test_seasons_are_played_where_owners_charge_for_egress() -> None:
    charged = reserving().replace({"fleet.egress_pricing": "owners"})
    played = play_seasons(charged, "central", n_seasons=3, seed=1)
    assert played.path("units").gt(0).all()


@pytest.mark.slow
def test_a_better_idea_of_need_lets_a_resale_leave_less_idle() -> None:
    """Five errors of the idea; the worst is as good as none, and leaves most."""
    idle = [
        idle_while_held(reserving(resale_market=True, need_signal_error=error), n_seasons=5)
        for error in (0.0, 0.25, 0.5, 1.0, 3.0)
    ]
    assert idle[0] < idle[-1]

"""Shares of the coordination loss: they add up, and a friction that does nothing has none."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.market.regime import Pricing, ladder
from hanse.scenarios.draw import draw_world
from hanse.scenarios.scenario import load
from hanse.scenarios.studies.attribution import FRICTIONS, STRUCTURE, attribute, shapley_values
from hanse.scenarios.yardstick import measure_yardstick

SMALL = {"fleet.nodes": 30, "load.model_calls": 100, "load.batch_jobs": 8}
RUNGS = {rung.name: rung for rung in ladder}


def games(n_players: int) -> st.SearchStrategy[dict[frozenset[int], float]]:
    coalitions = [
        frozenset(members)
        for size in range(n_players + 1)
        for members in combinations(range(n_players), size)
    ]
    worth = st.floats(-1e3, 1e3)
    return st.fixed_dictionaries(dict.fromkeys(coalitions, worth))


@given(game=games(4))
def test_shares_add_up_to_the_worth_of_all(game: dict[frozenset[int], float]) -> None:
    gain = game[frozenset(range(4))] - game[frozenset()]
    assert sum(shapley_values(game, 4)) == pytest.approx(gain, abs=1e-9)


@given(game=games(3), adds=st.floats(-1e3, 1e3))
def test_a_player_that_always_adds_the_same_gets_just_that(
    game: dict[frozenset[int], float], adds: float
) -> None:
    with_fourth = {on | {3}: worth + adds for on, worth in game.items()} | game
    shares = shapley_values(with_fourth, 4)
    assert shares[3] == pytest.approx(adds, abs=1e-9)
    assert shares[:3] == pytest.approx(shapley_values(game, 3), abs=1e-9)


def test_players_who_are_alike_get_alike() -> None:
    worth = {0: 0.0, 1: 1.0, 2: 5.0, 3: 6.0}
    game = {frozenset(on): worth[size] for size in range(4) for on in combinations(range(3), size)}
    assert shapley_values(game, 3) == pytest.approx([2.0, 2.0, 2.0])


def test_the_shares_of_a_regime_s_loss_add_up_in_every_world_and_cheats_have_theirs() -> None:
    scenario = load("baseline").replace(SMALL)
    names = ("distance", "interval", "cheating")
    found = attribute(scenario, RUNGS["venues"], seeds=[0, 1], frictions=names, workers=1)
    assert found.shares["friction"].tolist() == [*names, STRUCTURE]
    alone = attribute(scenario, RUNGS["venues"], seeds=[0, 1], frictions=(), workers=1)
    # What is left with all off differs from what is left with none switched: that is the shares.
    assert alone.by_world.shape == (2, 1)
    assert found.by_world.sum(axis=1) == pytest.approx(alone.by_world[:, 0], rel=1e-12)
    cheating = found.by_world[:, names.index("cheating")]
    assert (cheating > 0).all()


def test_a_friction_that_is_off_already_has_no_share() -> None:
    scenario = load("baseline").replace(SMALL | {"verification.temptation_share": 0.0})
    found = attribute(
        scenario, RUNGS["venues"], seeds=[0], frictions=("cheating", "refresh"), workers=1
    )
    assert found.by_world[0, 0] == 0.0
    assert found.by_world[0, 1] != 0.0


@pytest.mark.parametrize("name", ["welfare-rule", "dynamic-central", "venues"])
def test_without_any_friction_a_welfare_rung_with_held_units_loses_nothing(name: str) -> None:
    free_capital = {"resources.capital_rate_per_year": 0.0, "load.hold_share": 1.0}
    scenario = load("baseline").replace(SMALL | free_capital)
    found = attribute(scenario, RUNGS[name], seeds=[0, 1], workers=1)
    assert np.abs(found.by_world[:, -1]).max() < 1e-9 * np.abs(found.by_world).max()


def test_venues_lose_by_their_structure_where_units_are_released_while_data_move() -> None:
    scenario = load("baseline").replace({"resources.capital_rate_per_year": 0.0})
    held, released = (
        attribute(
            scenario.replace({"load.hold_share": share}),
            RUNGS["venues"],
            seeds=[0],
            frictions=("distance", "refresh", "interval"),
            workers=1,
        ).by_world[0, -1]
        for share in (1.0, 0.0)
    )
    assert released > held


def test_the_reference_is_the_same_with_any_friction_off() -> None:
    world = draw_world(load("baseline").replace(SMALL), 0)
    as_it_is = measure_yardstick(world).reference_usd.tolist()
    for changes in FRICTIONS.values():
        without = replace(world, terms=replace(world.terms, **changes))
        assert measure_yardstick(without).reference_usd.tolist() == as_it_is


def test_an_unknown_friction_is_named() -> None:
    with pytest.raises(ValueError, match="friction must be one of distance.*got 'distanz'"):
        attribute(load("baseline"), ladder[0], seeds=[0], frictions=["distanz"])
    assert set(FRICTIONS) == {"distance", "service", "refresh", "interval", "cheating"}


def test_a_loss_that_means_nothing_is_shared_among_no_frictions() -> None:
    as_bid = replace(RUNGS["market"].regime, pricing=Pricing.PAY_AS_BID)
    honest = replace(RUNGS["market"], name="honest", regime=as_bid)
    with pytest.raises(ValueError, match="must tell its welfare, got honest with truthful"):
        attribute(load("baseline"), honest, seeds=[0])

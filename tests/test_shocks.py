"""Shocks: off they change nothing, each acts through the world, and more of it does more."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from hanse.agents.model import ComputeMarket
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import (
    AWAITING_CLEARING,
    CHEATED,
    DISPATCHED,
    DOWN,
    IN_FLIGHT,
    QUEUED,
    UNMATCHED,
)
from hanse.market.regime import AUDITED_MARKET, CENTRAL, Regime, ladder
from hanse.market.units import US_PER_S
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.shocks import fake_share, round_trips_left
from hanse.scenarios.measuring.measures import measure
from hanse.scenarios.scenario import Scenario, ScenarioError, Value, load
from hanse.scenarios.studies.shocks import (
    FROM_THE_START,
    MEASURES,
    SHOCKS,
    calm,
    draw_effects,
    shock_effects,
)
from tests.project_files import PROJECT
from tests.test_institution_doses import follows

SMALL: dict[str, Value] = {
    "fleet.nodes": 60,
    "load.model_calls": 600,
    "load.batch_jobs": 40,
    "measurement.displacement_instants": 16,
}
RUNGS = (ladder[0], ladder[-1])
Regimes = tuple[Regime, ...]


def small(name: str, **more: Value) -> Scenario:
    """Return a scenario of the library on a small fleet, with some values of `shock` set."""
    changes = {f"shock.{key}": value for key, value in more.items()}
    return load(name).replace({**SMALL, **changes})


def finished(world: World, regime: Regime = CENTRAL) -> Ledger:
    """Run a world to its horizon."""
    return ComputeMarket(world, regime, with_agents=False).run_to_horizon()


def before(ledger: Ledger, at_us: int) -> list[tuple[int, ...]]:
    """List what units were occupied with before an instant."""
    row = ledger.record[ledger.record["accepted_us"] < at_us]
    return [(int(r["stage"]), int(r["unit"]), int(r["accepted_us"])) for r in row]


@pytest.mark.parametrize("name", SHOCKS)
def test_without_its_shock_a_scenario_draws_the_world_that_it_would_draw_unstruck(
    name: str,
) -> None:
    scenario = small(name)
    digest = draw_world(calm(scenario), 2).digest()
    assert digest != draw_world(scenario, 2).digest()
    unstruck = [key for key in scenario.values if key.startswith("shock.")]
    assert {key: calm(scenario).values[key] for key in unstruck} == {
        key: load("baseline").values[key] for key in unstruck
    }


def test_shocks_of_size_zero_draw_the_world_without_them() -> None:
    calm_digest = draw_world(small("baseline"), 2).digest()
    for nothing in (
        {"down_owner": "google", "down_share": 0.0},
        {"down_owner": "google", "down_s": 0.0},
        {"down_class": "h100", "down_share": 0.0},
        {"surge_jobs": 0, "surge_s": 1.0},
        {"cable_from": ("nl-ams",), "cable_to": ("in-bom",)},
        {"cable_share": 1.0},
        {"fakes_per_node": 0.0},
        {"ring_share": 0.0},
    ):
        assert draw_world(small("baseline", **nothing), 2).digest() == calm_digest


def test_an_outage_takes_every_node_of_its_owner_down_for_its_time_and_no_other() -> None:
    world = draw_world(small("hyperscaler-outage"), 2)
    mishaps, fleet = world.mishaps, world.fleet
    google = np.flatnonzero(fleet.node_owner == fleet.owner.index("google"))
    assert mishaps.breakdown_node.tolist() == google.tolist()
    assert set(mishaps.breakdown_from_us.tolist()) == {1200 * US_PER_S}
    assert set(mishaps.breakdown_until_us.tolist()) == {2400 * US_PER_S}
    record = finished(world).record
    down = record[record["outcome"] == DOWN]
    assert sorted(down["unit"].tolist()) == google.tolist()


def test_independent_owners_go_down_as_one() -> None:
    world = draw_world(small("baseline", down_owner="independent"), 2)
    names = {world.fleet.owner[world.fleet.node_owner[n]] for n in world.mishaps.breakdown_node}
    assert len(names) > 1
    assert all(name.startswith("independent-") for name in names)


def test_a_cut_of_one_class_leaves_the_other_vendor_alone() -> None:
    world = draw_world(small("supply-cut", down_share=1.0), 2)
    struck = world.fleet.node_class[world.mishaps.breakdown_node]
    assert set(struck.tolist()) == {0}
    assert len(struck) == int((world.fleet.node_class == 0).sum())
    assert (world.mishaps.breakdown_until_us > world.horizon_us).all()


def test_what_a_larger_share_strikes_contains_what_a_smaller_one_does() -> None:
    struck = [
        set(
            draw_world(
                small("baseline", down_class="h100", down_share=share), 2
            ).mishaps.breakdown_node.tolist()
        )
        for share in (0.1, 0.3, 0.5, 0.7, 1.0)
    ]
    assert all(less < more for less, more in pairwise(struck))
    assert len(struck[-1]) == 60


def test_a_struck_node_that_breaks_down_as_well_is_down_once() -> None:
    scenario = small("hyperscaler-outage").replace({"failure.breakdowns_per_day": 200.0})
    mishaps = draw_world(scenario, 2).mishaps
    same = mishaps.breakdown_node[1:] == mishaps.breakdown_node[:-1]
    assert same.any()
    assert (mishaps.breakdown_from_us[1:] > mishaps.breakdown_until_us[:-1])[same].all()


@pytest.mark.parametrize("regime", [CENTRAL, AUDITED_MARKET])
def test_what_came_before_an_outage_is_as_it_was(regime: Regime) -> None:
    scenario, at_us = small("hyperscaler-outage"), 1200 * US_PER_S
    histories = []
    for asked in (calm(scenario), scenario):
        world = draw_world(asked, 2)
        histories.append(before(finished(world, regime), at_us))
    assert histories[0]
    assert histories[0] == histories[1]


def test_a_surge_adds_jobs_within_its_time_and_moves_none_of_the_others() -> None:
    calm_world = draw_world(small("baseline"), 2)
    world = draw_world(small("demand-surge", surge_jobs=200), 2)
    usual, all_of_them = (w.workload.job_arrival_us.tolist() for w in (calm_world, world))
    assert len(all_of_them) == len(usual) + 200
    added = sorted(set(all_of_them) - set(usual))
    assert len(added) >= 199  # two in one microsecond are parted, which may move one of the others
    assert added[0] >= 1200 * US_PER_S
    assert added[-1] < 1501 * US_PER_S
    work = [np.sort(w.workload.stage_work_us) for w in (calm_world, world)]
    assert np.isin(work[0], work[1]).all()


def test_a_cut_cable_sends_traffic_the_shortest_way_round() -> None:
    """Worked by hand: from region 0 to region 1 over 2 or 3, whichever is shorter."""
    regions = ("us-va", "us-ia", "us-tx", "us-or")
    rtt_ms = np.full((26, 26), 1e6)
    for a, b, ms in ((0, 1, 10.0), (0, 2, 30.0), (2, 1, 30.0), (0, 3, 20.0), (3, 1, 25.0)):
        rtt_ms[a, b] = rtt_ms[b, a] = ms
    for share, expected in ((0.0, 10.0), (0.5, 27.5), (1.0, 45.0)):
        scenario = load("baseline").replace(
            {
                "shock.cable_from": regions[:1],
                "shock.cable_to": regions[1:2],
                "shock.cable_share": share,
            }
        )
        left = round_trips_left(scenario, rtt_ms)
        assert left[0, 1] == left[1, 0] == expected
        others = np.ones((26, 26), bool)
        others[0, 1] = others[1, 0] = False
        assert (left[others] == rtt_ms[others]).all()


def test_a_cut_cable_makes_no_way_quicker_and_does_not_move_the_hub() -> None:
    worlds = [draw_world(small("cable-cut", cable_share=s), 2) for s in (0.0, 0.25, 0.5, 0.75, 1.0)]
    round_trips = [world.geography.rtt_ms for world in worlds]
    rates = [world.geography.gbps for world in worlds]
    for less, more in pairwise(round_trips):
        assert (more >= less).all()
        assert more.sum() > less.sum()
    assert all((more <= less).all() for less, more in pairwise(rates))
    assert len({world.terms.hub_region for world in worlds}) == 1


def test_the_export_rule_leaves_resident_data_at_home() -> None:
    scenario = small("export-rule")
    after, calm_law = draw_world(scenario, 2), draw_world(calm(scenario), 2).law
    assert after.law.may_serve[1].sum() < calm_law.may_serve[1].sum()
    assert (after.law.may_serve[0] == calm_law.may_serve[0]).all()


@pytest.mark.parametrize("fakes", [0.0, 0.5, 1.0, 4.0, 20.0])
def test_wrong_results_come_in_by_the_share_of_fakes(fakes: float) -> None:
    """An attempt is a coin: within four standard errors of the share of what is shown."""
    scenario = small("fake-capacity", fakes_per_node=fakes)
    world = draw_world(scenario, 2)
    assert world.fleet.n_nodes == round(60 * (1.0 + fakes))
    ledger = finished(world)
    wrong = ledger.record[ledger.work]["is_wrong"] == CHEATED
    share = fake_share(scenario)
    error = (share * (1.0 - share) / len(wrong)) ** 0.5
    assert abs(wrong.mean() - share) <= 4.0 * error


def test_a_larger_ring_lets_more_wrong_results_pass() -> None:
    """Cheats are the same at each dose (honesty never pays), so that what passes is 1 - p d."""
    passed, caught = [], []
    for ring in (0.0, 0.25, 0.5, 0.75, 1.0):
        world = draw_world(small("collusion-ring", ring_share=ring), 2)
        terms = replace(world.terms, temptation_share=0.3, saved_share=1e12)
        ledger = finished(replace(world, terms=terms), AUDITED_MARKET)
        caught.append(ledger.n_catches)
        record = ledger.record[ledger.work]
        passed.append(int((record["is_wrong"] == CHEATED).sum()) - ledger.n_catches)
        assert world.terms.audit_detection == pytest.approx(1.0 - ring)
    assert all(more < less for less, more in pairwise(caught))
    assert passed[-1] > passed[0]
    assert caught[-1] == 0


def test_longer_settlement_takes_more_control_and_never_less() -> None:
    core_us = []
    for settlement_us in (1.2, 1e3, 1e4, 1e5, 2e5):
        scenario = small("escrow-failure").replace({"verification.settlement_us": settlement_us})
        ledger = finished(draw_world(scenario, 2), AUDITED_MARKET)
        core_us.append(int(ledger.plane["settlement_core_us"].sum()))
    assert all(less < more for less, more in pairwise(core_us))


def waited_s(_: World, ledger: Ledger) -> float:
    """Return for how long all stages together waited to be decided on, or for a unit."""
    return float(ledger.time_us[:, [QUEUED, AWAITING_CLEARING, UNMATCHED]].sum()) / US_PER_S


def in_flight_s(_: World, ledger: Ledger) -> float:
    """Return for how long requests and commands were on their way."""
    return float(ledger.time_us[:, [IN_FLIGHT, DISPATCHED]].sum()) / US_PER_S


def worth_usd(world: World, ledger: Ledger) -> float:
    return float(measure(world, ledger).welfare.value_usd.sum())


US: Value = ("us-va", "us-ia", "us-tx", "us-or")
EU: Value = ("ie-dub", "de-fra", "fr-par", "nl-ams", "se-sto", "fi-ham")
Read = Callable[[World, Ledger], float]
STRUCK: dict[str, tuple[str, str, tuple[Value, ...], dict[str, Value], Read, bool, Regimes]] = {
    "a surge": (
        "demand-surge",
        "surge_jobs",
        (0, 600, 1200, 2400, 4800),
        {},
        waited_s,
        True,
        (CENTRAL, AUDITED_MARKET),
    ),
    "a cut of supply": (
        "supply-cut",
        "down_share",
        (0.0, 0.25, 0.5, 0.75, 1.0),
        {},
        worth_usd,
        False,
        (CENTRAL, AUDITED_MARKET),
    ),
    "an outage": (
        "hyperscaler-outage",
        "down_s",
        (0.0, 300.0, 600.0, 1200.0, 2400.0),
        {},
        worth_usd,
        False,
        (CENTRAL,),
    ),
    # The hub sits in us-va, and cables to it are cut.
    "cut cables": (
        "cable-cut",
        "cable_share",
        (0.0, 0.25, 0.5, 0.75, 1.0),
        {"cable_from": US, "cable_to": EU},
        in_flight_s,
        True,
        (CENTRAL,),
    ),
}
"""Scenario, what is varied of the shock, to what; what is beside it, read, and expected; where."""


@pytest.mark.parametrize("name", STRUCK)
def test_the_response_of_a_run_follows_the_size_of_the_shock(name: str) -> None:
    scenario, key, levels, beside, read, rises, under = STRUCK[name]
    for regime in under:
        found = []
        for seed in range(8):
            worlds = [draw_world(small(scenario, **beside, **{key: x}), seed) for x in levels]
            found.append([read(world, finished(world, regime)) for world in worlds])
        follows(np.array(found), rises=rises)


@pytest.fixture(scope="module")
def effects() -> pd.DataFrame:
    """Measure two shocks on two rungs, over three seeds."""
    asked = [small("hyperscaler-outage"), small("demand-surge", surge_jobs=600)]
    return shock_effects(asked, seeds=[0, 1, 2], regimes=RUNGS, workers=1)


def test_the_table_of_effects_has_a_row_per_shock_rung_family_and_measure(
    effects: pd.DataFrame,
) -> None:
    families = effects[~effects["family"].str.startswith("(")]
    assert len(families) == 2 * len(RUNGS) * 2 * len(MEASURES)
    assert not effects[["shock", "rung", "family", "measure"]].duplicated().any()
    assert (effects["n"] <= 3).all()
    told = effects.dropna()
    assert np.allclose(told["after"] - told["before"], told["mean"])
    assert ((told["ci_low"] <= told["mean"]) & (told["mean"] <= told["ci_high"])).all()


def test_an_outage_fails_tries_and_a_surge_makes_calls_wait(effects: pd.DataFrame) -> None:
    rows = effects.set_index(["shock", "rung", "family", "measure"])["mean"]
    for rung in RUNGS:
        assert rows["hyperscaler-outage", rung.name, "batch", "failed_tries"] > 0
        assert rows["demand-surge", rung.name, "model_call", "waiting_s"] > 0
        assert rows["demand-surge", rung.name, "batch", "failed_tries"] == 0


def test_a_figure_of_effects_has_a_panel_per_shock(effects: pd.DataFrame) -> None:
    titles = [axis.get_title() for axis in draw_effects(effects).axes if axis.get_visible()]
    assert titles == ["hyperscaler-outage", "demand-surge"]


@pytest.mark.parametrize("name", FROM_THE_START)
def test_a_shock_that_is_there_from_the_start_says_so(name: str) -> None:
    text = (PROJECT / "scenarios" / "library" / f"{name}.toml").read_text(encoding="utf-8")
    assert "from the # start" in " ".join(text.lower().split()) or "from the start" in text.lower()


@pytest.mark.parametrize(
    ("key", "value"),
    [("down_class", "h200"), ("down_owner", "nobody"), ("cable_from", ("atlantis",))],
)
def test_a_shock_to_what_is_not_there_is_refused(key: str, value: Value) -> None:
    with pytest.raises(ScenarioError, match=key):
        small("baseline", **{key: value})

"""Seasons: agents who meet the same market again, and decide in between."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hanse.agents.choices import RULES
from hanse.agents.model import ComputeMarket
from hanse.market.accounts.occupancy import H
from hanse.market.regime import AUDITED_MARKET, MARKET, Plane, Regime, regimes
from hanse.market.units import US_PER_HOUR
from hanse.scenarios.draw import draw_world
from hanse.scenarios.measuring.measures import measure
from hanse.scenarios.scenario import Scenario, load
from hanse.scenarios.seasons.accounts import Accounts, read_accounts
from hanse.scenarios.seasons.figures import draw_doses, draw_paths
from hanse.scenarios.seasons.institutions import Institutions, institutions_of
from hanse.scenarios.seasons.measures import hhi
from hanse.scenarios.seasons.patterns import (
    dose_response,
    misses_in_words,
    set_beside_markets,
)
from hanse.scenarios.seasons.play import Seasons, list_changes, play_paired, play_seasons
from hanse.scenarios.seasons.state import Cast, State, first_state, season_seed
from hanse.scenarios.seasons.world import SeasonWorld, draw_season, kept_jobs
from tests.idle_holdings import idle_while_held

FEW = {"measurement.displacement_instants": 16}
STILL = {
    "institutions.demand_elasticity": 0.0,
    "institutions.budget_multiple": 1e6,
    "institutions.growth_share": 0.0,
    "institutions.exit_share": 0.0,
    "institutions.response_share": 0.0,
}
"""Nobody changes anything: each decision at its neutral value."""


def small(**settings: object) -> Scenario:
    """Shrink the baseline to what a season takes some ten milliseconds for."""
    sizes = {"fleet.nodes": 60, "load.model_calls": 700, "load.batch_jobs": 120} | FEW
    return load("baseline").replace(sizes | {f"institutions.{k}": v for k, v in settings.items()})


def hoarding(**settings: object) -> Scenario:
    """Take the scenario about hoarding, with fewer sampled instants."""
    changes = {f"institutions.{key}": value for key, value in settings.items()}
    return load("hoarding").replace(FEW | changes)


def one_season(
    scenario: Scenario, regime: str, *, state_changes: dict[str, object] | None = None
) -> tuple[Cast, State, SeasonWorld, Accounts, Seasons | None]:
    """Run the first season by hand, and read its accounts."""
    own = institutions_of(scenario)
    cast, state = first_state(scenario, own, 0)
    state = replace(state, **(state_changes or {}))
    season = draw_season(cast, state, 0)
    ledger = ComputeMarket(season.world, regimes[regime], with_agents=False).run_to_horizon()
    accounts = read_accounts(
        season,
        state.capacity,
        measure(season.world, ledger),
        hub_rent_share=own.hub_rent_share,
        saved_share=scenario.number("verification.saved_share"),
        subsidy_usd=np.zeros(len(season.world.fleet.owner)),
    )
    return cast, state, season, accounts, None


def same(first: Seasons, second: Seasons) -> None:
    for name in ("market", "places", "owners", "buyers"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name), check_exact=True)


def test_the_same_seed_plays_the_same_seasons() -> None:
    first, again = (
        play_seasons(hoarding(resale=True), "reserved", n_seasons=3, seed=5) for _ in range(2)
    )
    same(first, again)
    other = play_seasons(hoarding(resale=True), "reserved", n_seasons=3, seed=6)
    assert not first.market.equals(other.market)


def test_regimes_meet_the_same_luck() -> None:
    scenario = small()
    cast, state = first_state(scenario, institutions_of(scenario), 4)
    before = draw_season(cast, state, 2).world
    # Whatever was decided, the jobs that both bring are the same jobs, with the same luck.
    more = replace(state, activity=np.minimum(1.0, state.activity * 1.3))
    after = draw_season(cast, more, 2).world
    known = set(after.workload.job_arrival_us.tolist())
    assert set(before.workload.job_arrival_us.tolist()) < known
    place = np.searchsorted(after.workload.job_arrival_us, before.workload.job_arrival_us)
    assert (after.workload.job_value_usd[place] == before.workload.job_value_usd).all()
    assert after.fleet.node_free_from_us.tolist() == before.fleet.node_free_from_us.tolist()


def test_with_every_decision_neutral_only_luck_changes() -> None:
    played = play_seasons(small().replace(STILL), "central", n_seasons=4, seed=0)
    places = played.places.drop(columns=["season"])
    for number in range(1, 4):
        now = played.places[played.places["season"] == number]
        for column in ("owner", "region", "units", "price_usd"):
            first = places[column][: len(now)].tolist()
            assert now[column].tolist() == first
    assert played.buyers["activity"].nunique() == 1
    assert (played.path("held_units") == 0).all()
    assert played.path("welfare_usd").nunique() == 4


def test_dropping_no_job_leaves_the_workload_as_it_is() -> None:
    world = draw_world(load("agentic").replace({"load.agentic_jobs": 20}), 1)
    everything = kept_jobs(world, np.ones(world.workload.n_jobs, bool))
    assert everything.digest() == world.digest()


def test_jobs_are_dropped_with_their_stages_and_edges() -> None:
    settings = {"load.agentic_jobs": 20, "failure.call_error_share": 0.1}
    world = draw_world(load("agentic").replace(settings), 1)
    workload = world.workload
    keep = np.random.default_rng(0).random(workload.n_jobs) < 0.5
    kept_world = kept_jobs(world, keep)
    kept = kept_world.workload
    assert kept.n_jobs == keep.sum()
    stage = keep[workload.stage_job]
    assert kept.stage_work_us.tolist() == workload.stage_work_us[stage].tolist()
    assert len(kept.edge_to) == stage[workload.edge_to].sum()
    number = np.flatnonzero(stage)
    assert number[kept.edge_to].tolist() == workload.edge_to[stage[workload.edge_to]].tolist()
    assert (kept.attempt_audit == workload.attempt_audit[:, stage]).all()
    errors = world.mishaps.attempt_error
    assert errors.size > 0
    assert (kept_world.mishaps.attempt_error == errors[:, stage]).all()


def test_the_accounts_of_owners_and_buyers_are_two_sides_of_the_same_sales() -> None:
    for regime in ("central", "audited-market", "reserved"):
        *_, accounts, _ = one_season(small(), regime)
        rows = accounts.rows
        assert rows.customers_usd.sum() == pytest.approx(accounts.buyers.paid_usd.sum())
        assert rows.customers_usd.sum() > 0.0
        assert rows.sold_hours.sum() == pytest.approx(
            accounts.buyers.hours.sum() + _first_party_hours(regime)
        )


def _first_party_hours(regime: str) -> float:
    """Add up, from the ledger itself, the hours of first parties' jobs, on whoever's units."""
    scenario = small()
    cast, state = first_state(scenario, institutions_of(scenario), 0)
    season = draw_season(cast, state, 0)
    ledger = ComputeMarket(season.world, regimes[regime], with_agents=False).run_to_horizon()
    record = ledger.record[ledger.work]
    is_own = ledger.stage_fact["first_party"][record["stage"]] >= 0
    end_us = np.minimum(record["end_us"], ledger.horizon_us)
    return float((end_us - record["accepted_us"])[is_own].sum()) / US_PER_HOUR


def test_what_is_held_and_idle_is_what_the_ledger_labels_h() -> None:
    held = np.zeros(60, np.int64)
    held[[0, 3, 7]] = (9, 5, 4)
    *_, season, accounts, _ = one_season(small(), "reserved", state_changes={"reserved": held})
    ledger = ComputeMarket(season.world, regimes["reserved"], with_agents=False).run_to_horizon()
    occupancy = measure(season.world, ledger).occupancy
    labelled = occupancy.unit_us[occupancy.label == H].sum() / US_PER_HOUR
    assert accounts.idle_held_hours.sum() == pytest.approx(labelled)
    assert labelled > 0.0
    assert (
        np.bincount(accounts.holder[accounts.holder >= 0], minlength=60).tolist() == held.tolist()
    )
    assert accounts.held_usd.sum() == pytest.approx(accounts.rows.held_usd.sum())
    assert accounts.honoured == 1.0


def test_where_nothing_is_kept_for_anybody_nothing_is_hoarded_and_orders_end() -> None:
    played = play_seasons(hoarding(), "central", n_seasons=12, seed=1)
    ordered = played.path("ordered_units").to_numpy()
    assert (played.path("idle_held_gpu_h") == 0.0).all()
    assert ordered.max() > 0
    assert ordered[-1] < 0.1 * ordered.max()


@pytest.mark.slow
def test_more_uncertainty_makes_more_idle_reserves_on_the_same_luck() -> None:
    """dH/dsigma > 0, paired by seed, over five levels."""
    paths = np.array(
        [
            [
                play_seasons(hoarding(uncertainty_scale=scale), "reserved", n_seasons=8, seed=seed)
                .path("idle_held_gpu_h")
                .iloc[4:]
                .mean()
                for scale in (0.0, 0.5, 1.0, 1.5, 2.0)
            ]
            for seed in range(6)
        ]
    )
    assert (np.diff(paths.mean(axis=0)) > 0.0).all()
    rise = paths[:, -1] - paths[:, 0]
    # One-sided Student t at 0.1 % with 5 degrees of freedom is 5.89.
    assert rise.mean() / (rise.std(ddof=1) / np.sqrt(len(rise))) > 5.89


HELD_AT_MARKET_PRICES = replace(regimes["market"], plane=Plane.RESERVED)
"""Under the others here but `reserved`, orders are made and nothing can be held."""
ANY_REGIME = pytest.mark.parametrize(
    "regime",
    ["central", "market", "reserved", HELD_AT_MARKET_PRICES],
    ids=["central", "market", "reserved", "reserved at market prices"],
)


@ANY_REGIME
@pytest.mark.parametrize("n_pooled", [4, 20, 60])
def test_pooling_in_seasons_takes_the_root_of_the_sum_of_squares(
    n_pooled: int, regime: Regime | str
) -> None:
    apart = play_seasons(hoarding(), regime, n_seasons=2, seed=2).buyers
    together = play_seasons(hoarding(pool_buyers=n_pooled), regime, n_seasons=2, seed=2).buyers
    sd = apart[apart["season"] == 1]["need_sd"].to_numpy()
    found = together[together["season"] == 1]["need_sd"].to_numpy()
    of_pool = np.sqrt((sd**2).reshape(-1, n_pooled).sum(axis=1))
    assert found[::n_pooled] == pytest.approx(of_pool)
    assert found.sum() == pytest.approx(of_pool.sum())


@ANY_REGIME
def test_buyers_with_equal_needs_hold_root_n_less_when_they_pool(regime: Regime | str) -> None:
    """With one law of need for all, 25 buyers hold 25 z, and together 5 z."""
    equal = {"load.buyers": 25, "load.buyer_zipf": 0.0, "load.hold_share": 0.0}
    apart, together = (
        play_seasons(hoarding(pool_buyers=n).replace(equal), regime, n_seasons=2, seed=3)
        for n in (1, 25)
    )
    sd, of_pool = (one.buyers[one.buyers["season"] == 1]["need_sd"] for one in (apart, together))
    # sum(s) / sqrt(sum(s^2)) = sqrt(n) / sqrt(1 + CV^2), CV the variation between buyers.
    assert sd.sum() / of_pool.sum() == pytest.approx(
        5.0 / np.sqrt(1.0 + (sd.std(ddof=0) / sd.mean()) ** 2)
    )
    assert together.path("ordered_units").iloc[-1] < apart.path("ordered_units").iloc[-1]


@pytest.mark.slow
def test_a_cheaper_resale_leaves_less_idle() -> None:
    idle = [
        idle_while_held(hoarding(resale=True, resale_haircut=haircut), n_seasons=6)
        for haircut in (0.0, 1.0)
    ]
    assert idle[0] < 0.95 * idle[1]


@pytest.mark.slow
@pytest.mark.parametrize("regime", ["central", "market"])
def test_dearer_lists_change_less_often(regime: str) -> None:
    table = dose_response(
        small(),
        "institutions.menu_cost_share",
        [0.0, 0.007, 0.05, 0.15, 0.3],
        regime=regime,
        n_seasons=6,
        seeds=range(3),
    )
    rows = table[table["measure"] == "list_changed_share"].set_index("level")["mean"]
    assert rows[0.0] == pytest.approx(1.0, abs=0.02)
    assert (np.diff(rows) < 0.0).all()
    assert set(table["n"]) <= {0, 3}


@pytest.mark.slow
def test_own_work_on_new_units_costs_sales_to_customers() -> None:
    """Paired by seed, all new units to own work against all to customers."""
    hood = load("hood").replace(FEW)
    change = [
        np.subtract(
            *(
                play_seasons(
                    hood.replace({"institutions.own_growth_share": share}),
                    "central",
                    n_seasons=8,
                    seed=seed,
                )
                .path("hyperscaler_customers_usd")
                .iloc[4:]
                .mean()
                for share in (1.0, 0.0)
            )
        )
        for seed in range(6)
    ]
    # One-sided Student t at 1 % with 5 degrees of freedom is 3.36.
    assert -np.mean(change) / (np.std(change, ddof=1) / np.sqrt(len(change))) > 3.36


def test_rent_for_routing_moves_money_and_nothing_else() -> None:
    free, rented = (one_season(small(hub_rent_share=share), "central")[3] for share in (0.0, 0.2))
    assert (free.rent_usd == 0.0).all()
    assert rented.rent_usd.sum() == pytest.approx(0.0, abs=1e-9)
    assert (rented.rent_usd > 0.0).sum() == 1
    assert rented.rows.customers_usd.tolist() == free.rows.customers_usd.tolist()
    spread = one_season(small(hub_rent_share=0.2), "market")[3]
    assert (spread.rent_usd > 0.0).sum() > 1


def test_both_groups_learn_to_cheat_where_nobody_checks_and_not_where_reputation_counts() -> None:
    learning = {"institutions.honesty_learning_rate": 2.0}
    unchecked = play_seasons(small().replace(learning), MARKET, n_seasons=5, seed=0)
    assert (np.diff(unchecked.path("cheating_share")) > 0.0).all()
    audited = learning | {
        "institutions.reputation_rewards": 10.0,
        "verification.audit_probability": 0.3,
        "verification.temptation_share": 0.3,
    }
    checked = play_seasons(small().replace(audited), AUDITED_MARKET, n_seasons=5, seed=0)
    assert checked.path("cheating_share").tolist()[1:] == pytest.approx([0.01] * 4)


def test_verifiers_come_where_audits_pay_and_leave_where_they_do_not() -> None:
    for cost_usd, compare in ((1e-4, np.greater), (10.0, np.less)):
        played = play_seasons(
            small(verifier_cost_usd=cost_usd), AUDITED_MARKET, n_seasons=3, seed=0
        )
        path = played.path("verifiers").to_numpy()
        assert compare(path[1:], path[:-1]).all()


def test_independents_move_to_where_margins_are_best_if_moving_is_free() -> None:
    settings = {"relocation_share": 1.0, "moving_usd_per_gpu_hour": 0.0, "growth_share": 0.0}
    moved = play_seasons(small(**settings), "central", n_seasons=2, seed=0).places
    independent = moved[moved["group"] == "independent"]
    n_places = independent.groupby("season")["region"].nunique()
    assert n_places[0] > 3
    assert n_places[1] < n_places[0]


def test_units_ordered_arrive_after_they_are_built() -> None:
    crowded = small(growth_share=0.2, exit_share=0.0, build_seasons=3).replace(
        {"load.model_calls": 1400, "load.batch_jobs": 240}
    )
    played = play_seasons(crowded, "central", n_seasons=6, seed=0)
    owners = played.owners[played.owners["group"] == "hyperscaler"]
    units = owners.groupby("season")["units"].sum().to_numpy()
    # Decided after the first season, built for three, at work in the fifth.
    assert units[:4].tolist() == [units[0]] * 4
    assert units[4] > units[0]


def test_the_misses_are_printed() -> None:
    table = set_beside_markets(play_seasons(small(), "central", n_seasons=4, seed=0))
    text = misses_in_words(table)
    assert len(table) == len(text.splitlines())
    missing = table[table["miss"].abs() > 0.0]
    assert text.count("MISSES by") == len(missing) > 0
    # Lists of real hyperscalers hardly moved; these do, and the page must say so.
    lists = table[table["statistic"].str.contains("list less change")].iloc[0]
    assert lists["miss"] < 0.0


def test_concentration_is_that_of_equal_shares() -> None:
    assert hhi(np.full(8, 3.0)) == pytest.approx(1 / 8)
    assert np.isnan(hhi(np.zeros(3)))


def test_lists_that_stand_still_have_not_changed() -> None:
    played = play_seasons(small().replace(STILL), "central", n_seasons=3, seed=0)
    assert list_changes(played.places)["changed_share"].tolist() == [0.0, 0.0]


def test_what_borders_and_newcomers_ask_is_settled_with_the_first_season() -> None:
    settings = {
        "fleet.sovereign_jurisdiction": "EU",
        "fleet.sovereign_nodes": 9,
        "law.remote_access": "by-headquarters",
        "law.recognition_share": 0.5,
        "failure.call_error_share": 0.1,
        "crossing.trust_domains": 3,
        "crossing.modality_change_share": 0.2,
    }
    scenario = small().replace(settings)
    cast, state = first_state(scenario, institutions_of(scenario), 0)
    worlds = [draw_season(cast, state, number).world for number in range(2)]
    domains = [world.crossing_draws.region_trust_domain.tolist() for world in worlds]
    assert domains[0] == domains[1]
    assert worlds[0].fleet.n_nodes == worlds[1].fleet.n_nodes == 69
    assert worlds[0].workload.job_data_class.max() >= 2
    played = play_seasons(scenario, "market", n_seasons=2, seed=0)
    assert (played.path("units") >= 69).all()


AUDITED = {"regime": "audited-market", "institutions.honesty_learning_rate": 2.0}
HELD = {"regime": "reserved", "institutions.hoarding": True}
CROWDED = {"load.model_calls": 1400, "institutions.growth_share": 1.0}
OTHERWISE: dict[str, tuple[object, dict[str, object]]] = {
    "demand_headroom": (2.0, {}),
    "demand_elasticity": (2.0, {}),
    "budget_multiple": (0.5, {}),
    "forecast_memory": (0.9, {}),
    "forecast_error_sigma": (0.5, {}),
    "response_share": (0.1, {}),
    "deciding_share": (0.3, {}),
    "menu_cost_share": (0.5, {}),
    "believed_elasticity": (3.0, {}),
    "elasticity_learning_rate": (5.0, {}),
    "elsewhere_usd_per_gpu_hour": (9.0, {}),
    "growth_share": (0.3, {}),
    "exit_share": (0.9, {"resources.idle_w": 20_000.0}),
    "build_seasons": (1, {"load.model_calls": 1400}),
    "write_off_years": (90.0, {}),
    "independent_premium_per_year": (9.0, {}),
    "relocation_share": (1.0, {}),
    "moving_usd_per_gpu_hour": (900.0, {"institutions.relocation_share": 1.0}),
    "own_growth_share": (1.0, {"institutions.build_seasons": 1, "load.model_calls": 1400}),
    "own_learning_rate": (1.0, {}),
    "hoarding": (True, {"regime": "reserved"}),
    "uncertainty_scale": (2.0, HELD),
    "need_cv": (2.0, HELD),
    "pool_buyers": (60, HELD),
    "ration_cap": (
        10.0,
        HELD
        | {
            "load.model_calls": 2200,
            "load.model_call_value_multiple": 300.0,
            "load.batch_value_multiple": 300.0,
            "fleet.reserved_share": 0.1,
        },
    ),
    "resale": (True, HELD),
    "resale_haircut": (0.9, HELD | {"institutions.resale": True}),
    "resale_market": (True, HELD),
    "resale_share": (0.5, HELD | {"institutions.resale_market": True}),
    "need_signal_error": (3.0, HELD | {"institutions.resale": True}),
    "hub_rent_share": (0.2, {}),
    "honesty_rule": ("erev-roth", AUDITED),
    "hoarding_rule": ("exp3", HELD),
    "entry_rule": ("replicator", {"load.model_calls": 1400}),
    "learning_rate": (50.0, CROWDED | {"institutions.entry_rule": "replicator"}),
    "forgetting": (0.9, CROWDED | {"institutions.entry_rule": "erev-roth"}),
    "experimentation": (0.9, CROWDED | {"institutions.entry_rule": "erev-roth"}),
    "exploration": (1.0, CROWDED | {"institutions.entry_rule": "exp3"}),
    "least_share": (0.3, {"institutions.own_learning_rate": 1.0}),
    "honesty_learning_rate": (2.0, {"regime": "audited-market"}),
    "reputation_rewards": (10.0, AUDITED),
    "verifier_cost_usd": (5.0, {"regime": "audited-market"}),
}
"""Another value of each number of `Institutions`, and what it takes for it to matter."""


@pytest.mark.parametrize("name", [field.name for field in fields(Institutions)])
def test_every_number_of_the_institutions_reaches_the_seasons(name: str) -> None:
    value, beside = OTHERWISE[name]
    regime = str(beside.get("regime", "central"))
    scenario = small().replace({k: v for k, v in beside.items() if k != "regime"})
    changed = scenario.replace({f"institutions.{name}": value})
    first, second = (play_seasons(one, regime, n_seasons=5, seed=0) for one in (scenario, changed))
    assert not (first.owners.equals(second.owners) and first.buyers.equals(second.buyers))


def test_seasons_have_luck_of_their_own() -> None:
    assert len({season_seed(0, number) for number in range(50)}) == 50


def test_no_season_is_refused() -> None:
    with pytest.raises(ValueError, match="n_seasons must be at least 1, got 0"):
        play_seasons(small(), "central", n_seasons=0, seed=0)


def test_the_figures_have_a_panel_for_each_measure_and_a_line_for_each_case(tmp_path: Path) -> None:
    played = play_paired(
        {"a": small(), "b": small().replace(STILL)}, ["central"], n_seasons=2, seeds=[0, 1]
    )
    labels = {"owner_hhi": "owners", "units": "units"}
    paths = draw_paths(played, labels)
    assert [len(axes.lines) for axes in paths.axes] == [2, 2]
    dose = pd.DataFrame(
        {
            "level": [0.0, 1.0],
            "measure": "units",
            "mean": [1.0, 2.0],
            "ci_low": [0.5, 1.5],
            "ci_high": [1.5, 2.5],
        }
    )
    doses = draw_doses({"case": dose}, {"units": "units"}, dose="level")
    assert [axes.get_ylabel() for axes in doses.axes] == ["units"]
    for number, figure in enumerate((paths, doses)):
        figure.savefig(tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").stat().st_size > 0


@pytest.mark.parametrize("rule", RULES)
def test_where_nobody_checks_every_rule_learns_to_cheat(rule: str) -> None:
    learning = {
        "institutions.honesty_learning_rate": 2.0,
        "institutions.honesty_rule": rule,
        "verification.temptation_share": 0.3,
    }
    played = play_seasons(small().replace(learning), MARKET, n_seasons=12, seed=0)
    path = played.path("cheating_share")
    assert path.iloc[-1] > path.iloc[0]


@pytest.mark.parametrize("rule", RULES[1:])
def test_who_learns_whether_holding_pays_need_not_hold(rule: str) -> None:
    """Best response holds whatever holding has paid; those who learn hold less often."""
    held = [
        play_seasons(hoarding(hoarding_rule=one), "reserved", n_seasons=8, seed=1)
        .path("held_units")
        .iloc[4:]
        .mean()
        for one in ("best-response", rule)
    ]
    assert 0.0 < held[1] < held[0]


def test_units_enter_by_every_rule_where_margins_are_high() -> None:
    for rule in RULES:
        played = play_seasons(hoarding(entry_rule=rule), "central", n_seasons=5, seed=1)
        small_ones = played.owners[played.owners["group"] == "independent"]
        units = small_ones.groupby("season")["units"].sum()
        assert units.iloc[-1] > units.iloc[0], rule


def reversed_share(played: Seasons) -> float:
    """Return how many changes of hyperscalers' lists go against the one before, of all changes."""
    listed = played.places[played.places["group"] == "hyperscaler"]
    price = listed.pivot_table(index=["owner", "region"], columns="season", values="price_usd")
    step = price.apply(np.log).diff(axis=1).iloc[:, 1:].to_numpy()
    both = step[:, 1:] * step[:, :-1]
    return float((both < 0.0).sum() / max(1, (both != 0.0).sum()))


@pytest.mark.slow
def test_prices_reverse_the_less_the_less_of_the_way_anybody_goes_at_once() -> None:
    """Five levels of inertia, none of menu costs; half of the steps turn back without inertia."""
    shares = [
        np.mean(
            [
                reversed_share(
                    play_seasons(
                        small(response_share=share, menu_cost_share=0.0),
                        "central",
                        n_seasons=10,
                        seed=seed,
                    )
                )
                for seed in range(3)
            ]
        )
        for share in (1.0, 0.75, 0.5, 0.25, 0.1)
    ]
    assert (np.diff(shares) <= 0.0).all()
    assert shares[0] > 0.3
    assert shares[2] < 0.1


def test_numbers_of_rules_that_nobody_learns_by_change_nothing() -> None:
    unused = {"learning_rate": 9.0, "forgetting": 0.9, "experimentation": 0.9, "exploration": 0.9}
    same(
        play_seasons(hoarding(), "reserved", n_seasons=3, seed=2),
        play_seasons(hoarding(**unused), "reserved", n_seasons=3, seed=2),
    )

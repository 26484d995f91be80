"""Figures of institutions: they read what the studies say, and all who are named are there."""

import numpy as np
import pytest

from hanse.market.regime import ladder
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.mechanisms.figures import MECHANISMS
from hanse.scenarios.mechanisms.seasons import N_LAST, SeasonCase, every_season, last_seasons
from hanse.scenarios.mechanisms.studies import Evidence
from hanse.scenarios.scenario import load
from hanse.scenarios.seasons.patterns import PATTERNS, beside_markets, set_beside_markets
from hanse.scenarios.seasons.play import play_seasons
from hanse.scenarios.studies.financial import hedged_spend, log_variance_ratios, spend_of, spot_runs
from hanse.scenarios.studies.institution_charts import dots_in_rows, removals_and_sovereignty
from hanse.scenarios.studies.institution_studies import (
    BLOCS,
    attacks_seen,
    removals_seen,
    trades_seen,
)
from tests.small_runs import tiny

CLAIMS = ("hoarding", "concentration", "sovereignty", "capture", "financialization", "pipeline")


@pytest.fixture(scope="module")
def removed() -> Evidence:
    return removals_seen(tiny(), [1, 2])


def test_every_family_of_claims_has_a_scenario_and_a_figure() -> None:
    for name in CLAIMS:
        assert load(name).question.endswith("?")
        assert MECHANISMS[name].title


def test_every_kind_of_controller_is_taken_out_the_chip_vendor_too(removed: Evidence) -> None:
    rows = removed.rows
    who = set(rows[rows["measure"] == "loss_share"]["who"])
    assert "vendor NVIDIA" in who
    assert {"worst of verifiers", "worst of sites of control", "worst of regions' links"} <= who
    assert any(name.startswith("owner ") for name in who)
    assert set(rows[rows["measure"] == "sovereignty"]["who"]) <= set(BLOCS)
    assert len(removed.worlds) == 2


def test_a_hub_is_needed_by_everybody_and_the_reference_needs_none(removed: Evidence) -> None:
    rows = removed.rows.set_index(["view", "who", "measure"])["value"]
    hub = rows.loc["central", "worst of sites of control", "loss_share"]
    assert hub.to_numpy() == pytest.approx([1.0, 1.0], abs=0.02)
    assert (rows.loc["reference", "worst of sites of control", "loss_share"] == 0.0).all()
    # It is below 0 where without somebody else more is spent than is brought.
    assert (rows.loc["central", "everybody", "sovereignty"] < 0.02).all()


def test_sovereignty_is_one_less_the_worst_loss_of_all(removed: Evidence) -> None:
    rows = removed.rows[removed.rows["view"] == "reference"]
    worst = rows[rows["measure"] == "loss_share"].groupby("seed")["value"].max()
    left = rows[(rows["measure"] == "sovereignty") & (rows["who"] == "everybody")]
    assert left.set_index("seed")["value"].sort_index().to_numpy() == pytest.approx(
        (1.0 - worst).sort_index().to_numpy()
    )
    figure = removals_and_sovereignty(removed.levels())
    assert len(figure.axes) == 2


def test_an_attack_is_seen_world_by_world() -> None:
    few = tiny().replace({"governance.proposals": ("fee",), "governance.insiders": ("treasury",)})
    seen = attacks_seen(few, [0, 1])
    assert set(seen.rows["measure"]) == {"power", "captured_share", "rent_usd", "transfer_usd"}
    assert set(seen.rows["proposal"]) == {"fee"}
    assert set(seen.rows["seed"]) == {0, 1}
    assert seen.worlds["world_digest"].nunique() == 2


def test_jackknife_values_have_the_interval_of_the_table_of_hedges() -> None:
    longer = tiny().replace({"measurement.horizon_s": 1_200, "load.model_calls": 160})
    runs = spot_runs(longer, seeds=range(4), regimes=ladder[:1], workers=1)
    table = hedged_spend(runs)
    row = table[(table["hedge"] == "forward") & (table["family"] == "model_call")].iloc[0]
    spend = spend_of(runs, 0)
    found = interval(log_variance_ratios(spend["forward"], spend["spot"]))
    width = np.log(row["ci_high"] / row["ci_low"])
    assert float(found.high - found.low) == pytest.approx(width)
    assert float(found.n) == row["n"] == 4


def test_trades_are_read_on_every_rung_in_calm_and_in_the_surge() -> None:
    surge = tiny().replace(
        {
            "measurement.horizon_s": 1_200,
            "load.model_calls": 160,
            "shock.surge_jobs": 80,
            "shock.surge_from_s": 600,
            "shock.surge_s": 300,
        }
    )
    seen = trades_seen(surge, range(3))
    measures = {"maker_spread_usd", "time_to_match_s", "n_defaults", "forward model_call"}
    assert measures <= set(seen.rows["measure"])
    assert set(seen.rows["rung"]) == {rung.title for rung in ladder}
    assert len(seen.worlds) == 6
    labels = ({"maker_spread_usd": "a", "volatility_usd": "b"},) * 2
    assert len(dots_in_rows(seen.levels(), rows="rung", measures=labels).axes) == 4


def test_seasons_are_kept_whole_or_in_the_mean_of_the_last() -> None:
    case = SeasonCase(keys={"way": "plain"}, scenario=tiny(), regime="central")
    path = every_season([case], [3], ["units", "jobs"]).rows
    mean = last_seasons([case], [3], ["units", "jobs"])
    played = play_seasons(tiny(), "central", n_seasons=8, seed=3)
    for measure in ("units", "jobs"):
        values = played.path(measure)
        here = path[path["measure"] == measure]
        assert here["value"].tolist() == values.tolist()
        late = mean.rows.set_index("measure")["value"][measure]
        assert late == pytest.approx(values.iloc[-N_LAST:].mean())
    assert mean.worlds["world_digest"].tolist() == played.worlds["world_digest"].tolist()


def test_misses_over_seeds_are_of_the_mean_and_of_one_seed_its_own() -> None:
    played = [play_seasons(tiny(), "central", n_seasons=3, seed=seed) for seed in (0, 1)]
    both, first = beside_markets(played), set_beside_markets(played[0])
    alone = beside_markets(played[:1])
    assert len(both) == len(PATTERNS)
    known = alone["miss"].notna()
    assert alone["miss"][known].to_numpy() == pytest.approx(first["miss"][known].to_numpy())
    ends = np.array([set_beside_markets(one)["last_season"] for one in played], float)
    told = both["n"] == 2
    assert both["last_season"][told].to_numpy() == pytest.approx(ends.mean(axis=0)[told])

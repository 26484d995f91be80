"""Growth paths: rates drawn once, dates that are paired, and passages that are censored."""

from copy import deepcopy
from math import inf, log
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hanse.market.units import Floats
from hanse.scenarios.cli import main
from hanse.scenarios.energy_figures import draw_energy, draw_growth
from hanse.scenarios.growth.file import adjusted, growth_path_of, path_names, read_growth_path
from hanse.scenarios.growth.grow import (
    first_passage,
    grow,
    measured_along,
    summarise_passages,
    with_dates,
)
from hanse.scenarios.growth.payload_laws import first_passage_years, share_after
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.results import Results
from hanse.scenarios.run import run

DOCUMENT: dict[str, Any] = {
    "path": {
        "scenario": "baseline",
        "first_year": 2026,
        "last_year": 2030,
        "step_years": 2,
        "paths": 3,
        "regimes": ["central", "market"],
    },
    "constants": {
        "fleet": {"nodes": 30},
        "load": {"model_calls": 40, "batch_jobs": 6, "hold_share": 1.0},
        "measurement": {"horizon_s": 300, "displacement_instants": 16},
    },
    "growth": {
        "mandates": {
            "parameters": ["crossing.rule_dimensions", "crossing.interaction_order"],
            "added_per_year": [0.5, 1.0],
            "grade": "E",
            "source": "assumed",
        },
        "capacity": {
            "parameters": ["fleet.nodes"],
            "factor_per_year": [1.0, 1.2],
            "grade": "E",
            "source": "assumed",
        },
    },
    "thresholds": {
        "a_little": {"measure": "coordination_energy_share", "above": 0.01},
        "never": {"measure": "payload_energy_fraction", "below": -1.0},
        "at_once": {"measure": "jobs", "above": 1.0},
    },
}


def changed(sections: dict[str, Any]) -> dict[str, Any]:
    """Return the document with some entries of its sections put in."""
    document = deepcopy(DOCUMENT)
    for section, entries in sections.items():
        document.setdefault(section, {}).update(entries)
    return document


def rate(**entries: object) -> dict[str, object]:
    """Return what grows by an entry that a case gives, and is right in all else."""
    whole = {"parameters": ["load.buyers"], "grade": "E", "source": "assumed"}
    return whole | entries


@pytest.fixture(scope="module")
def grown() -> Results:
    """Run the small path once."""
    return grow(growth_path_of("small", DOCUMENT), workers=1)


def test_exponential_overhead_against_exponential_capacity_passes_when_algebra_says() -> None:
    rates = {"overhead_rate": log(2.0), "capacity_rate": log(1.3)}
    years = np.arange(2026.0, 2041.0)
    values: Floats = np.array([share_after(year - 2026.0, 0.01, **rates) for year in years])
    # The line between two dates lies above an exponential: it passes up to a year too early.
    found = first_passage(years, values, level=0.5, is_above=True)
    exact = 2026.0 + first_passage_years(0.01, threshold=0.5, **rates)
    assert found.after_year <= exact <= found.by_year
    assert found.after_year <= found.year <= found.by_year
    fine = np.arange(2026.0, 2041.0, 0.01)
    finely = np.array([share_after(year - 2026.0, 0.01, **rates) for year in fine])
    assert first_passage(fine, finely, level=0.5, is_above=True).year == pytest.approx(
        exact, abs=1e-3
    )


def test_a_path_that_stands_beyond_a_level_at_first_has_passed_it_before() -> None:
    found = first_passage(
        np.array([2026.0, 2028.0]), np.array([0.6, 0.7]), level=0.5, is_above=True
    )
    assert (found.after_year, found.by_year, found.year) == (-inf, 2026.0, 2026.0)


def test_a_path_that_does_not_pass_is_censored_at_its_last_date() -> None:
    found = first_passage(
        np.array([2026.0, 2028.0]), np.array([0.1, 0.2]), level=0.5, is_above=True
    )
    assert (found.after_year, found.by_year, found.year) == (2028.0, inf, inf)


def test_dates_at_which_nothing_ran_are_passed_over() -> None:
    years, values = np.array([2026.0, 2028.0, 2030.0]), np.array([0.0, np.nan, 1.0])
    assert first_passage(years, values, level=0.5, is_above=True).year == 2028.0


def test_falling_below_counts_where_the_threshold_says_so() -> None:
    years, values = np.array([2026.0, 2030.0]), np.array([0.9, 0.1])
    assert first_passage(years, values, level=0.5, is_above=False).year == pytest.approx(2028.0)


def test_a_median_that_most_paths_do_not_reach_is_said_to_be_later() -> None:
    found = summarise_passages(np.array([2030.0, 2031.0, *[inf] * 28]), last_year=2040)
    assert (found.n_reached, found.n_paths) == (2, 30)
    assert found.median_year == inf
    assert "not reached by 2040 in 28 of 30" in found.told()
    assert found.share_low < 2 / 30 < found.share_high


def test_no_path_that_passes_is_told_in_one_clause() -> None:
    found = summarise_passages(np.full(5, inf), last_year=2040)
    assert found.told() == "not reached by 2040 in 5 of 5"
    assert found.share_low == 0.0


def test_the_interval_of_the_median_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    n_repeats, covered = 2_000, 0
    for _ in range(n_repeats):
        drawn = rng.exponential(10.0, 30)
        drawn[drawn > 15.0] = inf  # censored beyond the last year
        found = summarise_passages(drawn, last_year=15.0)
        covered += found.median_low <= 10.0 * log(2.0) <= found.median_high
    # Exact binomial bounds cover at least 95 %; three standard errors of that share are 1.5 %.
    assert covered / n_repeats > 0.95 - 0.015


def test_a_rate_belongs_to_a_path_and_not_to_what_else_grows() -> None:
    both, alone = growth_path_of("small", DOCUMENT), deepcopy(DOCUMENT)
    del alone["growth"]["capacity"]
    mandates = growth_path_of("small", alone).growths[0]
    assert [mandates.rate(k) for k in range(3)] == [both.growths[0].rate(k) for k in range(3)]
    rates = [both.growths[1].rate(k) for k in range(200)]
    assert 1.0 <= min(rates) < 1.02
    assert 1.18 < max(rates) <= 1.2


def test_parameters_of_one_growth_grow_alike_and_whole_numbers_stay_whole() -> None:
    path = growth_path_of("small", DOCUMENT)
    later = path.scenario_at(1, 2030.0)
    added = later.count("crossing.rule_dimensions") - 10
    assert (
        added == later.count("crossing.interaction_order") - 2 == round(4 * path.growths[0].rate(1))
    )
    assert later.count("fleet.nodes") == round(30 * path.growths[1].rate(1) ** 4)
    assert path.scenario_at(1, 2026.0) == path.scenario


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"growth": {"x": {"parameters": ["fleet.node"], "added_per_year": 1}}}, "grade"),
        (
            {
                "growth": {
                    "x": {
                        "parameters": ["fleet.node"],
                        "added_per_year": 1,
                        "grade": "E",
                        "source": "assumed",
                    }
                }
            },
            "did you mean",
        ),
        (
            {
                "growth": {
                    "x": {
                        "parameters": ["fleet.nodes"],
                        "added_per_year": 1,
                        "grade": "E",
                        "source": "assumed",
                    }
                }
            },
            "grows twice",
        ),
        ({"thresholds": {"x": {"measure": "joule", "above": 1}}}, "no measure"),
        ({"thresholds": {"x": {"measure": "joules"}}}, "above or below"),
        ({"thresholds": {"x": {"measure": "waiting_s", "family": "batches", "above": 1}}}, "batch"),
        (
            {"thresholds": {"x": {"measure": "coordination_efficiency", "above": 1}}},
            "name a family",
        ),
        ({"path": {"last_year": 2020}}, "last_year must be later than path.first_year"),
        ({"path": {"last_year": "soon"}}, "path.last_year must be a number, got 'soon'"),
        ({"path": {"step_years": 0}}, "path.step_years must be above 0 and at most .*, got 0"),
        ({"path": {"step_years": float("nan")}}, "path.step_years must be a number, got nan"),
        ({"path": {"paths": -1}}, "path.paths must be a whole number of at least 1, got -1"),
        ({"path": {"paths": 2.5}}, "path.paths must be a whole number of at least 1, got 2.5"),
        ({"path": {"regimes": "market"}}, "path.regimes must be a list .*, got 'market'"),
        ({"path": {"title": 3}}, "path.title must be text, got 3"),
        ({"growth": {"mandates": 3}}, "mandates must be a table, got 3"),
        ({"growth": {"x": rate(added_per_year="fast")}}, "added_per_year must be a number"),
        ({"growth": {"x": rate(added_per_year=[2, 1])}}, r"must rise .*, got \[2, 1\]"),
        (
            {"growth": {"x": rate(added_per_year=[1, 2, 3])}},
            r"range \[low, high\], got \[1, 2, 3\]",
        ),
        ({"growth": {"x": rate(factor_per_year=0)}}, "factor_per_year must be above 0, got 0"),
        ({"growth": {"x": rate()}}, "factor_per_year or added_per_year, got neither"),
        ({"growth": {"x": rate(added_per_year=1, grade="Z")}}, "grade must be one of .*, got 'Z'"),
        ({"growth": {"x": rate(added_per_year=1, source="")}}, "source must say where"),
        ({"growth": {"x": rate(added_per_year=1, parameters="fleet.nodes")}}, "must be a list"),
        ({"thresholds": {"x": {"measure": "joules", "above": "much"}}}, "must be a number"),
        ({"constants": {"fleet": 30}}, "fleet must be a table, got 30"),
        ({"path": {"regimes": ["marked"]}}, "unknown regime"),
        ({"growths": {}}, "knows no"),
        ({"path": {"last_year": 2100}}, "crossing.rule_dimensions must be at most"),
    ],
)
def test_what_is_wrong_with_a_path_is_said(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        growth_path_of("small", changed(sections))


@pytest.mark.parametrize("name", path_names())
def test_every_path_that_comes_with_hanse_reads_and_grades_its_rates(name: str) -> None:
    path = read_growth_path(name)
    assert all(growth.source for growth in path.growths)
    assert path.thresholds


def test_a_path_is_read_from_a_file_of_yours(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[path]\nfirst_year = 2030\nlast_year = 2032\n[thresholds]\n")
    assert read_growth_path(file).years == (2030, 2032)
    with pytest.raises(ScenarioError, match="unknown growth path"):
        read_growth_path("grow")
    file.write_text("[path]\npaths = 0\n")
    with pytest.raises(ScenarioError, match=r"mine\.toml: path\.paths must be .*, got 0"):
        read_growth_path(file)
    with pytest.raises(ScenarioError, match="^unknown scenario 'basline'"):
        read_growth_path(file, scenario="basline")


def test_dates_are_paired_and_every_path_is_counted(grown: Results) -> None:
    runs = grown.frame("runs").merge(grown.frame("points"), on="point")
    assert len(grown.frame("failures")) == 0
    assert len(runs) == 3 * 3 * 2
    assert (runs["seed"] == runs["path"]).all()
    told = grown.frame("first_passage").set_index(["threshold", "regime"])
    assert (told["n_paths"] == 3).all()
    assert (told.loc["never", "n_reached"] == 0).all()
    assert (told.loc["at_once", "median_year"] == 2026.0).all()
    assert (told.loc["never", "told"] == "not reached by 2030 in 3 of 3").all()


def test_a_date_is_the_scenario_as_it_has_grown_on_the_seed_of_its_path(grown: Results) -> None:
    path = growth_path_of("small", DOCUMENT)
    along = measured_along(with_dates(grown.tables), path.thresholds)
    for rung in path.rungs:
        table = run(path.scenario_at(2, 2030.0), rung.regime, 2).tables["measures"]
        chosen = table["measure"] == "coordination_energy_share"
        found = along[f"a_little|{rung.name}"].loc[2, 2030.0]
        assert found == float(table["value"][chosen][0])


def test_a_threshold_of_a_family_reads_that_family_and_no_other() -> None:
    rows = [
        ("model_call", 0.25),
        ("batch", 0.75),
    ]
    measures = pd.DataFrame(
        {
            "family": [family for family, _ in rows],
            "measure": "coordination_efficiency",
            "regime": "market",
            "path": 0,
            "year": 2026.0,
            "value": [value for _, value in rows],
        }
    )
    entry = {"measure": "coordination_efficiency", "family": "batch", "below": 0.5}
    path = growth_path_of("small", changed({"thresholds": {"bound": entry}}))
    along = measured_along(measures, path.thresholds)
    assert along["bound|market"].to_numpy().tolist() == [[0.75]]


def test_the_figures_draw_what_the_tables_hold(grown: Results) -> None:
    path = growth_path_of("small", DOCUMENT)
    along = measured_along(with_dates(grown.tables), path.thresholds)
    titles = {rung.name: rung.title for rung in path.rungs}
    figure = draw_growth(along, path.thresholds, titles)
    line = figure.axes[0].lines[0]
    assert np.asarray(line.get_ydata()) == pytest.approx(along["a_little|central"].median())
    energy = grown.frame("energy")
    bars = draw_energy(energy, titles, n_worlds=9)
    assert bars is not None
    left = [patch.get_width() for patch in bars.axes[0].patches]
    drawn = energy.loc[energy["regime"] == "central", "joules"].sum() / 9 / 1e6
    assert sum(left) == pytest.approx(drawn)
    assert draw_energy(pd.DataFrame(columns=energy.columns), titles, n_worlds=9) is None


SMALL_FILE = """
[path]
title = "Small"
first_year = 2026
last_year = 2028
step_years = 2
paths = 3
regimes = ["central", "market"]
[constants.fleet]
nodes = 30
[constants.load]
model_calls = 40
batch_jobs = 6
[constants.measurement]
horizon_s = 300
displacement_instants = 16
[growth.demand]
parameters = ["load.model_calls"]
factor_per_year = 1.5
grade = "E"
source = "assumed"
[thresholds.at_once]
measure = "jobs"
above = 1
[thresholds.never]
measure = "joules"
below = 0
"""


def test_one_command_prints_dates_and_writes_table_and_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SMALL_FILE, encoding="utf-8")
    line = "grow small.toml --paths 2 --regime central -p 1 --no-progress -o out"
    assert main(line.split()) == 0
    said = capsys.readouterr().out
    assert "baseline from 2026 to 2028, 2 paths" in said
    rows = {row.split()[0]: row.split() for row in said.splitlines() if row and "  " in row}
    assert rows["at_once"][1:5] == ["central", "2", "of", "2"]
    assert rows["never"][1:5] == ["central", "0", "of", "2"]
    assert "2026.0" in rows["at_once"]
    assert "later" in rows["never"]
    dates = pd.read_csv("out/first_passage.csv").set_index("threshold")
    assert dates.loc["at_once", "quarter_year"] == dates.loc["at_once", "first_year"] == 2026.0
    assert np.isinf(dates.loc["never", "three_quarter_year"])
    assert "energy" in Results.load(Path("out")).tables
    figure = Path("out/growth.svg").read_text(encoding="utf-8")
    assert "joules (threshold: below 0)" in figure
    assert ">J<" in figure  # the unit, not "share"


def test_another_scenario_grows_along_the_same_path(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(SMALL_FILE, encoding="utf-8")
    path = read_growth_path(file, scenario="agentic")
    assert path.scenario.name == "agentic"
    assert path.scenario.count("fleet.nodes") == 30
    fewer = adjusted(path, settings=["fleet.nodes=20"], n_paths=1, regimes=["federation"])
    assert fewer.scenario.count("fleet.nodes") == 20
    assert (fewer.n_paths, [rung.name for rung in fewer.rungs]) == (1, ["federation"])
    with pytest.raises(ScenarioError, match=r"load\.model_calls must be at most"):
        adjusted(path, settings=["load.model_calls=90000000"])


def test_the_middle_half_of_the_dates_is_that_of_the_paths() -> None:
    found = summarise_passages(
        np.array([2030.0, 2031, 2032, 2033, 2034, inf, inf, inf]), last_year=2040
    )
    assert (found.first_year, found.quarter_year, found.three_quarter_year) == (2030, 2031, inf)

"""Figures of mechanisms: what they read is right, none is without its manifest, none is blank."""

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from hanse.scenarios.cli import main
from hanse.scenarios.mechanisms.charts import Curves
from hanse.scenarios.mechanisms.figures import MECHANISMS, manifest_path, mechanism_of
from hanse.scenarios.mechanisms.readings import (
    latency_by_calls,
    success_by_calls,
    where_work_runs,
)
from hanse.scenarios.mechanisms.studies import Case, Evidence, binned, grid, measures_of, observe
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.scenario import load, names
from tests.small_runs import tiny

FAMILIES = ("inference", "agentic", "multimodal", "training", "hybrid", "pipeline")


def agents() -> list[Case]:
    few = {"load.model_calls": 0, "load.agentic_jobs": 120, "measurement.horizon_s": 1_200}
    return grid(tiny().replace(few), {})


def test_every_figure_is_of_a_scenario_and_every_family_has_one() -> None:
    assert set(MECHANISMS) <= set(names())
    shown = [load(name) for name in MECHANISMS]
    for family in FAMILIES:
        assert any(scenario.count(f"load.{family}_jobs") > 0 for scenario in shown), family


def test_differences_are_taken_seed_by_seed() -> None:
    rows = pd.DataFrame(
        {
            "regime": ["a", "a", "b", "b"],
            "seed": [0, 1, 0, 1],
            "measure": "cost",
            "value": [1.0, 10.0, 3.0, 12.0],
        }
    )
    levels = Evidence(rows=rows, worlds=pd.DataFrame()).levels("regime")
    paired = levels[levels["measure"] == "cost less a"]
    assert paired[["regime", "mean", "ci_low", "ci_high", "n"]].to_numpy().tolist() == [
        ["b", 2.0, 2.0, 2.0, 2]
    ]
    assert levels.loc[levels["measure"] == "cost", "mean"].tolist() == [5.5, 7.5]


def test_counts_are_cut_into_bins_that_leave_none_out() -> None:
    bins = binned(np.array([1, 2, 3, 5, 6, 40]), (1, 2, 3, 6))
    assert [name for name, _ in bins] == ["1", "2", "3-5", "6+"]
    assert [int(inside.sum()) for _, inside in bins] == [1, 1, 2, 2]


def test_all_cases_of_a_seed_meet_the_same_world() -> None:
    worlds = observe(agents(), [0, 1], measures_of("agentic", "jobs")).worlds
    assert worlds.groupby("seed")["world_digest"].nunique().tolist() == [1, 1]
    assert worlds["world_digest"].nunique() == 2


def test_shares_of_latency_add_up_to_one_and_coordination_is_in_them() -> None:
    rows = observe(agents(), [0], latency_by_calls("agentic")).rows
    by = ["regime", "calls"]
    shares = rows[rows["measure"] == "share"].groupby(by)["value"].sum()
    assert len(shares) >= 4
    assert shares.to_numpy() == pytest.approx(1.0)
    told = rows[rows["measure"] != "share"].pivot_table(index=by, columns="measure", values="value")
    tools = rows[rows["component"] == "tool"].set_index(by)["value"]
    apart = told["coordination, tools with it"] - told["coordination"]
    assert apart.to_numpy() == pytest.approx(tools.loc[apart.index].to_numpy())


def test_success_of_jobs_of_one_call_is_what_the_measures_say_of_those_that_ended() -> None:
    hurried = {"load.one_call_share": 1.0, "load.agentic_two_call_share": 0.0}
    hurried |= {"load.model_calls": 0, "load.agentic_jobs": 400, "load.agentic_deadline_s": 5.0}
    hurried |= {"load.agentic_deadline_multiple": 1.0, "verification.temptation_share": 0.0}
    cases = grid(tiny().replace(hurried), {})
    share = observe(cases, [0], success_by_calls("agentic")).rows
    counted = observe(cases, [0], measures_of("agentic", "jobs_done", "jobs_expired")).rows
    done, expired = counted.pivot_table(
        index="measure", columns="regime", values="value"
    ).to_numpy()
    assert share["calls"].tolist() == ["1", "1"]
    assert share.set_index("regime")["value"].sort_index().to_numpy() == pytest.approx(
        done / (done + expired)
    )
    assert (expired > 0).all()


def test_all_work_of_a_continent_runs_somewhere() -> None:
    rows = observe(agents(), [0], where_work_runs).rows
    whole = rows.groupby(["regime", "asked_from"])["value"].sum()
    assert whole.to_numpy() == pytest.approx(1.0)


def test_a_line_looks_the_same_in_every_panel_and_above_zero_alone_is_logarithmic() -> None:
    cells = [("a", "cost", 1.0), ("b", "cost", 2.0), ("b", "cost less a", -1.0)]
    levels = pd.DataFrame(
        [
            {"by": by, "measure": measure, "x": x, "mean": mean, "ci_low": mean, "ci_high": mean}
            for by, measure, mean in cells
            for x in (1, 10)
        ]
    )
    measures = {"cost": "cost", "cost less a": "less a"}
    draw = Curves(x="x", xlabel="x", by="by", measures=measures, log_x=True, log_y=True)
    figure = draw(levels)
    upper, lower = figure.axes
    colours = {line.get_label(): line.get_color() for line in upper.lines}
    assert {colours["b"]} == {line.get_color() for line in lower.lines if line.get_label() == "b"}
    assert [axis.get_yscale() for axis in figure.axes] == ["log", "linear"]


@pytest.mark.parametrize(("low", "is_said"), [(0.0, True), (1.0, False)])
def test_a_band_that_leaves_a_logarithmic_axis_is_said_to_be_cut(low: float, is_said: bool) -> None:
    levels = pd.DataFrame(
        {"x": [1.0, 2.0], "by": "one", "measure": "m", "mean": 5.0, "ci_low": low, "ci_high": 9.0}
    )
    curves = Curves(x="x", xlabel="x", by="by", measures={"m": "number"}, log_y=True)
    title = curves(levels).legends[0].get_title().get_text()
    assert ("are cut there" in title) == is_said


def test_a_picture_comes_with_its_manifest_and_again_with_the_same_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "plane.png"
    command = ["figure", "retries", "--seeds", "2", "-o", str(picture)]
    assert main(command) == 0
    assert "0.27 a second" in capsys.readouterr().out
    shades = np.unique(matplotlib.image.imread(picture).reshape(-1, 4), axis=0)
    assert len(shades) > 20
    told = json.loads(manifest_path(picture).read_text(encoding="utf-8"))
    assert told["scenario"] == "retries"
    assert told["seeds"] == [0, 1]
    assert told["versions"]["hanse"]
    assert "commit" in told
    assert told["parameters"]["failure.retry_limit"] == 3
    assert len(told["worlds"]) == 10
    assert all(row["world_digest"] for row in told["worlds"])
    assert main([*command[:-1], str(tmp_path / "again.svg")]) == 0
    again = json.loads((tmp_path / "again.json").read_text(encoding="utf-8"))
    assert (again["levels"], again["worlds"]) == (told["levels"], told["worlds"])


def test_what_has_no_figure_and_what_is_no_picture_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["figure", "hybird"]) == 2
    assert "hybrid" in capsys.readouterr().err
    assert main(["figure", "retries", "-o", str(tmp_path / "plane.pdf")]) == 2
    assert ".png" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    with pytest.raises(ScenarioError, match="'baseline' is a scenario without a figure"):
        mechanism_of("baseline")


@pytest.mark.slow
@pytest.mark.parametrize("name", MECHANISMS)
def test_every_mechanism_is_drawn_from_a_single_world_too(name: str) -> None:
    mechanism = mechanism_of(name)
    evidence = mechanism.run(load(name), [0])
    levels = mechanism.levels(evidence)
    assert levels["mean"].notna().all()
    assert isinstance(mechanism.picture(evidence), Figure)


def test_panels_that_share_an_axis_show_the_largest_of_all_of_them() -> None:
    cells = [("left", 1.0), ("right", 5.0)]
    levels = pd.DataFrame(
        [
            {"by": "a", "panel": panel, "measure": "cost", "x": x, "mean": mean}
            | {"ci_low": mean, "ci_high": mean}
            for panel, mean in cells
            for x in (0, 1)
        ]
    )
    figure = Curves(x="x", xlabel="x", by="by", panel="panel", measures={"cost": "cost"})(levels)
    for axis in figure.axes:
        low, high = axis.get_ylim()
        assert low == 0.0
        assert high >= 5.0

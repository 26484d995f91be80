"""Designs and pictures of growth and boundaries: what grows with what, and what a picture says."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from hanse.market.regime import ladder
from hanse.scenarios.analysis.designs import design_of_rows
from hanse.scenarios.cli import main
from hanse.scenarios.experiment import compare
from hanse.scenarios.figures import rung_titles
from hanse.scenarios.growth.boundary import Answer, Start, find_edge
from hanse.scenarios.growth.boundary_figures import draw_boundary_map, draw_branches
from hanse.scenarios.growth.figures import draw_growth
from hanse.scenarios.growth.hysteresis import sweep_both_ways
from hanse.scenarios.growth.laws import FLAT
from hanse.scenarios.growth.load_designs import (
    SERVERS,
    Holding,
    asked_keys,
    geometric_sizes,
    size_rows,
    swept_responses,
)
from hanse.scenarios.growth.scaling import Responses, growth, slope_difference
from hanse.scenarios.latency_figures import draw_latency
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.streams import stream
from hanse.scenarios.sweep import sweep
from tests.small_runs import TINY, tiny


def texts(figure: Figure) -> str:
    """Join all that is written in a figure's panels and legends."""
    axes = figure.axes
    words = [text.get_text() for axis in axes for text in axis.texts]
    words += [axis.get_title(loc="left") for axis in axes]
    words += [
        text.get_text() for axis in axes if (it := axis.get_legend()) for text in it.get_texts()
    ]
    return "\n".join(words)


def test_at_fixed_load_servers_grow_with_what_is_asked_and_at_fixed_capacity_they_do_not() -> None:
    scenario = tiny()
    (same, double), (_, fuller) = (
        size_rows(scenario, [1.0, 2.0], holding=holding) for holding in Holding
    )
    assert all(scenario.values[key] == value for key, value in same.items())
    assert {"load.model_calls", "load.batch_jobs", "load.buyers"} <= set(asked_keys())
    assert all(
        double[key] == pytest.approx(2 * scenario.number(key)) for key in (*SERVERS, *asked_keys())
    )
    assert set(fuller) == set(asked_keys())


def test_sizes_rise_by_one_factor() -> None:
    assert geometric_sizes(1.0, 100.0, 3) == pytest.approx([1.0, 10.0, 100.0])
    with pytest.raises(ScenarioError, match="sizes must rise"):
        geometric_sizes(2.0, 1.0, 3)


def test_growth_is_read_off_a_sweep_through_the_engine() -> None:
    sizes = geometric_sizes(1.0, 8.0, 4)
    design = design_of_rows(size_rows(tiny(), sizes))
    results = sweep(tiny(), design, regimes=ladder[:1], seeds=range(2), workers=1)
    of = swept_responses(results, sizes, measure="jobs", family="model_call", regime="central")
    assert of.x.tolist() == sizes
    # Jobs in proportion: an elasticity of 1, up to the luck of a hundred arrivals.
    slope = np.polyfit(np.log(of.x), of.log_response.mean(axis=1), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.15)


def powers(exponent: float, name: str) -> Responses:
    """Draw responses that grow as a power."""
    x = np.geomspace(1, 100, 10)
    noise = 0.05 * stream(0, name).standard_normal((10, 30))
    return Responses(x=x, log_response=exponent * np.log(x)[:, None] + noise)


def test_slopes_are_told_apart_or_shown_to_be_equal_in_pairs() -> None:
    apart = slope_difference(powers(1.3, "one"), powers(1.0, "other"))
    assert apart.low < 0.3 < apart.high
    assert apart.low > 0.2
    assert not apart.equivalence.is_shown()
    equal = slope_difference(powers(1.0, "one"), powers(1.0, "other"))
    assert equal.low < 0 < equal.high
    assert equal.equivalence.is_shown()
    few = Responses(x=np.array([1.0, 2.0]), log_response=np.zeros((2, 30)))
    with pytest.raises(ScenarioError, match="slopes are paired on the same levels"):
        slope_difference(powers(1.0, "one"), few)


def test_the_picture_of_growth_says_what_is_declared_or_why_nothing_is() -> None:
    flat = powers(0.0, "flat")
    found = growth(flat, resamples=100)
    figure = draw_growth(flat, found, axis="regions", response="GPU-seconds per job")
    assert found.verdict == FLAT
    assert "Declared: flat" in texts(figure)
    assert "polynomial: " in texts(figure)


def test_the_picture_of_latency_names_both_shares_of_each_rung() -> None:
    results = compare(tiny(), seeds=[0], regimes=ladder[:2], workers=1).results
    titles = rung_titles(results)
    measures = results.frame("measures")
    figure = draw_latency(results.frame("latency"), measures, titles)
    assert figure is not None
    chosen = measures[(measures["family"] == "model_call") & (measures["regime"] == "central")]
    value = chosen.set_index("measure")["value"]
    shares = [value["coordination_share"], value["coordination_share_with_tools"]]
    assert f"{shares[0]:.3f} | {shares[1]:.3f}" in texts(figure)
    assert draw_latency(results.frame("latency").head(0), measures, titles) is None


def bistable(x: float, seed: int, start: Start) -> Answer:
    """Collapse at 0.8 from an empty start, and at 0.5 from an overloaded one."""
    turns = (0.8 if start is Start.EMPTY else 0.5) + 0.01 * seed
    return Answer(payload_share=0.6 if x < turns else 0.0, growth_share=0.0)


def test_pictures_of_boundaries_name_the_area_and_draw_an_edge_per_start() -> None:
    points = np.linspace(0.0, 1.0, 101).tolist()
    swept = sweep_both_ways(bistable, points=points, seeds=range(3))
    assert "Area between the branches: 0.18" in texts(draw_branches(swept, axis="load"))
    edges = {
        float(k): {
            start: find_edge(bistable, low=0, high=1, seeds=range(3), tolerance=0.01, start=start)
            for start in Start
        }
        for k in range(2)
    }
    drawn = texts(draw_boundary_map(edges, along="delay, s", axis="load"))
    assert "edge from an empty start" in drawn
    assert "edge from an overloaded start" in drawn


def test_the_command_line_finds_a_boundary(capsys: pytest.CaptureFixture[str]) -> None:
    sets = [f"--set={setting}" for setting in TINY if "model_calls" not in setting]
    asked = ["--axis", "load.model_calls", "--low", "20", "--high", "4000", "--tolerance", "1000"]
    assert main(["boundary", "slack", *sets, *asked, "--seeds", "2", "--pulse", "60"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("slack, central: where it ceases to be executable along load.model")
    assert [line.split()[0] for line in lines[3:5]] == ["empty", "overloaded"]
    assert main(["boundary", "slack", *asked, "--regime", "centrl"]) == 2
    assert "did you mean 'central'?" in capsys.readouterr().err


def test_the_command_line_says_how_a_measure_grows(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sizes = "load.model_calls=20,40,80,160"
    sets = [f"--set={setting}" for setting in TINY if "model_calls" not in setting]
    swept = [
        "sweep",
        "baseline",
        *sets,
        f"--set={sizes}",
        "--seeds",
        "2",
        "-o",
        str(tmp_path / "s"),
    ]
    assert main([*swept, "--regime", "central", "--no-progress"]) == 0
    capsys.readouterr()
    asked = ["growth", str(tmp_path / "s"), "--axis", "load.model_calls"]
    assert main([*asked, "--measure", "jobs"]) == 0
    head, _, names, row = capsys.readouterr().out.splitlines()
    assert head == "jobs of model_call along load.model_calls, 4 levels"
    assert names.split()[:2] == ["regime", "growth"]
    assert row.split()[:2] == ["central", "undetermined"]
    assert main([*asked[:2], "--axis", "load.model_cals"]) == 2
    assert "was not swept" in capsys.readouterr().err

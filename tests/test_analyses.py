"""The commands that ask a saved result: as the functions they call, and refusals that say why."""

import io
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hanse.market.regime import Rung, Settlement, ladder
from hanse.market.units import Floats
from hanse.scenarios.analysis.analyses import (
    design_again,
    discovery_of,
    inference_of,
    sensitivity_of,
)
from hanse.scenarios.analysis.designs import Design, make_design
from hanse.scenarios.analysis.discovery import box_table, discover
from hanse.scenarios.analysis.inference import paired_tests
from hanse.scenarios.analysis.sensitivity import morris_effects, sobol_indices
from hanse.scenarios.cli import main
from hanse.scenarios.commands.plain_text import changes_text
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.results import KIND, Results

SHARES = {"load.hold_share": {"low": 0, "high": 1}, "load.resident_share": {"low": 0, "high": 1}}


def rungs_table(rungs: Sequence[Rung]) -> pa.Table:
    """Tabulate rungs as every result does."""
    return pa.Table.from_pylist(
        [{"rung": r.name, "title": r.title, "change": r.change, **r.regime.parts()} for r in rungs]
    )


def experiment_result(design: Design, values: Floats, *, outcome: str = "gain") -> Results:
    """Return what an experiment leaves whose outcome is known at each point; one seed."""
    n = len(values)
    outcomes = {
        "point": np.arange(n),
        "regime": ["venues"] * n,
        "seed": np.zeros(n, int),
        "outcome": [outcome] * n,
        "value": values,
    }
    manifest = {
        "kind": KIND,
        "seeds": [0],
        "experiment": {
            "method": design.method,
            "options": dict(design.options),
            "uncertainties": [asdict(one) for one in design.factors],
            "levers": [asdict(one) for one in design.levers],
        },
    }
    tables = {
        "points": pa.Table.from_pandas(design.frame(), preserve_index=False),
        "outcomes": pa.table(outcomes),
        "failures": pa.table({"seed": pa.array([], pa.int64())}),
        "rungs": rungs_table(ladder[3:5]),
    }
    return Results(tables=tables, manifest=manifest)


def first_share_rules(design: Design) -> Floats:
    """Return an outcome that the first factor alone decides, below zero under a third of it."""
    return np.array([float(point["load.hold_share"]) for point in design.points]) - 1 / 3


def comparison_result(gain: float) -> Results:
    """Return what a comparison leaves: venues earn `gain` more on each of twelve worlds."""
    rng = np.random.default_rng(4)
    luck = rng.normal(0.0, 5.0, 12)
    shift = gain + rng.normal(0.0, 0.1, 12)
    rows = []
    for regime, values in (("dynamic-central", luck), ("venues", luck + shift)):
        keys = {"regime": regime, "family": "batch", "unit": "USD", "measure": "welfare_usd"}
        rows += [{**keys, "seed": k, "value": v} for k, v in enumerate(values.tolist())]
    rows += [{**row, "measure": "waiting_s", "unit": "s/job"} for row in rows]
    rungs = rungs_table(ladder[3:5])
    return Results(
        tables={"measures": pa.Table.from_pylist(rows), "rungs": rungs}, manifest={"kind": KIND}
    )


def answered(capsys: pytest.CaptureFixture[str], *words: object) -> pd.DataFrame:
    """Run a command and read the CSV that it answers."""
    assert main([*map(str, words), "--csv"]) == 0
    return pd.read_csv(io.StringIO(capsys.readouterr().out))


def test_sensitivity_of_a_saved_result_has_the_indices_of_its_design(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    design = make_design("saltelli", SHARES, n=64, seed=3)
    values = first_share_rules(design)
    saved = experiment_result(design, values).save(tmp_path / "r")
    found = answered(capsys, "sensitivity", saved)
    expected = sobol_indices(design, values)
    assert found[["order", "factor"]].equals(expected[["order", "factor"]])
    numbers = ["index", "ci_low", "ci_high"]
    pd.testing.assert_frame_equal(found[numbers], expected[numbers], rtol=1e-12)
    totals = found[found["order"] == "total"].set_index("factor")["index"]
    assert totals["load.hold_share"] > 0.9
    assert totals["load.resident_share"] == 0.0


def test_sensitivity_takes_each_policy_of_a_screening_by_itself() -> None:
    levers = {"control.cores": [26, 260]}
    design = make_design("morris", SHARES, levers=levers, n=4, seed=1)
    values = first_share_rules(design)
    half = len(values) // 2
    values[half:] *= 3
    found = sensitivity_of(experiment_result(design, values)).table
    assert found["control.cores"].tolist() == [26, 26, 260, 260]
    expected = [morris_effects(design, some) for some in (values[:half], values[half:])]
    assert found["mu"].tolist() == pd.concat(expected)["mu"].tolist()


def test_a_design_of_any_factors_is_made_again_from_a_saved_manifest(tmp_path: Path) -> None:
    factors = {
        "load.hold_share": {"low": 0, "high": 1, "distribution": "triangular", "mode": 0.2},
        "load.resident_share": {"low": 0, "high": 1, "distribution": "normal", "mean": 1, "sd": 2},
        "control.clearing_interval_s": {"low": 0.1, "high": 9, "distribution": "loguniform"},
        "load.model_calls": [20, 40, 80],
    }
    design = make_design("lhs", factors, levers={"control.cores": [26, 260]}, n=5, seed=2)
    saved = experiment_result(design, np.arange(10.0)).save(tmp_path / "r")
    assert design_again(Results.load(saved)).frame().equals(design.frame())


def test_points_that_the_manifest_does_not_make_are_refused() -> None:
    design = make_design("morris", SHARES, n=4, seed=1)
    result = experiment_result(design, first_share_rules(design))
    other = make_design("morris", SHARES, n=4, seed=2).frame()
    tables = {**result.tables, "points": pa.Table.from_pandas(other, preserve_index=False)}
    with pytest.raises(ScenarioError, match="does not make the points that ran"):
        sensitivity_of(replace(result, tables=tables))


def test_discovery_in_a_saved_result_finds_where_the_outcome_is_below_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    design = make_design("lhs", SHARES, n=200, seed=5)
    values = first_share_rules(design)
    saved = experiment_result(design, values).save(tmp_path / "r")
    found = answered(capsys, "discover", saved, "--outcome", "gain")
    pd.testing.assert_frame_equal(found, box_table(discover(design.frame(), values < 0)))
    limit = found["limits"].tolist()
    assert len(limit) == 1
    assert limit[0].startswith("load.hold_share <= 0.3")
    assert main(["discover", str(saved), "--above", "0"]) == 0
    said = capsys.readouterr().out
    assert "load.hold_share > 0.3" in said
    assert f"{(values > 0).sum()} of 200 points have gain above 0; 1 boxes" in said


def test_inference_on_a_saved_result_is_that_of_its_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = comparison_result(0.3)
    saved = result.save(tmp_path / "r")
    found = answered(capsys, "infer", saved, "--margin", "1")
    measures = result.frame("measures")
    expected = paired_tests(measures[measures["measure"] == "welfare_usd"], margin=1)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9)
    row = found.iloc[0]
    assert (row["versus"], row["regime"]) == ("dynamic-central", "venues")
    assert row["ci_low"] < 0.3 < row["ci_high"]
    assert row["variance_ratio"] > 100  # luck of 5 a world, of which pairing leaves 0.1
    assert row["p_equivalence_holm"] < 0.05
    assert len(inference_of(result, measures=["welfare_usd", "waiting_s"]).table) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["discover", "e", "--outcome", "gian"], "no outcome 'gian'; did you mean 'gain'?"),
        (["discover", "e", "--below", "-9"], "none of the 200 points are of interest"),
        (["discover", "e", "--below", "1", "--above", "2"], "got both (1 and 2)"),
        (["discover", "e", "--regime", "venue"], "not read on 'venue'; did you mean 'venues'?"),
        (["discover", "e", "--limits", "0"], "must be a whole number of at least 1, got '0'"),
        (["discover", "c"], "has no outcomes: name some under [outcomes]"),
        (["sensitivity", "e"], "must be 'saltelli' or 'morris' for sensitivity, got 'lhs'"),
        (["sensitivity", "c"], "of no experiment file"),
        (
            ["infer", "c", "--measure", "welfare"],
            "no measure 'welfare'; did you mean 'welfare_usd'",
        ),
        (["infer", "c", "--family", "bach"], "no family 'bach'; did you mean 'batch'?"),
        (["infer", "c", "--point", "3"], "has no points, got --point 3"),
        (["infer", "c", "--margin", "0"], "must be above 0, got 0"),
        (["infer", "nowhere"], "nowhere is not a result of hanse"),
    ],
)
def test_what_cannot_be_asked_is_named(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    design = make_design("lhs", SHARES, n=200, seed=5)
    experiment_result(design, first_share_rules(design)).save(Path("e"))
    comparison_result(0.3).save(Path("c"))
    assert main(words) == 2
    complaint = capsys.readouterr().err
    assert said in complaint
    assert complaint.count("\n") == 1


def test_a_margin_is_of_one_unit() -> None:
    with pytest.raises(ScenarioError, match="one unit, got USD, s/job"):
        inference_of(comparison_result(0.3), measures=["welfare_usd", "waiting_s"], margin=1.0)


def test_an_outcome_must_be_chosen_where_there_are_several() -> None:
    design = make_design("lhs", SHARES, n=40, seed=5)
    values = first_share_rules(design)
    one, other = (
        experiment_result(design, values, outcome=name).tables for name in ("gain", "cost")
    )
    tables = {**one, "outcomes": pa.concat_tables([one["outcomes"], other["outcomes"]])}
    with pytest.raises(ScenarioError, match="--outcome must be one of"):
        discovery_of(Results(tables=tables, manifest={"kind": KIND}))


def test_rungs_that_differ_in_more_than_one_part_are_told_with_all_of_them() -> None:
    first = ladder[3]
    escrowed = replace(ladder[4].regime, settlement=Settlement.ESCROW)
    other = Rung(name="mine", title="Mine", change="two at once", regime=escrowed)
    (line,) = changes_text(Results(tables={"rungs": rungs_table([first, other])}, manifest={}))
    assert line.startswith("mine versus dynamic-central is 2 changes at once: ")
    theirs, ours = first.regime.parts(), escrowed.parts()
    for part in ("plane", "settlement"):
        assert f"{part} ({theirs[part]}, then {ours[part]})" in line
    single = Results(tables={"rungs": rungs_table(ladder[3:5])}, manifest={})
    assert changes_text(single) == []
    skipped = Results(tables={"rungs": rungs_table([ladder[0], ladder[4]])}, manifest={})
    assert changes_text(skipped) == []  # of these no difference is formed at all

"""Experiment files: what they say is what runs, and what is wrong is one line that names it."""

import tomllib
from pathlib import Path

import pandas as pd
import pytest

from hanse.market.regime import Rail
from hanse.market.reporting import Scaled, Truthful
from hanse.scenarios.analysis.designs import make_design
from hanse.scenarios.cli import BAD_INPUT, main
from hanse.scenarios.experiment_file import (
    Experiment,
    experiment_of,
    is_experiment,
    read_experiment,
    with_arguments,
)
from hanse.scenarios.explore import explore
from hanse.scenarios.measuring.measures import SHARED
from hanse.scenarios.outcomes import (
    MEASURES,
    SHARED_MEASURES,
    OutcomeOfInterest,
    outcome_table,
)
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.results import Results
from hanse.scenarios.run import run
from tests.small_runs import TINY, tiny

CONSTANTS = "\n".join(setting.replace("=", " = ") for setting in TINY)
TEXT = f"""
[experiment]
question = "Do venues win where there is much to hold?"
scenario = "baseline"
seeds = [3, 5]
regimes = ["dynamic-central", "venues"]

[constants]
{CONSTANTS}

[uncertainties]
load.hold_share = {{ low = 0, high = 1 }}
load.batch_jobs = [6, 9]

[levers]
"control.cores" = [13, 26]

[outcomes]
waiting_s = {{ family = "model_call" }}
gain = {{ measure = "welfare_usd", regime = "venues", versus = "dynamic-central" }}

[design]
method = "lhs"
n = 3
seed = 1
""".replace("load.batch_jobs = 6\n", "")


def experiment(text: str = TEXT) -> Experiment:
    """Read an experiment from text."""
    return experiment_of(tomllib.loads(text))


@pytest.fixture(scope="module")
def results() -> Results:
    """Run the experiment once."""
    return explore(experiment(), workers=1)


def test_a_file_says_what_runs() -> None:
    read = experiment()
    assert read.seeds == (3, 5)
    assert [rung.name for rung in read.rungs] == ["dynamic-central", "venues"]
    assert [one.key for one in read.design.factors] == ["load.hold_share", "load.batch_jobs"]
    assert [one.key for one in read.design.levers] == ["control.cores"]
    assert read.scenario.count("fleet.nodes") == tiny().count("fleet.nodes")
    assert read.n_runs == 2 * 3 * 2 * 2  # policies x sample x seeds x regimes


def test_the_design_of_a_file_is_that_of_python() -> None:
    same = make_design(
        "lhs",
        {"load.hold_share": {"low": 0, "high": 1}, "load.batch_jobs": [6, 9]},
        levers={"control.cores": [13, 26]},
        n=3,
        seed=1,
    )
    assert experiment().design.points == same.points


def test_every_regime_meets_every_seed_at_every_point(results: Results) -> None:
    runs = results.frame("runs")
    assert len(runs) == experiment().n_runs
    assert runs.groupby(["point", "seed"])["world_digest"].nunique().max() == 1
    assert results.frame("points")["load.batch_jobs"].dtype == int


def test_an_outcome_is_what_a_run_by_itself_measures(results: Results) -> None:
    frame = results.frame("outcomes")
    read = experiment()
    scenario = list(read.design.scenarios(read.scenario))[4]
    by_regime = {}
    for regime in ("dynamic-central", "venues"):
        table = pd.DataFrame(run(scenario, regime, 5).tables["measures"])
        by_regime[regime] = table.set_index(["family", "measure"])["value"]
    here = frame[(frame["point"] == 4) & (frame["seed"] == 5)]
    waiting = here[here["outcome"] == "waiting_s"].set_index("regime")["value"]
    for regime, measured in by_regime.items():
        assert waiting[regime] == measured["model_call", "waiting_s"]
    gain = here[here["outcome"] == "gain"]
    welfare = {k: v.xs("welfare_usd", level="measure").sum() for k, v in by_regime.items()}
    assert gain["value"].tolist() == pytest.approx([welfare["venues"] - welfare["dynamic-central"]])
    assert (gain["regime"].item(), gain["versus"].item()) == ("venues", "dynamic-central")


def test_outcomes_have_a_row_per_point_seed_and_regime(results: Results) -> None:
    sizes = results.frame("outcomes").groupby("outcome").size()
    assert sizes["waiting_s"] == 6 * 2 * 2
    assert sizes["gain"] == 6 * 2


def test_a_run_that_failed_leaves_no_difference() -> None:
    rows = [
        (point, regime, 0, "batch", "welfare_usd", 1.0 + point)
        for point in (0, 1)
        for regime in ("central", "market")[: 2 - point]
    ]
    columns = ["point", "regime", "seed", "family", "measure", "value"]
    gain = OutcomeOfInterest(name="gain", measure="welfare_usd", regime="market", versus="central")
    found = outcome_table([gain], pd.DataFrame(rows, columns=columns)).to_pandas()
    assert found[["point", "value"]].to_numpy().tolist() == [[0.0, 0.0]]


def test_the_measures_that_outcomes_know_are_those_of_a_run() -> None:
    table = pd.DataFrame(run(tiny(), "market", 0).tables["measures"])
    shared = table["family"] == SHARED
    units = [
        dict(zip(some["measure"], some["unit"], strict=True))
        for some in (table[~shared], table[shared])
    ]
    assert units == [dict(MEASURES), dict(SHARED_MEASURES)]


def test_parts_of_regimes_are_levers_that_meet_every_point() -> None:
    text = TEXT.replace('["dynamic-central", "venues"]', '["dynamic-central"]')
    text = text.replace("[levers]", '[levers]\nregime.plane = ["hub", "venues"]')
    read = experiment(text)
    assert [rung.name for rung in read.rungs] == ["dynamic-central", "venues"]
    assert read.n_runs == experiment().n_runs


def test_rails_and_reports_are_levers_by_their_words() -> None:
    parts = 'regime.rail = ["bank", "chain"]\nregime.reporting = ["truthful", "scaled"]'
    text = TEXT.replace('["dynamic-central", "venues"]', '["dynamic-central"]')
    text = text.replace("gain =", "# gain =")
    read = experiment(text.replace("[levers]", f"[levers]\n{parts}"))
    found = [(one.regime.rail, one.regime.reporting) for one in read.rungs]
    assert found == [
        (rail, report) for rail in (Rail.BANK, Rail.CHAIN) for report in (Truthful(), Scaled())
    ]
    with pytest.raises(ScenarioError, match="regime.reporting must be one of truthful, scaled"):
        experiment(text.replace("[levers]", '[levers]\nregime.reporting = ["scald"]'))


def test_regimes_of_a_command_line_take_the_parts_of_the_file() -> None:
    text = TEXT.replace("[levers]", '[levers]\nregime.plane = ["hub", "venues"]')
    text = text.replace('["dynamic-central", "venues"]\n', '["dynamic-central"]\n')
    text = text.replace("gain =", "# gain =")
    changed = with_arguments(experiment(text), regimes=["welfare-rule"])
    found = [rung.regime.parts()["plane"] for rung in changed.rungs]
    assert found == ["hub", "venues"]
    assert changed.rungs[1].name == "welfare-rule with plane venues"


def test_rows_come_from_a_file_beside_the_experiment(tmp_path: Path) -> None:
    rows = pd.DataFrame({"load.hold_share": [0.25, 0.75], "control.cores": [13.0, 26.0]})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    head = '[experiment]\nscenario = "own.toml"\nregimes = ["market"]\n'
    (tmp_path / "own.toml").write_text('extends = "baseline"\n', encoding="utf-8")
    file = tmp_path / "rows.toml"
    file.write_text(f'{head}[design]\nmethod = "frame"\nfile = "rows.csv"\n', encoding="utf-8")
    read = read_experiment(file)
    assert read.design.points == rows.to_dict("records")
    assert len(read.seeds) == 20


def test_listed_points_are_the_design() -> None:
    head = '[experiment]\nscenario = "baseline"\n[design]\nmethod = "list"\n'
    read = experiment(f"{head}points = [{{ load.hold_share = 0 }}, {{ load.hold_share = 1 }}]")
    assert [point["load.hold_share"] for point in read.design.points] == [0, 1]


def test_a_command_line_changes_what_the_design_leaves_alone() -> None:
    changed = with_arguments(experiment(), ["load.buyers=7"], seeds=[1], regimes=None)
    assert (changed.scenario.count("load.buyers"), changed.seeds) == (7, (1,))
    with pytest.raises(ScenarioError, match=r"control.cores is a constant and varies"):
        with_arguments(experiment(), ["control.cores=7"])


BAD = {
    "unknown table": ("[outcomes]", "[outcome]", r"\[outcome\]; did you mean 'outcomes'"),
    "unknown heading": ("seeds =", "sedes =", "experiment.sedes; did you mean 'seeds'"),
    "unknown parameter": ("load.hold_share", "load.hold_shar", "did you mean 'load.hold_share'"),
    "out of bounds": ("high = 1 }", "high = 1.5 }", "hold_share must be at most 1.*got 1.5"),
    "a regime as uncertainty": (
        "[uncertainties]",
        '[uncertainties]\nregime.plane = ["hub"]',
        "'regime.plane' cannot vary from point to point",
    ),
    "unknown scenario": ('"baseline"', '"basline"', "did you mean 'baseline'"),
    "no scenario": ('scenario = "baseline"', "", "must name a scenario of the library"),
    "unknown regime": ('"venues"]', '"venue"]', "unknown regime 'venue'; did you mean 'venues'"),
    "no measure": ('"welfare_usd"', '"welfare"', "'welfare' is no measure of .all.; did you mean"),
    "no measure by name": ("waiting_s =", "waitings =", "did you mean 'waiting_s'"),
    "unknown family": ('"model_call"', '"modelcall"', "did you mean 'model_call'"),
    "not additive": ('family = "model_call"', "", "waiting_s .s/job. does not add up"),
    "unknown entry": ("versus =", "verses =", "knows no 'verses'; did you mean 'versus'"),
    "regime that does not run": (
        'regime = "venues"',
        'regime = "market"',
        "must be a regime of the experiment",
    ),
    "versus nothing": ('regime = "venues", ', "", "needs a regime to set against it"),
    "unknown method": ('"lhs"', '"lsh"', "design.method must be one of .*got 'lsh'"),
    "unknown option": ("n = 3", "n = 3\nlevel = 2", "design.level is no option of lhs"),
    "seeds that repeat": ("[3, 5]", "[3, 3]", "distinct, got 3 more than once"),
    "no seed": ("[3, 5]", "0", "at least 1 or a list of seeds, got 0"),
    "a seed below zero": ("[3, 5]", "[-1]", "at least 0, got -1"),
    "varied and constant": ("[constants]", "[constants]\ncontrol.cores = 3", "and varies, too"),
    "constant out of bounds": ("fleet.nodes = 30", "fleet.nodes = 0", "at least 1"),
    "no table": ("[uncertainties]\n", "[[uncertainties]]\n", "uncertainties must be a table"),
}


@pytest.mark.parametrize(("old", "new", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_named_with_the_file(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert old in TEXT
    file = tmp_path / "mine.toml"
    file.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(ScenarioError, match=rf"^mine.toml: .*{message}"):
        read_experiment(file)


@pytest.mark.parametrize(
    ("regimes", "is_allowed"),
    [
        ('["central", "dynamic-central"]', False),
        ('["central", "without-first-party", "welfare-rule", "dynamic-central"]', True),
    ],
)
def test_a_difference_is_one_change_or_stands_below_its_steps(
    regimes: str, is_allowed: bool
) -> None:
    text = TEXT.replace('["dynamic-central", "venues"]', regimes)
    text = text.replace('versus = "dynamic-central"', 'versus = "central"')
    text = text.replace('regime = "venues"', 'regime = "dynamic-central"')
    if is_allowed:
        assert experiment(text).outcomes[1].versus == "central"
        return
    with pytest.raises(ScenarioError, match="more than one change; name the rungs between"):
        experiment(text)


def test_a_point_that_fits_no_world_is_named_before_anything_runs() -> None:
    text = TEXT.replace('"control.cores" = [13, 26]', "fleet.class_shares = [[1.0], [0.5, 0.5]]")
    with pytest.raises(ScenarioError, match=r"^point 3: fleet.class_shares must have one share"):
        experiment(text)


def test_sweep_runs_an_experiment_file_and_validate_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holds.toml").write_text(TEXT, encoding="utf-8")
    assert is_experiment(Path("holds.toml"))
    assert main(["validate", "holds.toml"]) == 0
    assert "24 runs: 6 points (lhs), 2 seeds, 2 regimes" in capsys.readouterr().out
    assert main(["sweep", "holds.toml", "--seeds", "1", "--no-progress", "-p", "1"]) == 0
    said = capsys.readouterr().out
    assert "gain" in said
    kept = Results.load(tmp_path / "results" / "holds")
    assert set(kept.frame("outcomes")["seed"]) == {0}
    assert kept.manifest["experiment"]["method"] == "lhs"  # type: ignore[index,call-overload]


def test_a_bad_experiment_is_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text(TEXT.replace("n = 3", "n = 0"), encoding="utf-8")
    assert main(["sweep", "bad.toml"]) == 2
    said = capsys.readouterr()
    assert said.err == "hanse: error: bad.toml: design.n must be at least 2 for lhs, got 0\n"
    assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]


@pytest.mark.parametrize("command", ["run", "compare", "show"])
def test_what_runs_scenarios_says_which_command_runs_experiments(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "asked.toml"
    file.write_text('[experiment]\nscenario = "baseline"\n', encoding="utf-8")
    assert main([command, str(file)]) == BAD_INPUT
    told = capsys.readouterr().err
    assert told == "hanse: error: asked.toml is an experiment file, which hanse sweep runs\n"

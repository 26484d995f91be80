"""The command line: one line for bad input, nothing half-written, a true exit status."""

import subprocess
import sys
from pathlib import Path

import pytest

from hanse.market.regime import ladder, regimes, variants
from hanse.scenarios import cli
from hanse.scenarios.cli import main, parse_seeds
from hanse.scenarios.commands import dispatch
from hanse.scenarios.results import Results
from hanse.scenarios.scenario import names
from tests.small_runs import TINY

SET_TINY = [word for setting in TINY for word in ("--set", setting)]

BAD_INPUT = {
    "misspelt key": ("compare baseline --set fleet.node=3", "did you mean 'fleet.nodes'"),
    "out of bounds": ("compare baseline --set fleet.nodes=-3", "fleet.nodes must be at least 1"),
    "no number": ("compare baseline --set fleet.nodes=many", "'many'"),
    "no value": ("compare baseline --set fleet.nodes", "key=value"),
    "impossible fleet": (
        "compare baseline --set fleet.classes=a,b --set fleet.class_shares=0.5,0.4",
        "must sum to 1, got 0.9",
    ),
    "missing trace": ("compare baseline --trace missing.csv", "missing.csv"),
    "beginning without a trace": ("run baseline --trace-from 5", "--trace-from needs a --trace"),
    "unknown scenario": ("compare basline", "did you mean 'baseline'"),
    "missing file": ("validate missing.toml", "missing.toml"),
    "unknown regime": ("run baseline --regime markt", "did you mean 'market'"),
    "unknown variant": ("run baseline --regime federaton", "did you mean 'federation'"),
    "unknown name": ("show markt", "did you mean 'market'"),
    "seeds that repeat": ("compare baseline --seeds 1,1", "distinct"),
    "no seeds": ("compare baseline --seeds 0", "at least one seed"),
    "no worker": ("compare baseline -p 0", "at least 1, got '0'"),
    "unknown command": ("compar baseline", "did you mean 'compare'"),
    "misspelt option": ("compare baseline --sedes 3", "'--sedes'; did you mean '--seeds'"),
    "misspelt choice": ("compare baseline --executor dusk", "did you mean 'dask'"),
    "missing growth path": ("grow missing.toml", "no growth path file 'missing.toml'"),
    "no figure": ("figure baseline", "'baseline' is a scenario without a figure"),
    "no picture of a mechanism": ("figure agentic -o agentic.pdf", "ends in .png or .svg"),
    "an axis of words": (
        "boundary baseline --axis law.export_rule --low 0 --high 1",
        "one number, got law.export_rule, which is 'tabulated'",
    ),
    "a range that falls": (
        "boundary baseline --axis control.cores --low 2 --high 1",
        "must rise from low to high, got 2 to 1",
    ),
    "a range without an end": (
        "boundary baseline --axis control.cores --low 2 --high nan",
        "must rise from low to high, got 2 to nan",
    ),
    "a negative tolerance": (
        "boundary baseline --axis control.cores --low 1 --high 2 --tolerance -1",
        "tolerance must be above 0, got -1",
    ),
    "a negative pulse": (
        "boundary baseline --axis control.cores --low 1 --high 2 --pulse -5",
        "pulse must last at least 0 s, got -5 s",
    ),
    "a ramp below zero": ("boundary baseline --ramp=-1,2", "load.rate_steps must be at least 0"),
    "nothing to sweep": ("sweep baseline", "--set key=a,b,c"),
    "a swept value out of bounds": ("sweep baseline --set fleet.nodes=5,0", "at least 1"),
    "no result": ("report .", "manifest.json"),
    "seasons of an unknown regime": ("seasons baseline --regime markt", "did you mean 'market'"),
    "no season": ("seasons baseline --seasons 0", "at least 1, got '0'"),
    "here": ("compare baseline -o .", "current directory"),
    "unknown growth path": ("grow grwth", "did you mean 'growth'"),
    "no paths": ("grow growth --paths 0", "at least 1"),
    "an edge without an axis": ("boundary baseline --low 1 --high 2", "needs --axis"),
    "an edge and a ramp": ("boundary baseline --ramp 1,2 --axis fleet.nodes", "different things"),
    "a ramp and a pulse": ("boundary baseline --ramp 1,2 --pulse 9", "different things"),
    "a ramp that falls": ("boundary baseline --ramp 2,1", "two levels or more that rise"),
    "a ramp of words": ("boundary baseline --ramp up,down", "numbers such as 0.5,1,2"),
    "a picture of an edge": (
        "boundary baseline --axis fleet.nodes --low 1 --high 2 -o edge.png",
        "of a --ramp alone",
    ),
    "no picture": ("boundary baseline --ramp 1,2 -o ramp.txt", "ends in .png or .svg"),
    "nowhere to write": ("calibrate -o absent/here.toml", "no directory 'absent' for here.toml"),
    "no command": ("", "COMMAND"),
}


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("line", "hint"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_one_line_and_status_2_and_writes_nothing(
    line: str, hint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(line.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("hanse: error: ")
    assert said.err.count("\n") == 1
    assert hint in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_malformed_trace_is_one_line_that_names_the_row(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trace = tmp_path / "calls.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,5,5\n", encoding="utf-8")
    assert main(["compare", "baseline", "--trace", "calls.csv"]) == 2
    said = capsys.readouterr().err
    assert "yesterday" in said
    assert said.count("\n") == 1


def test_a_directory_that_is_no_result_is_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("x", encoding="utf-8")
    assert main(["compare", "baseline", "-o", "thesis"]) == 2
    assert "not an earlier result" in capsys.readouterr().err


def test_an_interrupt_is_a_short_line_and_status_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dispatch, "COMMANDS", {"list": interrupted})
    assert main(["list"]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", (0, 1, 2)), ("0,1,5", (0, 1, 5)), ("7,", (7,)), ("4:6", (4, 5)), (":2", (0, 1))],
)
def test_seeds_are_a_number_a_list_or_a_range(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


def test_list_names_every_scenario_and_every_regime(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    words = capsys.readouterr().out.split()
    assert {*names(), *regimes} <= set(words)


def test_show_gives_a_parameter_with_unit_bounds_and_grade(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["show", "baseline", "--set", "load.hold_share=0.125"]) == 0
    line = next(
        one for one in capsys.readouterr().out.splitlines() if one.startswith("load.hold_share")
    )
    assert line.split()[:6] == ["load.hold_share", "0.125", "share", "0", "..", "1"]


def test_show_gives_the_parts_of_a_regime(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "market"]) == 0
    said = capsys.readouterr().out
    assert all(part in said for part in regimes["market"].parts())


@pytest.mark.parametrize("name", [variant.name for variant in variants])
def test_show_gives_the_parts_of_a_variant(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", name]) == 0
    said = capsys.readouterr().out
    assert regimes[name].parts()["plane"] in said
    assert {*regimes[name].parts()} <= set(said.split())


def test_run_knows_a_variant_by_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "baseline", "--regime", "tree", *SET_TINY, "-o", "kept"]) == 0
    assert capsys.readouterr().out.startswith("baseline, tree, seed 0")
    runs = Results.load(tmp_path / "kept").frame("runs")
    assert runs["regime"].tolist() == ["tree"]


def test_a_sweep_sets_variants_against_what_they_differ_from_in_one_part() -> None:
    line = ["sweep", "baseline", *SET_TINY, "--set", "load.hold_share=0", "--seeds", "2"]
    names = ["dynamic-central", "shards", "federation", "market", "mixed"]
    named = [word for name in names for word in ("--regime", name)]
    assert main([*line, *named, "--no-progress", "-o", "kept"]) == 0
    rows = Results.load(Path("kept")).frame("differences")[["rung", "versus"]].to_numpy().tolist()
    pairs = {(rung, versus) for rung, versus in rows}
    assert pairs == {("shards", "dynamic-central"), ("federation", "shards")}


def test_a_sweep_that_names_no_regime_and_a_comparison_walk_the_ladder_alone() -> None:
    line = ["sweep", "baseline", *SET_TINY, "--set", "load.hold_share=0", "--seeds", "1"]
    assert main([*line, "--no-progress", "-o", "swept"]) == 0
    assert main(["compare", "baseline", *SET_TINY, "--seeds", "1", "-o", "compared"]) == 0
    for kept in ("swept", "compared"):
        found = list(dict.fromkeys(Results.load(Path(kept)).frame("runs")["regime"]))
        assert found == [rung.name for rung in ladder]


def test_validate_says_what_a_file_changes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = 'title = "Mine"\nquestion = "Why?"\nextends = "baseline"\n[fleet]\nnodes = 77\n'
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert main(["validate", "mine.toml"]) == 0
    assert "fleet.nodes = 77" in capsys.readouterr().out


def test_validate_says_how_much_a_growth_path_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = '[path]\nfirst_year = 2026\nlast_year = 2030\npaths = 3\nregimes = ["market"]\n'
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert main(["validate", "mine.toml"]) == 0
    said = capsys.readouterr().out  # 2026, 2028, 2030, each on three paths
    assert "9 runs: 3 paths, 3 dates from 2026 to 2030, 1 regime, 0 thresholds" in said
    assert main(["run", "mine.toml"]) == 2
    assert "is a growth path, which hanse grow follows" in capsys.readouterr().err


def test_a_range_without_an_edge_says_what_was_measured_at_its_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["boundary", "baseline", *SET_TINY, "--axis", "control.cores"]
    assert main([*words, "--low", "20", "--high", "26", "--seeds", "2", "--payload-min", "1"]) == 0
    said = capsys.readouterr().out
    assert "executable nowhere" in said
    assert "payload rate is at least 1 and its work grows by at most 0.01" in said
    assert said.count("0 of 2") == 3  # that turn, and that execute at either end


def test_run_tabulates_measures_and_keeps_them_where_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["run", "baseline", "--regime", "market", "--seed", "3", *SET_TINY]) == 0
    assert list(tmp_path.iterdir()) == []
    assert main(["run", "baseline", *SET_TINY, "-o", "kept"]) == 0
    assert "sync_cost_gpu_s" in capsys.readouterr().out
    assert Results.load(tmp_path / "kept").manifest["command"] == "run"


def test_compare_writes_tables_figures_and_page_and_says_the_same_with_any_workers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = ["compare", "baseline", "--seeds", "2", *SET_TINY, "-o", "kept", "--no-progress"]
    assert main([*line, "-p", "1"]) == 0
    alone = capsys.readouterr()
    assert main([*line, "-p", "2"]) == 0
    assert capsys.readouterr().out == alone.out
    assert "One point, not a headline." in alone.out
    assert "on 1 worker" in alone.err
    assert {"report.html", "manifest.json", "differences.csv", "tables", "figures"} <= {
        path.name for path in (tmp_path / "kept").iterdir()
    }
    (tmp_path / "kept" / "report.html").unlink()
    assert main(["report", "kept"]) == 0
    assert (tmp_path / "kept" / "report.html").exists()


def test_sweep_tabulates_every_point(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = ["sweep", "baseline", *SET_TINY, "--set", "load.hold_share=0,1", "--seeds", "1"]
    assert main([*line, "--regime", "central", "--no-progress"]) == 0
    assert "load.hold_share" in capsys.readouterr().out
    kept = Results.load(tmp_path / "results" / "baseline-sweep")
    assert kept.frame("points")["load.hold_share"].tolist() == ["0", "1"]


def test_a_failed_check_makes_the_status_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        dispatch,
        "COMMANDS",
        {"selftest": lambda _: dispatch.Answer(text="0 of 1 pass", has_failed=True)},
    )
    assert main(["selftest"]) == cli.FAILED
    assert "0 of 1 pass" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    line = f"{sys.executable} -m hanse show baseline | head -n 1"
    said = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (said.stdout, said.stderr) == ("Baseline\n", "")


def test_help_does_not_wait_for_the_numerical_libraries() -> None:
    code = "import sys, hanse.scenarios.cli as c; c.build_parser(); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"numpy", "numba", "pandas", "matplotlib", "mesa"} & set(said.stdout.split()) == set()


def test_seasons_are_kept_and_set_beside_markets_with_their_misses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["seasons", "baseline", *SET_TINY, "--seasons", "2", "--seeds", "2", "-o", "kept"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "MISSES by" in said
    assert "owner_hhi" in said
    kept = Results.load(Path("kept"))
    assert set(kept.frame("seasons")["seed"]) == {0, 1}
    beside = kept.frame("beside_markets")
    assert beside["miss"].notna().any()
    assert main(["sql", "kept", "select count(*) from season_worlds"]) == 0
    assert "4" in capsys.readouterr().out


def test_who_holds_what_is_a_table_of_every_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "baseline", *SET_TINY, "--regime", "market", "-o", "kept"]) == 0
    capsys.readouterr()
    query = "select subsystem, value from structure where measure = 'hhi' order by 1"
    assert main(["sql", "kept", query]) == 0
    said = capsys.readouterr().out
    for subsystem in ("capacity", "routed value", "verification", "routing", "governance"):
        assert subsystem in said

"""Questions to saved results: in SQL, and whether two are the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hanse.market.regime import ladder
from hanse.scenarios import cli
from hanse.scenarios.cli import main
from hanse.scenarios.differ import differences_of
from hanse.scenarios.experiment import compare
from hanse.scenarios.results import Results
from hanse.scenarios.sql import QueryError, query
from hanse.scenarios.sweep import sweep
from tests.small_runs import tiny


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a comparison of two rungs on two worlds."""
    results = compare(tiny(), seeds=range(2), regimes=ladder[:2], workers=1).results
    return results.save(tmp_path_factory.mktemp("results") / "one")


def with_value(results: Results, row: int, value: float) -> Results:
    """Change one value of the measures."""
    table = results.tables["measures"]
    values = table["value"].to_numpy().copy()
    values[row] = value
    index = table.column_names.index("value")
    changed = table.set_column(index, "value", pa.array(values))
    return replace(results, tables={**results.tables, "measures": changed})


def test_sql_gives_what_pandas_gives(saved: Path) -> None:
    text = "select regime, sum(value) as total from measures where measure = 'jobs' group by 1"
    found = query(saved, f"{text} order by 1").to_pandas()
    frame = Results.load(saved).frame("measures")
    expected = frame[frame["measure"] == "jobs"].groupby("regime")["value"].sum().sort_index()
    assert found["regime"].tolist() == expected.index.tolist()
    assert found["total"].tolist() == expected.tolist()


def test_an_answer_without_rows_is_an_answer(saved: Path) -> None:
    assert query(saved, "select * from runs where seed = 99").num_rows == 0


@pytest.mark.parametrize(
    "text",
    [
        "select nothing from measures",
        "selct 1",
        "copy measures to 'stolen.csv'",
        "select * from 'x.csv'",
    ],
)
def test_a_query_that_is_wrong_or_reaches_out_is_refused(
    text: str, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QueryError):
        query(saved, text)
    assert list(tmp_path.iterdir()) == []


def test_the_command_answers_in_columns_and_in_csv(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "select regime, count(*) as n from runs group by 1 order by 1"
    assert main(["sql", str(saved), text, "--csv"]) == 0
    rungs = sorted(rung.name for rung in ladder[:2])
    assert capsys.readouterr().out.split() == ["regime,n", *(f"{name},2" for name in rungs)]
    assert main(["sql", str(saved), text]) == 0
    assert capsys.readouterr().out.split() == ["regime", "n", rungs[0], "2", rungs[1], "2"]
    assert main(["sql", str(saved), "selct"]) == 2
    assert capsys.readouterr().err.startswith("hanse: error: ")


def test_numbers_are_told_without_the_digits_of_their_sums(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "select (4.0 / 3)::double as mean, 3::bigint as n"
    assert main(["sql", str(saved), text]) == 0
    assert capsys.readouterr().out.split() == ["mean", "n", "1.333333333", "3"]
    assert main(["sql", str(saved), text, "--csv"]) == 0
    assert "1.3333333333333333,3" in capsys.readouterr().out


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a sweep of two parameters, four values by two."""
    factors = {"control.clearing_interval_s": [1, 3, 10, 30], "load.hold_share": [0, 1]}
    results = sweep(tiny(), factors, regimes=ladder[3:4], seeds=range(2), workers=1)
    return results.save(tmp_path_factory.mktemp("results") / "crossed")


def test_growth_counts_levels_and_says_over_what_they_are_means(
    crossed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["growth", str(crossed), "--axis", "control.clearing_interval_s"]
    assert main([*words, "--measure", "latency_s"]) == 0
    told = capsys.readouterr().out.splitlines()[0]
    assert told.endswith("interval_s, 4 levels, means over load.hold_share")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--measure latency", "no measure 'latency' in this sweep; did you mean 'latency_s'"),
        ("--family model_cal", "did you mean 'model_call'"),
        ("--family (shared) --measure latency_s", "latency_s is no measure of (shared)"),
        ("--axis load.hold_share", "growth needs 4 levels of load.hold_share, got 2"),
    ],
)
def test_growth_names_what_is_not_in_a_sweep(
    words: str, message: str, crossed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    axis = ["--axis", "control.clearing_interval_s"]
    assert main(["growth", str(crossed), *axis, *words.split()]) == 2
    assert message in capsys.readouterr().err


def test_growth_asks_for_a_sweep(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["growth", str(saved), "--axis", "load.model_calls"]) == 2
    assert "needs the result of a sweep, got that of 'compare'" in capsys.readouterr().err


def test_without_duckdb_the_extra_is_named(
    saved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = cli._missing(ModuleNotFoundError("no", name="duckdb"), "sql")
    monkeypatch.setattr(cli, "_duckdb_query", lambda: missing)
    assert main(["sql", str(saved), "select 1"]) == 2
    assert "duckdb is not installed; pip install 'hanse[sql]'" in capsys.readouterr().err


def test_a_result_is_equivalent_to_itself_made_again(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = compare(tiny(), seeds=range(2), regimes=ladder[:2], workers=2).results
    again.save(tmp_path / "again")
    assert main(["diff", str(saved), str(tmp_path / "again")]) == 0
    assert capsys.readouterr().out.startswith("equivalent: ")


def test_one_changed_number_is_found_and_its_size(saved: Path, tmp_path: Path) -> None:
    one = Results.load(saved)
    values = one.frame("measures")["value"].to_numpy()
    row = int(np.flatnonzero(values > 0)[7])
    other = with_value(one, row, values[row] * 1.25)
    (found,) = differences_of(one, other)
    assert (found.table, found.column, found.n_rows) == ("measures", "value", 1)
    assert found.largest == pytest.approx(0.2)  # (1.25 - 1) / 1.25
    assert one.frame("measures")["measure"].iloc[row] in found.what
    assert differences_of(one, other, rtol=0.2001) == []
    assert main(["diff", str(saved), str(other.save(tmp_path / "other"))]) == 1


def test_not_a_number_is_the_same_as_itself_and_as_nothing_else(saved: Path) -> None:
    one = with_value(Results.load(saved), 0, float("nan"))
    assert differences_of(one, one) == []
    (found,) = differences_of(one, with_value(one, 0, 1.0), rtol=0.5)
    assert found.n_rows == 1


def test_rows_and_tables_that_only_one_has_are_named(saved: Path) -> None:
    one = Results.load(saved)
    fewer = compare(tiny(), seeds=[0], regimes=ladder[:2], workers=1).results
    found = {row.table: row.what for row in differences_of(one, fewer)}
    assert "4 rows against 2; only in the first: scenario baseline" in found["runs"]
    assert "seed 1" in found["runs"]
    lacking = replace(one, tables={k: v for k, v in one.tables.items() if k != "debt"})
    (only,) = differences_of(one, lacking)
    assert (only.table, only.what) == ("debt", "only in the first")

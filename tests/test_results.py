"""What is kept: a result reads back as it was, and never takes the place of something else."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hanse.scenarios.results import KIND, Results, ResultsError, Shelf, write_in_groups
from hanse.scenarios.running.parts import pack, unpack
from hanse.scenarios.running.tasks import Ended
from tests.small_runs import stack_runs


def two_runs() -> Results:
    """Build the smallest result that has every type of column."""
    columns = {
        "family": np.array(["model_call", "batch"], dtype=object),
        "is_open": np.array([True, False]),
        "gpu_us": np.array([1, 2**53 + 1]),
        "value": np.array([0.1, np.nan]),
    }
    runs = [
        ({"scenario": "tiny", "regime": name, "seed": 3}, {"sample": columns})
        for name in ("central", "market")
    ]
    return Results(tables=stack_runs(runs), manifest={"kind": KIND, "command": "run"})


def test_a_result_reads_back_with_the_same_types_and_values(tmp_path: Path) -> None:
    results = two_runs()
    again = Results.load(results.save(tmp_path / "kept"))
    pd.testing.assert_frame_equal(again.frame("sample"), results.frame("sample"))
    assert [str(kind) for kind in again.tables["sample"].schema.types] == [
        "string",
        "string",
        "int64",
        "string",
        "bool",
        "int64",
        "double",
    ]
    assert again.manifest == results.manifest


def test_the_keys_come_first_and_the_runs_stay_in_order() -> None:
    frame = two_runs().frame("sample")
    assert list(frame.columns)[:3] == ["scenario", "regime", "seed"]
    assert list(frame["regime"]) == ["central", "central", "market", "market"]


def test_a_whole_number_beyond_floating_point_is_kept_exactly(tmp_path: Path) -> None:
    again = Results.load(two_runs().save(tmp_path / "kept"))
    assert again.tables["sample"]["gpu_us"].to_pylist()[1] == 2**53 + 1


def test_equal_words_are_one_word_wherever_they_lie_in_memory() -> None:
    words = ["".join(letters) for letters in (["a", "b"], ["a", "b"], ["c"])]
    assert words[0] is not words[1]
    runs = [
        ({"regime": name, "seed": 1}, {"sample": {"word": np.array(words, dtype=object)}})
        for name in ("central", "market")
    ]
    packed = pack([(k, Ended(keys=keys, tables=t)) for k, (keys, t) in enumerate(runs)])
    column = unpack(packed).columns("sample")["word"]
    assert column.words == ["ab", "c"]
    assert column.values.tolist() == [0, 0, 1] * 2
    assert stack_runs(runs)["sample"]["word"].to_pylist() == words * 2


def test_an_earlier_result_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    two_runs().save(target, pages={"old.html": "old"})
    two_runs().save(target, pages={"new.html": "new"})
    assert sorted(path.name for path in target.iterdir()) == ["manifest.json", "new.html", "tables"]
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_directory_that_is_no_result_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("years of work", encoding="utf-8")
    with pytest.raises(ResultsError, match="not an earlier result"):
        two_runs().save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter").read_text(encoding="utf-8") == "years of work"


def test_force_replaces_a_directory_that_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "note").write_text("x", encoding="utf-8")
    two_runs().save(tmp_path / "scratch", force=True)
    assert not (tmp_path / "scratch" / "note").exists()


def test_not_even_force_replaces_the_directory_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    with pytest.raises(ResultsError, match="current directory"):
        two_runs().save(tmp_path, force=True)


def test_a_failed_write_leaves_the_earlier_result_and_nothing_else(tmp_path: Path) -> None:
    target = two_runs().save(tmp_path / "kept")
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    broken = Results(tables={}, manifest={"kind": KIND, "loop": []})
    broken.manifest["loop"].append(broken.manifest["loop"])  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="Circular"):
        broken.save(target)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_foreign_manifest_does_not_make_a_result(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"kind": "web app"}), encoding="utf-8")
    with pytest.raises(ResultsError, match="not a result"):
        Results.load(tmp_path)


def test_a_misspelt_table_names_the_near_miss() -> None:
    with pytest.raises(ResultsError, match="did you mean 'sample'"):
        two_runs().frame("smaple")


def test_a_table_in_a_file_is_read_once_and_wherever_it_lies_by_then(tmp_path: Path) -> None:
    table = pa.table({"k": range(3)})
    file = tmp_path / "t.parquet"
    write_in_groups([table], file)
    asked, not_asked = (Shelf(tables={}, files={"t": file}) for _ in range(2))
    before = asked["t"]
    (tmp_path / "there").mkdir()
    file.rename(tmp_path / "there" / file.name)
    assert asked["t"] is before
    with pytest.raises(FileNotFoundError):
        not_asked["t"]
    moved = not_asked.moved_to(tmp_path / "there")
    assert moved["t"].cast(table.schema) == before.cast(table.schema) == table
    assert [*moved] == ["t"]
    assert [*(moved | {"t": table, "more": table})] == ["t", "more"]

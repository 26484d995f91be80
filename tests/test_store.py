"""What is kept of a sweep outlives a kill, names what is wrong with it, and changes no byte."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hanse.market.regime import ladder
from hanse.scenarios import results as results_module
from hanse.scenarios import yardstick
from hanse.scenarios.cli import main
from hanse.scenarios.experiment import compare
from hanse.scenarios.results import Results, write_in_groups
from hanse.scenarios.running import store as store_module
from hanse.scenarios.running import tasks, worker
from hanse.scenarios.running.store import (
    DiskFull,
    Store,
    StoreBusy,
    StoreDamaged,
    StoreDiffers,
    StoreError,
)
from tests.project_files import PROJECT
from tests.small_runs import TINY, tiny
from tests.sweep_to_kill import N_SEEDS, SETTINGS, swept

N_RUNS = 2 * N_SEEDS * len(SETTINGS["load.hold_share"])


# What a shell runs in the background begins deaf to interrupts, and so do these tests, then.
HEARING = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('hanse', run_name='__main__')"
)


def files_of(folder: Path) -> dict[str, bytes]:
    """Read every file of a result but the manifest, which alone knows times."""
    found = {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    del found["manifest.json"]
    return found


def started(folder: Path, *options: str) -> "subprocess.Popen[str]":
    """Start the sweep in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.sweep_to_kill", str(folder), *options],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_parts(folder: Path, n_parts: int) -> None:
    """Wait until so many parts are on the disk."""
    until = time.monotonic() + 120
    while len(list(folder.glob("kept/parts/*.part"))) < n_parts:
        assert time.monotonic() < until, "no part came"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Run the sweep in one go, in this process, with no store."""
    return files_of(swept(Path(), workers=1).save(tmp_path_factory.mktemp("whole") / "done"))


def test_a_store_changes_no_byte(whole: dict[str, bytes], tmp_path: Path) -> None:
    with Store(tmp_path / "kept") as store:
        assert files_of(swept(tmp_path, store=store).save(tmp_path / "done")) == whole
    assert {"tables/failures.parquet", "failures.csv", "tables/levels.parquet"} <= set(whole)


def test_killed_again_and_again_a_sweep_ends_with_the_bytes_of_one_that_was_not(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    n_kept = []
    for n_parts in (1, 5, 9):
        process = started(tmp_path, "--pause", "0.05")
        wait_for_parts(tmp_path, n_parts)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        n_kept.append(len(list(tmp_path.glob("kept/parts/*.part"))))
    assert n_kept == sorted(n_kept)
    process = started(tmp_path)
    assert process.communicate()[0] == "done\n"
    assert files_of(tmp_path / "done") == whole


def test_runs_of_an_unfinished_world_are_kept_and_not_made_again(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BACK_WITHIN_S", 0.0)
    with Store(tmp_path / "kept") as store:
        swept(tmp_path, workers=1, store=store)
    for part in sorted(tmp_path.glob("kept/parts/*.part"))[7:]:
        part.unlink()  # as a kill after seven runs, in the middle of the fourth world, leaves it
    drawn, references = [], []
    real_draw, real_reference = tasks.draw_world, yardstick.reference_ledger

    def draw(*positional: object, **named: object) -> object:
        drawn.append(1)
        return real_draw(*positional, **named)  # type: ignore[arg-type]

    def reference(*positional: object, **named: object) -> object:
        references.append(1)
        return real_reference(*positional, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "BACK_WITHIN_S", 10.0)
    monkeypatch.setattr(tasks, "draw_world", draw)
    monkeypatch.setattr(yardstick, "reference_ledger", reference)
    with Store(tmp_path / "kept") as store:
        results = swept(tmp_path, workers=1, store=store)
        assert store.n_runs == N_RUNS
    assert len(drawn) == N_RUNS // 2 - 3
    assert len(references) == N_RUNS // 2 - 4  # that of the fourth was kept, and is not repeated
    assert files_of(results.save(tmp_path / "done")) == whole


def test_killed_in_the_middle_of_a_world_a_sweep_goes_on_with_its_next_run(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    for n_parts in (3, 8):
        process = started(tmp_path, "--pause", "0.05", "--singly", "--workers", "1")
        wait_for_parts(tmp_path, n_parts)
        process.kill()
        process.communicate()
        names = [part.name for part in tmp_path.glob("kept/parts/*.part")]
        assert all(name.endswith("-1.part") for name in names)
    process = started(tmp_path)
    assert process.communicate()[0] == "done\n"
    assert files_of(tmp_path / "done") == whole


def test_what_was_kept_does_not_run_again(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path / "kept") as store:
        swept(tmp_path, store=store)
    parts = sorted(tmp_path.glob("kept/parts/*.part"))
    parts[0].unlink()
    ran = []
    monkeypatch.setattr(
        "hanse.scenarios.experiment.draw_world", lambda *_, **__: pytest.fail("never here")
    )
    real = Store.add
    monkeypatch.setattr(Store, "add", lambda self, packed: ran.append(1) or real(self, packed))
    with Store(tmp_path / "kept") as store:
        n_before = store.n_runs
        results = swept(tmp_path, workers=1, store=store)
        assert n_before == 0  # nothing is read before the plan is known
        assert len(ran) >= 1
        assert store.n_runs == N_RUNS
    assert files_of(results.save(tmp_path / "done")) == whole


def test_a_failing_run_is_a_row_with_seed_parameters_error_and_traceback(tmp_path: Path) -> None:
    rows = swept(tmp_path, workers=2).frame("failures")
    assert rows["seed"].tolist() == list(range(N_SEEDS)) * 3
    assert set(rows["regime"]) == {"broken"}
    assert set(rows["error"]) == {
        "ZeroDivisionError: the router divides by the number of free units"
    }
    told = rows["traceback"].iloc[0]
    assert 'File "hanse/scenarios/running/tasks.py"' in told
    assert 'raise ZeroDivisionError("the router divides' in told
    assert str(PROJECT) not in told
    shares = [json.loads(text)["load.hold_share"] for text in rows["parameters"]]
    assert shares == [share for share in SETTINGS["load.hold_share"] for _ in range(N_SEEDS)]


def test_two_sweeps_on_one_folder_are_refused_by_name(tmp_path: Path) -> None:
    process = started(tmp_path, "--pause", "0.2")
    wait_for_parts(tmp_path, 1)
    with (
        pytest.raises(StoreBusy, match=f"in use by process {process.pid}"),
        Store(tmp_path / "kept"),
    ):
        pass
    process.kill()
    process.communicate()
    with Store(tmp_path / "kept") as store:
        assert store.path.exists()


def test_a_store_of_another_design_is_refused_and_left_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "kept") as store:
        compare(tiny(), seeds=range(2), regimes=ladder[:2], workers=1, store=store)
    before = sorted(f.name for f in (tmp_path / "kept" / "parts").iterdir())
    with Store(tmp_path / "kept") as store, pytest.raises(StoreDiffers, match="another design;"):
        compare(tiny(), seeds=range(3), regimes=ladder[:2], workers=1, store=store)
    with Store(tmp_path / "kept") as store, pytest.raises(StoreDiffers, match="another regimes;"):
        compare(tiny(), seeds=range(2), regimes=ladder[:3], workers=1, store=store)
    assert sorted(f.name for f in (tmp_path / "kept" / "parts").iterdir()) == before


@pytest.mark.parametrize("harm", ["a flipped bit", "cut short", "emptied"])
def test_a_damaged_part_is_named(harm: str, tmp_path: Path) -> None:
    with Store(tmp_path / "kept") as store:
        compare(tiny(), seeds=range(2), regimes=ladder[:1], workers=1, store=store)
    part = min(tmp_path.glob("kept/parts/*.part"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    harmed = {"a flipped bit": bytes(content), "cut short": bytes(content[:-7]), "emptied": b""}
    part.write_bytes(harmed[harm])
    with Store(tmp_path / "kept") as store, pytest.raises(StoreDamaged, match=part.name):
        compare(tiny(), seeds=range(2), regimes=ladder[:1], workers=1, store=store)
    part.unlink()
    with Store(tmp_path / "kept") as store:
        compare(tiny(), seeds=range(2), regimes=ladder[:1], workers=1, store=store)


def test_a_damaged_table_of_a_result_is_named(tmp_path: Path) -> None:
    saved = compare(tiny(), seeds=[0], regimes=ladder[:1], workers=1).results.save(tmp_path / "r")
    (saved / "tables" / "runs.parquet").write_bytes(b"not Parquet")
    with pytest.raises(results_module.ResultsError, match=r"runs\.parquet is damaged"):
        Results.load(saved)


def test_a_full_disk_is_named_and_what_is_kept_stays_whole(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(store_module.os, "fsync", full)
        with Store(tmp_path / "kept") as store, pytest.raises(DiskFull, match="make room"):
            swept(tmp_path, store=store)
    assert list(tmp_path.glob("kept/parts/*.fresh")) == []
    with Store(tmp_path / "kept") as store:
        assert files_of(swept(tmp_path, store=store).save(tmp_path / "done")) == whole


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chapter").write_text("years of work", encoding="utf-8")
    with pytest.raises(StoreError, match="not begun by hanse"), Store(tmp_path):
        pass
    assert [f.name for f in tmp_path.iterdir()] == ["chapter"]


def test_pieces_give_the_bytes_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_module, "GROUP_ROWS", 100)
    table = pa.table({"k": list(range(457)), "text": [f"word {k % 7}" for k in range(457)]})
    write_in_groups([table], tmp_path / "whole")
    write_in_groups([table.slice(0, 3), table.slice(3, 250), table.slice(253)], tmp_path / "pieces")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "pieces").read_bytes()
    assert pq.read_table(tmp_path / "pieces").cast(table.schema).equals(table)
    assert pq.ParquetFile(tmp_path / "pieces").num_row_groups == 5


def test_an_interrupted_command_says_what_it_kept_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["sweep", "baseline", *(w for s in TINY for w in ("--set", s)), "--regime", "market"]
    words += ["--set", "load.hold_share=0,1", "--seeds", "40", "--no-progress", "-o"]
    process = subprocess.Popen(
        [sys.executable, "-c", HEARING, *words, "kept"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 120
    while not list(tmp_path.glob("kept.unfinished/parts/*.part")):
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "runs are kept in kept.unfinished, and the same command goes on" in said
    assert "Traceback" not in said
    assert not (tmp_path / "kept").exists()
    assert main([*words, "kept"]) == 0
    assert not (tmp_path / "kept.unfinished").exists()
    assert main([*words, "again"]) == 0
    assert files_of(tmp_path / "kept") == files_of(tmp_path / "again")

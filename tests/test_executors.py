"""Wherever tasks run, and whoever dies meanwhile, the bytes are the same and nothing is lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import pytest
from distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.market.regime import ladder
from hanse.scenarios.cli import main
from hanse.scenarios.experiment import run_task
from hanse.scenarios.running.batches import DEATHS_MAX, ExecutorBroken, Packed, run_batches
from hanse.scenarios.running.executors import ForkedCrew, SerialCrew
from hanse.scenarios.running.parts import pack, unpack
from hanse.scenarios.running.stacking import names_of, stacked
from hanse.scenarios.running.store import Store
from hanse.scenarios.running.tasks import Ended, Task
from hanse.scenarios.sweep import sweep
from tests.dask_on_loopback import Cluster, cluster
from tests.small_runs import TINY, broken_rung, tiny
from tests.sweep_to_kill import swept
from tests.test_store import files_of, started, wait_for_parts

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Run the sweep in this process."""
    return files_of(swept(Path(), workers=1).save(tmp_path_factory.mktemp("whole") / "done"))


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a scheduler and two workers in processes of their own."""
    with cluster(tmp_path_factory.mktemp("dask")) as running:
        yield running


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_forks_gives_the_same_bytes(
    workers: int, whole: dict[str, bytes], tmp_path: Path
) -> None:
    assert files_of(swept(tmp_path, workers=workers).save(tmp_path / "done")) == whole


def test_the_callers_threads_and_processes_give_the_same_bytes(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert files_of(swept(tmp_path, workers=pool).save(tmp_path / "threads")) == whole
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        results = swept(tmp_path, workers=pool)
        assert results.manifest["workers"] == "ProcessPoolExecutor"
        assert files_of(results.save(tmp_path / "processes")) == whole


def test_dask_gives_the_same_bytes(dask: Cluster, whole: dict[str, bytes], tmp_path: Path) -> None:
    with Client(dask.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        with Store(tmp_path / "kept") as store:
            results = swept(tmp_path, workers=client, store=store)
        assert files_of(results.save(tmp_path / "done")) == whole


def test_the_command_line_takes_a_scheduler(
    dask: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["sweep", "baseline", *(w for s in TINY for w in ("--set", s)), "--regime", "market"]
    words += ["--set", "load.hold_share=0,1", "--seeds", "2", "--no-progress", "-o"]
    there = ["--executor", "dask", "--scheduler", dask.address]
    assert main([*words, "there", *there]) == 0
    assert main([*words, "here", "--executor", "serial"]) == 0
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")


def test_a_scheduler_that_nobody_runs_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["sweep", "baseline", "--set", "load.hold_share=0", "-o", "r", "--executor", "dask"]
    assert main(words) == 2
    assert "--executor dask needs --scheduler ADDRESS" in capsys.readouterr().err


def test_a_dask_worker_that_is_killed_loses_nothing(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    with cluster(tmp_path / "dask") as own, Client(own.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        with Store(tmp_path / "kept") as store:
            real, killed = store.add, []

            def add(packed: bytes) -> object:
                if not killed:
                    own.workers[0].kill()
                    killed.append(True)
                return real(packed)

            store.add = add  # type: ignore[method-assign, assignment]
            results = swept(tmp_path, workers=client, store=store)
        assert killed
        assert files_of(results.save(tmp_path / "done")) == whole


def test_a_forked_worker_that_is_killed_loses_nothing(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    process = started(tmp_path, "--pause", "0.1")
    for n_parts in (1, 4):
        wait_for_parts(tmp_path, n_parts)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("utf-8")
        os.kill(int(children.split()[0]), signal.SIGKILL)
    assert process.communicate()[0] == "done\n"
    assert files_of(tmp_path / "done") == whole


def test_workers_die_with_the_process_that_forked_them(tmp_path: Path) -> None:
    process = started(tmp_path, "--pause", "30")
    until = time.monotonic() + 60
    listing = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(listing.read_text("utf-8").split()) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(0.5)
    children = listing.read_text("utf-8").split()
    process.kill()
    process.communicate()
    until = time.monotonic() + 5
    while any(_is_alive(child) for child in children):
        assert time.monotonic() < until, "a worker outlived its parent"
        time.sleep(0.02)


def _is_alive(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def deadly(batch: Sequence[tuple[int, int]], _: object) -> Packed:
    """Die at one task; answer every other with its numbers."""
    if any(number == 5 for number, _ in batch):
        os.kill(os.getpid(), signal.SIGKILL)
    done = tuple(number for number, _ in batch)
    return Packed(part=bytes(done), done=done, seconds=0.001)


def test_a_task_that_kills_its_worker_is_given_up_and_no_other() -> None:
    given_up = []

    def give_up(number: int, times: int) -> Packed:
        given_up.append((number, times))
        return Packed(part=bytes([number]), done=(number,), seconds=0.0)

    crew = ForkedCrew(deadly, range(40), workers=2)
    answers = list(run_batches(crew, range(40), give_up=give_up))
    assert given_up == [(5, DEATHS_MAX)]
    assert sorted(b"".join(answer.part for answer in answers)) == list(range(40))


def noting(batch: Sequence[tuple[int, int]], told: object) -> Packed:
    """Note each task as it is worked on, and die once in the middle of a batch."""
    assert isinstance(told, Path)
    for number, _ in batch:
        note(told, "made", number)
        if number == 25 and not told.with_suffix(".died").exists():
            told.with_suffix(".died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.002)
    done = tuple(number for number, _ in batch)
    return Packed(part=bytes(done), done=done, seconds=0.05 * len(done))


def note(log: Path, what: str, number: int) -> None:
    """Add a line, which the system keeps in one piece, whoever else writes."""
    with log.open("ab", buffering=0) as file:
        file.write(f"{what} {number}\n".encode())


def test_what_reached_the_disk_before_a_worker_died_is_never_made_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    crew = ForkedCrew(noting, range(60), workers=2)
    for answer in run_batches(crew, range(60), give_up=pytest.fail, known=lambda _: log):
        for number in answer.done:
            note(log, "kept", number)
    kept: set[str] = set()
    for line in log.read_text("utf-8").splitlines():
        what, number = line.split()
        assert number not in kept, f"{what} {number} after it was kept"
        kept |= {number} if what == "kept" else set()
    assert kept == set(map(str, range(60)))
    assert log.with_suffix(".died").exists()


LONG_BYTES = 200_000_000


def dying_while_it_answers(batch: Sequence[tuple[int, int]], marks: object) -> Packed:
    """Die so many milliseconds into handing over what no pipe holds, once for each task."""
    assert isinstance(marks, Path)
    done = tuple(number for number, _ in batch)
    for number in done:
        if not (marks / str(number)).exists():
            (marks / str(number)).touch()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process that does not hear it
            signal.setitimer(signal.ITIMER_REAL, 0.05 + 0.05 * number)
            return Packed(part=bytes(LONG_BYTES), done=done, seconds=1.0)
    return Packed(part=b"", done=done, seconds=1.0)


def handed_over_by_the_dying(marks: Path) -> None:
    """Ask for eight answers whose workers die at one instant or another while they send them."""
    crew = ForkedCrew(dying_while_it_answers, range(8), workers=2)
    answers = run_batches(crew, range(8), give_up=pytest.fail, known=lambda _: marks)
    assert sorted(n for answer in answers for n in answer.done) == list(range(8))


def test_a_worker_that_dies_while_it_answers_holds_nobody_up(tmp_path: Path) -> None:
    asking = get_context("fork").Process(target=handed_over_by_the_dying, args=(tmp_path,))
    asking.start()
    asking.join(60)
    is_waiting = asking.is_alive()
    asking.kill()
    asking.join()
    assert not is_waiting
    assert asking.exitcode == 0


def hasty(batch: Sequence[tuple[int, int]], known: object) -> Packed:
    """Come back with the first two of a batch, and with what was told."""
    done = tuple(number for number, _ in batch[:2])
    assert known == [number for number, _ in batch]
    return Packed(part=bytes(done), done=done, seconds=1e-6 * len(done))


@pytest.mark.parametrize("n_together", [1, 3])
def test_what_a_worker_did_not_come_to_is_handed_out_again(n_together: int) -> None:
    crew = SerialCrew(hasty, range(40))
    answers = run_batches(
        crew, range(40), give_up=pytest.fail, n_together=n_together, known=lambda batch: [*batch]
    )
    assert b"".join(answer.part for answer in answers) == bytes(range(40))


class KillingRouter:
    """A router whose process the system ends, as it does to those that take too much memory."""

    def route(self, book: object) -> object:
        os.kill(os.getpid(), signal.SIGKILL)
        return book


def test_a_run_that_kills_its_worker_fails_and_the_others_of_its_world_do_not() -> None:
    killing = replace(broken_rung(), name="killing")
    killing = replace(killing, regime=replace(killing.regime, router=KillingRouter()))  # type: ignore[arg-type]
    rungs = (ladder[3], killing, ladder[4])
    results = sweep(tiny(), {"load.hold_share": [0, 1]}, regimes=rungs, seeds=[0], workers=2)
    failures, runs = results.frame("failures"), results.frame("runs")
    assert failures["regime"].tolist() == ["killing"] * 2
    assert set(failures["error"]) == {
        "WorkerDied: the process of this run died 3 times, the last time alone"
    }
    assert runs["regime"].tolist() == [ladder[3].name, ladder[4].name] * 2
    assert runs["world_digest"].nunique() == 2


class Failing(Executor):
    """An executor that breaks after some batches."""

    def __init__(self, n_batches: int) -> None:
        self._left = n_batches

    def submit(self, work, /, *arguments, **named):  # type: ignore[no-untyped-def, override]  # noqa: ANN001, ANN002, ANN003, ANN201
        if not self._left:
            raise BrokenProcessPool("a child process terminated abruptly")
        self._left -= 1
        future: Future[object] = Future()
        future.set_result(work(*arguments, **named))
        return future


def test_an_executor_that_breaks_is_named_and_another_goes_on(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    with Store(tmp_path / "kept") as store, pytest.raises(ExecutorBroken, match="terminated"):
        swept(tmp_path, workers=Failing(3), store=store)
    with Store(tmp_path / "kept") as store:
        assert files_of(swept(tmp_path, store=store).save(tmp_path / "done")) == whole


N_DRAWN = 6


@cache
def ended() -> list[tuple[int, Ended]]:
    """Run two regimes, of which one fails, on a few worlds."""
    tasks = [Task(keys={"scenario": "tiny"}, scenario=tiny(), seed=k) for k in range(N_DRAWN // 2)]
    rungs = (ladder[0], broken_rung())
    return list(enumerate(end for task in tasks for end in run_task(task, rungs)))


@given(order=st.permutations(range(N_DRAWN)), cuts=st.sets(st.integers(1, N_DRAWN - 1)))
@settings(max_examples=60)
def test_batches_of_any_make_in_any_order_give_the_same_tables(
    order: list[int], cuts: set[int]
) -> None:
    packed = partial(pack, watch="welfare_usd")
    at_once = [unpack(packed(ended()))]
    edges = [0, *sorted(cuts), N_DRAWN]
    batches = [sorted(order[a:b]) for a, b in pairwise(edges)]
    parts = [unpack(packed([ended()[k] for k in batch])) for batch in batches]
    assert names_of(parts) == names_of(at_once)
    for name in names_of(parts):
        found, expected = stacked(parts, name), stacked(at_once, name)
        assert found is not None
        assert expected is not None
        assert found.schema == expected.schema
        assert found.to_pandas().equals(expected.to_pandas())  # one NaN is as good as another


def test_a_worker_imports_only_what_a_run_needs() -> None:
    code = "import sys, hanse.scenarios.running.worker; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    needless = {
        "matplotlib",
        "jinja2",
        "distributed",
        "duckdb",
        "hanse.scenarios.report",
        "hanse.scenarios.paired",
    }
    assert needless & set(said.stdout.split()) == set()

"""The fault campaign: kill, fill and fail a sweep in every way, and count what was lost.

Run it with `make faults`, or `python -m tests.faults --kills 50`. Everything that is killed was
started here. The last line says whether the bytes of every final table were those of a sweep that
nothing happened to; the exit status says it, too.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
from distributed import Client

from hanse.scenarios.running.store import DiskFull, Store
from tests.dask_on_loopback import cluster
from tests.sweep_to_kill import N_SEEDS, SETTINGS, swept
from tests.test_store import files_of, started

N_WORLDS: Final = N_SEEDS * len(SETTINGS["load.hold_share"])
PAUSE_S: Final = 0.05
# About as long as the sweep takes, its save included, once it has begun to keep runs.
LASTS_S: Final = 1.2


def main() -> None:
    """Run every fault, and say what became of the runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of the sweep, at random instants")
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = files_of(swept(folder, workers=1).save(folder / "whole"))
        faults = {
            "killed": kill_sweeps(folder / "sweeps", arguments.kills, rng, whole),
            "worker of a pool killed": kill_forks(folder / "forks", whole),
            "worker of Dask killed": kill_dask_worker(folder / "dask", whole),
            "disk full": fill_disk(folder / "disk", whole),
        }
    for fault, said in faults.items():
        sys.stdout.write(f"{fault}: {said}\n")
    is_whole = not any("LOST" in said for said in faults.values())
    sys.stdout.write("no run lost, none twice, same bytes\n" if is_whole else "RUNS WERE LOST\n")
    sys.exit(0 if is_whole else 1)


def verdict(folder: Path, whole: dict[str, bytes]) -> str:
    """Say whether a result has every run once, and the bytes it should have."""
    runs = pq.read_table(folder / "tables" / "runs.parquet").select(["point", "regime", "seed"])
    failed = pq.read_table(folder / "tables" / "failures.parquet").select(runs.column_names)
    rows = [tuple(row.values()) for row in runs.to_pylist() + failed.to_pylist()]
    is_right = files_of(folder) == whole and len(rows) == len(set(rows)) == 2 * N_WORLDS
    return f"{len(rows)} runs, {len(failed)} of them failing, same bytes" if is_right else "LOST"


def kill_sweeps(
    folder: Path, n_kills: int, rng: np.random.Generator, whole: dict[str, bytes]
) -> str:
    """Kill sweeps, several times each, until so many kills have struck; then let them end.

    In every other sweep runs come back one by one, so that kills strike in the middle of worlds.
    A machine so busy that no sweep ever ends before it is struck still ends the last one.
    """
    n_struck, n_sweeps, said = 0, 0, ""
    while n_struck < n_kills and "LOST" not in said:
        own = folder / str(n_sweeps)
        own.mkdir(parents=True)
        n_sweeps += 1
        while True:
            options = ["--singly"] if n_sweeps % 2 else []
            process = started(own, "--pause", str(PAUSE_S), *options)
            wait_until_it_keeps(own, process)
            lives_s = float(rng.uniform(0.0, LASTS_S)) if n_struck < n_kills else None
            try:
                process.communicate(timeout=lives_s)
                break  # it ended first
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                n_struck += 1
        said = verdict(own / "done", whole)
    return f"{n_struck} times in {n_sweeps} sweeps: {said}"


def wait_until_it_keeps(folder: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until a sweep holds its lock: before that there is nothing to lose."""
    lock = folder / "kept" / "lock"
    while process.poll() is None:
        if lock.exists() and lock.read_text("utf-8").strip() == str(process.pid):
            return
        time.sleep(0.005)


def kill_forks(folder: Path, whole: dict[str, bytes]) -> str:
    """Kill one worker of a pool after the other, as memory killers do."""
    folder.mkdir()
    process = started(folder, "--pause", "0.2")
    n_killed = 0
    while n_killed < 3 and process.poll() is None:
        time.sleep(0.7)
        listing = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if list(folder.glob("kept/parts/*.part")) and (born := listing.read_text("utf-8").split()):
            os.kill(int(born[0]), signal.SIGKILL)
            n_killed += 1
    process.communicate()
    return f"{n_killed} times: {verdict(folder / 'done', whole)}"


def kill_dask_worker(folder: Path, whole: dict[str, bytes]) -> str:
    """Kill one of two workers of a scheduler once the first batch is back."""
    with cluster(folder) as own, Client(own.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        with Store(folder / "kept") as store:
            real = store.add

            def add(packed: bytes) -> object:
                own.workers[0].kill()
                return real(packed)

            store.add = add  # type: ignore[method-assign, assignment]
            swept(folder, workers=client, store=store).save(folder / "done")
    return verdict(folder / "done", whole)


def fill_disk(folder: Path, whole: dict[str, bytes]) -> str:
    """Let a small file system in memory run full, make room, and go on."""
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(mounting, check=False, capture_output=True).returncode:
        return "not tried: mounting a small file system needs rights that are not there"
    try:
        try:
            with Store(folder / "kept") as store:
                swept(folder, store=store)
            return "not tried: the disk was large enough"
        except DiskFull:
            n_kept = len(list(folder.glob("kept/parts/*.part")))
        grow = ["mount", "-o", "remount,size=64m", str(folder)]
        subprocess.run(grow, check=True, capture_output=True)
        with Store(folder / "kept") as store:
            swept(folder, store=store).save(folder / "done")
        return f"after {n_kept} parts, named, then gone on: {verdict(folder / 'done', whole)}"
    finally:
        subprocess.run(["umount", str(folder)], check=False, capture_output=True)


if __name__ == "__main__":
    main()

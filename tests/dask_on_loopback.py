"""A real Dask scheduler and real workers, each a process of its own, on the loopback address."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.project_files import PROJECT


@dataclass(kw_only=True)
class Cluster:
    """What was started: where the scheduler listens, and the processes."""

    address: str
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)


@contextmanager
def cluster(folder: Path, *, n_workers: int = 2) -> Iterator[Cluster]:
    """Start a scheduler and workers of one thread each, without nannies; end them afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "scheduler.json"
    scheduler = _start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", file=told)
    processes = [scheduler]
    try:
        address = _address(told)
        workers = [
            _start("dask_worker", "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1", file=told)
            for _ in range(n_workers)
        ]
        processes += workers
        yield Cluster(address=address, workers=workers)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(program: str, *options: str, file: Path) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", f"distributed.cli.{program}", *options]
    return subprocess.Popen(
        [*words, "--scheduler-file", str(file), "--no-dashboard"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _address(file: Path) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if file.exists() and file.stat().st_size:
            return str(json.loads(file.read_text(encoding="utf-8"))["address"])
        time.sleep(0.05)
    raise TimeoutError("the Dask scheduler did not start within a minute")

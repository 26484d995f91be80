"""Benchmarks run: on next to nothing, where that is quick, and without a word on how fast."""

import subprocess
import sys

import pytest

from tests.project_files import PROJECT

QUICK = {
    "bench_cryptography": ["--rounds", "2"],
    "bench_families": ["--nodes", "200", "300", "--repetitions", "1"],
    "bench_plain_mesa": ["--nodes", "12", "--jobs", "60", "--repetitions", "1"],
    "bench_toy_market": ["--nodes", "8", "--jobs", "30", "--worlds", "2", "--repetitions", "1"],
    "bench_week": ["--share", "0.001"],
}


@pytest.mark.parametrize("name", QUICK)
def test_a_benchmark_runs_to_its_end_and_prints(name: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", *QUICK[name]]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert any(character.isdigit() for character in done.stdout)

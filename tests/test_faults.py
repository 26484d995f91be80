"""The fault campaign in short: a few kills at random instants, and that it can tell a lost run."""

import shutil
from pathlib import Path

import numpy as np

from tests import faults
from tests.sweep_to_kill import swept
from tests.test_store import files_of


def test_a_few_kills_at_random_instants_lose_nothing(tmp_path: Path) -> None:
    whole = files_of(swept(tmp_path, workers=1).save(tmp_path / "whole"))
    said = faults.kill_sweeps(tmp_path / "sweeps", 2, np.random.default_rng(1), whole)
    assert said.endswith("36 runs, 18 of them failing, same bytes")  # 3 points, 6 seeds, 2 regimes
    assert "LOST" not in faults.fill_disk(tmp_path / "disk", whole)


def test_the_campaign_sees_a_run_that_is_lost_or_there_twice(tmp_path: Path) -> None:
    saved = swept(tmp_path, workers=1).save(tmp_path / "whole")
    whole = files_of(saved)
    assert "same bytes" in faults.verdict(saved, whole)
    shutil.copy(saved / "tables" / "failures.parquet", saved / "tables" / "runs.parquet")
    assert faults.verdict(saved, whole) == "LOST"

"""Regimes on the same worlds: pairs, intervals, failures, and the same bytes however run."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from hanse.market.regime import ladder
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.experiment import Comparison, compare
from hanse.scenarios.paired import ALL, WHOLE_LADDER, Cube, paired_cube
from hanse.scenarios.running.batches import WorkerDied, run_in_order
from hanse.scenarios.scenario import ScenarioError, load
from hanse.scenarios.sweep import design, sweep
from tests.small_runs import broken_rung, stack_runs, tiny


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Walk the whole ladder on three worlds."""
    return compare(tiny(), seeds=range(3), workers=1)


def by_hand(welfare: dict[str, Sequence[float]], sync: dict[str, Sequence[float]]) -> Cube:
    """Build the cube of one family from values per rung and seed."""
    runs = []
    for rung, values in welfare.items():
        for seed, (value, cost) in enumerate(zip(values, sync[rung], strict=True)):
            costs = slice(2 if cost else 0)  # what is zero leaves no row
            tables = {
                "runs": {"world_digest": np.array([f"world {seed}"], dtype=object)},
                "measures": {
                    "family": np.array(["batch", "batch"], dtype=object),
                    "measure": np.array(["welfare_usd", "sync_cost_gpu_s"], dtype=object),
                    "unit": np.array(["USD", "GPU-s"], dtype=object),
                    "value": np.array([value, cost]),
                },
                "sync_cost": {
                    "family": np.array(["batch", "batch"], dtype=object)[costs],
                    "operation": np.array(["routing", "routing"], dtype=object)[costs],
                    "cause": np.array(["distance", "distance"], dtype=object)[costs],
                    "region": np.array(["us-va", "de-fra"], dtype=object)[costs],
                    "gpu_s": np.array([9.0, 9.0])[costs],
                    "displaced_gpu_s": np.array([cost / 4, 3 * cost / 4])[costs],
                },
            }
            runs.append(({"regime": rung, "seed": seed}, tables))
    return paired_cube(stack_runs(runs), list(welfare), range(len(next(iter(welfare.values())))))


def row(frame: pd.DataFrame, **keys: str) -> "pd.Series[float]":
    """Return the one row of a table with these keys."""
    chosen = frame[(frame[list(keys)] == pd.Series(keys)).all(axis=1)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_a_paired_interval_is_the_one_that_scipy_gives() -> None:
    before, after = [10.0, 12.0, 9.0, 14.0], [11.5, 12.5, 11.0, 14.2]
    cube = by_hand({"one": before, "two": after}, {"one": [1.0] * 4, "two": [2.0] * 4})
    found = row(cube.differences().to_pandas(), rung="two", measure="welfare_usd")
    expected = ttest_1samp(np.subtract(after, before), 0.0).confidence_interval(0.95)
    assert found["mean"] == pytest.approx(1.05)  # (1.5 + 0.5 + 2.0 + 0.2) / 4
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((expected.low, expected.high))
    assert found["n"] == 4


def test_a_missing_pair_is_left_out_and_the_count_says_so() -> None:
    value = np.array([[1.0, np.nan, 3.0, 8.0]])
    found = interval(value)
    expected = ttest_1samp([1.0, 3.0, 8.0], 0.0).confidence_interval(0.95)
    assert (found.low[0], found.high[0]) == pytest.approx((expected.low, expected.high))
    assert found.n[0] == 3


@pytest.mark.parametrize("value", [0.1, 0.0, -1e9 / 3])
def test_equal_differences_give_the_point_itself(value: float) -> None:
    found = interval(np.full((1, 7), value))
    assert (found.low[0], found.mean[0], found.high[0]) == (value, value, value)


@pytest.mark.parametrize("values", [[], [2.0]])
def test_fewer_than_two_pairs_give_no_interval(values: list[float]) -> None:
    value: NDArray[np.float64] = np.array([[*values, np.nan]])
    found = interval(value)
    assert np.isnan([found.low[0], found.high[0]]).all()
    assert found.n[0] == len(values)


def test_a_cost_that_arises_on_one_rung_only_counts_as_zero_on_the_other() -> None:
    cube = by_hand({"one": [0.0, 0.0], "two": [0.0, 0.0]}, {"one": [0.0, 0.0], "two": [4.0, 6.0]})
    found = row(cube.differences().to_pandas(), rung="two", operation="routing", cause="distance")
    assert found["mean"] == 5.0  # ((4 - 0) + (6 - 0)) / 2, over both regions


def test_operations_and_causes_sum_to_the_total(comparison: Comparison) -> None:
    levels = comparison.levels
    levels = levels[levels["measure"] == "sync_cost_gpu_s"]
    keys = ["rung", "family"]
    total = levels[levels["operation"] == ALL].set_index(keys)["mean"]
    parts = levels[levels["operation"] != ALL].groupby(keys)["mean"].sum()
    parts = parts.reindex(total.index).fillna(0.0)
    assert total.sum() > 0
    np.testing.assert_allclose(parts, total, rtol=1e-9, atol=1e-9)


def test_the_whole_ladder_is_the_sum_of_its_steps(comparison: Comparison) -> None:
    frame = comparison.differences
    keys = ["family", "measure", "operation", "cause"]
    whole = frame[frame["rung"] == WHOLE_LADDER].set_index(keys)["mean"]
    steps = frame[frame["rung"] != WHOLE_LADDER].groupby(keys)["mean"].sum(min_count=1)
    np.testing.assert_allclose(steps.reindex(whole.index), whole, atol=1e-6)


def test_every_regime_meets_the_same_world(comparison: Comparison) -> None:
    worlds = comparison.results.frame("runs").groupby("seed")["world_digest"]
    assert worlds.nunique().tolist() == [1, 1, 1]
    assert worlds.size().tolist() == [len(ladder)] * 3


def test_families_are_never_pooled(comparison: Comparison) -> None:
    assert {"model_call", "batch"} <= set(comparison.differences["family"])


def test_a_gap_in_the_ladder_is_refused() -> None:
    with pytest.raises(ValueError, match=r"consecutive rungs, but market follows central"):
        compare(tiny(), seeds=range(2), regimes=(ladder[0], ladder[6]))


@pytest.mark.parametrize(("seeds", "message"), [((), "none"), ((1, 2, 1), "1 more than once")])
def test_seeds_must_be_there_and_distinct(seeds: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(tiny(), seeds=seeds)


def test_the_same_seeds_give_the_same_bytes_with_one_and_with_two_workers(
    comparison: Comparison, tmp_path: Path
) -> None:
    alone = comparison.results.save(tmp_path / "alone")
    together = compare(tiny(), seeds=range(3), workers=2).results.save(tmp_path / "together")
    files = [path.relative_to(alone) for path in sorted((alone / "tables").iterdir())]
    assert len(files) > 10
    assert all((alone / file).read_bytes() == (together / file).read_bytes() for file in files)


def test_a_failed_run_is_a_row_with_its_seed_and_its_error() -> None:
    comparison = compare(tiny(), seeds=(4, 9), regimes=(ladder[2], broken_rung()), workers=1)
    failures = comparison.failures
    assert failures[["regime", "seed"]].to_numpy().tolist() == [["broken", 4], ["broken", 9]]
    assert failures["error"].str.contains("divides by the number of free units").all()
    assert set(comparison.results.frame("runs")["regime"]) == {ladder[2].name}
    assert comparison.differences["n"].max() == 0
    assert comparison.results.manifest["failures"] == 2


def test_answers_come_in_the_order_of_the_tasks() -> None:
    assert run_in_order(lambda task: task * task, range(50), workers=3) == [
        k * k for k in range(50)
    ]


def test_what_a_task_raises_ends_the_whole() -> None:
    with pytest.raises(ZeroDivisionError):
        run_in_order(lambda task: 1 / (task - 7), range(50), workers=2)


def test_a_worker_that_is_killed_holds_no_answer_up(tmp_path: Path) -> None:
    def work(task: int) -> int:
        if task == 7 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return task

    assert run_in_order(work, range(20), workers=2) == list(range(20))
    with pytest.raises(WorkerDied, match="task 0 died 3 times"):
        run_in_order(lambda _: os.kill(os.getpid(), signal.SIGKILL), range(2), workers=2)


def test_no_worker_is_an_error() -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        run_in_order(str, [1], workers=0)


def test_a_sweep_runs_every_combination_on_the_same_seeds() -> None:
    settings = {"control.cores": (13, 26), "load.hold_share": (0, 0.5, 1)}
    results = sweep(tiny(), settings, regimes=ladder[:2], seeds=(0, 1), workers=1)
    points = results.frame("points")
    assert points["control.cores"].tolist() == ["13", "13", "13", "26", "26", "26"]
    assert results.frame("runs").groupby("point").size().tolist() == [4] * 6
    assert set(results.frame("differences")["point"]) == set(range(6))


def test_a_design_takes_settings_that_only_go_together() -> None:
    points, variants = design(
        load("baseline"), {"fleet.classes": ["a,b"], "fleet.class_shares": ["0.5,0.5", "0.9,0.1"]}
    )
    assert len(points) == len(variants) == 2
    with pytest.raises(ScenarioError):
        design(load("baseline"), {"fleet.classes": ["a,b"]})


def test_a_sweep_forms_no_difference_across_a_gap() -> None:
    rungs = (ladder[0], ladder[7])
    results = sweep(tiny(), {"load.hold_share": (0,)}, regimes=rungs, seeds=(0,), workers=1)
    assert results.frame("differences").empty
    assert set(results.frame("levels")["rung"]) == {"central", "audited-market"}

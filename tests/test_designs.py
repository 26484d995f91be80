"""Designs: each method gives the points it promises, and what is wrong is said before a run."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from SALib.util import scale_samples
from scipy import stats
from scipy.stats import qmc

from hanse.market.regime import ladder, regimes
from hanse.scenarios.analysis.designs import Design, design_of_rows, make_design
from hanse.scenarios.analysis.factors import factor, problem
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.regime_parts import named_rung, rungs_with_parts
from hanse.scenarios.scenario import load
from tests.small_runs import tiny

SHARE = "load.hold_share"
CORES = "control.cores"
CALLS = "load.model_calls"
UNIT = {"low": 0.0, "high": 1.0}
TWO = {SHARE: UNIT, "fleet.occupied_share": UNIT}


def column(design: Design, key: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the values of one parameter at all points."""
    return np.array([point[key] for point in design.points], dtype=float)


def test_a_grid_is_every_combination_in_the_order_of_the_keys() -> None:
    design = make_design("grid", {SHARE: [0, 1], CALLS: {"low": 10, "high": 30}}, levels=3)
    pairs = [(point[SHARE], point[CALLS]) for point in design.points]
    assert pairs == [(0, 10), (0, 20), (0, 30), (1, 10), (1, 20), (1, 30)]


def test_a_latin_hypercube_has_one_point_in_each_stratum() -> None:
    design = make_design("lhs", TWO, n=17, seed=3)
    for key in TWO:
        strata = np.floor(column(design, key) * 17).astype(int)
        assert sorted(strata.tolist()) == list(range(17))


def test_a_scrambled_sobol_sequence_is_balanced_and_beats_chance() -> None:
    design = make_design("sobol", TWO, n=64, seed=1)
    # A (0, 2)-sequence in base 2 puts one of 64 points in each of 8 x 8 boxes.
    boxes = Counter(map(tuple, np.floor(design.unit * 8).astype(int).tolist()))
    assert set(boxes.values()) == {1}
    assert len(boxes) == 64
    by_chance = np.random.default_rng(0).random((64, 2))
    assert qmc.discrepancy(design.unit) < qmc.discrepancy(by_chance) / 3


@pytest.mark.parametrize(("second_order", "n_points"), [(False, 16 * 4), (True, 16 * 6)])
def test_saltelli_changes_one_factor_of_a_row_at_a_time(second_order: bool, n_points: int) -> None:
    unit = make_design("saltelli", TWO, n=16, second_order=second_order).unit
    assert len(unit) == n_points
    for block in np.split(unit, 16):
        base, first, second, other = block[0], block[1], block[2], block[-1]
        np.testing.assert_array_equal(first, [other[0], base[1]])
        np.testing.assert_array_equal(second, [base[0], other[1]])


def test_morris_moves_one_factor_at_a_time_by_the_same_step() -> None:
    unit = make_design("morris", TWO, n=5, levels=6).unit
    for trajectory in np.split(unit, 5):
        steps = np.abs(np.diff(trajectory, axis=0))
        assert sorted(np.count_nonzero(steps, axis=1).tolist()) == [1, 1]
        assert steps.max(axis=0) == pytest.approx([0.6, 0.6])  # p / (2 (p - 1)) of p = 6 levels
    assert set(np.round(unit.ravel() * 5, 9)) <= set(range(6))


@pytest.mark.parametrize("method", ["lhs", "sobol", "saltelli", "morris"])
def test_the_same_seed_gives_the_same_design_and_another_another(method: str) -> None:
    made = [make_design(method, TWO, n=16, seed=seed).unit for seed in (5, 5, 6)]
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_designs_leave_the_global_generator_alone() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr,index]  # noqa: NPY002
    for method in ("lhs", "sobol", "saltelli", "morris"):
        make_design(method, TWO, n=16)
    after = np.random.get_state()[1]  # type: ignore[index]  # noqa: NPY002
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("entry", "law"),
    [
        ({"low": 2, "high": 6}, stats.uniform(2, 4)),
        ({"low": 2, "high": 200, "distribution": "loguniform"}, stats.loguniform(2, 200)),
        (
            {"low": 2, "high": 6, "distribution": "triangular", "mode": 3},
            stats.triang(0.25, 2, 4),
        ),
        (
            {"low": 2, "high": 6, "distribution": "normal", "mean": 3, "sd": 1},
            stats.truncnorm(-1, 3, 3, 1),
        ),
    ],
)
def test_a_range_is_sampled_by_its_distribution(entry: dict[str, object], law: object) -> None:
    values = column(make_design("lhs", {CORES: entry}, n=500, seed=2), CORES)
    # One point per stratum: the empirical distribution is within 1/n of the law's.
    assert stats.kstest(values, law.cdf).statistic <= 1 / 500 + 1e-9  # type: ignore[attr-defined]


@settings(max_examples=50, deadline=None)
@given(low=st.integers(0, 50), width=st.integers(1, 9), n=st.integers(1, 6))
def test_whole_numbers_of_a_range_are_equally_likely(low: int, width: int, n: int) -> None:
    n_values = width + 1
    middle = (np.arange(n * n_values) + 0.5) / (n * n_values)
    made = factor(CALLS, {"low": low, "high": low + width}).at(middle)
    assert Counter(made) == {low + k: n for k in range(n_values)}


def test_listed_values_share_the_unit_interval() -> None:
    made = factor("verification.release", ["receipt", "finality"])
    unit = np.array([0.0, 0.49, 0.5, 1.0])
    assert made.at(unit) == ["receipt", "receipt", "finality", "finality"]


def test_what_a_parameter_allows_is_the_range_where_none_is_given() -> None:
    assert make_design("grid", {SHARE: {}}, levels=2).points == [{SHARE: 0.0}, {SHARE: 1.0}]


def test_every_policy_meets_the_same_sample() -> None:
    design = make_design("sobol", {SHARE: UNIT}, levers={CORES: [13, 26]}, n=4)
    shares = column(design, SHARE)
    assert column(design, CORES).tolist() == [13] * 4 + [26] * 4
    np.testing.assert_array_equal(shares[:4], shares[4:])
    assert design.frame()["point"].tolist() == list(range(8))


def test_rows_of_a_data_frame_are_points_in_their_order() -> None:
    rows = pd.DataFrame({"fleet.class_shares": ["0.5,0.5", "0.9,0.1"], CALLS: [10, 20]})
    design = design_of_rows(rows, levers={SHARE: [0, 1]})
    assert [point[CALLS] for point in design.points] == [10, 20, 10, 20]
    assert design.points[1]["fleet.class_shares"] == (0.9, 0.1)
    assert design.method == "frame"


def test_rows_may_set_different_parameters() -> None:
    design = design_of_rows([{SHARE: 0.5}, {CORES: 13}])
    first, second = design.scenarios(load("baseline"))
    assert (first.number(SHARE), second.number(CORES)) == (0.5, 13.0)
    assert second.number(SHARE) == load("baseline").number(SHARE)


def test_a_problem_of_salib_comes_out_of_any_design() -> None:
    log = {"low": 1, "high": 100, "distribution": "loguniform"}
    design = make_design("lhs", {CORES: log, "verification.release": {}}, n=4)
    assert design.problem() == {
        "num_vars": 2,
        "names": [CORES, "verification.release"],
        "bounds": [[1.0, 100.0], [0.0, 2.0]],
        "dists": ["logunif", "unif"],
    }


def test_salib_samples_the_same_values_from_the_problem() -> None:
    entries: list[dict[str, object]] = [
        {"low": 2, "high": 6},
        {"low": 2, "high": 200, "distribution": "loguniform"},
        {"low": 2, "high": 6, "distribution": "triangular", "mode": 3},
        {"low": 2, "high": 6, "distribution": "normal", "mean": 3, "sd": 1},
    ]
    factors = [factor(CORES, entry) for entry in entries]
    unit = np.random.default_rng(0).random((50, len(factors)))
    theirs = scale_samples(unit.copy(), problem(factors) | {"names": list("abcd")})
    ours = np.array([one.at(unit[:, k]) for k, one in enumerate(factors)], dtype=float).T
    np.testing.assert_allclose(ours, theirs)


BAD = {
    "unknown key": ({"load.hold_shar": UNIT}, {}, "did you mean 'load.hold_share'"),
    "out of bounds": ({SHARE: {"low": 0, "high": 2}}, {}, "hold_share must be at most 1.*got 2"),
    "listed out of bounds": ({SHARE: [0, 3]}, {}, "hold_share must be at most 1.*got 3"),
    "upside down": ({SHARE: {"low": 0.5, "high": 0.2}}, {}, "low must be below high"),
    "unknown entry": ({SHARE: {"hihg": 1}}, {}, "did you mean 'high'"),
    "one value": ({SHARE: 0.5}, {}, r"belongs in \[constants\]"),
    "no values": ({SHARE: []}, {}, "at least one value"),
    "twice": ({SHARE: [0, 0.0]}, {}, "lists a value twice"),
    "unknown distribution": (
        {CORES: {"low": 1, "high": 2, "distribution": "unifrom"}},
        {},
        "did you mean 'uniform'",
    ),
    "log of zero": ({SHARE: {**UNIT, "distribution": "loguniform"}}, {}, "above 0 for loguniform"),
    "no mode": ({SHARE: {**UNIT, "distribution": "triangular"}}, {}, "needs mode"),
    "a mode too many": ({SHARE: {**UNIT, "mode": 0.5}}, {}, "takes no mode"),
    "a range of words": ({"control.hub": {"low": 0, "high": 1}}, {}, "cannot be a range"),
    "no power of two": ({SHARE: UNIT}, {"n": 100}, "power of two.*did you mean 64 or 128"),
    "too few rows": ({SHARE: UNIT}, {"n": 8}, "design.n must be at least 16 for saltelli, got 8"),
    "no n": ({SHARE: UNIT}, {}, "design.n is missing"),
    "an option of another": ({SHARE: UNIT}, {"n": 16, "levels": 4}, "no option of saltelli"),
    "nothing": ({}, {"n": 16}, "at least one uncertainty"),
    "a text for a number": ({SHARE: {"low": "a"}}, {}, "low must be a number"),
}


@pytest.mark.parametrize(("entries", "options", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_used_is_said_with_key_value_and_bound(
    entries: dict[str, object], options: dict[str, object], message: str
) -> None:
    is_about_options = bool(options) or message.endswith("missing") or not entries
    with pytest.raises(ScenarioError, match=message):
        make_design("saltelli", entries, **(options if is_about_options else {"n": 16}))


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("sobl", {}, "did you mean 'sobol'"),
        ("morris", {"n": 3}, "at least 4 for morris, got 3"),
        ("morris", {"n": 4, "levels": 5}, "must be even for morris, got 5"),
        ("lhs", {"n": 1.5}, "whole number, got 1.5"),
        ("grid", {}, "give design.levels"),
        ("frame", {}, "takes rows"),
    ],
)
def test_a_method_says_what_it_cannot_do(
    method: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        make_design(method, {SHARE: UNIT}, **options)


@pytest.mark.parametrize(
    ("levers", "message"),
    [
        ({CORES: {"low": 1, "high": 2}}, "list its values, got a range 1 to 2"),
        ({SHARE: [0, 1]}, "an uncertainty and a lever"),
    ],
)
def test_levers_are_listed_and_no_uncertainties(levers: dict[str, object], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        make_design("lhs", {SHARE: UNIT}, levers=levers, n=4)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row"),
        ([{SHARE: 0.1}, {SHARE: 7}], "row 1: load.hold_share must be at most 1"),
        ([{SHARE: float("nan")}], "row 0: load.hold_share is missing"),
        ([{"regime": "market"}], "regimes are paired"),
        ([{"load.hold_shares": 1}], "did you mean 'load.hold_share'"),
        ([7], "row 0 must set parameters, got 7"),
    ],
)
def test_a_bad_row_is_named_by_its_number(rows: list[object], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        design_of_rows(rows)  # type: ignore[arg-type]


def test_a_point_that_fits_no_world_is_named_by_its_number() -> None:
    design = design_of_rows([{SHARE: 0}, {"fleet.class_shares": "0.5,0.5"}])
    with pytest.raises(ScenarioError, match=r"point 1: fleet.class_shares must have one share"):
        list(design.scenarios(tiny()))


def test_parts_of_regimes_are_combined_and_known_ones_keep_their_name() -> None:
    found = rungs_with_parts(
        [named_rung("dynamic-central")],
        {"plane": ["hub", "venues"], "settlement": ["invoice", "escrow"]},
    )
    names = [rung.name for rung in found]
    assert [names[0], names[2]] == ["dynamic-central", "venues"]
    assert names[3] == "dynamic-central with plane venues, settlement escrow"
    assert found[2].regime == regimes["venues"]
    assert len({rung.regime for rung in found}) == 4


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"plain": ["hub"]}, "unknown regime part 'plain'; did you mean 'plane'"),
        ({"plane": ["hubb"]}, "regime.plane must be one of hub.*did you mean 'hub'"),
        ({"plane": "hub"}, "must be a list"),
        ({"rule": ["posted"]}, "regime locational-prices with rule posted: pricing=LOCATIONAL"),
    ],
)
def test_parts_that_do_not_exist_or_exclude_each_other_are_named(
    parts: dict[str, object], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        rungs_with_parts([ladder[5]], parts)

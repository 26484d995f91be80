"""Sensitivity against functions whose indices are known on paper, and refusals with numbers."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from hanse.market.units import Floats
from hanse.scenarios.analysis.designs import Design, make_design
from hanse.scenarios.analysis.sensitivity import morris_effects, point_means, sobol_indices
from hanse.scenarios.parameters import ScenarioError

KEYS = (
    "load.hold_share",
    "load.resident_share",
    "fleet.occupied_share",
    "fleet.reserved_share",
)
G_COEFFICIENTS = np.array([0.0, 1.0, 4.5, 9.0])


def design_of(method: str, k: int, **options: object) -> Design:
    """Make a design of k factors that are uniform between 0 and 1."""
    return make_design(method, {key: {"low": 0, "high": 1} for key in KEYS[:k]}, **options)


def values_of(design: Design, function: Callable[[Floats], Floats]) -> Floats:
    """Evaluate a function at the points, as the scenario would get them."""
    x = np.array([[point[one.key] for one in design.factors] for point in design.points], float)
    return function(x)


def ishigami(x: Floats) -> Floats:
    """Return Ishigami's function (1990) of three quantiles, with a = 7 and b = 0.1."""
    z: Floats = np.pi * (2 * x - 1)
    y: Floats = np.sin(z[:, 0]) + 7 * np.sin(z[:, 1]) ** 2 + 0.1 * z[:, 2] ** 4 * np.sin(z[:, 0])
    return y


def ishigami_indices() -> dict[tuple[str, str, str], float]:
    """Work Ishigami's indices out: V1, V2, V13 and their sum, in closed form."""
    a, b = 7.0, 0.1
    v1, v2 = (1 + b * np.pi**4 / 5) ** 2 / 2, a**2 / 8
    v13 = b**2 * np.pi**8 * (1 / 18 - 1 / 50)
    first, total = (v1, v2, 0.0), (v1 + v13, v2, v13)
    shares = {("first", KEYS[i], ""): v for i, v in enumerate(first)}
    shares |= {("total", KEYS[i], ""): v for i, v in enumerate(total)}
    shares |= {("second", KEYS[0], KEYS[2]): v13}
    shares |= {("second", KEYS[0], KEYS[1]): 0.0, ("second", KEYS[1], KEYS[2]): 0.0}
    return {key: value / (v1 + v2 + v13) for key, value in shares.items()}


def sobol_g(x: Floats) -> Floats:
    """Return Sobol's g-function of four quantiles."""
    y: Floats = np.prod((np.abs(4 * x - 2) + G_COEFFICIENTS) / (1 + G_COEFFICIENTS), axis=1)
    return y


def sobol_g_indices() -> dict[tuple[str, str, str], float]:
    """Work the indices of the g-function out from the variance of each factor."""
    v = 1 / (3 * (1 + G_COEFFICIENTS) ** 2)
    whole = np.prod(1 + v) - 1
    first = {("first", KEYS[i], ""): v[i] / whole for i in range(4)}
    others = [np.prod(np.delete(1 + v, i)) for i in range(4)]
    return first | {("total", KEYS[i], ""): v[i] * others[i] / whole for i in range(4)}


@pytest.mark.parametrize(
    ("function", "known", "k", "second_order"),
    [(ishigami, ishigami_indices(), 3, True), (sobol_g, sobol_g_indices(), 4, False)],
)
def test_sobol_indices_are_those_on_paper(
    function: Callable[[Floats], Floats],
    known: dict[tuple[str, str, str], float],
    k: int,
    second_order: bool,
) -> None:
    design = design_of("saltelli", k, n=4096, second_order=second_order, seed=1)
    frame = sobol_indices(design, values_of(design, function))
    found = frame.set_index(["order", "factor", "other"])
    assert set(found.index) == set(known)
    for key, value in known.items():
        assert found.loc[key, "index"] == pytest.approx(value, abs=0.02)
        assert found.loc[key, "ci_low"] - 1e-9 <= value <= found.loc[key, "ci_high"] + 1e-9


def test_intervals_of_sobol_indices_cover_what_they_should() -> None:
    known = sobol_g_indices()
    covered = []
    for seed in range(60):
        design = design_of("saltelli", 4, n=128, seed=seed)
        frame = sobol_indices(design, values_of(design, sobol_g), seed=seed)
        truth = [
            known[key] for key in zip(frame["order"], frame["factor"], frame["other"], strict=True)
        ]
        covered.append((frame["ci_low"] <= truth) & (truth <= frame["ci_high"]))
    # Rows of a scrambled sequence are better spread than the bootstrap takes them to be, so that
    # intervals are at least as wide as they should.
    assert np.mean(covered) >= 0.93


def test_morris_effects_of_a_sum_are_its_coefficients() -> None:
    design = design_of("morris", 3, n=6, levels=4)
    frame = morris_effects(design, values_of(design, lambda x: x @ np.array([5.0, -2.0, 0.0])))
    assert frame["mu"].tolist() == pytest.approx([5.0, -2.0, 0.0])
    assert frame["mu_star"].tolist() == pytest.approx([5.0, 2.0, 0.0])
    assert frame["sigma"].tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
    assert (frame["ci_low"] - 1e-9 <= frame["mu_star"]).all()


def test_morris_effects_see_an_interaction_as_spread() -> None:
    design = design_of("morris", 3, n=40, levels=4)
    frame = morris_effects(design, values_of(design, lambda x: x[:, 0] * x[:, 1] + x[:, 2]))
    # Of x1 x2, x1's effect is x2 itself: mean 1/2 over the levels 0, 1/3, 2/3, 1, and spread.
    assert frame["mu"][0] == pytest.approx(0.5, abs=3 * 0.37 / np.sqrt(40))
    assert frame["sigma"][0] > 0.2
    assert frame["sigma"][2] == pytest.approx(0.0, abs=1e-9)


def test_intervals_come_from_a_stream_and_not_from_the_global_generator() -> None:
    design = design_of("saltelli", 3, n=16)
    values = values_of(design, ishigami)
    pd.testing.assert_frame_equal(sobol_indices(design, values), sobol_indices(design, values))


@pytest.mark.parametrize(
    ("method", "values", "message"),
    [
        (
            "saltelli",
            np.ones(79),
            r"n = 16 and 3 factors needs 80 values, one per point, got \(79,",
        ),
        ("saltelli", np.full(80, 2.5), "the outcome is 2.5 at every point"),
        ("saltelli", np.where(np.arange(80) == 7, np.nan, 1.0), "point 7 has no value"),
        ("lhs", np.ones(16), "needs a design by 'saltelli', got one by 'lhs'"),
    ],
)
def test_what_cannot_be_analysed_is_said_with_numbers(
    method: str, values: Floats, message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        sobol_indices(design_of(method, 3, n=16), values)


def outcomes(n_points: int = 8) -> pd.DataFrame:
    """Tabulate one outcome on two regimes and two seeds at each point."""
    rows = [
        (point, regime, seed, "waiting_s", 10.0 * point + seed + (regime == "venues"))
        for point in range(n_points)
        for regime in ("dynamic-central", "venues")
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["point", "regime", "seed", "outcome", "value"])


def test_means_over_seeds_stand_policy_by_policy_in_the_order_of_the_sample() -> None:
    unit = {"low": 0.0, "high": 1.0}
    design = make_design("lhs", {KEYS[0]: unit}, levers={"control.cores": [13, 26]}, n=4)
    found = point_means(
        design, outcomes().sample(frac=1, random_state=1), "waiting_s", regime="venues"
    )
    np.testing.assert_array_equal(found, 10.0 * np.arange(8).reshape(2, 4) + 0.5 + 1.0)


@pytest.mark.parametrize(
    ("outcome", "regime", "n_points", "message"),
    [
        ("waiting", "venues", 4, "no outcome 'waiting'; did you mean 'waiting_s'"),
        ("waiting_s", None, 4, "read on dynamic-central, venues; name one"),
        ("waiting_s", "venue", 4, "not read on 'venue'; did you mean 'venues'"),
        ("waiting_s", "venues", 3, "has no value at point 3; see failures"),
    ],
)
def test_an_outcome_that_is_not_there_is_named(
    outcome: str, regime: str | None, n_points: int, message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        point_means(design_of("lhs", 1, n=4), outcomes(n_points), outcome, regime=regime)

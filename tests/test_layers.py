"""Layers that answer failures: the two ends are known, and between them the ledgers say."""

import pytest

from hanse.market.regime import DYNAMIC_CENTRAL
from hanse.scenarios.growth.layers import Layer, answer_failures, response_to_layers, with_layers
from hanse.scenarios.scenario import Scenario, load
from tests.small_runs import tiny


def failing(**settings: float | str) -> Scenario:
    """Shrink the baseline, and let one call in five fail."""
    return tiny().replace({"failure.call_error_share": 0.2} | settings)


def test_a_layer_adds_conditions_and_takes_errors_away() -> None:
    scenario = with_layers(failing(), Layer(conditions=2, error_factor=0.5), 3)
    assert scenario.count("crossing.rule_dimensions") == 10 + 6
    assert scenario.number("failure.call_error_share") == pytest.approx(0.2 / 8)


def test_where_nothing_fails_no_layer_is_added() -> None:
    layer = Layer(conditions=1, error_factor=0.5)
    rounds = answer_failures(tiny(), layer, regime=DYNAMIC_CENTRAL, tolerated_share=0.0, n_rounds=3)
    assert rounds["layers"].tolist() == [0, 0, 0]


def test_layers_are_added_until_what_fails_is_tolerated() -> None:
    rounds = answer_failures(
        failing(),
        Layer(conditions=0, error_factor=0.1),
        regime=DYNAMIC_CENTRAL,
        tolerated_share=0.1,
        n_rounds=4,
    )
    # A share of 0.2 is too much, and 0.02 is not.
    assert rounds["layers"].tolist() == [0, 1, 1, 1]
    assert rounds["failed_share"].iloc[0] > 0.1 > rounds["failed_share"].iloc[1:].max()


def test_a_layer_that_catches_nothing_only_costs_and_the_law_says_how_much() -> None:
    added = {}
    for law in ("additive", "joint"):
        scenario = failing(**{"crossing.law": law, "crossing.rule_dimensions": 4})
        response = response_to_layers(
            scenario,
            Layer(conditions=2, error_factor=1.0),
            regime=DYNAMIC_CENTRAL,
            n_layers=(0, 1, 2),
            seeds=(0, 1),
        )
        latency = response.groupby("layers")["latency_s"].mean()
        assert latency.is_monotonic_increasing
        added[law] = latency.iloc[-1] - latency.iloc[0]
    assert added["joint"] > 100 * added["additive"] > 0


def test_a_layer_out_of_bounds_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"error_factor must be in \[0, 1\], got 1.5"):
        Layer(conditions=1, error_factor=1.5)
    with pytest.raises(ValueError, match="conditions must be at least 0, got -1"):
        Layer(conditions=-1, error_factor=0.5)


def test_runtime_profiles_touch_crossings_and_workloads_alone() -> None:
    agentic = load("agentic")
    for name in ("stateless", "session-cache", "agent-native"):
        profile = load(name)
        changed = {key for key in profile.values if profile.values[key] != agentic.values[key]}
        assert changed
        assert {key.partition(".")[0] for key in changed} <= {"crossing", "load"}

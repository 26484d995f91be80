"""Layers: an organisation that answers failures with checks, and what a layer too many costs.

An essay says that additive fixes accelerate what they fix: each layer that is added after a failure
is one more boundary to cross. Here nobody adds a cost per layer. After each round, a run on a world
of its own, whoever operates looks at the share of tries that failed. Above what it tolerates it
adds a layer: crossings meet more conditions, as many as a layer is said to bring, and errors of
software become rarer by a factor. What that does to payload, latency and welfare is read from
ledgers. Whether the first layer helps, and which is the last that does, depends on both numbers,
which have no evidence and are arguments, to be swept (docs/why/layers-answer-failures.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hanse.market.regime import Regime
from hanse.scenarios.draw import draw_world
from hanse.scenarios.run import run_world
from hanse.scenarios.scenario import Scenario

_DIMENSIONS = "crossing.rule_dimensions"
_ERRORS = "failure.call_error_share"
MEASURES = ("welfare_usd", "coordination_efficiency", "latency_s", "sync_cost_gpu_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one layer of checks does.

    Attributes
    ----------
    conditions : that a crossing meets more, at least 0.
    error_factor : by which the share of errors falls, in [0, 1]; 1 if the layer catches nothing.
    """

    conditions: int
    error_factor: float

    def __post_init__(self) -> None:
        if self.conditions < 0:
            raise ValueError(f"conditions must be at least 0, got {self.conditions}")
        if not 0.0 <= self.error_factor <= 1.0:
            raise ValueError(f"error_factor must be in [0, 1], got {self.error_factor}")


def with_layers(scenario: Scenario, layer: Layer, n_layers: int) -> Scenario:
    """Return the scenario with so many layers on top of what it has."""
    return scenario.replace(
        {
            _DIMENSIONS: scenario.count(_DIMENSIONS) + n_layers * layer.conditions,
            _ERRORS: scenario.number(_ERRORS) * layer.error_factor**n_layers,
        }
    )


def response_to_layers(
    scenario: Scenario,
    layer: Layer,
    *,
    regime: Regime,
    n_layers: Sequence[int],
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Run the scenario with each number of layers on the same seeds.

    Returns
    -------
    A row per number of layers and seed: layers, seed, failed_share (of tries) and the `MEASURES`,
    summed over families, latency and efficiency as means over families with jobs.
    """
    rows = [
        {
            "layers": count,
            "seed": seed,
            **_outcome(with_layers(scenario, layer, count), regime, seed),
        }
        for count in n_layers
        for seed in seeds
    ]
    return pd.DataFrame(rows)


def answer_failures(
    scenario: Scenario,
    layer: Layer,
    *,
    regime: Regime,
    tolerated_share: float,
    n_rounds: int,
    first_seed: int = 0,
) -> pd.DataFrame:
    """Let an organisation add a layer after each round in which too many tries failed.

    Parameters
    ----------
    tolerated_share : of tries that may fail in a round without an answer, in [0, 1].

    Returns
    -------
    A row per round: round, layers (during it), failed_share and the `MEASURES`.
    """
    if not 0.0 <= tolerated_share <= 1.0:
        raise ValueError(f"tolerated_share must be in [0, 1], got {tolerated_share}")
    layers, rows = 0, []
    for number in range(n_rounds):
        outcome = _outcome(with_layers(scenario, layer, layers), regime, first_seed + number)
        rows.append({"round": number, "layers": layers, **outcome})
        layers += outcome["failed_share"] > tolerated_share
    return pd.DataFrame(rows)


def _outcome(scenario: Scenario, regime: Regime, seed: int) -> dict[str, float]:
    measures = pd.DataFrame(run_world(draw_world(scenario, seed), regime).tables["measures"])
    wide = measures.pivot_table(index="family", columns="measure", values="value", sort=False)
    of_families = wide[wide["jobs"] > 0]
    tries = (of_families["work_amplification"] * of_families["jobs"]).sum()
    return {
        "failed_share": float(of_families["failed_tries"].sum() / max(1.0, tries)),
        "welfare_usd": float(wide["welfare_usd"].sum()),
        "coordination_efficiency": float(np.nanmean(of_families["coordination_efficiency"])),
        "latency_s": float(np.nanmean(of_families["latency_s"])),
        "sync_cost_gpu_s": float(wide["sync_cost_gpu_s"].sum()),
    }

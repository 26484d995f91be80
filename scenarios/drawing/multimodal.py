"""The one place that draws multimodal jobs: a stage per modality, what aligns them, and an answer.

How modalities are aligned in time is a mechanism of the workload (`load.multimodal_alignment`):

- `barrier`: the answer waits for the last of them, and nothing else is done;
- `pairwise`: one alignment for each pair;
- `joint`: one alignment of all, whose work is the number of combinations of states of up to so many
  modalities (`load.multimodal_interaction_order`): Σ C(M, k) · levelsᵏ for k from 2 to the order.

With one level and order 2 the joint work is the sum of the pairwise one.
"""

from math import comb
from typing import Final

import numpy as np

from hanse.market.units import Floats, Integers
from hanse.scenarios.drawing.calls import call_bytes, call_work_us, draw_calls
from hanse.scenarios.drawing.graphs import Graphs, Link, Step, lay_out
from hanse.scenarios.drawing.tapes import (
    Stages,
    Tape,
    draw_arrivals,
    microseconds,
    patient_tape,
    whole,
)
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream

MODALITIES: Final = ("text", "vision", "audio", "video", "structured data")
ENCODE, ALIGN, ANSWER = range(3)
_PAIRWISE: Final = "pairwise"
_JOINT: Final = "joint"
_BYTES_PER_MB: Final = 1e6


def draw_multimodal(scenario: Scenario, seed: int) -> Tape:
    """Draw jobs of so many modalities each, which ones by chance."""
    arrival_us = draw_arrivals(scenario, seed, "multimodal", by_day=True)
    n_jobs = len(arrival_us)
    graphs = _graphs(scenario, n_jobs)
    modality = _draw_modalities(scenario, seed, n_jobs)
    tokens = draw_calls(scenario, seed, "conversation", name="multimodal", shape=(n_jobs,))
    job = graphs.job
    work_us, input_bytes = call_work_us(scenario, tokens)[job], call_bytes(scenario, tokens)[job]
    encodes, aligns = graphs.role == ENCODE, graphs.role == ALIGN
    work_us[encodes] = _draw_encoding_us(scenario, seed, modality)
    work_us[aligns] = alignment_us(scenario)
    input_bytes[encodes] = whole(_of_each(scenario, "input_mb", modality) * _BYTES_PER_MB)
    stages = Stages(work_us=work_us, input_bytes=input_bytes)
    return patient_tape(scenario, "multimodal", arrival_us, graphs=graphs, stages=stages)


def alignment_us(scenario: Scenario) -> int:
    """Return the work of one alignment, at least a microsecond."""
    each_s = scenario.number("load.multimodal_align_s")
    n_combinations = 1
    if scenario.text("load.multimodal_alignment") == _JOINT:
        n_combinations = n_joint_combinations(
            scenario.count("load.multimodal_modalities"),
            levels=scenario.count("load.multimodal_levels"),
            order=scenario.count("load.multimodal_interaction_order"),
        )
    return int(microseconds(np.array([each_s * n_combinations]))[0])


def n_joint_combinations(n_modalities: int, *, levels: int, order: int) -> int:
    """Count the combinations of states of 2 to `order` modalities of so many levels each.

    Examples
    --------
    >>> n_joint_combinations(3, levels=2, order=3)  # 3 pairs x 4 and 1 triple x 8
    20
    """
    return sum(comb(n_modalities, k) * levels**k for k in range(2, order + 1))


def _graphs(scenario: Scenario, n_jobs: int) -> Graphs:
    n_modalities = scenario.count("load.multimodal_modalities")
    alignment = scenario.text("load.multimodal_alignment")
    one = np.ones(n_jobs, np.int64)
    steps = [Step(role=ENCODE, width=n_modalities * one)]
    if alignment == _PAIRWISE and n_modalities > 1:
        n_pairs = n_modalities * (n_modalities - 1) // 2
        steps.append(Step(role=ALIGN, width=n_pairs * one, link=Link.AFTER_PAIRS))
    if alignment == _JOINT:
        steps.append(Step(role=ALIGN, width=one))
    return lay_out(n_jobs, [*steps, Step(role=ANSWER, width=one)])


def _draw_modalities(scenario: Scenario, seed: int, n_jobs: int) -> Integers:
    """Draw which modalities each job has, all different; in the order of the encoding stages."""
    n_modalities = scenario.count("load.multimodal_modalities")
    luck = stream(seed, "multimodal.modality").random((n_jobs, len(MODALITIES)))
    return np.sort(luck.argsort(axis=1)[:, :n_modalities], axis=1).ravel()


def _draw_encoding_us(scenario: Scenario, seed: int, modality: Integers) -> Integers:
    sigma = scenario.number("load.multimodal_encode_sigma")
    spread = stream(seed, "multimodal.encode").lognormal(0.0, sigma, len(modality))
    return microseconds(_of_each(scenario, "encode_s", modality) * spread)


def _of_each(scenario: Scenario, name: str, modality: Integers) -> Floats:
    values: Floats = np.array(scenario.numbers(f"load.multimodal_{name}"))[modality]
    return values

"""The one place that draws jobs in rounds: training over regions, quantum loops, and a pipeline.

*Training*: in each round shards work side by side for so many steps, then one stage joins what they
found, and every shard starts again from that. Each step a round is synchronous training, hundreds
of steps a round train with little communication (Douillard et al. 2023, arXiv:2311.08105). Units
are free between rounds: the model binds no unit to the next stage of a job.

*Hybrid*: a chain of short classical stages; before each but the first a quantum processor answers,
which is a wait of given length, not an accelerator of the market.

*Pipeline*: training shards, then checks of what they made side by side, then a chain of
optimisation steps. Each of the three parts may be bound to a region and to an accelerator class.
"""

from itertools import chain

import numpy as np

from hanse.market.units import BYTES_PER_GB, Floats, Integers
from hanse.scenarios.drawing.graphs import Step, lay_out, repeated, threads
from hanse.scenarios.drawing.tapes import (
    ANY,
    Stages,
    Tape,
    draw_arrivals,
    microseconds,
    patient_tape,
    whole,
)
from hanse.scenarios.scenario import ANY_CLASS, ANYWHERE, Scenario
from hanse.scenarios.streams import stream
from hanse.scenarios.tables import region_index

WORK, JOIN = range(2)
TRAIN, CHECK, LOOP = range(3)
_BYTES_PER_MB = 1e6


def draw_training(scenario: Scenario, seed: int) -> Tape:
    """Draw training jobs: rounds of shards that exchange what they learned."""
    arrival_us = draw_arrivals(scenario, seed, "training")
    n_jobs, n_shards = len(arrival_us), scenario.count("load.training_shards")
    steps, per_round = (
        scenario.count(f"load.training_{name}") for name in ("steps", "steps_per_round")
    )
    one = np.ones(n_jobs, np.int64)
    a_round = [Step(role=WORK, width=n_shards * one), Step(role=JOIN, width=one)]
    graphs = lay_out(n_jobs, repeated(a_round, -(-steps // per_round) * one))
    joins = graphs.role == JOIN
    # A shard does a round's steps, the last round what is left; its rounds lie two depths apart.
    n_steps = np.minimum(per_round, steps - per_round * (graphs.depth // 2))
    spread = _spread(scenario, seed, "training", size=len(joins))
    shard_s = scenario.number("load.training_step_s") * n_steps * spread
    join_s = scenario.number("load.training_join_s")
    exchange = scenario.number("load.training_exchange_gb") * BYTES_PER_GB
    n_parts = np.where(joins, n_shards, np.where(graphs.is_first, 0, 1))
    stages = Stages(
        work_us=microseconds(np.where(joins, join_s, shard_s)),
        input_bytes=whole(exchange * n_parts),
    )
    return patient_tape(scenario, "training", arrival_us, graphs=graphs, stages=stages)


def draw_hybrid(scenario: Scenario, seed: int) -> Tape:
    """Draw loops of classical work with a quantum answer between any two of its stages."""
    arrival_us = draw_arrivals(scenario, seed, "hybrid")
    one = np.ones(len(arrival_us), np.int64)
    graphs = lay_out(
        len(one),
        threads(WORK, calls=scenario.count("load.hybrid_iterations") * one, side_by_side=one),
    )
    spread = _spread(scenario, seed, "hybrid", size=len(graphs.role))
    quantum_us = scenario.microseconds("load.hybrid_quantum_s")
    input_mb = scenario.number("load.hybrid_input_mb")
    stages = Stages(
        work_us=microseconds(scenario.number("load.hybrid_classical_s") * spread),
        tool_us=np.full(len(spread), quantum_us),
        input_bytes=np.full(len(spread), round(input_mb * _BYTES_PER_MB)),
    )
    return patient_tape(scenario, "hybrid", arrival_us, graphs=graphs, stages=stages)


def draw_pipeline(scenario: Scenario, seed: int) -> Tape:
    """Draw pipelines of training, checks and a loop, each where the scenario binds it."""
    arrival_us = draw_arrivals(scenario, seed, "pipeline")
    one = np.ones(len(arrival_us), np.int64)
    n_shards, n_checks, n_iterations = (
        scenario.count(f"load.pipeline_{name}") * one for name in ("shards", "checks", "iterations")
    )
    graphs = lay_out(
        len(one),
        chain(
            [Step(role=TRAIN, width=n_shards), Step(role=CHECK, width=n_checks)],
            threads(LOOP, calls=n_iterations, side_by_side=one),
        ),
    )
    role = graphs.role
    work_s = np.array(
        [scenario.number(f"load.pipeline_{name}_s") for name in ("train", "check", "loop")]
    )
    input_gb = np.array(scenario.numbers("load.pipeline_input_gb"))
    spread = _spread(scenario, seed, "pipeline", size=len(role))
    stages = Stages(
        work_us=microseconds(work_s[role] * spread),
        input_bytes=whole(input_gb[role] * BYTES_PER_GB),
        accelerator=_accelerators(scenario)[role],
        region=_regions(scenario)[role],
    )
    return patient_tape(scenario, "pipeline", arrival_us, graphs=graphs, stages=stages)


def _spread(scenario: Scenario, seed: int, family: str, *, size: int) -> Floats:
    """Draw factors on the work of stages, of mean 1, so that some shards are slower than others."""
    sigma = scenario.number(f"load.{family}_work_sigma")
    return stream(seed, f"{family}.work").lognormal(-(sigma**2) / 2.0, sigma, size)


def _accelerators(scenario: Scenario) -> Integers:
    """Return the class that each part of a pipeline is bound to."""
    classes = scenario.words("fleet.classes")
    bound = scenario.words("load.pipeline_classes")
    return np.array([ANY if word == ANY_CLASS else classes.index(word) for word in bound])


def _regions(scenario: Scenario) -> Integers:
    """Return the region that each part of a pipeline is bound to."""
    bound = scenario.words("load.pipeline_regions")
    return np.array([ANY if word == ANYWHERE else region_index(word) for word in bound])

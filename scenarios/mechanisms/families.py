"""Mechanisms of families: the one place for what the figure of each varies, reads and draws.

None of them names a number that a regime has: what is varied are parameters of the world.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from hanse.market.regime import ladder
from hanse.scenarios.draw import draw_world
from hanse.scenarios.latency_figures import COLOURS
from hanse.scenarios.mechanisms.charts import Curves, dots_by_row, heats, stacked_shares
from hanse.scenarios.mechanisms.mechanism import Mechanism
from hanse.scenarios.mechanisms.readings import (
    latency_by_calls,
    success_by_calls,
    where_work_runs,
)
from hanse.scenarios.mechanisms.studies import TWO, Case, Key, grid, measures_of
from hanse.scenarios.scenario import Scenario, load

COST: Final = {"sync_cost_per_job_gpu_s": "cost, GPU-s per job"}
"""Of synchronization; where a label ends in `less`, paired by seed."""


_BY_REGIME: Final = partial(Curves, by="regime", log_x=True)
"""A line per regime, over what is varied by factors."""


def _under(*names: str) -> Callable[[Scenario], list[Case]]:
    """Return what changes nothing but the regime."""
    return lambda scenario: grid(scenario, {}, names=names)


def _ladder(scenario: Scenario) -> list[Case]:
    drawn = partial(draw_world, scenario)
    return [Case(keys={"rung": rung.title}, draw=drawn, regime=rung.regime) for rung in ladder]


def _beside(*names: str, under: Sequence[str] = TWO) -> Callable[[Scenario], list[Case]]:
    """Return what sets scenarios beside each other, the one that is given as it is given."""

    def cases(scenario: Scenario) -> list[Case]:
        all_of_them = {name: load(name) for name in names} | {scenario.name: scenario}
        return [
            Case(keys={"scenario": name, **one.keys}, draw=one.draw, regime=one.regime)
            for name, its in all_of_them.items()
            for one in grid(its, {}, names=under)
        ]

    return cases


def _levels(**levels: Sequence[Key]) -> Callable[[Scenario], list[Case]]:
    """Return what varies parameters, of which `__` in a name stands for the dot."""
    keys = {name.replace("__", "."): values for name, values in levels.items()}
    return lambda scenario: grid(scenario, keys)


_SUCCESS: Final = Mechanism(
    title="Success by number of calls, in a demonstration and in production",
    caption="Share of jobs done and right, of those that were not open at the horizon, by "
    "number of calls; band: 95 % over worlds.",
    cases=_beside("demonstration", "production"),
    read=success_by_calls("agentic"),
    draw=Curves(
        x="calls",
        xlabel="calls of a job",
        by="scenario",
        panel="regime",
        measures={"success": "share done, right"},
    ),
    n_seeds=8,
)

_RUNTIMES: Final = Mechanism(
    title="The same workflows on three runtimes",
    caption="Latency of the jobs that finished, coordination's share of it, synchronization cost "
    "per job, and the same less that of the first runtime on the same seed; whisker: 95 %.",
    cases=_beside("stateless", "session-cache", "agent-native", under=("dynamic-central",)),
    read=measures_of("agentic", "latency_s", "coordination_share", "sync_cost_per_job_gpu_s"),
    draw=partial(
        dots_by_row,
        rows="scenario",
        measures={
            "latency_s": "latency, s",
            "coordination_share": "share coordination",
            **COST,
            "sync_cost_per_job_gpu_s less stateless": "cost less stateless",
        },
    ),
    n_seeds=8,
    versus="scenario",
)

FAMILIES: Final[Mapping[str, Mechanism]] = {
    "inference": Mechanism(
        title="A single call as more and more arrive",
        caption="Synchronization cost and latency per job as more jobs an hour arrive; band: 95 % "
        "over worlds.",
        cases=_levels(load__inference_jobs=(1_530, 3_060, 6_120, 12_240, 24_480)),
        read=measures_of("inference", "sync_cost_per_job_gpu_s", "latency_s"),
        draw=_BY_REGIME(
            x="load.inference_jobs",
            xlabel="jobs an hour",
            measures={**COST, "latency_s": "latency, s"},
        ),
        n_seeds=5,
        versus="regime",
    ),
    "agentic": Mechanism(
        title="What the latency of agentic jobs consists of, by number of calls",
        caption="Left: mean share of each component of the latency of finished jobs, by number of "
        "calls, under market. Right: coordination's share, without and with the work of tools.",
        cases=_under("market"),
        read=latency_by_calls("agentic"),
        draw=partial(
            stacked_shares,
            rows="calls",
            parts="component",
            colours=COLOURS,
            xlabel="calls of a job",
        ),
        n_seeds=8,
    ),
    "multimodal": Mechanism(
        title="Cost by number of modalities, and by what aligns them",
        caption="Synchronization cost per job by number of modalities, both axes logarithmic; "
        "band: 95 % over worlds.",
        cases=_levels(
            load__multimodal_alignment=("barrier", "pairwise", "joint"),
            load__multimodal_modalities=(1, 2, 3, 4, 5),
        ),
        read=measures_of("multimodal", "sync_cost_per_job_gpu_s", "payload_gpu_s"),
        draw=Curves(
            x="load.multimodal_modalities",
            xlabel="modalities",
            by="load.multimodal_alignment",
            panel="regime",
            measures={**COST, "payload_gpu_s": "payload, GPU-s per run"},
            log_x=True,
            log_y=True,
        ),
        n_seeds=5,
    ),
    "synchronous": Mechanism(
        title="Training by the bytes of an exchange, after every step and after fifty",
        caption="Synchronization cost per training job by gigabytes of an exchange; band: 95 % "
        "over worlds.",
        cases=_levels(
            load__training_steps_per_round=(1, 50),
            load__training_exchange_gb=(0.1, 0.5, 1, 2, 4),
        ),
        read=measures_of("training", "sync_cost_per_job_gpu_s", "latency_s"),
        draw=Curves(
            x="load.training_exchange_gb",
            xlabel="GB a shard and exchange",
            by="load.training_steps_per_round",
            by_words={1: "exchange after every step", 50: "after every 50"},
            panel="regime",
            measures={**COST, "latency_s": "latency of finished jobs, s"},
            log_x=True,
            log_y=True,
        ),
        n_seeds=5,
    ),
    "diloco": Mechanism(
        title="The same steps of training with fewer exchanges",
        caption="Synchronization cost and latency per training job by steps between exchanges; "
        "band: 95 % over worlds.",
        cases=_levels(load__training_steps_per_round=(1, 2, 5, 10, 20, 50, 100, 200)),
        read=measures_of("training", "sync_cost_per_job_gpu_s", "latency_s", "failed_share"),
        draw=_BY_REGIME(
            x="load.training_steps_per_round",
            xlabel="steps between exchanges, of 200",
            measures={
                **COST,
                "latency_s": "latency of finished jobs, s",
                "failed_share": "share expired",
            },
        ),
        n_seeds=5,
        versus="regime",
    ),
    "hybrid": Mechanism(
        title="Short classical stages, by the time of the quantum answer between them",
        caption="Coordination efficiency, latency and coordination's share of it, by the time of a "
        "quantum answer; band: 95 % over worlds.",
        cases=_levels(load__hybrid_quantum_s=(4e-6, 1e-3, 0.1, 1.0, 10.0)),
        read=measures_of(
            "hybrid",
            "coordination_efficiency",
            "latency_s",
            "coordination_share",
            "coordination_share_with_tools",
        ),
        draw=_BY_REGIME(
            x="load.hybrid_quantum_s",
            xlabel="time of a quantum answer, s",
            measures={
                "coordination_efficiency": "efficiency",
                "latency_s": "latency, s",
                "coordination_share": "share coordination",
                "coordination_share_with_tools": "share with tools",
            },
        ),
        n_seeds=5,
        versus="regime",
    ),
    "pipeline": Mechanism(
        title="A pipeline that is bound to three regions, rung by rung",
        caption="Latency of the pipelines that finished, synchronization cost per job, the same "
        "less that of the first rung on the same world, and the share expired; whisker: 95 %.",
        cases=_ladder,
        read=measures_of("pipeline", "latency_s", "sync_cost_per_job_gpu_s", "failed_share"),
        draw=partial(
            dots_by_row,
            rows="rung",
            measures={
                "latency_s": "latency, s",
                **COST,
                "sync_cost_per_job_gpu_s less Central": "cost less Central",
                "failed_share": "share expired",
            },
        ),
        n_seeds=6,
        versus="rung",
    ),
    "continents": Mechanism(
        title="Where the work of each continent is executed",
        caption="Share of the accelerator time of jobs asked for on one continent (row) that is "
        "executed on another (column); means over worlds.",
        cases=_under("central", "dynamic-central", "market"),
        read=where_work_runs,
        draw=partial(heats, rows="asked_from", columns="run_in", panel="regime"),
        n_seeds=5,
    ),
    "demonstration": _SUCCESS,
    "production": _SUCCESS,
    "stateless": _RUNTIMES,
    "session-cache": _RUNTIMES,
    "agent-native": _RUNTIMES,
}

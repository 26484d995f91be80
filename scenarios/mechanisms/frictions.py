"""Mechanisms of frictions: the one place for what figures of crossings and of retries vary."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from hanse.agents.world import World
from hanse.market.engine.states import ON_AUTHORITY, ON_POLICY
from hanse.market.failure_terms import FailureTerms
from hanse.scenarios.draw import draw_world
from hanse.scenarios.mechanisms.charts import Curves
from hanse.scenarios.mechanisms.families import COST
from hanse.scenarios.mechanisms.mechanism import Mechanism
from hanse.scenarios.mechanisms.readings import goodput_by_time
from hanse.scenarios.mechanisms.studies import (
    Case,
    grid,
    measures_of,
    state_time,
    together,
)
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.selftest.checks import ON_ARRIVAL
from hanse.scenarios.selftest.failing_worlds import impatient_world
from hanse.scenarios.streams import stream

RATES_PER_S: Final = (0.20, 0.23, 0.27, 0.35)
_HORIZON_S: Final = 20_000
_PULSE_S: Final = 2_000
_PULSE: Final = 50

_HOLDS: Final = {
    "released": {"load.hold_share": 0.0},
    "held": {"load.hold_share": 1.0},
    "held, eight to a unit": {"load.hold_share": 1.0, "crossing.hold_batch": 8},
}


def impatient(failures: FailureTerms, per_s: float, seed: int) -> World:
    """Build one plane of rate one, on which a pulse of requests falls."""
    return impatient_world(
        stream(seed, "mechanism.retries"),
        per_s=per_s,
        horizon_s=_HORIZON_S,
        pulse=_PULSE,
        pulse_s=_PULSE_S,
        failures=failures,
    )


def _pulses(scenario: Scenario) -> list[Case]:
    """Let a pulse fall at rates on both sides of the threshold, and once nobody tries again."""
    failures = draw_world(scenario, 0).terms.failures
    retries = failures.retry_limit
    threshold = 1.0 / (retries + 1)
    cases = [(f"{per_s:g} a second", per_s, failures) for per_s in RATES_PER_S]
    never = replace(failures, retry_limit=0)
    cases.append((f"{RATES_PER_S[-1]:g}, no retries", RATES_PER_S[-1], never))
    return [
        Case(
            keys={"arrivals": word, "threshold_per_s": threshold},
            draw=partial(impatient, terms, per_s),
            regime=ON_ARRIVAL,
        )
        for word, per_s, terms in cases
    ]


def _held(scenario: Scenario) -> list[Case]:
    levels = {"crossing.approval_s": (0.0, 3.0, 10.0, 30.0, 60.0)}
    return [
        replace(case, keys={"units": how, **case.keys})
        for how, changes in _HOLDS.items()
        for case in grid(scenario.replace(changes), levels, names=("dynamic-central",))
    ]


FRICTIONS: Final[Mapping[str, Mechanism]] = {
    "retries": Mechanism(
        title="One plane after a pulse, at rates on both sides of its threshold",
        caption="Share of requests served in time, by when they arrived, at one plane of rate one "
        "a second, on which fifty requests fall at once after 2,000 s; clients are those of the "
        "scenario. Its threshold is one request over the number of attempts, 0.25 a second. Band: "
        "95 % over worlds.",
        cases=_pulses,
        read=goodput_by_time(1_000),
        draw=Curves(
            x="time_s",
            xlabel="time of arrival, s",
            by="arrivals",
            measures={"goodput": "share served in time"},
        ),
        n_seeds=8,
    ),
    "capped": Mechanism(
        title="Agentic jobs where sites may draw ever less",
        caption="Payload of a run, and latency and synchronization cost of agentic jobs, by the "
        "share of full power that each site may draw; band: 95 % over worlds.",
        cases=lambda scenario: grid(
            scenario, {"resources.power_cap_share": (0.25, 0.3, 0.4, 0.6, 0.8, 1.0)}
        ),
        read=measures_of("agentic", "payload_gpu_s", "latency_s", "sync_cost_per_job_gpu_s"),
        draw=Curves(
            x="resources.power_cap_share",
            xlabel="what a site may draw, of full power",
            by="regime",
            measures={"payload_gpu_s": "payload, GPU-s per run", "latency_s": "latency, s", **COST},
        ),
        n_seeds=5,
        versus="regime",
    ),
    "failing": Mechanism(
        title="Jobs of many calls by the share of calls that fail, with and without retries",
        caption="Share of jobs that were given up, less that without errors on the same world; "
        "tries over stages that were asked for, and synchronization cost per job, each less the "
        "same without errors. Under dynamic-central; band: 95 % over worlds.",
        cases=lambda scenario: grid(
            scenario,
            {
                "failure.retry_limit": (0, 1, 2),
                "failure.call_error_share": (0.0, 0.01, 0.02, 0.035, 0.05, 0.1),
            },
            names=("dynamic-central",),
        ),
        read=measures_of(
            "agentic", "failed_share", "work_amplification", "sync_cost_per_job_gpu_s"
        ),
        draw=Curves(
            x="failure.call_error_share",
            xlabel="share of calls that fail",
            by="failure.retry_limit",
            by_words={0: "no retries", 1: "one retry", 2: "two retries"},
            measures={
                "failed_share less 0.0": "more given up, share",
                "work_amplification less 0.0": "more tries a stage",
                "sync_cost_per_job_gpu_s less 0.0": "cost more, GPU-s per job",
            },
        ),
        n_seeds=6,
        versus="failure.call_error_share",
    ),
    "held": Mechanism(
        title="What a long step costs, its unit being released, held or shared",
        caption="Synchronization cost of a model call by the mean time of an approval, under "
        "dynamic-central, its unit being released, held, or held by eight together; below, the "
        "same less that of released units on the same world. Band: 95 % over worlds.",
        cases=_held,
        read=measures_of("model_call", "sync_cost_per_job_gpu_s"),
        draw=Curves(
            x="crossing.approval_s",
            xlabel="mean time of an approval, s",
            by="units",
            measures={**COST, "sync_cost_per_job_gpu_s less released": "cost less released"},
        ),
        n_seeds=8,
        versus="units",
    ),
    "capabilities": Mechanism(
        title="Authority that travels: what is not waited for, and what is let through",
        caption="Waiting for authority per stage, and uses of revoked capabilities per run, by how "
        "late a revocation is known; band: 95 % over worlds.",
        cases=lambda scenario: grid(
            scenario, {"crossing.revocation_lag_s": (0.0, 30.0, 120.0, 600.0, 3_600.0)}
        ),
        read=together(
            state_time(ON_AUTHORITY), measures_of("model_call", "invalid_uses", "capability_uses")
        ),
        draw=Curves(
            x="crossing.revocation_lag_s",
            xlabel="until a revocation is known, s",
            by="regime",
            measures={
                "state_ms": "on authority, ms a stage",
                "invalid_uses": "invalid uses per run",
            },
            even_x=True,
        ),
        n_seeds=6,
    ),
    "joint": Mechanism(
        title="Time in policy and cost by number of conditions, under three laws",
        caption="Time in policy per stage and synchronization cost of a model call, by the number "
        "of conditions, under dynamic-central; below, the cost less that under the additive law on "
        "the same world. Band: 95 % over worlds.",
        cases=lambda scenario: grid(
            scenario,
            {
                "crossing.law": ("additive", "order_t", "joint"),
                "crossing.rule_dimensions": (2, 4, 6, 8, 10, 12),
            },
            names=("dynamic-central",),
        ),
        read=together(state_time(ON_POLICY), measures_of("model_call", "sync_cost_per_job_gpu_s")),
        draw=Curves(
            x="crossing.rule_dimensions",
            xlabel="conditions at a crossing within one jurisdiction",
            by="crossing.law",
            measures={
                "state_ms": "in policy, ms a stage",
                "sync_cost_per_job_gpu_s less additive": "cost less additive, GPU-s",
            },
            log_y=True,
            by_words={"order_t": "up to an order"},
        ),
        n_seeds=5,
        versus="crossing.law",
    ),
}

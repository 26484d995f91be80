"""The checks of latency: what a chain of steps takes, and when quicker steps make it slower."""

from dataclasses import replace
from typing import Final

import numpy as np

from hanse.agents.world import World
from hanse.market.units import US_PER_S
from hanse.scenarios.growth.induced_demand import is_paradox, task_s, whole_steps
from hanse.scenarios.measuring.latency import Latency, latency
from hanse.scenarios.selftest.checks import ON_ARRIVAL, Check, close_to, run_ledger
from hanse.scenarios.selftest.oracle_worlds import plain_workload, plain_world

_STEPS: Final = 1_000
_MOST: Final = 100_000


def chain_world(n_stages: int, *, work_s: float, tool_s: float) -> World:
    """Build one job whose stages follow one another, a tool between each two, without frictions."""
    workload = plain_workload(
        np.array([US_PER_S]),
        np.full(n_stages, round(work_s * US_PER_S)),
        stage_job=np.zeros(n_stages, np.int64),
        value_usd=1e9,
    )
    follows = workload.stage_ordinal > 0
    tool_us = np.where(follows, round(tool_s * US_PER_S), 0)
    horizon_us = round((n_stages * (work_s + tool_s) + 10) * US_PER_S)
    workload = replace(workload, stage_tool_us=tool_us)
    return plain_world(workload, n_nodes=1, horizon_us=horizon_us)


def chain_latency(world: World) -> Latency:
    """Run a world of chains and decompose what they took."""
    return latency(run_ledger(world, ON_ARRIVAL), world.workload)


def chains_add_up() -> list[Check]:
    """O13: a chain takes the sum of its parts, and one step without tools coordinates nothing."""
    checks = []
    for n_stages in (1, 5, 20):
        found = chain_latency(chain_world(n_stages, work_s=7.0, tool_s=3.0))
        due_us = (7 * n_stages + 3 * (n_stages - 1)) * US_PER_S
        name = f"O13 chain of {n_stages}: us away from the sum of"
        checks += [
            close_to(f"{name} its work and tools", due_us, int(found.total_us[0])),
            close_to(f"{name} its parts", 0.0, int((found.part_us.sum() - found.total_us)[0])),
        ]
    alone = chain_latency(chain_world(1, work_s=7.0, tool_s=3.0))
    share = alone.coordination_share(with_tools=True)
    return [*checks, close_to("O13 coordination share of one step", 0.0, share)]


def quicker_steps() -> list[Check]:
    """O14: quicker inference slows a task down iff elasticity exceeds the share of inference.

    Inference takes 1 s and then 0.99 s of each step, so that the derivative is what counts.
    """
    checks = []
    for tool_s in (1.0, 3.0):
        for elasticity in (0.0, 0.2, 0.3, 0.45, 0.55, 1.2):
            slows = is_paradox(1.0, tool_s, elasticity=elasticity)
            usual, quick = (_task_s(each_s, tool_s, elasticity) for each_s in (1.0, 0.99))
            name = f"O14 quicker steps slow down, elasticity {elasticity:g}, tools {tool_s:g} s"
            checks.append(close_to(name, float(slows), float(quick > usual)))
            exact = task_s(
                np.array(0.99), np.array(tool_s), n0=_STEPS, at_s=1.0, elasticity=elasticity
            )
            name = f"O14 seconds of such a task, elasticity {elasticity:g}, tools {tool_s:g} s"
            # The number of steps is whole, and no tool follows the last.
            checks.append(close_to(name, float(exact), quick, within=1.5 * (1.0 + tool_s)))
    return checks


def _task_s(inference_s: float, tool_s: float, elasticity: float) -> float:
    steps = whole_steps(
        np.array([_STEPS]), speed_up=1.0 / inference_s, elasticity=elasticity, most=_MOST
    )
    world = chain_world(int(steps[0]), work_s=inference_s, tool_s=tool_s)
    return float(chain_latency(world).total_us[0]) / US_PER_S

"""Induced demand: the one place for how many steps a task is cut into when steps become quicker.

With n = n0 (Ti / T0)^-e steps of Ti of inference and Tc of coordination each, a task takes
T = n (Ti + Tc). Its derivative by Ti has the sign of Ti / (Ti + Tc) - e: quicker inference makes
the task slower if, and only if, the elasticity e of steps exceeds the share of inference.
"""

import numpy as np

from hanse.market.units import Floats, Integers


def steps_of(n0: Floats, inference_s: Floats, *, at_s: float, elasticity: float) -> Floats:
    """Return into how many steps a task is cut, at an inference time per step.

    Parameters
    ----------
    n0 : steps where inference takes `at_s`.
    """
    steps: Floats = np.asarray(n0) * (np.asarray(inference_s) / at_s) ** -elasticity
    return steps


def whole_steps(n0: Integers, *, speed_up: float, elasticity: float, most: int) -> Integers:
    """Return whole numbers of steps, from one to the most, once each step is so much quicker.

    At an elasticity of 0, or without any speed-up, they are those that they were.
    """
    steps = np.rint(np.asarray(n0) * speed_up**elasticity).astype(np.int64)
    return np.asarray(np.clip(steps, 1, most), np.int64)


def task_s(
    inference_s: Floats, coordination_s: Floats, *, n0: float, at_s: float, elasticity: float
) -> Floats:
    """Return how long a task takes."""
    steps = steps_of(np.asarray(n0), inference_s, at_s=at_s, elasticity=elasticity)
    total: Floats = steps * (np.asarray(inference_s) + np.asarray(coordination_s))
    return total


def slope_of_task(
    inference_s: Floats, coordination_s: Floats, *, n0: float, at_s: float, elasticity: float
) -> Floats:
    """Return by how much a task gets longer per second of inference time per step.

    Below zero, quicker steps make slower tasks.
    """
    steps = steps_of(np.asarray(n0), inference_s, at_s=at_s, elasticity=elasticity)
    overhead = (np.asarray(inference_s) + np.asarray(coordination_s)) / np.asarray(inference_s)
    slope: Floats = steps * (1.0 - elasticity * overhead)
    return slope


def is_paradox(inference_s: float, coordination_s: float, *, elasticity: float) -> bool:
    """Say whether quicker inference makes the task slower."""
    return elasticity > inference_s / (inference_s + coordination_s)

"""The one place for signatures: groups of stages that law, bonds and accounts treat alike."""

import math

import numpy as np

from hanse.agents.world import World
from hanse.market.units import Flags, Integers


def group_stages(world: World) -> tuple[Flags, Integers, Integers, Integers]:
    """Group stages that law, bonds to a region, class and accounts treat alike.

    Return the admitted regions, family and accelerator class of each group, and the group of each
    stage.
    """
    workload, law = world.workload, world.law
    n_classes, n_regions = len(world.fleet.accelerator_class), law.may_serve.shape[-1]
    masks, mask_of = np.unique(law.may_serve.reshape(-1, n_regions), axis=0, return_inverse=True)
    place = workload.job_data_class * n_regions + workload.job_origin
    job, bond = workload.stage_job, workload.stage_region + 1
    mask = mask_of.reshape(-1)[place][job]
    shape = (len(workload.family), n_classes, len(masks), n_regions + 1)
    parts = (workload.job_family[job], workload.stage_class, mask, bond)
    unique, group = distinct(np.ravel_multi_index(parts, shape), math.prod(shape))
    # Copies, because the engine is compiled for columns without gaps.
    family, accelerator, mask, bond = map(np.ascontiguousarray, np.unravel_index(unique, shape))
    admits = np.vstack([np.ones(n_regions, bool), np.eye(n_regions, dtype=bool)])[bond]
    return masks[mask] & admits, family, accelerator, group


def distinct(key: Integers, n_keys: int) -> tuple[Integers, Integers]:
    """Return the keys below `n_keys` that occur, in order, and which of them each one is."""
    occurs = np.bincount(key, minlength=n_keys) > 0
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[key]

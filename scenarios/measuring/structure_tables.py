"""The table of who holds what in a run: the one place where votes stand beside capacity."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from hanse.market.accounts.structure import Structure, read_structure
from hanse.market.units import Floats
from hanse.scenarios.measuring.measures import Measured, Table
from hanse.scenarios.measuring.word_columns import listed
from hanse.scenarios.studies.payoffs import moved_usd

GOVERNANCE: Final = "governance"


def structure_of(measured: Measured) -> Structure:
    """Read from a run who held what: capacity, routed value, verification, routing, governance.

    Governance is by those who would vote if stake followed the money that each has moved: owners,
    buyers and verifiers.
    """
    world = measured.world
    found = read_structure(
        measured.ledger,
        n_owners=len(world.fleet.owner),
        n_verifiers=len(world.verifier_region),
        verifier=world.workload.stage_verifier,
    )
    holdings: Mapping[str, Floats] = {
        **found.holdings,
        GOVERNANCE: np.concatenate(moved_usd(measured)),
    }
    return replace(found, holdings=holdings)


def structure_table(measured: Measured) -> Table:
    """Lay out subsystem, measure, unit and value, the weakest subsystem last."""
    names, measures, units, values = zip(*structure_of(measured).rows(), strict=True)
    return {
        "subsystem": listed(names),
        "measure": listed(measures),
        "unit": listed(units),
        "value": np.array(values, dtype=float),
    }

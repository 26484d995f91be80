"""Failure tables: the one place where counted failures become measures and rows."""

from collections.abc import Mapping

import numpy as np

from hanse.market.accounts.failure_counts import OVERLOAD, FailureCounts
from hanse.market.engine.failure_columns import FAILURE_KINDS
from hanse.market.engine.states import STATES

Column = np.ndarray[tuple[int, ...], np.dtype[np.generic]]


def failure_measures(counts: FailureCounts, family: int) -> Mapping[tuple[str, str], float]:
    """Return the measures of one family's failures, by name and unit."""
    return {
        ("failed_tries", "tries"): float(counts.failures[family].sum()),
        ("failed_by_overload", "tries"): float(counts.failures[family, list(OVERLOAD)].sum()),
        ("failure_cascades", "tries"): float(counts.cascades[family]),
        ("work_amplification", "ratio"): float(counts.amplification[family]),
        ("jobs_in_part", "jobs"): float(counts.jobs_in_part[family]),
    }


def shared_failure_measures(counts: FailureCounts) -> Mapping[tuple[str, str], float]:
    """Return how many different failures a run had, and how mixed they were."""
    return {
        ("failure_fingerprints", "fingerprints"): float(counts.n_fingerprints),
        ("failure_entropy_bits", "bits"): counts.entropy_bits,
    }


def failure_table(counts: FailureCounts, families: tuple[str, ...]) -> dict[str, Column]:
    """Tabulate failures by family, kind and state; a kind that never struck has one row of 0."""
    count = counts.failures[:, 1:]
    struck = np.argwhere(count > 0)
    never = np.argwhere(count.sum(axis=2) == 0)
    rows = np.concatenate([struck, np.column_stack([never, np.full(len(never), len(STATES))])])
    rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
    family, kind, state = rows.T
    padded = np.pad(count, ((0, 0), (0, 0), (0, 1)))
    return {
        "family": np.array(families, dtype=object)[family],
        "kind": np.array(FAILURE_KINDS[1:], dtype=object)[kind],
        "state": np.array((*STATES, ""), dtype=object)[state],
        "count": padded[family, kind, state],
    }

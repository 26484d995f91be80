"""What failed in a run, of which kind and where; and what trying again made of it."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.failure_columns import CIRCUIT_OPEN, FAILURE_KINDS, REFUSED, TIMED_OUT
from hanse.market.engine.states import COMPLETE, N_STATES
from hanse.market.units import Floats, Integers

OVERLOAD: Final = (TIMED_OUT, REFUSED, CIRCUIT_OPEN)
"""Kinds that come of waiting and of finite capacity, and of nothing drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCounts:
    """Failures as clients noticed them, and the tries they led to, by family.

    Attributes
    ----------
    failures : shape (n_families, n_kinds, n_states), by the state in which each struck.
    requests, tries : stages that were requested at all, and how often that was, shape
        (n_families,).
    cascades : failures by overload of a request that was only sent because an earlier one failed.
    jobs_in_part : jobs that were abandoned with some stages done.
    """

    failures: Integers
    requests: Integers
    tries: Integers
    cascades: Integers
    jobs_in_part: Integers

    @property
    def amplification(self) -> Floats:
        """Return tries over requests: the factor by which failures raise the load; 1 without."""
        return np.asarray(self.tries / np.maximum(self.requests, 1) + (self.requests == 0))

    @property
    def n_fingerprints(self) -> int:
        """Return how many different failures there were, by family, kind and state."""
        return int((self.failures > 0).sum())

    @property
    def entropy_bits(self) -> float:
        """Return the entropy of these: 0 if all failures are alike."""
        count = self.failures[self.failures > 0]
        share = count / max(1, int(count.sum()))
        return float(-(share * np.log2(share)).sum()) + 0.0


def count_failures(ledger: Ledger, n_families: int) -> FailureCounts:
    """Count what a run's log of failures has, by family, kind and state."""
    log, fact, stage = ledger.failure, ledger.stage_fact, ledger.stage
    family = fact["family"][log["stage"]].astype(np.int64)
    failures = np.zeros((n_families, len(FAILURE_KINDS), N_STATES), np.int64)
    np.add.at(failures, (family, log["kind"].astype(int), log["state"].astype(int)), 1)
    is_cascade = np.isin(log["kind"], OVERLOAD) & (log["retries"] > 0)
    ready = stage["ready_us"] >= 0
    of_stage = fact["family"][ready].astype(np.int64)
    requests = np.bincount(of_stage, minlength=n_families)
    retries = np.bincount(of_stage, stage["retries"][ready], n_families)
    return FailureCounts(
        failures=failures,
        requests=requests,
        tries=requests + np.rint(retries).astype(np.int64),
        cascades=np.bincount(family[is_cascade], minlength=n_families),
        jobs_in_part=_jobs_in_part(ledger, n_families),
    )


def _jobs_in_part(ledger: Ledger, n_families: int) -> Integers:
    """Count the abandoned jobs of each family of which some stage is done."""
    fact = ledger.stage_fact
    partly = ledger.lapsed_job & (ledger.stage["status"] == COMPLETE)
    _, first = np.unique(fact["job"][partly], return_index=True)
    family = fact["family"][partly][first].astype(np.int64)
    return np.bincount(family, minlength=n_families)

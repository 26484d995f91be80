"""Essential coordination: the least that any regime must spend on a stage, from the world alone.

It is worked out stage by stage once per world, before any regime runs; what a run had to spend is
the sum over the stages it executed. docs/why/essential-cost-is-per-stage.md argues each term.
"""

from dataclasses import dataclass

import numpy as np

from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.bits import unpack
from hanse.market.engine.columns import Facts
from hanse.market.engine.stage_graph import is_root
from hanse.market.engine.states import CONTEXT, IDENTITY, OPERATIONS, POLICY, VERIFICATION
from hanse.market.terms import Terms
from hanse.market.units import US_PER_S, Flags, Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class EssentialCost:
    """Lower bounds per stage that is executed, by operation; all >= 0, in microseconds.

    Attributes
    ----------
    gpu_us : shape (n_stages, n_operations), of accelerator time: rebuilds of contexts that cannot
        be kept, and audits that the target for residual risk requires, in expectation.
    core_us : the same shape, of control core time: identity and policy of crossings that law or
        the fleet force.
    commit_us : shape (n_stages,), time of the state operation of those crossings.
    first_identity_us : shape (n_buyers,), core time that proving the identity anew adds once for
        each buyer who has to cross.
    """

    gpu_us: Floats
    core_us: Floats
    commit_us: Floats
    first_identity_us: Floats

    def gpu_s(self, executed: Flags, family: Integers, n_families: int) -> Floats:
        """Return the accelerator time that these stages need, shape (n_families, n_operations)."""
        total = np.zeros((n_families, len(OPERATIONS)))
        np.add.at(total, family[executed], self.gpu_us[executed] / US_PER_S)
        return total

    def core_s(self, executed: Flags, buyer: Integers) -> float:
        """Return the core time that these stages need, of all families together."""
        crossed = executed & (self.core_us.sum(axis=1) > 0)
        anew = self.first_identity_us[np.unique(buyer[crossed])].sum()
        return float(self.core_us[executed].sum() + anew) / US_PER_S


def executed_stages(ledger: Ledger) -> Flags:
    """Say of each stage whether any execution of it ended within the horizon."""
    record = ledger.record
    ended = record["end_us"][ledger.work] <= ledger.horizon_us
    executed = np.zeros(len(ledger.stage), bool)
    executed[record["stage"][ledger.work[ended]]] = True
    return executed


def essential_cost(
    facts: Facts, terms: Terms, *, risk_target: float | None = None
) -> EssentialCost:
    """Bound from below what coordination each stage of a world takes, if it is executed.

    Parameters
    ----------
    facts : the facts of a world, whichever regime they were lowered for.
    risk_target : share of executions that may be wrong and stay so, in [0, 1]. Without it, what
        temptation leaves where nobody audits, so that no audit is essential: a bound for every
        regime. With a lower one, a bound in expectation for the regimes that meet it.

    Raises
    ------
    ValueError
        If the target is no share.
    """
    if risk_target is not None and not 0.0 <= risk_target <= 1.0:
        raise ValueError(f"risk_target must be in [0, 1], got {risk_target}")
    n_stages = len(facts.stage)
    admissible = unpack(facts.admissible, len(facts.sink))[facts.stage["signature"]]
    can_use = np.zeros((n_stages, len(facts.link)), bool)
    for region in range(len(facts.link)):
        here = facts.sink["region"] == region
        can_use[:, region] = admissible[:, here].any(axis=1)
    gpu_us = np.zeros((n_stages, len(OPERATIONS)))
    gpu_us[:, CONTEXT] = _rebuild_us(facts, terms, can_use)
    if risk_target is not None:
        audit_us = np.rint(terms.audit_share * facts.stage["work_us"])
        gpu_us[:, VERIFICATION] = audit_us * _audit_share(facts, terms, risk_target)
    core_us, commit_us, first_us = _crossings(facts, can_use)
    return EssentialCost(
        gpu_us=gpu_us, core_us=core_us, commit_us=commit_us, first_identity_us=first_us
    )


def _rebuild_us(facts: Facts, terms: Terms, can_use: Flags) -> Floats:
    """Return the rebuild of contexts that no place can keep.

    A stage that waits for none has no place that has its context. Any other may stay where the
    first of those it waits for ran; the context is lost there only if the way home and the tool
    last longer than it is kept. What else it waits for can only make that longer.
    """
    stage = facts.stage
    way_us = facts.link["delivery_us"][:, stage["origin"]].T
    gap_us = np.where(can_use, way_us, np.iinfo(np.int64).max // 2).min(axis=1) + stage["tool_us"]
    is_lost = is_root(facts) | (gap_us > terms.context_ttl_us)
    runs = can_use.any(axis=1)
    return np.where(is_lost & runs, stage["context_us"], 0).astype(float)


def _audit_share(facts: Facts, terms: Terms, risk_target: float) -> Floats:
    """Bound the share of each stage's executions that must be audited to meet the target.

    Either audits find enough, or they deter: whichever is less. A reward never exceeds the value
    of its job, for else the buyer would not have asked, and what is saved is at the least price.
    """
    tempted, detection = terms.temptation_share, terms.audit_detection
    n_stages = len(facts.stage)
    if tempted <= risk_target:
        return np.zeros(n_stages)
    if detection <= 0:
        return np.ones(n_stages)
    to_find = (1.0 - risk_target / tempted) / detection
    least_usd_per_us = float(facts.sink["busy_usd_per_us"].min())
    saving_usd = terms.saved_share * least_usd_per_us * facts.stage["work_us"]
    at_risk_usd = detection * (1.0 + terms.stake_multiple) * facts.stage["value_usd"]
    to_deter = saving_usd / np.maximum(at_risk_usd, 1e-300)
    share: Floats = np.minimum(1.0, np.minimum(to_find, to_deter))
    return share


def _crossings(facts: Facts, can_use: Flags) -> tuple[Floats, Floats, Floats]:
    """Bound the crossings that cannot be avoided: at the place that makes each least.

    They are those of stages that wait for none. Whatever a stage waits for may all be done in one
    place, and the stage as well: law and class are those of the job.
    """
    stage, link = facts.stage, facts.link
    index = np.arange(len(stage))
    stays = can_use[index, stage["origin"]]
    forced = is_root(facts) & ~stays & can_use.any(axis=1)
    core_us = np.zeros((len(stage), len(OPERATIONS)))
    commit_us = np.zeros(len(stage))
    first_us = np.zeros(int(stage["buyer"].max(initial=0)) + 1)
    chosen = np.flatnonzero(forced)
    if len(chosen) == 0:
        return core_us, commit_us, first_us
    from_home = link[stage["origin"][chosen]]

    def least(us: Integers) -> Floats:
        lowest: Floats = np.where(can_use[chosen], us.astype(float), np.inf).min(axis=1)
        return lowest

    is_sure = facts.crossing.stage["is_sure"][chosen]
    verify_us = from_home["identity_verify_core_us"]
    core_us[chosen, IDENTITY] = least(verify_us)
    core_us[chosen, POLICY] = least(from_home["policy_core_us"]) * (is_sure >> 1 & 1)
    commit_us[chosen] = least(from_home["state_rtt_us"]) * (is_sure >> 2 & 1)
    anew = np.full(len(first_us), np.inf)
    to_prove_us = least(from_home["identity_full_core_us"] - verify_us)
    np.minimum.at(anew, stage["buyer"][chosen], to_prove_us)
    first_us = np.where(np.isfinite(anew), np.maximum(0.0, anew), 0.0)
    return core_us, commit_us, first_us

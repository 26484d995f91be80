"""Columns of the workload: buyers, their jobs, the stages of each job, and the luck of each."""

from dataclasses import dataclass

from hanse.market.units import Flags, Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Jobs sorted by arrival, stages sorted by (job, ordinal).

    Attributes
    ----------
    family : names of the workload families; `job_family` indexes them.
    buyer_region : shape (n_buyers,).
    job_arrival_us, job_deadline_us : instants; a result after the deadline is worth nothing.
    job_first_party : owner whose own job this is, or -1.
    job_data_class : `hanse.market.jurisdictions.UNRESTRICTED` or `RESIDENT`.
    job_value_usd : worth of a right result on arrival; it falls by `job_delay_usd_per_s`.
    stage_work_us : accelerator time of the payload.
    stage_input_bytes : what must move if the stage runs elsewhere than its inputs lie.
    stage_context_tokens : context to rebuild if the stage runs elsewhere than its predecessor, or
        later than the cache keeps it; 0 for first stages.
    stage_tool_us : wait between the predecessor's delivery and readiness; 0 for first stages.
    stage_holds : whether the accelerator is held during the preliminary operations.
    stage_verifier : index of the verifier who would audit this stage.
    stage_is_sampled : whether its receipts are really signed and checked.
    stage_is_real : whether a small program is really executed and verified in its place.
    attempt_temptation, attempt_audit : shape (n_attempts, n_stages), uniform coins in [0, 1).
    attempt_commit, attempt_service : shape (n_attempts, n_stages), unit-mean factors >= 0.
    attempt_way : the same for the ways of messages, or shape (0, 0) where none jitters.
    """

    family: tuple[str, ...]
    buyer_region: Integers
    job_family: Integers
    job_arrival_us: Integers
    job_deadline_us: Integers
    job_origin: Integers
    job_buyer: Integers
    job_first_party: Integers
    job_class: Integers
    job_data_class: Integers
    job_value_usd: Floats
    job_delay_usd_per_s: Floats
    stage_job: Integers
    stage_ordinal: Integers
    stage_work_us: Integers
    stage_input_bytes: Integers
    stage_context_tokens: Integers
    stage_tool_us: Integers
    stage_holds: Flags
    stage_verifier: Integers
    stage_is_sampled: Flags
    stage_is_real: Flags
    attempt_temptation: Floats
    attempt_audit: Floats
    attempt_commit: Floats
    attempt_service: Floats
    attempt_way: Floats

    @property
    def n_jobs(self) -> int:
        return len(self.job_arrival_us)

    @property
    def n_stages(self) -> int:
        return len(self.stage_job)

"""The one place where a sample of a run's receipts is really signed, sent, read and checked."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

import numpy as np

from hanse.verification.receipts import (
    NO_RECEIPT,
    SignedReceipt,
    Signer,
    Verdict,
    WorkReceipt,
    big_endian,
    canonical_bytes,
    check,
    digest_of,
    read_signed_receipt,
    sign,
)
from hanse.verification.samples import Flags, Integers, check_rows

MODELLED: Final = "modelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Columns of the sampled stages, one row a receipt; all of shape (n,).

    Attributes
    ----------
    task, solver, region : indices; the key of a solver follows from its index.
    started_us, ended_us, work_us : what the receipt says about time.
    is_right : whether the output that the solver claims is the right one; drawn elsewhere.
    is_disputed : whether somebody compares the claim with the right output.
    """

    task: Integers
    solver: Integers
    region: Integers
    started_us: Integers
    ended_us: Integers
    work_us: Integers
    is_right: Flags
    is_disputed: Flags

    def __post_init__(self) -> None:
        check_rows(self, len(self.task))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureTally:
    """What really happened to a sample of receipts.

    Attributes
    ----------
    n_signed, n_checked : signatures made, and signatures verified from the bytes that travelled.
    n_rejected : receipts whose verdict is not `Verdict.GENUINE`. Wrong work is not among them: a
        cheat signs its wrong result as well as anybody.
    n_disputed, n_mismatched : disputed receipts, and those of them whose output digest is not the
        digest of the right output.
    work_fidelity : always "modelled": the work behind the receipts is not executed.
    """

    n_signed: int
    n_checked: int
    n_rejected: int
    n_disputed: int
    n_mismatched: int
    work_fidelity: str = MODELLED


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelledTask:
    """The digests by which a task is known whose program and outputs are only modelled.

    There is nothing to hash but labels: the program is a stand-in, the right and the wrong output
    are the words for them, bound to the task.
    """

    task_id: bytes
    program_digest: bytes

    @classmethod
    def of(cls, seed: int, task: int) -> "ModelledTask":
        """Name task `task` of the world of `seed`."""
        name = canonical_bytes(b"task", big_endian("seed", seed), big_endian("task", task))
        task_id = digest_of(name, person=b"hanse.task.v1")
        program = canonical_bytes(b"program", task_id)
        return cls(task_id=task_id, program_digest=digest_of(program, person=b"hanse.program.v1"))

    def output_digest(self, *, is_right: bool) -> bytes:
        """Return the digest of the right output, or of the wrong one."""
        label = b"right" if is_right else b"wrong"
        return digest_of(canonical_bytes(b"output", self.task_id, label), person=b"hanse.output.v1")


def sign_and_check(seed: int, claims: Claims) -> SignatureTally:
    """Really sign, send, read and check the receipts of a sample of stages.

    Real are the bytes, the signatures, their checks, and for disputed rows the comparison of the
    claimed output digest with the right one. Modelled is the work: nothing is executed here, and
    right and wrong outputs are labels whose digests differ. So the tally shows that the protocol
    runs, and at what cost; about who cheats it can say only what `is_right` told it.
    """
    tasks = [ModelledTask.of(seed, task) for task in claims.task.tolist()]
    issued = issue_receipts(seed, claims, tasks)
    n_rejected = n_mismatched = 0
    for task, signed, disputed in zip(tasks, issued, claims.is_disputed.tolist(), strict=True):
        received = read_signed_receipt(signed.to_bytes())
        verdict = check(received, task_id=task.task_id, program_digest=task.program_digest)
        n_rejected += verdict is not Verdict.GENUINE
        if disputed:
            n_mismatched += received.receipt.output_digest != task.output_digest(is_right=True)
    return SignatureTally(
        n_signed=len(issued),
        n_checked=len(issued),
        n_rejected=n_rejected,
        n_disputed=int(claims.is_disputed.sum()),
        n_mismatched=n_mismatched,
    )


def issue_receipts(
    seed: int, claims: Claims, tasks: list[ModelledTask]
) -> tuple[SignedReceipt, ...]:
    """Sign one receipt a row, in the order of the rows.

    Each solver's receipts are chained in the order of `ended_us`, then of rows. Sequence numbers
    count the receipts of this sample, not all the work that the solver ever did.
    """
    keys = {solver: Signer(seed, solver) for solver in dict.fromkeys(claims.solver.tolist())}
    chain: defaultdict[int, list[bytes]] = defaultdict(lambda: [NO_RECEIPT])
    issued: dict[int, SignedReceipt] = {}
    rows = list(
        zip(
            claims.solver.tolist(),
            claims.region.tolist(),
            claims.started_us.tolist(),
            claims.ended_us.tolist(),
            claims.work_us.tolist(),
            claims.is_right.tolist(),
            strict=True,
        )
    )
    for row in np.argsort(claims.ended_us, kind="stable").tolist():
        solver, region, started_us, ended_us, work_us, is_right = rows[row]
        receipt = WorkReceipt(
            task_id=tasks[row].task_id,
            program_digest=tasks[row].program_digest,
            output_digest=tasks[row].output_digest(is_right=is_right),
            solver_public_key=keys[solver].public_key,
            region=region,
            started_us=started_us,
            ended_us=ended_us,
            work_us=work_us,
            sequence=len(chain[solver]) - 1,
            previous_receipt_digest=chain[solver][-1],
        )
        chain[solver].append(receipt.digest())
        issued[row] = sign(receipt, keys[solver])
    return tuple(issued[row] for row in range(len(rows)))

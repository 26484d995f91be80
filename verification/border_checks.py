"""The one place where a sample of a run's uses of capabilities is really signed and checked."""

from collections.abc import Sequence
from dataclasses import dataclass

from hanse.verification.audits import ModelledTask
from hanse.verification.capabilities import Admission, admit, issue, revoke, use
from hanse.verification.framing import big_endian, canonical_bytes, digest_of
from hanse.verification.keys import Signer
from hanse.verification.samples import Flags, Integers, check_rows

_ISSUERS_FROM = 1 << 40
_BUYERS_FROM = 1 << 41


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """Columns of sampled uses, one row each; all of shape (n,).

    Attributes
    ----------
    task, buyer, home, region : indices; `home` is the jurisdiction that issued the capability.
    used_us : when it was shown.
    is_invalid : whether it had been revoked by then, and the border did not know.
    """

    task: Integers
    buyer: Integers
    home: Integers
    region: Integers
    used_us: Integers
    is_invalid: Flags

    def __post_init__(self) -> None:
        check_rows(self, len(self.task))


@dataclass(frozen=True, slots=True, kw_only=True)
class BorderTally:
    """What really happened to a sample of uses.

    Attributes
    ----------
    n_shown, n_admitted : uses signed and shown, and those that the border admitted.
    n_found_later : invalid uses that are refused once the revocation has arrived.
    """

    n_shown: int
    n_admitted: int
    n_found_later: int


def show_and_admit(seed: int, uses: Uses, *, scope: Sequence[Sequence[int]]) -> BorderTally:
    """Really issue, show and check the capabilities of a sample of uses.

    Real are the bytes, the signatures of issuer, holder and revocation, and the checks. That a use
    is invalid is what the run says; the checks say that a border without the list admits it, and
    that one with the list does not.

    Parameters
    ----------
    scope : which regions the capability of each use names, ascending.
    """
    found = [
        _show(
            seed,
            task=ModelledTask.of(seed, int(uses.task[k])).task_id,
            holder=Signer(seed, _BUYERS_FROM + int(uses.buyer[k])),
            issuer=Signer(seed, _ISSUERS_FROM + int(uses.home[k])),
            region=int(uses.region[k]),
            used_us=int(uses.used_us[k]),
            is_invalid=bool(uses.is_invalid[k]),
            scope=tuple(scope[k]),
        )
        for k in range(len(uses.task))
    ]
    return BorderTally(
        n_shown=len(found),
        n_admitted=sum(one.at_once is Admission.ADMITTED for one in found),
        n_found_later=sum(one.later is Admission.REVOKED for one in found),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    at_once: Admission
    later: Admission


def _show(
    seed: int,
    *,
    task: bytes,
    holder: Signer,
    issuer: Signer,
    region: int,
    used_us: int,
    is_invalid: bool,
    scope: tuple[int, ...],
) -> _Found:
    """Show one use twice: to a border that knows no revocation, and to one that knows them all."""
    name = canonical_bytes(b"grant", big_endian("seed", seed), holder.public_key)
    grant = issue(
        issuer,
        holder.public_key,
        regions=scope,
        valid_from_us=0,
        valid_until_us=1 << 62,
        nonce=digest_of(name, person=b"hanse.grant.v1"),
    )
    shown = use(grant, holder, task_id=task, region=region, used_us=used_us)
    revoked = [revoke(grant, issuer, revoked_us=used_us)] if is_invalid else []
    at_once, later = (
        admit(
            grant.to_bytes(),
            shown.to_bytes(),
            issuers=[issuer.public_key],
            task_id=task,
            region=region,
            now_us=used_us,
            revocations=known,
        )
        for known in ([], revoked)
    )
    return _Found(at_once=at_once, later=later)

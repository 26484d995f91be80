"""Authority that travels: what a border admits, what it refuses and why, what it cannot know."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from hanse.verification.border_checks import BorderTally, Uses, show_and_admit
from hanse.verification.capabilities import (
    Admission,
    Capability,
    CapabilityUse,
    Revocation,
    admit,
    issue,
    revoke,
    use,
)
from hanse.verification.framing import SIGNATURE_BYTES, MalformedMessageError
from hanse.verification.keys import Signer
from hanse.verification.signing import (
    Signed,
    is_equivocation,
    is_genuine,
    read_message,
    sign_message,
)

ISSUER, HOLDER, THIEF, FORGER = (Signer(seed=1, owner=k) for k in range(4))
TASK, OTHER_TASK = bytes([1]) * 32, bytes([2]) * 32
GRANT: Final = issue(
    ISSUER,
    HOLDER.public_key,
    regions=(3, 7),
    valid_from_us=100,
    valid_until_us=900,
    nonce=bytes(32),
)
REVOKED: Final = revoke(GRANT, ISSUER, revoked_us=500)


def shown(
    grant: Signed[Capability] = GRANT,
    *,
    by: Signer = HOLDER,
    claims: dict[str, Any] | None = None,
    **here: Any,  # noqa: ANN401 - whatever a border takes
) -> Admission:
    """Let somebody show a capability and a use of it at a border."""
    place: dict[str, Any] = {"task_id": TASK, "region": 7, "now_us": 400} | here
    told = {"task_id": place["task_id"], "region": place["region"], "used_us": place["now_us"]}
    claim = use(grant, by, **(told | (claims or {})))
    issuers = [ISSUER.public_key]
    return admit(grant.to_bytes(), claim.to_bytes(), issuers=issuers, **place)


def test_a_holder_is_admitted_within_scope_and_lifetime() -> None:
    assert shown() is Admission.ADMITTED
    assert shown(region=3, now_us=100) is Admission.ADMITTED
    assert shown(now_us=899) is Admission.ADMITTED


@pytest.mark.parametrize(
    ("why", "found"),
    [
        (Admission.OUT_OF_SCOPE, {"region": 5}),
        (Admission.OUT_OF_SCOPE, {"claims": {"region": 3}}),
        (Admission.OUT_OF_TIME, {"now_us": 99}),
        (Admission.OUT_OF_TIME, {"now_us": 900}),
        (Admission.OUT_OF_TIME, {"claims": {"used_us": 401}}),
        (Admission.WRONG_TASK, {"claims": {"task_id": OTHER_TASK}}),
        (Admission.WRONG_HOLDER, {"by": THIEF}),
    ],
)
def test_everybody_and_everything_else_is_refused(why: Admission, found: dict[str, Any]) -> None:
    assert shown(**found) is why


def test_a_use_that_its_holder_did_not_sign_is_none() -> None:
    claim = use(GRANT, HOLDER, task_id=TASK, region=7, used_us=400)
    forged = replace(claim, signature=THIEF.signature_of(claim.to_bytes()[:-SIGNATURE_BYTES]))
    for unsigned in (forged, replace(claim, signature=bytes(SIGNATURE_BYTES))):
        found = admit(
            GRANT.to_bytes(),
            unsigned.to_bytes(),
            issuers=[ISSUER.public_key],
            task_id=TASK,
            region=7,
            now_us=400,
        )
        assert found is Admission.NOT_GENUINE


def test_a_capability_cannot_be_handed_on() -> None:
    # A holder who signs a grant of its own is an issuer whom nobody asked to be one.
    handed = issue(
        HOLDER,
        THIEF.public_key,
        regions=(3, 7),
        valid_from_us=100,
        valid_until_us=900,
        nonce=bytes(32),
    )
    assert shown(handed, by=THIEF) is Admission.WRONG_ISSUER
    # And rewriting the holder of a genuine one breaks its signature.
    stolen = replace(GRANT, message=replace(GRANT.message, holder_public_key=THIEF.public_key))
    assert shown(stolen, by=THIEF) is Admission.NOT_GENUINE


def test_a_use_of_one_capability_is_none_of_another() -> None:
    other = issue(
        ISSUER,
        HOLDER.public_key,
        regions=(7,),
        valid_from_us=100,
        valid_until_us=900,
        nonce=bytes([9]) * 32,
    )
    claim = use(GRANT, HOLDER, task_id=TASK, region=7, used_us=400)
    found = admit(
        other.to_bytes(),
        claim.to_bytes(),
        issuers=[ISSUER.public_key],
        task_id=TASK,
        region=7,
        now_us=400,
    )
    assert found is Admission.WRONG_HOLDER


def test_a_revocation_counts_where_it_has_arrived_and_from_its_instant_on() -> None:
    assert shown(now_us=600) is Admission.ADMITTED  # word of it is still on its way
    assert shown(now_us=600, revocations=[REVOKED]) is Admission.REVOKED
    assert shown(now_us=500, revocations=[REVOKED]) is Admission.REVOKED
    assert shown(now_us=499, revocations=[REVOKED]) is Admission.ADMITTED


def test_a_revocation_voids_the_capability_that_it_names_and_no_other_of_its_issuer() -> None:
    renewed = replace(GRANT.message, nonce=bytes([9]) * 32)
    other = sign_message(renewed, ISSUER)
    assert shown(other, now_us=600, revocations=[REVOKED]) is Admission.ADMITTED
    both = [REVOKED, revoke(other, ISSUER, revoked_us=600)]
    assert shown(other, now_us=600, revocations=both) is Admission.REVOKED


def test_nobody_but_the_issuer_revokes() -> None:
    with pytest.raises(ValueError, match="issuer_public_key must be the signer's"):
        revoke(GRANT, FORGER, revoked_us=0)
    word = replace(REVOKED.message, issuer_public_key=FORGER.public_key)
    assert shown(now_us=600, revocations=[sign_message(word, FORGER)]) is Admission.ADMITTED
    forged = replace(REVOKED, signature=bytes(SIGNATURE_BYTES))
    assert shown(now_us=600, revocations=[forged]) is Admission.ADMITTED


@pytest.mark.parametrize("bad", [b"", b"hanse/1/capability\0", GRANT.to_bytes()[:-1], b"\0" * 300])
def test_bytes_that_are_no_message_are_refused_without_a_word(bad: bytes) -> None:
    claim = use(GRANT, HOLDER, task_id=TASK, region=7, used_us=400).to_bytes()
    here: dict[str, Any] = {
        "issuers": [ISSUER.public_key],
        "task_id": TASK,
        "region": 7,
        "now_us": 400,
    }
    assert admit(bad, claim, **here) is Admission.MALFORMED
    assert admit(GRANT.to_bytes(), bad, **here) is Admission.MALFORMED


def test_every_bit_of_what_travels_is_bound() -> None:
    claim = use(GRANT, HOLDER, task_id=TASK, region=7, used_us=400)
    here: dict[str, Any] = {
        "issuers": [ISSUER.public_key],
        "task_id": TASK,
        "region": 7,
        "now_us": 400,
    }
    for position in range(0, 8 * len(GRANT.to_bytes()), 37):
        flipped = bytearray(GRANT.to_bytes())
        flipped[position // 8] ^= 1 << position % 8
        assert admit(bytes(flipped), claim.to_bytes(), **here) is not Admission.ADMITTED


def test_messages_come_back_as_they_went_and_kinds_do_not_mix() -> None:
    claim = use(GRANT, HOLDER, task_id=TASK, region=7, used_us=400)
    for signed in (GRANT, claim, REVOKED):
        received = read_message(type(signed.message), signed.to_bytes())
        assert received == signed
        assert is_genuine(received)
    for kind in (CapabilityUse, Revocation):
        with pytest.raises(MalformedMessageError, match="must begin with"):
            read_message(kind, GRANT.to_bytes())


def test_using_a_capability_twice_for_one_task_convicts_its_holder() -> None:
    once, again = (
        use(GRANT, HOLDER, task_id=TASK, region=region, used_us=400) for region in (3, 7)
    )
    assert is_equivocation(once, again)
    assert not is_equivocation(once, use(GRANT, HOLDER, task_id=OTHER_TASK, region=3, used_us=400))


def sampled(**columns: list[int] | list[bool]) -> Uses:
    told: dict[str, list[int] | list[bool]] = {
        "task": [0, 1, 2, 3],
        "buyer": [0, 0, 1, 1],
        "home": [0, 0, 0, 1],
        "region": [3, 7, 7, 5],
        "used_us": [0, 10, 20, 30],
        "is_invalid": [False, True, False, True],
    }
    return Uses(**{name: np.array(values) for name, values in (told | columns).items()})


def test_of_a_sample_of_uses_the_invalid_ones_are_found_once_word_arrives() -> None:
    # The third names a region that its capability does not.
    scope = [(3, 7), (3, 7), (3,), (5,)]
    tally = show_and_admit(5, sampled(), scope=scope)
    assert tally == BorderTally(n_shown=4, n_admitted=3, n_found_later=2)
    valid = sampled(is_invalid=[False] * 4)
    assert show_and_admit(5, valid, scope=scope).n_found_later == 0


def test_columns_of_uses_have_one_row_each_and_nothing_beside() -> None:
    with pytest.raises(ValueError, match=r"region must have shape \(4,\), got \(3,\)"):
        sampled(region=[3, 7, 7])
    with pytest.raises(ValueError, match=r"home must have shape \(4,\), got \(4, 1\)"):
        replace(sampled(), home=np.zeros((4, 1), np.int64))

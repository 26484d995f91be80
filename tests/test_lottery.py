"""The audit lottery and sealed rounds: nobody chooses their draw, nobody opens another's seal."""

from dataclasses import replace
from fractions import Fraction
from hashlib import blake2b, sha512
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings

from hanse.verification import lottery
from hanse.verification.commit_reveal import (
    Reveal,
    audit_probability_when_withheld,
    beacon_of,
    close,
    commitment_to,
    opens,
    seal,
)
from hanse.verification.framing import canonical_bytes
from hanse.verification.keys import Signer, is_valid_signature
from hanse.verification.lottery import (
    GROUP_ORDER,
    IDENTITY,
    LOTTERY_IS_VRF,
    beacon_output,
    drawn_by,
    is_audited,
    lottery_input,
    prove,
    public_key_of,
    secret_key_for,
    segment_of,
    verify,
)
from hanse.verification.messages import (
    AuditReveal,
    AuditTicket,
    BeaconReveal,
    BidCommit,
    BidReveal,
    LotteryKey,
    Signed,
    encode_message,
    sign_message,
)

needs_group = pytest.mark.skipif(
    not LOTTERY_IS_VRF, reason="ECVRF NOT TESTED: this libsodium has no group operations"
)
repeatable = settings(derandomize=True, deadline=None, max_examples=40, database=None)

# RFC 9381, appendix B.3, examples 16 to 18: SK, PK, alpha, H, pi, beta.
RFC_9381_B3 = (
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "91bbed02a99461df1ad4c6564a5f5d829d0b90cfc7903e7a5797bd658abf3318",
        (
            "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
            "26f8a57ccaed74ee1b190bed1f479d9727d2d0f9b005a6e456a35d4fb0daab12"
            "68a1b0db10836d9826a528ca76567805"
        ),
        (
            "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
            "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "5b659fc3d4e9263fd9a4ed1d022d75eaacc20df5e09f9ea937502396598dc551",
        (
            "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593"
            "3bf0864a62558b3ed7f2fea45c92a465301b3bbf5e3e54ddf2d935be3b67926d"
            "a3ef39226bbc355bdc9850112c8f4b02"
        ),
        (
            "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb"
            "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "bf4339376f5542811de615e3313d2b36f6f53c0acfebb482159711201192576a",
        (
            "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80"
            "96bb474e53895c362d8628ee9f9ea3c0e52c7a5c691b6c18c9979866568add7a"
            "2d41b00b05081ed0f58ee5e31b3a970e"
        ),
        (
            "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45"
            "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f"
        ),
    ),
)

SECRET, ALPHA = bytes(range(32)), b"alpha"
VERIFIER, RIVAL, THIRD = (Signer(7, owner) for owner in (1, 2, 3))
TASK, OTHER_TASK, BEACON = (bytes([at]) * 32 for at in (1, 2, 3))
POINT_OF_ORDER_EIGHT = bytes.fromhex(
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
)


@needs_group
@pytest.mark.parametrize(("sk", "pk", "alpha", "h", "pi", "beta"), RFC_9381_B3)
def test_reproduces_the_examples_of_rfc_9381(
    sk: str, pk: str, alpha: str, h: str, pi: str, beta: str
) -> None:
    secret_key, public_key = bytes.fromhex(sk), bytes.fromhex(pk)
    assert public_key_of(secret_key) == public_key
    assert lottery._encode_to_curve(public_key, bytes.fromhex(alpha)).hex() == h
    assert prove(secret_key, bytes.fromhex(alpha)).hex() == pi
    output = verify(public_key, bytes.fromhex(alpha), bytes.fromhex(pi))
    assert output is not None
    assert output.hex() == beta


@needs_group
def test_flipping_any_bit_of_a_proof_proves_nothing() -> None:
    public_key, proof = public_key_of(SECRET), prove(SECRET, ALPHA)
    assert verify(public_key, ALPHA, proof) is not None
    accepted = []
    for bit in range(8 * len(proof)):
        altered = bytearray(proof)
        altered[bit // 8] ^= 1 << (bit % 8)
        if verify(public_key, ALPHA, bytes(altered)) is not None:
            accepted.append(bit)
    assert accepted == []


@needs_group
def test_a_proof_is_for_one_key_and_one_input() -> None:
    proof = prove(SECRET, ALPHA)
    assert verify(public_key_of(bytes(32)), ALPHA, proof) is None
    assert verify(public_key_of(SECRET), ALPHA + b"\0", proof) is None
    assert verify(public_key_of(SECRET), ALPHA[:-1], proof) is None


@needs_group
@repeatable
@given(key=st.binary(max_size=40), proof=st.binary(max_size=100), alpha=st.binary(max_size=9))
def test_anything_malformed_proves_nothing(key: bytes, proof: bytes, alpha: bytes) -> None:
    assert verify(key, alpha, proof) is None
    assert verify(public_key_of(SECRET), alpha, proof) is None
    assert verify(key, ALPHA, prove(SECRET, ALPHA)) is None


@needs_group
@pytest.mark.parametrize("wrong", [None, 7, "x" * 80, bytearray(80), memoryview(bytes(80))])
def test_what_is_not_bytes_proves_nothing(wrong: object) -> None:
    key, proof = public_key_of(SECRET), prove(SECRET, ALPHA)
    assert verify(key, ALPHA, wrong) is None  # type: ignore[arg-type]
    assert verify(wrong, ALPHA, proof) is None  # type: ignore[arg-type]


@needs_group
def test_a_response_has_no_twin_above_the_group_order() -> None:
    proof = prove(SECRET, ALPHA)
    twin = int.from_bytes(proof[48:], "little") + GROUP_ORDER
    altered = proof[:48] + twin.to_bytes(32, "little")
    assert verify(public_key_of(SECRET), ALPHA, altered) is None


@needs_group
@pytest.mark.parametrize("key", [IDENTITY, bytes(32), POINT_OF_ORDER_EIGHT])
def test_a_key_of_small_order_proves_nothing(key: bytes) -> None:
    # With x = 0 the point of the proof is the identity: one output for every input and key.
    point = lottery._encode_to_curve(key, ALPHA)
    nonce = 5
    challenge = lottery._challenge(
        key, point, IDENTITY, lottery._times_generator(nonce), lottery._times(nonce, point)
    )
    proof = IDENTITY + challenge + nonce.to_bytes(32, "little")
    assert verify(key, ALPHA, proof) is None
    assert verify(key, ALPHA, prove(SECRET, ALPHA)) is None


@needs_group
def test_a_point_outside_the_subgroup_makes_no_second_proof() -> None:
    proof = prove(SECRET, ALPHA)
    moved = bindings.crypto_core_ed25519_add(proof[:32], POINT_OF_ORDER_EIGHT)
    assert lottery._times_cofactor(moved) == lottery._times_cofactor(proof[:32])
    assert verify(public_key_of(SECRET), ALPHA, moved + proof[32:]) is None


@needs_group
def test_a_candidate_that_is_no_point_is_passed_over() -> None:
    p = lottery.FIELD_PRIME
    unreduced = [(p + y).to_bytes(32, "little") for y in range(19)]
    negative_zeros = [(y | 1 << 255).to_bytes(32, "little") for y in (1, p - 1)]
    assert not any(lottery._is_canonical(one) for one in unreduced + negative_zeros)
    assert lottery._is_canonical((p - 2).to_bytes(32, "little"))
    assert lottery._is_canonical(IDENTITY)


def test_a_simulated_verifier_has_a_lottery_key_of_its_own() -> None:
    keys = {public_key_of(secret_key_for(seed, owner)) for seed in (7, 8) for owner in (1, 2)}
    keys |= {Signer(seed, owner).public_key for seed in (7, 8) for owner in (1, 2)}
    assert len(keys) == 8
    assert secret_key_for(7, 1) == secret_key_for(7, 1)


# Attack 18: grinding.


def ed25519_signature(signer_secret: bytes, message: bytes, nonce: int) -> bytes:
    """Sign as RFC 8032 does, but with a nonce of the signer's own choice, which nobody can see."""
    scalar = int.from_bytes(lottery._clamped(sha512(signer_secret).digest()[:32]), "little")
    r = lottery._times_generator(nonce)
    h = int.from_bytes(sha512(r + public_key_of(signer_secret) + message).digest(), "little")
    return r + ((nonce + h * scalar) % GROUP_ORDER).to_bytes(32, "little")


@needs_group
def test_signatures_can_be_ground_into_any_draw() -> None:
    signatures = [ed25519_signature(SECRET, ALPHA, nonce) for nonce in range(1, 401)]
    public_key = public_key_of(SECRET)
    assert all(is_valid_signature(public_key, ALPHA, signature) for signature in signatures)
    assert len(set(signatures)) == 400
    draws = [sha512(signature).digest() for signature in signatures]
    # A verifier that audits with probability 0.99 escapes by trying a few nonces; and one that
    # wants to be drawn with probability 0.01 is.
    assert not all(is_audited(draw, 0.99) for draw in draws)
    assert any(is_audited(draw, 0.01) for draw in draws)


@needs_group
def test_no_choice_of_nonce_changes_the_output_of_the_vrf() -> None:
    public_key = public_key_of(SECRET)
    scalar = int.from_bytes(lottery._clamped(sha512(SECRET).digest()[:32]), "little")
    point = lottery._encode_to_curve(public_key, ALPHA)
    gamma = lottery._times(scalar, point)
    proofs = []
    for nonce in range(1, 33):
        u, v = lottery._times_generator(nonce), lottery._times(nonce, point)
        challenge = lottery._challenge(public_key, point, gamma, u, v)
        response = (nonce + int.from_bytes(challenge, "little") * scalar) % GROUP_ORDER
        proofs.append(gamma + challenge + response.to_bytes(32, "little"))
    outputs = {verify(public_key, ALPHA, proof) for proof in proofs}
    assert len(set(proofs)) == 32
    assert outputs == {verify(public_key, ALPHA, prove(SECRET, ALPHA))}
    assert None not in outputs


def ticket_of(secret: bytes, *, epoch: int = 5, beacon: bytes = BEACON) -> Signed[AuditTicket]:
    alpha = lottery_input(TASK, VERIFIER.public_key, epoch=epoch, beacon=beacon)
    ticket = AuditTicket(
        receipt_digest=TASK,
        verifier_public_key=VERIFIER.public_key,
        epoch=epoch,
        beacon=beacon,
        vrf_proof=prove(secret, alpha),
    )
    return sign_message(ticket, VERIFIER)


def registration_of(secret: bytes, *, epoch: int = 4) -> Signed[LotteryKey]:
    key = LotteryKey(
        verifier_public_key=VERIFIER.public_key,
        lottery_public_key=public_key_of(secret),
        epoch=epoch,
    )
    return sign_message(key, VERIFIER)


@needs_group
def test_keys_can_be_ground_once_the_beacon_is_known_and_are_not_counted() -> None:
    secrets = [bytes([at]) * 32 for at in range(24)]
    draws = [
        drawn_by(ticket_of(secret), registration_of(secret), beacon=BEACON) for secret in secrets
    ]
    # The threat is real: among 24 keys there are draws for any taste,
    assert {is_audited(draw, 0.5) for draw in draws} == {True, False}
    # but a key of the beacon's own epoch, or a later one, does not count.
    for epoch in (5, 6):
        late = [
            drawn_by(ticket_of(secret), registration_of(secret, epoch=epoch), beacon=BEACON)
            for secret in secrets
        ]
        assert late == [None] * 24


@needs_group
def test_a_ticket_counts_for_its_verifier_key_beacon_and_receipt_alone() -> None:
    ticket, registration = ticket_of(SECRET), registration_of(SECRET)
    alpha = lottery_input(TASK, VERIFIER.public_key, epoch=5, beacon=BEACON)
    expected = verify(public_key_of(SECRET), alpha, prove(SECRET, alpha))
    assert drawn_by(ticket, registration, beacon=BEACON) == expected
    assert expected is not None
    assert drawn_by(ticket, registration, beacon=TASK) is None
    assert drawn_by(ticket, registration_of(bytes(32)), beacon=BEACON) is None
    unsigned = replace(ticket, signature=bytes(64))
    assert drawn_by(unsigned, registration, beacon=BEACON) is None
    assert drawn_by(ticket, replace(registration, signature=bytes(64)), beacon=BEACON) is None
    moved = sign_message(replace(ticket.message, receipt_digest=OTHER_TASK), VERIFIER)
    assert drawn_by(moved, registration, beacon=BEACON) is None
    borrowed = sign_message(replace(ticket.message, verifier_public_key=RIVAL.public_key), RIVAL)
    assert drawn_by(borrowed, registration, beacon=BEACON) is None


@needs_group
def test_a_ticket_shows_the_beacon_that_its_proof_is_about() -> None:
    ticket = ticket_of(SECRET)
    mislabelled = sign_message(replace(ticket.message, beacon=TASK), VERIFIER)
    assert drawn_by(mislabelled, registration_of(SECRET), beacon=BEACON) is None


@needs_group
def test_nobody_draws_with_a_key_that_another_registered() -> None:
    # The two share the secret, so that the proof itself holds.
    alpha = lottery_input(TASK, RIVAL.public_key, epoch=5, beacon=BEACON)
    shared = replace(
        ticket_of(SECRET).message,
        verifier_public_key=RIVAL.public_key,
        vrf_proof=prove(SECRET, alpha),
    )
    assert verify(public_key_of(SECRET), alpha, shared.vrf_proof) is not None
    ticket = sign_message(shared, RIVAL)
    assert drawn_by(ticket, registration_of(SECRET), beacon=BEACON) is None


@needs_group
def test_a_ticket_of_one_epoch_is_none_of_another_even_under_one_beacon() -> None:
    moved = sign_message(replace(ticket_of(SECRET).message, epoch=6), VERIFIER)
    assert drawn_by(moved, registration_of(SECRET), beacon=BEACON) is None


# Who is audited, and where.


def output_with(first: int, second: int = 0) -> bytes:
    return first.to_bytes(8, "big") + second.to_bytes(8, "big") + bytes(48)


@pytest.mark.parametrize(
    ("first", "probability", "audited"),
    [
        (0, 0.0, False),
        (2**64 - 1, 1.0, True),
        (2**63 - 1, 0.5, True),
        (2**63, 0.5, False),
        (0, 2.0**-64, True),
        (1, 2.0**-64, False),
        (3689348814741910323, Fraction(1, 5), True),  # 2^64 / 5 = 3689348814741910323.2
        (3689348814741910324, Fraction(1, 5), False),
    ],
)
def test_the_rule_is_exact_to_the_last_draw(
    first: int, probability: float | Fraction, audited: bool
) -> None:
    assert is_audited(output_with(first), probability) is audited


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_probability_is_from_0_to_1(probability: float) -> None:
    with pytest.raises(ValueError, match="probability must be from 0 to 1"):
        is_audited(output_with(0), probability)


def test_the_segment_comes_from_other_bytes_than_the_draw() -> None:
    assert [segment_of(output_with(9, second), 5) for second in range(7)] == [0, 1, 2, 3, 4, 0, 1]
    with pytest.raises(ValueError, match="n_segments must be an integer from 1"):
        segment_of(output_with(0), 0)


@needs_group
def test_audits_come_at_their_rate_and_hit_all_segments_alike() -> None:
    n, p, n_segments = 1500, 0.15, 6
    public_key = public_key_of(SECRET)
    outputs = [
        verify(public_key, alpha, prove(SECRET, alpha))
        for alpha in map(str.encode, map(str, range(n)))
    ]
    share = np.mean([is_audited(output, p) for output in outputs])
    assert abs(share - p) < 4 * np.sqrt(p * (1 - p) / n)
    counts = np.bincount([segment_of(output, n_segments) for output in outputs])
    chi_squared = np.sum((counts - n / n_segments) ** 2 / (n / n_segments))
    assert len(counts) == n_segments
    assert chi_squared < 20.5  # the 0.999 quantile with 5 degrees of freedom


# Sealed rounds, and attack 5.


def bid(key: Signer, price: int, *, nonce: int = 1, task_id: bytes = TASK) -> BidReveal:
    return BidReveal(
        task_id=task_id,
        bidder_public_key=key.public_key,
        price_micro_usd=price,
        nonce=bytes([nonce]) * 32,
    )


def sealed(key: Signer, reveal: Reveal) -> Signed[BidCommit]:
    return sign_message(seal(reveal), key)


def test_a_seal_opens_for_what_was_sealed_and_nothing_else() -> None:
    true = bid(VERIFIER, 700)
    assert opens(true, seal(true))
    for other in (
        bid(VERIFIER, 701),
        bid(VERIFIER, 700, nonce=2),
        bid(VERIFIER, 700, task_id=OTHER_TASK),
        bid(RIVAL, 700),
    ):
        assert not opens(other, seal(true))


def test_a_seal_hides_its_content_behind_the_nonce() -> None:
    seals = {commitment_to(bid(VERIFIER, price, nonce=n)) for price in (1, 2) for n in (1, 2)}
    assert len(seals) == 4
    audit = AuditReveal(
        receipt_digest=TASK,
        verifier_public_key=VERIFIER.public_key,
        chain_end=bytes(32),
        nonce=bytes(32),
    )
    beacon = BeaconReveal(epoch=0, contributor_public_key=VERIFIER.public_key, nonce=bytes(32))
    assert len(seals | {commitment_to(audit), commitment_to(beacon)}) == 6


def test_who_copies_a_seal_cannot_open_it_and_loses_the_deposit() -> None:
    true = bid(VERIFIER, 700)
    copy = replace(seal(true), bidder_public_key=RIVAL.public_key)
    commits = [sealed(VERIFIER, true), sign_message(copy, RIVAL)]
    # The copier waits for the original to be opened, and says the same under its own name.
    reveals = [sign_message(true, VERIFIER), sign_message(bid(RIVAL, 700), RIVAL)]
    opening = close(commits, reveals)
    assert opening.opened == (true,)
    assert opening.withheld == (RIVAL.public_key,)
    assert opening.n_refused == 1
    assert opening.forfeits_micro_usd(9_000) == {RIVAL.public_key: 9_000}


def test_who_copies_an_audit_result_cannot_open_it() -> None:
    true = AuditReveal(
        receipt_digest=TASK,
        verifier_public_key=VERIFIER.public_key,
        chain_end=BEACON,
        nonce=bytes(32),
    )
    copy = replace(seal(true), verifier_public_key=RIVAL.public_key)
    parrot = replace(true, verifier_public_key=RIVAL.public_key)
    opening = close(
        [sign_message(seal(true), VERIFIER), sign_message(copy, RIVAL)],
        [sign_message(true, VERIFIER), sign_message(parrot, RIVAL)],
    )
    assert opening.opened == (true,)
    assert opening.withheld == (RIVAL.public_key,)


def test_whoever_does_not_open_has_withheld() -> None:
    bids = {key: bid(key, 700 + at) for at, key in enumerate((VERIFIER, RIVAL, THIRD))}
    commits = [sealed(key, one) for key, one in bids.items()]
    reveals = [sign_message(bids[key], key) for key in (VERIFIER, THIRD)]
    opening = close(commits, reveals)
    assert set(opening.opened) == {bids[VERIFIER], bids[THIRD]}
    assert opening.withheld == (RIVAL.public_key,)
    assert opening.n_refused == 0


def test_who_seals_twice_has_opened_neither() -> None:
    one, other = bid(RIVAL, 1), bid(RIVAL, 999)
    opening = close([sealed(RIVAL, one), sealed(RIVAL, other)], [sign_message(one, RIVAL)])
    assert opening.opened == ()
    assert opening.withheld == (RIVAL.public_key,)


def test_nobody_loses_a_deposit_by_what_others_made_up() -> None:
    true = bid(VERIFIER, 700)
    fake_commit = Signed(message=seal(bid(VERIFIER, 1)), signature=bytes(64))
    fake_reveal = Signed(message=bid(VERIFIER, 1), signature=bytes(64))
    never_sealed = sign_message(bid(THIRD, 3), THIRD)
    opening = close(
        [sealed(VERIFIER, true), fake_commit],
        [sign_message(true, VERIFIER), fake_reveal, never_sealed, sign_message(true, VERIFIER)],
    )
    assert opening.opened == (true,)
    assert opening.withheld == ()
    assert opening.n_refused == 2


def test_a_reveal_that_its_sender_did_not_sign_opens_nothing() -> None:
    true = bid(VERIFIER, 700)
    leaked = Signed(message=true, signature=RIVAL.signature_of(encode_message(true)))
    opening = close([sealed(VERIFIER, true)], [leaked])
    assert opening.opened == ()
    assert opening.withheld == (VERIFIER.public_key,)


def test_one_round_may_be_about_many_tasks() -> None:
    first, second = bid(RIVAL, 5), bid(RIVAL, 6, task_id=OTHER_TASK)
    opening = close([sealed(RIVAL, first), sealed(RIVAL, second)], [sign_message(second, RIVAL)])
    assert opening.opened == (second,)
    assert opening.forfeits_micro_usd(10) == {RIVAL.public_key: 10}
    neither = close([sealed(RIVAL, first), sealed(RIVAL, second)], [])
    assert neither.forfeits_micro_usd(10) == {RIVAL.public_key: 20}


def test_seals_and_beacons_are_hashed_as_the_page_says() -> None:
    audit = AuditReveal(
        receipt_digest=TASK, verifier_public_key=RIVAL.public_key, chain_end=BEACON, nonce=bytes(32)
    )
    contribution = share(RIVAL, 4, epoch=9)
    for reveal, person in (
        (bid(RIVAL, 5), b"hanse.bid.v1"),
        (audit, b"hanse.audit.v1"),
        (contribution, b"hanse.share.v1"),
    ):
        digest = blake2b(encode_message(reveal), digest_size=32, person=person).digest()
        assert commitment_to(reveal) == digest
    framed = canonical_bytes(b"beacon", (9).to_bytes(8, "big"), encode_message(contribution))
    digest = blake2b(framed, digest_size=32, person=b"hanse.beacon.v1").digest()
    assert beacon_of(9, [contribution]) == digest


# The fallback: a beacon of many, and its last revealer.


def share(key: Signer, number: int, *, epoch: int = 1) -> BeaconReveal:
    return BeaconReveal(
        epoch=epoch,
        contributor_public_key=key.public_key,
        nonce=number.to_bytes(32, "big"),
    )


def test_a_beacon_depends_on_each_share_and_not_on_their_order() -> None:
    shares = [share(VERIFIER, 1), share(RIVAL, 2), share(THIRD, 3)]
    beacon = beacon_of(1, shares)
    assert beacon_of(1, shares[::-1]) == beacon_of(1, [*shares, shares[0]]) == beacon
    changed = {beacon_of(1, [*shares[:at], *shares[at + 1 :]]) for at in range(3)}
    changed |= {beacon_of(1, [*shares[:2], share(THIRD, 4)])}
    assert len(changed - {beacon}) == 4
    with pytest.raises(ValueError, match="shares must be of epoch 1, at least one"):
        beacon_of(1, [])
    with pytest.raises(ValueError, match="shares must be of epoch 1"):
        beacon_of(1, [share(VERIFIER, 1, epoch=2)])


@pytest.mark.parametrize("n_withholders", [1, 2])
def test_the_last_to_open_escape_audits_as_often_as_the_formula_says(n_withholders: int) -> None:
    p, n, rng = 0.5, 2_000, np.random.default_rng(18)
    last = (RIVAL, THIRD)[:n_withholders]
    n_audited = 0
    for numbers in rng.integers(0, 2**62, (n, 3)).tolist():
        honest = share(VERIFIER, numbers[0])
        own = [share(key, number) for key, number in zip(last, numbers[1:], strict=False)]
        kept = [subset for size in range(len(own) + 1) for subset in combinations(own, size)]
        draws = [beacon_output(beacon_of(1, [honest, *subset]), ALPHA) for subset in kept]
        n_audited += all(is_audited(draw, p) for draw in draws)
    expected = audit_probability_when_withheld(p, n_withholders)
    assert expected == p ** (2**n_withholders)
    assert abs(n_audited / n - expected) < 4 * np.sqrt(expected * (1 - expected) / n)


def test_each_share_more_that_is_held_back_squares_what_is_left_of_audits() -> None:
    # p, p^2, p^4, p^8: beacons double with each share.
    left = [audit_probability_when_withheld(0.5, n) for n in range(4)]
    assert left == [1 / 2, 1 / 4, 1 / 16, 1 / 256]


def test_withholding_a_share_costs_the_deposit() -> None:
    shares = {key: share(key, at) for at, key in enumerate((VERIFIER, RIVAL))}
    commits = [sign_message(seal(one), key) for key, one in shares.items()]
    opening = close(commits, [sign_message(shares[VERIFIER], VERIFIER)])
    assert beacon_of(1, opening.opened) == beacon_of(1, [shares[VERIFIER]])
    assert opening.forfeits_micro_usd(5_000_000) == {RIVAL.public_key: 5_000_000}


def test_the_fallback_draws_for_each_input_apart() -> None:
    alphas = [lottery_input(TASK, key.public_key, epoch=1, beacon=BEACON) for key in (RIVAL, THIRD)]
    draws = {beacon_output(BEACON, alpha) for alpha in alphas}
    draws |= {beacon_output(TASK, alphas[0])}
    assert len(draws) == 3
    assert {len(draw) for draw in draws} == {64}


def test_a_share_of_a_beacon_and_a_bid_share_no_bytes() -> None:
    assert encode_message(share(RIVAL, 1)).split(b"\0")[0] == b"hanse/1/beacon-reveal"

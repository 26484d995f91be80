"""Signed receipts: their bytes, who they convince, and what no tampering can do to them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.verification.audits import Claims, ModelledTask, issue_receipts, sign_and_check
from hanse.verification.receipts import (
    INTEGER_MAX,
    NO_RECEIPT,
    MalformedReceiptError,
    SignedReceipt,
    Signer,
    Verdict,
    WorkReceipt,
    canonical_bytes,
    chain_is_unbroken,
    check,
    equivocators,
    is_signed_by,
    is_valid_signature,
    read_signed_receipt,
    sign,
)

WYCHEPROOF = Path(__file__).resolve().parents[2] / "shared/vectors/wycheproof/ed25519_test.json"
SOLVER = Signer(7, 3)
RIVAL = Signer(7, 4)
TASK = ModelledTask.of(7, 11)

# Computed with hashlib and libsodium alone, from the rules on the reference page.
PINNED_PUBLIC_KEY = "a9ba346d967085c745892845f7be8d7994ddaf1be76f8bb2f72fe280a8c8f0be"
PINNED_DIGEST = "c686a26a29ef41acc2fe4dd3d0f8661218c052e76317af635bdc2de4f9da1b9b"
PINNED_SIGNATURE = (
    "56f8b7ed15a26ce37829f5961893c44d57c40cf25f3982950fbf4c8e7003c816"
    "3c3cd42019dbcba2b29444c7c3d1b33aabd88fb705377255d4d34ac0fa421009"
)

# RFC 8032, section 7.1, test 1: public key, message, signature.
RFC_8032_TEST_1 = (
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "",
    (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    ),
)


repeatable = settings(derandomize=True, deadline=None, max_examples=60, database=None)
digests = st.binary(min_size=32, max_size=32)
integers = st.integers(0, INTEGER_MAX)


def receipt_of(sequence: int = 0, previous: bytes = NO_RECEIPT) -> WorkReceipt:
    return WorkReceipt(
        task_id=TASK.task_id,
        program_digest=TASK.program_digest,
        output_digest=TASK.output_digest(is_right=True),
        solver_public_key=SOLVER.public_key,
        region=25,
        started_us=1_000_000,
        ended_us=3_500_000,
        work_us=2_400_000,
        sequence=sequence,
        previous_receipt_digest=previous,
    )


def chain_of(n: int) -> list[WorkReceipt]:
    chain: list[WorkReceipt] = []
    for sequence in range(n):
        chain.append(receipt_of(sequence, chain[-1].digest() if chain else NO_RECEIPT))
    return chain


@st.composite
def receipts(draw: st.DrawFn) -> WorkReceipt:
    started_us, ended_us = sorted((draw(integers), draw(integers)))
    return WorkReceipt(
        task_id=draw(digests),
        program_digest=draw(digests),
        output_digest=draw(digests),
        solver_public_key=SOLVER.public_key,
        region=draw(integers),
        started_us=started_us,
        ended_us=ended_us,
        work_us=draw(integers),
        sequence=draw(integers),
        previous_receipt_digest=draw(digests),
    )


def is_accepted(message: bytes, original: WorkReceipt) -> bool:
    """Say whether somebody who waits for the original's task would take these bytes."""
    try:
        signed = read_signed_receipt(message)
    except MalformedReceiptError:
        return False
    task_id, program_digest = original.task_id, original.program_digest
    return check(signed, task_id=task_id, program_digest=program_digest) is Verdict.GENUINE


def flipped(message: bytes, bit: int) -> bytes:
    altered = bytearray(message)
    altered[bit // 8] ^= 1 << (bit % 8)
    return bytes(altered)


def parts_of(message: bytes, header: bytes) -> list[bytes]:
    """Undo the framing by the rule on the page, independently of the code."""
    rest, parts = message.removeprefix(header), []
    while rest:
        length = int.from_bytes(rest[:4], "big")
        parts.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    return parts


def claims_of(n: int = 40, *, all_wrong: bool = False) -> Claims:
    rng = np.random.default_rng(20)
    started_us = rng.integers(0, 10**9, n)
    return Claims(
        task=np.arange(n) * 3,
        solver=rng.integers(0, 6, n),
        region=rng.integers(0, 26, n),
        started_us=started_us,
        # Whoever starts late ends early, so that the two orders differ.
        ended_us=2 * 10**9 - started_us,
        work_us=np.full(n, 4_000),
        is_right=np.zeros(n, dtype=bool) if all_wrong else rng.random(n) < 0.7,
        is_disputed=rng.random(n) < 0.5,
    )


def issued_for(claims: Claims) -> tuple[SignedReceipt, ...]:
    tasks = [ModelledTask.of(7, task) for task in claims.task.tolist()]
    return issue_receipts(7, claims, tasks)


def test_signs_the_256_bytes_that_the_reference_page_lists() -> None:
    receipt = receipt_of(sequence=1, previous=bytes(range(32)))
    by_hand = (
        b"hanse/1/receipt\0"
        + (b"\0\0\0\x20" + receipt.task_id)
        + (b"\0\0\0\x20" + receipt.program_digest)
        + (b"\0\0\0\x20" + receipt.output_digest)
        + (b"\0\0\0\x20" + receipt.solver_public_key)
        + (b"\0\0\0\x08" + b"\0\0\0\0\0\0\0\x19")  # region 25
        + (b"\0\0\0\x08" + b"\0\0\0\0\0\x0f\x42\x40")  # 1,000,000 = 0x0f4240
        + (b"\0\0\0\x08" + b"\0\0\0\0\0\x35\x67\xe0")  # 3,500,000 = 0x3567e0
        + (b"\0\0\0\x08" + b"\0\0\0\0\0\x24\x9f\x00")  # 2,400,000 = 0x249f00
        + (b"\0\0\0\x08" + b"\0\0\0\0\0\0\0\x01")
        + (b"\0\0\0\x20" + bytes(range(32)))
    )
    assert receipt.canonical_bytes() == by_hand
    # 16 header + 5 x (4 + 32) + 5 x (4 + 8)
    assert len(by_hand) == 256


@repeatable
@given(receipt=receipts())
def test_the_compiled_layout_is_the_general_framing(receipt: WorkReceipt) -> None:
    parts = parts_of(receipt.canonical_bytes(), b"hanse/1/receipt\0")
    assert canonical_bytes(b"receipt", *parts) == receipt.canonical_bytes()
    assert [len(part) for part in parts] == [32, 32, 32, 32, 8, 8, 8, 8, 8, 32]


@repeatable
@given(parts=st.lists(st.binary(max_size=40), max_size=6))
def test_framing_can_be_undone_so_that_no_two_sequences_share_their_bytes(
    parts: list[bytes],
) -> None:
    assert parts_of(canonical_bytes(b"kind", *parts), b"hanse/1/kind\0") == parts


@repeatable
@given(blob=st.binary(min_size=1, max_size=40), cuts=st.tuples(integers, integers))
def test_moving_a_field_boundary_changes_the_bytes(blob: bytes, cuts: tuple[int, int]) -> None:
    here, there = cuts[0] % (len(blob) + 1), cuts[1] % (len(blob) + 1)
    one = canonical_bytes(b"kind", blob[:here], blob[here:])
    other = canonical_bytes(b"kind", blob[:there], blob[there:])
    assert (one == other) == (here == there)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_field_cannot_lend_a_byte_to_its_neighbour(length: int) -> None:
    with pytest.raises(ValueError, match="output_digest must be 32 bytes"):
        replace(receipt_of(), output_digest=bytes(length))


@pytest.mark.parametrize("value", [-1, INTEGER_MAX + 1, 1.0])
def test_no_number_outside_eight_bytes_is_signed(value: int) -> None:
    with pytest.raises(ValueError, match="work_us must be an integer from 0 to 1844"):
        replace(receipt_of(), work_us=value)


@pytest.mark.parametrize("name", ["region", "started_us", "ended_us", "work_us", "sequence"])
def test_every_number_of_a_receipt_has_its_eight_bytes(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be an integer from 0 to 1844"):
        replace(receipt_of(), **{name: -1})


def test_work_cannot_end_before_it_starts() -> None:
    with pytest.raises(ValueError, match="ended_us must be at least started_us = 1000000, got 9"):
        replace(receipt_of(), ended_us=9)


def test_keys_follow_from_seed_and_owner_alone() -> None:
    assert Signer(7, 3).public_key == SOLVER.public_key
    assert len({Signer(seed, owner).public_key for seed in (7, 8) for owner in (3, 4)}) == 4
    with pytest.raises(ValueError, match="owner must be an integer"):
        Signer(7, -1)


def test_keys_digests_and_signatures_are_the_same_on_every_machine() -> None:
    signed = sign(receipt_of(), SOLVER)
    assert SOLVER.public_key.hex() == PINNED_PUBLIC_KEY
    assert signed.receipt.digest().hex() == PINNED_DIGEST
    assert signed.signature.hex() == PINNED_SIGNATURE


@repeatable
@given(receipt=receipts())
def test_a_signed_receipt_survives_the_wire(receipt: WorkReceipt) -> None:
    signed = sign(receipt, SOLVER)
    assert read_signed_receipt(signed.to_bytes()) == signed
    assert is_accepted(signed.to_bytes(), receipt)


def test_flipping_any_bit_of_one_receipt_is_rejected() -> None:
    receipt = receipt_of()
    message = sign(receipt, SOLVER).to_bytes()
    accepted = [
        bit for bit in range(8 * len(message)) if is_accepted(flipped(message, bit), receipt)
    ]
    assert accepted == []


@repeatable
@given(receipt=receipts(), bit=st.integers(0, 8 * 320 - 1))
def test_flipping_a_bit_of_any_receipt_is_rejected(receipt: WorkReceipt, bit: int) -> None:
    message = sign(receipt, SOLVER).to_bytes()
    assert not is_accepted(flipped(message, bit), receipt)


@pytest.mark.parametrize("change", [b"", b"\0", b"\0" * 64])
def test_truncated_and_padded_receipts_are_rejected(change: bytes) -> None:
    message = sign(receipt_of(), SOLVER).to_bytes()
    altered = message + change if change else message[:-1]
    with pytest.raises(MalformedReceiptError, match="must have 320 bytes"):
        read_signed_receipt(altered)


def test_a_receipt_for_another_task_or_program_is_rejected() -> None:
    signed, other = sign(receipt_of(), SOLVER), ModelledTask.of(7, 12)
    judged = check(signed, task_id=other.task_id, program_digest=other.program_digest)
    assert judged is Verdict.OTHER_TASK
    judged = check(signed, task_id=TASK.task_id, program_digest=other.program_digest)
    assert judged is Verdict.OTHER_PROGRAM


def test_a_receipt_signed_with_another_key_convinces_nobody() -> None:
    receipt = receipt_of()
    forged = SignedReceipt(receipt=receipt, signature=RIVAL.signature_of(receipt.canonical_bytes()))
    verdict = check(forged, task_id=TASK.task_id, program_digest=TASK.program_digest)
    assert verdict is Verdict.FORGED
    assert not is_signed_by(forged, RIVAL.public_key)
    assert not is_signed_by(forged, SOLVER.public_key)


def test_nobody_can_put_their_name_on_a_signed_receipt() -> None:
    signed = sign(receipt_of(), SOLVER)
    stolen = replace(signed, receipt=replace(signed.receipt, solver_public_key=RIVAL.public_key))
    assert not is_signed_by(stolen, RIVAL.public_key)
    assert not is_signed_by(signed, RIVAL.public_key)
    assert is_signed_by(signed, SOLVER.public_key)


def test_a_signer_does_not_sign_for_somebody_else() -> None:
    with pytest.raises(ValueError, match=f"must be the signer's {RIVAL.public_key.hex()}"):
        sign(receipt_of(), RIVAL)


def test_a_signature_over_another_kind_of_message_is_not_a_receipt() -> None:
    receipt = receipt_of()
    parts = parts_of(receipt.canonical_bytes(), b"hanse/1/receipt\0")
    borrowed = SOLVER.signature_of(canonical_bytes(b"refund", *parts))
    assert not is_signed_by(SignedReceipt(receipt=receipt, signature=borrowed), SOLVER.public_key)


def test_a_chain_is_unbroken_from_its_first_receipt_on() -> None:
    assert chain_is_unbroken(chain_of(4))
    assert chain_is_unbroken([])


@pytest.mark.parametrize(
    "order", [(1, 2, 3), (0, 2, 3), (0, 2, 1, 3), (0, 0, 1), (3, 2, 1, 0)], ids=str
)
def test_a_chain_with_a_receipt_missing_or_moved_is_broken(order: tuple[int, ...]) -> None:
    chain = chain_of(4)
    assert not chain_is_unbroken([chain[at] for at in order])


def test_a_chain_that_skips_a_number_is_broken() -> None:
    first = receipt_of(0)
    assert not chain_is_unbroken([first, receipt_of(2, previous=first.digest())])


def test_a_chain_shows_that_an_early_receipt_was_altered() -> None:
    chain = chain_of(4)
    chain[1] = replace(chain[1], work_us=1)
    assert not chain_is_unbroken(chain)


def test_a_chain_belongs_to_one_solver() -> None:
    chain = chain_of(2)
    assert not chain_is_unbroken([chain[0], replace(chain[1], solver_public_key=bytes(32))])


def test_two_receipts_under_one_sequence_number_convict_the_solver() -> None:
    rival_claim = replace(receipt_of(5), region=2)
    signed = [sign(receipt_of(5), SOLVER), sign(receipt_of(6), SOLVER), sign(rival_claim, SOLVER)]
    assert equivocators(signed) == (SOLVER.public_key,)


def test_showing_one_receipt_twice_convicts_nobody() -> None:
    assert equivocators([sign(receipt_of(5), SOLVER), sign(receipt_of(5), SOLVER)]) == ()


def test_a_made_up_receipt_convicts_nobody() -> None:
    made_up = replace(receipt_of(5), region=2)
    forged = SignedReceipt(receipt=made_up, signature=RIVAL.signature_of(made_up.canonical_bytes()))
    assert equivocators([sign(receipt_of(5), SOLVER), forged]) == ()


def test_two_solvers_may_use_the_same_sequence_number() -> None:
    rival_receipt = replace(receipt_of(5), solver_public_key=RIVAL.public_key)
    assert equivocators([sign(receipt_of(5), SOLVER), sign(rival_receipt, RIVAL)]) == ()


def test_a_dispute_finds_exactly_the_wrong_claims_among_the_disputed() -> None:
    claims = claims_of()
    tally = sign_and_check(7, claims)
    assert tally.n_signed == tally.n_checked == 40
    assert tally.n_disputed == np.count_nonzero(claims.is_disputed)
    assert tally.n_mismatched == np.count_nonzero(claims.is_disputed & ~claims.is_right) > 0


def test_a_cheat_signs_as_well_as_anybody() -> None:
    tally = sign_and_check(7, claims_of(all_wrong=True))
    assert tally.n_rejected == 0
    assert tally.n_mismatched == tally.n_disputed > 0


def test_a_sample_may_be_empty() -> None:
    assert sign_and_check(7, claims_of(0)).n_signed == 0


def test_receipts_come_back_in_the_order_of_the_rows() -> None:
    claims = claims_of()
    tasks = [ModelledTask.of(7, task).task_id for task in claims.task.tolist()]
    assert [signed.receipt.task_id for signed in issued_for(claims)] == tasks


def test_each_solver_of_a_sample_leaves_an_unbroken_chain_in_the_order_of_ends() -> None:
    issued = issued_for(claims_of())
    for solver in range(6):
        own = [s.receipt for s in issued if is_signed_by(s, Signer(7, solver).public_key)]
        own.sort(key=lambda receipt: receipt.ended_us)
        assert len(own) > 1
        assert chain_is_unbroken(own)
    assert equivocators(issued) == ()


def test_columns_of_unequal_length_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"region must have shape \(40,\), got \(2,\)"):
        replace(claims_of(), region=np.zeros(2, dtype=np.int64))


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(33), bytes(63), bytes(65), "text", None])
def test_what_has_not_the_length_of_a_key_or_signature_is_invalid_and_no_error(
    wrong: object,
) -> None:
    key, message, signature = map(bytes.fromhex, RFC_8032_TEST_1)
    assert not is_valid_signature(wrong, message, signature)  # type: ignore[arg-type]
    assert not is_valid_signature(key, message, wrong)  # type: ignore[arg-type]


def test_accepts_the_first_signature_of_rfc_8032() -> None:
    assert is_valid_signature(*map(bytes.fromhex, RFC_8032_TEST_1))


def test_agrees_with_every_wycheproof_vector() -> None:
    if not WYCHEPROOF.is_file():
        pytest.skip(f"ED25519 NOT TESTED AGAINST WYCHEPROOF: no file at {WYCHEPROOF}")
    suite = json.loads(WYCHEPROOF.read_text())
    cases = [
        (group["publicKey"]["pk"], case) for group in suite["testGroups"] for case in group["tests"]
    ]
    wrong = [
        case["tcId"]
        for key, case in cases
        if is_valid_signature(*map(bytes.fromhex, (key, case["msg"], case["sig"])))
        != (case["result"] == "valid")
    ]
    assert wrong == []
    assert len(cases) == suite["numberOfTests"]
    assert {case["result"] for _, case in cases} == {"valid", "invalid"}

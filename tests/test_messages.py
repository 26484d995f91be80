"""Messages: one framing, one error, and what no tampering, copying or replaying can do to them."""

import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from importlib import resources
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from hanse.verification.framing import (
    AMOUNT_MAX,
    INTEGER_MAX,
    Blob,
    Field,
    FixedBytes,
    Integer,
    MalformedMessageError,
    Several,
    Word,
)
from hanse.verification.keys import Signer, is_valid_signature
from hanse.verification.messages import (
    AuditCommit,
    BidCommit,
    BisectMove,
    Challenge,
    Message,
    Reason,
    Settlement,
    Signed,
    TaskOffer,
    VerdictMessage,
    decode_message,
    encode_message,
    fields_of,
    is_equivocation,
    is_genuine,
    message_digest,
    read_message,
    sign_message,
)
from hanse.verification.questions import DISPUTE_TYPES
from hanse.verification.receipts import (
    NO_RECEIPT,
    MalformedReceiptError,
    WorkReceipt,
    chain_is_unbroken,
    read_signed_receipt,
    sign,
)
from tests.messages_drawn import messages, signed_by
from tests.project_files import PROJECT

SOLVER, RIVAL = Signer(7, 3), Signer(7, 4)
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
TASK, PROGRAM, OUTPUT = (bytes([at]) * 32 for at in (1, 2, 3))

repeatable = settings(derandomize=True, deadline=None, max_examples=40, database=None)
every_type = pytest.mark.parametrize("kind", DISPUTE_TYPES, ids=lambda kind: kind.__name__)

# All points of order 1, 2, 4 and 8, with the encodings that are not reduced or have a wrong sign.
SMALL_ORDER_KEYS = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
)


def bid(task_id: bytes = TASK, commitment: bytes = OUTPUT) -> BidCommit:
    return BidCommit(task_id=task_id, bidder_public_key=SOLVER.public_key, commitment=commitment)


def move(number: int = 0, chain: bytes = OUTPUT, dispute_id: bytes = TASK) -> BisectMove:
    return BisectMove(
        dispute_id=dispute_id,
        sender_public_key=SOLVER.public_key,
        round=number,
        index=512,
        chain=chain,
        inclusion_proof=(PROGRAM, OUTPUT),
    )


def receipt(sequence: int = 0, task_id: bytes = TASK, previous: bytes = NO_RECEIPT) -> WorkReceipt:
    return WorkReceipt(
        task_id=task_id,
        program_digest=PROGRAM,
        output_digest=OUTPUT,
        solver_public_key=SOLVER.public_key,
        region=3,
        started_us=5,
        ended_us=9,
        work_us=4,
        sequence=sequence,
        previous_receipt_digest=previous,
    )


def settlement(amounts: tuple[int, ...] = (-7, 7)) -> Settlement:
    return Settlement(
        receipt_digest=TASK,
        referee_public_key=SOLVER.public_key,
        accounts=(PROGRAM, OUTPUT),
        amounts_micro_usd=amounts,
    )


def test_the_bytes_of_a_move_follow_the_rule() -> None:
    by_hand = (
        b"hanse/1/bisect-move\0"
        + (b"\0\0\0\x20" + TASK)
        + (b"\0\0\0\x20" + SOLVER.public_key)
        + (b"\0\0\0\x08" + b"\0\0\0\0\0\0\0\x05")
        + (b"\0\0\0\x08" + b"\0\0\0\0\0\0\x02\0")  # 512
        + (b"\0\0\0\x20" + OUTPUT)
        + (b"\0\0\0\x48" + b"\0\0\0\x20" + PROGRAM + b"\0\0\0\x20" + OUTPUT)  # 2 x 36 = 72
    )
    assert encode_message(move(5)) == by_hand
    digest = blake2b(by_hand, digest_size=32, person=b"hanse.message.v1").digest()
    assert message_digest(move(5)) == digest


def test_money_may_be_negative_and_words_are_ascii() -> None:
    assert encode_message(settlement((-2, 2))).endswith(
        b"\0\0\0\x18" + b"\0\0\0\x08" + b"\xff" * 7 + b"\xfe" + b"\0\0\0\x08" + bytes(7) + b"\x02"
    )
    verdict = VerdictMessage(
        dispute_id=TASK,
        referee_public_key=SOLVER.public_key,
        guilty_public_key=RIVAL.public_key,
        reason=Reason.BAD_PROOF,
    )
    assert encode_message(verdict).endswith(b"\0\0\0\x09bad_proof")


def test_receipts_are_messages_with_the_bytes_that_they_have_always_had() -> None:
    signed = sign(receipt(), SOLVER)
    assert encode_message(receipt()) == receipt().canonical_bytes()
    assert sign_message(receipt(), SOLVER).to_bytes() == signed.to_bytes()
    assert read_message(WorkReceipt, signed.to_bytes()).message == receipt()


def test_kinds_of_messages_have_names_of_their_own() -> None:
    kinds = [kind.KIND for kind in DISPUTE_TYPES]
    assert len(set(kinds)) == len(kinds) == 18
    assert not any(b"\0" in kind for kind in kinds)


@every_type
def test_each_type_names_its_sender_and_its_occasion_by_fields(kind: type[Message]) -> None:
    assert isinstance(fields_of(kind)[kind.SENDER], FixedBytes)
    assert set(kind.ONCE_FOR) <= fields_of(kind).keys() - {kind.SENDER}


@every_type
@repeatable
@given(data=st.data())
def test_every_message_survives_the_wire(kind: type[Message], data: st.DataObject) -> None:
    signed = signed_by(SOLVER, data.draw(messages(kind)))
    received = read_message(kind, signed.to_bytes())
    assert received == signed
    assert is_genuine(received)


@every_type
@repeatable
@given(data=st.data())
def test_no_message_reads_as_another_kind(kind: type[Message], data: st.DataObject) -> None:
    wire = signed_by(SOLVER, data.draw(messages(kind))).to_bytes()
    for other in DISPUTE_TYPES:
        if other is not kind:
            with pytest.raises(MalformedMessageError, match="must begin with"):
                read_message(other, wire)


def test_a_signature_does_not_carry_over_to_a_kind_with_the_same_fields() -> None:
    signed = sign_message(bid(), SOLVER)
    audit = AuditCommit(
        receipt_digest=TASK, verifier_public_key=SOLVER.public_key, commitment=OUTPUT
    )
    same = encode_message(audit).removeprefix(b"hanse/1/audit-commit\0")
    assert encode_message(bid()).removeprefix(b"hanse/1/bid-commit\0") == same
    assert is_genuine(signed)
    assert not is_genuine(Signed(message=audit, signature=signed.signature))


@every_type
def test_flipping_any_bit_of_a_message_is_rejected(kind: type[Message]) -> None:
    wire = signed_by(SOLVER, shortest(kind)).to_bytes()
    accepted = []
    for bit in range(8 * len(wire)):
        altered = bytearray(wire)
        altered[bit // 8] ^= 1 << (bit % 8)
        if accepts(kind, bytes(altered)):
            accepted.append(bit)
    assert accepted == []


@every_type
def test_truncated_and_padded_messages_are_rejected(kind: type[Message]) -> None:
    wire = signed_by(SOLVER, shortest(kind)).to_bytes()
    assert accepts(kind, wire)
    assert [cut for cut in range(len(wire)) if accepts(kind, wire[:cut])] == []
    assert [cut for cut in range(1, len(wire)) if accepts(kind, wire[cut:])] == []
    for padding in (b"\0", b"\0" * 4, b"\0\0\0\1x", wire):
        assert not accepts(kind, wire + padding)
        assert not accepts(kind, padding + wire)
        assert not accepts(kind, wire[:-64] + padding + wire[-64:])


def accepts(kind: type[Message], wire: bytes) -> bool:
    try:
        return is_genuine(read_message(kind, wire))
    except MalformedMessageError:
        return False


def shortest(kind: type[Message]) -> Message:
    """Build a message whose fields are all zero, empty, or the first word."""
    simple: dict[type, Callable[[object], object]] = {
        FixedBytes: lambda field: bytes(field.size),
        Integer: lambda _: 0,
        Several: lambda _: (),
        Blob: lambda _: b"",
        Word: lambda field: next(iter(field.words)),
    }
    fields = {name: simple[type(field)](field) for name, field in fields_of(kind).items()}
    return kind(**fields | {kind.SENDER: SOLVER.public_key})


@pytest.mark.parametrize("message", ["text", None, bytearray(400), memoryview(b"x" * 400), 7])
@every_type
def test_what_is_not_bytes_is_malformed(kind: type[Message], message: object) -> None:
    with pytest.raises(MalformedMessageError, match="must be at most 268435456 bytes, got a "):
        read_message(kind, message)
    with pytest.raises(MalformedMessageError):
        decode_message(kind, message)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"commitment": bytes(31)}, "commitment must be 32 bytes"),
        ({"commitment": bytes(33)}, "commitment must be 32 bytes"),
        ({"commitment": bytearray(32)}, "commitment must be 32 bytes"),
        ({"commitment": None}, "commitment must be 32 bytes"),
    ],
)
def test_nothing_that_a_field_cannot_hold_is_signed(
    change: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        sign_message(replace(bid(), **change), SOLVER)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("round", -1),
        ("round", INTEGER_MAX + 1),
        ("round", 1.0),
        ("round", float("nan")),
        ("round", -0.0),
        ("round", True),
        ("inclusion_proof", [PROGRAM]),
        ("inclusion_proof", (PROGRAM[:31],)),
        ("inclusion_proof", (PROGRAM,) * 65),
        ("inclusion_proof", PROGRAM),
    ],
)
def test_no_value_of_another_type_or_range_is_signed(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        sign_message(replace(move(), **{name: value}), SOLVER)


@pytest.mark.parametrize("regions", [(3, 3), (5, 3)])
def test_a_set_has_one_form(regions: tuple[int, ...]) -> None:
    offer = replace(shortest(TaskOffer), regions=regions)
    with pytest.raises(ValueError, match="regions must ascend without repetition"):
        encode_message(offer)
    sorted_wire = encode_message(replace(offer, regions=(3, 5)))
    ends = (b"\0\0\0\x08" + bytes(7) + b"\x03", b"\0\0\0\x08" + bytes(7) + b"\x05")
    assert sorted_wire.endswith(b"".join(ends))
    swapped = sorted_wire.removesuffix(b"".join(ends)) + ends[1] + ends[0]
    with pytest.raises(MalformedMessageError, match="regions must ascend"):
        decode_message(TaskOffer, swapped)


@pytest.mark.parametrize("five", [b"", b"\x05", bytes(6) + b"\x05", bytes(8) + b"\x05"])
def test_an_integer_has_eight_bytes_and_no_other_length(five: bytes) -> None:
    in_eight = b"\0\0\0\x08" + bytes(7) + b"\x05"
    wire = encode_message(move(5))
    assert wire.count(in_eight) == 1
    with pytest.raises(MalformedMessageError, match="round must be 8 bytes"):
        decode_message(BisectMove, wire.replace(in_eight, bytes([0, 0, 0, len(five)]) + five))


def test_an_audit_rate_is_at_most_all() -> None:
    with pytest.raises(ValueError, match="audit_per_million must be an integer from 0 to 1000000"):
        encode_message(replace(shortest(TaskOffer), audit_per_million=1_000_001))


def test_an_unknown_reason_is_malformed() -> None:
    wire = encode_message(shortest(VerdictMessage))
    for word in (b"Wrong_Output", b"wrong_outpu\xff", b"wrong_outpus"):
        with pytest.raises(MalformedMessageError, match="reason must be one of"):
            decode_message(VerdictMessage, wire.replace(b"wrong_output", word))


def test_a_settlement_makes_no_money() -> None:
    with pytest.raises(ValueError, match="amounts_micro_usd must sum to 0, got 1"):
        settlement((-7, 8))
    with pytest.raises(ValueError, match="one amount for each of 2 accounts, got 3"):
        settlement((-7, 3, 4))
    wire = encode_message(settlement((-7, 7)))
    with pytest.raises(MalformedMessageError, match="must sum to 0, got 1"):
        decode_message(Settlement, wire[:-1] + b"\x08")
    with pytest.raises(ValueError, match=f"from -{AMOUNT_MAX} to {AMOUNT_MAX}"):
        encode_message(settlement((-(AMOUNT_MAX + 1), AMOUNT_MAX + 1)))


def test_nobody_signs_for_somebody_else_by_mistake() -> None:
    with pytest.raises(ValueError, match=f"must be the signer's {RIVAL.public_key.hex()}"):
        sign_message(bid(), RIVAL)


def test_nobody_can_put_their_name_on_a_message_of_others() -> None:
    signed = sign_message(bid(), SOLVER)
    stolen = replace(signed, message=replace(bid(), bidder_public_key=RIVAL.public_key))
    assert is_genuine(signed)
    assert not is_genuine(stolen)


def test_a_message_for_one_task_or_dispute_is_worth_nothing_in_another() -> None:
    signed = sign_message(move(dispute_id=TASK), SOLVER)
    replayed = replace(signed, message=move(dispute_id=PROGRAM))
    assert not is_genuine(replayed)
    challenge = Challenge(
        receipt_digest=receipt(task_id=TASK).digest(),
        challenger_public_key=SOLVER.public_key,
        bond_micro_usd=9,
        trace_root=OUTPUT,
    )
    assert challenge.receipt_digest != receipt(task_id=PROGRAM).digest()


def test_a_receipt_chain_survives_the_wire_as_messages() -> None:
    first = receipt(0)
    chain = [first, receipt(1, previous=first.digest())]
    wires = [sign_message(one, SOLVER).to_bytes() for one in chain]
    assert chain_is_unbroken([read_message(WorkReceipt, wire).message for wire in wires])


# Equivocation.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (move(4), move(4, chain=PROGRAM)),
        (bid(), bid(commitment=PROGRAM)),
        (receipt(2), receipt(2, task_id=PROGRAM)),
        (settlement((-7, 7)), settlement((7, -7))),
    ],
)
def test_two_messages_for_one_occasion_convict_their_sender(one: Message, other: Message) -> None:
    assert is_equivocation(sign_message(one, SOLVER), sign_message(other, SOLVER))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (move(4), move(4)),
        (move(4), move(5, chain=PROGRAM)),
        (move(4), move(4, chain=PROGRAM, dispute_id=PROGRAM)),
        (bid(), bid(task_id=PROGRAM)),
        (bid(), move(4)),
        (receipt(2), receipt(3)),
    ],
)
def test_messages_for_two_occasions_and_one_shown_twice_convict_nobody(
    one: Message, other: Message
) -> None:
    assert not is_equivocation(sign_message(one, SOLVER), sign_message(other, SOLVER))


def test_a_made_up_message_convicts_nobody() -> None:
    genuine, made_up = sign_message(move(4), SOLVER), move(4, chain=PROGRAM)
    forged = Signed(message=made_up, signature=RIVAL.signature_of(encode_message(made_up)))
    assert not is_equivocation(genuine, forged)
    assert not is_equivocation(forged, genuine)


def test_two_senders_may_speak_on_one_occasion() -> None:
    rival_move = replace(move(4, chain=PROGRAM), sender_public_key=RIVAL.public_key)
    assert not is_equivocation(sign_message(move(4), SOLVER), sign_message(rival_move, RIVAL))


def test_what_may_be_said_twice_is_no_equivocation() -> None:
    kind = next(kind for kind in DISPUTE_TYPES if not kind.ONCE_FOR)
    one = shortest(kind)
    name = next(n for n, f in fields_of(kind).items() if f == FixedBytes(32) and n != kind.SENDER)
    other = replace(one, **{name: OUTPUT})
    assert not is_equivocation(sign_message(one, SOLVER), sign_message(other, SOLVER))


# Signatures that other libraries take.


def test_a_signature_has_no_twin_with_s_above_the_group_order() -> None:
    message = encode_message(bid())
    signature = SOLVER.signature_of(message)
    s = int.from_bytes(signature[32:], "little")
    twins = [s + GROUP_ORDER * times for times in range(1, 16) if s + GROUP_ORDER * times < 2**256]
    assert len(twins) == 15
    assert is_valid_signature(SOLVER.public_key, message, signature)
    for twin in twins:
        altered = signature[:32] + twin.to_bytes(32, "little")
        assert not is_valid_signature(SOLVER.public_key, message, altered)


@pytest.mark.parametrize("key", SMALL_ORDER_KEYS)
def test_a_key_of_small_order_signs_nothing(key: str) -> None:
    # R = A or the identity and S = 0 satisfy the equation for one message in 8, or for all.
    public_key = bytes.fromhex(key)
    for r in (public_key, bytes.fromhex(SMALL_ORDER_KEYS[2])):
        signatures = [
            is_valid_signature(public_key, bytes([at]), r + bytes(32)) for at in range(32)
        ]
        assert not any(signatures)


def rfc_8032_cases() -> list[list[bytes]]:
    if find_spec("cryptography_vectors") is None:
        pytest.skip("ED25519 NOT TESTED AGAINST RFC 8032: no package cryptography-vectors")
    file = resources.files("cryptography_vectors") / "asymmetric" / "Ed25519" / "sign.input"
    lines = file.read_text(encoding="ascii").splitlines()
    return [[bytes.fromhex(column) for column in line.split(":")[:4]] for line in lines]


def test_agrees_with_every_signature_of_the_authors_of_rfc_8032() -> None:
    cases = rfc_8032_cases()
    assert len(cases) == 1024
    signer = Signer(0, 0)
    for secret_and_public, public_key, message, signed in cases:
        signature = signed[:64]
        signer._key = SigningKey(secret_and_public[:32])
        assert bytes(signer._key.verify_key) == public_key
        assert signer.signature_of(message) == signature
        assert is_valid_signature(public_key, message, signature)
        assert not is_valid_signature(public_key, message + b"\0", signature)


def test_one_error_stands_for_all_that_is_malformed() -> None:
    assert issubclass(MalformedReceiptError, MalformedMessageError)
    assert issubclass(MalformedMessageError, ValueError)
    with pytest.raises(MalformedMessageError):
        read_signed_receipt(b"")


# The page.

PAGE = (PROJECT / "docs" / "reference" / "messages.md").read_text(encoding="utf-8")


def size_on_page(field: Field) -> str:
    """Say how long a field is, as the page does: what stands behind its own length."""
    match field:
        case FixedBytes(size=size):
            return str(size)
        case Integer(least=least):
            return "8" if least == 0 else "8, signed"
        case Blob(max_bytes=most):
            return f"up to {most:,}"
        case Word():
            return "ASCII"
        case Several(field=item, most=most):
            return f"up to {most:,} x (4 + {size_on_page(item)})"
    raise NotImplementedError(field)


@every_type
def test_the_page_lists_every_field_in_its_order_with_its_size(kind: type[Message]) -> None:
    heading = f"\n### {kind.__name__}: `{kind.KIND.decode()}`\n"
    assert PAGE.count(heading) == 1
    section = re.split(r"^##", PAGE.partition(heading)[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE)
    assert rows == [(name, size_on_page(field)) for name, field in fields_of(kind).items()]
    said = re.search(r"Signed by `(\w+)`(?:, once for each (.*))?\.$", section, re.MULTILINE)
    assert said is not None
    assert said[1] == kind.SENDER
    assert tuple(re.findall(r"`(\w+)`", said[2] or "")) == kind.ONCE_FOR


def test_the_page_lists_no_message_that_there_is_not() -> None:
    listed = re.findall(r"^### (\w+): `", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(kind.__name__ for kind in DISPUTE_TYPES)

"""Messages of any type, drawn from what their fields can hold."""

from functools import singledispatch
from typing import TypeVar

from hypothesis import strategies as st

from hanse.verification.framing import Blob, Field, FixedBytes, Integer, Several, Word
from hanse.verification.keys import Signer
from hanse.verification.messages import (
    Message,
    Settlement,
    Signed,
    encode_message,
    fields_of,
    sender_of,
)
from hanse.verification.receipts import WorkReceipt

M = TypeVar("M", bound=Message)


@singledispatch
def values(field: Field) -> st.SearchStrategy[object]:
    """Draw what a field can hold."""
    raise NotImplementedError(field)


@values.register
def _(field: FixedBytes) -> st.SearchStrategy[object]:
    return st.binary(min_size=field.size, max_size=field.size)


@values.register
def _(field: Blob) -> st.SearchStrategy[object]:
    return st.binary(max_size=min(field.max_bytes, 50))


@values.register
def _(field: Integer) -> st.SearchStrategy[object]:
    return st.integers(field.least, field.most)


@values.register
def _(field: Word) -> st.SearchStrategy[object]:
    return st.sampled_from(list(field.words))


@values.register
def _(field: Several) -> st.SearchStrategy[object]:
    items = st.lists(values(field.field), max_size=min(field.most, 5), unique=field.ascends)
    return items.map(lambda drawn: tuple(sorted(drawn) if field.ascends else drawn))


@st.composite
def messages(draw: st.DrawFn, kind: type[M]) -> M:
    """Draw a message of one type, with what its fields hold together."""
    drawn = {name: draw(values(field)) for name, field in fields_of(kind).items()}
    if issubclass(kind, WorkReceipt):
        drawn["started_us"], drawn["ended_us"] = sorted((drawn["started_us"], drawn["ended_us"]))
    if issubclass(kind, Settlement):
        amounts = draw(
            st.lists(
                st.integers(-(10**12), 10**12),
                min_size=len(drawn["accounts"]),
                max_size=len(drawn["accounts"]),
            )
        )
        drawn["amounts_micro_usd"] = (*amounts[:-1], -sum(amounts[:-1])) if amounts else ()
    return kind(**drawn)


def signed_by(key: Signer, message: M) -> Signed[M]:
    """Sign a message with a key, whose name is put on it first."""
    fields = {name: getattr(message, name) for name in fields_of(type(message))}
    named = type(message)(**fields | {message.SENDER: key.public_key})
    assert sender_of(named) == key.public_key
    return Signed(message=named, signature=key.signature_of(encode_message(named)))

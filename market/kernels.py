"""How the engine's functions are compiled, in one place: `kernel` and `borrow`.

The engine's state is some sixty arrays in three named tuples. numba passes a tuple by value, member
by member, and counts a reference to each array at each use: measured on this engine, that made
compilation take minutes and each call cost microseconds. `kernel` compiles without reference
counting (no kernel allocates, so nothing needs counting), and `borrow` turns a tuple into one
pointer that inner kernels share. Uncompiled, both do nothing. See docs/why/kernels.md.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from numba import njit
from numba.core import cgutils, types
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, models, overload, register_model

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that allocates nothing; the GIL is released while it runs."""
    compiled: Callable[P, R] = njit(cache=True, nogil=True, _nrt=False)(function)
    return compiled


def borrow(columns: T) -> T:
    """Return the tuple as a pointer that lives as long as the calling kernel runs."""
    return columns


class _Borrowed(types.Type):
    """The type of a pointer to a named tuple on the stack of a calling kernel."""

    def __init__(self, columns: types.Type) -> None:
        self.columns = columns
        super().__init__(name=f"Borrowed({columns.name})")


@register_model(_Borrowed)
class _BorrowedModel(models.PrimitiveModel):
    """A pointer to the tuple's members."""

    def __init__(self, manager: Any, borrowed: _Borrowed) -> None:
        members = manager[borrowed.columns].get_value_type()
        super().__init__(manager, borrowed, members.as_pointer())


@infer_getattr
class _BorrowedAttributes(AttributeTemplate):
    """The fields of the tuple behind the pointer."""

    key = _Borrowed

    def generic_resolve(self, borrowed: _Borrowed, field: str) -> Any:
        columns = borrowed.columns
        return columns.types[columns.fields.index(field)] if field in columns.fields else None


@lower_getattr_generic(_Borrowed)
def _load_field(context: Any, builder: Any, borrowed: _Borrowed, pointer: Any, field: str) -> Any:
    position = borrowed.columns.fields.index(field)
    return builder.load(cgutils.gep_inbounds(builder, pointer, 0, position))


@intrinsic
def _borrow(context: Any, columns: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return cgutils.alloca_once_value(builder, arguments[0])

    return _Borrowed(columns)(columns), generate


@overload(borrow, inline="always")  # the pointer must live on the caller's stack
def _overload_borrow(columns: Any) -> Any:
    def compiled(columns: Any) -> Any:
        return _borrow(columns)

    return compiled

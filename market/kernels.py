"""How the engine's functions are compiled, in one place: `kernel`, `borrow` and two words on bits.

The engine's state is some sixty arrays in three named tuples. numba passes a tuple by value, member
by member, and counts a reference to each array at each use: measured on this engine, that made
compilation take minutes and each call cost microseconds. `kernel` compiles without reference
counting (no kernel allocates, so nothing needs counting), and `borrow` turns a tuple into one
pointer that inner kernels share. Uncompiled, both do nothing. See docs/why/kernels.md.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

from numba import config, njit
from numba.core import cgutils, types
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, models, register_model

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def _source_stamp() -> str:
    """Digest the sources that kernels are made of.

    numba's cache notices a change of the file a kernel stands in, but not of those it calls; a
    stale kernel would give yesterday's results without a word.
    """
    state = blake2b(digest_size=16)
    here = Path(__file__).parent
    for source in sorted([*here.rglob("*.py"), *here.parent.glob("verification/*.py")]):
        state.update(source.read_bytes())
    return state.hexdigest()


_STAMP: Final = _source_stamp()


def _forgiving(load: Callable[[], Any]) -> Callable[[], Any]:
    """Let an index count as empty that names what is no longer there: numba compares stamps after.

    Yesterday's index may know a type by a module that has been renamed since.
    """

    def load_index() -> Any:
        try:
            return load()
        except (ImportError, AttributeError):
            return {}

    return load_index


def _plain(argument: types.Type) -> types.Type:
    """Return the type that a kernel is compiled for: a plain int64 for any signed integer."""
    general = types.unliteral(argument)
    return types.int64 if isinstance(general, types.Integer) and general.signed else general


def _take_plain_integers(compiled: Any) -> None:
    """Compile a kernel once for all widths and constants that kernels call it with.

    numba would compile it anew for each constant, and for int16, int32 and int64 columns.
    """
    template = compiled.get_call_template

    def get_call_template(arguments: Any, named: Mapping[str, types.Type]) -> Any:
        plain = {name: _plain(argument) for name, argument in named.items()}
        return template(tuple(map(_plain, arguments)), plain)

    compiled.get_call_template = get_call_template


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that allocates nothing; the GIL is released while it runs."""
    # Imported by a bare name, a module would leave a cache that nobody else can read.
    is_ours = function.__module__.startswith("hanse.")
    compiled: Any = njit(cache=is_ours, nogil=True, _nrt=False)(function)
    if not config.DISABLE_JIT:
        _take_plain_integers(compiled)
    cache_file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if cache_file is not None:
        cache_file._source_stamp = _STAMP  # noqa: SLF001 - numba offers no other way
        cache_file._load_index = _forgiving(cache_file._load_index)  # noqa: SLF001
    return cast(Callable[P, R], compiled)


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


@intrinsic
def _lowest_bit(context: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.int64(types.int64), generate


@intrinsic
def _count_bits(context: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), generate


def _plain_borrow(columns: T) -> T:
    return columns


def _plain_lowest_bit(word: int) -> int:
    return int(word & -word).bit_length() - 1


def _plain_count_bits(word: int) -> int:
    return int(word).bit_count()


# Intrinsics, not inlined overloads: where numba inlines, it also removes stores that it takes for
# dead, and it takes those behind a borrowed pointer for that.
borrow: Callable[[T], T] = _plain_borrow if config.DISABLE_JIT else _borrow
"""Return the tuple as a pointer that lives as long as the calling kernel runs."""

lowest_bit: Callable[[int], int] = _plain_lowest_bit if config.DISABLE_JIT else _lowest_bit
"""Return the position of the lowest bit of a word that is not zero."""

count_bits: Callable[[int], int] = _plain_count_bits if config.DISABLE_JIT else _count_bits
"""Return how many bits of a word are set."""

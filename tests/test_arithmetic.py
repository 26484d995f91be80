"""Exact arithmetic: against Python's integers, at its bounds, and on other kinds of processor."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from math import floor
from typing import Final
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hanse.verification import arithmetic
from hanse.verification.arithmetic import (
    INT64_MAX,
    Mode,
    OutOfRangeError,
    Tensor,
    add,
    matmul,
    narrow,
    rescale,
    subtract,
)
from tests.reproduction import CORE_TYPES, digests, digests_under, simd_extensions

EXACT: Final = (
    "int8_product",
    "int21_product",
    "halved_product",
    "training",
    "inference",
    "diffusion",
    "float32_diffusion",
)
FLOATING: Final = ("float32_product", "float32_training")

# Worked out once; a machine, numpy or BLAS that disagrees computes something else.
PINNED: Final = {
    "int8_product": "242012a2dac8b3d324373bf7edf9100b164940d68547cf6e36523cfae1c699cd",
    "int21_product": "ac48b962e1bdf47a8b144e795a1ec6375d506dd31c3a3235d9ac3c2f7def7e93",
    "halved_product": "f5ae7cd98fc63e1ccfe272bb07a17768e43c7965053051c6bd81ce64af19575f",
    "training": "28f06b95681dbbc1c007174b245d24ba4546dad076942818f0de28df4b62b564",
    "inference": "501e7044b69c60c45059329079c3626fc266f153b8af6df437fb2aefc5a2812c",
    "diffusion": "616ab3d55a74ab92ae08e41a2197f3ccc2875f3ca1c5a9123baa7d1e9b1ed993",
}


def with_python_integers(a: Tensor, b: Tensor) -> Tensor:
    """Multiply with integers that have no bound."""
    return np.asarray(a.astype(object) @ b.astype(object))


def matmul_and_way(a: Tensor, b: Tensor) -> tuple[Tensor, str]:
    """Multiply, and say if the product was made of products of halves, or as a whole."""
    with patch.object(arithmetic, "multiply_halves", wraps=arithmetic.multiply_halves) as halves:
        product = matmul(a, b, mode=Mode.INT21)
    return product, "halves" if halves.called else "whole"


def operands(dtype: type, limit: int) -> st.SearchStrategy[tuple[Tensor, Tensor]]:
    """Draw two matrices that fit, of integers of magnitude up to a limit."""
    sizes = st.tuples(*[st.integers(1, 12)] * 3)
    elements = st.integers(-limit, limit - (limit == 128))
    return sizes.flatmap(
        lambda size: st.tuples(
            npst.arrays(dtype, (size[0], size[1]), elements=elements),
            npst.arrays(dtype, (size[1], size[2]), elements=elements),
        )
    )


@given(operands(np.int8, 128))
def test_a_product_of_int8_is_that_of_python_integers(pair: tuple[Tensor, Tensor]) -> None:
    assert (matmul(*pair, mode=Mode.INT8) == with_python_integers(*pair)).all()


@given(operands(np.int32, 1 << 21))
def test_a_product_of_21_bits_is_that_of_python_integers(pair: tuple[Tensor, Tensor]) -> None:
    product = matmul(*pair, mode=Mode.INT21)
    assert product.dtype == np.int64
    assert (product == with_python_integers(*pair)).all()


@pytest.mark.parametrize(
    ("mode", "dtype", "extreme", "k_max"),
    # 2^24 = 1024 * 2^7 * 2^7, and 2^53 = 2048 * 2^21 * 2^21.
    [(Mode.INT8, np.int8, -128, 1_024), (Mode.INT21, np.int32, 1 << 21, 2_048)],
)
def test_the_longest_sum_of_the_largest_products_is_exact_and_one_more_raises(
    mode: Mode, dtype: type, extreme: int, k_max: int
) -> None:
    row = np.full((1, k_max + 1), extreme, dtype)
    within = row[:, :k_max]
    assert matmul(within, within.T, mode=mode).item() == k_max * extreme**2
    with pytest.raises(OutOfRangeError) as caught:
        matmul(row, row.T, mode=mode)
    assert caught.value.operator == "matmul"
    assert caught.value.bound == k_max * extreme**2
    assert caught.value.value == (k_max + 1) * extreme**2


@pytest.mark.parametrize(
    ("mode", "carrier", "n", "extreme"),
    [(Mode.INT8, np.float32, 1_041, 127), (Mode.INT21, np.float64, 2_049, (1 << 21) - 1)],
)
def test_what_raises_would_have_been_rounded(
    mode: Mode, carrier: type, n: int, extreme: int
) -> None:
    # An odd sum of odd products, just beyond the integers that the carrier holds.
    row = np.full((1, n), extreme, np.int64)
    true = n * extreme**2
    carried = row.astype(carrier) @ row.T.astype(carrier)
    assert true % 2 == 1
    assert true > (1 << np.finfo(carrier).nmant + 1)
    assert int(carried.item()) != true
    with pytest.raises(OutOfRangeError):
        matmul(row, row.T, mode=mode)


@pytest.mark.parametrize(
    ("mode", "limit", "bound"), [(Mode.INT8, 127, 1 << 24), (Mode.INT21, 1 << 21, 1 << 53)]
)
@given(n=st.integers(1, 3_000), seed=st.integers(0, 1 << 32))
def test_a_product_is_exact_or_raises(
    mode: Mode, limit: int, bound: int, n: int, seed: int
) -> None:
    # One sign and nearly the largest magnitudes: sums pass the bound within the range of n.
    raw = np.random.PCG64(seed).random_raw((2, n)) % np.uint64(limit // 8)
    row, column = limit - raw.astype(np.int64)
    reach = n * int(row.max()) * int(column.max())
    if reach > bound:
        with pytest.raises(OutOfRangeError):
            matmul(row[None], column[:, None], mode=mode)
    else:
        true = sum(a * b for a, b in zip(row.tolist(), column.tolist(), strict=True))
        assert matmul(row[None], column[:, None], mode=mode).item() == true


def test_small_values_in_a_wide_type_may_be_summed_for_longer() -> None:
    row = np.full((1, 1 << 20), 3, np.int64)
    assert matmul(row, row.T, mode=Mode.INT8).item() == 9 << 20


@pytest.mark.parametrize(
    ("mode", "value"),
    [
        (Mode.INT8, 129),
        (Mode.INT8, -129),
        (Mode.INT21, (1 << 21) + 1),
        (Mode.INT21, INT64_MAX),
        # Its magnitude does not fit its own type.
        (Mode.INT21, -INT64_MAX - 1),
    ],
)
def test_an_operand_out_of_range_raises(mode: Mode, value: int) -> None:
    wide, one = np.array([[value]]), np.array([[0]])
    for pair in ((wide, one), (one, wide)):
        with pytest.raises(OutOfRangeError) as caught:
            matmul(*pair, mode=mode)
        assert caught.value.value == abs(value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.bool_, object])
@pytest.mark.parametrize("mode", [Mode.INT8, Mode.INT21])
def test_integer_modes_take_signed_integers_alone(mode: Mode, dtype: type) -> None:
    one = np.ones((1, 1), dtype)
    with pytest.raises(TypeError, match="signed integers"):
        matmul(one, one, mode=mode)


def test_the_floating_mode_takes_float32_alone() -> None:
    with pytest.raises(TypeError, match="float32"):
        matmul(np.ones((1, 1)), np.ones((1, 1)), mode=Mode.FLOAT32)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((3,), (3, 1)), ((1, 2, 3), (3, 2))])
def test_a_product_takes_two_matrices_that_fit(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    a, b = (np.ones(shape, np.int8) for shape in shapes)
    with pytest.raises(ValueError, match="matrices that fit"):
        matmul(a, b, mode=Mode.INT8)


def test_a_product_of_nothing_is_zero() -> None:
    product = matmul(np.ones((2, 0), np.int32), np.ones((0, 3), np.int32), mode=Mode.INT21)
    assert product.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_memory_layout_does_not_matter() -> None:
    a = np.arange(-600, 600, dtype=np.int32).reshape(30, 40)
    b = np.arange(-800, 800, dtype=np.int32).reshape(40, 40)
    expected = with_python_integers(a[::-2], b.T)
    for left in (a[::-2], np.asfortranarray(a[::-2]), a[::-2].astype(">i4")):
        assert (matmul(left, b.T, mode=Mode.INT21) == expected).all()


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize(
    "size",
    # Below, at and above 2^14 elements, of either operand or of the product; and of nothing.
    [
        (127, 129, 127),
        (128, 128, 128),
        (1, 1 << 14, 1),
        (1 << 14, 1, 3),
        (3, 1, 1 << 14),
        (0, 5, 9),
    ],
)
def test_large_operands_are_carried_to_the_bytes_that_small_ones_are(
    size: tuple[int, int, int], dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    (m, k, n), limit = size, min(np.iinfo(dtype).max, 1 << 18)
    rng = np.random.default_rng(k)
    a, b = (rng.integers(-limit, limit, shape).astype(dtype) for shape in ((m, k), (k, n)))
    true = a.astype(np.int64) @ b.astype(np.int64)
    a.flags.writeable = False
    ways = [
        (a, b),
        (np.asfortranarray(a), b[:, ::-1][:, ::-1]),
        (a.astype(a.dtype.newbyteorder()), b),
    ]
    for many in (1 << 14, 1 << 60):
        monkeypatch.setattr("hanse.verification.arithmetic._MANY", many)
        assert {matmul(*way, mode=Mode.INT21).tobytes() for way in ways} == {true.tobytes()}


@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize("value", [(1 << 21) + 1, -(1 << 31), (1 << 31) - 1])
def test_one_element_out_of_range_in_a_large_operand_raises(value: int, at: int) -> None:
    wide, zero = np.zeros((128, 128), np.int32), np.zeros((128, 128), np.int32)
    wide.flat[at] = value
    for pair in ((wide, zero), (zero, wide)):
        with pytest.raises(OutOfRangeError) as caught:
            matmul(*pair, mode=Mode.INT21)
        assert caught.value.value == abs(value)


@pytest.mark.parametrize("shortest", [2, 1 << 60])
def test_threads_at_once_do_not_write_into_each_others_operands(
    shortest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hanse.verification.strassen._SHORTEST", shortest)
    sizes = (256, 320) * 2
    rng = np.random.default_rng(7)
    pairs = [rng.integers(-(1 << 18), 1 << 18, (2, n, n)).astype(np.int32) for n in sizes]
    true = [a.astype(np.int64) @ b.astype(np.int64) for a, b in pairs]

    def all_right(which: int) -> bool:
        a, b = pairs[which]
        return all((matmul(a, b, mode=Mode.INT21) == true[which]).all() for _ in range(60))

    with ThreadPoolExecutor(len(sizes)) as pool:
        assert all(pool.map(all_right, range(len(sizes))))


@given(operands(np.int32, 1 << 21))
def test_products_of_halves_are_those_of_python_integers(pair: tuple[Tensor, Tensor]) -> None:
    # Every element four times, with other signs: sums of blocks are neither equal nor zero.
    signs = np.array([[1, -1], [1, 1]], np.int32)
    a, b = (np.kron(signs, operand) for operand in pair)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("hanse.verification.strassen._SHORTEST", 2)
        product, way = matmul_and_way(a, b)
    assert way == "halves"
    assert (product == with_python_integers(a, b)).all()


@pytest.mark.parametrize(
    ("shape", "extreme", "way"),
    [
        # 2 x 1,024 x 2^21 x 2^21 is 2^53: the largest elements go by halves, exactly.
        ((1_024, 1_024, 1_024), 1 << 21, "halves"),
        ((1_024, 1_026, 1_024), 1 << 21, "whole"),
        ((1_024, 2_048, 1_024), 1 << 21, "whole"),
        # An odd or a short side is not halved.
        ((1_024, 1_024, 1_025), 1 << 20, "whole"),
        ((1_022, 1_024, 1_024), 1 << 20, "whole"),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_product_goes_by_halves_where_nothing_could_be_rounded(
    shape: tuple[int, int, int], extreme: int, way: str, sign: int
) -> None:
    m, k, n = shape
    a, b = np.full((m, k), extreme, np.int32), np.full((k, n), sign * extreme, np.int32)
    a[0] = -extreme
    b[:, -1] = 1
    product, taken = matmul_and_way(a, b)
    assert taken == way
    expected = np.full((m, n), sign * k * extreme**2)
    expected[0] *= -1
    expected[:, -1] = k * extreme
    expected[0, -1] *= -1
    assert product.dtype == np.int64
    assert (product == expected).all()


@pytest.mark.parametrize("value", [(1 << 21) + 1, -(1 << 31), (1 << 31) - 1])
def test_sums_of_blocks_that_wrap_around_are_never_multiplied(value: int) -> None:
    a, b = np.full((1_024, 1_024), value, np.int32), np.ones((1_024, 1_024), np.int32)
    for pair in ((a, b), (b, a)):
        with pytest.raises(OutOfRangeError) as caught:
            matmul(*pair, mode=Mode.INT21)
        assert caught.value.value == abs(value)


@given(
    npst.arrays(np.int64, 7, elements=st.integers(-(1 << 52), 1 << 52)),
    st.integers(22, 62),
)
def test_rescaling_rounds_to_nearest_and_halves_upwards(value: Tensor, shift: int) -> None:
    expected = [floor(Fraction(each, 1 << shift) + Fraction(1, 2)) for each in value.tolist()]
    rescaled = rescale(value, shift=shift, bound=1 << 30, mode=Mode.INT21)
    assert rescaled.dtype == np.int32
    assert rescaled.tolist() == expected


@pytest.mark.parametrize(
    ("value", "shift", "bound"),
    [
        (2_002, 1, 1_000),
        (-2_002, 1, 1_000),
        # Rounds up, to just beyond the bound.
        (2_001, 1, 1_000),
        # A bound that int32 could not keep is not kept: 2^31 would become -2^31.
        (1 << 32, 1, 1 << 40),
        # Adding the half would wrap around.
        (INT64_MAX, 62, 1_000),
    ],
)
def test_rescaling_beyond_the_bound_raises(value: int, shift: int, bound: int) -> None:
    with pytest.raises(OutOfRangeError):
        rescale(np.array([0, value]), shift=shift, bound=bound, mode=Mode.INT21)


@pytest.mark.parametrize("shift", [-1, 63, 64])
def test_a_shift_has_to_leave_something(shift: int) -> None:
    with pytest.raises(ValueError, match="shift must be from 0 to 62"):
        rescale(np.array([1]), shift=shift, bound=1, mode=Mode.INT21)


@pytest.mark.parametrize(
    ("operation", "other", "reach"),
    # -2^31 plus -2^31, and 2^31 - 1 minus -2^31.
    [(add, -(1 << 31), 1 << 32), (subtract, (1 << 31) - 1, (1 << 32) - 1)],
)
def test_sums_of_int32_raise_instead_of_wrapping(
    operation: Callable[..., Tensor], other: int, reach: int
) -> None:
    least = np.array([-(1 << 31)], np.int32)
    with pytest.raises(OutOfRangeError) as caught:
        operation(least, np.array([other], np.int32), bound=1 << 40, mode=Mode.INT21)
    assert caught.value.operator == operation.__name__
    assert caught.value.value == reach


@pytest.mark.parametrize("mode", [Mode.INT21, Mode.FLOAT32])
@pytest.mark.parametrize("operation", [add, subtract])
def test_nothing_is_repeated_to_fit(operation: Callable[..., Tensor], mode: Mode) -> None:
    row, column = np.ones((1, 3), np.int32), np.ones((3, 1), np.int32)
    with pytest.raises(ValueError, match="must have one shape"):
        operation(row, column, bound=10, mode=mode)


@given(npst.arrays(np.int32, 5), npst.arrays(np.int32, 5), st.integers(0, (1 << 31) - 1))
def test_sums_are_within_the_bound_or_raise(a: Tensor, b: Tensor, bound: int) -> None:
    true = [x + y for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    if max(map(abs, true)) > bound:
        with pytest.raises(OutOfRangeError):
            add(a, b, bound=bound, mode=Mode.INT21)
    else:
        assert add(a, b, bound=bound, mode=Mode.INT21).tolist() == true


@pytest.mark.parametrize("value", [1 << 31, -(1 << 31), (1 << 32) + 5, INT64_MAX])
def test_narrowing_never_wraps(value: int) -> None:
    # As int32, 2^32 + 5 would be 5: the lossy bytes that once hid a cheat.
    with pytest.raises(OutOfRangeError):
        narrow(np.array([value]), bound=INT64_MAX, operator="send")


def test_an_error_of_range_says_what_and_how_much() -> None:
    error = OutOfRangeError("matmul", 10, 12)
    assert str(error) == "matmul must stay within 10, could reach 12"
    assert isinstance(error, ArithmeticError)


def test_this_process_computes_the_pinned_bytes() -> None:
    here = digests()
    assert {name: here[name].hex() for name in PINNED} == PINNED


def settings_in_brief() -> list[dict[str, str]]:
    """List few settings that differ in all: kernels of BLAS, threads, dispatch of numpy."""
    return [
        {"OPENBLAS_NUM_THREADS": "2"},
        {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"},
        {
            "OPENBLAS_CORETYPE": "Prescott",
            "OPENBLAS_NUM_THREADS": "1",
            "NPY_DISABLE_CPU_FEATURES": simd_extensions(),
        },
    ]


def all_settings() -> list[dict[str, str]]:
    """List core types by threads, and for two core types each prefix of numpy's extensions."""
    settings = [{"OPENBLAS_NUM_THREADS": threads} for threads in "12"]
    settings += [
        {"OPENBLAS_CORETYPE": core_type, "OPENBLAS_NUM_THREADS": threads}
        for core_type in CORE_TYPES
        for threads in "12"
    ]
    extensions = simd_extensions().split()
    settings += [
        {"OPENBLAS_CORETYPE": core_type, "NPY_DISABLE_CPU_FEATURES": " ".join(extensions[n:])}
        for core_type in ("Haswell", "Prescott")
        for n in range(len(extensions))
    ]
    return settings


def assert_exact_agree_and_floats_do_not(settings: list[dict[str, str]]) -> None:
    """Assert one digest of each exact result, and more than one of each floating one."""
    found = [digests_under(**setting) for setting in settings]
    distinct = {name: {each[name] for each in found} for name in EXACT + FLOATING}
    here = digests()
    assert {name: distinct[name] for name in EXACT} == {name: {here[name].hex()} for name in EXACT}
    if any(len(distinct[name]) == 1 for name in FLOATING):
        pytest.skip("floats agree in all settings: this BLAS has one kernel, or hears no settings")


def test_exact_results_are_the_same_on_other_processors_and_floats_are_not() -> None:
    assert_exact_agree_and_floats_do_not(settings_in_brief())


@pytest.mark.slow
def test_exact_results_are_the_same_in_all_settings_and_floats_are_not() -> None:
    assert_exact_agree_and_floats_do_not(all_settings())

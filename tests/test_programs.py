"""Programs that really run: what they compute, that it replays, and what their digest covers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import cos, pi
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.verification.arithmetic import INT21_MAX, Mode, OutOfRangeError, Tensor
from hanse.verification.program import Operator, Program
from hanse.verification.programs import (
    LARGE,
    ONE,
    SMALL,
    NetworkSize,
    Plate,
    diffusion,
    draw_integers,
    inference,
    squared_error,
    training,
)
from hanse.verification.tensors import State, state_digest, tensor_digests

TINY: Final = NetworkSize(n_inputs=5, n_hidden=8, n_outputs=3)
PROGRAMS: Final[dict[str, Callable[..., Program]]] = {
    "training": lambda **other: training(
        TINY, n_steps=8, checkpoint_interval=4, batch_size=4, **other
    ),
    "inference": lambda **other: inference(
        TINY, n_steps=8, checkpoint_interval=4, batch_size=4, **other
    ),
    "diffusion": lambda **other: diffusion(6, 7, n_steps=8, checkpoint_interval=4, **other),
}
each_program = pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)


def run(program: Program, **settings: object) -> State:
    return program.replay(program.initial_state(), first=0, last=program.n_steps)


def half_up(value: object, shift: int) -> Tensor:
    """Divide Python's integers by 2^shift, rounded to nearest, halves upwards."""
    return np.asarray((value + (1 << shift >> 1)) >> shift)  # type: ignore[operator]


def a_training_step_on_paper(state: State, batch: State, mean_shift: int) -> dict[str, Tensor]:
    """Work out one step of gradient descent with integers that have no bound."""
    w1, w2, x, y = (t.astype(object) for t in (state["w1"], state["w2"], batch["x"], batch["y"]))
    hidden_in = half_up(x @ w1, 14)
    hidden = np.maximum(hidden_in, 0)
    error = half_up(hidden @ w2, 14) - y
    hidden_error = half_up(error @ w2.T, 14) * (hidden_in > 0)
    return {
        "w1": w1 - half_up(x.T @ hidden_error, 14 + mean_shift),
        "w2": w2 - half_up(hidden.T @ error, 14 + mean_shift),
    }


@pytest.mark.parametrize("step", [0, 5])
def test_a_step_of_training_is_that_of_integers_without_bounds(step: int) -> None:
    program = training(TINY, batch_size=16, learning_shift=3)
    before = program.replay(program.initial_state(), first=0, last=step)
    after = program.step(before, step).state
    # 16 samples are 4 bits, and the learning rate is 2^-3.
    expected = a_training_step_on_paper(before, program.batch(step), mean_shift=4 + 3)
    assert {name: (after[name] == expected[name]).all() for name in expected} == {
        "w1": True,
        "w2": True,
    }
    assert (after["w1"] != before["w1"]).any()


def half_squared_error(w1: Tensor, w2: Tensor, batch: State) -> float:
    """Return half the squared error of a batch, in real numbers."""
    x, y = batch["x"] / ONE, batch["y"] / ONE
    return float(((np.maximum(x @ w1, 0) @ w2 - y) ** 2).sum() / 2)


def test_the_gradients_are_those_of_the_squared_error() -> None:
    program = training(TINY, batch_size=16)
    state = program.initial_state()
    values = program.step(state, 0).values
    batch = program.batch(0)
    real = {name: state[name] / ONE for name in state}
    delta = 1e-6
    for name in ("w1", "w2"):
        gradient = values[f"{name}_gradient"] / ONE**2
        for at in np.ndindex(gradient.shape):
            up, down = ({n: w.copy() for n, w in real.items()} for _ in range(2))
            up[name][at] += delta
            down[name][at] -= delta
            rise = half_squared_error(**up, batch=batch) - half_squared_error(**down, batch=batch)
            # 16 samples, each of whose factors is rounded by at most 2^-15 several times over.
            assert gradient[at] == pytest.approx(rise / (2 * delta), abs=16 * 8 * 2.0**-15)


def test_training_divides_the_error_by_five_in_256_steps() -> None:
    program = training(SMALL)
    state = program.initial_state()
    before = squared_error(program, state)
    state = program.replay(state, first=0, last=256)
    assert squared_error(program, state) * 5 < before


@pytest.mark.slow
def test_a_million_parameters_halve_the_error_in_128_steps() -> None:
    program = training(LARGE)
    state = program.initial_state()
    before = squared_error(program, state)
    state = program.replay(state, first=0, last=128)
    assert squared_error(program, state) * 2 < before


def test_sizes_are_as_they_are_called() -> None:
    for size, n in ((SMALL, 10_240), (LARGE, 999_424)):
        state = training(size).initial_state()
        assert sum(weight.size for weight in state.values()) == size.n_parameters == n


def test_too_fast_a_descent_raises_and_does_not_wrap() -> None:
    program = training(TINY, batch_size=16, learning_shift=0)
    steep = {name: 60 * weight for name, weight in program.initial_state().items()}
    with pytest.raises(OutOfRangeError, match="must stay within 1048576"):
        program.replay(steep, first=0, last=20)


def test_checkpoints_of_inference_hold_all_answers_of_wide_integers() -> None:
    program = PROGRAMS["inference"]()
    state = program.initial_state()
    x = np.concatenate([program.batch(step)["x"] for step in range(8)]).astype(object)
    w1, w2 = (state[name].astype(object) for name in ("w1", "w2"))
    # Shifts of 7 bits of an operand and half the bits of the width, less one.
    hidden = np.minimum(np.maximum(half_up(x @ w1, 7), 0), 127)
    expected = half_up(hidden @ w2, 7)
    answers = [program.replay(state, first=0, last=last)["answers"] for last in (4, 8)]
    assert (np.concatenate(answers) == expected).all()
    assert len(np.unique(expected)) > 50


@pytest.mark.parametrize("step", range(4))
def test_a_wrong_answer_is_in_the_next_checkpoint(step: int) -> None:
    program = PROGRAMS["inference"]()
    before = program.replay(program.initial_state(), first=0, last=step)
    ends = [
        program.replay(program.step(before, step, interfere=how).state, first=step + 1, last=4)
        for how in (None, one_more_in("output"))
    ]
    differing = np.argwhere(ends[0]["answers"] != ends[1]["answers"])
    # Batches of four: the first answer of the step's batch.
    assert differing.tolist() == [[4 * step, 0]]


def test_diffusion_loses_no_heat_and_evens_it_out() -> None:
    program = diffusion(40, 30, n_steps=512, checkpoint_interval=64)
    before, after = program.initial_state()["heat"], run(program)["heat"]
    assert after.sum() == before.sum()
    assert before.min() <= after.min()
    assert after.max() <= before.max()
    assert after.std() * 20 < before.std()


@pytest.mark.parametrize(("rows", "columns"), [(1, 0), (0, 3), (2, 1)])
def test_a_wave_of_heat_fades_as_the_theory_says(rows: int, columns: int) -> None:
    # cos(pi k (i + 1/2) / n) is an eigenvector of the insulated scheme: each step of an axis
    # multiplies it by 1 - 1/4 * (2 - 2 cos(pi k / n)).
    n, n_steps, height = 16, 64, 1 << 19
    at = np.arange(n) + 0.5
    wave = np.outer(np.cos(pi * rows * at / n), np.cos(pi * columns * at / n))
    program = diffusion(n, n, n_steps=n_steps)
    heat = np.rint(height * wave).astype(np.int32)
    after = program.replay({"heat": heat}, first=0, last=n_steps)["heat"]
    factor = (1 + cos(pi * rows / n)) * (1 + cos(pi * columns / n)) / 4
    # Each flux is rounded by at most 1/2; four touch a cell in a step.
    assert np.abs(after - height * wave * factor**n_steps).max() <= 2 * n_steps
    assert factor**n_steps < 0.75


def one_more_in(name: str) -> Callable[[Operator, Tensor], Tensor]:
    """Return what a party does that adds one to the first element of one output."""

    def interfere(operator: Operator, output: Tensor) -> Tensor:
        altered = output.copy()
        altered.flat[0] += operator.name == name
        return altered

    return interfere


@each_program
@given(st.integers(0, 8), st.integers(0, 8))
def test_a_program_replays_from_any_checkpoint(
    make: Callable[..., Program], one: int, other: int
) -> None:
    program, again = make(), make()
    first, last = sorted((one, other))
    checkpoint = program.replay(program.initial_state(), first=0, last=first)
    there = again.replay(again.initial_state(), first=0, last=last)
    assert tensor_digests(program.replay(checkpoint, first=first, last=last)) == (
        tensor_digests(there)
    )


@each_program
def test_every_operator_can_be_computed_alone_and_alters_nothing(
    make: Callable[..., Program],
) -> None:
    program = make()
    values = program.step(program.initial_state(), 0).values
    for value in values.values():
        value.flags.writeable = False
    for operator in program.operators:
        output = program.apply(operator, [values[name] for name in operator.inputs])
        assert tensor_digests({"output": output}) == tensor_digests(
            {"output": values[operator.output]}
        )


@each_program
def test_a_step_shows_all_that_happened(make: Callable[..., Program]) -> None:
    program = make()
    state = program.initial_state()
    step = program.step(state, 3)
    outputs = {operator.output for operator in program.operators}
    assert set(step.values) == set(state) | set(program.batch(3)) | outputs
    assert set(step.state) == set(program.carried)
    for name in program.carried:
        assert step.values[name] is state[name]
        assert step.state[name] is step.values.get(f"{name}.next", state[name])


@each_program
def test_interference_reaches_all_that_follows(make: Callable[..., Program]) -> None:
    program = make()
    state = program.initial_state()
    honest = program.step(state, 0).values
    name = program.operators[-1].name
    altered = program.step(state, 0, interfere=one_more_in(name))
    differing = {n for n in honest if not np.array_equal(honest[n], altered.values[n])}
    assert differing == {program.operators[-1].output}
    assert state_digest(altered.state) != state_digest(program.step(state, 0).state)


def test_rounding_swallows_a_deviation_that_the_values_still_show() -> None:
    program = training(SMALL)
    state = program.initial_state()
    honest = program.step(state, 0)
    altered = program.step(state, 0, interfere=one_more_in("w1_gradient"))
    assert state_digest(altered.state) == state_digest(honest.state)
    assert (altered.values["w1_gradient"] != honest.values["w1_gradient"]).sum() == 1


def tiny_training(
    size: NetworkSize = TINY, *, batch_size: int = 4, learning_shift: int = 1, seed: int = 0
) -> Program:
    """Return a small training; its learning rate is stated, so that only what is named differs."""
    return training(
        size,
        n_steps=8,
        checkpoint_interval=4,
        batch_size=batch_size,
        learning_shift=learning_shift,
        seed=seed,
    )


def test_the_digest_covers_all_that_decides_what_is_computed() -> None:
    program = tiny_training()
    first, *others = program.operators
    transposed = tuple((name, 1 - value) for name, value in first.attributes)
    variants = [
        program,
        replace(program, name="other"),
        replace(program, mode=Mode.FLOAT32),
        replace(program, n_steps=12),
        replace(program, checkpoint_interval=2),
        replace(program, seed=1),
        replace(program, carried=program.carried[::-1]),
        replace(program, operators=program.operators[:-1]),
        replace(program, operators=(replace(first, name="other"), *others)),
        replace(program, operators=(replace(first, attributes=transposed), *others)),
        tiny_training(seed=1),
        tiny_training(batch_size=8),
        tiny_training(learning_shift=2),
        tiny_training(replace(TINY, n_hidden=9)),
    ]
    digests = [variant.program_digest() for variant in variants]
    assert len(set(digests)) == len(variants)
    assert tiny_training().program_digest() == program.program_digest()
    assert {len(digest) for digest in digests} == {32}


def test_the_digest_tells_modes_apart_that_hold_the_same_tensors() -> None:
    program = PROGRAMS["inference"]()
    wide = replace(program, mode=Mode.INT21)
    assert tensor_digests(run(wide)) == tensor_digests(run(program))
    assert wide.program_digest() != program.program_digest()


def test_the_digest_covers_the_data_and_the_shapes() -> None:
    program = PROGRAMS["training"]()
    x = program.source.x.copy()  # type: ignore[attr-defined]
    x[0, 0] += 1
    other = replace(program, source=replace(program.source, x=x))  # type: ignore[type-var]
    assert other.program_digest() != program.program_digest()
    plates = [replace(PROGRAMS["diffusion"](), source=plate) for plate in plates_of_42_cells()]
    assert len({plate.program_digest() for plate in plates}) == 2


def plates_of_42_cells() -> Sequence[Plate]:
    return Plate(n_rows=6, n_columns=7), Plate(n_rows=7, n_columns=6)


def test_ids_of_operators_tell_all_of_their_parts_apart() -> None:
    one = Operator(name="a", kind="k", version=1, inputs=("x", "y"), output="z")
    others = [
        replace(one, name="b"),
        replace(one, kind="l"),
        replace(one, version=2),
        replace(one, inputs=("y", "x")),
        replace(one, inputs=("xy",)),
        replace(one, output="w"),
        replace(one, attributes=(("n", 1),)),
        replace(one, attributes=(("n", -1),)),
    ]
    assert len({operator.operator_id() for operator in (one, *others)}) == 9


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n_steps": 10}, "n_steps must be a multiple of 4, got 10"),
        ({"n_steps": 0}, "n_steps must be a multiple of 4, got 0"),
        ({"checkpoint_interval": 0}, "checkpoint_interval must be >= 1, got 0"),
        ({"seed": -1}, "seed must be from 0"),
        ({"carried": ("w1",)}, "known inputs"),
        ({"carried": ("w1", "w2", "w2")}, "names of tensors must be unique"),
    ],
)
def test_a_program_that_cannot_run_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        replace(PROGRAMS["training"](), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "divide"}, "no kind 'divide' of version 1"),
        ({"version": 2}, "no kind 'matmul' of version 2"),
        ({"inputs": ("x", "hidden")}, "known inputs"),
        ({"inputs": ("x",)}, "2 known inputs"),
        ({"attributes": ()}, "must have attributes"),
        ({"name": "hidden"}, "names of operators must be unique"),
    ],
)
def test_a_graph_that_makes_no_sense_is_refused(change: dict[str, object], reason: str) -> None:
    program = PROGRAMS["training"]()
    first, *others = program.operators
    changed = replace(first, **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=reason):
        replace(program, operators=(changed, *others))


def test_no_output_takes_the_name_of_another_tensor() -> None:
    program = PROGRAMS["training"]()
    *others, last = program.operators
    for taken in ("w2", "x", "error"):
        with pytest.raises(ValueError, match="names of tensors must be unique"):
            replace(program, operators=(*others, replace(last, output=taken)))


def test_there_are_no_steps_but_those_of_the_program_and_no_state_but_its_own() -> None:
    program = PROGRAMS["diffusion"]()
    state = program.initial_state()
    for step in (-1, 8):
        with pytest.raises(ValueError, match="step must be from 0 to 7"):
            program.step(state, step)
    with pytest.raises(ValueError, match="a state must have"):
        program.step({**state, "more": state["heat"]}, 0)
    with pytest.raises(ValueError, match="takes 1 inputs, got 2"):
        program.apply(program.operators[0], [state["heat"]] * 2)


def test_an_operator_that_nobody_knows_is_refused() -> None:
    program = PROGRAMS["diffusion"]()
    unknown = replace(program.operators[0], version=2)
    with pytest.raises(ValueError, match="no kind 'flux' of version 2"):
        program.apply(unknown, [program.initial_state()["heat"]])


def test_a_gradient_of_another_shape_is_refused() -> None:
    program = PROGRAMS["training"]()
    operator = next(each for each in program.operators if each.kind == "relu_gradient")
    with pytest.raises(ValueError, match="must have one shape"):
        program.apply(operator, [np.ones((1, 3), np.int32), np.ones((3, 1), np.int32)])


def test_answers_go_where_there_is_room_for_them() -> None:
    program = PROGRAMS["inference"]()
    put = program.operators[-1]
    table, rows = np.zeros((8, 3), np.int32), np.ones((4, 3), np.int32)
    for first in (-1, 5, 1 << 62):
        with pytest.raises(ValueError, match="first must be from 0 to 4"):
            program.apply(put, [table, rows, np.asarray(first)])


@each_program
def test_in_floats_a_program_does_nearly_the_same(make: Callable[..., Program]) -> None:
    exact, floating = run(make()), run(make(mode=Mode.FLOAT32))
    for name, value in exact.items():
        assert floating[name].dtype == np.float32
        # Eight steps, in each of which roundings by half a unit add up to a unit at most.
        assert np.abs(floating[name] - value).max() <= 8
        assert np.abs(value).max() > 100


@given(st.integers(0, 1 << 63), st.integers(-INT21_MAX, 0), st.integers(0, INT21_MAX))
def test_draws_are_within_their_bounds_and_repeat(seed: int, low: int, high: int) -> None:
    drawn, again = (
        draw_integers(seed, "test", 3, shape=(4, 5), low=low, high=high) for _ in range(2)
    )
    assert (drawn == again).all()
    assert low <= drawn.min() <= drawn.max() <= high


def test_draws_are_uniform_and_differ_by_label_and_index() -> None:
    streams = [("a", 0), ("a", 1), ("b", 0)]
    drawn = [
        draw_integers(0, label, index, shape=(10_000,), low=-1, high=1) for label, index in streams
    ]
    for one in drawn:
        # Variance 2/9 of a share of 1/3: four standard errors are 4 sqrt(2/9 * 10,000) = 189.
        assert np.abs(np.bincount(one + 1) - 10_000 / 3).max() < 189
    assert not (drawn[0] == drawn[1]).all()
    assert not (drawn[0] == drawn[2]).all()

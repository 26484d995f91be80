"""What a test runs in processes that compute on other kinds of processor, and how it starts them.

OpenBLAS and numpy choose their kernels by the processor when they are loaded; both can be told to
take it for another, by variables of the environment. Digests are printed one a line, by name.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np

from hanse.verification.arithmetic import INT8_MAX, INT21_MAX, Mode, Tensor, matmul
from hanse.verification.program import Program
from hanse.verification.programs import diffusion, draw_integers, inference, training
from hanse.verification.tensors import state_digest, tensor_digest

CORE_TYPES: Final = ("Haswell", "Zen", "SkylakeX", "Sandybridge", "Nehalem", "Prescott")
N_STEPS: Final = 8
SHAPES: Final = ((300, 1_000), (1_000, 200))
# Sides that are halved, so that sums of blocks are multiplied.
HALVED: Final = ((1_024, 1_024), (1_024, 1_024))


def drawn_matrices(
    limit: int, shapes: tuple[tuple[int, int], tuple[int, int]] = SHAPES
) -> list[Tensor]:
    """Draw two matrices of integers of magnitude up to a limit."""
    return [
        draw_integers(1, "matrix", index, shape=shape, low=-limit, high=limit)
        for index, shape in enumerate(shapes)
    ]


def state_after(program: Program) -> bytes:
    """Return the digest of the state after some steps."""
    state = program.replay(program.initial_state(), first=0, last=N_STEPS)
    return state_digest(state)


def digests() -> dict[str, bytes]:
    """Return digests of products and of states of all programs, exact ones and floating ones."""
    halved = [matrix.astype(np.int32) for matrix in drawn_matrices(INT21_MAX, HALVED)]
    floats = [matrix.astype(np.float32) for matrix in drawn_matrices(INT21_MAX)]
    return {
        "int8_product": tensor_digest("c", matmul(*drawn_matrices(INT8_MAX), mode=Mode.INT8)),
        "int21_product": tensor_digest("c", matmul(*drawn_matrices(INT21_MAX), mode=Mode.INT21)),
        "halved_product": tensor_digest("c", matmul(*halved, mode=Mode.INT21)),
        "training": state_after(training()),
        "inference": state_after(inference()),
        "diffusion": state_after(diffusion()),
        "float32_diffusion": state_after(diffusion(mode=Mode.FLOAT32)),
        "float32_product": tensor_digest("c", matmul(*floats, mode=Mode.FLOAT32)),
        "float32_training": state_after(training(mode=Mode.FLOAT32)),
    }


def simd_extensions() -> str:
    """Return what numpy dispatches to beyond its baseline, as its variable takes them."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return " ".join(found)


def digests_under(**environment: str) -> dict[str, str]:
    """Return the digests, in hexadecimal, that another process finds in another environment."""
    variables = ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "NPY_DISABLE_CPU_FEATURES")
    inherited = {name: value for name, value in os.environ.items() if name not in variables}
    done = subprocess.run(
        [sys.executable, "-m", "tests.reproduction"],
        cwd=Path(__file__).parents[1],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split() for line in done.stdout.splitlines())


if __name__ == "__main__":
    sys.stdout.writelines(f"{name} {digest.hex()}\n" for name, digest in digests().items())

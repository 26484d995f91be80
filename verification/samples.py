"""The one place for samples of a run as columns, one row each."""

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


def check_rows(sample: "DataclassInstance", n_rows: int) -> None:
    """Raise `ValueError`, naming the column, if one has not so many rows and nothing beside."""
    for field in fields(sample):
        shape = getattr(sample, field.name).shape
        if shape != (n_rows,):
            raise ValueError(f"{field.name} must have shape ({n_rows},), got {shape}")

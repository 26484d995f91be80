"""The one place where a declared number is held against its range, and refused by its name."""

from collections.abc import Collection
from dataclasses import fields

import numpy as np


def require_probabilities(owner: object, *names: str) -> None:
    """Raise ValueError if a named field is not from 0 to 1."""
    for name in names:
        value = getattr(owner, name)
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} must be from 0 to 1, got {value}")


def require_at_least(owner: object, **least: float) -> None:
    """Raise ValueError if a named field, or one of its elements, is below its least, or NaN."""
    for name, bound in least.items():
        _require(name, getattr(owner, name), bound=bound, may_equal=True)


def require_no_negative(owner: object, *, besides: Collection[str] = ()) -> None:
    """Raise ValueError if any field of a dataclass, or of its elements, is below 0, or NaN."""
    names = [field.name for field in fields(owner) if field.name not in besides]  # type: ignore[arg-type]
    require_at_least(owner, **dict.fromkeys(names, 0))


def require_above(owner: object, **bounds: float) -> None:
    """Raise ValueError if a named field, or one of its elements, is not above its bound, or NaN."""
    for name, bound in bounds.items():
        _require(name, getattr(owner, name), bound=bound, may_equal=False)


def _require(name: str, value: object, *, bound: float, may_equal: bool) -> None:
    values = np.ravel(np.asarray(value))
    is_within = values >= bound if may_equal else values > bound
    if not is_within.all():
        words = f"at least {bound}" if may_equal else f"above {bound}"
        raise ValueError(f"{name} must be {words}, got {values[~is_within][0]}")

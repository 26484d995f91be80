"""Factors: the one place for what a design may vary, over which range, by which distribution."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import stats

from hanse.market.units import Floats
from hanse.scenarios.parameters import Parameter, ScenarioError, Value, near_miss, parameter

# What SALib calls each distribution of a range.
DISTRIBUTIONS: Final[Mapping[str, str]] = {
    "uniform": "unif",
    "loguniform": "logunif",
    "triangular": "triang",
    "normal": "truncnorm",
}
_ENTRIES: Final = ("low", "high", "distribution", "mode", "mean", "sd", "values")
# Which further entries a distribution needs; no other takes them.
_SHAPE: Final[Mapping[str, tuple[str, ...]]] = {"triangular": ("mode",), "normal": ("mean", "sd")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One parameter that a design varies: over a range, or over listed values.

    Attributes
    ----------
    values : what is listed; empty for a range.
    low, high : the range, both included; unused where values are listed.
    distribution : "uniform", "loguniform", "triangular" (with `mode`) or "normal" (with `mean` and
        `sd`, cut off at the range). Listed values are equally likely.
    """

    key: str
    values: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    distribution: str = "uniform"
    mode: float = 0.0
    mean: float = 0.0
    sd: float = 0.0

    def __post_init__(self) -> None:
        one = parameter(self.key)
        if self.values:
            object.__setattr__(self, "values", tuple(checked(one, value) for value in self.values))
            if len(set(self.values)) < len(self.values):
                raise ScenarioError(f"{self.key} lists a value twice, got {list(self.values)}")
        else:
            _check_range(self, one)

    @property
    def is_range(self) -> bool:
        """Say whether this is a range rather than a list of values."""
        return not self.values

    def at(self, unit: Floats) -> list[Value]:
        """Return the values at quantiles.

        Parameters
        ----------
        unit : shape (n_points,), 0 to 1. Listed values share the unit interval equally; so do the
            whole numbers of a uniform range over a parameter that counts.
        """
        if self.values:
            place = np.minimum((unit * len(self.values)).astype(int), len(self.values) - 1)
            return [self.values[k] for k in place]
        one = parameter(self.key)
        quantiles = np.clip(self._law().ppf(unit), self.low, self.high)
        if isinstance(one.default, int):
            return [int(value) for value in np.clip(np.rint(quantiles), self.low, self.high)]
        return [float(value) for value in quantiles]

    def bounds(self) -> list[float]:
        """Return what SALib takes as bounds: those of the range, or of the place in the list."""
        if self.values:
            return [0.0, float(len(self.values))]
        if self.distribution == "triangular":
            return [self.low, self.high, (self.mode - self.low) / (self.high - self.low)]
        more = [self.mean, self.sd] if self.distribution == "normal" else []
        return [self.low, self.high, *more]

    def _law(self) -> Any:  # noqa: ANN401 - scipy's frozen distributions have no stubs
        # A count is rounded, so that its range begins and ends half a step further out.
        half = 0.5 if isinstance(parameter(self.key).default, int) else 0.0
        low, high = self.low - half, self.high + half
        match self.distribution:
            case "loguniform":
                return stats.loguniform(low, high)
            case "triangular":
                return stats.triang((self.mode - low) / (high - low), low, high - low)
            case "normal":
                cut = (low - self.mean) / self.sd, (high - self.mean) / self.sd
                return stats.truncnorm(*cut, self.mean, self.sd)
        return stats.uniform(low, high - low)


def factor(key: str, entry: object) -> Factor:
    """Read what an experiment says of one factor.

    Parameters
    ----------
    entry : a list of values; a pair of bounds given as `{low = …, high = …}` with, where wanted,
        a distribution; `{values = […]}`; or `{}`, the parameter's own bounds.

    Raises
    ------
    ScenarioError
        If the parameter, an entry or the distribution is unknown, or a value is not allowed.
    """
    one = parameter(key)
    if isinstance(entry, list | tuple):
        entry = {"values": entry}
    if not isinstance(entry, Mapping):
        raise ScenarioError(
            f"{key} must be a list of values or a table with low and high, got {entry!r}; a value "
            "that stays the same belongs in [constants]"
        )
    for name in entry:
        if name not in _ENTRIES:
            raise ScenarioError(f"{key} knows no {name!r}{near_miss(name, _ENTRIES)}")
    if "values" in entry:
        return _listed(key, entry)
    if isinstance(one.default, bool):
        return Factor(key=key, values=(False, True))
    if one.choices and not entry:
        return Factor(key=key, values=one.choices)
    return _ranged(one, entry)


def checked(one: Parameter, value: object) -> Value:
    """Return a value in its parameter's type; text is read as `--set` would read it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return one.parse(value)
    if isinstance(value, float) and isinstance(one.default, bool) and value in (0.0, 1.0):
        return bool(value)
    return one.check(value)


def problem(factors: Sequence[Factor]) -> dict[str, Any]:
    """Return the problem of SALib: its names, bounds and distributions.

    Listed values stand there as their place, 0 to the number of values, to be rounded down.
    """
    return {
        "num_vars": len(factors),
        "names": [one.key for one in factors],
        "bounds": [one.bounds() for one in factors],
        "dists": [DISTRIBUTIONS[one.distribution] for one in factors],
    }


def _listed(key: str, entry: Mapping[str, object]) -> Factor:
    values = entry["values"]
    if len(entry) > 1:
        other = next(name for name in entry if name != "values")
        raise ScenarioError(f"{key} has values and {other}; give one of the two")
    if not isinstance(values, list | tuple) or not values:
        raise ScenarioError(f"{key}.values must be a list of at least one value, got {values!r}")
    return Factor(key=key, values=tuple(values))


def _ranged(one: Parameter, entry: Mapping[str, object]) -> Factor:
    distribution = entry.get("distribution", "uniform")
    if not isinstance(distribution, str) or distribution not in DISTRIBUTIONS:
        raise ScenarioError(
            f"{one.key}.distribution must be one of {', '.join(DISTRIBUTIONS)}, "
            f"got {distribution!r}{near_miss(str(distribution), DISTRIBUTIONS)}"
        )
    numbers = {name: entry.get(name) for name in ("low", "high")}
    for name, bound in (("low", one.low), ("high", one.high)):
        numbers[name] = bound if numbers[name] is None else numbers[name]
        if numbers[name] is None:
            raise ScenarioError(
                f"{one.key} has no {'upper' if name == 'high' else 'lower'} bound of its own; "
                f"give {one.key}.{name} ({one.unit})"
            )
    wanted = _SHAPE.get(distribution, ())
    for name in ("mode", "mean", "sd"):
        if (name in entry) != (name in wanted):
            raise ScenarioError(
                f"{one.key}.distribution = {distribution!r} "
                f"{'needs' if name in wanted else 'takes no'} {name}"
            )
    numbers |= {name: entry[name] for name in wanted}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ScenarioError(f"{one.key}.{name} must be a number ({one.unit}), got {value!r}")
    plain: dict[str, Any] = numbers
    return Factor(key=one.key, distribution=distribution, **plain)


def _check_range(made: Factor, one: Parameter) -> None:
    if isinstance(one.default, bool | str | tuple):
        raise ScenarioError(
            f"{one.key} cannot be a range ({one.unit}); list its values: "
            f"{', '.join(one.choices) or one.default!r}"
        )
    low, high = one.check(made.low), one.check(made.high)
    if not low < high:  # type: ignore[operator]  # both are numbers, as the default is one
        raise ScenarioError(f"{one.key}.low must be below high ({high:g}), got {low:g}")
    if made.distribution == "loguniform" and not made.low > 0:
        raise ScenarioError(f"{one.key}.low must be above 0 for loguniform, got {made.low:g}")
    if made.distribution == "triangular" and not made.low <= made.mode <= made.high:
        raise ScenarioError(
            f"{one.key}.mode must be from {made.low:g} to {made.high:g}, got {made.mode:g}"
        )
    if made.distribution == "normal" and not made.sd > 0:
        raise ScenarioError(f"{one.key}.sd must be above 0, got {made.sd:g}")

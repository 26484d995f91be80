"""Designs: the one place for which points of a scenario are run.

Uncertainties are what nobody chooses and a design samples; levers are what somebody could choose,
and every combination of them meets the same sample (XLRM: Lempert, Popper and Bankes, Shaping the
Next One Hundred Years, 2003). Seeds and regimes are no part of a design: each point meets all.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from hanse.market.units import Floats
from hanse.scenarios.analysis.factors import Factor, checked, factor, problem
from hanse.scenarios.analysis.sampling import GIVEN_ROWS, checked_options, sampled
from hanse.scenarios.parameters import ScenarioError, Value, parameter
from hanse.scenarios.running.tasks import Cell
from hanse.scenarios.scenario import Scenario

Point = Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Design:
    """Points to run: every combination of the levers at each point of a sample.

    Attributes
    ----------
    method : how the sample was made, a key of `sampling.METHODS`.
    factors : the uncertainties that were sampled; empty where rows were given.
    levers : listed values each.
    unit : shape (n_samples, n_factors), the sample as quantiles; no row where rows were given or
        listed.
    sample : the sample as values by parameter, of length n_samples.
    options : what the method was told, enough to make the sample again.
    """

    method: str
    factors: tuple[Factor, ...]
    levers: tuple[Factor, ...]
    unit: Floats
    sample: tuple[Point, ...]
    options: Mapping[str, Any]

    @property
    def policies(self) -> list[Point]:
        """List every combination of the levers; one without any setting where there is no lever."""
        return _combinations({one.key: one.values for one in self.levers})

    @property
    def points(self) -> list[Point]:
        """List all points, policy by policy, and in each the whole sample in its order."""
        return [{**policy, **row} for policy in self.policies for row in self.sample]

    def frame(self) -> pd.DataFrame:
        """Return the points as a data frame: `point`, then a column for each parameter."""
        frame = pd.DataFrame(self.cells())
        frame.insert(0, "point", range(len(frame)))
        return frame

    def cells(self) -> list[dict[str, Cell]]:
        """Return the points as cells of a table, lists as text."""
        return [{key: _cell(value) for key, value in row.items()} for row in self.points]

    def problem(self) -> dict[str, Any]:
        """Return the problem of SALib whose variables are the sampled factors."""
        return problem(self.factors)

    def scenarios(self, scenario: Scenario) -> Iterator[Scenario]:
        """Yield the scenario at each point; raise `ScenarioError` where no world fits one."""
        for number, point in enumerate(self.points):
            try:
                yield scenario.replace(point)
            except ScenarioError as error:
                raise ScenarioError(f"point {number}: {error}") from error


def make_design(
    method: str,
    uncertainties: Mapping[str, object] | None = None,
    *,
    levers: Mapping[str, object] | None = None,
    **options: object,
) -> Design:
    """Make a design of factors.

    Parameters
    ----------
    method : "grid", "lhs", "sobol", "saltelli" or "morris"; rows go to `design_of_rows`.
    uncertainties, levers : by parameter, what `factor` reads. Levers must be listed values.
    options : what the method takes:

        - grid: `levels`, into how many values each range is cut, its ends included.
        - lhs: `n` points, `seed`. Latin hypercube.
        - sobol: `n` points, a power of two, `seed`. Scrambled Sobol sequence.
        - saltelli: `n` base rows, a power of two of at least 16, `seed`, `second_order`; makes
          n (k + 2) points of k factors, or n (2k + 2) where second-order indices are wanted.
        - morris: `n` trajectories of at least 4, `seed`, even `levels`; makes n (k + 1) points.

    Raises
    ------
    ScenarioError
        If a factor, the method or an option cannot be used.

    Examples
    --------
    >>> design = make_design("grid", {"load.hold_share": {"low": 0, "high": 1}}, levels=3)
    >>> [point["load.hold_share"] for point in design.points]
    [0.0, 0.5, 1.0]
    """
    told = checked_options(method, options)
    if method in GIVEN_ROWS:
        raise ScenarioError(f"design.method = {method!r} takes rows instead of uncertainties")
    for key in uncertainties or {}:
        _refuse_regime(key)
    factors = tuple(factor(key, entry) for key, entry in (uncertainties or {}).items())
    choices = _levers(levers or {}, others=[one.key for one in factors])
    if method == "grid":
        if not factors and not choices:
            raise ScenarioError("a design needs at least one uncertainty or lever, got none")
        sample = _combinations({one.key: _cut(one, told.get("levels")) for one in factors})
        unit = np.empty((0, len(factors)))
    else:
        if not factors:
            raise ScenarioError(f"design.method = {method!r} needs at least one uncertainty")
        unit = sampled(method, len(factors), told)
        columns = {one.key: one.at(unit[:, k]) for k, one in enumerate(factors)}
        sample = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
    return Design(
        method=method,
        factors=factors,
        levers=choices,
        unit=unit,
        sample=tuple(sample),
        options=told,
    )


def design_of_rows(
    rows: pd.DataFrame | Iterable[Mapping[str, object]],
    *,
    levers: Mapping[str, object] | None = None,
) -> Design:
    """Make a design whose sample is given row by row.

    Parameters
    ----------
    rows : a data frame with a column for each parameter, or mappings, which may set different
        parameters; what a row leaves out stays as the scenario has it. Values may be text as
        `--set` takes it.

    Raises
    ------
    ScenarioError
        If there is no row, a parameter is unknown, or a value is missing or not allowed.
    """
    is_frame = isinstance(rows, pd.DataFrame)
    records = rows.to_dict("records") if isinstance(rows, pd.DataFrame) else list(rows)
    if not records:
        raise ScenarioError("a design needs at least one row, got none")
    sample = tuple(_row(number, record) for number, record in enumerate(records))
    keys = list(dict.fromkeys(key for row in sample for key in row))
    return Design(
        method="frame" if is_frame else "list",
        factors=(),
        levers=_levers(levers or {}, others=keys),
        unit=np.empty((0, 0)),
        sample=sample,
        options={},
    )


def full_factorial(
    scenario: Scenario, settings: Mapping[str, Sequence[object]]
) -> tuple[list[dict[str, str]], list[Scenario]]:
    """Combine settings as `--set` takes them into points, and the scenario at each.

    Raises
    ------
    ScenarioError
        If a setting is not allowed, or no world fits a combination.
    """
    for key, values in settings.items():
        if not values:
            raise ValueError(f"{key} needs at least one value to sweep over")
    texts = texts_of(settings)
    points = [dict(zip(settings, values, strict=True)) for values in product(*texts.values())]
    variants = [
        scenario.with_settings(f"{key}={value}" for key, value in point.items()) for point in points
    ]
    return points, variants


def texts_of(settings: Mapping[str, Sequence[object]] | Design) -> dict[str, list[str]]:
    """Return the values that each parameter takes, as text and in their order, for a manifest."""
    if not isinstance(settings, Design):
        return {key: [str(value) for value in values] for key, values in settings.items()}
    texts: dict[str, dict[str, None]] = {}
    for row in settings.cells():
        for key, value in row.items():
            texts.setdefault(key, {})[str(value)] = None
    return {key: list(values) for key, values in texts.items()}


def _row(number: int, record: object) -> Point:
    if not isinstance(record, Mapping):
        raise ScenarioError(f"row {number} must set parameters, got {record!r}")
    row: dict[str, Value] = {}
    for key, value in record.items():
        _refuse_regime(str(key))
        one = parameter(str(key))
        if isinstance(value, float) and np.isnan(value):
            raise ScenarioError(f"row {number}: {key} is missing")
        try:
            row[one.key] = checked(one, value)
        except ScenarioError as error:
            raise ScenarioError(f"row {number}: {error}") from error
    return row


def _levers(entries: Mapping[str, object], *, others: Sequence[str]) -> tuple[Factor, ...]:
    levers = tuple(factor(key, entry) for key, entry in entries.items())
    for one in levers:
        if one.is_range:
            raise ScenarioError(
                f"{one.key} is a lever, which is chosen and not sampled: list its values, "
                f"got a range {one.low:g} to {one.high:g}"
            )
        if one.key in others:
            raise ScenarioError(f"{one.key} is an uncertainty and a lever; it can be one of them")
    return levers


def _refuse_regime(key: str) -> None:
    if key == "regime" or key.startswith("regime."):
        raise ScenarioError(
            f"{key!r} cannot vary from point to point: every regime runs at each point, so that "
            "regimes are paired; name them in experiment.regimes, or list parts in [levers]"
        )


def _cut(one: Factor, levels: int | None) -> Sequence[Value]:
    if not one.is_range:
        return one.values
    if levels is None:
        raise ScenarioError(
            f"{one.key} is a range: give design.levels, or list its values, for a grid"
        )
    # Counts may meet where a range holds fewer of them than there are levels.
    return tuple(dict.fromkeys(one.at(np.linspace(0.0, 1.0, levels))))


def _combinations(values: Mapping[str, Sequence[Value]]) -> list[Point]:
    return [dict(zip(values, row, strict=True)) for row in product(*values.values())]


def _cell(value: Value) -> Cell:
    return ",".join(str(item) for item in value) if isinstance(value, tuple) else value

"""Discovery: the one place for the boxes of a parameter space in which something holds.

Scenario discovery (Bryant and Lempert, Technological Forecasting and Social Change 77, 2010) looks
for few limits on few parameters that hold most of the points of interest and little else. Boxes are
leaves of a classification tree (docs/why/boxes-are-leaves-of-a-tree.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.tree import DecisionTreeClassifier

from hanse.market.units import Flags
from hanse.scenarios.analysis.intervals import CONFIDENCE
from hanse.scenarios.parameters import ScenarioError
from hanse.scenarios.streams import stream

POINTS_MIN: Final = 40
"""Half of the points find the boxes and half measure them; fewer than 20 measure nothing."""
_POINT: Final = "point"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a box asks of one parameter: to lie from `low` to `high`, or to be one of `values`."""

    key: str
    low: float = -np.inf
    high: float = np.inf
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.values:
            return f"{self.key} is {' or '.join(self.values)}"
        if np.isinf(self.low):
            return f"{self.key} <= {self.high:.4g}"
        if np.isinf(self.high):
            return f"{self.key} > {self.low:.4g}"
        return f"{self.low:.4g} < {self.key} <= {self.high:.4g}"

    def holds(self, column: "pd.Series[Any]") -> Flags:
        """Say of each point whether it lies within the limit, shape (n_points,)."""
        if self.values:
            return column.astype(str).isin(self.values).to_numpy(dtype=bool)
        value = column.to_numpy(dtype=float)
        within: Flags = (value > self.low) & (value <= self.high)
        return within


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Limits on some parameters, and how well they tell, on points that did not help to find them.

    Attributes
    ----------
    density : share of the points in the box that are of interest, with its exact interval (Clopper
        and Pearson); NaN where no held-out point lies in it.
    coverage : share of the points of interest that lie in the box.
    n : held-out points in the box.
    """

    limits: tuple[Limit, ...]
    density: float
    ci_low: float
    ci_high: float
    coverage: float
    n: int

    def __str__(self) -> str:
        return " and ".join(map(str, self.limits)) or "everywhere"

    def holds(self, points: pd.DataFrame) -> Flags:
        """Say of each point whether it lies in the box, shape (n_points,)."""
        inside = np.ones(len(points), dtype=bool)
        for limit in self.limits:
            inside &= limit.holds(points[limit.key])
        return inside


def discover(
    points: pd.DataFrame,
    is_of_interest: Flags,
    *,
    limits_max: int = 3,
    share_min: float = 0.05,
    seed: int = 0,
) -> tuple[Box, ...]:
    """Find boxes in which most points are of interest, by CART of scikit-learn.

    Half of the points, drawn by lot, find the boxes; the others measure them, so that density and
    coverage are not flattered by the search.

    Parameters
    ----------
    points : a row per point, a column per parameter: `Design.frame()`, or the table `points`; its
        column `point` is left out. Columns that are not numbers count as words.
    is_of_interest : shape (n_points,), such as where a difference is below zero.
    limits_max : how many limits a box may have (the depth of the tree).
    share_min : the least share of the points that a box must hold.

    Returns
    -------
    tuple of Box
        The greatest coverage first; empty where no leaf has more than half its points of interest.

    Raises
    ------
    ScenarioError
        If there are too few points, or all of them or none are of interest.
    """
    chosen = np.asarray(is_of_interest, dtype=bool)
    frame = points.drop(columns=_POINT, errors="ignore").reset_index(drop=True)
    _check(frame, chosen)
    coded, words = _coded(frame)
    # By lot: every other point of a Sobol sequence lies in one half of each range.
    finds = stream(seed, "discovery").permutation(len(frame)) % 2 == 0
    tree = DecisionTreeClassifier(
        max_depth=limits_max,
        min_samples_leaf=max(2, round(share_min * np.count_nonzero(finds))),
        random_state=0,
    ).fit(coded[finds].to_numpy(dtype=float), chosen[finds])
    leaves = _leaves(tree, list(coded.columns))
    boxes = [
        _measured(_limits(path, words, frame), frame[~finds], chosen[~finds]) for path in leaves
    ]
    return tuple(sorted(boxes, key=lambda box: -box.coverage))


def box_table(boxes: Sequence[Box]) -> pd.DataFrame:
    """Tabulate boxes: limits in words, density with its interval, coverage, points measured."""
    rows = [(str(b), b.density, b.ci_low, b.ci_high, b.coverage, b.n) for b in boxes]
    return pd.DataFrame(rows, columns=["limits", "density", "ci_low", "ci_high", "coverage", "n"])


def _check(frame: pd.DataFrame, chosen: Flags) -> None:
    if len(frame) != len(chosen):
        raise ScenarioError(
            f"is_of_interest must have one flag per point ({len(frame)}), got {len(chosen)}"
        )
    if len(frame) < POINTS_MIN:
        raise ScenarioError(f"discovery needs at least {POINTS_MIN} points, got {len(frame)}")
    if chosen.all() or not chosen.any():
        raise ScenarioError(
            f"{'all' if chosen.any() else 'none'} of the {len(frame)} points are of interest; "
            "there is no boundary to find within the ranges of the design"
        )
    if frame.isna().any(axis=None):
        key = frame.columns[frame.isna().any()][0]
        raise ScenarioError(f"{key} is missing at some points")


def _coded(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """Turn words into one column of 0 and 1 each; return also which parameter and word it is of."""
    columns: dict[str, pd.Series[Any]] = {}
    words: dict[str, tuple[str, str]] = {}
    for key in frame.columns:
        column = frame[key]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            columns[key] = column.astype(float)
            continue
        for word in column.astype(str).unique().tolist():
            columns[f"{key}={word}"] = (column.astype(str) == word).astype(float)
            words[f"{key}={word}"] = key, word
    return pd.DataFrame(columns), words


_Path = dict[str, tuple[float, float]]


def _leaves(tree: DecisionTreeClassifier, names: Sequence[str]) -> list[_Path]:
    """List the bounds of each leaf most of whose points are of interest, merged by column."""
    nodes = tree.tree_
    found: list[_Path] = []
    pending: list[tuple[int, _Path]] = [(0, {})]
    while pending:
        node, path = pending.pop()
        left, right = int(nodes.children_left[node]), int(nodes.children_right[node])
        if left == right:
            if nodes.value[node][0][1] > nodes.value[node][0].sum() / 2:
                found.append(path)
            continue
        name, cut = names[int(nodes.feature[node])], float(nodes.threshold[node])
        low, high = path.get(name, (-np.inf, np.inf))
        pending.append((right, path | {name: (cut, high)}))
        pending.append((left, path | {name: (low, cut)}))
    return found


def _limits(
    path: _Path, words: dict[str, tuple[str, str]], frame: pd.DataFrame
) -> tuple[Limit, ...]:
    """Read bounds of 0-1 columns as words, and keep those of numbers."""
    limits = [
        Limit(key=name, low=low, high=high)
        for name, (low, high) in path.items()
        if name not in words
    ]
    allowed: dict[str, set[str]] = {}
    for name, (low, _) in path.items():
        if name in words:
            key, word = words[name]
            left = allowed.setdefault(key, set(frame[key].astype(str)))
            allowed[key] = left & {word} if low > 0 else left - {word}
    limits += [Limit(key=key, values=tuple(sorted(left))) for key, left in allowed.items()]
    return tuple(sorted(limits, key=lambda limit: list(frame.columns).index(limit.key)))


def _measured(limits: tuple[Limit, ...], frame: pd.DataFrame, chosen: Flags) -> Box:
    bare = Box(limits=limits, density=0.0, ci_low=0.0, ci_high=0.0, coverage=0.0, n=0)
    inside = bare.holds(frame)
    n, hits = int(inside.sum()), int((inside & chosen).sum())
    low = high = float("nan")
    if n:
        exact = stats.binomtest(hits, n).proportion_ci(CONFIDENCE, method="exact")
        low, high = float(exact.low), float(exact.high)
    return Box(
        limits=limits,
        density=hits / n if n else float("nan"),
        ci_low=low,
        ci_high=high,
        coverage=hits / max(1, int(chosen.sum())),
        n=n,
    )

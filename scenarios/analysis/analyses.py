"""Analyses: the one place where a saved result is asked what its outcomes depend on.

Sensitivity, tests and boxes are worked out elsewhere, on tables and designs; here they are found in
the manifest and the tables of a result, and what cannot be asked of it is named.
"""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from hanse.market.units import Flags
from hanse.scenarios.analysis.designs import Design, make_design
from hanse.scenarios.analysis.discovery import box_table, discover
from hanse.scenarios.analysis.inference import VALUES_MIN, paired_tests
from hanse.scenarios.analysis.sensitivity import (
    means_by_point,
    morris_effects,
    point_means,
    sobol_indices,
)
from hanse.scenarios.commands.plain_text import changes_text
from hanse.scenarios.measuring.measures import SHARED
from hanse.scenarios.numerals import short
from hanse.scenarios.parameters import ScenarioError, near_miss
from hanse.scenarios.results import Results

_SHAPES: Final = ("low", "high", "distribution", "mode", "mean", "sd")
_SHAPES_OF: Final[Mapping[str, Sequence[str]]] = {
    "triangular": _SHAPES[:4],
    "normal": (*_SHAPES[:3], "mean", "sd"),
}
WELFARE: Final = "welfare_usd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """A table that answers, and what a reader must know beside it, in lines."""

    table: pd.DataFrame
    notes: tuple[str, ...]

    def rows(self) -> list[list[str]]:
        """Return the rows of the table as text, headings first."""
        rows = self.table.to_numpy(object).tolist()
        return [list(self.table.columns), *([_text(cell) for cell in row] for row in rows)]


def sensitivity_of(
    results: Results, *, outcome: str | None = None, regime: str | None = None
) -> Analysis:
    """Say how much of an outcome each factor accounts for, policy by policy.

    Indices of Sobol for a design by `saltelli`, elementary effects for one by `morris`.

    Parameters
    ----------
    outcome, regime : needed where the result has several.

    Raises
    ------
    ScenarioError
        If the design is neither, or there is no such outcome.
    """
    design = design_again(results)
    if design.method not in ("saltelli", "morris"):
        raise ScenarioError(
            f"design.method must be 'saltelli' or 'morris' for sensitivity, got {design.method!r}"
        )
    frame = _outcomes(results)
    name = _only_outcome(frame, outcome)
    analyse = sobol_indices if design.method == "saltelli" else morris_effects
    pieces = []
    values = point_means(design, frame, name, regime=regime)
    for policy, row in zip(design.policies, values, strict=True):
        piece = analyse(design, row)
        for place, (key, value) in enumerate(policy.items()):
            cell = ",".join(map(str, value)) if isinstance(value, tuple) else value
            piece.insert(place, key, cell)
        pieces.append(piece)
    seeds = results.manifest["seeds"]
    assert isinstance(seeds, list)
    notes = (
        f"{name}, {design.method}, {values.shape[1]} points, mean over {len(seeds)} seeds",
        "intervals are of the sample of points; what seeds leave of luck counts as interaction",
    )
    return Analysis(table=pd.concat(pieces, ignore_index=True), notes=notes)


def inference_of(
    results: Results,
    *,
    measures: Sequence[str] = (WELFARE,),
    families: Sequence[str] | None = None,
    point: int | None = None,
    margin: float | None = None,
) -> Analysis:
    """Test each regime against the one before, on the same worlds.

    Parameters
    ----------
    families : None for every family, and not what belongs to none.
    point : of a sweep; None for all, which are then one family of tests.
    margin : of equivalence, in the unit of the measures, which must then be one.
    """
    frame = results.frame("measures")
    for measure in measures:
        _check_word("measure", measure, frame["measure"])
    for family in families or ():
        _check_word("family", family, frame["family"])
    frame = frame[frame["measure"].isin(measures)]
    chosen = frame["family"].isin(families) if families else frame["family"] != SHARED
    frame = _at_point(frame[chosen], point)
    units = frame["unit"].unique().tolist()
    if margin is not None and len(units) > 1:
        raise ScenarioError(f"a margin needs measures of one unit, got {', '.join(units)}")
    by = [key for key in ("point", "family", "measure") if key in frame]
    table = paired_tests(frame, by=by, margin=margin)
    if table.empty:
        raise ScenarioError(
            f"no two of the regimes ({', '.join(frame['regime'].unique())}) are neighbours that "
            "can be set against each other"
        )
    notes = [f"{len(table)} paired tests, of which p_holm counts all; units: {', '.join(units)}"]
    if (table["n"] < VALUES_MIN).any():
        least = int(table["n"].min())
        notes.append(f"intervals by BCa need at least {VALUES_MIN} worlds, got {least}")
    return Analysis(table=table, notes=(*notes, *changes_text(results)))


def discovery_of(
    results: Results,
    *,
    outcome: str | None = None,
    regime: str | None = None,
    below: float | None = None,
    above: float | None = None,
    limits_max: int = 3,
) -> Analysis:
    """Find the boxes of the parameter space in which an outcome lies below or above a threshold.

    Parameters
    ----------
    below, above : one of them; where neither is given, below zero.
    limits_max : how many limits a box may have.
    """
    if below is not None and above is not None:
        raise ScenarioError(f"give --below or --above, got both ({below:g} and {above:g})")
    frame, points = _outcomes(results), results.frame("points")
    name = _only_outcome(frame, outcome)
    mean = means_by_point(frame, name, n_points=len(points), regime=regime)
    flags: Flags = mean > above if above is not None else mean < (below or 0.0)
    told = f"above {above:g}" if above is not None else f"below {below or 0.0:g}"
    boxes = discover(points, flags, limits_max=limits_max)
    share = f"{int(flags.sum())} of {len(flags)} points have {name} {told}"
    found = f"{len(boxes)} boxes" if boxes else "no box has more than half its points among them"
    note = "density and coverage are measured on points that did not help to find the box"
    return Analysis(table=box_table(boxes), notes=(f"{share}; {found}", note))


def asked_sensitivity(results: Results, told: Namespace) -> Analysis:
    """Work out what `hanse sensitivity` was asked."""
    return sensitivity_of(results, outcome=told.outcome, regime=told.regime)


def asked_inference(results: Results, told: Namespace) -> Analysis:
    """Work out what `hanse infer` was asked."""
    return inference_of(
        results,
        measures=told.measure or (WELFARE,),
        families=told.family,
        point=told.point,
        margin=told.margin,
    )


def asked_discovery(results: Results, told: Namespace) -> Analysis:
    """Work out what `hanse discover` was asked."""
    return discovery_of(
        results,
        outcome=told.outcome,
        regime=told.regime,
        below=told.below,
        above=told.above,
        limits_max=told.limits,
    )


ANALYSES: Final[Mapping[str, Callable[[Results, Namespace], Analysis]]] = {
    "sensitivity": asked_sensitivity,
    "infer": asked_inference,
    "discover": asked_discovery,
}


def design_again(results: Results) -> Design:
    """Make the design of a result again from its manifest, and hold it to the points that ran."""
    told = results.manifest.get("experiment")
    if not isinstance(told, Mapping):
        raise ScenarioError(
            "this result is of no experiment file: sensitivity needs one with a design by "
            "'saltelli' or 'morris'"
        )
    if not told["uncertainties"]:
        raise ScenarioError(f"design.method = {told['method']!r} sampled no uncertainty")
    design = make_design(
        told["method"],
        {one["key"]: _entry(one) for one in told["uncertainties"]},
        levers={one["key"]: one["values"] for one in told["levers"]},
        **told["options"],
    )
    made, ran = design.frame(), results.frame("points")
    if not _same(made, ran):
        raise ScenarioError(
            "the design of the manifest does not make the points that ran; another version of "
            "SALib or scipy may have drawn them"
        )
    return design


def _text(cell: str | float) -> str:
    return short(cell) if isinstance(cell, float) else str(cell)


def _entry(one: Mapping[str, Any]) -> dict[str, Any]:
    if one["values"]:
        return {"values": one["values"]}
    return {key: one[key] for key in _SHAPES_OF.get(one["distribution"], _SHAPES[:3])}


def _same(made: pd.DataFrame, ran: pd.DataFrame) -> bool:
    if list(made.columns) != list(ran.columns) or len(made) != len(ran):
        return False
    for key in made.columns:
        if pd.api.types.is_numeric_dtype(made[key]):
            if not np.allclose(made[key].astype(float), ran[key].astype(float), rtol=1e-12):
                return False
        elif made[key].astype(str).tolist() != ran[key].astype(str).tolist():
            return False
    return True


def _outcomes(results: Results) -> pd.DataFrame:
    if "outcomes" not in results.tables or not results.tables["outcomes"].num_rows:
        raise ScenarioError(
            "this result has no outcomes: name some under [outcomes] in an experiment file, and "
            "run it by hanse sweep FILE.toml"
        )
    return results.frame("outcomes")


def _only_outcome(frame: pd.DataFrame, outcome: str | None) -> str:
    known = frame["outcome"].unique().tolist()
    if outcome is None and len(known) > 1:
        raise ScenarioError(f"there are several outcomes; --outcome must be one of {known}")
    return str(known[0]) if outcome is None else outcome


def _check_word(what: str, word: str, column: "pd.Series[Any]") -> None:
    known = column.unique().tolist()
    if word not in known:
        raise ScenarioError(f"no {what} {word!r}{near_miss(word, known)} ({', '.join(known)})")


def _at_point(frame: pd.DataFrame, point: int | None) -> pd.DataFrame:
    if point is None:
        return frame
    if "point" not in frame:
        raise ScenarioError(f"this result has no points, got --point {point}")
    last = int(frame["point"].max())
    if not 0 <= point <= last:
        raise ScenarioError(f"--point must be 0 to {last}, got {point}")
    return frame[frame["point"] == point]

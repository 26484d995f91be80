"""Growth paths: the one place where TOML says what grows year by year, how fast, and from where.

A path takes a scenario from its first year to its last. A rate is a number, or the two ends of a
range from which each path draws its own: geometrically where it multiplies, evenly where it adds.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hanse.market.regime import Rung
from hanse.scenarios.drawing.families import FAMILIES
from hanse.scenarios.outcomes import MEASURES, SHARED_MEASURES
from hanse.scenarios.parameters import ScenarioError, near_miss, parameter
from hanse.scenarios.regime_parts import named_rung
from hanse.scenarios.scenario import Scenario, load
from hanse.scenarios.streams import stream

GRADES: Final = ("A", "B", "C", "D", "E", "M")
_SECTIONS: Final = ("path", "constants", "growth", "thresholds")
_PATH_KEYS: Final = (
    "title",
    "question",
    "scenario",
    "first_year",
    "last_year",
    "step_years",
    "paths",
    "regimes",
)
_GROWTH_KEYS: Final = ("parameters", "factor_per_year", "added_per_year", "grade", "source")
_THRESHOLD_KEYS: Final = ("measure", "family", "above", "below")
_FOLDER: Final = Path(__file__).parents[1] / "paths"


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What grows: parameters of a scenario, all at the same rate.

    Attributes
    ----------
    low, high : ends of the range of rates; equal where the rate is known.
    multiplies : whether the rate is a factor per year, or what is added each year.
    """

    name: str
    keys: tuple[str, ...]
    low: float
    high: float
    multiplies: bool
    grade: str
    source: str

    def rate(self, path: int) -> float:
        """Return the rate on one of the paths, whatever else grows on it."""
        chance = float(stream(path, f"growth.{self.name}").random())
        if self.multiplies:
            return float(self.low * (self.high / self.low) ** chance)
        return self.low + chance * (self.high - self.low)

    def after(self, value: float, path: int, years: float) -> float:
        """Return what a value has become after some years on one of the paths."""
        rate = self.rate(path)
        return value * rate**years if self.multiplies else value + rate * years


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A level of a measure, and the side on which it counts as reached.

    Without a `family` it is a share of whole runs, or an amount added up over families.
    """

    name: str
    measure: str
    level: float
    is_above: bool
    family: str = ""

    @property
    def unit(self) -> str:
        """Return the unit of its measure."""
        known = MEASURES if self.family else {**MEASURES, **SHARED_MEASURES}
        return known[self.measure]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthPath:
    """A scenario that grows; path k has rates of its own, and the luck of seed k at every date."""

    name: str
    title: str
    question: str
    scenario: Scenario
    years: tuple[float, ...]
    n_paths: int
    rungs: tuple[Rung, ...]
    growths: tuple[Growth, ...]
    thresholds: tuple[Threshold, ...]

    def scenario_at(self, path: int, year: float) -> Scenario:
        """Return the scenario of one date on one path; whole numbers are rounded.

        Raises
        ------
        ScenarioError
            If something has grown beyond what is accepted.
        """
        changes: dict[str, object] = {}
        for growth in self.growths:
            for key in growth.keys:
                value = growth.after(self.scenario.number(key), path, year - self.years[0])
                changes[key] = round(value) if isinstance(parameter(key).default, int) else value
        try:
            return self.scenario.replace(changes)
        except ScenarioError as error:
            raise ScenarioError(f"{self.name}, path {path}, {year:g}: {error}") from error


def path_names() -> tuple[str, ...]:
    """Return the names of the growth paths that come with hanse, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def read_growth_path(name_or_file: str | Path, *, scenario: str | None = None) -> GrowthPath:
    """Read a growth path that comes with hanse by its name, or any by its file.

    Parameters
    ----------
    scenario : what grows in the place of the scenario that the path names, by name or file.

    Raises
    ------
    ScenarioError
        If it cannot be read, or something in it is not allowed.
    """
    file = Path(name_or_file)
    if file.suffix != ".toml":
        if str(name_or_file) not in path_names():
            raise ScenarioError(
                f"unknown growth path {str(name_or_file)!r}"
                f"{near_miss(str(name_or_file), path_names())}"
            )
        file = _FOLDER / f"{name_or_file}.toml"
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ScenarioError(f"{file.name} cannot be read: {error}") from error
    return growth_path_of(file.stem, document, scenario=scenario)


def growth_path_of(
    name: str, document: Mapping[str, Any], *, scenario: str | None = None
) -> GrowthPath:
    """Turn a document with the sections path, constants, growth and thresholds into a path."""
    _check_keys(name, document, _SECTIONS)
    head = document.get("path", {})
    _check_keys(f"{name}: path", head, _PATH_KEYS)
    grown = load(scenario or head.get("scenario", "baseline"))
    grown = grown.replace(
        {
            f"{s}.{k}": v
            for s, rows in document.get("constants", {}).items()
            for k, v in rows.items()
        }
    )
    whole = GrowthPath(
        name=name,
        title=head.get("title", ""),
        question=head.get("question", ""),
        scenario=grown,
        years=_years(name, head),
        n_paths=int(head.get("paths", 30)),
        rungs=tuple(named_rung(one) for one in head.get("regimes", ("central", "market"))),
        growths=tuple(_growth(k, row) for k, row in document.get("growth", {}).items()),
        thresholds=tuple(_threshold(k, row) for k, row in document.get("thresholds", {}).items()),
    )
    _check_once(whole)
    return _checked(whole)


def adjusted(
    path: GrowthPath,
    *,
    settings: Iterable[str] = (),
    n_paths: int | None = None,
    regimes: Sequence[str] | None = None,
) -> GrowthPath:
    """Return a path that begins from changed settings, or has other numbers of paths or regimes."""
    changed = replace(
        path,
        scenario=path.scenario.with_settings(settings),
        n_paths=path.n_paths if n_paths is None else n_paths,
        rungs=tuple(named_rung(one) for one in regimes) if regimes else path.rungs,
    )
    return _checked(changed)


def _checked(path: GrowthPath) -> GrowthPath:
    """Return it if every date of every path is a scenario: what is wrong with one is bad input."""
    for k in range(path.n_paths):
        for year in path.years:
            path.scenario_at(k, year)
    return path


def _years(name: str, head: Mapping[str, Any]) -> tuple[float, ...]:
    first, last = head.get("first_year", 2026), head.get("last_year", 2040)
    step = head.get("step_years", 2)
    if not (step > 0 and last > first):
        raise ScenarioError(f"{name}: path must go from first_year to a later last_year, by steps")
    n_steps = int((last - first) / step + 1e-9)
    return tuple(first + k * step for k in range(n_steps + 1))


def _growth(name: str, row: Mapping[str, Any]) -> Growth:
    _check_keys(f"growth.{name}", row, _GROWTH_KEYS)
    given = [kind for kind in ("factor_per_year", "added_per_year") if kind in row]
    if len(given) != 1:
        raise ScenarioError(f"growth.{name} needs either factor_per_year or added_per_year")
    rate = row[given[0]]
    low, high = rate if isinstance(rate, list) else (rate, rate)
    multiplies = given[0] == "factor_per_year"
    if low > high or (multiplies and low <= 0):
        raise ScenarioError(f"growth.{name}.{given[0]} must be a rate or a range, got {rate!r}")
    if row.get("grade") not in GRADES or not row.get("source"):
        raise ScenarioError(f"growth.{name} needs a grade ({', '.join(GRADES)}) and a source")
    keys = tuple(row.get("parameters", ()))
    for key in keys:
        if isinstance(parameter(key).default, bool | str | tuple):
            raise ScenarioError(f"growth.{name}: {key} is no number")
    if not keys:
        raise ScenarioError(f"growth.{name} names no parameters")
    return Growth(
        name=name,
        keys=keys,
        low=float(low),
        high=float(high),
        multiplies=multiplies,
        grade=row["grade"],
        source=row["source"],
    )


def _threshold(name: str, row: Mapping[str, Any]) -> Threshold:
    _check_keys(f"thresholds.{name}", row, _THRESHOLD_KEYS)
    sides = [side for side in ("above", "below") if side in row]
    if len(sides) != 1:
        raise ScenarioError(f"thresholds.{name} needs either above or below")
    measure, family = row.get("measure", name), row.get("family", "")
    if family not in ("", *FAMILIES):
        raise ScenarioError(
            f"thresholds.{name}: {family!r} is no family{near_miss(family, FAMILIES)}"
        )
    known = MEASURES if family else {**MEASURES, **SHARED_MEASURES}
    if measure not in known:
        near = near_miss(measure, known)
        raise ScenarioError(f"thresholds.{name}: {measure!r} is no measure{near}")
    if not family and known[measure] == "share" and measure not in SHARED_MEASURES:
        raise ScenarioError(f"thresholds.{name}: {measure} does not add up; name a family")
    return Threshold(
        name=name,
        measure=measure,
        level=float(row[sides[0]]),
        is_above=sides[0] == "above",
        family=family,
    )


def _check_once(path: GrowthPath) -> None:
    keys = [key for growth in path.growths for key in growth.keys]
    twice = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
    if twice:
        raise ScenarioError(f"{path.name}: {twice[0]} grows twice")


def _check_keys(where: str, table: object, known: tuple[str, ...]) -> None:
    if not isinstance(table, Mapping):
        raise ScenarioError(f"{where} must be a table, got {table!r}")
    for key in table:
        if key not in known:
            raise ScenarioError(f"{where} knows no {key!r}{near_miss(key, known)}")

"""Growth paths: the one place where TOML says what grows year by year, how fast, and from where.

A path takes a scenario from its first year to its last. A rate is a number, or the two ends of a
range from which each path draws its own: geometrically where it multiplies, evenly where it adds.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, Final

from hanse.market.regime import Rung
from hanse.scenarios.drawing.families import FAMILIES
from hanse.scenarios.outcomes import MEASURES, SHARED_MEASURES
from hanse.scenarios.parameters import ScenarioError, near_miss, parameter
from hanse.scenarios.regime_parts import named_rung
from hanse.scenarios.scenario import Scenario, has_table, load
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


def is_growth_path(path: Path) -> bool:
    """Say whether a file is a growth path; what cannot be read is none."""
    return has_table(path, "path")


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
    if not file.is_file():
        raise ScenarioError(f"there is no growth path file {str(file)!r}")
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ScenarioError(f"{file.name} cannot be read: {error}") from error
    if scenario is not None:
        load(scenario)  # what is wrong with it is no fault of the file
    try:
        return growth_path_of(file.stem, document, scenario=scenario)
    except ScenarioError as error:
        raise ScenarioError(f"{file.name}: {error}") from error


def growth_path_of(
    name: str, document: Mapping[str, Any], *, scenario: str | None = None
) -> GrowthPath:
    """Turn a document with the sections path, constants, growth and thresholds into a path."""
    _check_keys("a growth path", document, _SECTIONS)
    head, constants, growths, thresholds = (_tables(document, one) for one in _SECTIONS)
    _check_keys("path", head, _PATH_KEYS)
    grown = load(scenario or _text(head, "scenario", "baseline"))
    grown = grown.replace(
        {f"{s}.{k}": v for s in constants for k, v in _tables(constants, s).items()}
    )
    whole = GrowthPath(
        name=name,
        title=_text(head, "title", ""),
        question=_text(head, "question", ""),
        scenario=grown,
        years=_years(head),
        n_paths=_n_paths(head),
        rungs=tuple(named_rung(one) for one in _words("path.regimes", head, ("central", "market"))),
        growths=tuple(_growth(k, _tables(growths, k)) for k in growths),
        thresholds=tuple(_threshold(k, _tables(thresholds, k)) for k in thresholds),
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


def _years(head: Mapping[str, Any]) -> tuple[float, ...]:
    first = _number("path.first_year", head.get("first_year", 2026))
    last = _number("path.last_year", head.get("last_year", 2040))
    step = _number("path.step_years", head.get("step_years", 2))
    if not last > first:
        raise ScenarioError(
            f"path.last_year must be later than path.first_year ({first:g}), got {last:g}"
        )
    if not 0 < step <= last - first:
        raise ScenarioError(
            f"path.step_years must be above 0 and at most {last - first:g}, got {step:g}"
        )
    n_steps = int((last - first) / step + 1e-9)
    return tuple(first + k * step for k in range(n_steps + 1))


def _n_paths(head: Mapping[str, Any]) -> int:
    value = head.get("paths", 30)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ScenarioError(f"path.paths must be a whole number of at least 1, got {value!r}")
    return value


def _growth(name: str, row: Mapping[str, Any]) -> Growth:
    where = f"growth.{name}"
    _check_keys(where, row, _GROWTH_KEYS)
    given = [kind for kind in ("factor_per_year", "added_per_year") if kind in row]
    if len(given) != 1:
        told = "both" if given else "neither"
        raise ScenarioError(f"{where} needs factor_per_year or added_per_year, got {told}")
    multiplies = given[0] == "factor_per_year"
    low, high = _rates(f"{where}.{given[0]}", row[given[0]], multiplies=multiplies)
    if row.get("grade") not in GRADES:
        raise ScenarioError(
            f"{where}.grade must be one of {', '.join(GRADES)}, got {row.get('grade')!r}"
        )
    if not _text(row, "source", "", where=where):
        raise ScenarioError(f"{where}.source must say where the rate comes from, got nothing")
    keys = _words(f"{where}.parameters", row, ())
    for key in keys:
        if isinstance(parameter(key).default, bool | str | tuple):
            raise ScenarioError(f"{where}.parameters: {key} is no number, and cannot grow")
    return Growth(
        name=name,
        keys=keys,
        low=float(low),
        high=float(high),
        multiplies=multiplies,
        grade=row["grade"],
        source=row["source"],
    )


def _rates(where: str, rate: object, *, multiplies: bool) -> tuple[float, float]:
    """Read a rate as both ends of its range."""
    ends = rate if isinstance(rate, list) else [rate, rate]
    if len(ends) != 2:
        raise ScenarioError(f"{where} must be a number or a range [low, high], got {rate!r}")
    low, high = (_number(where, end) for end in ends)
    if multiplies and low <= 0:
        raise ScenarioError(f"{where} must be above 0, got {low:g}")
    if low > high:
        raise ScenarioError(f"{where} must rise from low to high, got {rate!r}")
    return low, high


def _threshold(name: str, row: Mapping[str, Any]) -> Threshold:
    _check_keys(f"thresholds.{name}", row, _THRESHOLD_KEYS)
    sides = [side for side in ("above", "below") if side in row]
    if len(sides) != 1:
        told = "both" if sides else "neither"
        raise ScenarioError(f"thresholds.{name} needs above or below, got {told}")
    where = f"thresholds.{name}"
    measure = _text(row, "measure", name, where=where)
    family = _text(row, "family", "", where=where)
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
        level=_number(f"thresholds.{name}.{sides[0]}", row[sides[0]]),
        is_above=sides[0] == "above",
        family=family,
    )


def _check_once(path: GrowthPath) -> None:
    keys = [key for growth in path.growths for key in growth.keys]
    twice = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
    if twice:
        raise ScenarioError(f"{twice[0]} grows twice")


def _tables(document: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    """Return a table of the document; none is an empty one."""
    table = document.get(section, {})
    if not isinstance(table, Mapping):
        raise ScenarioError(f"{section} must be a table, got {table!r}")
    return table


def _text(table: Mapping[str, Any], key: str, default: str, *, where: str = "path") -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise ScenarioError(f"{where}.{key} must be text, got {value!r}")
    return value


def _words(where: str, table: Mapping[str, Any], default: tuple[str, ...]) -> tuple[str, ...]:
    """Return a list of names, which must not be empty."""
    value = table.get(where.rpartition(".")[2], default)
    if not isinstance(value, list | tuple) or not value:
        raise ScenarioError(f"{where} must be a list of at least one name, got {value!r}")
    return tuple(str(one) for one in value)


def _number(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ScenarioError(f"{where} must be a number, got {value!r}")
    return value


def _check_keys(where: str, table: object, known: tuple[str, ...]) -> None:
    if not isinstance(table, Mapping):
        raise ScenarioError(f"{where} must be a table, got {table!r}")
    for key in table:
        if key not in known:
            raise ScenarioError(f"{where} knows no {key!r}{near_miss(key, known)}")

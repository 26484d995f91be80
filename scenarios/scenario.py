"""The one place for questions: a scenario is a name, a question and a value of every parameter."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from math import isclose
from pathlib import Path
from types import MappingProxyType
from typing import cast

from hanse.market.units import US_PER_S
from hanse.scenarios.parameters import (
    Parameter,
    ScenarioError,
    Value,
    describe_parameters,
    near_miss,
    parameter,
    parameters,
)
from hanse.scenarios.tables import read_regions

__all__ = [
    "Parameter",
    "Scenario",
    "ScenarioError",
    "Value",
    "describe_parameters",
    "load",
    "names",
]

AUTO_HUB = "auto"
ANYWHERE = "anywhere"
ANY_CLASS = "any"
NOTHING = "none"
_TWO_CALL_SHARE = "agentic_two_call_share"
_PARTS = "training, checks, loop"
_LISTS = {
    "load.agentic_choice_weights": (4, "tool, retriever, memory, none"),
    "load.multimodal_encode_s": (5, "text, vision, audio, video, structured data"),
    "load.multimodal_input_mb": (5, "text, vision, audio, video, structured data"),
    "load.pipeline_regions": (3, _PARTS),
    "load.pipeline_classes": (3, _PARTS),
    "load.pipeline_input_gb": (3, _PARTS),
}
_LIBRARY = Path(__file__).with_name("library")
_HEADINGS = ("title", "question", "extends")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A question about compute markets; it never names a regime.

    Attributes
    ----------
    values : every parameter by its dotted key. Keys left out when the scenario is made take
        their default; unknown keys and values out of bounds raise `ScenarioError`.
    """

    name: str
    title: str
    question: str
    values: Mapping[str, Value] = field(hash=False)

    def __post_init__(self) -> None:
        given = {key: parameter(key).check(value) for key, value in self.values.items()}
        whole = {key: given.get(key, one.default) for key, one in parameters().items()}
        object.__setattr__(self, "values", MappingProxyType(whole))
        _check_together(self)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as plain values, because a mapping proxy cannot be pickled."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return partial(Scenario, **plain | {"values": dict(self.values)}), ()

    def number(self, key: str) -> float:
        """Return a numeric value."""
        value = self.values[key]
        assert isinstance(value, int | float), key
        return value

    def count(self, key: str) -> int:
        """Return a whole number."""
        value = self.values[key]
        assert isinstance(value, int), key
        return value

    def flag(self, key: str) -> bool:
        """Return a flag."""
        value = self.values[key]
        assert isinstance(value, bool), key
        return value

    def text(self, key: str) -> str:
        """Return a word."""
        value = self.values[key]
        assert isinstance(value, str), key
        return value

    def words(self, key: str) -> tuple[str, ...]:
        """Return a list of words."""
        return cast(tuple[str, ...], self.values[key])

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return a list of numbers."""
        return cast(tuple[float, ...], self.values[key])

    def microseconds(self, key: str) -> int:
        """Return a value in seconds as whole microseconds."""
        return round(self.number(key) * US_PER_S)

    def replace(self, changes: Mapping[str, object], *, name: str | None = None) -> "Scenario":
        """Return the same question with some values changed.

        Examples
        --------
        >>> load("baseline").replace({"load.model_calls": 100}).count("load.model_calls")
        100
        """
        return Scenario(
            name=name or self.name,
            title=self.title,
            question=self.question,
            values=cast(Mapping[str, Value], {**self.values, **changes}),
        )

    def with_settings(self, settings: Iterable[str]) -> "Scenario":
        """Return the same question with `key=value` settings applied, in order."""
        return self.replace(dict(setting(text) for text in settings))


def has_table(path: Path, table: str) -> bool:
    """Say whether a TOML file has a table, by which kinds of questions are told apart."""
    try:
        return table in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # whoever reads it next says what is wrong


def names() -> tuple[str, ...]:
    """Return the names of the scenarios in the library, sorted."""
    return tuple(sorted(path.stem for path in _LIBRARY.glob("*.toml")))


def load(name_or_path: str | Path) -> Scenario:
    """Load a scenario of the library by its name, or any scenario file by its path.

    Raises
    ------
    ScenarioError
        If there is no such scenario, or the file cannot be read, or a value is not allowed.
    """
    path = _locate(name_or_path, Path())
    heading, values = _read(path, ())
    return Scenario(
        name=path.stem,
        title=heading.get("title", ""),
        question=heading.get("question", ""),
        values=values,
    )


def setting(text: str) -> tuple[str, Value]:
    """Read `key=value`; raise `ScenarioError` where it does not read so."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ScenarioError(f"a setting must read key=value, got {text!r}")
    return key.strip(), parameter(key.strip()).parse(value)


def _locate(name_or_path: str | Path, folder: Path) -> Path:
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and path.suffix != ".toml" and len(path.parts) == 1:
        if name_or_path not in names():
            raise ScenarioError(
                f"unknown scenario {name_or_path!r}{near_miss(name_or_path, names())}"
                f" (the library has {', '.join(names())})"
            )
        return _LIBRARY / f"{name_or_path}.toml"
    if not (folder / path).is_file():
        raise ScenarioError(f"there is no scenario file {str(folder / path)!r}")
    return folder / path


def _read(path: Path, above: tuple[Path, ...]) -> tuple[dict[str, str], dict[str, Value]]:
    """Return the headings and the values of a file, those of what it extends underneath."""
    if path.resolve() in above:
        raise ScenarioError(f"{path.name} extends itself")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ScenarioError(f"{path.name} cannot be read: {error}") from error
    if "experiment" in document:
        raise ScenarioError(f"{path.name} is an experiment file, which hanse sweep runs")
    if "path" in document:
        raise ScenarioError(f"{path.name} is a growth path, which hanse grow follows")
    heading = {key: _heading(path, key, document.pop(key)) for key in _HEADINGS if key in document}
    values = _flatten(path, document)
    base = heading.pop("extends", None)
    if base is None:
        return heading, values
    try:
        found = _locate(base, path.parent)
    except ScenarioError as error:
        raise ScenarioError(f"{path.name}: extends: {error}") from error
    below_heading, below = _read(found, (*above, path.resolve()))
    return below_heading | heading, below | values


def _heading(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ScenarioError(f"{path.name}: {key} must be text, got {value!r}")
    return value


def _flatten(path: Path, document: Mapping[str, object]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    try:
        for section, rows in document.items():
            if not isinstance(rows, Mapping):
                if near := near_miss(section, _HEADINGS):
                    raise ScenarioError(f"unknown heading {section!r}{near}")
                values[section] = parameter(section).check(rows)
                continue
            for name, value in rows.items():
                values[f"{section}.{name}"] = parameter(f"{section}.{name}").check(value)
    except ScenarioError as error:
        raise ScenarioError(f"{path.name}: {error}") from error
    return values


def _check_together(scenario: Scenario) -> None:
    """Raise `ScenarioError` where values are allowed alone and impossible together."""
    _check_classes(scenario)
    _check_order(scenario, "fleet.neocloud_usd_low", "fleet.neocloud_usd_high")
    _check_order(scenario, "load.tool_median_s", "load.tool_p95_s")
    _check_families(scenario)
    _check_caps(scenario)
    if len(scenario.numbers("load.rate_steps")) > 1 and scenario.flag("load.daily_profile"):
        raise ScenarioError("load.rate_steps and load.daily_profile both move arrivals; choose one")
    hub, regions = scenario.text("control.hub"), read_regions().region
    if hub != AUTO_HUB and hub not in regions:
        raise ScenarioError(
            f"control.hub must be {AUTO_HUB} or a region, got {hub!r}{near_miss(hub, regions)}"
        )


def _check_caps(scenario: Scenario) -> None:
    for named in scenario.words("resources.capped_regions"):
        if named not in (ANYWHERE, *read_regions().region):
            raise ScenarioError(
                f"resources.capped_regions must be {ANYWHERE} or regions, got {named!r}"
                f"{near_miss(named, read_regions().region)}"
            )


def _check_classes(scenario: Scenario) -> None:
    classes, shares = scenario.words("fleet.classes"), scenario.numbers("fleet.class_shares")
    if len(set(classes)) != len(classes):
        raise ScenarioError(f"fleet.classes must differ, got {', '.join(classes)}")
    if len(shares) != len(classes):
        raise ScenarioError(
            f"fleet.class_shares must have one share per class ({len(classes)}), got {len(shares)}"
        )
    if not isclose(sum(shares), 1.0, abs_tol=1e-9):
        raise ScenarioError(f"fleet.class_shares must sum to 1, got {sum(shares):g}")
    if scenario.count("fleet.nodes") < len(classes):
        raise ScenarioError(
            f"fleet.nodes must be at least {len(classes)}, one per class of fleet.classes, "
            f"got {scenario.count('fleet.nodes')}"
        )
    homes = scenario.words("fleet.class_regions")
    if len(homes) not in {1, len(classes)}:
        raise ScenarioError(
            f"fleet.class_regions must have one region for all classes or one per class "
            f"({len(classes)}), got {len(homes)}"
        )
    _check_words("fleet.class_regions", homes, (ANYWHERE, *read_regions().region))
    _check_words("shock.down_class", [scenario.text("shock.down_class")], (NOTHING, *classes))


def _check_families(scenario: Scenario) -> None:
    for key, (n_items, what) in _LISTS.items():
        value = scenario.values[key]
        assert isinstance(value, tuple), key
        if len(value) != n_items:
            raise ScenarioError(f"{key} must have {n_items} items ({what}), got {len(value)}")
    regions, classes = read_regions().region, scenario.words("fleet.classes")
    for key, known in (
        ("load.pipeline_regions", (ANYWHERE, *regions)),
        ("load.pipeline_classes", (ANY_CLASS, *classes)),
        ("shock.cable_from", (NOTHING, *regions)),
        ("shock.cable_to", (NOTHING, *regions)),
    ):
        _check_words(key, scenario.words(key), known)
    if not any(scenario.numbers("load.agentic_choice_weights")):
        raise ScenarioError("load.agentic_choice_weights must not all be 0")
    calls = sum(scenario.number(f"load.{key}") for key in ("one_call_share", _TWO_CALL_SHARE))
    if calls > 1.0 and scenario.number("load.agentic_jobs") > 0:
        raise ScenarioError(
            f"load.one_call_share and load.{_TWO_CALL_SHARE} must sum to at most 1, got {calls:g}"
        )


def _check_words(key: str, given: Iterable[str], known: tuple[str, ...]) -> None:
    for word in given:
        if word not in known:
            raise ScenarioError(
                f"{key} must be {known[0]} or one of {', '.join(known[1:])}, got {word!r}"
                f"{near_miss(word, known)}"
            )


def _check_order(scenario: Scenario, low: str, high: str) -> None:
    if scenario.number(low) > scenario.number(high):
        raise ScenarioError(
            f"{low} must be at most {high} ({scenario.number(high):g}), "
            f"got {scenario.number(low):g}"
        )

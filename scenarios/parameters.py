"""The one place for parameters: their defaults, bounds, sources, and what a value may be."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import cast

Value = bool | int | float | str | tuple[str, ...] | tuple[float, ...]
Number = int | float

_FILE = Path(__file__).with_name("parameters.toml")
_TABLE_HEAD = (
    "| parameter | what it is | default | unit | accepted | grade | source |",
    "|---|---|---|---|---|---|---|",
)


class ScenarioError(ValueError):
    """A scenario, or a setting of one, that cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One number, word or list of a scenario.

    Attributes
    ----------
    key : dotted, `section.name`.
    default : its type is the type of every value of this parameter.
    low, high : bounds, both allowed; None where there is none. They bound each item of a list.
    choices : words that are allowed; empty if any word is.
    grade : A measured, B secondary, C and D derived, E no evidence, M from memory.
    """

    key: str
    default: Value
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    grade: str
    source: str
    doc: str

    def check(self, value: object) -> Value:
        """Return the value in this parameter's type; raise `ScenarioError` if it is not allowed."""
        if isinstance(self.default, bool):
            return self._flag(value)
        if isinstance(self.default, str):
            return self._word(value)
        if isinstance(self.default, tuple):
            return self._list(value, self.default[0])
        return self._number(value, whole=isinstance(self.default, int))

    def parse(self, text: str) -> Value:
        """Read a value from a command line; lists are separated by commas."""
        text = text.strip()
        if isinstance(self.default, bool):
            return self.check({"true": True, "false": False}.get(text.lower(), text))
        if isinstance(self.default, str):
            return self.check(text)
        if isinstance(self.default, tuple):
            items = [item.strip().strip("\"'") for item in text.strip("[]() ").split(",")]
            words = isinstance(self.default[0], str)
            return self.check(items if words else [_number_or_text(item) for item in items])
        return self.check(_number_or_text(text))

    def accepted(self) -> str:
        """Say in words which values are allowed."""
        if self.choices:
            return ", ".join(self.choices)
        if self.low is None and self.high is None:
            return "any"
        if self.high is None:
            return f"at least {self.low:,.12g}"
        if self.low is None:
            return f"at most {self.high:,.12g}"
        return f"{self.low:,.12g} to {self.high:,.12g}"

    def _flag(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ScenarioError(f"{self.key} must be true or false, got {value!r}")
        return value

    def _word(self, value: object) -> str:
        if not isinstance(value, str):
            raise ScenarioError(f"{self.key} must be a word ({self.unit}), got {value!r}")
        if self.choices and value not in self.choices:
            raise ScenarioError(
                f"{self.key} must be one of {', '.join(self.choices)}, got {value!r}"
                f"{near_miss(value, self.choices)}"
            )
        return value

    def _list(self, value: object, item: str | float) -> tuple[str, ...] | tuple[float, ...]:
        if not isinstance(value, list | tuple) or not value:
            raise ScenarioError(f"{self.key} must be a list ({self.unit}), got {value!r}")
        if isinstance(item, str):
            return tuple(self._word(part) for part in value)
        return tuple(self._number(part, whole=False) for part in value)

    def _number(self, value: object, *, whole: bool) -> Number:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ScenarioError(f"{self.key} must be a number ({self.unit}), got {value!r}")
        if self.low is not None and not value >= self.low:
            raise ScenarioError(
                f"{self.key} must be at least {self.low:,g} ({self.unit}), got {value!r}"
            )
        if self.high is not None and not value <= self.high:
            raise ScenarioError(
                f"{self.key} must be at most {self.high:,g} ({self.unit}), got {value!r}"
            )
        if not whole:
            return float(value)
        if value != int(value):
            raise ScenarioError(f"{self.key} must be a whole number ({self.unit}), got {value!r}")
        return int(value)


@lru_cache(maxsize=1)
def parameters() -> MappingProxyType[str, Parameter]:
    """Return every parameter by its key, in the order of `parameters.toml`."""
    sections = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    records = [
        _parameter(f"{section}.{name}", row)
        for section, rows in sections.items()
        for name, row in rows.items()
    ]
    return MappingProxyType({record.key: record for record in records})


def describe_parameters() -> list[Parameter]:
    """List every parameter with its unit, bounds, grade and source."""
    return list(parameters().values())


def parameter_table() -> str:
    """Lay every parameter out in Markdown, one table per section, for docs/reference."""
    tables: dict[str, list[str]] = {}
    for one in parameters().values():
        section = one.key.partition(".")[0]
        rows = tables.setdefault(section, [f"## {section}\n", *_TABLE_HEAD])
        cells = (one.doc, _plain(one.default), one.unit, one.accepted(), one.grade, one.source)
        rows.append(f"| `{one.key}` | " + " | ".join(cells) + " |")
    return "\n\n".join("\n".join(rows) for rows in tables.values()) + "\n"


def parameter(key: str) -> Parameter:
    """Return one parameter; raise `ScenarioError` with the near miss if the key is unknown."""
    try:
        return parameters()[key]
    except KeyError:
        known = list(parameters())
        same_name = [one for one in known if one.endswith(f".{key.rpartition('.')[2]}")]
        hint = f"; did you mean {same_name[0]!r}?" if same_name else near_miss(key, known)
        raise ScenarioError(f"unknown parameter {key!r}{hint}") from None


def near_miss(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the known word nearest to this one, or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _parameter(key: str, row: dict[str, object]) -> Parameter:
    default = row["default"]
    return Parameter(
        key=key,
        default=cast(Value, tuple(default) if isinstance(default, list) else default),
        unit=str(row["unit"]),
        low=cast(float | None, row.get("low")),
        high=cast(float | None, row.get("high")),
        choices=tuple(cast(list[str], row.get("choices", []))),
        grade=str(row["grade"]),
        source=str(row["source"]),
        doc=str(row["doc"]),
    )


def _number_or_text(text: str) -> int | float | str:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _plain(value: Value) -> str:
    """Write a value as `--set` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return value if isinstance(value, str) else f"{value:.12g}"

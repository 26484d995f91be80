"""Regime parts: the one place where a design's choices of parts become rungs."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from dataclasses import replace as replace_part
from enum import IntEnum
from itertools import product
from typing import Final

from hanse.market.regime import CENTRAL, Incompatible, Regime, Rung, named_rungs, regimes
from hanse.market.reporting import (
    Asking,
    AtCost,
    Hurried,
    MarkedUp,
    Reporting,
    Scaled,
    Truthful,
)
from hanse.scenarios.parameters import ScenarioError, near_miss


def _word(choice: IntEnum) -> str:
    return choice.name.lower().replace("_", " ")


REPORTS: Final[Mapping[str, Reporting]] = {
    "truthful": Truthful(),
    "scaled": Scaled(),
    "hurried": Hurried(),
}

ASKS: Final[Mapping[str, Asking]] = {"at cost": AtCost(), "marked up": MarkedUp()}

PARTS: Final[Mapping[str, Mapping[str, object]]] = {
    field.name: {_word(choice): choice for choice in type(getattr(CENTRAL, field.name))}
    for field in fields(CENTRAL)
    if isinstance(getattr(CENTRAL, field.name), IntEnum)
} | {"reporting": REPORTS, "asking": ASKS}
"""Parts of a regime that are a choice of words, and the choices."""


def named_rung(name: object) -> Rung:
    """Return a rung or a variant by its name; raise `ScenarioError` with the near miss."""
    for rung in named_rungs:
        if rung.name == name:
            return rung
    known = ", ".join(regimes)
    raise ScenarioError(
        f"unknown regime {name!r}{near_miss(str(name), regimes)} (there are {known})"
    )


def rungs_with_parts(rungs: Sequence[Rung], parts: Mapping[str, object]) -> list[Rung]:
    """Replace parts of each rung by every combination of the choices listed.

    A combination that is a regime of the library takes its name there; one that comes about twice
    stays once.

    Parameters
    ----------
    parts : words by part, as `hanse show REGIME` writes them.

    Raises
    ------
    ScenarioError
        If a part or a choice is unknown, or two parts exclude each other.
    """
    choices = {part: _choices(part, words) for part, words in parts.items()}
    made: dict[Regime, Rung] = {}
    for rung in rungs:
        for combination in product(*choices.values()):
            one = _replaced(rung, dict(zip(choices, combination, strict=True)))
            made.setdefault(one.regime, one)
    return list(made.values())


def _replaced(rung: Rung, words: Mapping[str, str]) -> Rung:
    told = ", ".join(f"{part} {word}" for part, word in words.items())
    parts = {part: PARTS[part][word] for part, word in words.items()}
    try:
        regime = replace_part(rung.regime, **parts)  # type: ignore[arg-type]  # checked by part
    except Incompatible as error:
        raise ScenarioError(f"regime {rung.name} with {told}: {error}") from error
    for known in (rung, *named_rungs):
        if known.regime == regime:
            return known
    name = f"{rung.name} with {told}"
    return Rung(name=name, title=name.capitalize(), change=told, regime=regime)


def _choices(part: str, words: object) -> list[str]:
    if part not in PARTS:
        raise ScenarioError(f"unknown regime part {part!r}{near_miss(part, PARTS)}")
    known = PARTS[part]
    if not isinstance(words, list | tuple) or not words:
        raise ScenarioError(
            f"regime.{part} must be a list of at least one of {', '.join(known)}, got {words!r}"
        )
    for word in words:
        if word not in known:
            raise ScenarioError(
                f"regime.{part} must be one of {', '.join(known)}, got {word!r}"
                f"{near_miss(str(word), known)}"
            )
    return [str(word) for word in words]

"""Figures of mechanisms: the one place that draws a scenario's, and writes it with its manifest."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from hanse.scenarios.mechanisms.families import FAMILIES
from hanse.scenarios.mechanisms.frictions import FRICTIONS
from hanse.scenarios.mechanisms.institutions import INSTITUTIONS
from hanse.scenarios.mechanisms.interests import INTERESTS
from hanse.scenarios.mechanisms.mechanism import Shown
from hanse.scenarios.mechanisms.studies import Evidence
from hanse.scenarios.parameters import ScenarioError, near_miss
from hanse.scenarios.results import provenance
from hanse.scenarios.scenario import Scenario, names

MECHANISMS: Final[Mapping[str, Shown]] = {
    **FAMILIES,
    **FRICTIONS,
    **INSTITUTIONS,
    **INTERESTS,
}
"""By scenario of the library."""
SUFFIXES: Final = (".png", ".svg")
_DOTS_PER_INCH: Final = 130


def mechanism_of(name: str) -> Shown:
    """Return what shows the mechanism of a scenario.

    Raises
    ------
    ScenarioError
        If there is none for it.
    """
    if name not in MECHANISMS:
        said = "is a scenario without a figure" if name in names() else "is no scenario"
        near = "" if name in names() else near_miss(name, MECHANISMS)
        known = ", ".join(MECHANISMS)
        raise ScenarioError(f"{name!r} {said}{near} (there is one of {known})")
    return MECHANISMS[name]


def manifest_path(picture: Path) -> Path:
    """Return where the manifest of a picture lies."""
    return picture.with_suffix(".json")


def write_mechanism(scenario: Scenario, seeds: Sequence[int], picture: Path) -> Evidence:
    """Run a scenario's small experiment, draw it, and write the manifest before the picture.

    Raises
    ------
    ScenarioError
        If there is no figure for the scenario, or the picture is of no known kind.
    """
    check_picture(picture)
    mechanism = mechanism_of(scenario.name)
    evidence = mechanism.run(scenario, seeds)
    figure = mechanism.picture(evidence)
    told = manifest(scenario, mechanism, seeds=seeds, evidence=evidence)
    save_picture(figure, picture, told=told)
    return evidence


def check_picture(picture: Path) -> None:
    """Raise `ScenarioError` if a picture is of no known kind."""
    if picture.suffix not in SUFFIXES:
        raise ScenarioError(f"a picture ends in {' or '.join(SUFFIXES)}, got {picture.name}")


def save_picture(figure: Figure, picture: Path, *, told: Mapping[str, object]) -> Path:
    """Write what a picture is drawn from beside it, with code and versions, then the picture.

    Returns
    -------
    Path
        Of the manifest.
    """
    picture.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(provenance() | dict(told), indent=1) + "\n"
    manifest_path(picture).write_text(text, encoding="utf-8")
    dated = {"Date": None} if picture.suffix == ".svg" else {"Software": None}
    figure.savefig(picture, dpi=_DOTS_PER_INCH, metadata=dated)
    return manifest_path(picture)


def manifest(
    scenario: Scenario, mechanism: Shown, *, seeds: Sequence[int], evidence: Evidence
) -> dict[str, object]:
    """Say where a picture comes from, and every number that is drawn in it."""
    return {
        "kind": "hanse figure",
        "scenario": scenario.name,
        "parameters": dict(scenario.values),
        "title": mechanism.title,
        "caption": mechanism.caption,
        "seeds": list(seeds),
        "interval": "Student t over seeds, 95 %, each by itself",
        "levels": json.loads(
            mechanism.levels(evidence).to_json(orient="records", double_precision=12)
        ),
        "worlds": json.loads(evidence.worlds.to_json(orient="records")),
    }

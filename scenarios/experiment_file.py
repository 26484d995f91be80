"""Experiment files: the one place where TOML becomes a design, its regimes, seeds and outcomes.

A scenario file asks a question about one world; an experiment file says over which uncertainties
and levers it is asked, and which outcomes answer it.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from hanse.market.regime import Rung, ladder
from hanse.scenarios.analysis.designs import Design, design_of_rows, make_design
from hanse.scenarios.analysis.sampling import GIVEN_ROWS, checked_options
from hanse.scenarios.outcomes import OutcomeOfInterest, check_regimes, outcome_of_interest
from hanse.scenarios.parameters import ScenarioError, near_miss, parameter
from hanse.scenarios.regime_parts import named_rung, rungs_with_parts
from hanse.scenarios.scenario import Scenario, has_table, load, setting

_SECTIONS: Final = ("experiment", "constants", "uncertainties", "levers", "outcomes", "design")
_HEADINGS: Final = ("title", "question", "scenario", "seeds", "regimes")
_SEEDS: Final = 20
_REGIME: Final = "regime"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Experiment:
    """What to run, and what it is about: every rung on every seed at every point of the design.

    Attributes
    ----------
    scenario : the question, with the experiment's constants in it.
    seeds : replications, the same at each point.
    parts : what was listed of parts of regimes, already in the rungs.
    """

    name: str
    title: str
    question: str
    scenario: Scenario
    seeds: tuple[int, ...]
    rungs: tuple[Rung, ...]
    design: Design
    outcomes: tuple[OutcomeOfInterest, ...] = ()
    parts: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_regimes(self.outcomes, self.rungs)
        for _ in self.design.scenarios(self.scenario):  # what is wrong with a point is bad input
            pass

    @property
    def n_runs(self) -> int:
        """Count the runs: points times seeds times regimes."""
        return len(self.design.points) * len(self.seeds) * len(self.rungs)


def is_experiment(path: Path) -> bool:
    """Say whether a TOML file is an experiment rather than a scenario."""
    return has_table(path, "experiment")


def read_experiment(path: Path) -> Experiment:
    """Read an experiment file.

    Raises
    ------
    ScenarioError
        If the file cannot be read, or anything in it is unknown, out of bounds or impossible; the
        message leads with the name of the file.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ScenarioError(f"{path.name} cannot be read: {error}") from error
    try:
        return experiment_of(document, name=path.stem, folder=path.parent)
    except ScenarioError as error:
        raise ScenarioError(f"{path.name}: {error}") from error


def experiment_of(
    document: Mapping[str, Any], *, name: str = "experiment", folder: Path = Path()
) -> Experiment:
    """Make an experiment of a document as TOML gives it.

    Parameters
    ----------
    folder : where relative paths of scenarios and of rows begin.
    """
    sections = {section: _table(document, section) for section in _SECTIONS}
    for section in document:
        if section not in _SECTIONS:
            raise ScenarioError(f"unknown table [{section}]{near_miss(section, _SECTIONS)}")
    heading = sections["experiment"]
    for key in heading:
        if key not in _HEADINGS:
            raise ScenarioError(f"unknown key experiment.{key}{near_miss(key, _HEADINGS)}")
    parts, levers = _split_levers(sections["levers"])
    rungs = rungs_with_parts(_rungs(heading), parts)
    uncertainties = _flat(sections["uncertainties"])
    design = _design(sections["design"], uncertainties, levers=levers, folder=folder)
    scenario = _named_scenario(heading, folder)
    return Experiment(
        name=name,
        title=_text(heading, "title"),
        question=_text(heading, "question"),
        scenario=_with_constants(scenario, _flat(sections["constants"]), design),
        seeds=_seeds(heading.get("seeds", _SEEDS)),
        rungs=tuple(rungs),
        design=design,
        outcomes=tuple(outcome_of_interest(*one) for one in sections["outcomes"].items()),
        parts=parts,
    )


def with_arguments(
    experiment: Experiment,
    settings: Iterable[str] = (),
    *,
    seeds: Sequence[int] | None = None,
    regimes: Sequence[str] | None = None,
) -> Experiment:
    """Return an experiment with what a command line changes of it.

    Parameters
    ----------
    settings : `key=value` each, for parameters that the design leaves alone.
    seeds, regimes : in the place of the experiment's own; None keeps these.
    """
    constants = dict(setting(text) for text in settings)
    rungs = experiment.rungs
    if regimes is not None:
        rungs = tuple(rungs_with_parts([named_rung(name) for name in regimes], experiment.parts))
    return replace(
        experiment,
        scenario=_with_constants(experiment.scenario, constants, experiment.design),
        seeds=experiment.seeds if seeds is None else tuple(seeds),
        rungs=rungs,
    )


def _table(document: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    table = document.get(section, {})
    if not isinstance(table, Mapping):
        raise ScenarioError(f"{section} must be a table, [{section}], got {table!r}")
    return table


def _text(heading: Mapping[str, Any], key: str) -> str:
    value = heading.get(key, "")
    if not isinstance(value, str):
        raise ScenarioError(f"experiment.{key} must be text, got {value!r}")
    return value


def _seeds(value: object) -> tuple[int, ...]:
    listed = list(range(value)) if isinstance(value, int) else value
    if isinstance(value, bool) or not isinstance(listed, list) or not listed:
        raise ScenarioError(
            f"experiment.seeds must be a number of at least 1 or a list of seeds, got {value!r}"
        )
    for seed in listed:
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ScenarioError(
                f"experiment.seeds must be whole numbers of at least 0, got {seed!r}"
            )
    if len(set(listed)) < len(listed):
        twice = next(seed for seed in listed if listed.count(seed) > 1)
        raise ScenarioError(f"experiment.seeds must be distinct, got {twice} more than once")
    return tuple(listed)


def _rungs(heading: Mapping[str, Any]) -> tuple[Rung, ...]:
    named = heading.get("regimes")
    if named is None:
        return ladder
    if not isinstance(named, list) or not named:
        raise ScenarioError(
            f"experiment.regimes must be a list of at least one regime, got {named!r}"
        )
    if len({str(name) for name in named}) < len(named):
        raise ScenarioError(f"experiment.regimes must be distinct, got {named!r}")
    return tuple(named_rung(name) for name in named)


def _named_scenario(heading: Mapping[str, Any], folder: Path) -> Scenario:
    named = heading.get("scenario")
    if not isinstance(named, str):
        raise ScenarioError(
            f"experiment.scenario must name a scenario of the library or a file, got {named!r}"
        )
    return load(folder / named if Path(named).suffix == ".toml" else named)


def _with_constants(
    scenario: Scenario, constants: Mapping[str, object], design: Design
) -> Scenario:
    for key in constants:
        if any(parameter(key).key in row for row in (*design.sample, *design.policies)):
            raise ScenarioError(f"{key} is a constant and varies, too; it can be one of them")
    return scenario.replace(constants)


def _design(
    told: Mapping[str, Any],
    uncertainties: Mapping[str, object],
    *,
    levers: Mapping[str, object],
    folder: Path,
) -> Design:
    method = told.get("method", "grid")
    options = {key: value for key, value in told.items() if key != "method"}
    checked_options(method, options)
    if method not in GIVEN_ROWS:
        return make_design(method, uncertainties, levers=levers, **options)
    if uncertainties:
        raise ScenarioError(
            f"design.method = {method!r} takes its points from rows, so that [uncertainties] must "
            f"be left out, got {next(iter(uncertainties))}"
        )
    if method == "frame":
        return design_of_rows(_read_rows(options.get("file"), folder), levers=levers)
    rows = options.get("points")
    if not isinstance(rows, list):
        raise ScenarioError(f"design.points must be a list of tables, got {rows!r}")
    flat = [_flat(row) if isinstance(row, Mapping) else row for row in rows]
    return design_of_rows(flat, levers=levers)


def _read_rows(file: object, folder: Path) -> pd.DataFrame:
    if not isinstance(file, str):
        raise ScenarioError(f"design.file must name a CSV or Parquet file, got {file!r}")
    path = folder / file
    if path.suffix not in {".csv", ".parquet"}:
        raise ScenarioError(f"design.file must end in .csv or .parquet, got {file!r}")
    try:
        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ScenarioError(f"design.file {file!r} cannot be read: {error}") from error


def _split_levers(
    levers: Mapping[str, Any],
) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Part regime parts from parameters, which both can be chosen."""
    flat = _flat(levers)
    prefix = f"{_REGIME}."
    parts = {k.removeprefix(prefix): v for k, v in flat.items() if k.startswith(prefix)}
    return parts, {key: entry for key, entry in flat.items() if not key.startswith(prefix)}


def _flat(table: Mapping[str, Any]) -> dict[str, object]:
    """Join sections and names to dotted keys, however they were written in TOML."""
    flat: dict[str, object] = {}
    for key, entry in table.items():
        if "." in key or not isinstance(entry, Mapping):
            flat[key] = entry
        else:
            flat |= {f"{key}.{name}": one for name, one in entry.items()}
    return flat

"""Outcomes: the one place for which numbers an experiment is about, one per point and seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import pandas as pd
import pyarrow as pa

from hanse.market.regime import Rung
from hanse.scenarios.drawing.families import FAMILIES
from hanse.scenarios.measuring.measures import SHARED
from hanse.scenarios.paired import ALL
from hanse.scenarios.parameters import ScenarioError, near_miss

MEASURES: Final[Mapping[str, str]] = {
    "sync_cost_gpu_s": "gpu_s",
    "sync_cost_per_job_gpu_s": "gpu_s/job",
    "displacement_gpu_s": "gpu_s",
    "payload_gpu_s": "gpu_s",
    "payload_open_gpu_s": "gpu_s",
    "coordination_efficiency": "share",
    "welfare_usd": "USD",
    "reference_welfare_usd": "USD",
    "coordination_loss_usd": "USD",
    "value_usd": "USD",
    "value_open_usd": "USD",
    "resource_cost_usd": "USD",
    "capital_usd": "USD",
    "control_core_s": "core_s",
    "joules": "J",
    "energy_j": "J",
    "payload_energy_j": "J",
    "coordination_energy_j": "J",
    "energy_usd": "USD",
    "carbon_kg": "kg",
    "jobs": "jobs",
    "jobs_done": "jobs",
    "jobs_expired": "jobs",
    "jobs_open": "jobs",
    "waiting_s": "s/job",
    "latency_s": "s/job",
    "latency_p95_s": "s/job",
    "coordination_share": "share",
    "coordination_share_with_tools": "share",
    "price_usd_per_gpu_hour": "USD/gpu_h",
    "wrong_accepted_share": "share",
    "bounces": "bounces",
    "redos": "redos",
    "capability_uses": "uses",
    "invalid_uses": "uses",
    "person_hours": "h",
    "failed_tries": "tries",
    "failed_by_overload": "tries",
    "failure_cascades": "tries",
    "work_amplification": "ratio",
    "jobs_in_part": "jobs",
    "debt_mean_gpu_s": "gpu_s",
    "debt_mean_core_s": "core_s",
    "debt_mean_usd": "USD",
    "essential_cost_gpu_s": "gpu_s",
    "excess_cost_gpu_s": "gpu_s",
}
"""Measures of a family by name, with their unit; a test holds them to what a run tabulates."""

SHARED_MEASURES: Final[Mapping[str, str]] = {
    "displacement_se_gpu_s": "gpu_s",
    "welfare_usd": "USD",
    "reference_welfare_usd": "USD",
    "coordination_loss_usd": "USD",
    "resource_cost_usd": "USD",
    "control_core_s": "core_s",
    "joules": "J",
    "energy_j": "J",
    "payload_energy_j": "J",
    "coordination_energy_j": "J",
    "energy_usd": "USD",
    "carbon_kg": "kg",
    "payload_energy_fraction": "share",
    "coordination_energy_share": "share",
    "coordination_power_share": "share",
    "decisions": "decisions",
    "messages": "messages",
    "edges": "edges",
    "clearings_certified": "clearings",
    "audits": "audits",
    "failure_fingerprints": "fingerprints",
    "failure_entropy_bits": "bits",
    "recovery_person_hours": "person_h",
    "events": "events",
}
_ENTRIES: Final = ("measure", "family", "regime", "versus")
_SCHEMA: Final = pa.schema(
    [
        ("point", pa.int64()),
        ("regime", pa.string()),
        ("versus", pa.string()),
        ("seed", pa.int64()),
        ("outcome", pa.string()),
        ("unit", pa.string()),
        ("value", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeOfInterest:
    """One number per point and seed: a measure, or how two regimes differ in it on one world.

    Attributes
    ----------
    family : a family, "(shared)", or "(all)" for the sum over all of them.
    regime : the regime it is read on; "" for each regime by itself.
    versus : the regime whose value is taken off, on the same world; "" for none.
    """

    name: str
    measure: str
    family: str = ALL
    regime: str = ""
    versus: str = ""

    def __post_init__(self) -> None:
        known = (*FAMILIES, SHARED, ALL)
        if self.family not in known:
            raise ScenarioError(
                f"outcomes.{self.name}.family must be one of {', '.join(known)}, "
                f"got {self.family!r}{near_miss(self.family, known)}"
            )
        measures = SHARED_MEASURES if self.family == SHARED else MEASURES
        if self.measure not in measures:
            near = near_miss(self.measure, measures)
            raise ScenarioError(
                f"outcomes.{self.name}: {self.measure!r} is no measure of {self.family}{near}"
            )
        if self.family == ALL and not _is_additive(self.unit):
            raise ScenarioError(
                f"outcomes.{self.name}: {self.measure} ({self.unit}) does not add up over "
                f"families; name one of {', '.join(FAMILIES)}"
            )
        if self.versus and not self.regime:
            raise ScenarioError(
                f"outcomes.{self.name}.versus = {self.versus!r} needs a regime to set against it"
            )

    @property
    def unit(self) -> str:
        """Return the unit of the measure."""
        return (SHARED_MEASURES if self.family == SHARED else MEASURES)[self.measure]


def outcome_of_interest(name: str, entry: object) -> OutcomeOfInterest:
    """Read what an experiment says of one outcome.

    Parameters
    ----------
    entry : `{measure = …, family = …, regime = …, versus = …}`, each of which may be left out: the
        measure is then the name, the family all of them, and the regime each by itself.
    """
    if not isinstance(entry, Mapping):
        raise ScenarioError(
            f"outcomes.{name} must be a table such as {{ family = {FAMILIES[0]!r} }}, got {entry!r}"
        )
    for key, value in entry.items():
        if key not in _ENTRIES:
            raise ScenarioError(f"outcomes.{name} knows no {key!r}{near_miss(key, _ENTRIES)}")
        if not isinstance(value, str):
            raise ScenarioError(f"outcomes.{name}.{key} must be a word, got {value!r}")
    return OutcomeOfInterest(name=name, **{"measure": name, **entry})


def check_regimes(outcomes: Sequence[OutcomeOfInterest], rungs: Sequence[Rung]) -> None:
    """Raise `ScenarioError` for a regime that does not run, or a difference that hides its steps.

    Two regimes may be set against each other if they differ in one part, or if every rung between
    them runs, too (docs/why/the-ladder-not-the-duel.md).
    """
    names = [rung.name for rung in rungs]
    for one in outcomes:
        for entry, name in (("regime", one.regime), ("versus", one.versus)):
            if name and name not in names:
                raise ScenarioError(
                    f"outcomes.{one.name}.{entry} must be a regime of the experiment "
                    f"({', '.join(names)}), got {name!r}{near_miss(name, names)}"
                )
        if not one.versus:
            continue
        first, last = sorted((names.index(one.versus), names.index(one.regime)))
        between = rungs[first : last + 1]
        if _n_changes(between[0], between[-1]) > 1 and not _steps_singly(between):
            raise ScenarioError(
                f"outcomes.{one.name}: {one.regime} versus {one.versus} is more than one change; "
                "name the rungs between them in experiment.regimes, in their order"
            )


def outcome_table(outcomes: Sequence[OutcomeOfInterest], measures: pd.DataFrame) -> pa.Table:
    """Tabulate outcomes by point and seed from the table of measures of all runs.

    Returns
    -------
    pa.Table
        Columns point, regime, versus, seed, outcome, unit, value, in the order of the outcomes,
        then of points, regimes and seeds in `measures`. Runs that failed have no row, and neither
        have differences to them.
    """
    frames = [_rows(one, measures) for one in outcomes]
    if not frames:
        return _SCHEMA.empty_table()
    whole = pd.concat(frames, ignore_index=True)
    return pa.Table.from_pandas(whole[_SCHEMA.names], schema=_SCHEMA, preserve_index=False)


def _rows(one: OutcomeOfInterest, measures: pd.DataFrame) -> pd.DataFrame:
    keys = ["point", "regime", "seed"]
    chosen = measures[measures["measure"] == one.measure]
    if one.family != ALL:
        chosen = chosen[chosen["family"] == one.family]
    value = chosen.groupby(keys, sort=False, observed=True)["value"].sum(min_count=1)
    frame = value.reset_index()
    if one.regime:
        there = frame[frame["regime"] == one.regime]
        if one.versus:
            other = frame[frame["regime"] == one.versus].drop(columns="regime")
            there = there.merge(other, on=["point", "seed"], suffixes=("", "_versus"))
            there["value"] -= there.pop("value_versus")
        frame = there
    return frame.assign(versus=one.versus, outcome=one.name, unit=one.unit)


def _n_changes(one: Rung, other: Rung) -> int:
    theirs = other.regime.parts()
    return sum(choice != theirs[part] for part, choice in one.regime.parts().items())


def _steps_singly(rungs: Sequence[Rung]) -> bool:
    return all(_n_changes(*pair) == 1 for pair in pairwise(rungs))


def _is_additive(unit: str) -> bool:
    return unit != "share" and "/" not in unit

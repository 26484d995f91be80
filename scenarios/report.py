"""Report: the one place for the page that a person looks at, made from a result alone."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from typing import Final, cast

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from hanse.market.units import Floats
from hanse.scenarios import charts
from hanse.scenarios.analysis.intervals import Interval, interval
from hanse.scenarios.figures import MEASURE_TITLE, Drawing, drawings, families, rung_titles
from hanse.scenarios.measuring.measures import SHARED
from hanse.scenarios.numerals import change, level, short, unit_words
from hanse.scenarios.paired import (
    ALL,
    LADDER_MEASURES,
    WHOLE_LADDER,
    estimates,
)
from hanse.scenarios.results import Results, ResultsError
from hanse.scenarios.running.batches import run_in_order
from hanse.scenarios.running.executors import can_fork

PAGE: Final = "report.html"
NO_EVIDENCE: Final = "E"
_N_LARGEST_PARTS: Final = 3
_PART: Final = ["operation", "cause", "mean", "ci_low", "ci_high"]
_REFERENCE: Final = "reference_welfare_usd"
_LOSS: Final = "coordination_loss_usd"
_DISPLACED: Final = ("displacement_gpu_s", "displacement_se_gpu_s")
Estimates = Mapping[tuple[str, str], Interval]
_RECEIPTS: Final = {
    "n_signed": "really signed",
    "n_checked": "really checked",
    "n_rejected": "rejected by a check",
    "n_modelled": "charged, not made",
    "n_audited": "audited",
    "n_disputed": "disputed",
}


_REAL_TASKS: Final = {
    "fidelity": "really executed",
    "is_wrong": "cheated",
    "is_checked": "executed again",
    "is_caught": "caught",
    "is_caught_in_ledger": "caught by the model",
    "rounds": "questions asked",
    "bytes": "bytes sent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One number of a table, and whether its interval excludes zero."""

    text: str
    interval: str = ""
    is_clear: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Print:
    """A picture as text."""

    name: str
    title: str
    caption: str
    svg: str

    @property
    def source(self) -> str:
        """Return the picture as an address that holds it."""
        encoded = b64encode(self.svg.encode("utf-8")).decode("ascii")
        return f"data:image/svg+xml;base64,{encoded}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table: what it is about, a word on it, and its numbers."""

    title: str
    note: str = ""
    entries: Sequence[Entry] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The ladder of one workload family: levels on the first rung, then change by change."""

    name: str
    headings: Sequence[str]
    rows: Sequence[Row]
    findings: Sequence[str]
    part_rows: Sequence[Row]
    measure_rows: Sequence[Row]


def render(results: Results, *, workers: int | None = None) -> dict[str, str]:
    """Make the page and its figures as texts by file name; nothing of them points outside.

    Raises
    ------
    ResultsError
        If the results are not those of a comparison.
    """
    if results.manifest.get("command") != "compare":
        raise ResultsError(
            f"a report needs the result of compare, got that of {results.manifest['command']!r}"
        )
    prints = _prints(results, workers)
    environment = Environment(
        loader=PackageLoader("hanse.scenarios"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.jinja").render(
        _content(results) | {"prints": prints}
    )
    return {PAGE: page} | {f"figures/{one.name}.svg": one.svg for one in prints}


def write_report(results: Results, path: Path) -> Path:
    """Write the page alone to a file of any name, and return where it is."""
    path.write_text(render(results)[PAGE], encoding="utf-8")
    return path


def _prints(results: Results, workers: int | None) -> list[Print]:
    """Draw in several processes; not in threads, which would share the drawing library's style."""
    work = partial(_print, results, drawings(results))
    numbers = range(len(drawings(results)))
    drawn = run_in_order(work, numbers, workers=workers if can_fork() else 1)
    return [one for one in drawn if one is not None]


def _print(results: Results, drawn: Sequence[Drawing], number: int) -> Print | None:
    with charts.style():
        picture = drawn[number](results)
        if picture is None:
            return None
        svg = charts.svg_of(picture.figure)
    return Print(name=picture.name, title=picture.title, caption=picture.caption, svg=svg)


def _content(results: Results) -> dict[str, object]:
    manifest = results.manifest
    scenario = cast(Mapping[str, object], manifest["scenario"])
    failures = results.frame("failures")
    return {
        "scenario": scenario,
        "interval": manifest["interval"],
        "n_seeds": len(cast(Sequence[int], manifest["seeds"])),
        "rungs": list(rung_titles(results).values()),
        "families": [_family(results, name) for name in families(results)],
        "shared_rows": _measure_rows(results, SHARED),
        "receipts": _receipts(results),
        "receipt_headings": list(_RECEIPTS.values()),
        "real_tasks": _real_tasks(results),
        "real_task_headings": list(_REAL_TASKS.values()),
        "premiums": _premiums(results),
        "estimator": _estimator(results),
        "reference_rows": _against_reference(results),
        "assumptions": _assumptions(results),
        "n_parameters": len(cast(Sequence[object], manifest["parameters"])),
        "failures": failures.to_dict("records"),
        "manifest": manifest,
        "manifest_text": _without_schemes(json.dumps(manifest, indent=2, default=str)),
    }


def _family(results: Results, name: str) -> Family:
    at = estimates(results.frame("levels"), name)
    by = estimates(results.frame("differences"), name)
    unit = _units(results.frame("levels"))
    first = next(iter(rung_titles(results)))
    measures = [measure for measure in LADDER_MEASURES if (first, measure) in at]
    return Family(
        name=name,
        headings=[f"{MEASURE_TITLE[measure]}, {unit[measure]}" for measure in measures],
        rows=_ladder_rows(results, at=at, by=by, measures=measures),
        findings=[
            _finding(results, by=by, measure=measure, unit=unit[measure]) for measure in measures
        ],
        part_rows=_part_rows(results, name),
        measure_rows=_measure_rows(results, name),
    )


def _ladder_rows(
    results: Results, *, at: Estimates, by: Estimates, measures: Sequence[str]
) -> list[Row]:
    rungs = results.frame("rungs")[["rung", "title", "change"]].to_numpy().tolist()
    first, title, note = rungs[0]
    start = [at[first, measure] for measure in measures]
    levels = [Entry(text=level(one.value, one.low, one.high)) for one in start]
    rows = [Row(title=title, note=f"starts as: {note}", entries=levels)]
    if any(rung == WHOLE_LADDER for rung, _ in by):
        rungs.append([WHOLE_LADDER, "All steps together", "the sum of the above"])
    for rung, title, note in rungs[1:]:
        entries = [_entry(by[rung, measure]) for measure in measures]
        rows.append(Row(title=title, note=note, entries=entries))
    return rows


def _finding(results: Results, *, by: Estimates, measure: str, unit: str) -> str:
    steps = {title: by[rung, measure] for rung, title in list(rung_titles(results).items())[1:]}
    clear = {title: one for title, one in steps.items() if one.is_clear}
    name = MEASURE_TITLE[measure]
    if not clear:
        return f"{name}: no step has an interval that excludes zero."
    title, most = max(clear.items(), key=lambda item: abs(item[1].value))
    return (
        f"{name}: {len(clear)} of {len(steps)} steps have an interval that excludes zero; the "
        f"largest is “{title}”, {change(most.value, most.low, most.high)} {unit}."
    )


def _part_rows(results: Results, family: str) -> list[Row]:
    """Name, for each step, the operations and causes that it moves most."""
    parts = results.frame("differences")
    parts = parts[(parts["family"] == family) & (parts["operation"] != ALL) & (parts["mean"] != 0)]
    parts = parts.dropna(subset="mean")
    rows = []
    for rung, title in list(rung_titles(results).items())[1:]:
        here = parts[parts["rung"] == rung]
        order = here["mean"].abs().sort_values(ascending=False, kind="stable").index
        largest = here.loc[order[:_N_LARGEST_PARTS], _PART].to_numpy().tolist()
        for operation, cause, mean, low, high in largest:
            entry = _entry(Interval(value=mean, low=low, high=high))
            rows.append(Row(title=title, note=f"{operation} · {cause}", entries=[entry]))
    return rows


def _measure_rows(results: Results, family: str) -> list[Row]:
    """Tabulate the mean of every measure on every rung."""
    if "measures" not in results.tables:
        return []
    frame = results.frame("measures")
    frame = frame[frame["family"] == family]
    unit = _units(frame)
    means = frame.groupby(["measure", "regime"])["value"].mean()
    titles = rung_titles(results)
    return [
        Row(
            title=measure,
            note=unit[measure],
            entries=[Entry(text=short(means.get((measure, rung), nan))) for rung in titles],
        )
        for measure in unit
    ]


def _units(frame: pd.DataFrame) -> dict[str, str]:
    return dict(zip(frame["measure"], frame["unit"].map(unit_words), strict=True))


def _receipts(results: Results) -> list[Row]:
    if "receipts" not in results.tables:
        return []
    counts = results.frame("receipts").groupby("regime")[list(_RECEIPTS)].sum()
    return [
        Row(title=title, entries=[Entry(text=f"{n:,}") for n in counts.loc[rung]])
        for rung, title in rung_titles(results).items()
        if rung in counts.index
    ]


def _real_tasks(results: Results) -> list[Row]:
    """Count the tasks that were really executed, and what was found, over all worlds."""
    if "real_tasks" not in results.tables:
        return []
    frame = results.frame("real_tasks")
    of_rung = frame.assign(fidelity=1).groupby("regime")[list(_REAL_TASKS)].sum()
    return [
        Row(title=title, entries=[Entry(text=f"{n:,.0f}") for n in of_rung.loc[rung]])
        for rung, title in rung_titles(results).items()
        if rung in of_rung.index
    ]


def _premiums(results: Results) -> list[Row]:
    """Set the terms of verification's price next door beside those of the other region pairs."""
    if "premiums" not in results.tables:
        return []
    frame = results.frame("premiums")
    near = frame["solver_region"] == frame["verifier_region"]
    rows = []
    for term in frame["term"].unique():
        usd = frame.loc[frame["term"] == term, "usd_per_gpu_hour"]
        parts = (usd[near].mean(), usd[~near].median(), usd.max())
        rows.append(Row(title=term, entries=[Entry(text=f"{part:.3g}") for part in parts]))
    wait = frame["finality_audited_s"]
    parts = (wait[near].mean(), wait[~near].median(), wait.max())
    entries = [Entry(text=f"{part:,.2f}") for part in parts]
    return [*rows, Row(title="seconds until an audited hour is final", entries=entries)]


def _against_reference(results: Results) -> list[Row]:
    """Set the reference's welfare, and what each rung loses against it, side by side by family."""
    if "measures" not in results.tables:
        return []
    frame = results.frame("measures")
    by_family = [frame[frame["family"] == family] for family in families(results)]

    def entries(measure: str, rung: str) -> list[Entry]:
        chosen = [
            part.loc[(part["measure"] == measure) & (part["regime"] == rung), "value"]
            for part in by_family
        ]
        return [_level_entry(values.to_numpy(dtype=float)) for values in chosen if len(values)]

    titles = rung_titles(results)
    first = next(iter(titles))
    rows = [Row(title="Reference", note="its welfare", entries=entries(_REFERENCE, first))]
    rows += [
        Row(title=title, note="loss", entries=entries(_LOSS, rung))
        for rung, title in titles.items()
    ]
    return rows if rows[0].entries else []


def _level_entry(value: Floats) -> Entry:
    if not len(value):
        return Entry(text="none")
    over = interval(value)
    return Entry(text=level(float(over.mean), float(over.low), float(over.high)))


def _estimator(results: Results) -> list[Row]:
    """Set displaced time beside the standard error of its estimate, per run, on every rung."""
    if "measures" not in results.tables:
        return []
    frame = results.frame("measures")
    by_run = frame.groupby(["measure", "regime", "seed"])["value"].sum()
    means = by_run.groupby(["measure", "regime"]).mean()
    return [
        Row(
            title=title,
            entries=[Entry(text=short(means.get((name, rung), nan))) for name in _DISPLACED],
        )
        for rung, title in rung_titles(results).items()
    ]


def _assumptions(results: Results) -> list[dict[str, object]]:
    scenario = cast(Mapping[str, Mapping[str, object]], results.manifest["scenario"])
    described = cast(Sequence[Mapping[str, object]], results.manifest["parameters"])
    return [
        {
            **parameter,
            "value": _value_text(scenario["values"][str(parameter["key"])]),
            "accepted": _bounds_text(parameter),
            "source": _without_schemes(str(parameter["source"])),
        }
        for parameter in described
        if parameter["grade"] == NO_EVIDENCE
    ]


def _entry(one: Interval) -> Entry:
    text, _, interval = change(one.value, one.low, one.high).partition(" ")
    return Entry(text=text, interval=interval, is_clear=one.is_clear)


def _value_text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bounds_text(parameter: Mapping[str, object]) -> str:
    choices = cast(Sequence[str], parameter["choices"])
    if choices:
        return ", ".join(choices)
    low, high = (cast(float | None, parameter[end]) for end in ("low", "high"))
    if low is None and high is None:
        return "any"
    if high is None:
        return f"at least {low:,.12g}"
    return f"at most {high:,.12g}" if low is None else f"{low:,.12g} to {high:,.12g}"


def _without_schemes(text: str) -> str:
    """Take the scheme off addresses, so that the page holds none that a browser could follow."""
    return re.sub(r"\bhttps?://", "", text)

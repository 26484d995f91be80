"""The one place that sets the statistics of drawn jobs beside those of public traces.

A statistic that a parameter was set from says only that drawing works: it is marked `input`, and
validates nothing. One that no parameter was set from is marked `output`: where it is met, the law
that was assumed holds beyond what it was fitted to; where not, the table says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from hanse.market.units import US_PER_S, Floats, Integers
from hanse.scenarios.drawing.agentic import draw_calls_per_job
from hanse.scenarios.drawing.arrivals import daily_instants, renewal_instants
from hanse.scenarios.drawing.calls import Tokens, draw_calls, draw_tool_us
from hanse.scenarios.drawing.families import draw_batch, draw_durations, draw_kind
from hanse.scenarios.drawing.workload import buyer_shares, pick
from hanse.scenarios.numerals import short
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.streams import stream
from hanse.scenarios.tables import Statistic, read_statistics

COLUMNS: Final = ("statistic", "role", "published_low", "published_high", "drawn", "error")

_AT_TRACE_RATES: Final = {
    "measurement.horizon_s": 3600,
    "load.model_calls": 29_160,  # 8.10 a second, as in the two traces together
    "load.batch_jobs": 15_264,
}
_N_DRAWS: Final = 20_000
_MINUTE_US: Final = 60 * US_PER_S
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one seed draws for the statistics, before it becomes jobs."""

    conversation: Tokens
    code: Tokens
    long: Tokens
    conversation_us: Integers
    code_us: Integers
    batch_us: Integers
    units: Integers
    duration_s: Floats
    tool_s: Floats
    calls: Integers
    jobs_of_buyer: Integers
    per_hour: Integers


def workload_statistics(scenario: Scenario, seeds: Iterable[int] = range(8)) -> pd.DataFrame:
    """Tabulate each statistic as published, and as drawn: its mean over seeds, and its error.

    Jobs are drawn at the rates of the traces, so that what depends on the rate can be compared.

    Returns
    -------
    pd.DataFrame
        Columns statistic, role, published_low, published_high, drawn, error (standard error of the
        mean over seeds).
    """
    drawn = [measured(draw_sample(scenario, seed)) for seed in seeds]
    rows = []
    for one in read_statistics():
        values = np.array([numbers[one.statistic] for numbers in drawn])
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        rows.append((one.statistic, one.role, one.low, one.high, values.mean(), error))
    return pd.DataFrame(rows, columns=COLUMNS)


def statistics_table(scenario: Scenario) -> str:
    """Return the table as Markdown, with the source of each published number."""
    frame = workload_statistics(scenario)
    head = ("| statistic | role | published | drawn | source |", "|---|---|---|---|---|")
    rows = [
        f"| {one.statistic} | {one.role} | {_published(one)} "
        f"| {short(drawn)} ± {_one_digit(error)} | {one.source} |"
        for one, drawn, error in zip(read_statistics(), frame["drawn"], frame["error"], strict=True)
    ]
    return "\n".join([*head, *rows]) + "\n"


def draw_sample(scenario: Scenario, seed: int) -> Sample:
    """Draw what the statistics are of."""
    scenario = scenario.replace(_AT_TRACE_RATES)
    kinds = {kind: draw_kind(scenario, seed, kind) for kind in ("conversation", "code")}
    batch = draw_batch(scenario, seed)
    tool_us = draw_tool_us(scenario, stream(seed, "validation.tool"), _N_DRAWS)
    buyer = pick(stream(seed, "validation.buyer").random(_N_DRAWS), buyer_shares(scenario))
    return Sample(
        conversation=kinds["conversation"][1],
        code=kinds["code"][1],
        long=draw_calls(scenario, seed, "long", name="validation", shape=(_N_DRAWS,)),
        conversation_us=kinds["conversation"][0],
        code_us=kinds["code"][0],
        batch_us=batch.arrival_us,
        units=batch.n_stages,
        duration_s=draw_durations(scenario, stream(seed, "validation.duration"), _N_DRAWS),
        tool_s=tool_us / US_PER_S,
        calls=draw_calls_per_job(scenario, stream(seed, "validation.calls"), _N_DRAWS),
        jobs_of_buyer=np.bincount(buyer),
        per_hour=_draw_per_hour(scenario, seed),
    )


def _draw_per_hour(scenario: Scenario, seed: int) -> Integers:
    """Draw arrivals of a day with the daily profile on, and count them by hour."""
    rng = stream(seed, "validation.day")
    moved = daily_instants(
        renewal_instants(rng, expected=100_000, cv=1.0, horizon_s=_DAY_S),
        horizon_s=_DAY_S,
        kappa=scenario.number("load.daily_kappa"),
        peak_hour=scenario.number("load.daily_peak_hour"),
    )
    return np.histogram(moved, bins=24, range=(0.0, _DAY_S))[0]


def measured(sample: Sample) -> dict[str, float]:
    """Return every statistic of a sample by its name."""
    numbers = gap_statistics("conversation", sample.conversation_us)
    numbers |= gap_statistics("code", sample.code_us)
    numbers |= token_statistics("conversation", sample.conversation)
    numbers |= token_statistics("code", sample.code) | token_statistics("long calls", sample.long)
    return numbers | call_statistics(sample) | _of_batch(sample) | _of_demand(sample)


def gap_statistics(kind: str, instants: Integers) -> dict[str, float]:
    """Measure how unevenly calls of a kind come."""
    counts = np.bincount(instants // _MINUTE_US)
    return {
        f"{kind}: variation of gaps": _cv(instants),
        f"{kind}: variance over mean of calls per minute": counts.var() / counts.mean(),
    }


def token_statistics(kind: str, tokens: Tokens) -> dict[str, float]:
    """Measure prompts and answers of a kind."""
    numbers: dict[str, float] = {}
    for part, column in (("prompt", tokens.context), ("answer", tokens.generated)):
        numbers |= {
            f"{kind}: median {part}, tokens": float(np.median(column)),
            f"{kind}: 90th percentile of {part}s, tokens": float(np.quantile(column, 0.9)),
            f"{kind}: mean {part}, tokens": float(column.mean()),
            f"{kind}: largest 1 % of {part}s, share of tokens": _top_percent_share(column),
        }
    return numbers


def call_statistics(sample: Sample) -> dict[str, float]:
    """Measure how many calls a job makes, and how long tools take."""
    calls, wait_s = sample.calls, sample.tool_s
    return {
        "calls per job: one, share": float((calls == 1).mean()),
        "calls per job: two, share": float((calls == 2).mean()),
        "calls per job: three or more, share": float((calls >= 3).mean()),
        "tools: median wait, s": float(np.median(wait_s)),
        "tools: 95th percentile of waits, s": float(np.quantile(wait_s, 0.95)),
    }


def duration_statistics(duration_s: Floats) -> dict[str, float]:
    """Measure the durations of batch jobs, before any cap."""
    return {
        "batch: deviation of log duration": float(np.log(duration_s).std()),
        "batch: median duration, s": float(np.median(duration_s)),
        "batch: mean duration, s": float(duration_s.mean()),
        "batch: longest 1 %, share of time": _top_percent_share(duration_s),
    }


def _of_batch(sample: Sample) -> dict[str, float]:
    return {
        "batch: variation of gaps": _cv(sample.batch_us),
        "batch: jobs of one unit, share": float((sample.units == 1).mean()),
    } | duration_statistics(sample.duration_s)


def _of_demand(sample: Sample) -> dict[str, float]:
    share = np.sort(sample.jobs_of_buyer / sample.jobs_of_buyer.sum())[::-1]
    per_hour = sample.per_hour / sample.per_hour.mean()
    return {
        "buyers: Herfindahl index of jobs": float((share**2).sum()),
        "buyers: share of the largest": float(share[0]),
        "buyers: share of the ten largest": float(share[:10].sum()),
        "day: busiest hour over mean": float(per_hour.max()),
        "day: quietest hour over mean": float(per_hour.min()),
    }


def _one_digit(number: float) -> str:
    return f"{float(f'{number:.0e}'):,g}"


def _published(one: Statistic) -> str:
    return f"{one.low:,.6g}" if one.low == one.high else f"{one.low:,.6g} to {one.high:,.6g}"


def _cv(instants: Integers) -> float:
    gaps = np.diff(instants)
    return float(gaps.std() / gaps.mean())


def _top_percent_share(sizes: Integers | Floats) -> float:
    """Return the share of the total that the largest hundredth has."""
    ordered = np.sort(sizes, axis=None)[::-1]
    return float(ordered[: max(1, round(len(ordered) / 100))].sum() / ordered.sum())

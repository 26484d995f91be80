"""Figures: the one place where tables become pictures, each with what to see and how sure it is."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hanse.market.accounts.obligations import RECORDED_OBLIGATION
from hanse.market.engine.debt_meter import OBLIGATION
from hanse.market.engine.states import CAUSES, OPERATIONS, STATES
from hanse.market.units import US_PER_S, Floats
from hanse.scenarios import charts
from hanse.scenarios.energy_figures import draw_energy
from hanse.scenarios.latency_figures import latency_picture
from hanse.scenarios.numerals import unit_words
from hanse.scenarios.paired import ALL, LADDER_MEASURES, WHOLE_LADDER
from hanse.scenarios.pictures import Picture
from hanse.scenarios.results import Results
from hanse.scenarios.studies.price_maps import draw_price_maps

MEASURE_TITLE: Final[Mapping[str, str]] = {
    "sync_cost_gpu_s": "Synchronization cost",
    "debt_mean_gpu_s": "Debt, accelerators",
    "debt_mean_core_s": "Debt, control cores",
    "coordination_efficiency": "Coordination efficiency",
    "waiting_s": "Waiting",
    "price_usd_per_gpu_hour": "Price",
    "welfare_usd": "Welfare",
    "value_open_usd": "Value still open",
}
_ENDED: Final = ("done", "expired")
_N_LARGEST: Final = 16
_N_INSTANTS: Final = 150
_DEBT_UNITS: Final = {
    "core": "control core-seconds",
    "accelerator": "GPU-seconds",
    "commit": "seconds of commits",
    "approval": "seconds of approvals",
    "usd": "USD",
}
_DEBT_WORTH: Final = {"mean_stock_usd": ""}
_DEBT_QUANTITIES: Final = {
    "accrual": "accrued",
    "interest": "interest",
    "default": "defaulted",
    "mean_stock": "mean stock",
}


Drawing = Callable[[Results], Picture | None]


def drawings(results: Results) -> list[Drawing]:
    """List what can be drawn; a drawing gives nothing where the tables hold nothing."""
    if not results.tables["runs"].num_rows:
        return []
    steps_of_each = [_steps_of(family) for family in families(results)]
    return [
        _ladder,
        *steps_of_each,
        _operations_and_causes,
        _latency,
        _stage_states,
        _debts,
        _debt_paths,
        _price_map,
        _energy,
    ]


def draw_pictures(results: Results) -> list[Picture]:
    """Draw every figure for which the tables hold something."""
    with charts.style():
        pictures = [draw(results) for draw in drawings(results)]
    return [picture for picture in pictures if picture is not None]


def families(results: Results) -> list[str]:
    """List the families with a synchronization cost, what belongs to none last."""
    levels = results.frame("levels")
    found = levels.loc[levels["measure"] == "sync_cost_gpu_s", "family"].unique().tolist()
    return sorted(found, key=lambda name: (name.startswith("("), name))


def rung_titles(results: Results) -> dict[str, str]:
    """Return the title of each rung that was walked, in order."""
    rungs = results.frame("rungs")
    return dict(zip(rungs["rung"], rungs["title"], strict=True))


def steps(results: Results, family: str, measure: str) -> pd.DataFrame:
    """Return the paired differences of one measure, one row per rung but the first."""
    frame = results.frame("differences")
    chosen = (frame["family"] == family) & (frame["measure"] == measure)
    frame = frame[chosen & (frame["operation"] == ALL) & (frame["rung"] != WHOLE_LADDER)]
    return frame.set_index("rung").reindex(list(rung_titles(results))[1:])


def _ladder(results: Results) -> Picture:
    levels = results.frame("levels")
    levels = levels[(levels["measure"] == "sync_cost_gpu_s") & (levels["operation"] != ALL)]
    shown = [family for family in families(results) if (levels["family"] == family).any()]
    titles = rung_titles(results)
    figure, axes = charts.panels(len(shown), row_inch=0.3 * len(titles) + 0.75)
    for axis, family in zip(axes, shown, strict=True):
        here = levels[levels["family"] == family]
        table = here.pivot_table(index="rung", columns="operation", values="mean", aggfunc="sum")
        known = [name for name in OPERATIONS if name in table.columns]
        ends = charts.stack(axis, table.reindex(index=list(titles), columns=known).fillna(0.0))
        difference = steps(results, family, "sync_cost_gpu_s")
        half = ((difference["ci_high"] - difference["ci_low"]) / 2).to_numpy()
        y = range(1, len(titles))
        axis.errorbar(ends[1:], y, xerr=half, fmt="none", ecolor="black", capsize=3)
        charts.rung_axis(axis, titles)
        axis.set(title=family, xlabel="synchronization cost, GPU-seconds per run", xlim=(0, None))
        axis.grid(axis="x")
    figure.legend(*charts.legend(axes), loc="outside lower center", ncols=4)
    return Picture(
        figure=figure,
        name="ladder",
        title="Which step changes what coordination costs, and through which operation",
        caption="Bar: synchronization cost, that is accelerator time spent on coordination and "
        f"accelerator time displaced by it; mean of {_n(results)} worlds, stacked by operation. "
        "Whisker: 95 % interval of the paired difference from the bar above. "
        "Each family has its own scale.",
    )


def _latency(results: Results) -> Picture | None:
    return latency_picture(results, rung_titles(results))


def _steps_of(family: str) -> Drawing:
    def draw(results: Results) -> Picture | None:
        frame = results.frame("differences")
        frame = frame[(frame["family"] == family) & (frame["operation"] == ALL)]
        measures = [name for name in LADDER_MEASURES if name in set(frame["measure"])]
        if not measures:
            return None
        unit = dict(zip(frame["measure"], frame["unit"].map(unit_words), strict=True))
        return Picture(
            figure=_dots_figure(results, family, {name: unit[name] for name in measures}),
            name=f"steps-{family.strip('()').replace('_', '-')}",
            title=f"What each step changes, {family}: paired differences from the step before",
            caption=f"Dot: mean paired difference over {_n(results)} worlds. Line: its 95 % "
            "interval (Student t). Right of zero is more than on the step before. Filled and "
            "blue: the interval excludes zero. Each interval stands by itself, so about one in "
            "twenty excludes zero even where nothing changes.",
        )

    return draw


def _dots_figure(results: Results, family: str, unit: Mapping[str, str]) -> Figure:
    titles = dict(list(rung_titles(results).items())[1:])
    n_rows = (len(unit) + 1) // 2
    size = (charts.WIDTH_INCH, (0.24 * len(titles) + 0.8) * n_rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(n_rows, 2, sharey=True, squeeze=False).ravel()
    for axis, measure in zip(axes, unit, strict=False):
        charts.dots(axis, steps(results, family, measure))
        charts.rung_axis(axis, titles)
        axis.set(title=MEASURE_TITLE[measure], xlabel=f"change, {unit[measure]}")
    for axis in axes[len(unit) :]:
        axis.set_axis_off()
    return figure


def _operations_and_causes(results: Results) -> Picture | None:
    levels = results.frame("levels")
    levels = levels[levels["operation"] != ALL]
    tables = {
        f"{family}: GPU-seconds per run": _largest(levels[levels["family"] == family], results)
        for family in families(results)
    }
    return _heat_picture(
        tables,
        results,
        name="operations-and-causes",
        title="Where the cost arises: operation and cause, rung by rung",
        caption=f"Mean synchronization cost over {_n(results)} worlds, GPU-seconds per run. At "
        f"most {_N_LARGEST} rows per family, the largest; the dataset has all of them, with "
        "intervals.",
    )


def _largest(levels: pd.DataFrame, results: Results) -> pd.DataFrame:
    table = levels.pivot_table(index=["operation", "cause"], columns="rung", values="mean")
    table = table.reindex(columns=list(rung_titles(results))).fillna(0.0)
    top = table.max(axis=1).sort_values(ascending=False, kind="stable").index[:_N_LARGEST]
    table = table.loc[[pair for pair in table.index if pair in set(top)]]
    table = table[table.max(axis=1) > 0]
    order = [(o, c) for o in OPERATIONS for c in CAUSES if (o, c) in table.index]
    table = table.loc[order]
    table.index = pd.Index([f"{operation} · {cause}" for operation, cause in order])
    return table


def _debts(results: Results) -> Picture | None:
    debt = results.frame("debt")
    tables = {}
    for family in families(results):
        here = debt[debt["family"] == family]
        for resource, unit in _DEBT_UNITS.items():
            of_resource = here[here["resource"] == resource]
            tables[f"{family}: {unit}"] = _by_obligation(of_resource, _DEBT_QUANTITIES, results)
        keys = ["obligation", "quantity", "regime", "seed"]
        whole = here.groupby(keys)["value"].sum().reset_index()
        worth = _by_obligation(whole, _DEBT_WORTH, results)
        tables[f"{family}: mean stock at the world's prices, USD"] = worth
    return _heat_picture(
        tables,
        results,
        name="debts",
        title="Where debt accrues: what is put off, and what becomes of it, rung by rung",
        caption=f"What is owed, mean over {_n(results)} worlds. Accrued: in the whole run, by "
        "first attempts. Interest: added by bounces and redos. Defaulted: of requests that "
        "expired. Mean stock: owed at a mean instant; at the world's prices, money counts as the "
        "capital that it binds. What is open at the horizon, as every invoice is that falls due "
        "beyond it, counts in a family's last panel alone. Owed by routing: an undecided request; "
        "by verification: an unverified result; by state, authority and context: a divergent "
        "replica, a pending approval, an evicted context; by settlement: what is delivered or paid "
        "and not the other.",
    )


def _by_obligation(
    debt: pd.DataFrame, quantities: Mapping[str, str], results: Results
) -> pd.DataFrame:
    """Average quantities over worlds: a row per obligation and quantity, a column per rung."""
    table = debt.pivot_table(index=["obligation", "quantity"], columns="regime", values="value")
    table = table.reindex(columns=list(rung_titles(results))).fillna(0.0)
    kinds = dict.fromkeys((*OBLIGATION, *RECORDED_OBLIGATION))
    table = table.loc[[row for o in kinds for q in quantities if (row := (o, q)) in table.index]]
    table.index = pd.Index([f"{o}: {quantities[q]}".removesuffix(": ") for o, q in table.index])
    return table[table.max(axis=1) > 0]


def _stage_states(results: Results) -> Picture | None:
    time, measures = results.frame("stage_time"), results.frame("measures")
    jobs = measures[measures["measure"] == "jobs"].groupby(["family", "regime"])["value"].sum()
    tables = {}
    for family in families(results):
        here = time[(time["family"] == family) & ~time["state"].isin(_ENDED)]
        if here.empty or family not in jobs:
            continue
        us = here.pivot_table(index="state", columns="regime", values="us", aggfunc="sum")
        seconds = (us / US_PER_S / jobs[family]).reindex(columns=list(rung_titles(results)))
        order = [state for state in STATES if state in set(here["state"])]
        seconds = seconds.reindex(order).fillna(0.0)
        tables[f"{family}: seconds per job"] = seconds[seconds.max(axis=1) > 0]
    return _heat_picture(
        tables,
        results,
        name="stage-time",
        title="What a job waits for: seconds in each state, rung by rung",
        caption=f"Mean seconds per job over {_n(results)} worlds, the stages of a job together, "
        "states in the order in which a stage passes through them. Finished and expired stages "
        "are left out.",
    )


def _heat_picture(
    tables: Mapping[str, pd.DataFrame], results: Results, *, name: str, title: str, caption: str
) -> Picture | None:
    tables = {heading: table for heading, table in tables.items() if len(table)}
    if not tables:
        return None
    titles = list(rung_titles(results).values())
    numbers = [str(k) for k in range(1, len(titles) + 1)]
    n_rows = [len(table) for table in tables.values()]
    size = (charts.WIDTH_INCH, 0.23 * sum(n_rows) + 0.75 * len(n_rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(n_rows), 1, squeeze=False, height_ratios=n_rows)[:, 0]
    for axis, (heading, table) in zip(axes, tables.items(), strict=True):
        charts.heat(axis, table, numbers)
        axis.set_title(heading)
        axis.set_xlabel("rung of the ladder")
    key = ", ".join(f"{k} {text}" for k, text in zip(numbers, titles, strict=True))
    return Picture(
        figure=figure,
        name=name,
        title=title,
        caption=f"{caption} Darker is more, on the scale of each family. Rungs: {key}.",
    )


_DEBT_UNIT: Final = {
    "core": "core-seconds",
    "accelerator": "GPU-seconds",
    "commit": "seconds",
    "approval": "seconds",
    "usd": "USD",
}
_DEBT_RESOURCE: Final = {"core": "control cores", "usd": "money"}


def _debt_paths(results: Results) -> Picture | None:
    path = results.frame("debt_path")
    kinds = list(path[["resource", "obligation"]].drop_duplicates().itertuples(index=False))
    if not kinds:
        return None
    figure, axes = charts.panels(len(kinds), row_inch=1.9)
    for axis, (resource, obligation) in zip(axes, kinds, strict=True):
        here = path[(path["resource"] == resource) & (path["obligation"] == obligation)]
        instant_s = np.linspace(0.0, float(here["instant_s"].max()), _N_INSTANTS)
        for k, (rung, title) in enumerate(rung_titles(results).items()):
            stock = _mean_path(here[here["regime"] == rung], instant_s)
            colour, dash = charts.LINES[k % 8], charts.DASHES[k % 4]
            axis.plot(instant_s, stock, lw=1.4, label=title, color=colour, ls=dash)
        axis.set(
            title=f"{obligation}: {_DEBT_RESOURCE.get(resource, resource)}",
            ylabel=_DEBT_UNIT[resource],
            ylim=(0, None),
        )
        axis.grid()
    axes[-1].set_xlabel("time in the run, seconds")
    figure.legend(*charts.legend(axes[:1]), loc="outside lower center", ncols=3)
    return Picture(
        figure=figure,
        name="debt-path",
        title="Whether synchronization debt is paid down or piles up as a run goes on",
        caption=f"Stock of coordination work and money owed: mean of {_n(results)} worlds at each "
        "instant, all families in one queue and so in one curve. No interval is drawn here; the "
        "tables give that of each step.",
    )


def _mean_path(rows: pd.DataFrame, instant_s: Floats) -> Floats:
    """Average the step functions of all seeds, each read at the same instants."""
    paths = []
    for _, one in rows.groupby("seed"):
        latest = np.searchsorted(one["instant_s"].to_numpy(), instant_s, side="right") - 1
        stock = one["stock"].to_numpy()
        paths.append(np.where(latest < 0, 0.0, stock[np.maximum(latest, 0)]))
    return np.mean(paths, axis=0) if paths else np.full(len(instant_s), np.nan)


def _price_map(results: Results) -> Picture | None:
    prices, region = results.frame("prices"), results.frame("regions").set_index("region")
    titles = rung_titles(results)
    shown = {
        f"{titles[rung]}\n({pricing} prices)": _mean_price(prices[prices["regime"] == rung])
        for rung, pricing in _ends_of_each_pricing(results)
    }
    figure = draw_price_maps(region, shown)
    if figure is None:
        return None
    return Picture(
        figure=figure,
        name="price-map",
        title="Where a unit is dear: mean price by region under each way of pricing",
        caption="What was paid per hour that a unit was occupied, all families together: mean of "
        f"{_n(results)} worlds, without intervals. The first and the last rung of each way of "
        "pricing; one scale for all rows. Posted prices are what owners ask, whatever is scarce; "
        "locational ones are resource cost plus the rent of a place. A hollow circle sold nothing.",
    )


def _ends_of_each_pricing(results: Results) -> list[tuple[str, str]]:
    """Return the first and the last rung of each way of pricing, in order, each once."""
    rungs = results.frame("rungs")
    walked: dict[str, list[str]] = {}
    for rung, pricing in zip(rungs["rung"], rungs["pricing"], strict=True):
        walked.setdefault(pricing, []).append(rung)
    ends = {rung: pricing for pricing, of_it in walked.items() for rung in (of_it[0], of_it[-1])}
    return list(ends.items())


def _mean_price(rows: pd.DataFrame) -> pd.Series:
    paid = (rows["mean_usd_per_gpu_hour"] * rows["units"]).groupby(rows["region"]).sum(min_count=1)
    units = rows["units"].where(rows["mean_usd_per_gpu_hour"].notna()).groupby(rows["region"]).sum()
    return (paid / units.where(units > 0)).dropna()


def _energy(results: Results) -> Picture | None:
    figure = draw_energy(results.frame("energy"), rung_titles(results), n_worlds=_n(results))
    if figure is None:
        return None
    return Picture(
        figure=figure,
        name="energy",
        title="Where power goes, and what of it coordination draws: by region, label and operation",
        caption=f"Joules at the meter, mean of {_n(results)} worlds, without intervals, on the "
        "first and the last rung. Left: all, by label of the unit; cores and moved bytes count as "
        "coordination, a standing network as idle. Right: coordination alone, by operation, on a "
        "scale of its own.",
    )


def _n(results: Results) -> int:
    return int(results.frame("runs")["seed"].nunique())

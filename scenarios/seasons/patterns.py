"""The one place that sets what came out of seasons beside what is known of real markets.

Nothing here is fitted. A pattern marked `start` is the world's own at the first season, because the
world was drawn from it: there it validates nothing, and all that counts is where seasons take it.
Each row says by how much it misses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from hanse.market.units import Floats
from hanse.scenarios.analysis.intervals import interval
from hanse.scenarios.numerals import short
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.seasons.play import Seasons, list_changes, play_seasons
from hanse.scenarios.studies.price_quality import variation


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Something that is known of real markets.

    Attributes
    ----------
    role : `start` if the first season's world was drawn from it, else `output`.
    low, high : what was published, or the range of it.
    """

    target: str
    statistic: str
    role: str
    low: float
    high: float
    source: str


PATTERNS: Final = (
    Pattern(
        target="V9",
        statistic="coefficient of variation of what sellers ask",
        role="output",
        low=0.69,
        high=0.69,
        source="H100 SXM on demand, 34 providers, 25 February 2026",
    ),
    Pattern(
        target="V9",
        statistic="highest over lowest that sellers ask",
        role="output",
        low=10.3,
        high=10.3,
        source="the same: 14.19 over 1.38 USD",
    ),
    Pattern(
        target="V9c",
        statistic="coefficient of variation of hyperscalers' lists over regions",
        role="start",
        low=0.12,
        high=0.12,
        source="AWS H100 list factors by region",
    ),
    Pattern(
        target="V9c",
        statistic="coefficient of variation of independents' prices over regions",
        role="output",
        low=0.17,
        high=0.23,
        source="asks on a peer-to-peer venue, by region",
    ),
    Pattern(
        target="V9c",
        statistic="highest over lowest that is paid in a region",
        role="output",
        low=7.4,
        high=7.4,
        source="AWS H100 spot, best zone of each of 12 regions, 1.28 to 9.49 USD",
    ),
    Pattern(
        target="V9d",
        statistic="paid over hyperscalers' list",
        role="output",
        low=0.29,
        high=0.74,
        source="AWS discounted zones 0.29; Vast bid over ask 0.48-0.74",
    ),
    Pattern(
        target="list stays",
        statistic="change of hyperscalers' list less change of what is paid, in logarithms",
        role="output",
        low=0.25,
        high=0.34,
        source="lists hardly budged while the market fell 22-29 % in 2025, through secondary pages",
    ),
    Pattern(
        target="list stays",
        statistic="share of hyperscalers' lists that are printed anew in a season",
        role="output",
        low=0.0,
        high=0.25,
        source="the same: hardly budged in four quarters, read as at most one new list a year",
    ),
    Pattern(
        target="V3b",
        statistic="sum of squared buyer shares of jobs",
        role="start",
        low=0.06,
        high=0.28,
        source="ServeGen, four models",
    ),
    Pattern(
        target="V11",
        statistic="share of the five largest owners",
        role="start",
        low=0.71,
        high=0.71,
        source="Epoch AI, April 2026, through secondary pages",
    ),
    Pattern(
        target="V11",
        statistic="sum of squared owner shares",
        role="start",
        low=0.125,
        high=0.24,
        source="the same; atomistic others, and the five alone",
    ),
)


def beside_markets(played: Sequence[Seasons]) -> pd.DataFrame:
    """Set the last season of one regime beside the patterns, over several seeds.

    Returns
    -------
    As `set_beside_markets`, each season in the mean over seeds, with ci_low, ci_high and n of the
    last one: 95 %, Student's t.
    """
    tables = [set_beside_markets(one) for one in played]
    last = np.array([table["last_season"] for table in tables], float).T
    first = np.array([table["first_season"] for table in tables], float).T
    found, before = interval(last), interval(first)
    told = tables[0].assign(
        first_season=before.mean, last_season=found.mean, ci_low=found.low, ci_high=found.high
    )
    missed = [
        miss_of(value, low=pattern.low, high=pattern.high)
        for value, pattern in zip(found.mean.tolist(), PATTERNS, strict=True)
    ]
    return told.assign(n=found.n, miss=missed)


def set_beside_markets(seasons: Seasons) -> pd.DataFrame:
    """Set the last season of one regime beside the patterns.

    Returns
    -------
    Columns target, statistic, role, published_low, published_high, first_season, last_season, miss
    (of the last season: how far off the nearest published number, over that number; 0 within).
    """
    rows = []
    for pattern in PATTERNS:
        first, last = _READINGS[pattern.statistic](seasons)
        rows.append(
            {
                "target": pattern.target,
                "statistic": pattern.statistic,
                "role": pattern.role,
                "published_low": pattern.low,
                "published_high": pattern.high,
                "first_season": first,
                "last_season": last,
                "miss": miss_of(last, low=pattern.low, high=pattern.high),
            }
        )
    return pd.DataFrame(rows)


def miss_of(value: float, *, low: float, high: float) -> float:
    """Return how far a value is off a range, over the bound that it misses; 0 within.

    Examples
    --------
    >>> miss_of(0.5, low=0.4, high=0.6), miss_of(0.3, low=0.4, high=0.6).__round__(2)
    (0.0, -0.25)
    """
    nearest = min(max(value, low), high)
    return (value - nearest) / nearest if nearest else value - nearest


def misses_in_words(table: pd.DataFrame) -> str:
    """Write the table with its misses as text, a line per pattern; what misses says so first."""
    lines = []
    for row in table.to_dict("records"):
        low, high = short(row["published_low"]), short(row["published_high"])
        published = low if low == high else f"{low} to {high}"
        verdict = "within" if row["miss"] == 0.0 else f"MISSES by {short(100 * row['miss'])} %"
        if np.isnan(row["miss"]):
            verdict = "UNKNOWN"
        lines.append(
            f"{verdict}: {row['statistic']} is {short(row['last_season'])} "
            f"(first season {short(row['first_season'])}; published {published}; {row['target']})"
        )
    return "\n".join(lines)


def dose_response(
    scenario: Scenario,
    key: str,
    levels: Sequence[object],
    *,
    regime: str,
    n_seasons: int,
    seeds: Sequence[int],
    n_last: int = 4,
) -> pd.DataFrame:
    """Play seasons at several levels of one parameter, with the same luck, and see what comes.

    Parameters
    ----------
    n_last : seasons at the end over which measures are averaged.

    Returns
    -------
    Columns level, measure, unit, mean, ci_low, ci_high, n: 95 % Student-t intervals over seeds. To
    the market measures come list_changed_share and hyperscaler_customers_growth: mean change of
    customers' payments to hyperscalers, per season over all seasons.
    """
    rows = []
    for level in levels:
        at_level = scenario.replace({key: level})
        played = [play_seasons(at_level, regime, n_seasons=n_seasons, seed=seed) for seed in seeds]
        outcomes = [_last_outcomes(one, n_seasons=n_seasons, n_last=n_last) for one in played]
        for name, unit in outcomes[0]:
            found = interval(np.array([one[name, unit] for one in outcomes]))
            rows.append(
                {
                    "level": level,
                    "measure": name,
                    "unit": unit,
                    "mean": float(found.mean),
                    "ci_low": float(found.low),
                    "ci_high": float(found.high),
                    "n": int(found.n),
                }
            )
    return pd.DataFrame(rows)


def _last_outcomes(
    seasons: Seasons, *, n_seasons: int, n_last: int
) -> dict[tuple[str, str], float]:
    market = seasons.market
    last = market[market["season"] >= n_seasons - n_last]
    mean = last.groupby(["measure", "unit"], sort=False)["value"].mean().reset_index()
    found = {(name, unit): value for name, unit, value in mean.itertuples(index=False, name=None)}
    changes = list_changes(seasons.places)
    revenue = seasons.path("hyperscaler_customers_usd").to_numpy()
    steps = np.log(revenue[-1] / revenue[0]) / max(1, len(revenue) - 1) if revenue.all() else np.nan
    return found | {
        ("list_changed_share", "share"): float(changes["changed_share"].mean()),
        ("hyperscaler_customers_growth", "log USD"): float(steps),
    }


def _ends(measure: str) -> Callable[[Seasons], tuple[float, float]]:
    """Read a market measure at both ends."""

    def read(seasons: Seasons) -> tuple[float, float]:
        path = seasons.path(measure)
        return float(path.iloc[0]), float(path.iloc[-1])

    return read


def _regional_variation(seasons: Seasons) -> tuple[float, float]:
    listed = seasons.places[seasons.places["group"] == "hyperscaler"]
    return _variations(listed)


def _independent_variation(seasons: Seasons) -> tuple[float, float]:
    return _variations(seasons.places[seasons.places["group"] == "independent"])


def _variations(places: pd.DataFrame) -> tuple[float, float]:
    mean = places.groupby(["season", "region"])["price_usd"].mean()
    return _variation(mean.loc[0]), _variation(mean.loc[places["season"].max()])


def _paid_apart(seasons: Seasons) -> tuple[float, float]:
    """Read what customers paid over the hours sold, region by region, where anybody bought."""
    places = seasons.places
    by_place = places.groupby(["season", "region"])[["customers_usd", "sold_hours"]].sum()
    sold = by_place[(by_place["sold_hours"] > 0) & (by_place["customers_usd"] > 0)]
    price = sold["customers_usd"] / sold["sold_hours"]
    first, last = (price.loc[number] for number in (0, places["season"].max()))
    return float(first.max() / first.min()), float(last.max() / last.min())


def _changed_share(seasons: Seasons) -> tuple[float, float]:
    """Read over all seasons what a first season alone cannot show."""
    return float("nan"), float(list_changes(seasons.places)["changed_share"].mean())


def _list_over_market(seasons: Seasons) -> tuple[float, float]:
    """Read over all seasons what a first season alone cannot show."""
    listed, paid = (
        seasons.path(name).to_numpy() for name in ("list_usd_per_gpu_hour", "paid_usd_per_gpu_hour")
    )
    change = np.log(listed[-1] / listed[0]) - np.log(paid[-1] / paid[0])
    return float("nan"), float(change)


def _variation(price: pd.Series) -> float:
    value: Floats = price.to_numpy(dtype=float)
    return variation(value)


_READINGS: Final[Mapping[str, Callable[[Seasons], tuple[float, float]]]] = {
    "coefficient of variation of what sellers ask": _ends("seller_price_cv"),
    "highest over lowest that sellers ask": _ends("seller_price_max_to_min"),
    "coefficient of variation of hyperscalers' lists over regions": _regional_variation,
    "coefficient of variation of independents' prices over regions": _independent_variation,
    "highest over lowest that is paid in a region": _paid_apart,
    "paid over hyperscalers' list": _ends("spot_to_list"),
    "change of hyperscalers' list less change of what is paid, in logarithms": _list_over_market,
    "share of hyperscalers' lists that are printed anew in a season": _changed_share,
    "sum of squared buyer shares of jobs": _ends("buyer_hhi"),
    "share of the five largest owners": _ends("top5_owner_share"),
    "sum of squared owner shares": _ends("owner_hhi"),
}

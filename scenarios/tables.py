"""The one place that reads the package's own tables: regions, round trips, law and owners.

Each figure stands in its table beside the source it comes from and a mark: R read at the source,
S read on a secondary page, M from memory, D derived, E or assumed where there is no evidence.
"""

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hanse.market.units import Flags, Floats, Integers

INDEPENDENT = "independent"

_FITTING_ROUNDS = 1000
_FOLDER = Path(__file__).with_name("tables")
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """The columns of `regions.csv`; every array has shape (n_regions,)."""

    region: tuple[str, ...]
    region_jurisdiction: tuple[str, ...]
    latitude: Floats
    longitude: Floats
    egress_usd_per_gb: Floats
    electricity_usd_per_kwh: Floats
    carbon_g_per_kwh: Floats
    list_price_factor: Floats
    list_usd_per_gpu_hour: Floats
    capacity_weight: Floats
    demand_weight: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Jurisdictions:
    """The columns of `jurisdictions.csv`, in the words of the law rather than as flags."""

    jurisdiction: tuple[str, ...]
    data_export_rule: tuple[str, ...]
    eu_adequacy: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """The columns of `owners.csv`; its last row stands for all independent owners together.

    Attributes
    ----------
    share : shape (n_owners,), share of the world's accelerators, sums to 1.
    asks_list_price : whether the owner asks the list price of the region, or a neocloud's.
    may_own : shape (n_owners, n_regions), whether the owner has capacity there.
    """

    owner: tuple[str, ...]
    share: Floats
    is_hyperscaler: Flags
    asks_list_price: Flags
    may_own: Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """One row of `statistics.csv`: a number that public traces have.

    Attributes
    ----------
    role : `input` if a parameter was set from it, so that it validates nothing; else `output`.
    low, high : what was published; one number twice, or the range over several services.
    """

    statistic: str
    role: str
    low: float
    high: float
    grade: str
    source: str


@lru_cache(maxsize=1)
def read_regions() -> Regions:
    """Read the regions, in the order in which every region column follows."""
    rows = rows_of("regions.csv")

    def column(name: str) -> Floats:
        return _frozen(np.array([float(row[name]) for row in rows]))

    return Regions(
        region=tuple(row["id"] for row in rows),
        region_jurisdiction=tuple(row["jurisdiction"] for row in rows),
        latitude=column("latitude"),
        longitude=column("longitude"),
        egress_usd_per_gb=column("egress_usd_per_gb"),
        electricity_usd_per_kwh=column("electricity_usd_per_kwh"),
        carbon_g_per_kwh=column("carbon_g_per_kwh"),
        list_price_factor=column("list_price_factor"),
        list_usd_per_gpu_hour=column("list_h100_usd_per_gpu_hour"),
        capacity_weight=column("capacity_weight"),
        demand_weight=column("demand_weight"),
    )


@lru_cache(maxsize=1)
def read_round_trips() -> Floats:
    """Read the round trips between regions in ms, shape (n_regions, n_regions), diagonal zero."""
    index = {region: place for place, region in enumerate(read_regions().region)}
    rtt_ms = np.zeros((len(index), len(index)))
    for row in rows_of("rtt_pairs.csv"):
        a, b = index[row["region_a"]], index[row["region_b"]]
        rtt_ms[a, b] = rtt_ms[b, a] = float(row["rtt_ms"])
    return _frozen(rtt_ms)


@lru_cache(maxsize=1)
def read_statistics() -> tuple[Statistic, ...]:
    """Read the published statistics of workloads."""
    return tuple(
        Statistic(
            statistic=row["statistic"],
            role=row["role"],
            low=float(row["low"]),
            high=float(row["high"]),
            grade=row["grade"],
            source=row["source"],
        )
        for row in rows_of("statistics.csv")
    )


@lru_cache(maxsize=1)
def read_jurisdictions() -> Jurisdictions:
    """Read what each jurisdiction says about data that leaves it."""
    rows = rows_of("jurisdictions.csv")
    return Jurisdictions(
        jurisdiction=tuple(row["jurisdiction"] for row in rows),
        data_export_rule=tuple(row["data_export_rule"] for row in rows),
        eu_adequacy=tuple(row["eu_adequacy"] for row in rows),
    )


@lru_cache(maxsize=1)
def read_owners() -> Owners:
    """Read who owns how much, where, and at what kind of price."""
    rows = rows_of("owners.csv")
    held = np.array([float(row["h100_equivalents_million"]) for row in rows])
    return Owners(
        owner=tuple(row["owner"] for row in rows),
        share=_frozen(held / float(held.sum())),
        is_hyperscaler=_frozen(np.array([row["is_hyperscaler"] == "true" for row in rows])),
        asks_list_price=_frozen(np.array([row["price_rule"] == "list" for row in rows])),
        may_own=_frozen(np.array([_may_own(row["regions"]) for row in rows])),
    )


@lru_cache(maxsize=1)
def capacity_by_owner() -> Floats:
    """Share capacity out over (region, owner), shape (n_regions, n_owners), zero where barred.

    Rows sum to the capacity weights and columns to the owners' shares: the matrix nearest to
    independence that does so, by iterative proportional fitting (Deming and Stephan 1940).
    """
    regions, owners = read_regions(), read_owners()
    weight = np.where(owners.may_own.T, owners.share, 0.0)
    for _ in range(_FITTING_ROUNDS):
        weight = weight * (owners.share / weight.sum(axis=0))
        weight = weight * (regions.capacity_weight / weight.sum(axis=1))[:, None]
    return _frozen(weight)


def region_index(region: str) -> int:
    """Return the row of a region."""
    return read_regions().region.index(region)


def jurisdiction_index() -> Integers:
    """Return the jurisdiction of each region, shape (n_regions,)."""
    order = read_jurisdictions().jurisdiction
    return np.array([order.index(one) for one in read_regions().region_jurisdiction])


def rows_of(name: str) -> list[dict[str, str]]:
    """Read a table of the package, a dictionary of words per row."""
    with (_FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _may_own(rule: str) -> Flags:
    """Read a rule such as `only cn-bjs hk-hkg` or `except cn-bjs`."""
    word, *named = rule.split()
    assert word in ("only", "except"), rule
    is_named = np.isin(read_regions().region, named)
    return is_named if word == "only" else ~is_named


def _frozen(column: NDArray[Scalar]) -> NDArray[Scalar]:
    """Forbid writing, because the tables are shared by every world."""
    column.setflags(write=False)
    return column

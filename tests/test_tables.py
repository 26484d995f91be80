"""The package's own tables: complete, sourced, physically possible, and equal to their origins."""

import csv
from itertools import combinations
from math import asin, cos, radians, sin, sqrt
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from hanse.scenarios.tables import (
    INDEPENDENT,
    capacity_by_owner,
    read_jurisdictions,
    read_owners,
    read_regions,
    read_round_trips,
)

TABLES = Path(__file__).parents[1] / "scenarios" / "tables"
ORIGINS = Path(__file__).parents[2] / "shared" / "data" / "regions"
needs_origins = pytest.mark.skipif(
    not ORIGINS.is_dir(),
    reason="../shared/data is absent: THE TABLES ARE NOT COMPARED WITH THEIR ORIGINS",
)

EARTH_RADIUS_KM = 6371.0
GLASS_INDEX = 1.468
LIGHT_KM_PER_MS = 299.792458
MARKS = {"R", "S", "M", "D", "E", "assumed"}
FIGURES = {
    "latitude": "position",
    "longitude": "position",
    "egress_usd_per_gb": "egress",
    "electricity_usd_per_kwh": "electricity",
    "carbon_g_per_kwh": "carbon",
    "list_price_factor": "list_price_factor",
    "list_h100_usd_per_gpu_hour": "list_h100",
    "capacity_weight": "capacity",
    "demand_weight": "demand",
}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def regions() -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in rows_of(TABLES / "regions.csv")}


def pairs() -> list[dict[str, str]]:
    return rows_of(TABLES / "rtt_pairs.csv")


def great_circle_km(a: str, b: str) -> float:
    place = regions()
    (lat_a, lon_a), (lat_b, lon_b) = (
        (radians(float(place[one]["latitude"])), radians(float(place[one]["longitude"])))
        for one in (a, b)
    )
    haversine = (
        sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin((lon_b - lon_a) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * asin(sqrt(haversine))


def floor_ms(a: str, b: str) -> float:
    return 2 * great_circle_km(a, b) * GLASS_INDEX / LIGHT_KM_PER_MS


def test_there_are_26_regions_under_23_jurisdictions() -> None:
    assert len(read_regions().region) == 26
    assert len(read_jurisdictions().jurisdiction) == 23
    assert set(read_regions().region_jurisdiction) == set(read_jurisdictions().jurisdiction)


@pytest.mark.parametrize(("figure", "origin"), FIGURES.items())
def test_every_figure_of_a_region_has_a_source_and_a_mark(figure: str, origin: str) -> None:
    for row in regions().values():
        assert np.isfinite(float(row[figure]))
        assert row[f"{origin}_source"]
        assert row[f"{origin}_mark"] in MARKS


def test_no_column_of_regions_is_without_a_source() -> None:
    known = {"id", "city", "jurisdiction", *FIGURES}
    known |= {f"{origin}_{what}" for origin in FIGURES.values() for what in ("source", "mark")}
    assert set(next(iter(regions().values()))) == known


def test_missing_list_prices_are_derived_from_virginia_and_marked_assumed() -> None:
    assumed = [row for row in regions().values() if row["list_h100_mark"] == "assumed"]
    assert len(assumed) == 11
    for row in assumed:
        derived = float(row["list_price_factor"]) * 6.88
        assert float(row["list_h100_usd_per_gpu_hour"]) == pytest.approx(derived, abs=1e-4)


def test_weights_sum_to_one_and_three_quarters_of_capacity_is_american() -> None:
    table = read_regions()
    american = np.array(table.region_jurisdiction) == "US"
    assert table.capacity_weight.sum() == pytest.approx(1.0, abs=1e-12)
    assert table.demand_weight.sum() == pytest.approx(1.0, abs=1e-12)
    assert table.capacity_weight[american].sum() == pytest.approx(0.75, abs=1e-12)


def test_each_pair_of_regions_stands_once() -> None:
    found = sorted(tuple(sorted((row["region_a"], row["region_b"]))) for row in pairs())
    assert found == sorted(tuple(sorted(pair)) for pair in combinations(regions(), 2))
    assert len(found) == 325


def test_261_round_trips_are_measured_and_the_rest_derived() -> None:
    how = [row["source"].partition(":")[0] for row in pairs()]
    assert (how.count("measured"), how.count("derived")) == (261, 64)


def test_round_trips_are_symmetric_and_positive() -> None:
    rtt_ms = read_round_trips()
    assert np.array_equal(rtt_ms, rtt_ms.T)
    assert (rtt_ms[~np.eye(26, dtype=bool)] > 0).all()


@pytest.mark.parametrize(
    ("a", "b", "expected_ms"),
    [
        ("de-fra", "sg-sin", 100.5),
        ("de-fra", "nl-ams", 3.6),
        ("nl-ams", "sg-sin", 102.8),
        ("de-fra", "us-va", 64.2),
        ("us-va", "sg-sin", 152.1),
    ],
)
def test_the_fibre_floor_meets_its_oracle(a: str, b: str, expected_ms: float) -> None:
    # The oracle is stated to 0.1 ms and for airports some tens of km away: 30 km are 0.3 ms.
    assert floor_ms(a, b) == pytest.approx(expected_ms, abs=0.4)


def test_no_round_trip_is_below_the_fibre_floor() -> None:
    for row in pairs():
        assert float(row["rtt_ms"]) >= floor_ms(row["region_a"], row["region_b"])


def test_distances_are_great_circles() -> None:
    for row in pairs():
        expected_km = great_circle_km(row["region_a"], row["region_b"])
        assert float(row["km"]) == pytest.approx(expected_km, abs=1.0)


def test_measured_paths_are_inflated_as_published() -> None:
    measured = [row for row in pairs() if row["source"].startswith("measured")]
    inflation = [float(row["rtt_ms"]) / (float(row["km"]) / 100) for row in measured]
    assert median(inflation) == pytest.approx(1.89, abs=0.005)


def test_derived_round_trips_follow_the_formula_that_they_name() -> None:
    bends = [(2000, 2.1), (5000, 1.8), (10_000, 1.85), (float("inf"), 1.55)]
    named = [row for row in pairs() if "piecewise" in row["source"] or "km/100" in row["source"]]
    assert len(named) == 41
    for row in named:
        km = float(row["km"])
        bend = next(factor for limit, factor in bends if km < limit)
        stretch = 1.25 if "Chinese border" in row["source"] else 1.0
        assert float(row["rtt_ms"]) == pytest.approx(stretch * (1 + km / 100 * bend), abs=0.06)


def test_the_last_owner_stands_for_the_independents() -> None:
    assert read_owners().owner[-1] == INDEPENDENT
    assert not read_owners().is_hyperscaler[-1]


def test_five_hyperscalers_hold_about_seven_tenths() -> None:
    owners = read_owners()
    # 14.3 of 20.9 million; Epoch AI says 71 % of its own, unrounded, numbers.
    assert owners.share[:5].sum() == pytest.approx(14.3 / 20.9, abs=1e-12)
    assert owners.share.sum() == pytest.approx(1.0, abs=1e-12)


def test_owners_fit_into_the_regions_that_admit_them() -> None:
    capacity, owners = capacity_by_owner(), read_owners()
    assert capacity.sum(axis=0) == pytest.approx(owners.share, abs=1e-9)
    assert capacity.sum(axis=1) == pytest.approx(read_regions().capacity_weight, abs=1e-9)
    assert (capacity[~owners.may_own.T] == 0).all()


def test_tables_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        read_regions().demand_weight[0] = 1.0


@needs_origins
@pytest.mark.parametrize(
    ("figure", "origin"),
    [
        ("latitude", "lat"),
        ("longitude", "lon"),
        ("egress_usd_per_gb", "egress_internet_usd_gb"),
        ("electricity_usd_per_kwh", "electricity_usd_kwh"),
        ("carbon_g_per_kwh", "carbon_g_kwh"),
        ("list_price_factor", "list_price_factor"),
        ("list_h100_usd_per_gpu_hour", "h100_od_usd_h"),
    ],
)
def test_regions_carry_the_figures_of_their_origin(figure: str, origin: str) -> None:
    table = regions()
    originals = rows_of(ORIGINS / "regions.csv")
    assert [row["id"] for row in originals] == list(table)
    for row in originals:
        assert table[row["id"]]["city"] == row["city"]
        assert table[row["id"]]["jurisdiction"] == row["jurisdiction"]
        if row[origin]:
            assert float(table[row["id"]][figure]) == float(row[origin])
        else:
            mark = f"{FIGURES[figure]}_mark"
            assert table[row["id"]][mark] == "assumed"


@needs_origins
@pytest.mark.parametrize(("figure", "origin"), [("egress", "egress"), ("electricity", "")])
def test_what_the_origin_has_from_memory_is_marked_so(figure: str, origin: str) -> None:
    for row in rows_of(ORIGINS / "regions.csv"):
        says = row[f"{origin or figure}_src"]
        from_memory = says.startswith(("M", "from memory"))
        assert (regions()[row["id"]][f"{figure}_mark"] == "M") == from_memory


@needs_origins
def test_round_trips_carry_the_figures_of_their_origin() -> None:
    originals = rows_of(ORIGINS / "rtt_pairs.csv")
    assert len(originals) == len(pairs())
    for ours, theirs in zip(pairs(), originals, strict=True):
        for column in ("region_a", "region_b", "km", "rtt_ms"):
            assert ours[column] == theirs[column]
        is_measured = ours["source"].startswith("measured")
        assert is_measured == theirs["source"].startswith("measured")


@needs_origins
def test_jurisdictions_carry_the_words_of_their_origin() -> None:
    originals = rows_of(ORIGINS / "jurisdictions.csv")
    for ours, theirs in zip(rows_of(TABLES / "jurisdictions.csv"), originals, strict=True):
        assert ours == {column: theirs[column] for column in ours}

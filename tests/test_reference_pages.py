"""The pages that list what there is: each parameter, table, column and measure, and no other."""

import re
from collections.abc import Mapping

import pyarrow as pa
import pytest

from hanse.market.regime import ladder
from hanse.scenarios.commands.seasons import season_results
from hanse.scenarios.experiment import compare
from hanse.scenarios.outcomes import outcome_table
from hanse.scenarios.seasons.play import play_seasons
from hanse.scenarios.sweep import sweep
from tests.project_files import PROJECT
from tests.small_runs import tiny
from tests.write_parameters_page import PAGE, whole_page

KEYS = {"scenario", "point", "regime", "seed", "season"}
TABLES = (PROJECT / "docs" / "reference" / "tables.md").read_text(encoding="utf-8")
FIRST_CELL = re.compile(r"^\| (`[^|]*) \|", re.MULTILINE)
WORD = re.compile(r"`(\w+)`")


@pytest.fixture(scope="module")
def tables() -> Mapping[str, pa.Table]:
    """Run two rungs on tiny worlds, and sweep them over one parameter."""
    swept = sweep(tiny(), {"load.hold_share": [0]}, regimes=ladder[3:4], seeds=[0], workers=1)
    points = {"points": swept.tables["points"].drop_columns("load.hold_share")}
    points["outcomes"] = outcome_table([], swept.frame("measures"))
    scenario = tiny().replace({"verification.real_share": 0.1})
    compared = compare(scenario, seeds=[0], regimes=ladder[3:5], workers=1).results.tables
    played = {0: play_seasons(tiny(), "market", n_seasons=2, seed=0)}
    seasons = season_results(tiny(), played, regime="market").tables
    return points | dict(seasons) | dict(compared)


def documented(heading: str) -> str:
    """Return what the page says of one table."""
    _, _, rest = TABLES.partition(f"\n### `{heading}`\n")
    return re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]


def documented_columns(heading: str) -> set[str]:
    """Collect the columns that the page lists for a table."""
    _, _, rows = documented(heading).partition("\n| column | what it is |\n")
    return {
        word for cell in FIRST_CELL.findall(rows.split("\n\n")[0]) for word in WORD.findall(cell)
    }


def test_the_parameters_page_is_what_parameters_toml_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == whole_page()


def test_the_page_of_tables_has_every_table_and_no_other(tables: Mapping[str, pa.Table]) -> None:
    assert set(re.findall(r"^### `(\w+)`$", TABLES, re.MULTILINE)) == set(tables)


def test_the_page_of_tables_has_every_column_and_no_other(tables: Mapping[str, pa.Table]) -> None:
    real = {name: set(table.column_names) - KEYS for name, table in tables.items()}
    assert {name: documented_columns(name) for name in tables} == real


@pytest.mark.parametrize("is_shared", [False, True])
def test_the_page_of_tables_has_every_measure(
    is_shared: bool, tables: Mapping[str, pa.Table]
) -> None:
    frame = tables["measures"].to_pandas()
    rows = frame[(frame["family"] == "(shared)") == is_shared]
    real = set(rows[["measure", "unit"]].itertuples(index=False, name=None))
    listed = documented("measures").split("\n\n| measure |")[2 if is_shared else 1]
    assert set(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", listed, re.MULTILINE)) == real

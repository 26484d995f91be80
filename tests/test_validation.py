"""What drawn jobs have in common with public traces: the table, its marks, and the real files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hanse.market.units import Integers
from hanse.scenarios.drawing.calls import Tokens
from hanse.scenarios.drawing.traces import read_trace
from hanse.scenarios.scenario import load
from hanse.scenarios.tables import read_statistics
from hanse.scenarios.validation import (
    COLUMNS,
    call_statistics,
    draw_sample,
    duration_statistics,
    gap_statistics,
    measured,
    token_statistics,
    workload_statistics,
)
from tests.write_statistics_page import PAGE, whole_page

DATA = Path(__file__).parents[2] / "shared" / "data"
BASELINE = load("baseline")
PUBLISHED = {one.statistic: one for one in read_statistics()}
ERRORS = 4.0


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return workload_statistics(BASELINE, range(8)).set_index("statistic")


def test_every_published_statistic_is_measured_once_and_marked() -> None:
    assert len(PUBLISHED) == len(read_statistics())
    assert set(PUBLISHED) <= set(measured(draw_sample(BASELINE, 0)))
    assert {one.role for one in PUBLISHED.values()} == {"input", "output"}
    assert all(one.low <= one.high and one.source for one in PUBLISHED.values())


def test_the_table_has_a_row_for_each(table: pd.DataFrame) -> None:
    assert list(table.index) == list(PUBLISHED)
    assert ["statistic", *table.columns] == list(COLUMNS)


@pytest.mark.parametrize("name", [name for name, one in PUBLISHED.items() if one.role == "input"])
def test_what_parameters_were_set_from_is_drawn(name: str, table: pd.DataFrame) -> None:
    row = table.loc[name]
    # Parameters have three digits: of a log-normal law's 90th percentile that leaves 1.2 %.
    slack = ERRORS * row["error"] + 0.012 * row["published_high"]
    assert row["published_low"] - slack <= row["drawn"] <= row["published_high"] + slack


def test_what_no_parameter_was_set_from_may_differ_and_does(table: pd.DataFrame) -> None:
    """Renewal streams have no rate that drifts, so minutes of conversation differ too little."""
    name = "conversation: variance over mean of calls per minute"
    assert table.loc[name, "role"] == "output"
    assert table.loc[name, "drawn"] < 0.2 * table.loc[name, "published_low"]


def test_the_page_of_statistics_is_what_is_drawn() -> None:
    assert PAGE.read_text(encoding="utf-8") == whole_page()


# The published numbers, measured again on the files where they are at hand.


def tokens_of(file: str) -> tuple[Integers, Tokens]:
    trace = read_trace(DATA / file)
    return trace.arrival_us, Tokens(context=trace.context_tokens, generated=trace.generated_tokens)


def azure(kind: str, file: str) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        instants, tokens = tokens_of(f"azure_llm/AzureLLMInferenceTrace_{file}_2023.csv")
        return gap_statistics(kind, instants) | token_statistics(kind, tokens)

    return measure


def mooncake() -> dict[str, float]:
    _, tokens = tokens_of("mooncake/conversation_trace.csv")
    return token_statistics("long calls", tokens)


def philly() -> dict[str, float]:
    runtime = pd.read_csv(DATA / "philly_gavel" / "philly_runtime_seconds.csv")["runtime"]
    return duration_statistics(runtime[runtime > 0].to_numpy())


@pytest.mark.parametrize(
    ("measure", "prefix"),
    [
        (azure("conversation", "conv"), "conversation: "),
        (azure("code", "code"), "code: "),
        (mooncake, "long calls: "),
        (philly, "batch: "),
    ],
)
def test_published_statistics_are_those_of_the_files(
    measure: Callable[[], dict[str, float]], prefix: str
) -> None:
    if not DATA.is_dir():
        pytest.skip("../shared/data is absent: NO PUBLISHED STATISTIC IS MEASURED AGAIN")
    found = {name: value for name, value in measure().items() if name in PUBLISHED}
    assert len(found) >= 4
    for name, value in found.items():
        assert name.startswith(prefix)
        low = PUBLISHED[name].low
        tolerance = 0.006 if "share" in name else 0.01 * low  # shares have two digits
        assert abs(value - low) <= tolerance, name


def test_shares_of_calls_add_up_to_one() -> None:
    sample = draw_sample(BASELINE, 1)
    numbers = call_statistics(sample)
    shares = [value for name, value in numbers.items() if name.startswith("calls per job")]
    assert np.isclose(sum(shares), 1.0)

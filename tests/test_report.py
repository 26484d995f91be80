"""The page: it stands alone, says what it is not, and shows nothing without its ladder."""

import re
from base64 import b64decode
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from hanse.market.regime import ladder
from hanse.scenarios.experiment import Comparison, compare
from hanse.scenarios.numerals import change, level, short
from hanse.scenarios.parameters import describe_parameters
from hanse.scenarios.report import PAGE, render, write_report
from hanse.scenarios.results import KIND, Results, ResultsError
from tests.small_runs import broken_rung, tiny


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Walk the whole ladder on two worlds."""
    return compare(tiny(), seeds=range(2), workers=1)


@pytest.fixture(scope="module")
def pages(comparison: Comparison) -> dict[str, str]:
    """Render the page and its figures once."""
    return render(comparison.results)


@pytest.fixture(scope="module")
def page(pages: dict[str, str]) -> str:
    """Return the page alone."""
    return pages["report.html"]


def test_the_page_refers_to_nothing_outside_itself(page: str) -> None:
    assert re.findall(r"https?://|<script|<link|@import|url\(", page) == []
    assert {source[:5] for source in re.findall(r'src="([^"]*)"', page)} == {"data:"}
    assert [link for link in re.findall(r'href="([^"]*)"', page) if not link.startswith("#")] == []


def test_every_figure_is_a_picture_that_opens(page: str, pages: dict[str, str]) -> None:
    encoded = re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', page)
    assert len(encoded) == len(pages) - 1 >= 6
    for one in encoded:
        assert ET.fromstring(b64decode(one)).tag.endswith("svg")


def test_the_page_says_that_it_is_no_headline(page: str) -> None:
    assert "One point, not a headline." in page


def test_every_rung_stands_in_the_table_of_every_family(page: str) -> None:
    for rung in ladder:
        assert page.count(f'<th scope="row">{rung.title}<small>') >= 2


def test_every_parameter_without_evidence_is_named(page: str) -> None:
    keys = [one.key for one in describe_parameters() if one.grade == "E"]
    assert len(keys) > 10
    assert [key for key in keys if f"<code>{key}</code>" not in page] == []


def test_what_is_kept_gives_the_same_page_and_the_same_figures(
    comparison: Comparison, pages: dict[str, str], tmp_path: Path
) -> None:
    kept = Results.load(comparison.results.save(tmp_path / "kept"))
    assert render(kept) == pages


def test_a_page_is_made_even_if_every_run_failed(tmp_path: Path) -> None:
    results = compare(tiny(), seeds=(0,), regimes=(broken_rung(),), workers=1).results
    target = write_report(results, tmp_path / "page.html")
    assert "1 run did not end." in target.read_text(encoding="utf-8")


def test_failures_are_on_the_page() -> None:
    comparison = compare(tiny(), seeds=(0,), regimes=(ladder[2], broken_rung()), workers=1)
    page = render(comparison.results)["report.html"]
    assert "1 run did not end." in page
    assert "the router divides by the number of free units" in page


def test_tasks_that_were_really_executed_are_counted_on_the_page(page: str) -> None:
    scenario = tiny().replace({"verification.real_share": 0.5, "verification.temptation_share": 1})
    comparison = compare(scenario, seeds=[0], regimes=ladder[:2], workers=1)
    tasks = comparison.results.frame("real_tasks")
    central = tasks[tasks["regime"] == "central"]
    row = [len(central), *(int(central[name].sum()) for name in ("is_wrong", "is_checked"))]
    assert row[0] == row[1] > 0
    told = render(comparison.results)[PAGE]
    cells = "".join(f'<td class="number">{count}</td>' for count in row)
    assert f'<th scope="row">Central</th>{cells}' in told
    assert "a small program was really run" not in page


def test_only_a_comparison_has_a_page() -> None:
    with pytest.raises(ResultsError, match="'sweep'"):
        render(Results(tables={}, manifest={"kind": KIND, "command": "sweep"}))


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (57.0019, 16.22, "+57 [+41, +73]"),
        (-0.5, 0.031, "\N{MINUS SIGN}0.500 [\N{MINUS SIGN}0.531, \N{MINUS SIGN}0.469]"),
        (0.0, 0.0, "0 [0, 0]"),
        (1.1, 1.08, "+1.10 [+0.02, +2.18]"),
        (-0.04, 8.1, "0.0 [\N{MINUS SIGN}8.1, +8.1]"),
    ],
)
def test_a_change_is_written_to_the_digits_of_its_interval(
    mean: float, half: float, text: str
) -> None:
    assert change(mean, mean - half, mean + half) == text


def test_a_level_is_written_with_its_half_width() -> None:
    assert level(273.94, 265.4, 282.48) == "273.9 ± 8.5"


def test_a_number_is_written_short() -> None:
    assert [short(number) for number in (1234567.0, 0.0, -0.0123456)] == [
        "1,234,567",
        "0",
        "\N{MINUS SIGN}0.0123",
    ]

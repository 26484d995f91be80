"""The one place that writes the table of docs/reference/workload-statistics.md as it is drawn."""

from hanse.scenarios.scenario import load
from hanse.scenarios.validation import statistics_table
from tests.project_files import PROJECT

PAGE = PROJECT / "docs" / "reference" / "workload-statistics.md"


def whole_page() -> str:
    """Return the page as it should be: its own opening, then the table."""
    opening, _, _ = PAGE.read_text(encoding="utf-8").partition("\n| statistic |")
    return f"{opening.rstrip()}\n\n{statistics_table(load('baseline'))}"


if __name__ == "__main__":
    PAGE.write_text(whole_page(), encoding="utf-8")

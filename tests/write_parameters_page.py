"""The one place that writes the tables of docs/reference/parameters.md from parameters.toml."""

from hanse.scenarios.parameters import parameter_table
from tests.project_files import PROJECT

PAGE = PROJECT / "docs" / "reference" / "parameters.md"


def whole_page() -> str:
    """Return the page as it should be: its own opening, then the tables."""
    opening, _, _ = PAGE.read_text(encoding="utf-8").partition("\n## ")
    return f"{opening.rstrip()}\n\n{parameter_table()}"


if __name__ == "__main__":
    PAGE.write_text(whole_page(), encoding="utf-8")

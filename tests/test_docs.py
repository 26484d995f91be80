"""What the documentation says is so: commands parse, links resolve, examples run."""

import doctest
import re
import shlex
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from typing import Final

import pytest

from hanse.market.engine.states import CAUSES, LABELS, OPERATIONS, STATES
from hanse.scenarios.cli import build_parser
from hanse.scenarios.experiment_file import is_experiment, read_experiment
from hanse.scenarios.scenario import describe_parameters, load, names
from tests.project_files import PROJECT, library_files, project_files

PAGES: Final = tuple(f for f in project_files() if f.suffix == ".md")
PARAMETERS: Final = frozenset(parameter.key for parameter in describe_parameters())
SECTIONS: Final = "|".join(sorted({key.partition(".")[0] for key in PARAMETERS}))

FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s#]+)[^)]*\)")
PARAMETER: Final = re.compile(rf"(?<![\w./])(?:{SECTIONS})\.(?!md\b)[a-z]\w*(?!\w*\.(?:py|toml))")
PAGE_IN_CODE: Final = re.compile(r"docs/[\w/-]+\.md")
FILE_IN_WORDS: Final = re.compile(r"`([a-z_/]+\.py)`")
NAME_IN_WORDS: Final = re.compile(r"`(hanse(?:\.[A-Za-z_]+)+)`")
GLOSSARY_WORD: Final = re.compile(r"^\| \*\*([^*]+)\*\* \|", re.MULTILINE)

# Words that the style asks the glossary to settle, beside those of the ledgers.
HOUSE_WORDS: Final = frozenset(
    {"job", "request", "offer", "assignment", "receipt", "verdict", "posting"}
)


def text_of(page: Path | str) -> str:
    """Read a file of the project."""
    return (PROJECT / page).read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """List the fenced blocks of one language on a page."""
    return [body for found, body in FENCE.findall(text_of(page)) if found == language]


def commands(program: str) -> list[tuple[Path, str]]:
    """List the calls of a program in the shell blocks of all pages."""
    lines = [
        (page, line.strip())
        for page in PAGES
        for b in blocks(page, "sh")
        for line in b.splitlines()
    ]
    return [(page, line) for page, line in lines if line.split(" ", 1)[0] == program]


def section(title: str) -> set[str]:
    """Collect the words that one section of the glossary defines."""
    glossary = text_of("docs/reference/glossary.md")
    _, _, rest = glossary.partition(f"\n## {title}\n")
    return set(GLOSSARY_WORD.findall(rest.split("\n## ")[0]))


@pytest.mark.parametrize(("page", "command"), commands("hanse"))
def test_a_documented_command_parses(page: Path, command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    assert build_parser().parse_args(words).command == words[0]


@pytest.mark.parametrize(("page", "command"), commands("hanse"))
def test_a_documented_scenario_is_in_the_library_or_on_the_page(page: Path, command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    asked = words[1:2] if words[0] in {"show", "validate", "run", "compare", "sweep"} else []
    assert [name for name in asked if name not in names() and not name.endswith(".toml")] == []


@pytest.mark.parametrize(("page", "command"), commands("make"))
def test_a_documented_target_is_in_the_makefile(page: Path, command: str) -> None:
    targets = re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE)
    assert shlex.split(command, comments=True)[1] in targets


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_relative_links_resolve(page: Path) -> None:
    links = [link for link in LINK.findall(text_of(page)) if "://" not in link]
    assert [link for link in links if not (PROJECT / page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_parameters_on_a_page_exist(page: Path) -> None:
    assert set(PARAMETER.findall(text_of(page))) - PARAMETERS == set()


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")], ids=str)
def test_scenarios_and_experiments_on_a_page_load(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(page, "toml")):
        file = tmp_path / f"block-{number}.toml"
        file.write_text(block, encoding="utf-8")
        asked = read_experiment(file) if is_experiment(file) else load(file)
        assert asked.question


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=str)
def test_python_on_a_page_runs(page: Path) -> None:
    namespace: dict[str, object] = {"__name__": "documentation"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), namespace)
    assert "hanse" in namespace


@pytest.mark.parametrize(
    "module",
    [
        ".".join(("hanse", *file.with_suffix("").parts)).removesuffix(".__init__")
        for file in library_files()
        if file.parts[0] != "hanse" and ">>> " in text_of(file)
    ],
)
def test_examples_in_docstrings_run(module: str) -> None:
    outcome = doctest.testmod(import_module(module))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_pages_that_the_code_points_to_exist() -> None:
    sources = [f for f in project_files() if f.suffix in {".py", ".toml", ".txt", ".yaml"}]
    named = {name for file in sources for name in PAGE_IN_CODE.findall(text_of(file))}
    assert [name for name in sorted(named) if not (PROJECT / name).is_file()] == []


def test_files_that_pages_and_docstrings_name_exist() -> None:
    tails = {Path(*f.parts[at:]) for f in project_files() for at in range(len(f.parts))}
    told = {
        (str(source), name)
        for source in (*PAGES, *library_files())
        for name in FILE_IN_WORDS.findall(text_of(source))
    }
    assert len(told) > 100
    assert [each for each in sorted(told) if Path(each[1]) not in tails] == []


def test_names_that_pages_and_docstrings_give_in_full_exist() -> None:
    told = {
        name
        for source in (*PAGES, *library_files())
        for name in NAME_IN_WORDS.findall(text_of(source))
    }
    assert len(told) > 50
    for name in sorted(told):
        resolve_name(name)


def test_every_page_is_reachable_from_the_index() -> None:
    index = Path("docs/index.md")
    linked = {(PROJECT / "docs" / link).resolve() for link in LINK.findall(text_of(index))}
    pages = {(PROJECT / page).resolve() for page in PAGES if page.parts[0] == "docs"}
    assert pages - linked == {(PROJECT / index).resolve()}


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Labels of a unit", LABELS),
        ("Operations", OPERATIONS),
        ("Causes", CAUSES),
        ("States of a stage", STATES),
    ],
)
def test_the_glossary_and_the_ledgers_have_the_same_words(title: str, words: tuple[str]) -> None:
    assert section(title) == set(words)


def test_the_glossary_settles_the_words_of_the_house() -> None:
    defined = GLOSSARY_WORD.findall(text_of("docs/reference/glossary.md"))
    assert HOUSE_WORDS - set(defined) == set()

"""What the style preaches and no linter checks: sizes, names, docstrings, what is never written.

An exception is a line in one of the tables below, with its reason.
"""

import ast
import io
import json
import os
import re
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Final

import pytest

from tests.project_files import (
    PACKAGES,
    PROJECT,
    copy_of_the_project,
    functions_in,
    library_files,
    project_files,
    python_files,
    tree_of,
)

MODULE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 50
BANNED_WORDS: Final = frozenset({"util", "utils", "common", "base", "manager", "helper", "helpers"})

# Terms of the field that contain such a word.
TERMS: Final = ("common_random_numbers",)

LONG_MODULES: Final[dict[str, str]] = {}
LONG_FUNCTIONS: Final[dict[str, str]] = {
    "market/engine/allocation.py:allocate": "one line for each column of the engine's state",
}

# Text of which every line is the project's own. Data tables and licences quote others.
TEXT_SUFFIXES: Final = frozenset(
    {"", ".py", ".md", ".toml", ".txt", ".cff", ".csv", ".html", ".css", ".ipynb", ".j2", ".json"}
)
MACHINE_PATH: Final = re.compile(r"(?<![\w.\-/:])/(?:root|home|Users|work|opt|mnt|tmp|srv)/\w")
# Brackets around one letter keep this very line from being found.
REGISTRY: Final = re.compile(
    r"pypi\.org|pythonhosted\.org|anaconda\.org|npmjs\.(?:org|com)|[a]rtifactory|[j]frog|[d]evpi"
    r"|--(?:extra-)?index-url|--[f]ind-links|PIP_[I]NDEX",
    re.IGNORECASE,
)
NOTE_TO_SELF: Final = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")


def named(file: Path) -> str:
    return str(file)


every_python_file = pytest.mark.parametrize("file", python_files(), ids=named)
every_module = pytest.mark.parametrize("file", library_files(), ids=named)


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function's body, the docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    last = function.end_lineno or function.lineno
    return last - body[0].lineno + 1 if body else 0


def words_of(name: str) -> set[str]:
    """Split a snake_case or CamelCase name into lower-case words, terms of the field left out."""
    for term in TERMS:
        name = name.replace(term, "")
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name)}


def public_functions(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """List module-level functions without a leading underscore, overload signatures left out."""
    return [
        node
        for node in tree_of(file).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and "overload" not in {ast.unparse(decorator) for decorator in node.decorator_list}
    ]


def imported_roots(tree: ast.AST) -> set[str]:
    """Name the top-level packages that a piece of code imports."""
    roots: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            roots.add(node.module.split(".")[0])
    return roots


@every_module
def test_a_module_is_at_most_400_lines(file: Path) -> None:
    if str(file) in LONG_MODULES:
        pytest.skip(LONG_MODULES[str(file)])
    lines = len((PROJECT / file).read_text(encoding="utf-8").splitlines())
    assert lines <= MODULE_LINES_MAX


@every_python_file
def test_the_body_of_a_function_is_at_most_50_lines(file: Path) -> None:
    sizes = {f"{file}:{f.name}": body_lines(f) for f in functions_in(file)}
    too_long = {
        name: lines
        for name, lines in sizes.items()
        if lines > FUNCTION_LINES_MAX and name not in LONG_FUNCTIONS
    }
    assert too_long == {}


def test_every_listed_exception_is_still_needed() -> None:
    modules = {
        name: len((PROJECT / name).read_text(encoding="utf-8").splitlines())
        for name in LONG_MODULES
    }
    functions = {
        f"{file}:{f.name}": body_lines(f) for file in python_files() for f in functions_in(file)
    }
    idle = [name for name, lines in modules.items() if lines <= MODULE_LINES_MAX]
    idle += [name for name in LONG_FUNCTIONS if functions.get(name, 0) <= FUNCTION_LINES_MAX]
    assert idle == []


@every_python_file
def test_no_name_evades_naming(file: Path) -> None:
    names = {file.stem, *file.parent.parts}
    names |= {
        node.name
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    assert {name for name in names if words_of(name) & BANNED_WORDS} == set()


@every_python_file
def test_a_module_opens_with_what_it_is_for(file: Path) -> None:
    docstring = ast.get_docstring(tree_of(file)) or ""
    first_paragraph = docstring.split("\n\n")[0].strip()
    assert first_paragraph.endswith((".", "?"))


@every_module
def test_a_public_function_says_what_it_promises(file: Path) -> None:
    summaries = {
        f.name: (ast.get_docstring(f) or "").partition("\n")[0] for f in public_functions(file)
    }
    assert {name: text for name, text in summaries.items() if not text.endswith(".")} == {}


@every_python_file
def test_nothing_raises_a_bare_exception(file: Path) -> None:
    raised = [node.exc for node in ast.walk(tree_of(file)) if isinstance(node, ast.Raise)]
    callees = [exc.func if isinstance(exc, ast.Call) else exc for exc in raised]
    names = {callee.id for callee in callees if isinstance(callee, ast.Name)}
    assert names & {"Exception", "BaseException"} == set()


@every_python_file
def test_no_comment_is_a_note_to_self(file: Path) -> None:
    source = io.StringIO((PROJECT / file).read_text(encoding="utf-8"))
    comments = [
        token.string
        for token in tokenize.generate_tokens(source.readline)
        if token.type == tokenize.COMMENT
    ]
    assert [comment for comment in comments if NOTE_TO_SELF.search(comment)] == []


@every_python_file
def test_the_four_packages_are_imported_through_hanse(file: Path) -> None:
    assert imported_roots(tree_of(file)) & set(PACKAGES) == set()


@pytest.mark.parametrize(
    "notebook", [f for f in project_files() if f.suffix == ".ipynb"], ids=named
)
def test_notebooks_import_the_four_packages_through_hanse(notebook: Path) -> None:
    cells = json.loads((PROJECT / notebook).read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    roots = set[str]().union(*(imported_roots(ast.parse("".join(c["source"]))) for c in code))
    assert roots & set(PACKAGES) == set()


@pytest.mark.parametrize(
    "file", [f for f in project_files() if f.suffix in TEXT_SUFFIXES], ids=named
)
def test_no_file_knows_the_machine_or_the_registry(file: Path) -> None:
    lines = (PROJECT / file).read_text(encoding="utf-8").splitlines()
    found = [
        f"{number}: {line.strip()[:120]}"
        for number, line in enumerate(lines, start=1)
        if MACHINE_PATH.search(line) or REGISTRY.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_foreign"),
    [
        ("see " + "/ho" + "me/ada/hanse", True),
        ("index at py" + "pi.org", True),
        ("pip install " + "--index-" + "url x", True),
        ("usd/work/h and a/tmp/b", False),
        ("results/baseline", False),
    ],
)
def test_the_search_for_machines_and_registries_finds_them(text: str, is_foreign: bool) -> None:
    assert bool(MACHINE_PATH.search(text) or REGISTRY.search(text)) is is_foreign


@pytest.mark.parametrize(
    ("file", "statement", "contract"),
    [
        ("market/units.py", "import hanse.agents.world", "One direction of imports"),
        ("agents/fleet.py", "import hanse", "Nothing imports the front door"),
        (
            "market/accounts/displacement.py",
            "import hanse.market.router",
            "What measures knows no regime and no router",
        ),
    ],
)
def test_the_contracts_of_imports_see_through_the_links(
    file: str, statement: str, contract: str, tmp_path: Path
) -> None:
    copy = copy_of_the_project(tmp_path / "copy")
    with (copy / file).open("a", encoding="utf-8") as module:
        module.write(f"\n{statement}\n")
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 1
    assert f"{contract} BROKEN" in linted.stdout

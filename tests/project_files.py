"""Which files the project consists of: what git tracks, or would track."""

import ast
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PACKAGES = ("scenarios", "agents", "market", "verification")


@cache
def project_files() -> tuple[Path, ...]:
    """List tracked files and those that git would add, relative to the project."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    found = (Path(name) for name in listing.stdout.split("\0") if name)
    return tuple(sorted(f for f in found if (PROJECT / f).is_file()))


def copy_of_the_project(target: Path) -> Path:
    """Copy the project, links as links, for a test that builds in it or breaks it."""
    for file in project_files():
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / file, target / file)
    for package in PACKAGES:
        (target / "hanse" / package).symlink_to(f"../{package}")
    return target


def python_files(*folders: str) -> tuple[Path, ...]:
    """List the Python files under `folders`, or all."""
    return tuple(
        f for f in project_files() if f.suffix == ".py" and (not folders or f.parts[0] in folders)
    )


def library_files() -> tuple[Path, ...]:
    """List the modules that are installed."""
    return python_files("hanse", *PACKAGES)


@cache
def tree_of(file: Path) -> ast.Module:
    """Parse a Python file of the project."""
    return ast.parse((PROJECT / file).read_text(encoding="utf-8"), filename=str(file))


def functions_in(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Walk over all functions and methods of a file, nested ones too."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node

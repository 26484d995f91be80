"""What is in the repository is what is installed, and the front door opens fast."""

import ast
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Final

import pytest

import hanse
from tests.project_files import PACKAGES, PROJECT, copy_of_the_project, project_files, tree_of

IMPORT_CPU_S_MAX: Final = 0.5
HELP_CPU_S_MAX: Final = 0.3
HEAVY: Final = ("matplotlib", "mesa", "networkx", "numba", "pandas", "pyarrow", "scipy")
# What pip says when there is no index to ask, as opposed to one that answers.
NO_INDEX: Final = ("No matching distribution found for openai-agents", "Failed to establish")


def run_python(code: str, *, python: Path | str = sys.executable) -> str:
    """Run code in a process of its own, outside the project, and return what it prints."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    finished = subprocess.run(
        [str(python), "-W", "error", "-c", code],
        cwd=Path(python).parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def installed_path(file: Path) -> PurePosixPath:
    """Say where a file of the project lies in the wheel."""
    path = PurePosixPath(file.as_posix())
    return path if path.parts[0] == "hanse" else PurePosixPath("hanse") / path


def package_files() -> dict[str, bytes]:
    """Map each installed path to its content, as the repository has it."""
    return {
        str(installed_path(f)): (PROJECT / f).read_bytes()
        for f in project_files()
        if f.parts[0] in ("hanse", *PACKAGES)
    }


def build_wheel(target: Path, *options: str) -> tuple[Path, str]:
    """Build a wheel without a network; return it, and what the build said."""
    source = copy_of_the_project(target / "source")
    finished = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", target / "dist"],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    said = finished.stdout + finished.stderr
    assert finished.returncode == 0, said
    return next((target / "dist").glob("*.whl")), said


@pytest.fixture(scope="module")
def wheel_and_log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Build the wheel straight from the tree, as `pip install .` does."""
    return build_wheel(tmp_path_factory.mktemp("tree"), "--wheel")


@pytest.fixture(scope="module")
def wheel(wheel_and_log: tuple[Path, str]) -> Path:
    """Return the wheel built from the tree."""
    return wheel_and_log[0]


def contents(wheel: Path) -> dict[str, bytes]:
    """Map the paths in a wheel to their contents, its own metadata left out."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert len(names) == len(set(names))
        return {name: archive.read(name) for name in names}


def test_the_wheel_is_the_repository(wheel: Path) -> None:
    packed, expected = contents(wheel), package_files()
    assert sorted(packed) == sorted(expected)
    assert [name for name in expected if packed[name] != expected[name]] == []


def test_a_wheel_made_from_the_source_distribution_is_the_same(wheel: Path, tmp_path: Path) -> None:
    through_sdist, _ = build_wheel(tmp_path)
    assert contents(through_sdist) == contents(wheel)


def test_the_wheel_claims_one_top_level_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        roots = {name.split("/")[0] for name in archive.namelist()}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"hanse"}
    assert len(roots) == 2  # hanse and its metadata


def test_the_wheel_carries_its_tables_its_parameters_and_its_types(wheel: Path) -> None:
    names = set(contents(wheel))
    assert {
        "hanse/py.typed",
        "hanse/scenarios/parameters.toml",
        "hanse/scenarios/library/baseline.toml",
        "hanse/scenarios/tables/regions.csv",
    } <= names


def test_the_build_is_free_of_deprecations(wheel_and_log: tuple[Path, str]) -> None:
    assert [line for line in wheel_and_log[1].splitlines() if "eprecat" in line] == []


def venv_that_sees_our_dependencies(target: Path) -> Path:
    """Make an environment to install into, and return its Python.

    It finds what the tests run on, as an environment with system packages would, so that only what
    is not there yet is fetched. Of this project it finds nothing: path files are read in the
    environment's own folder only, and an editable installation is nothing else.
    """
    venv.create(target, with_pip=True)
    site_packages = next(target.glob("lib/python*/site-packages"))
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    python = target / "bin" / "python"
    with pytest.raises(AssertionError, match="No module named 'hanse'"):
        run_python("import hanse", python=python)
    return python


@pytest.mark.slow
def test_the_wheel_works_beside_openai_agents(wheel: Path, tmp_path: Path) -> None:
    python = venv_that_sees_our_dependencies(tmp_path / "venv")
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", "-c", "constraints.txt", wheel, "openai-agents"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if any(text in installed.stderr for text in NO_INDEX):
        pytest.skip(f"pip cannot reach an index: {installed.stderr.splitlines()[-1]}")
    assert installed.returncode == 0, installed.stderr
    said = run_python(
        "import agents, hanse.agents, hanse.agents.world\n"
        "import hanse\n"
        "print(agents.Runner.__module__, hanse.World.__module__)\n"
        "print(hanse.names())",
        python=python,
    )
    theirs_and_ours, library = said.splitlines()
    assert theirs_and_ours == "agents.run hanse.agents.world"
    assert "baseline" in library


def test_importing_hanse_costs_at_most_half_a_second() -> None:
    said = run_python("import hanse, time; print(time.process_time())")
    assert float(said) <= IMPORT_CPU_S_MAX


def test_importing_hanse_loads_nothing_heavy() -> None:
    said = run_python(f"import hanse, sys; print([m for m in {HEAVY!r} if m in sys.modules])")
    assert said.strip() == "[]"


def test_asking_for_help_costs_at_most_a_third_of_a_second() -> None:
    said = run_python(
        "import sys, time\n"
        "from hanse.scenarios.cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print(time.process_time(), *(m for m in {HEAVY!r} if m in sys.modules))"
    )
    cpu_s, *heavy = said.splitlines()[-1].split()
    assert heavy == []
    assert float(cpu_s) <= HELP_CPU_S_MAX


@pytest.mark.parametrize("name", hanse.__all__)
def test_a_public_name_is_what_its_home_holds(name: str) -> None:
    home = import_module(hanse._HOME[name])
    assert getattr(hanse, name) is getattr(home, name)


def test_static_tools_see_the_names_that_are_fetched_lazily() -> None:
    guarded = next(n for n in tree_of(Path("hanse/__init__.py")).body if isinstance(n, ast.If))
    imports = [node for node in guarded.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert seen == hanse._HOME
    assert sorted(hanse.__all__) == sorted(hanse._HOME)


def test_a_name_that_hanse_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'comparee'"):
        _ = hanse.comparee  # type: ignore[attr-defined]


def test_the_version_is_the_one_that_is_installed() -> None:
    pyproject = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{hanse.__version__}"' in pyproject

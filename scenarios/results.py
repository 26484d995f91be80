"""Results: the one place for what is kept of an experiment, Parquet tables and their manifest.

The tables hold no time and no fact of the machine, so that the same seeds give the same bytes with
any number of workers; those stand in the manifest alone.
"""

import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hanse.scenarios.parameters import near_miss

KIND: Final = "hanse results"
PACKAGES: Final = ("hanse", "numpy", "numba", "mesa", "scipy", "pandas", "pyarrow")
# Tables that somebody will want to open in a spreadsheet.
ALSO_AS_CSV: Final = ("differences", "levels", "failures")

Cell = str | int | float
Columns = Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]


class ResultsError(ValueError):
    """A directory is not a result, or must not be overwritten by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Tables by name, and the manifest that says where they come from."""

    tables: Mapping[str, pa.Table]
    manifest: Mapping[str, object]

    def frame(self, name: str) -> pd.DataFrame:
        """Return one table as a data frame; `ResultsError` names the near miss."""
        if name not in self.tables:
            raise ResultsError(f"no table {name!r} in these results{near_miss(name, self.tables)}")
        frame: pd.DataFrame = self.tables[name].to_pandas()
        return frame

    def save(
        self, path: Path, *, force: bool = False, pages: Mapping[str, str] | None = None
    ) -> Path:
        """Write a directory at once: a finished sibling takes the place of what was there.

        Parameters
        ----------
        path : directory to make; an earlier result there is replaced, anything else is refused.
        force : replace a directory that is not an earlier result, too.
        pages : further text files by name, written beside the manifest.
        """
        target = check_target(path, force=force)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
            fresh = Path(scratch) / "fresh"
            _write(self, fresh)
            self.add_pages(fresh, pages or {})
            if target.exists():
                target.rename(Path(scratch) / "replaced")
            fresh.rename(target)
        return target

    def add_pages(self, path: Path, pages: Mapping[str, str]) -> None:
        """Write text files into a saved result, each in one go, and leave the rest alone."""
        for name, text in pages.items():
            target = path / name
            target.parent.mkdir(exist_ok=True)
            fresh = target.with_name(f".{target.name}.fresh")
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(target)

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read a directory that `save` made."""
        manifest = _manifest_of(path)
        if manifest is None:
            raise ResultsError(f"{path} is not a result of hanse: it has no manifest.json of ours")
        files = sorted((path / "tables").glob("*.parquet"))
        return cls(tables={f.stem: pq.read_table(f) for f in files}, manifest=manifest)


def check_target(path: Path, *, force: bool = False) -> Path:
    """Return the resolved directory to write, or say why it must not be replaced."""
    target = path.resolve()
    here = Path.cwd().resolve()
    if target == here or target in here.parents:
        raise ResultsError(f"{path} is the current directory or above it; name a directory inside")
    nearest = next(folder for folder in (target, *target.parents) if folder.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ResultsError(f"{path} cannot be made: {nearest} is not writable")
    if target.exists() and not target.is_dir():
        raise ResultsError(f"{path} is a file; name a directory")
    if target.is_dir() and any(target.iterdir()) and _manifest_of(target) is None and not force:
        raise ResultsError(
            f"{path} is not empty and not an earlier result; name another directory, or --force"
        )
    return target


def collect(
    runs: Iterable[tuple[Mapping[str, Cell], Mapping[str, Columns]]],
) -> dict[str, pa.Table]:
    """Stack the tables of many runs, each row led by the keys of its run, in the order given."""
    pieces: dict[str, list[pa.Table]] = {}
    for keys, tables in runs:
        for name, columns in tables.items():
            pieces.setdefault(name, []).append(_keyed(keys, columns))
    return {name: pa.concat_tables(parts).combine_chunks() for name, parts in pieces.items()}


def table_of(rows: list[Mapping[str, Cell]], schema: Mapping[str, pa.DataType]) -> pa.Table:
    """Build a table from rows, with its columns even when there is no row."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=pa.schema(list(schema.items())))


def provenance() -> dict[str, object]:
    """Say which code on which machine made a result; nothing of it reaches a data file."""
    return {
        "kind": KIND,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in PACKAGES},
        "commit": _git("rev-parse", "HEAD"),
        "commit_has_changes": bool(_git("status", "--porcelain")),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def _keyed(keys: Mapping[str, Cell], columns: Columns) -> pa.Table:
    n_rows = len(next(iter(columns.values())))
    arrays = {name: pa.repeat(pa.scalar(value), n_rows) for name, value in keys.items()}
    return pa.table(arrays | {name: _array(values) for name, values in columns.items()})


def _array(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> pa.Array:
    match values.dtype.kind:
        case "f":
            return pa.array(values, pa.float64())
        case "i" | "u":
            return pa.array(values, pa.int64())
        case "b":
            return pa.array(values, pa.bool_())
        case _:
            return pa.array(values.tolist(), pa.string())


def _write(results: Results, directory: Path) -> None:
    (directory / "tables").mkdir(parents=True)
    for name, table in results.tables.items():
        pq.write_table(table, directory / "tables" / f"{name}.parquet", compression="zstd")
        if name in ALSO_AS_CSV:
            table.to_pandas().to_csv(directory / f"{name}.csv", index=False)
    text = json.dumps(results.manifest, indent=2, default=_plain)
    (directory / "manifest.json").write_text(text + "\n", encoding="utf-8")


def _plain(value: object) -> object:
    """Lower what JSON does not know: numpy scalars to Python's, anything else to its text."""
    return value.item() if isinstance(value, np.generic) else str(value)


def _manifest_of(path: Path) -> dict[str, object] | None:
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("kind") == KIND else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Ask the repository this code lies in; None in a wheel or without git."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists() or (git := shutil.which("git")) is None:
        return None
    answer = subprocess.run(
        [git, "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=False
    )
    return answer.stdout.strip() if answer.returncode == 0 else None

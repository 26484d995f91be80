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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hanse.scenarios.parameters import near_miss

KIND: Final = "hanse results"
PACKAGES: Final = ("hanse", "numpy", "numba", "mesa", "scipy", "pandas", "pyarrow")
# Tables that somebody will want to open in a spreadsheet.
ALSO_AS_CSV: Final = ("differences", "levels", "failures")

# Files up to this size are read once, and not whenever their table is asked for.
KEPT_BYTES: Final = 1 << 20

# Rows that are written at once: whether a table comes whole or piece by piece, the same bytes.
GROUP_ROWS: Final = 1 << 18


class ResultsError(ValueError):
    """A directory is not a result, or must not be overwritten by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf(Mapping[str, pa.Table]):
    """Tables by name, of which some lie in files and are read when they are asked for.

    Small ones are read once, and kept.
    """

    tables: Mapping[str, pa.Table]
    files: Mapping[str, Path]
    _read: dict[str, pa.Table] = field(default_factory=dict)

    def __getitem__(self, name: str) -> pa.Table:
        if name in self.tables:
            return self.tables[name]
        if name in self._read:
            return self._read[name]
        table = pq.read_table(self.files[name])
        if self.files[name].stat().st_size <= KEPT_BYTES:
            self._read[name] = table
        return table

    def __iter__(self) -> Iterator[str]:
        yield from self.files
        yield from self.tables

    def __len__(self) -> int:
        return len(self.files) + len(self.tables)

    def __or__(self, more: Mapping[str, pa.Table]) -> "Shelf":
        """Return the same tables and some more, which take the place of those of their name."""
        files = {name: file for name, file in self.files.items() if name not in more}
        return Shelf(tables={**self.tables, **more}, files=files, _read=self._read)

    def moved_to(self, folder: Path) -> "Shelf":
        """Return the same tables, of which those in files lie in another folder by now."""
        files = {name: folder / file.name for name, file in self.files.items()}
        return replace(self, files=files)


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
        manifest = check_result(path)
        files = sorted((path / "tables").glob("*.parquet"))
        tables = {file.stem: _read(file) for file in files}
        return cls(tables=tables, manifest=manifest)


@cache
def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that a number can depend on."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def check_result(path: Path) -> dict[str, object]:
    """Return the manifest of a result; `ResultsError` if the directory is none."""
    manifest = _manifest_of(path)
    if manifest is None:
        raise ResultsError(f"{path} is not a result of hanse: it has no manifest.json of ours")
    return manifest


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


def write_in_groups(pieces: Iterable[pa.Table], file: Path) -> None:
    """Write a table that comes in pieces, at least one, a fixed number of rows at a time.

    Words that come as codes are read back as text. A column lacks values in its first piece, or
    nowhere: that none are missing need not be written row by row.
    """
    waiting = iter(pieces)
    first = next(waiting)
    schema = pa.schema([_told(column, first) for column in first.schema])
    is_coded = {column.name: _is_coded(column.type) for column in first.schema}
    with pq.ParquetWriter(
        file,
        schema,
        # Zstandard takes as much room for these tables, and more time.
        compression="lz4",
        use_dictionary=[name for name, has_words in is_coded.items() if has_words],
        # Who looks for a seed or a point may leave out groups of rows; for a word, hardly.
        write_statistics=[name for name, has_words in is_coded.items() if not has_words],
        store_schema=False,
    ) as writer:
        held: list[pa.Table] = []
        for piece in chain([first], waiting):
            held.append(piece.cast(schema))
            while sum(table.num_rows for table in held) >= GROUP_ROWS:
                table = pa.concat_tables(held)
                writer.write_table(table.slice(0, GROUP_ROWS).combine_chunks())
                held = [table.slice(GROUP_ROWS)]
        if sum(table.num_rows for table in held):
            writer.write_table(pa.concat_tables(held).combine_chunks())


def coded(table: pa.Table) -> pa.Table:
    """Return a table whose words are codes into the sorted words of their column."""
    for k, column in enumerate(table.schema):
        if pa.types.is_string(column.type):
            found = pa.array(table[k].combine_chunks()).dictionary_encode()
            order = pc.array_sort_indices(found.dictionary)
            rank = np.empty(len(order), np.int32)
            rank[order.to_numpy()] = np.arange(len(order))
            codes = pc.take(pa.array(rank), found.indices)
            words = pa.DictionaryArray.from_arrays(codes, found.dictionary.take(order))
            table = table.set_column(k, column.name, words)
    return table


def _told(column: pa.Field, table: pa.Table) -> pa.Field:
    return column.with_nullable(table[column.name].null_count > 0)


def _is_coded(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind))


def provenance() -> dict[str, object]:
    """Say which code on which machine made a result; nothing of it reaches a data file."""
    return {
        "kind": KIND,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "commit": _git("rev-parse", "HEAD"),
        "commit_has_changes": bool(_git("status", "--porcelain")),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def _write(results: Results, directory: Path) -> None:
    (directory / "tables").mkdir(parents=True)
    for name in results.tables:
        target = directory / "tables" / f"{name}.parquet"
        file = results.tables.files.get(name) if isinstance(results.tables, Shelf) else None
        if file is None:
            write_in_groups([coded(results.tables[name])], target)
        else:
            shutil.copyfile(file, target)
        if name in ALSO_AS_CSV:
            results.frame(name).to_csv(directory / f"{name}.csv", index=False)
    text = json.dumps(results.manifest, indent=2, default=_plain)
    (directory / "manifest.json").write_text(text + "\n", encoding="utf-8")


def _read(file: Path) -> pa.Table:
    try:
        return pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ResultsError(f"{file} is damaged: {error}") from error


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

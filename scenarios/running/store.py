"""The store: the one place for a folder that grows as runs finish, and outlives a kill.

    plan.json           what was asked, of which code; a later call must ask the same
    lock                held by the process that writes; the system lets go of it if that dies
    parts/*.part        what each batch of runs left, written whole or not at all
    tables/*.parquet    the parts put in order, once all are there

A part is written beside its place, flushed to the disk and renamed, so that whatever the instant of
a kill, what is there is whole. Names are flushed once a second at most: a machine that loses its
power may forget parts that came within a second after another, and makes those runs again. Nothing
here depends on how often a sweep was killed or in which order its parts came: the tables are the
same bytes.
"""

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import IO, Final

from hanse.scenarios.results import ResultsError, write_in_groups
from hanse.scenarios.running.parts import Part, PartDamaged, checked, unpack
from hanse.scenarios.running.stacking import names_of, rows_in_order

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

KIND: Final = "hanse store"
LOCK_WAIT_S: Final = 1.0
# A flush of names costs as much as one of bytes; what it guards against is a loss of power alone.
NAMES_FLUSHED_S: Final = 1.0
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class StoreError(ResultsError):
    """A folder cannot be gone on with; what it holds is left alone."""


class StoreBusy(StoreError):
    """Another process writes to this folder."""


class StoreDiffers(StoreError):
    """The folder was begun for something else."""


class StoreDamaged(StoreError):
    """A file is not what was written."""


class DiskFull(StoreError):
    """No space is left; what was kept until here is whole."""


class Store:
    """A folder of parts that one process at a time adds to; use it in a `with` statement.

    Parameters
    ----------
    path : folder, made if it is not there; one that holds anything else is refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts: list[Part] = []
        self._numbers: set[int] = set()
        self._lock: IO[str] | None = None
        self._named_at = -NAMES_FLUSHED_S

    def __enter__(self) -> "Store":
        is_ours = (self.path / "plan.json").exists() or (self.path / "lock").exists()
        if self.path.exists() and not is_ours and any(self.path.iterdir()):
            raise StoreError(f"{self.path} is not empty and was not begun by hanse; name another")
        with naming_full_disks(self.path):
            (self.path / "parts").mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def begin(self, plan: Mapping[str, object]) -> None:
        """Go on with what is here, or begin; `StoreDiffers` says in what the plans differ."""
        file = self.path / "plan.json"
        asked = json.loads(json.dumps({"kind": KIND, **plan}))
        if file.exists():
            _check_plan(file, asked)
            self._parts = [self._load(part) for part in sorted(self.path.glob("parts/*.part"))]
            for part in self._parts:
                self._enter(part)
        else:
            self._write(file, json.dumps(asked, indent=1).encode())

    def parts(self) -> Sequence[Part]:
        """Return what is kept, in no particular order."""
        return self._parts

    @property
    def n_runs(self) -> int:
        """Count the runs that are kept."""
        return len(self._numbers)

    def add(self, packed: bytes) -> Part:
        """Keep a part for good; when this returns, its bytes are on the disk."""
        read = unpack(packed)
        file = self.path / "parts" / f"{read.runs[0]:09d}-{len(read.runs)}.part"
        part = replace(read, source=file)
        self._enter(part)
        self._write(file, packed)
        self._parts.append(part)
        return part

    def compact(self) -> dict[str, Path]:
        """Write every table in the order of the runs, piece by piece; return the files by name."""
        for part in self._parts:
            assert isinstance(part.source, Path)
            self._load(part.source)
        folder = self.path / "tables"
        files = {}
        with naming_full_disks(self.path):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for name in names_of(self._parts):
                files[name] = folder / f"{name}.parquet"
                write_in_groups(rows_in_order(self._parts, name), files[name])
        return files

    def discard(self) -> None:
        """Remove the folder: its result has been saved elsewhere, or is not wanted."""
        gone = self.path.with_name(f".{self.path.name}-{os.getpid()}-gone")
        self.path.rename(gone)  # at once: half a store must never be taken for a whole one
        self.__exit__(None, None, None)
        shutil.rmtree(gone, ignore_errors=True)

    def _enter(self, part: Part) -> None:
        numbers = set(part.runs.tolist())
        if twice := numbers & self._numbers:
            raise StoreDamaged(f"{self.path} holds run {min(twice)} twice")
        self._numbers |= numbers

    def _load(self, file: Path) -> Part:
        try:
            return replace(unpack(checked(file.read_bytes())), source=file)
        except (PartDamaged, FileNotFoundError) as error:
            raise StoreDamaged(
                f"{file} is damaged ({error}); remove it and call again: its runs are made again"
            ) from error

    def _write(self, file: Path, content: bytes) -> None:
        """Write a file whole or not at all, and wait until the disk has it."""
        fresh = file.with_name(f"{file.name}.fresh")
        with naming_full_disks(self.path):
            try:
                with fresh.open("wb") as sink:
                    sink.write(content)
                    sink.flush()
                    os.fsync(sink.fileno())
                fresh.replace(file)
            except OSError:
                with suppress(OSError):
                    fresh.unlink()
                raise
            if monotonic() - self._named_at >= NAMES_FLUSHED_S:
                _flush_folder(file.parent)
                self._named_at = monotonic()


@contextmanager
def naming_full_disks(path: Path) -> Iterator[None]:
    """Turn the system's word for a full disk into one that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull(
            f"no space is left on the disk of {path}; every run kept so far is whole: make room "
            "and give the same command again"
        ) from error


def _check_plan(file: Path, asked: Mapping[str, object]) -> None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreDamaged(f"{file} is damaged ({error}); begin again elsewhere") from error
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise StoreError(f"{file} is not a plan of hanse")
    differ = sorted(k for k in {*found, *asked} if found.get(k) != asked.get(k))
    if differ:
        raise StoreDiffers(
            f"{file.parent} was begun with another {', '.join(differ)}; --fresh begins again, and "
            "drops what is there"
        )


def _locked(path: Path) -> IO[str]:
    """Take the lock; wait a moment for workers of a process that was killed to be gone."""
    file = (path / "lock").open("a+", encoding="utf-8")
    until = monotonic() + LOCK_WAIT_S
    while True:
        try:
            _try_lock(file)
        except OSError:
            if monotonic() < until:
                sleep(0.02)
                continue
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise StoreBusy(
                f"{path} is in use by process {holder}; wait for it, or end it"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        return file


if sys.platform == "win32":

    def _try_lock(file: IO[str]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _flush_folder(folder: Path) -> None:
        """Do nothing: this system flushes folders by itself."""

else:

    def _try_lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _flush_folder(folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

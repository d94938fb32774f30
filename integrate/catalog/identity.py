"""The identity of a source on disk: what changes when its bytes may have, and its sha256 once somebody asks."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from integrate.errors import DataError
from integrate.model.provenance import hash_file

__all__ = ["SMALL_BYTES", "FileState", "Source", "files_below", "identify", "keep_hashes", "tree_hash", "user_cache"]

#: A source up to this size is hashed whenever it is opened; a larger one when a result names it.
SMALL_BYTES = 1_000_000
#: A file written so recently may be written again without its time changing; its hash is not kept.
RACY_SECONDS = 2.0
MEMORY = ".hashes.sqlite"


@dataclass(frozen=True, slots=True)
class FileState:
    """One file as the file system tells of it; `mark` changes with path, size, time or inode."""

    relative: str
    place: str
    bytes: int
    changed_ns: int
    mark: str

    @property
    def path(self) -> Path:
        """Where it lies; made when it is asked for, because a store may have a hundred thousand files."""
        return Path(self.place)


@dataclass(frozen=True)
class Source:
    """A file, or a folder of files, as it was when it was looked at; none of its bytes has been read.

    Parameters
    ----------
    path
        Where it lies.
    files
        Its files; one without a relative name when the source is a file.
    """

    path: Path
    files: tuple[FileState, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files)

    @cached_property
    def stamp(self) -> str:
        """16 hex digits that change when a file's size, time or inode does, or a file comes or goes."""
        return hashlib.sha256("".join(file.mark for file in self.files).encode()).hexdigest()[:16]

    def is_current(self) -> bool:
        """Return whether nothing has changed since."""
        return self.path.exists() and identify(self.path).stamp == self.stamp

    def known_hash(self) -> str | None:
        """Return the sha256 if it is known without reading more than a megabyte, else ``None``."""
        if self.bytes <= SMALL_BYTES:
            return self._combined({file.mark: hash_file(file.path) for file in self.files})
        known = _remembered(file.mark for file in self.files)
        return self._combined(known) if all(file.mark in known for file in self.files) else None

    def true_hash(self) -> str:
        """Return the sha256 of the bytes, read unless this user has read them since they last changed.

        Raises
        ------
        DataError
            If the source is not what it was when it was looked at.
        """
        if not self.is_current():
            raise DataError(f"{self.path.name} has changed, or is gone, since it was opened; open it again")
        known = {} if self.bytes <= SMALL_BYTES else _remembered(file.mark for file in self.files)
        read = {file.mark: hash_file(file.path) for file in self.files if file.mark not in known}
        if self.bytes > SMALL_BYTES:
            keep_hashes((file, read[file.mark]) for file in self.files if file.mark in read)
        return self._combined(known | read)

    def fresh_hash(self) -> str:
        """Return the sha256 of the bytes, read now even when they were read before."""
        read = {file.mark: hash_file(file.path) for file in self.files}
        keep_hashes((file, read[file.mark]) for file in self.files)
        return self._combined(read)

    def _combined(self, hashes: Mapping[str, str]) -> str:
        if len(self.files) == 1 and not self.files[0].relative:
            return hashes[self.files[0].mark]
        return tree_hash({file.relative: hashes[file.mark] for file in self.files})


def identify(path: Path) -> Source:
    """Return what the file system tells of a file, or of every file in a folder.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    """
    path = path.resolve()
    if not path.is_dir():
        return Source(path, (_told(str(path), "", path.stat()),))
    start = len(os.path.join(path, ""))
    files = [_told(one.path, one.path[start:].replace(os.sep, "/"), one.stat()) for one in files_below(path)]
    return Source(path, tuple(sorted(files, key=lambda one: one.relative)))


def files_below(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield every file below a folder; links to files count, links to folders are not followed."""
    with os.scandir(folder) as listed:
        for one in listed:
            if one.is_dir(follow_symlinks=False):
                yield from files_below(Path(one.path))
            elif one.is_file():
                yield one


def keep_hashes(hashes: Iterable[tuple[FileState, str]]) -> None:
    """Keep the hashes of files for later sessions of this user; where they cannot be kept they are made again."""
    settled = time.time_ns() - int(RACY_SECONDS * 1e9)
    kept = [(file.mark, digest) for file, digest in hashes if file.changed_ns < settled]
    with suppress(sqlite3.Error, OSError), closing(_open_memory()) as memory:
        memory.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?)", kept)
        memory.commit()


def tree_hash(hashes: Mapping[str, str]) -> str:
    """Return the hash of a folder from those of its files, the same that `hash_file` gives.

    Examples
    --------
    >>> tree_hash({"b": "0" * 64, "a": "1" * 64}) == tree_hash({"a": "1" * 64, "b": "0" * 64})
    True
    """
    tree = hashlib.sha256()
    for name in sorted(hashes, key=lambda one: PurePosixPath(one)):
        tree.update(f"{name}\0{hashes[name]}\n".encode())
    return tree.hexdigest()


def _told(place: str, relative: str, status: os.stat_result) -> FileState:
    facts = f"{place}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}"
    mark = hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()
    return FileState(relative, place, status.st_size, status.st_mtime_ns, mark)


def user_cache() -> Path:
    """Return the folder in which this user's copies and hashes are kept."""
    return Path(os.environ.get("INTEGRATE_CACHE", "~/.cache/integrate/files")).expanduser()


def _remembered(marks: Iterable[str]) -> dict[str, str]:
    """Return the kept hashes of files; a memory that cannot be read knows nothing."""
    wanted, found = list(marks), dict[str, str]()
    if not (user_cache() / MEMORY).exists():
        return found
    try:
        with closing(_open_memory()) as memory:
            for start in range(0, len(wanted), 500):
                some = wanted[start : start + 500]
                ask = f"SELECT mark, sha256 FROM hashes WHERE mark IN ({','.join('?' * len(some))})"
                found.update(memory.execute(ask, some).fetchall())
    except (sqlite3.Error, OSError):
        return {}
    return found


def _open_memory() -> sqlite3.Connection:
    user_cache().mkdir(parents=True, exist_ok=True)
    memory = sqlite3.connect(user_cache() / MEMORY, timeout=2)
    memory.execute("CREATE TABLE IF NOT EXISTS hashes (mark TEXT PRIMARY KEY, sha256 TEXT NOT NULL)")
    return memory

"""Copies of remote files: fetched whole, checked, kept in a bounded folder that several processes share."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from integrate.catalog.identity import identify, user_cache
from integrate.catalog.safety import without_caching
from integrate.errors import DataError, IntegrateError, MissingDependencyError, ParameterError, SourceNotFoundError
from integrate.model.provenance import hash_file

__all__ = ["Cache", "fetch", "told_location"]

BLOCK = 8_000_000
#: What fsspec can open for a catalog, and the package it needs beside fsspec.
NEEDS: dict[str, str] = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "https": "aiohttp",
}


@dataclass(frozen=True)
class Cache:
    """A folder for copies of remote files, kept below a size by dropping what was used longest ago.

    Copies in use by a living process are never dropped, so the folder may grow past its bound while they are.

    Parameters
    ----------
    folder
        Where copies are kept; by default ``INTEGRATE_CACHE`` or ``~/.cache/integrate/files``.
    limit_bytes
        Size to keep below.

    Raises
    ------
    ParameterError
        If the bound is not a positive number.

    Examples
    --------
    >>> cache = ig.Cache(tmp_path / "copies", limit_bytes=5_000_000_000)
    >>> catalog = ig.open_catalog("demo", cache=cache)  # what it fetches is kept there
    """

    folder: Path = field(default_factory=user_cache)
    limit_bytes: int = 20_000_000_000

    def __post_init__(self) -> None:
        if self.limit_bytes <= 0:
            raise ParameterError(f"limit_bytes={self.limit_bytes!r}; give a positive number of bytes")
        object.__setattr__(self, "folder", Path(self.folder).expanduser().absolute())

    def holds(self, key: str) -> bool:
        """Note that this process uses a copy, and return whether it is there."""
        with self._locked():
            _in_use(self.folder).write(f"{key}\n")
            _in_use(self.folder).flush()
            there = (self.folder / key).is_dir()
            if there:
                os.utime(self.folder / key)
            return there

    def put(self, key: str, made: Path) -> None:
        """Move a finished copy to its place, unless another process was first, and drop what is too much."""
        with self._locked():
            if (self.folder / key).exists():
                shutil.rmtree(made)
            else:
                made.rename(self.folder / key)
            self._drop_oldest()

    def drop(self, key: str) -> None:
        """Remove one copy."""
        with self._locked():
            shutil.rmtree(self.folder / key, ignore_errors=True)

    def _drop_oldest(self) -> None:
        used = _used_by_others(self.folder)
        copies = [path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        sizes = {path: sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) for path in copies}
        total = sum(sizes.values())
        for path in sorted(copies, key=lambda one: one.stat().st_mtime_ns):
            if total <= self.limit_bytes:
                return
            if path.name not in used:
                shutil.rmtree(path)
                total -= sizes[path]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def fetch(
    url: str,
    *,
    is_folder: bool,
    cache: Cache | None = None,
    expected: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    limit_bytes: int | None = None,
) -> Path:
    """Return a local copy of a remote file or folder, fetched whole if it is not there.

    Parameters
    ----------
    url
        Location with its protocol.
    is_folder
        Whether it is a folder of files.
    cache
        Where copies are kept.
    expected
        Its sha256 (of a folder as `hash_file` says); with it a copy is found without asking the store, and checked.
    storage_options
        For fsspec; credentials come from the environment or fsspec's own configuration.
    limit_bytes
        Refuse a larger file before, or while, it is fetched.

    Raises
    ------
    SourceNotFoundError
        If nothing is there.
    DataError
        If it may not be read, cannot be reached, came incomplete, or is not what was expected.
    MissingDependencyError
        If the protocol needs a package that is not installed.
    """
    cache = cache or Cache()
    url = without_caching(url)
    name = url.rstrip("/").rpartition("/")[2].partition("?")[0] or "data"
    try:
        if expected is not None and (found := _kept(cache, f"sha256-{expected}", name, expected)) is not None:
            return found
        store, path = _open_store(url, storage_options or {})
        listed = _listed(store, path, is_folder=is_folder)
        if limit_bytes is not None and sum(info.get("size") or 0 for info in listed.values()) > limit_bytes:
            raise DataError(f"{told_location(url)} is larger than {limit_bytes:,} bytes; it is not fetched")
        key = f"sha256-{expected}" if expected else f"state-{_state(url, listed)}"
        if (found := _kept(cache, key, name, expected)) is not None:
            return found
        made = cache.folder / f".part-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            _copy(store, path, listed, made / name, is_folder=is_folder, limit_bytes=limit_bytes)
            if _state(url, _listed(store, path, is_folder=is_folder)) != _state(url, listed):
                raise DataError(f"{told_location(url)} changed while it was read; try again")
            found_hash = None if expected is None else hash_file(made / name)
            if expected is not None and found_hash != expected:
                raise DataError(f"sha256 of {told_location(url)} is {found_hash}, the catalog says {expected}")
            cache.put(key, made)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except IntegrateError:
        raise
    except _network_errors() as error:
        raise _told_fault(url, error) from error
    return cache.folder / key / name


def told_location(url: str) -> str:
    """Return a location for messages and records: without user, password and signed query.

    Examples
    --------
    >>> told_location("https://me:secret@host/a.csv?X-Amz-Signature=1")
    'https://host/a.csv'
    """
    protocol, separator, rest = url.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{protocol}{separator}{host.rpartition('@')[2]}{slash}{path}"


def _kept(cache: Cache, key: str, name: str, expected: str | None) -> Path | None:
    """Return a copy that is there and sound."""
    if not cache.holds(key):
        return None
    path = cache.folder / key / name
    if not path.exists() or (expected is not None and identify(path).true_hash() != expected):
        cache.drop(key)  # a disk went bad, or somebody wrote into the cache
        return None
    return path


def _open_store(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    try:
        return url_to_fs(url, **options)
    except ImportError as error:
        needed = NEEDS.get(url.partition("://")[0], "another package")
        raise MissingDependencyError(f"reading {told_location(url)} needs {needed}: pip install {needed}") from error


def _listed(store: Any, path: str, *, is_folder: bool) -> dict[str, Any]:
    """Return what the store says now of the file, or of every file in the folder."""
    store.invalidate_cache()
    if not is_folder:
        return {path: store.info(path)}
    found = store.find(path, detail=True)
    if not found:
        raise FileNotFoundError(path)
    return dict(found)


def _state(url: str, listed: Mapping[str, Any]) -> str:
    """Return a hash that changes when the store says that something changed."""
    marks = ("ETag", "LastModified", "mtime")
    facts = [
        (name, str(info.get("size")), next((str(info[mark]) for mark in marks if info.get(mark)), ""))
        for name, info in sorted(listed.items())
    ]
    return hashlib.sha256(repr((url, facts)).encode()).hexdigest()


def _copy(
    store: Any, path: str, listed: Mapping[str, Any], target: Path, *, is_folder: bool, limit_bytes: int | None
) -> None:
    for name, info in listed.items():
        relative = name.removeprefix(path).lstrip("/")
        copy = (target / relative).resolve() if is_folder else target
        if is_folder and not copy.is_relative_to(target.resolve()):
            raise DataError(f"a file in the folder is called {relative!r}, which leads out of it")
        copy.parent.mkdir(parents=True, exist_ok=True)
        with store.open(name, "rb", block_size=BLOCK, cache_type="readahead") as source, copy.open("wb") as written:
            while block := source.read(BLOCK):
                written.write(block)
                if limit_bytes is not None and written.tell() > limit_bytes:
                    raise DataError(f"{target.name} is larger than {limit_bytes:,} bytes; it is not fetched")
        size = copy.stat().st_size
        if info.get("size") is not None and size != info["size"]:
            raise DataError(f"{relative or target.name} came incomplete: {size:,} of {info['size']:,} bytes; try again")


def _told_fault(url: str, error: Exception) -> DataError:
    """Return our error for what a store raised; fsspec calls whatever goes wrong on the web "not found"."""
    cause = error.__cause__
    real = cause if cause is not None and type(cause).__module__.startswith("aiohttp") else error
    status = getattr(real, "status", None)
    if isinstance(real, PermissionError) or status in (401, 403):
        return DataError(
            f"{told_location(url)} may not be read (forbidden); credentials come from the environment or fsspec's "
            "configuration"
        )
    if isinstance(real, FileNotFoundError) or status in (404, 410):
        return SourceNotFoundError(f"nothing at {told_location(url)}")
    told = type(real).__name__ + (f" {status}" if status else "")
    return DataError(f"{told_location(url)} could not be fetched: {told}")


def _network_errors() -> tuple[type[Exception], ...]:
    """Return what the stores in use raise when something between us and them fails."""
    named = {"botocore.exceptions": ("BotoCoreError", "ClientError"), "aiohttp": ("ClientError",)}
    loaded = [(sys.modules[module], names) for module, names in named.items() if module in sys.modules]
    return (OSError, *(getattr(module, name) for module, names in loaded for name in names))


_notes: dict[tuple[Path, int], IO[str]] = {}


def _in_use(folder: Path) -> IO[str]:
    """Return this process's open list of the copies it uses; its lock tells others that the process lives."""
    mine = (folder, os.getpid())
    if mine not in _notes:
        (folder / ".in-use").mkdir(exist_ok=True)
        stream = (folder / ".in-use" / f"{os.getpid()}-{uuid.uuid4().hex}").open("a", encoding="utf-8")
        fcntl.flock(stream, fcntl.LOCK_EX)
        _notes[mine] = stream
        atexit.register(stream.close)
    return _notes[mine]


def _used_by_others(folder: Path) -> set[str]:
    """Return the copies that living processes use; lists of dead ones are removed."""
    used: set[str] = set()
    for path in (folder / ".in-use").iterdir():
        with path.open("r+", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            except BlockingIOError:
                used |= set(stream.read().split())
    return used

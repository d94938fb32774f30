"""An input of a run: one file or folder it read, with what tells whether it is still the same."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from integrate.model.provenance import hash_file

__all__ = ["Input", "changed_inputs", "run_inputs"]

#: What a mask puts in the place of a name.
_MASKED = re.compile(r"\[[^][/\\]*\]")


@dataclass(frozen=True, slots=True)
class Input:
    """One file or folder that a run read.

    Parameters
    ----------
    path
        Where it lay, absolute.
    sha256
        Of the file, or of a folder's names and files as `integrate.model.provenance.hash_file` takes them; empty for
        what is no file here, such as a table of a database server or a file the notebook removed itself.
    bytes
        Its size.
    stamp
        Number of files, sizes and times of change: as long as these stay, the content is not read again.
    loaded
        Whether it came through a catalog; else the notebook opened it by itself.
    """

    path: str
    sha256: str
    bytes: int
    stamp: str
    loaded: bool


def run_inputs(events: Iterable[Mapping[str, Any]]) -> list[Input]:
    """Return what a run read, each path once, sorted.

    Parameters
    ----------
    events
        The record of the run: loads with their ``path``, and the files its witness saw.
    """
    hashes: dict[str, str | None] = {}
    loaded: set[str] = set()
    for event in events:
        path = event.get("path")
        if event.get("kind") == "load" and path:
            hashes[path] = event.get("sha256") or hashes.get(path)
            loaded.add(path)
        elif event.get("kind") == "file" and path:
            hashes.setdefault(path, None)
    inside = tuple(f"{folder}{os.sep}" for folder in loaded)
    return [
        _input(path, digest, loaded=path in loaded)
        for path, digest in sorted(hashes.items())
        if path in loaded or not path.startswith(inside)
    ]


def _input(path: str, digest: str | None, *, loaded: bool) -> Input:
    size, stamp = _stamp(Path(path))
    try:
        return Input(path, digest or hash_file(path), size, stamp, loaded)
    except OSError:
        return Input(path, "", 0, "", loaded)


def changed_inputs(inputs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the paths whose content is not what a run read, in their order.

    Parameters
    ----------
    inputs
        `Input` as the manifest holds it. A file with another time but the same bytes has not changed. One whose name
        was masked is known among its neighbours by its stamp, else by its bytes.
    """
    known = [Input(**entry) for entry in inputs]
    beside: dict[str, list[str]] = {}
    for pattern in {_pattern(one.path) for one in known if "[" in one.path and not os.path.lexists(one.path)}:
        beside[pattern] = glob.glob(pattern)
    return [one.path for one in known if not any(_is_same(replace(one, path=path)) for path in _places(one, beside))]


def _places(known: Input, beside: Mapping[str, list[str]]) -> list[str]:
    """Return where an input may lie: at its path, or, where that was masked, at any that differs only in names."""
    return beside.get(_pattern(known.path), [known.path])


def _pattern(path: str) -> str:
    return "*".join(map(glob.escape, _MASKED.split(path)))


def _is_same(known: Input) -> bool:
    size, stamp = _stamp(Path(known.path))
    if stamp and stamp == known.stamp:
        return True
    if size != known.bytes:
        return False
    return _input(known.path, None, loaded=known.loaded).sha256 == known.sha256


def _stamp(path: Path) -> tuple[int, str]:
    """Return the size, and what changes whenever a file is written; nothing when it is not there."""
    try:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        stats = [file.stat() for file in files]
    except OSError:
        return 0, ""
    times = [(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino) for stat in stats]
    return sum(size for size, *_ in times), f"{len(times)}:{hash(tuple(times)) & (2**64 - 1):016x}"


def as_entries(inputs: Iterable[Input]) -> list[dict[str, Any]]:
    """Return inputs as the manifest holds them."""
    return [asdict(one) for one in inputs]

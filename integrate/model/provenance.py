"""Where a number comes from: hashes of settings and files, and the record of what a session loaded."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

__all__ = ["hash_array", "hash_file", "hash_settings", "record", "record_load", "recorded", "settle_loads"]

#: Names the file to which `record` appends; a report run sets it for its kernel.
RECORD_VARIABLE = "INTEGRATE_RECORD"

#: Words of an array that are hashed at a time; they stay in the processor's cache.
BLOCK = 1 << 14
#: Factors of MurmurHash3's last mixing.
MIXING = (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)

_events: list[dict[str, Any]] = []
_unsettled: list[Callable[[], None]] = []


def hash_settings(settings: object) -> str:
    """Return 16 hex digits that change when any setting changes, and not with the order of keys.

    Parameters
    ----------
    settings
        A dataclass, mapping, sequence or scalar; anything else enters by its ``repr``.

    Examples
    --------
    >>> hash_settings({"a": 1, "b": 2}) == hash_settings({"b": 2, "a": 1})
    True
    """
    text = json.dumps(_plain(settings), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_file(path: str | os.PathLike[str]) -> str:
    """Return the sha256 of a file, or of a folder as its sorted relative names and file hashes.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    """
    path = Path(path)
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    tree = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            tree.update(f"{file.relative_to(path).as_posix()}\0{hash_file(file)}\n".encode())
    return tree.hexdigest()


def hash_array(array: Any) -> str:
    """Return 16 hex digits of an in-memory array's dtype, shape and bytes.

    Notes
    -----
    It tells whether numbers changed and is no seal against forgery: a cryptographic hash would take longer than the
    link or the measurement it describes. Each block of 64-bit words is multiplied by odd weights of its own, so that
    order counts, mixed as MurmurHash3 mixes its words, and added up; BLAKE2b closes over the sums of the blocks.

    Examples
    --------
    >>> hash_array([1.0, 2.0]) == hash_array([2.0, 1.0])
    False
    """
    import numpy as np

    array = np.ascontiguousarray(array)
    whole = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode(), digest_size=8)
    held = array.reshape(-1).view(np.uint8)
    words, rest = np.split(held, [array.nbytes // 8 * 8])
    whole.update(_block_sums(words.view(np.uint64)).data)
    whole.update(rest.data)
    return whole.hexdigest()


def _block_sums(words: Any) -> Any:
    """Return one mixed sum per block of words."""
    import numpy as np

    weights = 2 * np.random.Generator(np.random.PCG64(0)).integers(0, 2**63, BLOCK, dtype=np.uint64) + np.uint64(1)
    mixed, shifted = np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.uint64)
    sums = np.empty(-(-len(words) // BLOCK), np.uint64)
    for i in range(len(sums)):
        block = words[i * BLOCK : (i + 1) * BLOCK]
        x, y = mixed[: len(block)], shifted[: len(block)]
        np.multiply(block, weights[: len(block)], out=x)
        for factor in MIXING:
            np.right_shift(x, np.uint64(33), out=y)
            np.bitwise_xor(x, y, out=x)
            np.multiply(x, np.uint64(factor), out=x)
        sums[i] = x.sum()
    return sums


def record(kind: str, **facts: Any) -> None:
    """Note one event (``"load"``, ``"measure"``, ``"link"`` …) of this session.

    Any event but a load names a result, so `settle_loads` comes first. The event is kept in memory and, inside a report
    run, appended to the run's record file as one JSON line.
    """
    if kind != "load":
        settle_loads()
    _note(kind, facts)


def record_load(origin: dict[str, Any], *, path: Path, hash_source: Callable[[], str | None] | None = None) -> None:
    """Note that a source was loaded, by what is noted of it on the object.

    Parameters
    ----------
    origin
        What the object says of its source; ``sha256`` is ``None`` while nobody has read all of it.
    path
        Where it lies on this machine; only the record knows, so that no path reaches a result.
    hash_source
        Reads the source and returns its sha256. It is called when a result is made from what was loaded (any other
        event), and the hash is then in `origin` and in the event. Inside a report run it is called at once.
    """
    if hash_source is not None and os.environ.get(RECORD_VARIABLE):
        origin["sha256"], hash_source = hash_source(), None
    event = _note("load", {**origin, "path": str(path.absolute())})
    if hash_source is not None:
        _unsettled.append(partial(_settle, event, origin, hash_source))


def settle_loads() -> None:
    """Name every source loaded so far by its true hash; each is read once, the first time a result needs it.

    Raises
    ------
    DataError
        If a source is not what it was when it was opened, or not what its catalog promises.
    """
    while _unsettled:
        _unsettled.pop()()


def _note(kind: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    event = {"kind": kind, **_plain(facts)}
    _events.append(event)
    target = os.environ.get(RECORD_VARIABLE)
    if target:
        with open(target, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(event, sort_keys=True) + "\n")
    return event


def _settle(event: dict[str, Any], origin: dict[str, Any], hash_source: Callable[[], str | None]) -> None:
    origin["sha256"] = event["sha256"] = hash_source()


def recorded(kind: str | None = None) -> list[dict[str, Any]]:
    """Return the events of this session, oldest first, optionally of one kind."""
    return [dict(event) for event in _events if kind is None or event["kind"] == kind]


def _plain(value: Any) -> Any:
    """Return `value` as JSON can hold it; unknown objects enter by their repr."""
    if is_dataclass(value) and not isinstance(value, type):  # not asdict(): it forgets the types of what lies within
        return {"": type(value).__name__, **{one.name: _plain(getattr(value, one.name)) for one in fields(value)}}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=repr)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    return repr(value)

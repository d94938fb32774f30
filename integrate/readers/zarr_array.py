"""A lazy array of a Zarr store on disk, whose damage is a clear error that names its place."""

from __future__ import annotations

import itertools
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.catalog.safety import leads_out
from integrate.errors import DataError, some

if TYPE_CHECKING:
    import dask.array as da
    import numpy as np

__all__ = ["check_chunks", "group_attributes", "lazy_zarr", "open_group"]

#: Blocks of a lazy array hold whole chunks up to about this many bytes.
BLOCK_BYTES = 2**24
#: Files of a store that are no chunks.
DESCRIPTIONS: frozenset[str] = frozenset({".zattrs", ".zarray", ".zgroup", ".zmetadata", "zarr.json"})


def open_group(store: Path, inside: str = "") -> Any:
    """Return a group of a Zarr store, version 2 or 3, opened to read.

    Raises
    ------
    DataError
        If there is none, or its description is damaged.
    """
    import zarr

    try:
        return zarr.open_group(str(_inside(store, inside)), mode="r")
    except (OSError, ValueError, KeyError, TypeError) as error:
        held = some(sorted(one.name for one in (store / inside).iterdir())) if (store / inside).is_dir() else ""
        raise DataError(
            f"{_place(store, inside)} is no readable Zarr group ({error}); it holds {held or 'nothing'}"
        ) from error


def group_attributes(group: Any) -> dict[str, Any]:
    """Return the attributes of a group; those of OME-Zarr 0.5 lie one level deeper than those of 0.4."""
    said = dict(group.attrs)
    ome = said.get("ome")
    return {**said, **ome} if isinstance(ome, dict) else said


def lazy_zarr(store: Path, inside: str) -> da.Array:
    """Return an array of a Zarr store, in blocks of whole chunks; no pixel is read and no file stays open.

    Chunks that were never written are the array's fill value, as the format says.

    Raises
    ------
    DataError
        If there is no such array; when computed, if a chunk is damaged.
    """
    import dask.array as da
    from dask.array.core import normalize_chunks
    from dask.base import tokenize

    array = _open_array(store, inside)
    stored = getattr(array, "shards", None) or array.chunks
    chunks = normalize_chunks("auto", array.shape, limit=BLOCK_BYTES, dtype=array.dtype, previous_chunks=stored)
    described = [store / inside / name for name in ("zarr.json", ".zarray")]
    changed = max((file.stat().st_mtime_ns for file in described if file.exists()), default=0)
    source = _Stored(_Place(str(store), inside), tuple(array.shape), array.dtype, changed)
    # under such a name spatialdata finds where an element lies, and does not write over what it still has to read
    return da.from_array(source, chunks=chunks, name=f"from-zarr-{tokenize(source)}", asarray=True, fancy=False)


@dataclass(frozen=True)
class _Place:
    """Where an array lies."""

    folder: str
    inside: str

    @property
    def path(self) -> str:
        return os.path.join(self.folder, self.inside)


@dataclass(frozen=True)
class _Stored:
    """An array that opens its store for each block."""

    store: _Place
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    changed: int

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, where: Any) -> Any:
        store, inside = Path(self.store.folder), self.store.inside
        array = _open_array(store, inside)
        _check_whole(array, store, [str(store / inside / key) for key in _chunk_keys(array, where)])
        try:
            return array[where]
        except (OSError, EOFError, ValueError, RuntimeError, TypeError, zlib.error) as error:
            raise DataError(
                f"a chunk of {_place(store, inside)} cannot be read ({error}); it is truncated or damaged"
            ) from error


def check_chunks(store: Path, *, inside: str = "") -> None:
    """Check that no chunk of a store, or of a group in it, is shorter than it says; 16 bytes of each are read.

    Blosc (numcodecs 0.16) reads beyond the end of a chunk that was cut off, and gives numbers that nobody wrote; an
    empty shard counts as one that was never written, all zeros. Other codecs notice by themselves.

    Raises
    ------
    DataError
        Naming the first chunk that is cut off.
    """
    for folder in _array_folders(store / inside):
        found = os.walk(folder)
        chunks = [os.path.join(here, name) for here, _, names in found for name in names if name not in DESCRIPTIONS]
        _check_whole(_open_array(store, str(folder.relative_to(store))), store, chunks)


def _array_folders(group: Path) -> Iterator[Path]:
    for here, inside, names in os.walk(group):
        described = Path(here) / "zarr.json"
        if ".zarray" in names or ("zarr.json" in names and b'"node_type": "array"' in described.read_bytes()):
            inside.clear()
            yield Path(here)


def _check_whole(array: Any, store: Path, files: Iterable[str]) -> None:
    has_header = "blosc" in str(array.compressors).lower() and not getattr(array, "shards", None)
    for file in files:
        try:
            opened = os.open(file, os.O_RDONLY)
        except FileNotFoundError:  # a chunk that was never written is the fill value
            continue
        try:
            header, size = os.read(opened, 16), os.fstat(opened).st_size
        finally:
            os.close(opened)
        if not header or (has_header and (len(header) < 16 or struct.unpack("<I", header[12:])[0] != size)):
            place = os.path.relpath(file, store)
            raise DataError(f"chunk {place!r} of {store.name} is not whole; it is truncated or damaged")


def _chunk_keys(array: Any, where: Any) -> list[str]:
    """Return the names of the chunks that a part of an array touches."""
    bounds = [
        one.indices(n) if isinstance(one, slice) else (one, one + 1, 1)
        for one, n in zip(where, array.shape, strict=True)
    ]
    touched = [range(start // c, -(-stop // c)) for (start, stop, _), c in zip(bounds, array.chunks, strict=True)]
    return [array.metadata.encode_chunk_key(key) for key in itertools.product(*touched)]


def _open_array(store: Path, inside: str) -> Any:
    import zarr

    try:
        return zarr.open_array(str(_inside(store, inside)), mode="r")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{_place(store, inside)} is no readable Zarr array ({error}); it may be damaged") from error


def _inside(store: Path, inside: str) -> Path:
    """Return where a part of a store lies; the store itself names its parts, and may be a stranger's."""
    if leads_out(inside):
        raise DataError(f"{inside!r} leads out of {store.name}; a store may only name what it holds")
    return store / inside


def _place(store: Path, inside: str) -> str:
    return f"{inside!r} of {store.name}" if inside else store.name

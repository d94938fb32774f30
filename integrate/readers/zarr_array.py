"""A lazy array of a Zarr store on disk, whose damage is a clear error that names its place."""

from __future__ import annotations

import itertools
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, some

if TYPE_CHECKING:
    import dask.array as da
    import numpy as np

__all__ = ["check_chunks", "group_attributes", "lazy_zarr", "open_group"]

#: Blocks of a lazy array hold whole chunks up to about this many bytes.
BLOCK_BYTES = 2**24


def open_group(store: Path, inside: str = "") -> Any:
    """Return a group of a Zarr store, version 2 or 3, opened to read.

    Raises
    ------
    DataError
        If there is none, or its description is damaged.
    """
    import zarr

    try:
        return zarr.open_group(str(store / inside), mode="r")
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

    array = _open_array(store, inside)
    stored = getattr(array, "shards", None) or array.chunks
    chunks = normalize_chunks("auto", array.shape, limit=BLOCK_BYTES, dtype=array.dtype, previous_chunks=stored)
    described = [store / inside / name for name in ("zarr.json", ".zarray")]
    changed = max((file.stat().st_mtime_ns for file in described if file.exists()), default=0)
    source = _Stored(str(store), inside, tuple(array.shape), array.dtype, changed)
    return da.from_array(source, chunks=chunks, asarray=True, fancy=False, inline_array=True)


@dataclass(frozen=True)
class _Stored:
    """An array that opens its store for each block."""

    store: str
    inside: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    changed: int

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, where: Any) -> Any:
        store = Path(self.store)
        array = _open_array(store, self.inside)
        _check_blosc(array, [store / self.inside / key for key in _chunk_keys(array, where)])
        try:
            return array[where]
        except (OSError, ValueError, RuntimeError, TypeError, zlib.error) as error:
            raise DataError(
                f"a chunk of {_place(store, self.inside)} cannot be read ({error}); it is truncated or damaged"
            ) from error


def check_chunks(store: Path) -> None:
    """Check that no chunk of a store is shorter than it says.

    Blosc (numcodecs 0.16) reads beyond the end of a chunk that was cut off, and gives numbers that nobody wrote.

    Raises
    ------
    DataError
        Naming the first chunk that is cut off.
    """
    for described in (*store.rglob(".zarray"), *store.rglob("zarr.json")):
        if described.name == ".zarray" or b'"node_type": "array"' in described.read_bytes():
            array = _open_array(store, str(described.parent.relative_to(store)))
            _check_blosc(array, [one for one in described.parent.rglob("*") if one.is_file() and one != described])


def _check_blosc(array: Any, files: list[Path]) -> None:
    if "blosc" not in str(array.compressors).lower() or getattr(array, "shards", None):
        return
    for file in files:
        if not file.exists() or file.name in (".zattrs", ".zarray", "zarr.json"):
            continue
        with file.open("rb") as stream:
            header = stream.read(16)
        if len(header) < 16 or struct.unpack("<I", header[12:])[0] != file.stat().st_size:
            raise DataError(f"chunk {file.name!r} in {file.parent.name!r} is not whole; it is truncated or damaged")


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
        return zarr.open_array(str(store / inside), mode="r")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{_place(store, inside)} is no readable Zarr array ({error}); it may be damaged") from error


def _place(store: Path, inside: str) -> str:
    return f"{inside!r} of {store.name}" if inside else store.name

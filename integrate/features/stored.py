"""Arrays stored in zarr folders, whose chunks are decoded without a detour through Dask."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import DataError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["StoredArray", "find_stored", "stamp_files"]

#: Classes of compressors in zarr 2 and 3, and the decoder of each.
_DECODERS: Final[dict[str, str]] = {
    "BloscCodec": "blosc",
    "Blosc": "blosc",
    "ZstdCodec": "zstd",
    "Zstd": "zstd",
    "GzipCodec": "gzip",
    "GZip": "gzip",
}


@dataclass(frozen=True, slots=True)
class StoredArray:
    """A zarr array in a local folder: plain chunks in one file each, row by row, with at most one known compressor.

    zarr-python and Dask spend more time around a chunk than the decoder in it. `chunks` are as Dask writes them.
    """

    folder: Path
    prefix: str
    separator: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: Any
    decoder: str | None

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Lengths of the chunks along every axis."""
        return tuple(
            tuple(min(step, length - first) for first in range(0, length, step))
            for length, step in zip(self.shape, self.chunk, strict=True)
        )

    def read(self, *bounds: tuple[int, int], into: np.ndarray[Any, Any] | None = None) -> np.ndarray[Any, Any]:
        """Return the values between bounds ``first, last`` on every axis, in `into` if it has their shape."""
        import numpy as np

        shape = tuple(last - first for first, last in bounds)
        values = into if into is not None and into.shape == shape else np.empty(shape, self.dtype)
        for number in itertools.product(*self._numbers(bounds)):
            begin = [k * step for k, step in zip(number, self.chunk, strict=True)]
            if shape == self.chunk and all(first == b for (first, _), b in zip(bounds, begin, strict=True)):
                self._decode(number, values)
                continue
            chunk = self._decode(number, np.empty(self.chunk, self.dtype))
            here, there = [], []
            for (first, last), b, step in zip(bounds, begin, self.chunk, strict=True):
                low, high = max(first, b), min(last, b + step)
                here.append(slice(low - first, high - first))
                there.append(slice(low - b, high - b))
            values[tuple(here)] = chunk[tuple(there)]
        return values

    def _numbers(self, bounds: tuple[tuple[int, int], ...]) -> Iterator[range]:
        for (first, last), step in zip(bounds, self.chunk, strict=True):
            yield range(first // step, -(-last // step))

    def _decode(self, number: tuple[int, ...], into: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Fill an array of a chunk's shape; a chunk without a file holds the fill value."""
        path = f"{self.folder}/{self.prefix}{self.separator.join(map(str, number))}"
        try:
            with open(path, "rb", buffering=0) as file:
                stored = file.read()
        except FileNotFoundError:
            into[...] = self.fill
            return into
        try:
            _decompress(self.decoder, stored, into)
        except (RuntimeError, ValueError, OSError) as error:
            raise DataError(f"chunk {path} cannot be decoded ({error}); the file is damaged: copy it anew") from error
        return into


def _decompress(decoder: str | None, stored: bytes, into: np.ndarray[Any, Any]) -> None:
    """Fill an array; blosc by numcodecs, which takes three quarters of the time of imagecodecs."""
    import imagecodecs
    from numcodecs import blosc

    flat = into.reshape(-1).view("u1")
    if decoder is None:
        flat[:] = memoryview(stored)
        return
    if decoder == "blosc":
        size = int.from_bytes(stored[4:8], "little")  # of what was compressed, as the header says
        if size == len(flat):
            blosc.decompress(stored, flat)
    else:
        size = len(getattr(imagecodecs, f"{decoder}_decode")(stored, out=flat))
    if size != len(flat):
        raise ValueError(f"found {size} bytes, expected {len(flat)}")


def find_stored(array: Any) -> StoredArray | None:
    """Return the zarr array that a Dask array reads as it is, or None where it is made otherwise."""
    layers = getattr(getattr(array, "dask", None), "layers", {})
    source = layers.get(f"original-{getattr(array, 'name', None)}")
    if source is None or len(layers) != 2 or len(source) != 1:  # anything done to the array is a layer more
        return None
    origin = next(iter(source.values()))
    stored = describe_stored(origin)
    if stored is None or stored.shape != array.shape:
        return None
    return stored if stored.dtype.newbyteorder("=") == array.dtype.newbyteorder("=") else None


def stamp_files(array: Any) -> list[tuple[str, int, int, int]]:
    """Return the zarr folders that an array is read from, and what changes when their files are written again."""
    import zarr

    if isinstance(array, StoredArray):
        return [_stamp(array.folder)]
    layers = getattr(getattr(array, "dask", None), "layers", {})
    origins = [one for name, layer in layers.items() if name.startswith("original-") for one in layer.values()]
    folders = [_folder(origin) for origin in origins if isinstance(origin, zarr.Array)]
    return [_stamp(folder) for folder in folders if folder is not None]


def _stamp(folder: Path) -> tuple[str, int, int, int]:
    """Return a folder, and of its files the number, the bytes and the sum of the times they were written."""
    found = [entry.stat() for entry in folder.rglob("*") if entry.is_file()]
    return str(folder), len(found), sum(one.st_size for one in found), sum(one.st_mtime_ns for one in found)


def describe_stored(origin: Any) -> StoredArray | None:
    """Return where and how a zarr array is stored, or None where `StoredArray` could not read it."""
    import zarr

    if not isinstance(origin, zarr.Array) or origin.shards is not None or origin.filters or origin.order != "C":
        return None
    folder, decoders = _folder(origin), [_DECODERS.get(type(one).__name__) for one in origin.compressors]
    dtype = _stored_dtype(origin)
    if folder is None or None in decoders or len(decoders) > 1 or 0 in origin.shape or dtype is None:
        return None
    fill = 0 if origin.fill_value is None else origin.fill_value
    decoder = decoders[0] if decoders else None
    return StoredArray(folder, *_key_form(origin), origin.shape, origin.chunks, dtype, fill, decoder)


def _stored_dtype(origin: Any) -> np.dtype[Any] | None:
    """Return the dtype as it lies in the file: zarr 3 keeps the byte order apart from it, in the codec."""
    dtype: np.dtype[Any] = origin.dtype
    if dtype.kind not in "biuf":
        return None
    if origin.metadata.zarr_format == 2:
        return dtype
    if type(origin.serializer).__name__ != "BytesCodec":
        return None
    endian = getattr(origin.serializer.endian, "value", None)
    return dtype.newbyteorder("=" if endian is None else "<" if endian == "little" else ">")


def _key_form(origin: Any) -> tuple[str, str]:
    """Return what the names of chunks begin with, and what stands between their numbers."""
    key = origin.metadata.encode_chunk_key((0,) * max(origin.ndim, 2))
    return key.split("0", 1)[0], key[key.index("0") + 1]


def _folder(origin: Any) -> Path | None:
    """Return the folder of an array on this machine."""
    from zarr.storage import FsspecStore, LocalStore

    store = origin.store
    if isinstance(store, LocalStore):
        return Path(store.root) / origin.path
    local = getattr(getattr(store, "fs", None), "sync_fs", None)
    if isinstance(store, FsspecStore) and "file" in getattr(local, "protocol", ()):
        return Path(store.path) / origin.path
    return None

"""Chunks decoded directly give what Dask and zarr give, whatever the format, the codec and the cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from integrate.errors import DataError
from integrate.features.measure import measure
from integrate.features.stored import StoredArray, describe_stored, find_stored
from integrate.model.image import make_image

CODECS = {"blosc": BloscCodec(cname="zstd"), "zstd": ZstdCodec(), "gzip": GzipCodec(), "none": None}


def written(path: Path, values: np.ndarray, chunks: tuple[int, ...], **how: Any) -> zarr.Array:
    array = zarr.create_array(path, shape=values.shape, chunks=chunks, dtype=values.dtype, fill_value=7, **how)
    array[...] = values
    return array


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "uint8", "int16", "<f4", ">f8", "bool"])
@pytest.mark.parametrize("codec", list(CODECS))
def test_every_codec_and_byte_order_reads_as_zarr_does(tmp_path: Path, codec: str, dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 120, (3, 50, 41)).astype(dtype)
    array = written(tmp_path / "a.zarr", values, (2, 16, 16), compressors=CODECS[codec])
    stored = describe_stored(array)
    assert stored is not None
    np.testing.assert_array_equal(stored.read((0, 3), (0, 50), (0, 41)), array[...])
    np.testing.assert_array_equal(stored.read((1, 3), (13, 37), (16, 32)), array[1:3, 13:37, 16:32])
    np.testing.assert_array_equal(stored.read((0, 2), (16, 32), (16, 32)), array[0:2, 16:32, 16:32])


@pytest.mark.parametrize("compressors", [None, "auto"])
def test_zarr_2_is_read_too(tmp_path: Path, compressors: Any) -> None:
    values = np.arange(600, dtype=">i4").reshape(20, 30)
    stored = describe_stored(written(tmp_path / "a.zarr", values, (7, 8), zarr_format=2, compressors=compressors))
    assert stored is not None
    np.testing.assert_array_equal(stored.read((0, 20), (0, 30)), values)


def test_a_chunk_that_was_never_written_holds_the_fill_value(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=(40, 40), chunks=(16, 16), dtype="u1", fill_value=9)
    array[:16, :16] = 1
    stored = describe_stored(array)
    assert stored is not None
    assert int(stored.read((0, 40), (0, 40)).sum()) == 256 + 9 * (1600 - 256)


def test_what_is_not_plain_is_left_to_zarr(tmp_path: Path) -> None:
    sharded = zarr.create_array(tmp_path / "s.zarr", shape=(64, 64), chunks=(16, 16), shards=(32, 32), dtype="u1")
    memory = zarr.create_array({}, shape=(64, 64), chunks=(16, 16), dtype="u1")
    assert describe_stored(sharded) is None
    assert describe_stored(memory) is None
    assert find_stored(np.zeros(3)) is None


def test_only_an_array_read_as_it_is_bypasses_dask(tmp_path: Path) -> None:
    array = written(tmp_path / "a.zarr", np.arange(1024, dtype="u2").reshape(1, 32, 32), (1, 16, 16))
    for lazy in (da.from_zarr(array), da.from_zarr(str(tmp_path / "a.zarr")), da.from_array(array)):
        assert isinstance(find_stored(lazy), StoredArray)
        assert find_stored(lazy + 1) is None
        assert find_stored(lazy[:, 1:]) is None
        assert find_stored(lazy.astype("i4")) is None


def test_measuring_gives_the_same_bits_and_hashes_with_and_without_dask(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 65_536, (3, 700, 900), dtype=np.uint16)
    labels = np.kron(np.arange(1, 7 * 9 + 1).reshape(7, 9), np.ones((100, 100), np.int32)).astype(np.int32)
    lazy = da.from_zarr(written(tmp_path / "a.zarr", values, (2, 256, 256)))
    regions = da.from_zarr(written(tmp_path / "l.zarr", labels, (300, 300)))
    tables = [
        measure(make_image(data, channels=list("abc"), pixel_size_um=None), ids, features=["intensity", "quantiles"])
        for data, ids in ((values, labels), (lazy, regions), (lazy.map_blocks(np.copy), regions.map_blocks(np.copy)))
    ]
    for other in tables[1:]:
        np.testing.assert_array_equal(tables[0].X, other.X)
        assert tables[0].var.equals(other.var)


def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    array = written(tmp_path / "a.zarr", np.ones((1, 16, 16), "u2"), (1, 16, 16), compressors=BloscCodec())
    (tmp_path / "a.zarr" / "c" / "0" / "0" / "0").write_bytes(b"nothing that was ever compressed")
    image = make_image(da.from_zarr(array), channels=["a"], pixel_size_um=None)
    with pytest.raises(DataError, match="cannot be decoded"):
        measure(image, np.ones((16, 16), int))

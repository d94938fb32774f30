"""Tiles: the pixels that were stored, from any container, at any resolution, read once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from spatialdata.models import Image2DModel

from integrate.errors import DataError, SourceNotFoundError
from integrate.model.image import make_image
from integrate.show.channels import contrast
from integrate.show.pyramid import Pyramid, open_pyramid

DATA = np.random.default_rng(0).integers(0, 60000, (3, 700, 1100)).astype(np.uint16)


def _ome(folder: Path, version: str) -> Path:
    """Write an OME-Zarr of two levels with one time step and one plane, by hand from the specification."""
    group = zarr.open_group(folder, mode="w", zarr_format=2 if version == "0.4" else 3)
    for name, step in (("0", 1), ("1", 2)):
        array = group.create_array(
            name, shape=(1, 3, 1, 700 // step, 1100 // step), chunks=(1, 1, 1, 256, 256), dtype="u2"
        )
        array[:] = DATA[None, :, None, ::step, ::step]
    axes = [{"name": a, "type": "space", "unit": "micrometer"} if a in "zyx" else {"name": a} for a in "tczyx"]
    levels = [
        {"path": name, "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 2, 0.5 * k, 0.25 * k]}]}
        for name, k in (("0", 1), ("1", 2))
    ]
    said: dict[str, Any] = {
        "multiscales": [{"axes": axes, "datasets": levels}],
        "omero": {"channels": [{"label": n} for n in ("DNA", "CD3", "CD8")]},
    }
    group.attrs.update(said if version == "0.4" else {"ome": {"version": "0.5", **said}})
    return folder


def _containers(folder: Path) -> dict[str, Any]:
    stored = zarr.create_array(folder / "a.zarr", shape=DATA.shape, chunks=(3, 400, 300), dtype="u2")
    stored[:] = DATA
    lazy = da.from_array(DATA, chunks=(1, (300, 400), (1000, 100)))
    names = ["DNA", "CD3", "CD8"]
    return {
        "numpy": DATA,
        "dask": lazy,
        "zarr": stored,
        "image": make_image(lazy, channels=names, pixel_size_um=(0.5, 0.25)),
        "levels": [DATA, DATA[:, ::2, ::2]],
        "multiscale": Image2DModel.parse(DATA, dims=("c", "y", "x"), c_coords=names, scale_factors=[2]),
        "ome 0.4": _ome(folder / "four", "0.4"),
        "ome 0.5": zarr.open_group(_ome(folder / "five", "0.5"), mode="r"),
    }


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "image", "levels", "multiscale", "ome 0.4", "ome 0.5"])
def test_the_tiles_of_any_container_together_are_the_image(kind: str, tmp_path: Path) -> None:
    pyramid = open_pyramid(_containers(tmp_path)[kind])
    size = pyramid.tile_size
    rows, columns = -(-700 // size), -(-1100 // size)
    whole = np.block([[pyramid.tile(0, 2, j, i) for i in range(columns)] for j in range(rows)])
    np.testing.assert_array_equal(whole, DATA[2])
    assert len(pyramid.levels) == (1 if kind in ("numpy", "dask", "zarr", "image") else 2)
    if kind in ("image", "ome 0.4", "ome 0.5"):
        assert pyramid.pixel_size_um == (0.5, 0.25)
        assert pyramid.channels == ["DNA", "CD3", "CD8"]


def test_coarse_levels_are_means_where_none_are_stored_and_labels_are_never_mixed() -> None:
    plane = np.random.default_rng(1).integers(0, 1000, (1, 2050, 3001)).astype(np.uint16)
    pyramid = open_pyramid(plane)
    assert [(one.width, one.height, one.scale_x) for one in pyramid.levels] == [(3001, 2050, 1.0), (1501, 1025, 2.0)]
    np.testing.assert_allclose(pyramid.tile(1, 0, 1, 2)[:400, :400], _mean(plane[0])[512:912, 1024:1424], atol=0.51)
    labels = open_pyramid(plane, is_labels=True)
    assert set(np.unique(labels.tile(1, 0, 0, 0))) <= set(np.unique(plane))
    np.testing.assert_array_equal(labels.tile(1, 0, 0, 0), plane[0, :1024:2, :1024:2])


def _mean(plane: np.ndarray) -> np.ndarray:
    padded = np.pad(plane.astype(float), ((0, plane.shape[0] % 2), (0, plane.shape[1] % 2)), mode="edge")
    return padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).mean(axis=(1, 3))


def _counting() -> tuple[Pyramid, list[Any]]:
    read: list[Any] = []

    def block(block_info: Any = None) -> np.ndarray:
        place = block_info[None]
        read.append(tuple(place["chunk-location"]))
        return np.zeros(place["chunk-shape"], dtype=np.uint8)

    data = da.map_blocks(block, chunks=((4,), (2048,), (2048,)), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    return open_pyramid(data), read


def test_a_large_chunk_is_decoded_once_for_all_its_tiles_and_channels() -> None:
    pyramid, read = _counting()
    for channel in range(4):
        for j in range(4):
            pyramid.tile(0, channel, j, j)
    assert read == [(0, 0, 0)]


def test_tiles_can_be_read_from_many_threads_at_once(tmp_path: Path) -> None:
    pyramid = open_pyramid(_containers(tmp_path)["zarr"])
    found: list[bool] = []

    def read() -> None:
        found.extend(np.array_equal(pyramid.tile(0, c, 0, 1), DATA[c, :512, 512:1024]) for c in range(3))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 24


def test_an_overview_is_the_whole_channel_thinned() -> None:
    pyramid = open_pyramid([DATA, DATA[:, ::2, ::2]])
    np.testing.assert_array_equal(pyramid.overview(1, side=600), DATA[1, ::2, ::2])
    assert max(pyramid.overview(1, side=100).shape) <= 100


def test_contrast_ignores_what_is_missing_and_keeps_a_rare_signal() -> None:
    plane = np.zeros((100, 100), np.float32)
    plane[0, 0], plane[1, 1] = np.nan, 9
    assert contrast(plane) == (0.0, 9.0, 0.0, 9.0)
    assert contrast(np.full((2, 2), np.nan)) == (0.0, 1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 3, 4, 5)), r"found an array of shape \(2, 3, 4, 5\)"),
        ([], "an empty list is no image"),
        (zarr.group(), "names no multiscales"),
        (make_image(np.zeros((1, 4, 4)), channels=["a"], pixel_size_um=None).rename(c="t"), "found .*'t'"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_pyramid(image)


def test_longer_axes_are_not_chosen_from_silently(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "t.zarr", mode="w")
    group.create_array("0", shape=(5, 1, 8, 8), dtype="u1")
    axes = [{"name": a} for a in "tcyx"]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    with pytest.raises(DataError, match=r"axes {'t': 5} beside channel, y and x"):
        open_pyramid(tmp_path / "t.zarr")
    with pytest.raises(SourceNotFoundError, match="no OME-Zarr folder"):
        open_pyramid(tmp_path / "absent.zarr")


def test_a_tile_that_is_not_there_is_an_error() -> None:
    pyramid = open_pyramid(DATA)
    for place in ((0, 0, 9, 0), (0, 3, 0, 0), (5, 0, 0, 0), (0, 0, -1, 0)):
        with pytest.raises(DataError, match="no tile"):
            pyramid.tile(*place)

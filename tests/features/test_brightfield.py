"""Colours, stains and texture of slides, against families measured one by one, scikit-image and tifffile."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import imagecodecs
import numpy as np
import pandas as pd
import pytest
import shapely
import tifffile
from skimage.color import rgb2hed
from skimage.feature import graycomatrix, graycoprops

import integrate as ig
from integrate.errors import DataError, ParameterError
from integrate.features.brightfield import Brightfield
from integrate.features.stored_tiles import find_tiles
from integrate.model.image import make_image
from integrate.readers.slide import Slide

COLOURS = ["red", "green", "blue"]


def picture(height: int, width: int) -> np.ndarray:
    """Pink tissue with blue nuclei, grain on top, (y, x, 3)."""
    rng, (y, x) = np.random.default_rng(4), np.mgrid[:height, :width]
    nucleus = ((y % 19 - 9) ** 2 + (x % 23 - 11) ** 2 < 30)[..., None]
    plain = np.where(nucleus, [90, 60, 150], [225, 170, 200]) + 8 * np.sin(x / 40)[..., None]
    return (plain + rng.normal(0, 6, (height, width, 3))).clip(0, 255).astype(np.uint8)


def as_slide(pixels: np.ndarray | da.Array) -> Any:
    return make_image(np.moveaxis(pixels, -1, 0), channels=COLOURS, pixel_size_um=None)


def frame(image: Any, regions: Any, *features: Any) -> pd.DataFrame:
    table = ig.measure(image, regions, features=features)
    return table.to_df().set_index(table.obs["instance_id"].to_numpy())


def segments(jpeg: bytes) -> tuple[bytes, bytes]:
    """The tables that tiles have in common, and the rest: two JPEG streams, as TIFF keeps them."""
    tables, rest, at = b"", b"", 2
    while jpeg[at + 1] != 0xDA:
        length = 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        if jpeg[at + 1] in (0xDB, 0xC4):
            tables += jpeg[at : at + length]
        else:
            rest += jpeg[at : at + length]
        at += length
    return b"\xff\xd8" + tables + b"\xff\xd9", b"\xff\xd8" + rest + jpeg[at:]


def written(path: Path, pixels: np.ndarray, tile: tuple[int, int], *, photometric: str, shared: bool) -> Path:
    """A TIFF of JPEG tiles; `shared` puts their tables into the header."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, [(0, -height % tile[0]), (0, -width % tile[1]), (0, 0)], mode="edge")
    rows, columns = (n // step for n, step in zip(padded.shape[:2], tile, strict=True))
    parts = padded.reshape(rows, tile[0], columns, tile[1], 3).swapaxes(1, 2).reshape(-1, *tile, 3)
    space = "RGB" if photometric == "rgb" else "YCBCR"
    jpegs = [imagecodecs.jpeg8_encode(part, level=90, colorspace="RGB", outcolorspace=space) for part in parts]
    tables = segments(jpegs[0])[0]
    tags = [(347, 7, len(tables), tables, True)] if shared else []
    tifffile.imwrite(
        path,
        (segments(jpeg)[1] if shared else jpeg for jpeg in jpegs),
        shape=pixels.shape,
        dtype=np.uint8,
        tile=tile,
        photometric=photometric,
        compression="jpeg",
        extratags=tags,
        subsampling=(1, 1) if photometric == "rgb" else (2, 2),
    )
    return path


def overlapping() -> list[Any]:
    ring = shapely.Point(60, 50).buffer(30).difference(shapely.Point(60, 50).buffer(8))
    return [ring, shapely.box(40, 40, 90, 80), shapely.box(0, 0, 1, 1), shapely.Point(100, 90).buffer(12)]


@pytest.mark.parametrize("regions", ["labels", "outlines", "tiles"])
def test_one_look_gives_what_each_family_gives_by_itself(regions: str) -> None:
    pixels = picture(101, 130)
    image = as_slide(pixels)
    labels = np.kron(np.array([[7, 0, 70_000], [7, 7, 3]]), np.ones((50, 43), np.int64))
    labels = np.pad(labels, ((0, 1), (0, 1)))
    chosen = {"labels": labels, "outlines": overlapping(), "tiles": ig.make_tiles(image, size=32)}[regions]
    found = frame(image, chosen, Brightfield(levels=24))
    for channel in COLOURS:
        expected = frame(image, chosen, "intensity")[[f"{channel}_mean", f"{channel}_std"]]
        pd.testing.assert_frame_equal(found[expected.columns], expected, rtol=1e-12, atol=1e-12)
    stains = frame(ig.separate_stains(image), chosen, ig.Intensity(statistics=("mean", "std")))
    pd.testing.assert_frame_equal(found[stains.columns], stains, rtol=1e-5, atol=1e-7)  # those are float32 between
    grey = (pixels @ np.array([4899, 9617, 1868]) + 8192) >> 14
    plain = make_image(grey[None].astype(np.uint8), channels=["grey"], pixel_size_um=None)
    texture = frame(plain, chosen, ig.Texture(levels=24, limits=(0, 255)))
    pd.testing.assert_frame_equal(found[texture.columns], texture, rtol=1e-10, atol=1e-12)


def test_a_tile_agrees_with_scikit_image() -> None:
    pixels = picture(64, 80)
    tiles = ig.make_tiles(as_slide(pixels), size=40)
    found = frame(as_slide(pixels), tiles, Brightfield(levels=8)).loc[2]
    cut = pixels[:40, 40:80]
    np.testing.assert_allclose(found["eosin_mean"], rgb2hed(cut)[..., 1].mean(), rtol=1e-6)
    grey = ((cut @ np.array([4899, 9617, 1868]) + 8192) >> 14) / 255
    counts = graycomatrix(np.minimum(grey * 8, 7).astype(np.uint8), [1], np.arange(4) * np.pi / 4, 8, True, True)
    for name in ("contrast", "homogeneity", "correlation"):
        np.testing.assert_allclose(found[f"grey_texture_{name}"], graycoprops(counts, name).mean(), rtol=1e-12)
    np.testing.assert_allclose(found["grey_texture_asm"], graycoprops(counts, "ASM").mean(), rtol=1e-12)


def test_chunks_do_not_show_and_places_beside_the_image_are_missing() -> None:
    pixels = picture(300, 500)
    chosen = [shapely.box(10, 10, 290, 260), shapely.Point(250, 150).buffer(140), shapely.box(600, 600, 650, 650)]
    whole = frame(as_slide(pixels), chosen, "brightfield")
    cut = frame(as_slide(da.from_array(pixels, chunks=(64, 90, 3))), chosen, "brightfield")
    pd.testing.assert_frame_equal(whole, cut, check_exact=True)
    assert whole.loc[2].isna().all()
    flat = frame(as_slide(np.full((9, 9, 3), 200, np.uint8)), np.ones((9, 9), int), "brightfield").loc[1]
    assert flat["red_std"] == flat["eosin_std"] == flat["grey_texture_contrast"] == 0
    assert np.isnan(flat["grey_texture_correlation"])


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("photometric", ["ycbcr", "rgb"])
def test_jpeg_tiles_are_decoded_as_tifffile_does(tmp_path: Path, photometric: str, shared: bool) -> None:
    pixels = picture(700, 1300)
    path = written(tmp_path / "slide.tif", pixels, (240, 256), photometric=photometric, shared=shared)
    slide = Slide(url=str(path)).read()
    stored = find_tiles(slide.data)
    assert stored is not None
    assert (stored.tables is not None) == shared
    expected = tifffile.imread(path)
    assert abs(expected.astype(int) - pixels).mean() < 20  # the colours are those that were written
    np.testing.assert_array_equal(stored.read((0, 3), (0, 700), (0, 1300)), np.moveaxis(expected, -1, 0))
    np.testing.assert_array_equal(stored.read((1, 2), (230, 490), (511, 513))[0], expected[230:490, 511:513, 1])
    tiles = ig.make_tiles(slide, size=100)
    features = ["brightfield", "gradient"]
    fast, slow = (ig.measure(one, tiles, features=features) for one in (slide, as_slide(expected)))
    np.testing.assert_array_equal(fast.X, slow.X)
    assert fast.var["input_hash"].tolist() == slow.var["input_hash"].tolist()


def test_a_real_slide_is_decoded_as_tifffile_does(test_data: Callable[[str], Path]) -> None:
    path = test_data("wsi-svs") / "cmu-1-small-region.svs"
    slide = Slide(url=str(path)).read()
    stored = find_tiles(slide.data)
    assert stored is not None
    assert stored.tables is not None
    expected = tifffile.imread(path, key=0)
    np.testing.assert_array_equal(stored.read((0, 3), (0, 2967), (0, 2220)), np.moveaxis(expected, -1, 0))


def test_only_a_slide_as_it_was_read_bypasses_dask(tmp_path: Path) -> None:
    path = written(tmp_path / "slide.tif", picture(300, 300), (128, 128), photometric="ycbcr", shared=False)
    slide = Slide(url=str(path)).read().data
    assert find_tiles(slide) is not None
    assert find_tiles(slide[:, 1:]) is None
    assert find_tiles(slide[::-1]) is None
    assert find_tiles(slide + np.uint8(1)) is None
    assert find_tiles(np.zeros((3, 4, 4), np.uint8)) is None
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, picture(300, 300), tile=(128, 128), compression="zlib", photometric="rgb")
    assert find_tiles(Slide(url=str(plain)).read().data) is None


def test_pixels_are_read_once_where_only_whole_regions_are_measured(tmp_path: Path) -> None:
    pixels, reads = picture(256, 256), []

    def read(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        reads.append(block_info[0]["chunk-location"])
        return block

    lazy = da.from_array(pixels, chunks=(128, 128, 3)).map_blocks(read, dtype=np.uint8, meta=np.empty((0,) * 3, "u1"))
    tiles = ig.make_tiles(as_slide(pixels), size=64)
    once = ig.measure(as_slide(lazy), tiles, features=["brightfield"], threads=1)
    assert len(set(reads)) == len(reads) > 0
    twice = ig.measure(as_slide(lazy), tiles, features=["brightfield", "quantiles"])
    assert once.var["input_hash"].unique().tolist() == twice.var["input_hash"].unique().tolist()
    pixels[70, 70, 1] ^= 1
    changed = ig.measure(as_slide(pixels), tiles, features=["brightfield"])
    assert changed.var["input_hash"].iloc[0] != once.var["input_hash"].iloc[0]


def test_a_damaged_tile_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "slide.tif", picture(300, 300), (128, 128), photometric="ycbcr", shared=False)
    slide = Slide(url=str(path)).read()
    stored = find_tiles(slide.data)
    assert stored is not None
    with open(path, "r+b") as file:
        file.seek(int(stored.offsets[4]))
        file.write(b"nothing that was ever compressed")
    with pytest.raises(DataError, match=r"tile 4 of .* cannot be decoded"):
        ig.measure(slide, ig.make_tiles(slide, size=64), features=["brightfield"])


def test_what_is_no_bright_field_is_refused() -> None:
    with pytest.raises(ParameterError, match="stains has no 'hematoxylin'; closest: 'haematoxylin'"):
        Brightfield(stains=("hematoxylin",))
    with pytest.raises(ParameterError, match="repeat"):
        Brightfield(statistics=("contrast", "contrast"))
    with pytest.raises(ParameterError, match="expected 2 to 256"):
        Brightfield(levels=500)
    image = make_image(np.zeros((3, 4, 4), np.uint16), channels=COLOURS, pixel_size_um=None)
    with pytest.raises(DataError, match="found uint16 with channels"):
        ig.measure(image, np.ones((4, 4), int), features=["brightfield"])
    markers = make_image(np.zeros((3, 4, 4), np.uint8), channels=["DNA", "CD3", "CD8"], pixel_size_um=None)
    with pytest.raises(DataError, match="not fluorescence"):
        ig.measure(markers, np.ones((4, 4), int), features=["brightfield"])

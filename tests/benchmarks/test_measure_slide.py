"""Tile features of a JPEG slide beside only decoding it, OpenSlide and LazySlide; prints, asserts no time.

The size is a parameter: ``INTEGRATE_BENCH_MEGAPIXELS=180``. The slide is of our own making: noisy pink and blue tissue.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile

import integrate as ig
from integrate.features.stored_tiles import find_tiles
from integrate.model.image import make_image
from integrate.readers.slide import Slide

from .cost import Cost, fastest, timed

pytestmark = pytest.mark.benchmark

MEGAPIXELS = float(os.environ.get("INTEGRATE_BENCH_MEGAPIXELS", "20"))
TILE, LEVELS = 256, 8
THREADS = os.cpu_count() or 1


def tissue(side: int) -> np.ndarray:
    """Nuclei of many sizes in stroma that waves, with the grain of a camera, (y, x, 3)."""
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:side, :side].astype(np.float32)
    stroma = 12 * np.sin(x / 37 + 3 * np.sin(y / 90)) + 8 * np.sin(y / 23)
    pixels = np.array([222, 165, 198], np.float32) + stroma[..., None]
    for cy, cx, radius in rng.uniform((0, 0, 5), (side, side, 13), (side * side // 900, 3)):
        top, left = max(int(cy - radius), 0), max(int(cx - radius), 0)
        place = slice(top, int(cy + radius) + 1), slice(left, int(cx + radius) + 1)
        inside = (y[place] - cy) ** 2 + (x[place] - cx) ** 2 < radius**2
        pixels[place][inside] = rng.normal((95, 65, 150), 12)
    return (pixels + rng.normal(0, 5, pixels.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiled TIFF of JPEG, quality 80: tiles of one square of tissue, drawn in random order."""
    path = tmp_path_factory.mktemp("slide") / "slide.tif"
    columns = 48
    rows = max(1, round(MEGAPIXELS * 1e6 / TILE**2 / columns))
    square = tissue(8 * TILE).reshape(8, TILE, 8, TILE, 3).swapaxes(1, 2).reshape(64, TILE, TILE, 3)
    encoded = [imagecodecs.jpeg8_encode(np.ascontiguousarray(tile), level=80, subsampling="420") for tile in square]
    order = np.random.default_rng(1).integers(0, 64, rows * columns)

    def tiles() -> Iterator[bytes]:
        yield from (encoded[number] for number in order)

    shape = (rows * TILE, columns * TILE, 3)
    how = {"tile": (TILE, TILE), "photometric": "ycbcr", "subsampling": (2, 2), "compression": "jpeg"}
    tifffile.imwrite(path, tiles(), shape=shape, dtype=np.uint8, resolution=(20_000, 20_000), resolutionunit=3, **how)
    return path


def decode(path: Path) -> None:
    """Decode every tile and keep none: nothing that measures can do less."""
    stored = find_tiles(Slide(url=str(path)).read().data)
    assert stored is not None
    with open(path, "rb") as file, ThreadPoolExecutor(THREADS) as executor:

        def one(place: tuple[int, int]) -> None:
            imagecodecs.jpeg8_decode(os.pread(file.fileno(), place[1], place[0]), outcolorspace="RGB")

        list(executor.map(one, zip(stored.offsets.tolist(), stored.sizes.tolist(), strict=True)))


def measured(path: Path) -> pd.DataFrame:
    image = Slide(url=str(path)).read()
    table = ig.measure(image, ig.make_tiles(image, size=TILE), features=[ig.Brightfield(levels=LEVELS)])
    return table.to_df()


def test_tile_features_beside_decoding_openslide_and_lazyslide(slide: Path) -> None:
    small = make_image(np.zeros((3, 64, 64), np.uint8), channels=["red", "green", "blue"], pixel_size_um=None)
    ig.measure(small, ig.make_tiles(small, size=32), features=[ig.Brightfield(levels=LEVELS)])  # compile
    decode(slide)
    rounds = [(timed(lambda: decode(slide))[0], timed(lambda: measured(slide))[0]) for _ in range(5)]
    decoding, mine = (fastest(costs) for costs in zip(*rounds, strict=True))
    found = measured(slide)
    print(f"\n{len(found) * TILE**2 / 1e6:.0f} megapixels, {len(found):,} tiles, {THREADS} threads, best of 5")
    print(f"decoding: {decoding}")
    print(f"integrate: {mine.beside(decoding)} of decoding", flush=True)
    _beside_openslide(slide, found, mine)
    _beside_lazyslide(slide, found, mine)


def _beside_openslide(path: Path, found: pd.DataFrame, mine: Cost) -> None:
    openslide = pytest.importorskip("openslide")
    local = threading.local()

    def one(number: int) -> np.ndarray:
        if not hasattr(local, "slide"):
            local.slide = openslide.OpenSlide(str(path))
        row, column = divmod(number, 48)
        region = local.slide.read_region((column * TILE, row * TILE), 0, (TILE, TILE))
        return np.asarray(region)[..., :3].reshape(-1, 3).mean(axis=0)

    with ThreadPoolExecutor(THREADS) as executor:
        cost, means = timed(lambda: np.array(list(executor.map(one, range(len(found))))))
    np.testing.assert_allclose(found["red_mean"], means[:, 0], atol=1.5)  # decoders round and interpolate differently
    print(f"OpenSlide, {THREADS} threads, mean colour alone: {cost.beside(mine)} of integrate", flush=True)


def _beside_lazyslide(path: Path, found: pd.DataFrame, mine: Cost) -> None:
    lazyslide = pytest.importorskip("lazyslide")
    from lazyslide_models.tile_prediction import ColorDeconvolution, HaralickTexture, SplitRGB
    from lazyslide_models.tile_prediction.cv_features import CVCompose

    def predicted() -> pd.DataFrame:
        slide = lazyslide.open_wsi(str(path), reader="openslide")
        lazyslide.pp.tile_tissues(slide, TILE, tissue_key=None, background_filter=False)
        features = CVCompose(SplitRGB(), ColorDeconvolution(), HaralickTexture(levels=LEVELS))
        lazyslide.tl.tile_prediction(slide, features, pbar=False)
        return pd.DataFrame(slide.shapes["tiles"])

    cost, theirs = timed(predicted)
    corner = theirs.geometry.apply(lambda box: (box.bounds[1], box.bounds[0]))
    theirs = theirs.loc[corner.sort_values().index]
    assert len(theirs) == len(found)
    for ours, name in {
        "red_mean": "red",
        "haematoxylin_mean": "hematoxylin",
        "grey_texture_contrast": "texture_contrast",
    }.items():
        np.testing.assert_allclose(found[ours], theirs[name], rtol=0.05, err_msg=name)
    print(f"LazySlide, the same features: {cost.beside(mine)} of integrate", flush=True)

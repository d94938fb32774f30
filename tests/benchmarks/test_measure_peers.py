"""`measure` beside only decoding and beside its peers, in one run on zarr of our own making; prints, asserts no time.

The sizes are parameters: 40 channels of 4096 x 4096 need ``INTEGRATE_BENCH_CHANNELS=40 INTEGRATE_BENCH_EDGE=4096``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import scipy.ndimage as ndi
import shapely
import xarray as xr
import zarr
from numcodecs import blosc
from skimage.draw import polygon as draw_polygon
from skimage.measure import regionprops_table
from zarr.codecs import BloscCodec

from integrate.features.intensity import Intensity
from integrate.features.measure import measure
from integrate.model.image import make_image

from .cost import Cost, added_memory, fastest, timed

pytestmark = pytest.mark.benchmark

CHANNELS = int(os.environ.get("INTEGRATE_BENCH_CHANNELS", "4"))
EDGE = int(os.environ.get("INTEGRATE_BENCH_EDGE", "2048"))
ROUNDS = int(os.environ.get("INTEGRATE_BENCH_ROUNDS", "5"))
PITCH, CHUNK = 23, 1024
PACKAGES = {"numpy": "numpy", "scipy": "scipy", "scikit-image": "skimage", "squidpy": "squidpy", "sopa": "sopa"}


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """Cells as jittered discs, each channel a level per cell with photon noise; and the same discs as polygons."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("section")
    y, x = np.mgrid[:EDGE, :EDGE].astype(np.int32)
    cell = (y // PITCH) * (EDGE // PITCH + 1) + x // PITCH + 1
    place = rng.uniform(-2, 2, (2, cell.max() + 1)).astype(np.float32)
    radius = rng.uniform(7, 10, cell.max() + 1).astype(np.float32)
    inside = (y % PITCH - 11 + place[0][cell]) ** 2 + (x % PITCH - 11 + place[1][cell]) ** 2 < radius[cell] ** 2
    labels = np.where(inside, cell, 0).astype(np.int32)
    how = {"compressors": BloscCodec(cname="zstd", clevel=3, shuffle="shuffle")}
    stored = zarr.create_array(folder / "labels", shape=labels.shape, chunks=(CHUNK, CHUNK), dtype="i4", **how)
    stored[...] = labels
    image = zarr.create_array(
        folder / "image", shape=(CHANNELS, EDGE, EDGE), chunks=(1, CHUNK, CHUNK), dtype="u2", **how
    )
    for channel in range(CHANNELS):
        level = rng.gamma(1, 400, labels.max() + 1).astype(np.float32) + 40
        light = level[labels]
        noise = rng.standard_normal(light.shape, dtype=np.float32) * np.sqrt(light)
        image[channel] = (light + noise).clip(0, 65_535).astype(np.uint16)
    numbers = np.unique(cell)
    row, column = (numbers - 1) // (EDGE // PITCH + 1), (numbers - 1) % (EDGE // PITCH + 1)
    centres = np.stack([column * PITCH + 11.5 - place[1][numbers], row * PITCH + 11.5 - place[0][numbers]], axis=1)
    return folder, list(shapely.buffer(shapely.points(centres), radius[numbers], quad_segs=8))


def lazy(folder: Path) -> tuple[xr.DataArray, da.Array]:
    image = da.from_zarr(zarr.open_array(folder / "image"))
    named = make_image(image, channels=[f"c{k}" for k in range(CHANNELS)], pixel_size_um=None)
    return named, da.from_zarr(zarr.open_array(folder / "labels"))


def decode(folder: Path, threads: int) -> None:
    """Read every chunk of the image and decode it into a buffer of its thread: nothing that measures can do less."""
    local = threading.local()

    def one(path: Path) -> None:
        if not hasattr(local, "buffer"):
            local.buffer = np.empty((CHUNK, CHUNK), np.uint16)
        blosc.decompress(path.read_bytes(), local.buffer)

    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(one, sorted(path for path in (folder / "image" / "c").rglob("*") if path.is_file())))


@pytest.mark.parametrize("threads", sorted({1, os.cpu_count() or 1}))
def test_measure_beside_only_decoding(section: tuple[Path, list[Any]], threads: int) -> None:
    folder, _ = section
    image, labels = lazy(folder)
    measure(image[:, :64, :64], labels[:64, :64])  # compile
    decode(folder, threads)
    works: list[Callable[[], Any]] = [
        lambda: decode(folder, threads),
        lambda: measure(image, labels, features=[Intensity()], threads=threads),
        lambda: measure(image, labels, threads=threads),
    ]
    rounds = np.array([[timed(work)[0] for work in works] for _ in range(ROUNDS)])  # in turn: round, work, wall or CPU
    seconds, ratios = np.median(rounds, axis=0), rounds[:, 1:] / rounds[:, :1]
    print(f"\n{CHANNELS} x {EDGE} x {EDGE} uint16 of zarr, {threads} threads, median of {ROUNDS} rounds")
    print(f"decoding: {Cost(*seconds[0])}")
    for number, name in enumerate(("intensity", "intensity and shape")):
        (wall, cpu), (worst, _) = np.median(ratios[:, number], axis=0), ratios[:, number].max(axis=0)
        print(f"{name}: {Cost(*seconds[number + 1])}; {wall:.2f} x decoding, worst {worst:.2f} x ({cpu:.2f} x CPU)")


def test_measure_beside_peers(section: tuple[Path, list[Any]]) -> None:
    folder, outlines = section
    image, labels = lazy(folder)
    measure(image[:, :64, :64], labels[:64, :64])  # compile
    mine = fastest([timed(lambda: measure(image, labels, features=[Intensity()]))[0] for _ in range(3)])
    memory = added_memory(lambda: measure(image, labels))
    table = measure(image, labels)
    ids, cells = table.obs["instance_id"].to_numpy(), table.n_obs
    print("\n" + ", ".join(f"{name} {version(name)}" for name, module in PACKAGES.items() if find_spec(module)))
    print(f"{CHANNELS} x {EDGE} x {EDGE} uint16 of zarr, {cells:,} cells, {os.cpu_count()} processors")
    print(f"integrate, intensity: {mine}; with shape {memory / 2**20:.0f} MB added", flush=True)
    few = min(CHANNELS, 4)
    pixels, raster = np.asarray(image[:few].data), np.asarray(labels)
    cost, means = timed(lambda: [ndi.mean(channel, raster, ids) for channel in pixels])
    np.testing.assert_allclose(table.to_df()["c0_mean"], means[0], rtol=1e-12)
    print(f"scipy.ndimage, mean only, {few} channels: {_scaled(cost, few, mine)}", flush=True)
    names = ("label", "intensity_mean", "intensity_std", "intensity_min", "intensity_max")
    last = np.moveaxis(pixels, 0, -1)
    cost, found = timed(lambda: regionprops_table(raster, last, properties=names))
    np.testing.assert_allclose(table.to_df()["c0_mean"], found["intensity_mean-0"], rtol=1e-12)
    print(f"scikit-image, {few} channels: {_scaled(cost, few, mine)}", flush=True)
    _beside_squidpy(image, labels, mine)
    _beside_sopa(image, outlines)


def _scaled(cost: Cost, channels: int, mine: Cost) -> str:
    wall, cpu = (part / channels * CHANNELS for part in cost)
    return f"{cost}; of {CHANNELS} channels {wall / mine.wall:.1f} x ({cpu / mine.cpu:.1f} x CPU)"


def _sdata(image: xr.DataArray, **more: Any) -> Any:
    import spatialdata as sd
    from spatialdata.models import Image2DModel

    model = Image2DModel.parse(image.data, dims=("c", "y", "x"), c_coords=image.c.values.tolist())
    return sd.SpatialData(images={"image": model}, **more)


def _beside_squidpy(image: xr.DataArray, labels: da.Array, mine: Cost) -> None:
    squidpy = pytest.importorskip("squidpy")
    from spatialdata.models import Labels2DModel

    few = min(CHANNELS, 4)
    data = _sdata(image[:few], labels={"cells": Labels2DModel.parse(labels, dims=("y", "x"))})
    calculate = squidpy.experimental.im.calculate_image_features
    cost, _ = timed(lambda: calculate(data, "image", "cells", features=["squidpy:summary"], inplace=False))
    print(f"squidpy, summary, {few} channels: {_scaled(cost, few, mine)}", flush=True)


def _slow_means(pixels: np.ndarray, outlines: list[Any]) -> np.ndarray:
    """The mean of the pixels whose middle lies in the outline."""
    means = []
    for outline in outlines:
        left, top, right, bottom = np.floor(outline.bounds).astype(int)
        part = pixels[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
        y, x = np.indices(part.shape) + np.array([max(top, 0), max(left, 0)]).reshape(2, 1, 1) + 0.5
        inside = part[shapely.contains_xy(outline, x, y)]
        means.append(inside.mean() if inside.size else np.nan)
    return np.array(means)


def _drawn_means(pixels: np.ndarray, outlines: list[Any]) -> np.ndarray:
    """The mean by sopa's own rule: of the pixels whose number, which is their corner, lies in the outline."""
    means = []
    for outline in outlines:
        x, y = np.asarray(outline.exterior.coords).T
        inside = pixels[draw_polygon(y, x, pixels.shape)]
        means.append(inside.mean() if inside.size else 0)
    return np.array(means)


def _beside_sopa(image: xr.DataArray, outlines: list[Any]) -> None:
    """sopa asks where the number of a pixel lies, not its middle: its cells are half a pixel beside ours."""
    pytest.importorskip("sopa")
    import geopandas as gpd
    from sopa.aggregation import aggregate_channels
    from spatialdata.models import ShapesModel

    rounds = [timed(lambda: measure(image, outlines, features=[Intensity()])) for _ in range(3)]
    cost, ours = fastest([one for one, _ in rounds]), rounds[0][1]
    data = _sdata(image, shapes={"cells": ShapesModel.parse(gpd.GeoDataFrame(geometry=outlines))})
    theirs, found = timed(lambda: aggregate_channels(data, image_key="image", shapes_key="cells"))
    mine, means = ours.to_df()["c0_mean"].to_numpy(), np.asarray(getattr(found, "X", found))[:, 0]
    pixels = np.asarray(image[0].data)
    np.testing.assert_allclose(mine, _slow_means(pixels, outlines), rtol=1e-12)
    bounds = shapely.bounds(outlines)
    first, last = (bounds[:, :2] // CHUNK, (bounds[:, 2:] + 1) // CHUNK)
    whole = (first == last).all(axis=1) & (bounds >= 1).all(axis=1)
    own = np.isclose(means, _drawn_means(pixels, outlines), rtol=1e-6)
    far = ~np.isclose(mine, means, rtol=0.05)
    print(
        f"polygons: integrate {cost}; sopa, mean only {theirs.beside(cost)}\n"
        f"{far.mean():.0%} of its means differ by more than 5 % from ours; its own rule gives {own[whole].mean():.1%} "
        f"of those of cells within a chunk, and {own[~whole].mean():.1%} of {np.sum(~whole):,} at the edge of one",
        flush=True,
    )

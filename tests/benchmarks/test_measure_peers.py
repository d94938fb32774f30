"""`measure` beside only decoding and beside its peers, in one run on zarr of our own making; prints, asserts no time.

The sizes are parameters: 40 channels of 4096 x 4096 need ``INTEGRATE_BENCH_CHANNELS=40 INTEGRATE_BENCH_EDGE=4096``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import psutil
import pytest
import scipy.ndimage as ndi
import shapely
import xarray as xr
import zarr
from numcodecs import blosc
from skimage.measure import regionprops_table
from zarr.codecs import BloscCodec

from integrate.features.intensity import Intensity
from integrate.features.measure import measure
from integrate.model.image import make_image

pytestmark = pytest.mark.benchmark

CHANNELS = int(os.environ.get("INTEGRATE_BENCH_CHANNELS", "4"))
EDGE = int(os.environ.get("INTEGRATE_BENCH_EDGE", "2048"))
PITCH, CHUNK = 23, 1024


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


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


def added_memory(work: Callable[[], Any]) -> int:
    """Return by how many bytes resident memory rose at most while something ran."""
    process, stop = psutil.Process(), threading.Event()
    start, peak = process.memory_info().rss, [0]

    def watch() -> None:
        while not stop.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss - start)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    work()
    stop.set()
    watcher.join()
    return peak[0]


def test_measure_beside_decoding_and_peers(section: tuple[Path, list[Any]]) -> None:
    folder, outlines = section
    image, labels = lazy(folder)
    threads = os.cpu_count() or 1
    small = make_image(np.zeros((1, 64, 64), np.uint16), channels=["a"], pixel_size_um=None)
    measure(small, np.ones((64, 64), np.int32), features=["intensity", "shape"])  # compile
    rounds = [
        [
            timed(lambda: decode(folder, threads))[0],
            timed(lambda: measure(image, labels, features=[Intensity()]))[0],
            timed(lambda: measure(image, labels))[0],
        ]
        for _ in range(3)
    ]
    decoding, mine, both = np.median(rounds, axis=0)
    memory = added_memory(lambda: measure(image, labels))
    table = measure(image, labels)
    ids, cells = table.obs["instance_id"].to_numpy(), table.n_obs
    print(
        f"\n{CHANNELS} x {EDGE} x {EDGE} uint16 of zarr, {cells:,} cells, {threads} threads: decoding {decoding:.2f} s"
    )
    print(
        f"integrate, intensity: {mine:.2f} s, {mine / decoding:.2f} x decoding (rounds {np.round(rounds, 2).tolist()})"
    )
    print(
        f"integrate, intensity and shape: {both:.2f} s, {both / decoding:.2f} x, {memory / 2**20:.0f} MB added",
        flush=True,
    )
    few = min(CHANNELS, 4)
    pixels, raster = np.asarray(image[:few].data), np.asarray(labels)
    seconds, means = timed(lambda: [ndi.mean(channel, raster, ids) for channel in pixels])
    np.testing.assert_allclose(table.to_df()["c0_mean"], means[0], rtol=1e-12)
    print(
        f"scipy.ndimage, mean only, {few} channels: {seconds:.1f} s; {seconds / few * CHANNELS / mine:.1f} x",
        flush=True,
    )
    names = ("label", "intensity_mean", "intensity_std", "intensity_min", "intensity_max")
    last = np.moveaxis(pixels, 0, -1)
    seconds, found = timed(lambda: regionprops_table(raster, last, properties=names))
    np.testing.assert_allclose(table.to_df()["c0_mean"], found["intensity_mean-0"], rtol=1e-12)
    print(f"scikit-image, {few} channels: {seconds:.1f} s; {seconds / few * CHANNELS / mine:.1f} x", flush=True)
    _beside_squidpy(image, labels, mine)
    _beside_sopa(image, outlines, table)


def _sdata(image: xr.DataArray, **more: Any) -> Any:
    import spatialdata as sd
    from spatialdata.models import Image2DModel

    model = Image2DModel.parse(image.data, dims=("c", "y", "x"), c_coords=image.c.values.tolist())
    return sd.SpatialData(images={"image": model}, **more)


def _beside_squidpy(image: xr.DataArray, labels: da.Array, mine: float) -> None:
    squidpy = pytest.importorskip("squidpy")
    from spatialdata.models import Labels2DModel

    few = min(CHANNELS, 4)
    data = _sdata(image[:few], labels={"cells": Labels2DModel.parse(labels, dims=("y", "x"))})
    calculate = squidpy.experimental.im.calculate_image_features
    seconds, _ = timed(lambda: calculate(data, "image", "cells", features=["squidpy:summary"], inplace=False))
    print(f"squidpy, summary, {few} channels: {seconds:.1f} s; {seconds / few * CHANNELS / mine:.1f} x", flush=True)


def _beside_sopa(image: xr.DataArray, outlines: list[Any], table: Any) -> None:
    pytest.importorskip("sopa")
    import geopandas as gpd
    from sopa.aggregation import aggregate_channels
    from spatialdata.models import ShapesModel

    seconds, ours = timed(lambda: measure(image, outlines, features=[Intensity()]))
    data = _sdata(image, shapes={"cells": ShapesModel.parse(gpd.GeoDataFrame(geometry=outlines))})
    theirs, found = timed(lambda: aggregate_channels(data, image_key="image", shapes_key="cells"))
    means = np.asarray(getattr(found, "X", found))
    close = np.isclose(ours.to_df()["c0_mean"].to_numpy(), means[:, 0], rtol=0.05).mean()
    print(
        f"polygons: integrate {seconds:.2f} s; sopa, mean only {theirs:.1f} s, {theirs / seconds:.1f} x; "
        f"{close:.0%} of the means alike"
    )


def test_spatialdata_aggregate_grows_with_cells_times_pixels(section: tuple[Path, list[Any]]) -> None:
    import spatialdata as sd
    from spatialdata.models import Image2DModel, Labels2DModel

    folder, _ = section
    image, labels = lazy(folder)
    for edge in (256, 512, 1024, 2048):
        if edge > EDGE or edge > int(os.environ.get("INTEGRATE_BENCH_LARGEST_PEER", "1024")):
            break
        part, cut = image[:1, :edge, :edge].compute(), np.asarray(labels[:edge, :edge])
        named = make_image(part.values, channels=["a"], pixel_size_um=None)
        mine = min(timed(lambda named=named, cut=cut: measure(named, cut, features=[Intensity()]))[0] for _ in range(3))
        values, by = Image2DModel.parse(part.values, dims=("c", "y", "x")), Labels2DModel.parse(cut, dims=("y", "x"))
        slow, _ = timed(lambda values=values, by=by: sd.aggregate(values=values, by=by, agg_func="mean"))
        cells = len(np.unique(cut)) - 1
        print(
            f"\n{edge} x {edge}, {cells:,} cells: integrate {mine:.3f} s, spatialdata.aggregate {slow:.1f} s, "
            f"{slow / mine:.0f} x"
        )

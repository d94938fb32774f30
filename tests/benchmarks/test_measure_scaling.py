"""How the time of `measure` grows with pixels and with cells, beside scipy and spatialdata; prints, asserts no time.

With ``INTEGRATE_BENCH_PLOT=growth.png`` the growth with pixels is drawn.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import scipy.ndimage as ndi
import shapely
import xarray as xr
import zarr

from integrate.features.intensity import Intensity
from integrate.features.measure import measure
from integrate.features.quantiles import Quantiles
from integrate.model.image import make_image

from .cost import Cost, timed
from .cost import fastest as cheapest

pytestmark = pytest.mark.benchmark

EDGES = [int(edge) for edge in os.environ.get("INTEGRATE_BENCH_EDGES", "512,1024,2048,4096").split(",")]
LARGEST_PEER = int(os.environ.get("INTEGRATE_BENCH_LARGEST_PEER", "1024"))
PITCHES = (12, 24, 48, 96)
PEER_EDGE = int(os.environ.get("INTEGRATE_BENCH_PEER_EDGE", "1024"))
PEER_PITCHES = [int(edge) for edge in os.environ.get("INTEGRATE_BENCH_PEER_PITCHES", "40,20").split(",")]
PEER_CHUNKS = [int(edge) for edge in os.environ.get("INTEGRATE_BENCH_PEER_CHUNKS", "1024,512,256").split(",")]
CHANNELS = 4


def fastest(work: Callable[[], Any], times: int = 3) -> tuple[float, Any]:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def lattice(edge: int, pitch: int) -> tuple[np.ndarray, list[Any]]:
    """Discs that fill two thirds of their places on a lattice, as labels and as polygons."""
    radius = 0.46 * pitch
    y, x = np.mgrid[:edge, :edge].astype(np.int32)
    number = (y // pitch) * (edge // pitch + 1) + x // pitch + 1
    middle = pitch / 2 - 0.5
    inside = (y % pitch - middle) ** 2 + (x % pitch - middle) ** 2 < radius**2
    centres = np.stack(np.meshgrid(*[np.arange(pitch / 2, edge, pitch)] * 2), axis=-1).reshape(-1, 2)
    return np.where(inside, number, 0).astype(np.int32), list(shapely.buffer(shapely.points(centres), radius))


def stored(folder: Path, edge: int, chunk: int = 1024) -> xr.DataArray:
    """Photon noise in zarr, in square chunks."""
    pixels = np.random.default_rng(0).poisson(300, (CHANNELS, edge, edge)).astype(np.uint16)
    array = zarr.create_array(
        folder / f"{edge}_{chunk}.zarr", shape=pixels.shape, chunks=(1, min(edge, chunk), min(edge, chunk)), dtype="u2"
    )
    array[...] = pixels
    return make_image(da.from_zarr(array), channels=list("abcd"), pixel_size_um=None)


def aggregate(image: xr.DataArray, labels: np.ndarray) -> float:
    """Seconds of spatialdata for one channel."""
    import spatialdata as sd
    from spatialdata.models import Image2DModel, Labels2DModel

    values = Image2DModel.parse(image[:1].values, dims=("c", "y", "x"))
    by = Labels2DModel.parse(labels, dims=("y", "x"))
    return fastest(lambda: sd.aggregate(values=values, by=by, agg_func="mean"), times=1)[0]


def test_time_grows_with_pixels_times_channels(tmp_path: Path) -> None:
    aggregate(stored(tmp_path, 64), lattice(64, 24)[0])  # compile
    rows = []
    for edge in [256, *EDGES]:  # the first compiles
        (labels, outlines), image = lattice(edge, 24), stored(tmp_path, edge)
        one, _ = fastest(lambda image=image, labels=labels: measure(image[:1], labels, features=[Intensity()]))
        mine, table = fastest(lambda image=image, labels=labels: measure(image, labels, features=[Intensity()]))
        drawn, _ = fastest(lambda image=image, outlines=outlines: measure(image, outlines, features=[Intensity()]))
        ranks, _ = fastest(lambda image=image, labels=labels: measure(image, labels, features=[Quantiles()]), 1)
        ids, pixels = table.obs["instance_id"].to_numpy(), image.values
        scipy, means = fastest(lambda pixels=pixels, labels=labels, ids=ids: ndi.mean(pixels[0], labels, ids), 1)
        np.testing.assert_allclose(table.to_df()["a_mean"], means, rtol=1e-12)
        slow = aggregate(image, labels) if edge <= LARGEST_PEER else float("nan")
        rows.append((edge, mine, drawn, slow))
        print(
            f"\n{edge} x {edge} x {CHANNELS}, {len(ids):,} cells: {mine:.3f} s, {mine / pixels.size * 1e9:.2f} ns per "
            f"pixel and channel ({one:.3f} s of one channel); polygons {drawn:.3f} s, quantiles {ranks:.3f} s, "
            f"scipy.ndimage.mean of one channel {scipy:.3f} s, spatialdata.aggregate of one channel {slow:.1f} s, "
            f"{slow / one:.0f} x",
            flush=True,
        )
    draw(np.array(rows[1:]))


def test_time_hardly_grows_with_cells(tmp_path: Path) -> None:
    edge = EDGES[-1]
    image = stored(tmp_path, edge)
    measure(image[:, :256, :256], lattice(256, 24)[0], features=[Intensity()])  # compile
    for pitch in PITCHES:
        labels, outlines = lattice(edge, pitch)
        mine, table = fastest(lambda labels=labels: measure(image, labels, features=[Intensity()]))
        drawn, _ = fastest(lambda outlines=outlines: measure(image, outlines, features=[Intensity()]), 1)
        print(
            f"\n{edge} x {edge} x {CHANNELS}, {table.n_obs:,} cells: {mine:.3f} s; polygons {drawn:.3f} s", flush=True
        )


def test_the_peer_grows_with_pixels_times_chunks_and_measure_with_pixels(tmp_path: Path) -> None:
    """As people have images: four channels in zarr, both given the same Dask arrays."""
    aggregate(stored(tmp_path, 64), lattice(64, 20)[0])  # compile
    found = []
    for chunk in PEER_CHUNKS:
        image = stored(tmp_path, PEER_EDGE, chunk)
        for pitch in PEER_PITCHES:
            mine, slow, cells = _both(image, lattice(PEER_EDGE, pitch)[0], chunk)
            products = PEER_EDGE**2 * (PEER_EDGE // chunk) ** 2 * CHANNELS
            found.append(slow.cpu / products)
            print(
                f"\n{PEER_EDGE} x {PEER_EDGE} x {CHANNELS}, {cells:,} cells, chunks of {chunk}: {mine}; "
                f"spatialdata.aggregate {slow.beside(mine)}; {found[-1] * 1e6:.2f} us CPU per pixel, chunk and channel",
                flush=True,
            )
    whole = 4096**2 * 16 * 40
    low, high = (whole * of(found) / 3600 for of in (min, max))
    print(f"extrapolated to 40 x 4096 x 4096 in chunks of 1024: {low:.1f} to {high:.1f} hours of CPU")


def _both(image: xr.DataArray, labels: np.ndarray, chunk: int) -> tuple[Cost, Cost, int]:
    """Return what `measure` and spatialdata cost for the same means, and the number of cells."""
    import spatialdata as sd
    from spatialdata.models import Image2DModel, Labels2DModel

    by = xr.DataArray(da.from_array(labels, chunks=chunk), dims=("y", "x"))
    table = measure(image, by, features=[Intensity()])  # compile
    mine = cheapest([timed(lambda: measure(image, by, features=[Intensity()]))[0] for _ in range(5)])
    values, regions = Image2DModel.parse(image.data, dims=("c", "y", "x")), Labels2DModel.parse(by)
    slow, told = timed(lambda: sd.aggregate(values=values, by=regions, agg_func="mean"))
    held = next(iter(told.tables.values())).to_df()
    np.testing.assert_allclose(np.sort(held.to_numpy()[:, 0]), np.sort(table.to_df()["a_mean"]), rtol=1e-6)
    return mine, slow, table.n_obs


def draw(rows: np.ndarray) -> None:
    """Draw seconds over pixels times channels, both logarithmic, with a line of what grows alike."""
    path = os.environ.get("INTEGRATE_BENCH_PLOT")
    if not path:
        return
    import matplotlib.pyplot as plt

    figure, place = plt.subplots(figsize=(5, 3.6), layout="constrained")
    pixels = rows[:, 0] ** 2
    place.loglog(pixels * CHANNELS, rows[:, 1], "o-", label=f"measure, labels, {CHANNELS} channels")
    place.loglog(pixels * CHANNELS, rows[:, 2], "s-", label=f"measure, polygons, {CHANNELS} channels")
    place.loglog(pixels, rows[:, 3], "^-", label="spatialdata.aggregate, 1 channel")
    place.loglog(pixels * CHANNELS, rows[-1, 1] * pixels / pixels[-1], "k:", label="in proportion")
    place.set(xlabel="pixels x channels", ylabel="seconds")
    place.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)

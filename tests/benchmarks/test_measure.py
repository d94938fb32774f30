"""Speed of `measure` beside scikit-image and beside only reading; prints, asserts no time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import psutil
import pytest
from skimage.measure import regionprops_table

from integrate.features.intensity import Intensity
from integrate.features.measure import measure
from integrate.features.shape import Shape
from integrate.model.image import make_image

pytestmark = pytest.mark.benchmark

CHANNELS = int(os.environ.get("INTEGRATE_BENCH_CHANNELS", "10"))
EDGE = int(os.environ.get("INTEGRATE_BENCH_EDGE", "2048"))
STATISTICS = ("mean", "std", "min", "max")


@pytest.fixture(scope="module")
def cells() -> tuple[np.ndarray, np.ndarray]:
    """Noise of 16 bits, and discs of radius 10 on a lattice of 23 pixels."""
    image = np.random.default_rng(0).integers(0, 65_536, (CHANNELS, EDGE, EDGE), dtype=np.uint16)
    y, x = np.mgrid[:EDGE, :EDGE]
    number = (y // 23) * (EDGE // 23 + 1) + x // 23 + 1
    return image, np.where((y % 23 - 11) ** 2 + (x % 23 - 11) ** 2 < 100, number, 0).astype(np.int32)


def fastest(work: Callable[[], Any], *, times: int = 3) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Give a list whose one number is, at the end, by how much resident memory rose in between."""
    process, stop = psutil.Process(), threading.Event()
    start, peak = process.memory_info().rss, [0]

    def watch() -> None:
        while not stop.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss - start)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


def report(name: str, seconds: float, pixels: int, **ratios: float) -> None:
    beside = ", ".join(f"{other} takes {ratio:.2f} x as long" for other, ratio in ratios.items())
    print(f"\n{name}: {seconds:.2f} s, {seconds / pixels * 1e9:.2f} ns per pixel and channel; {beside}")


def test_measure_beside_scikit_image_in_memory(cells: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = cells
    image = make_image(pixels, channels=[f"c{k}" for k in range(CHANNELS)], pixel_size_um=None)
    last = np.moveaxis(pixels, 0, -1)
    intensity = [f"intensity_{name}" for name in STATISTICS]
    shape = ["area", "centroid", "bbox", "axis_major_length", "axis_minor_length", "orientation", "perimeter_crofton"]

    def ours(*features: Any) -> None:
        measure(image, labels, features=features)

    ours(Intensity(), Shape())  # compile
    mine, both = fastest(lambda: ours(Intensity())), fastest(lambda: ours(Intensity(), Shape()))
    theirs = fastest(lambda: regionprops_table(labels, last, properties=["label", *intensity]), times=1)
    theirs_both = fastest(lambda: regionprops_table(labels, last, properties=["label", *intensity, *shape]), times=1)
    report("intensity in memory", mine, pixels.size, skimage=theirs / mine)
    report("intensity and shape in memory", both, pixels.size, skimage=theirs_both / both)


def test_measure_beside_only_reading_from_zarr(cells: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    pixels, labels = cells
    chunks = (1, 1024, 1024)
    da.from_array(pixels, chunks=chunks).to_zarr(str(tmp_path / "image.zarr"))
    da.from_array(labels, chunks=chunks[1:]).to_zarr(str(tmp_path / "labels.zarr"))
    lazy = da.from_zarr(str(tmp_path / "image.zarr"))
    image = make_image(lazy, channels=[f"c{k}" for k in range(CHANNELS)], pixel_size_um=None)
    regions = da.from_zarr(str(tmp_path / "labels.zarr"))
    forget = lazy.map_blocks(lambda block: block[:1, :1, :1], chunks=(1, 1, 1), dtype=lazy.dtype)
    with dask.config.set(scheduler="threads"):
        reading = fastest(lambda: forget.compute())
    measure(image, regions)
    mine = fastest(lambda: measure(image, regions))
    with peak_memory() as peak:
        measure(image, regions)
    report("intensity and shape from zarr", mine, pixels.size, reading=reading / mine)
    print(f"memory added: {peak[0] / 2**20:.0f} MB for {pixels.nbytes / 2**20:.0f} MB of pixels")

"""How the time of `measure` grows with pixels, beside scipy and spatialdata in one run; prints, asserts no time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
import scipy.ndimage as ndi
import shapely

from integrate.features.intensity import Intensity
from integrate.features.measure import measure
from integrate.features.quantiles import Quantiles
from integrate.model.image import make_image

pytestmark = pytest.mark.benchmark

SIZES = [int(edge) for edge in os.environ.get("INTEGRATE_BENCH_EDGES", "512,1024,2048,4096").split(",")]
LARGEST_PEER = int(os.environ.get("INTEGRATE_BENCH_LARGEST_PEER", "1024"))
CHANNELS = 2


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def lattice(edge: int) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    """Noise, discs of radius 9 on a lattice of 20 pixels, and the same as polygons."""
    pixels = np.random.default_rng(0).integers(0, 4096, (CHANNELS, edge, edge), dtype=np.uint16)
    y, x = np.mgrid[:edge, :edge]
    number = (y // 20) * (edge // 20 + 1) + x // 20 + 1
    labels = np.where((y % 20 - 9.5) ** 2 + (x % 20 - 9.5) ** 2 < 81, number, 0).astype(np.int32)
    centres = np.stack(np.meshgrid(np.arange(10, edge, 20), np.arange(10, edge, 20)), axis=-1).reshape(-1, 2)
    return pixels, labels, list(shapely.buffer(shapely.points(centres), 9, quad_segs=8))


def test_time_grows_with_pixels_and_not_with_pixels_times_cells() -> None:
    import spatialdata as sd
    from spatialdata.models import Image2DModel, Labels2DModel

    for edge in [256, *SIZES]:  # the first compiles
        pixels, labels, outlines = lattice(edge)
        lazy = da.from_array(pixels, chunks=(1, 1024, 1024))
        image = make_image(lazy, channels=["a", "b"], pixel_size_um=None)
        mine, table = timed(lambda image=image, labels=labels: measure(image, labels, features=[Intensity()]))
        drawn, _ = timed(lambda image=image, outlines=outlines: measure(image, outlines, features=[Intensity()]))
        ranks, _ = timed(lambda image=image, labels=labels: measure(image, labels, features=[Quantiles()]))
        ids = table.obs["instance_id"].to_numpy()
        scipy, means = timed(lambda pixels=pixels, labels=labels, ids=ids: ndi.mean(pixels[0], labels, ids))
        np.testing.assert_allclose(table.to_df()["a_mean"], means, rtol=1e-12)
        peer = ""
        if edge <= LARGEST_PEER:
            values, by = Image2DModel.parse(lazy, dims=("c", "y", "x")), Labels2DModel.parse(labels, dims=("y", "x"))
            slow, _ = timed(lambda values=values, by=by: sd.aggregate(values=values, by=by, agg_func="mean"))
            peer = f", spatialdata.aggregate {slow / mine:.0f} x"
        print(
            f"\n{edge} x {edge} x {CHANNELS}, {len(ids):,} cells: {mine:.3f} s, {mine / pixels.size * 1e9:.1f} ns per "
            f"pixel and channel; polygons {drawn / mine:.1f} x, quantiles {ranks / mine:.1f} x, "
            f"scipy.ndimage.mean of all channels {CHANNELS * scipy / mine:.1f} x{peer}"
        )

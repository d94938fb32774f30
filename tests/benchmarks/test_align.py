"""Speed, memory and error of `resample` and `register` beside their peers; ratios of one run, numbers printed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import cv2
import dask
import dask.array as da
import numpy as np
import psutil
import pytest
import scipy.ndimage as ndi
from skimage.registration import phase_cross_correlation

import integrate as ig
from integrate.align.grid import Grid, set_space
from integrate.align.place import place_image
from integrate.align.resample import resample
from integrate.align.space import Space
from integrate.align.transform import Affine
from integrate.model.image import make_image

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

EDGE = int(os.environ.get("INTEGRATE_BENCH_EDGE", "4096"))
SLIDE, SECTION = Space("slide", "um"), Space("section", "um")
TURN = Affine(((0.99, 0.08, 30.5), (-0.08, 0.99, 160.25), (0, 0, 1)), SLIDE, SECTION)


def measured(work: Callable[[], Any]) -> tuple[Any, float, float, int]:
    """Return result, wall seconds, CPU seconds, and by how much resident memory rose at most."""
    process, stop = psutil.Process(), threading.Event()
    start, peak = process.memory_info().rss, [0]

    def watch() -> None:
        while not stop.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss - start)

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        made = work()
    finally:
        seconds = time.perf_counter() - wall, time.process_time() - cpu
        stop.set()
        watcher.join()
    return made, *seconds, peak[0]


def test_resampling_is_many_times_faster_than_the_peers() -> None:
    """An affine of three channels of 16 bits. CPU seconds are compared: the machine may be shared."""
    from dask_image.ndinterp import affine_transform as dask_affine
    from spatialdata import rasterize
    from spatialdata import transform as peer_transform
    from spatialdata.transformations import Affine as Placed
    from spatialdata.transformations import set_transformation

    pixels = np.random.default_rng(0).integers(0, 65535, (3, EDGE, EDGE), dtype=np.uint16)
    image = set_space(make_image(pixels, channels=list("abc"), pixel_size_um=(1, 1)), name="slide")
    target = Grid((EDGE, EDGE), Affine.scale([1, 1], Space("px", "px"), SECTION))
    resample(set_space(image.isel(x=slice(0, 64), y=slice(0, 64)), name="slide"), TURN, pixel_size=1.0)  # compiled
    ours = measured(lambda: resample(image, TURN, like=target))
    assert ours[3] <= 2 * pixels.nbytes
    back = TURN.inverse().array
    matrix, offset = back[:2, :2][::-1, ::-1], (back[:2, :2] @ [0.5, 0.5] + back[:2, 2] - 0.5)[::-1]
    chunked = da.from_array(pixels, chunks=(1, 1024, 1024))
    full = np.eye(3)
    full[1:, 1:] = matrix
    element = place_image(image.copy(data=chunked), space="slide")
    placed = Placed(TURN.array, input_axes=("x", "y"), output_axes=("x", "y"))
    set_transformation(element, placed, to_coordinate_system="section")
    box = {"min_coordinate": [0, 0], "max_coordinate": [EDGE, EDGE], "target_unit_to_pixels": 1}
    peers: dict[str, Callable[[], Any]] = {
        "scipy": lambda: np.stack([ndi.affine_transform(one, matrix, offset, order=1) for one in pixels]),
        "dask-image": lambda: dask_affine(
            chunked, full, np.r_[0, offset], order=1, output_chunks=(1, 1024, 1024)
        ).compute(),
        "spatialdata.transform": lambda: peer_transform(element, to_coordinate_system="section").compute(),
        "spatialdata.rasterize": lambda: rasterize(
            element, axes=("x", "y"), target_coordinate_system="section", **box
        ).compute(),
    }
    size = pixels.nbytes
    lazy = set_space(image.copy(data=chunked), name="slide")
    dasked = measured(lambda: resample(lazy, TURN, like=target).compute())
    print(f"\n{EDGE}² × 3 uint16  ours: {ours[1]:.1f} s, CPU {ours[2]:.1f} s, memory {ours[3] / size:.2f} × output")
    print(f"  ours, dask: {dasked[1]:.1f} s, CPU {dasked[2]:.1f} s, memory {dasked[3] / size:.2f} × output")
    with dask.config.set(scheduler="threads"):
        for name, work in peers.items():
            made, wall, cpu, memory = measured(work)
            print(
                f"  {name}: {wall:.1f} s, CPU {cpu:.1f} s ({cpu / ours[2]:.1f} ×), memory {memory / size:.2f} × output"
            )
            assert cpu / ours[2] > 4, name
            if name == "scipy":
                inner = (ours[0].values[0] > 0) & (made[0] > 0)  # scipy drops the outer half pixel
                assert np.abs(ours[0].values[0][inner].astype(int) - made[0][inner]).mean() < 2
            del made


def test_registration_beside_features_and_phase_correlation() -> None:
    """The tissue of the tests in two modalities: median error in micrometres and time."""
    import importlib.util
    import sys
    from pathlib import Path

    file = Path(__file__).parents[1] / "align" / "conftest.py"
    spec = importlib.util.spec_from_file_location("drawn_pairs", file)
    assert spec is not None
    assert spec.loader is not None
    drawn = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = drawn
    spec.loader.exec_module(drawn)
    pair = drawn.draw_pair()
    found, wall, cpu, _ = measured(lambda: ig.register(pair.moving, pair.fixed))
    ours = pair.error(found.transform)
    print(f"\nregister: {ours:.2f} um, {wall:.1f} s, CPU {cpu:.1f} s")
    grey = [
        255 - pair.moving.values[0],
        cv2.normalize(pair.fixed.values[0], None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8),
    ]
    errors = {}
    for name, detector in (("SIFT", cv2.SIFT_create(3000)), ("ORB", cv2.ORB_create(3000))):
        matrix, _, cpu, _ = measured(lambda detector=detector: features(detector, *grey))
        errors[name] = pair.error(matrix) if matrix is not None else np.inf
        print(f"{name} + RANSAC: {errors[name]:.2f} um, CPU {cpu:.1f} s")
    blank = np.zeros((210, 210))
    padded = [blank.copy() for _ in range(2)]
    for canvas, picture in zip(padded, grey, strict=True):
        canvas[: picture.shape[0], : picture.shape[1]] = picture
    shift, wall, cpu, _ = measured(lambda: phase_cross_correlation(padded[1], padded[0])[0])
    moved = Affine.scale([1, 1], SLIDE, SECTION, offset=(2 * np.array(shift))[::-1].tolist())
    errors["phase correlation"] = pair.error(moved)
    print(f"phase correlation: {errors['phase correlation']:.2f} um, CPU {cpu:.1f} s")
    assert ours < 1
    assert ours < min(errors.values())


def features(detector: Any, moving: np.ndarray, fixed: np.ndarray) -> Affine | None:
    """Return what matched key points say, as most tutorials do it."""
    (here, mine), (there, theirs) = (detector.detectAndCompute(one, None) for one in (moving, fixed))
    norm = cv2.NORM_HAMMING if mine.dtype == np.uint8 else cv2.NORM_L2
    pairs = [a for a, *b in cv2.BFMatcher(norm).knnMatch(mine, theirs, k=2) if b and a.distance < 0.8 * b[0].distance]
    if len(pairs) < 3:
        return None
    ends = [
        np.array([points[getattr(one, key)].pt for one in pairs])
        for points, key in ((here, "queryIdx"), (there, "trainIdx"))
    ]
    matrix, _ = cv2.estimateAffine2D(*[one.astype(np.float32) for one in ends], ransacReprojThreshold=4)
    if matrix is None:
        return None
    matrix[:, 2] *= 2  # both have pixels of 2 um
    return Affine((*map(tuple, matrix.tolist()), (0, 0, 1)), SLIDE, SECTION)

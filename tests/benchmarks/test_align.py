"""Speed, memory and error of `resample` and `register` beside their peers; ratios of one run, numbers printed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
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

EDGES = [int(one) for one in os.environ.get("INTEGRATE_BENCH_EDGE", "4096").split(",")]
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


@dataclass(frozen=True)
class Scene:
    """An image of three channels of 16 bits, as every peer wants it, and the grid on which it is wanted, turned."""

    pixels: np.ndarray
    image: Any
    target: Grid

    @property
    def chunked(self) -> Any:
        """The pixels in Dask blocks of 2 MB."""
        return da.from_array(self.pixels, chunks=(1, 1024, 1024))

    def ours(self) -> Any:
        """Ours, from an array."""
        return resample(self.image, TURN, like=self.target)

    def scipy(self) -> Any:
        """Scipy's affine_transform, channel by channel."""
        matrix, offset = pulled()
        return np.stack([ndi.affine_transform(one, matrix, offset, order=1) for one in self.pixels])

    def dask_image(self) -> Any:
        """The affine_transform of dask-image, on threads."""
        from dask_image.ndinterp import affine_transform

        matrix, offset = np.eye(3), np.zeros(3)
        matrix[1:, 1:], offset[1:] = pulled()
        return affine_transform(self.chunked, matrix, offset, order=1, output_chunks=(1, 1024, 1024)).compute()

    def spatialdata_transform(self) -> Any:
        """SpatialData's transform, on threads."""
        from spatialdata import transform

        return transform(self._element(), to_coordinate_system="section").compute()

    def spatialdata_rasterize(self) -> Any:
        """SpatialData's rasterize, on threads."""
        from spatialdata import rasterize

        low, high = [0, 0], [self.target.shape[0]] * 2
        box = {"min_coordinate": low, "max_coordinate": high, "target_unit_to_pixels": 1}
        return rasterize(self._element(), axes=("x", "y"), target_coordinate_system="section", **box).compute()

    def _element(self) -> Any:
        from spatialdata.transformations import Affine as Placed
        from spatialdata.transformations import set_transformation

        element = place_image(self.image.copy(data=self.chunked), space="slide")
        placed = Placed(TURN.array, input_axes=("x", "y"), output_axes=("x", "y"))
        set_transformation(element, placed, to_coordinate_system="section")
        return element


def pulled() -> tuple[np.ndarray, np.ndarray]:
    """Matrix and offset from indices of output centres to those of the input, y first."""
    back = TURN.inverse().array
    return back[:2, :2][::-1, ::-1], (back[:2, :2] @ [0.5, 0.5] + back[:2, 2] - 0.5)[::-1]


@pytest.fixture(scope="module", params=EDGES)
def scene(request: pytest.FixtureRequest) -> Scene:
    edge = request.param
    pixels = np.random.default_rng(0).integers(0, 65535, (3, edge, edge), dtype=np.uint16)
    image = set_space(make_image(pixels, channels=list("abc"), pixel_size_um=(1, 1)), name="slide")
    small = set_space(image.isel(x=slice(0, 64), y=slice(0, 64)), name="slide")
    for one in (small, set_space(small.chunk(32), name="slide")):  # compiled, imported
        resample(one, TURN, pixel_size=1.0).compute()
    return Scene(pixels, image, Grid((edge, edge), Affine.scale([1, 1], Space("px", "px"), SECTION)))


@pytest.mark.parametrize("peer", ["scipy", "dask_image", "spatialdata_transform", "spatialdata_rasterize"])
def test_resampling_beside_its_peers(scene: Scene, peer: str) -> None:
    """An affine of three channels of 16 bits; ours the median of three runs, right before the peer."""
    pytest.importorskip({"scipy": "scipy", "dask_image": "dask_image"}.get(peer, "spatialdata"))
    size = scene.pixels.nbytes
    own = np.median([measured(scene.ours)[1:] for _ in range(3)], axis=0)
    with dask.config.set(scheduler="threads"):
        made, wall, cpu, memory = measured(getattr(scene, peer))
    print(
        f"\n{scene.pixels.shape[1]}² × 3  ours {own[0]:.2f} s, CPU {own[1]:.2f} s, {own[2] / size:.2f} × output; "
        f"{peer} {wall:.1f} s ({wall / own[0]:.1f} ×), CPU {cpu:.1f} s ({cpu / own[1]:.1f} ×), {memory / size:.2f} ×"
    )
    assert own[2] <= 2 * size
    if peer == "scipy":
        mine, theirs = scene.ours().values[0, :2048], made[0, :2048]
        inner = (mine > 0) & (theirs > 0)  # scipy drops the outer half pixel
        assert np.abs(mine[inner].astype(int) - theirs[inner]).mean() < 2


@pytest.mark.parametrize("held", ["in memory", "on disk"])
@pytest.mark.parametrize("compute", [True, False])
def test_a_dask_array_is_resampled_beside_its_output(
    scene: Scene, held: str, compute: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Blocks that were in memory before are not counted, those that are read from disk meanwhile are."""
    blocks = scene.chunked
    if held == "on disk":
        folder = tmp_path_factory.mktemp("held")
        blocks.to_zarr(str(folder / "source.zarr"))
        blocks = da.from_zarr(str(folder / "source.zarr"))
    lazy = set_space(scene.image.copy(data=blocks), name="slide")
    made, wall, cpu, memory = measured(lambda: resample(lazy, TURN, like=scene.target, compute=compute).compute())
    size = scene.pixels.nbytes
    print(
        f"\n{scene.pixels.shape[1]}² × 3  ours, Dask {held}, {'compute=True' if compute else '.compute()'} "
        f"{wall:.2f} s, CPU {cpu:.2f} s, {memory / size:.2f} × output"
    )
    assert made.shape == scene.pixels.shape
    assert memory < (2 if compute else 3) * size  # Dask joins its blocks at the end


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

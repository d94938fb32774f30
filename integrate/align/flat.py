"""The flat way between two pictures of sections: a similarity from many starts, refined to an affine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from integrate.align.itk import itk_affine, itk_mask, matrix_of, middle_of, mutual_search, to_itk
from integrate.align.quality import NEAR, tile_offsets
from integrate.align.transform import Affine, Transform
from integrate.align.working import pull_picture
from integrate.errors import RegistrationError

if TYPE_CHECKING:
    import numpy as np
    import SimpleITK as sitk

    from integrate.align.working import Picture

__all__ = ["as_affine", "find_start", "refine_flat", "tile_share"]

#: Samples of the metric: enough for a stable gradient, whatever the size of the picture.
SAMPLES = 24_000
#: Longest edge of the pictures at which starts are tried, and of those at which the best few are compared.
COARSE, MIDDLE = 64, 128


def find_start(
    fixed: Picture,
    moving: Picture,
    starts: Sequence[tuple[float, bool]],
    *,
    seed: int,
    tick: Callable[[], object],
) -> np.ndarray[Any, Any]:
    """Return the best start, a matrix from the fixed to the moving space, after a rough search from each.

    Starts are angles in degrees, and whether from the mirror image; ticks after each, and after the best few.
    """
    import numpy as np

    found = []
    images = to_itk(fixed, longest=COARSE), to_itk(moving, longest=COARSE)
    for angle, mirror in starts:
        start = _start(fixed, moving, float(np.deg2rad(angle)), mirror=mirror)
        result = _similarity(*images, start, seed=seed)
        if result is not None:
            found.append(result)
        tick()
    if not found:
        raise RegistrationError("no start lets the two pictures overlap; give landmarks, or check their spaces")
    found.sort(key=lambda one: -one[0])
    best = [found[0][1]]
    for _, matrix in found[1:]:
        if len(best) < 3 and all(np.abs(matrix[:2, :2] - one[:2, :2]).max() > 0.1 for one in best):
            best.append(matrix)
    images = to_itk(fixed, longest=MIDDLE), to_itk(moving, longest=MIDDLE)
    again = [result for one in best if (result := _similarity(*images, one, seed=seed)) is not None]
    tick()
    return max(again or found, key=lambda one: one[0])[1]


def _start(fixed: Picture, moving: Picture, angle: float, *, mirror: bool) -> np.ndarray[Any, Any]:
    """Return the matrix that lays the middle of the tissue on the middle of the tissue, turned by an angle."""
    import numpy as np

    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    if mirror:
        turn = turn @ np.diag([-1.0, 1.0])
    grown = 1.0
    if fixed.grid.space.unit != moving.grid.space.unit:  # the size of the tissue then tells the scale
        grown = (
            float(np.sqrt(moving.foreground.sum() / fixed.foreground.sum())) * moving.grid.size[0] / fixed.grid.size[0]
        )
    matrix = np.eye(3)
    matrix[:2, :2] = grown * turn
    matrix[:2, 2] = moving.centre() - matrix[:2, :2] @ fixed.centre()
    return matrix


def _similarity(
    fixed: sitk.Image, moving: sitk.Image, start: np.ndarray[Any, Any], *, seed: int
) -> tuple[float, np.ndarray[Any, Any]] | None:
    """Return shared information and matrix after a search among similarities; None where pictures do not overlap."""
    import numpy as np
    import SimpleITK as sitk

    given = itk_affine(start)
    change = sitk.Similarity2DTransform()
    change.SetCenter(middle_of(fixed).tolist())
    pixel = min(fixed.GetSpacing())
    search = mutual_search(bins=24, fraction=1.0, seed=seed)
    search.SetOptimizerAsRegularStepGradientDescent(2 * pixel, 0.02 * pixel, 80)
    search.SetMovingInitialTransform(given)
    search.SetInitialTransform(change, inPlace=True)
    try:
        search.Execute(fixed, moving)
    except RuntimeError:  # SimpleITK: all samples map outside the moving picture
        return None
    matrix = start @ matrix_of(change)
    return -float(search.GetMetricValue()), np.asarray(matrix)


def refine_flat(
    fixed: Picture, moving: Picture, start: np.ndarray[Any, Any], *, levels: tuple[int, ...], seed: int
) -> Affine:
    """Return the affine way from the fixed to the moving space that a start refines to, coarse to fine."""
    import SimpleITK as sitk

    here, there = to_itk(fixed), to_itk(moving)
    pixel = min(here.GetSpacing())
    given = itk_affine(start)
    change = sitk.AffineTransform(2)
    change.SetCenter(middle_of(here).tolist())
    search = mutual_search(bins=32, fraction=min(1.0, SAMPLES / fixed.values.size), seed=seed)
    search.SetMetricFixedMask(itk_mask(fixed))
    search.SetOptimizerAsRegularStepGradientDescent(0.5 * levels[0] * pixel, 0.005 * pixel, 150)
    fitting = [k for k in levels if min(here.GetSize()) >= 8 * k] or [1]
    search.SetShrinkFactorsPerLevel(fitting)
    search.SetSmoothingSigmasPerLevel([0.5 * k * pixel for k in fitting])
    search.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    search.SetMovingInitialTransform(given)
    search.SetInitialTransform(change, inPlace=True)
    try:
        search.Execute(here, there)
    except RuntimeError as error:
        raise RegistrationError(
            f"the pictures lose each other while they are registered ({error}); give landmarks"
        ) from error
    return _nudged(fixed, moving, as_affine(start @ matrix_of(change), fixed, moving))


def as_affine(matrix: np.ndarray[Any, Any], fixed: Picture, moving: Picture) -> Affine:
    """Return a homogeneous matrix as the way from the fixed to the moving space."""
    return Affine(tuple(map(tuple, matrix.tolist())), fixed.grid.space, moving.grid.space)


def _nudged(fixed: Picture, moving: Picture, flat: Affine) -> Affine:
    """Return an affine way moved to where its tiles fit best, as long as more of them then agree.

    Mutual information of smoothed pictures is often flat within some pixels of its optimum; tiles see the detail.
    """
    import numpy as np

    share, offsets = tile_share(fixed, moving, flat)
    for _ in range(4):
        if len(offsets[0]) < 4 * (fixed.values.ndim + 1):
            return flat
        step = _robust(*offsets)
        pixels = fixed.grid.affine.array
        matrix = flat.array @ pixels @ step @ np.linalg.inv(pixels)
        moved = Affine(tuple(map(tuple, matrix.tolist())), flat.source, flat.target)
        better, after = tile_share(fixed, moving, moved)
        if better <= share:
            return flat
        share, offsets, flat = better, after, moved
    return flat


def tile_share(
    fixed: Picture, moving: Picture, way: Transform
) -> tuple[float, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Return how well tiles agree (nearer counts more), their centres and offsets."""
    import numpy as np

    centres, offsets = tile_offsets(fixed, pull_picture(moving, fixed, way))
    near = 1 / (1 + (np.linalg.norm(offsets, axis=1) / NEAR) ** 2)
    return float(near.mean()) if len(near) else 0.0, (centres, offsets)


def _robust(centres: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the affine of pixels that most tiles ask for: least squares with Cauchy weights, from their median on."""
    import numpy as np

    n = centres.shape[1]
    system = np.c_[centres, np.ones(len(centres))]
    found = np.zeros((n + 1, n))
    found[n] = np.median(offsets, axis=0)
    for _ in range(15):
        miss = np.linalg.norm(offsets - system @ found, axis=1)
        weight = 1 / (1 + (miss / NEAR) ** 2)
        found = np.linalg.lstsq(system * weight[:, None], offsets * weight[:, None], rcond=None)[0]
    step = np.eye(n + 1)
    step[:n] += found.T
    return step

"""Registration by what pictures show: coarse to fine, from many starts, by mutual information."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.align.quality import NEAR, agreement, shared_information, tile_offsets
from integrate.align.rigid import find_rigid, refine_rigid
from integrate.align.space import Space
from integrate.align.transform import Affine, DisplacementField, Transform
from integrate.align.working import pull_picture
from integrate.errors import ParameterError, RegistrationError, UnitError

if TYPE_CHECKING:
    import numpy as np
    import SimpleITK as sitk

    from integrate.align.working import Picture

__all__ = ["MutualInformation", "count_ticks", "find_way", "refine_way", "settle_way"]

#: Samples of the metric in the fine stages: enough for a stable gradient, whatever the size of the picture.
SAMPLES = 12_000
#: Longest edge of the pictures at which starts are tried, and of those at which the best few are compared.
COARSE, MIDDLE = 64, 128


@dataclass(frozen=True, slots=True)
class MutualInformation:
    """How `register` finds a transform from the pictures themselves.

    Parameters
    ----------
    moving_channel, fixed_channel
        Which channel to look at; by default the nuclear stain where a name says so, the optical density of colour
        pictures, else the mean of all.
    elastic
        Whether the transform may bend (a B-spline); by default in two dimensions, of volumes never. It bends only where
        that makes more of the tiles agree.
    nodes
        Cells of the B-spline along the longest edge, after refinement.
    angles
        Starting angles in degrees; by default all around in two dimensions, and within ±15° about z in three.
    mirrored
        Whether also mirror images are tried (a section laid upside down); of volumes never.
    working_pixel
        Edge of a working pixel in the unit of the spaces; by default such that the longest edge has 400 (in 3-D: 80).
    check_inverse
        Whether to register the other way too, and report how far forth and back misses.
    seed
        Seed of the metric's samples.

    Examples
    --------
    >>> MutualInformation(elastic=False).nodes
    4
    """

    moving_channel: str | None = None
    fixed_channel: str | None = None
    elastic: bool | None = None
    nodes: int = 4
    angles: tuple[float, ...] | None = None
    mirrored: bool = False
    working_pixel: float | None = None
    check_inverse: bool = True
    seed: int = 0


def count_ticks(method: MutualInformation, ndim: int, *, search: bool) -> int:
    """Return how often `find_way` (a search) or `settle_way` ticks, with `refine_way` back where that is wanted."""
    back = 2 if method.check_inverse else 0
    return (len(_starts(method, ndim)) + 3 if search else 2) + back


def find_way(fixed: Picture, moving: Picture, method: MutualInformation, *, tick: Callable[[], object]) -> Transform:
    """Return the transform from the fixed to the moving space that lays the pictures on each other best.

    Ticks after each start, after the best few, and twice while the best is refined.

    Raises
    ------
    RegistrationError
        If no start leads anywhere.
    """
    if fixed.values.ndim == 3:
        _check_volumes(fixed, moving, method)
        angles = [angle for angle, _ in _starts(method, 3)]
        return _as_affine(find_rigid(fixed, moving, angles=angles, seed=method.seed, tick=tick), fixed, moving)
    start = _best_start(fixed, moving, method, tick)
    return refine_way(fixed, moving, _as_affine(start, fixed, moving), method, levels=(4, 2, 1), tick=tick)


def refine_way(
    fixed: Picture,
    moving: Picture,
    start: Affine,
    method: MutualInformation,
    *,
    levels: tuple[int, ...] = (1,),
    tick: Callable[[], object],
) -> Transform:
    """Return the transform from the fixed to the moving space, from a known start; ticks twice."""
    if fixed.values.ndim == 3:
        return _as_affine(refine_rigid(fixed, moving, start.array, seed=method.seed, tick=tick), fixed, moving)
    flat = _flat(fixed, moving, start.array, method, levels=levels)
    tick()
    bent = _bent(fixed, moving, flat, method)
    tick()
    return bent


def settle_way(
    fixed: Picture, moving: Picture, declared: Affine, method: MutualInformation, *, tick: Callable[[], object]
) -> Transform:
    """Return a declared way from the fixed to the moving space, or what it refines to.

    It moves only where more of the tiles then agree and the pictures share no less information.

    Raises
    ------
    RegistrationError
        If the pictures do not overlap as declared.
    """
    if fixed.values.ndim == 3:
        _check_volumes(fixed, moving, method)
    refined = refine_way(fixed, moving, declared, method, tick=tick)
    before, after = (pull_picture(moving, fixed, way) for way in (declared, refined))
    more = agreement(fixed, after)[0] > agreement(fixed, before)[0]
    informed = shared_information(fixed.values, after) >= shared_information(fixed.values, before)
    return refined if more and informed else declared


def _check_volumes(fixed: Picture, moving: Picture, method: MutualInformation) -> None:
    if method.elastic or method.mirrored:
        raise ParameterError(
            "volumes are registered rigidly: leave elastic and mirrored out, or give LandmarkPairs(kind='spline')"
        )
    units = [one.grid.space.unit for one in (moving, fixed)]
    if units[0] != units[1]:
        raise UnitError(f"the volumes are in {units[0]!r} and {units[1]!r}; a rigid transform needs one unit")


def _itk(picture: Picture, *, longest: int | None = None) -> sitk.Image:
    """Return a picture for SimpleITK, whose origin is the centre of the first pixel; reduced to a longest edge."""
    import numpy as np
    import SimpleITK as sitk

    values = np.nan_to_num(picture.values).astype(np.float32)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(picture.grid.size[::-1])
    image.SetOrigin(picture.grid.affine.map_points(np.full((1, values.ndim), 0.5))[0].tolist())
    factor = 1 if longest is None else max(values.shape) // longest
    if factor > 1:
        soft = sitk.SmoothingRecursiveGaussian(image, [0.5 * factor * one for one in image.GetSpacing()])
        image = sitk.Shrink(soft, [min(factor, n) for n in image.GetSize()])
    return image


def _mask(picture: Picture) -> sitk.Image:
    import numpy as np
    import SimpleITK as sitk

    mask = sitk.GetImageFromArray(picture.foreground.astype(np.uint8))
    mask.CopyInformation(_itk(picture))
    return mask


def _method(*, bins: int, fraction: float, seed: int) -> sitk.ImageRegistrationMethod:
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums over threads differ in the last bits, and a result must not
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(bins)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerScalesFromPhysicalShift()
    if fraction < 1:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(fraction, seed + 1)
    return method


def _starts(method: MutualInformation, ndim: int) -> list[tuple[float, bool]]:
    """Return the angles at which a search starts, and whether from the mirror image."""
    around = method.angles or (tuple(range(0, 360, 30)) if ndim == 2 else (-15.0, 0.0, 15.0))
    return list(itertools.product(around, (False, True) if method.mirrored else (False,)))


def _best_start(
    fixed: Picture, moving: Picture, method: MutualInformation, tick: Callable[[], object]
) -> np.ndarray[Any, Any]:
    """Return the best start, a matrix from the fixed to the moving space, after a rough search from each angle."""
    import numpy as np

    found = []
    images = _itk(fixed, longest=COARSE), _itk(moving, longest=COARSE)
    for angle, mirror in _starts(method, 2):
        start = _start(fixed, moving, float(np.deg2rad(angle)), mirror=mirror)
        result = _similarity(*images, start, seed=method.seed)
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
    images = _itk(fixed, longest=MIDDLE), _itk(moving, longest=MIDDLE)
    again = [result for one in best if (result := _similarity(*images, one, seed=method.seed)) is not None]
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

    given = _given(start)
    change = sitk.Similarity2DTransform()
    change.SetCenter(_middle(fixed).tolist())
    pixel = min(fixed.GetSpacing())
    search = _method(bins=24, fraction=1.0, seed=seed)
    search.SetOptimizerAsRegularStepGradientDescent(2 * pixel, 0.02 * pixel, 80)
    search.SetMovingInitialTransform(given)
    search.SetInitialTransform(change, inPlace=True)
    try:
        search.Execute(fixed, moving)
    except RuntimeError:  # SimpleITK: all samples map outside the moving picture
        return None
    matrix = start @ _matrix(change)
    return -float(search.GetMetricValue()), np.asarray(matrix)


def _flat(
    fixed: Picture, moving: Picture, start: np.ndarray[Any, Any], method: MutualInformation, *, levels: tuple[int, ...]
) -> Affine:
    import SimpleITK as sitk

    here, there = _itk(fixed), _itk(moving)
    pixel = min(here.GetSpacing())
    given = _given(start)
    change = sitk.AffineTransform(2)
    change.SetCenter(_middle(here).tolist())
    search = _method(bins=32, fraction=min(1.0, 2 * SAMPLES / fixed.values.size), seed=method.seed)
    search.SetMetricFixedMask(_mask(fixed))
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
    return _nudged(fixed, moving, _as_affine(start @ _matrix(change), fixed, moving))


def _as_affine(matrix: np.ndarray[Any, Any], fixed: Picture, moving: Picture) -> Affine:
    return Affine(tuple(map(tuple, matrix.tolist())), fixed.grid.space, moving.grid.space)


def _bent(fixed: Picture, moving: Picture, flat: Affine, method: MutualInformation) -> Transform:
    """Return an affine way, bent where that is wanted and makes more of the tiles agree."""
    if method.elastic is False:
        return flat
    share = _tiles(fixed, moving, flat)[0]
    for rate in (5.0, 1.0):  # a long first step finds more and may also leave the picture
        bent = _spline(fixed, moving, flat, method, rate=rate)
        if bent is not None and _tiles(fixed, moving, bent)[0] >= share:
            return bent
    return flat


def _nudged(fixed: Picture, moving: Picture, flat: Affine) -> Affine:
    """Return an affine way moved to where its tiles fit best, as long as more of them then agree.

    Mutual information of smoothed pictures is often flat within some pixels of its optimum; tiles see the detail.
    """
    import numpy as np

    share, offsets = _tiles(fixed, moving, flat)
    for _ in range(4):
        if len(offsets[0]) < 4 * (fixed.values.ndim + 1):
            return flat
        step = _robust(*offsets)
        pixels = fixed.grid.affine.array
        matrix = flat.array @ pixels @ step @ np.linalg.inv(pixels)
        moved = Affine(tuple(map(tuple, matrix.tolist())), flat.source, flat.target)
        better, after = _tiles(fixed, moving, moved)
        if better <= share:
            return flat
        share, offsets, flat = better, after, moved
    return flat


def _tiles(
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


def _spline(
    fixed: Picture, moving: Picture, flat: Affine, method: MutualInformation, *, rate: float
) -> Transform | None:
    """Return the affine way preceded by a smooth displacement within the fixed space; None if it left the picture."""
    import numpy as np
    import SimpleITK as sitk

    here, there = _itk(fixed), _itk(moving)
    pixel = min(here.GetSpacing())
    given = _given(flat.array)
    longest = max(here.GetSize())
    coarse = [max(1, round(method.nodes / 2 * size / longest)) for size in here.GetSize()]
    spline = sitk.BSplineTransformInitializer(here, coarse)
    search = _method(bins=32, fraction=min(1.0, SAMPLES / fixed.values.size), seed=method.seed)
    search.SetMetricFixedMask(_mask(fixed))
    search.SetOptimizerAsGradientDescentLineSearch(rate, 15, 1e-4, 5)
    search.SetMovingInitialTransform(given)
    search.SetInitialTransformAsBSpline(spline, inPlace=True, scaleFactors=[1, 2])
    search.SetShrinkFactorsPerLevel([2, 1])
    search.SetSmoothingSigmasPerLevel([pixel, 0.5 * pixel])
    search.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    try:
        search.Execute(here, there)
    except RuntimeError:  # SimpleITK: all samples map outside the moving picture
        return None
    space = fixed.grid.space
    straight = Space(f"{space.name} straightened", space.unit, space.axes)
    field = _field(spline, here, space, straight, step=max(1, longest // (16 * method.nodes)))
    return field.then(Affine(flat.matrix, straight, flat.target)) if np.any(field.vectors) else flat


def _field(spline: sitk.Transform, image: sitk.Image, source: Space, target: Space, *, step: int) -> DisplacementField:
    """Return a spline as displacements on nodes that follow it closely; beyond the picture it is not defined."""
    import numpy as np
    import SimpleITK as sitk

    count = [max(2, size // step + 1) for size in image.GetSize()]
    inner = [(size - 1.002) * one for size, one in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    spacing = [length / (nodes - 1) for length, nodes in zip(inner, count, strict=True)]
    origin = [first + 0.001 * one for first, one in zip(image.GetOrigin(), image.GetSpacing(), strict=True)]
    drawn = sitk.TransformToDisplacementField(spline, sitk.sitkVectorFloat64, count, origin, spacing)
    vectors = np.asarray(sitk.GetArrayFromImage(drawn))
    return DisplacementField(vectors, tuple(origin), tuple(spacing), source, target)


def _given(matrix: np.ndarray[Any, Any]) -> sitk.AffineTransform:
    """Return a homogeneous matrix as SimpleITK's transform."""
    import SimpleITK as sitk

    n = len(matrix) - 1
    made = sitk.AffineTransform(n)
    made.SetMatrix(matrix[:n, :n].ravel().tolist())
    made.SetTranslation(matrix[:n, n].tolist())
    return made


def _middle(image: sitk.Image) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def _matrix(transform: Any) -> np.ndarray[Any, Any]:
    """Return SimpleITK's matrix, centre and translation as one homogeneous matrix."""
    import numpy as np

    n = transform.GetDimension()
    linear = np.array(transform.GetMatrix()).reshape(n, n)
    centre = np.array(transform.GetCenter())
    matrix = np.eye(n + 1)
    matrix[:n, :n] = linear
    matrix[:n, n] = np.array(transform.GetTranslation()) + centre - linear @ centre
    return matrix
